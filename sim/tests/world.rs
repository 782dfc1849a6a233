//! The World: seeds of every profile, plans that once failed, and the same run twice.

use std::fs;
use std::path::Path;

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Profile, expand};

#[test]
fn a_plan_gives_the_same_run_with_and_without_a_trace() {
    for (_, profile) in Profile::ALL {
        let (_, bare) = run_plan(expand(3, profile), false);
        let (world, traced) = run_plan(expand(3, profile), true);
        assert_eq!(bare.hash, traced.hash, "{profile:?}");
        assert!(world.trace().is_some_and(|trace| !trace.entries().is_empty()));
        assert_ne!(bare.hash, run_plan(expand(4, profile), false).1.hash);
    }
}

#[test]
fn a_few_seeds_of_the_friendly_profiles_hold() {
    for profile in [Profile::Calm, Profile::Lan] {
        for seed in 0..20 {
            let (_, outcome) = run_plan(expand(seed, profile), false);
            assert_eq!(outcome.failure, None, "seed {seed} of {profile:?}");
        }
    }
}

#[test]
fn plans_that_once_failed_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/regressions");
    let mut plans = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let plan = Plan::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(run_plan(plan, false).1.failure, None, "{}", path.display());
        plans += 1;
    }
    assert!(plans > 0);
}

#[test]
fn a_bound_that_is_too_short_fails_and_names_what_is_pending() {
    let mut plan = expand(1, Profile::Calm);
    // Nobody starts before the end, so nobody can know anybody.
    plan.node.iter_mut().for_each(|node| node.start_ms = plan.chaos_ms * 100);
    plan.converge_ms = Some(0);
    let failure = run_plan(plan, false).1.failure.expect("nothing can have converged");
    assert_eq!((failure.check.as_str(), failure.class.exit_code()), ("discovery", 12));
    assert!(failure.message.contains("does not know"), "{failure}");
}
