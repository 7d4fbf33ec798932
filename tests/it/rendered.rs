//! Answers and trees without a process: flags in, what would be written out.

use std::collections::BTreeMap;

use clap::Parser as _;
use mcpkit::answers::Answers;
use mcpkit::cli::{Cli, Command, New};
use mcpkit::name::ProjectName;
use mcpkit::prompt::Never;
use mcpkit::templates::Templates;
use mcpkit::tree::Tree;
use mcpkit::{ladder, lock, render};

/// `mcpkit new` with these arguments, parsed.
pub fn new(args: &[&str]) -> New {
    let cli = Cli::try_parse_from(["mcpkit", "new"].iter().chain(args)).unwrap();
    match cli.command {
        Command::New(new) => new,
        other => panic!("{other:?} is not `new`"),
    }
}

/// The answers that `flags` give a project called `name`.
pub fn answers(name: &str, flags: &[&str]) -> Answers {
    let raw = ladder::climb(&new(flags), &BTreeMap::new(), &mut Never).unwrap();
    Answers::check(ProjectName::parse(name).unwrap(), &raw).unwrap()
}

/// The project as its templates make it.
pub fn tree(name: &str, flags: &[&str]) -> Tree {
    render::render(&Templates::embedded(), &answers(name, flags)).unwrap()
}

/// The project as it is written, with its lock and base.
pub fn whole(name: &str, flags: &[&str]) -> Tree {
    lock::with_bookkeeping(&tree(name, flags), &Templates::embedded().version).unwrap()
}
