//! Datagrams stay within a budget, whatever is received.

use std::collections::BTreeMap;

use super::{Broken, Check, Seen};
use crate::world::World;

/// Replies a second (engine/discovery.rs: 4 at once, 40 a second; deferred ones 50 a second at most).
const REPLIES: u64 = 44;
/// Beacons a second: a burst of three begins at every change of the network, and a beacon has this many copies for
/// each network.
const COPIES: u64 = 3;

/// How many datagrams each node had sent a second ago.
#[derive(Debug, Default)]
pub(super) struct Traffic(BTreeMap<usize, (u64, u64)>);

impl Check for Traffic {
    fn id(&self) -> &'static str {
        "traffic"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        let Seen::Second = seen else { return Ok(()) };
        for node in 0..world.len() {
            let now = (world.starts(node), world.datagrams_sent(node));
            let before = self.0.insert(node, now).filter(|before| before.0 == now.0);
            let sent = now.1 - before.map_or(0, |(_, sent)| sent).min(now.1);
            // A burst, and deferred replies of which each is a broadcast; a change of address begins a new burst.
            let networks = world.networks_of(node);
            let budget = REPLIES + networks * COPIES * (3 * 4 + 50);
            if sent > budget {
                return Err(Broken::on(node, format!("{sent} datagrams in a second, {budget} at most")));
            }
        }
        Ok(())
    }
}
