//! Plans in which nodes come and go all the time: joins, goodbyes, crashes, new addresses, partitions.

use crate::draws::Draws;

use super::expand::{host, lan, node};
use super::expand_few::small_workload;
use super::expand_partition::partitions;
use super::faults::{Fault, Restart};
use super::plan::{LeavePlan, LinkPlan, Plan};

/// Few seeds have so many nodes: they take long.
const CROWD: u64 = 100;

pub(super) fn fill(plan: &mut Plan, seed: u64) {
    let draws = &mut Draws::new(seed, "plan churn");
    let mut usual = LinkPlan { name: "usual".to_owned(), ..LinkPlan::default() };
    (usual.latency_us, usual.jitter_us) = (50 + draws.below(3_000), draws.below(2_000));
    if draws.chance(0.5) {
        usual.loss = draws.below(1000) as f64 / 1000.0 * 0.02;
    }
    plan.link = vec![usual];
    plan.lan = vec![lan("net0")];
    let crowd = draws.chance(0.005);
    // The smaller of two: most seeds are quick.
    let population =
        if crowd { CROWD } else { 5 + draws.below(36).min(draws.below(36)).min(draws.below(36)) };
    for i in 0..population {
        plan.host.push(host(&format!("h{i}"), draws));
        let joins = draws.chance(0.3);
        let start_ms = draws.below(if joins { plan.chaos_ms } else { 1_000 });
        plan.node.push(node(&format!("n{i}"), &format!("h{i}"), start_ms, draws));
        if i < 2 || draws.chance(0.8) {
            plan.core.push(format!("n{i}"));
        }
    }
    plan.leaver = Some(plan.core[draws.below(plan.core.len() as u64) as usize].clone());
    // 10 to 100 % of the nodes in a minute.
    let events = population * (10 + draws.below(91)) * plan.chaos_ms / 60_000 / 100;
    for _ in 0..events.max(1) {
        event(plan, draws);
    }
    partitions(plan, draws);
    small_workload(plan, draws);
    plan.fault.sort_by_key(Fault::at_ms);
}

/// Something happens to somebody.
fn event(plan: &mut Plan, draws: &mut Draws) {
    let i = draws.below(plan.node.len() as u64) as usize;
    let (node, host) = (plan.node[i].name.clone(), plan.node[i].host.clone());
    let at_ms = draws.below(plan.chaos_ms);
    let quick = draws.chance(0.5);
    let for_ms = if quick { 50 + draws.below(1_500) } else { 4_000 + draws.below(15_000) };
    let power = draws.chance(0.4);
    let crash = |restart| Fault::Crash { at_ms, for_ms, node: node.clone(), power, restart };
    let fault = match draws.below(10) {
        0..=2 => crash(Restart::Same),
        3 => crash(Restart::WithoutDisk),
        4 => crash(Restart::NewIdentity),
        5 if !plan.core.contains(&node) => {
            plan.leave.push(LeavePlan { at_ms, node });
            return;
        }
        5..=7 => Fault::Away { at_ms, for_ms: for_ms.max(500), node: node.clone() },
        _ => Fault::AddressChange { at_ms, host, lan: "net0".to_owned() },
    };
    plan.fault.push(fault);
}
