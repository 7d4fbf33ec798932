//! The templates, inside the binary.

use include_dir::{Dir, DirEntry, include_dir};

static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// The template at `path` under `templates/`.
pub fn file(path: &str) -> Option<&'static str> {
    TEMPLATES.get_file(path)?.contents_utf8()
}

/// All templates under the folder `path`, with their paths relative to `templates/`, in order.
pub fn folder(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    if let Some(folder) = TEMPLATES.get_dir(path) {
        collect(folder, &mut found);
    }
    found.sort_unstable();
    found
}

/// Every template.
pub fn all() -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    collect(&TEMPLATES, &mut found);
    found.sort_unstable();
    found
}

fn collect(folder: &'static Dir<'static>, found: &mut Vec<(&'static str, &'static str)>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(inner) => collect(inner, found),
            DirEntry::File(file) => {
                found.extend(file.path().to_str().zip(file.contents_utf8()));
            }
        }
    }
}
