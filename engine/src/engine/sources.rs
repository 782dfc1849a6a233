//! Whom a content is fetched from: who becomes a source, and what happens when one is slow, sends something wrong, or is
//! not there any more.

use alloc::vec::Vec;
use core::time::Duration;

use crate::content::{BlockRef, ContentId};
use crate::event::ContentFailure;
use crate::identity::PeerId;
use crate::marks::mark;
use crate::output::Action;
use crate::timers::TimerKey;

use super::Engine;
use super::transfer::{Source, TransferStage};

/// Peers that one content is fetched from at a time; others wait until one is lost.
pub(super) const MAX_SOURCES: usize = 16;

/// How long the list may keep a transfer waiting before another source is asked for it; twice as long each time.
const LIST_PATIENCE: Duration = Duration::from_secs(1);

/// Wrong or missing answers after which a source is not asked for this content any more.
const STRIKES: u32 = 3;

/// A transfer without a source asks again those whom it has given up after this many times `source_timeout`.
const FORGIVEN_AFTER: u32 = 4;

impl Engine {
    // ---- Becoming one ----

    /// There may be a source more for a transfer: takes all that there are, and asks them for what is missing.
    pub(super) fn source_found(&mut self, content: ContentId) {
        let (now, turn) = (self.now, self.has_turn());
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let begins = transfer.sources.is_empty();
        if !transfer.is_under_way() || (begins && !turn) {
            return;
        }
        for (&id, known) in &self.peers {
            let Some(link) = known.link.filter(|_| known.is_trusted() && !transfer.bad.contains(&id)) else {
                continue;
            };
            let whole = known.offers.get(&content).is_some_and(|offer| offer.live);
            if let Some(source) = transfer.sources.get_mut(&id) {
                source.whole |= whole;
            } else if transfer.sources.len() < MAX_SOURCES && (whole || transfer.is_useful(&id)) {
                if begins && id != transfer.last_source {
                    mark!(self, SourceSwitched);
                }
                if !transfer.sources.is_empty() {
                    mark!(self, SourceAdded);
                }
                transfer.sources.insert(id, Source::new(link, whole, now));
            }
        }
        if !transfer.sources.is_empty() {
            self.request_more(content);
        }
    }

    /// Gives up what a source was asked for: the link need not expect it.
    pub(super) fn forget_requests(&mut self, peer: PeerId, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let Some(link) = transfer.sources.get(&peer).map(|source| source.link) else { return };
        for index in transfer.forget_asked(&peer) {
            if self.links.contains_key(&link) {
                self.outputs.action(Action::ForgetBlock { link, block: BlockRef { content, index } });
            }
        }
    }

    /// Wakes when the first source is overdue, or has been silent for too long.
    pub(super) fn watch_sources(&mut self, content: ContentId) {
        let (now, timeout) = (self.now, self.config.source_timeout);
        let Some(transfer) = self.transfers.get(&content).filter(|transfer| transfer.is_under_way()) else {
            return;
        };
        let alone = transfer.sources.len() == 1;
        let left = |silence: Duration, patience: Duration| {
            if alone || silence >= patience { timeout.saturating_sub(silence) } else { patience - silence }
        };
        let due = match transfer.lister {
            // Whoever is slow gets more time when it is its turn again.
            Some((_, since)) => {
                let patience = LIST_PATIENCE.saturating_mul(1 << transfer.lister_turn.min(16));
                left(now.since(since), patience.min(timeout))
            }
            None => transfer
                .sources
                .values()
                .filter(|source| !source.asked.is_empty())
                .map(|source| left(source.silence(now), source.patience(timeout)))
                .min()
                .unwrap_or(timeout),
        };
        self.set_timer(TimerKey::Transfer(content), due);
    }

    // ---- Trouble ----

    /// The source said that it cannot serve the content, or what it sent proves nothing.
    pub(super) fn source_failed(&mut self, peer: PeerId, content: ContentId) {
        let offers = self.peers.get(&peer).is_some_and(|known| known.offers.contains_key(&content));
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if offers || transfer.takers.contains_key(&peer) {
            transfer.bad.insert(peer);
            mark!(self, SourceGivenUp);
            self.source_lost(peer, content);
        }
    }

    /// A peer does not serve the content any more, for now at least.
    pub(super) fn source_lost(&mut self, peer: PeerId, content: ContentId) {
        let Some(transfer) = self.transfers.get(&content) else { return };
        if transfer.is_over() || transfer.stage == TransferStage::Finishing {
            return;
        }
        self.forget_requests(peer, content);
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        transfer.sources.remove(&peer);
        if transfer.lister.is_some_and(|(lister, _)| lister == peer) {
            transfer.lister = None;
            transfer.values.clear();
        }
        if transfer.sources.is_empty() {
            self.without_source(content);
        } else {
            self.request_more(content);
        }
    }

    /// Nobody who is there has what is missing: hopes for those who offer it and may come back, and for a while for
    /// takers who may get it.
    pub(super) fn without_source(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get(&content) else { return };
        let paused = transfer.is_paused();
        if !paused {
            self.timers.cancel(TimerKey::Transfer(content));
        }
        // What is missing is only on its way to the store.
        if transfer.has_every_block() {
            return;
        }
        let bad = &transfer.bad;
        let hope =
            self.peers.iter().any(|(id, known)| known.offers.contains_key(&content) && !bad.contains(id));
        if hope && paused {
            // It is looked for when there is room, or when the application goes on.
        } else if hope {
            mark!(self, SourceAbsent);
            // Those who are hoped for may never come back, while one that was given up has it intact again.
            if !bad.is_empty() {
                self.set_timer(TimerKey::Transfer(content), self.config.source_timeout * FORGIVEN_AFTER);
            }
            self.start_transfers();
        } else if transfer.is_under_way() && transfer.takers.values().any(Option::is_some) {
            mark!(self, OnlyTakersLeft);
            self.set_timer(TimerKey::Transfer(content), self.config.source_timeout);
            self.start_transfers();
        } else {
            mark!(self, NoSourceLeft);
            self.fail_transfer(content, ContentFailure::NoSource);
        }
    }

    /// A peer's link changed: what was asked for on the old one will not come.
    pub(super) fn transfers_moved(&mut self, peer: PeerId) {
        let contents: Vec<ContentId> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.is_under_way())
            .map(|(&content, _)| content)
            .collect();
        let link = self.peers.get(&peer).and_then(|known| known.link);
        for content in contents {
            self.forget_requests(peer, content);
            let Some(transfer) = self.transfers.get_mut(&content) else { continue };
            if let (Some(source), Some(link)) = (transfer.sources.get_mut(&peer), link) {
                source.link = link;
            }
            if transfer.lister.is_some_and(|(lister, _)| lister == peer) {
                transfer.lister = None;
            }
            self.source_found(content);
        }
    }

    /// The source sent something wrong or nothing in time: asked again, and after some more of it, given up.
    pub(super) fn strike(&mut self, peer: PeerId, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let Some(source) = transfer.sources.get_mut(&peer) else { return };
        source.strikes += 1;
        source.window = 1;
        mark!(self, SourceStruck);
        if source.strikes >= STRIKES {
            self.source_failed(peer, content);
        } else {
            self.request_more(content);
        }
    }

    pub(super) fn transfer_due(&mut self, content: ContentId) {
        let (now, timeout) = (self.now, self.config.source_timeout);
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        if transfer.held {
            return;
        }
        if transfer.stage == TransferStage::Paused {
            return self.try_again(content);
        }
        if transfer.sources.is_empty() {
            if self.peers.values().any(|known| known.offers.contains_key(&content)) {
                mark!(self, SourceForgiven);
                transfer.bad.clear();
                self.source_found(content);
            } else {
                mark!(self, NoSourceLeft);
                self.fail_transfer(content, ContentFailure::NoSource);
            }
            return;
        }
        if let Some((lister, since)) = transfer.lister.take() {
            // Another may be quicker.
            transfer.lister_turn = transfer.lister_turn.saturating_add(1);
            if transfer.sources.len() > 1 {
                transfer.values.clear();
            }
            if now.since(since) >= timeout {
                self.strike(lister, content);
            } else {
                mark!(self, SourceOverdue);
                self.request_more(content);
            }
            return;
        }
        let asked = transfer.sources.values().any(|source| !source.asked.is_empty());
        if transfer.stage == TransferStage::Fetching && !asked {
            // The store is slow, not the source.
            mark!(self, StoreSlow);
        }
        let silent = |source: &&Source| !source.asked.is_empty() && source.silence(now) >= timeout;
        let silent: Vec<PeerId> =
            transfer.sources.iter().filter(|(_, source)| silent(source)).map(|(&id, _)| id).collect();
        if asked && silent.is_empty() {
            mark!(self, SourceOverdue);
        }
        for &peer in &silent {
            self.forget_requests(peer, content);
        }
        for &peer in &silent {
            self.strike(peer, content);
        }
        if silent.is_empty() {
            self.request_more(content);
        }
    }
}
