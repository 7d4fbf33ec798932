//! `mcpkit doctor`: what this machine lacks to build, test and deploy the project, each with its remedy. It runs other
//! programs' `--version` and the server's own `config check`, and writes nothing itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use semver::Version;

use crate::cargo_toml;
use crate::catalog::{self, Tool};
use crate::exit::Exit;
use crate::project::Project;
use crate::ui::{Report, Ui, Versions};

/// What every project is built with.
const TOOLCHAIN: &[Tool] = &[
    Tool { name: "cargo", command: &["cargo", "--version"], remedy: "install Rust: https://rustup.rs" },
    Tool { name: "rustfmt", command: &["cargo", "fmt", "--version"], remedy: "rustup component add rustfmt" },
    Tool { name: "clippy", command: &["cargo", "clippy", "--version"], remedy: "rustup component add clippy" },
    Tool {
        name: "a C compiler",
        command: &["cc", "--version"],
        remedy: "SQLite and TLS are built with it: `apt-get install gcc`, on a Mac `xcode-select --install`",
    },
    Tool { name: "git", command: &["git", "--version"], remedy: "install git: https://git-scm.com" },
];

/// One thing that was looked at.
struct Finding {
    name: String,
    /// What was found, or what to do.
    result: Result<String, Trouble>,
}

struct Trouble {
    what: String,
    remedy: String,
}

pub(super) fn run(project: &Project, ui: &Ui) -> Result<Exit> {
    let answers = &project.manifest.answers;
    let targets = answers.deploy.iter().flat_map(|target| catalog::tools(target));
    let tools: Vec<&Tool> = TOOLCHAIN.iter().chain(targets).collect();
    let root = project.root.as_path();
    // Each program takes its time to start; side by side they take that of the slowest.
    let findings: Vec<Finding> = std::thread::scope(|scope| {
        let rust = scope.spawn(|| rust(root));
        let config = scope.spawn(|| config(root, answers.name.as_str()));
        let tools: Vec<_> = tools.iter().map(|tool| scope.spawn(|| look(root, tool))).collect();
        let all = std::iter::once(rust).chain(tools).chain(std::iter::once(config));
        all.filter_map(|finding| finding.join().ok()).collect()
    });
    let troubles = findings.iter().filter(|finding| finding.result.is_err()).count();
    let exit = if troubles == 0 { Exit::Done } else { Exit::Failed };
    if ui.json {
        let version = project.manifest.version.to_string();
        let told = findings.iter().map(|finding| match &finding.result {
            Ok(found) => format!("{}: {found}", finding.name),
            Err(trouble) => format!("{}: {}", finding.name, trouble.what),
        });
        let remedies = findings.iter().filter_map(|finding| finding.result.as_ref().err());
        ui.report(&Report {
            schema: 1,
            command: "doctor",
            root: root.display().to_string(),
            version: Versions { from: Some(version.clone()), to: version },
            changes: Vec::new(),
            conflicts: Vec::new(),
            notes: told.collect(),
            next: remedies.map(|trouble| trouble.remedy.clone()).collect(),
        })?;
        return Ok(exit);
    }
    for finding in &findings {
        match &finding.result {
            Ok(found) => ui.note(&format!("  = {:20} {found}", finding.name)),
            Err(trouble) => {
                ui.warn(&format!("  ! {:20} {}", finding.name, trouble.what), &[]);
                ui.note(&format!("    {:20} hint: {}", "", trouble.remedy));
            }
        }
    }
    match troubles {
        0 => ui.done("everything is there"),
        1 => ui.note("\n1 thing to mend"),
        n => ui.note(&format!("\n{n} things to mend")),
    }
    Ok(exit)
}

/// Whether the compiler is as new as the project asks for.
fn rust(root: &Path) -> Finding {
    let text = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let wanted = cargo_toml::rust_version(&text);
    let name = "rustc".to_owned();
    let found = first_line(root, &["rustc", "--version"]);
    let version = found.as_ref().ok().and_then(|line| line.split_whitespace().nth(1)).and_then(parse);
    let result = match (found, version, wanted.as_deref().and_then(parse)) {
        (Err(_), ..) => Err(Trouble { what: "is not there".into(), remedy: "install Rust: https://rustup.rs".into() }),
        (Ok(line), Some(version), Some(wanted)) if version < wanted => Err(Trouble {
            what: format!("{line}, and Cargo.toml asks for {}.{}", wanted.major, wanted.minor),
            remedy: "rustup update stable".into(),
        }),
        (Ok(line), ..) => Ok(line),
    };
    Finding { name, result }
}

/// A version with two or three numbers.
fn parse(text: &str) -> Option<Version> {
    Version::parse(text).ok().or_else(|| Version::parse(&format!("{text}.0")).ok())
}

fn look(root: &Path, tool: &Tool) -> Finding {
    let result = first_line(root, tool.command).map_err(|what| Trouble { what, remedy: tool.remedy.to_owned() });
    Finding { name: tool.name.to_owned(), result }
}

/// The first line that a program prints about itself.
fn first_line(root: &Path, command: &[&str]) -> Result<String, String> {
    let [program, args @ ..] = command else { return Err("is not there".to_owned()) };
    let output = Command::new(program).args(args).current_dir(root).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(text.lines().next().unwrap_or_default().trim().to_owned())
        }
        Ok(_) => Err(format!("`{}` fails", command.join(" "))),
        Err(_) => Err("is not there".to_owned()),
    }
}

/// The server's own `config check`, by the newest binary that was built.
fn config(root: &Path, name: &str) -> Finding {
    let label = "config check".to_owned();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let built = ["release", "debug"].map(|profile| root.join(&target).join(profile).join(&file));
    let age = |path: &PathBuf| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(binary) = built.into_iter().filter(|path| path.is_file()).max_by_key(age) else {
        let remedy = "cargo build, then run this again".to_owned();
        return Finding { name: label, result: Err(Trouble { what: "the server is not built yet".into(), remedy }) };
    };
    let output = Command::new(&binary).args(["config", "check"]).current_dir(root).stdin(Stdio::null()).output();
    let result = match output {
        Ok(output) if output.status.success() => Ok("the configuration is good".to_owned()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = |prefix: &str| text.lines().find_map(|line| line.trim().strip_prefix(prefix)).map(str::to_owned);
            let remedy = "`cargo run -- config check` says more".to_owned();
            Err(Trouble {
                what: line("error: ").unwrap_or_else(|| "fails".to_owned()),
                remedy: line("hint: ").unwrap_or(remedy),
            })
        }
        Err(error) => Err(Trouble {
            what: format!("failed to run `{}`: {error}", binary.display()),
            remedy: "cargo build".into(),
        }),
    };
    Finding { name: label, result }
}
