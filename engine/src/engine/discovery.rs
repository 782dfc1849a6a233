//! Beacons: when they go out, and what a received one causes.

mod cadence;
mod probing;
mod rungs;
mod seeking;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::{Cadence, Config};
use crate::identity::PeerId;
use crate::input::{Datagram, InterfaceId};
use crate::ladder::Rung;
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::output::Transmit;
use crate::planted::planted;
use crate::record::Instance;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::beacon::{self, Beacon, BeaconError, BeaconFlags, Pulse, Way};

use super::Engine;
use super::outputs::Slot;
use super::peer::{Heard, Peer};
use super::peers::{Accepted, Origin};
use super::why::Cause;

use self::cadence::{Air, Pace};
use self::probing::Probing;
use self::rungs::{Rungs, in_subnet};
use self::seeking::Scan;

pub use self::probing::Probed;
pub use self::rungs::RungReport;
pub(super) use self::rungs::{at_port, interface_of, is_near};

/// More beacons than this overtake none: a node sends fewer in the seconds that one can be under way.
const OVERTAKING: u64 = 64;

/// After the beacon that goes out at once, two more follow: the first may be lost, or come before the other side
/// listens.
const BURST_MILLIS: [u64; 2] = [250, 750];

/// How often the rotating port is drawn anew.
const ROTATE_EVERY: Duration = Duration::from_secs(30);

/// The time between two farewells.
const FAREWELL_GAP: Duration = Duration::from_millis(40);

/// Immediate replies: this many at once, refilled within 100 ms.
const REPLIES: u32 = 4;

/// How many answer a newcomer, about: in a crowd each answers with a probability, and of the others the newcomer hears
/// from those who did.
const ANSWERERS: u64 = 32;

/// A peer that was heard within this time and cannot be dialled is asked to dial us, at most so often.
const ASK_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Peers that are asked to dial us: so many a second, and as many at once.
const ASKS: u32 = 4;

#[derive(Debug)]
pub(crate) struct Discovery {
    counter: u64,
    /// How many beacons of the burst are still to come.
    burst_left: usize,
    rotating_port: u16,
    pace: Pace,
    replies: TokenBucket,
    asks: TokenBucket,
    /// Everyone who was heard, and the counter of their last beacon. At most twice `max_peers`, then the one heard
    /// longest ago makes room.
    heard: BTreeMap<Instance, (u64, Timestamp)>,
    /// How many peers of the table were heard.
    speakers: u64,
    rungs: Rungs,
    scan: Scan,
    probing: Probing,
}

impl Discovery {
    pub(crate) fn new(config: &Config, peer: PeerId) -> Self {
        Discovery {
            counter: 0,
            burst_left: 0,
            rotating_port: config.designated_ports[0],
            pace: Pace::new(&config.cadence, &peer),
            replies: TokenBucket::new(REPLIES, REPLIES * 10),
            asks: TokenBucket::new(ASKS, ASKS),
            heard: BTreeMap::new(),
            speakers: 0,
            rungs: Rungs::default(),
            scan: Scan::default(),
            probing: Probing::new(),
        }
    }
}

impl Discovery {
    /// A peer is about to be heard.
    pub(super) fn note_speaker(&mut self, peer: &Peer) {
        self.speakers += u64::from(peer.heard.is_empty());
    }

    /// A peer left the table.
    pub(super) fn note_unheard(&mut self, peer: &Peer) {
        self.speakers -= u64::from(!peer.heard.is_empty());
    }
}

#[cfg(feature = "marks")]
impl Discovery {
    /// How full its tables are, and by how much the count of speakers is off, `heard` of the peers having been heard.
    pub(super) fn tables(&self, config: &Config, heard: usize) -> [super::Table; 2] {
        let counted = usize::try_from(self.speakers).unwrap_or(usize::MAX);
        [
            ("instances heard", self.heard.len(), 2 * config.max_peers),
            ("peers counted as heard", counted.abs_diff(heard), 0),
        ]
    }
}

impl Engine {
    // ---- Sending ----

    /// Begins as at the start: a burst of beacons, and dials to whoever has no link.
    pub(super) fn start_over(&mut self) {
        self.discovery.burst_left = BURST_MILLIS.len() + 1;
        self.timers.set(TimerKey::Beacon, self.now);
        self.set_timer(TimerKey::Rotate, ROTATE_EVERY);
        mark!(self, NetworkChanged);
        self.forget_rungs_of_gone_interfaces();
        self.plan_scan();
        self.redial_everyone();
    }

    /// Whether the burst is not over.
    pub(super) fn is_starting(&self) -> bool {
        self.discovery.burst_left > 0
    }

    /// A beacon of the burst or of the cadence is due.
    pub(super) fn beacon_due(&mut self) {
        let Some(left) = self.discovery.burst_left.checked_sub(1) else { return self.beat() };
        self.discovery.burst_left = left;
        self.send_to_everyone(BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT), true);
        match left.checked_sub(1).and_then(|after| BURST_MILLIS.iter().rev().nth(after)) {
            Some(&gap) => {
                let gap = self.jittered(gap);
                self.set_timer(TimerKey::Beacon, gap);
            }
            None if planted!(self, SilentAfterBurst) => {}
            None => self.plan_beat(),
        }
    }

    /// The cadence begins.
    fn plan_beat(&mut self) {
        let air = self.air();
        let delay = self.discovery.pace.begin(&self.config.cadence, air, &mut self.behaviour);
        self.set_timer(TimerKey::Beacon, delay);
    }

    /// The timer of the cadence fired.
    fn beat(&mut self) {
        let air = self.air();
        let beat = self.discovery.pace.beat(&self.config.cadence, self.now, air, &mut self.behaviour);
        if beat.speak {
            self.send_to_everyone(BeaconFlags::ANNOUNCE, false);
        }
        self.set_timer(TimerKey::Beacon, beat.next);
    }

    /// Something changed, such as a link that was lost: the next beacon comes sooner.
    pub(super) fn snap_back(&mut self) {
        if self.discovery.burst_left > 0 || self.leaving.is_some() || !self.timers.is_set(TimerKey::Beacon) {
            return;
        }
        mark!(self, CadenceSnappedBack);
        let air = self.air();
        let within = self.discovery.pace.snap_back(&self.config.cadence, air);
        let delay = self.behaviour.between(Duration::ZERO, within);
        self.timers.set_earlier(TimerKey::Beacon, self.now + delay.max(Duration::from_nanos(1)));
    }

    fn air(&self) -> Air {
        Air {
            population: self.population(),
            datagrams: self.datagrams_of_a_beacon(),
            sated: self.connected >= self.enough_links(),
        }
    }

    /// How many speak here: who was heard, and we. Whoever others only told of takes no time on the air, and need not
    /// exist.
    fn population(&self) -> u64 {
        self.discovery.speakers + 1
    }

    pub(super) fn rotate_due(&mut self) {
        let ports = &self.config.designated_ports;
        let choice = self.behaviour.below(ports.len() as u64);
        self.discovery.rotating_port = usize::try_from(choice).map_or(ports[0], |choice| ports[choice]);
        self.set_timer(TimerKey::Rotate, ROTATE_EVERY);
    }

    /// One broadcast for all newcomers that got no reply of their own.
    pub(super) fn reply_due(&mut self) {
        self.stats.replies_sent += 1;
        self.send_to_everyone(BeaconFlags::REPLY, false);
    }

    pub(super) fn farewell_due(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.farewells_left = leaving.farewells_left.saturating_sub(1);
        let done = leaving.farewells_left == 0;
        mark!(self, Farewell);
        let datagram = self.farewell();
        self.broadcast_datagram(&datagram, false);
        if done {
            self.outputs.notify(Slot::Left);
        } else {
            self.set_timer(TimerKey::Farewell, FAREWELL_GAP);
        }
    }

    fn send_to_everyone(&mut self, flags: BeaconFlags, thorough: bool) {
        let datagram = self.sealed_beacon(flags, Way::default());
        self.broadcast_datagram(&datagram, thorough);
        if flags.has(BeaconFlags::ANNOUNCE) {
            self.call_remembered(flags, thorough);
        }
    }

    pub(super) fn sealed_beacon(&mut self, flags: BeaconFlags, way: Way) -> Vec<u8> {
        self.sealed_with(flags, way, None)
    }

    fn sealed_with(&mut self, flags: BeaconFlags, way: Way, pulse: Option<Pulse>) -> Vec<u8> {
        self.discovery.counter += 1;
        Beacon {
            instance: self.own.instance(),
            counter: self.discovery.counter,
            flags,
            way,
            record: self.own.record().bytes().to_vec(),
            pulse,
        }
        .seal(&self.config.network)
    }

    /// Asks a peer that we fail to dial to dial us, by a datagram to where it was heard: within our own subnets, once a
    /// second.
    pub(super) fn ask_to_dial_us(&mut self, peer: PeerId) {
        let now = self.now;
        let Some(known) = self.peers.get_mut(&peer).filter(|known| known.link.is_none()) else { return };
        let Some(heard) = known.heard.first().filter(|heard| now.since(heard.at) < ASK_WITHIN) else {
            return;
        };
        let address = heard.address;
        let recently = known.asked_to_dial_us.is_some_and(|asked| now.since(asked) < ASK_AGAIN);
        if !recently
            && self.ask_there(address)
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.asked_to_dial_us = Some(now);
        }
    }

    /// Asks whoever is at an address of our own subnets to dial us; says whether it was asked.
    pub(super) fn ask_there(&mut self, address: SocketAddr) -> bool {
        let Some(interface) = interface_of(&self.interfaces, address) else { return false };
        if !self.discovery.asks.take(self.now, 1) {
            return false;
        }
        mark!(self, AskedToBeDialled);
        let flags = BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT).with(BeaconFlags::DIAL_ME);
        let datagram = self.sealed_beacon(flags, Way::by(Rung::Unicast));
        self.send_by(Rung::Unicast, interface, address, &datagram)
    }

    // ---- Receiving ----

    pub(super) fn receive_beacon(&mut self, datagram: Datagram<'_>) {
        let header = match beacon::peek(datagram.bytes) {
            Ok(header) => header,
            Err(BeaconError::Version(version)) => {
                self.stats.datagrams_other_version += 1;
                self.refused(datagram.source, Cause::OtherVersion(version));
                self.met_other_version(datagram.source, version);
                return;
            }
            Err(_) => {
                self.stats.datagrams_malformed += 1;
                self.refused(datagram.source, Cause::Malformed);
                if planted!(self, Amplifier) {
                    for _ in 0..10 {
                        let (interface, to) = (datagram.interface, datagram.source);
                        self.send_by(Rung::Unicast, interface, to, datagram.bytes);
                    }
                }
                return;
            }
        };
        if header.instance == self.own.instance() {
            self.stats.datagrams_own += 1;
            mark!(self, OwnDatagramHeard);
            self.heard_own(datagram.interface, header.counter);
            return;
        }
        let last = self.discovery.heard.get(&header.instance).map(|&(counter, _)| counter);
        // How far behind the last one: nothing for a copy by another rung, a little for one that was overtaken.
        let behind = last.and_then(|last| last.checked_sub(header.counter));
        if behind.is_some_and(|behind| behind <= OVERTAKING) {
            return self.heard_again();
        }
        let beacon = match Beacon::open(datagram.bytes, &self.config.network) {
            Ok(beacon) => beacon,
            Err(BeaconError::Sealed) => {
                self.stats.datagrams_other_network += 1;
                self.refused(datagram.source, Cause::OtherNetwork);
                return;
            }
            Err(_) => {
                self.stats.datagrams_malformed += 1;
                return;
            }
        };
        // Who is on the network can seal a beacon for anybody, under any counter. A newer record and a pulse are what only
        // the peer itself can make, so they are believed and the counter is not.
        if behind.is_some()
            && let Some((peer, _)) = self.holds(&beacon.record)
        {
            if !self.decisions.blocks_peer(&peer) && self.comes_from_near(datagram) {
                self.take_pulse(peer, datagram, &beacon);
            }
            return self.heard_again();
        }
        let peer = match self.accept_record(&beacon.record, Duration::ZERO, Origin::Beacon(header.instance)) {
            Accepted::Known(peer) | Accepted::News(peer) => peer,
            Accepted::Own => {
                self.remember_instance(header.instance, header.counter);
                return self.heard_clone(header.instance, datagram.source);
            }
            Accepted::Forged | Accepted::No => return,
        };
        if behind.is_some() {
            mark!(self, CounterOutranked);
        }
        self.stats.beacons_accepted += 1;
        self.heard_anyone = self.now;
        self.remember_instance(header.instance, header.counter);
        self.heard_beacon(peer, datagram, &beacon, last.is_none());
    }

    fn heard_again(&mut self) {
        self.stats.datagrams_repeated += 1;
        mark!(self, BeaconRepeated);
    }

    fn remember_instance(&mut self, instance: Instance, counter: u64) {
        let heard = &mut self.discovery.heard;
        if heard.len() >= self.config.max_peers * 2 && !heard.contains_key(&instance) {
            let oldest = heard.iter().min_by_key(|(_, (_, at))| *at).map(|(&instance, _)| instance);
            if let Some(oldest) = oldest {
                heard.remove(&oldest);
                mark!(self, InstanceForgotten);
            }
        }
        heard.insert(instance, (counter, self.now));
    }

    /// A genuine beacon: note where the peer is, answer it if it may not know us, and dial it. Both only within the
    /// interface's own subnet, so that nobody can aim them elsewhere; beyond it only for searches of IPv6 prefixes.
    fn heard_beacon(&mut self, peer: PeerId, datagram: Datagram<'_>, beacon: &Beacon, is_new: bool) {
        if !self.comes_from_near(datagram) {
            return self.heard_from_afar(peer, datagram, beacon, is_new);
        }
        self.note_heard(peer, datagram.source, datagram.interface);
        self.take_pulse(peer, datagram, beacon);
        let flags = beacon.flags;
        if beacon.pulse.is_none() && flags.has(BeaconFlags::PROBE) {
            self.answer_probe(datagram, beacon.way);
        } else if beacon.pulse.is_none() && flags.has(BeaconFlags::ANSWER) {
            self.probe_answered(peer, datagram.interface, beacon);
        }
        if flags.has(BeaconFlags::ANNOUNCE) && !is_new {
            self.discovery.pace.heard_known();
        }
        if is_new && matches!(self.config.cadence, Cadence::Trickle { .. }) {
            self.snap_back();
        }
        let asks = flags.has(BeaconFlags::ANNOUNCE) && (is_new || flags.has(BeaconFlags::SOLICIT));
        if (asks && self.is_drawn_to_answer()) || planted!(self, BeaconStorm) {
            self.reply(datagram.interface, datagram.source);
        }
        if flags.has(BeaconFlags::DIAL_ME) {
            self.dial_asked(peer);
        } else {
            self.dial_heard(peer, is_new);
        }
    }

    /// Whether a datagram comes from the subnet of the interface that it came in by.
    fn comes_from_near(&mut self, datagram: Datagram<'_>) -> bool {
        let Some(interface) = self.interfaces.iter().find(|known| known.id == datagram.interface) else {
            return false;
        };
        let is_near = interface.addrs.iter().any(|addr| in_subnet(addr, datagram.source.ip()));
        if !is_near {
            mark!(self, BeaconFromElsewhere);
        }
        is_near
    }

    /// A beacon may ask for a pulse, or answer with one.
    fn take_pulse(&mut self, peer: PeerId, datagram: Datagram<'_>, beacon: &Beacon) {
        let Some(pulse) = &beacon.pulse else { return };
        if beacon.flags.has(BeaconFlags::PROBE) {
            self.answer_pulse(peer, beacon.instance, pulse, (datagram.interface, datagram.source));
        } else {
            let rung = beacon.way.sent_by.unwrap_or(Rung::Unicast);
            self.pulse_answered(peer, beacon.instance, pulse, (datagram.interface, rung));
        }
    }

    pub(super) fn note_heard(&mut self, peer: PeerId, source: SocketAddr, interface: InterfaceId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let address = at_port(source, known.record.record().port, Some(interface));
        self.discovery.note_speaker(known);
        let near = interface_of(&self.interfaces, address).is_some();
        let interface = Some(interface);
        known.note_heard(Heard { address, interface, at: self.now, beacons: 1, near });
    }

    /// In a crowd only some answer a newcomer.
    fn is_drawn_to_answer(&mut self) -> bool {
        let population = self.population();
        let drawn = population <= ANSWERERS || self.behaviour.below(population) < ANSWERERS;
        if !drawn {
            mark!(self, ReplyLeftToOthers);
        }
        drawn
    }

    /// Answers a beacon from beyond our subnets, with one of the same size, unless too many ask.
    pub(super) fn answer_afar(&mut self, interface: InterfaceId, destination: SocketAddr) {
        if self.discovery.replies.take(self.now, 1) {
            self.stats.replies_sent += 1;
            let datagram = self.sealed_beacon(BeaconFlags::REPLY, Way::by(Rung::Scan));
            self.transmit(Transmit { interface, destination }, datagram);
        }
    }

    fn reply(&mut self, interface: InterfaceId, destination: SocketAddr) {
        if self.discovery.replies.take(self.now, 1) {
            self.stats.replies_sent += 1;
            mark!(self, ReplySent);
            let datagram = self.sealed_beacon(BeaconFlags::REPLY, Way::by(Rung::Unicast));
            self.send_by(Rung::Unicast, interface, destination, &datagram);
        } else if !self.timers.is_set(TimerKey::Reply) {
            self.stats.replies_deferred += 1;
            mark!(self, ReplyDeferred);
            let delay = self.behaviour.between(Duration::from_millis(20), Duration::from_millis(120));
            self.set_timer(TimerKey::Reply, delay);
        }
    }
}
