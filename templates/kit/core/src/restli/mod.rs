// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Rest.li protocol 2.0.0, which LinkedIn's APIs speak: how values are written into paths, queries, headers and keys,
//! how an answer's keys are read back, and what a request looks like whose query is too long for a URL.
//!
//! ```text
//! list List(v,v,…)      map (k:v,k:v,…)      empty List() and ()      empty string ''
//! ```
//!
//! The characters `, ( ) ' :` are structure and nothing else: inside a key or a value they are always escaped. That is
//! the invariant of this module: no text, whoever wrote it, becomes structure.
//!
//! What is written here goes into a URL as text. `Url::query_pairs_mut` and reqwest's `.query()` would escape it again:
//! `List(urn%3A…` would leave as `List%28urn%253A…`.
//!
//! Source: Rest.li protocol 2.0.0 (<https://linkedin.github.io/rest.li/spec/protocol>) and LinkedIn's documentation of
//! it; where its own clients disagree, what its server does.

mod decode;
mod encode;
mod escape;
mod method;
mod query;
mod tunnel;

pub use decode::{DecodeError, decode, decode_reduced};
pub use encode::{encode, encode_reduced};
pub use method::RestMethod;
pub use query::query;
pub use tunnel::{Outgoing, tunnel};
