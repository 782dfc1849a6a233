//! Plans in which contents of several blocks are fetched by many from few, while machines crash, disks fail and sources
//! come and go.

use crate::draws::Draws;

use super::expand::{host, lan, node};
use super::expand_few::halves;
use super::faults::{Fault, Restart};
use super::plan::{ContentPlan, HoldPlan, LinkPlan, Plan};

/// Bytes of the longest content: six blocks and a bit.
const LONGEST: u64 = 6_500_000;

pub(super) fn fill(plan: &mut Plan, seed: u64) {
    let draws = &mut Draws::new(seed, "plan transfer");
    let mut usual = LinkPlan { name: "usual".to_owned(), ..LinkPlan::default() };
    (usual.latency_us, usual.jitter_us) = (50 + draws.below(30_000), draws.below(5_000));
    // From a slow radio to a gigabit.
    usual.bandwidth = [1_500_000, 6_000_000, 12_500_000, 125_000_000][draws.below(4) as usize];
    if draws.chance(0.5) {
        usual.loss = draws.below(1000) as f64 / 1000.0 * 0.05;
        usual.partial_reads = draws.below(1000) as f64 / 1000.0 * 0.3;
    }
    let slow = LinkPlan {
        name: "slow".to_owned(),
        bandwidth: usual.bandwidth / 20,
        latency_us: usual.latency_us + 100_000,
        ..usual.clone()
    };
    plan.link = vec![usual, slow];
    plan.lan = vec![lan("net0")];
    for i in 0..3 + draws.below(4) {
        let name = char::from(b'a' + i as u8).to_string();
        plan.host.push(host(&format!("h{i}"), draws));
        plan.node.push(node(&name, &format!("h{i}"), draws.below(1_000), draws));
        plan.core.push(name);
    }
    plan.leaver = Some(any(draws, &plan.core));
    contents(plan, draws);
    faults(plan, seed);
    applications(plan, &mut Draws::new(seed, "plan transfer applications"));
    liar(plan, &mut Draws::new(seed, "plan transfer liar"));
    plan.fault.sort_by_key(Fault::at_ms);
}

/// Some take by a policy what others are asked about; some pause what they fetch.
fn applications(plan: &mut Plan, draws: &mut Draws) {
    for node in &mut plan.node {
        node.by_policy = draws.chance(0.3);
    }
    for _ in 0..draws.below(4) {
        let (at_ms, for_ms) = (1_000 + draws.below(plan.chaos_ms), 100 + draws.below(6_000));
        let node = any(draws, &plan.core);
        plan.hold.push(HoldPlan { at_ms, for_ms, node });
    }
}

/// Somebody offers what others publish, and gives lists and blocks that are something else. It is none of the core, and
/// has contents of its own, about which it lies as well: nobody can get those while it does.
fn liar(plan: &mut Plan, draws: &mut Draws) {
    if !draws.chance(0.4) {
        return;
    }
    plan.host.push(host("hz", draws));
    plan.node.push(node("z", "hz", draws.below(1_000), draws));
    let chaos = plan.chaos_ms;
    for content in plan.content.iter_mut().filter(|content| content.at_ms < chaos) {
        if draws.chance(0.6) {
            content.twin = Some("z".to_owned());
        }
    }
    let bytes = 1_100_000 + draws.below(3_000_000) as usize;
    plan.content.push(ContentPlan { at_ms: 500, from: "z".to_owned(), bytes, twin: None, withdraw_ms: None });
    let node = "z".to_owned();
    let (per_second, altered) = ([2, 20][draws.below(2) as usize], true);
    plan.fault.push(Fault::Insider { at_ms: 0, for_ms: chaos, node: node.clone(), per_second, altered });
    if draws.chance(0.6) {
        plan.fault.push(Fault::BitRot { at_ms: 0, for_ms: chaos, node });
    }
}

/// Most of them begin together, so that those who fetch have something for each other; some have two publishers.
fn contents(plan: &mut Plan, draws: &mut Draws) {
    let chaos = plan.chaos_ms;
    let mut content = |draws: &mut Draws, at_ms| {
        let bytes = if draws.chance(0.2) { draws.below(20_000) } else { draws.below(LONGEST) } as usize;
        let from = any(draws, &plan.core);
        let twin = Some(any(draws, &plan.core)).filter(|twin| draws.chance(0.4) && *twin != from);
        let withdraw_ms = draws.chance(0.15).then(|| at_ms + draws.below(4_000));
        plan.content.push(ContentPlan { at_ms, from, bytes, twin, withdraw_ms });
    };
    for _ in 0..1 + draws.below(3) {
        let at_ms = 1_000 + draws.below(chaos / 2);
        content(draws, at_ms);
    }
    // What is published when the network was healed stays, and must arrive.
    content(draws, chaos + 500);
    if let Some(last) = plan.content.last_mut() {
        last.withdraw_ms = None;
    }
}

/// For each kind whether there is any, then how many, when and whom they meet.
fn faults(plan: &mut Plan, seed: u64) {
    for kind in [
        "crash",
        "power",
        "away",
        "reset",
        "stall",
        "pause",
        "partition",
        "degrade",
        "slow",
        "full",
        "errors",
        "rot",
    ] {
        let mut draws = Draws::new(seed, &format!("plan transfer fault {kind}"));
        if !draws.chance(0.3) {
            continue;
        }
        for _ in 0..=draws.below(2) {
            if let Some(fault) = fault(plan, kind, &mut draws) {
                plan.fault.push(fault);
            }
        }
    }
    plan.fault.sort_by_key(Fault::at_ms);
}

fn fault(plan: &Plan, kind: &str, draws: &mut Draws) -> Option<Fault> {
    let at_ms = draws.below(plan.chaos_ms);
    let for_ms = 50 + if draws.chance(0.5) { draws.below(1_000) } else { draws.below(8_000) };
    let (i, j) = (draws.below(plan.node.len() as u64) as usize, draws.below(plan.node.len() as u64) as usize);
    let (node, other) = (plan.node[i].name.clone(), plan.node[j].name.clone());
    let (host, second) = (plan.node[i].host.clone(), plan.node[j].host.clone());
    let restart = if draws.chance(0.8) { Restart::Same } else { Restart::WithoutDisk };
    let number = draws.below(1000);
    Some(match kind {
        "crash" | "power" => Fault::Crash { at_ms, for_ms, node, power: kind == "power", restart },
        "away" => Fault::Away { at_ms, for_ms: for_ms.max(500), node },
        "reset" if i != j => Fault::Reset { at_ms, a: node, b: other },
        "stall" if i != j => Fault::Stall { at_ms, for_ms, a: node, b: other },
        "pause" => Fault::Pause { at_ms, for_ms, node },
        "partition" => return halves(plan, at_ms, for_ms, draws),
        "degrade" if i != j => {
            Fault::Degrade { at_ms, for_ms, from: host, to: second, link: "slow".to_owned() }
        }
        "slow" if number < 500 => {
            Fault::SlowReader { at_ms, for_ms, node, bytes_per_second: 50_000 + number * 1_000 }
        }
        "slow" => Fault::DiskSlow { at_ms, for_ms, node, delay_ms: 1 + number / 4 },
        "full" => Fault::DiskFull { at_ms, for_ms, node },
        "errors" => Fault::DiskErrors { at_ms, for_ms, node, share: number as f64 / 1000.0 },
        "rot" => Fault::BitRot { at_ms, for_ms, node },
        _ => return None,
    })
}

fn any(draws: &mut Draws, names: &[String]) -> String {
    names[draws.below(names.len() as u64) as usize].clone()
}
