//! The hosts, networks, nodes and paths of a plan, as they are before anything happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use p2pnet_engine::{Config, InterfaceKind, Timestamp};

use crate::draws::seed_bytes;

use super::clock::Clock;
use super::disk::Disk;
use super::faults::Fault;
use super::network::{Lan, Path};
use super::node::{Host, NetworkInterface, Node};
use super::plan::{HostPlan, LanPlan, Plan};

/// The private port of the first node of a host; the others follow.
const FIRST_PORT: u16 = 7000;

/// How long the record of a small node is good for.
const SMALL_TTL: Duration = Duration::from_secs(6);

/// The limits of a node that is small: others run into them.
pub(super) fn make_small(config: &mut Config) {
    config.record_ttl = SMALL_TTL;
    config.max_introduced = 1;
    (config.max_peers, config.max_links, config.max_half_open, config.max_dials) = (2, 1, 2, 1);
    (config.max_queued, config.max_texts, config.max_contents, config.window) = (256 * 1024, 1, 1, 1);
    (config.max_messages, config.max_message_bytes) = (2, 256 * 1024);
}

pub(super) fn hosts(plan: &Plan) -> Vec<Host> {
    let host = |(i, host): (usize, &HostPlan)| Host {
        name: host.name.clone(),
        clock: Clock {
            offset: Duration::from_millis(host.clock_offset_ms),
            drift_ppm: host.clock_drift_ppm,
            stood: Duration::ZERO,
        },
        interfaces: host
            .lans
            .iter()
            .filter_map(|lan| plan.lan(lan))
            .map(|lan| NetworkInterface {
                lan,
                number: u16::try_from(i + 1).unwrap_or(1),
                up: true,
                kind: match &plan.lan[lan].name {
                    name if host.bridges.contains(name) => InterfaceKind::Virtual,
                    name if host.tunnels.contains(name) => InterfaceKind::Tunnel,
                    _ => InterfaceKind::Lan,
                },
                ipv4: plan.lan[lan].ipv4,
                ipv6: plan.lan[lan].ipv6,
            })
            .collect(),
        nodes: Vec::new(),
        up: true,
        refuses: false,
        moves: 0,
        firewall: host.firewall,
        asked: BTreeMap::new(),
        asleep: None,
        public: None,
        travels: 0,
    };
    plan.host.iter().enumerate().map(host).collect()
}

pub(super) fn lans(plan: &Plan, hosts: &[Host]) -> Vec<Lan> {
    let lan = |(i, lan): (usize, &LanPlan)| Lan {
        name: lan.name.clone(),
        hosts: (0..hosts.len()).filter(|&host| hosts[host].interface(i).is_some()).collect(),
        isolated: lan.isolated.iter().filter_map(|host| plan.host(host)).collect(),
        mtu: lan.mtu,
        drops: lan.drops.clone(),
        broadcast_faults: u32::from(!lan.broadcast),
        multicast_faults: u32::from(!lan.multicast),
        overheard: Vec::new(),
        keeps_overheard: plan.fault.iter().any(|fault| matches!(fault, Fault::Stranger { .. })),
    };
    plan.lan.iter().enumerate().map(lan).collect()
}

pub(super) fn nodes(plan: &Plan, hosts: &[Host]) -> Vec<Node> {
    let mut ports = vec![FIRST_PORT; hosts.len()];
    let mut nodes = Vec::new();
    for node in &plan.node {
        let host = plan.host(&node.host).unwrap_or(0);
        let identity = seed_bytes(plan.seed, &format!("identity {}", node.name));
        let peer = plan.crypto.identity(identity).peer_id();
        let delay = Duration::from_micros(plan.host[host].disk_delay_us);
        nodes.push(Node {
            name: node.name.clone(),
            host,
            port: ports[host],
            aes: node.aes,
            impostor: node.impostor,
            by_policy: node.by_policy,
            declines: node.declines,
            small: node.small,
            deaf: false,
            deaf_as: BTreeSet::new(),
            takes_offers: node.takes_offers,
            identity,
            crypto: plan.crypto,
            peer,
            identities: vec![peer],
            engine: None,
            starts: 0,
            started_at: Timestamp::ZERO,
            stopped_at: Timestamp::ZERO,
            incarnation: 0,
            links: BTreeMap::new(),
            written: BTreeSet::new(),
            draining: false,
            wake: None,
            wake_number: 0,
            paused: false,
            backlog: Vec::new(),
            backlog_datagrams: 0,
            slow: None,
            disk: Disk::empty(delay),
            wants: BTreeSet::new(),
            texts: BTreeSet::new(),
            messages: BTreeMap::new(),
            shown: BTreeSet::new(),
            screen: BTreeMap::new(),
            left: false,
            given: BTreeSet::new(),
            strays: 0,
            away: false,
            disk_lost: false,
            sent: 0,
            received: 0,
        });
        ports[host] += 1;
    }
    nodes
}

pub(super) fn paths(plan: &Plan, hosts: &[Host]) -> Vec<Path> {
    let mut paths = Vec::with_capacity(hosts.len() * hosts.len());
    let named = |name: &Option<String>| {
        name.as_ref().and_then(|name| plan.link.iter().position(|link| link.name == *name))
    };
    for from in hosts {
        for to in hosts {
            let common = from.interfaces.iter().find(|interface| to.interface(interface.lan).is_some());
            let link = match common {
                Some(interface) => named(&plan.lan[interface.lan].link),
                None => plan.internet.as_ref().and_then(|internet| named(&internet.link)),
            };
            paths.push(Path {
                link,
                normal: link,
                cuts: 0,
                bad: false,
                busy_until: Timestamp::ZERO,
                packets: 0,
            });
        }
    }
    for path in &plan.path {
        if let (Some(from), Some(to)) = (plan.host(&path.from), plan.host(&path.to)) {
            let entry = &mut paths[from * hosts.len() + to];
            entry.link = named(&Some(path.link.clone()));
            entry.normal = entry.link;
        }
    }
    paths
}
