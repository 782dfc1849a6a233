//! What a plan may hold that turmoil cannot do, and taking it out.

use std::collections::BTreeSet;

use crate::world::faults::Fault;
use crate::world::plan::{Crypto, Firewall, HostPlan, LinkPlan, Plan};

/// The most nodes that run on turmoil in reasonable time: its cost grows with their cube.
const MOST_NODES: usize = 26;

/// An element of a plan that turmoil cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what they mean")]
pub enum Beyond {
    #[error("the crypto is cheap; on turmoil it is real")]
    Crypto,
    #[error("there are {nodes} nodes; on turmoil there are {MOST_NODES} at most")]
    Nodes { nodes: usize },
    #[error("host `{host}` has {nodes} nodes; turmoil has one node a host")]
    SharedHost { host: String, nodes: usize },
    #[error("there are {lans} networks; turmoil has one, and one interface a host")]
    Networks { lans: usize },
    #[error("network `{lan}` has an mtu of {mtu}; turmoil has none, 1500 stands for that")]
    Mtu { lan: String, mtu: usize },
    #[error("network `{lan}` keeps hosts apart from each other; turmoil has no access points")]
    Isolation { lan: String },
    #[error("network `{lan}` has IPv6, or drops some of what goes to everybody; turmoil has neither")]
    Carriage { lan: String },
    #[error("host `{host}` has a firewall, a bridge or a tunnel; turmoil has none")]
    Interfaces { host: String },
    #[error("host `{host}` has a clock of its own; turmoil has one clock for all")]
    Clock { host: String },
    #[error("host `{host}` has a slow disk; on turmoil disks take no time")]
    DiskDelay { host: String },
    #[error("link `{link}` has its own {what}; turmoil has none")]
    Link { link: String, what: &'static str },
    #[error("link `{link}` has a latency of its own; turmoil has one for all")]
    Latency { link: String },
    #[error("the plan has {what}; on turmoil nobody does that")]
    Work { what: &'static str },
    #[error("there is a {kind} at {at_ms} ms; on turmoil {instead}")]
    Fault { kind: &'static str, at_ms: u64, instead: &'static str },
}

/// Takes out of a plan what turmoil cannot do, and says what that was, in order. A run of what is left draws the same as
/// before, for taking something out of a plan moves no other draw. A plan that comes back as it was runs on turmoil.
///
/// Nodes that share a host move to hosts of their own; everybody moves into the first network.
pub fn reduce(plan: &mut Plan) -> Vec<Beyond> {
    let mut out = Vec::new();
    if plan.crypto != Crypto::Real {
        out.push(Beyond::Crypto);
        plan.crypto = Crypto::Real;
    }
    nodes(plan, &mut out);
    work(plan, &mut out);
    hosts(plan, &mut out);
    networks(plan, &mut out);
    faults(plan, &mut out);
    links(plan, &mut out);
    out
}

/// Leaves the first nodes, and none of what concerns the others.
fn nodes(plan: &mut Plan, out: &mut Vec<Beyond>) {
    let nodes = plan.node.len();
    if nodes <= MOST_NODES {
        return;
    }
    out.push(Beyond::Nodes { nodes });
    plan.node.truncate(MOST_NODES);
    let left: BTreeSet<String> = plan.node.iter().map(|node| node.name.clone()).collect();
    plan.core.retain(|name| left.contains(name));
    plan.leaver = plan.leaver.take().filter(|leaver| left.contains(leaver));
    plan.text.retain(|text| left.contains(&text.from) && left.contains(&text.to));
    plan.content.retain(|content| left.contains(&content.from));
    plan.leave.retain(|leave| left.contains(&leave.node));
    plan.fault.retain(|fault| fault_nodes(fault).into_iter().all(|name| left.contains(name)));
}

/// Leaves what applications on turmoil do.
fn work(plan: &mut Plan, out: &mut Vec<Beyond>) {
    let mut none = |there: bool, what: &'static str| {
        if there {
            out.push(Beyond::Work { what });
        }
    };
    none(!plan.dial.is_empty(), "addresses given by hand");
    none(!plan.part.is_empty(), "partings");
    none(!plan.adversary.is_empty(), "adversaries");
    none(!plan.message.is_empty(), "messages");
    none(plan.max_links.is_some(), "limits of links");
    none(plan.max_peers.is_some(), "limits of peers");
    none(plan.internet.is_some(), "an internet");
    none(!plan.search.is_empty(), "searches");
    none(plan.code, "people who compare codes");
    none(plan.operator, "an operator");
    none(plan.node.iter().any(|node| node.trust.is_some()), "nodes that choose whom they let in");
    #[cfg(feature = "planted")]
    none(plan.bug.is_some(), "a planted bug");
    none(plan.node.iter().any(|node| node.by_policy), "nodes that take offers by a policy");
    none(!plan.hold.is_empty(), "applications that pause");
    none(plan.node.iter().any(|node| node.declines), "nodes that decline");
    none(plan.node.iter().any(|node| node.small), "nodes with small tables");
    none(plan.content.iter().any(|content| content.twin.is_some()), "a content that two publish");
    none(plan.content.iter().any(|content| content.withdraw_ms.is_some()), "a content that is withdrawn");
    plan.dial.clear();
    plan.part.clear();
    plan.adversary.clear();
    plan.message.clear();
    plan.hold.clear();
    plan.node.iter_mut().for_each(|node| node.by_policy = false);
    (plan.max_links, plan.max_peers) = (None, None);
    plan.code = false;
    plan.operator = false;
    plan.internet = None;
    plan.server.clear();
    plan.relay.clear();
    plan.search.clear();
    plan.lan.iter_mut().for_each(|lan| lan.router = None);
    plan.node.iter_mut().for_each(|node| node.trust = None);
    #[cfg(feature = "planted")]
    {
        (plan.bug, plan.bug_in) = (None, Vec::new());
    }
    plan.node.iter_mut().for_each(|node| (node.declines, node.small) = (false, false));
    plan.content.iter_mut().for_each(|content| (content.twin, content.withdraw_ms) = (None, None));
}

/// The nodes that a fault names.
fn fault_nodes(fault: &Fault) -> Vec<&String> {
    match fault {
        Fault::Crash { node, .. }
        | Fault::Pause { node, .. }
        | Fault::SlowReader { node, .. }
        | Fault::DiskFull { node, .. }
        | Fault::DiskErrors { node, .. }
        | Fault::DiskSlow { node, .. }
        | Fault::SlowApplication { node, .. }
        | Fault::Insider { node, .. }
        | Fault::Away { node, .. }
        | Fault::BitRot { node, .. } => vec![node],
        Fault::Clone { node, clone, .. } => vec![node, clone],
        Fault::Reset { a, b, .. } | Fault::Stall { a, b, .. } => vec![a, b],
        _ => Vec::new(),
    }
}

fn hosts(plan: &mut Plan, out: &mut Vec<Beyond>) {
    for i in 0..plan.host.len() {
        let name = plan.host[i].name.clone();
        let lodgers: Vec<usize> = (0..plan.node.len()).filter(|&node| plan.node[node].host == name).collect();
        if lodgers.len() > 1 {
            out.push(Beyond::SharedHost { host: name.clone(), nodes: lodgers.len() });
        }
        for &node in lodgers.iter().skip(1) {
            let own = free_name(plan);
            let host = HostPlan { name: own.clone(), ..plan.host[i].clone() };
            plan.host.push(host);
            plan.node[node].host = own;
        }
    }
    for host in &mut plan.host {
        if host.clock_offset_ms != 0 || host.clock_drift_ppm != 0 {
            out.push(Beyond::Clock { host: host.name.clone() });
            (host.clock_offset_ms, host.clock_drift_ppm) = (0, 0);
        }
        if host.disk_delay_us != 0 {
            out.push(Beyond::DiskDelay { host: host.name.clone() });
            host.disk_delay_us = 0;
        }
    }
}

/// A name that no host has.
fn free_name(plan: &Plan) -> String {
    let taken = |name: &String| plan.host.iter().any(|host| host.name == *name);
    (1..).map(|i| format!("own{i}")).find(|name| !taken(name)).unwrap_or_default()
}

fn networks(plan: &mut Plan, out: &mut Vec<Beyond>) {
    let Some(first) = plan.lan.first().map(|lan| lan.name.clone()) else { return };
    if plan.lan.len() > 1 {
        out.push(Beyond::Networks { lans: plan.lan.len() });
        plan.lan.truncate(1);
        plan.host.iter_mut().for_each(|host| host.lans = vec![first.clone()]);
        plan.fault.retain(|fault| match fault {
            Fault::BroadcastLoss { lan, .. }
            | Fault::MulticastLoss { lan, .. }
            | Fault::AddressChange { lan, .. }
            | Fault::AddressSwap { lan, .. }
            | Fault::InterfaceDown { lan, .. }
            | Fault::Stranger { lan, .. } => *lan == first,
            _ => true,
        });
    }
    let lan = &mut plan.lan[0];
    if !lan.ipv4 || lan.ipv6 || !lan.drops.is_empty() {
        out.push(Beyond::Carriage { lan: first.clone() });
        (lan.ipv4, lan.ipv6, lan.drops) = (true, false, Vec::new());
    }
    for host in &mut plan.host {
        let plain = host.bridges.is_empty() && host.tunnels.is_empty() && host.firewall == Firewall::None;
        if !plain {
            out.push(Beyond::Interfaces { host: host.name.clone() });
            (host.bridges, host.tunnels, host.firewall) = (Vec::new(), Vec::new(), Firewall::None);
        }
    }
    if lan.mtu != 1500 {
        out.push(Beyond::Mtu { lan: first.clone(), mtu: lan.mtu });
        lan.mtu = 1500;
    }
    if !lan.isolated.is_empty() {
        out.push(Beyond::Isolation { lan: first });
        lan.isolated.clear();
    }
}

fn faults(plan: &mut Plan, out: &mut Vec<Beyond>) {
    plan.fault.retain(|fault| {
        let Some((kind, instead)) = beyond(fault) else { return true };
        out.push(Beyond::Fault { kind, at_ms: fault.at_ms(), instead });
        false
    });
}

/// Why turmoil cannot do a fault, with the name of its kind; `None` if it can.
fn beyond(fault: &Fault) -> Option<(&'static str, &'static str)> {
    Some(match fault {
        Fault::Partition { one_way: false, .. }
        | Fault::BroadcastLoss { .. }
        | Fault::MulticastLoss { .. }
        | Fault::Degrade { .. }
        | Fault::Reset { .. }
        | Fault::Crash { .. } => return None,
        Fault::Partition { .. } => (
            "one-way partition",
            "a stream that loses a segment stalls for good, and holding works both ways",
        ),
        Fault::Away { .. } => ("away", "who said goodbye does not start again"),
        Fault::Clone { .. } => ("clone", "a node has its seat and its disk"),
        Fault::Pause { .. } => ("pause", "a process cannot be stopped and go on"),
        Fault::AddressChange { .. } => ("address-change", "a host has one address for good"),
        Fault::AddressSwap { .. } => ("address-swap", "a host has one address for good"),
        Fault::Sleep { .. } => ("sleep", "there is one clock for all"),
        Fault::InterfaceDown { .. } => ("interface-down", "a host has one interface for good"),
        Fault::ClockJump { .. } => ("clock-jump", "there is one clock for all"),
        Fault::SlowReader { .. } => ("slow-reader", "streams have no rate"),
        Fault::DiskFull { .. } => ("disk-full", "disks have room"),
        Fault::DiskErrors { .. } => ("disk-errors", "disks do not fail"),
        Fault::DiskSlow { .. } => ("disk-slow", "disks take no time"),
        Fault::BitRot { .. } => ("bit-rot", "disks do not rot"),
        Fault::Stall { .. } => ("stall", "streams and datagrams of two hosts share one way"),
        Fault::Refuse { .. } => ("refuse", "each refused connection would leak a port"),
        Fault::SlowApplication { .. } => ("slow-application", "applications take every event at once"),
        Fault::Insider { .. } => ("insider", "nobody gets into the streams of others"),
        Fault::Stranger { .. } => ("stranger", "everybody is a node"),
        Fault::ServerDown { .. } => ("server-down", "there are no servers"),
        Fault::RelayDown { .. } => ("relay-down", "there are no relays"),
        Fault::UplinkDown { .. } => ("uplink-down", "there is no internet"),
        Fault::RouterRestart { .. } => ("router-restart", "there is no internet"),
        Fault::Move { .. } => ("move", "a host has one address for good"),
    })
}

/// Only links that are in use.
fn links(plan: &mut Plan, out: &mut Vec<Beyond>) {
    let usual = plan.lan.first().and_then(|lan| lan.link.clone());
    let mut used: BTreeSet<String> = usual.iter().cloned().collect();
    used.extend(plan.path.iter().map(|path| path.link.clone()));
    used.extend(plan.fault.iter().filter_map(|fault| match fault {
        Fault::Degrade { link, .. } => Some(link.clone()),
        _ => None,
    }));
    let wired = LinkPlan::default();
    let of_all = plan.link.iter().find(|link| Some(&link.name) == usual.as_ref()).unwrap_or(&wired);
    let latency = (of_all.latency_us, of_all.jitter_us);
    for link in plan.link.iter_mut().filter(|link| used.contains(&link.name)) {
        let LinkPlan { bandwidth, queue_ms, enter_burst, truncation, .. } = wired;
        let mut none = |differs: bool, what: &'static str| {
            if differs {
                out.push(Beyond::Link { link: link.name.clone(), what });
            }
        };
        none(link.bandwidth != bandwidth || link.queue_ms != queue_ms, "bandwidth and queue");
        none(link.enter_burst != enter_burst, "bursts of loss");
        none(link.truncation != truncation, "truncation");
        (link.bandwidth, link.queue_ms) = (bandwidth, queue_ms);
        (link.enter_burst, link.truncation) = (enter_burst, truncation);
        if (link.latency_us, link.jitter_us) != latency {
            out.push(Beyond::Latency { link: link.name.clone() });
            (link.latency_us, link.jitter_us) = latency;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Profile, expand};

    #[test]
    fn what_is_left_is_a_valid_plan_of_which_nothing_more_is_taken() {
        for (_, profile) in Profile::ALL {
            for seed in 0..200 {
                let mut plan = expand(seed, profile);
                let out = reduce(&mut plan);
                assert!(!out.is_empty(), "clocks alone differ in every plan");
                assert_eq!(Plan::parse(&plan.to_toml()).as_ref(), Ok(&plan), "seed {seed} of {profile:?}");
                assert_eq!(reduce(&mut plan.clone()), []);
            }
        }
    }

    #[test]
    fn too_many_nodes_take_what_concerns_them_along() {
        let mut plan = expand(1, Profile::Calm);
        let first = plan.node[0].clone();
        plan.node = (0..40)
            .map(|i| crate::world::plan::NodePlan { name: format!("n{i}"), ..first.clone() })
            .collect();
        (plan.core, plan.leaver) = (vec!["n0".to_owned(), "n39".to_owned()], Some("n39".to_owned()));
        (plan.text, plan.content, plan.leave) = (Vec::new(), Vec::new(), Vec::new());
        let out = reduce(&mut plan);
        assert_eq!(out[0], Beyond::Nodes { nodes: 40 });
        assert_eq!((plan.node.len(), plan.core.len(), plan.leaver.clone()), (26, 1, None));
        assert_eq!(Plan::parse(&plan.to_toml()).as_ref(), Ok(&plan));
    }
}
