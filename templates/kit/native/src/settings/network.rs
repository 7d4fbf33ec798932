// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Addresses of the network, as settings name them.

use std::net::IpAddr;

use kit::limit::Rate;

/// The limit by address, and whose word is taken for an address.
#[derive(Clone, Debug, Default)]
pub struct PerAddress {
    /// Requests of one address; `None` for no limit.
    pub rate: Option<Rate>,
    /// Proxies that are trusted.
    pub trusted: Vec<Network>,
}

/// An address, or all that begin like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    prefix: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`, `::1`, `192.0.2.7`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = prefix.map_or(Some(longest), |prefix| prefix.parse().ok())?;
        (prefix <= longest).then(|| Self { bits: bits(address), prefix: prefix + 128 - longest })
    }

    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix == 0 || (self.bits ^ bits(address)) >> (128 - self.prefix) == 0
    }
}

/// The address as one of IPv6.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_exactly() {
        assert!(Network::parse("10.0.0.0/8").unwrap().contains(ip("10.255.0.1")));
        assert!(!Network::parse("10.0.0.0/8").unwrap().contains(ip("11.0.0.1")));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains(ip("8.8.8.8")));
        assert!(!Network::parse("0.0.0.0/0").unwrap().contains(ip("2001:db8::1")));
        assert!(Network::parse("::/0").unwrap().contains(ip("8.8.8.8")));
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::1/129", "host", "10.0.0.0/"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
