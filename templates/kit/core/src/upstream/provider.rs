// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A provider as data: where it lives, what every request carries, how it authenticates, how it says no.

use serde_json::Value;

use super::oauth::{LwaProfile, OAuth, Region, SystemUser};
use super::throttle::{self, LimitHint};
use super::{Outcome, classify_status};
use crate::calendar;
use crate::ports::HttpResponse;
use crate::secret::Secret;

/// How a provider authenticates.
#[derive(Clone, Copy, Debug)]
pub enum AuthShape {
    /// A key in a header: `<prefix><key>`.
    ApiKey {
        /// Name of the header.
        header: &'static str,
        /// What stands before the key, with its space (`"Bearer "`), or nothing.
        prefix: &'static str,
    },
    /// OAuth 2 with a refresh token: `<prefix><access token>` in a header.
    OAuth2Refresh {
        /// The authorization server.
        oauth: OAuth,
        /// Name of the header.
        header: &'static str,
        /// What stands before the access token.
        prefix: &'static str,
    },
    /// A token that an administrator made for a machine.
    SystemUser(SystemUser),
    /// Login With Amazon, with a profile that each request names.
    LwaProfile(LwaProfile),
    /// OAuth 2, and requests in the encoding of Rest.li.
    Restli {
        /// The authorization server.
        oauth: OAuth,
        /// Version of the API, as `YYYYMM`.
        version: &'static str,
    },
}

impl AuthShape {
    /// Its name in the catalogue.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "api-key",
            Self::OAuth2Refresh { .. } => "oauth2-refresh",
            Self::SystemUser(_) => "system-user",
            Self::LwaProfile(_) => "lwa-profile",
            Self::Restli { .. } => "restli",
        }
    }

    /// The authorization server, for the shapes that have one.
    pub const fn oauth(&self) -> Option<&OAuth> {
        match self {
            Self::OAuth2Refresh { oauth, .. } | Self::Restli { oauth, .. } => Some(oauth),
            Self::LwaProfile(lwa) => Some(&lwa.oauth),
            Self::ApiKey { .. } | Self::SystemUser(_) => None,
        }
    }

    /// Whether connections need the owner's app: its id and secret.
    pub const fn needs_app(&self) -> bool {
        match self {
            Self::ApiKey { .. } => false,
            Self::SystemUser(user) => user.proof_param.is_some() || user.exchange.is_some(),
            Self::OAuth2Refresh { .. } | Self::LwaProfile(_) | Self::Restli { .. } => true,
        }
    }
}

/// How a provider says how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// It does not, or in the body, which `classify` reads.
    Silent,
    /// `Retry-After`: seconds, whole or not, or a date.
    RetryAfter,
    /// It does not, but its limits are for a day and end at midnight UTC.
    Midnight,
}

/// Where a provider lives.
#[derive(Clone, Copy, Debug)]
pub enum Sites {
    /// At one place for all.
    One,
    /// In regions; a connection belongs to one of them.
    Regions(&'static [Region]),
    /// Each tenant has a host of its own there. `{site}` in the provider's URLs stands for it.
    Hosts(Hosts),
}

/// The hosts of tenants at a provider.
#[derive(Clone, Copy, Debug)]
pub struct Hosts {
    /// What such a host is called: `shop`.
    pub noun: &'static str,
    /// One for people to go by: `example.myshopify.com`.
    pub example: &'static str,
    /// Whether a host (small letters, digits, `.` and `-`) is one of this provider's. Nothing is sent to any other.
    pub check: fn(&str) -> bool,
}

impl Hosts {
    /// Whether `host` is a plain name of a host, and one of this provider's.
    pub(crate) fn permits(&self, host: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        host.len() <= 253 && host.bytes().all(plain) && (self.check)(host)
    }
}

/// Something that the requests of a connection can be for: a profile, a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id, as the provider writes it.
    pub id: String,
    /// What a person recognises it by.
    pub label: String,
}

/// What is chosen after a consent: which of the things that the consent reaches this connection is for.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// What it is called: `profile`.
    pub noun: &'static str,
    /// The header that names it in every request; tools also read it with [`Call::target`](crate::call::Call::target).
    pub header: Option<&'static str>,
    /// Path that lists them; asked without that header.
    pub path: &'static str,
    /// Query of that request.
    pub query: &'static [(&'static str, &'static str)],
    /// Reads the list. An integer in it that 64 bits do not hold comes as a string of its digits.
    pub discover: fn(&Value) -> Vec<Target>,
}

/// A version of an API.
#[derive(Clone, Copy, Debug)]
pub struct ApiVersion {
    /// Its name: `v26`.
    pub name: &'static str,
    /// The day it ends, as `YYYY-MM-DD`, where the provider has said so.
    pub ends: Option<&'static str>,
}

impl ApiVersion {
    /// Whole days from `now_ms` until the version ends; negative once it has. `None` where no end is known.
    pub fn days_left(&self, now_ms: i64) -> Option<i64> {
        let mut parts = self.ends?.split('-').map(str::parse::<i64>);
        let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let days = calendar::days_from_civil(year, month, day);
        Some(days - now_ms.div_euclid(86_400_000))
    }
}

/// One upstream API.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Name in the catalogue: `notion`.
    pub id: &'static str,
    /// Name for people: `Notion`.
    pub title: &'static str,
    /// Scheme and host of every request, with a path prefix if the provider has one. Where it has regions, the region says
    /// it.
    pub base_url: &'static str,
    /// How it authenticates.
    pub auth: AuthShape,
    /// Where it lives.
    pub sites: Sites,
    /// What is chosen after a consent.
    pub targets: Option<Targets>,
    /// The version of the API that the tools speak.
    pub version: Option<ApiVersion>,
    /// Headers of every request.
    pub headers: &'static [(&'static str, &'static str)],
    /// How it says how long to wait.
    pub throttle: Throttle,
    /// What an answer means.
    pub classify: fn(&HttpResponse) -> Outcome,
    /// What a good answer says of how much of the limits is used up. From 95 % on no more is sent for a while.
    pub usage: fn(&HttpResponse) -> Vec<LimitHint>,
}

impl Provider {
    /// The plainest there is: one place, nothing to choose, status codes as the standard has them. A provider says only
    /// what is different.
    pub const PLAIN: Self = Self {
        id: "",
        title: "",
        base_url: "",
        auth: AuthShape::ApiKey { header: "Authorization", prefix: "Bearer " },
        sites: Sites::One,
        targets: None,
        version: None,
        headers: &[],
        throttle: Throttle::RetryAfter,
        classify: classify_status,
        usage: |_| Vec::new(),
    };

    /// What `response` means, with the wait that its headers ask for. `now_ms` stands in for a missing `Date`.
    pub(crate) fn outcome(&self, response: &HttpResponse, now_ms: i64) -> Outcome {
        match ((self.classify)(response), self.throttle) {
            (Outcome::Throttled { retry_after_ms: None, scope }, throttle) => {
                let retry_after_ms = match throttle {
                    Throttle::Silent => None,
                    Throttle::RetryAfter => throttle::retry_after_ms(response, now_ms),
                    Throttle::Midnight => Some(throttle::midnight_ms(response, now_ms)),
                };
                Outcome::Throttled { retry_after_ms, scope }
            }
            (outcome, _) => outcome,
        }
    }
}

/// A key may hold visible ASCII only: anything else would end the header or be refused by the client library with the
/// key in its error.
pub(crate) fn checked(key: &Secret) -> Option<&str> {
    key.expose_str().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use super::ApiVersion;

    #[test]
    fn a_version_ends_on_a_day() {
        let days = |ends, now_ms| ApiVersion { name: "v1", ends }.days_left(now_ms);
        assert_eq!(days(Some("1970-01-01"), 0), Some(0));
        assert_eq!(days(Some("2027-07-15"), 1_795_392_000_000), Some(234));
        assert_eq!(days(Some("2024-02-29"), 1_709_251_200_000), Some(-1));
        assert_eq!((days(None, 0), days(Some("soon"), 0), days(Some("2027-07"), 0)), (None, None, None));
    }
}
