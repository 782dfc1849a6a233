//! The first node shares a file; its disk gives one wrong block, and streams come in crumbs.

use std::time::Duration;

use p2pnet_engine::{BLOCK_SIZE, BlockRef};

use crate::draws::seed_bytes;
use crate::whole_nodes::faults::FaultProfile;
use crate::whole_nodes::lan::{Failed, Lan, Settings};
use crate::whole_nodes::scenario::Scenario;

const SIZE: usize = 3 * BLOCK_SIZE + 7;

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "share-file",
    about: "a file of 3 MiB and 7 bytes reaches everybody whole, though one block is read wrong once",
    nodes: 3,
    least: 2,
    most: 6,
    plan_text: include_str!("../../../plans/scenarios/share-file.toml"),
    settings: |nodes| {
        let crumbs = FaultProfile {
            stream_delay: 0.05,
            stream_delay_up_to: Duration::from_millis(20),
            stream_split: 0.1,
            ..FaultProfile::none()
        };
        Settings::default().nodes(nodes).faults(crumbs)
    },
    body,
};

fn body(lan: &mut Lan) -> Result<(), Failed> {
    let bytes: Vec<u8> = seed_bytes(0, "a shared file").into_iter().cycle().take(SIZE).collect();
    lan.run_until("all trust each other", Duration::from_secs(3), Lan::all_trusted)?;
    let content = lan.publish(0, "holiday.raw", bytes.clone());
    lan.rot(0, BlockRef { content, index: 1 });
    let others: Vec<usize> = (1..lan.len()).collect();
    lan.run_until("everybody has the file", Duration::from_secs(20), |lan| {
        others.iter().all(|&i| lan.received(i, &content).is_some())
    })?;
    let equal = others.iter().all(|&i| lan.received(i, &content).as_ref() == Some(&bytes));
    lan.check("every copy is equal to the original", equal)?;
    let fetched: u64 = others.iter().filter_map(|&i| lan.fetched_bytes(i, &content)).sum();
    let expected = (others.len() * SIZE + BLOCK_SIZE) as u64;
    lan.check("exactly one block was fetched again", fetched == expected)?;
    lan.run_until("the source knows it", Duration::from_secs(1), |lan| {
        others.iter().all(|&i| lan.knows_holder(0, &content, i))
    })?;
    let faults = lan.faults();
    lan.check("streams were delayed and split", faults.streams_delayed > 0 && faults.streams_split > 0)?;
    lan.leave(0);
    lan.run_until("the others see it leave", Duration::from_secs(3), |lan| {
        others.iter().all(|&i| !lan.connected(i, 0))
    })
}
