//! The event stream: from each entity's slot, the way from what was last told to what is true now.

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::event::Event;
use crate::identity::PeerId;
use crate::liveness::{Declarer, Liveness};
use crate::marks::mark;
use crate::planted::planted;

use super::Engine;
use super::outputs::Slot;
use super::peer::Peer;

impl Engine {
    /// Takes slots until one has something to tell.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        while let Some(slot) = self.outputs.next_slot() {
            let (event, more) = match slot {
                Slot::Peer(peer) => (self.next_peer_event(peer), true),
                Slot::Step(peer) => (self.next_step_event(peer), true),
                Slot::Ask(peer) => (self.next_ask(peer), true),
                Slot::Text => (self.texts_in.pop_front(), true),
                Slot::TextsAcked(peer) => (self.next_delivered_text(peer), true),
                Slot::TextsLost(peer) => (self.texts_lost.remove(&peer), false),
                Slot::Message => (self.next_message(), true),
                Slot::Settled => (self.next_settled(), true),
                Slot::Offer(peer, content) => (self.offer_event(peer, content), false),
                Slot::Transfer(content) => (self.transfer_event(content), false),
                Slot::Delivery(content, peer) => (self.delivery_event(content, peer), false),
                Slot::Incompatible => (self.next_incompatible(), true),
                Slot::IdentityShared => (self.next_shared_identity(), true),
                Slot::Superseded => (self.superseded_event(), false),
                Slot::Left => (Some(Event::Left), false),
                Slot::Task => (self.tasks.events.pop_front(), true),
                Slot::Widescan => (self.next_widescan_event(), true),
            };
            if event.is_some() {
                if more {
                    self.outputs.notify_again(slot);
                }
                return event;
            }
        }
        None
    }

    /// One step from what the application knows of a peer to what is true.
    fn next_peer_event(&mut self, id: PeerId) -> Option<Event> {
        if let Some(waiting) = self.departures.get_mut(&id) {
            let event = waiting.pop_front();
            if waiting.is_empty() {
                self.departures.remove(&id);
            }
            return event;
        }
        let addr = self.peers.get(&id).and_then(|peer| self.peer_address(peer));
        let known = self.peers.get_mut(&id)?;
        let name: String = known.record.record().name.clone();
        let reported = known.reported;
        if !reported.discovered {
            known.reported.discovered = true;
            return Some(Event::PeerDiscovered { peer: id, name, addr });
        }
        let news = known.life.state.filter(|state| reported.liveness.is_some_and(|told| told != *state));
        if let Some(state) = news.filter(|state| *state != Liveness::Alive) {
            return liveness_event(known, id, state);
        }
        let session = known.link.is_some().then_some(known.session);
        if reported.session.is_some() && reported.session != session {
            if session.is_some() {
                mark!(self, EventsCoalesced);
            }
            if let (true, Some(session)) = (planted!(self, EventsDoNotAlternate), session) {
                known.reported.session = Some(session);
                return Some(Event::PeerConnected { peer: id, name, addr });
            }
            known.reported.session = None;
            let (reason, by) = known.last_leave;
            return Some(Event::PeerLeft { peer: id, name, reason, by });
        }
        if let (true, Some(_)) = (known.life.replaced, reported.liveness) {
            known.life.replaced = false;
            return liveness_event(known, id, Liveness::Replaced);
        }
        if let Some(last) = known.rejection.filter(|last| reported.rejected != Some(last.at)) {
            known.reported.rejected = Some(last.at);
            return Some(Event::PeerRejected { peer: id, name, reason: last.reason, by_us: last.by_us });
        }
        if session.is_some() && reported.session.is_none() {
            known.reported.session = session;
            known.reported.liveness = reported.liveness.or(Some(Liveness::Alive));
            known.life.replaced = false;
            return Some(Event::PeerConnected { peer: id, name, addr });
        }
        if known.is_trusted() && reported.trust_epoch != known.trust_epoch {
            known.reported.trust_epoch = known.trust_epoch;
            return Some(Event::PeerTrusted { peer: id, name, addr });
        }
        news.and_then(|state| liveness_event(known, id, state))
    }

    /// A peer that the application believes to be connected, or has news of, leaves the table: what is left to tell is
    /// kept, two events at most for each such peer.
    pub(super) fn departed(&mut self, id: PeerId, peer: &mut Peer) {
        let mut left = VecDeque::new();
        if let Some(state) = peer.life.state.filter(|state| peer.reported.liveness != Some(*state)) {
            left.extend(liveness_event(peer, id, state));
        }
        if peer.reported.session.is_some() {
            let (reason, by) = peer.last_leave;
            left.push_back(Event::PeerLeft { peer: id, name: peer.record.record().name.clone(), reason, by });
        }
        if left.is_empty() {
            return;
        }
        mark!(self, DepartureKept);
        if self.departures.len() >= self.config.max_peers {
            self.departures.pop_first();
        }
        self.departures.insert(id, left);
        self.outputs.notify(Slot::Peer(id));
    }

    /// A peer leaves the table with texts that it never acknowledged.
    pub(super) fn lost_texts_of(&mut self, to: PeerId, peer: &Peer) {
        let (Some((first, _)), Some((last, _))) = (peer.texts.outgoing.front(), peer.texts.outgoing.back())
        else {
            return;
        };
        mark!(self, TextsLost);
        if self.texts_lost.len() >= self.config.max_peers {
            self.texts_lost.pop_first();
        }
        self.texts_lost.insert(to, Event::TextsLost { to, first: *first, last: *last });
        self.outputs.notify(Slot::TextsLost(to));
    }

    fn next_step_event(&mut self, peer: PeerId) -> Option<Event> {
        let waiting = self.steps_in.get_mut(&peer)?;
        let event = waiting.pop_front();
        if waiting.is_empty() {
            self.steps_in.remove(&peer);
        }
        event
    }

    fn next_delivered_text(&mut self, peer: PeerId) -> Option<Event> {
        let texts = &mut self.peers.get_mut(&peer)?.texts;
        if texts.acked_reported >= texts.acked {
            return None;
        }
        texts.acked_reported += 1;
        Some(Event::TextDelivered { to: peer, id: texts.acked_reported })
    }

    fn next_incompatible(&mut self) -> Option<Event> {
        let (addr, version) = self.incompatible.pop_front()?;
        Some(Event::IncompatiblePeer { addr, version })
    }
}

/// Tells how a peer is, and remembers that it was told.
fn liveness_event(known: &mut Peer, peer: PeerId, liveness: Liveness) -> Option<Event> {
    known.reported.liveness = Some(liveness);
    let name = known.record.record().name.clone();
    let mut evidence = known.life.evidence.clone()?;
    if liveness == Liveness::Replaced {
        evidence.declared_by = Declarer::Subject;
    }
    Some(Event::PeerLiveness { peer, name, liveness, evidence })
}
