//! The life of a link: admitted or dialled, shaking hands, open, competing with another, closed.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::Step;
use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::{InterfaceId, LinkId};
use crate::link::{Completed, Handshake, HandshakeError, HandshakeStep, MAX_HELLO};
use crate::output::Action;
use crate::record::{RecordKind, UnverifiedRecord};
use crate::timers::TimerKey;
use crate::wire::codec::{decode, encode};
use crate::wire::{AgedRecord, DisconnectReason, Frame, Hello};

use super::Engine;
use super::link::{Link, LinkQueue, Session, Stage};
use super::outputs::Slot;
use super::peer::Heard;
use super::peers::{Accepted, Origin};
use super::verification::step_name;

/// How long a link that lost against another may take to empty itself.
const DRAIN: Duration = Duration::from_secs(2);

/// Links to one peer, whatever their stage. Beyond it the oldest that is not used is dropped.
const LINKS_PER_PEER: usize = 8;

/// How long neither side redials after a link was closed on purpose, at least.
const HOLD_OFF: Duration = Duration::from_secs(30);

/// The most verification steps that a peer may ask for.
const MAX_STEPS: usize = 8;

/// Places whose version we do not speak that are told to the application.
const MAX_INCOMPATIBLE: usize = 32;

/// Who a handshake has proven.
struct Believed {
    peer: PeerId,
    /// The incarnation that it presented.
    incarnation: u64,
    /// A record of its own that outranks the one that it presented: it lost its memory.
    newer: Option<Vec<u8>>,
}

/// Why a stream is not wanted. Nothing changed but a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkRefused {
    /// This address, or everybody together, opened too many within a short time.
    #[error("too many connections within a short time")]
    TooMany,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

impl Engine {
    // ---- Beginning ----

    pub(super) fn new_link(&mut self, link: Link) -> LinkId {
        self.next_link += 1;
        let id = LinkId(self.next_link);
        self.links.insert(id, link);
        id
    }

    pub(super) fn admit_link(
        &mut self,
        interface: Option<InterfaceId>,
        source: SocketAddr,
    ) -> Result<LinkId, LinkRefused> {
        if self.leaving.is_some() {
            return Err(LinkRefused::Leaving);
        }
        if !self.strangers.may_open_link(self.now, source.ip()) {
            self.stats.links_refused += 1;
            return Err(LinkRefused::TooMany);
        }
        if self.half_open.len() >= self.config.max_half_open
            && let Some(oldest) = self.half_open.pop_first()
        {
            self.stats.handshakes_evicted += 1;
            self.drop_link(oldest);
        }
        self.stats.links_accepted += 1;
        let handshake = Handshake::accept(
            &self.config.network.link_psk(),
            &self.identity.link_secret(),
            self.secrets.seed(),
        );
        let id = self.new_link(Link {
            stage: Stage::Handshaking { since: self.now, handshake: Box::new(handshake) },
            address: source,
            interface,
            dialled: false,
            peer: None,
            target: None,
            dial: 0,
            last_heard: self.now,
            last_ping: self.now,
            queue: LinkQueue::default(),
        });
        self.half_open.insert(id);
        self.set_timer(TimerKey::Link(id), self.config.handshake_timeout);
        Ok(id)
    }

    pub(super) fn link_opened(&mut self, id: LinkId) {
        let seed = self.secrets.seed();
        let Some(link) = self.links.get_mut(&id) else { return };
        if !matches!(link.stage, Stage::Dialling) {
            return;
        }
        self.dialling -= 1;
        let handshake = Handshake::dial(
            self.config.suite,
            &self.config.network.link_psk(),
            &self.identity.link_secret(),
            seed,
            &mut link.queue.raw,
        );
        link.stage = Stage::Handshaking { since: self.now, handshake: Box::new(handshake) };
        self.outputs.link_ready(id);
        self.set_timer(TimerKey::Link(id), self.config.handshake_timeout);
    }

    pub(super) fn dial_failed(&mut self, id: LinkId) {
        self.stats.dials_failed += 1;
        self.forget_link(id, LeaveReason::Lost);
    }

    // ---- Handshake ----

    pub(super) fn receive_handshake(&mut self, id: LinkId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.last_heard = self.now;
        let hello = encode(&Hello {
            record: self.own.record().bytes().to_vec(),
            steps: self.config.verification.iter().map(step_name).collect(),
            dial: link.dial,
        });
        let Stage::Handshaking { handshake, .. } = &mut link.stage else { return };
        let known_first = handshake.first_ephemeral();
        let result = handshake.receive(bytes, &hello, &mut link.queue.raw);
        let first = handshake.first_ephemeral().filter(|_| known_first.is_none());
        let address = link.address;
        if !link.queue.raw.is_empty() {
            self.outputs.link_ready(id);
        }
        if let Some(ephemeral) = first.filter(|_| result.is_ok())
            && !self.strangers.is_fresh(ephemeral)
        {
            self.stats.handshakes_replayed += 1;
            self.drop_link(id);
            return;
        }
        match result {
            Ok(HandshakeStep::Pending) => {}
            Ok(HandshakeStep::Done(completed)) => self.authenticate(id, *completed),
            Err(error) => {
                self.stats.handshakes_failed += 1;
                if let HandshakeError::Version(version) = error {
                    self.met_other_version(address, version);
                }
                // What was answered, our own version at least, still goes out.
                self.finish_link(id, LeaveReason::Lost, true);
            }
        }
    }

    /// The peer proved a key: it must be the one that its record names.
    fn authenticate(&mut self, id: LinkId, completed: Completed) {
        let Ok(hello) = decode::<Hello>(&completed.hello, MAX_HELLO) else {
            self.refuse_handshake(id);
            return;
        };
        let Some(believed) = self.believe_hello(&hello, &completed.remote_static) else {
            self.refuse_handshake(id);
            return;
        };
        self.half_open.remove(&id);
        self.stats.handshakes_done += 1;
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let hoped_for = link.peer.take();
        if !link.dialled {
            link.dial = hello.dial;
        }
        let (dialled, address, interface) = (link.dialled, link.address, link.interface);
        let session = Session {
            transcript: completed.transcript,
            incarnation: believed.incarnation,
            own_incarnation: self.own.incarnation(),
            steps: hello.steps,
        };
        link.stage = Stage::Open { session, since: now, confirmed: false };
        link.last_heard = now;
        self.outputs.action(Action::LinkReady { link: id, codec: Box::new(completed.codec) });
        if let Some(hoped_for) = hoped_for {
            self.unlist_link(hoped_for, id);
        }
        if believed.newer.is_some() {
            self.send_frame(id, &Frame::Confirm { session: 0, verified: false, yours: believed.newer });
            self.disconnect_link(id, DisconnectReason::Stale, LeaveReason::Closed);
            return;
        }
        let peer = believed.peer;
        // A peer that restarted does not profit from what its earlier run has proven.
        let goes_on =
            self.session_of(peer).is_some_and(|current| current.incarnation >= believed.incarnation);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.proven = true;
        known.links.push(id);
        let port = known.record.record().port;
        let address = if dialled { address } else { SocketAddr::new(address.ip(), port) };
        known.heard = Some(Heard { address, interface, at: now });
        let session = if goes_on { known.session } else { known.session + 1 };
        let verified = goes_on && known.ours;
        let links = &known.links;
        let spare = (links.len() > LINKS_PER_PEER)
            .then(|| links.iter().copied().find(|other| *other != id && known.link != Some(*other)))
            .flatten();
        if let Some(spare) = spare {
            self.drop_link(spare);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.peer = Some(peer);
            if let Some(target) = link.target.and_then(|target| self.targets.get_mut(&target)) {
                target.peer = Some(peer);
            }
        }
        self.send_frame(id, &Frame::Confirm { session, verified, yours: None });
        self.set_timer(TimerKey::Link(id), self.config.handshake_timeout);
    }

    fn refuse_handshake(&mut self, id: LinkId) {
        self.stats.handshakes_failed += 1;
        self.drop_link(id);
    }

    /// Checks the record in a handshake payload against the key that the handshake proved, and makes sure that
    /// its subject is in the table unless the record is older than what is known of it.
    fn believe_hello(&mut self, hello: &Hello, remote_static: &[u8; 32]) -> Option<Believed> {
        let known_steps = hello.steps.len() <= MAX_STEPS
            && hello.steps.iter().all(|name| name == "ping" || Step::valid_name(name));
        let unverified = UnverifiedRecord::parse(&hello.record).ok()?;
        let record = unverified.record();
        let (peer, incarnation) = (record.peer, record.incarnation);
        if !known_steps
            || record.link_key != *remote_static
            || record.network != self.config.network.tag()
            || record.kind != RecordKind::Alive
            || peer == self.identity.peer_id()
        {
            return None;
        }
        if self.accept_record(&hello.record, Duration::ZERO, Origin::Link(peer)) == Accepted::No {
            unverified.verify().ok()?;
        }
        let held = self.peers.get(&peer).map(|known| &known.record);
        let floor = self.floors.get(&peer).filter(|floor| floor.outranks(incarnation));
        let newer = held
            .filter(|held| held.record().incarnation > incarnation)
            .or(floor.map(|floor| &floor.record))
            .map(|record| record.bytes().to_vec());
        // A full table has no room for it.
        (newer.is_some() || held.is_some()).then_some(Believed { peer, incarnation, newer })
    }

    pub(super) fn met_other_version(&mut self, address: SocketAddr, version: u8) {
        if self.incompatible_seen.contains(&address) || !self.strangers.may_be_reported(self.now) {
            return;
        }
        if self.incompatible_seen.len() >= MAX_INCOMPATIBLE {
            self.incompatible_seen.pop_front();
        }
        self.incompatible_seen.push_back(address);
        if self.incompatible.len() < MAX_INCOMPATIBLE {
            self.incompatible.push_back((address, version));
            self.outputs.notify(Slot::Incompatible);
        }
    }

    // ---- One link per pair ----

    /// A frame came through: the peer has authenticated us as well. From here on the link competes.
    pub(super) fn confirm_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Open { confirmed, .. } = &mut link.stage else { return };
        *confirmed = true;
        let target = link.target;
        let Some(peer) = link.peer else { return };
        if let Some(target) = target {
            self.target_answered(target, peer);
        }
        self.set_timer(TimerKey::Link(id), self.config.ping_after);
        let current = self.peers.get(&peer).and_then(|known| known.link);
        match current {
            None if self.connected >= self.config.max_links => {
                self.hold_off(peer);
                self.disconnect_link(id, DisconnectReason::Full, LeaveReason::Closed);
            }
            None => self.use_link(peer, id),
            Some(current) if current == id => {}
            Some(current) => self.compete(peer, current, id),
        }
        self.cancel_dials(peer);
    }

    /// Two confirmed links to one peer: the order is the same on both sides, but only the side with the smaller id
    /// acts on it, so that the two can never close both.
    fn compete(&mut self, peer: PeerId, current: LinkId, newcomer: LinkId) {
        self.stats.links_duplicate += 1;
        let decides = self.identity.peer_id() < peer;
        let rank = |id: LinkId| self.links.get(&id).map(|link| link.rank(decides));
        let (winner, loser) =
            if rank(newcomer) > rank(current) { (newcomer, current) } else { (current, newcomer) };
        if winner == newcomer {
            self.use_link(peer, newcomer);
        }
        if !decides {
            return;
        }
        let keep = self.links.get(&winner).and_then(|link| link.session()).map(|session| session.transcript);
        let Some(keep) = keep else { return };
        self.send_frame(loser, &Frame::Disconnect(DisconnectReason::Duplicate { keep }));
        if let Some(link) = self.links.get_mut(&loser) {
            let Some(session) = link.session().cloned() else { return };
            link.stage = Stage::Draining { session };
        }
        self.set_timer(TimerKey::Link(loser), DRAIN);
    }

    /// The peer with the smaller id gives this link up for another. If that other is gone here, it is told so, and
    /// this one stays.
    pub(super) fn give_way(&mut self, id: LinkId, keep: [u8; 32]) {
        let Some(peer) = self.links.get(&id).and_then(|link| link.peer) else { return };
        let survivor = self.peers.get(&peer).and_then(|known| {
            known.links.iter().copied().find(|other| {
                *other != id
                    && self
                        .links
                        .get(other)
                        .is_some_and(|link| matches!(&link.stage, Stage::Open { session, .. } if session.transcript == keep))
            })
        });
        let Some(survivor) = survivor else {
            self.send_frame(id, &Frame::Missing { keep });
            return;
        };
        let mut waiting = match self.links.get_mut(&id) {
            Some(link) => core::mem::take(&mut link.queue),
            None => return,
        };
        if let Some(link) = self.links.get_mut(&survivor) {
            link.queue.adopt(&mut waiting);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.queue = waiting;
        }
        self.touched.insert(survivor);
        if self.peers.get(&peer).is_some_and(|known| known.link == Some(id)) {
            self.use_link(peer, survivor);
        }
        self.finish_link(id, LeaveReason::Closed, true);
    }

    /// The link that we wanted to keep is not there at the other side: the one that we gave up stays.
    pub(super) fn keep_after_all(&mut self, id: LinkId, missing: [u8; 32]) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Draining { session, .. } = &link.stage else { return };
        link.stage = Stage::Open { session: session.clone(), since: now, confirmed: true };
        let Some(peer) = link.peer else { return };
        self.set_timer(TimerKey::Link(id), self.config.ping_after);
        let dead = self.peers.get(&peer).and_then(|known| known.link).filter(|other| {
            let session = self.links.get(other).and_then(|link| link.session());
            session.is_some_and(|session| session.transcript == missing)
        });
        if dead.is_some() || self.peers.get(&peer).is_some_and(|known| known.link.is_none()) {
            self.use_link(peer, id);
        }
        if let Some(dead) = dead {
            self.drop_link(dead);
        }
        let used = self.peers.get(&peer).and_then(|known| known.link);
        if let Some(other) = used.filter(|other| *other != id) {
            self.compete(peer, other, id);
        }
    }

    /// What the link that is used for a peer has established.
    pub(super) fn session_of(&self, peer: PeerId) -> Option<&Session> {
        let link = self.peers.get(&peer)?.link?;
        self.links.get(&link)?.session()
    }

    /// Dials to a peer that has a link now and that never came to a handshake's end are of no use any more.
    fn cancel_dials(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get(&peer) else { return };
        if known.link.is_none() {
            return;
        }
        self.timers.cancel(TimerKey::Dial(peer));
        let pending: Vec<LinkId> = known
            .links
            .iter()
            .copied()
            .filter(|id| {
                self.links.get(id).is_some_and(|link| {
                    link.dialled && matches!(link.stage, Stage::Dialling | Stage::Handshaking { .. })
                })
            })
            .collect();
        for id in pending {
            self.drop_link(id);
        }
    }

    // ---- Output ----

    /// Queues a frame that must arrive. If too much waits already the link is beyond help and is closed.
    pub(super) fn send_frame(&mut self, id: LinkId, frame: &Frame) {
        if !self.try_send_frame(id, frame, self.config.max_queued) {
            tracing::debug!(link = %id, "link closed: too much waits for it");
            self.drop_link(id);
        }
    }

    /// Queues an answer to something that the peer asked for. It is dropped when the peer asks faster than it
    /// takes answers.
    pub(super) fn send_answer(&mut self, id: LinkId, frame: &Frame) {
        if !self.try_send_frame(id, frame, self.config.max_queued / 2) {
            self.stats.frames_dropped += 1;
        }
    }

    fn try_send_frame(&mut self, id: LinkId, frame: &Frame, limit: usize) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return true };
        self.touched.insert(id);
        link.queue.push(frame, limit)
    }

    /// Queues a frame on the link that a peer has now, if any; says whether it has one.
    pub(super) fn send_to_peer(&mut self, peer: PeerId, frame: &Frame) -> bool {
        let Some(link) = self.peers.get(&peer).and_then(|known| known.link) else { return false };
        self.send_frame(link, frame);
        true
    }

    pub(super) fn link_writable(&mut self, id: LinkId, budget: usize) {
        if let Some(link) = self.links.get_mut(&id) {
            link.queue.set_budget(budget);
            self.touched.insert(id);
        }
    }

    /// Moves what may go on every link that was touched.
    pub(super) fn pump_links(&mut self) {
        while let Some(id) = self.touched.pop_first() {
            let Some(link) = self.links.get_mut(&id) else { continue };
            if !matches!(link.stage, Stage::Open { .. } | Stage::Draining { .. }) {
                continue;
            }
            let blocks = link.queue.pump();
            if !link.queue.outbox.is_empty() {
                self.outputs.link_ready(id);
            }
            for block in blocks {
                self.stats.blocks_sent += 1;
                self.outputs.action(Action::SendBlock { link: id, block });
            }
        }
    }

    // ---- Time ----

    pub(super) fn link_due(&mut self, id: LinkId) {
        let now = self.now;
        let (ping_after, lost_after) = (self.config.ping_after, self.config.lost_after);
        let handshake_timeout = self.config.handshake_timeout;
        let Some(link) = self.links.get_mut(&id) else { return };
        match &link.stage {
            Stage::Dialling => {
                self.stats.dials_failed += 1;
                self.drop_link(id);
            }
            Stage::Handshaking { since, .. } => {
                tracing::debug!(link = %id, took = ?now.since(*since), "handshake timed out");
                self.refuse_handshake(id);
            }
            Stage::Open { since, confirmed: false, .. } => {
                let left = handshake_timeout.saturating_sub(now.since(*since));
                if left.is_zero() {
                    self.stats.handshakes_failed += 1;
                    self.drop_link(id);
                } else {
                    self.set_timer(TimerKey::Link(id), left);
                }
            }
            Stage::Open { confirmed: true, .. } => {
                if now.since(link.last_heard) >= lost_after {
                    self.stats.links_lost += 1;
                    self.drop_link(id);
                    return;
                }
                let silent_since = link.last_heard.max(link.last_ping);
                if now.since(silent_since) >= ping_after {
                    self.ping(id);
                }
                self.schedule_liveness(id);
            }
            Stage::Draining { .. } => self.finish_link(id, LeaveReason::Closed, true),
        }
    }

    fn ping(&mut self, id: LinkId) {
        let nonce = self.behaviour.next_u64();
        let now = self.now;
        if let Some(link) = self.links.get_mut(&id) {
            link.last_ping = now;
        }
        // A link that takes nothing any more shows its silence; a ping more would not help.
        self.send_answer(id, &Frame::Ping { nonce });
    }

    fn schedule_liveness(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let ping_at = link.last_heard.max(link.last_ping) + self.config.ping_after;
        let lost_at = link.last_heard + self.config.lost_after;
        let delay = ping_at.min(lost_at).since(self.now);
        self.set_timer(TimerKey::Link(id), delay);
    }

    /// We were stopped ourselves, so silence proves nothing: every link gets time to be heard again.
    pub(super) fn grant_grace(&mut self) {
        let heard = crate::Timestamp::from_nanos(
            self.now.as_nanos().saturating_sub(self.config.ping_after.as_nanos() as u64),
        );
        for link in self.links.values_mut() {
            link.last_heard = link.last_heard.max(heard);
        }
    }

    /// The host slept: a link that does not answer a ping within the time of one ping and a half is lost.
    pub(super) fn doubt_links(&mut self) {
        let patience = self.config.ping_after * 3 / 2;
        let silence = self.config.lost_after.saturating_sub(patience);
        let heard =
            crate::Timestamp::from_nanos(self.now.as_nanos().saturating_sub(silence.as_nanos() as u64));
        let open: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.is_confirmed()).map(|(&id, _)| id).collect();
        for id in open {
            if let Some(link) = self.links.get_mut(&id) {
                link.last_heard = heard;
            }
            self.ping(id);
            self.schedule_liveness(id);
        }
    }

    // ---- Ending ----

    /// Tells the peer why, then closes the link.
    pub(super) fn disconnect_link(&mut self, id: LinkId, reason: DisconnectReason, leave: LeaveReason) {
        self.send_frame(id, &Frame::Disconnect(reason));
        self.finish_link(id, leave, true);
    }

    /// Sends the record that ends this run on a link and closes it.
    pub(super) fn say_goodbye(&mut self, id: LinkId) {
        let gone = AgedRecord { age_secs: 0, bytes: self.own.gone().bytes().to_vec() };
        self.send_frame(id, &Frame::Records(alloc::vec![gone]));
        self.disconnect_link(id, DisconnectReason::Leaving, LeaveReason::Closed);
    }

    /// Closes a link without a word; what was decided to be sent still goes out.
    pub(super) fn close_link(&mut self, id: LinkId, leave: LeaveReason) {
        self.finish_link(id, leave, true);
    }

    /// Drops a link without a word.
    pub(super) fn drop_link(&mut self, id: LinkId) {
        self.finish_link(id, LeaveReason::Lost, false);
    }

    /// Neither side of a pair that was parted on purpose redials at once.
    pub(super) fn hold_off(&mut self, peer: PeerId) {
        let hold = self.behaviour.between(HOLD_OFF, HOLD_OFF * 2);
        let until = self.now + hold;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.redial.hold_until = until;
        }
        self.timers.cancel(TimerKey::Dial(peer));
    }

    /// Closes a link. With `flush`, everything that waits is given out first, as output of the action itself.
    pub(super) fn finish_link(&mut self, id: LinkId, leave: LeaveReason, flush: bool) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if flush {
            link.queue.flush();
            let raw = core::mem::take(&mut link.queue.raw);
            let frames = core::mem::take(&mut link.queue.outbox);
            self.outputs.action(Action::Finish { link: id, raw, frames });
        } else {
            self.outputs.action(Action::Close { link: id });
        }
        self.forget_link(id, leave);
    }

    /// Removes a link that is over.
    pub(super) fn forget_link(&mut self, id: LinkId, leave: LeaveReason) {
        let Some(link) = self.links.remove(&id) else { return };
        self.timers.cancel(TimerKey::Link(id));
        self.half_open.remove(&id);
        self.touched.remove(&id);
        if matches!(link.stage, Stage::Dialling) {
            self.dialling -= 1;
        }
        if let Some(target) = link.target {
            self.target_lost(target, link.is_confirmed());
        }
        if let Some(peer) = link.peer {
            self.unlist_link(peer, id);
            self.link_gone(peer, id, leave);
        }
    }

    fn unlist_link(&mut self, peer: PeerId, id: LinkId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.links.retain(|other| *other != id);
        }
    }
}
