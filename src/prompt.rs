//! Questions. The only module that knows dialoguer.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use anyhow::Result;
use dialoguer::theme::ColorfulTheme;
use dialoguer::{Input, MultiSelect, Select};

use crate::cli::Global;
use crate::exit::Cancelled;
use crate::interrupt;

/// Somebody who can be asked, or not.
pub trait Prompter {
    /// Whether there is anybody to ask.
    fn can_ask(&self) -> bool;
    /// One of `options`; the first is the default.
    fn select(&mut self, question: &str, options: &[String]) -> Result<usize>;
    /// Any number of `options`; those in `chosen` are marked at first.
    fn multi_select(&mut self, question: &str, options: &[String], chosen: &[usize]) -> Result<Vec<usize>>;
    /// A text that `check` accepts; asked again until it does.
    fn input(&mut self, question: &str, default: &str, check: &dyn Fn(&str) -> Result<(), String>) -> Result<String>;
}

/// The person at the terminal.
pub struct Tty;

/// Whom to ask. Without a terminal, nobody: a build server must not hang at a question.
pub fn of(global: &Global, environment: &BTreeMap<String, String>) -> Box<dyn Prompter> {
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let ci = environment.get("CI").is_some_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
    if terminal && !global.yes && !ci {
        interrupt::install();
        Box::new(Tty)
    } else {
        Box::new(Never)
    }
}

/// On Ctrl-C the terminal library both raises the signal and returns: whichever comes first shows the cursor again.
fn cancelled(error: dialoguer::Error) -> anyhow::Error {
    let dialoguer::Error::IO(error) = error;
    let _ = console::Term::stderr().show_cursor();
    match error.kind() {
        std::io::ErrorKind::Interrupted => Cancelled.into(),
        _ => anyhow::Error::new(error).context("failed to ask on the terminal"),
    }
}

impl Prompter for Tty {
    fn can_ask(&self) -> bool {
        true
    }

    fn select(&mut self, question: &str, options: &[String]) -> Result<usize> {
        let theme = ColorfulTheme::default();
        let prompt = Select::with_theme(&theme).with_prompt(question).items(options).default(0);
        prompt.interact().map_err(cancelled)
    }

    fn multi_select(&mut self, question: &str, options: &[String], chosen: &[usize]) -> Result<Vec<usize>> {
        let theme = ColorfulTheme::default();
        let marks: Vec<bool> = (0..options.len()).map(|n| chosen.contains(&n)).collect();
        let prompt = MultiSelect::with_theme(&theme).with_prompt(question).items(options).defaults(&marks);
        prompt.interact().map_err(cancelled)
    }

    fn input(&mut self, question: &str, default: &str, check: &dyn Fn(&str) -> Result<(), String>) -> Result<String> {
        let theme = ColorfulTheme::default();
        let prompt = Input::<String>::with_theme(&theme)
            .with_prompt(question)
            .default(default.to_owned())
            .validate_with(|text: &String| check(text));
        prompt.interact_text().map_err(cancelled)
    }
}

/// Nobody: no terminal, or `--yes`. What is not said has its default.
pub struct Never;

impl Prompter for Never {
    fn can_ask(&self) -> bool {
        false
    }

    fn select(&mut self, _: &str, _: &[String]) -> Result<usize> {
        Ok(0)
    }

    fn multi_select(&mut self, _: &str, _: &[String], chosen: &[usize]) -> Result<Vec<usize>> {
        Ok(chosen.to_vec())
    }

    fn input(&mut self, _: &str, default: &str, _: &dyn Fn(&str) -> Result<(), String>) -> Result<String> {
        Ok(default.to_owned())
    }
}
