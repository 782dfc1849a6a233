//! Nothing of an impostor, of who stands in the middle, nor of an adversary that nobody verified, passes but its own
//! record and texts that are marked.

use p2pnet_engine::Event;

use super::{Broken, Check, Seen};
use crate::world::World;

/// Impostors show a wrong badge, who stands between two people has another code with each, and some identities of
/// adversaries answer no question at all, so no honest node may ever trust one, nor hold a record that only such a one has
/// told of. The two codes of somebody in the middle agree once in a million by chance.
#[derive(Debug)]
pub(super) struct Taint;

impl Check for Taint {
    fn id(&self) -> &'static str {
        "taint"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        if let Seen::Second = seen {
            if !world.anybody_whispered() {
                return Ok(());
            }
            return world.looked_at().try_for_each(|node| whispers(world, node));
        }
        let Seen::Event { node, event } = *seen else { return Ok(()) };
        let (peer, what) = match event {
            Event::PeerTrusted { peer, .. } => (peer, "is trusted"),
            Event::Text { from, trusted: true, .. } => (from, "sent a text that counts as trusted"),
            Event::ContentOffered { from, .. } => (from, "made an offer that passed"),
            Event::ContentReceived { from, .. } => (from, "was the source of content"),
            _ => return Ok(()),
        };
        if world.plan().code && world.is_mask(peer) {
            return Err(Broken::on(node, format!("{} stands in the middle and {what}", peer.short())));
        }
        if world.is_unverified(peer) {
            return Err(Broken::on(node, format!("{} was never verified and {what}", peer.short())));
        }
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

/// Whether a node believes what only peers told it that nobody has verified.
fn whispers(world: &World, node: usize) -> Result<(), Broken> {
    let mut peers = world.engine(node).into_iter().flat_map(|engine| engine.peers());
    match peers.find(|peer| world.was_whispered(&peer.id)) {
        Some(peer) => {
            let message = format!("holds a record of {} that only unverified peers told of", peer.id.short());
            Err(Broken::on(node, message))
        }
        None => Ok(()),
    }
}
