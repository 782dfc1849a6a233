//! How far away an address is.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// How far away the other end of a path is, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// On a subnet of this host.
    Link,
    /// Behind routers, in the same private network: RFC 1918, section 3, or RFC 4193, section 3.
    Site,
    /// Somewhere on the internet.
    Global,
    /// Behind a relay that takes streams for the peer, or for this node.
    Relay,
}

impl Scope {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Link => "link",
            Scope::Site => "site",
            Scope::Global => "global",
            Scope::Relay => "relay",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an address may be meant for anybody on the internet. Those for documentation count: networks that are made up
/// for tests use them.
pub(crate) fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let special = matches!((a, b, c), (0 | 240.., ..) | (192, 0, 0) | (198, 18 | 19, _));
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || shared
                || special)
        }
        // Global unicast: RFC 4291, section 2.4, as far as it is given out.
        IpAddr::V6(ip) => {
            ip.segments()[0] & 0xe000 == 0x2000
                && ip.to_ipv4_mapped().is_none()
                && ip != Ipv6Addr::UNSPECIFIED
        }
    }
}

/// The private network that an address is in: two addresses with the same one may reach each other by routers of their
/// site. `None` if it is in none.
pub(crate) fn site(ip: IpAddr) -> Option<[u8; 6]> {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            match (a, b) {
                (10, _) => Some([10, 0, 0, 0, 0, 0]),
                (172, 16..=31) => Some([172, 16, 0, 0, 0, 0]),
                (192, 168) => Some([192, 168, 0, 0, 0, 0]),
                _ => None,
            }
        }
        // The site is the first 48 bits, of which 40 are random.
        IpAddr::V6(ip) => match ip.octets() {
            [a @ (0xfc | 0xfd), b, c, d, e, f, ..] => Some([a, b, c, d, e, f]),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_on_the_internet_is_global() {
        for global in ["8.8.8.8", "203.0.113.9", "2a01:4f8::1", "172.32.0.1", "100.128.0.1"] {
            assert!(is_global(global.parse().unwrap()), "{global}");
        }
        for local in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_global(local.parse().unwrap()), "{local}");
        }
    }

    #[test]
    fn a_site_is_one_private_network() {
        let same = |a: &str, b: &str| {
            let site = |ip: &str| site(ip.parse().unwrap());
            site(a).is_some() && site(a) == site(b)
        };
        assert!(same("10.0.0.1", "10.255.0.9"));
        assert!(same("172.16.0.1", "172.31.9.9"));
        assert!(same("192.168.0.1", "192.168.7.1"));
        assert!(same("fd12:3456:789a:1::1", "fd12:3456:789a:2::9"));
        assert!(!same("10.0.0.1", "192.168.0.1"));
        assert!(!same("fd12:3456:789a::1", "fd12:3456:789b::1"));
        assert!(!same("203.0.113.1", "203.0.113.2"), "that is the internet");
        assert!(!same("172.32.0.1", "172.32.0.2"));
        assert!(!same("127.0.0.1", "127.0.0.1"));
    }
}
