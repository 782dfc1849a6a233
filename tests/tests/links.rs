//! How two engines find each other, and keep exactly one link.

use std::time::Duration;

use p2pnet_engine::{Event, LeaveReason, Level};
use p2pnet_sim::Pair;

const SECOND: Duration = Duration::from_secs(1);

fn trusted_pair(seed: u64) -> Pair {
    let mut pair = Pair::new(seed).start();
    assert!(pair.run_until(2 * SECOND, Pair::all_trusted), "seed {seed}: {}", story(&pair));
    pair
}

fn story(pair: &Pair) -> String {
    format!("after {:?}\n{}", pair.elapsed(), pair.trace().text(p2pnet_sim::Detail::Everything))
}

#[test]
fn two_that_start_in_the_same_instant_trust_each_other() {
    for seed in 0..50 {
        let pair = trusted_pair(seed);
        assert!(pair.elapsed() < Duration::from_millis(50), "seed {seed}: {}", story(&pair));
    }
}

#[test]
fn of_two_that_hear_each_other_one_dials() {
    for seed in 0..50 {
        let mut pair = trusted_pair(seed);
        pair.run_for(SECOND);
        let dials: u64 = (0..2).map(|i| pair.engine(i).stats().dials_started).sum();
        assert_eq!(dials, 1, "seed {seed}: {}", story(&pair));
    }
}

#[test]
fn both_dial_at_once_and_keep_exactly_one_link() {
    for seed in 0..200 {
        let mut pair = Pair::new(seed).start();
        pair.drop_datagrams(|_, _| true);
        pair.dial(0, 1);
        pair.dial(1, 0);
        let one = pair.run_until(3 * SECOND, |pair| pair.all_trusted() && pair.streams(0, 1) == 1);
        assert!(one, "seed {seed}: {} streams, {}", pair.streams(0, 1), story(&pair));
        pair.run_for(10 * SECOND);
        assert_eq!(pair.streams(0, 1), 1, "seed {seed}: {}", story(&pair));
        for i in 0..2 {
            let downs = pair.events(i).iter().filter(|(_, e)| matches!(e, Event::PeerLeft { .. })).count();
            assert_eq!(downs, 0, "seed {seed}: the links took turns: {}", story(&pair));
        }
    }
}

#[test]
fn an_address_given_by_hand_is_left_alone_while_its_peer_is_linked() {
    for (i, j) in [(0, 1), (1, 0)] {
        let mut pair = trusted_pair(1);
        let before = pair.links(0, 1);
        pair.dial(i, j);
        pair.run_for(60 * SECOND);
        let dials: u64 = (0..2).map(|i| pair.engine(i).stats().dials_started).sum();
        assert!(dials <= 3, "{dials} dials: {}", story(&pair));
        assert_eq!(pair.streams(0, 1), 1);
        let after = pair.links(0, 1);
        pair.run_for(60 * SECOND);
        assert_eq!(pair.links(0, 1), after, "was {before:?}: {}", story(&pair));
    }
}

#[test]
fn an_address_given_by_hand_is_dialled_again_when_its_peer_left_and_came_back() {
    let mut pair = Pair::new(1).start();
    pair.drop_datagrams(|_, _| true);
    pair.dial(0, 1);
    assert!(pair.run_until(2 * SECOND, Pair::all_trusted), "{}", story(&pair));
    pair.command(1, |engine, now| engine.leave(now));
    pair.run_for(10 * SECOND);
    pair.restart(1);
    assert!(pair.run_until(5 * SECOND, Pair::all_trusted), "{}", story(&pair));
}

#[test]
fn newer_incarnation_replaces_the_link() {
    for seed in 0..20 {
        let mut pair = trusted_pair(seed);
        let before = pair.engine(0).peer(&pair.peer_id(1)).unwrap().link;
        // No farewell and no end of stream: node 0 believes the old link alive.
        pair.power_off(1);
        pair.start_node(1);
        assert!(pair.run_until(2 * SECOND, Pair::all_trusted), "seed {seed}: {}", story(&pair));
        pair.run_for(10 * SECOND);
        assert!(pair.all_trusted(), "seed {seed}: {}", story(&pair));
        let view = pair.engine(0).peer(&pair.peer_id(1)).unwrap();
        assert_ne!(view.link, before);
        assert_eq!(view.record.record().incarnation, 2);
        assert_eq!(pair.streams(0, 1), 1);
    }
}

#[test]
fn a_leave_is_seen_as_gone() {
    let mut pair = trusted_pair(3);
    pair.command(1, |engine, now| engine.leave(now));
    let left = |pair: &Pair| pair.events(1).last().is_some_and(|(_, event)| *event == Event::Left);
    assert!(pair.run_until(2 * SECOND, left), "{}", story(&pair));
    pair.run_for(SECOND);
    let reasons: Vec<LeaveReason> = pair
        .events(0)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::PeerLeft { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [LeaveReason::Gone]);
    pair.kill(1);
    pair.run_for(60 * SECOND);
    assert_ne!(pair.level(0, 1), Some(Level::Connected));
    assert_eq!(pair.streams(0, 1), 0);
}

#[test]
fn who_left_is_trusted_again_after_a_restart() {
    let mut pair = trusted_pair(4);
    pair.command(1, |engine, now| engine.leave(now));
    pair.run_for(3 * SECOND);
    pair.restart(1);
    assert!(pair.run_until(2 * SECOND, Pair::all_trusted), "{}", story(&pair));
}

#[test]
fn a_third_node_that_is_never_heard_is_dialled_because_a_peer_shares_it() {
    for seed in 0..20 {
        let mut trio = Pair::with_nodes(seed, 3).start();
        // Nodes 0 and 2 never hear each other's datagrams; node 1 hears both.
        trio.drop_datagrams(|from, to| from + to == 2);
        assert!(trio.run_until(5 * SECOND, Pair::all_trusted), "seed {seed}: {}", story(&trio));
        assert_eq!(trio.streams(0, 2), 1);
    }
}

#[test]
fn a_broken_link_is_dialled_again() {
    for seed in 0..50 {
        let mut pair = trusted_pair(seed);
        pair.run_for(5 * SECOND);
        pair.cut_links(0, 1);
        assert!(!pair.all_trusted(), "seed {seed}");
        assert!(pair.run_until(SECOND, Pair::all_trusted), "seed {seed}: {}", story(&pair));
        pair.run_for(5 * SECOND);
        assert_eq!(pair.streams(0, 1), 1, "seed {seed}: {}", story(&pair));
    }
}

#[test]
fn a_dead_peer_is_lost_within_five_seconds() {
    for seed in 0..20 {
        let mut pair = trusted_pair(seed);
        pair.run_for(7 * SECOND);
        pair.power_off(1);
        let lost = |pair: &Pair| pair.level(0, 1).is_none_or(|level| level == Level::Known);
        assert!(pair.run_until(5 * SECOND, lost), "seed {seed}: {}", story(&pair));
        let (_, last) = pair.events(0).last().unwrap();
        assert!(matches!(last, Event::PeerLeft { reason: LeaveReason::Lost, .. }), "{last:?}");
    }
}

#[test]
fn a_cut_heals_and_the_peers_are_together_again() {
    for seed in 0..20 {
        let mut pair = trusted_pair(seed);
        pair.partition(0, 1);
        let apart =
            |pair: &Pair| pair.level(0, 1) == Some(Level::Known) && pair.level(1, 0) == Some(Level::Known);
        assert!(pair.run_until(5 * SECOND, apart), "seed {seed}: {}", story(&pair));
        pair.run_for(20 * SECOND);
        assert!(apart(&pair));
        pair.heal(0, 1);
        assert!(pair.run_until(4 * SECOND, Pair::all_trusted), "seed {seed}: {}", story(&pair));
        pair.run_for(10 * SECOND);
        assert_eq!(pair.streams(0, 1), 1, "seed {seed}: {}", story(&pair));
    }
}

#[test]
fn an_interface_that_was_down_for_six_seconds_costs_at_most_three_more() {
    for seed in 0..20 {
        let mut pair = trusted_pair(seed);
        pair.run_for(SECOND);
        pair.set_interface(1, false);
        pair.run_for(6 * SECOND);
        assert!(!pair.all_trusted(), "seed {seed}");
        pair.set_interface(1, true);
        assert!(pair.run_until(3 * SECOND, Pair::all_trusted), "seed {seed}: {}", story(&pair));
    }
}

#[test]
fn found_within_six_seconds_though_half_of_the_datagrams_are_lost() {
    let mut worst = Duration::ZERO;
    for seed in 0..200 {
        let mut pair = Pair::new(seed).start();
        let mut draws = p2pnet_sim::Draws::new(seed, "loss");
        pair.drop_datagrams(move |_, _| draws.chance(0.5));
        assert!(pair.run_until(6 * SECOND, Pair::all_trusted), "seed {seed}: {}", story(&pair));
        worst = worst.max(pair.elapsed());
    }
    assert!(worst > Duration::from_millis(100), "no datagram that mattered was lost: {worst:?}");
}

#[test]
fn a_stream_with_a_flipped_bit_ends_and_is_replaced() {
    for seed in 0..20 {
        let mut pair = trusted_pair(seed);
        let before = pair.engine(0).peer(&pair.peer_id(1)).unwrap().link;
        let mut flipped = false;
        pair.spoil_streams(move |_, _| !std::mem::replace(&mut flipped, true));
        let replaced = |pair: &Pair| {
            let view = pair.engine(0).peer(&pair.peer_id(1));
            pair.all_trusted() && view.is_some_and(|view| view.link != before)
        };
        assert!(pair.run_until(5 * SECOND, replaced), "seed {seed}: {}", story(&pair));
    }
}

#[test]
fn one_seed_gives_the_same_output_byte_for_byte() {
    let run = |seed| {
        let mut trio = Pair::with_nodes(seed, 3).start();
        trio.run_for(5 * SECOND);
        trio.take_offers(1, true);
        trio.publish(0, "x", vec![7; 1_500_000]);
        trio.run_for(5 * SECOND);
        trio.cut_links(0, 1);
        trio.restart(2);
        trio.run_for(20 * SECOND);
        (trio.output_hash(), trio.trace().hash())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
