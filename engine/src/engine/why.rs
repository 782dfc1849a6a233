//! What was tried to reach a peer and what came of it, for whoever asks why it is not there.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::{DialFailure, InterfaceId, LinkId};
use crate::server::ServerId;
use crate::time::Timestamp;

use super::Engine;
use super::decisions::Rejection;
use super::peer::{Level, Peer};

/// Dials to a peer that are remembered; beyond it the oldest goes.
const MAX_DIALS: usize = 8;

/// Places of which datagrams were refused that are remembered; beyond it the one that was quiet longest goes.
const MAX_REFUSALS: usize = 16;

/// How the search for one peer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Why {
    /// Who.
    pub peer: PeerId,
    /// The name that it gives itself.
    pub name: String,
    /// How much it has proven.
    pub level: Level,
    /// Since when it is known, without a break.
    pub known_since: Timestamp,
    /// Who told of it first.
    pub source: RecordSource,
    /// Where it was heard, the best way first; at most 4.
    pub heard: Vec<HeardOn>,
    /// The other end of its link, and since when it is the one that is used.
    pub linked: Option<(SocketAddr, Timestamp)>,
    /// Why its last link ended, and when.
    pub last_leave: Option<(LeaveReason, Timestamp)>,
    /// The last time that one side did not let the other in, unless there was trust since.
    pub rejected: Option<Rejection>,
    /// The last 8 dials to it, the oldest first.
    pub dials: Vec<DialTried>,
    /// When it is dialled next.
    pub next_dial: Option<Timestamp>,
    /// Until when it is not dialled, because it is full or one side closed on purpose.
    pub held_off_until: Option<Timestamp>,
    /// When it was last asked to dial us, since we could not dial it.
    pub asked_to_dial_us: Option<Timestamp>,
    /// When it last asked us to dial it.
    pub asked_us_to_dial: Option<Timestamp>,
}

/// Who told of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordSource {
    /// Itself, by a beacon.
    Beacon,
    /// Itself, on a link.
    Link,
    /// This peer.
    Peer(PeerId),
    /// This bootstrap server.
    Server(ServerId),
}

/// That a peer was heard on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeardOn {
    /// The interface; none if a link without one told.
    pub interface: Option<InterfaceId>,
    /// Where it can be dialled there.
    pub address: SocketAddr,
    /// When it was last heard there.
    pub at: Timestamp,
    /// Beacons heard there; a beacon that came by several ways counts on the one where it came first.
    pub beacons: u64,
}

/// One dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialTried {
    /// Where to.
    pub address: SocketAddr,
    /// The interface that it had to go out by.
    pub interface: Option<InterfaceId>,
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: DialOutcome,
}

/// What came of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialOutcome {
    /// Nothing yet, or it was not needed any more.
    Pending,
    /// Nobody listens there.
    Refused,
    /// No answer in time: switched off, out of reach, or a firewall drops it.
    TimedOut,
    /// No way there, or the operating system forbids it.
    Unreachable,
    /// Somebody answered and the handshake failed: another network's secret, or not a peer at all.
    HandshakeFailed,
    /// Another peer answered.
    AnotherPeer(PeerId),
    /// It proved its key there.
    Linked,
}

impl From<DialFailure> for DialOutcome {
    fn from(failure: DialFailure) -> Self {
        match failure {
            DialFailure::Refused => DialOutcome::Refused,
            DialFailure::TimedOut => DialOutcome::TimedOut,
            DialFailure::Unreachable => DialOutcome::Unreachable,
        }
    }
}

/// A place whose datagrams are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Where they say that they come from.
    pub source: SocketAddr,
    /// What was wrong with the last one.
    pub cause: Cause,
    /// How many there were.
    pub count: u64,
    /// When the last one came.
    pub last: Timestamp,
}

/// Why a datagram was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It is a beacon of another network, or of one with this name and another secret.
    OtherNetwork,
    /// It speaks this version of the protocol.
    OtherVersion(u8),
    /// It is not a beacon.
    Malformed,
}

/// A dial that is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DialNote {
    link: LinkId,
    tried: DialTried,
}

impl Engine {
    /// How the search for a peer stands; `None` if it is not known.
    #[must_use]
    pub fn why(&self, peer: &PeerId) -> Option<Why> {
        let known = self.peers.get(peer)?;
        let link = known.link.and_then(|link| self.links.get(&link));
        let held_off = known.redial.hold_until;
        Some(Why {
            peer: *peer,
            name: known.record.record().name.clone(),
            level: known.level(),
            known_since: known.known_since,
            source: known.source,
            heard: known
                .heard
                .iter()
                .map(|heard| HeardOn {
                    interface: heard.interface,
                    address: heard.address,
                    at: heard.at,
                    beacons: heard.beacons,
                })
                .collect(),
            linked: link.map(|link| (link.address, known.linked_at)),
            last_leave: known.left_at.map(|at| (known.last_leave.0, at)),
            rejected: known.rejection,
            dials: known.dials.iter().map(|note| note.tried).collect(),
            next_dial: self.timers.deadline(crate::timers::TimerKey::Dial(*peer)),
            held_off_until: (held_off > self.now).then_some(held_off),
            asked_to_dial_us: known.asked_to_dial_us,
            asked_us_to_dial: known.asked_us_to_dial,
        })
    }

    /// The places whose datagrams were refused last, at most 16, ordered by when the last one came.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut refusals = self.refusals.clone();
        refusals.sort_by_key(|refusal| refusal.last);
        refusals
    }

    /// Notes that a datagram was refused.
    pub(super) fn refused(&mut self, source: SocketAddr, cause: Cause) {
        let now = self.now;
        if let Some(known) = self.refusals.iter_mut().find(|refusal| refusal.source == source) {
            known.cause = cause;
            known.count += 1;
            known.last = now;
            return;
        }
        let refusal = Refusal { source, cause, count: 1, last: now };
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push(refusal);
        } else if let Some(quietest) = self.refusals.iter_mut().min_by_key(|refusal| refusal.last) {
            *quietest = refusal;
        }
    }

    /// Notes what came of a dial.
    pub(super) fn dial_ended(&mut self, peer: Option<PeerId>, link: LinkId, outcome: DialOutcome) {
        let Some(known) = peer.and_then(|peer| self.peers.get_mut(&peer)) else { return };
        if let Some(note) = known.dials.iter_mut().find(|note| note.link == link) {
            note.tried.outcome = outcome;
        }
    }
}

impl Peer {
    /// Remembers a dial.
    pub(super) fn note_dial(
        &mut self,
        link: LinkId,
        address: SocketAddr,
        interface: Option<InterfaceId>,
        at: Timestamp,
    ) {
        if self.dials.len() >= MAX_DIALS {
            self.dials.pop_front();
        }
        let tried = DialTried { address, interface, at, outcome: DialOutcome::Pending };
        self.dials.push_back(DialNote { link, tried });
    }
}
