//! What a command would do to each file: one pure function of three trees. `new` has an empty base; adding and updating
//! have the base that the project was born with. No command has rules of its own.

use serde::Serialize;

use crate::tree::{Class, RelPath, Tree};

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
    /// There is a file of the owner's in its place, or both have changed it.
    Conflict,
}

impl Action {
    /// The sign before a path, so that a list reads without colour.
    pub const fn glyph(self) -> char {
        match self {
            Self::Create => '+',
            Self::Change => '~',
            Self::Unchanged => '=',
            Self::Remove => '-',
            Self::Conflict => '!',
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
}

/// Everything that happens, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The lines.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Files that stand in the way.
    pub fn conflicts(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.action == Action::Conflict)
    }

    /// Lines that write or remove something.
    pub fn effective(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| !matches!(change.action, Action::Unchanged | Action::Conflict))
    }
}

/// Compares what was generated (`base`), what is there (`user`) and what should be there (`target`).
pub fn plan(base: &Tree, user: &Tree, target: &Tree) -> Plan {
    let mut changes = Vec::new();
    for (path, wanted) in target.iter() {
        let (old, now) = (base.get(path).map(|e| &e.text), user.get(path).map(|e| &e.text));
        let new = Some(&wanted.text);
        let action = match (old, now) {
            (None, None) => Action::Create,
            // Deleted by the owner: stays deleted.
            (Some(_), None) => continue,
            (_, Some(_)) if now == new => Action::Unchanged,
            (Some(_), Some(_)) if now == old => Action::Change,
            // Nothing new to bring: what the owner made of it stays.
            (Some(_), Some(_)) if old == new => Action::Unchanged,
            (_, Some(_)) => Action::Conflict,
        };
        changes.push(Change {
            path: path.clone(),
            action,
            class: wanted.class,
            executable: wanted.executable,
            before: now.cloned(),
            after: if action == Action::Unchanged { now.cloned() } else { new.cloned() },
        });
    }
    for (path, entry) in base.iter().filter(|(path, _)| target.get(path).is_none()) {
        let Some(now) = user.get(path) else { continue };
        // The owner's changes outlive the template that they were made to.
        let action = if now.text == entry.text { Action::Remove } else { Action::Unchanged };
        changes.push(Change {
            path: path.clone(),
            action,
            class: entry.class,
            executable: entry.executable,
            before: Some(now.text.clone()),
            after: (action == Action::Unchanged).then(|| now.text.clone()),
        });
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    Plan { changes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;

    fn tree(text: Option<&str>) -> Tree {
        let mut tree = Tree::default();
        if let Some(text) = text {
            let entry = Entry { class: Class::Seeded, executable: false, text: text.to_owned() };
            tree.insert(RelPath::parse("a").unwrap(), entry).unwrap();
        }
        tree
    }

    #[test]
    fn every_combination_of_base_user_and_target_has_its_action() {
        use Action::{Change, Conflict, Create, Remove, Unchanged};
        let cases = [
            (None, None, Some("t"), Some(Create)),
            (None, Some("t"), Some("t"), Some(Unchanged)),
            (None, Some("u"), Some("t"), Some(Conflict)),
            (Some("b"), Some("b"), Some("t"), Some(Change)),
            (Some("b"), Some("u"), Some("b"), Some(Unchanged)),
            (Some("b"), Some("t"), Some("t"), Some(Unchanged)),
            (Some("b"), Some("u"), Some("t"), Some(Conflict)),
            (Some("b"), None, Some("t"), None),
            (Some("b"), Some("b"), None, Some(Remove)),
            (Some("b"), Some("u"), None, Some(Unchanged)),
            (Some("b"), None, None, None),
        ];
        for (base, user, target, action) in cases {
            let found = plan(&tree(base), &tree(user), &tree(target)).changes.first().map(|change| change.action);
            assert_eq!(found, action, "{base:?} {user:?} {target:?}");
        }
    }

    #[test]
    fn a_file_the_owner_changed_keeps_its_text() {
        let plan = plan(&tree(Some("b")), &tree(Some("u")), &tree(Some("b")));
        assert_eq!(plan.changes[0].after.as_deref(), Some("u"));
    }
}
