//! Events as JSON, one object a line: what programs read.

use std::time::Duration;

use data_encoding::HEXLOWER;
use p2pnet::{Event, HeardBy, Manifest, Party};

use crate::{task, text};

/// A JSON object on one line, whose fields keep their order. `event` and `t_ms` come first.
#[derive(Debug)]
pub(crate) struct Line(String);

impl Line {
    /// Begins with the event's name, and the time since the process started in milliseconds with three decimals.
    pub(crate) fn new(event: &str, at: Duration) -> Line {
        let micros = at.as_micros();
        Line(format!("{{\"event\":{},\"t_ms\":{}.{:03}", text::json(event), micros / 1000, micros % 1000))
    }

    /// A string.
    pub(crate) fn text(mut self, key: &str, value: &str) -> Line {
        self.field(key, &text::json(value));
        self
    }

    /// A string, or `null`.
    pub(crate) fn maybe(mut self, key: &str, value: Option<impl ToString>) -> Line {
        let value = value.map_or_else(|| "null".to_owned(), |value| text::json(&value.to_string()));
        self.field(key, &value);
        self
    }

    /// Anything, as its own JSON.
    pub(crate) fn value(mut self, key: &str, value: &impl serde::Serialize) -> Line {
        let value = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        self.field(key, &text::safe_json(&value));
        self
    }

    /// A whole number.
    pub(crate) fn number(mut self, key: &str, value: impl Into<u64>) -> Line {
        self.field(key, &value.into().to_string());
        self
    }

    /// A time in seconds with six decimals.
    pub(crate) fn seconds(mut self, key: &str, value: f64) -> Line {
        let value = if value.is_finite() { value } else { 0.0 };
        self.field(key, &format!("{value:.6}"));
        self
    }

    /// The finished line.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn field(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!(",{}:{value}", text::json(key)));
    }

    fn manifest(self, manifest: &Manifest) -> Line {
        self.text("hash", &manifest.content.to_string())
            .text("name", &manifest.name)
            .text("kind", manifest.kind.as_str())
    }
}

/// The object of an event; `None` for what the program has no use for.
pub(crate) fn event(event: &Event, at: Duration) -> Option<Line> {
    let new = |name| Line::new(name, at);
    Some(match event {
        Event::Listening { peer, name, port } => {
            new("listening").text("peer", &peer.to_string()).text("name", name).number("port", *port)
        }
        Event::PeerDiscovered { peer, name, addr } => {
            new("peer_discovered").text("peer", &peer.to_string()).text("name", name).maybe("addr", *addr)
        }
        Event::PeerConnected { peer, name, addr } => {
            new("peer_connected").text("peer", &peer.to_string()).text("name", name).maybe("addr", *addr)
        }
        Event::PeerTrusted { peer, name, addr } => {
            new("peer_trusted").text("peer", &peer.to_string()).text("name", name).maybe("addr", *addr)
        }
        Event::PeerLeft { peer, name, reason, by } => new("peer_left")
            .text("peer", &peer.to_string())
            .text("name", name)
            .text("reason", reason.as_str())
            .maybe("by", by.map(Party::as_str)),
        Event::PeerLiveness { peer, name, liveness, evidence } => new("peer_liveness")
            .text("peer", &peer.to_string())
            .text("name", name)
            .text("liveness", liveness.as_str())
            .seconds("silent_s", evidence.silent_for.as_secs_f64())
            .text("heard_by", &heard_by(&evidence.heard_by))
            .number("unanswered", evidence.unanswered)
            .number("vouched_by", evidence.vouched_by.len() as u64),
        Event::PeerRejected { peer, name, reason, by_us } => new("peer_rejected")
            .text("peer", &peer.to_string())
            .text("name", name)
            .text("reason", reason.as_str())
            .value("by_us", by_us),
        Event::CodeReady { peer, name, code, confirm } => new("code_ready")
            .text("peer", &peer.to_string())
            .text("name", name)
            .text("code", code)
            .value("confirm", confirm),
        Event::DecisionWanted { peer, name, addr } => {
            new("decision_wanted").text("peer", &peer.to_string()).text("name", name).maybe("addr", *addr)
        }
        Event::Text { from, text, .. } => new("text").text("from", &from.to_string()).text("text", text),
        Event::Message { from, bytes, hops } => new("message")
            .text("from", &from.to_string())
            .text("hex", &HEXLOWER.encode(bytes))
            .number("hops", *hops),
        Event::ContentOffered { from, manifest } => new("content_offered")
            .manifest(manifest)
            .number("bytes", manifest.content.size)
            .text("from", &from.to_string()),
        Event::ContentReceived { manifest, from, path, seconds, fetched_bytes } => new("content_received")
            .manifest(manifest)
            .number("bytes", manifest.content.size)
            .text("path", &path.to_string_lossy())
            .text("from", &from.to_string())
            .seconds("seconds", *seconds)
            .number("fetched_bytes", *fetched_bytes),
        Event::ContentPaused { manifest } => new("content_paused").manifest(manifest),
        Event::ContentResumed { manifest } => new("content_resumed").manifest(manifest),
        Event::ContentHeldUp { content, to } => {
            new("content_held_up").text("hash", &content.to_string()).text("to", &to.to_string())
        }
        Event::DeliveryPaused { content, to } => {
            new("delivery_paused").text("hash", &content.to_string()).text("to", &to.to_string())
        }
        Event::DeliveryResumed { content, to } => {
            new("delivery_resumed").text("hash", &content.to_string()).text("to", &to.to_string())
        }
        Event::ContentDelivered { content, to } => {
            new("content_delivered").text("hash", &content.to_string()).text("to", &to.to_string())
        }
        Event::ContentDeclined { content, to } => {
            new("content_declined").text("hash", &content.to_string()).text("to", &to.to_string())
        }
        Event::ContentFailed { manifest, reason } => {
            new("content_failed").manifest(manifest).text("reason", reason.as_str())
        }
        Event::IncompatiblePeer { addr, version } => {
            new("incompatible_peer").text("addr", &addr.to_string()).number("version", *version)
        }
        Event::IdentityShared { addr } => new("identity_shared").text("addr", &addr.to_string()),
        Event::Superseded => new("superseded"),
        Event::IdentityReclaimed => new("identity_reclaimed"),
        Event::ServerReached { server, records, observed } => {
            let line = new("server_reached").text("server", server).number("records", *records);
            match observed {
                Some(address) => line.text("observed", &address.to_string()),
                None => line,
            }
        }
        Event::Relayed { relay, address } => {
            new("relayed").text("relay", relay).text("address", &address.to_string())
        }
        Event::Observed { relay, address } => {
            new("observed").text("relay", relay).text("address", &address.to_string())
        }
        Event::RelayFailed { relay, why } => new("relay_failed").text("relay", relay).text("why", why),
        Event::ServerFailed { server, why } => new("server_failed").text("server", server).text("why", why),
        Event::WidescanProgress { sent, datagrams, found } => new("widescan_progress")
            .number("sent", *sent)
            .number("datagrams", *datagrams)
            .number("found", *found),
        Event::WidescanFound { peer, addr } => {
            new("widescan_found").text("peer", &peer.to_string()).text("addr", &addr.to_string())
        }
        Event::WidescanEnded { sent, found, stopped } => {
            new("widescan_ended").number("sent", *sent).number("found", *found).value("stopped", stopped)
        }
        Event::TaskExecuted { issuer, id, kind, outcome } => {
            let line = new("task_executed").text("id", &id.to_string()).text("issuer", &issuer.to_string());
            task::fields(line, kind).text("outcome", outcome.as_str()).text("detail", &outcome.to_string())
        }
        Event::TaskRefused { issuer, id, why } => {
            new("task_refused").maybe("id", *id).maybe("issuer", *issuer).text("reason", why.as_str())
        }
        Event::AuthorityLocked { authority } => {
            new("authority_locked").text("authority", &authority.to_string())
        }
        _ => return None,
    })
}

/// The way by which a peer was heard last, as one word.
fn heard_by(heard_by: &HeardBy) -> String {
    match heard_by {
        HeardBy::Rung { rung, .. } => rung.as_str().to_owned(),
        HeardBy::Peer(peer) => peer.to_string(),
        _ => "link".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2pnet::{LeaveReason, PeerId};

    /// The form that programs were promised: one object, the event first, three decimals.
    #[test]
    fn an_event_is_one_object_with_its_name_and_time_first() {
        let peer = PeerId::from_bytes([7; 32]);
        let left = Event::PeerLeft {
            peer,
            name: "a\u{1b}\"b".into(),
            reason: LeaveReason::Gone,
            by: Some(Party::Them),
        };
        let line = event(&left, Duration::from_micros(12_300)).unwrap().end();
        assert!(line.starts_with(r#"{"event":"peer_left","t_ms":12.300,"peer":""#), "{line}");
        assert!(!line.contains(char::is_control));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["peer"], peer.to_string());
        assert_eq!(value["name"], "a\u{1b}\"b");
        assert_eq!(value["reason"], "gone");
        assert_eq!(value["by"], "them");
    }

    /// An address that is not known is `null`, not missing.
    #[test]
    fn an_unknown_address_is_null() {
        let found = Event::PeerDiscovered { peer: PeerId::from_bytes([7; 32]), name: "x".into(), addr: None };
        let line = event(&found, Duration::ZERO).unwrap().end();
        assert!(line.ends_with(r#""addr":null}"#), "{line}");
    }
}
