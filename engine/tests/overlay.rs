//! More nodes than each may have links: one connected overlay of few links, which heals, makes room and trims.

mod lan;

use std::collections::BTreeSet;

use p2pnet_engine::{Engine, Event, LeaveReason, Liveness, PeerId};

use lan::Lan;

/// So many nodes that each knows far more peers than it may have links.
const NODES: usize = 30;
const MAX_LINKS: usize = 12;
const ACTIVE: usize = 5;

fn crowd() -> Lan {
    Lan::configured(NODES, |config| (config.max_links, config.active_links) = (MAX_LINKS, ACTIVE))
}

fn neighbours(engine: &Engine) -> BTreeSet<PeerId> {
    engine.peers().filter(|peer| peer.link.is_some()).map(|peer| peer.id).collect()
}

/// How many nodes the first of these reaches by links among them.
fn reached(lan: &Lan, among: &[usize]) -> usize {
    let mut seen = BTreeSet::from([among[0]]);
    let mut next = vec![among[0]];
    while let Some(node) = next.pop() {
        let linked = neighbours(&lan.nodes[node].engine);
        for &other in among {
            if linked.contains(&lan.nodes[other].engine.peer_id()) && seen.insert(other) {
                next.push(other);
            }
        }
    }
    seen.len()
}

#[test]
fn a_crowd_is_one_overlay_of_few_links_in_which_all_know_all() {
    let mut lan = crowd();
    lan.run_for_millis(30_000);
    let all: Vec<usize> = (0..NODES).collect();
    assert_eq!(reached(&lan, &all), NODES);
    for node in &lan.nodes {
        let degree = neighbours(&node.engine).len();
        assert!((ACTIVE..=MAX_LINKS - MAX_LINKS / 4).contains(&degree), "{degree} links");
        assert_eq!(node.engine.peers().count(), NODES - 1);
    }
}

#[test]
fn an_overlay_is_left_alone_once_it_is_there() {
    let mut lan = crowd();
    lan.run_for_millis(60_000);
    let links = |lan: &Lan| lan.nodes.iter().map(|node| neighbours(&node.engine)).collect::<Vec<_>>();
    let dials = |lan: &Lan| lan.nodes.iter().map(|node| node.engine.stats().dials_started).sum::<u64>();
    let before = (links(&lan), dials(&lan));
    lan.run_for_millis(60_000);
    assert_eq!((links(&lan), dials(&lan)), before);
}

#[test]
fn neighbours_on_the_ring_are_linked() {
    let mut lan = crowd();
    lan.run_for_millis(30_000);
    let mut ring: Vec<(PeerId, usize)> =
        lan.nodes.iter().enumerate().map(|(i, node)| (node.engine.peer_id(), i)).collect();
    ring.sort();
    for (place, &(_, node)) in ring.iter().enumerate() {
        let next = ring[(place + 1) % NODES].0;
        assert!(neighbours(&lan.nodes[node].engine).contains(&next), "the {place}th and the next");
    }
}

#[test]
fn who_is_no_neighbour_is_dialled_for_a_text_and_given_up_when_there_are_too_many() {
    let mut lan = crowd();
    lan.run_for_millis(30_000);
    let linked = neighbours(&lan.nodes[0].engine);
    let far: Vec<usize> = (1..NODES).filter(|&i| !linked.contains(&lan.nodes[i].engine.peer_id())).collect();
    for &far in &far {
        let to = lan.nodes[far].engine.peer_id();
        lan.command(0, |engine, now| engine.send_text(now, to, "hello")).unwrap();
        lan.run_for_millis(1_000);
        assert!(neighbours(&lan.nodes[0].engine).len() <= MAX_LINKS);
    }
    lan.run_for_millis(20_000);
    for far in far {
        let is_hello = |event: &Event| matches!(event, Event::Text { text, .. } if text == "hello");
        assert_eq!(lan.nodes[far].events.iter().filter(|event| is_hello(event)).count(), 1, "node {far}");
    }
    assert!(neighbours(&lan.nodes[0].engine).len() <= MAX_LINKS - MAX_LINKS / 4);
    assert!(lan.nodes[0].engine.stats().links_trimmed > 0);
    let trimmed = |event: &Event| matches!(event, Event::PeerLeft { reason: LeaveReason::Trimmed, .. });
    let told = |node: usize| lan.nodes[node].events.iter().any(trimmed);
    assert!(told(0) && (1..NODES).any(told), "both sides are told");
}

#[test]
fn a_third_of_a_crowd_may_vanish_at_once() {
    let mut lan = crowd();
    lan.run_for_millis(30_000);
    let (gone, stay): (Vec<usize>, Vec<usize>) = (0..NODES).partition(|i| i % 3 == 0);
    for &node in &gone {
        lan.vanish(node);
    }
    assert_eq!(reached(&lan, &stay), stay.len(), "still one overlay before anybody did anything");
    lan.run_for_millis(20_000);
    assert_eq!(reached(&lan, &stay), stay.len());
    let ids: BTreeSet<PeerId> = gone.iter().map(|&i| lan.nodes[i].engine.peer_id()).collect();
    for &node in &stay {
        let linked = neighbours(&lan.nodes[node].engine);
        assert!(linked.is_disjoint(&ids) && linked.len() >= ACTIVE, "{} links", linked.len());
    }
}

/// A link that breaks says nothing of its peer: who merely had a link that nobody needs is watched like a neighbour.
#[test]
fn who_crashes_in_a_crowd_is_lost_to_all_who_had_a_link() {
    let mut lan = crowd();
    lan.run_for_millis(30_000);
    let victim = lan.nodes[0].engine.peer_id();
    let had_a_link: Vec<usize> =
        (1..NODES).filter(|&i| neighbours(&lan.nodes[i].engine).contains(&victim)).collect();
    lan.vanish(0);
    lan.cut();
    lan.run_for_millis(10_000);
    for node in had_a_link {
        let is_loss = |event: &Event| matches!(event, Event::PeerLiveness { peer, liveness: Liveness::Lost, .. } if *peer == victim);
        assert!(lan.nodes[node].events.iter().any(is_loss), "node {node}");
    }
}

/// Among a thousand nodes thirteen pairs asked each other for a pulse every second, for ever.
#[test]
fn whose_link_broke_and_who_is_not_sought_is_asked_until_it_answers() {
    let mut lan = crowd();
    lan.run_for_millis(30_000);
    lan.cut();
    lan.run_for_millis(30_000);
    for (i, node) in lan.nodes.iter().enumerate() {
        let mut without_link = node.engine.peers().filter(|peer| peer.link.is_none());
        let doubted = without_link.find(|peer| peer.liveness.is_some());
        assert!(doubted.is_none(), "node {i}: {doubted:?}");
    }
}
