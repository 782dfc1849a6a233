//! Events of engines and of nodes as entries of a trace.

use p2pnet_engine::{ContentFailure, ContentId, LeaveReason, Manifest, PeerId};

use super::{Trace, What};

impl What {
    /// The entry for an event of an engine, with aliases from `trace`; `None` for one newer than this code.
    #[must_use]
    pub fn from_engine(event: &p2pnet_engine::Event, trace: &Trace) -> Option<What> {
        use p2pnet_engine::Event;
        Some(match event {
            Event::PeerDiscovered { peer, .. } => discovered(trace, peer),
            Event::PeerConnected { peer, .. } => connected(trace, peer),
            Event::PeerTrusted { peer, .. } => trusted(trace, peer),
            Event::PeerLeft { peer, reason, .. } => left(trace, peer, *reason),
            Event::PeerLiveness { peer, liveness, .. } => {
                What::PeerLiveness { peer: trace.peer(peer), is: liveness.as_str() }
            }
            Event::PeerRejected { peer, reason, by_us, .. } => {
                What::PeerRejected { peer: trace.peer(peer), reason: reason.as_str(), by_us: *by_us }
            }
            Event::CodeReady { peer, name, code, confirm } => What::CodeReady {
                peer: trace.peer(peer),
                name: name.clone(),
                code: code.clone(),
                confirm: *confirm,
            },
            Event::DecisionWanted { peer, name, .. } => {
                What::DecisionWanted { peer: trace.peer(peer), name: name.clone() }
            }
            Event::StepMessage { peer, step, message, .. } => {
                step_message(trace, peer, step, message.as_deref())
            }
            Event::Text { from, text, trusted } => text_from(trace, from, text, *trusted),
            Event::TextDelivered { to, id } => What::TextDelivered { to: trace.peer(to), id: *id },
            Event::TextsLost { to, first, last } => {
                What::TextsLost { to: trace.peer(to), first: *first, last: *last }
            }
            Event::TaskExecuted { kind, outcome, .. } => {
                What::TaskExecuted { kind: kind.as_str(), outcome: outcome.to_string() }
            }
            Event::Message { from, bytes, hops } => message_from(trace, from, bytes, *hops),
            Event::MessageSettled { id, delivered, missing } => settled(trace, *id, *delivered, missing),
            Event::ContentOffered { from, manifest } => offered(trace, from, manifest),
            Event::ContentReceived { manifest, from, fetched_bytes } => {
                received(trace, from, manifest, *fetched_bytes)
            }
            Event::ContentFailed { manifest, reason } => failed(manifest, *reason),
            Event::ContentPaused { manifest } => paused(manifest, true),
            Event::ContentResumed { manifest } => paused(manifest, false),
            Event::ContentHeldUp { content, to } => held_up(trace, content, to),
            Event::DeliveryPaused { content, to } => delivery_paused(trace, content, to, true),
            Event::DeliveryResumed { content, to } => delivery_paused(trace, content, to, false),
            Event::ContentDelivered { content, to } => delivered(trace, content, to),
            Event::ContentDeclined { content, to } => declined(trace, content, to),
            Event::IncompatiblePeer { addr, version } => {
                What::IncompatiblePeer { at: trace.place(*addr), version: *version }
            }
            Event::TaskRefused { why, .. } => What::TaskRefused { why: why.to_string() },
            Event::AuthorityLocked { authority, .. } => {
                What::AuthorityLocked { authority: trace.peer(authority) }
            }
            Event::IdentityShared { addr } => What::IdentityShared { at: trace.place(*addr) },
            Event::Superseded => What::Superseded,
            Event::IdentityReclaimed => What::IdentityReclaimed,
            Event::WidescanProgress { sent, datagrams, found } => {
                What::SearchGoesOn { sent: *sent, of: *datagrams, found: *found }
            }
            Event::WidescanFound { peer, addr } => {
                What::SearchFound { peer: trace.peer(peer), at: addr.to_string() }
            }
            Event::WidescanEnded { sent, found, .. } => What::SearchEnded { sent: *sent, found: *found },
            Event::Left => What::Left,
            _ => return None,
        })
    }

    /// The entry for an event of a node, with aliases from `trace`; `None` for one newer than this code, and for
    /// `Listening`, which [`Started`](What::Started) stands for.
    #[must_use]
    #[cfg(feature = "turmoil")]
    pub fn from_node(event: &p2pnet::Event, trace: &Trace) -> Option<What> {
        use p2pnet::Event;
        Some(match event {
            Event::PeerDiscovered { peer, .. } => discovered(trace, peer),
            Event::PeerConnected { peer, .. } => connected(trace, peer),
            Event::PeerTrusted { peer, .. } => trusted(trace, peer),
            Event::PeerLeft { peer, reason, .. } => left(trace, peer, *reason),
            Event::PeerLiveness { peer, liveness, .. } => {
                What::PeerLiveness { peer: trace.peer(peer), is: liveness.as_str() }
            }
            Event::StepMessage { peer, step, message, .. } => {
                step_message(trace, peer, step, message.as_deref())
            }
            Event::Text { from, text, trusted } => text_from(trace, from, text, *trusted),
            Event::TextDelivered { to, id } => What::TextDelivered { to: trace.peer(to), id: *id },
            Event::TextsLost { to, first, last } => {
                What::TextsLost { to: trace.peer(to), first: *first, last: *last }
            }
            Event::TaskExecuted { kind, outcome, .. } => {
                What::TaskExecuted { kind: kind.as_str(), outcome: outcome.to_string() }
            }
            Event::Message { from, bytes, hops } => message_from(trace, from, bytes, *hops),
            Event::MessageSettled { id, delivered, missing } => settled(trace, *id, *delivered, missing),
            Event::ContentOffered { from, manifest } => offered(trace, from, manifest),
            Event::ContentReceived { manifest, from, fetched_bytes, .. } => {
                received(trace, from, manifest, *fetched_bytes)
            }
            Event::ContentFailed { manifest, reason } => failed(manifest, *reason),
            Event::ContentPaused { manifest } => paused(manifest, true),
            Event::ContentResumed { manifest } => paused(manifest, false),
            Event::ContentHeldUp { content, to } => held_up(trace, content, to),
            Event::DeliveryPaused { content, to } => delivery_paused(trace, content, to, true),
            Event::DeliveryResumed { content, to } => delivery_paused(trace, content, to, false),
            Event::ContentDelivered { content, to } => delivered(trace, content, to),
            Event::ContentDeclined { content, to } => declined(trace, content, to),
            Event::IncompatiblePeer { addr, version } => {
                What::IncompatiblePeer { at: trace.place(*addr), version: *version }
            }
            _ => return None,
        })
    }
}

fn discovered(trace: &Trace, peer: &PeerId) -> What {
    What::PeerDiscovered { peer: trace.peer(peer) }
}

fn connected(trace: &Trace, peer: &PeerId) -> What {
    What::PeerConnected { peer: trace.peer(peer) }
}

fn trusted(trace: &Trace, peer: &PeerId) -> What {
    What::PeerTrusted { peer: trace.peer(peer) }
}

fn left(trace: &Trace, peer: &PeerId, reason: LeaveReason) -> What {
    What::PeerLeft { peer: trace.peer(peer), reason: reason.as_str() }
}

fn step_message(trace: &Trace, peer: &PeerId, step: &str, message: Option<&[u8]>) -> What {
    What::StepMessage { peer: trace.peer(peer), step: step.to_owned(), bytes: message.map(<[u8]>::len) }
}

fn text_from(trace: &Trace, from: &PeerId, text: &str, trusted: bool) -> What {
    What::Text { from: trace.peer(from), text: text.to_owned(), trusted }
}

fn message_from(trace: &Trace, from: &PeerId, bytes: &[u8], hops: u16) -> What {
    What::Message { from: trace.peer(from), bytes: bytes.len(), hops }
}

fn settled(trace: &Trace, id: u64, delivered: u32, missing: &[PeerId]) -> What {
    What::MessageSettled { id, delivered, missing: missing.iter().map(|peer| trace.peer(peer)).collect() }
}

fn offered(trace: &Trace, from: &PeerId, manifest: &Manifest) -> What {
    What::ContentOffered { from: trace.peer(from), content: named(manifest), bytes: manifest.content.size }
}

fn received(trace: &Trace, from: &PeerId, manifest: &Manifest, fetched_bytes: u64) -> What {
    What::ContentReceived { from: trace.peer(from), content: named(manifest), fetched_bytes }
}

fn failed(manifest: &Manifest, reason: ContentFailure) -> What {
    What::ContentFailed { content: named(manifest), reason: reason.as_str() }
}

fn paused(manifest: &Manifest, paused: bool) -> What {
    What::ContentPaused { content: named(manifest), paused }
}

fn held_up(trace: &Trace, content: &ContentId, to: &PeerId) -> What {
    What::ContentHeldUp { to: trace.peer(to), content: short_hash(content) }
}

fn delivery_paused(trace: &Trace, content: &ContentId, to: &PeerId, paused: bool) -> What {
    What::DeliveryPaused { to: trace.peer(to), content: short_hash(content), paused }
}

fn delivered(trace: &Trace, content: &ContentId, to: &PeerId) -> What {
    What::ContentDelivered { to: trace.peer(to), content: short_hash(content) }
}

fn declined(trace: &Trace, content: &ContentId, to: &PeerId) -> What {
    What::ContentDeclined { to: trace.peer(to), content: short_hash(content) }
}

fn named(manifest: &Manifest) -> String {
    format!("{} {}", manifest.name.escape_debug(), short_hash(&manifest.content))
}

fn short_hash(content: &ContentId) -> String {
    format!("{content}").chars().take(8).collect()
}
