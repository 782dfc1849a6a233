//! What the engine keeps for content that is wanted: where it stands, block by block, and whom it comes from.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::content::{BlockList, BlockMap, Manifest};
use crate::event::ContentFailure;
use crate::identity::PeerId;
use crate::input::{Leftovers, LinkId};
use crate::time::Timestamp;

/// Blocks asked of a source that has sent none yet.
const FIRST_WINDOW: usize = 4;

/// The fewest that a source which keeps sending is asked for: one that is on its way, and one behind it.
const LEAST_WINDOW: usize = 2;

/// A source that sent nothing for so long is overdue: what was asked of it may be asked of another as well. It is so
/// many times as long as its quickest answer took, and within these limits.
const OVERDUE_FACTOR: u32 = 4;
const OVERDUE_AT_LEAST: Duration = Duration::from_millis(500);
const OVERDUE_UNKNOWN: Duration = Duration::from_secs(1);

/// When nothing else is missing, what was asked of another source so many times as long ago as the own quickest answer
/// took is asked for too.
const END_GAME_FACTOR: u32 = 2;

/// Wanted content.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(super) manifest: Manifest,
    pub(super) stage: TransferStage,
    /// Chaining values received so far, before they are proven, and whom they come from since when.
    pub(super) values: Vec<[u8; 32]>,
    pub(super) lister: Option<(PeerId, Timestamp)>,
    /// How often the list was asked of another source.
    pub(super) lister_turn: u32,
    pub(super) list: BlockList,
    /// Whom it is fetched from. At most [`MAX_SOURCES`](super::sources::MAX_SOURCES).
    pub(super) sources: BTreeMap<PeerId, Source>,
    /// Who fetches it as well, as sources tell, and what each says that it has. At most
    /// [`MAX_TAKERS`](super::takers::MAX_TAKERS).
    pub(super) takers: BTreeMap<PeerId, Option<BlockMap>>,
    /// The last peer that a block came from; before the first, one that offers it.
    pub(super) last_source: PeerId,
    /// Peers that have sent something wrong, or that cannot serve it.
    pub(super) bad: BTreeSet<PeerId>,
    pub(super) blocks: Vec<BlockState>,
    /// How many takers say that they have each block; empty while none says anything.
    copies: Vec<u16>,
    /// By this node's own order of the blocks that are equally rare, not all who fetch ask for the same.
    pub(super) salt: u32,
    /// The lowest index that may be missing.
    next: u32,
    /// Blocks that arrived and are not written yet.
    pub(super) arrived: usize,
    pub(super) written: u32,
    pub(super) fetched_bytes: u64,
    /// Whether the store is ready for blocks.
    pub(super) store_open: bool,
    /// Whether the store had no room when it was asked last, and whether the application knows.
    pub(super) no_room: bool,
    pub(super) no_room_told: bool,
    /// Whether the application has paused it: nothing is asked for, whatever the stage.
    pub(super) held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferStage {
    /// Waits for its turn, or for the store to get ready.
    Waiting,
    Opening,
    /// Fetches the chaining values.
    Listing,
    Fetching,
    /// The store has no room.
    Paused,
    /// Every block is written; the store makes them durable.
    Finishing,
    Complete,
    Failed(ContentFailure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BlockState {
    Missing,
    /// Asked of one source, or of two when the first takes long.
    Requested,
    Arrived,
    Written,
}

/// One peer that content is fetched from.
#[derive(Debug)]
pub(super) struct Source {
    /// The link that blocks are asked on.
    pub(super) link: LinkId,
    /// Whether it offers the content, so that it has every block; otherwise it has what it says as a taker.
    pub(super) whole: bool,
    /// What was asked for and did not come yet, since when.
    pub(super) asked: BTreeMap<u32, Timestamp>,
    /// How much it may be asked for at a time.
    pub(super) window: usize,
    /// How long its quickest answer took.
    quickest: Option<Duration>,
    /// When it last sent a good block, or was asked while it had nothing to send.
    heard: Timestamp,
    /// Wrong or missing answers since its last good one.
    pub(super) strikes: u32,
}

impl Source {
    pub(super) fn new(link: LinkId, whole: bool, now: Timestamp) -> Self {
        Source {
            link,
            whole,
            asked: BTreeMap::new(),
            window: FIRST_WINDOW,
            quickest: None,
            heard: now,
            strikes: 0,
        }
    }

    /// A block is asked of it.
    pub(super) fn ask(&mut self, index: u32, now: Timestamp) {
        if self.asked.is_empty() {
            self.heard = now;
        }
        self.asked.insert(index, now);
    }

    /// A good block came from it. Answers that come no later although more is asked for at a time show that there was
    /// time to fill; those that come much later show a queue.
    pub(super) fn answered(&mut self, index: u32, now: Timestamp, most: usize) {
        self.heard = now;
        self.strikes = 0;
        let full = self.asked.len() >= self.window;
        let Some(since) = self.asked.remove(&index) else { return };
        let took = now.since(since);
        let quickest = self.quickest.map_or(took, |quickest| quickest.min(took));
        self.quickest = Some(quickest);
        if full && took <= quickest * 2 {
            self.window = (self.window + 1).min(most);
        } else if took > quickest * 8 && self.window > LEAST_WINDOW {
            self.window -= 1;
        }
        self.window = self.window.max(LEAST_WINDOW.min(most));
    }

    pub(super) fn silence(&self, now: Timestamp) -> Duration {
        now.since(self.heard)
    }

    /// How long it may be silent before others are asked as well.
    pub(super) fn patience(&self, timeout: Duration) -> Duration {
        let usual = self.quickest.map_or(OVERDUE_UNKNOWN, |quickest| quickest * OVERDUE_FACTOR);
        usual.max(OVERDUE_AT_LEAST).min(timeout / 2)
    }
}

impl Transfer {
    /// A transfer of `manifest` that waits for its turn; `offering` is a peer that has it.
    pub(super) fn new(manifest: Manifest, offering: PeerId) -> Self {
        let count = manifest.content.block_count() as usize;
        Transfer {
            manifest,
            stage: TransferStage::Waiting,
            values: Vec::new(),
            lister: None,
            lister_turn: 0,
            list: BlockList::default(),
            sources: BTreeMap::new(),
            takers: BTreeMap::new(),
            last_source: offering,
            bad: BTreeSet::new(),
            blocks: alloc::vec![BlockState::Missing; count],
            copies: Vec::new(),
            salt: 0,
            next: 0,
            arrived: 0,
            written: 0,
            fetched_bytes: 0,
            store_open: false,
            no_room: false,
            no_room_told: false,
            held: false,
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
            TransferStage::Listing | TransferStage::Fetching => !self.sources.is_empty(),
            TransferStage::Waiting
            | TransferStage::Paused
            | TransferStage::Complete
            | TransferStage::Failed(_) => false,
        }
    }

    /// Whether the store was asked to get ready for it.
    pub(super) fn is_opened(&self) -> bool {
        self.stage != TransferStage::Waiting && !self.is_over()
    }

    /// Whether it takes blocks or their list.
    pub(super) fn is_under_way(&self) -> bool {
        !self.held && matches!(self.stage, TransferStage::Listing | TransferStage::Fetching)
    }

    /// What is to be fetched next, now that the store is ready: the list or blocks.
    pub(super) fn stage_of_fetching(&self) -> TransferStage {
        if self.blocks.len() > 1 && self.list.is_empty() {
            TransferStage::Listing
        } else {
            TransferStage::Fetching
        }
    }

    /// Whether it waits for room or for the application, with the store open or to be opened.
    pub(super) fn is_paused(&self) -> bool {
        match self.stage {
            TransferStage::Paused => true,
            TransferStage::Listing | TransferStage::Fetching => self.held,
            _ => false,
        }
    }

    pub(super) fn has_every_block(&self) -> bool {
        let held = |state: &BlockState| matches!(state, BlockState::Arrived | BlockState::Written);
        self.blocks.iter().all(held)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, TransferStage::Complete | TransferStage::Failed(_))
    }

    pub(super) fn state(&self, index: u32) -> Option<BlockState> {
        self.blocks.get(index as usize).copied()
    }

    /// Blocks that are asked for or arrived and not written: what memory they need at most.
    pub(super) fn in_flight(&self) -> usize {
        self.arrived + self.sources.values().map(|source| source.asked.len()).sum::<usize>()
    }

    fn peer_has(&self, peer: &PeerId, source: &Source, index: u32) -> bool {
        source.whole || self.takers.get(peer).and_then(Option::as_ref).is_some_and(|map| map.has(index))
    }

    /// Whether a taker says that it has something that is missing here.
    pub(super) fn is_useful(&self, taker: &PeerId) -> bool {
        let Some(Some(map)) = self.takers.get(taker) else { return false };
        (0u32..).zip(&self.blocks).any(|(index, state)| *state <= BlockState::Requested && map.has(index))
    }

    /// The next block to ask `peer` for, a source, if its window has room: the last one first, since it alone proves the size; then what the
    /// fewest have; then what another source is asked for and should have sent by now.
    pub(super) fn choose(&mut self, peer: &PeerId, now: Timestamp, timeout: Duration) -> Option<u32> {
        while self.blocks.get(self.next as usize).is_some_and(|state| *state != BlockState::Missing) {
            self.next += 1;
        }
        let source = self.sources.get(peer).filter(|source| source.asked.len() < source.window)?;
        let last = u32::try_from(self.blocks.len()).ok()?.checked_sub(1)?;
        let wanted =
            |index: u32| self.state(index) == Some(BlockState::Missing) && self.peer_has(peer, source, index);
        if wanted(last) {
            return Some(last);
        }
        if self.copies.is_empty() {
            return wanted(self.next)
                .then_some(self.next)
                .or_else(|| self.overdue(peer, source, now, timeout));
        }
        let rarity = |index: u32| {
            let copies = self.copies.get(index as usize).copied().unwrap_or(0);
            (copies, index.wrapping_mul(self.salt | 1).rotate_left(16).wrapping_mul(self.salt | 1))
        };
        let rarest = (self.next..last).filter(|&index| wanted(index)).min_by_key(|&index| rarity(index));
        rarest.or_else(|| self.overdue(peer, source, now, timeout))
    }

    /// What one other source is asked for, if that source is overdue; if nothing else is missing, if `peer` has nothing
    /// to do and would long have sent it.
    fn overdue(&self, peer: &PeerId, source: &Source, now: Timestamp, timeout: Duration) -> Option<u32> {
        let end_game = self.next as usize >= self.blocks.len() && source.asked.is_empty();
        let usual = source.quickest.map(|quickest| quickest * END_GAME_FACTOR);
        let others = || self.sources.iter().filter(|(id, _)| *id != peer);
        others()
            .flat_map(|(_, other)| other.asked.iter().map(move |(&index, &since)| (other, index, since)))
            .filter(|&(other, index, since)| {
                self.state(index) == Some(BlockState::Requested)
                    && self.peer_has(peer, source, index)
                    && !source.asked.contains_key(&index)
                    && others().filter(|(_, other)| other.asked.contains_key(&index)).count() == 1
                    && (other.silence(now) >= other.patience(timeout)
                        || end_game && usual.is_some_and(|usual| now.since(since) >= usual))
            })
            .min_by_key(|&(_, _, since)| since)
            .map(|(_, index, _)| index)
    }

    pub(super) fn set(&mut self, index: u32, state: BlockState) -> Option<BlockState> {
        let slot = self.blocks.get_mut(index as usize)?;
        let before = core::mem::replace(slot, state);
        if state == BlockState::Missing {
            self.next = self.next.min(index);
        }
        if before == BlockState::Arrived && state != BlockState::Arrived {
            self.arrived -= 1;
        } else if state == BlockState::Arrived && before != BlockState::Arrived {
            self.arrived += 1;
        }
        Some(before)
    }

    /// What was asked of a source will not come from it; says what.
    pub(super) fn forget_asked(&mut self, peer: &PeerId) -> Vec<u32> {
        let Some(source) = self.sources.get_mut(peer) else { return Vec::new() };
        let asked: Vec<u32> = core::mem::take(&mut source.asked).into_keys().collect();
        for &index in &asked {
            self.not_coming(index);
        }
        asked
    }

    /// A block that was asked for is missing again, unless another source is asked for it too.
    pub(super) fn not_coming(&mut self, index: u32) {
        let asked = self.sources.values().any(|source| source.asked.contains_key(&index));
        if !asked && self.state(index) == Some(BlockState::Requested) {
            self.set(index, BlockState::Missing);
        }
    }

    /// A taker says what it has, or `None` if it is not there any more to say it.
    pub(super) fn set_map(&mut self, taker: PeerId, map: Option<BlockMap>) {
        if self.copies.is_empty() && map.is_some() {
            self.copies = alloc::vec![0; self.blocks.len()];
        }
        let count = |copies: &mut Vec<u16>, map: &BlockMap, up: bool| {
            for (_, copies) in (0u32..).zip(copies).filter(|(index, _)| map.has(*index)) {
                *copies = if up { copies.saturating_add(1) } else { copies.saturating_sub(1) };
            }
        };
        if let Some(map) = &map {
            count(&mut self.copies, map, true);
        }
        if let Some(before) = self.takers.insert(taker, map).flatten() {
            count(&mut self.copies, &before, false);
        }
    }

    /// A taker says that it has one block more.
    pub(super) fn add_to_map(&mut self, taker: &PeerId, index: u32) {
        let Some(Some(map)) = self.takers.get_mut(taker) else { return };
        if map.add(index)
            && let Some(copies) = self.copies.get_mut(index as usize)
        {
            *copies = copies.saturating_add(1);
        }
    }
}
