//! Streams beyond the LAN: routers let them out and not in, and forget them; relays pass them on where they may.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{DialFailure, InterfaceId, LinkId, Timestamp};

use crate::stream_end::Side;
use crate::world::faults::FaultKind;
use crate::world::plan::Nat;
use crate::world::{Happening, World};

use super::Place;

/// What a stream has that leads beyond the LAN.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct Afar {
    /// The relay that passes it on, the node that has an address there, and that address' port.
    pub(in crate::world) relay: Option<(usize, usize, u16)>,
    /// Where it seems to come from, and on which interface it arrives.
    pub(in crate::world) source: IpAddr,
    pub(in crate::world) interface: Option<InterfaceId>,
    /// What both hosts' ways to the internet were when it began; with any other it is over.
    began: [Way; 2],
    /// When the last packet passed.
    last: Timestamp,
}

/// A host's network, how often its router forgot its streams, and how often the host went to another network.
type Way = (usize, u32, u32);

/// Where a dial beyond the LAN leads: a host, the process there, and what the stream is then.
pub(in crate::world) type Target = (usize, Option<usize>, Afar);

impl World {
    fn way(&self, host: usize) -> Option<Way> {
        let lan = self.online(host)?;
        Some((lan, self.wide.epochs[lan], self.hosts[host].travels))
    }

    /// Where a dial of an address beyond the LAN leads. It finds no way out, or nobody.
    pub(in crate::world) fn aim_afar(
        &self,
        node: usize,
        address: SocketAddr,
    ) -> Result<Option<Target>, DialFailure> {
        let host = self.nodes[node].host;
        let way = self.way(host).ok_or(DialFailure::Unreachable)?;
        let last = self.now;
        let at_port = |&other: &usize| self.nodes[other].port == address.port();
        let six = address.is_ipv6();
        if six && self.ipv6_of(host).is_none() {
            return Err(DialFailure::Unreachable);
        }
        let found = match self.owner_of(address.ip()) {
            Place::Host(there) if there < self.hosts.len() => {
                let public = self.hosts[there].public.as_ref().map(|(interface, _)| *interface);
                let source = if six { self.ipv6_of(host) } else { self.seen_from(host, there) };
                public.zip(self.way(there)).zip(source).map(|((own, other), source)| {
                    let process = self.hosts[there].nodes.iter().copied().find(at_port);
                    let interface = Some(own);
                    (there, process, Afar { relay: None, source, interface, began: [way, other], last })
                })
            }
            Place::Relay(relay) => {
                let at = Some((relay, address.port()));
                let node = self.wide.allocations.iter().position(|allocation| allocation.at == at);
                let source = self.seen_from(host, self.place_of_relay(relay));
                node.zip(source).and_then(|(node, source)| {
                    let there = self.nodes[node].host;
                    let other = self.way(there)?;
                    let relay = Some((relay, node, address.port()));
                    Some((
                        there,
                        Some(node),
                        Afar { relay, source, interface: None, began: [way, other], last },
                    ))
                })
            }
            Place::Host(_) | Place::Nobody => None,
        };
        Ok(found)
    }

    /// Whether a relay lets a stream through. Those that it does not are refused.
    pub(in crate::world) fn is_permitted(&mut self, afar: &Afar) -> bool {
        let Some((_, node, _)) = afar.relay else { return true };
        let permitted = self.wide.allocations[node].permits.contains(&afar.source);
        if !permitted {
            self.tally.count(FaultKind::NotPermitted);
        }
        permitted
    }

    /// Whether a host still is where it was when a stream of it began.
    pub(in crate::world) fn keeps_way(&self, afar: &Afar, side: Side, host: usize) -> bool {
        self.way(host) == Some(afar.began[side as usize])
    }

    /// How long a packet takes from one host to another beyond the LAN; `None` if it is lost.
    pub(in crate::world) fn passes_afar(
        &mut self,
        afar: &mut Afar,
        [dialler, acceptor]: [usize; 2],
        side: Side,
        bytes: usize,
    ) -> Option<Duration> {
        let ends = [(dialler, afar.began[0]), (acceptor, afar.began[1])];
        if ends.iter().any(|&(host, began)| self.way(host) != Some(began)) {
            return None;
        }
        if afar.relay.is_some_and(|(relay, ..)| self.wide.relays[relay] > 0) {
            return None;
        }
        let translated = |way: super::afar::Way| self.nat_of(way.0) != Nat::None;
        let forgets = self.plan.internet.as_ref().and_then(|internet| internet.mapping_ms);
        let silence = self.now.since(afar.last);
        if let Some(forgets) = forgets.filter(|_| afar.began.iter().any(|&way| translated(way)))
            && silence > Duration::from_millis(forgets)
        {
            // Nothing ever fits what was there when it began.
            afar.began[0].1 = u32::MAX;
            self.tally.count(FaultKind::MappingLost);
            return None;
        }
        let (from, to) = if side == Side::Acceptor { (dialler, acceptor) } else { (acceptor, dialler) };
        if self.path(from, to).cuts > 0 && from != to {
            return None;
        }
        let delay = self.pass(from, to, bytes, false).delay?;
        afar.last = self.now;
        // Through a relay it is twice as far.
        Some(if afar.relay.is_some() { delay * 2 } else { delay })
    }

    /// A dial that finds no way out.
    pub(in crate::world) fn no_way_out(&mut self, node: usize, link: LinkId) {
        let (starts, failure) = (self.nodes[node].starts, DialFailure::Unreachable);
        self.after(Duration::from_micros(50), Happening::LinkGone { node, starts, link, failure });
    }
}
