//! Who lives, who is silent, who is lost: what is said of a peer, what it is based on, and that no rumour decides it.

mod lan;

use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_engine::{
    Datagram, Declarer, Event, Evidence, HeardBy, LeaveReason, LinkId, Liveness, Party, PeerId, Timestamp,
};

use lan::Lan;

/// Nodes that trust each other.
fn trusted(nodes: usize) -> Lan {
    let mut lan = Lan::new(nodes);
    lan.run_for_millis(1_500);
    for a in 0..nodes {
        for b in (0..nodes).filter(|&b| b != a) {
            let level = lan.nodes[a].engine.peer(&id(&lan, b)).unwrap().level;
            assert_eq!(level, p2pnet_engine::Level::Trusted, "{a} {b}");
        }
        lan.nodes[a].events.clear();
        lan.nodes[a].transmits.clear();
    }
    lan
}

fn id(lan: &Lan, node: usize) -> PeerId {
    lan.nodes[node].engine.peer_id()
}

fn link(lan: &Lan, at: usize, to: usize) -> LinkId {
    lan.nodes[at].engine.peer(&id(lan, to)).unwrap().link.unwrap()
}

/// How node `at` was told that node `of` is, in order.
fn told(lan: &Lan, at: usize, of: usize) -> Vec<(Liveness, Evidence)> {
    let of = id(lan, of);
    let events = lan.nodes[at].events.iter();
    events
        .filter_map(|event| match event {
            Event::PeerLiveness { peer, liveness, evidence, .. } if *peer == of => {
                Some((*liveness, evidence.clone()))
            }
            _ => None,
        })
        .collect()
}

fn words(lan: &Lan, at: usize, of: usize) -> Vec<&'static str> {
    told(lan, at, of).iter().map(|(liveness, _)| liveness.as_str()).collect()
}

/// Why node `at` was told that node `of` is not connected any more.
fn left(lan: &Lan, at: usize, of: usize) -> Vec<(LeaveReason, Option<Party>)> {
    let of = id(lan, of);
    let events = lan.nodes[at].events.iter();
    events
        .filter_map(|event| match event {
            Event::PeerLeft { peer, reason, by, .. } if *peer == of => Some((*reason, *by)),
            _ => None,
        })
        .collect()
}

/// What each writes on its link to the other does not arrive any more.
fn stall(lan: &mut Lan, a: usize, b: usize) {
    let ends = [(a, link(lan, a, b)), (b, link(lan, b, a))];
    lan.stalled.extend(ends);
}

#[test]
fn a_peer_without_power_is_quiet_then_suspect_then_lost() {
    let mut lan = trusted(3);
    lan.nodes[2].vanished = true;
    let mut after = Vec::new();
    for tenth in 1..=50 {
        lan.run_for_millis(100);
        after.resize(words(&lan, 0, 2).len(), tenth * 100);
    }
    assert_eq!(words(&lan, 0, 2), ["quiet", "suspect", "lost"], "within 5 s");
    // It was heard within the last second before.
    assert!((1_000..=2_100).contains(&after[0]) && (3_000..=4_100).contains(&after[2]), "{after:?}");
    assert_eq!(left(&lan, 0, 2), [(LeaveReason::Lost, None)]);
    let told = told(&lan, 0, 2);
    let evidence = &told.last().unwrap().1;
    assert!(matches!(evidence.heard_by, HeardBy::Link(_)), "{evidence:?}");
    assert_eq!(evidence.declared_by, Declarer::Us);
    assert!(evidence.unanswered >= 6 && evidence.vouched_by.is_empty(), "{evidence:?}");
    let silent = Duration::from_secs(4)..Duration::from_millis(4_300);
    assert!(silent.contains(&evidence.silent_for), "{evidence:?}");
    assert_eq!(lan.nodes[0].engine.peer(&id(&lan, 2)).unwrap().liveness, Some(Liveness::Lost));
    assert_eq!(words(&lan, 0, 1), [""; 0], "nobody else was doubted");
}

/// Whoever dialled the link, and whichever direction stalls: the new one is used by both sides, though the order of links
/// would keep the old one, and the application hears of no loss.
#[test]
fn a_stalled_stream_is_replaced_while_its_peer_answers_by_datagram() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut lan = trusted(2);
        let old = [link(&lan, 0, 1), link(&lan, 1, 0)];
        lan.stalled.insert((from, old[from]));
        lan.run_for_millis(7_000);
        for (at, of) in [(0, 1), (1, 0)] {
            assert_ne!(link(&lan, at, of), old[at], "{from} to {to}: {at} uses the new link");
            assert_eq!(left(&lan, at, of), [], "{from} to {to}");
            assert_eq!(
                lan.nodes[at].engine.peer(&id(&lan, of)).unwrap().level,
                p2pnet_engine::Level::Trusted
            );
            assert_eq!(lan.streams(at), 1, "{from} to {to}: the old one is closed");
        }
        assert_eq!(words(&lan, to, from), ["quiet", "alive"], "who hears nothing on the stream");
        let quiet = lan.nodes[to].engine.evidence(lan.now, &id(&lan, from)).unwrap();
        assert!(quiet.silent_for < Duration::from_secs(2));
        assert_eq!(words(&lan, from, to), [""; 0], "who hears the other is not in doubt");
    }
}

#[test]
fn a_peer_that_answers_by_datagram_only_is_not_lost_but_its_link_is_given_up_at_last() {
    let mut lan = trusted(2);
    lan.dials_blocked = true;
    stall(&mut lan, 0, 1);
    lan.run_for_millis(25_000);
    assert_eq!((words(&lan, 0, 1), left(&lan, 0, 1)), (vec!["quiet"], vec![]));
    assert!(matches!(
        lan.nodes[0].engine.evidence(lan.now, &id(&lan, 1)).unwrap().heard_by,
        HeardBy::Rung { rung: p2pnet_engine::Rung::Unicast, .. }
    ));
    lan.run_for_millis(20_000);
    assert_eq!(left(&lan, 0, 1), [(LeaveReason::Timeout, Some(Party::Us))]);
    assert_eq!(words(&lan, 0, 1), ["quiet"], "it still answers");
    lan.nodes[1].vanished = true;
    lan.run_for_millis(5_500);
    assert_eq!(words(&lan, 0, 1), ["quiet", "suspect", "lost"]);
}

#[test]
fn others_that_hear_a_peer_keep_it_from_being_lost() {
    let mut lan = trusted(3);
    lan.dials_blocked = true;
    stall(&mut lan, 0, 2);
    lan.unheard.extend([(0, 2), (2, 0)]);
    lan.run_for_millis(12_000);
    assert_eq!(left(&lan, 0, 2), []);
    assert!(!words(&lan, 0, 2).contains(&"lost"), "{:?}", words(&lan, 0, 2));
    let evidence = lan.nodes[0].engine.evidence(lan.now, &id(&lan, 2)).unwrap();
    assert_eq!((evidence.heard_by, evidence.vouched_by), (HeardBy::Peer(id(&lan, 1)), vec![id(&lan, 1)]));
    lan.nodes[2].vanished = true;
    lan.run_for_millis(5_500);
    assert_eq!(words(&lan, 0, 2).last(), Some(&"lost"), "nobody hears it any more");
}

/// foca#25: two peers told each other that each other is down, and both believed it. Here each hears neither the other nor
/// of it, and the third, whom both ask again and again, goes by what it hears itself.
#[test]
fn a_live_link_outranks_every_rumour() {
    let mut lan = trusted(3);
    lan.dials_blocked = true;
    stall(&mut lan, 0, 1);
    lan.unheard.extend([(0, 1), (1, 0)]);
    let links = [link(&lan, 2, 0), link(&lan, 2, 1)];
    lan.run_for_millis(60_000);
    assert_eq!(links, [link(&lan, 2, 0), link(&lan, 2, 1)]);
    for of in [0, 1] {
        assert_eq!(words(&lan, 2, of), [""; 0]);
        assert_eq!(left(&lan, 2, of), []);
        assert!(!words(&lan, of, 1 - of).contains(&"lost"), "the third vouches for both");
    }
}

#[test]
fn a_link_that_breaks_says_nothing_of_its_peer() {
    let mut lan = trusted(2);
    lan.cut();
    lan.run_for_millis(2_000);
    for (at, of) in [(0, 1), (1, 0)] {
        assert_eq!(left(&lan, at, of), [(LeaveReason::Broken, None)]);
        assert_eq!(words(&lan, at, of), ["quiet", "alive"]);
        let [_, (_, alive)] = &told(&lan, at, of)[..] else { panic!("two events") };
        assert_eq!(alive.heard_by, HeardBy::Link(link(&lan, at, of)));
    }
}

#[test]
fn who_hears_nobody_doubts_itself_first() {
    let mut lan = trusted(3);
    lan.nodes[1].vanished = true;
    lan.nodes[2].vanished = true;
    lan.run_for_millis(7_000);
    assert!(!words(&lan, 0, 1).contains(&"lost") && !words(&lan, 0, 2).contains(&"lost"));
    lan.run_for_millis(3_000);
    for of in [1, 2] {
        assert_eq!(words(&lan, 0, of).last(), Some(&"lost"), "the doubt is bounded");
        assert_eq!(left(&lan, 0, of), [(LeaveReason::Lost, None)]);
    }
}

/// S25 (Lifeguard): a node without CPU for 20 s finds dead streams and silent peers. That is its own fault.
#[test]
fn who_was_stopped_blames_nobody() {
    let mut lan = trusted(3);
    lan.nodes[0].vanished = true;
    lan.run_for_millis(20_000);
    assert_eq!(words(&lan, 1, 0).last(), Some(&"lost"), "to the others it was gone");
    lan.nodes[0].vanished = false;
    lan.run_for_millis(10_000);
    for of in [1, 2] {
        assert!(!words(&lan, 0, of).contains(&"lost"), "{:?}", words(&lan, 0, of));
        assert!(left(&lan, 0, of).iter().all(|(reason, _)| *reason != LeaveReason::Lost));
        assert_eq!(words(&lan, of, 0).last(), Some(&"alive"), "and it is back");
        assert_eq!(lan.nodes[0].engine.peer(&id(&lan, of)).unwrap().level, p2pnet_engine::Level::Trusted);
    }
}

#[test]
fn both_sides_know_why_a_link_was_closed_and_by_whom() {
    let mut lan = trusted(2);
    let bob = id(&lan, 1);
    lan.command(0, |engine, now| engine.disconnect(now, bob));
    assert_eq!(left(&lan, 0, 1), [(LeaveReason::Closed, Some(Party::Us))]);
    assert_eq!(left(&lan, 1, 0), [(LeaveReason::Closed, Some(Party::Them))]);
    assert_eq!(lan.nodes[0].engine.peer(&bob).unwrap().liveness, None, "nobody looks for it");

    let mut lan = trusted(2);
    lan.command(0, |engine, now| engine.leave(now));
    assert_eq!(left(&lan, 0, 1), [(LeaveReason::Gone, Some(Party::Us))]);
    assert_eq!(left(&lan, 1, 0), [(LeaveReason::Gone, Some(Party::Them))]);
    let [(Liveness::Left, evidence)] = &told(&lan, 1, 0)[..] else { panic!("left") };
    assert_eq!(evidence.declared_by, Declarer::Subject);
    let first = lan.nodes[1].events.first().unwrap();
    assert!(matches!(first, Event::PeerLiveness { .. }), "how it is comes before what follows: {first:?}");
}

#[test]
fn a_farewell_by_datagram_alone_is_enough() {
    let mut lan = trusted(2);
    let farewell = lan.nodes[0].engine.farewell();
    lan.nodes[0].vanished = true;
    let source = SocketAddr::from((lan.nodes[0].ip, lan::PORT));
    lan.command(1, |engine, now| {
        engine.handle_datagram(now, Datagram { interface: lan::LAN, source, bytes: &farewell });
    });
    lan.run_for_millis(450);
    assert_eq!(left(&lan, 1, 0), [(LeaveReason::Gone, Some(Party::Them))]);
    assert_eq!(words(&lan, 1, 0), ["left"]);
}

#[test]
fn a_newer_run_replaces_the_one_that_is_silent() {
    let mut lan = trusted(2);
    let seeds = p2pnet_engine::Seeds::new([77; 32], [78; 32]);
    let restored = p2pnet_engine::Restored { incarnation: 2, ..Default::default() };
    let identity = p2pnet_engine::Identity::from_seed([1; 32]);
    let engine =
        p2pnet_engine::Engine::new(lan::config("node0"), identity, restored, seeds, lan.now).unwrap();
    lan.lose_power(0, engine);
    lan.run_for_millis(1_000);
    assert_eq!(words(&lan, 1, 0), ["replaced", "alive"]);
    assert_eq!(left(&lan, 1, 0), [(LeaveReason::Replaced, Some(Party::Them))]);
    let [(_, replaced), _] = &told(&lan, 1, 0)[..] else { panic!("two events") };
    assert_eq!(replaced.declared_by, Declarer::Subject);
}

/// What a member of the network has recorded of a peer while that lived does not bring it back to life: each probe has a
/// number of its own, and each datagram is heard once.
#[test]
fn recorded_answers_are_worthless() {
    let mut lan = trusted(2);
    lan.dials_blocked = true;
    stall(&mut lan, 0, 1);
    lan.run_for_millis(10_000);
    let recorded: Vec<Vec<u8>> = lan.nodes[1].transmits.iter().map(|sent| bytes_of(sent)).collect();
    assert!(recorded.len() > 8, "it answered");
    lan.nodes[1].vanished = true;
    let source = SocketAddr::from((lan.nodes[1].ip, lan::PORT));
    for _ in 0..12 {
        for bytes in &recorded {
            lan.command(0, |engine, now| {
                engine.handle_datagram(now, Datagram { interface: lan::LAN, source, bytes });
            });
        }
        lan.run_for_millis(500);
    }
    assert_eq!(words(&lan, 0, 1).last(), Some(&"lost"));
}

/// A probe causes one datagram, not longer than itself, and so many a second at the most.
#[test]
fn a_probe_is_answered_once() {
    let mut lan = trusted(2);
    lan.dials_blocked = true;
    stall(&mut lan, 0, 1);
    lan.run_for_millis(20_000);
    let unicast = |node: usize, to: usize| {
        let to = format!("{}:{}", lan.nodes[to].ip, lan::PORT);
        lan.nodes[node].transmits.iter().filter(|sent| sent.contains(&to)).count()
    };
    let (ours, theirs) = (unicast(0, 1), unicast(1, 0));
    // Each asks once a second and answers the other's: as many again. Both began to ask at the same time.
    assert!((30..=60).contains(&ours) && (30..=60).contains(&theirs), "{ours} {theirs}");

    let asked: Vec<Vec<u8>> = lan.nodes[0].transmits.iter().map(|sent| bytes_of(sent)).collect();
    let source = SocketAddr::from((lan.nodes[0].ip, lan::PORT));
    let before = lan.nodes[1].transmits.len();
    for bytes in &asked {
        lan.command(1, |engine, now: Timestamp| {
            engine.handle_datagram(now, Datagram { interface: lan::LAN, source, bytes });
        });
    }
    assert_eq!(lan.nodes[1].transmits.len(), before, "a probe that was heard is not answered again");
}

/// The bytes of what the driver recorded as `Transmit { .. } [..]`.
fn bytes_of(sent: &str) -> Vec<u8> {
    let hex = sent.rsplit_once('[').unwrap().1.trim_end_matches(']');
    hex.split(", ").map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
