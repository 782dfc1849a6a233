//! What is drawn on top of the plan of a seed to reach the rare corners of the engine: small nodes, insiders, crowds,
//! addresses by hand, partings, withdrawals, stalled streams. Each has draws of its own, so it moves nothing else.

use crate::draws::Draws;

use super::Profile;
use super::expand_partition::partitions;
use super::faults::{Fault, Restart, Traffic};
use super::plan::{ContentPlan, DialPlan, PartPlan, Plan, TextPlan};

/// Adds to a plan what its seed has of each.
pub(super) fn corners(plan: &mut Plan, profile: Profile, seed: u64) {
    let draws = |what: &str| Draws::new(seed, &format!("plan {what} {}", profile.name()));
    by_hand(plan, &mut draws("by hand"));
    if profile == Profile::Calm {
        return;
    }
    part(plan, &mut draws("part"));
    contents(plan, &mut draws("contents"));
    slow_applications(plan, &mut draws("slow applications"));
    stalls(plan, &mut draws("stalls"));
    slow_disks(plan, &mut draws("slow disks"));
    torn_writes(plan, &mut draws("torn writes"));
    if profile >= Profile::Wifi {
        small_nodes(plan, &mut draws("small nodes"));
        many_texts(plan, &mut draws("many texts"));
    }
    if profile == Profile::Hostile {
        insiders(plan, &mut draws("insiders"));
        strangers(plan, &mut draws("strangers"));
        let draws = &mut draws("partitions");
        if draws.chance(0.6) {
            partitions(plan, draws);
        }
    }
    plan.fault.sort_by_key(Fault::at_ms);
}

fn name(plan: &Plan, draws: &mut Draws) -> String {
    plan.node[draws.below(plan.node.len() as u64) as usize].name.clone()
}

/// A time of the chaos, and how long something may last.
fn time(plan: &Plan, draws: &mut Draws) -> (u64, u64) {
    (draws.below(plan.chaos_ms), 500 + draws.below(10_000))
}

/// Some content has two publishers, some is withdrawn, some is declined.
fn contents(plan: &mut Plan, draws: &mut Draws) {
    let chaos = plan.chaos_ms;
    for i in 0..plan.content.len() {
        let twin = name(plan, draws);
        let content = &mut plan.content[i];
        if draws.chance(0.3) && twin != content.from {
            content.twin = Some(twin);
        }
        if content.at_ms < chaos && draws.chance(0.2) {
            content.withdraw_ms = Some(content.at_ms + draws.below(chaos - content.at_ms));
        }
    }
    for node in plan.node.iter_mut().filter(|node| !node.takes_offers) {
        node.declines = draws.chance(0.5);
    }
}

/// Somebody types addresses: two nodes that dial each other at once have two links.
fn by_hand(plan: &mut Plan, draws: &mut Draws) {
    if draws.chance(0.3) {
        for _ in 0..=draws.below(4) {
            let (from, to, at_ms) = (name(plan, draws), name(plan, draws), draws.below(plan.chaos_ms));
            if from != to && draws.chance(0.5) {
                plan.dial.push(DialPlan { at_ms, from: to.clone(), to: from.clone() });
            }
            if from != to {
                plan.dial.push(DialPlan { at_ms, from, to });
            }
        }
    }
}

/// An application parts from a peer.
fn part(plan: &mut Plan, draws: &mut Draws) {
    if draws.chance(0.15) {
        let (node, from, at_ms) = (name(plan, draws), name(plan, draws), draws.below(plan.chaos_ms));
        if node != from {
            plan.part.push(PartPlan { at_ms, node, from });
        }
    }
}

fn slow_applications(plan: &mut Plan, draws: &mut Draws) {
    if draws.chance(0.25) {
        let (at_ms, for_ms) = time(plan, draws);
        let node = name(plan, draws);
        plan.fault.push(Fault::SlowApplication { at_ms, for_ms, node });
    }
    // One that hangs from the beginning, for longer than any verification lasts; a peer that is stopped meanwhile.
    let outside = plan.node.iter().map(|node| node.name.clone()).find(|name| !plan.core.contains(name));
    if let Some(node) = outside.filter(|_| plan.badge && draws.chance(0.5)) {
        plan.fault.push(Fault::SlowApplication { at_ms: draws.below(1_000), for_ms: 60_000, node });
        let (at_ms, for_ms) = (5_000 + draws.below(10_000), 1_500 + draws.below(3_000));
        plan.fault.push(Fault::Pause { at_ms, for_ms, node: plan.core[0].clone() });
    }
}

/// Streams that carry nothing while datagrams pass.
fn stalls(plan: &mut Plan, draws: &mut Draws) {
    if draws.chance(0.3) {
        for _ in 0..=draws.below(4) {
            let ((at_ms, for_ms), a, b) = (time(plan, draws), name(plan, draws), name(plan, draws));
            if a != b {
                plan.fault.push(Fault::Stall { at_ms, for_ms: for_ms + draws.below(20_000), a, b });
            }
        }
    }
}

/// A disk that takes longer for a request than a source may stay silent.
fn slow_disks(plan: &mut Plan, draws: &mut Draws) {
    if draws.chance(0.3) {
        let ((at_ms, for_ms), node) = (time(plan, draws), name(plan, draws));
        plan.fault.push(Fault::DiskSlow { at_ms, for_ms, node, delay_ms: 4_000 + draws.below(10_000) });
    }
}

/// The power goes while content is arriving on a slow disk.
fn torn_writes(plan: &mut Plan, draws: &mut Draws) {
    let during: Vec<u64> =
        plan.content.iter().filter(|content| content.bytes > 50_000).map(|content| content.at_ms).collect();
    let Some(&begins) = during.first().filter(|&&begins| begins < plan.chaos_ms) else { return };
    let node = name(plan, draws);
    plan.fault.push(Fault::DiskSlow { at_ms: begins, for_ms: 3_000, node: node.clone(), delay_ms: 400 });
    let (at_ms, for_ms) = (begins + 400 + draws.below(500), 500 + draws.below(2_000));
    plan.fault.push(Fault::Crash { at_ms, for_ms, node, power: true, restart: Restart::Same });
}

fn small_nodes(plan: &mut Plan, draws: &mut Draws) {
    let core = plan.core.clone();
    for node in plan.node.iter_mut().filter(|node| !core.contains(&node.name)) {
        node.small = draws.chance(0.3);
    }
}

/// More texts at once than wait anywhere.
fn many_texts(plan: &mut Plan, draws: &mut Draws) {
    if !draws.chance(0.2) {
        return;
    }
    let (from, to, at_ms) = (name(plan, draws), name(plan, draws), draws.below(plan.chaos_ms));
    let bytes = if draws.chance(0.5) { 20 } else { 16_000 };
    if draws.chance(0.5) {
        plan.fault.push(Fault::SlowApplication { at_ms, for_ms: 3_000, node: to.clone() });
    }
    for _ in 0..70 * u64::from(from != to) {
        plan.text.push(TextPlan { at_ms, from: from.clone(), to: to.clone(), bytes });
    }
}

/// An insider is none of the core: what it does to its own links is its own loss.
fn insiders(plan: &mut Plan, draws: &mut Draws) {
    let outside: Vec<String> =
        plan.node.iter().map(|node| node.name.clone()).filter(|name| !plan.core.contains(name)).collect();
    let impostors: Vec<String> =
        plan.node.iter().filter(|node| node.impostor).map(|node| node.name.clone()).collect();
    // Best one that nobody may trust.
    let (from, chance) = if impostors.is_empty() { (outside, 0.4) } else { (impostors, 0.9) };
    if from.is_empty() || !draws.chance(chance) {
        return;
    }
    let node = from[draws.below(from.len() as u64) as usize].clone();
    for _ in 0..=draws.below(2) {
        let (at_ms, for_ms) = time(plan, draws);
        let per_second = [5, 50, 100][draws.below(3) as usize];
        let altered = draws.chance(0.6);
        if altered {
            let (at_ms, bytes) = (at_ms + 100, 1_100_000 + draws.below(2_000_000) as usize);
            plan.content.push(ContentPlan {
                at_ms,
                from: node.clone(),
                bytes,
                twin: None,
                withdraw_ms: None,
            });
        }
        if draws.chance(0.5) {
            plan.fault.push(Fault::SlowApplication { at_ms, for_ms, node: name(plan, draws) });
        }
        plan.fault.push(Fault::Insider { at_ms, for_ms, node: node.clone(), per_second, altered });
    }
}

fn strangers(plan: &mut Plan, draws: &mut Draws) {
    for traffic in [Traffic::Handshakes, Traffic::Crowd] {
        if draws.chance(0.2) {
            let (at_ms, for_ms) = time(plan, draws);
            let lan = plan.lan[draws.below(plan.lan.len() as u64) as usize].name.clone();
            let rates = if traffic == Traffic::Crowd { [1, 4, 600] } else { [2, 20, 100] };
            // A fair with hundreds of nodes is rare: it takes long to simulate.
            let rate = if draws.chance(0.05) { 2 } else { draws.below(2) };
            let per_second = rates[rate as usize];
            plan.fault.push(Fault::Stranger { at_ms, for_ms, lan, traffic, per_second });
        }
    }
}
