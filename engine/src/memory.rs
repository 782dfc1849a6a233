//! What a node should know at its next start, and how that changes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::identity::PeerId;

/// What a run leaves to the next one about other peers of its network. A driver keeps it: it applies each
/// [`StoreRequest::Remember`](crate::StoreRequest::Remember) and gives the result to the next engine in
/// [`Restored`](crate::Restored). It need not understand it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Peers that were met: where to call, and no more. At most [`Config::max_peers`](crate::Config::max_peers).
    pub peers: BTreeMap<PeerId, Remembered>,
    /// Last records of peers that left or expired: nothing older is believed. At most twice as many.
    pub floors: BTreeMap<PeerId, RememberedFloor>,
}

impl Memory {
    /// Applies what a request says: all of it, or, where that can fail, nothing.
    pub fn apply(&mut self, anew: bool, changes: Vec<MemoryChange>) {
        if anew {
            *self = Memory::default();
        }
        for change in changes {
            match change {
                MemoryChange::Peer { peer, kept: Some(kept) } => drop(self.peers.insert(peer, kept)),
                MemoryChange::Peer { peer, kept: None } => drop(self.peers.remove(&peer)),
                MemoryChange::Floor { peer, kept: Some(kept) } => drop(self.floors.insert(peer, kept)),
                MemoryChange::Floor { peer, kept: None } => drop(self.floors.remove(&peer)),
            }
        }
    }
}

/// One change of a [`Memory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryChange {
    /// A peer was met, or makes room.
    Peer {
        /// Who.
        peer: PeerId,
        /// What to keep in place of what was kept of it; `None` to keep nothing.
        kept: Option<Remembered>,
    },
    /// A peer left or expired, or came back.
    Floor {
        /// Who.
        peer: PeerId,
        /// What to keep in place of what was kept of it; `None` to keep nothing.
        kept: Option<RememberedFloor>,
    },
}

/// A peer that was met, for a later run to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its signed record, as it came.
    pub record: Vec<u8>,
    /// Where it was heard or linked last.
    pub address: SocketAddr,
    /// Whether it was ever trusted.
    pub trusted: bool,
    /// Whether it was linked in more than one run of ours.
    pub returning: bool,
    /// When it was linked last: a number that grows with each meeting, over all runs.
    pub met: u64,
}

impl Remembered {
    /// A peer of which no more is known than its record and where it was.
    #[must_use]
    pub fn new(record: Vec<u8>, address: SocketAddr) -> Self {
        Remembered { record, address, trusted: false, returning: false, met: 0 }
    }
}

/// The last record of a peer that left or expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedFloor {
    /// Its signed record, as it came.
    pub record: Vec<u8>,
    /// Whether the peer ever proved its key on a link of ours.
    pub proven: bool,
}
