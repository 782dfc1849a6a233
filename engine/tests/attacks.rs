//! Attacks on the engine: each test states what should hold.
#![allow(missing_docs)]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::*;

const PORT: u16 = 9000;

fn ms(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

struct Node {
    engine: Engine,
    ip: Ipv4Addr,
    events: Vec<Event>,
    actions: Vec<String>,
    dials: Vec<SocketAddr>,
    store: Vec<StoreRequest>,
    /// Frames that it queued, by link, as sent.
    sent: Vec<(LinkId, Vec<u8>)>,
    ends: BTreeMap<LinkId, (usize, LinkId)>,
    alive: bool,
}

enum Item {
    Raw(Vec<u8>),
    Frame(Vec<u8>),
    End,
}

/// Whether a frame is lost: (from, body).
type Loss = Box<dyn Fn(usize, &[u8]) -> bool>;

struct Net {
    now: Timestamp,
    nodes: Vec<Node>,
    wire: VecDeque<(usize, LinkId, Item)>,
    beacons: bool,
    budget: usize,
    /// Drops a frame: (from, body).
    lose: Loss,
    blocks: Vec<(usize, LinkId, BlockRef)>,
    ignore_close_of: Option<usize>,
    /// Written replies are held back.
    held_writes: Vec<(usize, BlockRef)>,
    hold_writes: bool,
}

fn lan(host: u8) -> Interface {
    Interface {
        id: InterfaceId(1),
        name: "eth0".into(),
        kind: InterfaceKind::Lan,
        multicast: true,
        directed_broadcast: true,
        addrs: vec![InterfaceAddr { ip: Ipv4Addr::new(10, 0, 0, host).into(), prefix: 24 }],
    }
}

fn engine(seed: u8, incarnation: u64, salt: u8, change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = Config::new(Network::open("home").unwrap(), format!("n{seed}"), PORT);
    change(&mut config);
    let restored = Restored { incarnation, ..Restored::default() };
    Engine::new(
        config,
        Identity::from_seed([seed; 32]),
        restored,
        Seeds::new([seed ^ salt; 32], [seed.wrapping_add(salt); 32]),
        Timestamp::ZERO,
    )
    .unwrap()
}

/// Seeds ordered by peer id.
fn seeds() -> Vec<u8> {
    let mut seeds: Vec<u8> = (1..6).collect();
    seeds.sort_by_key(|&seed| Identity::from_seed([seed; 32]).peer_id());
    seeds
}

impl Net {
    fn new() -> Self {
        Net {
            now: ms(1),
            nodes: Vec::new(),
            wire: VecDeque::new(),
            beacons: true,
            budget: 1 << 30,
            lose: Box::new(|_, _| false),
            blocks: Vec::new(),
            ignore_close_of: None,
            held_writes: Vec::new(),
            hold_writes: false,
        }
    }

    fn add(&mut self, mut engine: Engine) -> usize {
        let host = self.nodes.len() as u8 + 1;
        engine.handle_interfaces(self.now, &[lan(host)]);
        self.nodes.push(Node {
            engine,
            ip: Ipv4Addr::new(10, 0, 0, host),
            events: vec![],
            actions: vec![],
            dials: vec![],
            store: vec![],
            sent: vec![],
            ends: BTreeMap::new(),
            alive: true,
        });
        self.nodes.len() - 1
    }

    fn id(&self, node: usize) -> PeerId {
        self.nodes[node].engine.peer_id()
    }

    fn level(&self, of: usize, at: usize) -> Option<Level> {
        self.nodes[at].engine.peer(&self.id(of)).map(|view| view.level)
    }

    /// Cuts every stream between everything, silently for `deaf`.
    fn sever(&mut self, link: LinkId, at: usize, tell_at: bool, tell_other: bool) {
        let (other, far) = self.nodes[at].ends[&link];
        self.nodes[at].ends.remove(&link);
        self.nodes[other].ends.remove(&far);
        let now = self.now;
        if tell_at {
            self.nodes[at].engine.handle_link(now, link, LinkInput::Closed(LinkEnd::Reset));
        }
        if tell_other {
            self.nodes[other].engine.handle_link(now, far, LinkInput::Closed(LinkEnd::Reset));
        }
        self.settle();
    }

    fn drain(&mut self, n: usize) -> bool {
        let now = self.now;
        let mut any = false;
        while let Some(action) = self.nodes[n].engine.poll_action() {
            any = true;
            match action {
                Action::Dial { link, address, .. } => {
                    self.nodes[n].dials.push(address);
                    let to = self.nodes.iter().position(|node| {
                        IpAddr::from(node.ip) == address.ip() && node.alive && address.port() == PORT
                    });
                    let source = SocketAddr::from((self.nodes[n].ip, 40000));
                    match to
                        .map(|to| (to, self.nodes[to].engine.accept_link(now, Some(InterfaceId(1)), source)))
                    {
                        Some((to, Ok(far))) => {
                            self.nodes[n].ends.insert(link, (to, far));
                            self.nodes[to].ends.insert(far, (n, link));
                            self.nodes[to].engine.handle_link(
                                now,
                                far,
                                LinkInput::Writable { budget: self.budget },
                            );
                            self.nodes[n].engine.handle_link(now, link, LinkInput::Opened);
                            self.nodes[n].engine.handle_link(
                                now,
                                link,
                                LinkInput::Writable { budget: self.budget },
                            );
                        }
                        Some((_, Err(_))) => {
                            self.nodes[n].engine.handle_link(
                                now,
                                link,
                                LinkInput::DialFailed(DialFailure::Refused),
                            );
                        }
                        None => {
                            self.nodes[n].engine.handle_link(
                                now,
                                link,
                                LinkInput::DialFailed(DialFailure::Unreachable),
                            );
                        }
                    }
                }
                Action::LinkReady { .. } => {}
                Action::Close { link } => {
                    self.nodes[n].actions.push(format!("close {link}"));
                    self.end(n, link);
                }
                Action::Finish { link, raw, frames } => {
                    self.nodes[n].actions.push(format!("finish {link}"));
                    self.flush(n, link);
                    self.send(n, link, raw, frames);
                    self.end(n, link);
                }
                Action::ExpectBlock { .. } => {}
                Action::SendBlock { link, block } => self.blocks.push((n, link, block)),
                Action::Store(request) => {
                    if let StoreRequest::Open { manifest } = &request {
                        let content = manifest.content;
                        self.nodes[n].engine.handle_store(
                            now,
                            StoreReply::Opened { content, result: Ok(Leftovers::default()) },
                        );
                    }
                    if let StoreRequest::Finish { content } = &request {
                        let content = *content;
                        let abandoned = self.nodes[n]
                            .store
                            .iter()
                            .any(|r| matches!(r, StoreRequest::Abandon { content: c } if *c == content));
                        if !abandoned {
                            self.nodes[n]
                                .engine
                                .handle_store(now, StoreReply::Finished { content, result: Ok(()) });
                        }
                    }
                    self.nodes[n].store.push(request);
                }
                _ => {}
            }
        }
        while let Some(link) = self.nodes[n].engine.poll_ready_link() {
            any = true;
            self.flush(n, link);
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.nodes[n].engine.poll_transmit(&mut bytes) {
            any = true;
            if !self.beacons || !self.nodes[n].alive {
                continue;
            }
            let source = SocketAddr::from((self.nodes[n].ip, PORT));
            for to in 0..self.nodes.len() {
                let IpAddr::V4(ip) = transmit.destination.ip() else { continue };
                let hit = ip.is_multicast() || ip == Ipv4Addr::new(10, 0, 0, 255) || ip == self.nodes[to].ip;
                if to != n && hit && self.nodes[to].alive {
                    self.nodes[to]
                        .engine
                        .handle_datagram(now, Datagram { interface: InterfaceId(1), source, bytes: &bytes });
                }
            }
        }
        while let Some(event) = self.nodes[n].engine.poll_event() {
            any = true;
            self.nodes[n].events.push(event);
        }
        any
    }

    fn end(&mut self, n: usize, link: LinkId) {
        if self.ignore_close_of == Some(n) {
            return;
        }
        self.wire.push_back((n, link, Item::End));
    }

    fn flush(&mut self, n: usize, link: LinkId) {
        let mut buffer = Vec::new();
        while let Some(what) = self.nodes[n].engine.poll_link(link, &mut buffer) {
            let bytes = std::mem::take(&mut buffer);
            match what {
                LinkOutput::Raw => self.send(n, link, bytes, vec![]),
                LinkOutput::Frames => self.send(n, link, vec![], bytes),
            }
        }
    }

    fn send(&mut self, n: usize, link: LinkId, raw: Vec<u8>, frames: Vec<u8>) {
        if !raw.is_empty() {
            self.wire.push_back((n, link, Item::Raw(raw)));
        }
        let mut rest = &frames[..];
        while rest.len() >= 4 {
            let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            let body = rest[4..4 + len].to_vec();
            rest = &rest[4 + len..];
            self.nodes[n].sent.push((link, body.clone()));
            if !(self.lose)(n, &body) {
                self.wire.push_back((n, link, Item::Frame(body)));
            }
        }
    }

    fn step(&mut self) -> bool {
        let Some((n, link, item)) = self.wire.pop_front() else { return false };
        let Some(&(to, far)) = self.nodes[n].ends.get(&link) else { return true };
        let now = self.now;
        if !self.nodes[to].alive || !self.nodes[n].alive {
            return true;
        }
        let engine = &mut self.nodes[to].engine;
        match item {
            Item::Raw(bytes) => engine.handle_link(now, far, LinkInput::Handshake(&bytes)),
            Item::Frame(body) => engine.handle_link(now, far, LinkInput::Frame(&body)),
            Item::End => {
                engine.handle_link(now, far, LinkInput::Closed(LinkEnd::Eof));
                self.nodes[to].ends.remove(&far);
                self.nodes[n].ends.remove(&link);
            }
        }
        let budget = self.budget;
        self.nodes[to].engine.handle_link(now, far, LinkInput::Writable { budget });
        true
    }

    fn deliver_blocks(&mut self) -> bool {
        let blocks = std::mem::take(&mut self.blocks);
        let any = !blocks.is_empty();
        for (n, link, block) in blocks {
            let Some(&(to, far)) = self.nodes[n].ends.get(&link) else { continue };
            let now = self.now;
            self.nodes[to].engine.handle_link(
                now,
                far,
                LinkInput::BlockArrived { block, verdict: Verdict::Good },
            );
            if self.hold_writes {
                self.held_writes.push((to, block));
            } else {
                self.nodes[to].engine.handle_store(now, StoreReply::Written { block, result: Ok(()) });
            }
        }
        any
    }

    fn settle(&mut self) {
        for _ in 0..200_000 {
            let mut any = false;
            for n in 0..self.nodes.len() {
                if self.nodes[n].alive {
                    any |= self.drain(n);
                }
            }
            any |= self.step();
            any |= self.deliver_blocks();
            if !any && self.wire.is_empty() {
                return;
            }
        }
        panic!("never settles");
    }

    fn run_until(&mut self, until: Timestamp) {
        self.settle();
        let mut turns = 0u32;
        loop {
            turns += 1;
            assert!(turns < 400_000, "timers loop");
            let next = self
                .nodes
                .iter()
                .filter(|n| n.alive)
                .filter_map(|n| n.engine.poll_timeout())
                .map(|t| t.at)
                .min();
            let Some(at) = next.filter(|&at| at <= until) else { break };
            self.now = self.now.max(at);
            for n in 0..self.nodes.len() {
                let now = self.now;
                if self.nodes[n].alive && self.nodes[n].engine.poll_timeout().is_some_and(|t| t.at <= now) {
                    self.nodes[n].engine.handle_timeout(now);
                    assert!(self.nodes[n].engine.poll_timeout().is_none_or(|t| t.at > now), "promise 3");
                }
            }
            self.settle();
        }
        self.now = until;
    }

    fn run(&mut self, millis: u64) {
        self.run_until(self.now + Duration::from_millis(millis));
    }

    fn link(&self, at: usize, of: usize) -> LinkId {
        self.nodes[at].engine.peer(&self.id(of)).and_then(|view| view.link).expect("a link")
    }
}

fn content(len: usize, fill: u8) -> (Manifest, BlockList) {
    let mut hasher = ContentHasher::new();
    hasher.update(&vec![fill; len]);
    let (content, list) = hasher.finish().unwrap();
    (Manifest { content, name: "x".into(), kind: ContentKind::File }, list)
}

fn pair() -> Net {
    let s = seeds();
    let mut net = Net::new();
    net.add(engine(s[0], 1, 0, |_| ()));
    net.add(engine(s[1], 1, 0, |_| ()));
    net.run(2000);
    assert_eq!(net.level(0, 1), Some(Level::Trusted));
    assert_eq!(net.level(1, 0), Some(Level::Trusted));
    net
}

#[test]
fn a_peer_that_reconnected_and_then_restarted_is_trusted_again() {
    for restarted in [0, 1] {
        let mut net = pair();
        for _ in 0..2 {
            let link = net.link(0, 1);
            net.sever(link, 0, true, true);
            net.run(3000);
            assert_eq!((net.level(0, 1), net.level(1, 0)), (Some(Level::Trusted), Some(Level::Trusted)));
        }
        let link = net.link(restarted, 1 - restarted);
        net.sever(link, restarted, false, true);
        let seed = seeds()[restarted];
        let mut fresh = engine(seed, 2, 77, |_| ());
        fresh.handle_interfaces(net.now, &[lan(restarted as u8 + 1)]);
        net.nodes[restarted].engine = fresh;
        net.nodes[restarted].ends.clear();
        net.run(20_000);
        assert_eq!(net.level(1 - restarted, restarted), Some(Level::Trusted), "the restarted one trusts");
        assert_eq!(net.level(restarted, 1 - restarted), Some(Level::Trusted), "the other one trusts it");
    }
}

#[test]
fn an_address_by_hand_is_not_dialled_while_its_peer_is_linked() {
    let mut net = pair(); // the smaller one dialled
    let address = SocketAddr::from((net.nodes[0].ip, PORT));
    let now = net.now;
    net.nodes[1].engine.dial(now, address).unwrap();
    let before = net.nodes[1].dials.len();
    net.run(60_000);
    let dials = net.nodes[1].dials.len() - before;
    assert!(
        dials < 10,
        "{dials} dials in a minute, {} handshakes",
        net.nodes[0].engine.stats().handshakes_done
    );
}

#[test]
fn nothing_is_dialled_after_leaving() {
    let s = seeds();
    let mut net = Net::new();
    net.beacons = false;
    net.add(engine(s[0], 1, 0, |_| ()));
    net.add(engine(s[1], 1, 0, |_| ()));
    let address = SocketAddr::from((net.nodes[1].ip, PORT));
    let now = net.now;
    net.nodes[0].engine.dial(now, address).unwrap();
    net.run(2000);
    assert_eq!(net.level(1, 0), Some(Level::Trusted));
    let now = net.now;
    net.nodes[0].engine.leave(now);
    net.settle();
    let before = net.nodes[0].dials.len();
    net.run(30_000);
    assert!(net.nodes[0].events.contains(&Event::Left));
    assert_eq!(net.nodes[0].dials.len(), before, "dials after leave()");
    assert_eq!(net.nodes[0].engine.poll_timeout(), None);
}

#[test]
fn a_cancelled_transfer_stays_cancelled_whatever_is_written_late() {
    let mut net = pair();
    let (manifest, list) = content(1000, 1);
    let id = manifest.content;
    let now = net.now;
    net.nodes[0].engine.publish(now, manifest, list).unwrap();
    net.settle();
    net.hold_writes = true;
    net.nodes[1].engine.fetch(now, id).unwrap();
    net.settle();
    assert_eq!(net.held_writes.len(), 1);
    net.nodes[1].engine.cancel(now, id);
    let (n, block) = net.held_writes.remove(0);
    net.nodes[n].engine.handle_store(now, StoreReply::Written { block, result: Ok(()) });
    net.run(30_000);
    let failed = net.nodes[1].events.iter().any(|e| matches!(e, Event::ContentFailed { .. }));
    assert!(failed, "the end was never told; progress: {:?}", net.nodes[1].engine.progress(&id));
}

#[test]
fn a_transfer_whose_blocks_all_arrived_survives_its_source() {
    let mut net = pair();
    let (manifest, list) = content(1000, 1);
    let id = manifest.content;
    let now = net.now;
    net.nodes[0].engine.publish(now, manifest, list).unwrap();
    net.settle();
    net.hold_writes = true;
    net.nodes[1].engine.fetch(now, id).unwrap();
    net.settle();
    net.nodes[0].engine.leave(now);
    net.settle();
    let (n, block) = net.held_writes.remove(0);
    net.nodes[n].engine.handle_store(now, StoreReply::Written { block, result: Ok(()) });
    net.settle();
    assert!(
        net.nodes[1].events.iter().any(|e| matches!(e, Event::ContentReceived { .. })),
        "{:?}",
        net.nodes[1].events.last()
    );
}

fn links_of(engine: &Engine) -> usize {
    let text = format!("{engine:?}");
    text.split("links: ")
        .nth(1)
        .unwrap()
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn one_peer_cannot_hold_many_links() {
    // The smaller one decides, so a smaller attacker that never decides keeps them all.
    let s = seeds();
    let mut net = Net::new();
    net.beacons = false;
    let attacker = net.add(engine(s[0], 1, 0, |_| ()));
    let victim = net.add(engine(s[1], 1, 0, |_| ()));
    net.ignore_close_of = Some(attacker);
    net.lose = Box::new(|from, body| from == 0 && body[0] == 16);
    let address = SocketAddr::from((net.nodes[victim].ip, PORT));
    let now = net.now;
    net.nodes[attacker].engine.dial(now, address).unwrap();
    for _ in 0..60 {
        net.run(1000);
        let now = net.now;
        // The attacker's engine forgets its links without a word, so that it dials again.
        let mine: Vec<LinkId> = net.nodes[attacker].ends.keys().copied().collect();
        for link in mine {
            net.nodes[attacker].engine.handle_link(now, link, LinkInput::Closed(LinkEnd::Reset));
        }
        let links: Vec<LinkId> = net.nodes[victim].ends.keys().copied().collect();
        for link in links {
            net.nodes[victim].engine.handle_link(now, link, LinkInput::Frame(&[1, 5]));
        }
    }
    let links = links_of(&net.nodes[victim].engine);
    assert!(links <= 8, "{links} links held by one peer after a minute");
}

#[test]
fn trust_survives_the_loss_of_the_link_that_was_to_be_kept() {
    let mut net = pair();
    let address = SocketAddr::from((net.nodes[0].ip, PORT));
    let kept = net.link(0, 1);
    let now = net.now;
    let sent = net.nodes[0].sent.len();
    net.nodes[1].engine.dial(now, address).unwrap();
    loop {
        net.drain(0);
        net.drain(1);
        if net.nodes[0].sent[sent..].iter().any(|(_, body)| body[0] == 16) {
            break;
        }
        assert!(net.step());
    }
    net.step(); // the Confirm before it
    net.drain(1);
    net.sever(kept, 0, true, true);
    // The address by hand is dialled no more: the link that stays is all there is.
    net.run(60_000);
    let (a, b) = (net.level(0, 1), net.level(1, 0));
    assert_eq!((a, b), (Some(Level::Trusted), Some(Level::Trusted)), "0 at 1, 1 at 0");
}

#[test]
fn a_peer_that_was_evicted_meanwhile_is_trusted_again() {
    let s = seeds();
    let mut net = Net::new();
    net.add(engine(s[0], 1, 0, |config| config.max_peers = 1));
    net.add(engine(s[1], 1, 0, |_| ()));
    net.run(2000);
    for _ in 0..2 {
        let link = net.link(0, 1);
        net.sever(link, 0, true, true);
        net.run(3000);
    }
    assert_eq!(net.level(1, 0), Some(Level::Trusted));
    net.nodes[1].alive = false;
    let link = net.link(0, 1);
    net.sever(link, 0, true, true);
    net.run(6000);
    let mut other = engine(s[2], 1, 0, |_| ());
    other.handle_interfaces(net.now, &[lan(9)]);
    other.handle_timeout(net.now);
    let mut bytes = Vec::new();
    other.poll_transmit(&mut bytes).unwrap();
    let source = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 9), PORT));
    let now = net.now;
    net.nodes[0].engine.handle_datagram(now, Datagram { interface: InterfaceId(1), source, bytes: &bytes });
    net.settle();
    assert!(net.nodes[0].engine.peer(&net.id(1)).is_none(), "evicted");
    net.nodes[1].alive = true;
    net.run(30_000);
    assert_eq!(net.level(1, 0), Some(Level::Trusted), "the one that forgot");
    assert_eq!(net.level(0, 1), Some(Level::Trusted), "the one that was forgotten");
}

#[test]
fn a_custom_step_goes_on_over_the_link_that_replaced_its_own() {
    let s = seeds();
    let mut net = Net::new();
    for seed in &s[..2] {
        net.add(engine(*seed, 1, 0, |config| {
            config.trust.steps = vec![Step::Custom("ask".into())];
        }));
    }
    net.run(2000);
    let (now, zero, one) = (net.now, net.id(0), net.id(1));
    net.nodes[1].engine.step_conclude(now, zero, "ask", true).unwrap();
    net.settle();
    let link = net.link(0, 1);
    net.sever(link, 0, true, false); // only 0 notices
    net.run(2000);
    let now = net.now;
    net.nodes[0].engine.step_send(now, one, "ask", b"hi").unwrap();
    net.settle();
    let heard = net.nodes[1].events.iter().any(|e| matches!(e, Event::StepMessage { message: Some(_), .. }));
    assert!(heard, "the step's message was dropped");
}

#[test]
fn sharing_a_full_table_does_not_cost_the_link() {
    let s = seeds();
    let mut net = Net::new();
    net.add(engine(s[0], 1, 0, |config| {
        config.max_peers = 4096;
        config.max_queued = 8 << 20;
    }));
    let now = net.now;
    for n in 0..3000u32 {
        let mut seed = [200; 32];
        seed[..4].copy_from_slice(&n.to_le_bytes());
        let config = Config::new(Network::open("home").unwrap(), "m".repeat(64), PORT);
        let mut other = Engine::new(
            config,
            Identity::from_seed(seed),
            Restored::default(),
            Seeds::new(seed, seed),
            Timestamp::ZERO,
        )
        .unwrap();
        let mut wide = lan(200);
        wide.addrs.extend(
            (0..7u16).map(|i| InterfaceAddr { ip: IpAddr::from([0x2001, i, 1, 1, 1, 1, 1, 1]), prefix: 64 }),
        );
        other.handle_interfaces(now, &[wide]);
        other.handle_timeout(now);
        let mut bytes = Vec::new();
        other.poll_transmit(&mut bytes).unwrap();
        let source = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 200), PORT));
        let at = now + Duration::from_millis(u64::from(n) * 10);
        net.nodes[0]
            .engine
            .handle_datagram(at, Datagram { interface: InterfaceId(1), source, bytes: &bytes });
        net.now = at;
    }
    while net.nodes[0].engine.poll_action().is_some() {}
    let known = net.nodes[0].engine.peers().count();
    net.add(engine(s[1], 1, 0, |config| {
        config.max_peers = 4096;
        config.max_queued = 8 << 20;
    }));
    net.run(5000);
    let lost = net.nodes[1].events.iter().filter(|e| matches!(e, Event::PeerLeft { .. })).count();
    assert_eq!(lost, 0, "lost {lost} times; {known} known");
}

#[test]
fn replayed_old_beacons_cost_no_signatures() {
    // Beacons of earlier runs, recorded by someone without the network's key.
    let s = seeds();
    let mut net = Net::new();
    net.add(engine(s[0], 1, 0, |_| ()));
    let beacon = |incarnation: u64| {
        let mut other = engine(s[1], incarnation, incarnation as u8, |_| ());
        other.handle_interfaces(ms(1), &[lan(2)]);
        other.handle_timeout(ms(1));
        let mut bytes = Vec::new();
        other.poll_transmit(&mut bytes).unwrap();
        bytes
    };
    let (new, old) = (beacon(5), beacon(4));
    let source = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), PORT));
    let engine = &mut net.nodes[0].engine;
    engine.handle_datagram(ms(1), Datagram { interface: InterfaceId(1), source, bytes: &new });
    for _ in 0..1000 {
        engine.handle_datagram(ms(1), Datagram { interface: InterfaceId(1), source, bytes: &old });
    }
    let checked = engine.stats().signatures_checked;
    assert!(checked < 10, "{checked} signatures checked, {} refused", engine.stats().datagrams_rate_limited);
}

#[test]
fn transfers_without_a_source_do_not_block_others() {
    let s = seeds();
    let mut net = Net::new();
    for seed in &s[..3] {
        net.add(engine(*seed, 1, 0, |_| ()));
    }
    net.run(3000);
    let now = net.now;
    for fill in 0..4 {
        let (manifest, list) = content(1000, fill);
        net.nodes[0].engine.publish(now, manifest, list).unwrap();
    }
    let (good, list) = content(1000, 9);
    net.nodes[2].engine.publish(now, good.clone(), list).unwrap();
    net.settle();
    net.lose = Box::new(|from, body| from == 1 && body[0] == 12); // block requests to the first are lost
    for fill in 0..4 {
        net.nodes[1].engine.fetch(now, content(1000, fill).0.content).unwrap();
    }
    net.settle();
    net.nodes[0].alive = false; // a crash, no goodbye
    net.lose = Box::new(|_, _| false);
    net.run(20_000);
    let now = net.now;
    net.nodes[1].engine.fetch(now, good.content).unwrap();
    net.run(600_000);
    assert!(
        net.nodes[1].events.iter().any(|e| matches!(e, Event::ContentReceived { .. })),
        "stuck behind a peer that crashed"
    );
}

#[test]
fn a_restarted_peer_is_not_told_that_it_is_verified() {
    let mut net = pair();
    // 1 restarts; 0 still believes the old link to be alive.
    let seed = seeds()[1];
    let link = net.link(0, 1);
    net.sever(link, 0, false, false);
    let mut fresh = engine(seed, 2, 77, |_| ());
    fresh.handle_interfaces(net.now, &[lan(2)]);
    net.nodes[1].engine = fresh;
    net.nodes[1].ends.clear();
    let sent = net.nodes[0].sent.len();
    net.run(1000);
    let confirms: Vec<_> = net.nodes[0].sent[sent..].iter().filter(|(_, body)| body[0] == 0).collect();
    assert!(!confirms.is_empty());
    assert!(confirms.iter().all(|(_, body)| body[2] == 0), "{confirms:?}");
}

#[test]
fn beacons_cause_no_dials_beyond_the_subnet() {
    let s = seeds();
    let mut net = Net::new();
    let victim = net.add(engine(s[0], 1, 0, |_| ()));
    let mut attacker = engine(s[1], 1, 0, |_| ());
    let mut far = lan(7);
    far.addrs.push(InterfaceAddr { ip: Ipv4Addr::new(203, 0, 113, 5).into(), prefix: 24 });
    attacker.handle_interfaces(net.now, &[far]);
    attacker.handle_timeout(net.now);
    let mut bytes = Vec::new();
    attacker.poll_transmit(&mut bytes).unwrap();
    let source = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), PORT));
    let now = net.now;
    net.nodes[victim]
        .engine
        .handle_datagram(now, Datagram { interface: InterfaceId(1), source, bytes: &bytes });
    net.run(60_000);
    let far = net.nodes[victim].dials.iter().filter(|a| a.ip() == IpAddr::from([203, 0, 113, 5])).count();
    assert_eq!(far, 0, "{far} dials to an address of the sender's choice within a minute");
}

#[test]
fn many_long_texts_do_not_cost_the_link() {
    let mut net = pair();
    net.budget = 0;
    let link = net.link(0, 1);
    let (now, to) = (net.now, net.id(1));
    net.nodes[0].engine.handle_link(now, link, LinkInput::Writable { budget: 0 });
    let text = "x".repeat(MAX_TEXT);
    for _ in 0..64 {
        net.nodes[0].engine.send_text(now, to, &text).unwrap();
    }
    assert_eq!(net.nodes[0].engine.peer(&to).unwrap().link, Some(link));
}

#[test]
fn a_jump_of_the_incarnation_does_not_flap_links() {
    // 0 (smaller) is linked to 1 by a dial of its own; 2 knows that 0 once had a higher incarnation.
    let s = seeds();
    let mut net = Net::new();
    net.add(engine(s[0], 1, 0, |_| ()));
    net.add(engine(s[1], 1, 0, |_| ()));
    net.run(2000);
    let old = engine(s[0], 7, 99, |_| ());
    let mut keeper = engine(s[2], 1, 0, |_| ());
    let mut bytes = Vec::new();
    let mut old = old;
    old.handle_interfaces(net.now, &[lan(1)]);
    old.handle_timeout(net.now);
    old.poll_transmit(&mut bytes).unwrap();
    keeper.handle_interfaces(net.now, &[lan(3)]);
    let now = net.now;
    keeper.handle_datagram(
        now,
        Datagram {
            interface: InterfaceId(1),
            source: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), PORT)),
            bytes: &bytes,
        },
    );
    net.add(keeper);
    net.run(20_000);
    assert_eq!(net.nodes[0].engine.stats().incarnation_jumps, 1);
    let before = net.nodes[1].events.len();
    net.run(120_000);
    let flaps = net.nodes[1].events[before..].iter().filter(|e| matches!(e, Event::PeerLeft { .. })).count();
    assert!(flaps == 0, "{flaps} times left within two minutes");
}

#[test]
fn offers_of_a_peer_do_not_make_us_repeat_requests_to_another() {
    let s = seeds();
    let mut net = Net::new();
    for seed in &s[..3] {
        net.add(engine(*seed, 1, 0, |_| ()));
    }
    net.run(3000);
    let now = net.now;
    let (manifest, list) = content(3 << 20, 1);
    net.nodes[0].engine.publish(now, manifest.clone(), list.clone()).unwrap();
    net.settle();
    net.lose = Box::new(|from, body| from == 1 && body[0] == 10);
    net.nodes[1].engine.fetch(now, manifest.content).unwrap();
    net.settle();
    let before = net.nodes[1].sent.iter().filter(|(_, body)| body[0] == 10).count();
    assert_eq!(before, 1);
    for _ in 0..50 {
        net.nodes[2].engine.publish(now, manifest.clone(), list.clone()).unwrap();
        net.settle();
        net.nodes[2].engine.withdraw(now, manifest.content);
        net.settle();
    }
    let after = net.nodes[1].sent.iter().filter(|(_, body)| body[0] == 10).count();
    assert!(after < 5, "{after} list requests to the source");
}

#[test]
fn a_source_timeout_is_not_blamed_on_a_slow_disk() {
    let mut net = pair();
    let (manifest, list) = content(1000, 1);
    let id = manifest.content;
    let now = net.now;
    net.nodes[0].engine.publish(now, manifest, list).unwrap();
    net.settle();
    net.hold_writes = true;
    net.nodes[1].engine.fetch(now, id).unwrap();
    net.run(40_000);
    let failed = net.nodes[1].events.iter().any(|e| matches!(e, Event::ContentFailed { .. }));
    assert!(!failed, "failed while every block waits for our own disk");
}
