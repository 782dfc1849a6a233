//! An attack hurts nobody but the attacker.

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::{Event, Level, Timestamp};

use super::{Broken, Check, Seen};
use crate::world::World;

/// How long two that run may take to trust each other while they are attacked: a burst of beacons, some dials that
/// fail, a handshake.
const WITHIN: Duration = Duration::from_secs(8);

/// Where nothing is wrong but adversaries: since when each pair of honest nodes should have a link, and in which runs.
#[derive(Debug, Default)]
pub(super) struct Steadfast {
    since: BTreeMap<(usize, usize), (Timestamp, [u64; 2])>,
}

impl Check for Steadfast {
    fn id(&self) -> &'static str {
        "steadfast"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::Event { node, event: Event::PeerLeft { peer, reason, .. } }
                if world.is_only_attacked() && world.all_fit() =>
            {
                let other = world
                    .node_of(peer)
                    .filter(|&other| is_honest(world, node, other) && world.agree(node, other));
                match other.filter(|&other| !world.has_left(other) && !world.has_left(node)) {
                    Some(other) => {
                        Err(Broken::on(node, format!("{} is gone: {reason:?}", world.name(other))))
                    }
                    None => Ok(()),
                }
            }
            Seen::Second if world.is_only_attacked() => self.look(world),
            _ => Ok(()),
        }
    }
}

impl Steadfast {
    fn look(&mut self, world: &World) -> Result<(), Broken> {
        // In a crowd, which may be one that somebody made up, not every pair has a link.
        if !world.all_fit() {
            self.since.clear();
            return Ok(());
        }
        let within = WITHIN + world.answers_within();
        for a in 0..world.len() {
            for b in (0..world.len()).filter(|&b| b != a && is_honest(world, a, b)) {
                let runs = [world.starts(a), world.starts(b)];
                let there = |node: usize| world.engine(node).is_some() && !world.has_left(node);
                if !there(a) || !there(b) || !world.agree(a, b) {
                    self.since.remove(&(a, b));
                    continue;
                }
                let entry = self.since.entry((a, b)).or_insert((world.now(), runs));
                if entry.1 != runs {
                    *entry = (world.now(), runs);
                }
                let level =
                    world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b))).map(|peer| peer.level);
                if level != Some(Level::Trusted) && world.now().since(entry.0) > within {
                    let message = format!("{} is {level:?} to it after {within:?}", world.name(b));
                    return Err(Broken::on(a, message));
                }
            }
        }
        Ok(())
    }
}

/// Two of whom neither is an adversary, and whose bytes none has passed on: such a link lives as long as that one likes.
fn is_honest(world: &World, a: usize, b: usize) -> bool {
    !world.is_suspect(a) && !world.is_suspect(b) && !world.was_relayed(a, b)
}
