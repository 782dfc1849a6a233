//! Engines, streams, and nothing that happens by itself: a test says what happens next.
//!
//! Every operation concerns one node, whose state is a function of the operations that it has seen, because each node
//! has a clock of its own that moves with its own timers only. So the histories of all nodes name the state of the
//! world, and two orders that differ only in what happened first on different nodes are one.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{
    Action, Cadence, Config, Datagram, DialFailure, Engine, Event, Identity, Interface, InterfaceAddr,
    InterfaceId, Level, LinkEnd, LinkId, LinkInput, LinkOutput, Network, PeerId, Restored, Seeds, Timestamp,
};

const PORT: u16 = 9000;
const LAN: InterfaceId = InterfaceId(1);
const BUDGET: usize = 4 << 20;

/// A stream, named by who dialled it: the node, its run, its number there.
pub(crate) type Stream = (usize, u64, LinkId);

/// One of the two ends of a stream: 0 dialled it, 1 accepted it.
type Side = usize;

/// Something that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    /// A node is told by hand to dial another.
    Dial(usize, usize),
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
}

/// What may happen, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub nodes: usize,
    /// Who dials whom by hand, at any moment, once.
    pub dials: Vec<(usize, usize)>,
    pub cuts: usize,
    pub parts: usize,
    pub crashes: usize,
    pub timers: usize,
}

enum Item {
    Opened,
    Raw(Vec<u8>),
    Frames(Vec<Vec<u8>>),
    End(LinkEnd),
}

struct End {
    node: usize,
    link: Option<LinkId>,
    open: bool,
    inbox: VecDeque<Item>,
}

struct Conn {
    /// Whether the dial is still on its way.
    syn: bool,
    ends: [End; 2],
}

struct Host {
    engine: Option<Engine>,
    run: u64,
    now: Timestamp,
    ends: BTreeMap<LinkId, (Stream, Side)>,
    connected: BTreeMap<PeerId, bool>,
    downs: usize,
    seen: u64,
}

pub(crate) struct World {
    scenario: Scenario,
    hosts: Vec<Host>,
    conns: BTreeMap<Stream, Conn>,
    done: Vec<Op>,
    datagrams: Option<VecDeque<(usize, SocketAddr, Vec<u8>)>>,
}

fn identity(i: usize) -> Identity {
    Identity::from_seed([i as u8 + 1; 32])
}

fn ip(i: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, i as u8 + 1)
}

fn other(side: Side) -> Side {
    1 - side
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let mut world = World {
            scenario: scenario.clone(),
            hosts: Vec::new(),
            conns: BTreeMap::new(),
            done: Vec::new(),
            datagrams: None,
        };
        for i in 0..scenario.nodes {
            world.hosts.push(Host {
                engine: None,
                run: 0,
                now: Timestamp::from_millis(1),
                ends: BTreeMap::new(),
                connected: BTreeMap::new(),
                downs: 0,
                seen: 0,
            });
            world.start(i);
        }
        world
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
        let mut ops = Vec::new();
        let count = |is: fn(&Op) -> bool| self.done.iter().filter(|op| is(op)).count();
        let runs = |i: usize| self.hosts[i].engine.is_some();
        for &(i, j) in &self.scenario.dials {
            if runs(i) && !self.done.contains(&Op::Dial(i, j)) {
                ops.push(Op::Dial(i, j));
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

    pub(crate) fn apply(&mut self, op: Op) {
        let i = self.node_of(op);
        self.hosts[i].seen = extended(self.hosts[i].seen, op);
        self.done.push(op);
        match op {
            Op::Dial(_, j) => {
                let to = SocketAddr::from((ip(j), PORT));
                self.tell(i, |engine, now| engine.dial(now, to).unwrap());
            }
            Op::Accept(name) => self.accept(name),
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
        }
    }

    // ---- Questions ----

    /// Whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.conns.values().all(|conn| !conn.syn && conn.ends.iter().all(|end| end.inbox.is_empty()))
    }

    /// What is wrong with a pair while nothing is under way: both must use the same stream, or none.
    pub(crate) fn disagreement(&self) -> Option<String> {
        self.pairs().find_map(|(i, j)| {
            let (one, two) = (self.used(i, j), self.used(j, i));
            let streams = self.streams(i, j);
            (one != two || streams.len() > 1)
                .then(|| format!("{i} uses {one:?} for {j}, {j} uses {two:?} for {i}; open: {streams:?}"))
        })
    }

    /// What is missing for all to be well: one stream for each pair, used and trusted by both.
    pub(crate) fn missing(&self) -> Option<String> {
        if let Some(down) = (0..self.hosts.len()).find(|&i| self.hosts[i].engine.is_none()) {
            return Some(format!("{down} does not run"));
        }
        self.disagreement().or_else(|| {
            self.pairs().find_map(|(i, j)| {
                let levels = (self.level(i, j), self.level(j, i));
                let trusted = (Some(Level::Trusted), Some(Level::Trusted));
                let missing = levels != trusted || self.streams(i, j).len() != 1;
                missing.then(|| format!("{i} and {j}: {levels:?}, open: {:?}", self.streams(i, j)))
            })
        })
    }

    /// How often any node was told that a peer left.
    pub(crate) fn downs(&self) -> usize {
        self.hosts.iter().map(|host| host.downs).sum()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let n = self.hosts.len();
        (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
    }

    fn level(&self, i: usize, j: usize) -> Option<Level> {
        self.hosts[i].engine.as_ref()?.peer(&identity(j).peer_id()).map(|view| view.level)
    }

    /// The stream that node `i` uses for node `j`.
    fn used(&self, i: usize, j: usize) -> Option<Stream> {
        let link = self.hosts[i].engine.as_ref()?.peer(&identity(j).peer_id())?.link?;
        self.hosts[i].ends.get(&link).map(|(name, _)| *name)
    }

    /// The streams between two nodes that are open at both ends.
    fn streams(&self, i: usize, j: usize) -> Vec<Stream> {
        let between = |conn: &Conn| {
            let (a, b) = (&conn.ends[0], &conn.ends[1]);
            a.open && b.open && ((a.node, b.node) == (i, j) || (a.node, b.node) == (j, i))
        };
        self.conns.iter().filter(|(_, conn)| between(conn)).map(|(name, _)| *name).collect()
    }

    // ---- Fair time ----

    /// Ends all faults and lets time pass for all nodes together until all is well, for `limit` at the most.
    pub(crate) fn heal(&mut self, limit: Duration) {
        self.datagrams = Some(VecDeque::new());
        let now = self.hosts.iter().map(|host| host.now).max().unwrap();
        for i in 0..self.hosts.len() {
            self.hosts[i].now = now;
            if self.hosts[i].engine.is_none() {
                self.start(i);
            }
        }
        let end = self.clock() + limit;
        while self.clock() < end && !(self.is_quiet() && self.missing().is_none()) {
            self.pass(end);
        }
    }

    /// Lets time pass for all nodes together.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.clock() + time;
        while self.clock() < end {
            self.pass(end);
        }
    }

    fn clock(&self) -> Timestamp {
        self.hosts.iter().map(|host| host.now).max().unwrap()
    }

    /// Delivers everything, then moves all clocks to the next deadline.
    fn pass(&mut self, end: Timestamp) {
        let mut turns = 0;
        loop {
            let now = self.clock();
            self.hosts.iter_mut().for_each(|host| host.now = now);
            turns += 1;
            assert!(turns < 10_000, "never quiet after {:?}", self.done);
            if let Some((to, source, bytes)) = self.datagrams.as_mut().and_then(VecDeque::pop_front) {
                let datagram = Datagram { interface: LAN, source, bytes: &bytes };
                self.tell(to, |engine, now| engine.handle_datagram(now, datagram));
                continue;
            }
            let due = |op: &Op| matches!(op, Op::Accept(_) | Op::Refuse(_) | Op::Deliver(..));
            let Some(op) = self.possible().into_iter().find(due) else { break };
            self.apply(op);
            self.done.pop();
        }
        let deadlines = self.hosts.iter().filter_map(|host| host.engine.as_ref()?.poll_timeout());
        let next = deadlines.map(|next| next.at).min().unwrap().min(end).max(self.clock());
        for i in 0..self.hosts.len() {
            self.hosts[i].now = next;
            let due = self.hosts[i].engine.as_ref().and_then(Engine::poll_timeout);
            if due.is_some_and(|due| due.at <= next) {
                self.timer(i);
            }
        }
    }

    // ---- Private parts ----

    fn node_of(&self, op: Op) -> usize {
        match op {
            Op::Dial(i, _) | Op::Part(i, _) | Op::Crash(i) | Op::Start(i) | Op::Timer(i) => i,
            Op::Refuse(name) => name.0,
            Op::Accept(name) => self.conns[&name].ends[1].node,
            Op::Deliver(name, side) | Op::Cut(name, side) => self.conns[&name].ends[side].node,
        }
    }

    /// Begins a run. Its first beacons are lost, so that its next deadlines are those of links and dials.
    fn start(&mut self, i: usize) {
        let mut config = Config::new(Network::open("exhaustive").unwrap(), format!("n{i}"), PORT);
        config.verification = Vec::new();
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
            loopback: false,
            multicast: false,
            directed_broadcast: true,
            addrs: vec![InterfaceAddr { ip: ip(i).into(), prefix: 24 }],
        };
        engine.handle_interfaces(host.now, &[lan]);
        let burst = host.now + Duration::from_secs(2);
        let mut lost = Vec::new();
        while let Some(next) = engine.poll_timeout().filter(|next| next.at <= burst) {
            engine.handle_timeout(next.at);
            while engine.poll_transmit(&mut lost).is_some() {}
        }
        host.now = burst;
        host.engine = Some(engine);
        host.connected.clear();
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
        assert!(next.is_none_or(|next| next.at > host.now), "a deadline in the past after {:?}", self.done);
        self.drain(i);
    }

    fn accept(&mut self, name: Stream) {
        let conn = self.conns.get_mut(&name).unwrap();
        conn.syn = false;
        let to = conn.ends[1].node;
        let source = SocketAddr::from((ip(name.0), 50_000));
        let accepted = self.tell(to, |engine, now| engine.accept_link(now, Some(LAN), source));
        let Ok(link) = accepted else {
            let conn = self.conns.get_mut(&name).unwrap();
            conn.ends[1].open = false;
            conn.ends[0].inbox.extend([Item::Opened, Item::End(LinkEnd::Eof)]);
            return;
        };
        let conn = self.conns.get_mut(&name).unwrap();
        conn.ends[1].link = Some(link);
        conn.ends[1].open = true;
        conn.ends[0].inbox.push_back(Item::Opened);
        self.hosts[to].ends.insert(link, (name, 1));
        let writable = LinkInput::Writable { budget: BUDGET };
        self.tell(to, |engine, now| engine.handle_link(now, link, writable));
    }

    fn deliver(&mut self, name: Stream, side: Side) {
        let end = &mut self.conns.get_mut(&name).unwrap().ends[side];
        let (i, Some(link), Some(item)) = (end.node, end.link, end.inbox.pop_front()) else { return };
        match item {
            Item::Opened => self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Opened)),
            Item::Raw(bytes) => {
                self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Handshake(&bytes)));
            }
            Item::Frames(frames) => {
                for body in frames {
                    self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Frame(&body)));
                }
            }
            Item::End(reason) => {
                self.close(name, side, LinkEnd::Eof);
                self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Closed(reason)));
            }
        }
        let writable = LinkInput::Writable { budget: BUDGET };
        self.tell(i, |engine, now| engine.handle_link(now, link, writable));
    }

    /// One end is over: nothing reaches it any more, and the other learns of it behind what is under way.
    fn close(&mut self, name: Stream, side: Side, reason: LinkEnd) -> Option<LinkId> {
        let conn = self.conns.get_mut(&name)?;
        let end = &mut conn.ends[side];
        if !std::mem::replace(&mut end.open, false) {
            return None;
        }
        end.inbox.clear();
        let (node, link) = (end.node, end.link);
        if conn.ends[other(side)].open {
            conn.ends[other(side)].inbox.push_back(Item::End(reason));
        }
        if let Some(link) = link {
            self.hosts[node].ends.remove(&link);
        }
        // Neither end is there any more, or the dial was given up before it arrived.
        if conn.ends.iter().all(|end| !end.open) {
            self.conns.remove(&name);
        }
        link
    }

    fn tell<R>(&mut self, i: usize, input: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let host = &mut self.hosts[i];
        let now = host.now;
        let result = input(host.engine.as_mut().expect("the node runs"), now);
        self.drain(i);
        result
    }

    fn engine(&mut self, i: usize) -> &mut Engine {
        self.hosts[i].engine.as_mut().expect("the node runs")
    }

    fn drain(&mut self, i: usize) {
        while let Some(action) = self.engine(i).poll_action() {
            match action {
                Action::Dial { link, address, .. } => self.dial(i, link, address),
                Action::Close { link } => self.end(i, link),
                Action::Finish { link, raw, frames } => {
                    self.flush(i, link);
                    self.send(i, link, raw, frames);
                    self.end(i, link);
                }
                _ => {}
            }
        }
        while let Some(link) = self.engine(i).poll_ready_link() {
            self.flush(i, link);
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.engine(i).poll_transmit(&mut bytes) {
            let broadcast = transmit.destination.ip() == IpAddr::from([10, 0, 0, 255]);
            let source = SocketAddr::from((ip(i), PORT));
            let Some(datagrams) = &mut self.datagrams else { continue };
            for to in 0..self.scenario.nodes {
                if to != i && (broadcast || transmit.destination.ip() == ip(to)) {
                    datagrams.push_back((to, source, bytes.clone()));
                }
            }
        }
        while let Some(event) = self.engine(i).poll_event() {
            self.note(i, &event);
        }
    }

    fn note(&mut self, i: usize, event: &Event) {
        let (peer, up) = match event {
            Event::PeerConnected { peer, .. } => (*peer, true),
            Event::PeerLeft { peer, .. } => (*peer, false),
            _ => return,
        };
        self.hosts[i].downs += usize::from(!up);
        let before = self.hosts[i].connected.insert(peer, up).unwrap_or(false);
        assert_ne!(before, up, "node {i} was told {event:?} twice after {:?}", self.done);
    }

    fn dial(&mut self, i: usize, link: LinkId, address: SocketAddr) {
        let name = (i, self.hosts[i].run, link);
        let Some(to) = (0..self.scenario.nodes).find(|&to| address == SocketAddr::from((ip(to), PORT)))
        else {
            panic!("nobody lives at {address}");
        };
        let end =
            |node, link: Option<LinkId>| End { node, open: link.is_some(), link, inbox: VecDeque::new() };
        self.conns.insert(name, Conn { syn: true, ends: [end(i, Some(link)), end(to, None)] });
        self.hosts[i].ends.insert(link, (name, 0));
    }

    fn end(&mut self, i: usize, link: LinkId) {
        if let Some(&(name, side)) = self.hosts[i].ends.get(&link) {
            self.close(name, side, LinkEnd::Eof);
        }
    }

    fn flush(&mut self, i: usize, link: LinkId) {
        let mut buffer = Vec::new();
        while let Some(output) = self.engine(i).poll_link(link, &mut buffer) {
            let bytes = std::mem::take(&mut buffer);
            match output {
                LinkOutput::Raw => self.send(i, link, bytes, Vec::new()),
                LinkOutput::Frames => self.send(i, link, Vec::new(), bytes),
            }
        }
    }

    fn send(&mut self, i: usize, link: LinkId, raw: Vec<u8>, frames: Vec<u8>) {
        let Some(&(name, side)) = self.hosts[i].ends.get(&link) else { return };
        let Some(conn) = self.conns.get_mut(&name) else { return };
        let far = &mut conn.ends[other(side)];
        if !far.open {
            return;
        }
        if !raw.is_empty() {
            far.inbox.push_back(Item::Raw(raw));
        }
        let (mut bodies, mut rest) = (Vec::new(), &frames[..]);
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let (body, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
            bodies.push(body.to_vec());
            rest = tail;
        }
        if !bodies.is_empty() {
            far.inbox.push_back(Item::Frames(bodies));
        }
    }
}

fn extended(seen: u64, op: Op) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seen, op).hash(&mut hasher);
    hasher.finish()
}
