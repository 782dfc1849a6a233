//! How much each address may ask for, and how many connections it may hold.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Addresses that are remembered, in each of two generations.
const GENERATION: usize = 32 * 1024;

/// Who asks: an IPv4 address, or the first 64 bits of an IPv6 address, which is what one host has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(IpAddr);

impl Source {
    /// The source that this address belongs to.
    #[must_use]
    pub fn of(address: IpAddr) -> Source {
        Source(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

/// So many requests a second, and so many at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, 1 to 1 million.
    pub per_second: u32,
    /// Requests at once, 1 to 1 million.
    pub burst: u32,
}

/// A token bucket for each source. There are at most two generations of them: when the younger one is full the older one
/// is forgotten, and who is not remembered may begin anew.
#[derive(Debug)]
pub struct Sources {
    rate: Rate,
    young: BTreeMap<Source, Bucket>,
    old: BTreeMap<Source, Bucket>,
}

/// In thousandths of a request.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u64,
    at: u64,
}

impl Sources {
    /// Gives every source this rate.
    #[must_use]
    pub fn new(rate: Rate) -> Sources {
        Sources { rate, young: BTreeMap::new(), old: BTreeMap::new() }
    }

    /// Whether this source may ask now, in milliseconds; if not, after how many seconds.
    ///
    /// # Errors
    /// The seconds, 1 or more.
    pub fn ask(&mut self, now: u64, source: Source) -> Result<(), u64> {
        let (per_second, most) = (u64::from(self.rate.per_second), u64::from(self.rate.burst) * 1000);
        let known = self.young.get(&source).or_else(|| self.old.get(&source)).copied();
        let mut bucket = known.unwrap_or(Bucket { tokens: most, at: now });
        // A millisecond at so many a second is as many thousandths.
        let gained = now.saturating_sub(bucket.at).saturating_mul(per_second);
        bucket = Bucket { tokens: bucket.tokens.saturating_add(gained).min(most), at: now };
        let answer = match bucket.tokens.checked_sub(1000) {
            Some(left) => {
                bucket.tokens = left;
                Ok(())
            }
            None => Err((1000 - bucket.tokens).div_ceil(per_second.max(1)).div_ceil(1000).max(1)),
        };
        if self.young.len() >= GENERATION && !self.young.contains_key(&source) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(source, bucket);
        answer
    }

    /// How many sources are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> Source {
        Source::of(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn a_source_has_a_burst_and_then_its_rate() {
        let mut sources = Sources::new(Rate { per_second: 10, burst: 3 });
        let mut passed = 0;
        for millis in 0..2000 {
            passed += u32::from(sources.ask(millis, source(1)).is_ok());
        }
        // Three at once, and one every 100 ms.
        assert_eq!(passed, 3 + 19);
        assert_eq!(sources.ask(2000, source(2)), Ok(()));
    }

    #[test]
    fn who_asks_too_much_hears_when_to_come_back() {
        let mut sources = Sources::new(Rate { per_second: 1, burst: 1 });
        assert_eq!(sources.ask(0, source(1)), Ok(()));
        assert_eq!(sources.ask(0, source(1)), Err(1));
        assert_eq!(sources.ask(999, source(1)), Err(1));
        assert_eq!(sources.ask(1000, source(1)), Ok(()));
    }

    #[test]
    fn a_crowd_of_sources_is_forgotten_in_part() {
        let mut sources = Sources::new(Rate { per_second: 1, burst: 1 });
        for number in 0..200_000 {
            assert_eq!(sources.ask(0, source(number)), Ok(()));
            assert!(sources.len() <= 2 * GENERATION);
        }
        assert_eq!(sources.ask(0, source(199_999)), Err(1));
    }

    #[test]
    fn a_host_with_many_ipv6_addresses_is_one_source() {
        let address = |text: &str| Source::of(text.parse::<IpAddr>().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }
}
