//! How things stand with a peer, and why, in a few words.

use p2pnet_engine::{Decision, Engine, LeaveReason, Level, PeerView, RecordSource, Step, Timestamp, Why};

use crate::handle::PeerInfo;

/// What is told of a peer that is asked about.
pub(crate) fn of(engine: &Engine, now: Timestamp, peer: &PeerView<'_>) -> PeerInfo {
    let why = engine.why(&peer.id);
    let since = why.as_ref().map_or(now, |why| match (why.linked, why.last_leave) {
        (Some((_, since)), _) => since,
        (None, Some((_, since))) => since,
        (None, None) => why.known_since,
    });
    PeerInfo {
        id: peer.id,
        name: peer.name.to_owned(),
        level: peer.level,
        liveness: peer.liveness,
        addr: peer.addr,
        path: peer.path,
        since: now.since(since),
        why: words(engine, peer, why.as_ref()),
        blocks_sent: peer.blocks_sent,
        capabilities: peer.certificate.map_or_else(Vec::new, |shown| shown.capabilities().to_vec()),
    }
}

fn words(engine: &Engine, peer: &PeerView<'_>, why: Option<&Why>) -> String {
    match (peer.level, peer.verifying) {
        (Level::Trusted, _) => match peer.certificate {
            _ if engine.decisions().any(|decision| decision == Decision::Trust(peer.id)) => {
                "trusted for good".to_owned()
            }
            Some(shown) => format!("vouched for by {}", shown.issuer().short()),
            None => "verified".to_owned(),
        },
        (Level::Connected, Some(Step::Code)) => "the code has to be compared".to_owned(),
        (Level::Connected, Some(Step::Decision)) => "waits for a decision".to_owned(),
        (Level::Connected, Some(step)) => format!("is at the step {}", step.name()),
        (Level::Connected, None) => "has not verified this side yet".to_owned(),
        (Level::Known, _) => why.map_or_else(String::new, absence),
    }
}

/// Why there is no link.
fn absence(why: &Why) -> String {
    if let Some(last) = why.rejected {
        let who = if last.by_us { "not let in" } else { "does not let this side in" };
        return format!("{who}: {}", last.reason.sentence());
    }
    match (why.last_leave, why.source) {
        (Some((LeaveReason::Gone, _)), _) => "said goodbye".to_owned(),
        (Some((LeaveReason::Lost, _)), _) => "was lost".to_owned(),
        (Some((reason, _)), _) => reason.as_str().to_owned(),
        (None, RecordSource::Peer(by)) => format!("told of by {}", by.short()),
        (None, RecordSource::Server(_)) => "told of by a bootstrap server, not reached yet".to_owned(),
        (None, _) => "heard, not linked yet".to_owned(),
    }
}
