//! Who is not let in knows why, and so does who did not let it in.

use std::collections::BTreeSet;

use p2pnet_engine::{Event, PeerId, RejectReason};

use super::{Broken, Check, Seen};
use crate::world::World;

/// What the application of each node was told in each of its runs: of whom, why, and whether its own side had said so.
/// Once is enough: who comes again too often is told that afterwards.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<(usize, u64, PeerId, RejectReason, bool)>);

impl Check for Told {
    fn id(&self) -> &'static str {
        "told"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        if let Seen::Event { node, event: Event::PeerRejected { peer, reason, by_us, .. } } = *seen {
            self.0.insert((node, world.starts(node), *peer, *reason, *by_us));
        }
        Ok(())
    }

    /// Both sides of each pair of the core that cannot agree know it.
    fn pending(&self, world: &World) -> Option<Broken> {
        if !world.plan().has_policies() {
            return None;
        }
        let nodes = 0..world.len();
        let pairs = nodes.clone().flat_map(|a| nodes.clone().map(move |b| (a, b)));
        let apart = |&(a, b): &(usize, usize)| world.must_meet(a, b) && !world.agree(a, b);
        // Who lost its disk is taken for an earlier run of itself, and learns that from those only whom it lets speak.
        let mute = |&(a, b): &(usize, usize)| world.shuns(b, a) && world.lost_its_disk(b);
        // Two of whom neither dials the other never meet, and who has blocked a peer does not know it.
        let meet = |&(a, b): &(usize, usize)| !world.shuns(a, b) || !world.shuns(b, a);
        let knows = |&(a, b): &(usize, usize)| !world.blocks(a, &world.peer_id(b));
        let mut pairs = pairs.filter(apart).filter(meet).filter(|pair| !mute(pair)).filter(knows);
        pairs.find_map(|(a, b)| self.knows_why(world, a, b))
    }
}

impl Told {
    /// What one side was not told yet of why the two do not come together.
    fn knows_why(&self, world: &World, node: usize, other: usize) -> Option<Broken> {
        let at = world.elapsed();
        let (ours, theirs) = (world.refusal(node, other, at), world.refusal(other, node, at));
        let (run, peer) = (world.starts(node), world.peer_id(other));
        let told = |reason: Option<RejectReason>, by_us: bool| {
            reason.is_some_and(|reason| self.0.contains(&(node, run, peer, reason, by_us)))
        };
        if told(ours, true) || told(theirs, false) {
            return None;
        }
        let name = world.name(other);
        Some(Broken::on(
            node,
            format!(
                "was not told why {name} is apart: itself has {ours:?} against it, and {name} {theirs:?}"
            ),
        ))
    }
}
