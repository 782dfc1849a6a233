//! What is published arrives.

use super::{Broken, Check, core_pairs};
use crate::world::World;

/// Each content of a neighbour is on the disk of whoever takes offers.
#[derive(Debug, Default)]
pub(super) struct Transfers;

impl Check for Transfers {
    fn id(&self) -> &'static str {
        "transfers"
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        for (content, publisher, index) in world.contents() {
            for (a, b) in core_pairs(world) {
                if b == publisher && world.takes_offers(a) && !world.holds(a, &content) {
                    let progress = world.engine(a).and_then(|engine| engine.progress(&content));
                    let progress =
                        progress.map(|progress| (progress.written, progress.blocks, progress.source));
                    let message =
                        format!("content {index} of {} has not arrived: {progress:?}", world.name(b));
                    return Some(Broken::on(a, message));
                }
            }
        }
        None
    }
}
