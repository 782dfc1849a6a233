//! Those who fetch one content serve one another. A source names them to each other; they say what they have, as a map
//! first and block by block then, and serve it, also after they have it all. To be named is all that lets a peer have
//! content from somebody who does not offer it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::content::{BlockList, BlockMap, BlockRef, ContentId};
use crate::identity::PeerId;
use crate::marks::mark;
use crate::output::{Action, StoreRequest};
use crate::wire::Frame;

use super::Engine;
use super::contents::Published;
use super::transfer::{BlockState, Transfer};

/// Peers that are known to fetch one content; those who come later are not known.
pub(super) const MAX_TAKERS: usize = 64;

/// How much of `max_contents` fetched contents may take that are served on; beyond it the oldest is not any more.
const SERVED_PART: usize = 4;

/// What a peer may have of a content.
pub(super) struct Served<'a> {
    pub(super) list: &'a BlockList,
    /// Which blocks there are; all of them if there is nothing.
    blocks: Option<&'a [BlockState]>,
}

impl Served<'_> {
    pub(super) fn has(&self, block: BlockRef) -> bool {
        let is_one = block.content.block_len(block.index).is_some();
        is_one
            && self.blocks.is_none_or(|blocks| blocks.get(block.index as usize) == Some(&BlockState::Written))
    }

    fn map(&self, content: ContentId) -> BlockMap {
        BlockMap::of(&content, |index| self.has(BlockRef { content, index }))
    }
}

impl Transfer {
    /// What takers may have of it: nothing before its list is proven.
    fn served(&self, peer: &PeerId) -> Option<Served<'_>> {
        let ready = !self.list.is_empty() && !self.is_over();
        (ready && self.takers.contains_key(peer))
            .then_some(Served { list: &self.list, blocks: Some(&self.blocks) })
    }
}

impl Engine {
    /// What this peer may have of a content.
    pub(super) fn served(&self, content: &ContentId, peer: &PeerId) -> Option<Served<'_>> {
        let published = self.published.get(content).filter(|published| published.is_for(peer));
        match published {
            Some(published) => Some(Served { list: &published.list, blocks: None }),
            None => self.transfers.get(content)?.served(peer),
        }
    }

    // ---- As the one who offers it ----

    /// A peer fetches what we offer: told who else does, and they of it.
    pub(super) fn name_takers(&mut self, peer: PeerId, content: ContentId) {
        let Some(published) = self.published.get_mut(&content) else { return };
        // A content of one block is there at once.
        let shared = content.block_count() > 1 && published.offered;
        if !shared || published.takers.contains(&peer) || !published.is_for(&peer) {
            return;
        }
        let others: Vec<PeerId> = published.takers.iter().copied().collect();
        if published.takers.len() < MAX_TAKERS {
            published.takers.insert(peer);
        }
        if others.is_empty() {
            return;
        }
        mark!(self, TakersNamed);
        for &other in &others {
            self.answer_peer(other, &Frame::Takers { content, peers: alloc::vec![peer] });
        }
        self.answer_peer(peer, &Frame::Takers { content, peers: others });
    }

    // ---- As one of them ----

    /// A source says who fetches this content as well.
    pub(super) fn takers_named(&mut self, source: PeerId, content: ContentId, peers: Vec<PeerId>) {
        let offers = self.peers.get(&source).is_some_and(|known| known.offers.contains_key(&content));
        if !offers || peers.len() > MAX_TAKERS {
            self.stats.frames_refused += 1;
            return;
        }
        let own = self.peer_id();
        for peer in peers.into_iter().filter(|peer| *peer != own) {
            if let Some(transfer) = self.transfers.get_mut(&content).filter(|transfer| !transfer.is_over()) {
                if !transfer.takers.contains_key(&peer) && transfer.takers.len() < MAX_TAKERS {
                    if transfer.takers.is_empty() {
                        transfer.salt = self.behaviour.below(1 << 32) as u32;
                    }
                    transfer.takers.insert(peer, None);
                }
            } else if let Some(published) =
                self.published.get_mut(&content).filter(|published| !published.offered)
                && let Some(audience) = &mut published.audience
                && audience.len() < MAX_TAKERS
            {
                audience.insert(peer);
            }
            self.tell_map(peer, content, true);
        }
    }

    /// Tells a taker what we have of a content, if it may know and we have its list.
    fn tell_map(&mut self, peer: PeerId, content: ContentId, answer: bool) {
        let Some(map) = self.served(&content, &peer).map(|served| served.map(content)) else { return };
        self.answer_peer(peer, &Frame::Have { content, blocks: map.bytes().to_vec(), answer });
    }

    /// Tells all takers what we have, since we have the list now.
    pub(super) fn tell_takers(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get(&content) else { return };
        let takers: Vec<PeerId> = transfer.takers.keys().copied().collect();
        for peer in takers {
            self.tell_map(peer, content, true);
        }
    }

    /// Tells the takers that are not known to have a block that we have it now.
    pub(super) fn tell_takers_of(&mut self, block: BlockRef) {
        let Some(transfer) = self.transfers.get(&block.content) else { return };
        let lacks = |map: &Option<BlockMap>| map.as_ref().is_some_and(|map| !map.has(block.index));
        let takers: Vec<PeerId> =
            transfer.takers.iter().filter(|(_, map)| lacks(map)).map(|(&id, _)| id).collect();
        for peer in takers {
            self.answer_peer(peer, &Frame::HaveBlock(block));
        }
    }

    /// A peer says what it has of a content.
    pub(super) fn have_received(&mut self, peer: PeerId, content: ContentId, blocks: Vec<u8>, answer: bool) {
        // Of one that we know nothing of nothing is to be allocated.
        let known = self.transfers.get(&content).is_some_and(|transfer| transfer.takers.contains_key(&peer));
        if known {
            let Some(map) = BlockMap::parse(&content, blocks) else {
                self.stats.frames_refused += 1;
                return;
            };
            mark!(self, MapReceived);
            if let Some(transfer) = self.transfers.get_mut(&content) {
                transfer.set_map(peer, Some(map));
            }
        }
        if answer {
            self.tell_map(peer, content, false);
        }
        if known {
            self.source_found(content);
        }
    }

    /// A taker says that it has a block now.
    pub(super) fn has_block(&mut self, peer: PeerId, block: BlockRef) {
        let Some(transfer) = self.transfers.get_mut(&block.content) else { return };
        transfer.add_to_map(&peer, block.index);
        if transfer.state(block.index).is_some_and(|state| state <= BlockState::Requested) {
            self.source_found(block.content);
        }
    }

    /// Who parted says nothing any more, and asks anew when it comes back.
    pub(super) fn takers_parted(&mut self, peer: PeerId) {
        for published in self.published.values_mut() {
            published.takers.remove(&peer);
        }
        let contents: Vec<ContentId> = self
            .transfers
            .iter()
            .filter(|(_, transfer)| transfer.takers.get(&peer).is_some_and(Option::is_some))
            .map(|(&content, _)| content)
            .collect();
        for content in contents {
            if let Some(transfer) = self.transfers.get_mut(&content) {
                transfer.set_map(peer, None);
            }
            self.source_lost(peer, content);
        }
    }

    /// Says to a peer that has just become trusted what we have of the contents that it fetches as well.
    pub(super) fn tell_maps(&mut self, peer: PeerId) {
        let fetched = self.transfers.iter().filter(|(_, transfer)| transfer.takers.contains_key(&peer));
        let served =
            self.published.iter().filter(|(_, published)| !published.offered && published.is_for(&peer));
        let contents: BTreeSet<ContentId> =
            fetched.map(|(&content, _)| content).chain(served.map(|(&content, _)| content)).collect();
        for content in contents {
            self.tell_map(peer, content, true);
        }
    }

    /// A taker does not serve a content any more.
    pub(super) fn taker_left(&mut self, peer: PeerId, content: ContentId) {
        if let Some(transfer) = self.transfers.get_mut(&content)
            && transfer.takers.contains_key(&peer)
        {
            transfer.set_map(peer, None);
        }
    }

    /// We do not serve any more what we have of a content that we do not fetch any more.
    pub(super) fn leave_takers(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let takers: Vec<PeerId> = core::mem::take(&mut transfer.takers).into_keys().collect();
        // Whoever is offered it by us still has it from us.
        let served = |peer: &PeerId| self.published.get(&content).is_some_and(|ours| ours.is_for(peer));
        for peer in takers.into_iter().filter(|peer| !served(peer)).collect::<Vec<_>>() {
            self.answer_peer(peer, &Frame::Withdraw(content));
        }
    }

    // ---- Afterwards ----

    /// A content is complete here: it is served to those who fetch it as well, also if they begin later.
    pub(super) fn serve_on(&mut self, content: ContentId) {
        let Some(transfer) = self.transfers.get_mut(&content) else { return };
        let takers = core::mem::take(&mut transfer.takers);
        let (manifest, list) = (transfer.manifest.clone(), core::mem::take(&mut transfer.list));
        let max = self.config.max_contents;
        let most = (max / SERVED_PART).max(1);
        let served = self.published.values().filter(|published| !published.offered).count();
        let is_known = list.is_empty() || self.published.contains_key(&content);
        let is_full = || served >= most || self.published.len() >= max;
        if is_known || (is_full() && !self.stop_serving_oldest()) {
            self.outputs.action(Action::Store(StoreRequest::Close { content }));
            return;
        }
        mark!(self, ServedOn);
        let audience: BTreeSet<PeerId> = takers.into_keys().collect();
        self.published.insert(content, Published::new(manifest, list, Some(audience), false));
    }

    /// Serves one of the contents that were fetched no more, if there is one, that which was complete first.
    pub(super) fn stop_serving_oldest(&mut self) -> bool {
        let fetched =
            |content: &&ContentId| self.published.get(content).is_some_and(|published| !published.offered);
        let Some(&oldest) = self.completed.iter().find(fetched) else { return false };
        self.stop_serving(oldest);
        true
    }

    /// Serves a content no more, if it was.
    pub(super) fn stop_serving(&mut self, content: ContentId) {
        self.send_to_trusted(|_| Frame::Withdraw(content), content);
        if self.published.remove(&content).is_some_and(|published| !published.offered) {
            self.outputs.action(Action::Store(StoreRequest::Close { content }));
        }
    }

    fn answer_peer(&mut self, peer: PeerId, frame: &Frame) {
        let link = self.peers.get(&peer).filter(|known| known.is_trusted()).and_then(|known| known.link);
        if let Some(link) = link {
            self.send_answer(link, frame);
        }
    }
}
