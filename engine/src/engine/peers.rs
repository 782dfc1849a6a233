//! The table of peers: which records are believed, what is remembered of those who left.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::certificate::Certificate;
use crate::event::{LeaveReason, Party};
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::liveness::{Declarer, Liveness};
use crate::marks::mark;
use crate::path::Scope;
use crate::planted::planted;
use crate::policy::Step;
use crate::record::{
    self, Instance, PeerRecord, RecordClass, RecordError, RecordKind, SignedRecord, UnverifiedRecord,
};
use crate::server::ServerId;
use crate::timers::TimerKey;

use super::Engine;
use super::collection::{Introduction, rank};
use super::floors::Floor;
use super::held::Held;
use super::outputs::Slot;
use super::peer::{Level, Peer};
use super::why::RecordSource;

/// How often records that are too old are looked for.
pub(super) const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// How long a link is still listened to when its peer said goodbye by another way. What the peer sent before is on
/// the link and ends with its goodbye there, a datagram or another's word may be faster.
const LAST_WORDS: Duration = Duration::from_millis(400);

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A beacon of this instance, from anybody who knows the network's name.
    Beacon(Instance),
    /// A link of this peer, which has proven its key.
    Link(PeerId),
    /// A bootstrap server, which stands among those who tell of others by this id.
    Server(ServerId, PeerId),
}

impl Origin {
    /// Who told of it, if its subject did not say it itself by a beacon.
    fn teller(self) -> Option<PeerId> {
        match self {
            Origin::Beacon(_) => None,
            Origin::Link(from) | Origin::Server(_, from) => Some(from),
        }
    }
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
    /// Its subject never signed it: whoever passed it on never looked.
    Forged,
    /// It was not taken: malformed, of another network, or older than what is held.
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
    /// How it is; `None` if it was never connected, or parted from.
    pub liveness: Option<Liveness>,
    /// The other end of its link, or where it was last heard.
    pub addr: Option<SocketAddr>,
    /// How far away the other end of its link is; `None` without a link.
    pub path: Option<Scope>,
    /// The link that is used.
    pub link: Option<LinkId>,
    /// Its signed record.
    pub record: &'a SignedRecord,
    /// Its record of the other class, if it is held.
    pub beside: Option<&'a SignedRecord>,
    /// The certificate that it has shown on this link, if one is asked for: good, and not expired as far as known.
    pub certificate: Option<&'a Certificate>,
    /// Blocks that this node has sent it since it is known.
    pub blocks_sent: u64,
    /// The step at which our verification of it is; `None` if there is none, or we have verified it.
    pub verifying: Option<&'a Step>,
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
            liveness: peer.life.state,
            addr: self.peer_address(peer),
            path: peer.link.and_then(|link| self.link_scope(link)),
            link: peer.link,
            record: &peer.record,
            beside: peer.beside.as_ref().map(|held| &held.record),
            certificate: peer.certificate.as_ref(),
            blocks_sent: peer.blocks_sent,
            verifying: peer
                .verification
                .as_ref()
                .filter(|_| !peer.ours)
                .and_then(|running| running.current()),
        }
    }

    pub(super) fn peer_address(&self, peer: &Peer) -> Option<SocketAddr> {
        let linked = peer.link.and_then(|link| self.links.get(&link)).map(|link| link.address);
        linked.or_else(|| peer.best_address())
    }

    /// Takes a record from anywhere: believes its signature and nothing else. The instance of a beacon must be the
    /// record's.
    ///
    /// The cheap checks come first: most records are known, byte for byte, and a signature is checked only of one that
    /// would be news.
    pub(super) fn accept_record(&mut self, bytes: &[u8], age: Duration, origin: Origin) -> Accepted {
        if let Some((id, held)) = self.holds(bytes)
            && !self.decisions.blocks_peer(&id)
            && is_fit(held.record.record(), age, origin)
        {
            self.known_again(id, held, age, origin);
            return Accepted::Known(id);
        }
        let Ok(unverified) = UnverifiedRecord::parse(bytes) else {
            self.stats.records_refused += 1;
            return Accepted::No;
        };
        let record = unverified.record();
        let id = record.peer;
        if self.decisions.blocks_peer(&id) {
            self.stats.records_blocked += 1;
            mark!(self, BlockedRecordRefused);
            return Accepted::No;
        }
        if is_expired(record, age) {
            mark!(self, RecordExpiredOnArrival);
        }
        if is_of_other(record, origin) {
            mark!(self, RecordOfOtherInstance);
        }
        let any_network = planted!(self, AnyNetwork) && matches!(origin, Origin::Server(..));
        if (record.network != self.config.network.tag() && !any_network)
            || !is_fit(record, age, origin)
            || !self.identity.goes_with(&id)
        {
            self.stats.records_refused += 1;
            return Accepted::No;
        }
        if planted!(self, NewerRecordIgnored)
            && record.kind == RecordKind::Alive
            && self.peers.get(&id).is_some_and(|peer| peer.incarnation() == record.incarnation)
        {
            return Accepted::Known(id);
        }
        if self.peers.get(&id).is_some_and(|peer| is_stale(&unverified, peer)) {
            mark!(self, RecordStale);
            self.stats.records_stale += 1;
            return Accepted::No;
        }
        if self.floors.get(&id).is_some_and(|floor| floor.refuses(&unverified)) {
            mark!(self, FloorRefused);
            self.stats.records_stale += 1;
            return Accepted::No;
        }
        if !self.may_introduce(id, origin, record.kind) {
            self.stats.records_unwelcome += 1;
            mark!(self, IntroductionRefused);
            return Accepted::No;
        }
        if matches!(origin, Origin::Beacon(_))
            && !self.strangers.may_check_signature(self.now)
            && !planted!(self, UnmeteredSignatures)
        {
            self.stats.datagrams_rate_limited += 1;
            mark!(self, SignatureRateLimited);
            return Accepted::No;
        }
        self.stats.signatures_checked += 1;
        let Ok(record) = self.check_signature(unverified) else {
            mark!(self, SignatureForged);
            self.stats.records_refused += 1;
            return Accepted::Forged;
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
        if planted!(self, ForgedRecord)
            || (planted!(self, UnsignedGoodbye) && record.record().kind == RecordKind::Gone)
        {
            return Ok(record.believe());
        }
        record.verify()
    }

    /// Whose record these bytes are, if they are held.
    pub(super) fn holds(&self, bytes: &[u8]) -> Option<(PeerId, Held)> {
        let id = record::peek_peer(bytes)?;
        Some((id, self.peers.get(&id)?.held_as(bytes)?))
    }

    /// A record that is held came again: it may be younger by this way.
    fn known_again(&mut self, id: PeerId, held: Held, age: Duration, origin: Origin) {
        if age < held.age_at(self.now) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.hold(Held { age, received: self.now, ..held.clone() });
            }
            mark!(self, RecordRefreshed);
        }
        match origin.teller() {
            Some(from) if from != id => self.told_again(id, held.record.record().class, from),
            _ => self.spoke_for_itself(id),
        }
    }

    /// Whoever told of a peer that speaks for itself is not charged with it any more.
    fn spoke_for_itself(&mut self, id: PeerId) {
        if let Some(introducer) = self.peers.get_mut(&id).and_then(|peer| peer.introducer.take()) {
            self.collection.spoke(&id, introducer);
        }
    }

    /// Whether somebody may tell of a peer that is not known, or of the farewell of one.
    fn may_introduce(&self, id: PeerId, origin: Origin, kind: RecordKind) -> bool {
        let Some(from) = origin.teller() else { return true };
        if from == id || self.peers.contains_key(&id) || id == self.identity.peer_id() {
            return true;
        }
        if kind == RecordKind::Gone {
            return self.floors.get(&id).is_some() || self.floors.told_by(&from) < self.config.max_introduced;
        }
        self.introduction(&from, self.rank_of(&id)) != Introduction::Refused
    }

    fn rank_of(&self, id: &PeerId) -> u64 {
        rank(self.collection.place(id))
    }

    /// Holds a record that was found good and new.
    fn take_record(&mut self, id: PeerId, record: SignedRecord, age: Duration, origin: Origin) {
        let from = origin.teller();
        let class = record.record().class;
        let held = Held { record, age, received: self.now };
        if held.record.record().kind == RecordKind::Gone {
            if planted!(self, LeaverKept) {
                return;
            }
            self.took_farewell(id, held, from);
            self.tell_news(id, class, from);
            return;
        }
        self.timers.cancel(TimerKey::Gone(id));
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.gone = false;
            let restarted = held.record.record().incarnation > peer.incarnation();
            peer.hold(held);
            if restarted {
                mark!(self, PeerRestarted);
                peer.redial.reset(self.now);
                peer.redial.hold_until = self.now;
            }
            self.collection.changed(&id);
            if from.is_none_or(|from| from == id) {
                self.spoke_for_itself(id);
            }
            self.seek_nearer(id);
            if class == RecordClass::Wide && self.peers.get(&id).is_some_and(|peer| peer.link.is_some()) {
                self.remember_peer(id);
            }
        } else {
            let introducer = from.filter(|from| *from != id);
            if !self.make_room(id, introducer) {
                mark!(self, TableFull);
                return;
            }
            if self.floors.get(&id).is_some() {
                mark!(self, FloorLifted);
            }
            let source = match origin {
                Origin::Beacon(_) => RecordSource::Beacon,
                Origin::Link(from) if from == id => RecordSource::Link,
                Origin::Link(from) => RecordSource::Peer(from),
                Origin::Server(server, _) => RecordSource::Server(server),
            };
            let mut peer = Peer::new(held.record, age, source, self.session_floor, self.now);
            peer.introducer = introducer;
            peer.texts.begin_after(self.text_floor);
            peer.taken = self.taken.recall(id);
            self.peers.insert(id, peer);
            self.collection.joined(id, introducer);
            self.outputs.notify(Slot::Peer(id));
        }
        self.tell_news(id, class, from);
        self.dial_newly_heard(id);
        self.tend_soon();
    }

    /// Takes a farewell: it ends all that is held of that run and of those before it.
    fn took_farewell(&mut self, id: PeerId, gone: Held, from: Option<PeerId>) {
        let known = self.peers.get_mut(&id);
        let ends = |held: &Held| gone.record.supersedes(&held.record);
        let is_over = known.is_none_or(|peer| peer.give_up(ends));
        self.collection.changed(&id);
        if !planted!(self, FloorsForgotten) {
            self.remember_floor(id, gone, from);
        }
        if !is_over {
            mark!(self, FarewellOfAnEarlierRun);
            return;
        }
        match self.peers.get_mut(&id).filter(|peer| peer.link.is_some() && from != Some(id)) {
            Some(peer) => {
                peer.gone = true;
                self.set_timer(TimerKey::Gone(id), LAST_WORDS);
            }
            None => self.peer_gone(id),
        }
    }

    /// Parts from a peer that said that this run of it is over.
    pub(super) fn peer_gone(&mut self, id: PeerId) {
        mark!(self, PeerGone);
        if self.peers.get(&id).is_some_and(|peer| peer.life.state.is_some()) {
            self.stop_watching(id);
            self.conclude(id, Liveness::Left, Declarer::Subject);
        }
        let links: Vec<LinkId> = self.peers.get(&id).map_or_else(Vec::new, |peer| peer.links.clone());
        for id in links {
            if let Some(link) = self.links.get_mut(&id) {
                link.ended_by = Some(Party::Them);
            }
            self.close_link(id, LeaveReason::Gone);
        }
        self.drop_offers_of(id, true);
        self.remove_peer(id);
    }

    /// Keeps what a peer said last. `from` told of it.
    fn remember_floor(&mut self, id: PeerId, held: Held, from: Option<PeerId>) {
        let (before, known) = (self.floors.get(&id), self.peers.get(&id));
        let proven = known.is_some_and(|peer| peer.proven) || before.is_some_and(|floor| floor.proven);
        let stranger = known.is_none() && before.is_none();
        let introducer = from.filter(|from| stranger && *from != id);
        self.set_floor(id, held, proven, introducer, false);
        self.keep_soon();
    }

    /// A floor that the store has. How long it has been one nobody knows, so its time begins anew.
    pub(super) fn recall_floor(&mut self, record: SignedRecord, proven: bool) {
        let id = record.record().peer;
        let held = Held { record, age: Duration::ZERO, received: self.now };
        self.set_floor(id, held, proven, None, true);
    }

    fn set_floor(&mut self, id: PeerId, held: Held, proven: bool, introducer: Option<PeerId>, stored: bool) {
        let ttl = Duration::from_secs(u64::from(held.record.record().ttl_secs));
        let place = self.collection.place(&id);
        let floor = Floor { held, place, until: self.now + ttl * 2, proven, introducer, stored };
        if self.floors.set(id, floor, self.config.max_peers * 2) {
            mark!(self, FloorEvicted);
        }
    }

    /// Makes room for a newcomer if it takes some; says whether there is some. Who was only told of takes the place of
    /// who ranks higher, and never of a peer that proved itself: everybody decides the same. Who speaks for itself gets
    /// in, for a link with it may follow: for the highest that never proved itself, or else for the oldest record.
    fn make_room(&mut self, id: PeerId, introducer: Option<PeerId>) -> bool {
        if let Some(introducer) = introducer {
            return match self.introduction(&introducer, self.rank_of(&id)) {
                Introduction::Room => true,
                Introduction::InsteadOf(other) => {
                    self.evict_peer(other);
                    true
                }
                Introduction::Refused => false,
            };
        }
        if self.peers.len() < self.config.max_peers || planted!(self, UnboundedTable) {
            return true;
        }
        let oldest = || {
            let idle = self.peers.iter().filter(|(_, peer)| peer.is_idle());
            idle.min_by_key(|(_, peer)| peer.received).map(|(&id, _)| id)
        };
        let Some(first) = self.first_unproven_to_go().or_else(oldest) else { return false };
        self.evict_peer(first);
        true
    }

    fn evict_peer(&mut self, id: PeerId) {
        self.stats.peers_evicted += 1;
        mark!(self, PeerEvicted);
        self.drop_offers_of(id, true);
        self.remove_peer(id);
    }

    /// Forgets a peer once the application has been told that it left.
    pub(super) fn remove_peer(&mut self, id: PeerId) {
        self.timers.cancel(TimerKey::Dial(id));
        self.timers.cancel(TimerKey::Text(id));
        self.timers.cancel(TimerKey::Verification(id));
        self.timers.cancel(TimerKey::Gone(id));
        self.timers.cancel(TimerKey::Watch(id));
        self.watched.remove(&id);
        self.steps_in.remove(&id);
        let Some(mut peer) = self.peers.remove(&id) else { return };
        self.discovery.note_unheard(&peer);
        self.collection.parted(&id, peer.introducer);
        // Nor may a text or message be taken twice.
        self.taken.keep(id, core::mem::take(&mut peer.taken), self.config.max_peers);
        // A peer that comes back must not hear of a session that it has heard of before.
        self.session_floor = self.session_floor.max(peer.session);
        // Nor take a new text for one that it has: it may remember what we have forgotten.
        self.text_floor = self.text_floor.max(peer.texts.last_sent);
        self.outputs.forget(Slot::Peer(id));
        self.outputs.forget(Slot::TextsAcked(id));
        self.outputs.forget(Slot::Step(id));
        self.outputs.forget(Slot::Ask(id));
        self.lost_texts_of(id, &peer);
        self.messages_of_forgotten(id);
        if peer.reported.liveness.is_some() {
            self.departed(id, &mut peer);
        }
    }

    pub(super) fn expire_due(&mut self) {
        let now = self.now;
        if self.floors.forget_ended(now) {
            self.keep_soon();
        }
        let mut expired = Vec::new();
        for (&id, peer) in &mut self.peers {
            if !peer.has_expired(now) {
                continue;
            }
            if !peer.give_up(|held| held.is_expired(now)) {
                self.collection.changed(&id);
            } else if peer.is_idle() {
                expired.push((id, peer.leading()));
            }
        }
        for (id, held) in expired {
            mark!(self, PeerExpired);
            self.remember_floor(id, held, None);
            self.drop_offers_of(id, true);
            self.remove_peer(id);
        }
        self.set_timer(TimerKey::Expire, EXPIRE_EVERY);
    }
}

/// Whether a record that is so old means nothing any more.
fn is_expired(record: &PeerRecord, age: Duration) -> bool {
    age >= Duration::from_secs(u64::from(record.ttl_secs))
}

/// Whether a beacon carries the record of another run than the one that sent it.
fn is_of_other(record: &PeerRecord, origin: Origin) -> bool {
    matches!(origin, Origin::Beacon(instance) if instance != record.instance)
}

/// Whether a record of this age may come this way.
fn is_fit(record: &PeerRecord, age: Duration, origin: Origin) -> bool {
    !is_expired(record, age) && !is_of_other(record, origin)
}

/// Whether a record of a peer that is known is no news: it replaces nothing of its class or, if it is a farewell,
/// nothing at all; or it is of another run in the same incarnation.
fn is_stale(record: &UnverifiedRecord, peer: &Peer) -> bool {
    let (class, mut held) = (record.record().class, peer.held());
    if record.record().kind == RecordKind::Gone {
        return !held.any(|held| record.supersedes(&held.record));
    }
    held.any(|held| {
        let replaced = held.record.record().class == class && !record.supersedes(&held.record);
        replaced || record.rivals(&held.record)
    })
}
