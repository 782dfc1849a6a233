//! What the engine asks of a driver: datagrams, link output, actions, deadlines.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::Timestamp;
use crate::authority::AuthorityState;
use crate::content::{BlockCheck, BlockList, BlockRef, ContentId, Manifest};
use crate::decision::Decision;
use crate::input::{InterfaceId, LinkId};
use crate::link::LinkCodec;
use crate::memory::MemoryChange;
use crate::server::ServerId;

/// A datagram to send from the private port. Its bytes are in the buffer that was given to
/// [`Engine::poll_transmit`](crate::Engine::poll_transmit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The interface to send it on.
    pub interface: InterfaceId,
    /// Where to: unicast, broadcast or multicast, as the address says.
    pub destination: SocketAddr,
}

/// What [`Engine::poll_link`](crate::Engine::poll_link) put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOutput {
    /// Handshake bytes: write them to the stream as they are.
    Raw,
    /// Control frames: seal them with the link's [`Sealer`](crate::Sealer) on
    /// [`Channel::Control`](crate::Channel::Control), then write.
    Frames,
}

/// Something for the driver to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Connect; answer with [`LinkInput::Opened`](crate::LinkInput::Opened) or
    /// [`LinkInput::DialFailed`](crate::LinkInput::DialFailed).
    Dial {
        /// The number of the new link.
        link: LinkId,
        /// The interface to go out by, where it matters (a link-local address, or several ways).
        interface: Option<InterfaceId>,
        /// Where to.
        address: SocketAddr,
    },
    /// The handshake is done: from now on what the stream brings goes through the codec's opener (it already
    /// holds what came behind the handshake) and frames go out through its sealer. Raw output polled before
    /// this is still written first.
    LinkReady {
        /// Which link.
        link: LinkId,
        /// The keys of this link.
        codec: Box<LinkCodec>,
    },
    /// Drop the stream at once. The engine has already forgotten the link: nothing need be answered.
    Close {
        /// Which link.
        link: LinkId,
    },
    /// Write what [`Engine::poll_link`](crate::Engine::poll_link) gave before, then `raw` as it is, then `frames`
    /// sealed, and end the stream. The engine has already forgotten the link: nothing need be answered. The
    /// driver bounds how long it tries (a second is enough).
    Finish {
        /// Which link.
        link: LinkId,
        /// Handshake bytes, mostly none.
        raw: Vec<u8>,
        /// The last control frames.
        frames: Vec<u8>,
    },
    /// Tell the link's [`BlockVerifier`](crate::BlockVerifier) to expect a block.
    ExpectBlock {
        /// The link that it was asked from.
        link: LinkId,
        /// Which block.
        block: BlockRef,
        /// What proves it.
        check: BlockCheck,
    },
    /// Tell the link's [`BlockVerifier`](crate::BlockVerifier) that a block will not come after all.
    ForgetBlock {
        /// The link that it was asked from.
        link: LinkId,
        /// Which block.
        block: BlockRef,
    },
    /// Read a block from the store and send it on the link's bulk channel, behind its header. It is of a published
    /// content, or was written of one that is being received or is finished.
    SendBlock {
        /// The link.
        link: LinkId,
        /// Which block.
        block: BlockRef,
    },
    /// Something for the store.
    Store(StoreRequest),
    /// Tell a bootstrap server this record, and ask it for as many others. Answer with
    /// [`Engine::handle_server`](crate::Engine::handle_server), within half a minute. Goodbyes want none and need no
    /// answer.
    Announce {
        /// Which server.
        server: ServerId,
        /// The encoded record and its signature.
        record: Vec<u8>,
        /// How many records of others are wanted.
        want: u16,
        /// What became of tasks, encoded and signed by this node.
        reports: Vec<Vec<u8>>,
    },
    /// A peer may come from this address: have the relay let it through.
    Permit {
        /// The address.
        address: IpAddr,
    },
}

/// What the engine asks of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreRequest {
    /// Get ready for the blocks of this content, and find what there is of it. Answered by
    /// [`StoreReply::Opened`](crate::StoreReply::Opened).
    Open {
        /// What will come. Its name is the peer's and must be made safe.
        manifest: Manifest,
    },
    /// Every block was written: make them durable, then give the content its final name. Its blocks are still read, to be
    /// sent to others, until it is closed. Answered by [`StoreReply::Finished`](crate::StoreReply::Finished).
    Finish {
        /// Which content.
        content: ContentId,
    },
    /// Keep this beside the blocks of a content that was opened: it is proven, and tells blocks that are whole from
    /// those that a crash has torn. Not answered. A store that drops what it has not finished need not.
    KeepList {
        /// Which content.
        content: ContentId,
        /// Its list.
        list: BlockList,
    },
    /// Stop receiving this content for now, or reading it if it is finished. What was written is worth keeping: until it
    /// is opened again, or for good. Not answered.
    Close {
        /// Which content.
        content: ContentId,
    },
    /// Drop what was written of this content. Not answered.
    Abandon {
        /// Which content.
        content: ContentId,
    },
    /// Make these changes of what the next run should know durable: all of them or none. Given back as
    /// [`Restored::memory`](crate::Restored::memory), and only to a run on the same network. Answered by
    /// [`StoreReply::Remembered`](crate::StoreReply::Remembered); until then no other is asked for, except when leaving.
    Remember {
        /// Whether to drop all that was kept before.
        anew: bool,
        /// What changed. For one peer the later counts.
        changes: Vec<MemoryChange>,
    },
    /// Keep these for the next run in place of what was kept before: all there are, at most
    /// [`MAX_DECISIONS`](crate::MAX_DECISIONS), given back as [`Restored::decisions`](crate::Restored::decisions). Not
    /// answered.
    SaveDecisions {
        /// What was decided, in order.
        decisions: Vec<Decision>,
    },
    /// Make this incarnation durable: someone holds a newer record of ours than we knew. Not answered.
    SaveIncarnation {
        /// The value to continue from.
        incarnation: u64,
    },
    /// Keep this for the next run on this network in place of what was kept before; given back as
    /// [`Restored::authority`](crate::Restored::authority). Not answered.
    SaveAuthority {
        /// All there is.
        state: AuthorityState,
    },
}

/// When [`Engine::handle_timeout`](crate::Engine::handle_timeout) wants to be called, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout {
    /// The deadline. Round it up to the driver's clock: an early call does nothing.
    pub at: Timestamp,
    /// What is due then.
    pub reason: TimeoutReason,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TimeoutReason {
    /// A beacon: a burst, the cadence, a probe, a scan or a farewell.
    Beacon,
    /// One broadcast that answers several newcomers.
    Reply,
    /// A new choice of the rotating port.
    Rotate,
    /// Keeping what a later run should know.
    Remember,
    /// A new signature on our own record, or a claim to it.
    Resign,
    /// Dropping what is too old.
    Expire,
    /// A link's handshake, ping, silence or drain.
    Link,
    /// A peer that is silent.
    Watch,
    /// A dial to a peer or an address given by hand.
    Dial,
    /// Another try to deliver a text.
    Text,
    /// A source that stopped sending blocks.
    Transfer,
    /// A step of a peer's verification.
    Verification,
    /// Passing news on, or comparing the collection with a neighbour.
    Share,
    /// An announcement to a bootstrap server.
    Announce,
    /// Messages: acknowledging, sending again, passing on, giving up.
    Message,
    /// The next datagram of a search of IPv6 prefixes, or its end.
    Widescan,
    /// A ping that an authority asked for and that was not answered.
    Task,
}
