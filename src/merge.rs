//! Three texts into one: what was generated, what the owner made of it, what would be generated now. Pure.
//!
//! Where both sides changed the same lines, all three versions are left in the text between markers, as `git merge-file
//! --diff3` writes them. A merge must never be wrong in silence: where repeated lines leave room for two readings, the text
//! merged backwards comes out differently, and that counts as a conflict too.

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The changes of both.
    Clean(String),
    /// The same, with markers where they meet.
    Conflict(String),
}

/// The names of the three sides, as the markers show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Who generated the base.
    pub base: String,
    /// Who generates the target.
    pub target: String,
}

const OURS: &str = "yours";
/// How the names of the other sides begin.
pub const MCPKIT: &str = "mcpkit ";
const START: &str = "<<<<<<< ";
const BASE: &str = "||||||| ";
const MIDDLE: &str = "=======";
const END: &str = ">>>>>>> ";

/// Merges the way from `base` to `target` into `user`. Texts have LF line ends.
pub fn merge(base: &str, user: &str, target: &str, labels: &Labels) -> Merged {
    match diffy::merge(base, user, target) {
        Ok(text) if unambiguous(base, user, target, &text) => Merged::Clean(text),
        Ok(_) => Merged::Conflict(whole(base, user, target, labels)),
        Err(text) => Merged::Conflict(labelled(&text, labels)),
    }
}

/// Whether `text` holds markers that somebody has still to resolve: a whole conflict of anybody's, or one line of ours that
/// was left behind.
pub fn has_markers(text: &str) -> bool {
    let ours = format!("{START}{OURS}");
    let left = |line: &str| {
        let side = line.strip_prefix(BASE).or_else(|| line.strip_prefix(END));
        line == ours || side.and_then(|side| side.strip_prefix(MCPKIT)).is_some_and(|version| !version.contains(' '))
    };
    let (mut started, mut parted) = (false, false);
    for line in text.lines() {
        if left(line) {
            return true;
        }
        if line.starts_with(START) {
            (started, parted) = (true, false);
        } else if started && line == MIDDLE {
            parted = true;
        } else if parted && line.starts_with(END) {
            return true;
        }
    }
    false
}

/// Merging from the end must give the same text: with repeated lines one change can be taken for another, and then the two
/// directions disagree.
fn unambiguous(base: &str, user: &str, target: &str, merged: &str) -> bool {
    let backwards = |text: &str| -> String {
        // A last line without its newline would be glued to its neighbour when it is turned round.
        text.split_inclusive('\n').rev().map(|line| format!("{}\n", line.trim_end_matches('\n'))).collect()
    };
    diffy::merge(&backwards(base), &backwards(user), &backwards(target)).is_ok_and(|text| text == backwards(merged))
}

/// What lies between the common beginning and the common end of all three, as one conflict.
fn whole(base: &str, user: &str, target: &str, labels: &Labels) -> String {
    let lines = |text| -> Vec<&str> { str::split_inclusive(text, '\n').collect() };
    let (base, user, target) = (lines(base), lines(user), lines(target));
    let shortest = base.len().min(user.len()).min(target.len());
    let head = (0..shortest).take_while(|n| base[*n] == user[*n] && base[*n] == target[*n]).count();
    let last = |side: &[&str], n: usize| side[side.len() - 1 - n].to_owned();
    let tail = (0..shortest - head)
        .take_while(|n| last(&base, *n) == last(&user, *n) && last(&base, *n) == last(&target, *n))
        .count();
    let part = |side: &[&str]| {
        let text = side[head..side.len() - tail].concat();
        if text.is_empty() || text.ends_with('\n') { text } else { format!("{text}\n") }
    };
    [
        base[..head].concat(),
        format!("{START}{OURS}\n{}", part(&user)),
        format!("{BASE}{}\n{}", labels.base, part(&base)),
        format!("{MIDDLE}\n{}", part(&target)),
        format!("{END}{}\n", labels.target),
        base[base.len() - tail..].concat(),
    ]
    .concat()
}

/// The library's own names of the sides, replaced by ones that mean something to the reader.
fn labelled(text: &str, labels: &Labels) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.trim_end_matches('\n') {
            "<<<<<<< ours" => format!("{START}{OURS}\n"),
            "||||||| original" => format!("{BASE}{}\n", labels.base),
            ">>>>>>> theirs" => format!("{END}{}\n", labels.target),
            _ => line.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        Labels { base: "mcpkit 0.3.0".into(), target: "mcpkit 0.4.0".into() }
    }

    fn check(base: &str, user: &str, target: &str, expected: &Merged) {
        assert_eq!(merge(base, user, target, &labels()), *expected);
    }

    #[test]
    fn changes_in_different_places_are_both_taken() {
        check("a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nD\n", &Merged::Clean("A\nb\nc\nD\n".into()));
    }

    #[test]
    fn changes_in_the_same_place_are_left_between_markers_that_say_whose_they_are() {
        let text = "a\n<<<<<<< yours\nu\n||||||| mcpkit 0.3.0\nb\n=======\nt\n>>>>>>> mcpkit 0.4.0\nc\n";
        check("a\nb\nc\n", "a\nu\nc\n", "a\nt\nc\n", &Merged::Conflict(text.into()));
    }

    #[test]
    fn a_last_line_without_a_newline_is_merged_too() {
        check("a\nb\nc", "A\nb\nc", "a\nb\nC", &Merged::Clean("A\nb\nC".into()));
    }

    #[test]
    fn markers_are_seen_and_ordinary_lines_are_not() {
        let conflict = "a\n<<<<<<< yours\nu\n||||||| mcpkit 0.3.0\nb\n=======\nt\n>>>>>>> mcpkit 0.4.0\nc\n";
        assert!(has_markers(conflict));
        for line in ["<<<<<<< yours", "||||||| mcpkit 0.3.0", ">>>>>>> mcpkit 0.4.0"] {
            assert!(has_markers(&format!("a\n{line}\nb\n")), "{line} was left behind");
        }
        for text in [
            "",
            "Title\n=======\n",
            "<<<<<<< a\n",
            "=======\n>>>>>>> b\n",
            ">>>>>>> quoted\n<<<<<<< x\n",
            ">>>>>>> mcpkit is quoted\n",
        ] {
            assert!(!has_markers(text), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_merged_is_shown_without_the_lines_all_have_in_common() {
        let text = "a\n<<<<<<< yours\nu\n||||||| mcpkit 0.3.0\n=======\nt\nt\n>>>>>>> mcpkit 0.4.0\nz\n";
        assert_eq!(whole("a\nz\n", "a\nu\nz\n", "a\nt\nt\nz\n", &labels()), text);
    }
}
