//! A transfer that the store has no room for waits until it has some. Nothing that was written is given up, those who
//! offer the content are told, and a single block is tried now and then.

use alloc::vec::Vec;
use core::time::Duration;

use crate::content::ContentId;
use crate::event::{ContentFailure, Event};
use crate::identity::PeerId;
use crate::input::StoreFailure;
use crate::marks::mark;
use crate::output::{Action, StoreRequest};
use crate::timers::TimerKey;
use crate::wire::Frame;

use super::Engine;
use super::outputs::Slot;
use super::transfer::TransferStage;

/// How long a store without room is left alone.
const TRY_AGAIN: Duration = Duration::from_secs(5);

impl Engine {
    /// The store could not do what a transfer needs: it waits for room, or fails.
    pub(super) fn store_refused(&mut self, content: ContentId, failure: StoreFailure) {
        match failure {
            StoreFailure::Full => self.wait_for_room(content),
            StoreFailure::Io => self.fail_transfer(content, ContentFailure::StoreFailed),
            StoreFailure::Malformed => self.fail_transfer(content, ContentFailure::Malformed),
        }
    }

    fn wait_for_room(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get(&content) else { return };
        if transfer.stage == TransferStage::Paused || transfer.is_over() {
            return;
        }
        mark!(self, TransferPaused);
        let sources: Vec<PeerId> = transfer.sources.keys().copied().collect();
        for peer in sources {
            self.forget_requests(peer, content);
        }
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        transfer.sources.clear();
        transfer.lister = None;
        transfer.values.clear();
        transfer.stage = TransferStage::Paused;
        let news = !core::mem::replace(&mut transfer.no_room, true);
        self.set_timer(TimerKey::Transfer(content), TRY_AGAIN);
        if news {
            let offering =
                self.peers.iter().filter(|(_, known)| known.offers.contains_key(&content)).map(|(&id, _)| id);
            for peer in offering.collect::<Vec<_>>() {
                self.send_to_peer(peer, &Frame::NoRoom(content));
            }
            self.outputs.notify(Slot::Transfer(content));
        }
        self.start_transfers();
    }

    /// The store took something.
    pub(super) fn has_room(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if core::mem::replace(&mut transfer.no_room, false) {
            self.outputs.notify(Slot::Transfer(content));
        }
    }

    /// Tries whether there is room now, if it is a paused transfer's turn.
    pub(super) fn try_again(&mut self, content: ContentId) {
        let turn = self.has_turn();
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if !turn {
            self.set_timer(TimerKey::Transfer(content), TRY_AGAIN);
        } else if !transfer.store_open {
            transfer.stage = TransferStage::Opening;
            let manifest = transfer.manifest.clone();
            self.outputs.action(Action::Store(StoreRequest::Open { manifest }));
        } else {
            transfer.stage = transfer.stage_of_fetching();
            self.look_for_sources(content);
        }
    }

    /// Goes on with a transfer that had paused.
    pub(super) fn look_for_sources(&mut self, content: ContentId) {
        if self.finish_if_written(content) {
            return;
        }
        self.source_found(content);
        // Those who offer it may all be away.
        if self.transfers.get(&content).is_some_and(|transfer| transfer.sources.is_empty()) {
            self.without_source(content);
        }
    }

    /// What the application has not been told of a transfer that is not over.
    pub(super) fn pause_event(&mut self, content: ContentId) -> Option<Event> {
        let transfer = self.transfers.get_mut(&content)?;
        if transfer.no_room == transfer.no_room_told {
            return None;
        }
        transfer.no_room_told = transfer.no_room;
        let manifest = transfer.manifest.clone();
        Some(if transfer.no_room {
            Event::ContentPaused { manifest }
        } else {
            Event::ContentResumed { manifest }
        })
    }
}
