//! Tables stay within their limits.

use super::{Broken, Check, Seen};
use crate::world::World;

/// Looks into every table of every engine once a second, and at the streams that the driver has for it.
#[derive(Debug)]
pub(super) struct Bounds;

/// Links of one peer, whatever their stage (engine/handshakes.rs).
const LINKS_OF_A_PEER: usize = 8;

/// Dials in flight to peers, and to addresses by hand (engine/redial.rs).
const DIALS: usize = 64 + 64;

/// Streams whose last words are being said: as many as strangers may open within a second (engine/strangers.rs).
const CLOSING: usize = 512;

impl Check for Bounds {
    fn id(&self) -> &'static str {
        "bounds"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let Seen::Second = seen else { return Ok(()) };
        for node in world.looked_at() {
            let Some(engine) = world.engine(node) else { continue };
            if let Some((name, size, most)) = engine.tables().into_iter().find(|(_, size, most)| size > most)
            {
                return Err(Broken::on(node, format!("{name}: {size}, {most} at most")));
            }
            let streams = world.streams_of(node);
            let config = engine.config();
            let most = config.max_half_open + world.len() * LINKS_OF_A_PEER + DIALS + CLOSING;
            if streams > most {
                return Err(Broken::on(node, format!("{streams} streams, {most} at most")));
            }
        }
        Ok(())
    }
}
