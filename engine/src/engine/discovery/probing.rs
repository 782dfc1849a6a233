//! Probes: which rung gets through between us and a peer, in which direction.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::engine::Engine;
use crate::identity::PeerId;
use crate::input::{Datagram, InterfaceId};
use crate::ladder::Rung;
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::beacon::{Beacon, BeaconFlags, Way};

/// Rounds of probes, and the time between two.
const ROUNDS: u8 = 3;
const ROUND: Duration = Duration::from_millis(250);

/// Answers to probes: so many at once, and as many a second. A round is some ten for each interface.
const ANSWERS: u32 = 24;

/// Peers that are asked to answer by each rung, on all interfaces together.
const ASKED: usize = 8;

/// Own probes and places with answers that are remembered.
const OWN_PROBES: usize = 256;
const MAX_PROBED: usize = 64;

/// The rungs that reach a whole network.
const WIDE: [Rung; 5] =
    [Rung::DirectedBroadcast, Rung::LimitedBroadcast, Rung::Multicast4, Rung::Multicast6, Rung::Loopback];

/// What got through between us and a peer since [`Engine::probe`] was called last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probed {
    /// Who.
    pub peer: PeerId,
    /// The interface of ours.
    pub interface: InterfaceId,
    /// The rungs by which our probes reached it, as it says.
    pub heard_us: Vec<Rung>,
    /// The rungs by which its answers reached us.
    pub we_heard: Vec<Rung>,
}

#[derive(Debug)]
pub(super) struct Probing {
    rounds_left: u8,
    /// Answers to the probes of others.
    answers_left: TokenBucket,
    /// The rung that each of our own probes was sealed for, by its counter.
    own: BTreeMap<u64, Rung>,
    answers: BTreeMap<(PeerId, InterfaceId), (BTreeSet<Rung>, BTreeSet<Rung>)>,
}

impl Probing {
    pub(super) fn new() -> Self {
        Probing {
            rounds_left: 0,
            answers_left: TokenBucket::new(ANSWERS, ANSWERS),
            own: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }

    fn begin(&mut self) {
        self.rounds_left = ROUNDS;
        self.own.clear();
        self.answers.clear();
    }
}

impl Engine {
    /// Finds out which rungs get through: three times, 250 ms apart, each rung of each interface gets a beacon of its
    /// own that asks for an answer, and at most 8 peers that were heard are asked to answer by each rung. What comes of
    /// it is told by [`probed`](Self::probed) and [`rungs`](Self::rungs).
    pub fn probe(&mut self, now: Timestamp) {
        self.advance(now);
        if self.leaving.is_none() {
            self.discovery.probing.begin();
            self.set_timer(TimerKey::Probe, Duration::ZERO);
        }
    }

    /// What the last [`probe`](Self::probe) has shown so far, ordered by peer and interface; at most 64 of them.
    #[must_use]
    pub fn probed(&self) -> Vec<Probed> {
        let answers = self.discovery.probing.answers.iter();
        answers
            .map(|((peer, interface), (heard_us, we_heard))| Probed {
                peer: *peer,
                interface: *interface,
                heard_us: heard_us.iter().copied().collect(),
                we_heard: we_heard.iter().copied().collect(),
            })
            .collect()
    }

    /// One round of probes.
    pub(in crate::engine) fn probe_due(&mut self) {
        let left = self.discovery.probing.rounds_left.saturating_sub(1);
        self.discovery.probing.rounds_left = left;
        let mut probes: Vec<(Rung, Rung, InterfaceId, SocketAddr)> = Vec::new();
        for interface in &self.interfaces {
            for rung in WIDE {
                let to = self.destinations(interface, rung);
                probes.extend(to.first().map(|&to| (rung, Rung::Unicast, interface.id, to)));
            }
        }
        let heard = self.peers.values().filter_map(|peer| peer.heard.first());
        let places: Vec<_> =
            heard.filter_map(|heard| Some((heard.interface?, heard.address))).take(ASKED).collect();
        for (interface, address) in places {
            let by = WIDE.into_iter().chain([Rung::Unicast]);
            probes.extend(by.map(|answer| (Rung::Unicast, answer, interface, address)));
        }
        for (rung, answer, interface, to) in probes {
            let way = Way { sent_by: Some(rung), other: Some(answer) };
            let datagram = self.sealed_beacon(BeaconFlags::ANNOUNCE.with(BeaconFlags::PROBE), way);
            if self.discovery.probing.own.len() >= OWN_PROBES {
                self.discovery.probing.own.pop_first();
            }
            self.discovery.probing.own.insert(self.discovery.counter, rung);
            self.send_by(rung, interface, to, &datagram);
        }
        if left > 0 {
            self.set_timer(TimerKey::Probe, ROUND);
        }
    }

    /// A datagram of our own came back; if it was a probe, its rung works at least as far as that.
    pub(super) fn heard_own(&mut self, interface: InterfaceId, counter: u64) {
        if let Some(&rung) = self.discovery.probing.own.get(&counter) {
            self.discovery.rungs.own_heard(interface, rung, self.now);
        }
    }

    /// Answers a probe once, by the rung that it asks for, with a datagram of its size; rated like every reply.
    pub(super) fn answer_probe(&mut self, datagram: Datagram<'_>, way: Way) {
        let Some(by) = way.other else { return };
        let interface = self.interfaces.iter().find(|known| known.id == datagram.interface);
        let destination = match by {
            Rung::Unicast => Some(datagram.source),
            rung => interface.and_then(|known| self.destinations(known, rung).first().copied()),
        };
        let Some(destination) = destination else { return };
        if !self.discovery.probing.answers_left.take(self.now, 1) {
            return;
        }
        mark!(self, ProbeAnswered);
        let way = Way { sent_by: Some(by), other: way.sent_by };
        let answer = self.sealed_beacon(BeaconFlags::REPLY.with(BeaconFlags::ANSWER), way);
        self.send_by(by, datagram.interface, destination, &answer);
    }

    /// An answer to a probe: the peer heard us by one rung, and we it by another.
    pub(super) fn probe_answered(&mut self, peer: PeerId, interface: InterfaceId, beacon: &Beacon) {
        let answers = &mut self.discovery.probing.answers;
        if answers.len() >= MAX_PROBED && !answers.contains_key(&(peer, interface)) {
            return;
        }
        let (heard_us, we_heard) = answers.entry((peer, interface)).or_default();
        heard_us.extend(beacon.way.other);
        we_heard.extend(beacon.way.sent_by);
    }
}
