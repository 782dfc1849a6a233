//! Servers are asked, and not obeyed.

use std::collections::BTreeSet;
use std::time::Duration;

use p2pnet_engine::{Event, LeaveReason, TaskId};

use super::{Broken, Check, Seen};
use crate::world::World;

/// How long after it is back a goodbye of a peer's run before may still come.
const BACK_FOR: Duration = Duration::from_secs(15);

/// In worlds with servers: looks whom nodes know, at every peer that counts as gone whether it is, and at every task that
/// is carried out whether the operator asked for it.
#[derive(Debug, Default)]
pub(super) struct Unswayed {
    /// The tasks that each run of a node carried out.
    done: BTreeSet<(usize, u64, TaskId)>,
}

impl Check for Unswayed {
    fn id(&self) -> &'static str {
        "unswayed"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        if world.plan().server.is_empty() {
            return Ok(());
        }
        match seen {
            Seen::Event { node, event: Event::PeerLeft { peer, reason: LeaveReason::Gone, .. } } => {
                // Of copies of one identity either may say goodbye, and what a slow application is told may be over.
                // Who leaves parts from everybody.
                let exempt =
                    world.has_left(*node) || world.is_cloned(peer) || world.was_deaf(&world.peer_id(*node));
                let Some(other) = world.node_of(peer).filter(|_| !exempt) else { return Ok(()) };
                let runs =
                    world.engine(other).is_some() && !world.has_left(other) && !world.is_suspect(other);
                if runs && world.runs_for(other) > BACK_FOR {
                    let name = world.name(other);
                    return Err(Broken::on(*node, format!("holds {name} for gone, which never said so")));
                }
                Ok(())
            }
            Seen::Event { node, event: Event::TaskExecuted { id, kind, .. } } => {
                if !world.was_asked(&world.peer_id(*node), id) {
                    return Err(Broken::on(*node, format!("carries out what nobody asked of it: {kind:?}")));
                }
                match self.done.insert((*node, world.starts(*node), *id)) {
                    true => Ok(()),
                    false => Err(Broken::on(*node, format!("carries out {id:?} twice"))),
                }
            }
            Seen::Event { node, event: Event::AuthorityLocked { authority, .. } } => {
                match world.authority_policy().accepted.contains(authority) {
                    true => Ok(()),
                    false => Err(Broken::on(*node, "is locked to a liar".to_owned())),
                }
            }
            Seen::Second => world.looked_at().try_for_each(|node| {
                let Some(engine) = world.engine(node).filter(|_| !world.is_outsider(node)) else {
                    return Ok(());
                };
                let own = engine.record().record().network;
                match engine.peers().find(|peer| peer.record.record().network != own) {
                    Some(peer) => {
                        let message = format!("knows {}, who is of another network", peer.id.short());
                        Err(Broken::on(node, message))
                    }
                    None => Ok(()),
                }
            }),
            _ => Ok(()),
        }
    }
}

impl World {
    /// How long a node has been running; zero if it does not.
    fn runs_for(&self, node: usize) -> Duration {
        let state = &self.nodes[node];
        if state.runs() { self.now.since(state.started_at) } else { Duration::ZERO }
    }
}
