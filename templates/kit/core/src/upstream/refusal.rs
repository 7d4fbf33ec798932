// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a call answers when its request came to nothing. Nothing of the upstream's own words is in it.

use super::Outcome;
use crate::breaker::{Cause, Denied};
use crate::error::{ErrorKind, ToolError};
use crate::ports::SendError;
use crate::vault::VaultError;

/// The vault failed.
pub(crate) fn of_vault(error: VaultError) -> ToolError {
    match error {
        VaultError::Rejected | VaultError::Shredded => {
            ToolError::new(ErrorKind::ReconnectRequired, "the stored credential does not open")
        }
        _ => ToolError::unavailable("the vault does not answer"),
    }
}

/// No answer came.
pub(crate) fn of_send(error: SendError, title: &str) -> ToolError {
    match error {
        SendError::Refused => {
            let message = format!("{title} has an address that this server does not send to");
            ToolError::new(ErrorKind::Misconfigured, message)
                .hint("an upstream in a private network needs `egress.private = true` in config/server.toml")
        }
        SendError::Connect => ToolError::upstream(format!("{title} cannot be reached")),
        SendError::Timeout => ToolError::new(ErrorKind::Timeout, format!("{title} did not answer in time")),
        SendError::Broken => ToolError::upstream(format!("the connection to {title} broke")),
        SendError::TooLarge => ToolError::upstream(format!("{title} answered more than a call may read")),
    }
}

/// An upstream's no that is neither about the credential nor about a limit.
pub(crate) fn of_outcome(outcome: Outcome, title: &str, status: u16) -> ToolError {
    match outcome {
        Outcome::Forbidden => {
            ToolError::new(ErrorKind::Forbidden, format!("this connection may not do that at {title}"))
        }
        Outcome::NotFound => {
            ToolError::not_found(format!("{title} has no such object, or it is not shared with this connection"))
        }
        Outcome::Invalid => ToolError::upstream(format!("{title} refused the request with status {status}")),
        Outcome::Throttled { .. }
        | Outcome::Transient
        | Outcome::Ok
        | Outcome::AuthUnsettled
        | Outcome::AuthExpired
        | Outcome::AuthDead
        | Outcome::VersionEnded => ToolError::upstream(format!("{title} failed with status {status}")),
    }
}

/// The upstream limits its requests. `ms` is when to come back, if anybody knows.
pub(crate) fn of_limit(title: &str, ms: Option<i64>, now_ms: i64) -> ToolError {
    let limited = |text: String| ToolError::new(ErrorKind::UpstreamRateLimited, text).fact("scope", "upstream");
    match ms {
        Some(ms) => {
            let seconds = (ms + 999) / 1_000;
            limited(format!("Upstream rate limit: {title} asked us to wait {seconds} s")).retry_in(ms, now_ms)
        }
        None => limited(format!("Upstream rate limit: {title} limits its requests and does not say for how long")),
    }
}

/// A breaker is open, and nothing was sent.
pub(crate) fn of_breaker(denied: Denied, title: &str, now_ms: i64) -> ToolError {
    let ms = ms_of(denied);
    match denied.cause {
        Cause::Throttled => of_limit(title, Some(ms), now_ms),
        Cause::Failed => {
            let message =
                format!("{title} has failed several times in a row; it is asked again in {} s", (ms + 999) / 1_000);
            ToolError::upstream(message).fact("scope", "upstream").retry_in(ms, now_ms)
        }
    }
}

/// The wait in milliseconds, rounded up: whoever comes back then is not too early.
pub(crate) fn ms_of(denied: Denied) -> i64 {
    denied.retry_after_us.saturating_add(999) / 1_000
}
