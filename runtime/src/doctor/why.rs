//! What a node knows about one peer and about getting to it: what was heard, tried, refused, and when.

use std::net::SocketAddr;

use p2pnet_engine::{Level, PeerId, Rung};
use serde::{Deserialize, Serialize};

use super::findings::{Refused, RungFound};
use super::text;

/// Everything about one peer that tells why it is, or is not, linked. Times are milliseconds before the question was
/// asked. The name comes from the peer: nothing about it is to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Why {
    /// Who.
    #[serde(with = "text::printed")]
    pub peer: PeerId,
    /// The name that it gives itself.
    pub name: String,
    /// How far things are with it.
    #[serde(with = "text::level")]
    pub level: Level,
    /// For how long it is known.
    pub known_ms: u64,
    /// Where its record came from.
    pub source: Source,
    /// Where its beacons come in.
    pub heard: Vec<Heard>,
    /// The rungs of ours that it said reach it, as far as it was asked.
    #[serde(with = "text::rungs")]
    pub heard_us: Vec<Rung>,
    /// The rungs of its that reached us when it was asked.
    #[serde(with = "text::rungs")]
    pub we_heard: Vec<Rung>,
    /// What we did on each rung of the interface that it is met on.
    pub rungs: Vec<RungFound>,
    /// Datagrams from its host that were not understood.
    pub refused: Vec<Refused>,
    /// The link, if there is one.
    pub linked: Option<Linked>,
    /// How the last link ended.
    pub left: Option<Left>,
    /// The last time that one side did not let the other in, unless there was trust since.
    #[serde(default)]
    pub rejected: Option<Rejected>,
    /// The last dials to it, the oldest first.
    pub dials: Vec<Dial>,
    /// When it will be dialled again.
    pub next_dial_in_ms: Option<u64>,
    /// For how long it will not be dialled, because it asked so or was full.
    pub held_off_for_ms: Option<u64>,
    /// When we last asked it to dial us.
    pub asked_to_dial_us_ago_ms: Option<u64>,
    /// When it last asked us to dial it, because its own dials did not get here.
    pub asked_us_to_dial_ago_ms: Option<u64>,
}

/// Where a record came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// The peer's own beacon.
    Beacon,
    /// The peer itself, over a link.
    Link,
    /// Another peer told of it; its id.
    Peer(String),
    /// A bootstrap server told of it; its number, from 0.
    Server(u8),
    /// An earlier run.
    Memory,
}

/// Beacons of a peer on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Heard {
    /// The interface that they came in by.
    pub interface: String,
    /// Where the last one came from.
    pub source: SocketAddr,
    /// When.
    pub ago_ms: u64,
    /// How many there were.
    pub beacons: u64,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Linked {
    /// The other end.
    pub address: SocketAddr,
    /// For how long.
    pub since_ms: u64,
}

/// The end of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Left {
    /// Why, in one word.
    pub reason: String,
    /// When.
    pub ago_ms: u64,
}

/// That one side did not let the other in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rejected {
    /// Why, in one word.
    pub reason: String,
    /// Why, in a few.
    pub sentence: String,
    /// Whether this side said so, and not the peer.
    pub by_us: bool,
    /// When.
    pub ago_ms: u64,
    /// How often in a row.
    pub in_a_row: u32,
}

/// One dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dial {
    /// Where to.
    pub address: SocketAddr,
    /// By which interface, if one was chosen.
    pub interface: Option<String>,
    /// When.
    pub ago_ms: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Not known yet.
    Pending,
    /// The host is there and nothing listens on the port.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way there, or the operating system forbids it.
    Unreachable,
    /// It answered, and did not prove that it is on this network.
    HandshakeFailed,
    /// Another peer answered; its id.
    AnotherPeer(String),
    /// The peer has as many links as it takes.
    Full,
    /// It became the link, or stood for a while.
    Linked,
}

impl Outcome {
    /// A few words for people.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Pending => "no answer yet",
            Outcome::Refused => "refused: nothing listens there",
            Outcome::TimedOut => "no answer in time",
            Outcome::Unreachable => "no way there",
            Outcome::HandshakeFailed => "answered, but is not on this network",
            Outcome::AnotherPeer(_) => "another peer answered",
            Outcome::Full => "it has all the links it takes",
            Outcome::Linked => "linked",
        }
    }
}
