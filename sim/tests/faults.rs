//! Faults that hurt: each is seen to happen, and to be survived.

use std::time::Duration;

use p2pnet_engine::Cadence;
use p2pnet_sim::{Detail, Failed, FaultProfile, Lan, Settings, run};

const SECOND: Duration = Duration::from_secs(1);

fn together(lan: &mut Lan) -> Result<(), Failed> {
    lan.run_until("all trust each other", 3 * SECOND, Lan::all_trusted)
}

/// Lets one fault happen to streams that are up, then ends it and waits until all are well again.
fn stream_fault(name: &str, profile: FaultProfile, happened: fn(&Lan) -> bool) {
    for seed in 0..5 {
        let report = run(name, seed, Settings::default(), |lan| {
            together(lan)?;
            lan.set_faults(profile);
            lan.run_until("the fault happens", 20 * SECOND, happened)?;
            lan.set_faults(FaultProfile::none());
            lan.run_until("the link is lost", 6 * SECOND, |lan| lan.lost_links(0) + lan.lost_links(1) > 0)?;
            lan.run_until("both are together again", 10 * SECOND, Lan::all_trusted)
        });
        let _ = report.passed(Detail::Links);
    }
}

#[test]
fn a_corrupted_stream_ends_as_a_closed_link() {
    let profile = FaultProfile { stream_corruption: 1.0, ..FaultProfile::none() };
    stream_fault("corrupted stream", profile, |lan| lan.faults().streams_corrupted > 0);
}

/// The peer still answers datagrams, so it is not told to be lost: another stream takes the place of the one that carries
/// nothing any more, and what is said then arrives.
#[test]
fn a_stalled_stream_is_noticed_and_replaced() {
    let profile = FaultProfile { stream_stall: 1.0, ..FaultProfile::none() };
    for seed in 0..5 {
        let report = run("stalled stream", seed, Settings::default(), |lan| {
            together(lan)?;
            lan.set_faults(profile);
            lan.run_until("the fault happens", 20 * SECOND, |lan| lan.faults().streams_stalled > 0)?;
            lan.set_faults(FaultProfile::none());
            lan.send_text(0, 1, "said to a stalled stream");
            lan.send_text(1, 0, "and back");
            lan.run_until("the texts arrive", 10 * SECOND, |lan| {
                lan.texts(1) == ["said to a stalled stream"] && lan.texts(0) == ["and back"]
            })?;
            lan.run_until("both are together again", 10 * SECOND, Lan::all_trusted)
        });
        let _ = report.passed(Detail::Links);
    }
}

#[test]
fn a_stream_that_breaks_is_replaced() {
    let profile = FaultProfile { stream_reset: 1.0, ..FaultProfile::none() };
    stream_fault("broken stream", profile, |lan| lan.faults().streams_reset > 0);
}

#[test]
fn a_stream_in_crumbs_carries_texts() {
    let profile = FaultProfile {
        stream_split: 1.0,
        stream_delay: 0.2,
        stream_delay_up_to: Duration::from_millis(5),
        ..FaultProfile::none()
    };
    let report = run("crumbs", 1, Settings::default().faults(profile), |lan| {
        lan.run_until("all trust each other", 10 * SECOND, Lan::all_trusted)?;
        let text = "x".repeat(5000);
        lan.send_text(0, 1, &text);
        lan.run_until("the text arrives", 10 * SECOND, |lan| lan.texts(1) == [text.clone()])?;
        lan.check("reads were split", lan.faults().streams_split > 100)
    });
    let _ = report.passed(Detail::Links);
}

#[test]
fn datagrams_that_are_lost_doubled_corrupted_and_overtaken_hurt_nobody() {
    let profile = FaultProfile::none().loss(0.2).duplication(0.2).corruption(0.2).reordering(0.2);
    for seed in 0..5 {
        let settings = Settings::default()
            .nodes(3)
            .faults(profile)
            .config(|_, config| config.cadence = Cadence::Constant { interval: SECOND / 2 });
        let report = run("bad datagrams", seed, settings, |lan| {
            lan.run_until("all trust each other", 6 * SECOND, Lan::all_trusted)?;
            lan.run_until("each fault happened ten times", 60 * SECOND, |lan| {
                let faults = lan.faults();
                faults.datagrams_lost.min(faults.datagrams_duplicated) >= 10
                    && faults.datagrams_corrupted.min(faults.datagrams_reordered) >= 10
            })?;
            let lost = (0..3).map(|i| lan.lost_links(i)).sum::<u64>();
            lan.check("no link was lost", lan.all_trusted() && lost == 0)
        });
        let _ = report.passed(Detail::Links);
    }
}

#[test]
fn a_link_survives_an_outage_of_two_seconds_and_not_one_of_ten() {
    for (seconds, survives) in [(2, true), (10, false)] {
        let report = run("outage", 1, Settings::default(), |lan| {
            together(lan)?;
            lan.hold(&[0], &[1]);
            lan.send_text(0, 1, "held up");
            lan.run_for(seconds * SECOND)?;
            lan.check("nothing got through", lan.texts(1).is_empty())?;
            lan.release(&[0], &[1]);
            lan.run_until("the text arrives", 3 * SECOND, |lan| lan.texts(1) == ["held up"])?;
            lan.run_until("both trust each other", 3 * SECOND, Lan::all_trusted)?;
            lan.check("the link is the same", (lan.lost_links(0) + lan.lost_links(1) == 0) == survives)
        });
        let _ = report.passed(Detail::Links);
    }
}

#[test]
fn broadcast_alone_is_enough() {
    let report = run("broadcast", 1, Settings::default().multicast(false), together);
    let text = report.passed(Detail::Everything);
    assert!(text.contains("to all:8001") && !text.contains("to group:"), "{text}");
}

#[test]
fn with_all_datagrams_lost_nobody_finds_anybody() {
    let settings = Settings::default().faults(FaultProfile::none().loss(1.0));
    let report = run("silence", 1, settings, |lan| lan.run_until("they meet", 5 * SECOND, Lan::all_trusted));
    let failed = report.result.unwrap_err();
    assert_eq!(failed.to_string(), "at 5000 ms: they meet within 5000 ms");
    assert!(report.faults.datagrams_lost > 0);
}
