//! Who is dialled, when, and where.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::{InterfaceId, LinkId};
use crate::marks::mark;
use crate::output::Action;
use crate::planted::planted;
use crate::timers::TimerKey;

use super::Engine;
use super::discovery::{interface_of, is_near};
use super::link::{Link, LinkQueue, Stage};
use super::peer::{Heard, Peer, Redial};

/// A peer that was heard this recently is at its address: a dial that has no answer is repeated soon.
const LIVE: Duration = Duration::from_secs(5);

/// Addresses given by hand.
pub(super) const MAX_TARGETS: usize = 64;

/// How often it is looked whether an address given by hand, whose peer is linked by another way, is needed.
const CHECK_TARGET: Duration = Duration::from_secs(2);

/// Two dials to one peer are at least this far apart, however often it is heard.
const SHORTEST_GAP: Duration = Duration::from_millis(250);

/// Addresses of a peer that are remembered because another answered there; beyond it the oldest goes.
const MAX_MISTAKEN: usize = 16;

/// Between two dials of a race to the addresses of one peer.
const STAGGER: Duration = Duration::from_millis(30);

/// Who could not be dialled, since there are dials or links enough, is looked at again so much later.
const NO_ROOM_MILLIS: u64 = 500;

/// Dials in flight, to all peers together.
pub(super) const MAX_DIALLING: usize = 64;

/// So many may be in flight even if few links are still free: dead addresses must not keep out the live ones.
const FEWEST_DIALLING: usize = 16;

/// A dial that the driver has not answered by then is given up.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_millis(1500);

/// An address given by hand.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) redial: Redial,
    /// The dial or link that serves it.
    pub(crate) link: Option<LinkId>,
    /// Who was there last. While that peer has any link at all the address is not dialled.
    pub(crate) peer: Option<PeerId>,
}

/// Why an address is not dialled. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The limit of addresses given by hand is reached.
    #[error("64 addresses are being dialled already")]
    TooMany,
    /// No peer can be there.
    #[error("{0} is not an address that a peer can have")]
    Unusable(SocketAddr),
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
    /// It is blocked.
    #[error("{0} is blocked")]
    Blocked(SocketAddr),
}

impl Engine {
    /// Dials an address given by hand, again and again until a peer answers there, and again when that link is
    /// lost. Giving it twice does nothing more.
    ///
    /// # Errors
    ///
    /// See [`DialError`]; nothing changed.
    pub fn dial(&mut self, now: crate::Timestamp, address: SocketAddr) -> Result<(), DialError> {
        self.advance(now);
        if self.leaving.is_some() {
            return Err(DialError::Leaving);
        }
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(DialError::Unusable(address));
        }
        if self.decisions.blocks_address(address.ip()) {
            return Err(DialError::Blocked(address));
        }
        if self.targets.contains_key(&address) {
            return Ok(());
        }
        if self.targets.len() >= MAX_TARGETS {
            return Err(DialError::TooMany);
        }
        let redial = Redial::new(self.now);
        self.targets.insert(address, Target { redial, link: None, peer: None });
        self.target_due(address);
        self.pump_links();
        Ok(())
    }

    /// The address by hand is due for a try.
    pub(super) fn target_due(&mut self, address: SocketAddr) {
        let useless = self.is_target_linked(address)
            || self.is_superseded()
            || self.decisions.blocks_address(address.ip());
        let Some(target) = self.targets.get_mut(&address) else { return };
        if target.link.is_some() || self.leaving.is_some() {
            return;
        }
        if useless {
            mark!(self, TargetLinked);
            self.set_timer(TimerKey::Target(address), CHECK_TARGET);
            return;
        }
        let delay = target.redial.next_delay(self.now, false);
        let link = self.start_dial(address, None, None, Some(address));
        if let Some(target) = self.targets.get_mut(&address) {
            target.link = Some(link);
        }
        self.set_timer(TimerKey::Target(address), delay);
    }

    /// A peer answered at an address by hand.
    pub(super) fn target_answered(&mut self, address: SocketAddr, peer: PeerId) {
        self.timers.cancel(TimerKey::Target(address));
        if let Some(target) = self.targets.get_mut(&address) {
            target.peer = Some(peer);
        }
    }

    /// The dial or link that served an address by hand is over.
    pub(super) fn target_lost(&mut self, address: SocketAddr, was_up: bool) {
        let now = self.now;
        let linked = self.is_target_linked(address);
        let leaving = self.leaving.is_some();
        let Some(target) = self.targets.get_mut(&address) else { return };
        target.link = None;
        if leaving {
            return;
        }
        if linked {
            self.set_timer(TimerKey::Target(address), CHECK_TARGET);
            return;
        }
        if was_up {
            mark!(self, TargetLost);
            target.redial.reset(now);
        }
        if !self.timers.is_set(TimerKey::Target(address)) {
            let delay = target.redial.next_delay(now, false);
            self.set_timer(TimerKey::Target(address), delay);
        }
    }

    fn is_target_linked(&self, address: SocketAddr) -> bool {
        let peer = self.targets.get(&address).and_then(|target| target.peer);
        peer.and_then(|peer| self.peers.get(&peer)).is_some_and(|known| known.link.is_some())
    }

    /// Dials a peer just heard. A new instance is good news: whatever was tried before starts over.
    pub(super) fn dial_heard(&mut self, peer: PeerId, is_new: bool) {
        let now = self.now;
        if let Some(known) = self.peers.get_mut(&peer)
            && is_new
        {
            known.redial.reset(now);
        }
        if !self.courtesy(peer).is_zero() {
            mark!(self, DialCourtesy);
        }
        self.dial_newly_heard(peer);
        self.seek_nearer(peer);
    }

    /// Dials a peer that asks for it, since it cannot dial us.
    pub(super) fn dial_asked(&mut self, peer: PeerId) {
        mark!(self, AskedToDial);
        let now = self.now;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.asked_us_to_dial = Some(now);
            known.redial.reset(now);
        }
        self.consider_dial(peer, Duration::ZERO);
    }

    /// Dials a peer of which something was heard, unless it dials us first.
    pub(super) fn dial_newly_heard(&mut self, peer: PeerId) {
        let delay = self.courtesy(peer) + self.spread();
        self.consider_dial(peer, delay);
    }

    /// How long the side with the larger id gives the other, so that one link and not two is the rule.
    fn courtesy(&self, peer: PeerId) -> Duration {
        if self.identity.peer_id() > peer { self.config.dial_courtesy } else { Duration::ZERO }
    }

    /// Sees to it that a peer that wants a link will be dialled after `delay` at the latest.
    pub(super) fn consider_dial(&mut self, peer: PeerId, delay: Duration) {
        let lost =
            planted!(self, NeverRedial) && self.peers.get(&peer).is_some_and(|known| known.session > 0);
        if self.wants_link(peer) && !lost {
            let known = self.peers.get(&peer);
            let hold = known.map_or(self.now, |known| known.redial.hold_until);
            let in_flight = known.is_some_and(|known| !known.links.is_empty());
            // A dial that was just started has half a second to succeed.
            let delay = if in_flight { delay.max(Duration::from_millis(500)) } else { delay };
            let earliest = known.map_or(self.now, |known| known.redial.not_before);
            let at = (self.now + delay.max(Duration::from_nanos(1))).max(hold).max(earliest);
            self.timers.set_earlier(TimerKey::Dial(peer), at);
        }
    }

    /// Whether a peer has no link to the incarnation of it that is known, or one that carries nothing.
    pub(super) fn wants_link(&self, peer: PeerId) -> bool {
        let Some(known) = self.peers.get(&peer) else { return false };
        let linked = known.link.and_then(|link| self.links.get(&link)?.session());
        let current = linked.is_some_and(|session| session.incarnation >= known.incarnation());
        let able = self.leaving.is_none() && !self.is_superseded() && !self.interfaces.is_empty();
        let sought = known.life.stalled || (!current && self.is_sought(peer));
        able && sought && self.config.trust.allows(&peer)
    }

    /// A peer is due for a dial.
    pub(super) fn dial_due(&mut self, peer: PeerId) {
        if !self.wants_link(peer) {
            return;
        }
        let now = self.now;
        let max = self.config.max_dials;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if now < known.redial.hold_until {
            mark!(self, DialHeldOff);
            let hold = known.redial.hold_until;
            self.timers.set(TimerKey::Dial(peer), hold);
            return;
        }
        if now.since(known.redial.since) >= Duration::from_secs(60) {
            mark!(self, RedialLate);
        }
        // No more dials at a time than there could be links, or a crowd would drown itself.
        let most = self.config.max_links.saturating_sub(self.connected).clamp(FEWEST_DIALLING, MAX_DIALLING);
        let turn = known.redial.next_address;
        let few = known.links.len() < max && self.dialling < most;
        // A link that takes the place of another needs no place of its own.
        let replaces = known.link.is_some();
        let place = replaces || self.has_place_for(peer) || self.could_have_place(peer);
        if !few || !place || !self.may_dial() {
            mark!(self, DialNoRoom);
            let delay = self.jittered(NO_ROOM_MILLIS);
            self.set_timer(TimerKey::Dial(peer), delay);
            return;
        }
        let addresses = self.addresses_to_dial(peer);
        let dialled = addresses.get(turn).copied();
        if let Some((address, interface)) = dialled {
            let link = self.start_dial(address, interface, Some(peer), None);
            if let Some(known) = self.peers.get_mut(&peer) {
                known.links.push(link);
                known.note_dial(link, address, interface, now);
            }
        }
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if dialled.is_some() && turn + 1 < addresses.len() {
            mark!(self, DialRaced);
            known.redial.next_address = turn + 1;
            self.set_timer(TimerKey::Dial(peer), STAGGER);
            return;
        }
        known.redial.next_address = 0;
        known.redial.not_before = now + SHORTEST_GAP;
        let live = known.heard.iter().any(|heard| now.since(heard.at) < LIVE);
        let delay = known.redial.next_delay(now, live);
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let delay = self.jittered(millis);
        self.set_timer(TimerKey::Dial(peer), delay);
    }

    /// Where a peer may be, in the order of trying.
    pub(super) fn addresses_to_dial(&self, peer: PeerId) -> Vec<(SocketAddr, Option<InterfaceId>)> {
        let Some(known) = self.peers.get(&peer) else { return Vec::new() };
        let (own_port, own_addrs) = (self.config.private_port, &self.own.record().record().addrs);
        let mut addresses = known.addresses();
        // An address of ours leads to ourselves, whoever announced it; one beyond our subnets is dialled only if its
        // peer was met there beyond them, or says that it is there for all, and we look so far. Where it was heard on a
        // network that we have left somebody else may be.
        addresses.retain(|(address, _)| address.port() != own_port || !own_addrs.contains(&address.ip()));
        let anywhere = planted!(self, AimsAnywhere);
        let may_be_there =
            |heard: &Heard| !heard.near || interface_of(&self.interfaces, heard.address).is_some();
        addresses.retain(|(address, _)| {
            known.heard.iter().any(|heard| heard.address == *address && may_be_there(heard))
                || anywhere
                || is_near(&self.interfaces, address.ip())
                || self.is_said_from_afar(known, *address)
        });
        addresses.retain(|(address, _)| !self.decisions.blocks_address(address.ip()));
        // Whoever was heard on another host has our address from a bridge or tunnel that has one like it there.
        let is_ours = |ip: IpAddr| own_addrs.contains(&ip) || ip.is_loopback();
        if known.heard.iter().any(|heard| !is_ours(heard.address.ip())) {
            addresses.retain(|(address, heard)| heard.is_some() || !is_ours(address.ip()));
        }
        // Where another peer answers now, this one is not: its host has another identity, or its address moved on.
        let answers = |other: &Peer| other.link.and(other.heard.first()).map(|heard| heard.address);
        addresses.retain(|(address, _)| {
            !self.peers.iter().any(|(id, other)| *id != peer && answers(other) == Some(*address))
        });
        let is_linked = |other: &PeerId| self.peers.get(other).is_some_and(|other| other.link.is_some());
        addresses.retain(|(address, _)| {
            !known.mistaken.iter().any(|(there, other)| there == address && is_linked(other))
        });
        if self.config.servers > 0 {
            addresses.sort_by_key(|(address, _)| self.scope(known, *address));
        }
        addresses
    }

    /// Another peer answered where this one was hoped for.
    pub(super) fn found_another(&mut self, hoped_for: PeerId, address: SocketAddr, found: PeerId) {
        let Some(known) = self.peers.get_mut(&hoped_for).filter(|_| hoped_for != found) else { return };
        mark!(self, AnotherAnswered);
        known.mistaken.retain(|(there, _)| *there != address);
        if known.mistaken.len() >= MAX_MISTAKEN {
            known.mistaken.pop_front();
        }
        known.mistaken.push_back((address, found));
    }

    pub(super) fn start_dial(
        &mut self,
        address: SocketAddr,
        interface: Option<InterfaceId>,
        peer: Option<PeerId>,
        target: Option<SocketAddr>,
    ) -> LinkId {
        self.next_dial += 1;
        self.dialling += 1;
        self.stats.dials_started += 1;
        let dial = self.next_dial;
        let link = self.new_link(Link {
            stage: Stage::Dialling,
            address,
            interface,
            dialled: true,
            relayed: false,
            peer,
            target,
            dial,
            last_heard: self.now,
            last_ping: self.now,
            ended_by: None,
            queue: LinkQueue::default(),
        });
        self.set_timer(TimerKey::Link(link), DIAL_TIMEOUT);
        self.outputs.action(Action::Dial { link, interface, address });
        link
    }

    /// Peers without a link are dialled soon: the network is new.
    pub(super) fn redial_everyone(&mut self) {
        let now = self.now;
        let peers: Vec<PeerId> =
            self.peers.iter().filter(|(_, peer)| peer.link.is_none()).map(|(&id, _)| id).collect();
        self.tend_soon();
        self.seek_nearer_all();
        for id in peers {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.redial.reset(now);
            }
            let delay = self.behaviour.between(Duration::ZERO, Duration::from_millis(100));
            self.consider_dial(id, delay);
        }
        let targets: Vec<SocketAddr> = self.targets.keys().copied().collect();
        for address in targets {
            if let Some(target) = self.targets.get_mut(&address).filter(|target| target.link.is_none()) {
                target.redial.reset(now);
                self.timers.set_earlier(TimerKey::Target(address), now + Duration::from_millis(100));
            }
        }
    }
}
