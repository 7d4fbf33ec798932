//! Merging as git does: many texts, changed at random on both sides, merged here and by `git merge-file --diff3`. Where both
//! come to a text it is the same one. `MCPKIT_FUZZ` says how many texts each thread tries.

use std::fs;
use std::path::Path;
use std::process::Command;

use mcpkit::merge::{Labels, Merged, has_markers, merge};

use crate::rendered;

/// Few of them, so that they repeat.
const LINES: &[&str] = &["}", "", "    }", "a", "b", "c", "fn f() {", "x", "y"];
const THREADS: u64 = 4;

/// Marsaglia's xorshift: the same texts on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap() % limit.max(1)
    }

    fn line(&mut self) -> String {
        LINES[self.below(LINES.len())].to_owned()
    }

    /// `lines` after one to four edits.
    fn edited(&mut self, lines: &[String]) -> Vec<String> {
        let mut lines = lines.to_vec();
        for _ in 0..1 + self.below(4) {
            let start = self.below(lines.len() + 1);
            let end = (start + 1 + self.below(3)).min(lines.len());
            match self.below(6) {
                0 => drop(lines.drain(start..end)),
                1 => lines.insert(start, self.line()),
                2 => {
                    let (block, to) = (lines[start..end].to_vec(), self.below(lines.len() + 1));
                    lines.splice(to..to, block);
                }
                3 => {
                    let new: Vec<String> = (start..end).map(|_| self.line()).collect();
                    lines.splice(start..end, new);
                }
                4 => {
                    let new: Vec<String> = (0..=self.below(3)).map(|_| self.line()).collect();
                    lines.splice(start..start, new);
                }
                _ => lines[start..end].iter_mut().for_each(|line| line.push_str(" // changed")),
            }
        }
        lines
    }

    /// The lines as a text, which may lack its last newline.
    fn text(&mut self, lines: &[String]) -> String {
        let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if self.below(6) == 0 {
            text.pop();
        }
        text
    }
}

/// How often what happened.
#[derive(Debug, Default)]
struct Tally {
    both_clean: usize,
    both_conflict: usize,
    only_git_conflicts: usize,
    only_mcpkit_conflicts: usize,
}

fn labels() -> Labels {
    Labels { base: "base".to_owned(), target: "target".to_owned() }
}

/// The text that git makes, if it does so without a conflict.
fn git(folder: &Path, [base, user, target]: [&str; 3]) -> Option<String> {
    for (name, text) in [("base", base), ("user", user), ("target", target)] {
        fs::write(folder.join(name), text).unwrap();
    }
    let mut command = Command::new("git");
    command.args(["merge-file", "-p", "--diff3", "user", "base", "target"]).current_dir(folder);
    let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
    // It says how many conflicts there are.
    let conflicts = output.status.code().unwrap();
    assert!(conflicts < 128, "{}", String::from_utf8_lossy(&output.stderr));
    (conflicts == 0).then(|| String::from_utf8(output.stdout).unwrap())
}

/// `conflict` as somebody resolves it who takes the same side, counted from 0, of every conflict.
fn resolved(conflict: &str, side: usize) -> String {
    let starts = ["<<<<<<< yours", "||||||| base", "=======", ">>>>>>> target"];
    let (mut text, mut inside) = (String::new(), None);
    for line in conflict.split_inclusive('\n') {
        let expected = inside.map_or(0, |part| part + 1);
        if line.trim_end_matches('\n') == starts[expected] {
            inside = if expected == 3 { None } else { Some(expected) };
        } else if inside.is_none() || inside == Some(side) {
            text.push_str(line);
        }
    }
    assert_eq!(inside, None, "the last conflict ends: {conflict}");
    text
}

/// Every line that `side` has more often than `base` is in `text` as often.
fn assert_keeps_changes(text: &str, side: &str, base: &str) {
    let count = |text: &str, line: &str| text.lines().filter(|other| *other == line).count();
    for line in side.lines().filter(|line| count(base, line) == 0) {
        assert!(count(text, line) >= count(side, line), "{line:?} of\n{side}\nis lost in\n{text}");
    }
}

fn try_one(folder: &Path, texts: [&str; 3], tally: &mut Tally) {
    let [base, user, target] = texts;
    let told = || format!("\nbase {base:?}\nuser {user:?}\ntarget {target:?}");
    let clean = |text: &str| Merged::Clean(text.to_owned());
    assert_eq!(merge(base, base, target, &labels()), clean(target), "the owner changed nothing{}", told());
    assert_eq!(merge(base, user, base, &labels()), clean(user), "there is nothing new{}", told());
    assert_eq!(merge(base, user, user, &labels()), clean(user), "both changed alike{}", told());

    let swapped = merge(base, target, user, &labels());
    match (merge(base, user, target, &labels()), git(folder, texts)) {
        (Merged::Clean(text), git) => {
            assert_eq!(swapped, clean(&text), "the sides are equals{}", told());
            match git {
                Some(git) => {
                    assert_eq!(text, git, "git reads it alike{}", told());
                    tally.both_clean += 1;
                }
                None => tally.only_git_conflicts += 1,
            }
        }
        (Merged::Conflict(text), git) => {
            assert!(has_markers(&text), "{text}");
            assert!(matches!(swapped, Merged::Conflict(_)), "the sides are equals{}", told());
            assert_keeps_changes(&resolved(&text, 0), user, base);
            assert_keeps_changes(&resolved(&text, 2), target, base);
            match git {
                Some(_) => tally.only_mcpkit_conflicts += 1,
                None => tally.both_conflict += 1,
            }
        }
    }
}

/// Tries many texts, each of which is `base` of a random number before it is changed.
fn try_many(base: impl Fn(&mut Random) -> Vec<String> + Sync) -> Tally {
    let count: usize = std::env::var("MCPKIT_FUZZ").map_or(400, |count| count.parse().unwrap());
    let try_some = &|seed: u64| {
        let (folder, mut random, mut tally) = (tempfile::tempdir().unwrap(), Random(seed), Tally::default());
        for _ in 0..count {
            let base = base(&mut random);
            let (user, target) = (random.edited(&base), random.edited(&base));
            let texts = [&base, &user, &target].map(|lines| random.text(lines));
            try_one(folder.path(), texts.each_ref().map(String::as_str), &mut tally);
        }
        tally
    };
    std::thread::scope(|scope| {
        // Most of the time is git's own start, so there may be more threads than processors.
        let threads: Vec<_> = (1..=THREADS)
            .map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .map(|seed| scope.spawn(move || try_some(seed)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).fold(Tally::default(), |all, tally| Tally {
            both_clean: all.both_clean + tally.both_clean,
            both_conflict: all.both_conflict + tally.both_conflict,
            only_git_conflicts: all.only_git_conflicts + tally.only_git_conflicts,
            only_mcpkit_conflicts: all.only_mcpkit_conflicts + tally.only_mcpkit_conflicts,
        })
    })
}

#[test]
fn short_texts_of_few_lines_are_merged_as_git_does_or_not_at_all() {
    let tally = try_many(|random| (0..random.below(14)).map(|_| random.line()).collect());
    println!("{tally:?}");
    assert!(tally.both_clean > tally.only_mcpkit_conflicts * 5, "{tally:?}");
}

#[test]
fn generated_rust_is_merged_as_git_does_or_not_at_all() {
    let tree = rendered::tree("acme", &["--integration", "notion", "--transport", "both"]);
    let sources: Vec<&str> =
        tree.iter().filter(|(path, _)| path.as_str().ends_with(".rs")).map(|(_, entry)| entry.text.as_str()).collect();
    let tally = try_many(|random| {
        let lines: Vec<&str> = sources[random.below(sources.len())].lines().collect();
        lines.iter().skip(random.below(lines.len())).take(120).map(|line| (*line).to_owned()).collect()
    });
    println!("{tally:?}");
    assert!(tally.both_clean > tally.only_mcpkit_conflicts * 50, "{tally:?}");
}
