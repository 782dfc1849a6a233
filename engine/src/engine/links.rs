//! A link's beginning, its output, and its end.

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

use crate::event::{LeaveReason, Party};
use crate::identity::PeerId;
use crate::input::{DialFailure, InterfaceId, LinkId};
use crate::link::Handshake;
use crate::liveness::HeardBy;
use crate::marks::mark;
use crate::output::Action;
use crate::planted::planted;
use crate::timers::TimerKey;
use crate::wire::{AgedRecord, DisconnectReason, Frame};

use super::Engine;
use super::link::{Link, LinkQueue, Stage};

/// How long neither side redials after a link was closed on purpose, at least.
const HOLD_OFF: Duration = Duration::from_secs(30);

/// Why a stream is not wanted. Nothing changed but a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkRefused {
    /// This address, or everybody together, opened too many within a short time.
    #[error("too many connections within a short time")]
    TooMany,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
    /// This address is blocked.
    #[error("this address is blocked")]
    Blocked,
}

impl Engine {
    // ---- Beginning ----

    pub(super) fn new_link(&mut self, link: Link) -> LinkId {
        self.next_link += 1;
        let id = LinkId(self.next_link);
        self.links.insert(id, link);
        id
    }

    pub(super) fn admit_link(
        &mut self,
        interface: Option<InterfaceId>,
        source: SocketAddr,
        relayed: bool,
    ) -> Result<LinkId, LinkRefused> {
        if self.leaving.is_some() {
            return Err(LinkRefused::Leaving);
        }
        if self.decisions.blocks_address(source.ip()) {
            self.stats.links_blocked += 1;
            mark!(self, BlockedStreamRefused);
            return Err(LinkRefused::Blocked);
        }
        if !self.strangers.may_open_link(self.now, source.ip()) {
            self.stats.links_refused += 1;
            mark!(self, LinkFromTooMany);
            return Err(LinkRefused::TooMany);
        }
        if self.half_open.len() >= self.config.max_half_open
            && let Some(oldest) = self.half_open.pop_first()
        {
            self.stats.handshakes_evicted += 1;
            mark!(self, HalfOpenEvicted);
            self.drop_link(oldest);
        }
        if planted!(self, FloodCutsLinks) && self.half_open.len() >= 20 {
            let used = self.peers.values().find_map(|known| known.link);
            used.into_iter().for_each(|used| self.drop_link(used));
        }
        self.stats.links_accepted += 1;
        let handshake = Handshake::accept(
            self.identity.suite(self.config.suite),
            &self.config.network.link_psk(),
            &self.identity.link_secret(),
            self.secrets.seed(),
        );
        let id = self.new_link(Link {
            stage: Stage::Handshaking { since: self.now, handshake: Box::new(handshake) },
            address: source,
            interface,
            dialled: false,
            relayed,
            peer: None,
            target: None,
            dial: 0,
            last_heard: self.now,
            last_ping: self.now,
            ended_by: None,
            queue: LinkQueue::default(),
        });
        self.half_open.insert(id);
        self.set_timer(TimerKey::Link(id), self.config.handshake_timeout);
        Ok(id)
    }

    pub(super) fn link_opened(&mut self, id: LinkId) {
        let seed = self.secrets.seed();
        let Some(link) = self.links.get_mut(&id) else { return };
        if !matches!(link.stage, Stage::Dialling) {
            return;
        }
        self.dialling -= 1;
        let handshake = Handshake::dial(
            self.identity.suite(self.config.suite),
            &self.config.network.link_psk(),
            &self.identity.link_secret(),
            seed,
            &mut link.queue.raw,
        );
        link.stage = Stage::Handshaking { since: self.now, handshake: Box::new(handshake) };
        self.outputs.link_ready(id);
        self.set_timer(TimerKey::Link(id), self.config.handshake_timeout);
    }

    /// A dial came to nothing. Somebody who is there and cannot be dialled may be able to dial us; where nobody listens
    /// nobody is asked.
    pub(super) fn dial_failed(&mut self, id: LinkId, failure: DialFailure) {
        self.stats.dials_failed += 1;
        let Some(link) = self.links.get(&id) else { return };
        let (peer, target) = (link.peer, link.target);
        self.dial_ended(peer, id, failure.into());
        self.forget_link(id, LeaveReason::Broken);
        if failure == DialFailure::Refused {
            return;
        }
        if let Some(peer) = peer {
            self.ask_to_dial_us(peer);
        } else if let Some(target) = target {
            self.ask_there(target);
        }
    }

    // ---- Output ----

    /// Queues a frame that must arrive. If too much waits already the link is beyond help and is closed.
    pub(super) fn send_frame(&mut self, id: LinkId, frame: &Frame) {
        if !self.try_send_frame(id, frame, self.config.max_queued) {
            mark!(self, QueueOverflowed);
            tracing::debug!(link = %id, "link closed: too much waits for it");
            self.drop_link(id);
        }
    }

    /// Queues an answer to something that the peer asked for. It is dropped when the peer asks faster than it
    /// takes answers.
    pub(super) fn send_answer(&mut self, id: LinkId, frame: &Frame) {
        if !self.try_send_frame(id, frame, self.config.max_queued / 2) {
            self.stats.frames_dropped += 1;
            mark!(self, AnswerDropped);
        }
    }

    /// Queues a frame unless more than `limit` bytes would wait; says whether it did.
    pub(super) fn try_send_frame(&mut self, id: LinkId, frame: &Frame, limit: usize) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return true };
        self.touched.insert(id);
        link.queue.push(frame, limit)
    }

    /// Queues a frame on the link that a peer has now, if any; says whether it has one.
    pub(super) fn send_to_peer(&mut self, peer: PeerId, frame: &Frame) -> bool {
        let Some(link) = self.peers.get(&peer).and_then(|known| known.link) else { return false };
        self.send_frame(link, frame);
        true
    }

    pub(super) fn link_writable(&mut self, id: LinkId, budget: usize) {
        if let Some(link) = self.links.get_mut(&id) {
            link.queue.set_budget(budget);
            self.touched.insert(id);
            self.send_wanted(id);
        }
    }

    /// Moves what may go on every link that was touched.
    pub(super) fn pump_links(&mut self) {
        while let Some(id) = self.touched.pop_first() {
            let Some(link) = self.links.get_mut(&id) else { continue };
            if !matches!(link.stage, Stage::Open { .. } | Stage::Draining { .. }) {
                continue;
            }
            let blocks = link.queue.pump();
            if let Some(known) = link.peer.and_then(|peer| self.peers.get_mut(&peer)) {
                known.blocks_sent += blocks.len() as u64;
            }
            if !link.queue.outbox.is_empty() {
                self.outputs.link_ready(id);
            }
            for block in blocks {
                self.stats.blocks_sent += 1;
                self.outputs.action(Action::SendBlock { link: id, block });
            }
        }
    }

    // ---- Ending ----

    /// Tells the peer why, then closes the link.
    pub(super) fn disconnect_link(&mut self, id: LinkId, reason: DisconnectReason, leave: LeaveReason) {
        self.send_frame(id, &Frame::Disconnect(reason));
        if let Some(link) = self.links.get_mut(&id) {
            link.ended_by = Some(Party::Us);
        }
        self.finish_link(id, leave, true);
    }

    /// Sends the record that ends this run on a link and closes it.
    pub(super) fn say_goodbye(&mut self, id: LinkId) {
        let gone = AgedRecord { age_secs: 0, bytes: self.own.gone().bytes().to_vec() };
        self.send_frame(id, &Frame::Records(alloc::vec![gone]));
        self.disconnect_link(id, DisconnectReason::Leaving, LeaveReason::Gone);
    }

    /// Closes a link without a word; what was decided to be sent still goes out.
    pub(super) fn close_link(&mut self, id: LinkId, leave: LeaveReason) {
        self.finish_link(id, leave, true);
    }

    /// Drops a link without a word.
    pub(super) fn drop_link(&mut self, id: LinkId) {
        self.finish_link(id, LeaveReason::Broken, false);
    }

    /// Neither side of a pair that was parted on purpose redials at once.
    pub(super) fn hold_off(&mut self, peer: PeerId) {
        let hold = self.behaviour.between(HOLD_OFF, HOLD_OFF * 2);
        let until = self.now + hold;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.redial.hold_until = until;
        }
        self.timers.cancel(TimerKey::Dial(peer));
    }

    /// Closes a link. With `flush`, everything that waits is given out first, as output of the action itself.
    pub(super) fn finish_link(&mut self, id: LinkId, leave: LeaveReason, flush: bool) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if flush {
            link.queue.flush();
            let raw = core::mem::take(&mut link.queue.raw);
            let frames = core::mem::take(&mut link.queue.outbox);
            self.outputs.action(Action::Finish { link: id, raw, frames });
        } else {
            self.outputs.action(Action::Close { link: id });
        }
        self.forget_link(id, leave);
    }

    /// Removes a link that is over.
    pub(super) fn forget_link(&mut self, id: LinkId, leave: LeaveReason) {
        let Some(link) = self.links.remove(&id) else { return };
        self.timers.cancel(TimerKey::Link(id));
        self.half_open.remove(&id);
        self.touched.remove(&id);
        if matches!(link.stage, Stage::Dialling) {
            self.dialling -= 1;
        }
        if let Some(target) = link.target {
            self.target_lost(target, link.is_confirmed());
        }
        if let Some(peer) = link.peer {
            self.unlist_link(peer, id);
            if let Some(known) = self.peers.get_mut(&peer).filter(|_| link.session().is_some()) {
                known.life.note(HeardBy::Link(id), link.last_heard);
            }
            self.link_gone(peer, id, leave, link.ended_by);
        }
    }

    pub(super) fn unlist_link(&mut self, peer: PeerId, id: LinkId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.links.retain(|other| *other != id);
        }
    }
}
