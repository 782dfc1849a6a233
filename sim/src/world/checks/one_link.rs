//! Exactly one link for each pair, used by both sides.

use std::collections::BTreeMap;

use p2pnet_engine::Level;

use super::{Broken, Check, Seen, core_pairs};
use crate::world::World;

/// Looks when the quiet window is over.
#[derive(Debug)]
pub(super) struct OneLink;

impl Check for OneLink {
    fn id(&self) -> &'static str {
        "one-link"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let Seen::QuietEnds = seen else { return Ok(()) };
        let mut links: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (a, b) in world.open_links() {
            *links.entry((a.min(b), a.max(b))).or_default() += 1;
        }
        for (a, b) in core_pairs(world).filter(|(a, b)| a < b) {
            let count = links.get(&(a, b)).copied().unwrap_or(0);
            if count != 1 {
                let message = format!("{count} links with {}", world.name(b));
                return Err(Broken::on(a, message));
            }
            let level = |a: usize, b: usize| {
                world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b))).map(|peer| peer.level)
            };
            if level(a, b) != Some(Level::Trusted) || level(b, a) != Some(Level::Trusted) {
                let message =
                    format!("{:?} of {}, which is at {:?}", level(a, b), world.name(b), level(b, a));
                return Err(Broken::on(a, message));
            }
        }
        Ok(())
    }
}
