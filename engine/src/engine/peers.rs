//! The table of peers: which records are believed, what is remembered of those who left.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::record::{Instance, RecordError, RecordKind, SignedRecord, UnverifiedRecord};
use crate::time::Timestamp;
use crate::timers::TimerKey;

use super::Engine;
use super::outputs::Slot;
use super::peer::{Level, Peer};
use super::why::RecordSource;

/// How often records that are too old are looked for.
pub(super) const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// How long a link is still listened to when its peer said goodbye by another way. What the peer sent before is on
/// the link and ends with its goodbye there, a datagram or another's word may be faster.
const LAST_WORDS: Duration = Duration::from_millis(400);

/// What is remembered of a peer that left or expired: nothing that its last record outranks is believed again.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(super) record: SignedRecord,
    until: Timestamp,
    /// Whether the peer ever proved its key on a link: such a floor is the last to make room.
    pub(super) proven: bool,
    /// Whether the store has it as it is.
    pub(super) stored: bool,
}

impl Floor {
    /// Whether a record lies below. A farewell ends its run for good; the last record of a peer that merely expired
    /// may come again by another way, if it is still young there.
    fn refuses(&self, record: &UnverifiedRecord) -> bool {
        match self.record.record().kind {
            RecordKind::Gone => !record.supersedes(&self.record),
            RecordKind::Alive | RecordKind::Leaving => record.is_superseded_by(&self.record),
        }
    }

    /// Whether the next run should know it: a goodbye, or the last that was heard of a peer that proved its key.
    pub(super) fn outlives_the_run(&self) -> bool {
        self.proven || self.record.record().kind == RecordKind::Gone
    }

    /// The record to show to a peer that presents itself with an outranked incarnation.
    pub(super) fn outranks(&self, incarnation: u64) -> bool {
        let own = self.record.record();
        own.incarnation > incarnation || (own.kind == RecordKind::Gone && own.incarnation == incarnation)
    }
}

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A beacon of this instance, from anybody who knows the network's name.
    Beacon(Instance),
    /// A link of this peer, which has proven its key.
    Link(PeerId),
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It is the one that is held.
    Known(PeerId),
    /// It is held now.
    News(PeerId),
    /// It is our own, of another run: a copy of this node, or an earlier run of it.
    Own,
    /// It was not taken: malformed, forged, of another network, or older than what is held.
    No,
}

/// A peer, as the application may see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PeerView<'a> {
    /// Who.
    pub id: PeerId,
    /// The name that it gives itself.
    pub name: &'a str,
    /// How much it has proven.
    pub level: Level,
    /// The other end of its link, or where it was last heard.
    pub addr: Option<SocketAddr>,
    /// The link that is used.
    pub link: Option<LinkId>,
    /// Its signed record.
    pub record: &'a SignedRecord,
}

impl Engine {
    /// Every known peer, ordered by id.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        self.peers.iter().map(|(&id, peer)| self.view(id, peer))
    }

    /// One peer.
    #[must_use]
    pub fn peer(&self, id: &PeerId) -> Option<PeerView<'_>> {
        self.peers.get(id).map(|peer| self.view(*id, peer))
    }

    fn view<'a>(&'a self, id: PeerId, peer: &'a Peer) -> PeerView<'a> {
        PeerView {
            id,
            name: &peer.record.record().name,
            level: peer.level(),
            addr: self.peer_address(peer),
            link: peer.link,
            record: &peer.record,
        }
    }

    pub(super) fn peer_address(&self, peer: &Peer) -> Option<SocketAddr> {
        let linked = peer.link.and_then(|link| self.links.get(&link)).map(|link| link.address);
        linked.or_else(|| peer.addresses().first().map(|&(address, _)| address))
    }

    /// Takes a record from anywhere: believes its signature and nothing else. The instance of a beacon must be the
    /// record's.
    ///
    /// The cheap checks come first; a signature is checked only of a record that would be news.
    pub(super) fn accept_record(&mut self, bytes: &[u8], age: Duration, origin: Origin) -> Accepted {
        let Ok(unverified) = UnverifiedRecord::parse(bytes) else {
            self.stats.records_refused += 1;
            return Accepted::No;
        };
        let record = unverified.record();
        let id = record.peer;
        let expired = age >= Duration::from_secs(u64::from(record.ttl_secs));
        let of_other = matches!(origin, Origin::Beacon(instance) if instance != record.instance);
        if expired {
            mark!(self, RecordExpiredOnArrival);
        }
        if of_other {
            mark!(self, RecordOfOtherInstance);
        }
        if record.network != self.config.network.tag() || of_other || expired || !self.identity.goes_with(&id)
        {
            self.stats.records_refused += 1;
            return Accepted::No;
        }
        if let Some(peer) = self.peers.get_mut(&id)
            && peer.record.bytes() == bytes
        {
            if age < peer.age + self.now.since(peer.received) {
                peer.age = age;
                peer.received = self.now;
                mark!(self, RecordRefreshed);
            }
            return Accepted::Known(id);
        }
        let held = self.peers.get(&id).map(|peer| &peer.record);
        if planted!(self, NewerRecordIgnored)
            && record.kind == RecordKind::Alive
            && held.is_some_and(|held| held.record().incarnation == record.incarnation)
        {
            return Accepted::Known(id);
        }
        if held.is_some_and(|held| !unverified.supersedes(held) || unverified.rivals(held)) {
            mark!(self, RecordStale);
            self.stats.records_stale += 1;
            return Accepted::No;
        }
        if self.floors.get(&id).is_some_and(|floor| floor.refuses(&unverified)) {
            mark!(self, FloorRefused);
            self.stats.records_stale += 1;
            return Accepted::No;
        }
        if matches!(origin, Origin::Beacon(_)) && !self.strangers.may_check_signature(self.now) {
            self.stats.datagrams_rate_limited += 1;
            mark!(self, SignatureRateLimited);
            return Accepted::No;
        }
        self.stats.signatures_checked += 1;
        let Ok(record) = self.check_signature(unverified) else {
            mark!(self, SignatureForged);
            self.stats.records_refused += 1;
            return Accepted::No;
        };
        if id == self.identity.peer_id() {
            self.met_own_record(&record);
            return Accepted::Own;
        }
        self.stats.records_accepted += 1;
        self.take_record(id, record, age, origin);
        Accepted::News(id)
    }

    pub(super) fn check_signature(&self, record: UnverifiedRecord) -> Result<SignedRecord, RecordError> {
        #[cfg(feature = "planted")]
        if planted!(self, ForgedRecord) {
            return Ok(record.believe());
        }
        record.verify()
    }

    /// Holds a record that was found good and new.
    fn take_record(&mut self, id: PeerId, record: SignedRecord, age: Duration, origin: Origin) {
        let from = if let Origin::Link(from) = origin { Some(from) } else { None };
        // Without floors a goodbye would be news again and again, and go round for ever.
        let echo = record.record().kind == RecordKind::Gone && !self.peers.contains_key(&id);
        if !(planted!(self, FloorsForgotten) && echo) {
            self.share_record(&record, age, from);
        }
        if record.record().kind == RecordKind::Gone {
            if planted!(self, LeaverKept) {
                return;
            }
            if !planted!(self, FloorsForgotten) {
                self.remember_floor(record);
            }
            match self.peers.get_mut(&id).filter(|peer| peer.link.is_some() && from != Some(id)) {
                Some(peer) => {
                    peer.gone = true;
                    self.set_timer(TimerKey::Gone(id), LAST_WORDS);
                }
                None => self.peer_gone(id),
            }
            return;
        }
        if self.floors.remove(&id).is_some() {
            mark!(self, FloorLifted);
            self.keep_soon();
        }
        self.timers.cancel(TimerKey::Gone(id));
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.gone = false;
            let restarted = record.record().incarnation > peer.incarnation();
            peer.record = record;
            peer.age = age;
            peer.received = self.now;
            if restarted {
                mark!(self, PeerRestarted);
                peer.redial.reset(self.now);
                peer.redial.hold_until = self.now;
            }
        } else {
            if self.peers.len() >= self.config.max_peers
                && !planted!(self, UnboundedTable)
                && !self.evict_peer()
            {
                mark!(self, TableFull);
                return;
            }
            let source = match origin {
                Origin::Beacon(_) => RecordSource::Beacon,
                Origin::Link(from) if from == id => RecordSource::Link,
                Origin::Link(from) => RecordSource::Peer(from),
            };
            let mut peer = Peer::new(record, age, source, self.session_floor, self.now);
            peer.texts.begin_after(self.text_floor);
            peer.texts.taken = self.taken.recall(id);
            self.peers.insert(id, peer);
            self.outputs.notify(Slot::Peer(id));
        }
        self.dial_newly_heard(id);
        self.tend_soon();
    }

    /// Parts from a peer that said that this run of it is over.
    pub(super) fn peer_gone(&mut self, id: PeerId) {
        mark!(self, PeerGone);
        let links: Vec<LinkId> = self.peers.get(&id).map_or_else(Vec::new, |peer| peer.links.clone());
        for link in links {
            self.close_link(link, LeaveReason::Gone);
        }
        self.drop_offers_of(id, true);
        self.remove_peer(id);
    }

    fn remember_floor(&mut self, record: SignedRecord) {
        let id = record.record().peer;
        let known = self.peers.get(&id).is_some_and(|peer| peer.proven);
        let proven = known || self.floors.get(&id).is_some_and(|floor| floor.proven);
        self.insert_floor(record, proven, false);
        self.keep_soon();
    }

    /// A floor that the store has. How long it has been one nobody knows, so its time begins anew.
    pub(super) fn recall_floor(&mut self, record: SignedRecord, proven: bool) {
        self.insert_floor(record, proven, true);
    }

    fn insert_floor(&mut self, record: SignedRecord, proven: bool, stored: bool) {
        let id = record.record().peer;
        let ttl = Duration::from_secs(u64::from(record.record().ttl_secs));
        if self.floors.len() >= self.config.max_peers * 2 && !self.floors.contains_key(&id) {
            let first =
                self.floors.iter().min_by_key(|(_, floor)| (floor.proven, floor.until)).map(|(&id, _)| id);
            if let Some(first) = first {
                self.floors.remove(&first);
                mark!(self, FloorEvicted);
            }
        }
        self.floors.insert(id, Floor { record, until: self.now + ttl * 2, proven, stored });
    }

    /// Makes room for a newcomer: the peer without a link whose record is oldest goes, one that never proved
    /// itself before one that did. Says whether there was one.
    fn evict_peer(&mut self) -> bool {
        let candidate = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.link.is_none() && peer.links.is_empty())
            .min_by_key(|(_, peer)| (peer.proven, peer.received))
            .map(|(&id, _)| id);
        let Some(id) = candidate else { return false };
        self.stats.peers_evicted += 1;
        mark!(self, PeerEvicted);
        self.drop_offers_of(id, true);
        self.remove_peer(id);
        true
    }

    /// Forgets a peer once the application has been told that it left.
    fn remove_peer(&mut self, id: PeerId) {
        self.timers.cancel(TimerKey::Dial(id));
        self.timers.cancel(TimerKey::Text(id));
        self.timers.cancel(TimerKey::Verification(id));
        self.timers.cancel(TimerKey::Gone(id));
        self.steps_in.remove(&id);
        let Some(mut peer) = self.peers.remove(&id) else { return };
        // Nor may a text be taken twice.
        self.taken.keep(id, core::mem::take(&mut peer.texts.taken), self.config.max_peers);
        // A peer that comes back must not hear of a session that it has heard of before.
        self.session_floor = self.session_floor.max(peer.session);
        // Nor take a new text for one that it has: it may remember what we have forgotten.
        self.text_floor = self.text_floor.max(peer.texts.last_sent);
        self.outputs.forget(Slot::Peer(id));
        self.outputs.forget(Slot::TextsAcked(id));
        self.outputs.forget(Slot::Step(id));
        self.lost_texts_of(id, &peer);
        if peer.reported.session.is_some() {
            self.departed(id, &peer);
        }
    }

    pub(super) fn expire_due(&mut self) {
        let now = self.now;
        let floors = self.floors.len();
        self.floors.retain(|_, floor| floor.until > now);
        if self.floors.len() < floors {
            self.keep_soon();
        }
        let expired: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.link.is_none() && peer.links.is_empty() && peer.is_expired(now))
            .map(|(&id, _)| id)
            .collect();
        for id in expired {
            mark!(self, PeerExpired);
            if let Some(peer) = self.peers.get(&id) {
                self.remember_floor(peer.record.clone());
            }
            self.drop_offers_of(id, true);
            self.remove_peer(id);
        }
        self.set_timer(TimerKey::Expire, EXPIRE_EVERY);
    }
}
