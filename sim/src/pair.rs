//! Engines on a heap of events: a network without sockets, tasks or faults that nobody asked for.

mod conn;
mod faults;
mod node;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{
    BlockRef, Config, ContentId, Datagram, Engine, Event, Identity, InterfaceId, Level, LinkId, Manifest,
    Network, PeerId, Restored, Seeds, StoreReply, Timestamp, Transmit,
};

use crate::draws::seed_bytes;
use crate::schedule::Schedule;
use crate::trace::{Trace, What};
use conn::{Conn, ConnId};
use node::Node;
use streams::StreamEvent;

/// The private port of every node.
const PRIVATE_PORT: u16 = 7000;
const INTERFACE: InterfaceId = InterfaceId(1);
/// More events than this in one instant are an endless loop.
const MAX_EVENTS_AT_ONCE: u32 = 1_000_000;

/// Two engines, or a few, on an event heap ordered by (time, sequence).
///
/// It drives them as the runtime does: the same inputs and outputs, link codecs and block verifiers, a store in
/// memory. Time jumps from event to event. Datagrams and streams take a fixed time, and nothing is lost unless a
/// test asks for it. A run is a function of its seed and of what the test does.
///
/// Node `i` is called `a`, `b`, `c`... and has the address 192.168.77.`i + 1`.
///
/// ```
/// use std::time::Duration;
/// use p2pnet_sim::Pair;
///
/// let mut pair = Pair::new(7).start();
/// assert!(pair.run_until(Duration::from_secs(2), |pair| pair.all_trusted()));
/// ```
pub struct Pair {
    seed: u64,
    now: Timestamp,
    latency: Duration,
    /// Bytes a second that one direction of a stream moves.
    bandwidth: u64,
    /// Bytes a second that all streams of one node move together in each direction, if that has a limit.
    cable: Option<u64>,
    schedule: Schedule<Happening>,
    conns_made: u64,
    nodes: Vec<Node>,
    conns: BTreeMap<ConnId, Conn>,
    cuts: BTreeSet<(usize, usize)>,
    configure: Configure,
    drop_datagrams: BetweenNodes,
    spoil_blocks: OfBlocks,
    spoil_streams: BetweenNodes,
    /// Events since time last moved.
    at_once: u32,
    outputs: blake3::Hasher,
    trace: Trace,
}

/// Changes the configuration of a node.
type Configure = Box<dyn Fn(usize, &mut Config)>;
/// Asked for what goes from one node to another.
type BetweenNodes = Box<dyn FnMut(usize, usize) -> bool>;
/// Asked for blocks that a node sends.
type OfBlocks = Box<dyn FnMut(usize, &BlockRef) -> bool>;

enum Happening {
    Datagram { to: usize, source: SocketAddr, bytes: Vec<u8> },
    Stream(StreamEvent),
    Store { node: usize, starts: u64, reply: StoreReply },
}

impl Pair {
    /// Two nodes that do not run yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Pair::with_nodes(seed, 2)
    }

    /// 1 to 26 nodes that do not run yet.
    ///
    /// # Panics
    /// With another number of nodes.
    #[must_use]
    pub fn with_nodes(seed: u64, nodes: usize) -> Self {
        assert!((1..=26).contains(&nodes), "1 to 26 nodes");
        let mut trace = Trace::new();
        let nodes: Vec<Node> = (0u8..26).take(nodes).map(|i| Node::new(seed, i)).collect();
        for node in &nodes {
            trace.name_host(&node.alias, node.ip.into());
            trace.name_peer(&node.alias, Identity::from_seed(node.identity).peer_id());
        }
        Pair {
            seed,
            now: Timestamp::ZERO,
            latency: Duration::from_micros(500),
            bandwidth: 125_000_000,
            cable: None,
            schedule: Schedule::new(),
            conns_made: 0,
            nodes,
            conns: BTreeMap::new(),
            cuts: BTreeSet::new(),
            configure: Box::new(|_, _| {}),
            drop_datagrams: Box::new(|_, _| false),
            spoil_blocks: Box::new(|_, _| false),
            spoil_streams: Box::new(|_, _| false),
            at_once: 0,
            outputs: blake3::Hasher::new(),
            trace,
        }
    }

    /// Changes the configuration of node `i` before each of its starts.
    #[must_use]
    pub fn config(mut self, configure: impl Fn(usize, &mut Config) + 'static) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// How long everything is under way, in one direction. 500 µs by default.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// How many bytes a second each direction of a stream moves. 125 MB/s by default.
    #[must_use]
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = bytes_per_second.max(1);
        self
    }

    /// How many bytes a second all streams of one node move together, as much out as in. No limit by default.
    #[must_use]
    pub fn cable(mut self, bytes_per_second: u64) -> Self {
        self.cable = Some(bytes_per_second.max(1));
        self
    }

    /// Starts every node that does not run, all in this instant.
    #[must_use]
    pub fn start(mut self) -> Self {
        for i in 0..self.nodes.len() {
            self.start_node(i);
        }
        self
    }

    /// Starts a node if it does not run, with an incarnation above its last.
    ///
    /// # Panics
    /// If the configuration is one that the engine refuses.
    pub fn start_node(&mut self, i: usize) {
        let (now, seed) = (self.now, self.seed);
        let mut config = Config::new(
            Network::open("pair").expect("the name is a valid one"),
            self.nodes[i].alias.clone(),
            PRIVATE_PORT,
        );
        (self.configure)(i, &mut config);
        let node = &mut self.nodes[i];
        if node.engine.is_some() {
            return;
        }
        node.starts += 1;
        node.incarnation += 1;
        node.ports = config.designated_ports.clone();
        let label = |kind: &str| format!("{kind} {} {}", node.alias, node.starts);
        let seeds = Seeds::new(seed_bytes(seed, &label("behaviour")), seed_bytes(seed, &label("secrets")));
        let (memory, decisions) = (node.memory.clone(), node.decisions.clone());
        let authority = node.authority.clone();
        let restored = Restored { incarnation: node.incarnation, memory, decisions, authority };
        let identity = Identity::from_seed(node.identity);
        let mut engine =
            Engine::new(config, identity, restored, seeds, now).expect("the configuration is valid");
        engine.handle_interfaces(now, &node.interfaces());
        node.engine = Some(engine);
        node.links.clear();
        let (alias, incarnation) = (node.alias.clone(), node.incarnation);
        self.trace.push(self.elapsed(), Some(&alias), What::Started { incarnation });
        self.drain(i);
    }

    // ---- running

    /// Lets this much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`, which is asked after each event, and for `limit` at the most. Whether it was done.
    #[must_use]
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Pair) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                self.now = end;
                return done(self);
            }
        }
    }

    /// Gives a command to the engine of node `i`, then does what the engine asks for.
    ///
    /// # Panics
    /// If the node does not run.
    pub fn command<R>(&mut self, i: usize, command: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let now = self.now;
        let engine = self.nodes[i].engine.as_mut().expect("the node runs");
        let result = command(engine, now);
        self.drain(i);
        result
    }

    /// Node `i` dials node `j` by hand.
    pub fn dial(&mut self, i: usize, j: usize) {
        let address = self.address(j);
        self.command(i, |engine, now| engine.dial(now, address)).expect("there is room for a dial");
    }

    /// Publishes `bytes` on node `i`.
    ///
    /// # Panics
    /// If the engine refuses to.
    pub fn publish(&mut self, i: usize, name: &str, bytes: Vec<u8>) -> ContentId {
        let (manifest, list) = self.nodes[i].store.publish(name, bytes);
        let content = manifest.content;
        self.command(i, |engine, now| engine.publish(now, manifest, list)).expect("there is room");
        content
    }

    /// Whether node `i` fetches everything that it is offered. Not by default.
    pub fn take_offers(&mut self, i: usize, take: bool) {
        self.nodes[i].takes_offers = take;
    }

    // ---- questions

    /// The time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.since(Timestamp::ZERO)
    }

    /// The engine of node `i`.
    ///
    /// # Panics
    /// If the node does not run.
    #[must_use]
    pub fn engine(&self, i: usize) -> &Engine {
        self.nodes[i].engine.as_ref().expect("the node runs")
    }

    /// Who node `i` is, whether it runs or not.
    #[must_use]
    pub fn peer_id(&self, i: usize) -> PeerId {
        Identity::from_seed(self.nodes[i].identity).peer_id()
    }

    /// Where node `i` takes unicasts and streams.
    #[must_use]
    pub fn address(&self, i: usize) -> SocketAddr {
        SocketAddr::new(self.nodes[i].ip.into(), PRIVATE_PORT)
    }

    /// Every event of node `i` so far and when it came, those of its earlier runs included.
    #[must_use]
    pub fn events(&self, i: usize) -> &[(Timestamp, Event)] {
        &self.nodes[i].events
    }

    /// How far node `i` has got with node `j`; `None` if it runs not, or does not know it.
    #[must_use]
    pub fn level(&self, i: usize, j: usize) -> Option<Level> {
        let peer = self.peer_id(j);
        self.nodes[i].engine.as_ref()?.peer(&peer).map(|view| view.level)
    }

    /// Whether both nodes run and trust each other.
    #[must_use]
    pub fn trusted(&self, i: usize, j: usize) -> bool {
        self.level(i, j) == Some(Level::Trusted) && self.level(j, i) == Some(Level::Trusted)
    }

    /// Whether all nodes run and trust each other.
    #[must_use]
    pub fn all_trusted(&self) -> bool {
        let n = self.nodes.len();
        (0..n).all(|i| (i + 1..n).all(|j| self.trusted(i, j)))
    }

    /// How many streams between two nodes are open on both sides.
    #[must_use]
    pub fn streams(&self, i: usize, j: usize) -> usize {
        self.links(i, j).len()
    }

    /// The streams between two nodes that are open on both sides: their numbers on node `i` and on node `j`.
    #[must_use]
    pub fn links(&self, i: usize, j: usize) -> Vec<(LinkId, LinkId)> {
        self.conns.values().filter_map(|conn| conn.links_between(i, j)).collect()
    }

    /// The content as node `i` received it; `None` before it was complete.
    #[must_use]
    pub fn received(&self, i: usize, content: &ContentId) -> Option<&[u8]> {
        self.nodes[i].store.received(content)
    }

    /// A hash of every output of every engine so far, byte for byte.
    #[must_use]
    pub fn output_hash(&self) -> String {
        self.outputs.finalize().to_hex().to_string()
    }

    /// What happened so far: events and faults.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    // ---- one event at a time

    /// Lets the next thing happen, if that is not after `end`.
    fn step(&mut self, end: Timestamp) -> bool {
        let timer = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(i, node)| Some((node.engine.as_ref()?.poll_timeout()?.at.max(self.now), i)))
            .min();
        let event = self.schedule.next_at();
        match (event, timer) {
            (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                if let Some(scheduled) = self.schedule.pop() {
                    self.advance(at);
                    self.happen(scheduled.happening);
                }
                true
            }
            (_, Some((due, i))) if due <= end => {
                self.advance(due);
                self.timeout(i);
                true
            }
            _ => false,
        }
    }

    fn advance(&mut self, at: Timestamp) {
        self.at_once = if at > self.now { 0 } else { self.at_once + 1 };
        assert!(self.at_once < MAX_EVENTS_AT_ONCE, "seed {}: an endless loop at {at} ms", self.seed);
        self.now = at;
    }

    fn timeout(&mut self, i: usize) {
        let (now, seed) = (self.now, self.seed);
        let Some(engine) = &mut self.nodes[i].engine else { return };
        let due = engine.poll_timeout();
        engine.handle_timeout(now);
        let next = engine.poll_timeout();
        assert!(
            next.is_none_or(|next| next.at > now),
            "seed {seed}: at {now} ms {due:?} was handled, and {next:?} is due already"
        );
        self.drain(i);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Datagram { to, source, bytes } => {
                let now = self.now;
                if let Some(engine) = &mut self.nodes[to].engine {
                    engine.handle_datagram(now, Datagram { interface: INTERFACE, source, bytes: &bytes });
                    self.drain(to);
                }
            }
            Happening::Stream(event) => self.stream_event(event),
            Happening::Store { node, starts, reply } => {
                let now = self.now;
                if self.nodes[node].starts == starts
                    && let Some(engine) = &mut self.nodes[node].engine
                {
                    engine.handle_store(now, reply);
                    self.drain(node);
                }
            }
        }
    }

    /// Does all that the engine of node `i` asks for, in the order that its contract gives.
    fn drain(&mut self, i: usize) {
        let mut buffer = Vec::new();
        loop {
            let mut idle = true;
            while let Some(action) = self.poll(i, Engine::poll_action) {
                idle = false;
                self.log_output(i, "action", format!("{action:?}").as_bytes());
                self.act(i, action);
            }
            while let Some(link) = self.poll(i, Engine::poll_ready_link) {
                idle = false;
                self.drain_link(i, link);
            }
            while let Some(transmit) = self.poll(i, |engine| engine.poll_transmit(&mut buffer)) {
                idle = false;
                self.log_output(i, "transmit", format!("{transmit:?}").as_bytes());
                self.log_output(i, "datagram", &buffer);
                self.send_datagram(i, transmit, &buffer);
            }
            while let Some(event) = self.poll(i, Engine::poll_event) {
                idle = false;
                self.log_output(i, "event", format!("{event:?}").as_bytes());
                self.note_event(i, event);
            }
            if idle {
                return;
            }
        }
    }

    fn poll<R>(&mut self, i: usize, poll: impl FnOnce(&mut Engine) -> Option<R>) -> Option<R> {
        poll(self.nodes[i].engine.as_mut()?)
    }

    fn note_event(&mut self, i: usize, event: Event) {
        if let Some(what) = What::from_engine(&event, &self.trace) {
            let alias = self.nodes[i].alias.clone();
            self.trace.push(self.elapsed(), Some(&alias), what);
        }
        let now = self.now;
        let node = &mut self.nodes[i];
        if let (true, Event::ContentOffered { manifest: Manifest { content, .. }, .. }, Some(engine)) =
            (node.takes_offers, &event, &mut node.engine)
        {
            engine.fetch(now, *content).expect("what was just offered can be fetched");
        }
        node.events.push((now, event));
    }

    fn send_datagram(&mut self, from: usize, transmit: Transmit, bytes: &[u8]) {
        if !self.nodes[from].interface_up {
            return;
        }
        let source = self.address(from);
        for to in 0..self.nodes.len() {
            let node = &self.nodes[to];
            let hears = match transmit.destination.ip() {
                IpAddr::V4(ip) if ip.is_broadcast() || ip.is_multicast() => true,
                IpAddr::V4(ip) => ip == Ipv4Addr::new(192, 168, 77, 255) || ip == node.ip,
                IpAddr::V6(_) => false,
            };
            let port = transmit.destination.port();
            let listens = port == PRIVATE_PORT || node.ports.contains(&port);
            // A host hears its own broadcasts, and always gets its own datagrams.
            let lost = to != from && (!self.reaches(from, to) || (self.drop_datagrams)(from, to));
            if hears && listens && !lost {
                self.schedule(self.latency, Happening::Datagram { to, source, bytes: bytes.to_vec() });
            }
        }
    }

    fn schedule(&mut self, delay: Duration, happening: Happening) {
        self.schedule_at(self.now + delay, happening);
    }

    fn schedule_at(&mut self, at: Timestamp, happening: Happening) {
        self.schedule.push(at, 0, 0, happening);
    }

    fn log_output(&mut self, i: usize, kind: &str, bytes: &[u8]) {
        for part in [&self.now.as_nanos().to_le_bytes()[..], &(i as u64).to_le_bytes(), kind.as_bytes()] {
            self.outputs.update(part);
        }
        self.outputs.update(&(bytes.len() as u64).to_le_bytes());
        self.outputs.update(bytes);
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
