//! The storage seam in memory: a disk that outlives the node.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use p2pnet::seam::{Source, Store};
use p2pnet_engine::{
    AuthorityState, BlockList, BlockRef, ContentId, Decision, Leftovers, Manifest, Memory, MemoryChange,
    StoreFailure,
};

use crate::block_store::BlockStore;

/// A disk in memory. Clones are the same disk, so a node that starts again finds what it had.
///
/// What was finished, published or saved survives a crash; blocks of unfinished content do not, see
/// [`crash`](MemoryStore::crash).
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    blocks: BlockStore,
    incarnation: u64,
    identity: Option<[u8; 32]>,
    /// By network.
    memories: BTreeMap<[u8; 8], Memory>,
    decisions: BTreeMap<[u8; 8], Vec<Decision>>,
    authorities: BTreeMap<[u8; 8], AuthorityState>,
    port: Option<u16>,
    /// Blocks that reads give with a wrong first byte, as a failing disk does; each once.
    rotten: Vec<BlockRef>,
}

impl MemoryStore {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// Loses what was not durable, as the end of the process or of the power does.
    pub fn crash(&self) {
        self.disk().blocks.crash();
    }

    /// Loses everything, but with `keeps_identity` not the key.
    pub(crate) fn wipe(&self, keeps_identity: bool) {
        let mut disk = self.disk();
        let identity = disk.identity.filter(|_| keeps_identity);
        *disk = Disk { identity, ..Disk::default() };
    }

    /// Whether this content is published here.
    pub(crate) fn serves(&self, content: &ContentId) -> bool {
        self.disk().blocks.serves(content)
    }

    /// Makes the next read of a published block give a wrong byte, and only that one.
    pub fn rot(&self, block: BlockRef) {
        self.disk().rotten.push(block);
    }

    /// Content that was received whole.
    #[must_use]
    pub fn received(&self, content: &ContentId) -> Option<Vec<u8>> {
        self.disk().blocks.received(content).map(<[u8]>::to_vec)
    }

    /// The last incarnation that was used.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.disk().incarnation
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // Nothing panics while the lock is held, so a poisoned disk is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn open(&self, manifest: Manifest) -> Result<Leftovers, StoreFailure> {
        Ok(self.disk().blocks.open(manifest.content))
    }

    async fn keep_list(&self, content: ContentId, list: BlockList) {
        self.disk().blocks.keep_list(content, list);
    }

    async fn close(&self, content: ContentId) {
        self.disk().blocks.close(&content);
    }

    async fn write(&self, block: BlockRef, data: Vec<u8>) -> Result<(), StoreFailure> {
        self.disk().blocks.write(block, data)
    }

    async fn read(&self, block: BlockRef) -> io::Result<Vec<u8>> {
        let mut disk = self.disk();
        let mut data = disk.blocks.read(block).ok_or(io::ErrorKind::NotFound)?;
        if let Some(position) = disk.rotten.iter().position(|rotten| *rotten == block) {
            disk.rotten.remove(position);
            if let Some(byte) = data.first_mut() {
                *byte ^= 1;
            }
        }
        Ok(data)
    }

    async fn finish(&self, content: ContentId) -> Result<PathBuf, StoreFailure> {
        self.disk().blocks.finish(&content)?;
        Ok(PathBuf::from(format!("/memory/{content}")))
    }

    async fn abandon(&self, content: ContentId) {
        self.disk().blocks.abandon(&content);
    }

    /// Files on the real disk are inputs that a seed does not give: they are refused.
    async fn publish(&self, source: Source) -> io::Result<(Manifest, BlockList)> {
        match source {
            Source::Bytes { name, bytes } => Ok(self.disk().blocks.publish(&name, bytes)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    async fn withdraw(&self, content: ContentId) {
        self.disk().blocks.withdraw(&content);
    }

    async fn next_incarnation(&self) -> io::Result<u64> {
        let mut disk = self.disk();
        disk.incarnation += 1;
        Ok(disk.incarnation)
    }

    async fn save_incarnation(&self, incarnation: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.incarnation = disk.incarnation.max(incarnation);
        Ok(())
    }

    async fn identity_seed(&self, create: [u8; 32]) -> io::Result<[u8; 32]> {
        Ok(*self.disk().identity.get_or_insert(create))
    }

    async fn remember(
        &self,
        network: [u8; 8],
        anew: bool,
        changes: Vec<MemoryChange>,
    ) -> Result<(), StoreFailure> {
        self.disk().memories.entry(network).or_default().apply(anew, changes);
        Ok(())
    }

    async fn recall(&self, network: [u8; 8]) -> io::Result<Memory> {
        Ok(self.disk().memories.get(&network).cloned().unwrap_or_default())
    }

    async fn save_decisions(&self, network: [u8; 8], decisions: Vec<Decision>) -> io::Result<()> {
        self.disk().decisions.insert(network, decisions);
        Ok(())
    }

    async fn decisions(&self, network: [u8; 8]) -> io::Result<Vec<Decision>> {
        Ok(self.disk().decisions.get(&network).cloned().unwrap_or_default())
    }

    async fn save_authority(&self, network: [u8; 8], state: AuthorityState) -> io::Result<()> {
        self.disk().authorities.insert(network, state);
        Ok(())
    }

    async fn authority(&self, network: [u8; 8]) -> io::Result<AuthorityState> {
        Ok(self.disk().authorities.get(&network).cloned().unwrap_or_default())
    }

    async fn remember_port(&self, port: u16) -> io::Result<()> {
        self.disk().port = Some(port);
        Ok(())
    }

    async fn remembered_port(&self) -> io::Result<Option<u16>> {
        Ok(self.disk().port)
    }
}
