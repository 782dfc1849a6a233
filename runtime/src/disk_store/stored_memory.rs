//! Looking at, and changing, what a data directory remembers while no node uses it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use p2pnet_engine::{Decision, Memory, MemoryChange, PeerId, UnverifiedRecord};

use super::data_dir::DataDir;
use super::database::Database;
use super::{DiskStoreError, memory};

/// What a data directory remembers. No node can use the directory while this lives.
#[derive(Debug)]
pub struct StoredMemory(DataDir);

/// A peer that a node met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownPeer {
    /// Who.
    pub peer: PeerId,
    /// The name that it gave itself. Nobody vouches for it.
    pub name: String,
    /// Where it was linked last.
    pub address: SocketAddr,
    /// Whether it was ever trusted.
    pub trusted: bool,
}

impl StoredMemory {
    /// Opens what the data directory `dir` remembers.
    ///
    /// # Errors
    /// If there is no such directory, a node uses it, or [`DiskStore::open`](super::DiskStore::open) would fail.
    pub fn open(dir: impl AsRef<Path>) -> Result<StoredMemory, DiskStoreError> {
        let path = dir.as_ref();
        if !path.is_dir() {
            let source = io::ErrorKind::NotFound.into();
            return Err(DiskStoreError::Directory { path: path.to_owned(), source });
        }
        DataDir::open(path).map(StoredMemory)
    }

    /// The tags of the networks of which something is remembered.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn networks(&mut self) -> io::Result<Vec<[u8; 8]>> {
        self.database()?.read(memory::networks)
    }

    /// The peers that were met on a network, the one met last first.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn peers(&mut self, network: [u8; 8]) -> io::Result<Vec<KnownPeer>> {
        let mut peers: Vec<_> = self.recall(network)?.peers.into_iter().collect();
        peers.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.met));
        let known = peers.into_iter().filter_map(|(peer, kept)| {
            let record = UnverifiedRecord::parse(&kept.record).ok()?;
            let name = record.record().name.clone();
            Some(KnownPeer { peer, name, address: kept.address, trusted: kept.trusted })
        });
        Ok(known.collect())
    }

    /// Forgets where a peer was met, on every network. Says whether it was remembered at all. That it has left is kept:
    /// forgotten, it could come back as it was.
    ///
    /// # Errors
    /// What the operating system says; then nothing is changed.
    pub fn forget(&mut self, peer: PeerId) -> io::Result<bool> {
        let mut known = Vec::new();
        for network in self.networks()? {
            if self.recall(network)?.peers.contains_key(&peer) {
                known.push(network);
            }
        }
        let forget = [MemoryChange::Peer { peer, kept: None }];
        self.database()?.write(|into| {
            known.iter().try_for_each(|&network| memory::remember(into, network, false, &forget))
        })?;
        Ok(!known.is_empty())
    }

    /// What was decided about peers and addresses of a network.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn decisions(&mut self, network: [u8; 8]) -> io::Result<Vec<Decision>> {
        self.database()?.read(|from| memory::decisions(from, network))
    }

    /// Keeps these decisions in place of all others of the network.
    ///
    /// # Errors
    /// What the operating system says; then nothing is changed.
    pub fn decide(&mut self, network: [u8; 8], decisions: &[Decision]) -> io::Result<()> {
        self.database()?.write(|into| memory::decide(into, network, decisions))
    }

    fn recall(&mut self, network: [u8; 8]) -> io::Result<Memory> {
        self.database()?.read(|from| memory::recall(from, network))
    }

    fn database(&mut self) -> io::Result<&mut Database> {
        self.0.database().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}
