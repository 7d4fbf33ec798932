//! Writing is all or nothing: whatever fails, the folder is byte for byte and mode for mode as it was.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use mcpkit::apply::{apply, create};
use mcpkit::plan::{Base, Choices, Plan, User, plan};
use mcpkit::tree::{Class, Entry, RelPath, Tree};
use tempfile::TempDir;

use crate::disk;

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        let executable = text.starts_with("#!");
        let entry = Entry { class: Class::Seeded, executable, text: (*text).to_owned() };
        tree.insert(RelPath::parse(path).unwrap(), entry).unwrap();
    }
    tree
}

/// The plan that creates these files, changes `a/changed` and removes `a/removed` of [`project`].
fn everything(created: &[(&str, &str)]) -> Plan {
    let base = tree(&[("a/changed", "old"), ("a/removed", "old")]);
    planned(&base, &base, &tree(&[created, &[("a/changed", "new")]].concat()))
}

fn planned(base: &Tree, user: &Tree, target: &Tree) -> Plan {
    plan(&Base::from(base.clone()), &User::from(user.clone()), target, &Choices::default()).unwrap()
}

/// A folder with a file of its owner's and two of mcpkit's, in modes that no umask gives.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    for (path, text, mode) in [("a/changed", "old", 0o741), ("a/removed", "old", 0o604), ("a/own", "own", 0o600)] {
        fs::write(folder.path().join(path), text).unwrap();
        fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    folder
}

/// Applies `plan` to `folder`, which fails and changes nothing; the message.
fn fails(folder: &Path, plan: &Plan) -> String {
    let before = disk::read(folder);
    let error = apply(folder, plan, |_| Ok(())).unwrap_err();
    assert_eq!(disk::read(folder), before);
    format!("{error:#}")
}

#[test]
fn a_plan_creates_changes_and_removes() {
    let folder = project();
    apply(folder.path(), &everything(&[("b/c/created", "text"), ("run", "#!/bin/sh\n")]), |_| Ok(())).unwrap();
    let rows: Vec<String> = disk::read(folder.path())
        .into_iter()
        .filter(|(_, state)| state.starts_with("file"))
        .map(|(path, state)| format!("{path}: {}", state.replace('\n', " ")))
        .collect();
    assert_eq!(
        rows,
        ["a/changed: file 741 new", "a/own: file 600 own", "b/c/created: file 644 text", "run: file 755 #!/bin/sh ",]
    );
}

#[test]
fn a_file_of_the_owners_in_the_way_changes_nothing() {
    let folder = project();
    let plan = planned(&Tree::default(), &tree(&[("a/own", "own")]), &tree(&[("a/0", "new"), ("a/own", "mcpkit's")]));
    assert_eq!(fails(folder.path(), &plan), "`a/own` exists already and was not written by mcpkit");
}

#[test]
fn a_link_to_a_folder_is_not_written_through() {
    let (folder, outside) = (project(), tempfile::tempdir().unwrap());
    symlink(outside.path(), folder.path().join("z")).unwrap();
    let message = fails(folder.path(), &everything(&[("b/created", "text"), ("z/created", "text")]));
    let link = folder.path().join("z");
    assert_eq!(message, format!("`{}` is a symbolic link; mcpkit does not write through it", link.display()));
    assert_eq!(disk::names(outside.path()), [""; 0]);
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_replaced() {
    let folder = project();
    symlink("nowhere", folder.path().join("z")).unwrap();
    let message = fails(folder.path(), &everything(&[("b/created", "text"), ("z", "text")]));
    let link = folder.path().join("z");
    assert_eq!(message, format!("`{}` is a symbolic link; mcpkit does not write through it", link.display()));
}

/// All files are ready and `b/created` is in its place when the folder is met: the renames before it are taken back.
#[test]
fn a_folder_in_the_place_of_a_file_takes_everything_back() {
    let folder = project();
    fs::create_dir_all(folder.path().join("z/inner")).unwrap();
    let message = fails(folder.path(), &everything(&[("b/created", "text"), ("z", "text")]));
    let place = folder.path().join("z");
    assert_eq!(message, format!("failed to read `{}`: Is a directory (os error 21)", place.display()));
}

/// Files before it are ready, and folders made for them are there, when the file is met.
#[test]
fn a_file_in_the_place_of_a_folder_takes_everything_back() {
    let folder = project();
    fs::write(folder.path().join("z"), "own").unwrap();
    let message = fails(folder.path(), &everything(&[("b/c/created", "text"), ("z/created", "text")]));
    assert!(message.starts_with("failed to write `z/created`: "), "{message}");
}

/// The last step of all fails: a file that should be removed has become a folder.
#[test]
fn a_removal_that_fails_takes_everything_back() {
    let folder = project();
    let place = folder.path().join("a/removed");
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    fails(folder.path(), &everything(&[("b/created", "text")]));
}

#[test]
fn a_new_project_that_fails_in_its_last_step_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let plan = planned(&Tree::default(), &Tree::default(), &tree(&[("a/b", "text")]));
    let error = create(&parent.path().join("acme"), &plan, |staging| {
        assert_eq!(fs::read_to_string(staging.join("a/b")).unwrap(), "text");
        anyhow::bail!("no repository")
    });
    assert_eq!(error.unwrap_err().to_string(), "no repository");
    assert_eq!(disk::names(parent.path()), [""; 0]);
}

#[test]
fn a_new_project_does_not_replace_what_came_into_its_place_meanwhile() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("acme");
    let plan = planned(&Tree::default(), &Tree::default(), &tree(&[("a/b", "text")]));
    let result = create(&root, &plan, |_| {
        fs::create_dir(&root)?;
        Ok(fs::write(root.join("own"), "own")?)
    });
    assert!(result.is_err());
    assert_eq!(disk::names(parent.path()), ["acme"]);
    assert_eq!(disk::names(&root), ["own"]);
}

#[test]
fn a_new_folder_is_as_open_as_any_other_made_there() {
    let parent = tempfile::tempdir().unwrap();
    let plan = planned(&Tree::default(), &Tree::default(), &tree(&[("a", "text")]));
    create(&parent.path().join("acme"), &plan, |_| Ok(())).unwrap();
    fs::create_dir(parent.path().join("other")).unwrap();
    let mode = |name: &str| fs::metadata(parent.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("acme"), mode("other"));
}
