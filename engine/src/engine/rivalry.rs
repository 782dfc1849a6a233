//! One link per pair, and never none: which of two links stays, and who says so.

use alloc::vec::Vec;
use core::time::Duration;

use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::path::Scope;
use crate::planted::planted;
use crate::timers::TimerKey;
use crate::wire::{DisconnectReason, Frame};

use super::Engine;
use super::link::{Session, Stage};

/// How long a link that lost against another may take to empty itself.
const DRAIN: Duration = Duration::from_secs(2);

impl Engine {
    /// A frame came through: the peer has authenticated us as well. From here on the link competes.
    pub(super) fn confirm_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Open { confirmed, .. } = &mut link.stage else { return };
        *confirmed = true;
        let target = link.target;
        let Some(peer) = link.peer else { return };
        if let Some(target) = target {
            self.target_answered(target, peer);
        }
        self.set_timer(TimerKey::Link(id), self.config.ping_after);
        self.give_up_stalled(peer, id);
        let current = self.peers.get(&peer).and_then(|known| known.link);
        match current {
            None => self.use_first_link(peer, id),
            Some(current) if current == id => {}
            Some(current) => self.compete(peer, current, id),
        }
        self.cancel_dials(peer);
    }

    /// The link that is used for a peer carries nothing, and another is there now: it is used, whatever the order of the
    /// two is, and the old one may empty itself. If the other side would keep that one, it learns that it is missing.
    fn give_up_stalled(&mut self, peer: PeerId, newcomer: LinkId) {
        let stalled = self.peers.get(&peer).filter(|known| known.life.stalled).and_then(|known| known.link);
        let Some(stalled) = stalled.filter(|id| *id != newcomer) else { return };
        let session = |id: LinkId| self.links.get(&id).and_then(|link| link.session());
        let (Some(old), Some(new)) = (session(stalled).cloned(), session(newcomer)) else { return };
        if new.incarnation < old.incarnation {
            return;
        }
        mark!(self, StalledGivenUp);
        if let Some(link) = self.links.get_mut(&stalled) {
            link.stage = Stage::Draining { session: old };
        }
        self.set_timer(TimerKey::Link(stalled), DRAIN);
        self.move_waiting(stalled, newcomer);
        self.use_link(peer, newcomer);
    }

    /// What waits on one link goes out on another.
    fn move_waiting(&mut self, from: LinkId, to: LinkId) {
        let mut waiting = match self.links.get_mut(&from) {
            Some(link) => core::mem::take(&mut link.queue),
            None => return,
        };
        if let Some(link) = self.links.get_mut(&to) {
            link.queue.adopt(&mut waiting);
        }
        if let Some(link) = self.links.get_mut(&from) {
            link.queue = waiting;
        }
        self.touched.insert(to);
    }

    /// The peer has no other link in use: this one takes one of the `max_links` places, or is refused.
    fn use_first_link(&mut self, peer: PeerId, id: LinkId) {
        if self.has_place_for(peer) || self.take_place_back(id) {
            self.use_link(peer, id);
            return;
        }
        mark!(self, LinksFull);
        self.hold_off(peer);
        self.disconnect_link(id, DisconnectReason::Full, LeaveReason::Full);
    }

    /// Two confirmed links to one peer: the order is the same on both sides, but only the side with the smaller id
    /// acts on it, so that the two can never close both.
    fn compete(&mut self, peer: PeerId, current: LinkId, newcomer: LinkId) {
        self.stats.links_duplicate += 1;
        if planted!(self, KeepBothLinks) {
            return;
        }
        if planted!(self, EachKeepsItsOwn) {
            let dialled = |id: LinkId| self.links.get(&id).is_some_and(|link| link.dialled);
            self.drop_link(if dialled(current) { newcomer } else { current });
            return;
        }
        let decides = self.identity.peer_id() < peer;
        let rank = |id: LinkId| {
            self.links.get(&id).map(|link| link.rank(decides, self.link_scope(id).unwrap_or(Scope::Relay)))
        };
        let (winner, loser) =
            if rank(newcomer) > rank(current) { (newcomer, current) } else { (current, newcomer) };
        if winner == newcomer {
            mark!(self, NewcomerWon);
            self.use_link(peer, newcomer);
        }
        if !decides {
            mark!(self, DuplicateAwaited);
            return;
        }
        mark!(self, DuplicateDecided);
        let keep = self.links.get(&winner).and_then(|link| link.session()).map(|session| session.transcript);
        let Some(keep) = keep else { return };
        self.send_frame(loser, &Frame::Disconnect(DisconnectReason::Duplicate { keep }));
        if let Some(link) = self.links.get_mut(&loser) {
            let Some(session) = link.session().cloned() else { return };
            link.stage = Stage::Draining { session };
        }
        self.set_timer(TimerKey::Link(loser), DRAIN);
        if planted!(self, CutTheWinner) {
            self.drop_link(winner);
        }
    }

    /// The peer with the smaller id gives this link up for another. If that other is gone here, it is told so, and
    /// this one stays.
    pub(super) fn give_way(&mut self, id: LinkId, keep: [u8; 32]) {
        let Some(peer) = self.links.get(&id).and_then(|link| link.peer) else { return };
        let survivor = self.peers.get(&peer).and_then(|known| {
            known.links.iter().copied().find(|other| {
                *other != id
                    && self
                        .links
                        .get(other)
                        .is_some_and(|link| matches!(&link.stage, Stage::Open { session, .. } if session.transcript == keep))
            })
        });
        let Some(survivor) = survivor else {
            mark!(self, MissingTold);
            self.send_frame(id, &Frame::Missing { keep });
            return;
        };
        mark!(self, GaveWay);
        self.move_waiting(id, survivor);
        if self.peers.get(&peer).is_some_and(|known| known.link == Some(id)) {
            self.use_link(peer, survivor);
        }
        self.finish_link(id, LeaveReason::Closed, true);
    }

    /// The link that we wanted to keep is not there at the other side: the one that we gave up stays.
    pub(super) fn keep_after_all(&mut self, id: LinkId, missing: [u8; 32]) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Draining { session, .. } = &link.stage else { return };
        mark!(self, KeptAfterAll);
        link.stage = Stage::Open { session: session.clone(), since: now, confirmed: true };
        let Some(peer) = link.peer else { return };
        self.set_timer(TimerKey::Link(id), self.config.ping_after);
        let Some(known) = self.peers.get(&peer) else { return };
        let Some(used) = known.link else { return self.use_first_link(peer, id) };
        let session = self.links.get(&used).and_then(|link| link.session());
        if session.is_some_and(|session| session.transcript == missing) {
            self.use_link(peer, id);
            self.drop_link(used);
        } else if used != id {
            self.compete(peer, used, id);
        }
    }

    /// What the link that is used for a peer has established.
    pub(super) fn session_of(&self, peer: PeerId) -> Option<&Session> {
        let link = self.peers.get(&peer)?.link?;
        self.links.get(&link)?.session()
    }

    /// Dials to a peer that has a link to its newest run now, and that never came to a handshake's end, are of no use
    /// any more.
    fn cancel_dials(&mut self, peer: PeerId) {
        if self.wants_link(peer) {
            return;
        }
        let Some(known) = self.peers.get(&peer).filter(|known| known.link.is_some()) else { return };
        self.timers.cancel(TimerKey::Dial(peer));
        let pending: Vec<LinkId> = known
            .links
            .iter()
            .copied()
            .filter(|id| {
                self.links.get(id).is_some_and(|link| {
                    link.dialled && matches!(link.stage, Stage::Dialling | Stage::Handshaking { .. })
                })
            })
            .collect();
        for id in pending {
            mark!(self, DialUnneeded);
            self.drop_link(id);
        }
    }
}
