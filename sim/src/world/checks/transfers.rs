//! What is published arrives.

use std::collections::BTreeSet;

use p2pnet_engine::{ContentFailure, ContentId, Event};

use super::{Broken, Check, Seen, are_linked, core_pairs};
use crate::world::World;

/// Each content of a neighbour is on the disk of whoever takes offers, or the application was told in this run that it
/// will not come: a disk that fails is not healed by asking again.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    /// By node, its run and content.
    failed: BTreeSet<(usize, u64, ContentId)>,
}

impl Check for Transfers {
    fn id(&self) -> &'static str {
        "transfers"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        if let Seen::Event { node, event: Event::ContentFailed { manifest, reason } } = *seen
            && *reason == ContentFailure::StoreFailed
        {
            self.failed.insert((node, world.starts(node), manifest.content));
        }
        Ok(())
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        for (content, publisher, index) in world.contents() {
            for (a, b) in core_pairs(world) {
                let failed = self.failed.contains(&(a, world.starts(a), content));
                if b == publisher
                    && !failed
                    && are_linked(world, a, b)
                    && world.takes_offers(a)
                    && !world.holds(a, &content)
                {
                    let progress = world.engine(a).and_then(|engine| engine.progress(&content));
                    let progress =
                        progress.map(|progress| (progress.written, progress.blocks, progress.sources));
                    let message =
                        format!("content {index} of {} has not arrived: {progress:?}", world.name(b));
                    return Some(Broken::on(a, message));
                }
            }
        }
        None
    }
}
