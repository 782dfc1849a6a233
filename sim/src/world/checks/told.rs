//! Who is not let in knows why, and so does who did not let it in.

use p2pnet_engine::RejectReason;

use super::{Broken, Check};
use crate::world::World;

/// Looks at both sides of each pair of the core that cannot agree.
#[derive(Debug)]
pub(super) struct Told;

impl Check for Told {
    fn id(&self) -> &'static str {
        "told"
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        if !world.plan().has_policies() {
            return None;
        }
        let nodes = 0..world.len();
        let pairs = nodes.clone().flat_map(|a| nodes.clone().map(move |b| (a, b)));
        let apart = |&(a, b): &(usize, usize)| world.must_meet(a, b) && !world.agree(a, b);
        // Who lost its disk is taken for an earlier run of itself, and learns otherwise from those only whom it hears.
        let mute = |&(a, b): &(usize, usize)| world.blocks(b, &world.peer_id(a)) && world.lost_its_disk(b);
        // Two of whom neither dials the other never meet, and who has blocked a peer does not know it.
        let meet = |&(a, b): &(usize, usize)| !world.shuns(a, b) || !world.shuns(b, a);
        let knows = |&(a, b): &(usize, usize)| !world.blocks(a, &world.peer_id(b));
        pairs.filter(apart).filter(meet).filter(|pair| !mute(pair)).filter(knows).find_map(|(a, b)| knows_why(world, a, b))
    }
}

/// What one side does not know yet of why the two do not come together.
fn knows_why(world: &World, node: usize, other: usize) -> Option<Broken> {
    let at = world.elapsed();
    let (ours, theirs) = (world.refusal(node, other, at), world.refusal(other, node, at));
    let last = world.engine(node)?.why(&world.peer_id(other)).and_then(|why| why.rejected);
    let right = last.is_some_and(|last| match last.by_us {
        true => Some(last.reason) == ours,
        false => Some(last.reason) == theirs || last.reason == RejectReason::TooOften,
    });
    if right {
        return None;
    }
    let last = last.map(|last| (last.reason, last.by_us));
    let name = world.name(other);
    let message = format!("knows {last:?} of {name}: it has {ours:?} against it, and {theirs:?} stands against itself");
    Some(Broken::on(node, message))
}
