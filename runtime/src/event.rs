//! What a node tells its application.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use p2pnet_engine::{
    ContentFailure, ContentId, Evidence, LeaveReason, Liveness, Manifest, Party, PeerId, RejectReason,
    TaskId, TaskKind, TaskOutcome, TaskRefused,
};

/// Something the application may want to know.
///
/// Ups and downs of a peer alternate and none is lost, however late events are taken. Strings come from peers: they
/// have no control characters, and nothing else about them is to be trusted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The node listens. Always the first event.
    Listening {
        /// This node.
        peer: PeerId,
        /// Its name.
        name: String,
        /// Its private port, for unicast datagrams and links.
        port: u16,
    },
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
    /// Two people compare six digits: show this code, and tell
    /// [`NodeHandle::confirm_code`](crate::NodeHandle::confirm_code) whether the other side has the same.
    CodeReady {
        /// Who is being verified.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// The six digits.
        code: String,
        /// Whether an answer is waited for. If not, only the other person needs the code.
        confirm: bool,
    },
    /// Somebody has to decide about a peer: answer with [`NodeHandle::accept`](crate::NodeHandle::accept) or
    /// [`NodeHandle::reject`](crate::NodeHandle::reject). [`NodeHandle::waiting`](crate::NodeHandle::waiting) lists all
    /// who wait.
    DecisionWanted {
        /// Who is being verified.
        peer: PeerId,
        /// The name that it gives itself.
        name: String,
        /// The other end of the link.
        addr: Option<SocketAddr>,
    },
    /// A custom verification step wants the application: answer with
    /// [`NodeHandle::step_send`](crate::NodeHandle::step_send), end it with
    /// [`NodeHandle::step_conclude`](crate::NodeHandle::step_conclude).
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
    /// A text arrived.
    Text {
        /// Who sent it.
        from: PeerId,
        /// The text.
        text: String,
        /// Whether the sender was trusted when it arrived.
        trusted: bool,
    },
    /// The peer's application took a text.
    TextDelivered {
        /// Who acknowledged it.
        to: PeerId,
        /// The number that [`NodeHandle::send_text`](crate::NodeHandle::send_text) gave.
        id: u64,
    },
    /// Texts will not be delivered: the peer has left for good, or is not known any more.
    TextsLost {
        /// Whom they were for.
        to: PeerId,
        /// The first number that was not acknowledged.
        first: u64,
        /// The last one that was sent.
        last: u64,
    },
    /// A message from a trusted peer, or in a crowd passed on from one of theirs; exactly once in this run for each that
    /// was sent.
    Message {
        /// Who sent it.
        from: PeerId,
        /// What, at most [`MAX_MESSAGE`](p2pnet_engine::MAX_MESSAGE) bytes.
        bytes: Arc<[u8]>,
        /// Over how many links it came: 1 from the sender itself.
        hops: u16,
    },
    /// What became of a message, once for each.
    MessageSettled {
        /// The number that [`NodeHandle::send_message`](crate::NodeHandle::send_message) or
        /// [`NodeHandle::broadcast`](crate::NodeHandle::broadcast) gave.
        id: u64,
        /// How many peers are known to have taken it.
        delivered: u32,
        /// Those it was for that are not.
        missing: Vec<PeerId>,
    },
    /// A trusted peer offers content: [`fetch`](crate::NodeHandle::fetch) or [`decline`](crate::NodeHandle::decline)
    /// it. It may be being fetched already, if the node's [`OfferPolicy`](crate::OfferPolicy) takes it; to fetch it then
    /// changes nothing.
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
        /// Where it is: absolute, under a name that the store made safe.
        path: PathBuf,
        /// Seconds from [`NodeHandle::fetch`](crate::NodeHandle::fetch) until it was durable.
        seconds: f64,
        /// Bytes of blocks that came over links for it, wrong ones included.
        fetched_bytes: u64,
    },
    /// The disk has no room for wanted content. Nothing that came is given up; every 5 s it is tried whether there is room
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
    /// Another program runs under this node's key, most likely from a copy of its data directory: one of the two needs
    /// a data directory of its own.
    IdentityShared {
        /// Where its beacons come from.
        addr: SocketAddr,
    },
    /// The other program that runs under this node's key is the one that peers believe: this node dials nobody until
    /// nothing was heard of the other for more than five minutes.
    Superseded,
    /// After [`Event::Superseded`], this node claims its key again.
    IdentityReclaimed,
    /// A bootstrap server answered: for the first time, or again.
    ServerReached {
        /// Its name: the URL that was given.
        server: String,
        /// How many records of others it gave.
        records: u32,
        /// Where it saw this node come from, if it says so. Not to be trusted.
        observed: Option<SocketAddr>,
    },
    /// A bootstrap server does not answer as it should. Told for the first failure in a row and for each of another kind;
    /// it is asked again, more and more rarely.
    ServerFailed {
        /// Its name: the URL that was given.
        server: String,
        /// What is wrong and what to do, on one line.
        why: String,
    },
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
    /// Peers beyond this host's router reach this node at this address from now on. When that ends
    /// [`Event::RelayFailed`] tells of the relay.
    Relayed {
        /// The relay's name: its URL without user name and password.
        relay: String,
        /// The address that others dial.
        address: SocketAddr,
    },
    /// A relay does not relay for this node, or no more. Told for the first failure in a row and for each of another kind;
    /// it is tried again, more and more rarely, and others take its place.
    RelayFailed {
        /// Its name: its URL without user name and password.
        relay: String,
        /// What is wrong and what to do, on one line.
        why: String,
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
    /// The first authority that a bootstrap server named is the only one from now on
    /// ([`AuthorityPolicy::lock`](p2pnet_engine::AuthorityPolicy::lock)).
    AuthorityLocked {
        /// Which.
        authority: PeerId,
    },
    /// A relay says where it sees this node come from (STUN: RFC 8489, section 14.2): behind a router that is its public
    /// address. Told again when it is another. Not to be trusted.
    Observed {
        /// The relay's name: its URL without user name and password.
        relay: String,
        /// Where it sees this node come from.
        address: SocketAddr,
    },
}
