//! Datagrams between the hosts of a [`World`]: who hears what, when, and in which state.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{InterfaceId, Timestamp, Transmit};

use crate::draws::{comes_true, draw, scale};
use crate::trace::What;

use super::faults::FaultKind;
use super::node::{NetworkInterface, place};
use super::plan::{Carriage, Firewall, LinkPlan};
use super::record::Mark;
use super::{Domain, Happening, World};

/// Between processes of one host.
const LOOPBACK: Duration = Duration::from_micros(30);
/// The header of IPv4 and UDP.
const HEADERS: usize = 28;
/// How long a firewall lets in answers to a datagram.
const ASKED_FOR: Duration = Duration::from_secs(30);
/// Datagrams of a network that strangers can replay.
const OVERHEARD: usize = 16;

/// A broadcast domain.
pub(super) struct Lan {
    pub(super) name: String,
    /// The hosts that have an interface in it.
    pub(super) hosts: Vec<usize>,
    pub(super) isolated: Vec<usize>,
    pub(super) mtu: usize,
    /// What it never carries.
    pub(super) drops: Vec<Carriage>,
    /// How many faults keep broadcasts, and multicasts, from getting through.
    pub(super) broadcast_faults: u32,
    pub(super) multicast_faults: u32,
    /// What was last sent in it.
    pub(super) overheard: Vec<Arc<[u8]>>,
    pub(super) keeps_overheard: bool,
}

impl Lan {
    /// Whether what goes to everybody by this way gets through now.
    pub(super) fn carries(&self, carriage: Carriage) -> bool {
        let faults = match carriage {
            Carriage::DirectedBroadcast | Carriage::LimitedBroadcast => self.broadcast_faults,
            Carriage::Multicast4 | Carriage::Multicast6 => self.multicast_faults,
        };
        faults == 0 && !self.drops.contains(&carriage)
    }
}

/// One direction between two hosts.
pub(super) struct Path {
    /// The number of its link in the plan: now, and without faults. `None` is a wired one.
    pub(super) link: Option<usize>,
    pub(super) normal: Option<usize>,
    /// How many partitions cut it.
    pub(super) cuts: u32,
    /// Gilbert-Elliott: whether it is in the bad state.
    pub(super) bad: bool,
    /// Until when what was sent before is still being sent.
    pub(super) busy_until: Timestamp,
    pub(super) packets: u64,
}

/// What becomes of a packet.
pub(super) struct Passage {
    /// When it arrives, counted from now; `None` if it is lost.
    pub(super) delay: Option<Duration>,
    /// Bits for all that is drawn about this packet beyond its loss.
    pub(super) bits: u64,
}

impl World {
    pub(super) fn path(&self, from: usize, to: usize) -> &Path {
        &self.paths[from * self.hosts.len() + to]
    }

    pub(super) fn path_mut(&mut self, from: usize, to: usize) -> &mut Path {
        let hosts = self.hosts.len();
        &mut self.paths[from * hosts + to]
    }

    pub(super) fn link_between(&self, from: usize, to: usize) -> &LinkPlan {
        match self.path(from, to).link {
            Some(link) => &self.plan.link[link],
            None => &self.wired,
        }
    }

    /// Whether packets get from one host to another in a network at all.
    pub(super) fn reaches(&self, from: usize, to: usize, lan: usize) -> bool {
        let up = |host: usize| {
            self.hosts[host].up && self.hosts[host].interface(lan).is_some_and(|interface| interface.up)
        };
        if from == to {
            return self.hosts[from].up;
        }
        let isolated = &self.lans[lan].isolated;
        up(from)
            && up(to)
            && self.path(from, to).cuts == 0
            && !(isolated.contains(&from) && isolated.contains(&to))
    }

    /// Sends a packet of `bytes` on its way: draws whether it is lost, and how long it takes.
    pub(super) fn pass(&mut self, from: usize, to: usize, bytes: usize, droppable: bool) -> Passage {
        if from == to {
            return Passage { delay: Some(LOOPBACK), bits: u64::MAX };
        }
        let (seed, now) = (self.plan.seed, self.now);
        let entity = (from * self.hosts.len() + to) as u64;
        let link = match self.path(from, to).link {
            Some(link) => &self.plan.link[link],
            None => &self.wired,
        };
        let hosts = self.hosts.len();
        let path = &mut self.paths[from * hosts + to];
        path.packets += 1;
        let roll = |domain: Domain| draw(seed, domain as u64, entity, path.packets);
        let change = if path.bad { link.leave_burst } else { link.enter_burst };
        if change > 0.0 && comes_true(roll(Domain::Burst), change) {
            path.bad = !path.bad;
        }
        let mut fault = None;
        let loss = if path.bad { link.burst_loss } else { link.loss };
        if loss > 0.0 && comes_true(roll(Domain::Loss), loss) {
            fault = Some(if path.bad { FaultKind::BurstLoss } else { FaultKind::Loss });
        }
        let start = path.busy_until.max(now);
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / link.bandwidth;
        if droppable && start.since(now) > Duration::from_millis(link.queue_ms) {
            fault = Some(FaultKind::QueueLoss);
        } else {
            path.busy_until = start + Duration::from_nanos(nanos);
        }
        let jitter = scale(roll(Domain::Jitter), link.jitter_us.saturating_mul(1000).saturating_add(1));
        let wait = path.busy_until.since(now);
        let delay = wait + Duration::from_micros(link.latency_us) + Duration::from_nanos(jitter);
        let bits = roll(Domain::Alter);
        if let Some(fault) = fault {
            self.tally.count(fault);
        }
        Passage { delay: fault.is_none().then_some(delay), bits }
    }

    pub(super) fn send_datagram(&mut self, node: usize, transmit: Transmit, bytes: Vec<u8>) {
        let from = self.nodes[node].host;
        if let Some(source) = self.leaves_from(node, &transmit) {
            return self.send_afar(node, source, transmit.destination, bytes);
        }
        let Some(lan) = (transmit.interface.0 as usize).checked_sub(1) else { return };
        let port = self.nodes[node].port;
        let own = self.hosts[from].interface(lan).filter(|interface| interface.up);
        let Some(source) = own.and_then(|own: &NetworkInterface| own.beside(transmit.destination.ip(), port))
        else {
            return;
        };
        #[cfg(feature = "planted")]
        if place(transmit.destination.ip()).is_none_or(|(_, number)| number == u16::MAX)
            && super::planting::is_muted(
                &self.plan,
                &self.nodes[node].name,
                self.now.since(self.nodes[node].started_at),
            )
        {
            return;
        }
        if self.hosts[from].firewall != Firewall::None {
            let now = self.now;
            self.hosts[from].asked.retain(|_, at| now.since(*at) < ASKED_FOR);
            self.hosts[from].asked.insert(transmit.destination, now);
        }
        self.nodes[node].sent += 1;
        let to = transmit.destination.ip();
        let for_all = to.is_multicast() || to == IpAddr::V4(Ipv4Addr::BROADCAST);
        if !for_all && place(to).is_none_or(|(there, _)| there != lan) {
            self.nodes[node].strays += 1;
        }
        self.note(Mark::Transmit, Some(node), &bytes, |world| What::Sent {
            to: world.place_name(transmit.destination),
            bytes: bytes.len(),
        });
        let bytes = bytes.into();
        self.eavesdrop(node, &bytes);
        self.spread(Some(from), lan, source, transmit.destination, bytes);
    }

    /// Carries a datagram to whoever hears it. `from` is `None` for a stranger.
    pub(super) fn spread(
        &mut self,
        from: Option<usize>,
        lan: usize,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Arc<[u8]>,
    ) {
        if self.lans[lan].keeps_overheard && from.is_some() {
            let overheard = &mut self.lans[lan].overheard;
            if overheard.len() == OVERHEARD {
                overheard.remove(0);
            }
            overheard.push(bytes.clone());
        }
        let (carriage, number) = match destination.ip() {
            IpAddr::V4(ip) if ip.is_multicast() => (Some(Carriage::Multicast4), None),
            IpAddr::V6(ip) if ip.is_multicast() => (Some(Carriage::Multicast6), None),
            IpAddr::V4(ip) if ip.is_broadcast() => (Some(Carriage::LimitedBroadcast), None),
            ip => match place(ip) {
                Some((there, u16::MAX)) if there == lan && ip.is_ipv4() => {
                    (Some(Carriage::DirectedBroadcast), None)
                }
                Some((there, number)) if there == lan => (None, Some(number)),
                _ => return,
            },
        };
        let lost = carriage.is_some_and(|carriage| !self.lans[lan].carries(carriage));
        let broadcast = matches!(carriage, Some(Carriage::DirectedBroadcast | Carriage::LimitedBroadcast));
        for place in 0..self.lans[lan].hosts.len() {
            let to = self.lans[lan].hosts[place];
            let there = self.hosts[to].interface(lan).map(|interface| interface.number);
            if number.is_some() && number != there {
                continue;
            }
            if from != Some(to) && lost {
                let kind = if broadcast { FaultKind::BroadcastLoss } else { FaultKind::MulticastLoss };
                self.tally.count(kind);
                continue;
            }
            let reached = from.map_or(self.hosts[to].up, |from| self.reaches(from, to, lan));
            if !reached {
                if from.is_some_and(|from| self.path(from, to).cuts > 0) {
                    self.tally.count(FaultKind::PartitionedDatagram);
                }
                continue;
            }
            self.carry(from.unwrap_or(to), to, lan, source, destination, &bytes, number.is_none());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is another property of one datagram")]
    fn carry(
        &mut self,
        from: usize,
        to: usize,
        lan: usize,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &Arc<[u8]>,
        to_all: bool,
    ) {
        let fragments = (bytes.len() + HEADERS).div_ceil(self.lans[lan].mtu.max(HEADERS + 8)).max(1);
        let mut delay = Some(Duration::ZERO);
        let mut bits = 0;
        for _ in 0..fragments {
            let passage = self.pass(from, to, bytes.len() / fragments + HEADERS, true);
            delay = delay.zip(passage.delay).map(|(longest, delay)| longest.max(delay));
            bits = passage.bits;
        }
        if fragments > 1 && from != to {
            self.tally.count(FaultKind::Fragmentation);
        }
        let Some(delay) = delay else { return };
        let mut bytes = bytes.clone();
        let mut copies = [Some(delay), None];
        if from != to {
            let link = self.link_between(from, to).clone();
            let roll = |purpose: u64| draw(bits, Domain::Alter as u64, purpose, 0);
            if comes_true(roll(1), link.corruption) && !bytes.is_empty() {
                let mut changed = bytes.to_vec();
                let bit = scale(roll(2), changed.len() as u64 * 8);
                changed[(bit / 8) as usize] ^= 1 << (bit % 8);
                bytes = changed.into();
                self.tally.count(FaultKind::Corruption);
            }
            if comes_true(roll(3), link.truncation) {
                let length = scale(roll(4), bytes.len() as u64) as usize;
                bytes = bytes[..length].into();
                self.tally.count(FaultKind::Truncation);
            }
            if comes_true(roll(5), link.reordering) {
                copies[0] = Some(delay * 2 + Duration::from_millis(scale(roll(6), 50)));
                self.tally.count(FaultKind::Reordering);
            }
            if comes_true(roll(7), link.duplication) {
                copies[1] = Some(delay + Duration::from_micros(scale(roll(8), 20_000)));
                self.tally.count(FaultKind::Duplication);
            }
        }
        let host = &self.hosts[to];
        let open = from == to
            || host.firewall != Firewall::PrivatePorts
            || p2pnet_engine::DESIGNATED_PORTS.contains(&destination.port())
            || host.asked.get(&source).is_some_and(|at| self.now.since(*at) < ASKED_FOR);
        if !open {
            self.tally.count(FaultKind::KeptOut);
            return;
        }
        let listens = |node: usize| {
            let node = &self.nodes[node];
            let designated = p2pnet_engine::DESIGNATED_PORTS.contains(&destination.port());
            node.runs() && (node.port == destination.port() || (designated && to_all))
        };
        let listeners: Vec<usize> =
            self.hosts[to].nodes.iter().copied().filter(|&node| listens(node)).collect();
        let interface = InterfaceId(u32::try_from(lan + 1).unwrap_or(u32::MAX));
        for node in listeners {
            for delay in copies.iter().flatten() {
                let datagram = Happening::Datagram { node, interface, source, bytes: bytes.clone() };
                self.after(*delay, datagram);
            }
        }
    }
}
