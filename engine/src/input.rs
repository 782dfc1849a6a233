//! What a driver tells the engine: datagrams, what happened on links, interfaces, store replies.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::content::{BlockList, BlockRef, ContentId, Verdict};

/// A network interface, numbered by the driver (the operating system's index is a good choice).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u32);

/// An interface that the driver can send and receive on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The number by which [`Datagram`] and [`Transmit`](crate::Transmit) name it.
    pub id: InterfaceId,
    /// The operating system's name for it, such as `eth0`.
    pub name: String,
    /// What it is: real networks are announced and dialled before virtual ones.
    pub kind: InterfaceKind,
    /// Whether the driver joined the multicast group on it.
    pub multicast: bool,
    /// Whether directed broadcasts can be sent on it. Without, 255.255.255.255 is used (turmoil needs that).
    pub directed_broadcast: bool,
    /// Its addresses; beacons go out once for each IPv4 subnet.
    pub addrs: Vec<InterfaceAddr>,
}

/// What an interface is, the best way to a peer first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InterfaceKind {
    /// A cable or a radio.
    Lan,
    /// A bridge to containers or virtual machines on this host.
    Virtual,
    /// A tunnel, such as a VPN.
    Tunnel,
    /// Never leaves the host.
    Loopback,
}

impl Interface {
    /// Whether it never leaves the host.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.kind == InterfaceKind::Loopback
    }
}

/// An address of an interface with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddr {
    /// The address.
    pub ip: IpAddr,
    /// Leading bits that the subnet shares: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub prefix: u8,
}

/// A datagram that arrived, on a designated port or on the private one.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The interface that it came in by.
    pub interface: InterfaceId,
    /// Where it says that it comes from.
    pub source: SocketAddr,
    /// Its payload.
    pub bytes: &'a [u8],
}

/// A link: one ordered byte stream to a peer. The engine gives out the numbers and never reuses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl core::fmt::Display for LinkId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "link{}", self.0)
    }
}

/// What happened on a link. Input for a link that the engine has already closed does nothing.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum LinkInput<'a> {
    /// The dial that [`Action::Dial`](crate::Action::Dial) asked for succeeded.
    Opened,
    /// The dial failed. The link is over; the engine will try again when it sees fit.
    DialFailed(DialFailure),
    /// Bytes of the stream, as read, while the link has no codec. After each such input the driver must take
    /// the engine's actions before it reads on: one of them may be
    /// [`Action::LinkReady`](crate::Action::LinkReady).
    Handshake(&'a [u8]),
    /// One control frame, as the link's [`Opener`](crate::Opener) gave it.
    Frame(&'a [u8]),
    /// The link's [`BlockVerifier`](crate::BlockVerifier) judged a block. The driver writes a good one to its
    /// store without being asked and reports that with [`StoreReply::Written`].
    BlockArrived {
        /// Which block.
        block: BlockRef,
        /// What the verifier said.
        verdict: Verdict,
    },
    /// The link can take about `budget` bytes more; replaces what was said before. Bulk moves only by this.
    Writable {
        /// Bytes; an output may exceed it by one frame or one block.
        budget: usize,
    },
    /// The stream ended or broke, or its codec refused what came. The link is over.
    Closed(LinkEnd),
}

/// Why a dial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialFailure {
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way there, or the operating system forbids it.
    Unreachable,
}

/// How a link ended, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEnd {
    /// The other side ended the stream.
    Eof,
    /// The stream broke.
    Reset,
    /// The codec met bytes that are not from the peer.
    Forged,
}

/// What a store did. Replies may come in any order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreReply {
    /// Answer to [`StoreRequest::Open`](crate::StoreRequest::Open): ready for blocks, or why not.
    Opened {
        /// Which content.
        content: ContentId,
        /// What the store has of it already, if it can take the rest.
        result: Result<Leftovers, StoreFailure>,
    },
    /// A good block was written (not yet made durable), or could not be.
    Written {
        /// Which block.
        block: BlockRef,
        /// Whether it was written.
        result: Result<(), StoreFailure>,
    },
    /// A block that [`Action::SendBlock`](crate::Action::SendBlock) named could not be read.
    Unreadable {
        /// The link it was meant for.
        link: LinkId,
        /// Which block.
        block: BlockRef,
    },
    /// Answer to [`StoreRequest::Finish`](crate::StoreRequest::Finish): durable under its final name, or why not.
    Finished {
        /// Which content.
        content: ContentId,
        /// Whether it is durable.
        result: Result<(), StoreFailure>,
    },
    /// Answer to [`StoreRequest::Remember`](crate::StoreRequest::Remember): durable, or why not.
    Remembered {
        /// Whether it is kept; if not, nothing of the request is.
        result: Result<(), StoreFailure>,
    },
}

/// What a store still has of a content that was not finished. Nothing is no mistake: then all of it is fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// What [`StoreRequest::KeepList`](crate::StoreRequest::KeepList) gave. If it does not prove the content, the
    /// leftovers are worth nothing.
    pub list: BlockList,
    /// Blocks that are there, and that this list was found to [check](BlockList::check) when the store was opened. Those
    /// that the content does not have are ignored.
    pub blocks: Vec<u32>,
}

/// Why a store could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFailure {
    /// No room left.
    Full,
    /// Anything else that the operating system says.
    Io,
    /// The content is not what its manifest says: a folder without an index.
    Malformed,
}
