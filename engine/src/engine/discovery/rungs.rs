//! Where a beacon goes on each rung of each interface, within the rung's budget.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use crate::config::{MULTICAST_GROUP, MULTICAST_GROUP_6};
use crate::engine::Engine;
use crate::input::{Interface, InterfaceAddr, InterfaceId};
use crate::ladder::{Ladder, Rung};
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::output::Transmit;
use crate::time::Timestamp;

use super::seeking::CALL;

/// What one rung of one interface has done since the engine began, or since the interface came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RungReport {
    /// The interface.
    pub interface: InterfaceId,
    /// The rung.
    pub rung: Rung,
    /// Datagrams that went out.
    pub sent: u64,
    /// Datagrams that its budget kept back.
    pub held_back: u64,
    /// When the last one went out.
    pub last_sent: Option<Timestamp>,
    /// When a probe of our own last came back to us by it.
    pub own_heard: Option<Timestamp>,
}

/// The rungs of all interfaces: at most [`Rung::COUNT`] for each interface that there is.
#[derive(Debug, Default)]
pub(super) struct Rungs(BTreeMap<(InterfaceId, Rung), (TokenBucket, RungReport)>);

impl Rungs {
    /// Forgets the interfaces that are gone.
    fn retain(&mut self, interfaces: &[Interface]) {
        self.0.retain(|(id, _), _| interfaces.iter().any(|interface| interface.id == *id));
    }

    fn entry(
        &mut self,
        interface: InterfaceId,
        rung: Rung,
        ladder: &Ladder,
    ) -> &mut (TokenBucket, RungReport) {
        self.0.entry((interface, rung)).or_insert_with(|| {
            let report =
                RungReport { interface, rung, sent: 0, held_back: 0, last_sent: None, own_heard: None };
            (TokenBucket::new(ladder[rung], ladder[rung]), report)
        })
    }

    /// Takes one datagram off the budget of a rung; says whether there was one.
    fn spend(&mut self, interface: InterfaceId, rung: Rung, ladder: &Ladder, now: Timestamp) -> bool {
        if ladder[rung] == 0 {
            return false;
        }
        let (budget, report) = self.entry(interface, rung, ladder);
        let may = budget.take(now, 1);
        if may {
            report.sent += 1;
            report.last_sent = Some(now);
        } else {
            report.held_back += 1;
        }
        may
    }

    /// A probe of our own came back.
    pub(super) fn own_heard(&mut self, interface: InterfaceId, rung: Rung, now: Timestamp) {
        if let Some((_, report)) = self.0.get_mut(&(interface, rung)) {
            report.own_heard = Some(now);
        }
    }
}

impl Engine {
    /// What every rung of every interface has done. A rung that never had anything to send is not among them.
    #[must_use]
    pub fn rungs(&self) -> Vec<RungReport> {
        self.discovery.rungs.0.values().map(|(_, report)| *report).collect()
    }

    pub(super) fn forget_rungs_of_gone_interfaces(&mut self) {
        self.discovery.rungs.retain(&self.interfaces);
    }

    /// Sends one datagram on every rung that reaches a whole network. What switches filter differs, so all of them are
    /// tried; 255.255.255.255 only when `thorough`, since whoever hears it mostly hears the directed broadcast as well.
    pub(super) fn broadcast_datagram(&mut self, datagram: &[u8], thorough: bool) {
        let mut destinations = Vec::new();
        for interface in &self.interfaces {
            for rung in Rung::ALL {
                if rung != Rung::LimitedBroadcast || thorough || !interface.directed_broadcast {
                    let to = self.destinations(interface, rung);
                    destinations.extend(to.into_iter().map(|to| (rung, interface.id, to)));
                }
            }
        }
        for (rung, interface, to) in destinations {
            self.send_by(rung, interface, to, datagram);
        }
    }

    /// Where a beacon for a whole network goes by this rung: to the anchor port and, for broadcasts, to the rotating
    /// one. Nowhere if the rung reaches single addresses only, or the interface has no such rung.
    pub(super) fn destinations(&self, interface: &Interface, rung: Rung) -> Vec<SocketAddr> {
        let anchor = self.config.designated_ports[0];
        let rotating = self.discovery.rotating_port;
        let to_ports = |ip: Ipv4Addr| {
            let both = [anchor, rotating];
            let ports = if rotating == anchor { &both[..1] } else { &both[..] };
            ports.iter().map(move |&port| SocketAddr::from((ip, port))).collect::<Vec<_>>()
        };
        let has_ipv4 = interface.addrs.iter().any(|addr| addr.ip.is_ipv4());
        match rung {
            Rung::Loopback if interface.is_loopback() && has_ipv4 => {
                to_ports(Ipv4Addr::new(127, 255, 255, 255))
            }
            _ if interface.is_loopback() => Vec::new(),
            Rung::DirectedBroadcast if interface.directed_broadcast => {
                broadcast_addresses(&interface.addrs).into_iter().flat_map(to_ports).collect()
            }
            Rung::LimitedBroadcast if has_ipv4 => to_ports(Ipv4Addr::BROADCAST),
            Rung::Multicast4 if interface.multicast && has_ipv4 => {
                alloc::vec![SocketAddr::from((MULTICAST_GROUP, anchor))]
            }
            Rung::Multicast6 if interface.multicast && interface.addrs.iter().any(is_link_local_6) => {
                alloc::vec![SocketAddrV6::new(MULTICAST_GROUP_6, anchor, 0, interface.id.0).into()]
            }
            _ => Vec::new(),
        }
    }

    /// Sends a datagram by a rung, unless its budget is spent; says whether it went.
    pub(super) fn send_by(
        &mut self,
        rung: Rung,
        interface: InterfaceId,
        destination: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let (ladder, now) = (&self.config.ladder, self.now);
        if !self.discovery.rungs.spend(interface, rung, ladder, now) {
            mark!(self, RungSpent);
            return false;
        }
        self.transmit(Transmit { interface, destination }, datagram.to_vec());
        true
    }

    pub(in crate::engine) fn transmit(&mut self, transmit: Transmit, bytes: Vec<u8>) {
        if self.outputs.transmit(transmit, bytes) {
            self.stats.transmits_dropped += 1;
            mark!(self, TransmitDropped);
        }
    }

    /// How many datagrams a usual beacon is, on the interface where it is most: what the air of one LAN carries of it.
    pub(super) fn datagrams_of_a_beacon(&self) -> u64 {
        let usual = [Rung::DirectedBroadcast, Rung::Multicast4, Rung::Multicast6];
        let of = |interface: &Interface| {
            let on = usual.into_iter().filter(|rung| self.config.ladder[*rung] > 0);
            on.map(|rung| self.destinations(interface, rung).len() as u64).sum::<u64>()
        };
        let calls = if self.has_someone_to_call() { CALL } else { 0 };
        self.interfaces.iter().map(of).max().unwrap_or(1).max(1) + calls
    }
}

/// The broadcast address of each IPv4 subnet that has one.
fn broadcast_addresses(addrs: &[InterfaceAddr]) -> Vec<Ipv4Addr> {
    let mut addresses = Vec::new();
    for addr in addrs {
        let IpAddr::V4(ip) = addr.ip else { continue };
        if addr.prefix < 31 {
            let hosts = u32::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
            addresses.push(Ipv4Addr::from(u32::from(ip) | hosts));
        }
    }
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Whether it is an address of fe80::/10, which means something on one link only.
fn is_link_local_6(addr: &InterfaceAddr) -> bool {
    matches!(addr.ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Another port at the host of `source`, which was met on `interface`.
pub(in crate::engine) fn at_port(
    source: SocketAddr,
    port: u16,
    interface: Option<InterfaceId>,
) -> SocketAddr {
    match source.ip() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            let scope = interface.map_or(0, |interface| interface.0);
            SocketAddrV6::new(ip, port, 0, scope).into()
        }
        ip => SocketAddr::new(ip, port),
    }
}

/// Whether `ip` is on the subnet of one of these interfaces.
pub(in crate::engine) fn is_near(interfaces: &[Interface], ip: IpAddr) -> bool {
    interface_of(interfaces, SocketAddr::new(ip, 0)).is_some()
}

/// The first interface on whose subnet `address` is, real networks before virtual ones. A link-local address is on the
/// interface that it is scoped to, and on no other, though all have its subnet.
pub(in crate::engine) fn interface_of(interfaces: &[Interface], address: SocketAddr) -> Option<InterfaceId> {
    let scope = match address {
        SocketAddr::V6(six) if six.ip().is_unicast_link_local() => Some(InterfaceId(six.scope_id())),
        _ => None,
    };
    let near = interfaces.iter().filter(|interface| {
        scope.is_none_or(|scope| scope == interface.id)
            && interface.addrs.iter().any(|addr| in_subnet(addr, address.ip()))
    });
    near.min_by_key(|interface| (interface.kind, interface.id)).map(|interface| interface.id)
}

/// Whether `ip` is a neighbour on the subnet of `addr`.
pub(super) fn in_subnet(addr: &InterfaceAddr, ip: IpAddr) -> bool {
    match (addr.ip, ip) {
        (IpAddr::V4(own), IpAddr::V4(other)) => {
            let hosts = u32::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
            (u32::from(own) | hosts) == (u32::from(other) | hosts)
        }
        (IpAddr::V6(own), IpAddr::V6(other)) => {
            let hosts = u128::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
            (u128::from(own) | hosts) == (u128::from(other) | hosts)
        }
        _ => false,
    }
}
