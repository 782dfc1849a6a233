//! Every fifth datagram is lost and every fiftieth comes twice.

use std::time::Duration;

use p2pnet_engine::Cadence;

use crate::whole_nodes::faults::FaultProfile;
use crate::whole_nodes::lan::{Failed, Lan, Settings};
use crate::whole_nodes::scenario::Scenario;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "lossy-lan",
    about: "20 % of all datagrams are lost and 2 % come twice; all find each other and stay together",
    nodes: 3,
    least: 2,
    most: 10,
    plan_text: include_str!("../../../plans/scenarios/lossy-lan.toml"),
    settings: |nodes| {
        Settings::default()
            .nodes(nodes)
            .faults(FaultProfile::none().loss(0.2).duplication(0.02))
            // Often enough that 2 % are some within the time of the scenario.
            .config(|_, config| config.cadence = Cadence::Constant { interval: Duration::from_millis(500) })
    },
    body,
};

fn body(lan: &mut Lan) -> Result<(), Failed> {
    lan.run_until("all trust each other", Duration::from_secs(6), Lan::all_trusted)?;
    lan.send_text(0, 1, "through the noise");
    lan.run_until("a text is delivered", Duration::from_secs(1), |lan| lan.delivered(0) == 1)?;
    lan.run_until("20 datagrams were lost and 3 came twice", Duration::from_secs(60), |lan| {
        let faults = lan.faults();
        faults.datagrams_lost >= 20 && faults.datagrams_duplicated >= 3
    })?;
    let together = lan.all_trusted() && (0..lan.len()).all(|i| lan.lost_links(i) == 0);
    lan.check("nobody lost anybody", together)?;
    lan.check("the text came once", lan.texts(1) == ["through the noise"])
}
