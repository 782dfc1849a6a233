//! Paths to peers: how near each is, and moving a pair that is linked to a nearer one when there is one.
//!
//! Who sees a nearer path dials by it. The new link then competes with the one in use as any two links of a pair do, and
//! being nearer it wins.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::{InterfaceId, LinkId};
use crate::marks::mark;
use crate::path::{Scope, is_global, site};
use crate::record::{PeerRecord, RecordClass, RecordKind, SignedRecord};
use crate::timers::TimerKey;

use super::Engine;
use super::discovery::is_near;
use super::link::Link;
use super::peer::Peer;
use super::redial::MAX_DIALLING;

/// From news of a nearer address to the dials: whoever the news came from may be about to dial itself.
const SOON_MILLIS: u64 = 200;

/// Peers of earlier runs that are dialled at once.
const MAX_REMEMBERED_DIALS: usize = 8;

/// From the first dials that came to nothing to the next; twice as long each time.
const AGAIN_MILLIS: u64 = 4000;
const LATEST_AGAIN_MILLIS: u64 = 300_000;

impl Engine {
    /// How far away the other end of a peer's link is.
    pub(super) fn link_scope(&self, id: LinkId) -> Option<Scope> {
        let link = self.links.get(&id)?;
        let known = link.peer.and_then(|peer| self.peers.get(&peer));
        Some(self.scope_of_link(link, known))
    }

    pub(super) fn scope_of_link(&self, link: &Link, peer: Option<&Peer>) -> Scope {
        match peer {
            _ if link.relayed => Scope::Relay,
            Some(peer) if link.dialled => self.scope(peer, link.address),
            _ => self.scope_of_ip(link.address.ip()),
        }
    }

    /// How far away a peer is at one of its addresses.
    pub(super) fn scope(&self, peer: &Peer, address: SocketAddr) -> Scope {
        let says = |class| {
            let mut records = peer.alive_records().filter(move |record| record.class == class);
            records.any(|record| record.port == address.port() && record.addrs.contains(&address.ip()))
        };
        let near = is_near(&self.interfaces, address.ip());
        // What a peer can be reached at from afar, and is none of its own addresses, is a relay's.
        if !near && says(RecordClass::Wide) && !says(RecordClass::Local) {
            return Scope::Relay;
        }
        self.scope_of_ip(address.ip())
    }

    fn scope_of_ip(&self, ip: IpAddr) -> Scope {
        if ip.is_loopback() || is_near(&self.interfaces, ip) {
            Scope::Link
        } else if self.is_in_our_site(ip) {
            Scope::Site
        } else {
            Scope::Global
        }
    }

    fn is_in_our_site(&self, ip: IpAddr) -> bool {
        let mut own = self.interfaces.iter().flat_map(|of| &of.addrs).map(|addr| site(addr.ip));
        site(ip).is_some_and(|theirs| own.any(|own| own == Some(theirs)))
    }

    /// Whether a peer says that it is at this address, and this node looks so far: only with
    /// [`Config::servers`](crate::Config::servers).
    pub(super) fn is_said_from_afar(&self, peer: &Peer, address: SocketAddr) -> bool {
        let mut said = peer.alive_records();
        self.config.servers > 0
            && (is_global(address.ip()) || self.is_in_our_site(address.ip()))
            && said.any(|record| record.port == address.port() && record.addrs.contains(&address.ip()))
    }

    /// Our addresses that others may reach us at from beyond our subnets.
    pub(super) fn addresses_from_afar(&self) -> Vec<IpAddr> {
        let addrs = self.interfaces.iter().flat_map(|of| &of.addrs).map(|addr| addr.ip);
        let mut far: Vec<IpAddr> = addrs.filter(|ip| is_global(*ip) || site(*ip).is_some()).collect();
        far.sort_by_key(|ip| (!is_global(*ip), *ip));
        far.dedup();
        far
    }

    /// Where a peer that has a link may be found again: where everybody beyond the LAN finds it, if it is so far away, else
    /// where it was heard.
    pub(super) fn address_to_remember(&self, peer: &Peer) -> Option<SocketAddr> {
        let scope = peer.link.and_then(|link| self.link_scope(link));
        let wide = peer.alive_records().find(|record| record.class == RecordClass::Wide);
        let said = wide.filter(|_| scope > Some(Scope::Site)).and_then(|record| {
            let ip = record.addrs.iter().find(|ip| is_global(**ip))?;
            Some(SocketAddr::new(*ip, record.port))
        });
        said.or_else(|| peer.heard.first().map(|heard| heard.address))
    }

    /// While nobody is trusted: dials those whom an earlier run met beyond the LAN, the best first. Calls by datagram do not
    /// get so far.
    pub(super) fn dial_remembered(&mut self) {
        if !self.trusted_links().is_empty() || self.is_superseded() {
            return;
        }
        let met = self.keeping.met().iter();
        let far =
            met.filter(|met| is_global(met.address.ip()) && !is_near(&self.interfaces, met.address.ip()));
        let unknown = far.filter(|met| !self.peers.contains_key(&met.peer));
        let dialled = |address| self.links.values().any(|link| link.dialled && link.address == address);
        let allowed = unknown.filter(|met| {
            !self.decisions.blocks_peer(&met.peer)
                && !self.decisions.blocks_address(met.address.ip())
                && !dialled(met.address)
        });
        let addresses: Vec<SocketAddr> = allowed.map(|met| met.address).take(MAX_REMEMBERED_DIALS).collect();
        for address in addresses {
            if self.dialling < MAX_DIALLING {
                mark!(self, RememberedDialled);
                self.start_dial(address, None, None, None);
            }
        }
    }

    // ---- Moving to a nearer path ----

    /// Something was heard of a linked peer, or of our own network, that may be a nearer path to it.
    pub(super) fn seek_nearer(&mut self, peer: PeerId) {
        if self.nearer_addresses(peer).is_empty() {
            return;
        }
        let delay = self.jittered(SOON_MILLIS);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.nearer_tries = 0;
        let at = (self.now + delay).max(known.redial.not_before);
        self.timers.set_earlier(TimerKey::Nearer(peer), at);
    }

    /// The same for everybody.
    pub(super) fn seek_nearer_all(&mut self) {
        let linked = self.peers.iter().filter(|(_, known)| known.link.is_some());
        let linked: Vec<PeerId> = linked.map(|(&id, _)| id).collect();
        for peer in linked {
            self.seek_nearer(peer);
        }
    }

    /// A linked peer is due for dials by nearer paths.
    pub(super) fn nearer_due(&mut self, peer: PeerId) {
        let addresses = self.nearer_addresses(peer);
        if addresses.is_empty() || self.leaving.is_some() || self.is_superseded() {
            return;
        }
        for (address, interface) in addresses {
            let Some(known) = self.peers.get(&peer) else { return };
            if known.links.len() >= self.config.max_dials || self.dialling >= MAX_DIALLING {
                break;
            }
            mark!(self, NearerDialled);
            let now = self.now;
            let link = self.start_dial(address, interface, Some(peer), None);
            if let Some(known) = self.peers.get_mut(&peer) {
                known.links.push(link);
                known.note_dial(link, address, interface, now);
            }
        }
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let again = AGAIN_MILLIS.saturating_mul(1 << known.nearer_tries.min(20)).min(LATEST_AGAIN_MILLIS);
        known.nearer_tries += 1;
        known.redial.not_before = self.now + Duration::from_secs(1);
        let delay = self.jittered(again);
        self.set_timer(TimerKey::Nearer(peer), delay);
    }

    /// The addresses of a linked peer that are nearer than the other end of its link, the nearest first.
    fn nearer_addresses(&self, peer: PeerId) -> Vec<(SocketAddr, Option<InterfaceId>)> {
        let Some(known) = self.peers.get(&peer) else { return Vec::new() };
        let Some(scope) = known.link.and_then(|link| self.link_scope(link)) else { return Vec::new() };
        if scope == Scope::Link {
            return Vec::new();
        }
        let mut addresses = self.addresses_to_dial(peer);
        addresses.retain(|(address, _)| self.scope(known, *address) < scope);
        addresses
    }
}

impl Peer {
    /// What its records say of it while it runs.
    pub(super) fn alive_records(&self) -> impl Iterator<Item = &PeerRecord> {
        let records = [Some(&self.record), self.beside.as_ref().map(|held| &held.record)];
        let records = records.into_iter().flatten().map(SignedRecord::record);
        records.filter(|record| record.kind == RecordKind::Alive)
    }
}
