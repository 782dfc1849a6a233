//! A plan out of a seed.

use crate::draws::Draws;

use super::faults::{Fault, Restart, Traffic};
use super::plan::{
    ContentPlan, Crypto, Firewall, HostPlan, LanPlan, LeavePlan, LinkPlan, NodePlan, PLAN_SCHEMA, PathPlan,
    Plan, TextPlan,
};
use super::{
    expand_adversary, expand_churn, expand_discovery, expand_messages, expand_more, expand_transfer,
    expand_verification, expand_wan,
};

/// What kind of network a seed is expanded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Networks and hosts of every kind, and nothing that matters but finding each other.
    Discovery,
    /// A wired network where nothing breaks.
    Calm,
    /// A wired network with rare loss; machines crash, sleep and move, cables are pulled.
    Lan,
    /// Radio: bursts of loss, jitter, lost multicasts, access points that keep stations apart.
    Wifi,
    /// Everything at once, and strangers.
    Hostile,
    /// A wired network in which nodes come and go all the time, up to a hundred of them.
    Churn,
    /// Somebody is there to do harm.
    Adversary,
    /// Contents of several blocks, and all that can come between.
    Transfer,
    /// Nodes that let in whom they choose: people compare codes, applications decide, authorities vouch.
    Verification,
    /// Messages to one and to all, in small networks and in crowds.
    Messages,
    /// Homes behind routers, bootstrap servers that lie, relays that die.
    Wan,
}

impl Profile {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Profile); 11] = [
        ("discovery", Profile::Discovery),
        ("calm", Profile::Calm),
        ("lan", Profile::Lan),
        ("wifi", Profile::Wifi),
        ("hostile", Profile::Hostile),
        ("churn", Profile::Churn),
        ("adversary", Profile::Adversary),
        ("transfer", Profile::Transfer),
        ("verification", Profile::Verification),
        ("messages", Profile::Messages),
        ("wan", Profile::Wan),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Profile::ALL.iter().find(|(_, profile)| *profile == self).map_or("", |(name, _)| name)
    }

    /// The profile of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Profile> {
        Profile::ALL.iter().find(|(known, _)| *known == name).map(|&(_, profile)| profile)
    }
}

/// The plan of a seed. Which kinds of fault there are at all is drawn first, for each seed anew (swarm testing, Groce
/// et al. 2012): runs with few kinds reach what runs with all of them never do.
#[must_use]
pub fn expand(seed: u64, profile: Profile) -> Plan {
    let mut plan = Plan {
        schema: PLAN_SCHEMA,
        seed,
        profile: profile.name().to_owned(),
        chaos_ms: match profile {
            Profile::Calm | Profile::Discovery => 5_000,
            Profile::Lan | Profile::Wan => 20_000,
            Profile::Wifi | Profile::Hostile => 25_000,
            Profile::Churn => 30_000,
            Profile::Adversary | Profile::Transfer | Profile::Verification | Profile::Messages => 12_000,
        },
        quiet_ms: if profile >= Profile::Churn { 5_000 } else { 10_000 },
        converge_ms: None,
        core: Vec::new(),
        leaver: None,
        crypto: Crypto::Real,
        badge: false,
        code: false,
        operator: false,
        max_links: None,
        max_peers: None,
        link: Vec::new(),
        lan: Vec::new(),
        host: Vec::new(),
        path: Vec::new(),
        node: Vec::new(),
        fault: Vec::new(),
        adversary: Vec::new(),
        text: Vec::new(),
        message: Vec::new(),
        content: Vec::new(),
        hold: Vec::new(),
        leave: Vec::new(),
        dial: Vec::new(),
        part: Vec::new(),
        internet: None,
        server: Vec::new(),
        relay: Vec::new(),
        search: Vec::new(),
        #[cfg(feature = "planted")]
        bug: None,
        #[cfg(feature = "planted")]
        bug_in: Vec::new(),
    };
    match profile {
        Profile::Discovery => expand_discovery::fill(&mut plan, seed),
        Profile::Churn => expand_churn::fill(&mut plan, seed),
        Profile::Adversary => expand_adversary::fill(&mut plan, seed),
        Profile::Transfer => expand_transfer::fill(&mut plan, seed),
        Profile::Verification => expand_verification::fill(&mut plan, seed),
        Profile::Messages => expand_messages::fill(&mut plan, seed),
        Profile::Wan => expand_wan::fill(&mut plan, seed),
        Profile::Calm | Profile::Lan | Profile::Wifi | Profile::Hostile => general(&mut plan, profile, seed),
    }
    plan
}

/// The profiles that differ in how much there is of each.
fn general(plan: &mut Plan, profile: Profile, seed: u64) {
    let mut draws = Draws::new(seed, &format!("plan topology {}", profile.name()));
    links(plan, profile, &mut draws);
    topology(plan, profile, &mut draws);
    core(plan, profile, &mut Draws::new(seed, "plan core"));
    workload(plan, profile, &mut Draws::new(seed, "plan workload"));
    faults(plan, profile, seed);
    expand_more::corners(plan, profile, seed);
}

fn links(plan: &mut Plan, profile: Profile, draws: &mut Draws) {
    let share = |draws: &mut Draws, most: f64| draws.below(1000) as f64 / 1000.0 * most;
    let mut usual = LinkPlan { name: "usual".to_owned(), ..LinkPlan::default() };
    usual.latency_us = 50 + draws.below(1000);
    usual.jitter_us = draws.below(500);
    match profile {
        Profile::Lan => {
            usual.loss = share(draws, 0.01);
            usual.reordering = share(draws, 0.01);
            usual.duplication = share(draws, 0.01);
            usual.partial_reads = share(draws, 0.2);
        }
        Profile::Wifi | Profile::Hostile => {
            usual.latency_us = 500 + draws.below(20_000);
            usual.jitter_us = draws.below(30_000);
            usual.bandwidth = 500_000 + draws.below(12_000_000);
            usual.queue_ms = 5 + draws.below(200);
            usual.loss = share(draws, 0.1);
            usual.burst_loss = share(draws, 0.9);
            usual.enter_burst = share(draws, 0.02);
            usual.leave_burst = 0.05 + share(draws, 0.4);
            usual.duplication = share(draws, 0.05);
            usual.reordering = share(draws, 0.1);
            usual.partial_reads = share(draws, 0.5);
        }
        _ => {}
    }
    if profile == Profile::Hostile {
        usual.corruption = share(draws, 0.1);
        usual.truncation = share(draws, 0.05);
        usual.stream_corruption = if draws.chance(0.3) { share(draws, 0.01) } else { 0.0 };
    }
    let awful = LinkPlan {
        name: "awful".to_owned(),
        latency_us: 50_000 + draws.below(400_000),
        jitter_us: draws.below(200_000),
        bandwidth: 20_000 + draws.below(200_000),
        queue_ms: 20,
        loss: 0.1 + share(draws, 0.4),
        ..usual.clone()
    };
    plan.link = vec![usual, awful];
}

fn topology(plan: &mut Plan, profile: Profile, draws: &mut Draws) {
    let nodes = match profile {
        Profile::Wifi | Profile::Hostile => 3 + draws.below(4),
        _ => 2 + draws.below(4),
    };
    let lan = |name: &str, draws: &mut Draws| LanPlan {
        name: name.to_owned(),
        link: Some("usual".to_owned()),
        broadcast: true,
        multicast: true,
        drops: Vec::new(),
        ipv4: true,
        ipv6: false,
        mtu: if profile >= Profile::Wifi && draws.chance(0.1) { 300 } else { 1500 },
        isolated: Vec::new(),
        router: None,
    };
    plan.lan.push(lan("net0", draws));
    let second = profile >= Profile::Lan && draws.chance(0.2);
    if second {
        plan.lan.push(lan("net1", draws));
    }
    let start_within = if draws.chance(0.3) { 0 } else { 3_000 };
    let mut hosts = 0;
    for i in 0..nodes {
        let shares = hosts > 0 && draws.chance(0.15);
        if !shares {
            let mut lans = vec!["net0".to_owned()];
            if second && draws.chance(0.5) {
                lans = vec!["net1".to_owned()];
                if draws.chance(0.5) {
                    lans.push("net0".to_owned());
                }
            }
            hosts += 1;
            plan.host.push(HostPlan {
                name: format!("h{hosts}"),
                lans,
                bridges: Vec::new(),
                tunnels: Vec::new(),
                firewall: Firewall::None,
                clock_offset_ms: draws.below(1_000_000),
                clock_drift_ppm: if profile == Profile::Calm { 0 } else { draws.below(200) as i64 - 100 },
                disk_delay_us: draws.below(5_000),
                ipv6: None,
            });
        }
        plan.node.push(NodePlan {
            name: char::from(b'a' + i as u8).to_string(),
            host: format!("h{hosts}"),
            start_ms: draws.below(start_within + 1),
            takes_offers: i == 0 || draws.chance(0.9),
            aes: draws.chance(0.5),
            impostor: false,
            by_policy: false,
            declines: false,
            small: false,
            answers_searches: false,
            trust: None,
        });
    }
    if profile >= Profile::Wifi && draws.chance(0.3) {
        let stations = plan.host.iter().map(|host| host.name.clone()).filter(|_| draws.chance(0.5));
        plan.lan[0].isolated = stations.collect();
    }
    if profile >= Profile::Lan && plan.host.len() > 1 && draws.chance(0.2) {
        let (from, to) = (plan.host[0].name.clone(), plan.host[1].name.clone());
        plan.path.push(PathPlan { from, to, link: "awful".to_owned() });
    }
}

/// Two nodes or more that share a network, the first among them; impostors are never of the core.
fn core(plan: &mut Plan, profile: Profile, draws: &mut Draws) {
    let whole = profile == Profile::Calm || draws.chance(0.5);
    for (i, node) in plan.node.iter_mut().enumerate() {
        if i < 2 || whole || draws.chance(0.5) {
            plan.core.push(node.name.clone());
        }
    }
    let leaver = draws.below(plan.core.len() as u64) as usize;
    plan.leaver = Some(plan.core[leaver].clone());
    plan.badge = profile >= Profile::Lan && draws.chance(0.3);
    if plan.badge {
        for node in plan.node.iter_mut().filter(|node| !plan.core.contains(&node.name)) {
            node.impostor = draws.chance(0.7);
        }
    }
}

fn workload(plan: &mut Plan, profile: Profile, draws: &mut Draws) {
    let names: Vec<String> = plan.node.iter().map(|node| node.name.clone()).collect();
    let any = |draws: &mut Draws, names: &[String]| names[draws.below(names.len() as u64) as usize].clone();
    let chaos = plan.chaos_ms;
    for _ in 0..draws.below(8) {
        let (from, to) = (any(draws, &names), any(draws, &names));
        if from != to {
            plan.text.push(TextPlan {
                at_ms: draws.below(chaos),
                from,
                to,
                bytes: draws.below(2000) as usize,
            });
        }
    }
    let bytes = |draws: &mut Draws| match draws.below(10) {
        0 => 0,
        1..=6 => draws.below(100_000) as usize,
        _ => draws.below(2_500_000) as usize,
    };
    for _ in 0..=draws.below(2) {
        plan.content.push(ContentPlan {
            at_ms: draws.below(chaos),
            from: any(draws, &names),
            bytes: bytes(draws),
            twin: None,
            withdraw_ms: None,
        });
    }
    // What is sent after the network was healed must arrive.
    let core = plan.core.clone();
    plan.content.push(ContentPlan {
        at_ms: chaos + 500,
        from: any(draws, &core),
        bytes: 1 + bytes(draws),
        twin: None,
        withdraw_ms: None,
    });
    for pair in core.windows(2) {
        let (from, to) = (pair[0].clone(), pair[1].clone());
        plan.text.push(TextPlan { at_ms: chaos + draws.below(3_000), from, to, bytes: 20 });
    }
    let others: Vec<String> = names.iter().filter(|name| !core.contains(name)).cloned().collect();
    if profile >= Profile::Lan && !others.is_empty() && draws.chance(0.3) {
        plan.leave.push(LeavePlan { at_ms: draws.below(chaos), node: any(draws, &others) });
    }
}

/// Draws the faults: for each kind whether there is any, then how many, when and whom they meet.
fn faults(plan: &mut Plan, profile: Profile, seed: u64) {
    let kinds: &[(&str, Profile)] = &[
        ("partition", Profile::Lan),
        ("one-way", Profile::Wifi),
        ("broadcast-loss", Profile::Wifi),
        ("multicast-loss", Profile::Lan),
        ("degrade", Profile::Lan),
        ("crash", Profile::Lan),
        ("power", Profile::Lan),
        ("without-disk", Profile::Wifi),
        ("new-identity", Profile::Lan),
        ("clone", Profile::Hostile),
        ("pause", Profile::Lan),
        ("address-change", Profile::Lan),
        ("interface-down", Profile::Lan),
        ("clock-jump", Profile::Lan),
        ("slow-reader", Profile::Lan),
        ("disk-full", Profile::Lan),
        ("disk-errors", Profile::Lan),
        ("disk-slow", Profile::Lan),
        ("bit-rot", Profile::Lan),
        ("reset", Profile::Lan),
        ("refuse", Profile::Lan),
        ("stranger", Profile::Hostile),
    ];
    if profile == Profile::Calm {
        return;
    }
    for (kind, _) in kinds.iter().filter(|(_, least)| profile >= *least) {
        let mut draws = Draws::new(seed, &format!("plan fault {kind}"));
        if !draws.chance(if *kind == "clone" { 0.9 } else { 0.35 }) {
            continue;
        }
        for _ in 0..=draws.below(3) {
            if let Some(fault) = fault(plan, kind, &mut draws) {
                plan.fault.push(fault);
            }
        }
    }
    plan.fault.sort_by_key(Fault::at_ms);
}

fn fault(plan: &Plan, kind: &str, draws: &mut Draws) -> Option<Fault> {
    let at_ms = draws.below(plan.chaos_ms);
    let for_ms = 50 + if draws.chance(0.5) { draws.below(2_000) } else { draws.below(15_000) };
    let node = plan.node[draws.below(plan.node.len() as u64) as usize].name.clone();
    let other = plan.node[draws.below(plan.node.len() as u64) as usize].name.clone();
    let first = plan.host[draws.below(plan.host.len() as u64) as usize].clone();
    let second = plan.host[draws.below(plan.host.len() as u64) as usize].name.clone();
    let lan = first.lans[draws.below(first.lans.len() as u64) as usize].clone();
    let host = first.name;
    let rates = [1u64, 10, 100];
    let number = draws.below(1000);
    Some(match kind {
        "partition" | "one-way" => {
            let (a, b): (Vec<String>, Vec<String>) =
                plan.host.iter().map(|host| host.name.clone()).partition(|_| draws.chance(0.5));
            if a.is_empty() || b.is_empty() {
                return None;
            }
            Fault::Partition { at_ms, for_ms, a, b, c: Vec::new(), one_way: kind == "one-way" }
        }
        "broadcast-loss" => Fault::BroadcastLoss { at_ms, for_ms, lan },
        "multicast-loss" => Fault::MulticastLoss { at_ms, for_ms, lan },
        "degrade" if host != second => {
            Fault::Degrade { at_ms, for_ms, from: host, to: second, link: "awful".to_owned() }
        }
        "crash" => Fault::Crash { at_ms, for_ms, node, power: false, restart: Restart::Same },
        "power" => {
            let restart = if number < 200 { Restart::Never } else { Restart::Same };
            Fault::Crash { at_ms, for_ms, node, power: true, restart }
        }
        "without-disk" => {
            Fault::Crash { at_ms, for_ms, node, power: number < 500, restart: Restart::WithoutDisk }
        }
        "new-identity" => {
            Fault::Crash { at_ms, for_ms, node, power: number < 500, restart: Restart::NewIdentity }
        }
        "clone" => {
            // Two of one identity fight for good: neither can be of the core.
            let mut outside: Vec<String> = plan
                .node
                .iter()
                .map(|node| node.name.clone())
                .filter(|name| !plan.core.contains(name))
                .collect();
            if outside.len() < 2 {
                return None;
            }
            let node = outside.swap_remove(draws.below(outside.len() as u64) as usize);
            // One identity that shows both badges is neither an impostor's nor not.
            let impostor = |name: &String| plan.node.iter().any(|node| node.name == *name && node.impostor);
            outside.retain(|name| impostor(name) == impostor(&node));
            if outside.is_empty() {
                return None;
            }
            let other = outside.swap_remove(draws.below(outside.len() as u64) as usize);
            Fault::Clone { at_ms, for_ms, node, clone: other }
        }
        "pause" => Fault::Pause { at_ms, for_ms, node },
        "address-change" => Fault::AddressChange { at_ms, host, lan },
        "interface-down" => Fault::InterfaceDown { at_ms, for_ms, host, lan },
        "clock-jump" => {
            Fault::ClockJump { at_ms, host, by_ms: number * number / 30, noticed: number.is_multiple_of(2) }
        }
        "slow-reader" => {
            let rate = rates[draws.below(3) as usize] * 1000;
            Fault::SlowReader { at_ms, for_ms, node, bytes_per_second: rate }
        }
        "disk-full" => Fault::DiskFull { at_ms, for_ms, node },
        "disk-errors" => Fault::DiskErrors { at_ms, for_ms, node, share: number as f64 / 1000.0 },
        "disk-slow" => Fault::DiskSlow { at_ms, for_ms, node, delay_ms: 1 + number * number / 100 },
        "bit-rot" => Fault::BitRot { at_ms, for_ms, node },
        "reset" if node != other => Fault::Reset { at_ms, a: node, b: other },
        "refuse" => Fault::Refuse { at_ms, for_ms, host },
        "stranger" => {
            let traffic = [Traffic::Garbage, Traffic::Replay, Traffic::Forged, Traffic::Silence]
                [draws.below(4) as usize];
            let per_second = (rates[draws.below(3) as usize] * 2) as u32;
            Fault::Stranger { at_ms, for_ms, lan, traffic, per_second }
        }
        _ => return None,
    })
}

/// A network of the usual link.
pub(super) fn lan(name: &str) -> LanPlan {
    LanPlan {
        name: name.to_owned(),
        link: Some("usual".to_owned()),
        broadcast: true,
        multicast: true,
        drops: Vec::new(),
        ipv4: true,
        ipv6: false,
        mtu: 1500,
        isolated: Vec::new(),
        router: None,
    }
}

/// A machine in `net0`.
pub(super) fn host(name: &str, draws: &mut Draws) -> HostPlan {
    HostPlan {
        name: name.to_owned(),
        lans: vec!["net0".to_owned()],
        bridges: Vec::new(),
        tunnels: Vec::new(),
        firewall: Firewall::None,
        clock_offset_ms: draws.below(1_000_000),
        clock_drift_ppm: draws.below(200) as i64 - 100,
        disk_delay_us: draws.below(2_000),
        ipv6: None,
    }
}

/// A node on it.
pub(super) fn node(name: &str, host: &str, start_ms: u64, draws: &mut Draws) -> NodePlan {
    NodePlan {
        name: name.to_owned(),
        host: host.to_owned(),
        start_ms,
        takes_offers: true,
        aes: draws.chance(0.5),
        impostor: false,
        by_policy: false,
        declines: false,
        small: false,
        answers_searches: false,
        trust: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_valid_and_comes_back_from_its_toml() {
        for (_, profile) in Profile::ALL {
            for seed in 0..200 {
                let plan = expand(seed, profile);
                assert_eq!(Plan::parse(&plan.to_toml()).as_ref(), Ok(&plan));
            }
        }
    }
}
