//! Plans in which messages go to one and to all, while links break and nodes come and go: in networks in which everybody
//! is linked with everybody, and in crowds.

use crate::draws::Draws;

use super::expand::{host, lan, node};
use super::expand_few::{halves, small_workload};
use super::faults::{Fault, Restart};
use super::plan::{LinkPlan, MessagePlan, Plan};

pub(super) fn fill(plan: &mut Plan, seed: u64) {
    let draws = &mut Draws::new(seed, "plan messages");
    let mut usual = LinkPlan { name: "usual".to_owned(), ..LinkPlan::default() };
    (usual.latency_us, usual.jitter_us) = (50 + draws.below(20_000), draws.below(5_000));
    usual.bandwidth = [1_000_000, 12_500_000, 125_000_000][draws.below(3) as usize];
    if draws.chance(0.5) {
        usual.loss = draws.below(1000) as f64 / 1000.0 * 0.03;
        usual.partial_reads = draws.below(1000) as f64 / 1000.0 * 0.3;
    }
    plan.link = vec![usual];
    plan.lan = vec![lan("net0")];
    let crowd = draws.chance(0.5);
    let max_links = 8 + draws.below(3);
    // Where one peer more or less makes it a crowd or none, nobody gives links up, and one that has all its places taken may
    // have none for who has something for it.
    let population = if crowd { max_links * 5 / 4 + 2 + draws.below(8) } else { 2 + draws.below(5) };
    if crowd {
        plan.max_links = usize::try_from(max_links).ok();
    }
    for i in 0..population {
        plan.host.push(host(&format!("h{i}"), draws));
        plan.node.push(node(&format!("n{i}"), &format!("h{i}"), draws.below(1_000), draws));
        if i < 2 || draws.chance(0.85) {
            plan.core.push(format!("n{i}"));
        }
    }
    plan.leaver = Some(any(draws, &plan.core));
    small_workload(plan, draws);
    messages(plan, draws);
    faults(plan, seed);
    insider(plan, &mut Draws::new(seed, "plan messages insider"));
    plan.fault.sort_by_key(Fault::at_ms);
}

/// Bursts of them on the way, and some when all is well again.
fn messages(plan: &mut Plan, draws: &mut Draws) {
    let names: Vec<String> = plan.node.iter().map(|node| node.name.clone()).collect();
    let (core, chaos) = (plan.core.clone(), plan.chaos_ms);
    for burst in 0..3 + draws.below(6) {
        let healed = burst < 2;
        let from = any(draws, if healed { &core } else { &names });
        let to = any(draws, &names);
        let to = draws.chance(0.4).then_some(to).filter(|to| *to != from);
        let at_ms = if healed { chaos + draws.below(3_000) } else { draws.below(chaos) };
        let every_ms = [0, 1, 20, 200][draws.below(4) as usize];
        let longest = if draws.chance(0.2) { 60_000 } else { 500 };
        for i in 0..1 + draws.below(12) * draws.below(12) {
            let bytes = draws.below(longest) as usize;
            plan.message.push(MessagePlan {
                at_ms: at_ms + i * every_ms,
                from: from.clone(),
                to: to.clone(),
                bytes,
            });
        }
    }
    // More at once than wait anywhere.
    if draws.chance(0.1) {
        let (from, at_ms) = (any(draws, &core), draws.below(chaos));
        for _ in 0..300 {
            plan.message.push(MessagePlan { at_ms, from: from.clone(), to: None, bytes: 20 });
        }
    }
}

/// For each kind whether there is any, then how many, when and whom they meet.
fn faults(plan: &mut Plan, seed: u64) {
    for kind in ["crash", "power", "away", "reset", "stall", "pause", "partition", "deaf", "slow"] {
        let mut draws = Draws::new(seed, &format!("plan messages fault {kind}"));
        if !draws.chance(0.35) {
            continue;
        }
        for _ in 0..=draws.below(3) {
            if let Some(fault) = fault(plan, kind, &mut draws) {
                plan.fault.push(fault);
            }
        }
    }
}

fn fault(plan: &Plan, kind: &str, draws: &mut Draws) -> Option<Fault> {
    let at_ms = draws.below(plan.chaos_ms);
    let for_ms = 50 + if draws.chance(0.5) { draws.below(1_000) } else { draws.below(10_000) };
    let (i, j) = (draws.below(plan.node.len() as u64) as usize, draws.below(plan.node.len() as u64) as usize);
    let (node, other) = (plan.node[i].name.clone(), plan.node[j].name.clone());
    let restart = match draws.below(10) {
        0..=6 => Restart::Same,
        7 if !plan.core.contains(&node) => Restart::Never,
        _ => Restart::WithoutDisk,
    };
    let number = draws.below(1000);
    Some(match kind {
        "crash" | "power" => Fault::Crash { at_ms, for_ms, node, power: kind == "power", restart },
        "away" => Fault::Away { at_ms, for_ms: for_ms.max(500), node },
        "reset" if i != j => Fault::Reset { at_ms, a: node, b: other },
        "stall" if i != j => Fault::Stall { at_ms, for_ms, a: node, b: other },
        "pause" => Fault::Pause { at_ms, for_ms, node },
        "partition" => return halves(plan, at_ms, for_ms, draws),
        "deaf" => Fault::SlowApplication { at_ms, for_ms, node },
        "slow" => Fault::SlowReader { at_ms, for_ms, node, bytes_per_second: 5_000 + number * 100 },
        _ => return None,
    })
}

/// Somebody whom others trust says what it has heard, altered and aimed. It is none of the core.
fn insider(plan: &mut Plan, draws: &mut Draws) {
    let outside: Vec<String> =
        plan.node.iter().map(|node| node.name.clone()).filter(|name| !plan.core.contains(name)).collect();
    if outside.is_empty() || !draws.chance(0.4) {
        return;
    }
    let node = any(draws, &outside);
    for _ in 0..=draws.below(2) {
        let (at_ms, for_ms) = (2_000 + draws.below(plan.chaos_ms - 2_000), 500 + draws.below(8_000));
        let per_second = [5, 50, 100][draws.below(3) as usize];
        plan.fault.push(Fault::Insider {
            at_ms,
            for_ms,
            node: node.clone(),
            per_second,
            altered: draws.chance(0.8),
        });
    }
}

fn any(draws: &mut Draws, names: &[String]) -> String {
    names[draws.below(names.len() as u64) as usize].clone()
}
