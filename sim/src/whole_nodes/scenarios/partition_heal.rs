//! The first node is cut off from all others for a while.

use std::time::Duration;

use crate::whole_nodes::lan::{Failed, Lan, Settings};
use crate::whole_nodes::scenario::Scenario;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "partition-heal",
    about: "one node is cut off until all sides noticed, then the cut heals and all are together again",
    nodes: 3,
    least: 2,
    most: 8,
    plan_text: include_str!("../../../plans/scenarios/partition-heal.toml"),
    settings: |nodes| Settings::default().nodes(nodes),
    body,
};

fn body(lan: &mut Lan) -> Result<(), Failed> {
    let others: Vec<usize> = (1..lan.len()).collect();
    lan.run_until("all trust each other", Duration::from_secs(2), Lan::all_trusted)?;
    lan.partition(&[0], &others);
    lan.send_text(0, 1, "across the cut");
    lan.run_until("the others notice within five seconds", Duration::from_secs(5), |lan| {
        others.iter().all(|&i| !lan.connected(i, 0))
    })?;
    // Who hears nobody at all doubts itself first.
    lan.run_until("the one that is cut off notices, too", Duration::from_secs(5), |lan| {
        others.iter().all(|&i| !lan.connected(0, i))
    })?;
    lan.run_for(Duration::from_secs(10))?;
    let apart = others.iter().all(|&i| !lan.connected(0, i) && !lan.connected(i, 0));
    lan.check("nobody crossed the cut", apart && lan.texts(1).is_empty())?;
    lan.check("datagrams were lost to the cut", lan.faults().datagrams_partitioned > 0)?;
    let rest = others.iter().all(|&i| others.iter().all(|&j| i == j || lan.trusts(i, j)));
    lan.check("the others stayed together", rest)?;
    lan.heal(&[0], &others);
    lan.run_until("all trust each other again", Duration::from_secs(6), Lan::all_trusted)?;
    lan.run_until("the text arrives", Duration::from_secs(2), |lan| lan.delivered(0) == 1)?;
    lan.check("the text came once", lan.texts(1) == ["across the cut"])
}
