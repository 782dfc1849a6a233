//! What a task asks for, on the command line.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER_PERMISSIVE;
use p2pnet::bootstrap::HttpServer;
use p2pnet::{ContentId, PeerId, TaskKind, TaskSettings};

use crate::duration;

/// What to ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Have nothing more to do with a peer
    BlockPeer(Who),
    /// Take a block of a peer back
    UnblockPeer(Who),
    /// Forget a peer: its record, and what was decided about it
    RemovePeer(Who),
    /// Have nothing more to do with whoever is at an address
    BlockAddress(Where),
    /// Take a block of an address back
    UnblockAddress(Where),
    /// Send a text to a peer
    SendMessage {
        /// To whom
        #[arg(value_name = "PEER")]
        to_whom: PeerId,
        /// The text, at most 4096 bytes
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Ping a peer, and report the time to it and back
    PingPeer(Who),
    /// End the link to a peer; neither side redials for half a minute
    DisconnectPeer(Who),
    /// Decide for good that a peer is who it should be
    AuthorizePeer(Who),
    /// Take that back
    RevokePeer(Who),
    /// Fetch a content that a peer offers
    RequestData(Content),
    /// Offer a content to a peer as well
    SendData {
        #[command(flatten)]
        content: Content,
        /// To whom
        #[arg(value_name = "PEER")]
        to_whom: PeerId,
    },
    /// Compare records with all neighbours, and ask the bootstrap servers
    Synchronize,
    /// Go on with these settings
    UpdateSettings(Settings),
    /// Report whether a signed record is held
    VerifyRecord {
        /// The BLAKE3 hash of its bytes, 64 hexadecimal digits
        #[arg(value_name = "HASH", value_parser = bytes::<32>)]
        hash: [u8; 32],
    },
    /// Report whether a plain Ed25519 signature is good
    VerifySignature {
        /// Whose it should be
        #[arg(value_name = "PEER")]
        signer: PeerId,
        /// The signature, 128 hexadecimal digits
        #[arg(value_name = "SIGNATURE", value_parser = bytes::<64>)]
        signature: [u8; 64],
        /// The text that was signed, at most 4096 bytes
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Report the public key of the node's links
    RequestPublicKey,
    /// Use these bootstrap servers from the next start on
    BootstrapInitialize {
        /// Up to 8
        #[arg(value_name = "URL", required = true)]
        servers: Vec<HttpServer>,
    },
    /// Report that the node runs, and how it stands
    Heartbeat,
    /// Be called this
    SetIdentifier {
        /// At most 64 bytes without control characters
        #[arg(value_name = "NAME")]
        called: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Who {
    /// The peer's whole id, as `p2pnet id` shows it on its machine
    #[arg(value_name = "PEER")]
    who: PeerId,
}

#[derive(Args, Debug)]
pub(crate) struct Where {
    /// The IP address
    #[arg(value_name = "ADDRESS")]
    address: IpAddr,
}

#[derive(Args, Debug)]
pub(crate) struct Content {
    /// Its BLAKE3 hash, 64 hexadecimal digits
    #[arg(value_name = "HASH", value_parser = bytes::<32>)]
    hash: [u8; 32],
    /// Its size in bytes
    #[arg(value_name = "BYTES")]
    size: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Settings {
    /// The time between two beacons: 100ms to 300s
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    beacon_interval: Option<Duration>,
    /// How long messages are kept for who is away: 1s to 24h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    message_ttl: Option<Duration>,
    /// Links that a node keeps up by itself in a crowd: 1 to 1024
    #[arg(long, value_name = "N")]
    active_links: Option<u16>,
}

impl What {
    /// The kind of task.
    pub(crate) fn kind(&self) -> TaskKind {
        match self {
            What::BlockPeer(Who { who }) => TaskKind::BlockPeer { peer: *who },
            What::UnblockPeer(Who { who }) => TaskKind::UnblockPeer { peer: *who },
            What::RemovePeer(Who { who }) => TaskKind::RemovePeer { peer: *who },
            What::BlockAddress(Where { address }) => TaskKind::BlockAddress { address: *address },
            What::UnblockAddress(Where { address }) => TaskKind::UnblockAddress { address: *address },
            What::SendMessage { to_whom, text } => TaskKind::SendMessage { to: *to_whom, text: text.clone() },
            What::PingPeer(Who { who }) => TaskKind::PingPeer { peer: *who },
            What::DisconnectPeer(Who { who }) => TaskKind::DisconnectPeer { peer: *who },
            What::AuthorizePeer(Who { who }) => TaskKind::AuthorizePeer { peer: *who },
            What::RevokePeer(Who { who }) => TaskKind::RevokePeer { peer: *who },
            What::RequestData(content) => TaskKind::RequestData { content: content.id() },
            What::SendData { content, to_whom } => TaskKind::SendData { content: content.id(), to: *to_whom },
            What::Synchronize => TaskKind::Synchronize,
            What::UpdateSettings(settings) => TaskKind::UpdateSettings { settings: settings.read() },
            What::VerifyRecord { hash } => TaskKind::VerifyRecord { hash: *hash },
            What::VerifySignature { signer, signature, text } => {
                let message = text.as_bytes().to_vec();
                TaskKind::VerifySignature { signer: *signer, message, signature: *signature }
            }
            What::RequestPublicKey => TaskKind::RequestPublicKey,
            What::BootstrapInitialize { servers } => {
                TaskKind::BootstrapInitialize { servers: servers.iter().map(ToString::to_string).collect() }
            }
            What::Heartbeat => TaskKind::Heartbeat,
            What::SetIdentifier { called } => TaskKind::SetIdentifier { name: called.clone() },
        }
    }
}

impl Content {
    fn id(&self) -> ContentId {
        ContentId { hash: self.hash, size: self.size }
    }
}

impl Settings {
    /// What is out of its range stays so, to be refused.
    fn read(&self) -> TaskSettings {
        let mut settings = TaskSettings::default();
        let whole = |amount: u128| u32::try_from(amount).unwrap_or(u32::MAX);
        settings.beacon_interval_ms = self.beacon_interval.map(|interval| whole(interval.as_millis()));
        settings.message_ttl_secs = self.message_ttl.map(|ttl| whole(ttl.as_secs().into()));
        settings.active_links = self.active_links;
        settings
    }
}

/// So many bytes in hexadecimal.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("give {} hexadecimal digits", 2 * N))
}
