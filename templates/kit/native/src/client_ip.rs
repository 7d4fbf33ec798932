// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Whose request it is, as far as the network can tell: the address of the peer, or what a proxy says that the owner trusts.
//! A header that anybody can send is believed from nobody else, so a limit by address cannot be shifted onto another.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;

use crate::settings::Network;

/// The nearest address that is not a trusted proxy: each proxy adds the one that it was reached from at the end of
/// `X-Forwarded-For`, and only what trusted ones added is read.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    if !is_trusted(client) {
        return client;
    }
    let said = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
    for address in said.flat_map(|value| value.rsplit(',')) {
        // An entry that is no address ends what can be believed.
        let Some(address) = address_of(address.trim()) else { break };
        client = address;
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// An address, also with a port, as some proxies write it.
fn address_of(text: &str) -> Option<IpAddr> {
    let address = text.parse().ok().or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// The bucket of an address. One line has a whole /64 of IPv6, so all of that is one caller.
pub(crate) fn bucket(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{}/64", Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seen(peer: &str, said: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in said {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<Network> = trusted.iter().map(|text| Network::parse(text).unwrap()).collect();
        client(ip(peer), &headers, &trusted).to_string()
    }

    #[test]
    fn without_a_trusted_proxy_nobody_chooses_their_address() {
        assert_eq!(seen("192.0.2.7", &["203.0.113.9"], &[]), "192.0.2.7");
        assert_eq!(seen("192.0.2.7", &["203.0.113.9"], &["127.0.0.1"]), "192.0.2.7");
    }

    #[test]
    fn behind_a_trusted_proxy_the_address_is_the_one_it_saw() {
        assert_eq!(seen("127.0.0.1", &["203.0.113.9"], &["127.0.0.1"]), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &["203.0.113.9:4711"], &["127.0.0.1"]), "203.0.113.9");
        assert_eq!(seen("::1", &["2001:db8::7"], &["::1"]), "2001:db8::7");
    }

    #[test]
    fn what_the_client_wrote_before_the_proxy_is_not_read() {
        assert_eq!(seen("127.0.0.1", &["198.51.100.1, 203.0.113.9"], &["127.0.0.1"]), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &["198.51.100.1", "203.0.113.9"], &["127.0.0.1"]), "203.0.113.9");
    }

    #[test]
    fn a_chain_of_trusted_proxies_is_followed_to_its_end() {
        assert_eq!(seen("127.0.0.1", &["203.0.113.9, 10.1.2.3"], &["127.0.0.1", "10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(seen("127.0.0.1", &["garbage, 10.1.2.3"], &["127.0.0.1", "10.0.0.0/8"]), "10.1.2.3");
        assert_eq!(seen("127.0.0.1", &[], &["127.0.0.1"]), "127.0.0.1");
    }

    #[test]
    fn one_line_is_one_caller() {
        assert_eq!(bucket(ip("192.0.2.7")), "192.0.2.7");
        assert_eq!(bucket(ip("::ffff:192.0.2.7")), "192.0.2.7");
        assert_eq!(bucket(ip("2001:db8:1:2:3:4:5:6")), "2001:db8:1:2::/64");
    }
}
