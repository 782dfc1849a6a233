//! What goes wrong, how often it should, and how often it did.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often each fault happens. Probabilities are 0.0 to 1.0; the default is a network without faults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultProfile {
    /// A datagram is lost on its way to one receiver.
    pub loss: f64,
    /// A datagram arrives twice.
    pub duplication: f64,
    /// One bit of a datagram flips.
    pub corruption: f64,
    /// A datagram arrives after the one that followed it.
    pub reordering: f64,
    /// A read of a stream waits for up to `stream_delay_up_to`.
    pub stream_delay: f64,
    /// The longest such wait, in whole milliseconds.
    pub stream_delay_up_to: Duration,
    /// A read or a write of a stream moves only a few of the bytes that it could.
    pub stream_split: f64,
    /// A stream brings nothing more from some read on, without an error.
    pub stream_stall: f64,
    /// A stream breaks at a read.
    pub stream_reset: f64,
    /// One bit of what a stream brings flips.
    pub stream_corruption: f64,
}

impl FaultProfile {
    /// A network without faults.
    #[must_use]
    pub fn none() -> Self {
        FaultProfile::default()
    }

    /// Independent loss of datagrams.
    #[must_use]
    pub fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Duplicated datagrams.
    #[must_use]
    pub fn duplication(mut self, probability: f64) -> Self {
        self.duplication = probability;
        self
    }

    /// Datagrams with a flipped bit.
    #[must_use]
    pub fn corruption(mut self, probability: f64) -> Self {
        self.corruption = probability;
        self
    }

    /// Datagrams that the next one overtakes.
    #[must_use]
    pub fn reordering(mut self, probability: f64) -> Self {
        self.reordering = probability;
        self
    }
}

/// How often each fault happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each name is its own sentence")]
pub struct FaultCounts {
    pub datagrams_lost: u64,
    pub datagrams_duplicated: u64,
    pub datagrams_corrupted: u64,
    pub datagrams_reordered: u64,
    pub datagrams_partitioned: u64,
    pub broadcasts_swallowed: u64,
    pub multicasts_swallowed: u64,
    pub streams_delayed: u64,
    pub streams_split: u64,
    pub streams_stalled: u64,
    pub streams_reset: u64,
    pub streams_corrupted: u64,
    pub crashes: u64,
    pub partitions: u64,
    pub outages: u64,
}

impl FaultCounts {
    /// Each fault that happened, by its name, and how often.
    #[must_use]
    pub fn by_name(&self) -> Vec<(&'static str, u64)> {
        let all = [
            ("datagrams lost", self.datagrams_lost),
            ("datagrams duplicated", self.datagrams_duplicated),
            ("datagrams corrupted", self.datagrams_corrupted),
            ("datagrams reordered", self.datagrams_reordered),
            ("datagrams lost to a partition", self.datagrams_partitioned),
            ("broadcasts swallowed", self.broadcasts_swallowed),
            ("multicasts swallowed", self.multicasts_swallowed),
            ("stream reads delayed", self.streams_delayed),
            ("stream reads and writes split", self.streams_split),
            ("streams stalled", self.streams_stalled),
            ("streams reset", self.streams_reset),
            ("streams corrupted", self.streams_corrupted),
            ("crashes", self.crashes),
            ("partitions", self.partitions),
            ("outages", self.outages),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// The profile in force and the counts so far, shared by all hosts of one simulation.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    profile: FaultProfile,
    counts: FaultCounts,
    /// Pairs that cannot reach each other, smaller address first.
    cuts: BTreeSet<(IpAddr, IpAddr)>,
    /// Directions, from one host to another, that have a profile of their own.
    paths: BTreeMap<(IpAddr, IpAddr), FaultProfile>,
    /// How often the streams between two hosts were broken, smaller address first.
    resets: BTreeMap<(IpAddr, IpAddr), u64>,
    no_broadcasts: bool,
    no_multicasts: bool,
}

impl Faults {
    /// Faults by this profile, none counted.
    #[must_use]
    pub fn new(profile: FaultProfile) -> Self {
        Faults(Arc::new(Mutex::new(State { profile, ..State::default() })))
    }

    /// Changes how often faults happen from now on.
    pub fn set_profile(&self, profile: FaultProfile) {
        self.lock().profile = profile;
    }

    /// How often faults happen now.
    #[must_use]
    pub fn profile(&self) -> FaultProfile {
        self.lock().profile
    }

    /// Gives one direction between two hosts a profile of its own, or with `None` that of all others.
    pub(crate) fn set_path(&self, from: IpAddr, to: IpAddr, profile: Option<FaultProfile>) {
        let paths = &mut self.lock().paths;
        match profile {
            Some(profile) => paths.insert((from, to), profile),
            None => paths.remove(&(from, to)),
        };
    }

    /// How often faults happen now on the way from one host to another, as far as both are known.
    pub(crate) fn profile_between(&self, from: IpAddr, to: Option<IpAddr>) -> FaultProfile {
        let state = self.lock();
        let own = to.and_then(|to| state.paths.get(&(from, to)));
        own.copied().unwrap_or(state.profile)
    }

    /// Breaks every stream that there is between two hosts, at its next read.
    pub(crate) fn reset(&self, a: IpAddr, b: IpAddr) {
        *self.lock().resets.entry((a.min(b), a.max(b))).or_default() += 1;
    }

    /// How often the streams between two hosts were broken, as far as both are known.
    pub(crate) fn resets(&self, a: IpAddr, b: Option<IpAddr>) -> u64 {
        let resets = b.and_then(|b| self.lock().resets.get(&(a.min(b), a.max(b))).copied());
        resets.unwrap_or(0)
    }

    /// Whether broadcasts, and multicasts, get lost altogether from now on.
    pub(crate) fn set_swallowed(&self, broadcasts: bool, multicasts: bool) {
        let mut state = self.lock();
        (state.no_broadcasts, state.no_multicasts) = (broadcasts, multicasts);
    }

    /// Whether a datagram to this address is lost before it leaves, and counts it if so.
    pub(crate) fn swallows(&self, to: IpAddr) -> bool {
        let mut state = self.lock();
        let broadcast = state.no_broadcasts && matches!(to, IpAddr::V4(ip) if ip.is_broadcast());
        let multicast = state.no_multicasts && to.is_multicast();
        state.counts.broadcasts_swallowed += u64::from(broadcast);
        state.counts.multicasts_swallowed += u64::from(multicast);
        broadcast || multicast
    }

    /// How often each fault happened so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.lock().counts
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut FaultCounts)) {
        add(&mut self.lock().counts);
    }

    /// Notes that two hosts cannot reach each other, so that what they send can be counted as lost.
    pub(crate) fn cut(&self, a: IpAddr, b: IpAddr) {
        self.lock().cuts.insert((a.min(b), a.max(b)));
    }

    /// Notes that two hosts reach each other again.
    pub(crate) fn mend(&self, a: IpAddr, b: IpAddr) {
        self.lock().cuts.remove(&(a.min(b), a.max(b)));
    }

    /// Whether two hosts cannot reach each other, as far as both are known.
    pub(crate) fn is_cut(&self, a: IpAddr, b: Option<IpAddr>) -> bool {
        b.is_some_and(|b| self.lock().cuts.contains(&(a.min(b), a.max(b))))
    }

    /// Counts what a partition takes of a datagram that `from` sends to `to`: one for each host cut off, if `to`
    /// is a broadcast or multicast address.
    pub(crate) fn count_partitioned(&self, from: IpAddr, to: IpAddr) {
        let one_to_many = match to {
            IpAddr::V4(ip) => ip.is_broadcast() || ip.is_multicast(),
            IpAddr::V6(ip) => ip.is_multicast(),
        };
        let mut state = self.lock();
        let lost = if one_to_many {
            state.cuts.iter().filter(|(a, b)| *a == from || *b == from).count()
        } else {
            usize::from(state.cuts.contains(&(from.min(to), from.max(to))))
        };
        state.counts.datagrams_partitioned += lost as u64;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, so a poisoned state is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
