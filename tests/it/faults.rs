//! Whatever step fails, the folder is as it was; wherever a run is stopped, the same run again ends as one that was not.

use std::cell::RefCell;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mcpkit::apply::{Step, apply, apply_watched};
use mcpkit::merge::has_markers;
use mcpkit::plan::{Base, Choices, Plan, User, plan};
use mcpkit::tree::{Class, Entry, RelPath, Tree};
use tempfile::TempDir;

use crate::disk;

const LOCK: &str = ".mcpkit/lock.toml";

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        let entry = Entry { class: Class::Seeded, executable: text.starts_with("#!"), text: (*text).to_owned() };
        tree.insert(RelPath::parse(path).unwrap(), entry).unwrap();
    }
    tree
}

/// What was generated, what is there and what shall be there: one file for each thing that can happen to one.
const GENERATED: &[(&str, &str)] = &[
    ("changed", "old\n"),
    ("conflict", "base\n"),
    ("gone/deep/last", "old\n"),
    ("left/removed", "old\n"),
    ("moved/to", "a\n\n\n"),
];
const THERE: &[(&str, &str)] = &[
    (LOCK, "old lock\n"),
    (".mcpkit/base/changed.base", "old\n"),
    ("changed", "old\n"),
    ("conflict", "mine\n"),
    ("gone/deep/last", "old\n"),
    ("left/removed", "old\n"),
    ("mcpkit.toml", "version = \"0.1.0\"\n"),
    ("moved/from", "a\n\n\nmine\n"),
];
const WANTED: &[(&str, &str)] = &[
    (LOCK, "new lock\n"),
    (".mcpkit/base/changed.base", "new\n"),
    ("changed", "new\n"),
    ("conflict", "theirs\n"),
    ("created/deep/script", "#!/bin/sh\n"),
    ("created/file", "new\n"),
    ("mcpkit.toml", "version = \"0.2.0\"\n"),
    ("moved/to", "b\n\n\n"),
];

/// The plan for `folder` as it is now.
fn planned(folder: &Path) -> Plan {
    let mut user = User::default();
    let mut generated = tree(GENERATED);
    let there = |path: &RelPath| {
        let text = fs::read_to_string(path.under(folder)).ok()?;
        Some(Entry { class: Class::Seeded, executable: false, text })
    };
    generated.insert(RelPath::parse("mcpkit.toml").unwrap(), manifest("0.1.0")).unwrap();
    let paths: Vec<&str> =
        THERE.iter().chain(WANTED).map(|(path, _)| *path).filter(|path| *path != "moved/from").collect();
    for path in paths {
        let path = RelPath::parse(path).unwrap();
        if let (Some(entry), None) = (there(&path), user.files.get(&path)) {
            user.files.insert(path, entry).unwrap();
        }
    }
    let (old, new) = (RelPath::parse("moved/from").unwrap(), RelPath::parse("moved/to").unwrap());
    match (there(&old), user.files.get(&new)) {
        (Some(entry), None) => {
            user.files.insert(new.clone(), entry).unwrap();
            user.moved_from.insert(new, old);
        }
        (Some(entry), Some(_)) => drop(user.left_behind.insert(new, (old, entry))),
        (None, _) => {}
    }
    plan(&Base::from(generated), &user, &tree(WANTED), &Choices::default()).unwrap()
}

fn manifest(version: &str) -> Entry {
    Entry { class: Class::Structural, executable: false, text: format!("version = \"{version}\"\n") }
}

/// A project in modes that no umask gives, with a file of its owner's in a folder that mcpkit leaves.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (n, (path, text)) in THERE.iter().chain(&[("left/own", "own\n")]).enumerate() {
        let place = folder.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, text).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode([0o600, 0o741, 0o604][n % 3])).unwrap();
    }
    for inner in ["gone/deep", "gone", "left"] {
        fs::set_permissions(folder.path().join(inner), fs::Permissions::from_mode(0o750)).unwrap();
    }
    folder
}

/// The steps of a run that nothing disturbs.
fn steps() -> Vec<Step> {
    let (folder, mut steps) = (project(), Vec::new());
    let mut watch = |step| {
        steps.push(step);
        Ok(())
    };
    apply_watched(folder.path(), &planned(folder.path()), |_| Ok(()), &mut watch).unwrap();
    steps
}

/// The folder after a run that nothing disturbs.
fn done() -> disk::Disk {
    let folder = project();
    apply(folder.path(), &planned(folder.path()), |_| Ok(())).unwrap();
    disk::read(folder.path())
}

#[test]
fn every_kind_of_change_is_made() {
    let files: Vec<String> = done()
        .into_iter()
        .filter_map(|(path, state)| Some(format!("{path}: {}", state.strip_prefix("file ")?)))
        .collect();
    let expected = [
        ".mcpkit/base/changed.base: 741\nnew\n",
        ".mcpkit/lock.toml: 600\nnew lock\n",
        "changed: 604\nnew\n",
        "conflict: 600\n<<<<<<< yours\nmine\n||||||| before\nbase\n=======\ntheirs\n>>>>>>> after\n",
        "created/deep/script: 755\n#!/bin/sh\n",
        "created/file: 644\nnew\n",
        "left/own: 604\nown\n",
        "mcpkit.toml: 600\nversion = \"0.2.0\"\n",
        "moved/to: 741\nb\n\n\nmine\n",
    ];
    assert_eq!(files, expected);
}

#[test]
fn a_failure_at_any_step_leaves_the_folder_as_it_was() {
    let steps = steps();
    let count = |wanted: Step| steps.iter().filter(|step| **step == wanted).count();
    // Two folders; eight files written, each with its mode and its place; three files taken away.
    let counts = [Step::Folder, Step::Write, Step::Mode, Step::Rename, Step::Remove].map(count);
    assert_eq!(counts, [2, 8, 8, 8, 3]);
    for (failing, kind) in steps.iter().enumerate() {
        let folder = project();
        let before = disk::read(folder.path());
        let mut step = 0;
        let mut watch = |_| {
            step += 1;
            if step == failing + 1 { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        };
        let error = apply_watched(folder.path(), &planned(folder.path()), |_| Ok(()), &mut watch).unwrap_err();
        assert!(format!("{error:#}").ends_with(": no storage space"), "{error:#}");
        assert_eq!(disk::read(folder.path()), before, "step {failing}, {kind:?}");
    }
}

#[test]
fn a_failure_after_the_last_step_leaves_the_folder_as_it_was() {
    let folder = project();
    let before = disk::read(folder.path());
    let error = apply(folder.path(), &planned(folder.path()), |_| anyhow::bail!("no repository")).unwrap_err();
    assert_eq!(error.to_string(), "no repository");
    assert_eq!(disk::read(folder.path()), before);
}

/// What a run that is killed before each step of the second half leaves behind, without its temporary files.
fn half_done() -> Vec<disk::Disk> {
    let (folder, halves) = (project(), RefCell::new(Vec::new()));
    let mut watch = |step| {
        if matches!(step, Step::Rename | Step::Remove) {
            let mut half = disk::read(folder.path());
            half.retain(|path, _| !path.rsplit('/').next().unwrap().starts_with(".mcpkit-"));
            halves.borrow_mut().push(half);
        }
        io::Result::Ok(())
    };
    apply_watched(folder.path(), &planned(folder.path()), |_| Ok(()), &mut watch).unwrap();
    halves.into_inner()
}

#[test]
fn the_files_come_first_then_the_record_of_them_and_the_manifest_last() {
    let mut states = half_done();
    states.push(done());
    let changed: Vec<String> = states
        .windows(2)
        .map(|two| {
            let paths = disk::differences(&two[0], &two[1]);
            let files = paths.into_iter().filter(|path| {
                [&two[0], &two[1]].iter().any(|state| state.get(*path).is_some_and(|state| state.starts_with("file")))
            });
            files.cloned().collect::<Vec<_>>().join(" ")
        })
        .collect();
    let (files, record) = changed.split_at(changed.len() - 3);
    assert_eq!(record, [".mcpkit/base/changed.base", LOCK, "mcpkit.toml"]);
    let mut files = files.to_vec();
    files.sort();
    let expected = [
        "changed",
        "conflict",
        "created/deep/script",
        "created/file",
        "gone/deep/last",
        "left/removed",
        "moved/from",
        "moved/to",
    ];
    assert_eq!(files, expected);
}

/// Makes `folder` what `state` says.
fn restore(folder: &Path, state: &disk::Disk) {
    for (path, state) in state {
        let (place, (kind, text)) = (folder.join(path), state.split_once('\n').unwrap_or((state, "")));
        let (kind, mode) = kind.split_once(' ').unwrap();
        match kind {
            "folder" => fs::create_dir(&place).unwrap(),
            _ => fs::write(&place, text).unwrap(),
        }
        fs::set_permissions(&place, fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap())).unwrap();
    }
}

#[test]
fn a_run_that_was_killed_is_finished_by_the_next() {
    let done = done();
    for (step, half) in half_done().iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        restore(folder.path(), half);
        if fs::read_to_string(folder.path().join("conflict")).is_ok_and(|text| has_markers(&text)) {
            // The commands ask for it to be resolved before they go on. Here it is taken back.
            fs::write(folder.path().join("conflict"), "mine\n").unwrap();
        }
        apply(folder.path(), &planned(folder.path()), |_| Ok(())).unwrap();
        assert_eq!(disk::read(folder.path()), done, "killed before step {step} of the renames");
    }
}

#[test]
fn a_run_that_is_finished_finds_nothing_more_to_do_but_its_record() {
    let folder = project();
    fs::write(folder.path().join("conflict"), "theirs\n").unwrap();
    apply(folder.path(), &planned(folder.path()), |_| Ok(())).unwrap();
    let again = planned(folder.path());
    assert_eq!(again.effective().map(|change| change.path.as_str()).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_file_of_the_owners_in_the_new_place_of_a_moved_one_is_in_the_way() {
    let folder = project();
    fs::write(folder.path().join("moved/to"), "b\n\n\n").unwrap();
    let plan = planned(folder.path());
    let before = disk::read(folder.path());
    let refused = apply(folder.path(), &plan, |_| Ok(())).unwrap_err();
    assert_eq!(refused.to_string(), "`moved/to` exists already and was not written by mcpkit");
    assert_eq!(disk::read(folder.path()), before);
}
