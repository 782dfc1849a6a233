//! A plan that is all about finding each other: networks that filter one thing or another, hosts with interfaces of every
//! kind, firewalls, addresses that change, sleep, copies of a disk. Little is sent.

use crate::draws::Draws;

use super::faults::{Fault, Restart};
use super::plan::{
    Carriage, DialPlan, Firewall, HostPlan, LanPlan, LinkPlan, NodePlan, PathPlan, Plan, TextPlan,
};

/// How long things change.
const CHAOS_MS: u64 = 15_000;

/// Fills an empty plan.
pub(super) fn fill(plan: &mut Plan, seed: u64) {
    let draws = |what: &str| Draws::new(seed, &format!("plan {what} discovery"));
    plan.chaos_ms = CHAOS_MS;
    // Long enough for a bound without loss to pass, wherever nothing changes.
    plan.quiet_ms = 35_000;
    networks(plan, &mut draws("networks"));
    hosts(plan, &mut draws("hosts"));
    plan.core = plan.node.iter().map(|node| node.name.clone()).collect();
    together(plan, &mut draws("together"));
    faults(plan, &mut draws("faults"));
    plan.fault.sort_by_key(Fault::at_ms);
}

fn networks(plan: &mut Plan, draws: &mut Draws) {
    let mut usual = LinkPlan { name: "usual".to_owned(), ..LinkPlan::default() };
    usual.latency_us = 50 + draws.below(3_000);
    usual.jitter_us = draws.below(3_000);
    if draws.chance(0.4) {
        usual.loss = draws.below(100) as f64 / 1000.0;
        usual.reordering = draws.below(50) as f64 / 1000.0;
        usual.duplication = draws.below(50) as f64 / 1000.0;
    }
    plan.link.push(usual);
    for i in 0..=draws.below(3) {
        let (ipv4, ipv6) = match draws.below(6) {
            0 => (false, true),
            1 | 2 => (true, false),
            _ => (true, true),
        };
        use Carriage::{DirectedBroadcast, LimitedBroadcast, Multicast4, Multicast6};
        // What is left always gets through somehow; who has IPv6 alone has nothing but its multicast.
        let drops = match draws.below(8) {
            0 if ipv4 => vec![Multicast4, Multicast6],
            1 if ipv4 => vec![DirectedBroadcast, LimitedBroadcast],
            2 if ipv4 && ipv6 => vec![DirectedBroadcast, LimitedBroadcast, Multicast4],
            3 if ipv4 => vec![LimitedBroadcast],
            4 if ipv4 && ipv6 => vec![Multicast6],
            _ => Vec::new(),
        };
        plan.lan.push(LanPlan {
            name: format!("net{i}"),
            link: Some("usual".to_owned()),
            broadcast: true,
            multicast: true,
            drops,
            ipv4,
            ipv6,
            mtu: 1500,
            isolated: Vec::new(),
            router: None,
        });
    }
}

fn hosts(plan: &mut Plan, draws: &mut Draws) {
    let start_within = if draws.chance(0.4) { 0 } else { 8_000 };
    let firewalls = draws.chance(0.25);
    let mut hosts = 0;
    for i in 0..2 + draws.below(5) {
        let shares = hosts > 0 && draws.chance(0.25);
        if !shares {
            // All are in the first network, so that each pair has one; the others come before or behind it.
            let mut lans = vec!["net0".to_owned()];
            let (mut bridges, mut tunnels) = (Vec::new(), Vec::new());
            for lan in plan.lan.iter().skip(1) {
                if !draws.chance(0.5) {
                    continue;
                }
                let place = if draws.chance(0.5) { 0 } else { lans.len() };
                lans.insert(place, lan.name.clone());
                match draws.below(3) {
                    0 => bridges.push(lan.name.clone()),
                    1 => tunnels.push(lan.name.clone()),
                    _ => {}
                }
            }
            hosts += 1;
            // One side at most: two that let nobody in cannot be brought together.
            let firewall = match draws.below(3) {
                0 if firewalls && hosts == 1 => Firewall::Streams,
                1 if firewalls && hosts == 1 => Firewall::PrivatePorts,
                _ => Firewall::None,
            };
            plan.host.push(HostPlan {
                name: format!("h{hosts}"),
                lans,
                bridges,
                tunnels,
                firewall,
                clock_offset_ms: draws.below(1_000_000),
                clock_drift_ppm: draws.below(200) as i64 - 100,
                disk_delay_us: draws.below(2_000),
                ipv6: None,
            });
        }
        plan.node.push(NodePlan {
            name: char::from(b'a' + i as u8).to_string(),
            host: format!("h{hosts}"),
            start_ms: draws.below(start_within + 1),
            takes_offers: true,
            aes: false,
            impostor: false,
            by_policy: false,
            declines: false,
            small: false,
            answers_searches: false,
            trust: None,
        });
    }
    // Ports that an access point keeps apart, with one that hears both. What it isolates is healed with the core.
    if plan.host.len() > 2 && draws.chance(0.2) {
        plan.lan[0].isolated = plan.host.iter().skip(1).map(|host| host.name.clone()).collect();
    }
    if plan.host.len() > 1 && draws.chance(0.1) {
        let (from, to) = (plan.host[0].name.clone(), plan.host[1].name.clone());
        let mut bad = LinkPlan { name: "bad".to_owned(), ..plan.link[0].clone() };
        bad.loss = 0.3;
        plan.link.push(bad);
        plan.path.push(PathPlan { from, to, link: "bad".to_owned() });
    }
    // Where nothing gets through to everybody, somebody gives each node an address.
    if draws.chance(0.1) {
        plan.lan.truncate(1);
        plan.host.iter_mut().for_each(|host| {
            host.lans = vec!["net0".to_owned()];
            (host.bridges, host.tunnels) = (Vec::new(), Vec::new());
            // An address behind a firewall is of no use.
            host.firewall = Firewall::None;
        });
        let lan = &mut plan.lan[0];
        (lan.ipv4, lan.isolated) = (true, Vec::new());
        lan.drops = vec![
            Carriage::DirectedBroadcast,
            Carriage::LimitedBroadcast,
            Carriage::Multicast4,
            Carriage::Multicast6,
        ];
        let names: Vec<String> = plan.node.iter().map(|node| node.name.clone()).collect();
        for (i, name) in names.iter().enumerate().skip(1) {
            // Once early, and once when all run again: who started anew may have missed the first one.
            for at_ms in [start_within + draws.below(2_000), CHAOS_MS + 500 + draws.below(2_000)] {
                plan.dial.push(DialPlan { at_ms, from: name.clone(), to: names[i - 1].clone() });
            }
        }
    }
}

fn together(plan: &mut Plan, draws: &mut Draws) {
    let leaver = draws.below(plan.core.len() as u64) as usize;
    plan.leaver = Some(plan.core[leaver].clone());
    for pair in plan.core.clone().windows(2) {
        let (from, to) = (pair[0].clone(), pair[1].clone());
        plan.text.push(TextPlan { at_ms: CHAOS_MS + draws.below(3_000), from, to, bytes: 20 });
    }
}

/// Each kind is there or not, for each seed anew.
fn faults(plan: &mut Plan, draws: &mut Draws) {
    // Who knows others by a given address alone cannot be found again at another one.
    let given = !plan.dial.is_empty();
    let host =
        |plan: &Plan, draws: &mut Draws| plan.host[draws.below(plan.host.len() as u64) as usize].clone();
    let time = |draws: &mut Draws| (draws.below(CHAOS_MS - 3_000), 200 + draws.below(6_000));
    let each = ["flap", "address", "swap", "sleep", "crash", "power", "pause", "partition", "jump", "clone"];
    for kind in each {
        let there = draws.chance(0.2);
        for _ in 0..=draws.below(2) {
            let ((at_ms, for_ms), one, other) = (time(draws), host(plan, draws), host(plan, draws));
            let lan = one.lans[draws.below(one.lans.len() as u64) as usize].clone();
            let node = plan.node[draws.below(plan.node.len() as u64) as usize].name.clone();
            let number = draws.below(1000);
            if !there {
                continue;
            }
            let moves = ["address", "swap", "clone"].contains(&kind);
            let fault = match kind {
                _ if given && moves => continue,
                "flap" => Fault::InterfaceDown { at_ms, for_ms, host: one.name, lan },
                "address" => Fault::AddressChange { at_ms, host: one.name, lan },
                "swap" if one.name != other.name && other.lans.contains(&lan) => {
                    Fault::AddressSwap { at_ms, a: one.name, b: other.name, lan }
                }
                "sleep" => Fault::Sleep { at_ms, for_ms, host: one.name },
                "crash" => {
                    let restart = if number < 300 && !given { Restart::WithoutDisk } else { Restart::Same };
                    Fault::Crash { at_ms, for_ms: for_ms / 4, node, power: false, restart }
                }
                "power" => Fault::Crash { at_ms, for_ms, node, power: true, restart: Restart::Same },
                "pause" => Fault::Pause { at_ms, for_ms, node },
                "partition" if one.name != other.name => {
                    let (a, b) = (vec![one.name], vec![other.name]);
                    Fault::Partition { at_ms, for_ms, a, b, c: Vec::new(), one_way: number < 300 }
                }
                "jump" => {
                    Fault::ClockJump { at_ms, host: one.name, by_ms: number * number / 30, noticed: true }
                }
                "clone" => match clone(plan, node) {
                    Some((node, clone)) => Fault::Clone { at_ms, for_ms, node, clone },
                    None => continue,
                },
                _ => continue,
            };
            plan.fault.push(fault);
        }
    }
}

/// Two nodes that are of the core no more: two of one identity fight for good.
fn clone(plan: &mut Plan, node: String) -> Option<(String, String)> {
    if plan.core.len() < 4 {
        return None;
    }
    let leaver = plan.leaver.clone();
    let free = |name: &&String| Some(*name) != leaver.as_ref() && **name != node;
    let other = plan.core.iter().rev().find(free).cloned()?;
    if Some(&node) == leaver.as_ref() || !plan.core.contains(&node) {
        return None;
    }
    plan.core.retain(|name| *name != node && *name != other);
    plan.text.retain(|text| ![&text.from, &text.to].iter().any(|name| **name == node || **name == other));
    Some((node, other))
}
