//! How a run ends: one enum, converted to a number in one place.

use std::fmt;
use std::process::ExitCode;

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Something the user can mend.
    Failed,
    /// A misused flag.
    Usage,
    /// `check` found files that are not as they were generated.
    Drift,
    /// `update` left conflicts to resolve.
    Conflicts,
    /// Interrupted.
    Cancelled,
}

impl Exit {
    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Drift => 3,
            Self::Conflicts => 4,
            Self::Cancelled => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A failure with the command that mends it.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: String,
}

impl Failure {
    /// `message` is lower case and without a final full stop; `hint` names the exact command or value.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// The same, of what stands in a file rather than on the command line.
    #[must_use]
    pub fn in_file(self, path: &str) -> Self {
        Self { message: format!("`{path}`: {}", self.message), hint: self.hint }
    }

    /// What mends it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The user pressed Ctrl-C.
#[derive(Debug)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled, nothing was written")
    }
}

impl std::error::Error for Cancelled {}
