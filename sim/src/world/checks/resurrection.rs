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
}

impl Check for NoResurrection {
    fn id(&self) -> &'static str {
        "no-resurrection"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::Started { node } => {
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
                    self.told.insert((node, *peer), (left, world.now()));
                }
                Event::PeerDiscovered { peer, .. } | Event::PeerConnected { peer, .. } => {
                    let Some(&(left, _)) = self.told.get(&(node, *peer)) else { return Ok(()) };
                    let held = world.engine(node).and_then(|engine| engine.peer(peer));
                    let incarnation = held.map(|held| held.record.record().incarnation);
                    if incarnation.is_some_and(|incarnation| incarnation <= left) {
                        let message =
                            format!("{} left in incarnation {left} and is back in it", peer.short());
                        return Err(Broken::on(node, message));
                    }
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}
