//! The exhaustive search finds what it is there for: with each bug that concerns links it complains, and rightly.

use p2pnet_engine::Bug;

use crate::search::Search;
use crate::world::{Begin, Scenario};

/// Searches with and without the bug.
fn finds(bug: Bug, scenario: &Scenario, depth: usize, complaint: &str) {
    let sound = Search::run(scenario.clone(), depth);
    assert_eq!((sound.wrong, &sound.first), (0, &None), "without {}", bug.id());
    let figures = Search::run(Scenario { bug: Some(bug), ..scenario.clone() }, depth);
    println!("{}: wrong in {} of {} orders", bug.id(), figures.wrong, figures.orders);
    let (states, ends, contested, settled) = (sound.states, sound.ends, sound.contested, sound.settled);
    println!("  without it: {states} states, {ends} ends, {contested} contests, {settled} settled");
    let (found, ops) = figures.first.unwrap_or_else(|| panic!("{} was not found", bug.id()));
    println!("  first: {found}, after {} operations", ops.len());
    assert!(found.contains(complaint), "{}: {found}, after {ops:#?}", bug.id());
}

#[test]
fn two_links_that_stay() {
    finds(Bug::KeepBothLinks, &Scenario::pair(Begin::Dialled), usize::MAX, "open: [(0, 1, LinkId(");
}

#[test]
fn two_links_and_then_none() {
    finds(
        Bug::CutTheWinner,
        &Scenario::pair(Begin::Heard),
        usize::MAX,
        "a peer left though nothing was lost",
    );
}

#[test]
fn two_that_each_keep_their_own() {
    finds(
        Bug::EachKeepsItsOwn,
        &Scenario::pair(Begin::Heard),
        usize::MAX,
        "a peer left though nothing was lost",
    );
}

#[test]
fn a_reconnect_that_is_told_twice() {
    let scenario = Scenario { cuts: 1, looks: 1, ..Scenario::pair(Begin::Heard) };
    finds(Bug::EventsDoNotAlternate, &scenario, 9, "was told twice: PeerConnected");
}

#[test]
fn a_lost_link_that_never_comes_back() {
    let scenario = Scenario { cuts: 1, ..Scenario::pair(Begin::Heard) };
    finds(Bug::NeverRedial, &scenario, 10, "without faults");
}
