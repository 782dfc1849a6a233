//! Links between two engines: restarts and lost memory.

mod lan;

use lan::Lan;
use p2pnet_engine::{Engine, Event, Identity, Level, Restored, Seeds};

/// Replaces node `i` by a new run of it.
fn restart(lan: &mut Lan, i: usize, incarnation: u64, run: u8) {
    let config = lan::config(&format!("node{i}"));
    let identity = Identity::from_seed([i as u8 + 1; 32]);
    let restored = Restored { incarnation, ..Restored::default() };
    let seeds = Seeds::new([run; 32], [run ^ 0xff; 32]);
    let engine = Engine::new(config, identity, restored, seeds, lan.now).unwrap();
    lan.replace(i, engine);
}

fn trusted(lan: &Lan, i: usize) -> bool {
    lan.nodes[i].engine.peers().any(|peer| peer.level == Level::Trusted)
}

/// A peer counts its sessions from one again when it restarts. Once, the other side went on comparing with the
/// count of the earlier run and never believed that it was verified.
#[test]
fn a_restarted_peer_is_trusted_again_after_many_sessions() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(1_000);
    for _ in 0..5 {
        lan.cut();
        lan.run_for_millis(1_000);
    }
    restart(&mut lan, 1, 2, 77);
    lan.run_for_millis(2_000);
    assert!(trusted(&lan, 0) && trusted(&lan, 1));
}

#[test]
fn a_node_that_lost_its_incarnation_is_shown_its_own_record_and_jumps_above_it() {
    let mut lan = Lan::new(2);
    restart(&mut lan, 1, 40, 77);
    lan.run_for_millis(1_000);
    assert!(trusted(&lan, 0));
    restart(&mut lan, 1, 3, 78);
    lan.run_for_millis(10_000);
    assert_eq!(lan.nodes[1].engine.stats().incarnation_jumps, 1);
    assert_eq!(lan.nodes[1].engine.record().record().incarnation, 41);
    assert!(trusted(&lan, 0) && trusted(&lan, 1));
}

#[test]
fn a_node_that_said_goodbye_comes_back_by_a_newer_incarnation_only() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(1_000);
    lan.command(1, |engine, now| engine.leave(now));
    lan.run_for_millis(1_000);
    assert_eq!(lan.nodes[0].engine.peers().count(), 0);
    // The same incarnation as the one that left: it is outranked by its own farewell, learns that, and jumps.
    restart(&mut lan, 1, 1, 77);
    lan.run_for_millis(10_000);
    assert_eq!(lan.nodes[1].engine.stats().incarnation_jumps, 1);
    assert!(trusted(&lan, 0) && trusted(&lan, 1));
}

#[test]
fn texts_for_a_peer_that_says_goodbye_are_reported_as_lost() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(1_000);
    let bob = lan.nodes[1].engine.peer_id();
    lan.nodes[0].budget = None;
    lan.give_budget(0, 0);
    for _ in 0..3 {
        lan.command(0, |engine, now| engine.send_text(now, bob, "too late").unwrap());
    }
    lan.command(1, |engine, now| engine.leave(now));
    let lost = Event::TextsLost { to: bob, first: 1, last: 3 };
    assert!(lan.nodes[0].events.contains(&lost), "{:?}", lan.nodes[0].events);
}
