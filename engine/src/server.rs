//! Bootstrap servers as an engine knows them: numbers, what is asked of them, what they answer.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::identity::PeerId;

/// A bootstrap server, numbered by the driver from 0 on, below [`Config::servers`](crate::Config::servers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u8);

impl core::fmt::Display for ServerId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "server{}", self.0)
    }
}

/// A record that a server passed on. Nothing of it is believed that its subject did not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRecord {
    /// The encoded record, then the signature.
    pub record: Vec<u8>,
    /// How long the server has had it, in seconds.
    pub age_secs: u32,
    /// Where its subject announced it from, as the server says. A relay lets connections from there through, and they
    /// still have to prove who they are; nobody is dialled there.
    pub from: Option<IpAddr>,
}

/// What a server answered. Only signatures make any of it true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAnswer {
    /// Records of others; what is beyond the number that was asked for is not looked at.
    pub records: Vec<ServerRecord>,
    /// Tasks, encoded and signed by an authority.
    pub tasks: Vec<Vec<u8>>,
    /// The authority that the server says it is; none if it only passes records on.
    pub authority: Option<PeerId>,
    /// Where the server saw the announcement come from.
    pub observed: Option<SocketAddr>,
}

/// Why nothing of what a server answers is used: [`Config::authority`](crate::Config::authority) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerRefusal {
    /// It names no authority, and servers that only pass records on are not used.
    #[error("it names no authority, and only servers that are authorities are used")]
    Trustless,
    /// It names an authority, and such servers are not used.
    #[error("it names an authority, and only servers that pass records on are used")]
    Authority,
    /// It names another authority than those that are accepted.
    #[error("it names the authority {0}, which is not accepted; take that one, or do without the lock")]
    OtherAuthority(PeerId),
}

/// What became of an [`Action::Announce`](crate::Action::Announce).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerReply<'a> {
    /// The server answered this.
    Answer(&'a ServerAnswer),
    /// It could not be reached, or its answer was none.
    Failed,
}
