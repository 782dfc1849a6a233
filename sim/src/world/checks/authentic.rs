//! A link is with whom it says.

use super::{Broken, Check, Seen};
use crate::world::World;
use crate::world::streams::Holder;

/// Looks once a second who holds the other end of the link that each peer counts as connected by.
#[derive(Debug)]
pub(super) struct Authentic;

impl Check for Authentic {
    fn id(&self) -> &'static str {
        "authentic"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let Seen::Second = seen else { return Ok(()) };
        for node in world.looked_at() {
            // In its own network an adversary believes itself.
            let Some(engine) = world.engine(node).filter(|_| !world.is_outsider(node)) else { continue };
            for peer in engine.peers() {
                let holder = peer.link.and_then(|link| world.other_end(node, link));
                let genuine = match holder {
                    Some(Holder::Node(other)) => world.ever_was(other, &peer.id),
                    Some(Holder::Hand) => world.is_of_adversary(&peer.id),
                    None => true,
                };
                if !genuine {
                    let message = format!("has a link with {} that somebody else holds", peer.id.short());
                    return Err(Broken::on(node, message));
                }
            }
        }
        Ok(())
    }
}
