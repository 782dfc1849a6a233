//! Looking for a peer on behalf of another that does not hear it.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::identity::PeerId;
use crate::input::InterfaceId;
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::planted::planted;
use crate::record::Instance;
use crate::time::Timestamp;
use crate::wire::Frame;
use crate::wire::beacon::Pulse;

use super::Engine;

/// Questions of others: so many at once, and as many a second. Three peers that lose one ask nine times each.
const ERRANDS: u32 = 32;

/// Questions that wait for the answer of their subject; beyond it the oldest is forgotten.
const MAX_ERRANDS: usize = 32;

/// Pulses of others whose proof is checked, and that are answered: so many at once, and as many a second. A check is a
/// multiplication on the curve, some 100 microseconds.
const CHECKS: u32 = 128;
const ANSWERS: u32 = 64;

/// What is done for others.
#[derive(Debug)]
pub(crate) struct Errands {
    /// Who asks, for whom, with which number, and since when.
    waiting: VecDeque<(PeerId, PeerId, u64, Timestamp)>,
    left: TokenBucket,
    checks_left: TokenBucket,
    answers_left: TokenBucket,
}

impl Errands {
    pub(super) fn new() -> Self {
        Errands {
            waiting: VecDeque::new(),
            left: TokenBucket::new(ERRANDS, ERRANDS),
            checks_left: TokenBucket::new(CHECKS, CHECKS),
            answers_left: TokenBucket::new(ANSWERS, ANSWERS),
        }
    }

    #[cfg(feature = "marks")]
    pub(super) fn table(&self) -> super::Table {
        ("errands", self.waiting.len(), MAX_ERRANDS)
    }
}

impl Engine {
    /// A trusted peer asks whether we hear another. What we know is answered at once; else the subject is asked, once,
    /// and its answer told. That somebody does not hear it says nothing of it, and silence is the answer of who does not
    /// hear it either.
    pub(super) fn probe_for(&mut self, asker: PeerId, subject: PeerId, nonce: u64) {
        if !self.errands.left.take(self.now, 1) {
            self.stats.frames_dropped += 1;
            return;
        }
        if planted!(self, RumourBelieved) {
            return self.lose(subject);
        }
        if subject == self.peer_id() {
            return self.vouch(asker, subject, nonce, 0);
        }
        if let Some(silence) = self.heard_lately(&subject) {
            let millis = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
            return self.vouch(asker, subject, nonce, millis);
        }
        if !self.peers.contains_key(&subject) {
            return;
        }
        mark!(self, ErrandRun);
        if self.errands.waiting.len() >= MAX_ERRANDS {
            self.errands.waiting.pop_front();
        }
        self.errands.waiting.push_back((asker, subject, nonce, self.now));
        self.send_pulse(subject, None);
    }

    fn vouch(&mut self, asker: PeerId, subject: PeerId, nonce: u64, heard_ms: u32) {
        if let Some(link) = self.peers.get(&asker).and_then(|known| known.link) {
            self.send_answer(link, &Frame::ProbeResult { peer: subject, nonce, heard_ms });
        }
    }

    /// A peer answered a probe: whoever asked for it in the meantime is told.
    pub(super) fn report_errands(&mut self, subject: PeerId) {
        let (now, patience) = (self.now, self.config.lost_after);
        let mut waiting = core::mem::take(&mut self.errands.waiting);
        waiting.retain(|&(asker, of, nonce, since)| {
            let fresh = now.since(since) < patience;
            if of == subject && fresh {
                self.vouch(asker, subject, nonce, 0);
            }
            fresh && of != subject
        });
        self.errands.waiting = waiting;
    }

    /// A peer that has proven its key on a link asks for a pulse: one datagram, as long as the question, to where that
    /// came from.
    pub(super) fn answer_pulse(
        &mut self,
        peer: PeerId,
        instance: Instance,
        pulse: &Pulse,
        from: (InterfaceId, SocketAddr),
    ) {
        let now = self.now;
        let proven = self.peers.get(&peer).is_some_and(|known| known.proven);
        if !proven || !self.errands.checks_left.take(now, 1) {
            return;
        }
        let Some(key) = self.pulse_key(peer) else { return };
        if !pulse.is_genuine(&key, false, &instance) {
            mark!(self, PulseForged);
            return;
        }
        if self.errands.answers_left.take(now, 1) {
            mark!(self, PulseGiven);
            self.send_pulse(peer, Some((pulse.nonce, from.0, from.1)));
        }
    }
}
