//! Partitions of every shape: both ways, one way, with a bridge, in three.

use crate::draws::Draws;

use super::faults::Fault;
use super::plan::Plan;

/// A partition of the hosts of a plan; `None` if there are too few of them for the shape that was drawn.
pub(super) fn partition(plan: &Plan, draws: &mut Draws, at_ms: u64, for_ms: u64) -> Option<Fault> {
    // Those more often that need three hosts and the right draws for each; of the others there are many already.
    let shape = [0, 1, 2, 2, 2, 3, 3, 3, 3, 3][draws.below(10) as usize];
    let mut sides = [Vec::new(), Vec::new(), Vec::new()];
    let mut bridges = 0;
    for host in &plan.host {
        let which = draws.below(12);
        match shape {
            // One or two of them reach both sides.
            2 if which < 4 && bridges < 2 => bridges += 1,
            3 => sides[(which % 3) as usize].push(host.name.clone()),
            _ => sides[(which % 2) as usize].push(host.name.clone()),
        }
    }
    let [a, b, c] = sides;
    let complete =
        !a.is_empty() && !b.is_empty() && (shape != 2 || bridges > 0) && (shape != 3 || !c.is_empty());
    complete.then_some(Fault::Partition { at_ms, for_ms, a, b, c, one_way: shape == 1 })
}

/// Adds some to a plan, during its chaos.
pub(super) fn partitions(plan: &mut Plan, draws: &mut Draws) {
    for _ in 0..=draws.below(2) {
        let (at_ms, for_ms) = (draws.below(plan.chaos_ms), 500 + draws.below(10_000));
        if let Some(fault) = partition(plan, draws, at_ms, for_ms) {
            plan.fault.push(fault);
        }
    }
}
