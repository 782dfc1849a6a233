//! Nothing of an impostor passes but texts that are marked.

use p2pnet_engine::Event;

use super::{Broken, Check, Seen};
use crate::world::World;

/// Impostors show a wrong badge, so no honest node may ever trust one.
#[derive(Debug)]
pub(super) struct Taint;

impl Check for Taint {
    fn id(&self) -> &'static str {
        "taint"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let Seen::Event { node, event } = *seen else { return Ok(()) };
        let (peer, what) = match event {
            Event::PeerTrusted { peer, .. } => (peer, "is trusted"),
            Event::Text { from, trusted: true, .. } => (from, "sent a text that counts as trusted"),
            Event::ContentOffered { from, .. } => (from, "made an offer that passed"),
            Event::ContentReceived { from, .. } => (from, "was the source of content"),
            _ => return Ok(()),
        };
        match world.node_of(peer) {
            Some(other) if world.is_impostor(other) && !world.is_impostor(node) => {
                Err(Broken::on(node, format!("{} has shown a wrong badge and {what}", world.name(other))))
            }
            Some(_) => Ok(()),
            // An earlier identity of a node: it was verified as what it was.
            None => Ok(()),
        }
    }
}
