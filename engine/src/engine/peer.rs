//! What the engine keeps for one peer.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::certificate::Certificate;
use crate::content::{ContentId, Manifest};
use crate::event::{LeaveReason, Party};
use crate::identity::PeerId;
use crate::input::{InterfaceId, LinkId};
use crate::limits::TokenBucket;
use crate::liveness::Liveness;
use crate::record::SignedRecord;
use crate::time::Timestamp;

use super::decisions::Rejection;
use super::held::Held;
use super::messages::Acks;
use super::share::COMPARISONS;
use super::taken::Taken;
use super::verification::Verification;
use super::watch::Life;
use super::why::{DialNote, RecordSource};

/// Ways by which a peer is heard that are remembered: two families on two interfaces. Beyond it the oldest goes.
const MAX_HEARD: usize = 4;

/// One known peer.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The record that leads: of its newest run, of the two classes the local one. It is never without.
    pub(crate) record: SignedRecord,
    /// How old the record was when it came, and when that was.
    pub(crate) age: Duration,
    pub(crate) received: Timestamp,
    /// The record of the other class, if there is one.
    pub(crate) beside: Option<Held>,
    /// How many comparisons it may still ask for.
    pub(crate) comparisons: TokenBucket,
    /// Who told of it, while it counts against who did: it has not spoken for itself.
    pub(crate) introducer: Option<PeerId>,
    /// Who told of it, and since when it is known.
    pub(crate) source: RecordSource,
    pub(crate) known_since: Timestamp,
    /// Where it was heard, the best way first: outranks what its record announces. At most [`MAX_HEARD`].
    pub(crate) heard: Vec<Heard>,
    /// Whether it ever proved its key on a link.
    pub(crate) proven: bool,
    /// The link that is used, and since when.
    pub(crate) link: Option<LinkId>,
    pub(crate) linked_at: Timestamp,
    /// When its last link ended.
    pub(crate) left_at: Option<Timestamp>,
    /// All its links, whatever their stage, pending dials included.
    pub(crate) links: Vec<LinkId>,
    pub(crate) redial: Redial,
    /// Tries to reach it by a nearer path than its link takes, since there was news of one.
    pub(crate) nearer_tries: u32,
    /// The last dials to it, the oldest first.
    pub(crate) dials: VecDeque<DialNote>,
    /// When we last asked it to dial us, and it us.
    pub(crate) asked_to_dial_us: Option<Timestamp>,
    pub(crate) asked_us_to_dial: Option<Timestamp>,
    /// Where others answered when it was dialled, and who: an old identity of a host, or an address that moved on.
    pub(crate) mistaken: VecDeque<(SocketAddr, PeerId)>,
    /// How often we connected to it.
    pub(crate) session: u64,
    /// How often this incarnation of it says that it connected to us.
    pub(crate) their_session: (u64, u64),
    /// Our verification of it, while a link is up, and the certificate that it has shown.
    pub(crate) verification: Option<Verification>,
    pub(crate) certificate: Option<Certificate>,
    /// The incarnation of it of which people have compared the code, and the one that the application has accepted.
    pub(crate) compared: Option<u64>,
    pub(crate) accepted: Option<u64>,
    /// The last time that one side did not let the other in, unless there was trust since; and until when it is not
    /// tried again.
    pub(crate) rejection: Option<Rejection>,
    pub(crate) rejected_until: Timestamp,
    /// Whether we have verified it, and it us, in this session.
    pub(crate) ours: bool,
    pub(crate) theirs: bool,
    /// Whether what follows from mutual trust has been done in this session; how often it was.
    pub(crate) told_trusted: bool,
    pub(crate) trust_epoch: u64,
    /// Why its last link ended, and who ended it.
    pub(crate) last_leave: (LeaveReason, Option<Party>),
    pub(crate) life: Life,
    /// Whether it said goodbye, by a way that may have overtaken what still comes on its link.
    pub(crate) gone: bool,
    pub(crate) texts: Texts,
    /// Blocks that were given to its links.
    pub(crate) blocks_sent: u64,
    /// Which of its texts and messages were taken, and which acknowledgements of messages it is owed.
    pub(crate) taken: Taken,
    pub(crate) acks: Acks,
    pub(crate) offers: BTreeMap<ContentId, Offer>,
    /// What the application was last told.
    pub(crate) reported: Reported,
}

/// Where a peer was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) address: SocketAddr,
    pub(crate) interface: Option<InterfaceId>,
    pub(crate) at: Timestamp,
    /// Beacons that came by this way first.
    pub(crate) beacons: u64,
    /// Whether that was in a subnet of ours. If it is in none any more, it is somebody else's now.
    pub(crate) near: bool,
}

/// When to dial a peer that has no link.
#[derive(Debug)]
pub(crate) struct Redial {
    /// Tries since it was last heard or lost.
    pub(crate) tries: u32,
    pub(crate) since: Timestamp,
    /// No dial before this: the peer is full, or one side closed on purpose.
    pub(crate) hold_until: Timestamp,
    /// No dial before this either: the last one was just made.
    pub(crate) not_before: Timestamp,
    /// Which of its addresses is next.
    pub(crate) next_address: usize,
}

/// Texts to a peer.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Not yet acknowledged, in the order of their numbers.
    pub(crate) outgoing: VecDeque<(u64, String)>,
    pub(crate) last_sent: u64,
    pub(crate) acked: u64,
    pub(crate) acked_reported: u64,
}

impl Texts {
    /// Numbers begin above `floor`.
    pub(crate) fn begin_after(&mut self, floor: u64) {
        (self.last_sent, self.acked, self.acked_reported) = (floor, floor, floor);
    }
}

/// Content that the peer offers.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) manifest: Manifest,
    /// Whether the peer is there to serve it.
    pub(crate) live: bool,
    pub(crate) reported: bool,
    pub(crate) declined: bool,
    /// Whether it was taken without asking the application.
    pub(crate) taken: bool,
}

/// What the application knows of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) discovered: bool,
    /// The session that it was told of, while that is up for the application.
    pub(crate) session: Option<u64>,
    pub(crate) trust_epoch: u64,
    /// When the rejection was that it was told of last.
    pub(crate) rejected: Option<Timestamp>,
    /// How it is, since it was first connected.
    pub(crate) liveness: Option<Liveness>,
}

/// How much a peer has proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A valid record of it is held.
    Known,
    /// It has proven its key on a link that is up.
    Connected,
    /// Both sides have verified each other.
    Trusted,
}

impl Peer {
    /// A peer that has just become known. `session` counts on from where an earlier entry for it may have ended.
    pub(crate) fn new(
        record: SignedRecord,
        age: Duration,
        source: RecordSource,
        session: u64,
        now: Timestamp,
    ) -> Self {
        Peer {
            record,
            age,
            received: now,
            beside: None,
            comparisons: TokenBucket::new(COMPARISONS, COMPARISONS / 8),
            introducer: None,
            source,
            known_since: now,
            heard: Vec::new(),
            proven: false,
            link: None,
            linked_at: now,
            left_at: None,
            links: Vec::new(),
            redial: Redial::new(now),
            nearer_tries: 0,
            dials: VecDeque::new(),
            asked_to_dial_us: None,
            asked_us_to_dial: None,
            mistaken: VecDeque::new(),
            session,
            their_session: (0, 0),
            verification: None,
            certificate: None,
            compared: None,
            accepted: None,
            rejection: None,
            rejected_until: Timestamp::ZERO,
            ours: false,
            theirs: false,
            told_trusted: false,
            trust_epoch: 0,
            last_leave: (LeaveReason::Broken, None),
            life: Life::default(),
            gone: false,
            texts: Texts::default(),
            blocks_sent: 0,
            taken: Taken::default(),
            acks: Acks::default(),
            offers: BTreeMap::new(),
            reported: Reported::default(),
        }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.record.record().incarnation
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.link.is_some() && self.ours && self.theirs
    }

    /// Whether it has no link, not even one that is being dialled.
    pub(crate) fn is_idle(&self) -> bool {
        self.link.is_none() && self.links.is_empty()
    }

    pub(crate) fn level(&self) -> Level {
        match (self.link.is_some(), self.is_trusted()) {
            (_, true) => Level::Trusted,
            (true, false) => Level::Connected,
            (false, false) => Level::Known,
        }
    }

    /// Notes where it was heard: there it is dialled first.
    pub(crate) fn note_heard(&mut self, heard: Heard) {
        let way = |heard: &Heard| (heard.interface, heard.address.is_ipv4());
        let same = self.heard.iter().position(|known| way(known) == way(&heard));
        let beacons = same.map_or(0, |place| self.heard.remove(place).beacons);
        self.heard.insert(0, Heard { beacons: beacons + heard.beacons, ..heard });
        self.heard.truncate(MAX_HEARD);
    }

    /// The first of [`addresses`](Self::addresses), without the others if it was heard.
    pub(crate) fn best_address(&self) -> Option<SocketAddr> {
        let heard = self.heard.first().map(|heard| heard.address);
        heard.or_else(|| self.addresses().first().map(|&(address, _)| address))
    }

    /// Where it can be dialled, the best first: where it was heard, then what it announces in each class.
    pub(crate) fn addresses(&self) -> Vec<(SocketAddr, Option<InterfaceId>)> {
        let mut addresses: Vec<(SocketAddr, Option<InterfaceId>)> = Vec::new();
        addresses.extend(self.heard.iter().map(|heard| (heard.address, heard.interface)));
        let records = [Some(&self.record), self.beside.as_ref().map(|held| &held.record)];
        for record in records.into_iter().flatten().map(SignedRecord::record) {
            for &ip in &record.addrs {
                let address = SocketAddr::new(ip, record.port);
                if addresses.iter().all(|(known, _)| *known != address) {
                    addresses.push((address, None));
                }
            }
        }
        addresses
    }
}

impl Redial {
    pub(crate) fn new(now: Timestamp) -> Self {
        let past = Timestamp::ZERO;
        Redial { tries: 0, since: now, hold_until: past, not_before: past, next_address: 0 }
    }

    /// Starts over: the peer was heard, or its link was lost.
    pub(crate) fn reset(&mut self, now: Timestamp) {
        self.tries = 0;
        self.since = now;
    }

    /// The time to the next dial after one more try. `live` when the peer was heard in the last seconds.
    pub(crate) fn next_delay(&mut self, now: Timestamp, live: bool) -> Duration {
        const MILLIS: [u64; 4] = [250, 500, 1000, 2000];
        let tries = self.tries;
        self.tries = self.tries.saturating_add(1);
        if live {
            return Duration::from_millis(500);
        }
        let early = MILLIS.get(tries as usize).copied().unwrap_or(2000);
        if now.since(self.since) < Duration::from_secs(60) {
            return Duration::from_millis(early);
        }
        // After the first minute (some 30 tries) twice as long after each, up to 30 s.
        let doublings = tries.saturating_sub(32).min(4);
        Duration::from_millis((2000 << doublings).min(30_000))
    }
}
