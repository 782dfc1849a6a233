//! What people have decided: whom to trust, whom to block. And what became of who was not let in.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::decision::{Decision, DecisionError, MAX_DECISIONS, Who};
use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::output::{Action, StoreRequest};
use crate::planted::planted;
use crate::reject::RejectReason;
use crate::time::Timestamp;
use crate::wire::DisconnectReason;

use super::Engine;
use super::outputs::Slot;

/// Rejections in a row after which a peer is not verified again before the time is over, which doubles from then on.
pub(super) const MAX_REJECTIONS: u32 = 3;

/// How often the time doubles, at most: about an hour.
const MAX_DOUBLINGS: u32 = 6;

/// Everything that was decided. At most [`MAX_DECISIONS`].
#[derive(Debug, Default)]
pub(crate) struct Decisions(BTreeSet<Decision>);

impl Decisions {
    /// What an earlier run kept.
    pub(super) fn restored(kept: &[Decision]) -> Self {
        Decisions(kept.iter().copied().take(MAX_DECISIONS).collect())
    }

    pub(super) fn is_trusted(&self, peer: &PeerId) -> bool {
        self.0.contains(&Decision::Trust(*peer))
    }

    pub(super) fn blocks_peer(&self, peer: &PeerId) -> bool {
        self.0.contains(&Decision::Block(Who::Peer(*peer)))
    }

    pub(super) fn blocks_address(&self, address: IpAddr) -> bool {
        // Mostly there is none, and this is asked for each datagram.
        !self.0.is_empty() && self.0.contains(&Decision::Block(address.into()))
    }

    #[cfg(feature = "marks")]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The last time that a peer was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// Why.
    pub reason: RejectReason,
    /// Whether this side said so, and not the peer.
    pub by_us: bool,
    /// When.
    pub at: Timestamp,
    /// How often in a row, without trust in between.
    pub in_a_row: u32,
}

impl Engine {
    // ---- Deciding ----

    /// Decides for good that this peer is who it should be: people are not asked about it again
    /// ([`Step::Code`](crate::Step::Code), [`Step::Decision`](crate::Step::Decision)), now and in later runs. What
    /// programs check it must still pass.
    ///
    /// # Errors
    ///
    /// See [`DecisionError`]; nothing changed.
    pub fn trust(&mut self, now: Timestamp, peer: PeerId) -> Result<(), DecisionError> {
        self.advance(now);
        if self.decisions.blocks_peer(&peer) {
            return Err(DecisionError::Blocked);
        }
        self.decide(peer, Decision::Trust(peer))?;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.redial.hold_until = self.now;
            known.rejection = None;
        }
        self.person_settled(peer);
        self.consider_dial(peer, core::time::Duration::ZERO);
        self.pump_links();
        Ok(())
    }

    /// Takes trust back, whether it was decided by [`trust`](Self::trust) or won by the steps: the link ends, and the
    /// next verification asks people again. To keep the peer out, [`block`](Self::block) it.
    pub fn distrust(&mut self, now: Timestamp, peer: PeerId) {
        self.advance(now);
        self.take_back(Decision::Trust(peer));
        self.give_up_mailbox(peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            (known.compared, known.accepted) = (None, None);
            if known.link.is_some() {
                mark!(self, Distrusted);
                self.turn_out(peer, RejectReason::Distrusted);
            }
        }
        self.pump_links();
    }

    /// Has nothing more to do with a peer or an address: not dialled, links closed, streams and datagrams refused; the
    /// record of a blocked peer is neither taken nor passed on.
    ///
    /// # Errors
    ///
    /// See [`DecisionError`]; nothing changed.
    pub fn block(&mut self, now: Timestamp, who: impl Into<Who>) -> Result<(), DecisionError> {
        self.advance(now);
        match who.into().canonical() {
            Who::Peer(peer) => {
                // Trust goes first: with the table full of decisions the block would have no room.
                let had = self.decisions.0.remove(&Decision::Trust(peer));
                if let Err(error) = self.decide(peer, Decision::Block(Who::Peer(peer))) {
                    if had {
                        self.decisions.0.insert(Decision::Trust(peer));
                    }
                    return Err(error);
                }
                self.give_up_mailbox(peer);
                if self.peers.contains_key(&peer) {
                    self.turn_out(peer, RejectReason::Blocked);
                    self.drop_offers_of(peer, true);
                    self.remove_peer(peer);
                }
                self.forget_remembered(peer);
            }
            Who::Address(address) => {
                self.keep(Decision::Block(Who::Address(address)))?;
                let there = |link: &super::Link| link.address.ip().to_canonical() == address;
                let links: Vec<LinkId> =
                    self.links.iter().filter(|(_, link)| there(link)).map(|(&id, _)| id).collect();
                for id in links {
                    self.end_blocked(id);
                }
            }
        }
        mark!(self, Blocked);
        self.pump_links();
        Ok(())
    }

    /// Takes a block back; says whether there was one.
    pub fn unblock(&mut self, now: Timestamp, who: impl Into<Who>) -> bool {
        self.advance(now);
        self.take_back(Decision::Block(who.into().canonical()))
    }

    /// Forgets a peer: what was decided about it, where it was met, and its record; a link to it is closed. If it is
    /// still there it will be met again, as a stranger. Says whether there was anything to forget.
    pub fn forget(&mut self, now: Timestamp, peer: PeerId) -> bool {
        self.advance(now);
        let decided =
            self.take_back(Decision::Trust(peer)) | self.take_back(Decision::Block(Who::Peer(peer)));
        self.give_up_mailbox(peer);
        let known = self.peers.contains_key(&peer);
        if known {
            self.part_from(peer, DisconnectReason::Closed, LeaveReason::Closed);
            self.drop_offers_of(peer, true);
            self.remove_peer(peer);
        }
        let remembered = self.forget_remembered(peer);
        self.pump_links();
        decided || known || remembered
    }

    /// Everything that was decided, in order.
    pub fn decisions(&self) -> impl Iterator<Item = Decision> + '_ {
        self.decisions.0.iter().copied()
    }

    fn decide(&mut self, peer: PeerId, decision: Decision) -> Result<(), DecisionError> {
        if peer == self.identity.peer_id() {
            return Err(DecisionError::Oneself);
        }
        self.keep(decision)
    }

    fn keep(&mut self, decision: Decision) -> Result<(), DecisionError> {
        if self.decisions.0.len() >= MAX_DECISIONS && !self.decisions.0.contains(&decision) {
            return Err(DecisionError::Full);
        }
        if self.decisions.0.insert(decision) {
            self.save_decisions();
        }
        Ok(())
    }

    fn take_back(&mut self, decision: Decision) -> bool {
        let had = self.decisions.0.remove(&decision);
        if had {
            self.save_decisions();
        }
        had
    }

    fn save_decisions(&mut self) {
        let decisions = self.decisions.0.iter().copied().collect();
        self.outputs.action(Action::Store(StoreRequest::SaveDecisions { decisions }));
    }

    // ---- Who is not let in ----

    /// Why a peer that has proven its key need not even be verified.
    pub(super) fn turned_away(&self, peer: &PeerId, address: IpAddr) -> Option<RejectReason> {
        let rejection = self.peers.get(peer).and_then(|known| known.rejection);
        let waits = |rejection: Rejection, until: Timestamp| {
            rejection.by_us && rejection.in_a_row >= MAX_REJECTIONS && until > self.now
        };
        let known = self.peers.get(peer);
        if self.decisions.blocks_peer(peer) || self.decisions.blocks_address(address) {
            Some(RejectReason::Blocked)
        } else if !self.config.trust.allows(peer) {
            Some(RejectReason::NotAllowed)
        } else if rejection.zip(known).is_some_and(|(last, known)| waits(last, known.rejected_until)) {
            Some(RejectReason::TooOften)
        } else {
            None
        }
    }

    /// Parts from a peer that is not let in, and tells it why.
    pub(super) fn turn_out(&mut self, peer: PeerId, reason: RejectReason) {
        self.stats.peers_rejected += 1;
        self.note_rejection(peer, reason, true);
        let said = match planted!(self, SilentRejection) {
            true => DisconnectReason::Closed,
            false => DisconnectReason::Rejected(reason),
        };
        self.part_from(peer, said, LeaveReason::Rejected(reason));
    }

    /// Remembers that one side did not let the other in. Neither dials for a while; after several in a row for longer
    /// and longer.
    pub(super) fn note_rejection(&mut self, peer: PeerId, reason: RejectReason, by_us: bool) {
        self.hold_off(peer);
        let now = self.now;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let in_a_row = known.rejection.map_or(0, |last| last.in_a_row).saturating_add(1);
        known.rejection = Some(Rejection { reason, by_us, at: now, in_a_row });
        let doublings = in_a_row.saturating_sub(MAX_REJECTIONS).min(MAX_DOUBLINGS);
        let hold = known.redial.hold_until.since(now) * (1_u32 << doublings);
        known.redial.hold_until = now + hold;
        known.rejected_until = now + hold;
        self.outputs.notify(Slot::Peer(peer));
        if in_a_row >= MAX_REJECTIONS {
            mark!(self, RejectedInARow);
        }
    }

    fn end_blocked(&mut self, id: LinkId) {
        let reason = RejectReason::Blocked;
        match self.links.get(&id) {
            Some(link) if link.session().is_some() => {
                self.disconnect_link(id, DisconnectReason::Rejected(reason), LeaveReason::Rejected(reason));
            }
            _ => self.drop_link(id),
        }
    }
}
