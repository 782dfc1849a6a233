//! What the engine tells the application.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::content::{ContentId, Manifest};
use crate::engine::TaskRefused;
use crate::identity::PeerId;
use crate::liveness::{Evidence, Liveness};
use crate::reject::RejectReason;
use crate::server::ServerId;
use crate::task::{TaskId, TaskKind, TaskOutcome};

/// Something the application may want to know.
///
/// Events about a peer, an offer or a transfer are level-triggered: the engine keeps one slot for each and
/// reports the way from what was last taken to what is true now, so ups and downs alternate and nothing is
/// dropped however late they are taken. Strings come from peers: they have no control characters, and nothing
/// else about them is to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A valid record of a peer is known.
    PeerDiscovered {
        /// Who.
        peer: PeerId,
        /// The name that it gives itself, at most 64 bytes.
        name: String,
        /// Where it was heard, or where its record says that it is.
        addr: Option<SocketAddr>,
    },
    /// An authenticated link to the peer is up.
    PeerConnected {
        /// Who.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// The other end of the link.
        addr: Option<SocketAddr>,
    },
    /// Both sides have verified each other. Comes again after each reconnect.
    PeerTrusted {
        /// Who.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// The other end of the link.
        addr: Option<SocketAddr>,
    },
    /// A connected peer is no longer connected.
    PeerLeft {
        /// Who.
        peer: PeerId,
        /// The name that it gave itself.
        name: String,
        /// Why. If one side wished it, both are told the same.
        reason: LeaveReason,
        /// Which side wished it; `None` if nobody did.
        by: Option<Party>,
    },
    /// A peer that is, or was, connected is otherwise than last told. With the first
    /// [`PeerConnected`](Event::PeerConnected) it is alive.
    PeerLiveness {
        /// Who.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// How it is.
        liveness: Liveness,
        /// What that is based on.
        evidence: Evidence,
    },
    /// One side did not let the other in, or took its trust back. Of several in a row the last one is told.
    PeerRejected {
        /// Who.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// Why.
        reason: RejectReason,
        /// Whether this side said so, and not the peer.
        by_us: bool,
    },
    /// A custom verification step wants the application. Answer with
    /// [`Engine::step_send`](crate::Engine::step_send) and end it with
    /// [`Engine::step_conclude`](crate::Engine::step_conclude).
    StepMessage {
        /// Who is being verified.
        peer: PeerId,
        /// The step's name.
        step: String,
        /// The hash of the handshake: equal on both sides of this link and on no other.
        transcript: [u8; 32],
        /// What the peer sent, or `None` when the step begins.
        message: Option<Vec<u8>>,
    },
    /// Two people compare six digits ([`Step::Code`](crate::Step::Code)): show this code, and tell
    /// [`Engine::confirm_code`](crate::Engine::confirm_code) whether the other side has the same.
    CodeReady {
        /// Who is being verified.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// The six digits.
        code: String,
        /// Whether an answer is waited for. If not, this side has no doubt about the peer, and only the other person
        /// needs the code.
        confirm: bool,
    },
    /// Somebody has to decide about a peer ([`Step::Decision`](crate::Step::Decision)): answer with
    /// [`Engine::accept`](crate::Engine::accept) or [`Engine::reject`](crate::Engine::reject).
    /// [`Engine::waiting`](crate::Engine::waiting) lists all who wait.
    DecisionWanted {
        /// Who is being verified.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// The other end of the link.
        addr: Option<SocketAddr>,
    },
    /// A text arrived.
    Text {
        /// Who sent it.
        from: PeerId,
        /// The text, at most [`MAX_TEXT`](crate::MAX_TEXT) bytes.
        text: String,
        /// Whether the sender was trusted when it arrived.
        trusted: bool,
    },
    /// A text that [`Engine::send_text`](crate::Engine::send_text) took was taken by the peer's application.
    TextDelivered {
        /// Who acknowledged it.
        to: PeerId,
        /// The number that `send_text` gave.
        id: u64,
    },
    /// Texts that [`Engine::send_text`](crate::Engine::send_text) took will not be delivered: the peer has left for
    /// good, or is not known any more.
    TextsLost {
        /// Whom they were for.
        to: PeerId,
        /// The first number that was not acknowledged.
        first: u64,
        /// The last one that was sent.
        last: u64,
    },
    /// A message from a trusted peer, or passed on by trusted peers from one of theirs. Exactly once in this run for each
    /// that was sent, in order from each peer that this node is linked with.
    Message {
        /// Who sent it: proven by the link that it came by, or by its signature.
        from: PeerId,
        /// What, at most [`MAX_MESSAGE`](crate::MAX_MESSAGE) bytes.
        bytes: Arc<[u8]>,
        /// Over how many links it came: 1 from the sender itself. Those who passed it on may lie about it.
        hops: u16,
    },
    /// The outcome of a message that [`Engine::send_message`](crate::Engine::send_message) or
    /// [`Engine::broadcast`](crate::Engine::broadcast) took. It comes once for each, after
    /// [`Config::message_ttl`](crate::Config::message_ttl) at the latest.
    MessageSettled {
        /// Its number.
        id: u64,
        /// How many peers are known to have taken it. In a crowd those who passed it on say so.
        delivered: u32,
        /// Those it was for that are not known to have taken it.
        missing: Vec<PeerId>,
    },
    /// A trusted peer offers content: [`fetch`](crate::Engine::fetch) or [`decline`](crate::Engine::decline) it.
    /// It may be being fetched already, if [`Config::offers`](crate::Config::offers) takes it; to fetch it then changes nothing.
    ContentOffered {
        /// Who offers it.
        from: PeerId,
        /// What.
        manifest: Manifest,
    },
    /// Wanted content is complete, verified and durable.
    ContentReceived {
        /// What.
        manifest: Manifest,
        /// The last source.
        from: PeerId,
        /// Bytes of blocks that came over links for it, wrong ones included.
        fetched_bytes: u64,
    },
    /// The store has no room for wanted content. Nothing that came is given up; every 5 s it is tried whether there is room
    /// again.
    ContentPaused {
        /// What.
        manifest: Manifest,
    },
    /// There is room again for content that was paused, and it goes on.
    ContentResumed {
        /// What.
        manifest: Manifest,
    },
    /// Wanted content will not come.
    ContentFailed {
        /// What.
        manifest: Manifest,
        /// Why.
        reason: ContentFailure,
    },
    /// A peer holds content of ours, verified and durable.
    ContentDelivered {
        /// What.
        content: ContentId,
        /// Who.
        to: PeerId,
    },
    /// A peer has no room for content of ours. It goes on when it has.
    ContentHeldUp {
        /// What.
        content: ContentId,
        /// Who.
        to: PeerId,
    },
    /// A peer's application has paused its transfer of content of ours.
    DeliveryPaused {
        /// What.
        content: ContentId,
        /// Who.
        to: PeerId,
    },
    /// A peer's application goes on with content of ours, after [`Event::DeliveryPaused`].
    DeliveryResumed {
        /// What.
        content: ContentId,
        /// Who.
        to: PeerId,
    },
    /// A peer does not want content of ours.
    ContentDeclined {
        /// What.
        content: ContentId,
        /// Who.
        to: PeerId,
    },
    /// Something there speaks another version of this protocol.
    IncompatiblePeer {
        /// Where.
        addr: SocketAddr,
        /// The version that it speaks.
        version: u8,
    },
    /// Another program runs under this node's key, most likely from a copy of its data directory. Both are told; the one
    /// with the newer incarnation is believed, and they do not fight for it.
    /// Who recorded beacons of an earlier run of this node and sends them again can cause this, too.
    IdentityShared {
        /// Where its beacons come from.
        addr: SocketAddr,
    },
    /// A program that runs under this node's key outranked this node again and again: it is the one that others believe.
    /// This node dials nobody any more. It tries again when the other was not heard for more than five minutes.
    Superseded,
    /// This node claims its key again, after [`Event::Superseded`].
    IdentityReclaimed,
    /// [`Engine::leave`](crate::Engine::leave) is done: all farewells are out and all links closed.
    Left,
    /// A search of IPv6 prefixes goes on. Told once a second at most.
    WidescanProgress {
        /// Datagrams that were sent.
        sent: u64,
        /// Datagrams that will have been sent at most.
        datagrams: u64,
        /// Peers that answered.
        found: u64,
    },
    /// A peer answered a search of IPv6 prefixes; it is dialled. Its id is what its record says, and proven on a link only.
    WidescanFound {
        /// Who.
        peer: PeerId,
        /// Where the answer came from.
        addr: SocketAddr,
    },
    /// A search of IPv6 prefixes is over.
    WidescanEnded {
        /// Datagrams that were sent.
        sent: u64,
        /// Peers that answered.
        found: u64,
        /// Whether it was stopped before its end.
        stopped: bool,
    },
    /// A task of an authority was carried out, or it was tried.
    TaskExecuted {
        /// Who asked for it.
        issuer: PeerId,
        /// Which.
        id: TaskId,
        /// What it asked for. Its texts come from the issuer.
        kind: TaskKind,
        /// What became of it.
        outcome: TaskOutcome,
    },
    /// A bootstrap server handed out a task that was not taken. Of those that were taken before, and of those that came
    /// another way, nothing is told.
    TaskRefused {
        /// Who asks for it, if it says so. Nothing proves that.
        issuer: Option<PeerId>,
        /// Which.
        id: Option<TaskId>,
        /// Why.
        why: TaskRefused,
    },
    /// The first authority that a server named is the only one from now on:
    /// [`AuthorityPolicy::lock`](crate::AuthorityPolicy::lock).
    AuthorityLocked {
        /// Which.
        authority: PeerId,
        /// Who named it.
        server: ServerId,
    },
}

/// Why a connected peer is no longer connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It, or this node, said goodbye for good.
    Gone,
    /// Nobody heard it for too long.
    Lost,
    /// Its link broke. Whether it lives is told by [`Event::PeerLiveness`].
    Broken,
    /// Its link carried nothing for too long, though it lives.
    Timeout,
    /// A newer run of it has taken its place.
    Replaced,
    /// An application closed the link on purpose.
    Closed,
    /// One side did not let the other in, or took its trust back. [`Event::PeerRejected`] says which.
    Rejected(RejectReason),
    /// One side has more links than it needs: both are still connected by way of others.
    Trimmed,
    /// One side has as many links as it may.
    Full,
    /// One side presented a record that is older than one the other knows.
    Stale,
    /// One side broke the protocol.
    Protocol,
}

/// One of the two sides of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// This node.
    Us,
    /// The peer.
    Them,
}

impl Party {
    /// One word for programs and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Party::Us => "us",
            Party::Them => "them",
        }
    }
}

impl LeaveReason {
    /// One word for programs and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LeaveReason::Gone => "gone",
            LeaveReason::Lost => "lost",
            LeaveReason::Broken => "broken",
            LeaveReason::Timeout => "timeout",
            LeaveReason::Replaced => "replaced",
            LeaveReason::Closed => "closed",
            LeaveReason::Rejected(_) => "rejected",
            LeaveReason::Trimmed => "trimmed",
            LeaveReason::Full => "full",
            LeaveReason::Stale => "stale",
            LeaveReason::Protocol => "protocol",
        }
    }

    /// Whether nobody wished it, so that the peer is expected back.
    pub(crate) fn is_mishap(self) -> bool {
        match self {
            LeaveReason::Lost
            | LeaveReason::Broken
            | LeaveReason::Timeout
            | LeaveReason::Stale
            | LeaveReason::Protocol => true,
            LeaveReason::Gone
            | LeaveReason::Replaced
            | LeaveReason::Closed
            | LeaveReason::Rejected(_)
            | LeaveReason::Full
            | LeaveReason::Trimmed => false,
        }
    }
}

/// Why wanted content will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentFailure {
    /// Every source sent something that does not hash to the content, or withdrew.
    NoSource,
    /// The store failed.
    StoreFailed,
    /// The application gave it up.
    Cancelled,
    /// It is not what its manifest says: a folder without an index. Its publisher is to blame, not those it came from.
    Malformed,
}

impl ContentFailure {
    /// A few words for programs and people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ContentFailure::NoSource => "no source has it intact",
            ContentFailure::StoreFailed => "the disk failed",
            ContentFailure::Cancelled => "cancelled",
            ContentFailure::Malformed => "it is not the folder that its publisher says it is",
        }
    }
}
