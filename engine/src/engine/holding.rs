//! A transfer that the application pauses: nothing more is asked for until it goes on. What came is kept, served to those
//! who fetch the content as well, and those who offer it are told.

use alloc::vec::Vec;

use crate::content::{BlockRef, ContentId};
use crate::identity::PeerId;
use crate::timers::TimerKey;
use crate::wire::Frame;

use super::Engine;
use super::transfer::TransferStage;

impl Engine {
    /// Pauses a transfer until [`resume`](Engine::resume). It gives its turn to others, keeps what came, and tells those
    /// who offer the content. Says whether it is paused now: not if nothing of the kind is being fetched, or if all of it
    /// is here already.
    pub fn pause(&mut self, now: crate::Timestamp, content: ContentId) -> bool {
        self.advance(now);
        let Some(transfer) = self.transfers.get(&content) else { return false };
        if transfer.is_over() || transfer.stage == TransferStage::Finishing {
            return false;
        }
        if transfer.held {
            return true;
        }
        let asked: Vec<_> = transfer
            .sources
            .values()
            .map(|source| (source.link, source.asked.keys().copied().collect::<Vec<u32>>()))
            .collect();
        let sources: Vec<PeerId> = transfer.sources.keys().copied().collect();
        for peer in sources {
            self.forget_requests(peer, content);
        }
        // They need not send what nobody waits for.
        for (link, asked) in asked {
            for index in asked {
                self.send_frame(link, &Frame::CancelBlock(BlockRef { content, index }));
            }
        }
        if let Some(transfer) = self.transfers.get_mut(&content) {
            transfer.held = true;
            transfer.sources.clear();
            transfer.lister = None;
            transfer.values.clear();
        }
        self.timers.cancel(TimerKey::Transfer(content));
        self.tell_paused(content, true);
        self.start_transfers();
        self.pump_links();
        true
    }

    /// Goes on with a transfer that the application has paused. Says whether there is one that is not paused by it now.
    pub fn resume(&mut self, now: crate::Timestamp, content: ContentId) -> bool {
        self.advance(now);
        let Some(transfer) = self.transfers.get_mut(&content).filter(|transfer| !transfer.is_over()) else {
            return false;
        };
        if !core::mem::replace(&mut transfer.held, false) {
            return true;
        }
        let stage = transfer.stage;
        self.tell_paused(content, false);
        match stage {
            TransferStage::Waiting => self.start_transfers(),
            TransferStage::Paused => self.try_again(content),
            TransferStage::Listing | TransferStage::Fetching => self.look_for_sources(content),
            _ => {}
        }
        self.pump_links();
        true
    }

    fn tell_paused(&mut self, content: ContentId, paused: bool) {
        let offering = self.peers.iter().filter(|(_, known)| known.offers.contains_key(&content));
        for peer in offering.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.send_to_peer(peer, &Frame::Paused { content, paused });
        }
    }
}
