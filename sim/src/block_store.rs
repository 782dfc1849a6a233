//! A node's blocks in memory.

use std::collections::BTreeMap;

use p2pnet_engine::{
    BLOCK_SIZE, BlockList, BlockRef, ContentHasher, ContentId, ContentKind, Manifest, StoreFailure,
};

/// What a node published, what it is receiving and what it has received.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockStore {
    published: BTreeMap<ContentId, Vec<u8>>,
    arriving: BTreeMap<ContentId, BTreeMap<u32, Vec<u8>>>,
    received: BTreeMap<ContentId, Vec<u8>>,
}

impl BlockStore {
    pub(crate) fn publish(&mut self, name: &str, bytes: Vec<u8>) -> (Manifest, BlockList) {
        let mut hasher = ContentHasher::new();
        hasher.update(&bytes);
        let (content, list) = hasher.finish().expect("a simulated file is smaller than 16 GiB");
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

    /// How many contents are arriving.
    pub(crate) fn arriving(&self) -> usize {
        self.arriving.len()
    }

    #[cfg(feature = "turmoil")]
    pub(crate) fn withdraw(&mut self, content: &ContentId) {
        self.published.remove(content);
    }

    pub(crate) fn open(&mut self, content: ContentId) {
        self.arriving.entry(content).or_default();
    }

    pub(crate) fn write(&mut self, block: BlockRef, data: Vec<u8>) -> Result<(), StoreFailure> {
        let blocks = self.arriving.get_mut(&block.content).ok_or(StoreFailure::Io)?;
        blocks.insert(block.index, data);
        Ok(())
    }

    pub(crate) fn read(&self, block: BlockRef) -> Option<Vec<u8>> {
        let bytes = self.published.get(&block.content)?;
        let length = block.content.block_len(block.index)?;
        let start = block.index as usize * BLOCK_SIZE;
        bytes.get(start..start + length).map(<[u8]>::to_vec)
    }

    /// Fails unless every block was written.
    pub(crate) fn finish(&mut self, content: &ContentId) -> Result<(), StoreFailure> {
        let blocks = self.arriving.remove(content).ok_or(StoreFailure::Io)?;
        if blocks.len() != content.block_count() as usize {
            return Err(StoreFailure::Io);
        }
        self.received.insert(*content, blocks.into_values().collect::<Vec<_>>().concat());
        Ok(())
    }

    pub(crate) fn abandon(&mut self, content: &ContentId) {
        self.arriving.remove(content);
    }

    /// Loses what was not made durable.
    pub(crate) fn crash(&mut self) {
        self.arriving.clear();
    }

    pub(crate) fn received(&self, content: &ContentId) -> Option<&[u8]> {
        self.received.get(content).map(Vec::as_slice)
    }
}
