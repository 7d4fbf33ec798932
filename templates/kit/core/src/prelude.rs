// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What an integration needs, in one import. An integration's files name this prelude and their own siblings, nothing
//! else, so that the same file serves under any instance name and in any project.

pub use crate::app::Integration;
pub use crate::call::Call;
pub use crate::day::Day;
pub use crate::error::ToolError;
pub use crate::ports::{HttpRequest, HttpResponse, Method};
pub use crate::prompt::{Message, Prompts};
pub use crate::resource::{Resources, Text};
pub use crate::restli::{self, RestMethod};
pub use crate::secret::Secret;
pub use crate::tool::Tools;
pub use crate::upstream::callback_hmac;
pub use crate::upstream::oauth::{ClientAuth, Exchange, LwaProfile, OAuth, Pasted, RefreshLife, Region, SystemUser};
pub use crate::upstream::provider::{ApiVersion, AuthShape, Hosts, Provider, Sites, Target, Targets, Throttle};
pub use crate::upstream::sandbox::{SANDBOX_NOW, Sandbox, Seed};
pub use crate::upstream::sign::proof;
pub use crate::upstream::throttle::{LimitHint, duration_ms, seconds_ms};
pub use crate::upstream::token_server::{
    CLIENT_ID, CLIENT_SECRET, FIRST_ACCESS_TOKEN, FIRST_REFRESH_TOKEN, RefreshUse, TokenServer,
};
pub use crate::upstream::{Outcome, ThrottleScope, classify_status};
pub use schemars::JsonSchema;
pub use serde::de::IgnoredAny;
pub use serde::{Deserialize, Serialize};
pub use serde_json::{Value, json};
pub use std::time::Duration;
