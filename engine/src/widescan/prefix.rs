//! A range of IPv6 addresses that share their first bits.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

/// An IPv6 prefix, such as `2001:db8:1:2::/64`. Bits behind its length are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix6 {
    network: u128,
    len: u8,
}

/// A text that is not an IPv6 prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an IPv6 prefix: write an address without a zone, a slash and a length, such as 2001:db8:1:2::/64"
)]
pub struct PrefixError;

impl Prefix6 {
    /// The addresses whose first `len` bits are those of `address`. `None` if `len` is above 128.
    #[must_use]
    pub fn new(address: Ipv6Addr, len: u8) -> Option<Self> {
        let mut prefix = Prefix6 { network: 0, len };
        (len <= 128).then(|| {
            prefix.network = u128::from(address) & !prefix.hosts();
            prefix
        })
    }

    /// Its first address.
    #[must_use]
    pub fn network(&self) -> Ipv6Addr {
        self.network.into()
    }

    /// How many leading bits its addresses share, 0 to 128.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no prefix is empty")]
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether this address is in it.
    #[must_use]
    pub fn contains(&self, address: Ipv6Addr) -> bool {
        u128::from(address) & !self.hosts() == self.network
    }

    /// How many addresses it has: 1 to 3.4e38. Rounded, as 2^128 and no other fits no integer.
    #[must_use]
    pub fn addresses(&self) -> f64 {
        power_of_two(self.host_bits())
    }

    /// Whether the two share an address; then one is in the other.
    pub(super) fn overlaps(&self, other: &Prefix6) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }

    /// Whether every address of `other` is in it.
    pub(super) fn covers(&self, other: &Prefix6) -> bool {
        self.len <= other.len && self.contains(other.network())
    }

    /// How many bits tell its addresses apart.
    pub(super) fn host_bits(&self) -> u8 {
        128 - self.len
    }

    /// The address with these last bits; what does not fit is cut off.
    pub(super) fn at(&self, host: u128) -> Ipv6Addr {
        (self.network | host & self.hosts()).into()
    }

    fn hosts(&self) -> u128 {
        u128::MAX.checked_shr(u32::from(self.len)).unwrap_or(0)
    }
}

/// 2 to the power of `bits`, exactly.
pub(super) fn power_of_two(bits: u8) -> f64 {
    f64::from_bits((1023 + u64::from(bits)) << 52)
}

impl fmt::Display for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.len)
    }
}

impl FromStr for Prefix6 {
    type Err = PrefixError;

    /// An address, a slash and a length. Bits behind the length are taken for zero.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, len) = text.split_once('/').ok_or(PrefixError)?;
        let digits = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
        let len = len.parse().ok().filter(|_| digits).ok_or(PrefixError)?;
        Prefix6::new(address.parse().map_err(|_| PrefixError)?, len).ok_or(PrefixError)
    }
}

/// Whether hosts beyond this link can have the address, and it stands for one of them: global unicast (RFC 4291, section
/// 2.4, as far as it is given out) or unique local (RFC 4193). Addresses of 6to4 and Teredo are none: what is sent there
/// goes to IPv4 hosts that nobody named.
pub(crate) fn is_searchable(ip: IpAddr) -> bool {
    let IpAddr::V6(ip) = ip else { return false };
    let [first, second, ..] = ip.segments();
    let global = first & 0xe000 == 0x2000 && first != 0x2002 && (first, second) != (0x2001, 0);
    global || first & 0xfe00 == 0xfc00
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn prefixes_are_read_and_written_and_cut_to_their_length() {
        let prefix: Prefix6 = "2001:db8:1:2:3::4/64".parse().unwrap();
        assert_eq!(prefix.to_string(), "2001:db8:1:2::/64");
        assert_eq!(prefix.addresses(), 18_446_744_073_709_551_616.0);
        assert_eq!("::/0".parse::<Prefix6>().unwrap().addresses(), 2_f64.powi(128));
        assert_eq!("2001:db8::1/128".parse::<Prefix6>().unwrap().addresses(), 1.0);
        for bad in [
            "",
            "2001:db8::1",
            "2001:db8::/129",
            "2001:db8::/+64",
            "2001:db8::/",
            "fe80::1%eth0/64",
            "10.0.0.0/8",
        ] {
            assert_eq!(bad.parse::<Prefix6>(), Err(PrefixError), "{bad}");
        }
    }

    #[test]
    fn a_prefix_has_its_own_addresses_and_no_others() {
        let prefix: Prefix6 = "2001:db8:1:2::/64".parse().unwrap();
        assert!(prefix.contains("2001:db8:1:2:ffff:ffff:ffff:ffff".parse().unwrap()));
        assert!(!prefix.contains("2001:db8:1:3::".parse().unwrap()));
        assert_eq!(prefix.at(1 << 64 | 5), "2001:db8:1:2::5".parse::<Ipv6Addr>().unwrap());
        let inner: Prefix6 = "2001:db8:1:2::/96".parse().unwrap();
        assert!(prefix.overlaps(&inner) && inner.overlaps(&prefix));
        assert!(prefix.covers(&inner) && !inner.covers(&prefix));
    }

    #[test]
    fn only_unicast_addresses_that_are_routed_are_searched() {
        for good in ["2001:db8::1", "2a00::1", "fd00::1", "fc00::1"] {
            assert!(is_searchable(good.parse().unwrap()), "{good}");
        }
        for bad in [
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::1",
            "2002:a00:1::",
            "2001:0:1::",
            "10.0.0.1",
        ] {
            assert!(!is_searchable(bad.parse().unwrap()), "{bad}");
        }
    }
}
