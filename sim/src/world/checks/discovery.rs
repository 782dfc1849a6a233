//! Everybody in one network knows everybody.

use super::{Broken, Check, core_pairs};
use crate::world::World;

/// A record of each neighbour is held.
#[derive(Debug)]
pub(super) struct Discovery;

impl Check for Discovery {
    fn id(&self) -> &'static str {
        "discovery"
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        let unknown = |&(a, b): &(usize, usize)| {
            world.engine(a).is_some_and(|engine| engine.peer(&world.peer_id(b)).is_none())
        };
        let (a, b) = core_pairs(world).find(unknown)?;
        Some(Broken::on(a, format!("does not know {}", world.name(b))))
    }
}
