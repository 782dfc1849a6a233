//! Probes: which rung gets through between us and a peer, in which direction.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::engine::Engine;
use crate::identity::PeerId;
use crate::input::{Datagram, Interface, InterfaceId};
use crate::ladder::Rung;
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::beacon::{Beacon, BeaconFlags, Pulse, Way};

/// Rounds of probes, and the time between two steps of one.
const ROUNDS: u8 = 3;
const STEP: Duration = Duration::from_millis(20);

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
    /// How many steps of this round are done.
    step: usize,
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
            step: 0,
            answers_left: TokenBucket::new(ANSWERS, ANSWERS),
            own: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }

    fn begin(&mut self) {
        self.rounds_left = ROUNDS;
        self.step = 0;
        self.own.clear();
        self.answers.clear();
    }
}

impl Engine {
    /// Finds out which rungs get through: three times, within 700 ms, each rung of each interface gets a beacon of its
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

    /// One step of a round of probes: all that go by one rung and are to be answered by one rung. Each rung has sockets of
    /// its own at the other side, so what goes out at once may be overtaken there and count as old.
    pub(in crate::engine) fn probe_due(&mut self) {
        let steps = WIDE.into_iter().map(|rung| (rung, Rung::Unicast));
        let steps =
            steps.chain(WIDE.into_iter().chain([Rung::Unicast]).map(|answer| (Rung::Unicast, answer)));
        let mut left = steps.skip(self.discovery.probing.step).peekable();
        let mut taken = 0;
        for (rung, answer) in left.by_ref() {
            taken += 1;
            let places = self.places_to_probe(rung);
            if !places.is_empty() {
                self.send_probes(rung, answer, &places);
                break;
            }
        }
        self.discovery.probing.step += taken;
        if left.peek().is_some() {
            self.set_timer(TimerKey::Probe, STEP);
            return;
        }
        self.discovery.probing.step = 0;
        self.discovery.probing.rounds_left = self.discovery.probing.rounds_left.saturating_sub(1);
        if self.discovery.probing.rounds_left > 0 {
            self.set_timer(TimerKey::Probe, STEP);
        }
    }

    fn places_to_probe(&self, rung: Rung) -> Vec<(InterfaceId, SocketAddr)> {
        if rung == Rung::Unicast {
            let heard = self.peers.values().filter_map(|peer| peer.heard.first());
            return heard.filter_map(|heard| Some((heard.interface?, heard.address))).take(ASKED).collect();
        }
        let place = |interface: &Interface| {
            let to = self.destinations(interface, rung);
            to.first().map(|&to| (interface.id, to))
        };
        self.interfaces.iter().filter_map(place).collect()
    }

    fn send_probes(&mut self, rung: Rung, answer: Rung, places: &[(InterfaceId, SocketAddr)]) {
        let way = Way { sent_by: Some(rung), other: Some(answer) };
        for &(interface, to) in places {
            let datagram = self.sealed_beacon(BeaconFlags::ANNOUNCE.with(BeaconFlags::PROBE), way);
            if self.discovery.probing.own.len() >= OWN_PROBES {
                self.discovery.probing.own.pop_first();
            }
            self.discovery.probing.own.insert(self.discovery.counter, rung);
            self.send_by(rung, interface, to, &datagram);
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

    /// Sends a probe with a pulse to one address, or its answer; says whether it went.
    pub(in crate::engine) fn send_sealed_pulse(
        &mut self,
        interface: InterfaceId,
        to: SocketAddr,
        pulse: Pulse,
        answers: bool,
    ) -> bool {
        let flags = if answers { BeaconFlags::REPLY.with(BeaconFlags::ANSWER) } else { BeaconFlags::PROBE };
        let way = Way { sent_by: Some(Rung::Unicast), other: Some(Rung::Unicast) };
        let datagram = self.sealed_with(flags, way, Some(pulse));
        self.send_by(Rung::Unicast, interface, to, &datagram)
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
