//! Who left for good stays gone, also for the next run of who was told.

use std::collections::BTreeMap;

use p2pnet_engine::{Event, LeaveReason, Party, PeerId, Timestamp};

use super::{Broken, Check, Seen};
use crate::world::World;

/// The incarnation in which each peer left, and who has been told so and when, in this run of its own or in one of which
/// it must know.
#[derive(Debug, Default)]
pub(super) struct NoResurrection {
    left: BTreeMap<PeerId, u64>,
    told: BTreeMap<(usize, PeerId), (u64, Timestamp)>,
    /// The incarnation in which each node knew a peer last, in this run of its own. Who was paused hears of several runs in
    /// one go, of each in its turn.
    known: BTreeMap<(usize, PeerId), u64>,
}

impl Check for NoResurrection {
    fn id(&self) -> &'static str {
        "no-resurrection"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::Started { node } => {
                self.known.retain(|(at, _), _| *at != node);
                self.told.retain(|(known, _), (_, at)| *known != node || world.must_remember(node, *at));
            }
            Seen::Leaves { node } => {
                if let Some(engine) = world.engine(node) {
                    let incarnation = engine.record().record().incarnation;
                    let left = self.left.entry(engine.peer_id()).or_default();
                    *left = (*left).max(incarnation);
                }
            }
            Seen::Event { node, event } => match event {
                Event::PeerLeft { peer, reason: LeaveReason::Gone, by: Some(Party::Them), .. } => {
                    // An insider may say another's goodbye on its own link; of clones each says its own.
                    if world.is_insider(peer) || world.is_cloned(peer) {
                        return Ok(());
                    }
                    let Some(&left) = self.left.get(peer) else {
                        let message = format!("{} is told to have left for good, and has not", peer.short());
                        return Err(Broken::on(node, message));
                    };
                    let known = self.known.get(&(node, *peer)).copied().unwrap_or(left);
                    self.told.insert((node, *peer), (left.min(known), world.now()));
                }
                Event::PeerDiscovered { peer, .. } | Event::PeerConnected { peer, .. } => {
                    self.note(world, node, *peer);
                    let Some(&(left, _)) = self.told.get(&(node, *peer)) else { return Ok(()) };
                    if incarnation(world, node, peer).is_some_and(|incarnation| incarnation <= left) {
                        let message =
                            format!("{} left in incarnation {left} and is back in it", peer.short());
                        return Err(Broken::on(node, message));
                    }
                }
                _ => {}
            },
            Seen::Second => {
                for peer in self.left.keys().copied().collect::<Vec<_>>() {
                    (0..world.len()).for_each(|node| self.note(world, node, peer));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl NoResurrection {
    fn note(&mut self, world: &World, node: usize, peer: PeerId) {
        if let Some(incarnation) = incarnation(world, node, &peer) {
            self.known.insert((node, peer), incarnation);
        }
    }
}

/// The incarnation in which a node knows a peer now.
fn incarnation(world: &World, node: usize, peer: &PeerId) -> Option<u64> {
    let held = world.engine(node)?.peer(peer)?;
    Some(held.record.record().incarnation)
}
