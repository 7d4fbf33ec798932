//! A folder as it is on disk, to be compared whole.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Every path under a folder, with its kind, mode and content: two equal values are two equal folders.
pub type Disk = BTreeMap<String, String>;

/// Reads `folder`, without `.git` at its top.
pub fn read(folder: &Path) -> Disk {
    let mut found = Disk::new();
    walk(folder, folder, &mut found);
    found
}

/// The paths at which two folders differ.
pub fn differences<'a>(one: &'a Disk, other: &'a Disk) -> Vec<&'a String> {
    let paths = one.keys().chain(other.keys().filter(|path| !one.contains_key(*path)));
    paths.filter(|path| one.get(*path) != other.get(*path)).collect()
}

/// Names in `folder`, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn walk(root: &Path, folder: &Path, found: &mut Disk) {
    for name in names(folder).into_iter().filter(|name| folder != root || name != ".git") {
        let path = folder.join(name);
        let metadata = path.symlink_metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        let shown = path.strip_prefix(root).unwrap().display().to_string();
        if metadata.is_dir() {
            found.insert(shown, format!("folder {mode:o}"));
            walk(root, &path, found);
        } else if metadata.is_symlink() {
            found.insert(shown, format!("link to {}", fs::read_link(&path).unwrap().display()));
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            found.insert(shown, format!("file {mode:o}\n{text}"));
        }
    }
}
