//! How soon a crash and a goodbye are noticed, and that nobody is ever lost who lives. Run with `--nocapture` to see the
//! figures.

use std::fmt::Write;
use std::time::Duration;

use p2pnet_engine::Liveness;
use p2pnet_sim::World;
use p2pnet_sim::world::faults::FaultKind;
use p2pnet_sim::world::plan::Plan;

/// Nodes of one network whose links lose this share; the first one crashes at `crash_ms`, without power, for good.
fn mesh(seed: u64, nodes: usize, link: &str, loss: f64, crash_ms: Option<u64>) -> Plan {
    let names: Vec<String> = (0..nodes).map(|i| format!("\"n{i}\"")).collect();
    let mut toml = format!(
        "schema = 1\nseed = {seed}\nchaos_ms = 90000000\nquiet_ms = 1000\ncrypto = \"cheap\"\ncore = [{}]\n\
         [[link]]\nname = \"usual\"\nloss = {loss}\n{link}\n[[lan]]\nname = \"net\"\nlink = \"usual\"\n",
        names[1..].join(", ")
    );
    for name in &names {
        // Writing to a String does not fail.
        let _ = write!(
            toml,
            "[[host]]\nname = {name}\nlans = [\"net\"]\n[[node]]\nname = {name}\nhost = {name}\n"
        );
    }
    if let Some(at_ms) = crash_ms {
        let _ = write!(
            toml,
            "[[fault]]\nkind = \"crash\"\nat_ms = {at_ms}\nfor_ms = 90000000\nnode = \"n0\"\npower = true\nrestart = \"never\"\n"
        );
    }
    Plan::parse(&toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

const WIRED: &str = "latency_us = 200\njitter_us = 100";
const RADIO: &str =
    "latency_us = 3000\njitter_us = 8000\nbandwidth = 3000000\nduplication = 0.02\nreordering = 0.05";

/// How long after the crash each of the others took it for lost, in milliseconds.
fn noticed_after(seed: u64, link: &str, loss: f64) -> Vec<u64> {
    // Anywhere within the second between two pings.
    let crash_ms = 20_000 + seed * 7_919 % 1_000;
    let mut world = World::new(mesh(seed, 5, link, loss, Some(crash_ms)), false);
    world.run_for(Duration::from_millis(crash_ms));
    let gone = world.peer_id(0);
    let mut noticed = Vec::new();
    let mut waiting: Vec<usize> = (1..world.len()).collect();
    for after in (0..20_000).step_by(20) {
        waiting.retain(|&node| {
            let view = world.engine(node).and_then(|engine| engine.peer(&gone));
            let lost = view.is_some_and(|view| view.liveness == Some(Liveness::Lost));
            noticed.extend(lost.then_some(after));
            !lost
        });
        world.run_for(Duration::from_millis(20));
    }
    assert_eq!(world.outcome(None).failure, None, "seed {seed}");
    assert!(waiting.is_empty(), "seed {seed}: never noticed by {waiting:?}");
    noticed
}

#[test]
fn a_crash_is_noticed_within_five_seconds() {
    for (name, link) in [("wired", WIRED), ("radio", RADIO)] {
        for loss in [0.0, 0.1, 0.2] {
            let mut all: Vec<u64> = (0..50).flat_map(|seed| noticed_after(seed, link, loss)).collect();
            all.sort_unstable();
            let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)];
            println!(
                "{name}, {:.0} % lost: {} observers, p50 {} ms, p99 {} ms, worst {} ms",
                loss * 100.0,
                all.len(),
                at(50),
                at(99),
                all[all.len() - 1]
            );
            assert!(at(99) <= 5_000, "{name} at {loss}");
        }
    }
}

/// Runs six nodes whose network loses a tenth of all packets: nobody may be lost, although streams stall.
fn no_false_alarm(hours: u64) {
    let mut world = World::new(mesh(1, 6, WIRED, 0.1, None), false);
    for _ in 0..hours {
        world.run_for(Duration::from_secs(3600));
        assert_eq!(world.outcome(None).failure, None);
    }
    let engines = || (0..world.len()).filter_map(|node| world.engine(node));
    let lost: u64 = engines().map(|engine| engine.stats().peers_lost).sum();
    let replaced = world.marks().count(p2pnet_engine::Mark::StalledGivenUp);
    let quiet = world.marks().count(p2pnet_engine::Mark::PeerQuiet);
    println!(
        "{hours} h, {} packets sent again: {quiet} times quiet, {replaced} stalled links replaced, {lost} lost",
        world.faults().of(FaultKind::Retransmission)
    );
    assert_eq!(lost, 0);
    assert!(quiet > 0, "nothing ever stalled: this tests nothing");
}

#[test]
fn nobody_is_lost_falsely_in_an_hour_at_a_tenth_of_loss() {
    no_false_alarm(1);
}

/// The same for a day.
#[test]
#[ignore = "takes a minute; `cargo test -p p2pnet-sim --test liveness -- --ignored --nocapture`"]
fn nobody_is_lost_falsely_in_a_day_at_a_tenth_of_loss() {
    no_false_alarm(24);
}

#[test]
fn a_goodbye_is_seen_by_a_hundred_nodes_within_half_a_second() {
    // Three datagrams to everybody, and the links.
    let mut plan = mesh(1, 100, WIRED, 0.1, None);
    for (i, node) in plan.node.iter_mut().enumerate() {
        node.start_ms = i as u64 * 50;
    }
    let at_ms = 40_000;
    plan.leave.push(p2pnet_sim::world::plan::LeavePlan { at_ms, node: "n0".to_owned() });
    let mut world = World::new(plan, false);
    world.run_for(Duration::from_millis(at_ms - 1));
    let leaver = world.peer_id(0);
    let know = |world: &World| {
        let knows = |node: &usize| world.engine(*node).is_some_and(|engine| engine.peer(&leaver).is_some());
        (1..world.len()).filter(knows).count()
    };
    assert_eq!(know(&world), 99, "everybody knows the leaver");
    let mut after = 0;
    while know(&world) > 0 {
        assert!(after < 500, "{} still know it", know(&world));
        world.run_for(Duration::from_millis(1));
        after += 1;
    }
    println!("a goodbye was seen by 99 others within {after} ms, though a tenth of all packets is lost");
    assert_eq!(world.outcome(None).failure, None);
}
