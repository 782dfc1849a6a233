//! Copies of this node's identity: earlier runs whose records come to light, and programs that run from a copied data
//! directory. A record that outranks ours is outranked in turn, or nobody would believe us; but two that both live must
//! not take turns for ever, so who was outranked too often gives way.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

use crate::event::Event;
use crate::marks::mark;
use crate::record::{Instance, SignedRecord};
use crate::time::Timestamp;
use crate::timers::TimerKey;

use super::Engine;
use super::outputs::Slot;

/// How many copies of this identity are remembered; a record of a further one is ignored.
const MAX_CLONES: usize = 8;

/// How often one copy is outranked. A run that is over may have jumped itself, and its records come to light one after
/// the other; two that both live stop after so many rounds.
const MAX_JUMPS: u8 = 8;

/// A jump goes so far at most. Two that jump above each other at the same moment must not land on the same incarnation
/// again and again: of two equal ones neither is believed.
const STRIDE: u64 = 16;

/// An earlier run of ours may still be heard for a moment after its end; one that speaks for longer lives.
const LIVES: Duration = Duration::from_secs(2);

/// Who gave way tries again when the other was not heard for so long: longer than the slowest beacons are apart. Twice as
/// long each time, so that copies that cannot hear each other do not fight either, and at most [`LONGEST_REST`].
const REST: Duration = Duration::from_secs(330);
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

/// What is known of other instances under our key.
#[derive(Debug, Default)]
pub(crate) struct Clones {
    /// How often we have outranked each.
    outranked: BTreeMap<Instance, u8>,
    /// Whose beacons were heard: since when, and whether the application was told.
    sightings: BTreeMap<Instance, (Timestamp, bool)>,
    /// Where such beacons came from, for the application. At most [`MAX_CLONES`].
    shared_with: VecDeque<SocketAddr>,
    /// The highest incarnation of any of them.
    highest: u64,
    /// Whether we gave way, and whether the application knows.
    superseded: bool,
    told_superseded: bool,
    /// How often we gave way.
    rests: u32,
}

impl Engine {
    /// Whether this run gave way to a newer one under the same key: it dials nobody, and others do not believe it.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.clones.superseded
    }

    /// Meets a record that bears our own signature. One of another instance that is not older than ours outranks us
    /// everywhere: jump above it, or give way.
    pub(super) fn met_own_record(&mut self, foreign: &SignedRecord) {
        let theirs = foreign.record();
        let clones = &mut self.clones;
        if theirs.instance == self.own.instance()
            || theirs.incarnation < self.own.incarnation()
            || (clones.outranked.len() >= MAX_CLONES && !clones.outranked.contains_key(&theirs.instance))
        {
            return;
        }
        clones.highest = clones.highest.max(theirs.incarnation);
        let jumps = clones.outranked.entry(theirs.instance).or_default();
        if *jumps >= MAX_JUMPS {
            self.give_way_to_clone();
            return;
        }
        *jumps += 1;
        self.outrank_clones();
    }

    /// Jumps above every copy that was met.
    fn outrank_clones(&mut self) {
        let stride = 1 + self.behaviour.below(STRIDE);
        let Some(incarnation) = self.clones.highest.checked_add(stride) else { return };
        mark!(self, CloneOutranked);
        self.continue_as(incarnation);
    }

    fn give_way_to_clone(&mut self) {
        if self.clones.superseded {
            return;
        }
        mark!(self, Superseded);
        self.clones.superseded = true;
        self.clones.rests = self.clones.rests.saturating_add(1);
        self.outputs.notify(Slot::Superseded);
        self.rest();
    }

    /// Waits until the other has been silent for long.
    fn rest(&mut self) {
        let doublings = self.clones.rests.saturating_sub(1).min(16);
        self.set_timer(TimerKey::Reclaim, (REST * (1 << doublings)).min(LONGEST_REST));
    }

    /// Nobody was heard under our key for long: the identity is ours again, unless somebody says otherwise.
    pub(super) fn reclaim_due(&mut self) {
        mark!(self, IdentityReclaimed);
        self.clones.superseded = false;
        self.outputs.notify(Slot::Superseded);
        self.outrank_clones();
        self.start_over();
    }

    /// A beacon under our own key came from another instance: somebody runs a copy of this node's key. The application
    /// is told once for each.
    pub(super) fn heard_clone(&mut self, instance: Instance, source: SocketAddr) {
        let now = self.now;
        if self.clones.superseded {
            self.rest();
        }
        let sightings = &mut self.clones.sightings;
        if sightings.len() >= MAX_CLONES && !sightings.contains_key(&instance) {
            return;
        }
        let (since, told) = sightings.entry(instance).or_insert((now, false));
        if *told || now.since(*since) < LIVES {
            return;
        }
        *told = true;
        mark!(self, CloneReported);
        self.clones.shared_with.push_back(source);
        self.outputs.notify(Slot::IdentityShared);
    }

    pub(super) fn next_shared_identity(&mut self) -> Option<Event> {
        self.clones.shared_with.pop_front().map(|addr| Event::IdentityShared { addr })
    }

    pub(super) fn superseded_event(&mut self) -> Option<Event> {
        let clones = &mut self.clones;
        let told = core::mem::replace(&mut clones.told_superseded, clones.superseded);
        match (told, clones.superseded) {
            (false, true) => Some(Event::Superseded),
            (true, false) => Some(Event::IdentityReclaimed),
            _ => None,
        }
    }
}
