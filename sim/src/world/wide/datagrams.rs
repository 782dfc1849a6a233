//! Datagrams that lead beyond the LANs: searches of IPv6 prefixes, answers to them, and probes of peers that are silent.
//! They get to hosts with an address for all, from such.

use std::net::SocketAddr;

use p2pnet_engine::forge;
use p2pnet_engine::{DESIGNATED_PORTS, Transmit};

use crate::trace::What;
use crate::world::checks::Seen;
use crate::world::record::Mark;
use crate::world::{Happening, World};

use super::{Place, are_neighbours, is_afar};

/// The header of IPv6 and UDP.
const HEADERS: usize = 48;

impl World {
    /// An application has its node search as the plan says, if it runs and has an address to search from.
    pub(in crate::world) fn search(&mut self, index: usize, node: usize) {
        let (now, plan) = (self.local(node), self.plan.search[index].scan());
        if let (Ok(plan), Some(engine)) = (plan, &mut self.nodes[node].engine)
            && engine.widescan(now, &plan).is_ok()
        {
            self.look(&Seen::Searches { node, index });
            self.drain(node);
        }
    }

    /// From where a datagram of a node leaves for beyond the LANs, if it does.
    pub(in crate::world) fn leaves_from(&self, node: usize, transmit: &Transmit) -> Option<SocketAddr> {
        let to = transmit.destination.ip();
        let (id, ips) = self.hosts[self.nodes[node].host].public.as_ref()?;
        let ip = ips.iter().find(|ip| ip.is_ipv4() == to.is_ipv4())?;
        // Nobody is near a host in IPv4: what goes to all there is heard by nobody.
        let leaves = is_afar(to) && (to.is_ipv6() || !are_neighbours(*ip, to));
        (*id == transmit.interface && leaves).then(|| SocketAddr::new(*ip, self.nodes[node].port))
    }

    /// Sends a datagram beyond the LANs.
    pub(in crate::world) fn send_afar(
        &mut self,
        node: usize,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    ) {
        let from = self.nodes[node].host;
        self.note(Mark::Transmit, Some(node), &bytes, |world| What::Sent {
            to: world.name_afar(destination),
            bytes: bytes.len(),
        });
        let flags = forge::open(&self.nodes[node].crypto.network(), &bytes).map_or(0, |beacon| beacon.bits);
        self.look(&Seen::SentAfar { node, source, destination, flags });
        // What a search sends has a budget of its own.
        let shared = DESIGNATED_PORTS.contains(&destination.port());
        self.nodes[node].sent += u64::from(!shared);
        let Place::Host(to) = self.owner_of(destination.ip()) else { return };
        if self.online(from).is_none() || self.online(to).is_none() || self.path(from, to).cuts > 0 {
            return;
        }
        let Some(delay) = self.pass(from, to, bytes.len() + HEADERS, true).delay else { return };
        // Of several sockets at one port the system takes that which was bound last.
        let hears = |node: &usize| {
            let node = &self.nodes[*node];
            node.runs() && (shared || node.port == destination.port())
        };
        let listener = self.hosts[to].nodes.iter().copied().rfind(hears);
        let interface = self.hosts[to].public.as_ref().map(|(interface, _)| *interface);
        if let (Some(node), Some(interface)) = (listener, interface) {
            self.after(delay, Happening::Datagram { node, interface, source, bytes: bytes.into() });
        }
    }

    fn name_afar(&self, address: SocketAddr) -> String {
        match self.owner_of(address.ip()) {
            Place::Host(host) => format!("{}:{}", self.hosts[host].name, address.port()),
            Place::Relay(_) | Place::Nobody => address.to_string(),
        }
    }
}
