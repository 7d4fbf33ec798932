//! Three texts into one: what was generated, what the owner made of it, what would be generated now. Pure.
//!
//! A merge must never be wrong in silence. Lines such as `}` repeat, and then there are several shortest ways from one text
//! to another: a new `}` may stand before the old one or behind it. A tool that picks one of these readings may pick the
//! wrong one, and two tools come to two texts. Here no reading is preferred. A line that is the same one in all of them, on
//! both sides, is an anchor. What lies between two anchors is taken from the side that changed it. Where both did, one
//! reading must keep the two changes apart, as every tool asks, and all others must come to the same text; else all three
//! versions are left between markers, as `git merge-file --diff3` writes them.

use std::collections::HashMap;
use std::ops::Range;

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

/// How many pairs of lines are compared at most, for 100 MB of memory: 5000 lines with as many others that have little in
/// common. In what is larger nothing is certain.
const MOST_PAIRS: usize = 25_000_000;
/// How many readings of one place are tried. What has more is for people.
const MOST_READINGS: usize = 64;

/// Lines of the base, the owner and the target.
type Sides<'a> = [&'a [&'a str]; 3];
/// For each line of the base, which one of a side it is.
type Reading = Vec<Option<usize>>;

/// Merges the way from `base` to `target` into `user`. Texts have LF line ends.
pub fn merge(base: &str, user: &str, target: &str, labels: &Labels) -> Merged {
    let lines = |text| -> Vec<&str> { str::split_inclusive(text, '\n').collect() };
    let (base, user, target) = (lines(base), lines(user), lines(target));
    let (mut text, mut conflict) = (String::new(), false);
    for (sides, anchor) in pieces([&base, &user, &target], &anchors(&base, &user), &anchors(&base, &target)) {
        match settled(sides).map(<[&str]>::to_vec).or_else(|| agreed(sides)) {
            Some(lines) => text.extend(lines),
            None => {
                mark(&mut text, sides, labels);
                conflict = true;
            }
        }
        text.extend(anchor);
    }
    if conflict { Merged::Conflict(text) } else { Merged::Clean(text) }
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

/// What lies between the lines that both readings keep, each with the line that follows it. The end keeps itself.
fn pieces<'a>([base, user, target]: Sides<'a>, ours: &Reading, theirs: &Reading) -> Vec<(Sides<'a>, Option<&'a str>)> {
    let mut pieces = Vec::new();
    let (mut b, mut u, mut t) = (0, 0, 0);
    let pairs = ours.iter().copied().zip(theirs.iter().copied());
    for (place, pair) in pairs.chain([(Some(user.len()), Some(target.len()))]).enumerate() {
        let (Some(our), Some(their)) = pair else { continue };
        pieces.push(([&base[b..place], &user[u..our], &target[t..their]], base.get(place).copied()));
        (b, u, t) = (place + 1, our + 1, their + 1);
    }
    pieces
}

/// What becomes of lines that one side changed at most, or both alike.
fn settled([base, user, target]: Sides<'_>) -> Option<&[&str]> {
    if user == base || user == target {
        Some(target)
    } else if target == base {
        Some(user)
    } else {
        None
    }
}

/// The text to which all readings come, if one of them keeps the two changes apart.
fn agreed<'a>([base, user, target]: Sides<'a>) -> Option<Vec<&'a str>> {
    let (ours, theirs) = (readings(base, user)?, readings(base, target)?);
    let ours: Vec<_> = ours.iter().map(|reading| edits(reading, user)).collect();
    let theirs: Vec<_> = theirs.iter().map(|reading| edits(reading, target)).collect();
    let pairs = || ours.iter().flat_map(|our| theirs.iter().map(move |their| (our, their)));
    // Where both put lines into one place their order is open.
    let blends = || pairs().map(|(our, their)| Some([blend(base, our, their)?, blend(base, their, our)?]));
    let agreed = blends().flatten().flatten().find(|blend| blend.apart)?.lines;
    let agrees = |orders: Option<[Blend<'_>; 2]>| orders.is_some_and(|two| two.iter().any(|one| one.lines == agreed));
    blends().all(agrees).then_some(agreed)
}

/// Lines of the base, and what replaces them.
type Edit<'a> = (Range<usize>, &'a [&'a str]);

/// What a reading says was done to the base. Between two edits is a line that stayed.
fn edits<'a>(reading: &Reading, side: &'a [&'a str]) -> Vec<Edit<'a>> {
    let mut edits = Vec::new();
    let (mut old, mut new) = (0, 0);
    for (place, kept) in reading.iter().copied().chain([Some(side.len())]).enumerate() {
        let Some(kept) = kept else { continue };
        if (old, new) != (place, kept) {
            edits.push((old..place, &side[new..kept]));
        }
        (old, new) = (place + 1, kept + 1);
    }
    edits
}

/// The base after the edits of both.
struct Blend<'a> {
    lines: Vec<&'a str>,
    /// Whether a line that stayed is between any edit and those of the other side.
    apart: bool,
}

/// `None`: both changed the same line, and not alike.
fn blend<'a>(base: &[&'a str], first: &[Edit<'a>], second: &[Edit<'a>]) -> Option<Blend<'a>> {
    let mut edits: Vec<&Edit<'_>> = first.iter().chain(second).collect();
    // The sort is stable: of two in one place the first side's goes first.
    edits.sort_by_key(|(lines, _)| (lines.start, lines.end));
    edits.dedup();
    let mut blend = Blend { lines: Vec::new(), apart: true };
    let mut done = None;
    for (lines, new) in edits {
        blend.apart &= done != Some(lines.start);
        blend.lines.extend(base.get(done.unwrap_or(0)..lines.start)?);
        blend.lines.extend(*new);
        done = Some(lines.end);
    }
    blend.lines.extend(&base[done.unwrap_or(0)..]);
    Some(blend)
}

/// Adds all three versions between markers.
fn mark(text: &mut String, [base, user, target]: Sides<'_>, labels: &Labels) {
    // What all three begin or end with needs no decision.
    let head = common(base, user).min(common(base, target));
    let tail = common_end(&base[head..], &user[head..]).min(common_end(&base[head..], &target[head..]));
    let parts = [
        (format!("{START}{OURS}\n"), user),
        (format!("{BASE}{}\n", labels.base), base),
        (format!("{MIDDLE}\n"), target),
    ];
    text.extend(base[..head].iter().copied());
    for (mark, side) in parts {
        text.push_str(&mark);
        text.extend(side[head..side.len() - tail].iter().copied());
        // The last line of a text may lack its newline, and a marker has a line of its own.
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text.push_str(&format!("{END}{}\n", labels.target));
    text.extend(base[base.len() - tail..].iter().copied());
}

/// The lines that are the same in every reading.
fn anchors(base: &[&str], side: &[&str]) -> Reading {
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    base.iter().for_each(|line| counts.entry(line).or_default().0 += 1);
    side.iter().for_each(|line| counts.entry(line).or_default().1 += 1);
    // All up to a line that both have once, behind the same lines, is certain without comparing every pair; so is all from
    // such a line to the end.
    let unique = |line: &&str| counts.get(line) == Some(&(1, 1));
    let head = base[..common(base, side)].iter().rposition(unique).map_or(0, |place| place + 1);
    let (base_rest, side_rest) = (&base[head..], &side[head..]);
    let same = common_end(base_rest, side_rest);
    let tail = base_rest[base_rest.len() - same..].iter().position(unique).map_or(0, |place| same - place);

    let mut anchors: Reading = (0..head).map(Some).collect();
    let middle = certain(&base_rest[..base_rest.len() - tail], &side_rest[..side_rest.len() - tail]);
    anchors.extend(middle.into_iter().map(|place| place.map(|place| head + place)));
    anchors.extend((side.len() - tail..side.len()).map(Some));
    anchors
}

/// The same, by comparing every pair of lines.
fn certain(base: &[&str], side: &[&str]) -> Reading {
    let Some(after) = Kept::count(base, side) else { return vec![None; base.len()] };
    let most = after.at(0, 0);
    let mut anchors = Vec::with_capacity(base.len());
    // How many lines `base[..i]` and `side[..j]` can keep of each other, for every j.
    let mut before = vec![0; side.len() + 1];
    for (i, line) in base.iter().enumerate() {
        // The readings are the ways that keep most. Some go through this line, and some may go without it.
        let through = |j: &usize| side[*j] == *line && before[*j] + 1 + after.at(i + 1, j + 1) == most;
        let mut places = (0..side.len()).filter(through);
        let without = (0..=side.len()).any(|j| before[j] + after.at(i + 1, j) == most);
        anchors.push(match (places.next(), places.next()) {
            (Some(place), None) if !without => Some(place),
            _ => None,
        });
        let mut next = vec![0; side.len() + 1];
        for j in 0..side.len() {
            next[j + 1] = if side[j] == *line { before[j] + 1 } else { before[j + 1].max(next[j]) };
        }
        before = next;
    }
    anchors
}

/// All readings. `None`: there are too many.
fn readings(base: &[&str], side: &[&str]) -> Option<Vec<Reading>> {
    let after = Kept::count(base, side)?;
    // Each with the first line of `side` that it has not passed.
    let mut found: Vec<(Reading, usize)> = vec![(Reading::new(), 0)];
    for (i, line) in base.iter().enumerate() {
        let mut longer = Vec::new();
        for (reading, passed) in found {
            let most = after.at(i, passed);
            let through = |j: &usize| side[*j] == *line && after.at(i + 1, j + 1) + 1 == most;
            let places = (passed..side.len()).filter(through).map(|j| (Some(j), j + 1));
            let without = (after.at(i + 1, passed) == most).then_some((None, passed));
            longer.extend(places.chain(without).map(|(place, passed)| ([&reading[..], &[place]].concat(), passed)));
        }
        if longer.len() > MOST_READINGS {
            return None;
        }
        found = longer;
    }
    Some(found.into_iter().map(|(reading, _)| reading).collect())
}

/// How many lines `base[i..]` and `side[j..]` can keep of each other, for every i and j.
struct Kept {
    counts: Vec<u32>,
    width: usize,
}

impl Kept {
    fn count(base: &[&str], side: &[&str]) -> Option<Self> {
        let width = side.len() + 1;
        if base.len().saturating_mul(width) > MOST_PAIRS {
            return None;
        }
        let mut counts = vec![0; (base.len() + 1) * width];
        for i in (0..base.len()).rev() {
            for j in (0..side.len()).rev() {
                let (here, below) = (i * width + j, (i + 1) * width + j);
                counts[here] =
                    if base[i] == side[j] { counts[below + 1] + 1 } else { counts[below].max(counts[here + 1]) };
            }
        }
        Some(Self { counts, width })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.counts[i * self.width + j]
    }
}

/// How many lines two texts have in common at their beginning.
fn common(one: &[&str], other: &[&str]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The same at their end.
fn common_end(one: &[&str], other: &[&str]) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count()
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
    fn a_function_behind_one_whose_last_line_changed_is_taken_although_its_brace_could_be_either() {
        let (base, user) = ("fn a() {\n    1\n}\n", "fn a() {\n    2\n}\n");
        let target = "fn a() {\n    1\n}\n\nfn b() {\n    3\n}\n";
        check(base, user, target, &Merged::Clean("fn a() {\n    2\n}\n\nfn b() {\n    3\n}\n".into()));
    }

    /// It may be the second `x` that is gone, and then its change has nowhere to go.
    #[test]
    fn a_change_of_what_the_other_side_may_have_removed_is_a_conflict() {
        let text = "a\nx\n<<<<<<< yours\n||||||| mcpkit 0.3.0\nb\nx\n=======\nb\ny\n>>>>>>> mcpkit 0.4.0\nc\n";
        check("a\nx\nb\nx\nc\n", "a\nx\nc\n", "a\nx\nb\ny\nc\n", &Merged::Conflict(text.into()));
    }

    #[test]
    fn markers_have_lines_of_their_own_behind_a_last_line_without_a_newline() {
        let text = "a\n<<<<<<< yours\nu\n||||||| mcpkit 0.3.0\nb\n=======\nt\n>>>>>>> mcpkit 0.4.0\n";
        check("a\nb", "a\nu", "a\nt", &Merged::Conflict(text.into()));
    }

    #[test]
    fn texts_too_large_to_compare_are_a_conflict_only_if_both_changed() {
        let many = |word: &str| -> String { (0..5001).map(|n| format!("{word} {n}\n")).collect() };
        let (base, user, target) = (many("b"), many("u"), many("t"));
        check(&base, &user, &base, &Merged::Clean(user.clone()));
        assert!(matches!(merge(&base, &user, &target, &labels()), Merged::Conflict(_)));
    }
}
