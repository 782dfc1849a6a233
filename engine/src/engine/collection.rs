//! The collection that all nodes compare: where each peer has its place in it, who goes first when there is no more
//! room, and the digests.
//!
//! A peer's place is a number that the network's key draws, the same for everybody who has the key. Its first byte is
//! the bucket; turned by that byte it is the peer's rank, by which a full table keeps its lowest. So tables that are
//! full agree all the same: whatever is told in whatever order, the lowest of all stay.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::identity::PeerId;
use crate::network::Network;
use crate::record::RecordKind;
use crate::wire::{BUCKETS, Digest, RecordEntry, bucket_digest, place_of};

use super::Engine;
use super::held::Held;

/// The peer that is ordered before all others.
pub(super) const LEAST: PeerId = PeerId::from_bytes([0; 32]);

#[derive(Debug)]
pub(crate) struct Collection {
    key: [u8; 32],
    /// Everybody in the table and ourselves.
    by_place: BTreeSet<(u64, PeerId)>,
    /// Who never proved itself to us, by rank.
    unproven: BTreeSet<(u64, PeerId)>,
    /// Those of them that others told of, by who did.
    introduced: BTreeMap<PeerId, BTreeSet<(u64, PeerId)>>,
    digests: Digests,
}

/// The digests that are still right, of the records up to a rank.
#[derive(Debug, Default)]
struct Digests {
    below: u64,
    buckets: Vec<Option<Digest>>,
}

/// The rank of a peer at this place.
pub(super) fn rank(place: u64) -> u64 {
    place.rotate_left(8)
}

fn bucket(place: u64) -> usize {
    (place >> 56) as usize
}

/// The places of a bucket, the first and the last.
pub(super) fn places_of(bucket: u8) -> (u64, u64) {
    let first = u64::from(bucket) << 56;
    (first, first | (u64::MAX >> 8))
}

impl Collection {
    pub(super) fn new(network: &Network, own: PeerId) -> Self {
        let mut collection = Collection {
            key: network.place_key(),
            by_place: BTreeSet::new(),
            unproven: BTreeSet::new(),
            introduced: BTreeMap::new(),
            digests: Digests::default(),
        };
        let place = collection.place(&own);
        collection.by_place.insert((place, own));
        collection
    }

    /// Where a peer has its place.
    pub(super) fn place(&self, peer: &PeerId) -> u64 {
        place_of(&self.key, peer)
    }

    /// Who is known at a place; two only if somebody made two identities for it.
    pub(super) fn at(&self, place: u64) -> impl Iterator<Item = PeerId> + '_ {
        self.between(place, place).map(|(_, id)| id)
    }

    /// Who is known at these places, the last one included.
    fn between(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, PeerId)> + '_ {
        self.by_place.range((first, LEAST)..).copied().take_while(move |(place, _)| *place <= last)
    }

    /// A peer is in the table now, and nobody has proven to be it. `introducer` told of it.
    pub(super) fn joined(&mut self, peer: PeerId, introducer: Option<PeerId>) {
        let place = self.place(&peer);
        self.by_place.insert((place, peer));
        self.unproven.insert((rank(place), peer));
        if let Some(introducer) = introducer {
            self.introduced.entry(introducer).or_default().insert((rank(place), peer));
        }
        self.changed(&peer);
    }

    /// A peer spoke for itself: it counts against nobody any more.
    pub(super) fn spoke(&mut self, peer: &PeerId, introducer: PeerId) {
        let rank = rank(self.place(peer));
        if let Some(introduced) = self.introduced.get_mut(&introducer) {
            introduced.remove(&(rank, *peer));
            if introduced.is_empty() {
                self.introduced.remove(&introducer);
            }
        }
    }

    /// A peer proved itself. `introducer` had told of it, if it had not spoken for itself before.
    pub(super) fn proved(&mut self, peer: &PeerId, introducer: Option<PeerId>) {
        if let Some(introducer) = introducer {
            self.spoke(peer, introducer);
        }
        let rank = rank(self.place(peer));
        self.unproven.remove(&(rank, *peer));
    }

    /// A peer left the table.
    pub(super) fn parted(&mut self, peer: &PeerId, introducer: Option<PeerId>) {
        self.proved(peer, introducer);
        let place = self.place(peer);
        self.by_place.remove(&(place, *peer));
        self.changed(peer);
    }

    /// What is held of a peer is another record now.
    pub(super) fn changed(&mut self, peer: &PeerId) {
        let bucket = bucket(self.place(peer));
        if let Some(digest) = self.digests.buckets.get_mut(bucket) {
            *digest = None;
        }
    }

    /// The ranks of those whom this one introduced and who never spoke for themselves.
    pub(super) fn introduced_by(&self, introducer: &PeerId) -> Option<&BTreeSet<(u64, PeerId)>> {
        self.introduced.get(introducer)
    }

    /// The most that anybody introduced.
    #[cfg(feature = "marks")]
    pub(super) fn most_introduced(&self) -> usize {
        self.introduced.values().map(BTreeSet::len).max().unwrap_or(0)
    }
}

impl Engine {
    /// What we hold of somebody, ourselves included. Who said goodbye is on its way out.
    pub(super) fn held_records(&self, id: &PeerId) -> Vec<Held> {
        if *id == self.identity.peer_id() {
            return self.own_held().collect();
        }
        let known = self.peers.get(id).filter(|known| !known.gone);
        known.map_or_else(Vec::new, |known| known.held().collect())
    }

    /// Our own records, as others hold them.
    fn own_held(&self) -> impl Iterator<Item = Held> + '_ {
        let records = core::iter::once(self.own.record()).chain(&self.own.wide);
        records.map(|record| Held { record: record.clone(), age: Duration::ZERO, received: self.now })
    }

    /// The highest rank that still has room: with a full table, that of the first who would go.
    pub(super) fn below(&self) -> u64 {
        if self.peers.len() < self.config.max_peers {
            return u64::MAX;
        }
        self.first_to_go(&self.collection.unproven).map_or(u64::MAX, |(rank, _)| rank)
    }

    /// Of these the one with the highest rank that has no link, not even one that is being dialled: as many are passed
    /// over as there are links.
    fn first_to_go(&self, among: &BTreeSet<(u64, PeerId)>) -> Option<(u64, PeerId)> {
        let idle = |id: &PeerId| self.peers.get(id).is_some_and(super::peer::Peer::is_idle);
        among.iter().rev().find(|(_, id)| idle(id)).copied()
    }

    /// The unproven peer that goes first.
    pub(super) fn first_unproven_to_go(&self) -> Option<PeerId> {
        self.first_to_go(&self.collection.unproven).map(|(_, id)| id)
    }

    /// Whom a peer has to give up so that it may tell of somebody of this rank: nobody, somebody of a higher rank, or it
    /// may not.
    pub(super) fn introduction(&self, introducer: &PeerId, rank: u64) -> Introduction {
        let introduced = self.collection.introduced_by(introducer);
        if introduced.is_none_or(|introduced| introduced.len() < self.config.max_introduced) {
            return match self.peers.len() < self.config.max_peers {
                true => Introduction::Room,
                false => self.instead_of(rank, &self.collection.unproven),
            };
        }
        introduced.map_or(Introduction::Refused, |introduced| self.instead_of(rank, introduced))
    }

    fn instead_of(&self, rank: u64, among: &BTreeSet<(u64, PeerId)>) -> Introduction {
        match self.first_to_go(among).filter(|(highest, _)| *highest > rank) {
            Some((_, id)) => Introduction::InsteadOf(id),
            None => Introduction::Refused,
        }
    }

    /// Of these ranks of peers that are not known, in rising order, how many a peer may tell of: the lowest.
    pub(super) fn introductions(&self, introducer: &PeerId, ranks: &[u64]) -> usize {
        let mut told = self.collection.introduced_by(introducer).into_iter().flatten().peekable();
        let highest = self.first_to_go(&self.collection.unproven).map_or(0, |(rank, _)| rank);
        let mut lower = 0;
        let room = self.config.max_peers.saturating_sub(self.peers.len());
        let may = |(i, &rank): (usize, &u64)| {
            while told.next_if(|(other, _)| *other < rank).is_some() {
                lower += 1;
            }
            lower + i < self.config.max_introduced && (i < room || rank < highest)
        };
        ranks.iter().enumerate().map(may).take_while(|may| *may).count()
    }

    /// The digests of all buckets over what is held up to the rank `below`. Only those are made anew in which something
    /// changed.
    pub(super) fn digests(&mut self, below: u64) -> Vec<Digest> {
        if self.collection.digests.buckets.len() != BUCKETS || self.collection.digests.below != below {
            self.collection.digests = Digests { below, buckets: alloc::vec![None; BUCKETS] };
        }
        let mut digests = core::mem::take(&mut self.collection.digests.buckets);
        let made = digests.iter_mut().zip(0u8..=u8::MAX);
        let all = made.map(|(digest, bucket)| *digest.get_or_insert_with(|| self.digest(bucket, below)));
        let all = all.collect();
        self.collection.digests.buckets = digests;
        all
    }

    fn digest(&self, bucket: u8, below: u64) -> Digest {
        let (first, last) = places_of(bucket);
        bucket_digest(self.records_between(first, last, below).map(|(place, held)| (place, held.record)))
    }

    /// What is held at these places up to this rank, by (place, class).
    pub(super) fn records_between(
        &self,
        first: u64,
        last: u64,
        below: u64,
    ) -> impl Iterator<Item = (u64, Held)> + '_ {
        self.collection.between(first, last).flat_map(move |(place, id)| {
            let mut held = if rank(place) <= below { self.held_records(&id) } else { Vec::new() };
            held.sort_by_key(|held| held.record.record().class);
            held.into_iter().map(move |held| (place, held))
        })
    }

    /// Whether an entry stands for news of somebody whom we know; `None` if we do not. A rival of what is held is none,
    /// unless we are its subject and jump above it.
    pub(super) fn is_newer(&self, entry: &RecordEntry) -> Option<bool> {
        let id = self.collection.at(entry.place).next()?;
        let held = self.held_records(&id).into_iter().map(|held| RecordEntry::of(entry.place, &held.record));
        let mut not_older = held.filter(|own| {
            let rivals = own.version.incarnation == entry.version.incarnation && own.run != entry.run;
            let rivals = rivals && entry.version.kind == RecordKind::Alive && id != self.identity.peer_id();
            rivals || (own.class == entry.class && own.version >= entry.version)
        });
        Some(not_older.next().is_none())
    }
}

/// What becomes of somebody whom a peer tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduction {
    /// There is room.
    Room,
    /// This one makes room.
    InsteadOf(PeerId),
    /// Neither the table nor what the peer may tell of has room.
    Refused,
}
