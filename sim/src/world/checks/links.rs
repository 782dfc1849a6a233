//! Everybody in one network trusts everybody.

use std::collections::BTreeMap;

use p2pnet_engine::Level;

use super::{Broken, Check, core_pairs};
use crate::world::World;

/// Each neighbour is trusted, by both sides' account; in a crowd, where not every pair can have a link, everybody is
/// connected with everybody by some way.
#[derive(Debug)]
pub(super) struct Links;

impl Check for Links {
    fn id(&self) -> &'static str {
        "links"
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        let level = |a: usize, b: usize| {
            world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b))).map(|peer| peer.level)
        };
        if !world.all_fit() {
            return in_one_net(world);
        }
        let (a, b) = core_pairs(world).find(|&(a, b)| level(a, b) != Some(Level::Trusted))?;
        Some(Broken::on(a, format!("{} is {:?} to it, not Trusted", world.name(b), level(a, b))))
    }
}

/// A neighbour that is not reached over links that both sides trust. Networks that no host joins are nets of their own.
fn in_one_net(world: &World) -> Option<Broken> {
    let pairs: Vec<(usize, usize)> = core_pairs(world).collect();
    let trusts = |a: usize, b: usize| {
        let peer = world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b)));
        peer.is_some_and(|peer| peer.level == Level::Trusted)
    };
    let linked: Vec<(usize, usize)> =
        pairs.iter().copied().filter(|&(a, b)| trusts(a, b) && trusts(b, a)).collect();
    let mut nets: BTreeMap<usize, usize> = BTreeMap::new();
    for &(first, _) in &pairs {
        if nets.contains_key(&first) {
            continue;
        }
        let mut next = vec![first];
        while let Some(node) = next.pop() {
            if nets.insert(node, first).is_none() {
                next.extend(linked.iter().filter(|(a, _)| *a == node).map(|(_, b)| *b));
            }
        }
    }
    let &(a, b) = pairs.iter().find(|(a, b)| nets.get(a) != nets.get(b))?;
    Some(Broken::on(b, format!("no way leads to it from {}", world.name(a))))
}
