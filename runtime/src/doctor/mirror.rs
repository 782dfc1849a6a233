//! From the engine's answers to findings: names for numbers, and times as how long ago.

use std::collections::BTreeMap;

use p2pnet_engine as engine;
use p2pnet_engine::{DialOutcome, Engine, InterfaceId, PeerId, Rung, Timestamp};

use super::findings::{Refused, RefusedFor, RungFound};
use super::text::{ago, ahead};
use super::why::{Dial, Heard, Left, Linked, Outcome, Rejected, Source, Why};

/// Peers that findings tell of; those that were heard and are not linked come first.
const MAX_PEERS: usize = 64;

/// What the engine says, all at one moment.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// By the number of the interface.
    pub(super) rungs: Vec<(InterfaceId, RungFound)>,
    pub(super) refusals: Vec<Refused>,
    pub(super) peers: Vec<(Option<InterfaceId>, Why)>,
    pub(super) handshakes_failed: u64,
}

/// The names of interfaces.
pub(crate) type Names = BTreeMap<InterfaceId, String>;

/// Asks the engine everything that the doctor wants to know.
pub(crate) fn survey(engine: &Engine, now: Timestamp, names: &Names) -> Survey {
    let ids: Vec<PeerId> = engine.peers().map(|peer| peer.id).collect();
    let mut peers: Vec<_> = ids.iter().filter_map(|id| why(engine, now, id, names)).collect();
    peers.sort_by_key(|(_, why)| (why.heard.is_empty(), why.level, why.peer));
    peers.truncate(MAX_PEERS);
    Survey {
        rungs: rungs(engine, now),
        refusals: refusals(engine, now),
        peers,
        handshakes_failed: engine.stats().handshakes_failed,
    }
}

fn rungs(engine: &Engine, now: Timestamp) -> Vec<(InterfaceId, RungFound)> {
    let found = |report: engine::RungReport| {
        let found = RungFound {
            rung: report.rung,
            sent: report.sent,
            held_back: report.held_back,
            last_sent_ago_ms: report.last_sent.map(|at| ago(now, at)),
            own_heard_ago_ms: report.own_heard.map(|at| ago(now, at)),
        };
        (report.interface, found)
    };
    engine.rungs().into_iter().map(found).collect()
}

fn refusals(engine: &Engine, now: Timestamp) -> Vec<Refused> {
    let found = |refusal: engine::Refusal| Refused {
        source: refusal.source,
        cause: match refusal.cause {
            engine::Cause::OtherNetwork => RefusedFor::OtherNetwork,
            engine::Cause::OtherVersion(version) => RefusedFor::OtherVersion(version),
            _ => RefusedFor::Malformed,
        },
        count: refusal.count,
        ago_ms: ago(now, refusal.last),
    };
    engine.refusals().into_iter().map(found).collect()
}

/// What the engine knows of one peer, and the interface that it was heard on best.
pub(crate) fn why(
    engine: &Engine,
    now: Timestamp,
    peer: &PeerId,
    names: &Names,
) -> Option<(Option<InterfaceId>, Why)> {
    let known = engine.why(peer)?;
    let name = |id: Option<InterfaceId>| id.map(|id| named(names, id));
    let probed: Vec<_> = engine.probed().into_iter().filter(|probed| probed.peer == *peer).collect();
    let mut heard_us: Vec<Rung> = probed.iter().flat_map(|probed| probed.heard_us.clone()).collect();
    let mut we_heard: Vec<Rung> = probed.iter().flat_map(|probed| probed.we_heard.clone()).collect();
    for rungs in [&mut heard_us, &mut we_heard] {
        rungs.sort();
        rungs.dedup();
    }
    let by_link = known.heard.iter().find_map(|heard| heard.interface);
    let interface = probed.first().map(|probed| probed.interface).or(by_link);
    let mut places: Vec<_> = known.heard.iter().map(|heard| heard.address.ip()).collect();
    places.extend(known.linked.map(|(address, _)| address.ip()));
    let on = |(id, rung)| (Some(id) == interface).then_some(rung);
    let why = Why {
        rungs: rungs(engine, now).into_iter().filter_map(on).collect(),
        refused: refusals(engine, now)
            .into_iter()
            .filter(|refused| places.contains(&refused.source.ip()))
            .collect(),
        peer: known.peer,
        name: known.name,
        level: known.level,
        known_ms: ago(now, known.known_since),
        source: match known.source {
            engine::RecordSource::Beacon => Source::Beacon,
            engine::RecordSource::Link => Source::Link,
            engine::RecordSource::Peer(by) => Source::Peer(by.to_string()),
            engine::RecordSource::Server(number) => Source::Server(number.0),
            _ => Source::Memory,
        },
        heard: known
            .heard
            .iter()
            .map(|heard| Heard {
                interface: name(heard.interface).unwrap_or_default(),
                source: heard.address,
                ago_ms: ago(now, heard.at),
                beacons: heard.beacons,
            })
            .collect(),
        heard_us,
        we_heard,
        linked: known.linked.map(|(address, since)| Linked { address, since_ms: ago(now, since) }),
        left: known
            .last_leave
            .map(|(reason, at)| Left { reason: reason.as_str().to_owned(), ago_ms: ago(now, at) }),
        rejected: known.rejected.map(|last| Rejected {
            reason: last.reason.as_str().to_owned(),
            sentence: last.reason.sentence().to_owned(),
            by_us: last.by_us,
            ago_ms: ago(now, last.at),
            in_a_row: last.in_a_row,
        }),
        dials: known
            .dials
            .iter()
            .map(|dial| Dial {
                address: dial.address,
                interface: name(dial.interface),
                ago_ms: ago(now, dial.at),
                outcome: outcome(dial.outcome),
            })
            .collect(),
        next_dial_in_ms: known.next_dial.and_then(|at| ahead(now, at)),
        held_off_for_ms: known.held_off_until.and_then(|at| ahead(now, at)),
        asked_to_dial_us_ago_ms: known.asked_to_dial_us.map(|at| ago(now, at)),
        asked_us_to_dial_ago_ms: known.asked_us_to_dial.map(|at| ago(now, at)),
    };
    Some((interface, why))
}

fn outcome(outcome: DialOutcome) -> Outcome {
    match outcome {
        DialOutcome::Refused => Outcome::Refused,
        DialOutcome::TimedOut => Outcome::TimedOut,
        DialOutcome::Unreachable => Outcome::Unreachable,
        DialOutcome::HandshakeFailed => Outcome::HandshakeFailed,
        DialOutcome::AnotherPeer(who) => Outcome::AnotherPeer(who.to_string()),
        DialOutcome::Linked => Outcome::Linked,
        _ => Outcome::Pending,
    }
}

/// The interface's name, or its number if it is gone.
pub(super) fn named(names: &Names, id: InterfaceId) -> String {
    names.get(&id).cloned().unwrap_or_else(|| format!("interface {}", id.0))
}
