//! What the engine keeps for content that is wanted: where it stands, block by block.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::content::{BlockList, Manifest};
use crate::event::ContentFailure;
use crate::identity::PeerId;
use crate::input::{Leftovers, LinkId};

/// Wanted content.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(super) manifest: Manifest,
    pub(super) stage: TransferStage,
    /// Chaining values received so far, before they are proven.
    pub(super) values: Vec<[u8; 32]>,
    pub(super) list: BlockList,
    pub(super) source: Option<PeerId>,
    /// The link that blocks were asked on.
    pub(super) asked: Option<LinkId>,
    /// The last peer that a block came from; before the first, one that offers it.
    pub(super) last_source: PeerId,
    /// Peers that have sent something wrong, or that cannot serve it.
    pub(super) bad: BTreeSet<PeerId>,
    pub(super) strikes: u32,
    pub(super) blocks: Vec<BlockState>,
    /// The lowest index that may be missing.
    pub(super) next: u32,
    pub(super) in_flight: usize,
    pub(super) written: u32,
    pub(super) fetched_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferStage {
    /// Waits for its turn, or for the store to get ready.
    Waiting,
    Opening,
    /// Fetches the chaining values.
    Listing,
    Fetching,
    /// Every block is written; the store makes them durable.
    Finishing,
    Complete,
    Failed(ContentFailure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockState {
    Missing,
    Requested,
    Arrived,
    Written,
}

impl Transfer {
    /// A transfer of `manifest` that waits for its turn; `offering` is a peer that has it.
    pub(super) fn new(manifest: Manifest, offering: PeerId) -> Self {
        let count = manifest.content.block_count() as usize;
        Transfer {
            manifest,
            stage: TransferStage::Waiting,
            values: Vec::new(),
            list: BlockList::default(),
            source: None,
            asked: None,
            last_source: offering,
            bad: BTreeSet::new(),
            strikes: 0,
            blocks: alloc::vec![BlockState::Missing; count],
            next: 0,
            in_flight: 0,
            written: 0,
            fetched_bytes: 0,
        }
    }

    /// Takes over what an earlier run left; its list proves the content.
    pub(super) fn resume(&mut self, leftovers: Leftovers) {
        self.list = leftovers.list;
        for index in leftovers.blocks {
            if self.set(index, BlockState::Written) == Some(BlockState::Missing) {
                self.written += 1;
            }
        }
    }

    /// Whether it keeps others from their turn: one that has no source does not.
    pub(super) fn is_active(&self) -> bool {
        match self.stage {
            TransferStage::Opening | TransferStage::Finishing => true,
            TransferStage::Listing | TransferStage::Fetching => self.source.is_some(),
            TransferStage::Waiting | TransferStage::Complete | TransferStage::Failed(_) => false,
        }
    }

    /// Whether the store was asked to get ready for it.
    pub(super) fn is_opened(&self) -> bool {
        self.stage != TransferStage::Waiting && !self.is_over()
    }

    pub(super) fn has_every_block(&self) -> bool {
        let held = |state: &BlockState| matches!(state, BlockState::Arrived | BlockState::Written);
        self.blocks.iter().all(held)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, TransferStage::Complete | TransferStage::Failed(_))
    }

    /// The next block to ask for: the last one first.
    pub(super) fn next_missing(&mut self) -> Option<u32> {
        let last = u32::try_from(self.blocks.len()).ok()?.checked_sub(1)?;
        if self.blocks.last() == Some(&BlockState::Missing) {
            return Some(last);
        }
        while let Some(state) = self.blocks.get(self.next as usize) {
            if *state == BlockState::Missing {
                return Some(self.next);
            }
            self.next += 1;
        }
        None
    }

    pub(super) fn set(&mut self, index: u32, state: BlockState) -> Option<BlockState> {
        let slot = self.blocks.get_mut(index as usize)?;
        let before = core::mem::replace(slot, state);
        if state == BlockState::Missing {
            self.next = self.next.min(index);
        }
        Some(before)
    }

    /// Gives up what was asked for and did not come; returns the indices.
    pub(super) fn forget_requests(&mut self) -> Vec<u32> {
        self.asked = None;
        let mut forgotten = Vec::new();
        for (index, state) in (0u32..).zip(&mut self.blocks) {
            if *state == BlockState::Requested {
                *state = BlockState::Missing;
                forgotten.push(index);
            }
        }
        self.in_flight -= forgotten.len();
        self.next = forgotten.first().map_or(self.next, |first| self.next.min(*first));
        forgotten
    }
}
