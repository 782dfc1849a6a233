//! What is remembered of peers that left or expired, in the order in which it is forgotten.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::identity::PeerId;
use crate::record::{RecordClass, RecordKind, SignedRecord, UnverifiedRecord};
use crate::time::Timestamp;
use crate::wire::Version;

use super::collection::LEAST;
use super::held::Held;

/// What is remembered of a peer that left or expired: nothing that its last record outranks is believed again.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(super) held: Held,
    /// Its peer's place in the collection.
    pub(super) place: u64,
    pub(super) until: Timestamp,
    /// Whether the peer ever proved its key on a link: such a floor is the last to make room.
    pub(super) proven: bool,
    /// Who told of the farewell of a peer that was not known.
    pub(super) introducer: Option<PeerId>,
}

impl Floor {
    pub(super) fn record(&self) -> &SignedRecord {
        &self.held.record
    }

    pub(super) fn is_gone(&self) -> bool {
        self.record().record().kind == RecordKind::Gone
    }

    /// Whether a record lies below. A farewell ends its run for good, in all classes; the last record of a peer that
    /// merely expired speaks for its own class, and may come again by another way, if it is still young there.
    pub(super) fn refuses(&self, record: &UnverifiedRecord) -> bool {
        let (own, other) = (self.record().record(), record.record());
        if self.is_gone() {
            return !record.supersedes(self.record());
        }
        other.incarnation < own.incarnation
            || (other.class == own.class && record.is_superseded_by(self.record()))
    }

    /// The same of a record of which only the version is known.
    pub(super) fn outdates(&self, class: RecordClass, version: &Version) -> bool {
        let own = Version::of(self.record());
        if self.is_gone() {
            return *version <= own;
        }
        version.incarnation < own.incarnation || (class == self.record().record().class && *version < own)
    }

    /// The record to show to a peer that presents itself with an outranked incarnation.
    pub(super) fn outranks(&self, incarnation: u64) -> bool {
        let own = self.record().record();
        own.incarnation > incarnation || (own.kind == RecordKind::Gone && own.incarnation == incarnation)
    }
}

/// All floors. Beyond its limit the one that ends first goes, those of peers that proved themselves last.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    floors: BTreeMap<PeerId, Floor>,
    by_end: BTreeSet<(bool, Timestamp, PeerId)>,
    by_place: BTreeSet<(u64, PeerId)>,
    introduced: BTreeMap<PeerId, usize>,
}

impl Floors {
    pub(super) fn get(&self, peer: &PeerId) -> Option<&Floor> {
        self.floors.get(peer)
    }

    /// The floors at a place of the collection; two only if somebody made two identities for it.
    pub(super) fn at(&self, place: u64) -> impl Iterator<Item = &Floor> {
        let there = self.by_place.range((place, LEAST)..).take_while(move |(at, _)| *at == place);
        there.filter_map(|(_, id)| self.floors.get(id))
    }

    #[cfg(feature = "marks")]
    pub(super) fn all(&self) -> impl Iterator<Item = &Floor> {
        self.floors.values()
    }

    #[cfg(feature = "marks")]
    pub(super) fn len(&self) -> usize {
        self.floors.len()
    }

    /// How many farewells of unknown peers this one has told of.
    pub(super) fn told_by(&self, introducer: &PeerId) -> usize {
        self.introduced.get(introducer).copied().unwrap_or(0)
    }

    #[cfg(feature = "marks")]
    pub(super) fn most_told(&self) -> usize {
        self.introduced.values().copied().max().unwrap_or(0)
    }

    /// Sets the floor of a peer; says whether another had to make room.
    pub(super) fn set(&mut self, peer: PeerId, floor: Floor, limit: usize) -> bool {
        self.remove(&peer);
        let full = self.floors.len() >= limit;
        if full && let Some(&(_, _, first)) = self.by_end.first() {
            self.remove(&first);
        }
        if let Some(introducer) = floor.introducer {
            *self.introduced.entry(introducer).or_default() += 1;
        }
        self.by_end.insert((floor.proven, floor.until, peer));
        self.by_place.insert((floor.place, peer));
        self.floors.insert(peer, floor);
        full
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Floor> {
        let floor = self.floors.remove(peer)?;
        self.by_end.remove(&(floor.proven, floor.until, *peer));
        self.by_place.remove(&(floor.place, *peer));
        if let Some(introducer) = floor.introducer
            && let Some(told) = self.introduced.get_mut(&introducer)
        {
            *told -= 1;
            if *told == 0 {
                self.introduced.remove(&introducer);
            }
        }
        Some(floor)
    }

    /// Forgets those whose time is over.
    pub(super) fn forget_ended(&mut self, now: Timestamp) {
        let ended: Vec<PeerId> =
            self.floors.iter().filter(|(_, floor)| floor.until <= now).map(|(&id, _)| id).collect();
        for id in ended {
            self.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use crate::identity::Identity;
    use crate::record::PeerRecord;
    use crate::record::tests::sample;

    use super::*;

    fn signed(number: u8, change: impl FnOnce(&mut PeerRecord)) -> SignedRecord {
        let identity = Identity::from_seed([number; 32]);
        let mut record = sample(&identity);
        record.kind = RecordKind::Gone;
        change(&mut record);
        SignedRecord::sign(&identity, record).unwrap()
    }

    fn floor(number: u8, until: u64, proven: bool) -> (PeerId, Floor) {
        let record = signed(number, |_| ());
        let id = record.record().peer;
        let held = Held { record, age: Duration::ZERO, received: Timestamp::ZERO };
        let introducer = (!proven).then_some(PeerId::from_bytes([9; 32]));
        let until = Timestamp::from_millis(until);
        (id, Floor { held, place: u64::from(number / 2), until, proven, introducer })
    }

    #[test]
    fn floors_of_proven_peers_are_never_evicted_for_others() {
        let mut floors = Floors::default();
        let (proven, first) = floor(0, 1, true);
        assert!(!floors.set(proven, first, 3));
        for number in 1..100 {
            let (id, floor) = floor(number, 1_000 + u64::from(number), false);
            assert_eq!(floors.set(id, floor, 3), number > 2);
            assert!(floors.get(&id).is_some() && floors.get(&proven).is_some(), "{number}");
        }
        assert_eq!(floors.floors.len(), 3);
        assert_eq!((floors.by_end.len(), floors.by_place.len()), (3, 3));
        assert_eq!(floors.told_by(&PeerId::from_bytes([9; 32])), 2);
        assert_eq!(floors.at(98 / 2).count(), 2, "two of one place");
    }

    #[test]
    fn a_floor_is_forgotten_with_all_that_points_at_it() {
        let mut floors = Floors::default();
        for number in 0..10 {
            let (id, floor) = floor(number, u64::from(number), number % 3 == 0);
            floors.set(id, floor, 100);
        }
        floors.forget_ended(Timestamp::from_millis(4));
        assert_eq!((floors.floors.len(), floors.by_end.len(), floors.by_place.len()), (5, 5, 5));
        floors.forget_ended(Timestamp::from_millis(40));
        assert!(floors.introduced.is_empty() && floors.by_end.is_empty() && floors.by_place.is_empty());
    }

    #[test]
    fn a_farewell_speaks_for_all_classes_and_an_expired_record_for_its_own() {
        let refuses = |floor: &SignedRecord, record: &SignedRecord| {
            let held = Held { record: floor.clone(), age: Duration::ZERO, received: Timestamp::ZERO };
            let floor = Floor { held, place: 0, until: Timestamp::ZERO, proven: false, introducer: None };
            let unverified = UnverifiedRecord::parse(record.bytes()).unwrap();
            let (refused, version) = (floor.refuses(&unverified), Version::of(record));
            assert_eq!(refused, floor.outdates(record.record().class, &version), "by version alone too");
            refused
        };
        let of = |kind, class, incarnation, seq| {
            signed(1, |record| {
                (record.kind, record.class) = (kind, class);
                (record.incarnation, record.seq) = (incarnation, seq);
            })
        };
        let (local, wide) = (RecordClass::Local, RecordClass::Wide);
        let gone = of(RecordKind::Gone, local, 3, 1);
        assert!(refuses(&gone, &of(RecordKind::Alive, local, 3, 9)));
        assert!(refuses(&gone, &of(RecordKind::Alive, wide, 3, 9)));
        assert!(!refuses(&gone, &of(RecordKind::Alive, wide, 4, 1)));
        let expired = of(RecordKind::Alive, local, 3, 5);
        assert!(refuses(&expired, &of(RecordKind::Alive, local, 3, 4)));
        assert!(!refuses(&expired, &of(RecordKind::Alive, wide, 3, 4)));
        assert!(refuses(&expired, &of(RecordKind::Alive, wide, 2, 9)));
    }
}
