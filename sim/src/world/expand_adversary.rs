//! Plans in which somebody is there to do harm.

use std::collections::BTreeMap;

use crate::draws::Draws;

use super::expand_few::{add_node, few_nodes, small_workload};
use super::expand_partition::partitions;
use super::faults::{Fault, Restart};
use super::plan::{AdversaryPlan, Plan, Trick};

/// The chance of a node to be there before anything begins.
const EARLY: f64 = 0.5;

pub(super) fn fill(plan: &mut Plan, seed: u64) {
    let draws = &mut Draws::new(seed, "plan adversary");
    // Where nothing else is wrong, everything that goes wrong is the adversary's doing.
    let pure = draws.chance(0.4);
    few_nodes(plan, pure, EARLY, draws);
    plan.badge = draws.chance(0.3);
    adversary(plan, "x", draws);
    if draws.chance(0.2) {
        adversary(plan, "y", draws);
    }
    small_workload(plan, draws);
    if !pure {
        faults(plan, draws);
    }
    plan.fault.sort_by_key(Fault::at_ms);
    compare_codes(plan, seed);
}

/// In some plans people compare codes; somebody in the middle is what they do it for. The draws are apart from the
/// others, so that all else in a plan is as it would be without.
fn compare_codes(plan: &mut Plan, seed: u64) {
    let draws = &mut Draws::new(seed, "plan adversary codes");
    plan.code = !plan.badge && draws.chance(0.4);
    if plan.code && draws.chance(0.6) {
        plan.adversary[0].tricks.insert(Trick::Middle, 3);
    }
}

/// Each trick is on or off for the seed: few at a time reach what all together never do.
fn adversary(plan: &mut Plan, name: &str, draws: &mut Draws) {
    add_node(plan, name, EARLY, draws);
    if let Some(node) = plan.node.last_mut() {
        (node.start_ms, node.impostor) = (0, plan.badge && draws.chance(0.6));
    }
    let mut tricks: BTreeMap<Trick, u32> = BTreeMap::new();
    for (trick, _) in Trick::ALL {
        let weight = 1 + draws.below(4) as u32;
        if draws.chance(0.35) {
            tricks.insert(trick, weight);
        }
    }
    let stolen = tricks.contains_key(&Trick::Twin).then(|| format!("{name}2"));
    if let Some(owner) = &stolen {
        add_node(plan, owner, EARLY, draws);
    }
    if tricks.is_empty() {
        tricks.insert(Trick::Replay, 1);
    }
    plan.adversary.push(AdversaryPlan {
        node: name.to_owned(),
        at_ms: draws.below(3_000),
        for_ms: 3_000 + draws.below(plan.chaos_ms),
        per_second: [5, 20, 50][draws.below(3) as usize],
        outsider: draws.chance(0.2),
        stolen,
        tricks,
    });
}

/// Some of what breaks without anybody's doing: old goodbyes, restarts and partitions are what an adversary thrives on.
fn faults(plan: &mut Plan, draws: &mut Draws) {
    let chaos = plan.chaos_ms;
    let any =
        |plan: &Plan, draws: &mut Draws| plan.core[draws.below(plan.core.len() as u64) as usize].clone();
    for _ in 0..draws.below(3) {
        let node = any(plan, draws);
        plan.fault.push(Fault::Away { at_ms: draws.below(chaos), for_ms: 500 + draws.below(5_000), node });
    }
    for _ in 0..draws.below(2) {
        let node = any(plan, draws);
        let (at_ms, for_ms) = (draws.below(chaos), 100 + draws.below(5_000));
        let restart = if draws.chance(0.3) { Restart::WithoutDisk } else { Restart::Same };
        plan.fault.push(Fault::Crash { at_ms, for_ms, node, power: draws.chance(0.5), restart });
    }
    if draws.chance(0.4) {
        partitions(plan, draws);
    }
    if draws.chance(0.2) {
        let host = plan.host[draws.below(plan.core.len() as u64) as usize].name.clone();
        plan.fault.push(Fault::AddressChange { at_ms: draws.below(chaos), host, lan: "net0".to_owned() });
    }
    if draws.chance(0.3) {
        let node = plan.adversary[0].node.clone();
        let (at_ms, for_ms) = (draws.below(chaos), 500 + draws.below(8_000));
        let (per_second, altered) = ([5, 50][draws.below(2) as usize], draws.chance(0.6));
        plan.fault.push(Fault::Insider { at_ms, for_ms, node, per_second, altered });
    }
}
