//! Running the steps of a verification: what begins each, what passes it, and what fails it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::certificate::Certificate;
use crate::event::Event;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::policy::Step;
use crate::reject::RejectReason;
use crate::timers::TimerKey;
use crate::wire::{Frame, MAX_STEP_MESSAGE};

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
    pub(super) fn begin_verification(&mut self, peer: PeerId, id: LinkId) {
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
        let peer_decides = session.steps.iter().any(|name| name == Step::Decision.name());
        let union = union(&self.config.trust, &session.steps);
        #[cfg(feature = "planted")]
        let union = union.map(|mut steps| {
            let asked = |step: &Step| session.steps.iter().any(|name| name == step.name());
            steps.retain(|step| !planted!(self, TheirStepsOnly) || asked(step));
            steps
        });
        let Ok(steps) = union else {
            mark!(self, StepUnknown);
            self.turn_out(peer, RejectReason::Unsupported);
            return;
        };
        if let Some(known) = self.peers.get_mut(&peer) {
            known.verification = Some(Verification::new(id, steps, peer_decides));
        }
        self.begin_step(peer);
    }

    /// Starts the step that is due, or notes that all have passed.
    fn begin_step(&mut self, peer: PeerId) {
        // Drawn whatever the step is: which steps there are moves no other draws than these.
        let nonce = self.behaviour.next_u64();
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(running) = &mut known.verification else { return };
        let id = running.link;
        let Some(step) = running.current().cloned() else {
            known.ours = true;
            mark!(self, VerificationPassed);
            let session = known.session;
            self.timers.cancel(TimerKey::Verification(peer));
            self.send_to_peer(peer, &Frame::Verified { session });
            self.trust_changed(peer);
            return;
        };
        let (early, answers) = (running.take_early(&step), running.answers_before(&step));
        let time = self.time_for(&step, answers);
        self.set_timer(TimerKey::Verification(peer), time);
        match &step {
            Step::Ping => self.ask_for_pong(peer, nonce),
            Step::Code => self.begin_code(peer, id),
            Step::Certificate => {
                let shown =
                    self.config.trust.certificate.as_ref().map_or_else(Vec::new, Certificate::to_bytes);
                self.send_frame(id, &Frame::Step { name: step.name().to_string(), message: shown });
            }
            Step::Decision => self.begin_decision(peer),
            Step::Custom(name) => self.step_event(peer, id, name, None),
        }
        for message in early {
            self.step_told(peer, id, &step, message);
        }
    }

    /// How long a step may take to which the peer comes after so many answers of its own people.
    fn time_for(&self, step: &Step, answers: u32) -> Duration {
        let policy = &self.config.trust;
        match step {
            Step::Code | Step::Decision => policy.person_timeout,
            _ => policy.step_timeout.saturating_add(policy.person_timeout.saturating_mul(answers)),
        }
    }

    /// The current step is passed: the next one begins.
    pub(super) fn pass_step(&mut self, peer: PeerId) {
        if let Some(running) = self.peers.get_mut(&peer).and_then(|known| known.verification.as_mut()) {
            running.pass();
            self.begin_step(peer);
        }
    }

    fn ask_for_pong(&mut self, peer: PeerId, nonce: u64) {
        let running = self.peers.get_mut(&peer).and_then(|known| known.verification.as_mut());
        let Some(running) = running else { return };
        running.pinged(nonce);
        let id = running.link;
        self.send_frame(id, &Frame::Ping { nonce });
    }

    pub(super) fn pong(&mut self, id: LinkId, peer: PeerId, nonce: u64) {
        self.task_pong(peer, nonce);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let running = known.verification.as_mut().filter(|running| running.link == id);
        match running.and_then(|running| running.pong(nonce)) {
            Some(true) => self.pass_step(peer),
            Some(false) => {
                let nonce = self.behaviour.next_u64();
                self.ask_for_pong(peer, nonce);
            }
            None => {}
        }
    }

    /// Takes a Step frame.
    pub(super) fn step_message(&mut self, id: LinkId, peer: PeerId, name: &str, message: Vec<u8>) {
        let step = Step::named(name).filter(|step| self.config.trust.supports(step));
        let Some(step) = step.filter(|_| message.len() <= MAX_STEP_MESSAGE) else {
            mark!(self, StepUnknown);
            self.turn_out(peer, RejectReason::Unsupported);
            return;
        };
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(running) = known.verification.as_mut().filter(|running| running.link == id) else { return };
        if running.is_later(&step) {
            mark!(self, StepEarly);
            if !running.keep_early(step, message) {
                self.turn_out(peer, RejectReason::Misbehaved);
            }
        } else {
            self.step_told(peer, id, &step, message);
        }
    }

    /// A message of a step that has begun, or is over.
    fn step_told(&mut self, peer: PeerId, id: LinkId, step: &Step, message: Vec<u8>) {
        let running = self.peers.get(&peer).and_then(|known| known.verification.as_ref());
        if running.is_none_or(|running| running.link != id) {
            return;
        }
        match step {
            Step::Custom(name) => self.step_event(peer, id, name, Some(message)),
            Step::Code => self.code_told(peer, id, &message),
            Step::Certificate if self.is_at(peer, step) => self.certificate_shown(peer, &message),
            _ => self.misplaced(peer),
        }
    }

    fn is_at(&self, peer: PeerId, step: &Step) -> bool {
        let running = self.peers.get(&peer).and_then(|known| known.verification.as_ref());
        running.is_some_and(|running| running.is_running(step))
    }

    /// A message has no place. From a peer that we have verified it may be meant for a run of the steps that a link
    /// ended: it is ignored.
    pub(super) fn misplaced(&mut self, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|known| known.ours) {
            self.stats.frames_refused += 1;
            return;
        }
        mark!(self, StepMisplaced);
        self.turn_out(peer, RejectReason::Misbehaved);
    }

    // ---- Certificate ----

    /// The peer shows its certificate, or that it has none. Without authorities nothing is asked of it.
    fn certificate_shown(&mut self, peer: PeerId, bytes: &[u8]) {
        let certificate = Certificate::parse(bytes).ok();
        let policy = &self.config.trust;
        if policy.steps.contains(&Step::Certificate) {
            let is_good = |shown: &Certificate| {
                let issuer = [shown.issuer()];
                let believed = if planted!(self, AnyIssuer) { &issuer[..] } else { &policy.authorities[..] };
                shown.is_good(&self.config.network, &peer, believed)
            };
            let wrong = match &certificate {
                None if bytes.is_empty() => Some(RejectReason::NoCertificate),
                None => Some(RejectReason::BadCertificate),
                Some(shown) if !is_good(shown) => Some(RejectReason::BadCertificate),
                Some(shown) if self.unix_now().is_some_and(|unix| shown.is_expired(unix)) => {
                    Some(RejectReason::CertificateExpired)
                }
                Some(_) => None,
            };
            if let Some(reason) = wrong {
                mark!(self, CertificateRefused);
                self.turn_out(peer, reason);
                return;
            }
            mark!(self, CertificateTaken);
            if let Some(known) = self.peers.get_mut(&peer) {
                known.certificate = certificate;
            }
        }
        self.pass_step(peer);
    }

    /// Takes the wall clock, in seconds since the start of 1970. Without it no certificate is ever found to have
    /// expired, and no task is taken; with it, a peer whose certificate expires is parted from at the next call.
    pub fn handle_wall_clock(&mut self, now: crate::Timestamp, unix_seconds: u64) {
        self.advance(now);
        self.wall = Some((self.now, unix_seconds));
        let over = |known: &super::Peer| {
            known.link.is_some()
                && known.certificate.as_ref().is_some_and(|held| held.is_expired(unix_seconds))
        };
        let expired: Vec<PeerId> =
            self.peers.iter().filter(|(_, known)| over(known)).map(|(&id, _)| id).collect();
        for peer in expired {
            mark!(self, CertificateRanOut);
            self.turn_out(peer, RejectReason::CertificateExpired);
        }
        self.pump_links();
    }

    pub(super) fn unix_now(&self) -> Option<u64> {
        self.wall.map(|(at, unix)| unix.saturating_add(self.now.since(at).as_secs()))
    }

    // ---- Custom steps ----

    fn step_event(&mut self, peer: PeerId, id: LinkId, step: &str, message: Option<Vec<u8>>) {
        let Some(session) = self.links.get(&id).and_then(|link| link.session()) else { return };
        let transcript = session.transcript;
        let waiting = self.steps_in.entry(peer).or_default();
        if waiting.len() >= MAX_STEP_EVENTS {
            mark!(self, StepFlooded);
            self.turn_out(peer, RejectReason::Misbehaved);
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
        let custom = self.custom_step(step)?;
        let known = self.peers.get(&peer).ok_or(StepError::NotRunning)?;
        let running = known.verification.as_ref().ok_or(StepError::NotRunning)?;
        if running.is_later(&custom) {
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
        let custom = self.custom_step(step)?;
        let running = self.peers.get(&peer).and_then(|known| known.verification.as_ref());
        running.filter(|running| running.is_running(&custom)).ok_or(StepError::NotRunning)?;
        if passed || planted!(self, FailedStepPasses) {
            self.pass_step(peer);
        } else {
            mark!(self, StepFailed);
            self.turn_out(peer, RejectReason::Failed);
        }
        self.pump_links();
        Ok(())
    }

    /// The custom step of this name: built-in ones are none of the application's business.
    fn custom_step(&self, name: &str) -> Result<Step, StepError> {
        let custom = Step::Custom(String::from(name));
        if self.config.trust.supports(&custom) { Ok(custom) } else { Err(StepError::NotRunning) }
    }

    // ---- Time ----

    /// The step took too long. If we were stopped ourselves, that says nothing: it gets its time again.
    pub(super) fn verification_due(&mut self, peer: PeerId, stalled: bool) {
        let known = self.peers.get(&peer).filter(|known| !known.ours);
        let Some(running) = known.and_then(|known| known.verification.as_ref()) else { return };
        let Some(step) = running.current() else { return };
        if stalled {
            let time = self.time_for(step, running.answers_before(step));
            mark!(self, VerificationStalled);
            self.set_timer(TimerKey::Verification(peer), time);
        } else {
            mark!(self, VerificationTimedOut);
            self.turn_out(peer, RejectReason::TimedOut);
        }
    }
}
