//! Messages: bytes to one peer, or to all, each with one outcome for its sender.
//!
//! To one peer, and to all while they are few, a message goes over the peer's own link ([`mailbox`]). To a crowd it is
//! passed on from neighbour to neighbour ([`gossip`]), and who took it is told back the same way ([`crowd`]).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::event::Event;
use crate::identity::PeerId;
use crate::marks::mark;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::{MAX_MESSAGE, Payload};

use super::Engine;
use super::outputs::Slot;

mod crowd;
mod gossip;
mod intake;
mod mailbox;

pub(super) use self::crowd::Crowd;
pub(super) use self::gossip::Gossip;
pub(super) use self::intake::Intake;
pub(super) use self::mailbox::{Acks, Mailbox};

/// What a message counts at least against limits of bytes, so that they bound the number as well.
const LEAST_COST: usize = 1024;

/// Why a message was not taken for sending. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// No record of this peer is held.
    #[error("this peer is not known")]
    UnknownPeer,
    /// The message is too long.
    #[error("a message may have 60 KiB at most")]
    TooLong,
    /// Too much waits for its outcome already, or for a peer that is to have this one.
    #[error("too many messages wait already: take their outcomes first")]
    Full,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

/// What this node has sent and what it will hand to the application.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The number of the last message.
    last: u64,
    pending: BTreeMap<u64, Pending>,
    /// Outcomes that wait for the application, and what each counts.
    settled: VecDeque<(Event, usize)>,
    /// What all count whose outcome was not taken. At most `max_message_bytes`.
    cost: usize,
    boxes: BTreeMap<PeerId, Mailbox>,
    /// The highest number in any mailbox that was given up.
    number_floor: u64,
    pub(super) intake: Intake,
    pub(super) gossip: Gossip,
    pub(super) crowd: Crowd,
}

/// A message without an outcome.
#[derive(Debug)]
struct Pending {
    /// How many mailboxes hold it. One to a crowd is in none.
    waiting: usize,
    delivered: u32,
    missing: Vec<PeerId>,
    until: Timestamp,
    cost: usize,
}

impl Engine {
    /// Sends a message to a peer, now or as soon as both sides have verified each other; returns its number, which
    /// [`Event::MessageSettled`] names. At most [`MAX_MESSAGE`] bytes. Order is kept, and none is delivered twice to one
    /// incarnation of the peer. It waits for a peer that is away, and is given up after
    /// [`Config::message_ttl`](crate::Config::message_ttl).
    ///
    /// # Errors
    ///
    /// See [`MessageError`]; nothing changed.
    pub fn send_message(&mut self, now: Timestamp, to: PeerId, bytes: &[u8]) -> Result<u64, MessageError> {
        self.advance(now);
        self.check_message(bytes)?;
        if !self.peers.contains_key(&to) {
            return Err(MessageError::UnknownPeer);
        }
        if self.is_mailbox_full(&to) {
            return Err(MessageError::Full);
        }
        let payload = Payload::new(bytes);
        let message = self.keep_message(payload.len(), 1);
        self.post(to, message, payload);
        self.pump_links();
        Ok(message)
    }

    /// Sends a message to all; returns its number, which [`Event::MessageSettled`] names. At most [`MAX_MESSAGE`] bytes.
    ///
    /// All are, while there are at most [`Config::max_links`](crate::Config::max_links) peers: those that were trusted in
    /// this run and have not said goodbye. Each gets it as by [`send_message`](Self::send_message); for one that is away
    /// and has no room left for what waits, the oldest is given up. In a crowd all are those whose record is held: the
    /// message is signed and passed on from neighbour to neighbour, and its order beside others is not kept.
    ///
    /// # Errors
    ///
    /// See [`MessageError`]; nothing changed.
    pub fn broadcast(&mut self, now: Timestamp, bytes: &[u8]) -> Result<u64, MessageError> {
        self.advance(now);
        self.check_message(bytes)?;
        let payload = Payload::new(bytes);
        let message = if self.is_crowd() {
            if !self.crowd_takes_more(bytes.len()) {
                return Err(MessageError::Full);
            }
            let message = self.keep_message(payload.len(), 0);
            self.tell_crowd(message, payload);
            message
        } else {
            let known =
                self.peers.iter().filter(|(_, peer)| peer.trust_epoch > 0 && peer.rejection.is_none());
            let all: Vec<(PeerId, bool)> = known.map(|(&id, peer)| (id, peer.link.is_some())).collect();
            if all.iter().any(|(peer, linked)| *linked && self.is_mailbox_full(peer)) {
                return Err(MessageError::Full);
            }
            let message = self.keep_message(payload.len(), all.len());
            for (peer, _) in all {
                if self.is_mailbox_full(&peer) {
                    mark!(self, MailboxOverflowed);
                    self.give_up_oldest(peer);
                }
                self.post(peer, message, payload.clone());
            }
            self.settle_if_done(message);
            message
        };
        self.pump_links();
        Ok(message)
    }

    fn check_message(&self, bytes: &[u8]) -> Result<(), MessageError> {
        if self.leaving.is_some() {
            return Err(MessageError::Leaving);
        }
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong);
        }
        let cost = self.messages.cost + cost(bytes.len());
        if cost > self.config.max_message_bytes { Err(MessageError::Full) } else { Ok(()) }
    }

    /// Gives a message its number. `waiting` mailboxes will hold it.
    fn keep_message(&mut self, len: usize, waiting: usize) -> u64 {
        let until = self.now + self.config.message_ttl;
        let messages = &mut self.messages;
        messages.last += 1;
        messages.cost += cost(len);
        let pending = Pending { waiting, delivered: 0, missing: Vec::new(), until, cost: cost(len) };
        messages.pending.insert(messages.last, pending);
        self.timers.set_earlier(TimerKey::MessageExpiry, until);
        self.messages.last
    }

    /// A mailbox does not hold a message any more.
    fn left_mailbox(&mut self, peer: PeerId, message: u64, delivered: bool) {
        let Some(pending) = self.messages.pending.get_mut(&message) else { return };
        pending.waiting = pending.waiting.saturating_sub(1);
        if delivered {
            pending.delivered += 1;
        } else {
            pending.missing.push(peer);
        }
        self.settle_if_done(message);
    }

    fn settle_if_done(&mut self, message: u64) {
        if self.messages.pending.get(&message).is_some_and(|pending| pending.waiting == 0) {
            self.settle(message);
        }
    }

    fn settle(&mut self, id: u64) {
        let Some(Pending { delivered, missing, cost, .. }) = self.messages.pending.remove(&id) else {
            return;
        };
        self.messages.settled.push_back((Event::MessageSettled { id, delivered, missing }, cost));
        self.outputs.notify(Slot::Settled);
    }

    pub(super) fn next_settled(&mut self) -> Option<Event> {
        let (event, cost) = self.messages.settled.pop_front()?;
        self.messages.cost -= cost;
        Some(event)
    }

    /// Gives up what is too old.
    pub(super) fn message_expiry_due(&mut self) {
        let now = self.now;
        let too_old = |(_, pending): &(&u64, &Pending)| pending.until <= now;
        while let Some((&message, _)) = self.messages.pending.first_key_value().filter(too_old) {
            mark!(self, MessageExpired);
            if self.crowd_gives_up(message) {
                continue;
            }
            let holds = |mailbox: &Mailbox| mailbox.oldest() == Some(message);
            let boxes = self.messages.boxes.iter();
            let peers: Vec<PeerId> = boxes.filter(|(_, mailbox)| holds(mailbox)).map(|(&id, _)| id).collect();
            for peer in peers {
                self.give_up_oldest(peer);
            }
            // Whatever it was still in, it is over now.
            self.settle(message);
        }
        if let Some((_, first)) = self.messages.pending.first_key_value() {
            self.timers.set(TimerKey::MessageExpiry, first.until);
        }
    }

    /// This node leaves: what has no outcome gets one.
    pub(super) fn settle_everything(&mut self) {
        let peers: Vec<PeerId> = self.messages.boxes.keys().copied().collect();
        for peer in peers {
            self.give_up_mailbox(peer);
        }
        while let Some((&message, _)) = self.messages.pending.first_key_value() {
            if !self.crowd_gives_up(message) {
                self.settle(message);
            }
        }
    }

    /// Hands a message to the application, if there is room for it.
    fn take_in(&mut self, from: PeerId, payload: Payload, hops: u16) -> bool {
        if !self.messages.intake.has_room(&from, payload.len(), &self.config) {
            self.stats.messages_dropped += 1;
            return false;
        }
        self.stats.messages_taken += 1;
        let bytes: Arc<[u8]> = payload.into_bytes();
        self.messages.intake.push(from, bytes, hops);
        self.outputs.notify(Slot::Message);
        true
    }

    pub(super) fn next_message(&mut self) -> Option<Event> {
        self.messages.intake.pop()
    }

    /// What trusted peers have for one another once they are, and on each link that takes the place of another.
    pub(super) fn exchange_messages(&mut self, peer: PeerId) {
        self.deliver_again(peer);
        self.tell_what_is_held(peer);
    }

    /// A peer leaves the table.
    pub(super) fn messages_of_forgotten(&mut self, peer: PeerId) {
        self.timers.cancel(TimerKey::Message(peer));
        self.timers.cancel(TimerKey::MessageAck(peer));
        self.messages.gossip.neighbour_left(&peer);
        self.drop_if_empty(peer);
        self.left_the_crowd(peer);
    }

    /// How full the tables are.
    #[cfg(feature = "marks")]
    pub(super) fn message_tables(&self) -> Vec<super::Table> {
        let (config, messages) = (&self.config, &self.messages);
        let mut tables = alloc::vec![
            ("bytes of messages without a taken outcome", messages.cost, config.max_message_bytes),
            (
                "messages to a peer",
                messages.boxes.values().map(Mailbox::len).max().unwrap_or(0),
                config.max_messages,
            ),
            // Each has something in it, which no more than `max_links` peers were to have, or its peer is in the table.
            (
                "mailboxes",
                messages.boxes.len(),
                config.max_peers + config.max_message_bytes / LEAST_COST * config.max_links,
            ),
        ];
        tables.push(messages.intake.table(config));
        tables.extend(messages.gossip.tables(config));
        tables.push(messages.crowd.table(config));
        tables
    }
}

/// What a message of `len` bytes counts against limits of bytes.
fn cost(len: usize) -> usize {
    len.max(LEAST_COST)
}

/// What of `config` is one sender's share of what waits for the application.
fn share(config: &Config) -> usize {
    config.max_message_bytes / 4
}

/// How long an acknowledgement waits for others to go with it.
const ACK_EVERY: Duration = Duration::from_millis(5);
