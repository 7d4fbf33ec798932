//! mcpkit inside the test's own process, with whatever templates the test brings.

use std::path::Path;

use clap::Parser as _;
use mcpkit::cli::Cli;
use mcpkit::exit::Exit;
use mcpkit::templates::Templates;
use mcpkit::ui::{Captured, Ui};

/// Runs `mcpkit -C root args…` and returns what it printed. Nothing is asked.
pub fn run(templates: &Templates, root: &Path, args: &[&str]) -> (Exit, Captured) {
    let start = ["mcpkit", "--yes", "-C", root.to_str().unwrap()];
    let cli = Cli::try_parse_from(start.iter().chain(args)).unwrap();
    let ui = Ui::capturing(&cli.global);
    let exit = mcpkit::run_with(cli, &ui, templates);
    (exit, ui.captured())
}

/// The same, and it succeeds.
pub fn must(templates: &Templates, root: &Path, args: &[&str]) -> Captured {
    let (exit, captured) = run(templates, root, args);
    assert_eq!(exit, Exit::Done, "{args:?}\n{}\n{}", captured.stdout, captured.stderr);
    captured
}

/// Makes a project at `root`, without a repository.
pub fn new(templates: &Templates, root: &Path, flags: &[&str]) {
    let start = ["mcpkit", "--yes", "new", root.to_str().unwrap(), "--no-git"];
    let cli = Cli::try_parse_from(start.iter().chain(flags)).unwrap();
    let ui = Ui::capturing(&cli.global);
    assert_eq!(mcpkit::run_with(cli, &ui, templates), Exit::Done, "{flags:?}\n{}", ui.captured().stderr);
}
