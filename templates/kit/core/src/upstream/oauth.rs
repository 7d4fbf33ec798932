// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! An authorization server as data: where it lives, how it wants to be asked, how long what it gives lives. The flows
//! themselves are in [`token`](super::token) and [`refresh`](super::refresh); no provider has one of its own.

use std::time::Duration;

/// How the owner's app proves itself at the token endpoint (RFC 6749 §2.3.1), and the form of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Id and secret in a form body.
    BodyForm,
    /// Id and secret in a JSON body.
    BodyJson,
    /// HTTP Basic and a form body.
    BasicForm,
    /// HTTP Basic and a JSON body.
    BasicJson,
}

/// How long a refresh token lives, and what keeps it alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshLife {
    /// Until somebody revokes it.
    Endless,
    /// It ends when it is not used for some time. An idle connection is refreshed this many days after the last time.
    Idle {
        /// Days after which the sweep refreshes.
        refresh_after_days: u32,
    },
    /// It ends at `refresh_token_expires_in`, and each refresh begins anew. An idle connection is refreshed this many days
    /// before.
    Sliding {
        /// Days before the end at which the sweep refreshes.
        refresh_before_days: u32,
    },
    /// It ends at `refresh_token_expires_in` whatever is done. The owner is warned 30, 14 and 3 days before.
    Absolute,
}

/// What a token is that somebody pastes, instead of consenting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pasted {
    /// A refresh token.
    RefreshToken,
    /// An access token that does not end, as administrators make them for their own organisation.
    AccessToken,
}

/// An OAuth 2 authorization server.
#[derive(Clone, Copy, Debug)]
pub struct OAuth {
    /// Where a person consents.
    pub authorize_url: &'static str,
    /// Where codes and refresh tokens are exchanged.
    pub token_url: &'static str,
    /// Where a token is revoked (RFC 7009), if there is such a place.
    pub revoke_url: Option<&'static str>,
    /// How the app proves itself.
    pub client_auth: ClientAuth,
    /// Whether the consent is bound to us by PKCE (RFC 7636, S256).
    pub pkce: bool,
    /// Whether the provider signs what it sends the browser back with ([`callback_hmac`](super::callback_hmac)).
    pub signed_callback: bool,
    /// Scopes to ask for, separated by spaces.
    pub scopes: &'static str,
    /// What stands between two scopes in a request.
    pub scope_separator: &'static str,
    /// Further parameters of the authorize URL.
    pub authorize_params: &'static [(&'static str, &'static str)],
    /// Further parameters of the exchange of a code.
    pub exchange_params: &'static [(&'static str, &'static str)],
    /// Further parameters of a refresh.
    pub refresh_params: &'static [(&'static str, &'static str)],
    /// Further headers of every request to this server.
    pub headers: &'static [(&'static str, &'static str)],
    /// An access token is renewed this long before its end, or in the last fifth of its life if that is shorter.
    pub refresh_before: Duration,
    /// How long a refresh token lives.
    pub refresh_life: RefreshLife,
    /// For so long after its issue a token may be refused though it is good: some servers take their time to tell each
    /// other. Such a refusal ([`Outcome::AuthUnsettled`](super::Outcome)) means to try again, and neither a refresh nor a
    /// dead connection.
    pub settles_in: Duration,
    /// What a token is that somebody pastes.
    pub pasted: Pasted,
}

impl OAuth {
    /// What the standard says: form bodies, scopes separated by spaces, PKCE. Everything else is the provider's.
    pub const STANDARD: Self = Self {
        authorize_url: "",
        token_url: "",
        revoke_url: None,
        client_auth: ClientAuth::BodyForm,
        pkce: true,
        signed_callback: false,
        scopes: "",
        scope_separator: " ",
        authorize_params: &[],
        exchange_params: &[],
        refresh_params: &[],
        headers: &[],
        refresh_before: Duration::from_secs(300),
        refresh_life: RefreshLife::Endless,
        settles_in: Duration::ZERO,
        pasted: Pasted::RefreshToken,
    };
}

/// A token that is renewed by exchanging it for another of its kind, while it is still good.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Where; asked with GET.
    pub url: &'static str,
    /// The parameter that carries the token.
    pub token_param: &'static str,
    /// Further parameters.
    pub params: &'static [(&'static str, &'static str)],
    /// It is renewed this long before its end, or in the last fifth of its life if that is shorter.
    pub refresh_before: Duration,
}

/// Shape `system-user`: a token that an administrator made for a machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemUser {
    /// Name of the header.
    pub header: &'static str,
    /// What stands before the token.
    pub prefix: &'static str,
    /// The query parameter for `hex(HMAC-SHA256(app secret, token))`, which proves that the request comes from the app the
    /// token was made for.
    pub proof_param: Option<&'static str>,
    /// How the token is renewed, if it ends.
    pub exchange: Option<Exchange>,
}

/// One of several places where a provider lives. Tokens of one do not work in another.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    /// Its name: `na`.
    pub name: &'static str,
    /// What a person calls it: `North America`.
    pub title: &'static str,
    /// Where a person consents.
    pub authorize_url: &'static str,
    /// Where tokens are exchanged.
    pub token_url: &'static str,
    /// Scheme and host of the API.
    pub api_url: &'static str,
}

/// Shape `lwa-profile`: tokens of Login With Amazon, and the app's client id on each request.
#[derive(Clone, Copy, Debug)]
pub struct LwaProfile {
    /// The authorization server; its URLs come from the region.
    pub oauth: OAuth,
    /// The header with the app's client id.
    pub client_id_header: &'static str,
}
