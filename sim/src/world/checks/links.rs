//! Everybody in one network trusts everybody.

use p2pnet_engine::Level;

use super::{Broken, Check, core_pairs};
use crate::world::World;

/// Each neighbour is trusted, by both sides' account.
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
        let (a, b) = core_pairs(world).find(|&(a, b)| level(a, b) != Some(Level::Trusted))?;
        Some(Broken::on(a, format!("{} is {:?} to it, not Trusted", world.name(b), level(a, b))))
    }
}
