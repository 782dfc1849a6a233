//! Watching a peer that has fallen silent: it is asked by sealed datagrams, then through others, until it is heard again
//! or lost. The verdict follows from one thing, the last sign of life by whatever way.

#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::event::LeaveReason;
use zeroize::Zeroizing;

use crate::identity::PeerId;
use crate::input::{InterfaceId, LinkId};
use crate::ladder::Rung;
use crate::liveness::{Declarer, Evidence, HeardBy, Liveness};
use crate::marks::mark;
use crate::planted::planted;
use crate::record::Instance;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::beacon::Pulse;
use crate::wire::{DisconnectReason, Frame};

use super::Engine;
use super::discovery::interface_of;
use super::outputs::Slot;
use super::peer::Peer;

/// Probes of one peer, and rounds of questions to others, that may still be answered; beyond it the oldest is forgotten.
const MAX_PROBES: usize = 16;
const MAX_ASKS: usize = 4;

/// A link that carries nothing is given up after so many times `lost_after`, though its peer lives.
const LINK_TIMEOUT: u32 = 8;

/// What is known of one peer's life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// How it is; nothing can be said of a peer that was never connected, or was parted from.
    pub(super) state: Option<Liveness>,
    /// What the state was based on when it was reached.
    pub(super) evidence: Option<Evidence>,
    /// The last sign of life that is not to be seen from a link that there is.
    sign: Option<(HeardBy, Timestamp)>,
    /// Whether a timer watches it.
    watched: bool,
    /// Whether its link carries nothing though it lives: another is dialled.
    pub(super) stalled: bool,
    /// The key of pulses between it and us, made when it is first needed, and its link key then.
    key: Option<([u8; 32], Zeroizing<[u8; 32]>)>,
    probes: VecDeque<(u64, Timestamp)>,
    unanswered: u32,
    asks: VecDeque<(u64, Timestamp)>,
    vouched_by: Vec<PeerId>,
    /// The incarnation of the last link that was used, and whether a newer one took its place since the application was
    /// told of it.
    pub(super) run: Option<u64>,
    pub(super) replaced: bool,
}

impl Life {
    /// Notes a sign of life unless a later one is known.
    pub(super) fn note(&mut self, by: HeardBy, at: Timestamp) {
        if self.sign.is_none_or(|(_, known)| known < at) {
            self.sign = Some((by, at));
        }
    }

    /// Silence before `at` was our own fault.
    pub(super) fn forgive_until(&mut self, at: Timestamp) {
        if let Some((_, heard)) = &mut self.sign {
            *heard = (*heard).max(at);
        }
    }

    /// Nothing more is to be found out.
    fn rest(&mut self) {
        self.watched = false;
        self.stalled = false;
        self.unanswered = 0;
        self.probes.clear();
        self.asks.clear();
        self.vouched_by.clear();
    }
}

impl Engine {
    /// What is known of how a peer is, at `now`; `None` if it was never connected, or was parted from.
    #[must_use]
    pub fn evidence(&self, now: Timestamp, peer: &PeerId) -> Option<Evidence> {
        let known = self.peers.get(peer).filter(|known| known.life.state.is_some())?;
        Some(self.evidence_of(known, now, Declarer::Us))
    }

    /// How this node itself is.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        match (self.leaving.is_some(), self.is_superseded()) {
            (true, _) => Liveness::Left,
            (false, true) => Liveness::Superseded,
            (false, false) => Liveness::Alive,
        }
    }

    // ---- Times ----

    /// After so much silence a peer is quiet, and suspect.
    fn quiet_after(&self) -> Duration {
        self.config.lost_after / 2
    }

    fn suspect_after(&self) -> Duration {
        self.config.lost_after * 5 / 8
    }

    /// Between two probes of a peer that answers, and of one that does not.
    fn probe_every(&self, silence: Duration) -> Duration {
        if silence < self.quiet_after() { self.config.lost_after / 4 } else { self.config.lost_after / 16 }
    }

    /// Whether the link that is used for a peer has been silent for so long that the peer is to be watched.
    pub(super) fn is_quiet(&self, silence: Duration) -> bool {
        silence >= self.quiet_after()
    }

    /// The last sign of life of a peer.
    fn last_sign(&self, known: &Peer) -> (HeardBy, Timestamp) {
        let links = known.links.iter().filter_map(|id| Some((*id, self.links.get(id)?)));
        let links = links.filter(|(_, link)| link.session().is_some());
        let links = links.map(|(id, link)| (HeardBy::Link(id), link.last_heard));
        let signs = links.chain(known.life.sign);
        signs.max_by_key(|&(_, at)| at).unwrap_or((HeardBy::Link(LinkId(0)), known.linked_at))
    }

    fn evidence_of(&self, known: &Peer, now: Timestamp, declared_by: Declarer) -> Evidence {
        let (heard_by, at) = self.last_sign(known);
        Evidence {
            heard_by,
            silent_for: now.since(at),
            unanswered: known.life.unanswered,
            vouched_by: known.life.vouched_by.clone(),
            declared_by,
        }
    }

    // ---- Watching ----

    /// Begins to watch a peer whose link is silent or broke, unless that is done already.
    pub(super) fn watch(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer).filter(|known| !known.life.watched) else { return };
        known.life.watched = true;
        self.watched.insert(peer);
        self.set_timer(TimerKey::Watch(peer), Duration::ZERO);
    }

    pub(super) fn stop_watching(&mut self, peer: PeerId) {
        self.timers.cancel(TimerKey::Watch(peer));
        self.watched.remove(&peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.life.rest();
        }
    }

    /// A frame or block came on a link of a watched peer. On the link that is used it ends the doubt.
    pub(super) fn heard_on_link(&mut self, id: LinkId) {
        if self.watched.is_empty() {
            return;
        }
        let Some(peer) = self.links.get(&id).and_then(|link| link.peer) else { return };
        if self.watched.contains(&peer) && self.peers.get(&peer).is_some_and(|known| known.link == Some(id)) {
            self.is_well(peer);
        }
    }

    /// A peer is heard on its link.
    pub(super) fn is_well(&mut self, peer: PeerId) {
        self.stop_watching(peer);
        self.conclude(peer, Liveness::Alive, Declarer::Us);
    }

    /// Nothing can be said of a peer any more: it was parted from on purpose.
    pub(super) fn lose_sight(&mut self, peer: PeerId) {
        self.stop_watching(peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.life.state = None;
        }
    }

    /// Notes how a peer is, if that is news.
    pub(super) fn conclude(&mut self, peer: PeerId, state: Liveness, declared_by: Declarer) {
        let Some(known) = self.peers.get(&peer).filter(|known| known.life.state != Some(state)) else {
            return;
        };
        match state {
            Liveness::Quiet => {
                mark!(self, PeerQuiet);
            }
            Liveness::Suspect => {
                mark!(self, PeerSuspect);
            }
            Liveness::Lost => {
                mark!(self, PeerLost);
            }
            _ => {}
        }
        let evidence = self.evidence_of(known, self.now, declared_by);
        tracing::debug!(peer = %peer.short(), state = state.as_str(), ?evidence, "liveness");
        if let Some(known) = self.peers.get_mut(&peer) {
            known.life.state = Some(state);
            known.life.evidence = Some(evidence);
        }
        self.outputs.notify(Slot::Peer(peer));
    }

    /// A watched peer is due for a look.
    pub(super) fn watch_due(&mut self, peer: PeerId) {
        let now = self.now;
        let Some(known) = self.peers.get(&peer) else { return };
        let silence = now.since(self.last_sign(known).1);
        let on_link = known.link.and_then(|id| self.links.get(&id)).map(|link| now.since(link.last_heard));
        if on_link.is_some_and(|silence| !self.is_quiet(silence)) {
            return self.is_well(peer);
        }
        let lives = known.left_at.is_some_and(|left| self.last_sign(known).1 > left);
        if on_link.is_none() && lives && !self.is_sought(peer) {
            // Its link broke, it was heard since, and nobody wants another.
            mark!(self, UnsoughtLives);
            return self.lose_sight(peer);
        }
        let lost_after = self.config.lost_after;
        if silence >= lost_after && self.is_deaf() {
            mark!(self, DoubtedOurselves);
            self.doubt.at_least_one(now, lost_after);
        }
        let patience = self.doubt.patience(now, lost_after);
        if silence >= lost_after * patience {
            return self.lose(peer);
        }
        let suspect = silence >= self.suspect_after() * patience;
        self.conclude(peer, if suspect { Liveness::Suspect } else { Liveness::Quiet }, Declarer::Us);
        if let Some(on_link) = on_link.filter(|silence| *silence >= lost_after) {
            self.replace_link(peer, on_link);
        }
        self.send_pulse(peer, None);
        if suspect {
            self.ask_others(peer);
        }
        self.set_timer(TimerKey::Watch(peer), self.probe_every(silence));
    }

    /// Nobody has heard a peer for too long.
    pub(super) fn lose(&mut self, peer: PeerId) {
        self.stats.peers_lost += 1;
        self.conclude(peer, Liveness::Lost, Declarer::Us);
        self.stop_watching(peer);
        let links = self.peers.get(&peer).map_or_else(Vec::new, |known| known.links.clone());
        for id in links {
            if self.links.get(&id).is_some_and(|link| link.session().is_some()) {
                mark!(self, LinkLostToSilence);
                self.stats.links_lost += 1;
                self.finish_link(id, LeaveReason::Lost, false);
            }
        }
    }

    /// The link of a peer that lives carries nothing: another is dialled beside it, and takes its place. If none comes,
    /// it is given up at last.
    fn replace_link(&mut self, peer: PeerId, silence: Duration) {
        let now = self.now;
        if silence >= self.config.lost_after * LINK_TIMEOUT {
            mark!(self, LinkTimedOut);
            self.part_from(peer, DisconnectReason::Timeout, LeaveReason::Timeout);
            return;
        }
        let Some(known) = self.peers.get_mut(&peer).filter(|known| !known.life.stalled) else { return };
        mark!(self, LinkStalled);
        known.life.stalled = true;
        known.redial.reset(now);
        self.consider_dial(peer, Duration::ZERO);
    }

    // ---- Probes ----

    /// The key of pulses between a peer and us.
    pub(super) fn pulse_key(&mut self, peer: PeerId) -> Option<Zeroizing<[u8; 32]>> {
        let known = self.peers.get_mut(&peer)?;
        let link_key = known.record.record().link_key;
        if known.life.key.as_ref().is_none_or(|(of, _)| *of != link_key) {
            known.life.key = Some((link_key, self.identity.pulse_key(&link_key)));
        }
        known.life.key.as_ref().map(|(_, key)| key.clone())
    }

    /// Asks a peer for a pulse by a datagram to where it was heard, or, with a number, answers it there.
    pub(super) fn send_pulse(&mut self, peer: PeerId, answer: Option<(u64, InterfaceId, SocketAddr)>) {
        if planted!(self, NoPulse) {
            return;
        }
        let Some(key) = self.pulse_key(peer) else { return };
        let Some(known) = self.peers.get(&peer) else { return };
        if let Some((nonce, interface, to)) = answer {
            let pulse = Pulse::new(&key, nonce, true, &self.own.instance());
            self.send_sealed_pulse(interface, to, pulse, true);
            return;
        }
        // To each place in turn where it may be: one of two networks may be the one that fails, and where it was heard last
        // may be where somebody repeats what it said.
        let unanswered = known.life.unanswered as usize;
        let there = self.addresses_to_dial(peer).into_iter();
        let way = |(address, by): (SocketAddr, Option<InterfaceId>)| {
            Some((by.or_else(|| interface_of(&self.interfaces, address))?, address))
        };
        let ways: Vec<_> = there.filter_map(way).collect();
        let Some(&(interface, to)) = ways.get(unanswered % ways.len().max(1)) else {
            return;
        };
        let nonce = self.vigilance.next_u64();
        let pulse = Pulse::new(&key, nonce, false, &self.own.instance());
        if !self.send_sealed_pulse(interface, to, pulse, false) {
            return;
        }
        mark!(self, PulseAsked);
        let now = self.now;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.life.unanswered = known.life.unanswered.saturating_add(1);
            if known.life.probes.len() >= MAX_PROBES {
                known.life.probes.pop_front();
            }
            known.life.probes.push_back((nonce, now));
        }
    }

    /// An answer by which a peer proves that it has got a probe of ours: it lived when that was sent, or later. Each
    /// probe counts once, and only for the run that we are linked to.
    pub(super) fn pulse_answered(
        &mut self,
        peer: PeerId,
        instance: Instance,
        pulse: &Pulse,
        by: (InterfaceId, Rung),
    ) {
        let run = self.session_of(peer).map(|session| session.instance);
        let Some(key) = self.pulse_key(peer) else { return };
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(place) = known.life.probes.iter().position(|(nonce, _)| *nonce == pulse.nonce) else {
            return;
        };
        if run.is_some_and(|run| run != instance) || !pulse.is_genuine(&key, true, &instance) {
            mark!(self, PulseForged);
            return;
        }
        let Some((_, asked)) = known.life.probes.remove(place) else { return };
        mark!(self, PulseFelt);
        self.gave_sign(peer, HeardBy::Rung { interface: by.0, rung: by.1 }, asked);
        self.report_errands(peer);
    }

    /// A peer gave a sign of life by another way than its link.
    fn gave_sign(&mut self, peer: PeerId, by: HeardBy, at: Timestamp) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.life.note(by, at);
        if !known.life.watched {
            return;
        }
        known.life.unanswered = 0;
        let Some(known) = self.peers.get(&peer) else { return };
        let silence = self.now.since(self.last_sign(known).1);
        if !self.is_quiet(silence) {
            self.conclude(peer, Liveness::Quiet, Declarer::Us);
            if let Some(known) = self.peers.get_mut(&peer) {
                known.life.vouched_by.clear();
            }
            self.set_timer(TimerKey::Watch(peer), self.probe_every(silence));
        }
    }

    // ---- Through others ----

    /// Asks up to three other trusted peers, drawn anew each time, whether they hear one that we do not.
    fn ask_others(&mut self, subject: PeerId) {
        let others = self.peers.iter().filter(|(id, known)| **id != subject && known.is_trusted());
        let mut others: Vec<PeerId> =
            others.filter(|(_, known)| !known.life.watched).map(|(&id, _)| id).collect();
        let (now, nonce) = (self.now, self.vigilance.next_u64());
        let Some(known) = self.peers.get_mut(&subject).filter(|_| !others.is_empty()) else { return };
        mark!(self, OthersAsked);
        if known.life.asks.len() >= MAX_ASKS {
            known.life.asks.pop_front();
        }
        known.life.asks.push_back((nonce, now));
        for _ in 0..Evidence::MAX_VOUCHERS {
            let drawn = usize::try_from(self.vigilance.below(others.len() as u64)).unwrap_or(0);
            if drawn >= others.len() {
                return;
            }
            let other = others.swap_remove(drawn);
            self.send_to_peer(other, &Frame::ProbeFor { peer: subject, nonce });
        }
    }

    /// Another says how long before its answer it heard the peer that we asked for. Counted from our question, so that
    /// no delay makes a peer look fresher than it is.
    pub(super) fn vouched(&mut self, by: PeerId, subject: PeerId, nonce: u64, heard_ms: u32) {
        let Some(known) = self.peers.get_mut(&subject).filter(|_| by != subject) else { return };
        let Some(&(_, asked)) = known.life.asks.iter().find(|(asked, _)| *asked == nonce) else { return };
        mark!(self, VouchedFor);
        let vouchers = &mut known.life.vouched_by;
        if !vouchers.contains(&by) {
            vouchers.truncate(Evidence::MAX_VOUCHERS - 1);
            vouchers.insert(0, by);
        }
        let millis = Duration::from_millis(heard_ms.into()).as_nanos() as u64;
        let at = Timestamp::from_nanos(asked.as_nanos().saturating_sub(millis));
        known.life.note(HeardBy::Peer(by), at);
    }

    /// How long ago a peer was heard, if we have a link of it that is not silent.
    pub(super) fn heard_lately(&self, peer: &PeerId) -> Option<Duration> {
        let known = self.peers.get(peer).filter(|known| known.link.is_some())?;
        let silence = self.now.since(self.last_sign(known).1);
        (!self.is_quiet(silence)).then_some(silence)
    }
}
