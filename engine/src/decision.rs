//! What a person has decided about a peer or an address, for good.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

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
        Who::Address(address).canonical()
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

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Peer(peer) => write!(f, "{peer}"),
            Who::Address(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for Who {
    type Err = DecisionParseError;

    /// Reads a whole peer id or an IP address.
    fn from_str(text: &str) -> Result<Self, DecisionParseError> {
        let address = || text.parse::<IpAddr>().map(Who::from);
        text.parse::<PeerId>().map(Who::from).or_else(|_| address()).map_err(|_| DecisionParseError)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Trust(peer) => write!(f, "trust {peer}"),
            Decision::Block(who) => write!(f, "block {who}"),
        }
    }
}

impl FromStr for Decision {
    type Err = DecisionParseError;

    /// Reads what its `Display` writes.
    fn from_str(text: &str) -> Result<Self, DecisionParseError> {
        match text.split_once(' ') {
            Some(("trust", peer)) => peer.parse().map(Decision::Trust).map_err(|_| DecisionParseError),
            Some(("block", who)) => who.parse().map(Decision::Block),
            _ => Err(DecisionParseError),
        }
    }
}

/// A text that is no [`Decision`] or [`Who`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give `trust` and a peer id, or `block` and a peer id or an IP address")]
pub struct DecisionParseError;

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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_decision_goes_there_and_back_as_text() {
        let peer = PeerId::from_bytes([7; 32]);
        let v4: IpAddr = "10.0.0.7".parse().unwrap();
        let v6: IpAddr = "fe80::1".parse().unwrap();
        for decision in [
            Decision::Trust(peer),
            Decision::Block(peer.into()),
            Decision::Block(v4.into()),
            Decision::Block(v6.into()),
        ] {
            assert_eq!(decision.to_string().parse(), Ok(decision));
        }
        assert_eq!("block ::ffff:10.0.0.7".parse(), Ok(Decision::Block(v4.into())), "one address, one block");
        for text in ["", "trust", "trust 10.0.0.7", "block x", "like me", "block  10.0.0.7"] {
            assert!(text.parse::<Decision>().is_err(), "{text:?}");
        }
    }
}
