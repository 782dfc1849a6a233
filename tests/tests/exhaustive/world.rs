//! Engines, streams, and nothing that happens by itself: a test says what happens next.
//!
//! Every operation concerns one node, whose state is a function of the operations that it has seen, because each node
//! has a clock of its own that moves with its own timers only. So the histories of all nodes name the state of the
//! world, and two orders that differ only in what happened first on different nodes are one.
//!
//! That rests on three things. An engine has no hidden inputs. What an operation delivers is named by its place in the
//! stream, and what stands there was decided by what the sender had seen. And what may happen at all (`possible`) asks
//! for nothing but the nodes, what is under way between them, and how often something was done. The names are hashes
//! of 64 bits for each node; with a million states two histories of a node share one less than once in ten million
//! searches.

mod scenario;
mod streams;
mod wellbeing;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{
    Cadence, Config, Datagram, DialFailure, Engine, Identity, Interface, InterfaceAddr, InterfaceId,
    InterfaceKind, LinkEnd, LinkId, LinkInput, Network, PeerId, Restored, Seeds, Timestamp,
};

pub(crate) use scenario::{Begin, Scenario};
use streams::{Conn, Item, other};

const PORT: u16 = 9000;
const LAN: InterfaceId = InterfaceId(1);

/// A stream, named by who dialled it: the node, its run, its number there.
pub(crate) type Stream = (usize, u64, LinkId);

/// One of the two ends of a stream: 0 dialled it, 1 accepted it.
type Side = usize;

/// Something that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    /// A node is told by hand to dial another.
    Dial(usize, usize),
    /// A node hears the beacon of another's run.
    Hear(usize, usize, u64),
    /// A dial arrives.
    Accept(Stream),
    /// A dial arrives where nobody runs.
    Refuse(Stream),
    /// What was sent next on a stream arrives at one end.
    Deliver(Stream, Side),
    /// A stream breaks: this end learns it now and the other behind what is under way to it.
    Cut(Stream, Side),
    /// The application parts from a peer on purpose.
    Part(usize, usize),
    /// A process ends without a word; its host ends its streams.
    Crash(usize),
    /// A new run begins, by a newer incarnation.
    Start(usize),
    /// A node's clock moves to its next deadline.
    Timer(usize),
    /// An application takes the events that wait for it.
    Look(usize),
}

struct Host {
    engine: Option<Engine>,
    run: u64,
    now: Timestamp,
    /// Whom this run was told to dial, and whose beacons it heard.
    told: Vec<(usize, u64)>,
    /// The last beacon of this run's beginning.
    beacon: Vec<u8>,
    ends: BTreeMap<LinkId, (Stream, Side)>,
    connected: BTreeMap<PeerId, bool>,
    downs: usize,
    /// Whether it ever had two confirmed links to one peer.
    had_two: bool,
    seen: u64,
}

pub(crate) struct World {
    scenario: Scenario,
    hosts: Vec<Host>,
    conns: BTreeMap<Stream, Conn>,
    done: Vec<Op>,
    /// The first thing that an application was told and must not have been.
    complaint: Option<String>,
    /// Whether all faults are over.
    healing: bool,
    /// Whether applications take events as they come.
    attentive: bool,
    datagrams: VecDeque<(usize, SocketAddr, Vec<u8>)>,
}

fn identity(i: usize) -> Identity {
    Identity::cheap([i as u8 + 1; 32])
}

fn ip(i: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, i as u8 + 1)
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut world = World {
            scenario: scenario.clone(),
            hosts: Vec::new(),
            conns: BTreeMap::new(),
            done: Vec::new(),
            complaint: None,
            healing: false,
            attentive: scenario.looks == 0,
            datagrams: VecDeque::new(),
        };
        for i in 0..scenario.nodes {
            world.hosts.push(Host {
                engine: None,
                run: 0,
                now: Timestamp::from_millis(1),
                told: Vec::new(),
                beacon: Vec::new(),
                ends: BTreeMap::new(),
                connected: BTreeMap::new(),
                downs: 0,
                had_two: false,
                seen: 0,
            });
            world.start(i);
        }
        world.begin();
        world
    }

    /// Does what comes before the search.
    fn begin(&mut self) {
        for (i, j) in self.scenario.dials.clone() {
            match self.scenario.begin {
                Begin::Apart => {}
                Begin::Dialled => self.apply(Op::Dial(i, j)),
                Begin::Heard => {
                    self.apply(Op::Hear(i, j, 1));
                    // The side with the larger id waits a little.
                    while !self.conns.values().any(|conn| (conn.ends[0].node, conn.ends[1].node) == (i, j)) {
                        self.apply(Op::Timer(i));
                    }
                }
            }
        }
        while let Some(op) = self.greeting().filter(|_| self.scenario.begin != Begin::Apart) {
            self.apply(op);
        }
        self.done.clear();
    }

    /// The world after these operations.
    pub(crate) fn after(scenario: &Scenario, ops: &[Op]) -> Self {
        let mut world = World::new(scenario);
        for &op in ops {
            world.apply(op);
        }
        world
    }

    /// The name of the state: what each node has seen.
    pub(crate) fn key(&self) -> Vec<u64> {
        self.hosts.iter().map(|host| host.seen).collect()
    }

    /// The name of the state after `op`.
    pub(crate) fn key_after(&self, op: Op) -> Vec<u64> {
        let mut key = self.key();
        let node = self.node_of(op);
        key[node] = extended(key[node], op);
        key
    }

    /// Everything that may happen now.
    pub(crate) fn possible(&self) -> Vec<Op> {
        if self.scenario.begin != Begin::Apart
            && let Some(op) = self.greeting()
        {
            return vec![op];
        }
        let mut ops = Vec::new();
        let count = |is: fn(&Op) -> bool| self.done.iter().filter(|op| is(op)).count();
        let runs = |i: usize| self.hosts[i].engine.is_some();
        for &(i, j) in &self.scenario.dials {
            let heard = self.scenario.begin == Begin::Heard;
            let (meet, told) = if heard {
                (Op::Hear(i, j, self.hosts[j].run), (j, self.hosts[j].run))
            } else {
                (Op::Dial(i, j), (j, 0))
            };
            if runs(i) && (!heard || runs(j)) && !self.hosts[i].told.contains(&told) {
                ops.push(meet);
            }
        }
        let cuts = count(|op| matches!(op, Op::Cut(..))) < self.scenario.cuts;
        for (&name, conn) in &self.conns {
            if conn.syn {
                ops.push(if runs(conn.ends[1].node) { Op::Accept(name) } else { Op::Refuse(name) });
                continue;
            }
            for side in 0..2 {
                if conn.ends[side].open && !conn.ends[side].inbox.is_empty() {
                    ops.push(Op::Deliver(name, side));
                }
                if cuts && conn.ends[side].open && conn.ends[other(side)].open {
                    ops.push(Op::Cut(name, side));
                }
            }
        }
        let crashes = count(|op| matches!(op, Op::Crash(_))) < self.scenario.crashes;
        let timers = count(|op| matches!(op, Op::Timer(_))) < self.scenario.timers;
        let parts = count(|op| matches!(op, Op::Part(..))) < self.scenario.parts;
        let looks = count(|op| matches!(op, Op::Look(_))) < self.scenario.looks;
        for i in 0..self.hosts.len() {
            match &self.hosts[i].engine {
                None => ops.push(Op::Start(i)),
                Some(engine) => {
                    // Before anything was done on a node its crash changes nothing.
                    if crashes && !self.hosts[i].ends.is_empty() {
                        ops.push(Op::Crash(i));
                    }
                    if timers && engine.poll_timeout().is_some() {
                        ops.push(Op::Timer(i));
                    }
                    if looks {
                        ops.push(Op::Look(i));
                    }
                    for j in 0..self.hosts.len() {
                        let linked =
                            engine.peer(&identity(j).peer_id()).is_some_and(|view| view.link.is_some());
                        if parts && linked {
                            ops.push(Op::Part(i, j));
                        }
                    }
                }
            }
        }
        ops
    }

    /// The next step of a dial that was not answered yet: it is accepted, the dialler learns so and sends its first
    /// message, that arrives and is answered. These steps touch nothing but their stream.
    fn greeting(&self) -> Option<Op> {
        self.conns.iter().find_map(|(&name, conn)| {
            if conn.syn {
                return self.hosts[conn.ends[1].node].engine.as_ref().map(|_| Op::Accept(name));
            }
            let side = (0..2).find(|&side| {
                let end = &conn.ends[side];
                end.open && matches!(end.inbox.front(), Some(Item::Opened | Item::Greeting(_)))
            });
            side.map(|side| Op::Deliver(name, side))
        })
    }

    pub(crate) fn apply(&mut self, op: Op) {
        let i = self.node_of(op);
        self.hosts[i].seen = extended(self.hosts[i].seen, op);
        self.done.push(op);
        match op {
            Op::Dial(_, j) => {
                let to = SocketAddr::from((ip(j), PORT));
                self.hosts[i].told.push((j, 0));
                self.tell(i, |engine, now| engine.dial(now, to).unwrap());
            }
            Op::Accept(name) => self.accept(name),
            Op::Hear(_, j, run) => {
                self.hosts[i].told.push((j, run));
                let (bytes, source) = (self.hosts[j].beacon.clone(), SocketAddr::from((ip(j), PORT)));
                let beacon = Datagram { interface: LAN, source, bytes: &bytes };
                self.tell(i, |engine, now| engine.handle_datagram(now, beacon));
            }
            Op::Refuse(name) => {
                self.conns.remove(&name);
                self.hosts[i].ends.remove(&name.2);
                let failed = LinkInput::DialFailed(DialFailure::Refused);
                self.tell(i, |engine, now| engine.handle_link(now, name.2, failed));
            }
            Op::Deliver(name, side) => self.deliver(name, side),
            Op::Cut(name, side) => {
                let link = self.close(name, side, LinkEnd::Reset);
                if let Some(link) = link {
                    let reset = LinkInput::Closed(LinkEnd::Reset);
                    self.tell(i, |engine, now| engine.handle_link(now, link, reset));
                }
            }
            Op::Part(_, j) => {
                let peer = identity(j).peer_id();
                self.tell(i, |engine, now| engine.disconnect(now, peer));
            }
            Op::Crash(_) => {
                self.hosts[i].engine = None;
                for (name, side) in std::mem::take(&mut self.hosts[i].ends).into_values() {
                    self.close(name, side, LinkEnd::Eof);
                }
            }
            Op::Start(_) => self.start(i),
            Op::Timer(_) => self.timer(i),
            Op::Look(_) => self.take_events(i),
        }
    }

    // ---- Private parts ----

    fn node_of(&self, op: Op) -> usize {
        match op {
            Op::Dial(i, _) | Op::Hear(i, ..) | Op::Part(i, _) => i,
            Op::Crash(i) | Op::Start(i) | Op::Timer(i) | Op::Look(i) => i,
            Op::Refuse(name) => name.0,
            Op::Accept(name) => self.conns[&name].ends[1].node,
            Op::Deliver(name, side) | Op::Cut(name, side) => self.conns[&name].ends[side].node,
        }
    }

    /// Begins a run. Its first beacons are lost, so that its next deadlines are those of links and dials.
    fn start(&mut self, i: usize) {
        let mut config = Config::new(Network::cheap("exhaustive").unwrap(), format!("n{i}"), PORT);
        config.trust.steps = Vec::new();
        config.planted = self.scenario.bug;
        config.cadence = Cadence::Constant { interval: Duration::from_secs(20) };
        let host = &mut self.hosts[i];
        host.run += 1;
        let seed = [i as u8 * 16 + host.run as u8; 32];
        let restored = Restored { incarnation: host.run, ..Restored::default() };
        let seeds = Seeds::new(seed, seed.map(|byte| byte ^ 0xff));
        let mut engine = Engine::new(config, identity(i), restored, seeds, host.now).unwrap();
        let lan = Interface {
            id: LAN,
            name: "eth0".into(),
            kind: InterfaceKind::Lan,
            multicast: false,
            directed_broadcast: true,
            addrs: vec![InterfaceAddr { ip: ip(i).into(), prefix: 24 }],
        };
        engine.handle_interfaces(host.now, &[lan]);
        let burst = host.now + Duration::from_secs(2);
        while let Some(next) = engine.poll_timeout().filter(|next| next.at <= burst) {
            engine.handle_timeout(next.at);
            while engine.poll_transmit(&mut host.beacon).is_some() {}
        }
        host.now = burst;
        host.engine = Some(engine);
        host.connected.clear();
        host.told.clear();
        self.drain(i);
    }

    fn timer(&mut self, i: usize) {
        let host = &mut self.hosts[i];
        let Some(engine) = &mut host.engine else { return };
        if let Some(next) = engine.poll_timeout() {
            host.now = host.now.max(next.at);
        }
        engine.handle_timeout(host.now);
        let next = engine.poll_timeout();
        assert!(next.is_none_or(|next| next.at > host.now), "a deadline in the past");
        self.drain(i);
    }
}

fn extended(seen: u64, op: Op) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seen, op).hash(&mut hasher);
    hasher.finish()
}
