//! What the benchmarks of the engine share: two engines on a wire that costs nothing, so that their own work is
//! what is measured.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use p2pnet_engine::{
    Action, Channel, CipherSuite, Config, Datagram, Engine, Event, Identity, Interface, InterfaceAddr,
    InterfaceId, InterfaceKind, Level, LinkEnd, LinkId, LinkInput, LinkOutput, Network, Opened, Opener,
    PeerId, Restored, Sealer, Seeds, Timestamp,
};

/// The only interface that there is.
pub const INTERFACE: InterfaceId = InterfaceId(1);

const PRIVATE_PORT: u16 = 9000;
const BUDGET: usize = 1 << 20;

/// Where the datagrams of host `host` come from.
#[must_use]
pub fn address(host: u16) -> SocketAddr {
    let [high, low] = host.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 0, high, low), PRIVATE_PORT))
}

/// The identity of host `host`.
#[must_use]
pub fn identity(host: u16) -> Identity {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&host.to_be_bytes());
    Identity::from_seed(seed)
}

/// An engine as host `host` on the network `network`, of which the interface is up. Its first beacon is due.
///
/// # Panics
/// If `network` is no name.
#[must_use]
pub fn engine(host: u16, network: &str, suite: CipherSuite) -> Engine {
    let mut config = Config::new(
        Network::open(network).expect("the name is a valid one"),
        format!("host {host}"),
        PRIVATE_PORT,
    );
    config.suite = suite;
    let seeds = Seeds::from_u64(host.into());
    let mut engine = Engine::new(config, identity(host), Restored::default(), seeds, Timestamp::ZERO)
        .expect("the configuration is valid");
    let interface = Interface {
        id: INTERFACE,
        name: "eth0".to_owned(),
        kind: InterfaceKind::Lan,
        multicast: true,
        directed_broadcast: true,
        addrs: vec![InterfaceAddr { ip: address(host).ip(), prefix: 16 }],
    };
    engine.handle_interfaces(Timestamp::ZERO, &[interface]);
    engine
}

/// Lets the engine's next deadline come and returns the first datagram that it then sends, and when.
///
/// # Panics
/// If an engine that is not leaving never sends a beacon again.
pub fn next_beacon(engine: &mut Engine) -> (Timestamp, Vec<u8>) {
    let mut datagram = Vec::new();
    loop {
        let due = engine.poll_timeout().expect("there is always a beacon to come");
        engine.handle_timeout(due.at);
        if engine.poll_transmit(&mut datagram).is_some() {
            let mut rest = Vec::new();
            while engine.poll_transmit(&mut rest).is_some() {}
            return (due.at, datagram);
        }
    }
}

/// Takes and forgets whatever the engine has to give; returns how many outputs that were.
pub fn discard_outputs(engine: &mut Engine) -> usize {
    let mut outputs = 0;
    let mut buffer = Vec::new();
    while engine.poll_action().is_some() {
        outputs += 1;
    }
    while let Some(link) = engine.poll_ready_link() {
        while engine.poll_link(link, &mut buffer).is_some() {
            outputs += 1;
        }
        buffer.clear();
    }
    while engine.poll_transmit(&mut buffer).is_some() {
        outputs += 1;
    }
    while engine.poll_event().is_some() {
        outputs += 1;
    }
    outputs
}

/// Two engines, their codecs, and between them a wire without delay. Contents are not moved.
pub struct Duo {
    now: Timestamp,
    sides: [Side; 2],
    /// What is on the wire: for which side and link, and what.
    streams: VecDeque<(usize, LinkId, Piece)>,
    buffer: Vec<u8>,
}

struct Side {
    engine: Engine,
    /// What the other side calls each link.
    counterparts: BTreeMap<LinkId, LinkId>,
    codecs: BTreeMap<LinkId, (Sealer, Opener)>,
    texts: usize,
}

enum Piece {
    Bytes(Vec<u8>),
    End,
}

impl Duo {
    /// Hosts 1 and 2 on one network, both just started.
    #[must_use]
    pub fn new(suite: CipherSuite) -> Self {
        let side = |host| Side {
            engine: engine(host, "bench", suite),
            counterparts: BTreeMap::new(),
            codecs: BTreeMap::new(),
            texts: 0,
        };
        Duo { now: Timestamp::ZERO, sides: [side(1), side(2)], streams: VecDeque::new(), buffer: Vec::new() }
    }

    /// Lets deadlines come until both trust each other.
    ///
    /// # Panics
    /// If they do not within 1000 deadlines.
    pub fn run_until_trusted(&mut self) {
        for _ in 0..1000 {
            if (0..2).all(|i| self.trusts(i)) {
                return;
            }
            self.next_deadline();
        }
        panic!("two engines without a fault between them do not trust each other");
    }

    /// Side 0 sends a text; returns when side 1 has taken it and side 0 knows.
    ///
    /// # Panics
    /// If the text does not arrive.
    pub fn exchange_text(&mut self, text: &str) {
        let arrived = self.sides[1].texts;
        let to = self.peer_id(1);
        self.sides[0].engine.send_text(self.now, to, text).expect("nothing else waits");
        self.settle();
        assert_eq!(self.sides[1].texts, arrived + 1, "the text arrives");
    }

    /// The engine of side `i`.
    #[must_use]
    pub fn engine(&self, i: usize) -> &Engine {
        &self.sides[i].engine
    }

    fn trusts(&self, i: usize) -> bool {
        let other = self.peer_id(1 - i);
        self.sides[i].engine.peer(&other).is_some_and(|peer| peer.level == Level::Trusted)
    }

    fn peer_id(&self, i: usize) -> PeerId {
        self.sides[i].engine.peer_id()
    }

    fn next_deadline(&mut self) {
        let due = (0..2).filter_map(|i| Some((self.sides[i].engine.poll_timeout()?.at, i))).min();
        let (at, i) = due.expect("there is always a beacon to come");
        self.now = self.now.max(at);
        self.sides[i].engine.handle_timeout(self.now);
        self.settle();
    }

    /// Delivers until nothing is left to deliver.
    fn settle(&mut self) {
        loop {
            self.drain(0);
            self.drain(1);
            let Some((i, link, piece)) = self.streams.pop_front() else { return };
            self.deliver(i, link, piece);
        }
    }

    fn drain(&mut self, i: usize) {
        while let Some(action) = self.sides[i].engine.poll_action() {
            self.act(i, action);
        }
        while let Some(link) = self.sides[i].engine.poll_ready_link() {
            loop {
                let mut bytes = Vec::new();
                match self.sides[i].engine.poll_link(link, &mut bytes) {
                    Some(LinkOutput::Raw) => self.send(i, link, bytes),
                    Some(LinkOutput::Frames) => self.send_frames(i, link, &bytes),
                    None => break,
                }
            }
        }
        let mut datagram = std::mem::take(&mut self.buffer);
        while self.sides[i].engine.poll_transmit(&mut datagram).is_some() {
            let datagram = Datagram { interface: INTERFACE, source: address(i as u16 + 1), bytes: &datagram };
            self.sides[1 - i].engine.handle_datagram(self.now, datagram);
        }
        self.buffer = datagram;
        while let Some(event) = self.sides[i].engine.poll_event() {
            self.sides[i].texts += usize::from(matches!(event, Event::Text { .. }));
        }
    }

    fn act(&mut self, i: usize, action: Action) {
        let (now, other) = (self.now, 1 - i);
        match action {
            Action::Dial { link, .. } => {
                let source = address(i as u16 + 1);
                let accepted = self.sides[other].engine.accept_link(now, Some(INTERFACE), source);
                let counterpart = accepted.expect("there is room for a few links");
                self.sides[i].counterparts.insert(link, counterpart);
                self.sides[other].counterparts.insert(counterpart, link);
                self.sides[i].engine.handle_link(now, link, LinkInput::Opened);
                for (side, link) in [(i, link), (other, counterpart)] {
                    self.sides[side].engine.handle_link(now, link, LinkInput::Writable { budget: BUDGET });
                }
            }
            Action::LinkReady { link, codec } => {
                self.sides[i].codecs.insert(link, codec.split());
                // What came behind the handshake is in the codec already.
                self.deliver(i, link, Piece::Bytes(Vec::new()));
            }
            Action::Close { link } => self.end(i, link),
            Action::Finish { link, raw, frames } => {
                self.send(i, link, raw);
                self.send_frames(i, link, &frames);
                self.end(i, link);
            }
            _ => {}
        }
    }

    fn send(&mut self, i: usize, link: LinkId, bytes: Vec<u8>) {
        if let (Some(&counterpart), false) = (self.sides[i].counterparts.get(&link), bytes.is_empty()) {
            self.streams.push_back((1 - i, counterpart, Piece::Bytes(bytes)));
        }
    }

    fn send_frames(&mut self, i: usize, link: LinkId, frames: &[u8]) {
        if let (Some((sealer, _)), false) = (self.sides[i].codecs.get_mut(&link), frames.is_empty()) {
            let mut sealed = Vec::new();
            sealer.seal(Channel::Control, frames, &mut sealed);
            self.send(i, link, sealed);
            // The wire takes everything at once.
            let writable = LinkInput::Writable { budget: BUDGET };
            self.sides[i].engine.handle_link(self.now, link, writable);
        }
    }

    fn end(&mut self, i: usize, link: LinkId) {
        self.sides[i].codecs.remove(&link);
        if let Some(counterpart) = self.sides[i].counterparts.remove(&link) {
            self.streams.push_back((1 - i, counterpart, Piece::End));
        }
    }

    fn deliver(&mut self, i: usize, link: LinkId, piece: Piece) {
        let now = self.now;
        let side = &mut self.sides[i];
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::End => {
                side.counterparts.remove(&link);
                side.codecs.remove(&link);
                side.engine.handle_link(now, link, LinkInput::Closed(LinkEnd::Eof));
                return;
            }
        };
        let Some((_, opener)) = side.codecs.get_mut(&link) else {
            side.engine.handle_link(now, link, LinkInput::Handshake(&bytes));
            return;
        };
        opener.push(&bytes);
        while let Some(opened) = opener.next().expect("the wire changes nothing") {
            if let Opened::Control(body) = opened {
                side.engine.handle_link(now, link, LinkInput::Frame(&body));
            }
        }
    }
}

impl std::fmt::Debug for Duo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duo").field("now", &self.now).finish_non_exhaustive()
    }
}
