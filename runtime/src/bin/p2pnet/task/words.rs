//! Tasks and what became of them, in words.

use data_encoding::HEXLOWER;
use p2pnet::TaskKind;

use crate::json::Line;
use crate::text::escaped;

/// The parts of a kind with their names, as they are: escape them before a terminal sees them.
fn parts(kind: &TaskKind) -> Vec<(&'static str, String)> {
    match kind {
        TaskKind::BlockPeer { peer }
        | TaskKind::UnblockPeer { peer }
        | TaskKind::RemovePeer { peer }
        | TaskKind::PingPeer { peer }
        | TaskKind::DisconnectPeer { peer }
        | TaskKind::AuthorizePeer { peer }
        | TaskKind::RevokePeer { peer } => vec![("peer", peer.to_string())],
        TaskKind::BlockAddress { address } | TaskKind::UnblockAddress { address } => {
            vec![("address", address.to_string())]
        }
        TaskKind::SendMessage { to, text } => vec![("to", to.to_string()), ("text", text.clone())],
        TaskKind::RequestData { content } => vec![("hash", content.to_string())],
        TaskKind::SendData { content, to } => vec![("hash", content.to_string()), ("to", to.to_string())],
        TaskKind::UpdateSettings { settings } => {
            let settings = [
                ("beacon_interval_ms", settings.beacon_interval_ms),
                ("message_ttl_secs", settings.message_ttl_secs),
                ("active_links", settings.active_links.map(u32::from)),
            ];
            settings.into_iter().filter_map(|(name, value)| Some((name, value?.to_string()))).collect()
        }
        TaskKind::VerifyRecord { hash } => vec![("hash", HEXLOWER.encode(hash))],
        TaskKind::VerifySignature { signer, message, signature } => vec![
            ("signer", signer.to_string()),
            ("message", HEXLOWER.encode(message)),
            ("signature", HEXLOWER.encode(signature)),
        ],
        TaskKind::BootstrapInitialize { servers } => vec![("servers", servers.join(" "))],
        TaskKind::SetIdentifier { name } => vec![("name", name.clone())],
        _ => Vec::new(),
    }
}

/// A kind for people, safe to print.
pub(crate) fn shown(kind: &TaskKind) -> String {
    let parts = parts(kind).into_iter().map(|(_, part)| format!(" {}", escaped(&part)));
    format!("{}{}", kind.as_str(), parts.collect::<String>())
}

/// The fields of a kind for programs.
pub(crate) fn fields(line: Line, kind: &TaskKind) -> Line {
    let line = line.text("kind", kind.as_str());
    let parts: serde_json::Map<String, serde_json::Value> =
        parts(kind).into_iter().map(|(name, part)| (name.to_owned(), part.into())).collect();
    line.value("of", &parts)
}
