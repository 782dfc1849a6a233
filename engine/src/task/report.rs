//! What became of a task, signed by the node that carried it out.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::identity::{self, Identity, PeerId};
use crate::wire::codec;

use super::{SIGNATURE_LEN, TaskError, TaskId};

/// Bytes that a report may have, signature included.
pub const MAX_TASK_REPORT: usize = 256;

const DOMAIN: &str = "p2pnet v1 task report";

/// A node's word about a task that was for it. It goes to bootstrap servers with the node's next announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskReport {
    body: Body,
    signature: [u8; SIGNATURE_LEN],
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    network: [u8; 8],
    task: TaskId,
    peer: PeerId,
    outcome: TaskOutcome,
}

/// What became of a task. The order of the variants is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TaskOutcome {
    /// It was done.
    Done,
    /// There was nothing to do: it was so already.
    Unchanged,
    /// It could not be done.
    Failed {
        /// Why.
        reason: TaskFailure,
    },
    /// The peer answered a ping.
    RoundTrip {
        /// The time to it and back, in microseconds.
        micros: u32,
    },
    /// Whether a record is held, or a signature is good.
    Verified {
        /// Which of the two.
        good: bool,
    },
    /// The X25519 public key of the node's links.
    PublicKey {
        /// Its bytes.
        link_key: [u8; 32],
    },
    /// How the node stands.
    Status {
        /// Peers that it knows.
        known: u32,
        /// Peers that it is linked with.
        connected: u32,
        /// Those of them that it trusts and that trust it.
        trusted: u32,
    },
}

/// Why a task could not be done. The order of the variants is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum TaskFailure {
    /// No record of the peer is held.
    #[error("the peer is not known")]
    UnknownPeer,
    /// There is no link to the peer.
    #[error("the peer is not connected")]
    NotConnected,
    /// The peer did not answer.
    #[error("the peer did not answer")]
    NoAnswer,
    /// It is about the node itself.
    #[error("it is about the node itself")]
    Oneself,
    /// The peer is blocked.
    #[error("the peer is blocked")]
    Blocked,
    /// A table or a queue of the node is full.
    #[error("the node has no room for it")]
    Full,
    /// Nobody offers the content, or the node itself does not.
    #[error("the content is not offered")]
    NotOffered,
    /// A task about the same with a higher sequence was carried out before.
    #[error("a newer task about the same was carried out")]
    Outdated,
    /// The node's identifier policy does not let others name it.
    #[error("the node's identifier policy does not let others name it")]
    IdentifierPolicy,
    /// It goes beyond a limit that the node has.
    #[error("it goes beyond a limit of the node")]
    BeyondLimit,
}

impl TaskOutcome {
    /// One word of lower-case letters and dashes, for programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            TaskOutcome::Done => "done",
            TaskOutcome::Unchanged => "unchanged",
            TaskOutcome::Failed { .. } => "failed",
            TaskOutcome::RoundTrip { .. } => "answered",
            TaskOutcome::Verified { good: true } => "good",
            TaskOutcome::Verified { good: false } => "not-good",
            TaskOutcome::PublicKey { .. } => "public-key",
            TaskOutcome::Status { .. } => "runs",
        }
    }
}

impl fmt::Display for TaskOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            TaskOutcome::Failed { reason } => write!(f, ": {reason}"),
            TaskOutcome::RoundTrip { micros } => {
                write!(f, " after {}.{:03} ms", micros / 1000, micros % 1000)
            }
            TaskOutcome::PublicKey { link_key } => {
                write!(f, " {}", data_encoding::HEXLOWER.encode(link_key))
            }
            TaskOutcome::Status { known, connected, trusted } => {
                write!(f, ": knows {known} peers, linked with {connected}, trusted {trusted}")
            }
            _ => Ok(()),
        }
    }
}

impl TaskReport {
    /// Says as `node` what became of a task on the network of this tag.
    #[must_use]
    pub fn sign(node: &Identity, network: [u8; 8], task: TaskId, outcome: TaskOutcome) -> TaskReport {
        let body = Body { network, task, peer: node.peer_id(), outcome };
        let signature = node.sign(DOMAIN, &codec::encode(&body));
        TaskReport { body, signature }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave. Checks its form and not its signature.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<TaskReport, TaskError> {
        let (encoded, signature) = bytes.split_last_chunk().ok_or(TaskError::Malformed)?;
        let body =
            codec::decode(encoded, MAX_TASK_REPORT - SIGNATURE_LEN).map_err(|_| TaskError::Malformed)?;
        Ok(TaskReport { body, signature: *signature })
    }

    /// Its bytes, at most [`MAX_TASK_REPORT`]: the encoded fields, then the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = codec::encode(&self.body);
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Whether the peer that it names signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        identity::verify(&self.body.peer, DOMAIN, &codec::encode(&self.body), &self.signature)
    }

    /// The tag of the network.
    #[must_use]
    pub fn network(&self) -> [u8; 8] {
        self.body.network
    }

    /// Which task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.body.task
    }

    /// Whose word it is.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.body.peer
    }

    /// What became of it.
    #[must_use]
    pub fn outcome(&self) -> TaskOutcome {
        self.body.outcome
    }
}
