//! Fetching content: the list of chaining values first, from one source, then blocks from all who have them, the last
//! one first because only it proves the size.

use alloc::vec::Vec;
use core::time::Duration;

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
use super::transfer::{BlockState, Source, Transfer, TransferStage};

/// Contents that are fetched at the same time; the others wait for their turn.
const ACTIVE: usize = 4;

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
        self.begin_fetch(content)?;
        self.pump_links();
        Ok(())
    }

    pub(super) fn begin_fetch(&mut self, content: ContentId) -> Result<(), FetchError> {
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
            sources: transfer.sources.keys().copied().collect(),
            paused: transfer.held,
        })
    }

    // ---- Beginning ----

    /// Gives free turns to transfers that lost their sources and may have found others, then to new ones.
    pub(super) fn start_transfers(&mut self) {
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
            .filter(|(_, transfer)| transfer.stage == TransferStage::Waiting && !transfer.held)
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
            Err(failure) => return self.store_refused(content, failure),
        };
        transfer.store_open = true;
        // Of a single block there is no list, and so nothing unless the store says that it has all of it.
        let is_any = content.block_count() > 1 || !leftovers.blocks.is_empty();
        if is_any && leftovers.list.proves(&content) {
            mark!(self, TransferResumed);
            transfer.resume(leftovers);
        }
        transfer.stage = transfer.stage_of_fetching();
        self.has_room(content);
        if !self.finish_if_written(content) {
            self.source_found(content);
        }
    }

    /// Has the store finish a content of which every block is written. Says whether it is one.
    pub(super) fn finish_if_written(&mut self, content: ContentId) -> bool {
        let Some(transfer) = self.transfers.get_mut(&content) else { return false };
        if transfer.written < content.block_count() {
            return false;
        }
        transfer.stage = TransferStage::Finishing;
        transfer.sources.clear();
        self.timers.cancel(TimerKey::Transfer(content));
        self.outputs.action(Action::Store(StoreRequest::Finish { content }));
        true
    }

    // ---- Asking ----

    fn active_transfers(&self) -> usize {
        self.transfers.values().filter(|transfer| transfer.is_active()).count()
    }

    /// Whether one more transfer may be active.
    pub(super) fn has_turn(&self) -> bool {
        self.active_transfers() < ACTIVE
    }

    /// Asks every source for as much as its window and that of the transfer allow, those first that have the least to
    /// do, and a source for the list if that is what is missing.
    pub(super) fn request_more(&mut self, content: ContentId) {
        let (now, timeout) = (self.now, self.config.source_timeout);
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        // One block shows whether the store has room again.
        let window = if transfer.no_room { 1 } else { self.config.window };
        let mut frames: Vec<(LinkId, Frame)> = Vec::new();
        match transfer.stage {
            TransferStage::Listing if transfer.lister.is_none() => {
                let turn = transfer.lister_turn as usize % transfer.sources.len().max(1);
                let Some((&peer, source)) = transfer.sources.iter().nth(turn) else { return };
                transfer.lister = Some((peer, now));
                let first = transfer.values.len() as u32;
                frames.push((source.link, Frame::ListRequest { content, first }));
            }
            TransferStage::Fetching => {
                let mut idle: Vec<PeerId> = transfer.sources.keys().copied().collect();
                while transfer.in_flight() < window {
                    let load = |id: &PeerId| transfer.sources.get(id).map_or(0, |source| source.asked.len());
                    let Some(peer) = idle.iter().copied().min_by_key(load) else { break };
                    let Some(index) = transfer.choose(&peer, now, timeout) else {
                        idle.retain(|id| *id != peer);
                        continue;
                    };
                    let Some(check) = transfer.list.check(&content, index) else { break };
                    #[cfg(feature = "planted")]
                    let check = if planted!(self, BadBlock) { check.blind() } else { check };
                    let Some(source) = transfer.sources.get_mut(&peer) else { break };
                    source.ask(index, now);
                    let link = source.link;
                    if transfer.set(index, BlockState::Requested) == Some(BlockState::Requested) {
                        mark!(self, BlockAskedTwice);
                    }
                    let block = BlockRef { content, index };
                    self.outputs.action(Action::ExpectBlock { link, block, check });
                    frames.push((link, Frame::BlockRequest(block)));
                }
                // A taker that has nothing more to give is a source again when it says so.
                let useless = |id: &PeerId, source: &Source| {
                    !source.whole && source.asked.is_empty() && !transfer.is_useful(id)
                };
                let useless: Vec<PeerId> = transfer
                    .sources
                    .iter()
                    .filter(|(id, source)| useless(id, source))
                    .map(|(&id, _)| id)
                    .collect();
                for id in useless {
                    transfer.sources.remove(&id);
                }
                if transfer.sources.is_empty() {
                    return self.without_source(content);
                }
            }
            _ => {}
        }
        for (link, frame) in &frames {
            self.send_frame(*link, frame);
        }
        self.watch_sources(content);
    }

    // ---- Answers ----

    pub(super) fn list_part(&mut self, peer: PeerId, content: ContentId, first: u32, values: Vec<[u8; 32]>) {
        let now = self.now;
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.stage != TransferStage::Listing
            || transfer.lister.is_none_or(|(lister, _)| lister != peer)
        {
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
            transfer.lister = Some((peer, now));
            let first = transfer.values.len() as u32;
            self.send_to_peer(peer, &Frame::ListRequest { content, first });
            self.watch_sources(content);
            return;
        }
        let list = BlockList::from_values(core::mem::take(&mut transfer.values));
        if list.proves(&content) {
            transfer.lister = None;
            transfer.list = list.clone();
            transfer.stage = TransferStage::Fetching;
            self.outputs.action(Action::Store(StoreRequest::KeepList { content, list }));
            self.tell_takers(content);
            self.request_more(content);
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
        let most = self.config.window;
        let BlockRef { content, index } = block;
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        transfer.fetched_bytes += content.block_len(index).unwrap_or(0) as u64;
        let Some(from) = from else { return };
        let source = transfer.sources.get_mut(&from).filter(|source| source.link == id);
        if verdict == Verdict::Bad {
            // Fetched again, from here as long as it was a mishap.
            if source.is_some_and(|source| source.asked.remove(&index).is_some()) {
                transfer.not_coming(index);
                self.strike(from, content);
            }
            return;
        }
        if let Some(source) = source {
            source.answered(index, now, most);
        }
        transfer.last_source = from;
        match transfer.state(index) {
            Some(BlockState::Requested) => {
                transfer.set(index, BlockState::Arrived);
            }
            Some(BlockState::Missing) => {
                mark!(self, BlockLate);
                transfer.set(index, BlockState::Arrived);
            }
            _ => {}
        }
        // It was asked of another as well, who need not send it any more.
        let others = transfer.sources.values_mut();
        let spared: Vec<LinkId> =
            others.filter_map(|other| other.asked.remove(&index).map(|_| other.link)).collect();
        for link in spared {
            self.outputs.action(Action::ForgetBlock { link, block });
            self.send_frame(link, &Frame::CancelBlock(block));
        }
        self.request_more(content);
    }

    pub(super) fn block_written(&mut self, block: BlockRef, result: Result<(), StoreFailure>) {
        let Some(transfer) = self.transfers.get_mut(&block.content) else { return };
        let paused = transfer.is_paused();
        if !transfer.is_under_way() && !paused {
            return;
        }
        if let Err(failure) = result {
            transfer.set(block.index, BlockState::Missing);
            return self.store_refused(block.content, failure);
        }
        match transfer.set(block.index, BlockState::Written) {
            Some(BlockState::Written) | None => return,
            Some(_) => {}
        }
        transfer.written += 1;
        self.tell_takers_of(block);
        if paused {
            return;
        }
        self.has_room(block.content);
        if !self.finish_if_written(block.content) {
            mark!(self, WindowRefilled);
            self.request_more(block.content);
        }
    }

    pub(super) fn store_finished(&mut self, content: ContentId, result: Result<(), StoreFailure>) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.stage != TransferStage::Finishing {
            return;
        }
        if let Err(failure) = result {
            return self.store_refused(content, failure);
        }
        transfer.stage = TransferStage::Complete;
        self.serve_on(content);
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

    // ---- Ending ----

    pub(super) fn fail_transfer(&mut self, content: ContentId, reason: ContentFailure) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.is_over() {
            return;
        }
        let opened = transfer.is_opened();
        let sources: Vec<PeerId> = transfer.sources.keys().copied().collect();
        for peer in sources {
            self.forget_requests(peer, content);
        }
        self.leave_takers(content);
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        transfer.sources.clear();
        transfer.stage = TransferStage::Failed(reason);
        self.timers.cancel(TimerKey::Transfer(content));
        if opened {
            self.outputs.action(Action::Store(match reason {
                ContentFailure::NoSource => StoreRequest::Close { content },
                _ => StoreRequest::Abandon { content },
            }));
        }
        if reason == ContentFailure::StoreFailed {
            mark!(self, StoreFailed);
        }
        if matches!(reason, ContentFailure::StoreFailed | ContentFailure::Malformed) {
            self.decline_everywhere(content);
        }
        self.outputs.notify(Slot::Transfer(content));
        self.start_transfers();
    }

    /// The end of a transfer, or that it waits for room. It is forgotten once its end has been taken.
    pub(super) fn transfer_event(&mut self, content: ContentId) -> Option<Event> {
        if !self.transfers.get(&content)?.is_over() {
            return self.pause_event(content);
        }
        let transfer = self.transfers.remove(&content)?;
        if self.offers_wait {
            // Not here: whoever polls for events has done what there was to do.
            self.set_timer(TimerKey::Offers, Duration::ZERO);
        }
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
