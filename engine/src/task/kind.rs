//! What a task asks for.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::content::ContentId;
use crate::identity::PeerId;

/// Bytes of a text or a message in a task.
pub const MAX_TASK_TEXT: usize = 4096;

/// Bootstrap servers that a task may name.
pub const MAX_TASK_SERVERS: usize = 8;

/// Bytes of the URL of such a server.
const MAX_URL: usize = 256;

/// Bytes that a node's name may have.
const MAX_NAME: usize = 64;

const SIGNATURE_LEN: usize = 64;

/// What a task asks for. The order of the variants is the wire's.
///
/// What each does, and what of it outlives the run, is said by [`Engine::handle_task`](crate::Engine::handle_task).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TaskKind {
    /// Have nothing more to do with this peer.
    BlockPeer {
        /// Whom.
        peer: PeerId,
    },
    /// Take a block of this peer back.
    UnblockPeer {
        /// Whom.
        peer: PeerId,
    },
    /// Forget this peer: its record, and what was decided about it.
    RemovePeer {
        /// Whom.
        peer: PeerId,
    },
    /// Have nothing more to do with whoever is at this address.
    BlockAddress {
        /// Where.
        address: IpAddr,
    },
    /// Take a block of this address back.
    UnblockAddress {
        /// Where.
        address: IpAddr,
    },
    /// Send a text to a peer.
    SendMessage {
        /// To whom.
        to: PeerId,
        /// The text: 1 to [`MAX_TASK_TEXT`] bytes.
        text: String,
    },
    /// Ping a peer that this node is linked with, and tell the time to it and back.
    PingPeer {
        /// Whom.
        peer: PeerId,
    },
    /// End the link to a peer. Neither side redials for half a minute.
    DisconnectPeer {
        /// From whom.
        peer: PeerId,
    },
    /// Decide for good that this peer is who it should be: no person is asked about it.
    AuthorizePeer {
        /// Whom.
        peer: PeerId,
    },
    /// Take that back, and end the link.
    RevokePeer {
        /// Whose.
        peer: PeerId,
    },
    /// Fetch a content that a peer offers.
    RequestData {
        /// Which.
        content: ContentId,
    },
    /// Offer a content that this node offers to others to this peer as well.
    SendData {
        /// Which.
        content: ContentId,
        /// To whom.
        to: PeerId,
    },
    /// Compare records with every neighbour now, and ask every bootstrap server.
    Synchronize,
    /// Go on with these settings.
    UpdateSettings {
        /// Which.
        settings: TaskSettings,
    },
    /// Tell whether this node holds the signed record that has this hash.
    VerifyRecord {
        /// The BLAKE3 hash of the record's bytes, signature included.
        hash: [u8; 32],
    },
    /// Tell whether this is a signature of this peer: plain Ed25519 (RFC 8032), as any program makes it.
    VerifySignature {
        /// Whose it should be.
        signer: PeerId,
        /// Of what: at most [`MAX_TASK_TEXT`] bytes.
        #[serde(with = "serde_bytes")]
        message: Vec<u8>,
        /// The signature.
        #[serde(with = "serde_bytes")]
        signature: [u8; SIGNATURE_LEN],
    },
    /// Tell the public key of this node's links; its own key is its id.
    RequestPublicKey,
    /// Use these bootstrap servers from the next start on, besides those that its own side gives.
    BootstrapInitialize {
        /// Their base URLs: 1 to 8, each 1 to 256 printable ASCII characters without spaces.
        servers: Vec<String>,
    },
    /// Tell that this node runs, and how it stands.
    Heartbeat,
    /// Be called this from now on.
    SetIdentifier {
        /// 1 to 64 bytes without control characters.
        name: String,
    },
}

/// Settings that a task may change: none of them can harm anybody. At least one is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSettings {
    /// The time between two beacons, in milliseconds: 100 to 300000. See
    /// [`Cadence::Constant`](crate::Cadence::Constant).
    pub beacon_interval_ms: Option<u32>,
    /// How long a message is kept for those who are away, in seconds: 1 to 86400. See
    /// [`Config::message_ttl`](crate::Config::message_ttl).
    pub message_ttl_secs: Option<u32>,
    /// Links that the node keeps up by itself in a crowd: 1 to 1024. See
    /// [`Config::active_links`](crate::Config::active_links).
    pub active_links: Option<u16>,
}

/// What a task is about: of two about the same the one with the higher sequence counts, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Subject {
    Peer(PeerId),
    Address(IpAddr),
    Settings,
    Servers,
    Name,
}

impl TaskKind {
    /// Its name: one word of lower-case letters and dashes.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            TaskKind::BlockPeer { .. } => "block-peer",
            TaskKind::UnblockPeer { .. } => "unblock-peer",
            TaskKind::RemovePeer { .. } => "remove-peer",
            TaskKind::BlockAddress { .. } => "block-address",
            TaskKind::UnblockAddress { .. } => "unblock-address",
            TaskKind::SendMessage { .. } => "send-message",
            TaskKind::PingPeer { .. } => "ping-peer",
            TaskKind::DisconnectPeer { .. } => "disconnect-peer",
            TaskKind::AuthorizePeer { .. } => "authorize-peer",
            TaskKind::RevokePeer { .. } => "revoke-peer",
            TaskKind::RequestData { .. } => "request-data",
            TaskKind::SendData { .. } => "send-data",
            TaskKind::Synchronize => "synchronize",
            TaskKind::UpdateSettings { .. } => "update-settings",
            TaskKind::VerifyRecord { .. } => "verify-record",
            TaskKind::VerifySignature { .. } => "verify-signature",
            TaskKind::RequestPublicKey => "request-public-key",
            TaskKind::BootstrapInitialize { .. } => "bootstrap-initialize",
            TaskKind::Heartbeat => "heartbeat",
            TaskKind::SetIdentifier { .. } => "set-identifier",
        }
    }

    /// Whether it keeps its limits.
    pub(super) fn is_valid(&self) -> bool {
        match self {
            TaskKind::SendMessage { text, .. } => (1..=MAX_TASK_TEXT).contains(&text.len()),
            TaskKind::UpdateSettings { settings } => settings.is_valid(),
            TaskKind::VerifySignature { message, .. } => message.len() <= MAX_TASK_TEXT,
            TaskKind::BootstrapInitialize { servers } => are_servers(servers),
            TaskKind::SetIdentifier { name } => is_name(name),
            TaskKind::RequestData { content } | TaskKind::SendData { content, .. } => content.is_supported(),
            _ => true,
        }
    }

    /// What it is about; `None` if it changes nothing that another task could change.
    pub(crate) fn subject(&self) -> Option<Subject> {
        match self {
            TaskKind::BlockPeer { peer }
            | TaskKind::UnblockPeer { peer }
            | TaskKind::RemovePeer { peer }
            | TaskKind::AuthorizePeer { peer }
            | TaskKind::RevokePeer { peer } => Some(Subject::Peer(*peer)),
            TaskKind::BlockAddress { address } | TaskKind::UnblockAddress { address } => {
                Some(Subject::Address(address.to_canonical()))
            }
            TaskKind::UpdateSettings { .. } => Some(Subject::Settings),
            TaskKind::BootstrapInitialize { .. } => Some(Subject::Servers),
            TaskKind::SetIdentifier { .. } => Some(Subject::Name),
            _ => None,
        }
    }
}

impl TaskSettings {
    pub(crate) fn is_valid(&self) -> bool {
        *self != TaskSettings::default()
            && self.beacon_interval_ms.is_none_or(|millis| (100..=300_000).contains(&millis))
            && self.message_ttl_secs.is_none_or(|secs| (1..=24 * 3600).contains(&secs))
            && self.active_links.is_none_or(|links| (1..=1024).contains(&links))
    }
}

/// Whether a node may be called this.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether these may be the URLs of bootstrap servers.
pub(crate) fn are_servers(servers: &[String]) -> bool {
    let is_url =
        |url: &String| (1..=MAX_URL).contains(&url.len()) && url.bytes().all(|b| b.is_ascii_graphic());
    (1..=MAX_TASK_SERVERS).contains(&servers.len()) && servers.iter().all(is_url)
}
