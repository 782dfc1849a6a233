//! Every order in which a few things can happen to two or three engines: whatever it is, in the end each pair has one
//! link, both sides use it, and both trust.
//!
//! The search goes depth first. An engine cannot be copied, so each branch replays its operations from the start;
//! orders that lead to the same state are followed once.

#[path = "exhaustive/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use world::{Op, Scenario, World};

/// The longest that healing may take: a hold-off of a minute, a beacon's interval, the time to lose a link.
const HEALED_WITHIN: Duration = Duration::from_secs(120);
/// How long all must stay well afterwards.
const STAYS: Duration = Duration::from_secs(6);

struct Search {
    scenario: Scenario,
    depth: usize,
    /// How many orders lead on from each state that was visited.
    visited: BTreeMap<Vec<u64>, u128>,
    replays: u64,
    ends: u64,
}

#[derive(Debug)]
#[allow(dead_code, reason = "printed for people")]
struct Figures {
    states: usize,
    orders: u128,
    ends: u64,
    replays: u64,
}

impl Search {
    fn run(scenario: Scenario, depth: usize) -> Figures {
        let mut search = Search { scenario, depth, visited: BTreeMap::new(), replays: 0, ends: 0 };
        let world = World::new(&search.scenario);
        let orders = search.visit(world, &mut Vec::new());
        let Search { visited, replays, ends, .. } = search;
        Figures { states: visited.len(), orders, ends, replays }
    }

    /// Follows every order from here; returns how many there are.
    fn visit(&mut self, world: World, ops: &mut Vec<Op>) -> u128 {
        let key = world.key();
        if world.is_quiet()
            && let Some(wrong) = world.disagreement()
        {
            panic!("{wrong}, with nothing under way, after {ops:#?}");
        }
        let possible = if ops.len() < self.depth { world.possible() } else { Vec::new() };
        if possible.is_empty() {
            self.end(world, ops);
            self.visited.insert(key, 1);
            return 1;
        }
        let keys: Vec<Vec<u64>> = possible.iter().map(|&op| world.key_after(op)).collect();
        let mut here = Some(world);
        let mut orders = 0u128;
        for (op, next) in possible.into_iter().zip(keys) {
            if let Some(&known) = self.visited.get(&next) {
                orders = orders.saturating_add(known);
                continue;
            }
            let mut world = here.take().unwrap_or_else(|| {
                self.replays += 1;
                World::after(&self.scenario, ops)
            });
            ops.push(op);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.apply(op))) {
                eprintln!("the engine panicked after {ops:#?}");
                resume_unwind(panic);
            }
            debug_assert_eq!(world.key(), next);
            orders = orders.saturating_add(self.visit(world, ops));
            ops.pop();
        }
        self.visited.insert(key, orders);
        orders
    }

    /// No more happens: all must come together, and stay together.
    fn end(&mut self, mut world: World, ops: &[Op]) {
        self.ends += 1;
        world.heal(HEALED_WITHIN);
        if let Some(missing) = world.missing() {
            panic!("{missing}, after {HEALED_WITHIN:?} without faults behind {ops:#?}");
        }
        let downs = world.downs();
        world.run_for(STAYS);
        let after = (world.missing(), world.downs());
        assert_eq!(after, (None, downs), "did not stay well behind {ops:#?}");
    }
}

fn pair() -> Scenario {
    Scenario { nodes: 2, dials: vec![(0, 1), (1, 0)], cuts: 0, parts: 0, crashes: 0, timers: 0 }
}

fn trio() -> Scenario {
    Scenario { nodes: 3, dials: vec![(0, 1), (1, 2), (2, 0)], ..pair() }
}

fn search(name: &str, scenario: Scenario, depth: usize) {
    let figures = Search::run(scenario, depth);
    eprintln!("{name}, depth {depth}: {figures:?}");
    assert!(figures.states > 50, "hardly anything happened: {figures:?}");
}

#[test]
fn two_that_dial_each_other_in_every_order() {
    search("pair", pair(), 10);
}

#[test]
fn two_whose_streams_break_in_every_order() {
    search("pair, a cut", Scenario { cuts: 1, ..pair() }, 8);
}

#[test]
fn two_that_crash_and_restart_in_every_order() {
    search("pair, a crash", Scenario { crashes: 1, ..pair() }, 7);
}

#[test]
fn two_whose_deadlines_come_in_every_order() {
    search("pair, two deadlines", Scenario { timers: 2, ..pair() }, 6);
}

#[test]
fn two_that_part_on_purpose_in_every_order() {
    search("pair, a parting", Scenario { parts: 1, ..pair() }, 8);
}

#[test]
fn three_that_dial_in_a_ring_in_every_order() {
    search("trio", trio(), 5);
}

/// Some minutes in all in a release build: `cargo test --release -p p2pnet-tests --test exhaustive -- --ignored`.
#[test]
#[ignore = "minutes"]
fn deeper() {
    search("pair", pair(), 18);
    search("pair, a cut", Scenario { cuts: 1, ..pair() }, 11);
    search("pair, a crash and a cut", Scenario { crashes: 1, cuts: 1, ..pair() }, 9);
    search("pair, two deadlines", Scenario { timers: 2, ..pair() }, 8);
    search("trio, a crash", Scenario { crashes: 1, ..trio() }, 7);
}
