//! What a kind of task consists of, by name.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use data_encoding::{BASE64, HEXLOWER};
use serde::{Serialize, Serializer};

use super::kind::TaskKind;

/// A part of a [`TaskKind`], as programs and people are shown it. As JSON it is a string, a number or an array of strings;
/// bytes are base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum TaskPart {
    /// A peer, an address, a hash in hexadecimal digits, or a text that comes from the issuer and may hold anything.
    Text(String),
    /// A number.
    Number(u64),
    /// Bytes.
    #[serde(serialize_with = "base64")]
    Bytes(Vec<u8>),
    /// Several texts.
    Texts(Vec<String>),
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

impl TaskKind {
    /// Its parts with their names, those that are there; the names are those of the bootstrap server's API.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, TaskPart)> {
        let text = |text: &dyn ToString| TaskPart::Text(text.to_string());
        let hash = |hash: &[u8; 32]| TaskPart::Text(HEXLOWER.encode(hash));
        match self {
            TaskKind::BlockPeer { peer }
            | TaskKind::UnblockPeer { peer }
            | TaskKind::RemovePeer { peer }
            | TaskKind::PingPeer { peer }
            | TaskKind::DisconnectPeer { peer }
            | TaskKind::AuthorizePeer { peer }
            | TaskKind::RevokePeer { peer } => [("peer", text(peer))].into(),
            TaskKind::BlockAddress { address } | TaskKind::UnblockAddress { address } => {
                [("address", text(address))].into()
            }
            TaskKind::SendMessage { to, text: words } => [("to", text(to)), ("text", text(words))].into(),
            TaskKind::RequestData { content } => {
                [("hash", hash(&content.hash)), ("size", TaskPart::Number(content.size))].into()
            }
            TaskKind::SendData { content, to } => {
                [("hash", hash(&content.hash)), ("size", TaskPart::Number(content.size)), ("to", text(to))]
                    .into()
            }
            TaskKind::UpdateSettings { settings } => {
                let settings = [
                    ("beacon_interval_ms", settings.beacon_interval_ms),
                    ("message_ttl_secs", settings.message_ttl_secs),
                    ("active_links", settings.active_links.map(u32::from)),
                ];
                let given = settings.into_iter().filter_map(|(name, value)| Some((name, value?)));
                given.map(|(name, value)| (name, TaskPart::Number(value.into()))).collect()
            }
            TaskKind::VerifyRecord { hash: of } => [("hash", hash(of))].into(),
            TaskKind::VerifySignature { signer, message, signature } => [
                ("signer", text(signer)),
                ("message", TaskPart::Bytes(message.clone())),
                ("signature", TaskPart::Bytes(signature.to_vec())),
            ]
            .into(),
            TaskKind::BootstrapInitialize { servers } => {
                [("servers", TaskPart::Texts(servers.clone()))].into()
            }
            TaskKind::SetIdentifier { name } => [("name", text(name))].into(),
            TaskKind::Synchronize | TaskKind::RequestPublicKey | TaskKind::Heartbeat => Vec::new(),
        }
    }
}
