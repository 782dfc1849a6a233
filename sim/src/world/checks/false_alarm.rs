//! Nobody who lives and can be reached is told to be lost.

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::{Event, LeaveReason, Liveness, PeerId, Timestamp};

use super::{Broken, Check, Seen};
use crate::world::World;

/// Where more gets lost, bad luck alone may silence a peer for long enough.
const LOSS: f64 = 0.15;
/// Three times `lost_after`: what broke before is found out by then, by a node that doubts itself too.
const WELL: Duration = Duration::from_secs(12);

/// Since when, and in which runs of both.
type Since = (Timestamp, [(PeerId, u64); 2]);

/// Since when the nodes of each ordered pair run and reach each other without a break.
#[derive(Debug, Default)]
pub(super) struct FalseAlarm {
    since: BTreeMap<(usize, usize), Since>,
}

impl Check for FalseAlarm {
    fn id(&self) -> &'static str {
        "false-alarm"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::Second => self.look(world),
            Seen::Event { node, event } => return self.heard(world, node, event),
            _ => {}
        }
        Ok(())
    }
}

impl FalseAlarm {
    fn look(&mut self, world: &World) {
        for a in 0..world.len() {
            for b in (0..world.len()).filter(|&b| b != a) {
                let loss = world.hearing(b, a).zip(world.hearing(a, b));
                if !loss.is_some_and(|(one, other)| one.max(other) <= LOSS) || !world.takes_datagrams(a, b) {
                    self.since.remove(&(a, b));
                    continue;
                }
                let runs = runs(world, a, b);
                let entry = self.since.entry((a, b)).or_insert((world.now(), runs));
                if entry.1 != runs {
                    *entry = (world.now(), runs);
                }
            }
        }
    }

    fn heard(&self, world: &World, node: usize, event: &Event) -> Result<(), Broken> {
        let peer = match event {
            Event::PeerLiveness { peer, liveness: Liveness::Lost, .. }
            | Event::PeerLeft { peer, reason: LeaveReason::Lost, .. } => peer,
            _ => return Ok(()),
        };
        // What a slow application is told may be over, and of copies of one identity only one is believed and answered.
        let own = world.peer_id(node);
        let exempt = world.was_deaf(&own) || world.is_cloned(&own) || world.is_cloned(peer);
        let Some(other) = world.node_of(peer).filter(|_| !exempt) else { return Ok(()) };
        let well = self.since.get(&(node, other)).filter(|(_, known)| *known == runs(world, node, other));
        let well = well.map(|(since, _)| world.now().since(*since)).filter(|well| *well >= WELL);
        match well {
            Some(well) => {
                let message = format!(
                    "{} is lost, though both ran and reached each other for {:.1} s",
                    world.name(other),
                    well.as_secs_f64()
                );
                Err(Broken::on(node, message))
            }
            None => Ok(()),
        }
    }
}

fn runs(world: &World, a: usize, b: usize) -> [(PeerId, u64); 2] {
    [a, b].map(|node| (world.peer_id(node), world.starts(node)))
}
