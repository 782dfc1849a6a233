//! Messages that wait for the application.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::event::Event;
use crate::identity::PeerId;
use crate::marks::mark;
use crate::timers::TimerKey;

use super::super::Engine;
use super::{cost, share};

/// How often it is looked whether there is room again: first so soon, then half as often each time.
const LOOK_FIRST: Duration = Duration::from_millis(10);
const LOOK_LAST: Duration = Duration::from_millis(640);

/// At most `max_message_bytes` wait, a quarter of that from one sender. What does not fit is not acknowledged, and asked
/// for again when half of it is free.
#[derive(Debug, Default)]
pub(in super::super) struct Intake {
    queue: VecDeque<Event>,
    cost: usize,
    /// What waits of each sender.
    shares: BTreeMap<PeerId, usize>,
    /// Whose messages found no room.
    refused: BTreeSet<PeerId>,
    look_after: Duration,
}

impl Intake {
    pub(super) fn has_room(&self, from: &PeerId, len: usize, config: &Config) -> bool {
        let cost = cost(len);
        self.cost + cost <= config.max_message_bytes && self.share_of(from) + cost <= share(config)
    }

    fn share_of(&self, from: &PeerId) -> usize {
        self.shares.get(from).copied().unwrap_or(0)
    }

    pub(super) fn push(&mut self, from: PeerId, bytes: Arc<[u8]>, hops: u16) {
        let cost = cost(bytes.len());
        self.cost += cost;
        *self.shares.entry(from).or_default() += cost;
        self.queue.push_back(Event::Message { from, bytes, hops });
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        if let Event::Message { from, bytes, .. } = &event {
            let cost = cost(bytes.len());
            self.cost -= cost;
            if let Some(share) = self.shares.get_mut(from) {
                *share -= cost;
                if *share == 0 {
                    self.shares.remove(from);
                }
            }
        }
        Some(event)
    }

    #[cfg(feature = "marks")]
    pub(super) fn table(&self, config: &Config) -> super::super::Table {
        ("bytes of messages for the application", self.cost, config.max_message_bytes)
    }
}

impl Engine {
    /// A message found no room: its sender is told when there is some.
    pub(super) fn refuse_for_now(&mut self, from: PeerId) {
        mark!(self, MessageNoRoom);
        if self.messages.intake.refused.insert(from) && !self.timers.is_set(TimerKey::MessageRoom) {
            self.messages.intake.look_after = LOOK_FIRST;
            self.set_timer(TimerKey::MessageRoom, LOOK_FIRST);
        }
    }

    pub(in super::super) fn message_room_due(&mut self) {
        let intake = &self.messages.intake;
        let is_half_free = intake.cost <= self.config.max_message_bytes / 2;
        let has_room = |peer: &&PeerId| is_half_free && intake.share_of(peer) <= share(&self.config) / 2;
        let invited: Vec<PeerId> = intake.refused.iter().filter(has_room).copied().collect();
        for peer in &invited {
            self.messages.intake.refused.remove(peer);
            self.ask_again(*peer);
        }
        if !self.messages.intake.refused.is_empty() {
            let look_after = (self.messages.intake.look_after * 2).min(LOOK_LAST);
            self.messages.intake.look_after = look_after;
            self.set_timer(TimerKey::MessageRoom, look_after);
        }
    }
}
