//! What travels on a link's control channel once the handshake is done, and the handshake's own payload.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::content::{BlockRef, ContentId, Manifest};
use crate::identity::PeerId;
use crate::reject::RejectReason;

use super::exchange::{DIGEST_LEN, ROOT_LEN, RecordEntry};
use super::message::{Payload, Recap, Relayed, Span};

/// The most records in one [`Frame::Records`].
pub(crate) const RECORDS_PER_FRAME: usize = 64;

/// The most chaining values in one [`Frame::ListPart`].
pub(crate) const VALUES_PER_PART: usize = 1024;

/// The longest message of a verification step, in bytes.
pub const MAX_STEP_MESSAGE: usize = 16 * 1024;

/// The payload of handshake messages 2 and 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The sender's signed record; its link key must be the sender's Noise static key.
    #[serde(with = "serde_bytes")]
    pub(crate) record: Vec<u8>,
    /// Names of the verification steps that the sender wants both sides to run: at most 8.
    pub(crate) steps: Vec<String>,
    /// Which of its dials this is, if the sender dialled; otherwise 0.
    pub(crate) dial: u64,
}

/// One control frame. The order of the variants is the wire's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// The first frame on every link, both ways.
    Confirm {
        /// How often the sender has connected to the receiver, this time included.
        session: u64,
        /// Whether the receiver is verified already in this session, over another link.
        verified: bool,
        /// A record of the receiver's that is newer than the one it presented: it lost its memory.
        #[serde(with = "serde_bytes")]
        yours: Option<Vec<u8>>,
    },
    Ping {
        nonce: u64,
    },
    Pong {
        nonce: u64,
    },
    /// The sender has verified the receiver.
    Verified {
        session: u64,
    },
    /// A message of a verification step.
    Step {
        name: String,
        #[serde(with = "serde_bytes")]
        message: Vec<u8>,
    },
    /// `CollectionShare`: signed records, each with its age in seconds.
    Records(Vec<AgedRecord>),
    /// A text. `base` is the lowest number that was never acknowledged.
    Text {
        id: u64,
        base: u64,
        text: String,
    },
    /// Every text up to this number was taken.
    TextAck {
        id: u64,
    },
    Offer(Manifest),
    Withdraw(ContentId),
    /// Asks for chaining values from this index on.
    ListRequest {
        content: ContentId,
        first: u32,
    },
    ListPart {
        content: ContentId,
        first: u32,
        values: Vec<[u8; 32]>,
    },
    BlockRequest(BlockRef),
    /// The sender cannot serve this content.
    Unavailable(ContentId),
    /// The sender holds this content, verified and durable.
    Complete(ContentId),
    /// The sender does not want this content.
    Decline(ContentId),
    /// The last frame on a link.
    Disconnect(DisconnectReason),
    /// The link that a `Duplicate` wanted to keep is not there any more: keep this one.
    Missing {
        keep: [u8; 32],
    },
    /// `CollectionShare`: the digest of all that the sender holds up to this rank.
    RecordsRoot {
        below: u64,
        root: [u8; ROOT_LEN],
    },
    /// The digests of its buckets, up to this rank.
    RecordsDigests {
        below: u64,
        digests: Vec<[u8; DIGEST_LEN]>,
    },
    /// All that the sender holds at these places, up to this rank, by place and class.
    RecordsListed {
        below: u64,
        first: u64,
        last: u64,
        entries: Vec<RecordEntry>,
    },
    /// What the receiver lacks, as its list shows.
    RecordsOffered(Vec<RecordEntry>),
    /// Asks for the records at these places.
    RecordsWanted(Vec<u64>),
    /// Does the receiver hear this peer? The sender does not.
    ProbeFor {
        peer: PeerId,
        nonce: u64,
    },
    /// The sender heard the peer that was asked for with this number, so many milliseconds ago.
    ProbeResult {
        peer: PeerId,
        nonce: u64,
        heard_ms: u32,
    },
    /// Who fetches this content as well, of those who came since the sender last said so.
    Takers {
        content: ContentId,
        peers: Vec<PeerId>,
    },
    /// Which blocks of it the sender has, one bit each; it fetches the content, or has fetched it. `answer` when it would
    /// like to hear the same.
    Have {
        content: ContentId,
        #[serde(with = "serde_bytes")]
        blocks: Vec<u8>,
        answer: bool,
    },
    /// The sender has this block now.
    HaveBlock(BlockRef),
    /// The sender has this block from somebody else and asks for it no more.
    CancelBlock(BlockRef),
    /// The sender has no room for this content now, and goes on when it has.
    NoRoom(ContentId),
    /// The sender's application has paused its transfer of this content, or goes on with it.
    Paused {
        content: ContentId,
        paused: bool,
    },
    /// A message to the receiver. `base` is the lowest number that the sender has not settled.
    Message {
        id: u64,
        base: u64,
        payload: Payload,
    },
    /// Every message up to this number was taken. `again` when one beyond it came and found no room: now there is some.
    MessageAck {
        id: u64,
        again: bool,
    },
    /// A message to all, passed on (Leitão, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007: *eager push*).
    Gossip(Relayed),
    /// The sender has these (*lazy push*).
    IHave(Vec<Span>),
    /// Asks for these, and that the sender pass on to the receiver what comes.
    Graft(Vec<Span>),
    /// What the receiver passes on comes to the sender sooner by others: an [`IHave`](Frame::IHave) will do.
    Prune,
    /// Passed on like a message, and answered by [`Reached`](Frame::Reached).
    Recap(Recap),
    /// Up to which number the nodes at these places in the collection have taken all messages of a run. On its way to
    /// the origin.
    Reached {
        origin: PeerId,
        incarnation: u64,
        entries: Vec<(u64, u64)>,
    },
    /// A task that an authority signed, passed on.
    Task(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// A signed record and how long it has been held by those who passed it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgedRecord {
    pub(crate) age_secs: u32,
    // In a crowd most of a node's work is with these.
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}

/// Why a link is closed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DisconnectReason {
    /// There are two links; the one with this transcript stays.
    Duplicate { keep: [u8; 32] },
    /// The sender has as many links as it may.
    Full,
    /// The sender leaves the network.
    Leaving,
    /// The receiver presented a record older than one that is known.
    Stale,
    /// The receiver is not let in.
    Rejected(RejectReason),
    /// The application wished it.
    Closed,
    /// The receiver broke the protocol.
    Protocol,
    /// The sender has more links than it needs.
    Trimmed,
    /// The link carried nothing for too long, though the receiver lives.
    Timeout,
}
