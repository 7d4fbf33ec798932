// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a transport knows of a request beside what it asks for. All of it is the client's word: it is written down, cut to a
//! length, and decides nothing.

use super::trace::Parent;
use crate::ledger::ClientInfo;

/// Longer texts of a client are cut.
const LONGEST: usize = 64;

/// A request, as its transport saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Id of the JSON-RPC request, as text.
    pub id: Option<String>,
    /// Revision of the protocol.
    pub protocol: Option<String>,
    /// How it came.
    pub transport: Transport,
    /// The program that calls.
    pub client: Option<ClientInfo>,
    /// The client's span, from `_meta`.
    pub parent: Option<Parent>,
    /// The span that the HTTP request belongs to.
    pub link: Option<Parent>,
}

/// How a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Over a pipe, or from inside the process.
    #[default]
    Pipe,
    /// Over HTTP/1.1.
    Http1,
    /// Over HTTP/2.
    Http2,
}

/// `text` without what does not print, and not longer than is kept of it.
pub fn cut(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_client_says_of_itself_is_cut_to_a_length() {
        assert_eq!(super::cut("claude-code\n\u{1b}[31m 2.1"), "claude-code[31m 2.1");
        assert_eq!(super::cut(&"ä".repeat(100)), "ä".repeat(64));
    }
}
