//! Every planted bug is found by a check that is meant for it, and every check can be seen to fail.

use std::collections::BTreeSet;

use p2pnet_engine::Bug;
use p2pnet_sim::world::checks::SENTENCES;
use p2pnet_sim::world::planting::{all, find};

/// Seeds that are tried for each bug; none may need more.
const SEEDS: u64 = 1000;

#[test]
fn every_planted_bug_is_found_by_a_check_that_is_meant_for_it() {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found_by = BTreeSet::new();
    let mut missed = Vec::new();
    for plant in all() {
        let search = plant.search(0..SEEDS, plant.profile, jobs);
        match search.found {
            Some((_, failure)) if plant.checks.contains(&failure.check.as_str()) => {
                found_by.insert(failure.check);
            }
            found => missed.push((plant.id, found)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    // A bug that several checks may find is looked for on, until the rarer of them has found it as well.
    for plant in all() {
        let mut from = 0;
        while plant.checks.iter().any(|check| !found_by.contains(*check))
            && let Some((seed, failure)) = plant.search(from..SEEDS, plant.profile, jobs).found
        {
            from = seed + 1;
            if plant.checks.contains(&failure.check.as_str()) {
                found_by.insert(failure.check);
            }
        }
    }
    let idle: Vec<&str> = SENTENCES.iter().map(|(id, ..)| *id).filter(|id| !found_by.contains(*id)).collect();
    assert!(idle.is_empty(), "no planted bug makes these checks fail: {idle:?}");
}

#[test]
fn every_bug_of_the_engine_can_be_planted_under_its_id() {
    for bug in Bug::ALL {
        let plant = find(bug.id()).expect("all() has every bug");
        assert!(!plant.checks.is_empty(), "{}: say in planting.rs which check must find it", plant.id);
        assert_eq!(plant.sentence, bug.sentence());
    }
    let known = |id: &&str| SENTENCES.iter().any(|(known, ..)| known == id);
    assert!(all().iter().all(|plant| plant.checks.iter().all(&known)));
    assert!(find("no-such-bug").is_none());
}
