//! From a confirmed link to trust: sessions, verification, and what both cause.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Step;
use crate::event::{Event, LeaveReason, Party};
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::liveness::{Declarer, Liveness};
use crate::marks::mark;
use crate::planted::planted;
use crate::record::{PeerRecord, UnverifiedRecord};
use crate::timers::TimerKey;
use crate::wire::{DisconnectReason, Frame, MAX_STEP_MESSAGE};

use super::Engine;
use super::outputs::Slot;
use super::verification::{Verification, union};

/// Messages of custom steps that wait for the application, for each peer. A peer that sends more is rejected.
pub(super) const MAX_STEP_EVENTS: usize = 16;

/// Why a message or verdict of a custom step was not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The peer is not being verified by this step now.
    #[error("this step is not running for this peer")]
    NotRunning,
    /// The message is too long.
    #[error("a step's message may have 16 KiB at most")]
    TooLong,
}

impl Engine {
    // ---- Sessions ----

    /// The peer's first frame on a link.
    pub(super) fn confirmed(
        &mut self,
        id: LinkId,
        peer: PeerId,
        session: u64,
        verified: bool,
        yours: Option<Vec<u8>>,
    ) {
        if let Some(bytes) = yours {
            let record = UnverifiedRecord::parse(&bytes).and_then(UnverifiedRecord::verify);
            let (peer, network) = (self.identity.peer_id(), self.config.network.tag());
            let ours = |record: &PeerRecord| record.peer == peer && record.network == network;
            if let Some(record) = record.ok().filter(|record| ours(record.record())) {
                mark!(self, StaleHelloLearnt);
                self.met_own_record(&record);
            }
            // The peer has closed it already; the next dial presents the new incarnation.
            self.close_link(id, LeaveReason::Stale);
            return;
        }
        self.note_their_side(id, peer, session, verified);
        self.confirm_link(id);
        self.trust_changed(peer);
    }

    /// Makes a link the one that is used for its peer.
    pub(super) fn use_link(&mut self, peer: PeerId, id: LinkId) {
        let session = self.links.get(&id).and_then(|link| link.session());
        let Some((incarnation, instance)) = session.map(|session| (session.incarnation, session.instance))
        else {
            return;
        };
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let before = known.link.replace(id);
        known.linked_at = self.now;
        known.texts.taken.begin(incarnation, instance);
        let replaced_older = before
            .and_then(|before| self.links.get(&before)?.session())
            .is_some_and(|session| session.incarnation < incarnation);
        if replaced_older {
            mark!(self, NewerRunTookOver);
            known.last_leave = (LeaveReason::Replaced, Some(Party::Them));
        }
        known.life.replaced |= known.life.run.replace(incarnation).is_some_and(|run| run < incarnation);
        self.is_well(peer);
        if before.is_none() || replaced_older {
            if before.is_none() {
                self.connected += 1;
            }
            if let Some(known) = self.peers.get_mut(&peer) {
                known.session += 1;
                known.ours = false;
                known.told_trusted = false;
                known.verification = None;
            }
            self.outputs.notify(Slot::Peer(peer));
            self.remember_peer(peer);
        }
        self.begin_verification(peer, id);
        // Said again on each new link: the word on the old one may have been lost with it.
        if let Some(known) = self.peers.get(&peer).filter(|known| known.ours) {
            let session = known.session;
            self.send_frame(id, &Frame::Verified { session });
        }
        self.resend_texts(peer);
        let told = self.peers.get(&peer).is_some_and(|known| known.told_trusted);
        if told {
            self.tell_trusted(peer);
        }
        self.transfers_moved(peer);
    }

    /// A link of a peer is over: another takes its place, or the peer is not connected any more.
    pub(super) fn link_gone(
        &mut self,
        peer: PeerId,
        id: LinkId,
        leave: LeaveReason,
        ended_by: Option<Party>,
    ) {
        let now = self.now;
        let Some(known) = self.peers.get(&peer) else { return };
        if known.link != Some(id) {
            // A dial that came to nothing: the next one is scheduled already, or is now.
            if known.link.is_none() && known.links.is_empty() && !self.timers.is_set(TimerKey::Dial(peer)) {
                self.consider_dial(peer, Duration::from_millis(250));
            }
            return;
        }
        let decides = self.identity.peer_id() < peer;
        let newest = known.incarnation();
        let survivor = known
            .links
            .iter()
            .filter_map(|other| Some((*other, self.links.get(other)?)))
            .filter(|(_, link)| link.is_confirmed())
            .filter(|(_, link)| link.session().is_some_and(|session| session.incarnation >= newest))
            .max_by_key(|(_, link)| link.rank(decides))
            .map(|(other, _)| other);
        if let Some(survivor) = survivor {
            mark!(self, SurvivorTookOver);
            self.use_link(peer, survivor);
            return;
        }
        let gone = known.gone;
        let (leave, ended_by) = if gone { (LeaveReason::Gone, Some(Party::Them)) } else { (leave, ended_by) };
        self.connected -= 1;
        self.timers.cancel(TimerKey::Verification(peer));
        self.steps_in.remove(&peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.link = None;
            known.ours = false;
            known.told_trusted = false;
            known.verification = None;
            known.last_leave = (leave, ended_by);
            known.left_at = Some(now);
            known.redial.reset(now);
        }
        self.outputs.notify(Slot::Peer(peer));
        self.drop_offers_of(peer, leave == LeaveReason::Gone);
        if leave.is_mishap() {
            // Whether the peer lives is another question than whether its link does.
            if leave != LeaveReason::Lost {
                self.conclude(peer, Liveness::Quiet, Declarer::Us);
                self.watch(peer);
            }
            self.snap_back();
        } else if (leave, ended_by) == (LeaveReason::Gone, Some(Party::Them)) {
            self.stop_watching(peer);
            self.conclude(peer, Liveness::Left, Declarer::Subject);
        } else {
            self.lose_sight(peer);
        }
        if gone {
            self.peer_gone(peer);
        } else if leave != LeaveReason::Gone {
            self.consider_dial(peer, Duration::from_millis(250));
            self.tend_soon();
        }
    }

    // ---- Verification ----

    fn begin_verification(&mut self, peer: PeerId, id: LinkId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.ours && known.theirs {
            // The application may still be at a last word of a step, and says it on the new link.
            if let Some(running) = &mut known.verification {
                running.link = id;
                mark!(self, VerificationMovedLink);
            }
            return;
        }
        // Where we are done and the peer is not, it begins anew on the new link and needs our part again. That we
        // have verified it stays.
        if !known.ours && known.verification.as_ref().is_some_and(|running| running.link == id) {
            return;
        }
        let Some(session) = self.links.get(&id).and_then(|link| link.session()) else { return };
        let ours = if planted!(self, TheirStepsOnly) { &[] } else { &self.config.verification[..] };
        let steps = union(ours, &session.steps, &self.config.supported_steps);
        let Ok(steps) = steps else {
            mark!(self, StepUnknown);
            self.reject(peer);
            return;
        };
        if let Some(known) = self.peers.get_mut(&peer) {
            known.verification = Some(Verification::new(id, steps));
        }
        self.set_timer(TimerKey::Verification(peer), self.config.verification_timeout);
        self.run_step(peer);
    }

    /// Starts the step that is due, or notes that all have passed.
    fn run_step(&mut self, peer: PeerId) {
        let nonce = self.behaviour.next_u64();
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(running) = &mut known.verification else { return };
        let id = running.link;
        match running.current().cloned() {
            Some(Step::Ping) => {
                running.pinged(nonce);
                self.send_frame(id, &Frame::Ping { nonce });
            }
            Some(Step::Custom(name)) => {
                let early = running.take_early(&name);
                self.step_event(peer, id, &name, None);
                for message in early {
                    self.step_event(peer, id, &name, Some(message));
                }
            }
            None => {
                known.ours = true;
                mark!(self, VerificationPassed);
                let session = known.session;
                self.timers.cancel(TimerKey::Verification(peer));
                self.send_to_peer(peer, &Frame::Verified { session });
                self.trust_changed(peer);
            }
        }
    }

    pub(super) fn pong(&mut self, id: LinkId, peer: PeerId, nonce: u64) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let running = known.verification.as_mut().filter(|running| running.link == id);
        if running.is_some_and(|running| running.pong(nonce)) {
            self.run_step(peer);
        }
    }

    pub(super) fn step_message(&mut self, id: LinkId, peer: PeerId, name: String, message: Vec<u8>) {
        if message.len() > MAX_STEP_MESSAGE || !self.supports(&name) {
            mark!(self, StepUnknown);
            self.reject(peer);
            return;
        }
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(running) = known.verification.as_mut().filter(|running| running.link == id) else { return };
        if running.is_later(&name) {
            mark!(self, StepEarly);
            if !running.keep_early(&name, message) {
                self.reject(peer);
            }
        } else {
            self.step_event(peer, id, &name, Some(message));
        }
    }

    fn step_event(&mut self, peer: PeerId, id: LinkId, step: &str, message: Option<Vec<u8>>) {
        let Some(session) = self.links.get(&id).and_then(|link| link.session()) else { return };
        let transcript = session.transcript;
        let waiting = self.steps_in.entry(peer).or_default();
        if waiting.len() >= MAX_STEP_EVENTS {
            mark!(self, StepFlooded);
            self.reject(peer);
            return;
        }
        waiting.push_back(Event::StepMessage { peer, step: step.to_string(), transcript, message });
        self.outputs.notify(Slot::Step(peer));
    }

    /// Sends a message of a custom step to a peer that is being verified, or that is still verifying us.
    ///
    /// # Errors
    ///
    /// See [`StepError`]; nothing changed.
    pub fn step_send(
        &mut self,
        now: crate::Timestamp,
        peer: PeerId,
        step: &str,
        message: &[u8],
    ) -> Result<(), StepError> {
        self.advance(now);
        if message.len() > MAX_STEP_MESSAGE {
            return Err(StepError::TooLong);
        }
        let known = self.peers.get(&peer).ok_or(StepError::NotRunning)?;
        let running = known.verification.as_ref().ok_or(StepError::NotRunning)?;
        if !self.supports(step) || running.is_later(step) {
            return Err(StepError::NotRunning);
        }
        let link = running.link;
        self.send_frame(link, &Frame::Step { name: step.to_string(), message: message.to_vec() });
        self.pump_links();
        Ok(())
    }

    /// Ends a custom step: the peer passed it, or is rejected.
    ///
    /// # Errors
    ///
    /// See [`StepError`]; nothing changed.
    pub fn step_conclude(
        &mut self,
        now: crate::Timestamp,
        peer: PeerId,
        step: &str,
        passed: bool,
    ) -> Result<(), StepError> {
        self.advance(now);
        let known = self.peers.get_mut(&peer).ok_or(StepError::NotRunning)?;
        let running = known.verification.as_mut().filter(|running| running.is_running(step));
        let running = running.ok_or(StepError::NotRunning)?;
        if passed {
            running.pass();
            self.run_step(peer);
        } else {
            mark!(self, StepFailed);
            self.reject(peer);
        }
        self.pump_links();
        Ok(())
    }

    /// The peer says that it has verified us.
    pub(super) fn verified_by(&mut self, id: LinkId, peer: PeerId, session: u64) {
        self.note_their_side(id, peer, session, true);
        self.trust_changed(peer);
    }

    /// Notes how often the peer says that it has connected to us, and whether it has verified us since. What
    /// comes late, over a link of an earlier session or incarnation, does not count; a restart counts anew.
    fn note_their_side(&mut self, id: LinkId, peer: PeerId, session: u64, verified: bool) {
        let incarnation =
            self.links.get(&id).and_then(|link| link.session()).map(|session| session.incarnation);
        let (Some(incarnation), Some(known)) = (incarnation, self.peers.get_mut(&peer)) else { return };
        let said = (incarnation, session);
        if said > known.their_session {
            known.their_session = said;
            known.theirs = verified;
            known.told_trusted = false;
        } else if said == known.their_session {
            known.theirs |= verified;
        } else {
            mark!(self, TheirSessionLate);
        }
    }

    /// The verification took too long. If we were stopped ourselves, that says nothing: it gets its time again.
    pub(super) fn verification_due(&mut self, peer: PeerId, stalled: bool) {
        let runs = self.peers.get(&peer).is_some_and(|known| !known.ours && known.verification.is_some());
        if runs && stalled {
            mark!(self, VerificationStalled);
            self.set_timer(TimerKey::Verification(peer), self.config.verification_timeout);
        } else if runs {
            mark!(self, VerificationTimedOut);
            self.reject(peer);
        }
    }

    fn reject(&mut self, peer: PeerId) {
        self.hold_off(peer);
        self.part_from(peer, DisconnectReason::Rejected, LeaveReason::Rejected);
    }

    /// Looks whether both sides have verified each other now, and if so shares what trusted peers share.
    fn trust_changed(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if !known.is_trusted() {
            known.told_trusted = false;
            return;
        }
        if known.told_trusted {
            return;
        }
        known.told_trusted = true;
        known.trust_epoch += 1;
        mark!(self, Trusted);
        self.remember_peer(peer);
        self.outputs.notify(Slot::Peer(peer));
        self.tell_trusted(peer);
        self.transfers_moved(peer);
    }

    /// Shares what trusted peers share: once both sides are verified, and again on each link that takes the place of
    /// another, because what was under way on that one may be lost.
    fn tell_trusted(&mut self, peer: PeerId) {
        self.share_with(peer);
        let first = self.peers.get(&peer).is_some_and(|known| known.trust_epoch == 1);
        if !planted!(self, NoReoffer) || first {
            self.offer_everything_to(peer);
        }
    }
}
