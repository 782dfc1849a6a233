//! The same plan in both drivers must come to the same logical state.

pub mod sweep;

use std::fmt;

use serde::Serialize;

use crate::logical_state::{LogicalState, NodeState, Relation, core};
use crate::whole_nodes::turmoil_driver::{Beyond, TurmoilOutcome, run_on_turmoil};
use crate::world::plan::Plan;
use crate::world::sweep::run_plan;
use crate::world::{Outcome, SETTLE};

/// Something about a node that the two drivers do not agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The node, by its name.
    pub node: String,
    /// What it is about: a peer, a content, a text.
    pub about: String,
    /// What the World says.
    pub world: String,
    /// What turmoil says.
    pub turmoil: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { node, about, world, turmoil } = self;
        write!(f, "{node}, {about}: {world} in the World, {turmoil} on turmoil")
    }
}

/// What became of a plan in both drivers.
#[derive(Clone, Debug)]
pub struct Both {
    /// What became of it in the World.
    pub world: Outcome,
    /// What the World came to.
    pub world_state: LogicalState,
    /// What became of it on turmoil, and what that came to.
    pub turmoil: TurmoilOutcome,
    /// Where the two do not agree.
    pub differences: Vec<Difference>,
}

/// Runs a plan in both drivers and compares what it comes to.
///
/// # Errors
///
/// What the plan holds that turmoil cannot do; see [`reduce`](crate::reduce).
pub fn run_both(plan: &Plan) -> Result<Both, Vec<Beyond>> {
    let turmoil = run_on_turmoil(plan)?;
    let (world, outcome) = run_plan(plan.clone(), false);
    let world_state = LogicalState::of_world(&world);
    let differences = differences(plan, &world_state, &turmoil.state);
    Ok(Both { world: outcome, world_state, turmoil, differences })
}

/// Where two states of one plan differ, as far as the plan alone decides: what was sent or published while the network
/// was broken, by or to somebody who left or is not of the core, may arrive in one driver and be lost in the other.
#[must_use]
pub fn differences(plan: &Plan, world: &LogicalState, turmoil: &LogicalState) -> Vec<Difference> {
    let mut found = Vec::new();
    let nobody = NodeState::default();
    for i in core(plan) {
        let name = &plan.node[i].name;
        let (a, b) = (world.nodes.get(name).unwrap_or(&nobody), turmoil.nodes.get(name).unwrap_or(&nobody));
        let mut differ = |about: String, world: String, turmoil: String| {
            if world != turmoil {
                found.push(Difference { node: name.clone(), about, world, turmoil });
            }
        };
        let runs = |runs: bool| if runs { "runs" } else { "does not run" }.to_owned();
        differ("itself".to_owned(), runs(a.runs), runs(b.runs));
        let relation = |state: &NodeState, peer: &str| {
            state.peers.get(peer).copied().unwrap_or(Relation::Apart).to_string()
        };
        for peer in a.peers.keys().chain(b.peers.keys().filter(|peer| !a.peers.contains_key(*peer))) {
            differ(peer.clone(), relation(a, peer), relation(b, peer));
        }
        let held = |state: &NodeState, index: usize| match state.holds.get(&index) {
            Some(content) => format!("held as {}", &content[..content.len().min(8)]),
            None => "not held".to_owned(),
        };
        for index in (0..plan.content.len()).filter(|&index| decides_content(plan, i, index, world, turmoil))
        {
            differ(format!("content {index}"), held(a, index), held(b, index));
        }
        let got = |state: &NodeState, index: usize| {
            if state.texts.contains(&index) { "arrived" } else { "not arrived" }.to_owned()
        };
        for index in (0..plan.text.len()).filter(|&index| decides_text(plan, i, index)) {
            differ(format!("text {index}"), got(a, index), got(b, index));
        }
    }
    found
}

/// Whether the plan decides if a node holds a content in the end.
fn decides_content(
    plan: &Plan,
    node: usize,
    index: usize,
    world: &LogicalState,
    turmoil: &LogicalState,
) -> bool {
    let content = &plan.content[index];
    if content.at_ms >= settled_ms(plan) {
        return false;
    }
    let own = content.from == plan.node[node].name;
    if own || !plan.node[node].takes_offers {
        return true;
    }
    // A publisher that lost its disk may have been too late or just in time. On its own disk both must agree.
    let kept = |state: &LogicalState| {
        state.nodes.get(&content.from).is_some_and(|publisher| publisher.holds.contains_key(&index))
    };
    stays(plan, &content.from) && stays(plan, &plan.node[node].name) && kept(world) && kept(turmoil)
}

/// Whether the plan decides if a text arrives at a node.
fn decides_text(plan: &Plan, node: usize, index: usize) -> bool {
    let text = &plan.text[index];
    text.to == plan.node[node].name
        && text.from != text.to
        && (plan.chaos_ms..settled_ms(plan)).contains(&text.at_ms)
        && stays(plan, &text.from)
        && stays(plan, &text.to)
}

/// Until when what is sent must have arrived: the leaver leaves later.
fn settled_ms(plan: &Plan) -> u64 {
    plan.chaos_ms + u64::try_from(SETTLE.as_millis()).unwrap_or(0)
}

/// Whether a node is of the core and does not leave on the way.
fn stays(plan: &Plan, name: &String) -> bool {
    plan.core.contains(name) && !plan.leave.iter().any(|leave| leave.node == *name)
}
