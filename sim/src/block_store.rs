//! A node's blocks in memory.

use std::collections::{BTreeMap, BTreeSet};

use p2pnet_engine::{
    BLOCK_SIZE, BlockList, BlockRef, ContentHasher, ContentId, ContentKind, Leftovers, Manifest, StoreFailure,
};

/// What a node published, what it is receiving and what it has received.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockStore {
    published: BTreeMap<ContentId, Vec<u8>>,
    withdrawn: BTreeSet<ContentId>,
    arriving: BTreeMap<ContentId, BTreeMap<u32, Vec<u8>>>,
    received: BTreeMap<ContentId, Vec<u8>>,
    /// What of it is still read.
    open: BTreeSet<ContentId>,
    /// The first half of each block that is being written: what a crash leaves of it.
    halves: BTreeMap<ContentId, BTreeMap<u32, Vec<u8>>>,
    /// What is left of contents that were arriving: blocks that may be torn, until they are opened again.
    leftovers: BTreeMap<ContentId, BTreeMap<u32, Vec<u8>>>,
    /// What tells torn blocks of unfinished contents from whole ones.
    lists: BTreeMap<ContentId, BlockList>,
}

impl BlockStore {
    pub(crate) fn publish(&mut self, name: &str, bytes: Vec<u8>) -> (Manifest, BlockList) {
        let mut hasher = ContentHasher::new();
        hasher.update(&bytes);
        let (content, list) = hasher.finish().expect("a simulated file is smaller than 64 GiB");
        self.published.insert(content, bytes);
        (Manifest { content, name: name.to_owned(), kind: ContentKind::File }, list)
    }

    /// What is published, made ready to be published again after a restart.
    pub(crate) fn republish(&self) -> Vec<(Manifest, BlockList)> {
        let ready = |bytes: &Vec<u8>| {
            let mut hasher = ContentHasher::new();
            hasher.update(bytes);
            let (content, list) = hasher.finish().ok()?;
            Some((Manifest { content, name: "published".to_owned(), kind: ContentKind::File }, list))
        };
        self.published.values().filter_map(ready).collect()
    }

    /// Whether this content is published here.
    pub(crate) fn serves(&self, content: &ContentId) -> bool {
        self.published.contains_key(content)
    }

    pub(crate) fn withdraw(&mut self, content: &ContentId) {
        if self.published.remove(content).is_some() {
            self.withdrawn.insert(*content);
        }
    }

    /// Whether this content was published here once and is not any more.
    pub(crate) fn withdrew(&self, content: &ContentId) -> bool {
        self.withdrawn.contains(content)
    }

    /// Gets ready for blocks. Says which are there and whole.
    pub(crate) fn open(&mut self, content: ContentId) -> Leftovers {
        let list = self.lists.get(&content).cloned().unwrap_or_default();
        let mut blocks = self.leftovers.remove(&content).unwrap_or_default();
        blocks.retain(|&index, data| {
            !list.is_empty() && list.check(&content, index).is_some_and(|check| check.accepts(data))
        });
        let leftovers = Leftovers { list, blocks: blocks.keys().copied().collect() };
        self.arriving.entry(content).or_default().append(&mut blocks);
        leftovers
    }

    pub(crate) fn keep_list(&mut self, content: ContentId, list: BlockList) {
        self.lists.insert(content, list);
    }

    /// Stops receiving, or reading what was received, and keeps what is there.
    pub(crate) fn close(&mut self, content: &ContentId) {
        self.open.remove(content);
        if let Some(blocks) = self.arriving.remove(content) {
            self.leftovers.insert(*content, blocks);
        }
    }

    /// A block is being written; until [`write`](Self::write) it may be torn.
    pub(crate) fn begin_write(&mut self, block: BlockRef, data: &[u8]) {
        self.halves.entry(block.content).or_default().insert(block.index, data[..data.len() / 2].to_vec());
    }

    pub(crate) fn write(&mut self, block: BlockRef, data: Vec<u8>) -> Result<(), StoreFailure> {
        self.halves.get_mut(&block.content).map(|halves| halves.remove(&block.index));
        let blocks = self.arriving.get_mut(&block.content).ok_or(StoreFailure::Io)?;
        blocks.insert(block.index, data);
        Ok(())
    }

    /// A block of what is published, is being received or is open since it was.
    pub(crate) fn read(&self, block: BlockRef) -> Option<Vec<u8>> {
        let BlockRef { content, index } = block;
        if let Some(data) = self.arriving.get(&content).and_then(|blocks| blocks.get(&index)) {
            return Some(data.clone());
        }
        let finished = || self.received.get(&content).filter(|_| self.open.contains(&content));
        let bytes = self.published.get(&content).or_else(finished)?;
        let length = content.block_len(index)?;
        let start = index as usize * BLOCK_SIZE;
        bytes.get(start..start + length).map(<[u8]>::to_vec)
    }

    /// Fails unless every block was written.
    pub(crate) fn finish(&mut self, content: &ContentId) -> Result<(), StoreFailure> {
        let blocks = self.arriving.remove(content).ok_or(StoreFailure::Io)?;
        if blocks.len() != content.block_count() as usize {
            return Err(StoreFailure::Io);
        }
        self.received.insert(*content, blocks.into_values().collect::<Vec<_>>().concat());
        self.lists.remove(content);
        self.open.insert(*content);
        Ok(())
    }

    pub(crate) fn abandon(&mut self, content: &ContentId) {
        self.arriving.remove(content);
        self.lists.remove(content);
    }

    /// Tears what was not made durable: a block that is being written is there in half, and so is the last one that
    /// was written and not synced. Says how many contents are torn. `named` when they have their final names already,
    /// as on a disk that does not wait for its sync.
    pub(crate) fn tear(&mut self, named: bool) -> u64 {
        self.open.clear();
        let mut halves = std::mem::take(&mut self.halves);
        let mut torn = 0;
        for (content, mut blocks) in std::mem::take(&mut self.arriving) {
            let half_written = halves.remove(&content).unwrap_or_default();
            if half_written.is_empty()
                && let Some(mut last) = blocks.last_entry()
            {
                let half = last.get().len() / 2;
                last.get_mut().truncate(half);
            }
            blocks.extend(half_written);
            if blocks.is_empty() {
                continue;
            }
            torn += 1;
            if named {
                self.received.insert(content, blocks.into_values().flatten().collect());
            } else {
                self.leftovers.insert(content, blocks);
            }
        }
        torn
    }

    /// Tears what was not made durable, and loses what was not written.
    pub(crate) fn crash(&mut self) {
        self.tear(false);
    }

    /// Every content that has its final name.
    pub(crate) fn all_received(&self) -> impl Iterator<Item = &ContentId> {
        self.received.keys()
    }

    pub(crate) fn received(&self, content: &ContentId) -> Option<&[u8]> {
        self.received.get(content).map(Vec::as_slice)
    }
}
