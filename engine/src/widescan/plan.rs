//! What is to be searched, and what never is.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::random::Stream;

use super::candidates::Candidates;
use super::estimate::ScanEstimate;
use super::mac::MacPrefix;
use super::prefix::{Prefix6, is_searchable};

/// Prefixes, and prefixes on the stop list, of one search.
pub(super) const MAX_PREFIXES: usize = 16;
const MAX_STOPS: usize = 1024;

/// Vendors of one search.
const MAX_VENDORS: usize = 16;

/// IPv4 ranges of one search, and how many addresses they have together.
const MAX_RANGES: usize = 16;
const MAX_IPV4: u64 = 1 << 16;

/// A search of explicit IPv6 prefixes for peers: candidates by the patterns that people and programs number hosts by
/// (RFC 7707), and only if asked for all the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanPlan {
    /// Where to search: 1 to 16 prefixes of 32 to 128 bits, global or unique local, none in another. Nothing is ever sent
    /// outside of them.
    pub prefixes: Vec<Prefix6>,
    /// How MAC addresses begin of hosts that are looked for at the addresses that EUI-64 makes of them: 16.8 million for
    /// each vendor, 256 for each batch of 5 bytes. At most 16.
    pub vendors: Vec<MacPrefix>,
    /// IPv4 ranges that hosts may have their IPv6 address from, each an address and a length: at most 16, and 65,536
    /// addresses together.
    pub ipv4: Vec<(Ipv4Addr, u8)>,
    /// Whether every other address of the prefixes is tried after the patterns.
    pub enumerate: bool,
    /// Datagrams a second, 1 to 1000: in no second there are more.
    pub per_second: u32,
    /// Datagrams in all, at least 1. Then the search ends, whatever is left.
    pub total: u64,
    /// Prefixes that nothing is sent to, at most 1024.
    pub stop: Vec<Prefix6>,
    /// The UDP port that datagrams go to: the anchor port of the peers. Not 0.
    pub port: u16,
}

impl ScanPlan {
    /// A search of these prefixes by the patterns that need no further knowledge, at 50 datagrams a second and 100,000 in
    /// all.
    #[must_use]
    pub fn new(prefixes: Vec<Prefix6>) -> Self {
        ScanPlan {
            prefixes,
            vendors: Vec::new(),
            ipv4: [[192, 168, 0, 0], [192, 168, 1, 0], [10, 0, 0, 0]].map(|ip| (ip.into(), 24)).to_vec(),
            enumerate: false,
            per_second: 50,
            total: 100_000,
            stop: Vec::new(),
            port: crate::config::DESIGNATED_PORTS[0],
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first that is wrong.
    pub fn validate(&self) -> Result<(), ScanError> {
        if self.prefixes.is_empty() || self.prefixes.len() > MAX_PREFIXES {
            return Err(ScanError::Prefixes);
        }
        for (i, prefix) in self.prefixes.iter().enumerate() {
            // From 32 bits on, a prefix is of one kind throughout.
            if !is_searchable(prefix.network().into()) {
                return Err(ScanError::NotUnicast(*prefix));
            }
            if prefix.len() < 32 {
                return Err(ScanError::TooShort(*prefix));
            }
            if let Some(other) = self.prefixes.iter().take(i).find(|other| other.overlaps(prefix)) {
                return Err(ScanError::Overlap(*other, *prefix));
            }
        }
        if !(1..=1000).contains(&self.per_second) {
            return Err(ScanError::Rate(self.per_second));
        }
        if self.total == 0 {
            return Err(ScanError::Total);
        }
        if self.port == 0 {
            return Err(ScanError::Port);
        }
        if self.vendors.len() > MAX_VENDORS {
            return Err(ScanError::Vendors);
        }
        let sizes = self.ipv4.iter().map(|&(_, len)| ipv4_addresses(len));
        let all = sizes.sum::<Option<u64>>();
        if self.ipv4.len() > MAX_RANGES || all.is_none_or(|all| all > MAX_IPV4) {
            return Err(ScanError::Ipv4);
        }
        if self.stop.len() > MAX_STOPS {
            return Err(ScanError::Stops);
        }
        let stopped = |prefix: &Prefix6| self.stop.iter().any(|stop| stop.covers(prefix));
        if self.prefixes.iter().all(stopped) {
            return Err(ScanError::NothingLeft);
        }
        Ok(())
    }

    /// What the search comes to, if no peer is known whose neighbours would be tried too.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate).
    pub fn estimate(&self) -> Result<ScanEstimate, ScanError> {
        self.estimate_near(&[])
    }

    /// The same, with neighbours of these addresses.
    pub(crate) fn estimate_near(&self, known: &[IpAddr]) -> Result<ScanEstimate, ScanError> {
        self.validate()?;
        // The order does not matter.
        let mut stream = Stream::new(&[0; 32], "estimate");
        Ok(ScanEstimate::new(&Candidates::new(self, known, &mut stream)))
    }

    /// Whether something may be sent there: within the prefixes and not on the stop list.
    #[must_use]
    pub fn allows(&self, address: Ipv6Addr) -> bool {
        is_searchable(IpAddr::V6(address))
            && self.prefixes.iter().any(|prefix| prefix.contains(address))
            && !self.stop.iter().any(|stop| stop.contains(address))
    }
}

/// How many addresses an IPv4 range of this length has; `None` if there is no such length.
fn ipv4_addresses(len: u8) -> Option<u64> {
    32_u8.checked_sub(len).map(|bits| 1 << bits)
}

/// Why a search does not begin. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// None, or too many.
    #[error("give 1 to 16 prefixes to search")]
    Prefixes,
    /// Multicast, loopback, link-local, IPv4 in disguise, or nobody's.
    #[error(
        "{0} is not searched: only global unicast (2000::/3, without 6to4 and Teredo) and unique local (fc00::/7) prefixes are"
    )]
    NotUnicast(Prefix6),
    /// It is the network of many sites.
    #[error("{0} is too large to search: give a prefix of 32 to 128 bits")]
    TooShort(Prefix6),
    /// One is in the other.
    #[error("{0} and {1} overlap: leave one of them out")]
    Overlap(Prefix6, Prefix6),
    /// The rate.
    #[error("{0} datagrams a second is not possible: give 1 to 1000")]
    Rate(u32),
    /// The cap.
    #[error("the number of datagrams in all must be at least 1")]
    Total,
    /// The port.
    #[error("the port to search must not be 0")]
    Port,
    /// The vendors.
    #[error("at most 16 vendors can be searched for at once")]
    Vendors,
    /// The IPv4 ranges.
    #[error(
        "at most 16 IPv4 ranges with lengths of 16 to 32 and 65536 addresses together can be searched for"
    )]
    Ipv4,
    /// The stop list.
    #[error("the stop list has more than 1024 prefixes: put neighbouring ones together")]
    Stops,
    /// All of it is on the stop list.
    #[error("the stop list covers every prefix: there is nothing to search")]
    NothingLeft,
    /// One search is under way.
    #[error("a search is under way: stop it first")]
    Running,
    /// The node has no address that an answer could come to.
    #[error("no interface has a global or unique local IPv6 address to search from")]
    NoAddress,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}
