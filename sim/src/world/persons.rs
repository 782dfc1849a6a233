//! The people and applications at the nodes. People see a short code, look at the screen of whoever they believe it is,
//! and say whether the other has the same; applications say whom they know.

use std::time::Duration;

use p2pnet_engine::PeerId;

use super::checks::Seen;
use super::plan::{Asked, TrustPlan};
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
            let (starts, takes) = (self.nodes[node].starts, self.answer_takes(node));
            self.after(takes, Happening::Work(Work::Compare { node, starts, peer, looks: 1 }));
        }
    }

    /// How long it takes somebody at a node to answer.
    fn answer_takes(&self, node: usize) -> Duration {
        self.trust_of(node).map_or(LOOK, |plan| Duration::from_millis(plan.answer_ms))
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
            let taken = engine.confirm_code(now, peer, same).is_ok();
            self.answered(node, peer, Asked::Code, same, taken);
        }
    }

    /// An application is asked about a peer.
    pub(super) fn ask_application(&mut self, node: usize, peer: PeerId) {
        let (starts, takes) = (self.nodes[node].starts, self.answer_takes(node));
        self.after(takes, Happening::Work(Work::Decide { node, starts, peer }));
    }

    /// An application answers: it lets in the nodes that it knows and has nothing against.
    pub(super) fn decide(&mut self, node: usize, peer: PeerId) {
        let name = self.whose(&peer).map(|other| self.nodes[other].name.as_str());
        let declines = self.trust_of(node).map_or(&[][..], |plan| &plan.declines);
        let yes = name.is_some_and(|name| declines.iter().all(|declined| declined != name));
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine {
            let taken = if yes { engine.accept(now, peer) } else { engine.reject(now, peer) }.is_ok();
            self.answered(node, peer, Asked::Decision, yes, taken);
        }
    }

    /// Somebody at a node has answered; who remembers peers has the engine do so.
    fn answered(&mut self, node: usize, peer: PeerId, asked: Asked, yes: bool, taken: bool) {
        if taken {
            // What is remembered holds for both questions, so it is for the last one to say.
            let last = |plan: &TrustPlan| match plan.asks.contains(&Asked::Decision) {
                true => Asked::Decision,
                false => Asked::Code,
            };
            let plan = self.trust_of(node);
            let for_good = yes && plan.is_some_and(|plan| plan.remembers && last(plan) == asked);
            self.look(&Seen::Answered { node, peer, asked, yes, for_good });
            let now = self.local(node);
            if let Some(engine) = self.nodes[node].engine.as_mut().filter(|_| for_good) {
                // Nobody remembers so many that there is no room.
                let _ = engine.trust(now, peer);
            }
        }
        self.drain(node);
    }
}
