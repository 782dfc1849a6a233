//! The eight promises of an engine, one test each.

mod lan;

use std::fmt::Write as _;
use std::time::Duration;

use lan::{Drain, Lan, PORT};
use p2pnet_engine::{
    BlockRef, ContentHasher, ContentKind, Datagram, Event, LeaveReason, Level, LinkInput, Manifest, Timeout,
    Timestamp,
};

fn publish(lan: &mut Lan, i: usize, bytes: &[u8]) -> p2pnet_engine::ContentId {
    let mut hasher = ContentHasher::new();
    hasher.update(bytes);
    let (content, list) = hasher.finish().unwrap();
    for (index, data) in bytes.chunks(p2pnet_engine::BLOCK_SIZE).enumerate() {
        lan.nodes[i].store.insert(BlockRef { content, index: index as u32 }, data.to_vec());
    }
    let manifest = Manifest { content, name: "film.bin".into(), kind: ContentKind::File };
    lan.command(i, |engine, now| engine.publish(now, manifest, list).unwrap());
    content
}

/// A run that touches everything: discovery, links, trust, a text, a content, a leave.
fn whole_life(drain: Drain) -> Lan {
    let mut lan = Lan::new(3);
    lan.drain = drain;
    lan.run_for_millis(3_000);
    let bob = lan.nodes[1].engine.peer_id();
    lan.command(0, |engine, now| engine.send_text(now, bob, "hello").unwrap());
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let content = publish(&mut lan, 0, &bytes);
    lan.command(1, |engine, now| engine.fetch(now, content).unwrap());
    lan.run_for_millis(2_000);
    lan.cut();
    lan.run_for_millis(2_000);
    lan.command(2, |engine, now| engine.leave(now));
    lan.run_for_millis(60_000);
    lan
}

/// Everything that the engines gave, as one hash.
fn digest(lan: &Lan) -> String {
    let mut text = String::new();
    for node in &lan.nodes {
        let (events, frames) = (&node.events, &node.frames);
        writeln!(text, "{:?} {:?} {events:?} {frames:?}", node.transmits, node.actions).unwrap();
    }
    let mut hasher = ContentHasher::new();
    hasher.update(text.as_bytes());
    hasher.finish().unwrap().0.to_string()
}

#[test]
fn no_hidden_inputs() {
    let lan = whole_life(Drain::LinksFirst);
    let received = |event: &Event| matches!(event, Event::ContentReceived { .. });
    assert!(
        lan.nodes[1].events.iter().any(received),
        "the run must reach its end: {:?}",
        lan.nodes[1].events
    );
    assert_eq!(digest(&lan), digest(&whole_life(Drain::LinksFirst)));
    // The same in every process, build and feature. It moves when the protocol does, and then on purpose only.
    assert_eq!(digest(&lan), "57438bd3d5921e977941c1d17e3a227f7bc90bd1075fb4c29ace4b4b13f39a96");
}

#[test]
fn poll_order_does_not_matter() {
    // What the order of polls moves between the streams must not move anything within one of them. Deliveries
    // follow the polls here, so the comparison is of one engine that is fed the same inputs.
    let feed = |order: [u8; 3]| {
        let mut lan = Lan::new(2);
        lan.run_for_millis(100);
        let (now, engine) = (lan.now, &mut lan.nodes[0].engine);
        let peer = engine.peers().next().unwrap().id;
        engine.send_text(now, peer, "one").unwrap();
        engine.handle_clock_jump(now);
        engine.handle_timeout(now);
        engine.dial(now, "10.0.0.9:9000".parse().unwrap()).unwrap();
        let mut streams = [const { String::new() }; 3];
        let mut buffer = Vec::new();
        for turn in order.into_iter().cycle().take(60) {
            match turn {
                0 => write!(streams[0], "{:?}", engine.poll_transmit(&mut buffer)).unwrap(),
                1 => {
                    if let Some(link) = engine.poll_ready_link() {
                        buffer.clear();
                        let output = engine.poll_link(link, &mut buffer);
                        write!(streams[1], "{link} {output:?} {buffer:?}").unwrap();
                    }
                }
                _ => write!(streams[2], "{:?} {:?}", engine.poll_action(), engine.poll_event()).unwrap(),
            }
        }
        (streams, engine.poll_timeout())
    };
    let first = feed([0, 1, 2]);
    assert!(
        first.0[1].contains("Frames") && first.0[2].contains("Dial"),
        "all streams have something: {first:?}"
    );
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(first, feed(order));
    }
}

#[test]
fn honest_deadlines() {
    // `run_for_millis` checks after each timeout that the next deadline is later.
    let mut lan = Lan::new(3);
    lan.run_for_millis(300_000);
    // Stopped for ten minutes: one beacon is due, not dozens.
    let node = &mut lan.nodes[0];
    let before = node.engine.stats().datagrams_sent;
    let late = Timestamp::from_nanos(lan.now.as_nanos() + 600_000_000_000);
    node.engine.handle_timeout(late);
    let mut buffer = Vec::new();
    while node.engine.poll_transmit(&mut buffer).is_some() {}
    let sent = node.engine.stats().datagrams_sent - before;
    assert!((1..=4).contains(&sent), "{sent} datagrams after a stop");
    assert!(node.engine.poll_timeout().unwrap().at > late);
    // Calls that come early do nothing.
    let Timeout { at, .. } = node.engine.poll_timeout().unwrap();
    let stats = *node.engine.stats();
    node.engine.handle_timeout(Timestamp::from_nanos(at.as_nanos() - 1));
    assert_eq!(*node.engine.stats(), stats);
    assert_eq!(node.engine.poll_timeout().unwrap().at, at);
}

#[test]
fn monotonic_time() {
    let mut lan = Lan::new(1);
    lan.run_for_millis(5_000);
    let node = &mut lan.nodes[0];
    let deadline = node.engine.poll_timeout();
    node.engine.handle_timeout(Timestamp::ZERO);
    assert_eq!(node.engine.stats().now_clamped, 1);
    assert_eq!(node.engine.poll_timeout(), deadline);
}

#[test]
fn bounded() {
    let mut lan = Lan::configured(2, |config| {
        config.max_half_open = 8;
        config.max_texts = 4;
        config.max_peers = 8;
    });
    lan.run_for_millis(100);
    let now = lan.now;
    // Streams of strangers: the oldest make room, and one address cannot open them without end.
    let engine = &mut lan.nodes[0].engine;
    let mut refused = 0;
    for i in 0..10_000u32 {
        let source = format!("10.0.0.{}:{}", 10 + i % 100, 1024 + i % 60_000).parse().unwrap();
        refused += u32::from(engine.accept_link(now, None, source).is_err());
    }
    assert!(refused > 9_000 && engine.stats().handshakes_evicted > 100);
    // Texts to a peer that takes none.
    lan.nodes[0].budget = None;
    let bob = lan.nodes[1].engine.peer_id();
    let taken = (0..100).filter(|_| lan.nodes[0].engine.send_text(now, bob, "x").is_ok()).count();
    assert_eq!(taken, 4);
    // Peers without end: the table keeps its size.
    for seed in 3..60 {
        let mut stranger = lan::engine(lan::config("stranger"), seed, now);
        stranger.handle_interfaces(now, &[lan::interface(seed)]);
        stranger.handle_timeout(now);
        let mut bytes = Vec::new();
        while stranger.poll_transmit(&mut bytes).is_some() {
            let source = format!("10.0.0.{seed}:{PORT}").parse().unwrap();
            let datagram = Datagram { interface: lan::LAN, source, bytes: &bytes };
            lan.nodes[0].engine.handle_datagram(now, datagram);
        }
    }
    assert_eq!(lan.nodes[0].engine.peers().count(), 8);
    assert!(lan.nodes[0].engine.stats().peers_evicted > 0);
    // Datagrams that nobody polls.
    for i in 0..5_000 {
        lan.nodes[0].engine.handle_clock_jump(Timestamp::from_nanos(now.as_nanos() + i));
        lan.nodes[0].engine.handle_timeout(Timestamp::from_nanos(now.as_nanos() + i));
    }
    let mut bytes = Vec::new();
    let waiting = std::iter::from_fn(|| lan.nodes[0].engine.poll_transmit(&mut bytes)).count();
    assert!(waiting <= 256, "{waiting} datagrams wait");
}

#[test]
fn idle_is_o1() {
    const PEERS: usize = 4_000;
    let mut config = lan::config("idle");
    config.max_peers = PEERS;
    config.max_queued = 8 << 20;
    let now = Timestamp::from_millis(1);
    let identity = p2pnet_engine::Identity::from_seed([1; 32]);
    let seeds = p2pnet_engine::Seeds::from_u64(1);
    let mut engine = p2pnet_engine::Engine::new(config, identity, Default::default(), seeds, now).unwrap();
    let mut bytes = Vec::new();
    for seed in 0..PEERS as u32 {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&seed.to_le_bytes());
        let identity = p2pnet_engine::Identity::from_seed(key);
        let seeds = p2pnet_engine::Seeds::new(key, key);
        let mut peer =
            p2pnet_engine::Engine::new(lan::config("peer"), identity, Default::default(), seeds, now)
                .unwrap();
        peer.handle_interfaces(now, &[lan::interface(2)]);
        peer.handle_timeout(now);
        assert!(peer.poll_transmit(&mut bytes).is_some());
        // Not faster than signatures of strangers are checked.
        let now = Timestamp::from_millis(1 + 10 * u64::from(seed));
        let source = "10.0.0.2:9000".parse().unwrap();
        engine.handle_datagram(now, p2pnet_engine::Datagram { interface: lan::LAN, source, bytes: &bytes });
    }
    while engine.poll_event().is_some() {}
    assert_eq!(engine.peers().count(), PEERS);
    // If a poll walked the peers this would be 4 * 10^10 steps and not end today.
    let mut buffer = Vec::new();
    for _ in 0..10_000_000 {
        assert!(engine.poll_transmit(&mut buffer).is_none());
        assert!(engine.poll_ready_link().is_none());
        assert!(engine.poll_action().is_none());
        assert!(engine.poll_event().is_none());
        assert!(engine.poll_timeout().is_some());
    }
}

#[test]
fn terminal_events_once() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(1_000);
    assert_eq!(lan.nodes[0].engine.peers().next().unwrap().level, Level::Trusted);
    // Many ups and downs that nobody looks at.
    lan.nodes[0].take_events = false;
    for _ in 0..50 {
        lan.cut();
        lan.run_for_millis(2_000);
    }
    lan.cut();
    let late: Vec<Event> = std::iter::from_fn(|| lan.nodes[0].engine.poll_event()).collect();
    assert!(late.len() <= 3, "coalesced: {late:?}");
    lan.nodes[0].events.extend(late);
    // Gone while nobody looks, and taken out of the table: the application is told all the same.
    lan.nodes[0].take_events = true;
    lan.run_for_millis(2_000);
    lan.nodes[0].take_events = false;
    lan.command(1, |engine, now| engine.leave(now));
    lan.run_for_millis(2_000);
    lan.nodes[0].take_events = true;
    lan.run_for_millis(1_000);
    let mut up = false;
    for event in &lan.nodes[0].events {
        match event {
            Event::PeerConnected { .. } => assert!(!std::mem::replace(&mut up, true), "up twice"),
            Event::PeerLeft { .. } => assert!(std::mem::replace(&mut up, false), "down twice"),
            _ => {}
        }
    }
    let last = lan.nodes[0].events.last();
    assert!(matches!(last, Some(Event::PeerLeft { reason: LeaveReason::Gone, .. })), "{last:?}");
    assert_eq!(lan.nodes[0].engine.peers().count(), 0);
    assert!(lan.nodes[0].engine.poll_event().is_none());
}

#[test]
fn back_pressure() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(1_000);
    let content = publish(&mut lan, 0, &vec![7; 4_000_000]);
    lan.run_for_millis(100);
    // The link of node 0 takes nothing: neither frames nor blocks come out, whatever is asked of it.
    lan.nodes[0].budget = None;
    lan.give_budget(0, 0);
    lan.command(1, |engine, now| engine.fetch(now, content).unwrap());
    let sent = lan.nodes[0].engine.stats().blocks_sent;
    let bob = lan.nodes[1].engine.peer_id();
    lan.command(0, |engine, now| engine.send_text(now, bob, "later").unwrap());
    assert_eq!(lan.nodes[0].engine.stats().blocks_sent, sent);
    assert!(lan.nodes[0].engine.poll_ready_link().is_none());
    // One byte of room: the control frame goes before any block.
    let link = lan.nodes[0].engine.peers().next().unwrap().link.unwrap();
    let now = lan.now;
    lan.nodes[0].engine.handle_link(now, link, LinkInput::Writable { budget: 1 });
    assert!(lan.nodes[0].engine.poll_ready_link().is_some());
    assert_eq!(lan.nodes[0].engine.stats().blocks_sent, sent);
    // Room for everything: all of it arrives.
    lan.nodes[0].budget = Some(4 << 20);
    lan.give_budget(0, 4 << 20);
    lan.run_for_millis(1_000);
    let done = |event: &Event| matches!(event, Event::ContentReceived { .. });
    assert!(lan.nodes[1].events.iter().any(done), "{:?}", lan.nodes[1].events);
    assert!(lan.now.since(Timestamp::ZERO) < Duration::from_secs(10));
}
