//! What a command would do to each file: one pure function of three trees. `new` has an empty base; adding and updating
//! have the base that the project was last written with. No command has rules of its own.
//!
//! | base | yours | new | what happens |
//! |---|---|---|---|
//! | – | – | T | it is created |
//! | – | U | T | blocked: the file was never mcpkit's |
//! | B | B | T | it is changed |
//! | B | U | B | yours stays |
//! | B | T | T | unchanged |
//! | B | U | T | merged: as text, or key by key in manifests |
//! | B | – | T | stays deleted |
//! | B | B | – | it is removed |
//! | B | U | – | yours stays, and is yours alone now |

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::globs::Globs;
use crate::merge::{self, Labels, Merged};
use crate::migrate::Migration;
use crate::tree::{Class, Entry, RelPath, Tree};
use crate::{cargo_lock, cargo_toml, lock, manifest};

/// Why a file stands in the way.
const NOT_OURS: &str = "exists already and was not written by mcpkit";

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Create,
    /// It is replaced.
    Change,
    /// It stays.
    Unchanged,
    /// It goes.
    Remove,
    /// Both have changed it in the same place: it gets all versions between markers.
    Conflict,
    /// Something that mcpkit did not write stands in its place, so nothing is written at all.
    Blocked,
}

impl Action {
    /// The sign before a path, so that a list reads without colour.
    pub const fn glyph(self) -> char {
        match self {
            Self::Create => '+',
            Self::Change => '~',
            Self::Unchanged => '=',
            Self::Remove => '-',
            Self::Conflict | Self::Blocked => '!',
        }
    }

    /// The word beside the sign.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Unchanged => "unchanged",
            Self::Remove => "remove",
            Self::Conflict => "conflict",
            Self::Blocked => "blocked",
        }
    }
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: RelPath,
    /// What happens to it.
    pub action: Action,
    /// Who changes it.
    pub class: Class,
    /// Whether it can be run.
    pub executable: bool,
    /// What it holds now.
    pub before: Option<String>,
    /// What it will hold.
    pub after: Option<String>,
    /// Whether it is written with CRLF line ends. The texts here always have LF.
    pub crlf: bool,
}

/// Why a path behind a symbolic link is blocked. Said of one path or of several.
pub const LINKED: &str = "cannot be written: a symbolic link is on the way, and mcpkit does not write through it";

/// Everything that happens, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The lines.
    pub changes: Vec<Change>,
    /// What stays as it is although mcpkit has something new for it, and why: a line each.
    pub notes: Vec<String>,
    /// Why a path is blocked.
    pub blocked: BTreeMap<RelPath, &'static str>,
    /// Where a file lay before it was moved, by where it lies then.
    pub moved: BTreeMap<RelPath, RelPath>,
    /// Files that could not be merged for want of a base: they stay, and their owner must look.
    pub undecided: Vec<RelPath>,
}

impl Plan {
    /// Files that get conflict markers.
    pub fn conflicts(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.action == Action::Conflict)
    }

    /// Lines that write or remove something.
    pub fn effective(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| !matches!(change.action, Action::Unchanged | Action::Blocked))
    }
}

/// The project as it is on disk.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// Its texts, with LF line ends.
    pub files: Tree,
    /// What is no text: links, folders and bytes, each with the reason it cannot be written.
    pub opaque: BTreeMap<RelPath, &'static str>,
    /// Files with CRLF line ends.
    pub crlf: BTreeSet<RelPath>,
    /// Whether new files get CRLF line ends.
    pub crlf_usual: bool,
    /// Where a file lies, if migrations have moved it since.
    pub moved_from: BTreeMap<RelPath, RelPath>,
    /// Where it lies as well, and what it holds there, if it is in its new place already.
    pub left_behind: BTreeMap<RelPath, (RelPath, Entry)>,
}

/// What was generated before.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The pristine texts.
    pub files: Tree,
    /// Files that were generated, and whose pristine text is lost.
    pub lost: BTreeSet<RelPath>,
}

/// How to settle what both sides want.
#[derive(Clone, Debug)]
pub struct Choices {
    /// Files that stay as the owner has them.
    pub ours: Globs,
    /// Files that become what is generated, whatever they are now.
    pub theirs: Globs,
    /// The names of the sides in conflicts.
    pub labels: Labels,
    /// Migrations of the manifest's keys.
    pub migrations: Vec<Migration>,
}

/// Compares what was generated (`base`), what is there (`user`) and what should be there (`target`). Fails where a manifest
/// is not TOML.
pub fn plan(base: &Base, user: &User, target: &Tree, choices: &Choices) -> Result<Plan> {
    let mut plan = Plan::default();
    for (path, wanted) in target.iter() {
        let sides = Sides { path, base: base.files.get(path), user: user.files.get(path), target: wanted };
        let decided = if let Some(reason) = user.opaque.get(path) {
            let same = sides.base.is_some_and(|base| base.text == wanted.text) && !choices.theirs.matches(path);
            if same || choices.ours.matches(path) {
                continue;
            }
            plan.blocked.insert(path.clone(), reason);
            Some((Action::Blocked, wanted.text.clone()))
        } else if lock::is_bookkeeping(path) {
            Some((if sides.user.is_some() { Action::Change } else { Action::Create }, wanted.text.clone()))
        } else if let Some((old, entry)) = user.left_behind.get(path) {
            let moved = Sides { user: Some(entry), ..sides };
            match take_away(old, &moved, sides.user, choices)? {
                Some(change) => plan.changes.push(change),
                None => drop(plan.blocked.insert(path.clone(), NOT_OURS)),
            }
            let action = if plan.blocked.contains_key(path) { Action::Blocked } else { Action::Unchanged };
            Some((action, wanted.text.clone())).filter(|_| action == Action::Blocked)
        } else {
            decide(&sides, base.lost.contains(path), choices, &mut plan)?
        };
        let Some((action, after)) = decided else { continue };
        let before = sides.user.map(|entry| entry.text.clone());
        let action =
            if before.as_ref() == Some(&after) && action != Action::Blocked { Action::Unchanged } else { action };
        plan.changes.push(Change {
            path: path.clone(),
            action,
            class: wanted.class,
            executable: wanted.executable,
            before,
            after: Some(after),
            crlf: if sides.user.is_some() { user.crlf.contains(path) } else { user.crlf_usual },
        });
    }
    let gone = base.files.iter().chain(user.files.iter().filter(|(path, _)| lock::is_bookkeeping(path)));
    for (path, entry) in gone.filter(|(path, _)| target.get(path).is_none()) {
        let Some(now) = user.files.get(path) else { continue };
        // The owner's changes outlive the template that they were made to.
        let action = if now.text == entry.text { Action::Remove } else { Action::Unchanged };
        if action == Action::Unchanged {
            plan.notes.push(format!(
                "`{path}` is no part of the project's templates any more; with your changes in it, it stays"
            ));
        }
        plan.changes.push(Change {
            path: path.clone(),
            action,
            class: entry.class,
            executable: entry.executable,
            before: Some(now.text.clone()),
            after: (action == Action::Unchanged).then(|| now.text.clone()),
            crlf: user.crlf.contains(path),
        });
    }
    move_files(&mut plan, user);
    plan.changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(plan)
}

/// The three sides of one file.
#[derive(Clone, Copy)]
struct Sides<'a> {
    path: &'a RelPath,
    base: Option<&'a Entry>,
    user: Option<&'a Entry>,
    target: &'a Entry,
}

/// What becomes of one file of the target. `None`: it stays away.
fn decide(sides: &Sides<'_>, lost: bool, choices: &Choices, plan: &mut Plan) -> Result<Option<(Action, String)>> {
    let Sides { path, target, .. } = *sides;
    let (old, now, new) = (sides.base.map(|e| &e.text), sides.user.map(|e| &e.text), &target.text);
    let stays = |now: &String| Ok(Some((Action::Unchanged, now.clone())));
    if choices.theirs.matches(path) {
        return Ok(Some((if now.is_some() { Action::Change } else { Action::Create }, new.clone())));
    }
    match (old, now) {
        (None, None) if !lost => Ok(Some((Action::Create, new.clone()))),
        (_, None) => {
            // Deleted by the owner: stays deleted.
            if old != Some(new) {
                plan.notes.push(format!("`{path}` was deleted and stays so; `--theirs {path}` brings it back"));
            }
            Ok(None)
        }
        (_, Some(now)) if now == new => stays(now),
        (_, Some(now)) if choices.ours.matches(path) => stays(now),
        (Some(old), Some(now)) if now == old => Ok(Some((Action::Change, new.clone()))),
        // Nothing new to bring: what the owner made of it stays.
        (Some(old), Some(now)) if old == new => stays(now),
        (_, Some(now)) if path.as_str() == cargo_lock::PATH => {
            plan.notes
                .push(format!("`{path}` was changed here and stays; cargo brings it up to date at the next build"));
            stays(now)
        }
        (_, Some(now)) if path.as_str() == manifest::PATH => {
            let old = old.map_or("", String::as_str);
            keyed(path, now, manifest::merge(old, now, new, &choices.migrations), plan)
        }
        (Some(old), Some(now)) if target.class == Class::Structural => {
            keyed(path, now, cargo_toml::merge(old, now, new), plan)
        }
        (Some(old), Some(now)) => Ok(Some(match merge::merge(old, now, new, &choices.labels) {
            Merged::Clean(text) => (Action::Change, text),
            Merged::Conflict(text) => (Action::Conflict, text),
        })),
        (None, Some(now)) if lost => {
            plan.undecided.push(path.clone());
            stays(now)
        }
        (None, Some(_)) => {
            plan.blocked.insert(path.clone(), NOT_OURS);
            Ok(Some((Action::Blocked, new.clone())))
        }
    }
}

fn keyed(
    path: &RelPath,
    now: &str,
    edited: Result<cargo_toml::Edited>,
    plan: &mut Plan,
) -> Result<Option<(Action, String)>> {
    let edited = edited.with_context(|| format!("failed to edit `{path}`"))?;
    plan.notes.extend(edited.notes.into_iter().map(|note| format!("`{path}`: {note}")));
    let action = if edited.text == now { Action::Unchanged } else { Action::Change };
    Ok(Some((action, edited.text)))
}

/// A run that was killed may have made a file in its new place and left the old one. If the new one is what the move makes
/// of it, the old one goes; else it is the owner's.
fn take_away(old: &RelPath, moved: &Sides<'_>, now: Option<&Entry>, choices: &Choices) -> Result<Option<Change>> {
    let made = decide(moved, false, choices, &mut Plan::default())?.map(|(_, text)| text);
    if made.as_ref() != now.map(|entry| &entry.text) {
        return Ok(None);
    }
    Ok(Some(Change {
        path: old.clone(),
        action: Action::Remove,
        class: moved.target.class,
        executable: moved.target.executable,
        before: moved.user.map(|entry| entry.text.clone()),
        after: None,
        crlf: false,
    }))
}

/// A file that a migration has moved is created in its new place and removed from its old one.
fn move_files(plan: &mut Plan, user: &User) {
    let mut left = Vec::new();
    for change in &mut plan.changes {
        let Some(old) = user.moved_from.get(&change.path) else { continue };
        let before = change.before.take();
        plan.moved.insert(change.path.clone(), old.clone());
        left.push(Change {
            path: old.clone(),
            action: Action::Remove,
            class: change.class,
            executable: change.executable,
            before,
            after: None,
            crlf: change.crlf,
        });
        if change.action != Action::Remove && change.action != Action::Conflict {
            change.action = Action::Create;
        }
    }
    // What was moved and is not generated any more is only removed, in its old place.
    plan.changes.retain(|change| !(change.action == Action::Remove && user.moved_from.contains_key(&change.path)));
    plan.changes.extend(left);
}

impl From<Tree> for User {
    fn from(files: Tree) -> Self {
        Self { files, ..Self::default() }
    }
}

impl From<Tree> for Base {
    fn from(files: Tree) -> Self {
        Self { files, ..Self::default() }
    }
}

impl Default for Choices {
    fn default() -> Self {
        let labels = Labels { base: "before".to_owned(), target: "after".to_owned() };
        Self { ours: Globs::default(), theirs: Globs::default(), labels, migrations: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: Option<&str>) -> Tree {
        let mut tree = Tree::default();
        if let Some(text) = text {
            let entry = Entry { class: Class::Seeded, executable: false, text: text.to_owned() };
            tree.insert(RelPath::parse("a").unwrap(), entry).unwrap();
        }
        tree
    }

    fn planned(base: Option<&str>, user: Option<&str>, target: Option<&str>, choices: &Choices) -> Plan {
        plan(&tree(base).into(), &tree(user).into(), &tree(target), choices).unwrap()
    }

    fn only(pattern: &str) -> Globs {
        Globs::parse(&[pattern.to_owned()]).unwrap()
    }

    #[test]
    fn every_combination_of_base_user_and_target_has_its_action() {
        use Action::{Blocked, Change, Conflict, Create, Remove, Unchanged};
        let cases = [
            (None, None, Some("t"), Some(Create)),
            (None, Some("t"), Some("t"), Some(Unchanged)),
            (None, Some("u"), Some("t"), Some(Blocked)),
            (Some("b"), Some("b"), Some("t"), Some(Change)),
            (Some("b"), Some("u"), Some("b"), Some(Unchanged)),
            (Some("b"), Some("t"), Some("t"), Some(Unchanged)),
            (Some("b"), Some("u"), Some("t"), Some(Conflict)),
            (Some("b\n\n\n"), Some("u\n\n\n"), Some("b\n\n\nt\n"), Some(Change)),
            (Some("b"), None, Some("t"), None),
            (Some("b"), None, Some("b"), None),
            (Some("b"), Some("b"), None, Some(Remove)),
            (Some("b"), Some("u"), None, Some(Unchanged)),
            (Some("b"), None, None, None),
        ];
        for (base, user, target, action) in cases {
            let plan = planned(base, user, target, &Choices::default());
            assert_eq!(plan.changes.first().map(|change| change.action), action, "{base:?} {user:?} {target:?}");
        }
    }

    #[test]
    fn a_file_the_owner_changed_keeps_its_text() {
        let plan = planned(Some("b"), Some("u"), Some("b"), &Choices::default());
        assert_eq!(plan.changes[0].after.as_deref(), Some("u"));
        assert_eq!(plan.notes, [""; 0]);
    }

    #[test]
    fn theirs_restores_what_was_changed_or_deleted_and_ours_keeps_it() {
        let theirs = Choices { theirs: only("a"), ..Choices::default() };
        let ours = Choices { ours: only("a"), ..Choices::default() };
        let after = |user, choices| {
            let plan = planned(Some("b"), user, Some("t"), choices);
            plan.changes.first().and_then(|change| change.after.clone())
        };
        assert_eq!(after(Some("u"), &theirs).as_deref(), Some("t"));
        assert_eq!(after(None, &theirs).as_deref(), Some("t"));
        assert_eq!(after(Some("u"), &ours).as_deref(), Some("u"));
        assert_eq!(after(None, &ours), None);
        let plan = planned(Some("b"), Some("u"), Some("b"), &theirs);
        assert_eq!(plan.changes[0].after.as_deref(), Some("b"), "also where there is nothing new");
    }

    #[test]
    fn a_deleted_file_is_spoken_of_only_if_there_is_something_new() {
        assert_eq!(planned(Some("b"), None, Some("b"), &Choices::default()).notes, [""; 0]);
        let notes = planned(Some("b"), None, Some("t"), &Choices::default()).notes;
        assert_eq!(notes, ["`a` was deleted and stays so; `--theirs a` brings it back"]);
    }

    #[test]
    fn without_its_base_a_changed_file_stays_and_is_named() {
        let base = Base { lost: [RelPath::parse("a").unwrap()].into(), ..Base::default() };
        let plan = plan(&base, &tree(Some("u")).into(), &tree(Some("t")), &Choices::default()).unwrap();
        assert_eq!((plan.changes[0].action, plan.changes[0].after.as_deref()), (Action::Unchanged, Some("u")));
        assert_eq!(plan.undecided, [RelPath::parse("a").unwrap()]);
    }

    #[test]
    fn what_is_no_text_blocks_only_what_would_be_written() {
        let opaque: BTreeMap<_, _> = [(RelPath::parse("a").unwrap(), "is a symbolic link")].into();
        let user = User { opaque, ..User::default() };
        let go = |target| plan(&tree(Some("b")).into(), &user, &tree(Some(target)), &Choices::default()).unwrap();
        assert_eq!(go("b").changes, []);
        assert_eq!(go("t").changes[0].action, Action::Blocked);
    }

    #[test]
    fn a_moved_file_takes_its_owners_changes_along() {
        let old = RelPath::parse("old").unwrap();
        let moved_from: BTreeMap<_, _> = [(RelPath::parse("a").unwrap(), old.clone())].into();
        let user = User { files: tree(Some("u\n\n\nb\n")), moved_from, ..User::default() };
        let base = tree(Some("b\n\n\nb\n"));
        let plan = plan(&base.into(), &user, &tree(Some("b\n\n\nt\n")), &Choices::default()).unwrap();
        let rows: Vec<_> =
            plan.changes.iter().map(|row| (row.path.as_str(), row.action, row.after.as_deref())).collect();
        assert_eq!(rows, [("a", Action::Create, Some("u\n\n\nt\n")), ("old", Action::Remove, None)]);
    }
}
