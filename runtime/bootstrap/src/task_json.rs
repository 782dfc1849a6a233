//! Tasks as JSON: a kind is its name (`kind`) and its parts (`of`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use p2pnet_engine::{ContentId, MAX_TASK_TEXT, PeerId, TaskKind, TaskPart, TaskSettings};
use serde::Deserialize;

use crate::refusal::Refusal;
use crate::request;

/// The parts that kinds have, each those that it needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Parts {
    peer: Option<String>,
    address: Option<String>,
    to: Option<String>,
    text: Option<String>,
    hash: Option<String>,
    size: Option<u64>,
    beacon_interval_ms: Option<u32>,
    message_ttl_secs: Option<u32>,
    active_links: Option<u16>,
    signer: Option<String>,
    message: Option<String>,
    signature: Option<String>,
    servers: Option<Vec<String>>,
    name: Option<String>,
}

/// Reads a kind. Its limits are not checked here.
pub(crate) fn kind(name: &str, parts: &Parts) -> Result<TaskKind, Refusal> {
    let peer = || peer(&parts.peer, "peer");
    Ok(match name {
        "block-peer" => TaskKind::BlockPeer { peer: peer()? },
        "unblock-peer" => TaskKind::UnblockPeer { peer: peer()? },
        "remove-peer" => TaskKind::RemovePeer { peer: peer()? },
        "ping-peer" => TaskKind::PingPeer { peer: peer()? },
        "disconnect-peer" => TaskKind::DisconnectPeer { peer: peer()? },
        "authorize-peer" => TaskKind::AuthorizePeer { peer: peer()? },
        "revoke-peer" => TaskKind::RevokePeer { peer: peer()? },
        "block-address" => TaskKind::BlockAddress { address: address(parts)? },
        "unblock-address" => TaskKind::UnblockAddress { address: address(parts)? },
        "send-message" => TaskKind::SendMessage { to: to(parts)?, text: needed(parts.text.clone(), "text")? },
        "request-data" => TaskKind::RequestData { content: content(parts)? },
        "send-data" => TaskKind::SendData { content: content(parts)?, to: to(parts)? },
        "synchronize" => TaskKind::Synchronize,
        "update-settings" => {
            let Parts { beacon_interval_ms, message_ttl_secs, active_links, .. } = *parts;
            let settings = TaskSettings { beacon_interval_ms, message_ttl_secs, active_links };
            TaskKind::UpdateSettings { settings }
        }
        "verify-record" => TaskKind::VerifyRecord { hash: hash(parts)? },
        "verify-signature" => verify_signature(parts)?,
        "request-public-key" => TaskKind::RequestPublicKey,
        "bootstrap-initialize" => {
            TaskKind::BootstrapInitialize { servers: needed(parts.servers.clone(), "servers")? }
        }
        "heartbeat" => TaskKind::Heartbeat,
        "set-identifier" => TaskKind::SetIdentifier { name: needed(parts.name.clone(), "name")? },
        _ => return Err(Refusal::bad("bad-task", "`kind` is none that there is; /openapi.json lists all")),
    })
}

/// A kind's parts, as [`kind`] reads them.
pub(crate) fn parts(kind: &TaskKind) -> BTreeMap<&'static str, TaskPart> {
    kind.parts().into_iter().collect()
}

fn needed<T>(part: Option<T>, name: &str) -> Result<T, Refusal> {
    part.ok_or_else(|| Refusal::bad("bad-task", format!("this kind needs `{name}` in `of`")))
}

fn peer(part: &Option<String>, name: &str) -> Result<PeerId, Refusal> {
    request::peer(needed(part.as_deref(), name)?)
}

fn to(parts: &Parts) -> Result<PeerId, Refusal> {
    peer(&parts.to, "to")
}

fn address(parts: &Parts) -> Result<IpAddr, Refusal> {
    let text = needed(parts.address.as_deref(), "address")?;
    text.parse().map_err(|_| Refusal::bad("bad-task", "`address` is not an IP address"))
}

fn hash(parts: &Parts) -> Result<[u8; 32], Refusal> {
    request::hex(needed(parts.hash.as_deref(), "hash")?, "`hash`")
}

fn content(parts: &Parts) -> Result<ContentId, Refusal> {
    Ok(ContentId { hash: hash(parts)?, size: needed(parts.size, "size")? })
}

fn verify_signature(parts: &Parts) -> Result<TaskKind, Refusal> {
    let signer = peer(&parts.signer, "signer")?;
    let message = request::base64(needed(parts.message.as_deref(), "message")?, MAX_TASK_TEXT, "`message`")?;
    let signature = request::base64(needed(parts.signature.as_deref(), "signature")?, 64, "`signature`")?;
    let signature = signature.try_into();
    let signature = signature.map_err(|_| Refusal::bad("bad-task", "`signature` has not 64 bytes"))?;
    Ok(TaskKind::VerifySignature { signer, message, signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_json() {
        let peer = p2pnet_engine::Identity::from_seed([1; 32]).peer_id();
        let content = ContentId { hash: [3; 32], size: 5 };
        let settings =
            TaskSettings { beacon_interval_ms: Some(200), active_links: Some(3), ..TaskSettings::default() };
        let kinds = [
            TaskKind::BlockPeer { peer },
            TaskKind::UnblockPeer { peer },
            TaskKind::RemovePeer { peer },
            TaskKind::BlockAddress { address: [192, 0, 2, 1].into() },
            TaskKind::UnblockAddress { address: "2001:db8::1".parse().unwrap() },
            TaskKind::SendMessage { to: peer, text: "Grüße".into() },
            TaskKind::PingPeer { peer },
            TaskKind::DisconnectPeer { peer },
            TaskKind::AuthorizePeer { peer },
            TaskKind::RevokePeer { peer },
            TaskKind::RequestData { content },
            TaskKind::SendData { content, to: peer },
            TaskKind::Synchronize,
            TaskKind::UpdateSettings { settings },
            TaskKind::VerifyRecord { hash: [4; 32] },
            TaskKind::VerifySignature { signer: peer, message: vec![1, 255], signature: [5; 64] },
            TaskKind::RequestPublicKey,
            TaskKind::BootstrapInitialize { servers: vec!["http://192.0.2.1:8010".into()] },
            TaskKind::Heartbeat,
            TaskKind::SetIdentifier { name: "till".into() },
        ];
        let description: serde_json::Value = serde_json::from_str(crate::OPENAPI).unwrap();
        let named = &description["components"]["schemas"]["TaskRequest"]["properties"]["kind"]["enum"];
        assert_eq!(named.as_array().unwrap().len(), kinds.len());
        for expected in kinds {
            assert!(named.as_array().unwrap().iter().any(|name| name == expected.as_str()), "{expected:?}");
            let said = serde_json::to_string(&parts(&expected)).unwrap();
            let read: Parts = serde_json::from_str(&said).unwrap();
            assert_eq!(kind(expected.as_str(), &read), Ok(expected));
        }
    }

    #[test]
    fn a_kind_without_what_it_needs_is_refused() {
        let nothing = Parts::default();
        for (name, lacks) in [("block-peer", "peer"), ("send-message", "to"), ("verify-signature", "signer")]
        {
            let refused = kind(name, &nothing).unwrap_err();
            assert!(refused.code == "bad-task" && refused.message.contains(lacks), "{refused:?}");
        }
        assert_eq!(kind("dance", &nothing).unwrap_err().code, "bad-task");
        assert!(serde_json::from_str::<Parts>(r#"{"pear": "x"}"#).is_err());
    }
}
