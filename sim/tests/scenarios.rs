//! The plans that tell a story, each with its faults.

use std::fs;
use std::path::Path;
use std::time::Duration;

use p2pnet_sim::World;
use p2pnet_sim::world::faults::{FaultKind, FaultTally};
use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;

fn plan(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/scenarios").join(format!("{name}.toml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Plan::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What must happen in a scenario, or it tests nothing.
fn bite(name: &str) -> &'static [FaultKind] {
    match name {
        "s03-restart-at-once" => &[FaultKind::Crash, FaultKind::Restart],
        "s04-same-key-twice" => &[FaultKind::Clone],
        "s09-multicast-dropped" => &[FaultKind::MulticastLoss],
        "s10-broadcast-dropped" => &[FaultKind::BroadcastLoss],
        "s11-unicast-only" => &[FaultKind::BroadcastLoss, FaultKind::MulticastLoss, FaultKind::PowerLoss],
        "s12-one-way-firewall" | "s15-dialler-cannot" => &[FaultKind::KeptOut],
        "s16-listener-later" => &[FaultKind::Refused],
        "s17-interface-down" | "s18-roaming" => &[FaultKind::InterfaceDown],
        "s19-sleep" => &[FaultKind::Sleep],
        "s20-swapped-addresses" => &[FaultKind::AddressSwap],
        "partition-heal" | "s21-long-partition" => &[FaultKind::Partition],
        "s22-each-says-the-other-is-down" => &[FaultKind::BridgePartition],
        "s25-stalled-node" => &[FaultKind::Pause],
        "s30-clocks-a-day-apart" => &[FaultKind::PowerLoss],
        "lossy-lan" => &[FaultKind::Loss],
        _ => &[],
    }
}

#[test]
fn every_scenario_holds_with_many_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/scenarios");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 25, "{names:?}");
    for name in names.iter().filter(|name| *name != "s31-crowd") {
        // Who has the smaller key, and so who waits for whom, differs from seed to seed.
        let slow = ["s19-sleep", "s21-long-partition", "share-file"].contains(&name.as_str());
        let seeds = if slow { 2 } else { 10 };
        // Which side dials first follows from the keys, and a firewall has nothing to do if it is its own host.
        let mut happened = FaultTally::default();
        for seed in 1..=seeds {
            let mut plan = plan(name);
            plan.seed = seed;
            let (_, outcome) = run_plan(plan, false);
            assert_eq!(outcome.failure, None, "{name}, seed {seed}");
            happened.add(&outcome.faults);
            if name == "s26-small-mtu" {
                assert_eq!(outcome.faults.of(FaultKind::Fragmentation), 0, "a beacon came in pieces");
            }
        }
        for &kind in bite(name) {
            assert!(happened.of(kind) > 0, "{name}: no {kind:?}");
        }
    }
}

#[test]
fn a_newcomer_among_a_hundred_knows_everybody_within_three_seconds() {
    let plan = plan("s31-crowd");
    let newcomer = plan.node.iter().position(|node| node.name == "newcomer").unwrap();
    let (start, others) = (plan.node[newcomer].start_ms, plan.node.len() - 1);
    let mut world = World::new(plan, false);
    world.run_for(Duration::from_millis(start + 3_000));
    assert_eq!(world.outcome(None).failure, None);
    assert_eq!(world.engine(newcomer).unwrap().peers().count(), others);
    let knows = |node: usize| world.engine(node).unwrap().peer(&world.peer_id(newcomer)).is_some();
    let strangers = (0..others).filter(|&node| !knows(node)).count();
    assert_eq!(strangers, 0, "who do not know the newcomer");
}
