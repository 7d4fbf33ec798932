// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Which addresses requests may go to. A credential names the hosts it may be sent to; this is the second wall behind
//! that: a host whose name leads into this machine, the network around it, or a cloud's metadata service is refused, both
//! when the name is looked up and when the URL holds an address itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What may be reached besides the public internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// This machine: only while the server itself listens on loopback alone.
    pub loopback: bool,
    /// Private networks (RFC 1918, RFC 4193, RFC 6598): only if the owner said so.
    pub private: bool,
    /// The metadata services of clouds: never for an upstream.
    pub metadata: bool,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Public,
    Loopback,
    Private,
    Metadata,
    /// Nowhere that a server could be: multicast, documentation, reserved.
    Nowhere,
}

impl Egress {
    /// For the keepers of key-encryption keys and the tokens for them: the owner alone says where those are, and they are
    /// on this machine, in its network, or the cloud's own.
    pub const KEEPERS: Self = Self { loopback: true, private: true, metadata: true };

    /// Whether requests may go to `address`.
    pub fn permits(self, address: IpAddr) -> bool {
        match reach(address) {
            Reach::Public => true,
            Reach::Loopback => self.loopback,
            Reach::Private => self.private,
            Reach::Metadata => self.metadata,
            Reach::Nowhere => false,
        }
    }

    /// Whether `url` may be asked, as far as its text tells: a name is judged when it is looked up.
    pub fn permits_url(self, url: &url::Url) -> bool {
        match url.host() {
            Some(url::Host::Ipv4(address)) => self.permits(address.into()),
            Some(url::Host::Ipv6(address)) => self.permits(address.into()),
            Some(url::Host::Domain(_)) => true,
            None => false,
        }
    }
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// By the IANA registry of special-purpose addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry/iana-ipv4-special-registry.xhtml>).
fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127, ..] => Reach::Loopback,
        [10, ..] | [192, 168, ..] => Reach::Private,
        [172, second, ..] if second & 0xF0 == 16 => Reach::Private,
        [100, second, ..] if second & 0xC0 == 64 => Reach::Private,
        // Link-local: metadata services live there.
        [169, 254, ..] => Reach::Metadata,
        // "This network", protocol assignments, documentation, 6to4 relays, benchmarks.
        [0, ..] | [192, 0, 0, _] | [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Nowhere,
        [192, 88, 99, _] => Reach::Nowhere,
        [198, second, ..] if second & 0xFE == 18 => Reach::Nowhere,
        // Multicast, reserved, broadcast.
        [first, ..] if first >= 224 => Reach::Nowhere,
        _ => Reach::Public,
    }
}

/// By the registry for IPv6 (<https://www.iana.org/assignments/iana-ipv6-special-registry/iana-ipv6-special-registry.xhtml>).
/// Addresses that carry an IPv4 address lead where that one leads.
fn reach_v6(address: Ipv6Addr) -> Reach {
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        // Mapped, translated (RFC 6052) and 6to4.
        [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => inner(high, low),
        [0x2002, high, low, ..] => inner(high, low),
        [first, ..] if first & 0xFE00 == 0xFC00 => match address.segments() {
            // The metadata service of EC2.
            [0xFD00, 0xEC2, ..] => Reach::Metadata,
            _ => Reach::Private,
        },
        // Documentation, Teredo and the rest of the protocol assignments.
        [0x2001, second, ..] if second < 0x200 || second == 0xDB8 => Reach::Nowhere,
        [0x3FFF, second, ..] if second < 0x1000 => Reach::Nowhere,
        // Only 2000::/3 is given out to the public.
        [first, ..] if first & 0xE000 == 0x2000 => Reach::Public,
        _ => Reach::Nowhere,
    }
}

/// Looks names up, and refuses one if any of its addresses may not be reached: a name with a good and a bad address is
/// how a check is got around.
pub(crate) struct Guarded(pub(crate) Egress);

/// The name leads where requests may not go.
#[derive(Debug)]
pub(crate) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host's address is not one that requests may go to")
    }
}

impl std::error::Error for Refused {}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !found.iter().all(|address| egress.permits(address.ip())) {
                return Err(Refused.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn all(addresses: &str) -> Vec<Reach> {
        addresses.split_whitespace().map(|text| reach(text.parse().unwrap())).collect()
    }

    #[test]
    fn public_addresses_are_reached() {
        let found = all("1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 198.17.0.1 223.255.255.255 \
                         2606:4700::1 2a00:1450::1 64:ff9b::8.8.8.8 ::ffff:8.8.8.8 2002:808:808::1");
        assert!(found.iter().all(|reach| *reach == Reach::Public), "{found:?}");
    }

    #[test]
    fn this_machine_is_told_in_every_spelling() {
        let found = all("127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::");
        assert!(found.iter().all(|reach| *reach == Reach::Loopback), "{found:?}");
    }

    #[test]
    fn private_networks_are_told() {
        let found =
            all("10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 fc00::1 fd12:3456::1 \
                         ::ffff:10.0.0.1 64:ff9b::192.168.0.1 2002:a00:1::");
        assert!(found.iter().all(|reach| *reach == Reach::Private), "{found:?}");
    }

    #[test]
    fn multicast_and_reserved_addresses_lead_nowhere() {
        let found = all("0.0.0.0 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 \
                         203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 :: fe80::1 fec0::1 ff02::1 \
                         2001::1 2001:db8::1 3fff::1 100::1 64:ff9b:1::1 ::1.2.3.4");
        assert!(found.iter().all(|reach| *reach == Reach::Nowhere), "{found:?}");
    }

    #[test]
    fn metadata_services_are_told() {
        let found = all("169.254.169.254 169.254.0.1 fd00:ec2::254 ::ffff:169.254.169.254");
        assert!(found.iter().all(|reach| *reach == Reach::Metadata), "{found:?}");
    }

    #[test]
    fn what_the_owner_allowed_is_permitted_and_metadata_never_is() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let open = Egress { loopback: true, private: true, metadata: false };
        assert!(open.permits(address("127.0.0.1")) && open.permits(address("10.0.0.1")));
        assert!(!open.permits(address("169.254.169.254")) && !open.permits(address("fd00:ec2::254")));
        let closed = Egress::default();
        assert!(!closed.permits(address("127.0.0.1")) && !closed.permits(address("10.0.0.1")));
    }

    #[test]
    fn an_address_in_a_url_is_judged_in_any_spelling() {
        let permits = |url: &str| Egress::default().permits_url(&url::Url::parse(url).unwrap());
        for url in [
            "http://127.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/",
        ] {
            assert!(!permits(url), "{url}");
        }
        assert!(permits("https://8.8.8.8/") && permits("https://api.example.com/"));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Guarded(Egress::default()).resolve(name()).await.err().unwrap();
        assert!(refused.downcast_ref::<Refused>().is_some());
        assert!(Guarded(Egress { loopback: true, ..Egress::default() }).resolve(name()).await.is_ok());
    }
}
