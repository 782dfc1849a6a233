//! With nothing to do nothing happens.

use p2pnet_engine::Event;

use super::{Broken, Check, Seen, core_pairs};
use crate::world::World;

/// Whether the quiet window is on, and the dials of each node when it began.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    on: bool,
}

impl Check for Quiet {
    fn id(&self) -> &'static str {
        "quiet"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::QuietBegins => self.on = true,
            Seen::QuietEnds => self.on = false,
            Seen::Event { node, event } if self.on => {
                let (peer, what) = match event {
                    Event::PeerConnected { peer, .. } => (peer, "is connected"),
                    Event::PeerLeft { peer, .. } => (peer, "is gone"),
                    _ => return Ok(()),
                };
                let other = world.node_of(peer);
                if let Some(other) =
                    other.filter(|&other| core_pairs(world).any(|pair| pair == (node, other)))
                {
                    return Err(Broken::on(
                        node,
                        format!("{} {what} in the quiet window", world.name(other)),
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
