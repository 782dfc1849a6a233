//! Plans in which nodes let in whom they choose, and sometimes somebody stands in the middle.

use std::collections::BTreeMap;

use crate::draws::Draws;

use super::expand_few::{add_node, few_nodes, small_workload};
use super::expand_partition::partitions;
use super::faults::{Fault, Restart};
use super::plan::{
    AdversaryPlan, Asked, CertificateKind, CertificatePlan, ContentPlan, Plan, Trick, TrustPlan,
};

/// What a member may ask for, with the chance that a plan has it at all.
const STEPS: [(Asked, f64); 3] = [(Asked::Code, 0.55), (Asked::Certificate, 0.45), (Asked::Decision, 0.45)];

/// The chance of a node to be there before anything begins.
const EARLY: f64 = 0.6;

pub(super) fn fill(plan: &mut Plan, seed: u64) {
    let draws = &mut Draws::new(seed, "plan verification");
    // Where nothing else is wrong, everybody is told from everybody else without a mistake.
    let pure = draws.chance(0.35);
    few_nodes(plan, pure, EARLY, draws);
    let attacked = draws.chance(0.4);
    policies(plan, attacked, draws);
    if attacked {
        adversary(plan, draws);
    }
    small_workload(plan, draws);
    // The first two always come together, so that there is something to share.
    plan.content.push(ContentPlan {
        at_ms: plan.chaos_ms + 500,
        from: plan.core[0].clone(),
        bytes: 1 + draws.below(30_000) as usize,
        twin: None,
        withdraw_ms: None,
    });
    if !pure {
        faults(plan, draws);
    }
    plan.fault.sort_by_key(Fault::at_ms);
}

/// The plan has some kinds of step, of which each member asks for some and takes part in most. Those after the first two
/// may have something wrong with them.
fn policies(plan: &mut Plan, attacked: bool, draws: &mut Draws) {
    let mut there: Vec<Asked> =
        STEPS.into_iter().filter(|&(_, chance)| draws.chance(chance)).map(|(step, _)| step).collect();
    if there.is_empty() {
        there.push(Asked::Code);
    }
    let names = plan.core.clone();
    for (i, name) in names.iter().enumerate() {
        let odd = i >= 2 && draws.chance(0.4);
        let mut trust = TrustPlan::default();
        for &step in &there {
            if draws.chance(0.65) {
                trust.asks.push(step);
            } else if step != Asked::Decision && (!odd || draws.chance(0.6)) {
                trust.takes_part.push(step);
            }
        }
        if there.contains(&Asked::Certificate) {
            trust.certificate = certificate(plan.chaos_ms, odd, draws);
        }
        // Somebody who keeps people waiting for long loses to who lets codes be shown: there are so many places to wait.
        let slow = !attacked && draws.chance(0.1);
        trust.answer_ms = if slow { 5_000 + draws.below(55_000) } else { 100 + draws.below(2_500) };
        trust.remembers = draws.chance(0.3);
        let others = |draws: &mut Draws, share: f64| -> Vec<String> {
            let others = names.iter().enumerate().filter(|&(j, _)| j != i && (i >= 2 || j >= 2));
            others.filter(|_| draws.chance(share)).map(|(_, name)| name.clone()).collect()
        };
        if draws.chance(0.15) {
            let left_out = others(draws, 0.3);
            trust.allow = Some(names.iter().filter(|name| !left_out.contains(name)).cloned().collect());
        }
        if draws.chance(0.1) {
            trust.blocks = others(draws, 0.3);
        }
        if draws.chance(0.3) {
            trust.declines = others(draws, 0.3);
        }
        if let Some(member) = plan.node.iter_mut().find(|node| node.name == *name) {
            member.trust = Some(trust);
        }
    }
}

/// Most have a good one; some odd ones have none, or one that ends on the way, has ended, or is none for this.
fn certificate(chaos_ms: u64, odd: bool, draws: &mut Draws) -> Option<CertificatePlan> {
    let far = draws.chance(0.5).then_some(3_600_000);
    let during = draws.below(chaos_ms);
    let (kind, until_ms) = match if odd { draws.below(8) } else { 7 } {
        0 => return None,
        1 => (CertificateKind::Good, Some(0)),
        2 => (CertificateKind::Good, Some(during)),
        3 => (CertificateKind::OtherIssuer, far),
        4 => (CertificateKind::OtherNetwork, far),
        5 => (CertificateKind::OtherSubject, far),
        _ => (CertificateKind::Good, far),
    };
    Some(CertificatePlan { kind, until_ms })
}

/// Somebody on the network who stands between others, and sometimes is a member that takes part.
fn adversary(plan: &mut Plan, draws: &mut Draws) {
    add_node(plan, "x", EARLY, draws);
    let takes_part = draws.chance(0.5);
    if let Some(node) = plan.node.last_mut() {
        node.start_ms = 0;
        node.trust = takes_part.then(|| TrustPlan {
            takes_part: vec![Asked::Code, Asked::Certificate],
            answer_ms: 1_000,
            ..TrustPlan::default()
        });
    }
    let mut tricks: BTreeMap<Trick, u32> = BTreeMap::from([(Trick::Middle, 4)]);
    for trick in [Trick::Replay, Trick::Forge, Trick::Farewell, Trick::WrongKey, Trick::Downgrade] {
        if draws.chance(0.2) {
            tricks.insert(trick, 1);
        }
    }
    plan.adversary.push(AdversaryPlan {
        node: "x".to_owned(),
        at_ms: draws.below(2_000),
        for_ms: 3_000 + draws.below(plan.chaos_ms),
        per_second: [5, 20, 50][draws.below(3) as usize],
        outsider: false,
        stolen: None,
        tricks,
    });
}

/// What breaks while people compare and applications decide.
fn faults(plan: &mut Plan, draws: &mut Draws) {
    let chaos = plan.chaos_ms;
    let any =
        |plan: &Plan, draws: &mut Draws| plan.core[draws.below(plan.core.len() as u64) as usize].clone();
    for _ in 0..draws.below(3) {
        let node = any(plan, draws);
        let (at_ms, for_ms) = (draws.below(chaos), 100 + draws.below(5_000));
        let restart = if draws.chance(0.2) { Restart::WithoutDisk } else { Restart::Same };
        plan.fault.push(Fault::Crash { at_ms, for_ms, node, power: draws.chance(0.4), restart });
    }
    for _ in 0..draws.below(2) {
        let node = any(plan, draws);
        plan.fault.push(Fault::Away { at_ms: draws.below(chaos), for_ms: 500 + draws.below(5_000), node });
    }
    if draws.chance(0.5) {
        partitions(plan, draws);
    }
    if draws.chance(0.2) {
        let host = plan.host[draws.below(plan.core.len() as u64) as usize].name.clone();
        plan.fault.push(Fault::AddressChange { at_ms: draws.below(chaos), host, lan: "net0".to_owned() });
    }
}
