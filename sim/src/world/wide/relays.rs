//! Relays as the driver of a node uses them: an address at one of them, another one when that is gone.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::world::plan::Nat;
use crate::world::{Happening, World};

use super::{WideEvent, relay};

/// How often a node looks whether its relay still answers.
const LOOK: Duration = Duration::from_secs(2);
/// How long it takes to ask a relay for an address.
const ASKING: Duration = Duration::from_millis(300);
/// The ports that relays give: RFC 8656, section 6.2.
const FIRST_PORT: u16 = 49_152;
/// Addresses that a node has let through, at most; the driver asks a relay for no more.
const MOST_PERMITS: usize = 256;

/// What a node has at a relay: which one and the port there, and who may come from where.
#[derive(Clone, Debug, Default)]
pub(super) struct Allocation {
    pub(super) at: Option<(usize, u16)>,
    pub(super) permits: BTreeSet<IpAddr>,
}

impl World {
    /// A node starts, without an address at any relay.
    pub(in crate::world) fn begin_relay(&mut self, node: usize) {
        self.wide.allocations[node] = Allocation::default();
        if !self.plan.relay.is_empty() {
            let starts = self.nodes[node].starts;
            self.after(ASKING, Happening::Wide(WideEvent::Relay { node, starts }));
        }
    }

    pub(super) fn look_after_relay(&mut self, node: usize, starts: u64) {
        if self.nodes[node].starts != starts || !self.nodes[node].runs() {
            return;
        }
        self.after(LOOK, Happening::Wide(WideEvent::Relay { node, starts }));
        let lan = self.online(self.nodes[node].host);
        let wants = lan.is_some_and(|lan| self.nat_of(lan) != Nat::None);
        let serves = |relay: usize| wants && self.wide.relays[relay] == 0;
        let old = self.wide.allocations[node].at;
        if old.is_some_and(|(relay, _)| serves(relay)) {
            return;
        }
        // Each begins with another one.
        let count = self.plan.relay.len();
        let found = (0..count).map(|turn| (node + turn) % count).find(|&relay| serves(relay));
        let at = found.map(|relay| {
            self.wide.allocated += 1;
            (relay, FIRST_PORT + self.wide.allocated % (u16::MAX - FIRST_PORT))
        });
        self.wide.allocations[node].at = at;
        if old == at {
            return;
        }
        let relayed = at.map(|(number, port)| SocketAddr::new(relay(number), port));
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine {
            engine.handle_relay(now, relayed);
            self.drain(node);
        }
    }

    /// Has the relay of a node let through who comes from an address; the next relay is told the same.
    pub(in crate::world) fn permit(&mut self, node: usize, address: IpAddr) {
        let permits = &mut self.wide.allocations[node].permits;
        if permits.len() < MOST_PERMITS {
            permits.insert(address);
        }
    }
}
