//! Fetching content: the list of chaining values first, then blocks, the last one first because only it proves the
//! size, from one source at a time.

use alloc::vec::Vec;

use crate::content::{BlockList, BlockRef, ContentId, Verdict};
use crate::event::{ContentFailure, Event};
use crate::identity::PeerId;
use crate::input::{Leftovers, LinkId, StoreFailure};
use crate::marks::mark;
use crate::output::{Action, StoreRequest};
#[cfg(feature = "planted")]
use crate::planted::planted;
use crate::timers::TimerKey;
use crate::wire::{Frame, VALUES_PER_PART};

use super::Engine;
use super::contents::{FetchError, Progress};
use super::outputs::Slot;
use super::transfer::{BlockState, Transfer, TransferStage};

/// Contents that are fetched at the same time; the others wait for their turn.
const ACTIVE: usize = 4;

/// Wrong or missing answers after which a source is not asked for this content any more.
const STRIKES: u32 = 3;

/// A transfer without a source asks again those whom it has given up after this many times `source_timeout`.
const FORGIVEN_AFTER: u32 = 4;

/// Contents remembered as complete, in multiples of `max_contents`.
pub(super) const COMPLETED_FACTOR: usize = 4;

impl Engine {
    /// Fetches content that some trusted peer offers, and goes on until it is complete, no peer that offers it is
    /// left, or it is cancelled. Fetching it again while it is being fetched changes nothing.
    ///
    /// # Errors
    ///
    /// See [`FetchError`]; nothing changed.
    pub fn fetch(&mut self, now: crate::Timestamp, content: ContentId) -> Result<(), FetchError> {
        self.advance(now);
        if self.leaving.is_some() {
            return Err(FetchError::Leaving);
        }
        if self.transfers.contains_key(&content) {
            return Ok(());
        }
        let offer =
            self.peers.iter_mut().find_map(|(&id, known)| Some((id, known.offers.get_mut(&content)?)));
        let Some((offering, offer)) = offer else { return Err(FetchError::NotOffered) };
        if self.transfers.len() >= self.config.max_contents {
            return Err(FetchError::Full);
        }
        offer.declined = false;
        let manifest = offer.manifest.clone();
        self.transfers.insert(content, Transfer::new(manifest, offering));
        self.start_transfers();
        self.pump_links();
        Ok(())
    }

    /// Gives up content that is being fetched, and declines it.
    pub fn cancel(&mut self, now: crate::Timestamp, content: ContentId) {
        self.advance(now);
        self.fail_transfer(content, ContentFailure::Cancelled);
        self.decline_everywhere(content);
        self.pump_links();
    }

    /// How far a transfer has come; `None` when there is none, or its end has been told.
    #[must_use]
    pub fn progress(&self, content: &ContentId) -> Option<Progress<'_>> {
        self.transfers.get(content).map(|transfer| Progress {
            manifest: &transfer.manifest,
            written: transfer.written,
            blocks: content.block_count(),
            fetched_bytes: transfer.fetched_bytes,
            source: transfer.source,
        })
    }

    // ---- Beginning ----

    /// Gives free turns to transfers that lost their source and may have found another, then to new ones.
    fn start_transfers(&mut self) {
        let parked: Vec<ContentId> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.is_opened() && !transfer.is_active())
            .map(|(&content, _)| content)
            .collect();
        for content in parked {
            self.source_found(content);
        }
        let active = self.active_transfers();
        let waiting: Vec<ContentId> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.stage == TransferStage::Waiting)
            .map(|(&content, _)| content)
            .take(ACTIVE.saturating_sub(active))
            .collect();
        for content in waiting {
            if let Some(transfer) = self.transfers.get_mut(&content) {
                transfer.stage = TransferStage::Opening;
                let manifest = transfer.manifest.clone();
                self.outputs.action(Action::Store(StoreRequest::Open { manifest }));
            }
        }
    }

    pub(super) fn store_opened(&mut self, content: ContentId, result: Result<Leftovers, StoreFailure>) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.stage != TransferStage::Opening {
            return;
        }
        let leftovers = match result {
            Ok(leftovers) => leftovers,
            Err(failure) => {
                self.fail_transfer(content, failure_of(failure));
                return;
            }
        };
        let has_list = content.block_count() > 1;
        if has_list && leftovers.list.proves(&content) {
            mark!(self, TransferResumed);
            transfer.resume(leftovers);
        }
        transfer.stage = if has_list && transfer.list.is_empty() {
            TransferStage::Listing
        } else {
            TransferStage::Fetching
        };
        if !self.finish_if_written(content) {
            self.source_found(content);
        }
    }

    /// Has the store finish a content of which every block is written. Says whether it is one.
    fn finish_if_written(&mut self, content: ContentId) -> bool {
        let Some(transfer) = self.transfers.get_mut(&content) else { return false };
        if transfer.written < content.block_count() {
            return false;
        }
        transfer.stage = TransferStage::Finishing;
        self.timers.cancel(TimerKey::Transfer(content));
        self.outputs.action(Action::Store(StoreRequest::Finish { content }));
        true
    }

    fn active_transfers(&self) -> usize {
        self.transfers.values().filter(|transfer| transfer.is_active()).count()
    }

    /// There may be a source for a transfer that has none.
    pub(super) fn source_found(&mut self, content: ContentId) {
        let parked = self.transfers.get(&content).is_some_and(|transfer| transfer.source.is_none());
        if parked && self.active_transfers() < ACTIVE {
            self.transfer_needs_source(content);
        }
    }

    /// Picks a source if there is none, and asks it for what is missing.
    fn transfer_needs_source(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get(&content) else { return };
        let wants = matches!(transfer.stage, TransferStage::Listing | TransferStage::Fetching);
        if transfer.source.is_none() && wants {
            let source = self
                .peers
                .iter()
                .filter(|(id, known)| known.is_trusted() && !transfer.bad.contains(id))
                .find(|(_, known)| known.offers.get(&content).is_some_and(|offer| offer.live))
                .map(|(&id, _)| id);
            if let Some(transfer) = self.transfers.get_mut(&content) {
                if source.is_some_and(|source| source != transfer.last_source) {
                    mark!(self, SourceSwitched);
                }
                transfer.source = source;
                transfer.strikes = 0;
            }
        }
        self.request_more(content, true);
    }

    /// Gives up what was asked for and did not come: the link that it was asked on need not expect it.
    fn forget_requests(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let link = transfer.asked;
        for index in transfer.forget_requests() {
            let block = BlockRef { content, index };
            if let Some(link) = link.filter(|link| self.links.contains_key(link)) {
                self.outputs.action(Action::ForgetBlock { link, block });
            }
        }
    }

    /// Asks the source for as much as the window allows. `fresh` when nothing is under way to it.
    fn request_more(&mut self, content: ContentId, fresh: bool) {
        let window = self.config.window;
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let Some(source) = transfer.source else { return };
        let Some(link) =
            self.peers.get(&source).filter(|known| known.is_trusted()).and_then(|known| known.link)
        else {
            return;
        };
        let mut frames: Vec<Frame> = Vec::new();
        match transfer.stage {
            TransferStage::Listing if fresh => {
                let first = transfer.values.len() as u32;
                frames.push(Frame::ListRequest { content, first });
            }
            TransferStage::Fetching => {
                while transfer.in_flight < window {
                    let Some(index) = transfer.next_missing() else { break };
                    let Some(check) = transfer.list.check(&content, index) else { break };
                    #[cfg(feature = "planted")]
                    let check = if planted!(self, BadBlock) { check.blind() } else { check };
                    transfer.set(index, BlockState::Requested);
                    transfer.asked = Some(link);
                    transfer.in_flight += 1;
                    let block = BlockRef { content, index };
                    self.outputs.action(Action::ExpectBlock { link, block, check });
                    frames.push(Frame::BlockRequest(block));
                }
            }
            _ => {}
        }
        if frames.is_empty() && !fresh {
            return;
        }
        for frame in &frames {
            self.send_frame(link, frame);
        }
        self.watch_source(content);
    }

    fn watch_source(&mut self, content: ContentId) {
        self.set_timer(TimerKey::Transfer(content), self.config.source_timeout);
    }

    // ---- Answers ----

    pub(super) fn list_part(&mut self, peer: PeerId, content: ContentId, first: u32, values: Vec<[u8; 32]>) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.stage != TransferStage::Listing || transfer.source != Some(peer) {
            return;
        }
        let count = content.block_count() as usize;
        let expected = (count - transfer.values.len().min(count)).min(VALUES_PER_PART);
        if first as usize != transfer.values.len() {
            mark!(self, ListPartStray);
            return;
        }
        if values.is_empty() || values.len() > expected {
            mark!(self, ListPartBad);
            self.source_failed(peer, content);
            return;
        }
        transfer.values.extend_from_slice(&values);
        if transfer.values.len() < count {
            self.request_more(content, true);
            return;
        }
        let list = BlockList::from_values(core::mem::take(&mut transfer.values));
        if list.proves(&content) {
            transfer.list = list.clone();
            transfer.stage = TransferStage::Fetching;
            self.outputs.action(Action::Store(StoreRequest::KeepList { content, list }));
            self.request_more(content, true);
        } else {
            mark!(self, ListUnproven);
            self.source_failed(peer, content);
        }
    }

    pub(super) fn block_arrived(&mut self, id: LinkId, block: BlockRef, verdict: Verdict) {
        let now = self.now;
        let from = self.links.get_mut(&id).and_then(|link| {
            link.last_heard = now;
            link.peer
        });
        self.heard_on_link(id);
        match verdict {
            Verdict::Good => self.stats.blocks_good += 1,
            Verdict::Bad => {
                mark!(self, BlockBad);
                self.stats.blocks_bad += 1;
            }
            Verdict::Unexpected => {
                mark!(self, BlockUnexpected);
                self.stats.blocks_unexpected += 1;
                return;
            }
        }
        let Some(transfer) = self.transfers.get_mut(&block.content) else { return };
        transfer.fetched_bytes += block.content.block_len(block.index).unwrap_or(0) as u64;
        let state = transfer.blocks.get(block.index as usize).copied();
        if verdict == Verdict::Good {
            match state {
                Some(BlockState::Requested) => {
                    transfer.set(block.index, BlockState::Arrived);
                }
                Some(BlockState::Missing) => {
                    mark!(self, BlockLate);
                    transfer.set(block.index, BlockState::Arrived);
                    transfer.in_flight += 1;
                }
                _ => {}
            }
            transfer.last_source = from.unwrap_or(transfer.last_source);
            transfer.strikes = 0;
            if transfer.source == from {
                self.watch_source(block.content);
            }
            return;
        }
        // Fetched again, from here as long as it was a mishap.
        if state == Some(BlockState::Requested) {
            transfer.set(block.index, BlockState::Missing);
            transfer.in_flight -= 1;
        }
        if transfer.source.is_some() && transfer.source == from {
            self.strike(block.content);
        } else {
            self.request_more(block.content, false);
        }
    }

    pub(super) fn block_written(&mut self, block: BlockRef, result: Result<(), StoreFailure>) {
        let Some(transfer) = self.transfers.get_mut(&block.content) else { return };
        if !matches!(transfer.stage, TransferStage::Listing | TransferStage::Fetching) {
            return;
        }
        if let Err(failure) = result {
            self.fail_transfer(block.content, failure_of(failure));
            return;
        }
        match transfer.set(block.index, BlockState::Written) {
            Some(BlockState::Requested | BlockState::Arrived) => transfer.in_flight -= 1,
            Some(BlockState::Missing) => {}
            Some(BlockState::Written) | None => return,
        }
        transfer.written += 1;
        if !self.finish_if_written(block.content) {
            mark!(self, WindowRefilled);
            self.request_more(block.content, false);
        }
    }

    pub(super) fn store_finished(&mut self, content: ContentId, result: Result<(), StoreFailure>) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.stage != TransferStage::Finishing {
            return;
        }
        if let Err(failure) = result {
            self.fail_transfer(content, failure_of(failure));
            return;
        }
        transfer.stage = TransferStage::Complete;
        if self.completed.len() >= self.config.max_contents * COMPLETED_FACTOR {
            self.completed.pop_front();
        }
        self.completed.push_back(content);
        let offering: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, known)| known.offers.contains_key(&content))
            .map(|(&id, _)| id)
            .collect();
        for peer in offering {
            self.send_to_peer(peer, &Frame::Complete(content));
        }
        self.outputs.notify(Slot::Transfer(content));
        self.start_transfers();
    }

    // ---- Trouble ----

    /// The source said that it cannot serve the content, or what it sent proves nothing.
    pub(super) fn source_failed(&mut self, peer: PeerId, content: ContentId) {
        let offers = self.peers.get(&peer).is_some_and(|known| known.offers.contains_key(&content));
        if let Some(transfer) = self.transfers.get_mut(&content).filter(|_| offers) {
            transfer.bad.insert(peer);
            mark!(self, SourceGivenUp);
            self.source_lost(peer, content);
        }
    }

    /// A peer does not serve the content any more, for now at least.
    pub(super) fn source_lost(&mut self, peer: PeerId, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let served_by_other = transfer.source.is_some_and(|source| source != peer);
        if transfer.is_over() || transfer.stage == TransferStage::Finishing || served_by_other {
            return;
        }
        if transfer.source.take().is_some() {
            self.timers.cancel(TimerKey::Transfer(content));
            if transfer.stage == TransferStage::Listing {
                transfer.values.clear();
            }
        }
        self.forget_requests(content);
        let Some(transfer) = self.transfers.get(&content) else { return };
        // What is missing is only on its way to the store.
        if transfer.has_every_block() {
            return;
        }
        let bad = &transfer.bad;
        let hope =
            self.peers.iter().any(|(id, known)| known.offers.contains_key(&content) && !bad.contains(id));
        if hope {
            mark!(self, SourceAbsent);
            // Those who are hoped for may never come back, while one that was given up has it intact again.
            if !bad.is_empty() {
                self.set_timer(TimerKey::Transfer(content), self.config.source_timeout * FORGIVEN_AFTER);
            }
            self.start_transfers();
        } else {
            mark!(self, NoSourceLeft);
            self.fail_transfer(content, ContentFailure::NoSource);
        }
    }

    /// A peer's link changed: what was asked for on the old one will not come.
    pub(super) fn transfers_moved(&mut self, peer: PeerId) {
        let affected: Vec<ContentId> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.source.is_none_or(|source| source == peer))
            .filter(|(_, transfer)| {
                matches!(transfer.stage, TransferStage::Listing | TransferStage::Fetching)
            })
            .map(|(&content, _)| content)
            .collect();
        for content in affected {
            self.forget_requests(content);
            if self.transfers.get(&content).is_some_and(|transfer| transfer.source.is_some()) {
                self.transfer_needs_source(content);
            } else {
                self.source_found(content);
            }
        }
    }

    /// The source sent something wrong or nothing in time: asked again, and after some more of it, replaced.
    fn strike(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let Some(source) = transfer.source else { return };
        transfer.strikes += 1;
        mark!(self, SourceStruck);
        if transfer.strikes >= STRIKES {
            self.source_failed(source, content);
        } else {
            self.request_more(content, true);
        }
    }

    pub(super) fn transfer_due(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.source.is_none() {
            mark!(self, SourceForgiven);
            transfer.bad.clear();
            self.source_found(content);
            return;
        }
        if transfer.stage == TransferStage::Fetching && !transfer.blocks.contains(&BlockState::Requested) {
            // The store is slow, not the source.
            mark!(self, StoreSlow);
            self.watch_source(content);
            return;
        }
        self.forget_requests(content);
        self.strike(content);
    }

    fn fail_transfer(&mut self, content: ContentId, reason: ContentFailure) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.is_over() {
            return;
        }
        let opened = transfer.is_opened();
        self.forget_requests(content);
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        transfer.stage = TransferStage::Failed(reason);
        self.timers.cancel(TimerKey::Transfer(content));
        if opened {
            self.outputs.action(Action::Store(match reason {
                ContentFailure::NoSource => StoreRequest::Close { content },
                _ => StoreRequest::Abandon { content },
            }));
        }
        if matches!(reason, ContentFailure::StoreFull | ContentFailure::StoreFailed) {
            mark!(self, StoreFailed);
            self.decline_everywhere(content);
        }
        self.outputs.notify(Slot::Transfer(content));
        self.start_transfers();
    }

    /// The end of a transfer. It is forgotten once this has been taken.
    pub(super) fn transfer_event(&mut self, content: ContentId) -> Option<Event> {
        if !self.transfers.get(&content)?.is_over() {
            return None;
        }
        let transfer = self.transfers.remove(&content)?;
        let manifest = transfer.manifest;
        match transfer.stage {
            TransferStage::Complete => {
                let from = transfer.last_source;
                Some(Event::ContentReceived { manifest, from, fetched_bytes: transfer.fetched_bytes })
            }
            TransferStage::Failed(reason) => Some(Event::ContentFailed { manifest, reason }),
            _ => None,
        }
    }
}

fn failure_of(failure: StoreFailure) -> ContentFailure {
    match failure {
        StoreFailure::Full => ContentFailure::StoreFull,
        StoreFailure::Io => ContentFailure::StoreFailed,
    }
}
