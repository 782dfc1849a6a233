//! What a run came to, as far as every driver of its plan must agree: who trusts whom, who holds what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use p2pnet_engine::{ContentHasher, ContentId, Level};
use serde::Serialize;

use crate::world::World;
use crate::world::plan::Plan;

/// What the core of a plan came to in the end. No times, keys or addresses: they differ between drivers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogicalState {
    /// The nodes of the core, by name.
    pub nodes: BTreeMap<String, NodeState>,
}

/// What became of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeState {
    /// Whether it runs.
    pub runs: bool,
    /// How far things are with each other node of the core.
    pub peers: BTreeMap<String, Relation>,
    /// What is durable on its disk, by its number in the plan, and its name: the hash.
    pub holds: BTreeMap<usize, String>,
    /// The texts that it got, by their number in the plan.
    pub texts: BTreeSet<usize>,
}

/// How far things are with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// No link.
    Apart,
    /// A link, and a side that has not verified the other.
    Linked,
    /// A link, and both sides have verified each other.
    Trusted,
}

impl LogicalState {
    /// What a [`World`] came to. Best asked when its phases are over.
    #[must_use]
    pub fn of_world(world: &World) -> Self {
        let contents = contents(world.plan());
        let relation = |a: usize, b: usize| {
            let peer = world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b)));
            match peer.map(|peer| peer.level) {
                Some(Level::Trusted) => Relation::Trusted,
                Some(Level::Connected) => Relation::Linked,
                _ => Relation::Apart,
            }
        };
        let state = |a: usize| NodeState {
            runs: world.engine(a).is_some() && !world.has_left(a),
            peers: others(world.plan(), a).map(|b| (world.name(b).to_owned(), relation(a, b))).collect(),
            holds: held(&contents, |content| world.holds(a, content)),
            texts: world.texts_of(a).clone(),
        };
        LogicalState { nodes: core(world.plan()).map(|a| (world.name(a).to_owned(), state(a))).collect() }
    }
}

/// The numbers of the nodes of the core.
pub(crate) fn core(plan: &Plan) -> impl Iterator<Item = usize> + '_ {
    (0..plan.node.len()).filter(|&node| plan.is_core(node))
}

/// The others of the core.
pub(crate) fn others(plan: &Plan, node: usize) -> impl Iterator<Item = usize> + '_ {
    core(plan).filter(move |&other| other != node)
}

/// What the contents of a plan are called, in order.
pub(crate) fn contents(plan: &Plan) -> Vec<ContentId> {
    let name = |index: usize| {
        let mut hasher = ContentHasher::new();
        hasher.update(&plan.bytes(index));
        hasher.finish().expect("a simulated file is smaller than 64 GiB").0
    };
    (0..plan.content.len()).map(name).collect()
}

/// Those of the contents that a node holds, as [`NodeState`] has them.
pub(crate) fn held(contents: &[ContentId], holds: impl Fn(&ContentId) -> bool) -> BTreeMap<usize, String> {
    let held = contents.iter().enumerate().filter(|(_, content)| holds(content));
    held.map(|(index, content)| (index, content.to_string())).collect()
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Relation::Apart => "no link",
            Relation::Linked => "a link without trust",
            Relation::Trusted => "trust",
        })
    }
}

impl fmt::Display for LogicalState {
    /// A few lines for each node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, node) in &self.nodes {
            writeln!(f, "{name}{}", if node.runs { "" } else { " does not run" })?;
            for (peer, relation) in node.peers.iter().filter(|_| node.runs) {
                writeln!(f, "  {peer}: {relation}")?;
            }
            for (index, content) in &node.holds {
                writeln!(f, "  holds content {index}: {content}")?;
            }
            let texts: Vec<String> = node.texts.iter().map(ToString::to_string).collect();
            if !texts.is_empty() {
                writeln!(f, "  got text {}", texts.join(", "))?;
            }
        }
        Ok(())
    }
}
