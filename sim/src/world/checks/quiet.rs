//! With nothing to do nothing happens.

use p2pnet_engine::{Event, LeaveReason, PeerId};

use super::{Broken, Check, Seen, core_pairs};
use crate::world::World;

#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// How often each node had jumped above a record of its own when the quiet window began; empty outside it.
    jumps: Option<Vec<u64>>,
    /// The pairs that had to have a link then. Another may get one within the window: a relay is found for it.
    pairs: Vec<(usize, usize)>,
}

impl Quiet {
    /// A node that lost its disk may meet a stranger to the core in the window who still knows its old record. Then
    /// it must begin a new run, with new links.
    fn begins_anew(&self, world: &World, node: usize) -> bool {
        self.jumps.as_ref().is_some_and(|then| then.get(node) != world.jumps().get(node))
    }
}

impl Check for Quiet {
    fn id(&self) -> &'static str {
        "quiet"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::QuietBegins => {
                // In a crowd links are given up for better ones, and made when it is over.
                self.jumps = world.all_fit().then(|| world.jumps());
                self.pairs = core_pairs(world).collect();
            }
            Seen::QuietEnds => self.jumps = None,
            Seen::Event {
                node,
                event:
                    Event::PeerLeft {
                        peer,
                        reason: LeaveReason::Lost | LeaveReason::Broken | LeaveReason::Timeout,
                        ..
                    },
            } if world.never_breaks() && !parts_on_purpose(world, node, peer) => {
                let name =
                    world.node_of(peer).map_or_else(|| peer.short(), |other| world.name(other).to_owned());
                return Err(Broken::on(node, format!("{name} is lost where nothing breaks")));
            }
            Seen::Event { node, event } if self.jumps.is_some() && world.all_fit() => {
                let (peer, what) = match event {
                    Event::PeerConnected { peer, .. } => (peer, "is connected"),
                    Event::PeerLeft { peer, .. } => (peer, "is gone"),
                    _ => return Ok(()),
                };
                let other = world.node_of(peer);
                let anew = |node| self.begins_anew(world, node);
                if let Some(other) =
                    other.filter(|&other| self.pairs.contains(&(node, other)) && !anew(node) && !anew(other))
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

/// Whether a pair cannot agree. Who does not let a peer in closes the stream behind its last word, and the answer to what
/// the peer says meanwhile, that there is no such stream, may come before that word.
fn parts_on_purpose(world: &World, node: usize, peer: &PeerId) -> bool {
    world.whose(peer).is_some_and(|other| !world.agree(node, other))
}
