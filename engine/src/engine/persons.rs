//! Steps in which a person answers: comparing the short code, and deciding.

use alloc::string::ToString;

use crate::event::Event;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::policy::Step;
use crate::reject::RejectReason;
use crate::wire::Frame;

use super::Engine;
use super::code::{Between, CodeError, CodeExchange};
use super::decisions::{MAX_REJECTIONS, Rejection};
use super::outputs::Slot;
use super::verification::Verification;

/// Why a person's answer was not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Nobody waits for an answer about this peer (any more).
    #[error("no answer about this peer is waited for")]
    NotWaiting,
}

impl Engine {
    // ---- Short code ----

    pub(super) fn begin_code(&mut self, peer: PeerId, id: LinkId) {
        let Some(source) = self.links.get(&id).map(|link| link.address.ip()) else { return };
        if !self.may_wait(peer, &Step::Code) || !self.strangers.may_show_code(self.now, source) {
            mark!(self, TooManyWait);
            self.turn_out(peer, RejectReason::Busy);
            return;
        }
        let own = self.identity.peer_id();
        let Some(session) = self.links.get(&id).and_then(|link| link.session()) else { return };
        let (first, second) = (own.min(peer), own.max(peer));
        let mut between = Between { transcript: session.transcript, first, second };
        if planted!(self, CodeOfNoncesOnly) {
            let nobody = PeerId::from_bytes([0; 32]);
            between = Between { transcript: [0; 32], first: nobody, second: nobody };
        }
        let (exchange, commitment) = CodeExchange::begin(between, own == first, self.secrets.seed());
        if let Some(running) = self.peers.get_mut(&peer).and_then(|known| known.verification.as_mut()) {
            running.code = Some(exchange);
        }
        if let Some(message) = commitment {
            self.send_frame(id, &Frame::Step { name: Step::Code.name().to_string(), message });
        }
    }

    pub(super) fn code_told(&mut self, peer: PeerId, id: LinkId, message: &[u8]) {
        let known = self.peers.get_mut(&peer);
        let running = known.and_then(|known| known.verification.as_mut());
        let Some(exchange) = running.and_then(|running| running.code.as_mut()) else {
            self.misplaced(peer);
            return;
        };
        match exchange.receive(message) {
            Ok(answer) => {
                let done = exchange.code().is_some();
                if let Some(message) = answer {
                    self.send_frame(id, &Frame::Step { name: Step::Code.name().to_string(), message });
                }
                if done {
                    self.code_ready(peer);
                }
            }
            Err(CodeError::Misplaced) => self.misplaced(peer),
            Err(CodeError::BrokenWord) => {
                mark!(self, CodeBroken);
                self.turn_out(peer, RejectReason::CodeMismatch);
            }
        }
    }

    /// Both sides have the code. Who has no doubt about the peer shows it for the other's sake only.
    fn code_ready(&mut self, peer: PeerId) {
        mark!(self, CodeShown);
        let doubts = !self.is_settled(peer, &Step::Code);
        let Some(running) = self.peers.get_mut(&peer).and_then(|known| known.verification.as_mut()) else {
            return;
        };
        running.wants_person = doubts;
        self.outputs.notify(Slot::Ask(peer));
        if !doubts {
            self.pass_step(peer);
        }
    }

    /// The link is over. Who lets codes be shown and goes before a person could answer looks for a code that fits:
    /// that counts as a rejection.
    pub(super) fn code_abandoned(&mut self, peer: PeerId) {
        let waits = self.waiting().any(|(waiting, step)| waiting == peer && *step == Step::Code);
        if !waits {
            return;
        }
        let (now, reason) = (self.now, RejectReason::TimedOut);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let before = known.rejection.map_or(0, |last| last.in_a_row);
        if known.rejection.is_some_and(|last| last.at == now) {
            // It ended because a side said no: that is counted.
            return;
        }
        mark!(self, CodeAbandoned);
        if before + 1 < MAX_REJECTIONS {
            // A link may break without anybody's fault: the first times nobody has to wait.
            known.rejection = Some(Rejection { reason, by_us: true, at: now, in_a_row: before + 1 });
        } else {
            self.note_rejection(peer, reason, true);
        }
    }

    /// Says whether the people at both sides see the same code. If not, the peer is rejected: somebody may stand in the
    /// middle.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing changed.
    pub fn confirm_code(
        &mut self,
        now: crate::Timestamp,
        peer: PeerId,
        matches: bool,
    ) -> Result<(), AnswerError> {
        self.answer(now, peer, &Step::Code, matches, RejectReason::CodeMismatch)
    }

    // ---- Decision ----

    pub(super) fn begin_decision(&mut self, peer: PeerId) {
        if self.is_settled(peer, &Step::Decision) {
            mark!(self, DecisionKnown);
            self.pass_step(peer);
        } else if !self.may_wait(peer, &Step::Decision) {
            mark!(self, TooManyWait);
            self.turn_out(peer, RejectReason::Busy);
        } else if let Some(running) = self.peers.get_mut(&peer).and_then(|known| known.verification.as_mut())
        {
            mark!(self, DecisionAsked);
            running.wants_person = true;
            self.outputs.notify(Slot::Ask(peer));
        }
    }

    /// Lets in a peer that waits for a decision, for as long as this run of it goes on.
    /// [`trust`](Self::trust) does so for good.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing changed.
    pub fn accept(&mut self, now: crate::Timestamp, peer: PeerId) -> Result<(), AnswerError> {
        self.answer(now, peer, &Step::Decision, true, RejectReason::Declined)
    }

    /// Does not let in a peer that waits for a decision. It may ask again later; [`block`](Self::block) ends that.
    ///
    /// # Errors
    ///
    /// See [`AnswerError`]; nothing changed.
    pub fn reject(&mut self, now: crate::Timestamp, peer: PeerId) -> Result<(), AnswerError> {
        self.answer(now, peer, &Step::Decision, false, RejectReason::Declined)
    }

    /// Peers that wait for a person here, and the step that they are at: at most
    /// [`max_waiting`](crate::TrustPolicy::max_waiting).
    pub fn waiting(&self) -> impl Iterator<Item = (PeerId, &Step)> {
        self.peers.iter().filter_map(|(&id, known)| {
            let running = known.verification.as_ref().filter(|running| running.wants_person)?;
            Some((id, running.current()?))
        })
    }

    fn answer(
        &mut self,
        now: crate::Timestamp,
        peer: PeerId,
        step: &Step,
        yes: bool,
        no: RejectReason,
    ) -> Result<(), AnswerError> {
        self.advance(now);
        let waits = self.waiting().any(|(waiting, at)| waiting == peer && at == step);
        let known = self.peers.get_mut(&peer).filter(|_| waits).ok_or(AnswerError::NotWaiting)?;
        if yes || planted!(self, AnyCode) {
            mark!(self, PersonSaidYes);
            // Who compares digits says who the peer is, not that it may come in: the application is asked for itself.
            let let_in = if *step == Step::Code { &mut known.compared } else { &mut known.accepted };
            *let_in = Some(known.record.record().incarnation);
            if planted!(self, CodeDecides) {
                known.accepted = known.compared.or(known.accepted);
            }
            self.pass_step(peer);
        } else {
            mark!(self, PersonSaidNo);
            self.turn_out(peer, no);
        }
        self.pump_links();
        Ok(())
    }

    /// Whether nobody need be asked about this peer at a step: it is pinned, or passed that step before in this run of it.
    fn is_settled(&self, peer: PeerId, step: &Step) -> bool {
        let passed = |known: &super::Peer| {
            let said = if *step == Step::Code { known.compared } else { known.accepted };
            known.ours || said == Some(known.incarnation())
        };
        self.decisions.is_trusted(&peer) || self.peers.get(&peer).is_some_and(passed)
    }

    /// A person has decided about the peer for good: what waited for that goes on.
    pub(super) fn person_settled(&mut self, peer: PeerId) {
        if self.waiting().any(|(waiting, _)| waiting == peer) {
            self.pass_step(peer);
        }
    }

    /// Whether one more peer may wait for a person.
    fn may_wait(&self, peer: PeerId, step: &Step) -> bool {
        let others = self.peers.iter().filter(|(id, known)| {
            let at_person = |running: &Verification| {
                running.wants_person || matches!(running.current(), Some(Step::Code))
            };
            **id != peer && known.verification.as_ref().is_some_and(at_person)
        });
        self.is_settled(peer, step) || others.count() < self.config.trust.max_waiting
    }

    /// What the application is to be asked about a peer.
    pub(super) fn next_ask(&mut self, peer: PeerId) -> Option<Event> {
        let addr = self.peers.get(&peer).and_then(|known| self.peer_address(known));
        let known = self.peers.get_mut(&peer)?;
        let name = known.record.record().name.clone();
        let running = known.verification.as_mut()?;
        if running.wants_person && running.current() == Some(&Step::Decision) && !running.told {
            running.told = true;
            return Some(Event::DecisionWanted { peer, name, addr });
        }
        let exchange = running.code.as_ref()?;
        let code = exchange.code().filter(|_| !running.code_told)?;
        running.code_told = true;
        let confirm = running.wants_person && running.current() == Some(&Step::Code);
        Some(Event::CodeReady { peer, name, code, confirm })
    }
}
