//! Limits on those who have proven nothing: buckets that refill within two seconds, so that who shares an address
//! with a troublemaker is welcome again soon.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::IpAddr;

use crate::limits::TokenBucket;
use crate::time::Timestamp;

/// Signatures of unknown records that are checked: a second's worth of work is some 25,000.
const SIGNATURES: u32 = 400;
/// Streams that one address may open.
const LINKS_PER_SOURCE: u32 = 64;
/// Streams that everybody together may open.
const LINKS: u32 = 512;
/// Places of another version that the application is told of at once; one a second afterwards.
const REPORTS: u32 = 32;
/// Short codes that are shown at once, and half as many a second afterwards. Each is one chance in a million for
/// somebody in the middle, whatever identity that one takes.
const CODES: u32 = 16;
/// Of these, those for peers of one address, and one a second: so that who makes up identities at one address does not
/// keep people elsewhere waiting.
const CODES_PER_SOURCE: u32 = 4;
/// Addresses that have a bucket; beyond it the one that was quiet longest makes room.
const SOURCES: usize = 256;
/// First handshake messages that are remembered, so that a recorded one is recognised.
const EPHEMERALS: usize = 4096;

#[derive(Debug)]
pub(crate) struct Strangers {
    signatures: TokenBucket,
    links: TokenBucket,
    reports: TokenBucket,
    codes: TokenBucket,
    sources: BTreeMap<IpAddr, Source>,
    ephemerals: BTreeSet<[u8; 32]>,
    ephemerals_by_age: VecDeque<[u8; 32]>,
}

/// What one address may do.
#[derive(Debug)]
struct Source {
    links: TokenBucket,
    codes: TokenBucket,
    /// When it did something last.
    at: Timestamp,
}

impl Strangers {
    pub(crate) fn new() -> Self {
        Strangers {
            signatures: TokenBucket::new(SIGNATURES, SIGNATURES / 2),
            links: TokenBucket::new(LINKS, LINKS / 2),
            reports: TokenBucket::new(REPORTS, 1),
            codes: TokenBucket::new(CODES, CODES / 2),
            sources: BTreeMap::new(),
            ephemerals: BTreeSet::new(),
            ephemerals_by_age: VecDeque::new(),
        }
    }

    /// Whether one more signature of an unknown record may be checked.
    pub(crate) fn may_check_signature(&mut self, now: Timestamp) -> bool {
        self.signatures.take(now, 1)
    }

    /// Whether the application may be told of one more place that speaks another version.
    pub(crate) fn may_be_reported(&mut self, now: Timestamp) -> bool {
        self.reports.take(now, 1)
    }

    /// Whether one more short code may be shown, for a peer at `source`.
    pub(crate) fn may_show_code(&mut self, now: Timestamp, source: IpAddr) -> bool {
        self.source(now, source).codes.take(now, 1) && self.codes.take(now, 1)
    }

    /// Whether `source` may open one more stream.
    pub(crate) fn may_open_link(&mut self, now: Timestamp, source: IpAddr) -> bool {
        self.source(now, source).links.take(now, 1) && self.links.take(now, 1)
    }

    fn source(&mut self, now: Timestamp, source: IpAddr) -> &mut Source {
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            let quietest = self.sources.iter().min_by_key(|(_, known)| known.at).map(|(&ip, _)| ip);
            if let Some(quietest) = quietest {
                self.sources.remove(&quietest);
            }
        }
        let new = || Source {
            links: TokenBucket::new(LINKS_PER_SOURCE, LINKS_PER_SOURCE / 2),
            codes: TokenBucket::new(CODES_PER_SOURCE, 1),
            at: now,
        };
        let known = self.sources.entry(source).or_insert_with(new);
        known.at = now;
        known
    }

    /// How full its tables are.
    #[cfg(feature = "marks")]
    pub(crate) fn tables(&self) -> [super::tables::Table; 2] {
        [
            ("addresses with a bucket", self.sources.len(), SOURCES),
            ("handshakes remembered", self.ephemerals.len(), EPHEMERALS),
        ]
    }

    /// Notes the ephemeral key of a first handshake message; says whether it is new.
    pub(crate) fn is_fresh(&mut self, ephemeral: [u8; 32]) -> bool {
        if !self.ephemerals.insert(ephemeral) {
            return false;
        }
        self.ephemerals_by_age.push_back(ephemeral);
        if self.ephemerals_by_age.len() > EPHEMERALS
            && let Some(oldest) = self.ephemerals_by_age.pop_front()
        {
            self.ephemerals.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_up_identities_at_one_address_does_not_keep_people_elsewhere_waiting() {
        let mut strangers = Strangers::new();
        let now = Timestamp::from_millis(1);
        let mut shown = |last, times| {
            let source = IpAddr::from([10, 0, 0, last]);
            (0..times).filter(|_| strangers.may_show_code(now, source)).count()
        };
        assert_eq!(shown(1, 100), 4);
        assert_eq!(shown(2, 1), 1);
        assert_eq!((3..100).map(|last| shown(last, 9)).sum::<usize>(), 16 - 4 - 1);
    }
}
