//! Messages: each arrives once, and its sender learns what became of it.
#![allow(missing_docs)]

mod lan;

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::{Config, Event, Level, MAX_MESSAGE, MessageError, Party, PeerId, Step};

use lan::{Lan, config, engine};

fn id(lan: &Lan, i: usize) -> PeerId {
    lan.nodes[i].engine.peer_id()
}

/// What node `i` was sent, in order, and by whom; with `over` it came by so many links at most.
fn taken(lan: &Lan, i: usize) -> Vec<(PeerId, Vec<u8>)> {
    let message = |event: &Event| match event {
        Event::Message { from, bytes, .. } => Some((*from, bytes.to_vec())),
        _ => None,
    };
    lan.nodes[i].events.iter().filter_map(message).collect()
}

fn numbers(lan: &Lan, i: usize) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    taken(lan, i).iter().map(|(_, bytes)| number(bytes)).collect()
}

/// The outcomes that node `i` was told: number, how many have it, who has not.
fn outcomes(lan: &Lan, i: usize) -> Vec<(u64, u32, Vec<PeerId>)> {
    let outcome = |event: &Event| match event {
        Event::MessageSettled { id, delivered, missing } => Some((*id, *delivered, missing.clone())),
        _ => None,
    };
    lan.nodes[i].events.iter().filter_map(outcome).collect()
}

fn send(lan: &mut Lan, from: usize, to: usize, bytes: &[u8]) -> Result<u64, MessageError> {
    let to = id(lan, to);
    lan.command(from, |engine, now| engine.send_message(now, to, bytes))
}

fn broadcast(lan: &mut Lan, from: usize, bytes: &[u8]) -> Result<u64, MessageError> {
    lan.command(from, |engine, now| engine.broadcast(now, bytes))
}

fn linked(nodes: usize, configure: impl Fn(&mut Config)) -> Lan {
    let mut lan = Lan::configured(nodes, configure);
    lan.run_for_millis(3_000);
    lan
}

#[test]
fn a_message_to_one_arrives_once_in_order_and_has_one_outcome() {
    let mut lan = linked(3, |_| {});
    let sent: Vec<u64> = (0..200_u32).map(|n| send(&mut lan, 0, 1, &n.to_le_bytes()).unwrap()).collect();
    lan.run_for_millis(1_000);
    assert_eq!(numbers(&lan, 1), (0..200).collect::<Vec<_>>());
    assert!(taken(&lan, 2).is_empty());
    assert_eq!(outcomes(&lan, 0), sent.iter().map(|&id| (id, 1, vec![])).collect::<Vec<_>>());
    let acknowledgements = lan.nodes[1].engine.stats().frames_received;
    assert!(lan.nodes[0].engine.stats().frames_received < acknowledgements / 2, "they are gathered");
}

#[test]
fn the_longest_message_arrives_and_a_longer_one_is_refused() {
    let mut lan = linked(2, |_| {});
    let longest = vec![7; MAX_MESSAGE];
    send(&mut lan, 0, 1, &longest).unwrap();
    assert_eq!(send(&mut lan, 0, 1, &vec![7; MAX_MESSAGE + 1]), Err(MessageError::TooLong));
    send(&mut lan, 0, 1, &[]).unwrap();
    lan.run_for_millis(100);
    let bytes: Vec<Vec<u8>> = taken(&lan, 1).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(bytes, [longest, vec![]]);
}

#[test]
fn a_link_that_breaks_costs_no_message_and_doubles_none() {
    let mut lan = linked(2, |_| {});
    for round in 0..20_u32 {
        for n in 0..10 {
            send(&mut lan, 0, 1, &(round * 10 + n).to_le_bytes()).unwrap();
            if n == round % 10 {
                // Half of them before the answers come back.
                lan.cut();
                lan.lose();
            }
        }
        lan.run_for_millis(700);
    }
    lan.run_for_millis(10_000);
    assert_eq!(numbers(&lan, 1), (0..200).collect::<Vec<_>>());
    assert_eq!(outcomes(&lan, 0).len(), 200);
    assert!(outcomes(&lan, 0).iter().all(|(_, delivered, _)| *delivered == 1));
}

#[test]
fn a_message_waits_for_who_said_goodbye_and_comes_back() {
    let mut lan = linked(2, |_| {});
    let to = id(&lan, 1);
    lan.reaches = |_, _| false;
    lan.cut();
    lan.run_for_millis(100);
    let sent = send(&mut lan, 0, 1, b"later").unwrap();
    lan.reaches = |_, _| true;
    lan.command(1, |engine, now| engine.leave(now));
    lan.run_for_millis(5_000);
    assert!(lan.nodes[0].engine.peer(&to).is_none(), "it has left the table");
    let restored = p2pnet_engine::Restored { incarnation: 2, ..Default::default() };
    let seeds = p2pnet_engine::Seeds::new([99; 32], [98; 32]);
    let identity = p2pnet_engine::Identity::from_seed([2; 32]);
    let again = p2pnet_engine::Engine::new(config("node1"), identity, restored, seeds, lan.now).unwrap();
    lan.replace(1, again);
    lan.run_for_millis(5_000);
    assert_eq!(taken(&lan, 1), [(id(&lan, 0), b"later".to_vec())]);
    assert_eq!(outcomes(&lan, 0), [(sent, 1, vec![])]);
}

#[test]
fn who_is_away_too_long_is_named() {
    let mut lan = linked(3, |config| config.message_ttl = Duration::from_secs(20));
    let away = id(&lan, 2);
    lan.vanish(2);
    lan.run_for_millis(6_000);
    let all = broadcast(&mut lan, 0, b"to all").unwrap();
    let one = send(&mut lan, 0, 2, b"to one").unwrap();
    lan.run_for_millis(19_000);
    assert!(outcomes(&lan, 0).is_empty());
    lan.run_for_millis(2_000);
    assert_eq!(outcomes(&lan, 0), [(all, 1, vec![away]), (one, 0, vec![away])]);
    assert_eq!(taken(&lan, 1).len(), 1);
}

#[test]
fn all_get_what_is_for_all() {
    let mut lan = linked(8, |_| {});
    for from in 0..8 {
        broadcast(&mut lan, from, &(from as u32).to_le_bytes()).unwrap();
    }
    lan.run_for_millis(500);
    for i in 0..8 {
        let mut got = numbers(&lan, i);
        got.sort_unstable();
        assert_eq!(got, (0..8).filter(|&from| from != i as u32).collect::<Vec<_>>());
        assert_eq!(outcomes(&lan, i), [(1, 7, vec![])]);
        assert_eq!(lan.nodes[i].engine.stats().gossip_received, 0, "straight to each");
    }
}

#[test]
fn with_nobody_there_a_message_to_all_has_its_outcome_at_once() {
    let mut lan = Lan::new(1);
    let sent = broadcast(&mut lan, 0, b"hello?").unwrap();
    lan.run_for_millis(1);
    assert_eq!(outcomes(&lan, 0), [(sent, 0, vec![])]);
}

#[test]
fn nothing_is_delivered_before_both_sides_trust_each_other() {
    let decide = |config: &mut Config| config.trust.steps = vec![Step::Decision];
    let mut lan = linked(2, decide);
    let (first, second) = (id(&lan, 0), id(&lan, 1));
    assert_eq!(lan.nodes[0].engine.peer(&second).unwrap().level, Level::Connected);
    send(&mut lan, 0, 1, b"early").unwrap();
    broadcast(&mut lan, 0, b"to those who are trusted, which nobody is").unwrap();
    lan.command(0, |engine, now| engine.accept(now, second)).unwrap();
    lan.run_for_millis(3_000);
    assert!(taken(&lan, 1).is_empty(), "only one side trusts the other");
    lan.command(1, |engine, now| engine.accept(now, first)).unwrap();
    lan.run_for_millis(3_000);
    assert_eq!(taken(&lan, 1), [(first, b"early".to_vec())]);
}

#[test]
fn what_waits_for_a_peer_and_for_outcomes_is_bounded() {
    let mut lan = linked(3, |config| (config.max_messages, config.max_message_bytes) = (4, 256 * 1024));
    let unknown = engine(config("other"), 99, lan.now).peer_id();
    let to_unknown = lan.command(0, |engine, now| engine.send_message(now, unknown, b"?"));
    assert_eq!(to_unknown, Err(MessageError::UnknownPeer));
    let away = id(&lan, 2);
    lan.vanish(2);
    lan.run_for_millis(6_000);
    for _ in 0..4 {
        send(&mut lan, 0, 2, b"one").unwrap();
    }
    assert_eq!(send(&mut lan, 0, 2, b"one"), Err(MessageError::Full));
    // To all: the oldest makes room, and who is there is not kept waiting.
    let all = broadcast(&mut lan, 0, b"all").unwrap();
    lan.run_for_millis(100);
    assert_eq!(outcomes(&lan, 0), [(1, 0, vec![away])]);
    assert_eq!(taken(&lan, 1).len(), 1);
    lan.nodes[0].take_events = false;
    let mut sent = all;
    while let Ok(id) = send(&mut lan, 0, 1, &[0; 16 * 1024]) {
        sent = id;
        assert!(sent < 1000, "outcomes that nobody takes count");
    }
    lan.nodes[0].take_events = true;
    lan.run_for_millis(100);
    assert_eq!(outcomes(&lan, 0).last(), Some(&(sent, 1, vec![])));
    send(&mut lan, 0, 1, b"there is room again").unwrap();
}

#[test]
fn a_slow_application_loses_nothing_and_keeps_its_memory() {
    let mut lan = linked(2, |config| (config.max_messages, config.max_message_bytes) = (1000, 256 * 1024));
    lan.nodes[1].take_events = false;
    for n in 0..200_u32 {
        send(&mut lan, 0, 1, &n.to_le_bytes()).unwrap();
    }
    lan.run_for_millis(3_000);
    assert_eq!(outcomes(&lan, 0).len(), 64, "what found room is acknowledged, the rest is not");
    assert!(lan.nodes[1].engine.stats().messages_dropped > 0);
    lan.nodes[1].take_events = true;
    lan.run_for_millis(5_000);
    assert_eq!(numbers(&lan, 1), (0..200).collect::<Vec<_>>());
    assert_eq!(outcomes(&lan, 0).len(), 200);
}

#[test]
fn a_slow_link_is_not_filled() {
    let mut lan = linked(2, |config| config.max_messages = 1000);
    lan.nodes[0].budget = None;
    for _ in 0..100 {
        send(&mut lan, 0, 1, &[1; 30 * 1024]).unwrap();
    }
    let tables = lan.nodes[0].engine.stats().frames_dropped;
    assert_eq!(tables, 0, "what is too much waits in the mailbox");
    lan.nodes[0].budget = Some(4 << 20);
    lan.give_budget(0, 4 << 20);
    lan.run_for_millis(2_000);
    assert_eq!(taken(&lan, 1).len(), 100);
}

#[test]
fn who_leaves_learns_what_became_of_its_messages() {
    let mut lan = linked(3, |_| {});
    let away = id(&lan, 2);
    lan.vanish(2);
    lan.run_for_millis(6_000);
    let sent = broadcast(&mut lan, 0, b"farewell").unwrap();
    lan.command(0, |engine, now| engine.leave(now));
    lan.run_for_millis(1_000);
    assert_eq!(outcomes(&lan, 0), [(sent, 1, vec![away])]);
    assert!(matches!(lan.nodes[0].events.last(), Some(Event::Left)));
    assert_eq!(send(&mut lan, 0, 1, b"late"), Err(MessageError::Leaving));
}

#[test]
fn nothing_waits_for_who_is_distrusted() {
    let mut lan = linked(2, |_| {});
    let other = id(&lan, 1);
    lan.nodes[0].budget = None;
    lan.give_budget(0, 0);
    let sent = send(&mut lan, 0, 1, b"secret").unwrap();
    lan.command(0, |engine, now| engine.distrust(now, other));
    lan.run_for_millis(100);
    assert_eq!(outcomes(&lan, 0), [(sent, 0, vec![other])]);
    assert_eq!(broadcast(&mut lan, 0, b"not for it"), Ok(sent + 1));
    lan.run_for_millis(100);
    assert_eq!(outcomes(&lan, 0).last(), Some(&(sent + 1, 0, vec![])));
}

// ---- In a crowd ----

const CROWD: usize = 40;

fn crowd() -> Lan {
    let mut lan = Lan::configured(CROWD, |config| (config.max_links, config.active_links) = (16, 8));
    lan.run_for_millis(20_000);
    lan
}

fn gossip(lan: &Lan) -> u64 {
    lan.nodes.iter().map(|node| node.engine.stats().gossip_received).sum()
}

#[test]
fn a_crowd_passes_messages_on_along_a_tree() {
    let mut lan = crowd();
    for n in 0..10_u32 {
        broadcast(&mut lan, 0, &n.to_le_bytes()).unwrap();
        lan.run_for_millis(200);
    }
    let before = gossip(&lan);
    for n in 10..60_u32 {
        broadcast(&mut lan, 0, &n.to_le_bytes()).unwrap();
        lan.run_for_millis(20);
    }
    lan.run_for_millis(1_000);
    let redundancy = (gossip(&lan) - before) as f64 / (50 * (CROWD - 1)) as f64 - 1.0;
    assert!(redundancy < 0.1, "{redundancy}");
    for i in 1..CROWD {
        let mut got = numbers(&lan, i);
        got.sort_unstable();
        assert_eq!(got, (0..60).collect::<Vec<_>>(), "node {i}");
        let hops = lan.nodes[i].events.iter().filter_map(|event| match event {
            Event::Message { hops, .. } => Some(*hops),
            _ => None,
        });
        assert!(hops.max().unwrap() < 8);
    }
    assert_eq!(outcomes(&lan, 0), (1..=60).map(|id| (id, CROWD as u32 - 1, vec![])).collect::<Vec<_>>());
}

#[test]
fn a_crowd_in_which_some_vanish_misses_nothing_and_says_who_did() {
    let mut lan = crowd();
    broadcast(&mut lan, 0, &u32::MAX.to_le_bytes()).unwrap();
    lan.run_for_millis(1_000);
    let gone: Vec<usize> = (3..CROWD).step_by(9).collect();
    for &i in &gone {
        lan.vanish(i);
    }
    for n in 0..40_u32 {
        broadcast(&mut lan, 0, &n.to_le_bytes()).unwrap();
        lan.run_for_millis(250);
    }
    lan.run_for_millis(20_000);
    for i in (1..CROWD).filter(|i| !gone.contains(i)) {
        let mut got = numbers(&lan, i);
        got.sort_unstable();
        assert_eq!(got.len(), 41, "node {i}");
        assert!(got.iter().take(40).copied().eq(0..40), "node {i}: {got:?}");
    }
    // Enough messages without an outcome, and the oldest ends: its outcome names those who are gone.
    lan.command(0, |engine, now| engine.leave(now));
    lan.run_for_millis(1_000);
    let ids: Vec<PeerId> = gone.iter().map(|&i| id(&lan, i)).collect();
    for (_, delivered, missing) in &outcomes(&lan, 0)[1..] {
        assert_eq!(*delivered as usize, CROWD - 1 - gone.len());
        assert!(missing.len() == ids.len() && missing.iter().all(|peer| ids.contains(peer)));
    }
    assert_eq!(outcomes(&lan, 0).len(), 41);
}

#[test]
fn who_was_cut_off_from_a_crowd_catches_up() {
    let mut lan = crowd();
    broadcast(&mut lan, 0, &0_u32.to_le_bytes()).unwrap();
    lan.run_for_millis(1_000);
    lan.reaches = |from, to| (from == 7) == (to == 7);
    lan.cut();
    lan.run_for_millis(15_000);
    for n in 1..20_u32 {
        broadcast(&mut lan, 0, &n.to_le_bytes()).unwrap();
        lan.run_for_millis(100);
    }
    assert_eq!(numbers(&lan, 7), [0]);
    lan.reaches = |_, _| true;
    lan.run_for_millis(40_000);
    let mut got = numbers(&lan, 7);
    got.sort_unstable();
    assert_eq!(got, (0..20).collect::<Vec<_>>());
    assert!(outcomes(&lan, 0).iter().all(|(_, delivered, missing)| *delivered == 39 && missing.is_empty()));
    assert_eq!(outcomes(&lan, 0).len(), 20);
}

#[test]
fn a_message_that_its_origin_did_not_sign_ends_the_link_that_it_came_by() {
    let mut lan = crowd();
    broadcast(&mut lan, 0, b"the truth").unwrap();
    lan.run_for_millis(1_000);
    const GOSSIP: u8 = 33;
    let is_gossip = |body: &[u8]| body[0] == GOSSIP && body.ends_with(&[]) && body.len() > 9;
    // A neighbour of the origin passes on other words under its name.
    let origin = id(&lan, 0);
    let liar = (1..CROWD)
        .find(|&i| lan.nodes[i].engine.peer(&origin).is_some_and(|peer| peer.link.is_some()))
        .unwrap();
    let mut frame = None;
    for mut rest in lan.nodes[0].frames.values().map(|frames| &frames[..]) {
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (body, after) = after.split_at(u32::from_le_bytes(*length) as usize);
            if is_gossip(body) {
                frame = Some(body.to_vec());
            }
            rest = after;
        }
    }
    let mut body = frame.expect("the origin passed it on");
    let place = body.windows(9).position(|window| window == b"the truth").unwrap();
    body[place..place + 9].copy_from_slice(b"the lie!!");
    // Another number, or it would be one that came before.
    let number = 1 + 32 + 1;
    assert_eq!(body[number], 1, "the first message");
    body[number] = 2;
    let victim = (1..CROWD)
        .find(|&i| {
            let peer = id(&lan, i);
            i != liar && lan.nodes[liar].engine.peer(&peer).is_some_and(|peer| peer.link.is_some())
        })
        .unwrap();
    let mut framed = (body.len() as u32).to_le_bytes().to_vec();
    framed.extend_from_slice(&body);
    lan.say(liar, victim, &framed);
    lan.run_for_millis(100);
    assert!(taken(&lan, victim).iter().all(|(_, bytes)| bytes == b"the truth"));
    let (liar, by_us) = (id(&lan, liar), Some(Party::Us));
    let ended =
        |event: &Event| matches!(event, Event::PeerLeft { peer, by, .. } if *peer == liar && *by == by_us);
    assert!(lan.nodes[victim].events.iter().any(ended));
}

#[test]
fn who_blocks_the_origin_neither_takes_its_messages_nor_keeps_others_from_them() {
    let mut lan = crowd();
    let origin = id(&lan, 0);
    lan.command(5, |engine, now| engine.block(now, origin)).unwrap();
    lan.run_for_millis(10_000);
    for n in 0..10_u32 {
        broadcast(&mut lan, 0, &n.to_le_bytes()).unwrap();
        lan.run_for_millis(200);
    }
    lan.run_for_millis(10_000);
    for i in 1..CROWD {
        assert_eq!(taken(&lan, i).len(), if i == 5 { 0 } else { 10 }, "node {i}");
    }
}

/// An insider names messages that nobody sent: it cannot keep a neighbour from asking for those that others have.
#[cfg(feature = "marks")]
#[test]
fn made_up_messages_do_not_crowd_out_those_that_are() {
    let mut lan = crowd();
    const I_HAVE: u8 = 34;
    const GRAFT: u8 = 35;
    let victim = 1;
    let neighbours: Vec<usize> = (2..CROWD)
        .filter(|&i| lan.nodes[victim].engine.peer(&id(&lan, i)).is_some_and(|peer| peer.link.is_some()))
        .collect();
    let liar = neighbours[0];
    let tell = |lan: &mut Lan, from: usize, origin: u8, last: &[u8]| {
        let mut body = vec![I_HAVE, 1];
        body.extend_from_slice(&[origin; 32]);
        body.extend_from_slice(&[1, 1]);
        body.extend_from_slice(last);
        let mut framed = (body.len() as u32).to_le_bytes().to_vec();
        framed.extend_from_slice(&body);
        lan.say(from, victim, &framed);
    };
    for origin in 1..20 {
        tell(&mut lan, liar, origin, &[0xfb, 0xff, 0xff]);
    }
    let told = lan.nodes[victim].engine.tables();
    let full = told.iter().find(|(name, ..)| *name == "messages missed that one told of").unwrap();
    assert_eq!(full.1, full.2, "what the liar told of is all there is room for");
    lan.nodes[victim].frames.clear();
    tell(&mut lan, neighbours[1], 99, &[1]);
    lan.run_for_millis(100);
    let asks =
        |frames: &Vec<u8>| frames.windows(33).any(|bytes| bytes == [&[GRAFT, 1][..], &[99; 31]].concat());
    assert!(lan.nodes[victim].frames.values().any(asks), "it asks for what the other told of");
}

#[test]
fn every_message_of_many_origins_arrives_once() {
    let mut lan = crowd();
    for round in 0..5_u32 {
        for from in (0..CROWD).step_by(4) {
            broadcast(&mut lan, from, &(round * 100 + from as u32).to_le_bytes()).unwrap();
        }
        lan.run_for_millis(300);
    }
    lan.run_for_millis(5_000);
    for i in 0..CROWD {
        let mut count: BTreeMap<u32, usize> = BTreeMap::new();
        for number in numbers(&lan, i) {
            *count.entry(number).or_default() += 1;
        }
        assert_eq!(count.len(), 50 - if i % 4 == 0 { 5 } else { 0 }, "node {i}");
        assert!(count.values().all(|&count| count == 1));
        if i % 4 == 0 {
            assert_eq!(outcomes(&lan, i).len(), 5);
            assert!(outcomes(&lan, i).iter().all(|(_, delivered, _)| *delivered as usize == CROWD - 1));
        }
    }
}

/// Everybody holds what was sent for those who ask for it later, and one origin is not to push out all the rest.
#[test]
fn a_quarter_of_what_is_held_is_on_its_way_from_one() {
    let mut lan = Lan::configured(CROWD, |config| {
        (config.max_links, config.active_links) = (16, 8);
        config.max_message_bytes = 256 * 1024;
    });
    lan.run_for_millis(20_000);
    for _ in 0..3 {
        broadcast(&mut lan, 0, &[0; 20_000]).unwrap();
    }
    assert_eq!(broadcast(&mut lan, 0, &[0; 20_000]), Err(MessageError::Full));
    broadcast(&mut lan, 0, &[0; 4_000]).unwrap();
    lan.run_for_millis(1_000);
    assert_eq!(outcomes(&lan, 0).len(), 4);
    // Somebody is away: that waits for ten seconds at most.
    lan.vanish(CROWD - 1);
    broadcast(&mut lan, 0, &[0; 60_000]).unwrap();
    lan.run_for_millis(9_500);
    assert_eq!(broadcast(&mut lan, 0, &[0; 60_000]), Err(MessageError::Full));
    lan.run_for_millis(1_000);
    broadcast(&mut lan, 0, &[0; 60_000]).unwrap();
    let missing = vec![id(&lan, CROWD - 1)];
    assert!(outcomes(&lan, 0).iter().any(|(_, delivered, missed)| *delivered == 38 && *missed == missing));
}
