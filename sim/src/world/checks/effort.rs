//! What others can make a node do stays within a budget.

use std::collections::BTreeMap;

use p2pnet_engine::Stats;

use super::{Broken, Check, Seen};
use crate::world::World;

/// Signatures that are checked in vain in a second: what datagrams may cause (engine/strangers.rs: 400 at once, 200 a
/// second), and one on each of the links that end for it.
const IN_VAIN: u64 = 600 + 100;
/// Streams that are taken in a second (engine/strangers.rs: 512 at once, 256 a second).
const STREAMS: u64 = 512 + 256;

/// What each node had counted a second ago, in which of its runs.
#[derive(Debug, Default)]
pub(super) struct Effort {
    before: BTreeMap<usize, (u64, Stats)>,
}

impl Check for Effort {
    fn id(&self) -> &'static str {
        "effort"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let Seen::Second = seen else { return Ok(()) };
        for node in 0..world.len() {
            let Some(engine) = world.engine(node) else { continue };
            let (run, now) = (world.starts(node), *engine.stats());
            let before = self.before.insert(node, (run, now)).filter(|(of, _)| *of == run);
            let before = before.map(|(_, stats)| stats).unwrap_or_default();
            // A signature that leads to a record or to a link was worth it.
            let worth = |stats: &Stats| {
                stats.records_accepted + 2 * (stats.handshakes_done + stats.handshakes_failed)
            };
            let checked = now.signatures_checked - before.signatures_checked;
            let in_vain = checked.saturating_sub(worth(&now) - worth(&before));
            let taken = now.links_accepted - before.links_accepted;
            if in_vain > IN_VAIN {
                let message = format!("{in_vain} signatures checked in vain in a second, {IN_VAIN} at most");
                return Err(Broken::on(node, message));
            }
            if taken > STREAMS {
                return Err(Broken::on(
                    node,
                    format!("{taken} streams taken in a second, {STREAMS} at most"),
                ));
            }
            if now.replies_sent > now.beacons_accepted {
                let (sent, heard) = (now.replies_sent, now.beacons_accepted);
                return Err(Broken::on(node, format!("{sent} replies to {heard} beacons")));
            }
        }
        Ok(())
    }
}
