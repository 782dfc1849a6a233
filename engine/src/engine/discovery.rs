//! Beacons: when they go out, where to, and what a received one causes.

mod cadence;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use crate::config::{Config, MULTICAST_GROUP};
use crate::identity::PeerId;
use crate::input::{Datagram, Interface, InterfaceAddr, InterfaceId};
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::output::Transmit;
use crate::planted::planted;
use crate::record::Instance;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::beacon::{self, Beacon, BeaconError, BeaconFlags};

use super::Engine;
use super::peer::Heard;
use super::peers::{Accepted, Origin};

/// After the beacon that goes out at once, two more follow: the first may be lost, or come before the other side
/// listens.
const BURST_MILLIS: [u64; 2] = [250, 750];

/// How often the rotating port is drawn anew.
const ROTATE_EVERY: Duration = Duration::from_secs(30);

/// The time between two farewells.
const FAREWELL_GAP: Duration = Duration::from_millis(40);

/// Immediate replies: this many at once, refilled within 100 ms.
const REPLIES: u32 = 4;

#[derive(Debug)]
pub(crate) struct Discovery {
    counter: u64,
    /// How many beacons of the burst are still to come.
    burst_left: usize,
    rotating_port: u16,
    phase: Duration,
    replies: TokenBucket,
    /// Everyone who was heard, and the counter of their last beacon. At most twice `max_peers`, then the one heard
    /// longest ago makes room.
    heard: BTreeMap<Instance, (u64, Timestamp)>,
}

impl Discovery {
    pub(crate) fn new(config: &Config, peer: PeerId) -> Self {
        Discovery {
            counter: 0,
            burst_left: 0,
            rotating_port: config.designated_ports[0],
            phase: cadence::phase(&config.cadence, &peer),
            replies: TokenBucket::new(REPLIES, REPLIES * 10),
            heard: BTreeMap::new(),
        }
    }
}

#[cfg(feature = "marks")]
impl Discovery {
    /// How many instances were heard.
    pub(super) fn heard(&self) -> usize {
        self.heard.len()
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
        self.redial_everyone();
    }

    pub(super) fn beacon_due(&mut self) {
        let bursting = self.discovery.burst_left > 0;
        self.discovery.burst_left = self.discovery.burst_left.saturating_sub(1);
        let flags =
            if bursting { BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT) } else { BeaconFlags::ANNOUNCE };
        self.send_to_everyone(flags);
        let gap = match BURST_MILLIS.len().checked_sub(self.discovery.burst_left) {
            Some(sent) if sent < BURST_MILLIS.len() => self.jittered(BURST_MILLIS[sent]),
            _ => {
                let interval = cadence::interval(&self.config.cadence, self.now, self.discovery.phase);
                let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
                let stretched = cadence::stretch(millis, self.peers.len());
                self.jittered(stretched)
            }
        };
        if planted!(self, SilentAfterBurst) && self.discovery.burst_left == 0 {
            return;
        }
        self.set_timer(TimerKey::Beacon, gap);
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
        self.send_to_everyone(BeaconFlags::REPLY);
    }

    pub(super) fn farewell_due(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        leaving.farewells_left = leaving.farewells_left.saturating_sub(1);
        let done = leaving.farewells_left == 0;
        mark!(self, Farewell);
        let datagram = self.farewell();
        self.broadcast(&datagram);
        if done {
            self.outputs.notify(super::outputs::Slot::Left);
        } else {
            self.set_timer(TimerKey::Farewell, FAREWELL_GAP);
        }
    }

    fn send_to_everyone(&mut self, flags: BeaconFlags) {
        let datagram = self.sealed_beacon(flags);
        self.broadcast(&datagram);
    }

    fn sealed_beacon(&mut self, flags: BeaconFlags) -> Vec<u8> {
        self.discovery.counter += 1;
        Beacon {
            instance: self.own.instance(),
            counter: self.discovery.counter,
            flags,
            record: self.own.record().bytes().to_vec(),
        }
        .seal(&self.config.network)
    }

    /// Sends one datagram on every rung of every interface: broadcast to the anchor port and, if it is another, to
    /// the rotating one; multicast to the anchor port.
    fn broadcast(&mut self, datagram: &[u8]) {
        let anchor = self.config.designated_ports[0];
        let rotating = self.discovery.rotating_port;
        let mut destinations: Vec<(InterfaceId, SocketAddr)> = Vec::new();
        for interface in &self.interfaces {
            for ip in broadcast_addresses(interface) {
                destinations.push((interface.id, SocketAddr::from((ip, anchor))));
                if rotating != anchor {
                    destinations.push((interface.id, SocketAddr::from((ip, rotating))));
                }
            }
            if interface.multicast {
                destinations.push((interface.id, SocketAddr::from((MULTICAST_GROUP, anchor))));
            }
        }
        for (interface, destination) in destinations {
            self.transmit(Transmit { interface, destination }, datagram.to_vec());
        }
    }

    fn transmit(&mut self, transmit: Transmit, bytes: Vec<u8>) {
        if self.outputs.transmit(transmit, bytes) {
            self.stats.transmits_dropped += 1;
            mark!(self, TransmitDropped);
        }
    }

    // ---- Receiving ----

    pub(super) fn receive_beacon(&mut self, datagram: Datagram<'_>) {
        let header = match beacon::peek(datagram.bytes) {
            Ok(header) => header,
            Err(BeaconError::Version(version)) => {
                self.stats.datagrams_other_version += 1;
                self.met_other_version(datagram.source, version);
                return;
            }
            Err(_) => {
                self.stats.datagrams_malformed += 1;
                if planted!(self, Amplifier) {
                    for _ in 0..10 {
                        let transmit =
                            Transmit { interface: datagram.interface, destination: datagram.source };
                        self.transmit(transmit, datagram.bytes.to_vec());
                    }
                }
                return;
            }
        };
        if header.instance == self.own.instance() {
            self.stats.datagrams_own += 1;
            mark!(self, OwnDatagramHeard);
            return;
        }
        let last = self.discovery.heard.get(&header.instance).map(|&(counter, _)| counter);
        if last.is_some_and(|last| header.counter <= last) {
            self.stats.datagrams_repeated += 1;
            mark!(self, BeaconRepeated);
            return;
        }
        let beacon = match Beacon::open(datagram.bytes, &self.config.network) {
            Ok(beacon) => beacon,
            Err(BeaconError::Sealed) => {
                self.stats.datagrams_other_network += 1;
                return;
            }
            Err(_) => {
                self.stats.datagrams_malformed += 1;
                return;
            }
        };
        let accepted = self.accept_record(&beacon.record, Duration::ZERO, Origin::Beacon(header.instance));
        let (Accepted::Known(peer) | Accepted::News(peer)) = accepted else { return };
        self.stats.beacons_accepted += 1;
        self.remember_instance(header.instance, header.counter);
        self.heard_beacon(peer, datagram, &beacon, last.is_none());
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
    /// interface's own subnet, so that nobody can aim them elsewhere.
    fn heard_beacon(&mut self, peer: PeerId, datagram: Datagram<'_>, beacon: &Beacon, is_new: bool) {
        let Some(interface) = self.interfaces.iter().find(|known| known.id == datagram.interface) else {
            return;
        };
        if !interface.addrs.iter().any(|addr| in_subnet(addr, datagram.source.ip())) {
            mark!(self, BeaconFromElsewhere);
            return;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            let address = SocketAddr::new(datagram.source.ip(), known.record.record().port);
            known.heard = Some(Heard { address, interface: Some(datagram.interface), at: self.now });
        } else {
            return;
        }
        let asks =
            beacon.flags.has(BeaconFlags::ANNOUNCE) && (is_new || beacon.flags.has(BeaconFlags::SOLICIT));
        if asks || planted!(self, BeaconStorm) {
            self.reply(datagram.interface, datagram.source);
        }
        self.dial_heard(peer, is_new);
    }

    fn reply(&mut self, interface: InterfaceId, destination: SocketAddr) {
        if self.discovery.replies.take(self.now, 1) {
            self.stats.replies_sent += 1;
            mark!(self, ReplySent);
            let datagram = self.sealed_beacon(BeaconFlags::REPLY);
            self.transmit(Transmit { interface, destination }, datagram);
        } else if !self.timers.is_set(TimerKey::Reply) {
            self.stats.replies_deferred += 1;
            mark!(self, ReplyDeferred);
            let delay = self.behaviour.between(Duration::from_millis(20), Duration::from_millis(120));
            self.set_timer(TimerKey::Reply, delay);
        }
    }
}

fn broadcast_addresses(interface: &Interface) -> Vec<Ipv4Addr> {
    let mut addresses = Vec::new();
    for addr in &interface.addrs {
        let IpAddr::V4(ip) = addr.ip else { continue };
        let broadcast = if interface.is_loopback() {
            Ipv4Addr::new(127, 255, 255, 255)
        } else if interface.directed_broadcast && addr.prefix < 31 {
            let hosts = u32::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) | hosts)
        } else {
            Ipv4Addr::BROADCAST
        };
        if !addresses.contains(&broadcast) {
            addresses.push(broadcast);
        }
    }
    addresses
}

/// Whether `ip` is on the subnet of one of these interfaces.
pub(super) fn is_near(interfaces: &[Interface], ip: IpAddr) -> bool {
    interfaces.iter().flat_map(|interface| &interface.addrs).any(|addr| in_subnet(addr, ip))
}

/// Whether `ip` is a neighbour on the subnet of `addr`.
fn in_subnet(addr: &InterfaceAddr, ip: IpAddr) -> bool {
    match (addr.ip, ip) {
        (IpAddr::V4(own), IpAddr::V4(other)) => {
            let hosts = u32::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
            (u32::from(own) | hosts) == (u32::from(other) | hosts)
        }
        (IpAddr::V6(own), IpAddr::V6(other)) => {
            let hosts = u128::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
            (u128::from(own) | hosts) == (u128::from(other) | hosts)
        }
        _ => false,
    }
}
