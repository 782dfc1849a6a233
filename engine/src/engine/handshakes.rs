//! From the first byte of a stream to a peer that has proven its key.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::link::{Completed, HandshakeError, HandshakeStep, MAX_HELLO};
use crate::marks::mark;
use crate::output::Action;
use crate::planted::planted;
use crate::policy::{MAX_STEPS, Step};
use crate::record::{Instance, RecordKind, UnverifiedRecord};
use crate::reject::RejectReason;
use crate::timers::TimerKey;
use crate::wire::codec::{decode, encode};
use crate::wire::{DisconnectReason, Frame, Hello};

use super::Engine;
use super::decisions::Rejection;
use super::discovery::{at_port, interface_of};
use super::floors::Floor;
use super::link::{Session, Stage};
use super::outputs::Slot;
use super::peer::Heard;
use super::peers::{Accepted, Origin};
use super::why::DialOutcome;

/// Links to one peer, whatever their stage. Beyond it the oldest that is not used is dropped.
pub(super) const LINKS_PER_PEER: usize = 8;

/// Places whose version we do not speak that are told to the application.
pub(super) const MAX_INCOMPATIBLE: usize = 32;

/// Who a handshake has proven.
struct Believed {
    peer: PeerId,
    /// The incarnation that it presented, and which run of it that is.
    incarnation: u64,
    instance: Instance,
    /// A record of its own that outranks the one that it presented: it lost its memory.
    newer: Option<Vec<u8>>,
    /// Why it is not let in, whatever it could still show.
    turned_away: Option<RejectReason>,
}

impl Engine {
    pub(super) fn receive_handshake(&mut self, id: LinkId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.last_heard = self.now;
        let hello = encode(&Hello {
            record: self.own.record().bytes().to_vec(),
            steps: self.config.trust.steps.iter().map(|step| step.name().to_string()).collect(),
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
            mark!(self, HandshakeReplayed);
            self.drop_link(id);
            return;
        }
        match result {
            Ok(HandshakeStep::Pending) => {}
            Ok(HandshakeStep::Done(completed)) => self.authenticate(id, *completed),
            Err(error) => {
                self.stats.handshakes_failed += 1;
                self.dial_ended(
                    self.links.get(&id).and_then(|link| link.peer),
                    id,
                    DialOutcome::HandshakeFailed,
                );
                mark!(self, HandshakeBroken);
                if let HandshakeError::Version(version) = error {
                    self.met_other_version(address, version);
                }
                // What was answered, our own version at least, still goes out.
                self.finish_link(id, LeaveReason::Broken, true);
            }
        }
    }

    /// The peer proved a key: it must be the one that its record names.
    fn authenticate(&mut self, id: LinkId, completed: Completed) {
        let Ok(hello) = decode::<Hello>(&completed.hello, MAX_HELLO) else {
            self.refuse_handshake(id);
            return;
        };
        let Some(address) = self.links.get(&id).map(|link| link.address.ip()) else { return };
        let Some(believed) = self.believe_hello(&hello, &completed.remote_static, address) else {
            mark!(self, HelloRefused);
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
            instance: believed.instance,
            own_incarnation: self.own.incarnation(),
            steps: hello.steps,
        };
        link.stage = Stage::Open { session, since: now, confirmed: false };
        link.last_heard = now;
        self.outputs.action(Action::LinkReady { link: id, codec: Box::new(completed.codec) });
        if let Some(hoped_for) = hoped_for {
            self.unlist_link(hoped_for, id);
            let found = if hoped_for == believed.peer {
                DialOutcome::Linked
            } else {
                DialOutcome::AnotherPeer(believed.peer)
            };
            self.dial_ended(Some(hoped_for), id, found);
        }
        if let Some(reason) = believed.turned_away {
            mark!(self, TurnedAway);
            self.stats.links_turned_away += 1;
            let now = self.now;
            if let Some(known) = self.peers.get_mut(&believed.peer).filter(|known| known.rejection.is_none())
            {
                known.rejection = Some(Rejection { reason, by_us: true, at: now, in_a_row: 0 });
                self.outputs.notify(Slot::Peer(believed.peer));
            }
            self.send_frame(id, &Frame::Confirm { session: 0, verified: false, yours: None });
            let leave = LeaveReason::Rejected(reason);
            self.disconnect_link(id, DisconnectReason::Rejected(reason), leave);
            return;
        }
        if believed.newer.is_some() {
            mark!(self, StaleHelloShown);
            self.send_frame(id, &Frame::Confirm { session: 0, verified: false, yours: believed.newer });
            self.disconnect_link(id, DisconnectReason::Stale, LeaveReason::Stale);
            return;
        }
        let peer = believed.peer;
        if let Some(hoped_for) = hoped_for {
            self.found_another(hoped_for, address, peer);
            if hoped_for != peer && self.is_linked_well(peer, &believed) {
                // It was not looked for. Without our Confirm the link counts for nobody.
                mark!(self, AnotherLinkedAlready);
                self.drop_link(id);
                return;
            }
        }
        // A peer that restarted does not profit from what its earlier run has proven.
        let goes_on =
            self.session_of(peer).is_some_and(|current| current.incarnation >= believed.incarnation);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.proven = true;
        known.links.push(id);
        self.collection.proved(&peer, known.introducer.take());
        let port = known.record.record().port;
        let address = if dialled { address } else { at_port(address, port, interface) };
        self.discovery.note_speaker(known);
        let near = interface_of(&self.interfaces, address).is_some();
        known.note_heard(Heard { address, interface, at: now, beacons: 0, near });
        let session = if goes_on { known.session } else { known.session + 1 };
        let verified = goes_on && known.ours;
        let links = &known.links;
        let spare = (links.len() > LINKS_PER_PEER)
            .then(|| links.iter().copied().find(|other| *other != id && known.link != Some(*other)))
            .flatten();
        if let Some(spare) = spare {
            mark!(self, SpareLinkDropped);
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

    /// Whether this run of a peer has a link that was heard not long ago.
    fn is_linked_well(&self, peer: PeerId, believed: &Believed) -> bool {
        let link = self.peers.get(&peer).and_then(|known| self.links.get(&known.link?));
        link.is_some_and(|link| {
            let same = link.session().is_some_and(|session| {
                (session.incarnation, session.instance) == (believed.incarnation, believed.instance)
            });
            same && self.now.since(link.last_heard) < self.config.ping_after * 2
        })
    }

    pub(super) fn refuse_handshake(&mut self, id: LinkId) {
        self.stats.handshakes_failed += 1;
        self.dial_ended(self.links.get(&id).and_then(|link| link.peer), id, DialOutcome::HandshakeFailed);
        self.drop_link(id);
    }

    /// Checks the record in a handshake payload against the key that the handshake proved, and makes sure that
    /// its subject is in the table unless the record is older than what is known of it.
    fn believe_hello(
        &mut self,
        hello: &Hello,
        remote_static: &[u8; 32],
        address: IpAddr,
    ) -> Option<Believed> {
        let known_steps =
            hello.steps.len() <= MAX_STEPS && hello.steps.iter().all(|name| Step::named(name).is_some());
        let unverified = UnverifiedRecord::parse(&hello.record).ok()?;
        let record = unverified.record();
        let (peer, incarnation, instance) = (record.peer, record.incarnation, record.instance);
        if !known_steps
            || (record.link_key != *remote_static && !planted!(self, AnyLinkKey))
            || record.network != self.config.network.tag()
            || record.kind != RecordKind::Alive
            || peer == self.identity.peer_id()
        {
            return None;
        }
        let accepted = self.accept_record(&hello.record, Duration::ZERO, Origin::Link(peer));
        if matches!(accepted, Accepted::Forged | Accepted::No) {
            unverified.clone().verify().ok()?;
        }
        let held = self.peers.get(&peer).map(|known| &known.record);
        let floor = self.floors.get(&peer).filter(|floor| floor.outranks(incarnation));
        let newer = held
            .filter(|held| held.record().incarnation > incarnation || unverified.rivals(held))
            .or(floor.map(Floor::record))
            .map(|record| record.bytes().to_vec());
        let turned_away = self.turned_away(&peer, address);
        // A full table has no room for it.
        let known = newer.is_some() || held.is_some() || turned_away.is_some();
        known.then_some(Believed { peer, incarnation, instance, newer, turned_away })
    }

    pub(super) fn met_other_version(&mut self, address: SocketAddr, version: u8) {
        if self.incompatible_seen.contains(&address) || !self.strangers.may_be_reported(self.now) {
            return;
        }
        if self.incompatible_seen.len() >= MAX_INCOMPATIBLE {
            self.incompatible_seen.pop_front();
        }
        mark!(self, OtherVersionMet);
        self.incompatible_seen.push_back(address);
        if self.incompatible.len() < MAX_INCOMPATIBLE {
            self.incompatible.push_back((address, version));
            self.outputs.notify(Slot::Incompatible);
        }
    }
}
