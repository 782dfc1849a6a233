//! What plans of a few nodes on one network have in common.

use crate::draws::Draws;

use super::expand::{host, lan, node};
use super::faults::Fault;
use super::plan::{ContentPlan, LinkPlan, Plan, TextPlan};

/// One network, on which a little goes wrong unless it is `pure`, and three to six nodes, the core; one of them leaves.
/// `early` is the chance of each to be there from the beginning.
pub(super) fn few_nodes(plan: &mut Plan, pure: bool, early: f64, draws: &mut Draws) {
    let mut usual = LinkPlan { name: "usual".to_owned(), ..LinkPlan::default() };
    (usual.latency_us, usual.jitter_us) = (50 + draws.below(2_000), draws.below(1_000));
    if !pure {
        usual.loss = draws.below(1000) as f64 / 1000.0 * 0.05;
        usual.reordering = draws.below(1000) as f64 / 1000.0 * 0.05;
        usual.duplication = draws.below(1000) as f64 / 1000.0 * 0.05;
    }
    plan.link = vec![usual];
    plan.lan = vec![lan("net0")];
    let count = 3 + draws.below(4);
    for i in 0..count {
        let name = char::from(b'a' + i as u8).to_string();
        add_node(plan, &name, early, draws);
        plan.core.push(name);
    }
    plan.leaver = Some(plan.core[draws.below(count) as usize].clone());
}

/// A node on a host of its own, there before anything begins with the chance `early`, or coming while it goes on.
pub(super) fn add_node(plan: &mut Plan, name: &str, early: f64, draws: &mut Draws) {
    let of = format!("h{name}");
    plan.host.push(host(&of, draws));
    let early = draws.chance(early);
    let start_ms = draws.below(if early { 500 } else { 8_000 });
    plan.node.push(node(name, &of, start_ms, draws));
}

/// A few texts and small contents of the core, of which one comes when everything is healed.
pub(super) fn small_workload(plan: &mut Plan, draws: &mut Draws) {
    let any = |draws: &mut Draws, names: &[String]| names[draws.below(names.len() as u64) as usize].clone();
    let (core, chaos) = (plan.core.clone(), plan.chaos_ms);
    for at_ms in [draws.below(chaos), chaos + 500] {
        let (from, bytes) = (any(draws, &core), 1 + draws.below(30_000) as usize);
        plan.content.push(ContentPlan { at_ms, from, bytes, twin: None, withdraw_ms: None });
    }
    for at_ms in [draws.below(chaos), draws.below(chaos), chaos + draws.below(2_000)] {
        let (from, to) = (any(draws, &core), any(draws, &core));
        if from != to {
            plan.text.push(TextPlan { at_ms, from, to, bytes: 20 });
        }
    }
}

/// The network falls apart into two halves, drawn at random; `None` if one of them has nobody.
pub(super) fn halves(plan: &Plan, at_ms: u64, for_ms: u64, draws: &mut Draws) -> Option<Fault> {
    let (a, b): (Vec<String>, Vec<String>) =
        plan.host.iter().map(|host| host.name.clone()).partition(|_| draws.chance(0.5));
    let both = !a.is_empty() && !b.is_empty();
    both.then(|| Fault::Partition { at_ms, for_ms, a, b, c: Vec::new(), one_way: false })
}
