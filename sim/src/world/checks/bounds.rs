//! Tables stay within their limits.

use super::{Broken, Check, Seen};
use crate::world::World;

/// What can be seen of an engine's tables from outside.
#[derive(Debug)]
pub(super) struct Bounds;

/// Links of one peer, whatever their stage (engine/links.rs).
const LINKS_OF_A_PEER: usize = 8;

impl Check for Bounds {
    fn id(&self) -> &'static str {
        "bounds"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let Seen::Second = seen else { return Ok(()) };
        for node in 0..world.len() {
            let Some(engine) = world.engine(node) else { continue };
            let config = engine.config();
            let peers = engine.peers().count();
            if peers > config.max_peers {
                return Err(Broken::on(node, format!("{peers} peers, {} at most", config.max_peers)));
            }
            let linked = engine.peers().filter(|peer| peer.link.is_some()).count();
            if linked > config.max_links {
                return Err(Broken::on(node, format!("{linked} links in use, {} at most", config.max_links)));
            }
            let streams = world.streams_of(node);
            let most = config.max_half_open + config.max_links * LINKS_OF_A_PEER + 64;
            if streams > most {
                return Err(Broken::on(node, format!("{streams} streams, {most} at most")));
            }
        }
        Ok(())
    }
}
