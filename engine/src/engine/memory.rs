//! What the next run should know, kept up to date: whom we met, and the floors of those who are gone.
//!
//! The store is told of changes only, in one request at a time and at most one a second. It is told everything anew
//! after a request failed, and when not all of what it gave back at the start was of use.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::StoreFailure;
use crate::marks::mark;
use crate::memory::{Memory, MemoryChange, Remembered, RememberedFloor};
use crate::output::{Action, StoreRequest};
use crate::record::{SignedRecord, UnverifiedRecord};
use crate::time::Timestamp;
use crate::timers::TimerKey;

use super::Engine;

/// How long news waits to be kept, so that many are written at once.
const REMEMBER_AFTER: Duration = Duration::from_secs(1);

/// How long to wait after the store failed: a full disk does not empty itself in a second.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// What there is to keep beside the floors, and what the store has.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    /// Peers of this run and of earlier ones, the best first. At most `max_peers`, see [`Keeping::note`].
    met: Vec<Met>,
    meetings: u64,
    /// Of whom the store has something. As many as the tables hold.
    stored_peers: BTreeSet<PeerId>,
    stored_floors: BTreeSet<PeerId>,
    /// Whether there is anything that the store was not told.
    changed: bool,
    /// Whether it must be told everything.
    anew: bool,
    /// Whether it has yet to answer.
    asked: bool,
    /// When it may be asked again.
    not_before: Timestamp,
}

/// A peer that was met. That is where to call and no more: how old the record of an earlier run is by now nobody knows,
/// so it is neither believed nor passed on.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) peer: PeerId,
    pub(super) address: SocketAddr,
    record: SignedRecord,
    trusted: bool,
    returning: bool,
    number: u64,
    /// Known from an earlier run and not met in this one yet.
    earlier: bool,
    /// Whether the store has it as it is.
    stored: bool,
}

impl Met {
    /// Where it stands, the best first. Who was trusted goes before who merely has a key, and who was there in several
    /// runs of ours before who came in one: that cannot be had by coming often.
    fn rank(&self) -> (bool, bool, Reverse<u64>) {
        (!self.trusted, !self.returning, Reverse(self.number))
    }

    fn to_keep(&self) -> Remembered {
        Remembered {
            record: self.record.bytes().to_vec(),
            address: self.address,
            trusted: self.trusted,
            returning: self.returning,
            met: self.number,
        }
    }
}

impl Keeping {
    /// Whom we met, the best first.
    pub(super) fn met(&self) -> &[Met] {
        &self.met
    }

    /// Notes a meeting; beyond `room` another makes room. Says whether one did: one that was never trusted first, then one
    /// that has no link now, then one that came in one run only, and of those the one met longest ago.
    fn note(&mut self, mut met: Met, room: usize, linked: impl Fn(&PeerId) -> bool) -> bool {
        self.meetings = self.meetings.saturating_add(1);
        met.number = self.meetings;
        if let Some(place) = self.met.iter().position(|known| known.peer == met.peer) {
            let before = self.met.remove(place);
            met.trusted |= before.trusted;
            met.returning = before.returning || before.earlier;
        }
        let place = self.met.partition_point(|other| other.rank() < met.rank());
        self.met.insert(place, met);
        if self.met.len() <= room {
            return false;
        }
        let worth = |met: &Met| (met.trusted, linked(&met.peer), met.returning, met.number);
        let least = self.met.iter().enumerate().min_by_key(|(_, met)| worth(met)).map(|(place, _)| place);
        least.is_some_and(|least| {
            self.met.remove(least);
            true
        })
    }

    /// Takes peers of earlier runs, as many as there is room for.
    fn recall(&mut self, mut peers: Vec<Met>, room: usize) {
        peers.sort_by_key(Met::rank);
        self.anew |= peers.len() > room;
        peers.truncate(room);
        self.meetings = peers.iter().map(|met| met.number).max().unwrap_or(0);
        self.met = peers;
    }
}

impl Engine {
    /// Takes what earlier runs remembered; what is not valid is skipped and counted.
    pub(super) fn recall(&mut self, memory: &Memory) {
        let mut refused = 0;
        for (&peer, floor) in &memory.floors {
            match self.check_recalled(peer, &floor.record) {
                Some(record) => self.recall_floor(record, floor.proven),
                None => refused += 1,
            }
        }
        let mut met = Vec::new();
        for (&peer, Remembered { record, address, trusted, returning, met: number }) in &memory.peers {
            match self.check_recalled(peer, record) {
                Some(record) => met.push(Met {
                    peer,
                    address: *address,
                    record,
                    trusted: *trusted,
                    returning: *returning,
                    number: *number,
                    earlier: true,
                    stored: true,
                }),
                None => refused += 1,
            }
        }
        self.keeping.recall(met, self.config.max_peers);
        self.stats.records_refused += refused;
        // Another configuration may have left more than there is room for.
        self.keeping.anew |= refused > 0 || memory.floors.len() > 2 * self.config.max_peers;
        if self.keeping.anew {
            self.keep_soon();
        } else {
            self.keeping.stored_peers = memory.peers.keys().copied().collect();
            self.keeping.stored_floors = memory.floors.keys().copied().collect();
        }
    }

    fn check_recalled(&self, peer: PeerId, record: &[u8]) -> Option<SignedRecord> {
        let record = self.check_signature(UnverifiedRecord::parse(record).ok()?).ok()?;
        let told = record.record();
        (told.peer == peer && told.network == self.config.network.tag()).then_some(record)
    }

    /// A peer has a link, or has become trusted: a later run shall find it even where no broadcast gets.
    pub(super) fn remember_peer(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else { return };
        let Some(address) = self.address_to_remember(known) else { return };
        let met = Met {
            peer,
            address,
            record: known.record.clone(),
            trusted: known.is_trusted(),
            returning: false,
            number: 0,
            earlier: false,
            stored: false,
        };
        let linked = |id: &PeerId| self.peers.get(id).is_some_and(|known| known.link.is_some());
        if self.keeping.note(met, self.config.max_peers, linked) {
            mark!(self, MetMadeRoom);
        }
        self.keep_soon();
    }

    /// Nobody shall look for a peer any more; says whether it was remembered. That it has left is kept: forgotten, it could
    /// come back as it was.
    pub(super) fn forget_remembered(&mut self, peer: PeerId) -> bool {
        let before = self.keeping.met.len();
        self.keeping.met.retain(|met| met.peer != peer);
        let had = self.keeping.met.len() < before;
        if had {
            self.keep_soon();
        }
        had
    }

    /// Something changed that the next run should know.
    pub(super) fn keep_soon(&mut self) {
        self.keeping.changed = true;
        if !self.keeping.asked && self.leaving.is_none() {
            self.timers
                .set_earlier(TimerKey::Remember, self.keeping.not_before.max(self.now + REMEMBER_AFTER));
        }
    }

    /// Has the store keep what changed.
    pub(super) fn remember_due(&mut self) {
        self.timers.cancel(TimerKey::Remember);
        let anew = core::mem::take(&mut self.keeping.anew);
        if anew {
            self.keeping.stored_peers.clear();
            self.keeping.stored_floors.clear();
        }
        self.keeping.changed = false;
        let mut changes = self.changed_peers(anew);
        if !changes.is_empty() {
            mark!(self, PeersRemembered);
        }
        let floors = self.changed_floors(anew);
        if !floors.is_empty() {
            mark!(self, FloorsRemembered);
        }
        changes.extend(floors);
        if !anew && changes.is_empty() {
            return;
        }
        self.keeping.asked = true;
        self.outputs.action(Action::Store(StoreRequest::Remember { anew, changes }));
    }

    fn changed_peers(&mut self, all: bool) -> Vec<MemoryChange> {
        let now: BTreeSet<PeerId> = self.keeping.met.iter().map(|met| met.peer).collect();
        let gone = self.keeping.stored_peers.difference(&now);
        let mut changes: Vec<_> = gone.map(|&peer| MemoryChange::Peer { peer, kept: None }).collect();
        for met in self.keeping.met.iter_mut().filter(|met| all || !met.stored) {
            met.stored = true;
            changes.push(MemoryChange::Peer { peer: met.peer, kept: Some(met.to_keep()) });
        }
        self.keeping.stored_peers = now;
        changes
    }

    fn changed_floors(&mut self, all: bool) -> Vec<MemoryChange> {
        let worthy = self.floors.iter().filter(|(_, floor)| floor.outlives_the_run());
        let now: BTreeSet<PeerId> = worthy.map(|(&peer, _)| peer).collect();
        let gone = self.keeping.stored_floors.difference(&now);
        let mut changes: Vec<_> = gone.map(|&peer| MemoryChange::Floor { peer, kept: None }).collect();
        for &peer in &now {
            let Some(floor) = self.floors.get(&peer).filter(|floor| all || !floor.stored) else { continue };
            let kept = RememberedFloor { record: floor.record().bytes().to_vec(), proven: floor.proven };
            changes.push(MemoryChange::Floor { peer, kept: Some(kept) });
            self.floors.note_stored(&peer);
        }
        self.keeping.stored_floors = now;
        changes
    }

    /// The store has kept what it was asked to keep, or could not.
    pub(super) fn remembered(&mut self, result: Result<(), StoreFailure>) {
        self.keeping.asked = false;
        if result.is_err() {
            mark!(self, MemoryNotKept);
            self.keeping.anew = true;
            self.keeping.not_before = self.now + RETRY_AFTER;
        }
        if self.keeping.changed || self.keeping.anew {
            self.keep_soon();
        }
    }

    /// Has the store keep what it was not told yet, now that nothing follows. It may fail what it was asked before, so then
    /// it is told everything.
    pub(super) fn remember_before_leaving(&mut self) {
        self.keeping.anew |= self.keeping.asked;
        if self.keeping.changed || self.keeping.anew {
            self.remember_due();
        }
    }

    /// How full its tables are.
    #[cfg(feature = "marks")]
    pub(super) fn memory_tables(&self) -> [super::Table; 3] {
        let (peers, keeping) = (self.config.max_peers, &self.keeping);
        [
            ("remembered peers", keeping.met.len(), peers),
            ("peers in the store", keeping.stored_peers.len(), peers),
            ("floors in the store", keeping.stored_floors.len(), 2 * peers),
        ]
    }
}
