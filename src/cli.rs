//! What can be typed. No logic.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::catalog::{self, Item};

/// Scaffold production MCP servers in Rust.
#[derive(Debug, Parser)]
#[command(name = "mcpkit", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Global {
    /// Run as if started in this folder
    #[arg(short = 'C', global = true, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
    /// Ask nothing; take the default where no answer is given
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Show what would be written, and write nothing
    #[arg(short = 'n', long, global = true)]
    pub dry_run: bool,
    /// Show what is written as unified diffs
    #[arg(long, global = true)]
    pub diff: bool,
    /// Report as one JSON object on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// List every file
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new project
    New(New),
    /// Add an integration to a project
    AddIntegration(AddIntegration),
    /// Add places to deploy to
    AddDeploy(AddDeploy),
    /// Bring newer templates into a project, and keep what was changed in it
    Update(Update),
    /// Find managed files that are not as they were generated
    Check,
    /// Take managed files out of `check`: they are yours from now on
    Keep {
        /// Paths or patterns, such as `kit/core/src/limit` or `kit/**`
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
        /// Write although there are uncommitted changes in what is written
        #[arg(long)]
        allow_dirty: bool,
    },
    /// Show what was changed since the project was generated
    Diff {
        /// These paths or patterns only
        #[arg(value_name = "PATH")]
        paths: Vec<String>,
    },
    /// Look for what this machine lacks to build, test and deploy the project
    Doctor,
    /// List what a project can be made of
    List {
        /// One list only
        #[arg(value_enum)]
        what: Option<Listing>,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder
        folder: PathBuf,
    },
}

/// `mcpkit new`.
#[derive(Debug, Default, Args)]
pub struct New {
    /// Name of the project, or a path that ends in it
    #[arg(value_name = "NAME|PATH")]
    pub path: Option<String>,
    /// A provider to integrate, under its own name or as PROVIDER=NAME; give it again for more
    #[arg(long, value_name = "PROVIDER", value_parser = Suggest(catalog::PROVIDERS))]
    pub integration: Vec<String>,
    /// Integrate an API of your own under this name; needs `--auth`
    #[arg(long, value_name = "NAME")]
    pub api: Option<String>,
    /// How that API authenticates
    #[arg(long, value_name = "SHAPE", value_parser = Suggest(catalog::SHAPES))]
    pub auth: Option<String>,
    /// How clients reach the server: stdio, http or both
    #[arg(long, value_name = "TRANSPORT", value_parser = Suggest(catalog::TRANSPORTS))]
    pub transport: Option<String>,
    /// A place to deploy to; give it again for more
    #[arg(long, value_name = "TARGET", value_parser = Suggest(catalog::TARGETS))]
    pub deploy: Vec<String>,
    /// A YAML file with answers
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// A value that nobody asks for, such as `base_url=https://api.acme.com`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write into the current folder instead of a new one
    #[arg(long)]
    pub here: bool,
    /// Make no git repository
    #[arg(long)]
    pub no_git: bool,
}

/// `mcpkit add-integration`.
#[derive(Debug, Default, Args)]
pub struct AddIntegration {
    /// A provider, or with `--auth` the name of an API of your own
    #[arg(value_name = "PROVIDER|NAME", value_parser = Suggest(catalog::PROVIDERS))]
    pub what: Option<String>,
    /// Name of the integration in this project, where the provider's own is taken
    #[arg(long, value_name = "INSTANCE", conflicts_with = "auth")]
    pub name: Option<String>,
    /// How an API of your own authenticates
    #[arg(long, value_name = "SHAPE", value_parser = Suggest(catalog::SHAPES))]
    pub auth: Option<String>,
    /// A value that nobody asks for, such as `base_url=https://api.acme.com`
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write although there are uncommitted changes in what is written
    #[arg(long)]
    pub allow_dirty: bool,
}

/// `mcpkit add-deploy`.
#[derive(Debug, Default, Args)]
pub struct AddDeploy {
    /// The targets
    #[arg(value_name = "TARGET", value_parser = Suggest(catalog::TARGETS))]
    pub targets: Vec<String>,
    /// Write although there are uncommitted changes in what is written
    #[arg(long)]
    pub allow_dirty: bool,
}

/// `mcpkit update`.
#[derive(Debug, Default, Args)]
pub struct Update {
    /// Leave these files as you have them; give it again for more
    #[arg(long, value_name = "GLOB")]
    pub ours: Vec<String>,
    /// Make these files what mcpkit generates, whatever they are now; give it again for more
    #[arg(long, value_name = "GLOB")]
    pub theirs: Vec<String>,
    /// Write although there are uncommitted changes in what is written
    #[arg(long)]
    pub allow_dirty: bool,
}

/// Takes any text, and names the items of a list to the completions. Whether the text is one of them is told where every
/// other answer is checked, with the nearest name.
#[derive(Clone)]
struct Suggest(&'static [Item]);

impl TypedValueParser for Suggest {
    type Value = String;

    fn parse_ref(&self, command: &clap::Command, _: Option<&clap::Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let text = value.to_str().map(str::to_owned);
        text.ok_or_else(|| clap::Error::new(clap::error::ErrorKind::InvalidUtf8).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|item| PossibleValue::new(item.id).help(item.summary))))
    }
}

/// What `list` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    /// Upstream APIs that are ready to use
    Providers,
    /// How an API of your own can authenticate
    Shapes,
    /// Places to deploy to
    Targets,
    /// How clients reach the server
    Transports,
}
