//! The smallest driver there is: engines on one LAN, everything delivered at once, in the order it was polled.
//! What a test asks of each engine's streams of output is recorded.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use p2pnet_engine::{
    Action, AuthorityState, BlockRef, BlockVerifier, Channel, Config, Datagram, Engine, Event, Identity,
    Interface, InterfaceAddr, InterfaceId, InterfaceKind, Leftovers, LinkEnd, LinkId, LinkInput, LinkOutput,
    Memory, Network, Opened, Opener, Restored, Sealer, Seeds, ServerId, StoreFailure, StoreReply,
    StoreRequest, Timestamp, Verdict, block_header,
};

pub(crate) const PORT: u16 = 9000;
pub(crate) const LAN: InterfaceId = InterfaceId(1);

pub(crate) struct Node {
    pub engine: Engine,
    pub ip: Ipv4Addr,
    /// Its address beyond the LAN, which it has in place of the other.
    pub ip6: Option<Ipv6Addr>,
    /// When it sent a datagram, and where to.
    pub sent: Vec<(Timestamp, SocketAddr)>,
    pub events: Vec<Event>,
    /// Everything that was polled, as text, one list a stream of output.
    pub transmits: Vec<String>,
    pub actions: Vec<String>,
    pub frames: BTreeMap<LinkId, Vec<u8>>,
    pub store: BTreeMap<BlockRef, Vec<u8>>,
    /// What the next run is to know, and what the store says when it is to keep more.
    pub memory: Memory,
    pub keeps: Result<(), StoreFailure>,
    /// How many more blocks the store takes, if there is a limit.
    pub room: Option<usize>,
    links: BTreeMap<LinkId, Wire>,
    /// What each link is given as its budget; `None` gives none at all.
    pub budget: Option<usize>,
    pub take_events: bool,
    /// What it wants told to bootstrap servers, and whom its relay is to let through.
    pub announced: Vec<(ServerId, Vec<u8>, u16)>,
    pub permitted: Vec<IpAddr>,
    /// The reports of tasks that went with the last announcement.
    pub reports: Vec<Vec<u8>>,
    /// What the next run is to know of authorities.
    pub authority: AuthorityState,
    /// Whether its host has lost its power: it does nothing and answers nothing.
    pub vanished: bool,
}

struct Wire {
    far: Option<(usize, LinkId)>,
    sealer: Option<Sealer>,
    opener: Option<Opener>,
    verifier: BlockVerifier,
}

/// The order in which a driver drains an engine. Actions come first in all of them: the contract says so.
#[derive(Clone, Copy)]
pub(crate) enum Drain {
    LinksFirst,
    TransmitsFirst,
    /// One output of each kind at a time, in turn.
    InTurn,
}

pub(crate) struct Lan {
    pub now: Timestamp,
    pub nodes: Vec<Node>,
    pub drain: Drain,
    /// Whether datagrams and dials of one node get to another. Streams that are there stay.
    pub reaches: fn(usize, usize) -> bool,
    /// What the first sends by datagram does not get to the second.
    pub unheard: BTreeSet<(usize, usize)>,
    /// What a node writes on this link of its own does not arrive.
    pub stalled: BTreeSet<(usize, LinkId)>,
    /// Whether dials get no answer.
    pub dials_blocked: bool,
    queue: VecDeque<Input>,
}

enum Input {
    Datagram { to: usize, source: SocketAddr, bytes: Vec<u8> },
    Stream { to: usize, link: LinkId, bytes: Vec<u8> },
    End { to: usize, link: LinkId },
    Opened { to: usize, link: LinkId },
    Refused { to: usize, link: LinkId },
    Store { to: usize, reply: StoreReply },
}

pub(crate) fn config(name: &str) -> Config {
    Config::new(Network::open("test").unwrap(), name, PORT)
}

pub(crate) fn interface(host: u8) -> Interface {
    Interface {
        id: LAN,
        name: "eth0".into(),
        kind: InterfaceKind::Lan,
        multicast: false,
        directed_broadcast: true,
        addrs: vec![InterfaceAddr { ip: Ipv4Addr::new(10, 0, 0, host).into(), prefix: 24 }],
    }
}

pub(crate) fn engine(config: Config, seed: u8, now: Timestamp) -> Engine {
    let seeds = Seeds::new([seed; 32], [seed ^ 0xff; 32]);
    Engine::new(config, Identity::from_seed([seed; 32]), Restored::default(), seeds, now).unwrap()
}

impl Lan {
    pub(crate) fn new(nodes: usize) -> Self {
        Lan::configured(nodes, |_| {})
    }

    pub(crate) fn configured(nodes: usize, configure: impl Fn(&mut Config)) -> Self {
        let now = Timestamp::from_millis(1);
        let mut lan = Lan {
            now,
            nodes: Vec::new(),
            drain: Drain::LinksFirst,
            reaches: |_, _| true,
            unheard: BTreeSet::new(),
            stalled: BTreeSet::new(),
            dials_blocked: false,
            queue: VecDeque::new(),
        };
        for i in 0..nodes {
            let mut config = config(&format!("node{i}"));
            configure(&mut config);
            lan.nodes.push(Node::new(engine(config, i as u8 + 1, now), i as u8 + 1));
        }
        for i in 0..nodes {
            lan.nodes[i].engine.handle_interfaces(now, &[interface(i as u8 + 1)]);
        }
        lan
    }

    /// Lets time pass from deadline to deadline.
    pub(crate) fn run_for_millis(&mut self, millis: u64) {
        let end = Timestamp::from_nanos(self.now.as_nanos() + millis * 1_000_000);
        self.settle();
        loop {
            let there = self.nodes.iter().filter(|node| !node.vanished);
            let next = there.filter_map(|node| node.engine.poll_timeout()).min();
            let Some(next) = next.filter(|next| next.at <= end) else { break };
            self.now = self.now.max(next.at);
            let now = self.now;
            for i in 0..self.nodes.len() {
                if self.nodes[i].vanished {
                    continue;
                }
                let engine = &mut self.nodes[i].engine;
                engine.handle_timeout(now);
                assert!(engine.poll_timeout().is_none_or(|next| next.at > now), "a deadline in the past");
                self.drain(i);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Delivers until nothing is under way.
    pub(crate) fn settle(&mut self) {
        for i in 0..self.nodes.len() {
            self.drain(i);
        }
        while let Some(input) = self.queue.pop_front() {
            self.deliver(input);
        }
    }

    /// Loses everything that is under way.
    pub(crate) fn lose(&mut self) {
        self.queue.clear();
    }

    pub(crate) fn command<R>(&mut self, i: usize, command: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let result = command(&mut self.nodes[i].engine, self.now);
        self.settle();
        result
    }

    /// Puts another engine in the place of node `i`; the streams of the old one are reset.
    pub(crate) fn replace(&mut self, i: usize, engine: Engine) {
        self.cut();
        self.nodes[i].engine = engine;
        self.nodes[i].engine.handle_interfaces(self.now, &[interface(i as u8 + 1)]);
        self.settle();
    }

    /// Puts another engine in the place of node `i`, whose host lost power: the others still hold their ends.
    pub(crate) fn lose_power(&mut self, i: usize, engine: Engine) {
        self.nodes[i].links.clear();
        for node in &mut self.nodes {
            for wire in node.links.values_mut().filter(|wire| wire.far.is_some_and(|(to, _)| to == i)) {
                wire.far = None;
            }
        }
        self.nodes[i].engine = engine;
        self.nodes[i].engine.handle_interfaces(self.now, &[interface(i as u8 + 1)]);
        self.settle();
    }

    /// Ends every stream between the nodes; both sides see a reset.
    pub(crate) fn cut(&mut self) {
        for i in 0..self.nodes.len() {
            let links: Vec<LinkId> = self.nodes[i].links.keys().copied().collect();
            self.nodes[i].links.clear();
            for link in links {
                let now = self.now;
                self.nodes[i].engine.handle_link(now, link, LinkInput::Closed(LinkEnd::Reset));
            }
        }
    }

    /// Takes the power from node `i`. Its streams stay open, and nobody hears of it.
    pub(crate) fn vanish(&mut self, i: usize) {
        self.nodes[i].vanished = true;
    }

    /// Node `i` says this frame to node `to`, whatever its engine thinks of it.
    pub(crate) fn say(&mut self, i: usize, to: usize, frame: &[u8]) {
        let link = self.nodes[i].links.iter().find(|(_, wire)| wire.far.is_some_and(|(far, _)| far == to));
        let link = *link.expect("they are linked").0;
        self.write(i, link, LinkOutput::Frames, frame);
        self.settle();
    }

    /// How many streams node `i` has.
    pub(crate) fn streams(&self, i: usize) -> usize {
        self.nodes[i].links.len()
    }

    pub(crate) fn give_budget(&mut self, i: usize, budget: usize) {
        let links: Vec<LinkId> = self.nodes[i].links.keys().copied().collect();
        for link in links {
            self.nodes[i].engine.handle_link(self.now, link, LinkInput::Writable { budget });
        }
    }

    fn deliver(&mut self, input: Input) {
        let now = self.now;
        let (Input::Datagram { to, .. }
        | Input::Opened { to, .. }
        | Input::Refused { to, .. }
        | Input::End { to, .. }
        | Input::Store { to, .. }
        | Input::Stream { to, .. }) = input;
        if self.nodes[to].vanished {
            return;
        }
        match input {
            Input::Datagram { source, bytes, .. } => {
                let datagram = Datagram { interface: LAN, source, bytes: &bytes };
                self.nodes[to].engine.handle_datagram(now, datagram);
            }
            Input::Opened { link, .. } => {
                self.nodes[to].engine.handle_link(now, link, LinkInput::Opened);
                if let Some(budget) = self.nodes[to].budget {
                    self.nodes[to].engine.handle_link(now, link, LinkInput::Writable { budget });
                }
            }
            Input::Refused { link, .. } => {
                let failure = p2pnet_engine::DialFailure::Refused;
                self.nodes[to].engine.handle_link(now, link, LinkInput::DialFailed(failure));
            }
            Input::End { link, .. } => {
                self.nodes[to].links.remove(&link);
                self.nodes[to].engine.handle_link(now, link, LinkInput::Closed(LinkEnd::Eof));
            }
            Input::Store { reply, .. } => {
                self.nodes[to].engine.handle_store(now, reply);
            }
            Input::Stream { link, bytes, .. } => {
                self.nodes[to].read(now, link, &bytes);
            }
        }
        self.drain(to);
        let budget = self.nodes[to].budget;
        if let Some(budget) = budget {
            self.give_budget(to, budget);
            self.drain(to);
        }
    }

    fn drain(&mut self, i: usize) {
        let mut bytes = Vec::new();
        loop {
            let mut progress = false;
            while let Some(action) = self.nodes[i].engine.poll_action() {
                progress = true;
                self.act(i, action);
            }
            let links = |lan: &mut Lan, limit: usize| (0..limit).any(|_| !lan.drain_link(i));
            match self.drain {
                Drain::LinksFirst => {
                    while self.drain_link(i) {
                        progress = true;
                    }
                    while self.drain_transmit(i, &mut bytes) {}
                }
                Drain::TransmitsFirst => {
                    while self.drain_transmit(i, &mut bytes) {}
                    links(self, usize::MAX);
                }
                Drain::InTurn => while self.drain_transmit(i, &mut bytes) | self.drain_link(i) {},
            }
            while self.nodes[i].take_events {
                let Some(event) = self.nodes[i].engine.poll_event() else { break };
                self.nodes[i].events.push(event);
            }
            if !progress {
                break;
            }
        }
    }

    fn drain_transmit(&mut self, i: usize, bytes: &mut Vec<u8>) -> bool {
        let Some(transmit) = self.nodes[i].engine.poll_transmit(bytes) else { return false };
        self.nodes[i].transmits.push(format!("{transmit:?} {bytes:02x?}"));
        self.nodes[i].sent.push((self.now, transmit.destination));
        let source = SocketAddr::new(self.nodes[i].address(), PORT);
        for to in 0..self.nodes.len() {
            let own = SocketAddr::new(self.nodes[to].address(), PORT);
            let broadcast = transmit.destination.ip() == Ipv4Addr::new(10, 0, 0, 255);
            let heard = (self.reaches)(i, to) && !self.unheard.contains(&(i, to));
            if to != i && heard && (broadcast || transmit.destination == own) {
                self.queue.push_back(Input::Datagram { to, source, bytes: bytes.clone() });
            }
        }
        true
    }

    fn drain_link(&mut self, i: usize) -> bool {
        let Some(link) = self.nodes[i].engine.poll_ready_link() else { return false };
        let mut out = Vec::new();
        while let Some(output) = self.nodes[i].engine.poll_link(link, &mut out) {
            self.write(i, link, output, &std::mem::take(&mut out));
        }
        true
    }

    fn write(&mut self, i: usize, link: LinkId, output: LinkOutput, bytes: &[u8]) {
        let node = &mut self.nodes[i];
        let Some(wire) = node.links.get_mut(&link) else { return };
        let mut sealed = Vec::new();
        match output {
            LinkOutput::Raw => sealed.extend_from_slice(bytes),
            LinkOutput::Frames => {
                node.frames.entry(link).or_default().extend_from_slice(bytes);
                wire.sealer.as_mut().expect("frames come after the codec").seal(
                    Channel::Control,
                    bytes,
                    &mut sealed,
                );
            }
        }
        self.send(i, link, sealed);
    }

    fn send(&mut self, i: usize, link: LinkId, bytes: Vec<u8>) {
        let far = self.nodes[i].links.get(&link).and_then(|wire| wire.far);
        if let Some((to, link)) = far.filter(|_| !bytes.is_empty() && !self.stalled.contains(&(i, link))) {
            self.queue.push_back(Input::Stream { to, link, bytes });
        }
    }

    fn act(&mut self, i: usize, action: Action) {
        self.nodes[i].actions.push(format!("{action:?}"));
        match action {
            Action::Dial { link, address, .. } => self.dial(i, link, address),
            Action::LinkReady { link, codec } => {
                let (sealer, opener) = codec.split();
                if let Some(wire) = self.nodes[i].links.get_mut(&link) {
                    wire.sealer = Some(sealer);
                    wire.opener = Some(opener);
                }
                // What came behind the handshake.
                let now = self.now;
                self.nodes[i].read(now, link, &[]);
            }
            Action::Close { link } => self.close(i, link),
            Action::Finish { link, raw, frames } => {
                if !raw.is_empty() {
                    self.write(i, link, LinkOutput::Raw, &raw);
                }
                if !frames.is_empty() {
                    self.write(i, link, LinkOutput::Frames, &frames);
                }
                self.close(i, link);
            }
            Action::ExpectBlock { link, block, check } => {
                if let Some(wire) = self.nodes[i].links.get_mut(&link) {
                    assert!(wire.verifier.expect(block, check));
                }
            }
            Action::SendBlock { link, block } => {
                let data = self.nodes[i].store[&block].clone();
                let Some(wire) = self.nodes[i].links.get_mut(&link) else { return };
                let mut sealed = Vec::new();
                let sealer = wire.sealer.as_mut().unwrap();
                sealer.seal(Channel::Bulk, &block_header(&block), &mut sealed);
                sealer.seal(Channel::Bulk, &data, &mut sealed);
                self.send(i, link, sealed);
            }
            Action::Announce { server, record, want, reports } => {
                self.nodes[i].reports = reports;
                self.nodes[i].announced.push((server, record, want));
            }
            Action::Store(StoreRequest::SaveAuthority { state }) => self.nodes[i].authority = state,
            Action::Permit { address } => self.nodes[i].permitted.push(address),
            Action::Store(StoreRequest::Open { manifest }) => {
                let reply =
                    StoreReply::Opened { content: manifest.content, result: Ok(Leftovers::default()) };
                self.queue.push_back(Input::Store { to: i, reply });
            }
            Action::Store(StoreRequest::Finish { content }) => {
                let reply = StoreReply::Finished { content, result: Ok(()) };
                self.queue.push_back(Input::Store { to: i, reply });
            }
            Action::Store(StoreRequest::Remember { anew, changes }) => {
                let result = self.nodes[i].keeps;
                if result.is_ok() {
                    self.nodes[i].memory.apply(anew, changes);
                }
                self.queue.push_back(Input::Store { to: i, reply: StoreReply::Remembered { result } });
            }
            _ => {}
        }
    }

    fn dial(&mut self, i: usize, link: LinkId, address: SocketAddr) {
        let now = self.now;
        let source = SocketAddr::new(self.nodes[i].address(), 50_000);
        let to = self.nodes.iter().position(|node| SocketAddr::new(node.address(), PORT) == address);
        if self.dials_blocked || to.is_some_and(|to| self.nodes[to].vanished) {
            return;
        }
        let far = to.filter(|&to| (self.reaches)(i, to)).and_then(|to| {
            let far = self.nodes[to].engine.accept_link(now, Some(LAN), source).ok()?;
            Some((to, far))
        });
        let Some((to, far)) = far else {
            self.queue.push_back(Input::Refused { to: i, link });
            return;
        };
        self.nodes[to].links.insert(far, Wire::new(i, link));
        self.nodes[i].links.insert(link, Wire::new(to, far));
        if let Some(budget) = self.nodes[to].budget {
            self.nodes[to].engine.handle_link(now, far, LinkInput::Writable { budget });
        }
        self.queue.push_back(Input::Opened { to: i, link });
    }

    fn close(&mut self, i: usize, link: LinkId) {
        let Some(wire) = self.nodes[i].links.remove(&link) else { return };
        if let Some((to, link)) = wire.far {
            self.queue.push_back(Input::End { to, link });
        }
    }
}

impl Node {
    fn new(engine: Engine, host: u8) -> Self {
        Node {
            engine,
            ip: Ipv4Addr::new(10, 0, 0, host),
            ip6: None,
            sent: Vec::new(),
            events: Vec::new(),
            transmits: Vec::new(),
            actions: Vec::new(),
            frames: BTreeMap::new(),
            store: BTreeMap::new(),
            memory: Memory::default(),
            keeps: Ok(()),
            room: None,
            links: BTreeMap::new(),
            budget: Some(4 << 20),
            take_events: true,
            announced: Vec::new(),
            permitted: Vec::new(),
            reports: Vec::new(),
            authority: AuthorityState::default(),
            vanished: false,
        }
    }

    fn address(&self) -> IpAddr {
        self.ip6.map_or(IpAddr::V4(self.ip), IpAddr::V6)
    }

    fn read(&mut self, now: Timestamp, link: LinkId, bytes: &[u8]) {
        let Some(wire) = self.links.get_mut(&link) else { return };
        let Some(opener) = wire.opener.as_mut() else {
            self.engine.handle_link(now, link, LinkInput::Handshake(bytes));
            return;
        };
        opener.push(bytes);
        loop {
            let Some(opener) = self.links.get_mut(&link).and_then(|wire| wire.opener.as_mut()) else {
                return;
            };
            match opener.next().expect("nobody tampers") {
                None => return,
                Some(Opened::Control(body)) => self.engine.handle_link(now, link, LinkInput::Frame(&body)),
                Some(Opened::Block { block, data }) => {
                    let verdict = self.links.get_mut(&link).unwrap().verifier.judge(&block, &data);
                    self.engine.handle_link(now, link, LinkInput::BlockArrived { block, verdict });
                    if verdict == Verdict::Good {
                        let full = self.room == Some(0);
                        self.room = self.room.map(|room| room.saturating_sub(1));
                        let result = if full { Err(StoreFailure::Full) } else { Ok(()) };
                        if !full {
                            self.store.insert(block, data);
                        }
                        self.engine.handle_store(now, StoreReply::Written { block, result });
                    }
                }
            }
        }
    }
}

impl Wire {
    fn new(to: usize, far: LinkId) -> Self {
        Wire { far: Some((to, far)), sealer: None, opener: None, verifier: BlockVerifier::new(256) }
    }
}
