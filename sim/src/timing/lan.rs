//! The LAN that is measured: engines, a heap of events, and who has found whom.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use p2pnet_engine::{
    Action, Config, Datagram, Engine, Event, Identity, Interface, InterfaceAddr, InterfaceId, InterfaceKind,
    Network, PeerId, Restored, Seeds, Timestamp, Transmit,
};

use super::{Case, Domain, PATIENCE, Run, SETTLED, STEADY, Samples, Start, Traffic, roll};
use crate::draws::{scale, seed_bytes};
use crate::schedule::Schedule;

const PORT: u16 = 7000;
const INTERFACE: InterfaceId = InterfaceId(1);
/// How long a node that starts dials whom it hears. Then it parts from all of them, and from whomever it dials later:
/// as if it had all the links that it may have. What a thousand nodes dial again and again, to no avail, would cost more
/// than all their beacons.
const DIALS_FOR: Duration = Duration::from_millis(300);
/// What a datagram takes to all who hear it: a switch sends the copies out at the same time.
const LATENCY: Duration = Duration::from_micros(100);
const JITTER_NANOS: u64 = 200_000;
/// The headers of IP and UDP.
const HEADERS_4: u64 = 28;
const HEADERS_6: u64 = 48;
/// With datagrams first at one time, as in a [`World`](crate::World).
const CLASS_DATAGRAM: u8 = 0;
const CLASS_OTHER: u8 = 1;

enum Happening {
    Start(usize),
    Wake(usize),
    /// A node gives up on links.
    Part(usize),
    Datagram {
        from: usize,
        to: Option<usize>,
        source: SocketAddr,
        number: u64,
        bytes: Vec<u8>,
    },
    /// The two halves are one from now on.
    Join,
}

struct Node {
    engine: Option<Engine>,
    peer: PeerId,
    /// The next wake on the heap, at or before what the engine wants.
    wake: Option<Timestamp>,
    /// Whether it has given up on links: see [`DIALS_FOR`].
    parts: bool,
}

pub(super) struct Lan {
    case: Case,
    seed: u64,
    now: Timestamp,
    schedule: Schedule<Happening>,
    nodes: Vec<Node>,
    index: BTreeMap<PeerId, usize>,
    /// Whether the halves are apart.
    apart: bool,
    /// Since when the pairs that count can hear each other.
    since: Timestamp,
    /// For each ordered pair whether the first has found the second.
    known: Vec<bool>,
    left: u64,
    found: Samples,
    datagrams: u64,
    bytes: u64,
    /// What was sent, and dialled, in the second that is running, and the most of any.
    second: (u64, u64, u64),
    peak: (u64, u64),
    buffer: Vec<u8>,
}

impl Lan {
    pub(super) fn new(case: &Case, seed: u64) -> Self {
        assert!((2..=4000).contains(&case.nodes), "2 to 4000 nodes, not {}", case.nodes);
        let node = |i: usize| {
            let identity = Identity::cheap(seed_bytes(seed, &format!("timing identity {i}")));
            Node { engine: None, peer: identity.peer_id(), wake: None, parts: false }
        };
        let nodes: Vec<Node> = (0..case.nodes).map(node).collect();
        let index = nodes.iter().enumerate().map(|(i, node)| (node.peer, i)).collect();
        let mut lan = Lan {
            case: *case,
            seed,
            now: Timestamp::ZERO,
            schedule: Schedule::new(),
            known: vec![false; nodes.len() * nodes.len()],
            nodes,
            index,
            apart: case.start == Start::Joined,
            since: Timestamp::ZERO,
            left: 0,
            found: Samples::default(),
            datagrams: 0,
            bytes: 0,
            second: (0, 0, 0),
            peak: (0, 0),
            buffer: Vec::new(),
        };
        lan.plan();
        lan
    }

    /// Schedules who starts when.
    fn plan(&mut self) {
        let nodes = self.case.nodes;
        let within =
            |domain, entity, nanos| Duration::from_nanos(scale(roll(self.seed, domain, entity, 0), nanos));
        let second = 1_000_000_000;
        let mut starts = vec![Duration::ZERO; nodes];
        match self.case.start {
            Start::Together => {}
            Start::Late => {
                for (i, start) in starts.iter_mut().enumerate() {
                    *start = within(Domain::Start, i as u64, second);
                }
                let late = Duration::from_secs(60) + within(Domain::Apart, 0, 60 * second);
                starts[nodes - 1] = late;
                self.since = Timestamp::ZERO + late;
            }
            Start::Joined => {
                for (i, start) in starts.iter_mut().enumerate() {
                    *start = within(Domain::Start, i as u64, 5 * second);
                }
                self.since =
                    Timestamp::ZERO + Duration::from_secs(120) + within(Domain::Apart, 0, 120 * second);
                self.schedule.push(self.since, CLASS_DATAGRAM, 0, Happening::Join);
            }
        }
        for (i, start) in starts.into_iter().enumerate() {
            self.schedule.push(Timestamp::ZERO + start, CLASS_OTHER, 0, Happening::Start(i));
        }
        self.left = (0..nodes * nodes).filter(|pair| self.counts(pair / nodes, pair % nodes)).count() as u64;
    }

    /// Whether the time that `a` takes to find `b` is measured.
    fn counts(&self, a: usize, b: usize) -> bool {
        let late = self.case.nodes - 1;
        a != b
            && match self.case.start {
                Start::Together => true,
                Start::Late => a == late || b == late,
                Start::Joined => self.half(a) != self.half(b),
            }
    }

    fn half(&self, node: usize) -> bool {
        node < self.case.nodes / 2
    }

    pub(super) fn run(mut self) -> Run {
        let patience = self.since + PATIENCE;
        while self.left > 0 && self.step(patience) {}
        let missed = self.left;
        // Found or not: what the LAN sends when nothing changes any more.
        let settled = self.now.max(self.since + SETTLED);
        while self.step(settled) {}
        let before = Traffic { datagrams: self.datagrams, bytes: self.bytes };
        let end = settled + STEADY;
        while self.step(end) {}
        self.turn_second(u64::MAX);
        Run {
            found: self.found,
            missed,
            steady: Traffic {
                datagrams: self.datagrams - before.datagrams,
                bytes: self.bytes - before.bytes,
            },
            peak_datagrams: self.peak.0,
            peak_dials: self.peak.1,
        }
    }

    fn step(&mut self, end: Timestamp) -> bool {
        if self.schedule.next_at().is_none_or(|at| at > end) {
            self.now = self.now.max(end);
            return false;
        }
        let Some(next) = self.schedule.pop() else { return false };
        self.now = next.at;
        match next.happening {
            Happening::Start(i) => self.start(i),
            Happening::Wake(i) => self.wake(i),
            Happening::Part(i) => self.part(i),
            Happening::Datagram { from, to, source, number, bytes } => {
                let all = to.map_or(0..self.nodes.len(), |to| to..to + 1);
                for to in all {
                    self.deliver(from, to, source, number, &bytes);
                }
            }
            Happening::Join => self.apart = false,
        }
        true
    }

    fn start(&mut self, i: usize) {
        let network = Network::cheap("timing").expect("the name is a valid one");
        let mut config = Config::new(network, format!("n{i}"), PORT);
        config.cadence = self.case.cadence;
        config.max_peers = config.max_peers.max(self.case.nodes);
        // No link ever comes up, and nothing here is about which are sought.
        config.active_links = 1;
        let label = |what: &str| seed_bytes(self.seed, &format!("timing {what} {i}"));
        let identity = Identity::cheap(label("identity"));
        let seeds = Seeds::new(label("behaviour"), label("secrets"));
        let engine = Engine::new(config, identity, Restored::default(), seeds, self.now);
        let mut engine = engine.expect("the configuration is valid");
        let interface = Interface {
            id: INTERFACE,
            name: "timing0".to_owned(),
            kind: InterfaceKind::Lan,
            multicast: true,
            directed_broadcast: true,
            addrs: vec![
                InterfaceAddr { ip: address_4(i).into(), prefix: 16 },
                InterfaceAddr { ip: address_6(i).into(), prefix: 64 },
            ],
        };
        engine.handle_interfaces(self.now, &[interface]);
        self.nodes[i].engine = Some(engine);
        self.schedule.push(self.now + DIALS_FOR, CLASS_OTHER, 0, Happening::Part(i));
        self.drain(i);
    }

    fn part(&mut self, i: usize) {
        self.nodes[i].parts = true;
        let Some(engine) = &mut self.nodes[i].engine else { return };
        let peers: Vec<PeerId> = engine.peers().map(|peer| peer.id).collect();
        for peer in peers {
            engine.disconnect(self.now, peer);
        }
        self.drain(i);
    }

    fn wake(&mut self, i: usize) {
        if self.nodes[i].wake != Some(self.now) {
            // An earlier one took its place.
            return;
        }
        self.nodes[i].wake = None;
        if let Some(engine) = &mut self.nodes[i].engine
            && engine.poll_timeout().is_some_and(|due| due.at <= self.now)
        {
            engine.handle_timeout(self.now);
            self.drain(i);
        } else {
            self.reschedule(i);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, source: SocketAddr, number: u64, bytes: &[u8]) {
        if from == to || (self.apart && self.half(from) != self.half(to)) {
            return;
        }
        let lost = roll(self.seed, Domain::Loss, to as u64, number);
        if self.case.loss > 0 && scale(lost, 100) < u64::from(self.case.loss) {
            return;
        }
        let now = self.now;
        if let Some(engine) = &mut self.nodes[to].engine {
            engine.handle_datagram(now, Datagram { interface: INTERFACE, source, bytes });
            self.drain(to);
        }
    }

    fn drain(&mut self, i: usize) {
        let now = self.now;
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(engine) = &mut self.nodes[i].engine {
            if let Some(action) = engine.poll_action() {
                if let Action::Dial { address, .. } = action {
                    self.turn_second(now.as_nanos() / 1_000_000_000);
                    self.second.2 += 1;
                    self.part_from(i, address);
                }
            } else if let Some(transmit) = engine.poll_transmit(&mut buffer) {
                self.send(i, transmit, &buffer);
            } else if let Some(event) = engine.poll_event() {
                if let Event::PeerDiscovered { peer, .. } = event {
                    self.finds(i, &peer);
                }
            } else {
                break;
            }
        }
        self.buffer = buffer;
        self.reschedule(i);
    }

    fn part_from(&mut self, i: usize, address: SocketAddr) {
        let Some(other) = self.node_at(address.ip()).filter(|_| self.nodes[i].parts) else { return };
        let (now, peer) = (self.now, self.nodes[other].peer);
        if let Some(engine) = &mut self.nodes[i].engine {
            engine.disconnect(now, peer);
        }
    }

    fn finds(&mut self, i: usize, peer: &PeerId) {
        let Some(&other) = self.index.get(peer) else { return };
        let pair = i * self.nodes.len() + other;
        if self.counts(i, other) && !std::mem::replace(&mut self.known[pair], true) {
            self.found.note(self.now.since(self.since));
            self.left -= 1;
        }
    }

    /// A wake that comes too early does nothing but ask again: cheaper than one more on the heap for each deadline that
    /// moves to later.
    fn reschedule(&mut self, i: usize) {
        let node = &mut self.nodes[i];
        let Some(due) = node.engine.as_ref().and_then(Engine::poll_timeout) else { return };
        let at = due.at.max(self.now);
        if node.wake.is_none_or(|wake| at < wake) {
            node.wake = Some(at);
            self.schedule.push(at, CLASS_OTHER, 0, Happening::Wake(i));
        }
    }

    fn send(&mut self, from: usize, transmit: Transmit, bytes: &[u8]) {
        self.turn_second(self.now.as_nanos() / 1_000_000_000);
        self.second.1 += 1;
        self.datagrams += 1;
        let six = transmit.destination.is_ipv6();
        self.bytes += bytes.len() as u64 + if six { HEADERS_6 } else { HEADERS_4 };
        let to = match transmit.destination.ip() {
            ip if ip.is_multicast() => None,
            IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[2..] == [255, 255] => None,
            ip => match self.node_at(ip) {
                Some(to) => Some(to),
                // Nobody is there.
                None => return,
            },
        };
        let source = if six {
            SocketAddrV6::new(address_6(from), PORT, 0, INTERFACE.0).into()
        } else {
            SocketAddr::from((address_4(from), PORT))
        };
        let number = self.datagrams;
        let jitter = scale(roll(self.seed, Domain::Latency, 0, number), JITTER_NANOS);
        let at = self.now + LATENCY + Duration::from_nanos(jitter);
        let datagram = Happening::Datagram { from, to, source, number, bytes: bytes.to_vec() };
        self.schedule.push(at, CLASS_DATAGRAM, 0, datagram);
    }

    fn node_at(&self, ip: IpAddr) -> Option<usize> {
        let place = match ip {
            IpAddr::V4(ip) => {
                let [_, _, high, low] = ip.octets().map(usize::from);
                high.checked_sub(1)? * 250 + low.checked_sub(1)?
            }
            IpAddr::V6(ip) => usize::from(ip.segments()[7]).checked_sub(1)?,
        };
        let is_there = ip == address_4(place) || ip == address_6(place);
        (is_there && place < self.nodes.len()).then_some(place)
    }

    /// Whatever is counted from now on belongs to this second.
    fn turn_second(&mut self, second: u64) {
        if self.second.0 != second {
            let (_, datagrams, dials) = std::mem::replace(&mut self.second, (second, 0, 0));
            self.peak = (self.peak.0.max(datagrams), self.peak.1.max(dials));
        }
    }
}

/// 10.0.x.y, from 10.0.1.1.
fn address_4(i: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(i / 250 * 256 + i % 250 + 257).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

fn address_6(i: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::try_from(i + 1).unwrap_or(u16::MAX))
}
