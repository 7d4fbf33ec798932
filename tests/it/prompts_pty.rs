//! The questions on a real terminal: a pseudo-terminal in front of the real binary.

use std::path::Path;
use std::process::{Command, Stdio};

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use crate::grown::Grown;
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
    on_terminal(command)
}

fn on_terminal(mut command: Command) -> Command {
    command.stdin(Stdio::inherit()).env("TERM", "xterm-256color");
    command
}

/// Adds to a project on a terminal of its own.
fn add(grown: &Grown, args: &[&str]) -> PtySession {
    spawn_command(adding(grown, args), PATIENCE).unwrap()
}

fn adding(grown: &Grown, args: &[&str]) -> Command {
    let mut command = mcpkit();
    command.current_dir(grown.path(".")).args(args);
    on_terminal(command)
}

/// Runs `command` on a terminal and presses Ctrl-C when the last line of its first question is shown.
pub fn is_cancelled_with_the_cursor_shown(command: Command, last: &str) {
    let mut session = spawn_command(on_terminal(command), PATIENCE).unwrap();
    session.exp_string(HIDE_CURSOR).unwrap();
    session.exp_string(last).unwrap();
    press(&mut session, CTRL_C);
    let (rest, code) = end(session);
    assert!(rest.contains(SHOW_CURSOR), "{rest:?}");
    assert_eq!(code, 130);
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

/// The rest of the output of a run that succeeds.
fn done(session: PtySession) -> String {
    let (rest, code) = end(session);
    assert_eq!(code, 0, "{rest}");
    rest
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

    let rest = done(session);
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
    let rest = done(session);
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

// Adding to a project.

/// The line of the list on which `an API of my own` stands, from the top.
const OWN: usize = mcpkit::catalog::PROVIDERS.len();

#[test]
fn an_integration_is_chosen_from_the_list() {
    let grown = Grown::new(&[]);
    let mut session = add(&grown, &["add-integration"]);
    session.exp_string("which upstream?").unwrap();
    session.exp_string("an API of my own").unwrap();
    let slack = mcpkit::catalog::ids(mcpkit::catalog::PROVIDERS).position(|id| id == "slack").unwrap();
    press(&mut session, &format!("{}\r", DOWN.repeat(slack)));
    let rest = done(session);
    assert!(rest.contains("added `slack`: 6 created, 2 changed"), "{rest}");
    let other = Grown::new(&[]);
    other.must(&["add-integration", "slack"]);
    assert_eq!(grown.disk(), other.disk());
}

#[test]
fn a_second_one_of_a_kind_is_asked_for_a_name_until_it_fits() {
    let grown = Grown::new(&[]);
    let mut session = add(&grown, &["add-integration"]);
    session.exp_string("an API of my own").unwrap();
    let notion = mcpkit::catalog::ids(mcpkit::catalog::PROVIDERS).position(|id| id == "notion").unwrap();
    press(&mut session, &format!("{}\r", DOWN.repeat(notion)));
    session.exp_string("there is a `notion` already; what is this one called?").unwrap();
    session.exp_string("notion_2").unwrap();
    press(&mut session, "notion\r");
    session.exp_string("`notion` is taken").unwrap();
    press(&mut session, &"\u{7f}".repeat("notion".len()));
    press(&mut session, "My Wiki\r");
    session.exp_string("try `my-wiki`").unwrap();
    press(&mut session, &"\u{7f}".repeat("My Wiki".len()));
    press(&mut session, "wiki\r");
    let rest = done(session);
    assert!(rest.contains("added `wiki`"), "{rest}");
    assert!(grown.path("src/integrations/wiki/mod.rs").is_file());
}

#[test]
fn an_api_of_ones_own_is_added_after_its_name_and_its_shape() {
    let grown = Grown::new(&[]);
    let mut session = add(&grown, &["add-integration"]);
    session.exp_string("an API of my own").unwrap();
    press(&mut session, &format!("{}\r", DOWN.repeat(OWN)));
    session.exp_string("what is your API called?").unwrap();
    session.exp_string("acme-crm").unwrap();
    press(&mut session, "type\r");
    session.exp_string("it is a keyword of Rust; try `type-api`").unwrap();
    press(&mut session, &"\u{7f}".repeat("type".len()));
    press(&mut session, "shop\r");
    session.exp_string("how does it authenticate?").unwrap();
    session.exp_string("restli").unwrap();
    press(&mut session, "\r");
    done(session);
    let other = Grown::new(&[]);
    other.must(&["add-integration", "shop", "--auth", "api-key"]);
    assert_eq!(grown.disk(), other.disk());
}

#[test]
fn a_target_is_chosen_from_the_list_and_then_there_is_nothing_to_ask() {
    let grown = Grown::new(&[]);
    let mut session = add(&grown, &["add-deploy"]);
    session.exp_string("where will it run?").unwrap();
    session.exp_string("Docker Compose").unwrap();
    press(&mut session, " \r");
    let rest = done(session);
    assert!(rest.contains("added `compose`"), "{rest}");
    assert!(grown.path("deploy/compose/compose.yaml").is_file());
}

#[test]
fn no_target_is_a_choice_too() {
    let grown = Grown::new(&[]);
    let before = grown.disk();
    let mut session = add(&grown, &["add-deploy"]);
    session.exp_string("Docker Compose").unwrap();
    press(&mut session, "\r");
    let rest = done(session);
    assert!(rest.contains("nothing to do: no target was chosen"), "{rest}");
    assert_eq!(grown.disk(), before);
}

#[test]
fn ctrl_c_at_any_question_of_adding_leaves_the_project_as_it_was() {
    let grown = Grown::new(&[]);
    let before = grown.disk();
    is_cancelled_with_the_cursor_shown(adding(&grown, &["add-integration"]), "an API of my own");
    is_cancelled_with_the_cursor_shown(adding(&grown, &["add-deploy"]), "Docker Compose");
    is_cancelled_with_the_cursor_shown(adding(&grown, &["add-integration", "own-api"]), "restli");
    let mut session = add(&grown, &["add-integration"]);
    session.exp_string("an API of my own").unwrap();
    press(&mut session, &format!("{}\r", DOWN.repeat(OWN)));
    session.exp_string("what is your API called?").unwrap();
    press(&mut session, "ab");
    session.exp_string("ab").unwrap();
    press(&mut session, CTRL_C);
    let (_, code) = end(session);
    assert_eq!(code, 130);
    assert_eq!(grown.disk(), before);
}

#[test]
fn adding_asks_nothing_with_yes_or_on_a_build_server() {
    let grown = Grown::new(&[]);
    let before = grown.disk();
    for (args, ci) in [(&["--yes"] as &[&str], ""), (&[], "true")] {
        for (verb, error) in [
            ("add-integration", "error: nothing says what to add"),
            ("add-deploy", "error: nothing says where to deploy to"),
        ] {
            let mut command = adding(&grown, &[&[verb], args].concat());
            command.env("CI", ci);
            let (output, code) = end(spawn_command(command, PATIENCE).unwrap());
            assert!(output.starts_with(error) && code == 1, "{code} {output}");
        }
        let mut command = adding(&grown, &[&["add-integration", "notion"], args].concat());
        command.env("CI", ci);
        let (output, code) = end(spawn_command(command, PATIENCE).unwrap());
        assert!(output.starts_with("nothing to do: `notion` is there already") && code == 0, "{code} {output}");
    }
    assert_eq!(grown.disk(), before);
}

#[test]
fn a_target_that_nothing_could_reach_is_refused_before_it_is_asked_for() {
    let grown = Grown::new(&["--transport", "stdio"]);
    let (output, code) = end(add(&grown, &["add-deploy"]));
    assert!(output.starts_with("error: a server that speaks only stdio cannot be deployed") && code == 1, "{output}");
}
