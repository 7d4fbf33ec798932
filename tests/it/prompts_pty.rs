//! The questions on a real terminal: a pseudo-terminal in front of the real binary.

use std::path::Path;
use std::process::{Command, Stdio};

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use crate::support::mcpkit;
use crate::{disk, rendered};

const SHOW_CURSOR: &str = "\u{1b}[?25h";
const HIDE_CURSOR: &str = "\u{1b}[?25l";
const CTRL_C: &str = "\u{3}";
const DOWN: &str = "\u{1b}[B";

/// Only a hang takes this long.
const PATIENCE: Option<u64> = Some(60_000);

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = mcpkit();
    command.current_dir(folder).args(["new", "acme", "--no-git"]).args(args);
    command.stdin(Stdio::inherit()).env("TERM", "xterm-256color");
    command
}

/// `mcpkit new` on a terminal of its own.
fn start(folder: &Path, args: &[&str]) -> PtySession {
    spawn_command(command(folder, args), PATIENCE).unwrap()
}

fn press(session: &mut PtySession, keys: &str) {
    session.send(keys).unwrap();
    session.flush().unwrap();
}

/// The rest of the output and the exit code.
fn end(mut session: PtySession) -> (String, i32) {
    let rest = session.exp_eof().unwrap();
    match session.process().wait().unwrap() {
        WaitStatus::Exited(_, code) => (rest, code),
        other => panic!("{other:?}\n{rest}"),
    }
}

#[test]
fn an_api_of_ones_own_is_asked_for_until_its_name_fits() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = start(folder.path(), &[]);

    session.exp_string("which upstreams?").unwrap();
    session.exp_string("an API of my own").unwrap();
    // Notion is marked at first: away with it, and the last line instead.
    press(&mut session, &format!("{} {} \r", DOWN.repeat(5), DOWN.repeat(4)));

    session.exp_string("what is your API called?").unwrap();
    session.exp_string("acme-crm").unwrap();
    press(&mut session, "Acme CRM\r");
    session.exp_string("`Acme CRM` is not a name for an integration").unwrap();
    session.exp_string("try `acme-crm`").unwrap();
    // The text stays to be edited.
    press(&mut session, &"\u{7f}".repeat("Acme CRM".len()));
    press(&mut session, "shop\r");

    session.exp_string("how does it authenticate?").unwrap();
    session.exp_string("restli").unwrap();
    press(&mut session, "\r");

    session.exp_string("how do clients reach the server?").unwrap();
    session.exp_string("stdio only").unwrap();
    press(&mut session, &format!("{DOWN}\r"));

    session.exp_string("where will it run?").unwrap();
    session.exp_string("compose").unwrap();
    press(&mut session, " \r");

    let (rest, code) = end(session);
    assert_eq!(code, 0, "{rest}");
    let flags = ["--api", "shop", "--auth", "api-key", "--transport", "http", "--deploy", "compose"];
    assert!(rest.contains(&format!("mcpkit new acme {} --no-git --yes", flags.join(" "))), "{rest}");
    for (path, entry) in rendered::whole("acme", &flags).iter() {
        let written = std::fs::read_to_string(path.under(&folder.path().join("acme"))).unwrap();
        assert_eq!(written, entry.text, "{path}");
    }
}

#[test]
fn enter_takes_the_default_of_every_question() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = start(folder.path(), &[]);
    // A question and the last thing that is shown of it.
    let questions = [
        ("which upstreams?", "an API of my own"),
        ("how do clients reach the server?", "stdio only"),
        ("where will it run?", "Docker Compose"),
    ];
    for (question, last) in questions {
        session.exp_string(question).unwrap();
        session.exp_string(last).unwrap();
        press(&mut session, "\r");
    }
    let (rest, code) = end(session);
    assert_eq!(code, 0, "{rest}");
    assert!(rest.contains("mcpkit new acme --integration notion --transport both --no-git --yes"), "{rest}");
}

#[test]
fn ctrl_c_at_a_question_shows_the_cursor_again_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = start(folder.path(), &[]);
    session.exp_string(HIDE_CURSOR).unwrap();
    session.exp_string("an API of my own").unwrap();
    press(&mut session, CTRL_C);
    let (rest, code) = end(session);
    assert!(rest.contains(SHOW_CURSOR), "{rest:?}");
    assert_eq!(code, 130);
    assert_eq!(disk::names(folder.path()), [""; 0]);
}

#[test]
fn ctrl_c_while_a_text_is_typed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = start(folder.path(), &[]);
    session.exp_string("an API of my own").unwrap();
    press(&mut session, &format!("{} \r", DOWN.repeat(9)));
    session.exp_string("what is your API called?").unwrap();
    press(&mut session, "ab");
    session.exp_string("ab").unwrap();
    press(&mut session, CTRL_C);
    let (_, code) = end(session);
    assert_eq!(code, 130);
    assert_eq!(disk::names(folder.path()), [""; 0]);
}

#[test]
fn nothing_is_asked_with_yes_or_on_a_build_server() {
    for (args, ci) in [(&["--yes"] as &[&str], ""), (&[], "true")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(folder.path(), args);
        command.env("CI", ci);
        let (output, code) = end(spawn_command(command, PATIENCE).unwrap());
        assert_eq!(code, 0, "{output}");
        assert!(output.starts_with("made `acme`"), "{output}");
    }
}
