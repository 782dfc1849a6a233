//! Looking for peers where no broadcast gets: at the addresses of earlier meetings, and at every address of a /24.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use crate::engine::Engine;
use crate::engine::memory::Met;
use crate::input::{InterfaceId, InterfaceKind};
use crate::ladder::Rung;
use crate::marks::mark;
use crate::timers::TimerKey;
use crate::wire::beacon::{BeaconFlags, Way};

use super::rungs::{in_subnet, interface_of};

/// Datagrams of a call to one peer: to its port and to its host's anchor port.
pub(super) const CALL: u64 = 2;

/// Of the peers that are remembered so many are called with each beacon of a burst, the best first. Later beacons call all
/// by turns.
const CALLED_AT_ONCE: usize = 64;

/// How long nobody may be linked before addresses are tried one after the other.
const SCAN_AFTER: Duration = Duration::from_millis(1500);

/// How often the scan takes a step, and how long it rests after its first round; twice as long after each further.
const SCAN_STEP: Duration = Duration::from_millis(100);
const SCAN_REST: Duration = Duration::from_secs(30);
const SCAN_REST_MOST: Duration = Duration::from_secs(300);

/// How far the scan has come.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// What is left of this round, the last first.
    left: Vec<(InterfaceId, Ipv4Addr)>,
    rounds: u32,
}

impl Engine {
    /// Whether anybody is remembered who may have to be called with a usual beacon. Who has enough links calls nobody.
    pub(super) fn has_someone_to_call(&self) -> bool {
        let sated = self.connected >= self.enough_links();
        self.config.ladder[Rung::Remembered] > 0 && !sated && self.keeping.met().len() > self.connected
    }

    /// Beacons straight to peers that have no link: to the port that they had, and to the anchor port of their host,
    /// where at least one of the nodes there hears it. To `all` of them, or to one after the other. Never beyond our own
    /// subnets.
    pub(super) fn call_remembered(&mut self, flags: BeaconFlags, all: bool) {
        if !all && !self.has_someone_to_call() {
            return;
        }
        let anchor = self.config.designated_ports[0];
        let met = self.keeping.met();
        let met = met.get(..CALLED_AT_ONCE).filter(|_| all).unwrap_or(met);
        let turn = usize::try_from(self.discovery.counter).unwrap_or(0) % met.len().max(1);
        let (before, after) = met.split_at(turn);
        let mut destinations = Vec::new();
        for Met { peer, address, .. } in after.iter().chain(before) {
            if !all && !destinations.is_empty() {
                break;
            }
            let linked = self.peers.get(peer).is_some_and(|known| known.link.is_some());
            let blocked = self.decisions.blocks_address(address.ip());
            let interface = interface_of(&self.interfaces, *address);
            let Some(interface) = interface.filter(|_| !linked && !blocked) else {
                continue;
            };
            let mut at_anchor = *address;
            at_anchor.set_port(anchor);
            destinations.extend([(interface, *address), (interface, at_anchor)]);
        }
        if destinations.is_empty() {
            return;
        }
        mark!(self, RememberedCalled);
        let datagram = self.sealed_beacon(flags, Way::by(Rung::Remembered));
        for (interface, destination) in destinations {
            self.send_by(Rung::Remembered, interface, destination, &datagram);
        }
    }

    /// Begins to scan soon, if that is wanted and nobody is found by then.
    pub(super) fn plan_scan(&mut self) {
        if self.config.ladder[Rung::Scan] > 0 {
            self.discovery.scan = Scan::default();
            self.set_timer(TimerKey::Scan, SCAN_AFTER);
        }
    }

    /// The scan takes a step. It rests while anybody is linked.
    pub(in crate::engine) fn scan_due(&mut self) {
        if self.connected > 0 {
            self.discovery.scan = Scan::default();
            self.set_timer(TimerKey::Scan, SCAN_REST);
            return;
        }
        if self.discovery.scan.left.is_empty() {
            self.discovery.scan.left = self.addresses_to_scan();
        }
        let anchor = self.config.designated_ports[0];
        let steps_a_second = 10;
        let step = (self.config.ladder[Rung::Scan] as usize).div_ceil(steps_a_second);
        let datagram =
            self.sealed_beacon(BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT), Way::by(Rung::Scan));
        mark!(self, Scanned);
        for _ in 0..step {
            let Some((interface, ip)) = self.discovery.scan.left.pop() else { break };
            self.send_by(Rung::Scan, interface, SocketAddr::from((ip, anchor)), &datagram);
        }
        let pause = if self.discovery.scan.left.is_empty() {
            let rounds = self.discovery.scan.rounds;
            self.discovery.scan.rounds = rounds.saturating_add(1);
            (SCAN_REST * 2_u32.pow(rounds.min(4))).min(SCAN_REST_MOST)
        } else {
            SCAN_STEP
        };
        self.set_timer(TimerKey::Scan, pause);
    }

    /// Every address of the /24 around our own ones that is on the interface's subnet, the nearest to our own last,
    /// because they are taken from the end: addresses are given out in a row.
    fn addresses_to_scan(&self) -> Vec<(InterfaceId, Ipv4Addr)> {
        let mut addresses = Vec::new();
        for interface in self.interfaces.iter().filter(|interface| interface.kind == InterfaceKind::Lan) {
            for addr in &interface.addrs {
                let IpAddr::V4(own) = addr.ip else { continue };
                let [a, b, c, own_last] = own.octets();
                for last in 0..=255 {
                    let ip = Ipv4Addr::new(a, b, c, last);
                    let hosts = u32::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
                    let is_host = addr.prefix > 30 || ![0, hosts].contains(&(u32::from(ip) & hosts));
                    if ip != own && is_host && in_subnet(addr, ip.into()) {
                        addresses.push((last.abs_diff(own_last), interface.id, ip));
                    }
                }
            }
        }
        addresses.sort();
        addresses.dedup();
        addresses.reverse();
        addresses.into_iter().map(|(_, interface, ip)| (interface, ip)).collect()
    }
}
