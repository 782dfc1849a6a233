//! The people at the nodes: they see a short code, look at the screen of whoever they believe it is, and say whether the
//! other has the same.

use std::time::Duration;

use p2pnet_engine::PeerId;

use super::workload::Work;
use super::{Happening, World};

/// Between two looks at the other's screen.
const LOOK: Duration = Duration::from_millis(500);
/// How often somebody looks who does not see the same: what the other has to show may still be on its way.
const LOOKS: u32 = 6;

/// What a person sees of one peer.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    /// The name that the peer gives itself: for all that a person knows, who it is.
    pub(super) name: String,
    pub(super) code: String,
}

impl World {
    /// A code appears on the screen of a node.
    pub(super) fn show(&mut self, node: usize, peer: PeerId, screen: Screen, confirm: bool) {
        self.nodes[node].screen.insert(peer, screen);
        if confirm {
            let starts = self.nodes[node].starts;
            self.after(LOOK, Happening::Work(Work::Compare { node, starts, peer, looks: 1 }));
        }
    }

    /// The person at a node compares what it sees of a peer with what the one whose name that is sees of it.
    pub(super) fn compare(&mut self, node: usize, peer: PeerId, looks: u32) {
        let Some(screen) = self.nodes[node].screen.get(&peer) else { return };
        let other = self.nodes.iter().find(|other| other.name == screen.name);
        let own_name = &self.nodes[node].name;
        let theirs = other.into_iter().flat_map(|other| other.screen.values());
        let same = theirs.filter(|theirs| theirs.name == *own_name).any(|theirs| theirs.code == screen.code);
        let starts = self.nodes[node].starts;
        if !same && looks < LOOKS {
            let again = Work::Compare { node, starts, peer, looks: looks + 1 };
            return self.after(LOOK, Happening::Work(again));
        }
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine {
            // Nobody waits any more if the link has ended meanwhile.
            let _ = engine.confirm_code(now, peer, same);
            self.drain(node);
        }
    }
}
