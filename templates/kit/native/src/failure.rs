// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! An error that knows the command which mends it.

use std::fmt;
use std::process::ExitCode;

use kit::operator::OperatorError;

use crate::out;

/// What went wrong, and the way out.
#[derive(Debug)]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// `message` is lower case and without a final full stop; `hint` names the exact command.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// The way out.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// Prints `error: failed to …: cause`, a blank line, and the hint.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    out::note(&format!("error: {error:#}"));
    let hinted = error.downcast_ref::<Hinted>().map(Hinted::hint);
    if let Some(hint) = hinted.or_else(|| error.downcast_ref::<OperatorError>().and_then(OperatorError::hint)) {
        out::note(&format!("\nhint: {hint}"));
    }
    ExitCode::FAILURE
}
