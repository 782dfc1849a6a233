//! What waits to be polled: datagrams, links with output, actions, and slots of the event stream.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::content::ContentId;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::output::{Action, Transmit};

/// Datagrams that wait to be sent; beyond it the oldest is dropped: a beacon comes again.
const MAX_TRANSMITS: usize = 256;

/// An entity that has something to tell the application. Each is in the queue at most once, which bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    Peer(PeerId),
    Step(PeerId),
    Text,
    TextsAcked(PeerId),
    Offer(PeerId, ContentId),
    Transfer(ContentId),
    Delivery(ContentId, PeerId),
    Incompatible,
    Left,
}

#[derive(Debug, Default)]
pub(crate) struct Outputs {
    transmits: VecDeque<(Transmit, Vec<u8>)>,
    actions: VecDeque<Action>,
    ready: BTreeSet<LinkId>,
    slots: VecDeque<Slot>,
    queued: BTreeSet<Slot>,
}

impl Outputs {
    /// Queues a datagram; says whether another had to go for it.
    pub(crate) fn transmit(&mut self, transmit: Transmit, bytes: Vec<u8>) -> bool {
        let full = self.transmits.len() >= MAX_TRANSMITS;
        if full {
            self.transmits.pop_front();
        }
        self.transmits.push_back((transmit, bytes));
        full
    }

    pub(crate) fn action(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn link_ready(&mut self, link: LinkId) {
        self.ready.insert(link);
    }

    /// Puts `slot` at the end of the event stream unless it waits there already.
    pub(crate) fn notify(&mut self, slot: Slot) {
        if self.queued.insert(slot) {
            self.slots.push_back(slot);
        }
    }

    /// Puts back a slot that has more to tell, before all others.
    pub(crate) fn notify_again(&mut self, slot: Slot) {
        if self.queued.insert(slot) {
            self.slots.push_front(slot);
        }
    }

    pub(crate) fn next_transmit(&mut self) -> Option<(Transmit, Vec<u8>)> {
        self.transmits.pop_front()
    }

    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(crate) fn next_ready(&mut self) -> Option<LinkId> {
        self.ready.pop_first()
    }

    pub(crate) fn next_slot(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.queued.remove(&slot);
        Some(slot)
    }
}
