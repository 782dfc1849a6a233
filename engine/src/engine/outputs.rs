//! What waits to be polled: datagrams, links with output, actions, and slots of the event stream.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
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
    Ask(PeerId),
    Text,
    TextsAcked(PeerId),
    TextsLost(PeerId),
    Message,
    Settled,
    Offer(PeerId, ContentId),
    Transfer(ContentId),
    Delivery(ContentId, PeerId),
    Incompatible,
    IdentityShared,
    Superseded,
    Left,
    Widescan,
    Task,
}

/// All output. Actions are the one queue that drops nothing, because each is needed: it holds what the calls since the
/// last drain have caused, and each call causes a bounded number.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    transmits: VecDeque<(Transmit, Vec<u8>)>,
    actions: VecDeque<Action>,
    ready: BTreeSet<LinkId>,
    /// The event stream, by turn, and each slot's turn.
    slots: BTreeMap<i64, Slot>,
    turns: BTreeMap<Slot, i64>,
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
        let after_all = self.slots.last_key_value().map_or(0, |(turn, _)| turn + 1);
        self.queue(slot, after_all);
    }

    /// Puts back a slot that has more to tell, before all others.
    pub(crate) fn notify_again(&mut self, slot: Slot) {
        let before_all = self.slots.first_key_value().map_or(0, |(turn, _)| turn - 1);
        self.queue(slot, before_all);
    }

    /// Takes a slot out: its entity is gone and has nothing more to tell.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(turn) = self.turns.remove(&slot) {
            self.slots.remove(&turn);
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
        let (_, slot) = self.slots.pop_first()?;
        self.turns.remove(&slot);
        Some(slot)
    }

    fn queue(&mut self, slot: Slot, turn: i64) {
        if let Entry::Vacant(entry) = self.turns.entry(slot) {
            entry.insert(turn);
            self.slots.insert(turn, slot);
        }
    }
}
