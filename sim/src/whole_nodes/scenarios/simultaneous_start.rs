//! All nodes start in the same tick on the same port.

use std::time::Duration;

use crate::trace::What;
use crate::whole_nodes::lan::{Failed, Lan, Settings};
use crate::whole_nodes::scenario::Scenario;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "simultaneous-start",
    about: "all nodes start in the same tick on the same port and end with one link a pair",
    nodes: 2,
    least: 2,
    most: 10,
    plan_text: include_str!("../../../plans/scenarios/simultaneous-start.toml"),
    settings: |nodes| Settings::default().nodes(nodes),
    body,
};

fn body(lan: &mut Lan) -> Result<(), Failed> {
    lan.run_until("all trust each other", Duration::from_millis(1500), Lan::all_trusted)?;
    let starts: Vec<f64> = lan
        .trace()
        .entries()
        .iter()
        .filter(|entry| matches!(entry.what, What::Started { .. }))
        .map(|entry| entry.t_ms)
        .collect();
    let same_tick = starts.windows(2).all(|pair| pair[0] == pair[1]);
    lan.check("all started in the same tick", starts.len() == lan.len() && same_tick)?;
    lan.run_for(Duration::from_secs(10))?;
    let quiet = lan.all_trusted() && (0..lan.len()).all(|i| lan.lost_links(i) == 0);
    lan.check("nobody lost anybody in the ten seconds after", quiet)
}
