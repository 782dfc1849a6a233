//! The search goes depth first. An engine cannot be copied, so each branch replays its operations from the start;
//! orders that lead to the same state are followed once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::world::{Op, Scenario, World};

/// The longest that healing may take: a hold-off of a minute, a beacon's interval, the time to lose a link.
const HEALED_WITHIN: Duration = Duration::from_secs(120);
/// How long all must stay well afterwards.
const STAYS: Duration = Duration::from_secs(6);

/// What the orders that lead on from a state come to.
#[derive(Clone, Copy, Default)]
struct Tally {
    orders: u128,
    contested: u128,
    settled: u128,
    wrong: u128,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.orders += other.orders;
        self.contested += other.contested;
        self.settled += other.settled;
        self.wrong += other.wrong;
    }
}

/// What a search visited.
#[derive(Debug)]
pub(crate) struct Figures {
    pub states: usize,
    /// All orders, those that differ only in what happened first on different nodes included.
    pub orders: u128,
    /// The orders in which two nodes both had two confirmed links at a time.
    pub contested: u128,
    /// Those of them at whose end both had given up the same one and used the other.
    pub settled: u128,
    /// The orders at whose end, or on whose way, something was wrong.
    pub wrong: u128,
    /// States where nothing more happened and the world was let heal.
    pub ends: u64,
    /// The first thing that was wrong, and what had happened.
    pub first: Option<(String, Vec<Op>)>,
}

pub(crate) struct Search {
    scenario: Scenario,
    depth: usize,
    visited: BTreeMap<Vec<u64>, Tally>,
    ends: u64,
    first: Option<(String, Vec<Op>)>,
}

impl Search {
    /// Follows every order of up to `depth` operations; what is wrong ends an order.
    pub(crate) fn run(scenario: Scenario, depth: usize) -> Figures {
        let mut search = Search { scenario, depth, visited: BTreeMap::new(), ends: 0, first: None };
        let world = World::new(&search.scenario);
        let Tally { orders, contested, settled, wrong } = search.visit(world, &mut Vec::new());
        let Search { visited, ends, first, .. } = search;
        Figures { states: visited.len(), orders, contested, settled, wrong, ends, first }
    }

    /// Follows every order from here.
    fn visit(&mut self, world: World, ops: &mut Vec<Op>) -> Tally {
        let key = world.key();
        let wrong = world.wrong();
        let possible = if ops.len() < self.depth && wrong.is_none() { world.possible() } else { Vec::new() };
        if possible.is_empty() {
            let contested = u128::from(world.was_contested());
            let settled = u128::from(world.is_settled());
            let wrong = wrong.or_else(|| self.end(world));
            let tally = Tally { orders: 1, contested, settled, wrong: u128::from(wrong.is_some()) };
            if let Some(wrong) = wrong.filter(|_| self.first.is_none()) {
                self.first = Some((wrong, ops.clone()));
            }
            self.visited.insert(key, tally);
            return tally;
        }
        let keys: Vec<Vec<u64>> = possible.iter().map(|&op| world.key_after(op)).collect();
        let mut here = Some(world);
        let mut tally = Tally::default();
        for (op, next) in possible.into_iter().zip(keys) {
            if let Some(&known) = self.visited.get(&next) {
                tally.add(known);
                continue;
            }
            let mut world = here.take().unwrap_or_else(|| World::after(&self.scenario, ops));
            ops.push(op);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.apply(op))) {
                eprintln!("a panic after {ops:#?}");
                resume_unwind(panic);
            }
            debug_assert_eq!(world.key(), next);
            tally.add(self.visit(world, ops));
            ops.pop();
        }
        self.visited.insert(key, tally);
        tally
    }

    /// No more happens: all must come together, and stay together. Says what is wrong if they do not.
    fn end(&mut self, mut world: World) -> Option<String> {
        self.ends += 1;
        world.heal(HEALED_WITHIN);
        if let Some(wrong) = world.wrong() {
            return Some(wrong);
        }
        if let Some(missing) = world.missing() {
            return Some(format!("{missing}, after {HEALED_WITHIN:?} without faults"));
        }
        let downs = world.downs();
        world.run_for(STAYS);
        let left = (world.downs() > downs).then(|| "a peer left though all was well".to_owned());
        world.wrong().or_else(|| world.missing()).or(left)
    }
}
