//! Many nodes on one LAN: a newcomer soon knows everybody, the air stays quiet, in steady state and when all start at
//! once, and the links of all are one overlay, whoever comes and goes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use p2pnet_engine::{Level, PeerId};
use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::{Crypto, World};

/// So many datagrams a second are the most that a LAN carries in steady state, however many nodes are on it.
const QUIET: f64 = 15.0;

/// Links that a node keeps up in a crowd, `Config::active_links`.
const ENOUGH: usize = 12;

/// When a node starts, and when its host loses its power for good, in milliseconds.
type Life = (u64, Option<u64>);

fn lan(lives: &[Life]) -> World {
    lan_with(lives, "")
}

/// With more of a plan.
fn lan_with(lives: &[Life], more: &str) -> World {
    let mut plan =
        "schema = 1\nseed = 1\nchaos_ms = 0\nquiet_ms = 0\ncore = []\n[[lan]]\nname = \"lan\"\n".to_owned();
    if lives.len() > 1000 {
        plan.insert_str(0, "max_peers = 2048\n");
    }
    for (i, (start, end)) in lives.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(
            plan,
            "[[host]]\nname = \"h{i}\"\nlans = [\"lan\"]\n[[node]]\nname = \"n{i}\"\nhost = \"h{i}\"\nstart_ms = {start}\n"
        );
        if let Some(end) = end {
            let _ = write!(
                plan,
                "[[fault]]\nkind = \"crash\"\nat_ms = {end}\nfor_ms = 1\nnode = \"n{i}\"\npower = true\nrestart = \"never\"\n"
            );
        }
    }
    plan.push_str(more);
    let plan = Plan::parse(&plan).expect("the plan is valid");
    World::new(Plan { crypto: Crypto::Cheap, ..plan }, false)
}

/// So many nodes that start one after the other within `spread_ms`, and stay.
fn staying(nodes: u64, spread_ms: u64) -> Vec<Life> {
    (0..nodes).map(|i| (spread_ms * i / nodes, None)).collect()
}

fn sent(world: &World) -> u64 {
    (0..world.len()).filter_map(|node| world.engine(node)).map(|engine| engine.stats().datagrams_sent).sum()
}

fn dialled(world: &World) -> u64 {
    (0..world.len()).filter_map(|node| world.engine(node)).map(|engine| engine.stats().dials_started).sum()
}

/// Runs so many seconds; the most datagrams and dials of any of them, and the mean of datagrams.
fn seconds(world: &mut World, count: u64) -> (u64, u64, f64) {
    let (mut most_datagrams, mut most_dials) = (0, 0);
    let begin = sent(world);
    for _ in 0..count {
        let before = (sent(world), dialled(world));
        world.run_for(Duration::from_secs(1));
        most_datagrams = most_datagrams.max(sent(world).saturating_sub(before.0));
        most_dials = most_dials.max(dialled(world).saturating_sub(before.1));
        if world.len() >= 1000 {
            progress(world);
        }
    }
    (most_datagrams, most_dials, (sent(world) - begin) as f64 / count as f64)
}

/// For whoever waits.
fn progress(world: &World) {
    let known: usize =
        (0..world.len()).filter_map(|node| world.engine(node)).map(|e| e.peers().count()).sum();
    eprintln!(
        "  {:?}: {} datagrams, {} dials, {} peers known in all, {} MiB",
        world.elapsed(),
        sent(world),
        dialled(world),
        known,
        resident_kib() / 1024
    );
}

/// Nodes that run and have been there for this long.
fn there(world: &World, lives: &[Life], for_ms: u64) -> Vec<usize> {
    let now = u64::try_from(world.elapsed().as_millis()).unwrap();
    (0..lives.len()).filter(|&node| world.engine(node).is_some() && lives[node].0 + for_ms <= now).collect()
}

/// The links of a node to peers that are trusted.
fn links(world: &World, node: usize) -> BTreeSet<PeerId> {
    let peers = world.engine(node).into_iter().flat_map(|engine| engine.peers());
    peers.filter(|peer| peer.level == Level::Trusted).map(|peer| peer.id).collect()
}

/// In how many parts the overlay of these nodes is.
fn parts(world: &World, nodes: &[usize]) -> usize {
    let mut left: BTreeSet<usize> = nodes.iter().copied().collect();
    let mut parts = 0;
    while let Some(first) = left.pop_first() {
        parts += 1;
        let mut next = vec![first];
        while let Some(node) = next.pop() {
            for other in links(world, node).iter().filter_map(|peer| world.node_of(peer)) {
                if left.remove(&other) {
                    next.push(other);
                }
            }
        }
    }
    parts
}

/// How many of these nodes know a node.
fn knowing(world: &World, nodes: &[usize], of: usize) -> usize {
    let id = world.peer_id(of);
    nodes
        .iter()
        .filter(|&&node| node == of || world.engine(node).is_some_and(|e| e.peer(&id).is_some()))
        .count()
}

#[test]
fn a_hundred_nodes_are_quiet_and_a_newcomer_knows_all_within_three_seconds() {
    let mut lives = staying(100, 5_000);
    lives.push((30_000, None));
    let mut world = lan(&lives);
    world.run_for(Duration::from_secs(30));
    let mut millis = 0;
    while world.engine(100).is_none_or(|engine| engine.peers().count() < 100) {
        assert!(millis < 3_000, "it knows {:?}", world.engine(100).map(|engine| engine.peers().count()));
        world.run_for(Duration::from_millis(50));
        millis += 50;
    }
    let known = knowing(&world, &(0..100).collect::<Vec<_>>(), 100);
    println!("a newcomer among 100 knows all after {millis} ms at most, and {known} know it");
    assert_eq!(known, 100);

    world.run_for(Duration::from_secs(5));
    let (_, _, mean) = seconds(&mut world, 30);
    println!("101 nodes: {mean:.1} datagrams a second");
    assert!(mean <= QUIET, "{mean} datagrams a second");
    assert_eq!(world.outcome(None).failure, None);
}

/// Messages of 200 bytes from n0 to all, so many milliseconds apart.
fn messages(count: u64, from_ms: u64, every_ms: u64) -> String {
    let message =
        |i| format!("[[message]]\nat_ms = {}\nfrom = \"n0\"\nbytes = 200\n", from_ms + i * every_ms);
    (0..count).map(message).collect()
}

fn copies(world: &World) -> u64 {
    (0..world.len()).filter_map(|node| world.engine(node)).map(|engine| engine.stats().gossip_received).sum()
}

#[test]
fn messages_to_a_hundred_nodes_come_once_by_a_shallow_tree() {
    const FIRST: usize = 20;
    const ALL: usize = 220;
    let lives = staying(100, 5_000);
    // The first ones find the tree.
    let plan = messages(FIRST as u64, 20_000, 100) + &messages((ALL - FIRST) as u64, 30_000, 50);
    let mut world = lan_with(&lives, &plan);
    world.run_for(Duration::from_secs(30));
    let before = copies(&world);
    world.run_for(Duration::from_secs(15));
    let redundancy = (copies(&world) - before) as f64 / ((ALL - FIRST) * 99) as f64 - 1.0;
    let hops = (1..100).flat_map(|node| world.messages_of(node).range(FIRST..).map(|(_, &hops)| hops));
    let last = hops.max().unwrap();
    println!("100 nodes: redundancy (RMR) {redundancy:.3}, last delivery hop (LDH) {last}");
    for node in 1..100 {
        assert_eq!(world.messages_of(node).len(), ALL, "n{node}");
    }
    assert!(redundancy < 0.2 && last < 15);
    assert_eq!(world.outcome(None).failure, None);
}

#[test]
fn nobody_who_stays_misses_a_message_while_others_come_and_go() {
    const MESSAGES: usize = 600;
    const FROM: u64 = 30_000;
    const CHURN: u64 = 60_000;
    // In a minute every tenth loses its power, and as many start.
    let mut lives = staying(100, 5_000);
    for i in 0..10 {
        let at = FROM + CHURN * i / 10;
        lives[usize::try_from(5 + i * 10).unwrap()].1 = Some(at);
        lives.push((at, None));
    }
    let mut world = lan_with(&lives, &messages(MESSAGES as u64, FROM, 100));
    world.run_for(Duration::from_millis(FROM));
    let before = copies(&world);
    world.run_for(Duration::from_millis(CHURN));
    let taken: usize = (0..world.len()).map(|node| world.messages_of(node).len()).sum();
    let redundancy = (copies(&world) - before) as f64 / taken as f64 - 1.0;
    world.run_for(Duration::from_secs(20));
    let hops = (1..world.len()).flat_map(|node| world.messages_of(node).values().copied());
    println!(
        "100 nodes, 10 % a minute come and go: redundancy (RMR) {redundancy:.3}, last delivery hop (LDH) {}",
        hops.max().unwrap()
    );
    for node in (1..100).filter(|&node| lives[node].1.is_none()) {
        assert_eq!(world.messages_of(node).len(), MESSAGES, "n{node}");
    }
    assert_eq!(world.outcome(None).failure, None);
}

#[test]
fn a_hundred_nodes_stay_one_overlay_while_many_come_and_go() {
    churn(100);
}

/// Minutes, and some gigabytes.
#[test]
#[ignore = "minutes"]
fn a_thousand_nodes_stay_one_overlay_while_many_come_and_go() {
    churn(1000);
}

/// For two minutes 10 % of the nodes a minute lose their power and as many newcomers start; then 30 % lose theirs at
/// once.
fn churn(nodes: u64) {
    const SETTLED: u64 = 60_000;
    const CHURN: u64 = 120_000;
    let mut lives = staying(nodes, 5_000);
    let goers = nodes * CHURN / 600_000;
    for i in 0..goers {
        let at = SETTLED + CHURN * i / goers;
        lives[usize::try_from(i * nodes / goers).unwrap()].1 = Some(at);
        lives.push((at, None));
    }
    let crash = SETTLED + CHURN + 20_000;
    for (i, life) in lives.iter_mut().enumerate() {
        if life.1.is_none() && i % 10 < 3 {
            life.1 = Some(crash);
        }
    }
    let mut world = lan(&lives);
    world.run_for(Duration::from_millis(SETTLED));
    let degrees: Vec<usize> =
        there(&world, &lives, 10_000).iter().map(|&node| links(&world, node).len()).collect();
    let mean = degrees.iter().sum::<usize>() as f64 / degrees.len() as f64;
    println!(
        "{nodes} nodes: {mean:.1} links each, {} to {}",
        degrees.iter().min().unwrap(),
        degrees.iter().max().unwrap()
    );
    assert!(degrees.iter().all(|&degree| degree >= ENOUGH), "{degrees:?}");
    // Every second: one overlay of all that are there for 10 s, and how long newcomers take to be known by all.
    let mut unknown: BTreeSet<usize> = BTreeSet::new();
    let mut slowest = 0;
    for _ in 0..(CHURN + 19_000) / 1000 {
        world.run_for(Duration::from_secs(1));
        assert_eq!(parts(&world, &there(&world, &lives, 10_000)), 1, "at {:?}", world.elapsed());
        let now = u64::try_from(world.elapsed().as_millis()).unwrap();
        let first = usize::try_from(nodes).unwrap();
        unknown.extend((first..lives.len()).filter(|&node| (now - 1_000..now).contains(&lives[node].0)));
        let all = there(&world, &lives, 5_000);
        for newcomer in unknown.clone() {
            let age = now - lives[newcomer].0;
            if knowing(&world, &all, newcomer) == all.len() {
                unknown.remove(&newcomer);
                slowest = slowest.max(age);
            } else {
                assert!(age < 5_000, "{} of {} know n{newcomer}", knowing(&world, &all, newcomer), all.len());
            }
        }
    }
    println!(
        "{nodes} nodes, 10 % a minute come and go: one overlay; known by all after {slowest} ms at most"
    );
    world.run_for(Duration::from_millis(1_001));
    let left = there(&world, &lives, 10_000);
    for second in 0..30 {
        assert_eq!(parts(&world, &left), 1, "{second} s after 30 % lost their power");
        world.run_for(Duration::from_secs(1));
    }
    let degrees: Vec<usize> = left.iter().map(|&node| links(&world, node).len()).collect();
    println!(
        "{} of them are left after 30 % lost their power at once: one overlay, {} links at least",
        left.len(),
        degrees.iter().min().unwrap()
    );
    assert!(degrees.iter().all(|&degree| degree >= 4));
    assert_eq!(world.outcome(None).failure, None);
    let kib = resident_kib() / nodes;
    println!("{kib} KiB of memory for each node, World and tables of {} peers included", lives.len());
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Minutes, and some gigabytes.
#[test]
#[ignore = "minutes"]
fn a_thousand_nodes_that_start_at_once_cause_no_storm() {
    let mut world = lan(&staying(1000, 0));
    let (datagrams, dials, _) = seconds(&mut world, 10);
    println!("1000 nodes at once: at most {datagrams} datagrams and {dials} dials in a second");
    assert_eq!(world.outcome(None).failure, None);
    // Of each node: three beacons of six datagrams, its rated replies, and the budget of dials.
    assert!(datagrams <= 1000 * (3 * 6 + 44));
    assert!(dials <= 1000 * 64);
    // Longer than the slowest beacons are apart: every minute of it is quiet.
    seconds(&mut world, 110);
    for minute in 2..10 {
        let (_, dials, mean) = seconds(&mut world, 60);
        println!("1000 nodes, minute {minute}: {mean:.1} datagrams and at most {dials} dials in a second");
        assert!(mean <= QUIET, "{mean} datagrams a second");
    }
    assert_eq!(world.outcome(None).failure, None);
}
