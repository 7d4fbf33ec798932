//! The ladder of answers, asked through a scripted person: what is said is not asked, and at most five questions are.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};
use mcpkit::answers::Raw;
use mcpkit::ladder::climb;
use mcpkit::prompt::Prompter;

use crate::rendered::new;

/// Answers by number or text, in order; `questions` has what was asked.
struct Script {
    answers: VecDeque<Answer>,
    questions: Vec<String>,
}

enum Answer {
    Select(usize),
    Several(&'static [usize]),
    Text(&'static str),
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: answers.into_iter().collect(), questions: Vec::new() }
    }

    fn next(&mut self, question: &str) -> Result<Answer> {
        self.questions.push(question.to_owned());
        match self.answers.pop_front() {
            Some(answer) => Ok(answer),
            None => bail!("nobody answers `{question}`"),
        }
    }
}

impl Prompter for Script {
    fn can_ask(&self) -> bool {
        true
    }

    fn select(&mut self, question: &str, options: &[String]) -> Result<usize> {
        match self.next(question)? {
            Answer::Select(n) if n < options.len() => Ok(n),
            _ => bail!("`{question}` wants one of {options:?}"),
        }
    }

    fn multi_select(&mut self, question: &str, options: &[String], _: &[usize]) -> Result<Vec<usize>> {
        match self.next(question)? {
            Answer::Several(several) if several.iter().all(|n| *n < options.len()) => Ok(several.to_vec()),
            _ => bail!("`{question}` wants some of {options:?}"),
        }
    }

    /// As dialoguer does: a text that does not fit is asked for again.
    fn input(&mut self, question: &str, _: &str, check: &dyn Fn(&str) -> Result<(), String>) -> Result<String> {
        loop {
            match self.next(question)? {
                Answer::Text(text) => match check(text) {
                    Ok(()) => return Ok(text.to_owned()),
                    Err(message) => self.questions.push(message),
                },
                _ => bail!("`{question}` wants a text"),
            }
        }
    }
}

const UPSTREAMS: &str = "which upstreams? (space chooses, enter goes on)";
const API: &str = "what is your API called?";
const AUTH: &str = "how does it authenticate?";
const TRANSPORT: &str = "how do clients reach the server?";
const DEPLOY: &str = "where will it run? (none is fine for now)";

/// Climbs with `flags` and `environment`, asking `script`; the answers and the questions.
fn ask(flags: &[&str], environment: &[(&str, &str)], script: impl IntoIterator<Item = Answer>) -> (Raw, Vec<String>) {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut script = Script::new(script);
    let raw = climb(&new(flags), &environment, &mut script).unwrap();
    assert!(script.answers.is_empty(), "all answers were asked for: {:?}", script.questions);
    (raw, script.questions)
}

/// Lines of the first question.
const NOTION: usize = 5;
const OWN: usize = 9;

fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn a_provider_takes_three_questions_in_this_order() {
    let script = [Answer::Several(&[NOTION]), Answer::Select(1), Answer::Several(&[0])];
    let (raw, questions) = ask(&["acme"], &[], script);
    assert_eq!(questions, [UPSTREAMS, TRANSPORT, DEPLOY]);
    let expected = Raw {
        integrations: texts(&["notion"]),
        transport: Some("http".to_owned()),
        deploy: texts(&["compose"]),
        ..Raw::default()
    };
    assert_eq!(raw, expected);
}

#[test]
fn an_api_of_ones_own_takes_five_questions_at_most() {
    let script = [
        Answer::Several(&[NOTION, OWN]),
        Answer::Text("acme-crm"),
        Answer::Select(1),
        Answer::Select(0),
        Answer::Several(&[]),
    ];
    let (raw, questions) = ask(&["acme"], &[], script);
    assert_eq!(questions, [UPSTREAMS, API, AUTH, TRANSPORT, DEPLOY]);
    let expected = Raw {
        integrations: texts(&["notion"]),
        api: Some("acme-crm".to_owned()),
        auth: Some("oauth2-refresh".to_owned()),
        transport: Some("both".to_owned()),
        deploy: texts(&[]),
        ..Raw::default()
    };
    assert_eq!(raw, expected);
}

#[test]
fn a_name_that_does_not_fit_is_asked_for_again_with_one_that_does() {
    let script = [
        Answer::Several(&[OWN]),
        Answer::Text("Acme"),
        Answer::Text("acme"),
        Answer::Select(0),
        Answer::Select(0),
        Answer::Several(&[]),
    ];
    let (raw, questions) = ask(&["acme"], &[], script);
    let message = "`Acme` is not a name for an integration: lower-case letters, digits and single hyphens, a letter \
                   first, at most 32; try `acme`";
    assert_eq!(questions, [UPSTREAMS, API, message, API, AUTH, TRANSPORT, DEPLOY]);
    assert_eq!(raw.api.as_deref(), Some("acme"));
}

#[test]
fn what_a_flag_says_is_not_asked() {
    let flags = ["acme", "--integration", "notion", "--transport", "http", "--deploy", "compose"];
    assert_eq!(ask(&flags, &[], []).1, [""; 0]);
    assert_eq!(ask(&flags[..5], &[], [Answer::Several(&[])]).1, [DEPLOY]);
    assert_eq!(ask(&flags[..3], &[], [Answer::Select(0), Answer::Several(&[])]).1, [TRANSPORT, DEPLOY]);
}

#[test]
fn what_the_environment_says_is_not_asked() {
    let environment = [("MCPKIT_INTEGRATIONS", "notion"), ("MCPKIT_TRANSPORT", "http"), ("MCPKIT_DEPLOY", "compose")];
    let (raw, questions) = ask(&["acme"], &environment, []);
    assert_eq!(questions, [""; 0]);
    assert_eq!(raw.integrations, texts(&["notion"]));
}

#[test]
fn what_the_answers_file_says_is_not_asked() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "integrations: [notion]\ntransport: both\ndeploy: []\n").unwrap();
    let (raw, questions) = ask(&["acme", "--answers", file.path().to_str().unwrap()], &[], []);
    assert_eq!(questions, [""; 0]);
    assert_eq!(raw.deploy, texts(&[]), "`deploy: []` is an answer: nowhere");
}

#[test]
fn a_server_that_speaks_only_stdio_is_not_asked_where_it_runs() {
    let (raw, questions) = ask(&["acme", "--integration", "notion"], &[], [Answer::Select(2)]);
    assert_eq!(questions, [TRANSPORT]);
    assert_eq!((raw.transport.as_deref(), raw.deploy), (Some("stdio"), None));
}

#[test]
fn an_empty_variable_says_nothing() {
    let environment = [("MCPKIT_TRANSPORT", ""), ("MCPKIT_INTEGRATIONS", "")];
    let (_, questions) =
        ask(&["acme", "--deploy", "compose"], &environment, [Answer::Several(&[NOTION]), Answer::Select(0)]);
    assert_eq!(questions, [UPSTREAMS, TRANSPORT]);
}
