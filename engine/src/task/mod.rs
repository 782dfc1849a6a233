//! Network tasks: what an authority asks of the nodes of a network.

mod kind;
mod parts;
mod report;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{self, Identity, PeerId};
use crate::wire::codec;

pub use self::kind::{MAX_TASK_SERVERS, MAX_TASK_TEXT, TaskKind, TaskSettings};
pub(crate) use self::kind::{Subject, are_servers, is_name};
pub use self::parts::TaskPart;
pub use self::report::{MAX_TASK_REPORT, TaskFailure, TaskOutcome, TaskReport};

/// Bytes that a task may have, signature included.
pub const MAX_TASK: usize = 4608;

/// How far ahead a task may end, in seconds: 7 days.
pub const MAX_TASK_AHEAD: u64 = 7 * 24 * 3600;

const SIGNATURE_LEN: usize = 64;
const DOMAIN: &str = "p2pnet v1 network task";

/// The name of a task: the BLAKE3 hash of its bytes, signature included. Shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub [u8; 32]);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TaskId {
    /// The first four bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// Whom a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskTarget {
    /// Every node of the network that takes tasks from the issuer.
    Everyone,
    /// One node.
    Peer(PeerId),
}

/// Something that an authority asks of the nodes of a network, signed by it.
///
/// An authority is an [`Identity`] that need not run anywhere. A node carries a task out only if its
/// [`AuthorityPolicy`](crate::AuthorityPolicy) takes tasks from the issuer, and only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkTask {
    body: Body,
    signature: [u8; SIGNATURE_LEN],
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    network: [u8; 8],
    issuer: PeerId,
    target: TaskTarget,
    sequence: u64,
    expires: u64,
    kind: TaskKind,
}

impl NetworkTask {
    /// Asks as `issuer` for `kind` on the network of this [tag](crate::Network::tag), of these nodes, until `expires`
    /// seconds after the start of 1970. Of two tasks about the same, the one with the higher `sequence` counts.
    ///
    /// # Errors
    ///
    /// If the kind is out of its limits.
    pub fn issue(
        issuer: &Identity,
        network: [u8; 8],
        target: TaskTarget,
        sequence: u64,
        expires: u64,
        kind: TaskKind,
    ) -> Result<NetworkTask, TaskError> {
        if !kind.is_valid() {
            return Err(TaskError::Limits);
        }
        let body = Body { network, issuer: issuer.peer_id(), target, sequence, expires, kind };
        let signature = issuer.sign(DOMAIN, &codec::encode(&body));
        Ok(NetworkTask { body, signature })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave. Checks its form and its limits, and not its signature.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<NetworkTask, TaskError> {
        let (encoded, signature) = bytes.split_last_chunk().ok_or(TaskError::Malformed)?;
        let body: Body =
            codec::decode(encoded, MAX_TASK - SIGNATURE_LEN).map_err(|_| TaskError::Malformed)?;
        if !body.kind.is_valid() {
            return Err(TaskError::Limits);
        }
        Ok(NetworkTask { body, signature: *signature })
    }

    /// Its bytes, at most [`MAX_TASK`]: the encoded fields, then the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = codec::encode(&self.body);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> TaskId {
        TaskId(*blake3::hash(&self.to_bytes()).as_bytes())
    }

    /// Whether the issuer that it names signed it. Whether that one has anything to say is another question.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        identity::verify(&self.body.issuer, DOMAIN, &codec::encode(&self.body), &self.signature)
    }

    /// The tag of the network.
    #[must_use]
    pub fn network(&self) -> [u8; 8] {
        self.body.network
    }

    /// Who asks.
    #[must_use]
    pub fn issuer(&self) -> PeerId {
        self.body.issuer
    }

    /// Of whom.
    #[must_use]
    pub fn target(&self) -> TaskTarget {
        self.body.target
    }

    /// Its number; of tasks about the same, higher ones are newer.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.body.sequence
    }

    /// Until when it is good, in seconds since the start of 1970.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.body.expires
    }

    /// Whether it is over at `unix_seconds`.
    #[must_use]
    pub fn is_expired(&self, unix_seconds: u64) -> bool {
        self.body.expires <= unix_seconds
    }

    /// What is asked.
    #[must_use]
    pub fn kind(&self) -> &TaskKind {
        &self.body.kind
    }
}

impl TaskTarget {
    /// The one that it is; `None` for everyone.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        match *self {
            TaskTarget::Everyone => None,
            TaskTarget::Peer(peer) => Some(peer),
        }
    }

    /// Whether it is for this peer.
    #[must_use]
    pub fn includes(&self, peer: &PeerId) -> bool {
        self.peer().is_none_or(|target| target == *peer)
    }
}

impl fmt::Display for TaskTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskTarget::Everyone => f.write_str("everyone"),
            TaskTarget::Peer(peer) => write!(f, "{peer}"),
        }
    }
}

/// Why there is no such task or report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The bytes are none.
    #[error("this is not a task, or it is damaged")]
    Malformed,
    /// What it asks for is out of its limits.
    #[error(
        "out of its limits: texts have 1 to 4096 bytes, names 1 to 64 bytes without control characters, 1 to 8 servers have URLs of at most 256 characters, settings are within their ranges and at least one"
    )]
    Limits,
}
