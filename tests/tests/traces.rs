//! What scenarios look like from start to end. `cargo insta review` shows and takes changes; CI takes none.

use std::time::Duration;

use p2pnet_sim::{Detail, Settings, find, run};

fn trace(scenario: &str, nodes: usize) -> String {
    let scenario = find(scenario).expect("the scenario exists");
    scenario.run_with(1, (scenario.settings)(nodes)).passed(Detail::Links)
}

#[test]
fn simultaneous_start() {
    insta::assert_snapshot!(trace("simultaneous-start", 2));
}

#[test]
fn crash_restart() {
    insta::assert_snapshot!(trace("crash-restart", 3));
}

#[test]
fn share_file() {
    insta::assert_snapshot!(trace("share-file", 3));
}

/// The whole of what a test of an application needs: a scenario of its own and a snapshot of its trace.
#[test]
fn a_scenario_of_ones_own() {
    let report = run("three texts", 7, Settings::default(), |lan| {
        lan.run_until("both trust each other", Duration::from_secs(2), |lan| lan.all_trusted())?;
        for text in ["one", "two", "three"] {
            lan.send_text(0, 1, text);
        }
        lan.run_until("all arrive", Duration::from_secs(1), |lan| lan.texts(1) == ["one", "two", "three"])
    });
    insta::assert_snapshot!(report.passed(Detail::Events));
}
