//! The second node's process is killed and starts again with its disk.

use std::time::Duration;

use crate::whole_nodes::lan::{Failed, Lan, Settings};
use crate::whole_nodes::scenario::Scenario;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "crash-restart",
    about: "one node is killed, misses a text, starts again with a higher incarnation and gets it",
    nodes: 3,
    least: 2,
    most: 8,
    plan_text: include_str!("../../../plans/scenarios/crash-restart.toml"),
    settings: |nodes| Settings::default().nodes(nodes),
    body,
};

fn body(lan: &mut Lan) -> Result<(), Failed> {
    lan.run_until("all trust each other", Duration::from_secs(2), Lan::all_trusted)?;
    let before = lan.peer_id(1);
    lan.crash(1);
    lan.run_until("the others notice", Duration::from_secs(5), |lan| {
        (0..lan.len()).all(|i| i == 1 || !lan.connected(i, 1))
    })?;
    lan.check("each of them saw the link end", (0..lan.len()).all(|i| i == 1 || lan.lost_links(i) == 1))?;
    lan.send_text(0, 1, "while you were away");
    lan.run_for(Duration::from_secs(3))?;
    lan.check("a dead node gets no text", lan.texts(1).is_empty())?;
    lan.restart(1);
    lan.run_until("all trust each other again", Duration::from_secs(3), Lan::all_trusted)?;
    lan.check(
        "it has its identity and a higher incarnation",
        lan.peer_id(1) == before && lan.incarnation(1) == 2,
    )?;
    lan.run_until("the text arrives", Duration::from_secs(2), |lan| lan.delivered(0) == 1)?;
    lan.check("the text came once", lan.texts(1) == ["while you were away"])?;
    lan.check("it crashed once", lan.faults().crashes == 1)
}
