//! Plans beyond the LAN: homes behind routers, bootstrap servers of which some lie, relays that die.

use std::net::Ipv6Addr;

use crate::draws::Draws;

use super::expand::{host, lan, node};
use super::expand_few::small_workload;
use super::faults::{Fault, Restart};
use super::plan::{Honesty, InternetPlan, LinkPlan, Nat, Plan, RelayPlan, SearchPlan, ServerPlan};

/// A relay that dies in the chaos mostly stays dead.
const FOR_GOOD: u64 = 3_600_000;

pub(super) fn fill(plan: &mut Plan, seed: u64) {
    let draws = &mut Draws::new(seed, "plan wan");
    let pure = draws.chance(0.15);
    links(plan, pure, draws);
    homes(plan, draws);
    servers(plan, draws);
    plan.operator = Draws::new(seed, "plan wan operator").chance(0.6);
    for i in 0..draws.below(4) {
        plan.relay.push(RelayPlan { name: format!("r{i}") });
    }
    plan.leaver = Some(plan.core[draws.below(plan.core.len() as u64) as usize].clone());
    small_workload(plan, draws);
    searches(plan, &mut Draws::new(seed, "plan wan searches"));
    if !pure {
        faults(plan, seed);
    }
}

fn links(plan: &mut Plan, pure: bool, draws: &mut Draws) {
    let usual = LinkPlan { name: "usual".to_owned(), ..LinkPlan::default() };
    let mut far = LinkPlan { name: "far".to_owned(), ..LinkPlan::default() };
    (far.latency_us, far.jitter_us) = (2_000 + draws.below(150_000), draws.below(20_000));
    far.bandwidth = 1_000_000 + draws.below(50_000_000);
    if !pure {
        far.loss = draws.below(1000) as f64 / 1000.0 * 0.05;
    }
    plan.link = vec![usual, far];
    let mapping_ms = draws.chance(0.5).then(|| 10_000 + draws.below(300_000));
    plan.internet = Some(InternetPlan { link: Some("far".to_owned()), mapping_ms });
}

fn homes(plan: &mut Plan, draws: &mut Draws) {
    // The smaller of two: most seeds are quick.
    let homes = 2 + draws.below(5).min(draws.below(5));
    for home in 0..homes {
        let mut lan = lan(&format!("home{home}"));
        lan.router = Some(Nat::ALL[draws.below(4) as usize]);
        for _ in 0..=draws.below(3).min(draws.below(3)) {
            let i = plan.node.len();
            let (name, of) = (format!("n{i}"), format!("h{i}"));
            let mut host = host(&of, draws);
            host.lans = vec![lan.name.clone()];
            plan.host.push(host);
            let early = draws.chance(0.5);
            let start_ms = draws.below(if early { 1_000 } else { plan.chaos_ms });
            plan.node.push(node(&name, &of, start_ms, draws));
            plan.core.push(name);
        }
        plan.lan.push(lan);
    }
}

/// One to four, at least one of them honest.
fn servers(plan: &mut Plan, draws: &mut Draws) {
    let count = 1 + draws.below(4);
    let honest = draws.below(count);
    for i in 0..count {
        let kind = match draws.below(6) {
            0 | 1 => Honesty::Honest,
            2 => Honesty::Dead,
            _ => Honesty::Lying,
        };
        let kind = if i == honest { Honesty::Honest } else { kind };
        let crowds = kind == Honesty::Lying && draws.chance(0.1);
        plan.server.push(ServerPlan { name: format!("s{i}"), kind, crowds });
    }
}

/// Hosts with an IPv6 address for all, mostly one that a pattern gives, and nodes that search for others.
fn searches(plan: &mut Plan, draws: &mut Draws) {
    if !draws.chance(0.3) {
        return;
    }
    // A search begins and ends where nothing translates.
    for lan in &mut plan.lan {
        if draws.chance(0.6) {
            lan.router = Some(Nat::None);
        }
    }
    for (i, host) in plan.host.iter_mut().enumerate() {
        let home = plan.lan.iter().position(|lan| lan.name == host.lans[0]).unwrap_or(0) as u16;
        let tail = match draws.below(8) {
            0..=3 => [0, 0, 0, 1 + draws.below(255) as u16],
            4 => [0, 0, 0, [0xcafe, 0xbeef, 0xf00d][draws.below(3) as usize]],
            5 => [0, 0, 0xc0a8, draws.below(512) as u16],
            6 => [0, 0, 0, draws.below(0x1_0000) as u16],
            _ => std::array::from_fn(|_| draws.below(0x1_0000) as u16),
        };
        let [a, b, c, d] = tail;
        let ip = Ipv6Addr::new(0x2a0e, 0, 0, home, a, b, c, d);
        host.ipv6 = Some(ip).filter(|ip| !ip.is_unspecified());
        plan.node[i].answers_searches = draws.chance(0.6);
    }
    for i in 0..plan.host.len() {
        let ip = plan.host[i].ipv6;
        if plan.host[..i].iter().any(|other| other.ipv6 == ip) {
            plan.host[i].ipv6 = None;
        }
    }
    for _ in 0..=draws.below(3) {
        let per_second = 20 + draws.below(300) as u32;
        let searcher = draws.below(plan.node.len() as u64) as usize;
        let elsewhere = |lan: &usize| plan.lan[*lan].name != plan.host[searcher].lans[0];
        let homes: Vec<usize> = (0..plan.lan.len()).filter(elsewhere).collect();
        let home = homes[draws.below(homes.len() as u64) as usize];
        plan.search.push(SearchPlan {
            at_ms: draws.below(plan.chaos_ms / 2),
            node: plan.node[searcher].name.clone(),
            prefix: format!("2a0e:0:0:{home:x}::/64"),
            per_second,
            // Over before the chaos is.
            total: 1 + draws.below(u64::from(per_second) * 6),
        });
    }
}

/// For each kind whether there is any, then how many, when and whom they meet.
fn faults(plan: &mut Plan, seed: u64) {
    let kinds = [
        "server-down",
        "relay-down",
        "uplink-down",
        "router-restart",
        "move",
        "partition",
        "crash",
        "away",
        "pause",
        "reset",
        "stall",
        "address-change",
    ];
    for kind in kinds {
        let draws = &mut Draws::new(seed, &format!("plan wan fault {kind}"));
        if !draws.chance(0.35) {
            continue;
        }
        for _ in 0..=draws.below(3) {
            if let Some(fault) = fault(plan, kind, draws) {
                plan.fault.push(fault);
            }
        }
    }
    plan.fault.sort_by_key(Fault::at_ms);
}

fn fault(plan: &Plan, kind: &str, draws: &mut Draws) -> Option<Fault> {
    let at_ms = draws.below(plan.chaos_ms);
    let quick = draws.chance(0.5);
    let for_ms = 50 + draws.below(if quick { 2_000 } else { 15_000 });
    let any = |draws: &mut Draws, count: usize| draws.below(count as u64) as usize;
    let node = plan.node[any(draws, plan.node.len())].name.clone();
    let host = plan.host[any(draws, plan.host.len())].clone();
    let lan = plan.lan[any(draws, plan.lan.len())].name.clone();
    let other = plan.node[any(draws, plan.node.len())].name.clone();
    let server = plan.server[any(draws, plan.server.len())].name.clone();
    Some(match kind {
        "server-down" => {
            let homes = if draws.chance(0.5) { Vec::new() } else { vec![lan] };
            Fault::ServerDown { at_ms, for_ms: for_ms * 2, server, homes }
        }
        "relay-down" => {
            let relay = plan.relay.get(any(draws, plan.relay.len().max(1)))?.name.clone();
            Fault::RelayDown { at_ms, for_ms: if quick { for_ms * 3 } else { FOR_GOOD }, relay }
        }
        "uplink-down" => Fault::UplinkDown { at_ms, for_ms, lan },
        "router-restart" => Fault::RouterRestart { at_ms, lan },
        "move" => Fault::Move { at_ms, host: host.name, lan },
        "partition" => {
            let home = |draws: &mut Draws, lan: &String| (lan.clone(), draws.chance(0.5));
            let sides: Vec<_> = plan.lan.iter().map(|lan| home(draws, &lan.name)).collect();
            let of = |side: bool| {
                let there = |host: &&super::plan::HostPlan| {
                    sides.iter().any(|(lan, of)| *lan == host.lans[0] && *of == side)
                };
                plan.host.iter().filter(there).map(|host| host.name.clone()).collect::<Vec<_>>()
            };
            let (a, b) = (of(true), of(false));
            if a.is_empty() || b.is_empty() {
                return None;
            }
            Fault::Partition { at_ms, for_ms, a, b, c: Vec::new(), one_way: false }
        }
        "crash" => {
            let restart = match draws.below(6) {
                0 => Restart::WithoutDisk,
                1 => Restart::NewIdentity,
                _ => Restart::Same,
            };
            Fault::Crash { at_ms, for_ms, node, power: draws.chance(0.4), restart }
        }
        "away" => Fault::Away { at_ms, for_ms: for_ms.max(500), node },
        "pause" => Fault::Pause { at_ms, for_ms, node },
        "reset" if node != other => Fault::Reset { at_ms, a: node, b: other },
        "stall" if node != other => Fault::Stall { at_ms, for_ms, a: node, b: other },
        "address-change" => {
            let lan = host.lans[0].clone();
            Fault::AddressChange { at_ms, host: host.name, lan }
        }
        _ => return None,
    })
}
