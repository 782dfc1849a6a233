//! What a person has decided about a peer or an address, for good.

use core::net::IpAddr;

use crate::identity::PeerId;

/// Decisions that are kept.
pub const MAX_DECISIONS: usize = 1024;

/// Whom a block is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Who {
    /// A peer, wherever it is.
    Peer(PeerId),
    /// Whoever is at this address.
    Address(IpAddr),
}

impl Who {
    /// An IPv4 address in the form of IPv6 is the IPv4 address.
    pub(crate) fn canonical(self) -> Who {
        match self {
            Who::Address(address) => Who::Address(address.to_canonical()),
            peer @ Who::Peer(_) => peer,
        }
    }
}

impl From<PeerId> for Who {
    fn from(peer: PeerId) -> Who {
        Who::Peer(peer)
    }
}

impl From<IpAddr> for Who {
    fn from(address: IpAddr) -> Who {
        Who::Address(address)
    }
}

/// Something that was decided until it is taken back. It outlives the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// This peer is who it should be: no person is asked about it again.
    Trust(PeerId),
    /// Nothing to do with this one.
    Block(Who),
}

/// Why a decision was not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// The limit is reached.
    #[error("1024 decisions are kept already; take one back")]
    Full,
    /// It is about this node.
    #[error("that is this node itself")]
    Oneself,
    /// It is blocked.
    #[error("this peer is blocked; unblock it first")]
    Blocked,
}
