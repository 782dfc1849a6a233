//! What lies beyond the LANs of a [`World`]: routers that translate, hosts with an address for all, relays.
//!
//! 20.x.y.1 is the host number x.y if nothing translates it, 30.0.p.n the address p of the router of network n,
//! 40.0.0.n the relay n. IPv6 addresses are those of the plan. Datagrams get from one host with an
//! address for all to another.

mod afar;
mod datagrams;
mod liars;
mod relays;
mod servers;
mod tasks;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use p2pnet_engine::{InterfaceId, ServerAnswer};

use super::World;
use super::faults::{Fault, FaultKind};
use super::node::Host;
use super::plan::{Honesty, Nat, Plan};

pub(super) use afar::Afar;
use relays::Allocation;
use servers::Server;
use tasks::Operator;

/// The time between two announcements of a node that trusts somebody (engine/servers.rs).
const REFRESH: Duration = Duration::from_secs(300);

/// The state of all that.
#[derive(Default)]
pub(super) struct Wide {
    servers: Vec<Server>,
    operator: Operator,
    /// How many faults keep each relay down.
    relays: Vec<u32>,
    /// How many faults keep each network from the internet, and how often its router has forgotten its streams.
    uplinks: Vec<u32>,
    epochs: Vec<u32>,
    /// What each node has at a relay.
    allocations: Vec<Allocation>,
    allocated: u16,
    /// Messages to and from servers so far.
    messages: u64,
}

/// What happens beyond the LANs.
pub(super) enum WideEvent {
    /// A server hears an announcement that comes from an address.
    Hears { node: usize, starts: u64, server: usize, record: Vec<u8>, want: u16, from: IpAddr },
    /// A node hears what became of its announcement; `None` is a failure.
    Answers { node: usize, starts: u64, server: u8, answer: Option<Box<ServerAnswer>> },
    /// A node looks after its relay.
    Relay { node: usize, starts: u64 },
}

impl WideEvent {
    /// The process that must run for it.
    pub(super) fn process(&self) -> Option<usize> {
        match self {
            WideEvent::Hears { .. } => None,
            WideEvent::Answers { node, .. } | WideEvent::Relay { node, .. } => Some(*node),
        }
    }
}

impl Wide {
    pub(super) fn of(plan: &Plan) -> Wide {
        Wide {
            servers: plan.server.iter().map(|_| Server::default()).collect(),
            operator: Operator::default(),
            relays: vec![0; plan.relay.len()],
            uplinks: vec![0; plan.lan.len()],
            epochs: vec![0; plan.lan.len()],
            allocations: plan.node.iter().map(|_| Allocation::default()).collect(),
            allocated: 0,
            messages: 0,
        }
    }
}

/// Whether an address may lead to somewhere beyond the LANs (the registries of RFC 6890).
pub(super) fn is_afar(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !matches!(
            ip.octets(),
            [0 | 10 | 127 | 224.., ..]
                | [100, 64..=127, ..]
                | [169, 254, ..]
                | [172, 16..=31, ..]
                | [192, 0, 0, _]
                | [192, 168, ..]
                | [198, 18 | 19, ..]
        ),
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

/// Whether two addresses are in the same subnet of hosts with an address for all: a /24, or a /64.
pub(super) fn are_neighbours(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..4] == b.segments()[..4],
        _ => false,
    }
}

fn public(host: usize) -> IpAddr {
    let [high, low] = u16::try_from(host).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(20, high, low, 1).into()
}

fn router(lan: usize, pool: usize) -> IpAddr {
    Ipv4Addr::new(30, 0, u8::try_from(pool).unwrap_or(0), u8::try_from(lan + 1).unwrap_or(255)).into()
}

fn relay(number: usize) -> IpAddr {
    Ipv4Addr::new(40, 0, 0, u8::try_from(number + 1).unwrap_or(255)).into()
}

/// Who is at an address beyond the LANs.
enum Place {
    Host(usize),
    Relay(usize),
    Nobody,
}

fn place_of(ip: Ipv4Addr) -> Place {
    match ip.octets() {
        [20, high, low, 1] => Place::Host(usize::from(u16::from_be_bytes([high, low]))),
        [40, 0, 0, number] if number > 0 => Place::Relay(usize::from(number) - 1),
        _ => Place::Nobody,
    }
}

impl World {
    /// Who is at an address beyond the LANs.
    fn owner_of(&self, ip: IpAddr) -> Place {
        match ip {
            IpAddr::V4(ip) => place_of(ip),
            IpAddr::V6(_) => {
                let at = |host: &Host| host.public.as_ref().is_some_and(|(_, ips)| ips.contains(&ip));
                self.hosts.iter().position(at).map_or(Place::Nobody, Place::Host)
            }
        }
    }

    /// The IPv6 address that a host has for all.
    fn ipv6_of(&self, host: usize) -> Option<IpAddr> {
        let (_, ips) = self.hosts[host].public.as_ref()?;
        ips.iter().copied().find(IpAddr::is_ipv6)
    }

    pub(super) fn wide_event(&mut self, event: WideEvent) {
        match event {
            WideEvent::Hears { node, starts, server, record, want, from } => {
                self.server_hears((node, starts), server, &record, want, from);
            }
            WideEvent::Answers { node, starts, server, answer } => {
                self.server_answers(node, starts, server, answer.as_deref());
            }
            WideEvent::Relay { node, starts } => self.look_after_relay(node, starts),
        }
    }

    /// The network whose router lets a host onto the internet now.
    pub(super) fn online(&self, host: usize) -> Option<usize> {
        let state = &self.hosts[host];
        let mut up = state.interfaces.iter().filter(|interface| state.up && interface.up);
        let lan = up.find(|interface| self.plan.lan[interface.lan].router.is_some())?.lan;
        (self.wide.uplinks[lan] == 0).then_some(lan)
    }

    fn nat_of(&self, lan: usize) -> Nat {
        self.plan.lan[lan].router.unwrap_or(Nat::None)
    }

    /// The address from which a host is seen at a place, of which each has its number.
    pub(super) fn seen_from(&self, host: usize, place: usize) -> Option<IpAddr> {
        let lan = self.online(host)?;
        Some(match self.nat_of(lan) {
            Nat::None => public(host),
            Nat::Symmetric => router(lan, (lan + place) % 2),
            Nat::EndpointIndependent | Nat::AddressDependent => router(lan, 0),
        })
    }

    /// Whether a node can dial another beyond its own network, now or once both know what servers tell.
    pub(crate) fn reaches_afar(&self, from: usize, to: usize) -> bool {
        let (here, there) = (self.nodes[from].host, self.nodes[to].host);
        let (Some(_), Some(_)) = (self.online(here), self.online(there)) else { return false };
        if self.plan.server.is_empty() || self.path(here, there).cuts > 0 || self.path(there, here).cuts > 0 {
            return false;
        }
        if self.hosts[there].firewall != super::plan::Firewall::None || self.hosts[there].refuses {
            return false;
        }
        if self.hosts[there].public.is_some() {
            return true;
        }
        let Some(relay) = self.wide.allocations[to].at.map(|(relay, _)| relay) else { return false };
        // The relay lets in whom a server says that it saw.
        let seen = self.seen_from(here, self.place_of_relay(relay));
        let honest = |server: &usize| self.plan.server[*server].kind == Honesty::Honest;
        let mut servers = (0..self.plan.server.len()).filter(honest);
        self.wide.relays[relay] == 0
            && (self.wide.allocations[to].permits.iter().any(|ip| Some(*ip) == seen)
                || servers.any(|server| self.seen_from(here, server) == seen))
    }

    /// How long it may take until two nodes have heard of each other from a server, and of where they are then.
    pub(super) fn servers_within(&self) -> Duration {
        if self.plan.server.is_empty() { Duration::ZERO } else { REFRESH * 2 * 11 / 10 }
    }

    fn place_of_relay(&self, relay: usize) -> usize {
        self.plan.server.len() + relay
    }

    pub(super) fn wide_fault(&mut self, fault: &Fault, begins: bool) {
        let change = |count: &mut u32| {
            *count = if begins { *count + 1 } else { count.saturating_sub(1) };
        };
        let kind = match fault {
            Fault::ServerDown { server, homes, .. } => {
                let Some(server) = self.plan.server(server) else { return };
                let lans: Vec<usize> = homes.iter().filter_map(|lan| self.plan.lan(lan)).collect();
                let state = &mut self.wide.servers[server];
                if lans.is_empty() {
                    change(&mut state.down);
                }
                lans.into_iter().for_each(|lan| change(state.cut.entry(lan).or_default()));
                FaultKind::ServerDown
            }
            Fault::RelayDown { relay, .. } => {
                let Some(relay) = self.plan.relay(relay) else { return };
                change(&mut self.wide.relays[relay]);
                FaultKind::RelayDown
            }
            Fault::UplinkDown { lan, .. } => {
                let Some(lan) = self.plan.lan(lan) else { return };
                change(&mut self.wide.uplinks[lan]);
                FaultKind::UplinkDown
            }
            Fault::RouterRestart { lan, .. } => {
                let Some(lan) = self.plan.lan(lan) else { return };
                self.wide.epochs[lan] += 1;
                FaultKind::RouterRestart
            }
            _ => return,
        };
        if begins {
            self.tally.count(kind);
        }
    }

    /// Ways to the internet and servers are whole; relays stay as they are.
    pub(super) fn heal_wide(&mut self) {
        self.wide.uplinks.iter_mut().for_each(|down| *down = 0);
        for server in &mut self.wide.servers {
            server.down = 0;
            server.cut.clear();
        }
    }

    /// Gives hosts an address for all if nothing translates theirs.
    pub(super) fn make_public(&mut self, host: usize) {
        let mut lans = self.hosts[host].interfaces.iter().map(|interface| &self.plan.lan[interface.lan]);
        let open = lans.find(|lan| lan.router == Some(Nat::None));
        let id = InterfaceId(u32::try_from(self.plan.lan.len()).unwrap_or(0) + 1);
        self.hosts[host].public = open.map(|lan| {
            let plan = &self.plan.host[host];
            let ipv6 = plan.ipv6.filter(|_| plan.lans.contains(&lan.name)).map(IpAddr::V6);
            (id, std::iter::once(public(host)).chain(ipv6).collect())
        });
    }

    /// A host leaves its first network for another.
    pub(super) fn move_host(&mut self, host: &str, lan: &str) {
        let (Some(host), Some(lan)) = (self.plan.host(host), self.plan.lan(lan)) else { return };
        let Some(old) = self.hosts[host].interfaces.first().map(|interface| interface.lan) else { return };
        if self.hosts[host].interface(lan).is_some() {
            return;
        }
        self.tally.count(FaultKind::Move);
        self.hosts[host].interfaces[0].lan = lan;
        self.hosts[host].travels += 1;
        self.lans[old].hosts.retain(|&other| other != host);
        let place = self.lans[lan].hosts.partition_point(|&other| other < host);
        self.lans[lan].hosts.insert(place, host);
        self.make_public(host);
        self.tell_interfaces(host);
    }
}
