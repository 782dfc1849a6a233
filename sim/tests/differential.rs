//! The same plan in the World and on turmoil must come to the same.

use std::fs;
use std::path::Path;

use p2pnet_sim::world::faults::{Fault, Restart};
use p2pnet_sim::world::plan::{Plan, TextPlan};
use p2pnet_sim::{
    Beyond, Both, LogicalState, Profile, Relation, all, differences, expand, reduce, run_both, run_on_turmoil,
};

/// The plan of a small scenario, to change.
fn scenario(name: &str) -> Plan {
    p2pnet_sim::find(name).unwrap_or_else(|| panic!("there is a scenario {name}")).plan(7)
}

fn agree(plan: &Plan) -> Both {
    let both = run_both(plan).unwrap_or_else(|beyond| panic!("{beyond:?}"));
    assert_eq!(both.world.failure, None, "{} {}", plan.profile, plan.seed);
    assert_eq!(both.turmoil.failure, None, "{} {}", plan.profile, plan.seed);
    assert_eq!(both.differences, [], "{} {}", plan.profile, plan.seed);
    both
}

/// Each node trusts each other one of these.
fn all_trust(state: &LogicalState, names: &[&str]) -> bool {
    names.iter().all(|a| {
        names.iter().filter(|b| *b != a).all(|b| state.nodes[*a].peers.get(*b) == Some(&Relation::Trusted))
    })
}

#[test]
fn every_scenario_as_a_plan_comes_to_the_same_in_both_drivers() {
    for scenario in all() {
        let both = agree(&scenario.plan(7));
        let stay: &[&str] = if scenario.name == "share-file" { &["b", "c"] } else { &["a", "b", "c"] };
        assert!(all_trust(&both.turmoil.state, stay), "{}:\n{}", scenario.name, both.turmoil.state);
        let faults = both.turmoil.faults;
        match scenario.name {
            "crash-restart" => assert_eq!(faults.crashes, 1),
            "lossy-lan" => assert!(faults.datagrams_lost > 0 && faults.datagrams_duplicated > 0),
            "partition-heal" => {
                assert_eq!(faults.outages, 2);
                assert!(faults.datagrams_partitioned > 0);
            }
            "share-file" => {
                assert!(faults.streams_split > 0);
                assert!(both.turmoil.state.nodes.values().all(|node| node.holds.contains_key(&0)));
                assert!(!both.turmoil.state.nodes["a"].runs, "a left");
            }
            _ => {}
        }
    }
}

#[test]
fn seeds_come_to_the_same_in_both_drivers() {
    let mut faults = (0, 0, 0);
    for (profile, seeds) in [(Profile::Calm, 0..4), (Profile::Lan, 0..12)] {
        for seed in seeds {
            let mut plan = expand(seed, profile);
            reduce(&mut plan);
            let both = agree(&plan);
            let counts = both.turmoil.faults;
            faults.0 += counts.crashes;
            faults.1 += counts.outages;
            faults.2 += counts.datagrams_lost;
        }
    }
    assert!(faults.0 > 0 && faults.1 > 0 && faults.2 > 0, "crashes, outages, losses: {faults:?}");
}

#[test]
fn power_that_goes_and_disks_that_are_lost_come_to_the_same() {
    let mut plan = scenario("share-file");
    plan.leaver = None;
    plan.chaos_ms = 20_000;
    let crash = |node: &str, at_ms, power, restart| Fault::Crash {
        at_ms,
        for_ms: 2_000,
        node: node.to_owned(),
        power,
        restart,
    };
    plan.fault = vec![
        crash("a", 5_000, true, Restart::Same),
        crash("b", 9_000, true, Restart::WithoutDisk),
        crash("c", 14_000, false, Restart::NewIdentity),
    ];
    let both = agree(&plan);
    assert_eq!(both.turmoil.faults.crashes, 3);
    assert!(
        both.turmoil.state.nodes.values().all(|node| node.holds.contains_key(&0)),
        "{}",
        both.turmoil.state
    );
}

#[test]
fn streams_that_break_in_the_middle_of_a_transfer_come_to_the_same() {
    let mut plan = scenario("share-file");
    let reset = |at_ms| Fault::Reset { at_ms, a: "a".to_owned(), b: "b".to_owned() };
    plan.fault = vec![reset(3_020), reset(3_400)];
    let both = agree(&plan);
    assert!(both.turmoil.faults.streams_reset >= 2, "{:?}", both.turmoil.faults);
    assert!(both.turmoil.state.nodes["b"].holds.contains_key(&0), "{}", both.turmoil.state);
}

#[test]
fn an_impostor_that_only_one_driver_has_is_told() {
    let mut plan = scenario("crash-restart");
    plan.badge = true;
    let honest = agree(&plan);
    // An impostor is not of the core, or the World would wait for it in vain.
    plan.converge_ms = Some(2_000);
    plan.node[2].impostor = true;
    let betrayed = run_on_turmoil(&plan).unwrap();
    let failure = betrayed.failure.expect("nobody can trust c");
    assert_eq!((failure.check.as_str(), failure.class.exit_code()), ("links", 12), "{failure}");
    let told = differences(&plan, &honest.world_state, &betrayed.state);
    let about = |node: &str, peer: &str| {
        told.iter().any(|difference| {
            (difference.node.as_str(), difference.about.as_str()) == (node, peer)
                && difference.world == "trust"
                && difference.turmoil != "trust"
        })
    };
    assert!(about("a", "c") && about("c", "a") && about("b", "c"), "{told:?}");
    assert!(!about("a", "b"), "{told:?}");
}

#[test]
fn what_only_one_driver_publishes_or_sends_is_told() {
    let plan = scenario("share-file");
    let with = agree(&plan);
    let mut without = plan.clone();
    without.content.clear();
    let told = differences(&plan, &with.world_state, &run_on_turmoil(&without).unwrap().state);
    let lines: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("a, content 0: held as "), "{lines:?}");
    assert!(lines[0].ends_with(" in the World, not held on turmoil"), "{lines:?}");

    let mut plan = scenario("simultaneous-start");
    let silent = agree(&plan);
    plan.text.push(TextPlan { at_ms: 2_000, from: "a".to_owned(), to: "b".to_owned(), bytes: 10 });
    let told = differences(&plan, &silent.world_state, &run_on_turmoil(&plan).unwrap().state);
    let lines: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["b, text 0: not arrived in the World, arrived on turmoil"]);
}

#[test]
fn a_receiver_that_does_not_hold_what_its_publisher_does_is_told() {
    let plan = scenario("share-file");
    let both = agree(&plan);
    let mut tampered = both.turmoil.state.clone();
    tampered.nodes.get_mut("b").unwrap().holds.clear();
    tampered.nodes.get_mut("c").unwrap().peers.insert("b".to_owned(), Relation::Linked);
    tampered.nodes.get_mut("c").unwrap().runs = false;
    let told = differences(&plan, &both.world_state, &tampered);
    let told: Vec<(&str, &str)> =
        told.iter().map(|difference| (difference.node.as_str(), difference.about.as_str())).collect();
    assert_eq!(told, [("b", "content 0"), ("c", "itself"), ("c", "b")]);
}

#[test]
fn what_turmoil_cannot_do_is_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/regressions");
    let mut refused = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let plan = Plan::parse(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        refused += u64::from(run_on_turmoil(&plan).is_err());
    }
    assert!(refused > 0);
    let mut plan = scenario("simultaneous-start");
    plan.node[1].host = "ha".to_owned();
    plan.fault.push(Fault::Pause { at_ms: 100, for_ms: 100, node: "c".to_owned() });
    let beyond = run_on_turmoil(&plan).unwrap_err();
    assert_eq!(beyond[0], Beyond::SharedHost { host: "ha".to_owned(), nodes: 2 });
    let lines: Vec<String> = beyond.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "host `ha` has 2 nodes; turmoil has one node a host",
            "there is a pause at 100 ms; on turmoil a process cannot be stopped and go on",
        ]
    );
}

#[test]
fn a_plan_on_turmoil_is_the_same_run_each_time_and_another_with_another_seed() {
    let hash = |seed| run_on_turmoil(&Plan { seed, ..scenario("lossy-lan") }).unwrap().hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}
