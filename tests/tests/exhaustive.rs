//! Every order in which a few things can happen to two or three engines: whatever it is, in the end each pair has one
//! link, both sides use it, and both trust.
//!
//! Most searches begin when both nodes of a pair have dialled and the answers that prove keys are under way, so that
//! the contest of two links is at their heart; what comes before is taken apart by the search from the start. Most go
//! on until nothing more can happen. `cargo test -p p2pnet-tests --test exhaustive -- --nocapture` prints what each
//! visited; `planted` proves that the search finds what it looks for.

#[path = "exhaustive/planted.rs"]
mod planted;
#[path = "exhaustive/search.rs"]
mod search;
#[path = "exhaustive/world.rs"]
mod world;

use search::{Figures, Search};
use world::{Begin, Scenario};

/// Until nothing more can happen.
const ALL: usize = usize::MAX;

/// Searches; `states` is how many are visited at least, rounded down: fewer, and the search lost its way.
fn search(name: &str, scenario: Scenario, depth: usize, states: usize) -> Figures {
    let figures = Search::run(scenario, depth);
    println!("{name}: {figures:?}");
    if let Some((wrong, ops)) = &figures.first {
        panic!("{name}: {wrong}, after {ops:#?}; in {} of {} orders", figures.wrong, figures.orders);
    }
    assert_eq!(figures.wrong, 0);
    assert!(figures.states >= states && figures.ends > 0, "hardly anything happened: {figures:?}");
    assert!(figures.orders > figures.ends.into(), "no two orders led to one state: {figures:?}");
    figures
}

/// Searches where two links must have met in most orders.
fn contest(name: &str, scenario: Scenario, depth: usize, states: usize) -> Figures {
    let figures = search(name, scenario, depth, states);
    assert!(figures.contested > 0, "two links never met: {figures:?}");
    figures
}

#[test]
fn two_that_dial_each_other_in_every_order() {
    let figures = contest("from the start", Scenario::pair(Begin::Apart), ALL, 350_000);
    assert!(figures.settled > 0, "no contest ended: {figures:?}");
}

#[test]
fn two_links_of_one_pair_in_every_order() {
    for begin in [Begin::Dialled, Begin::Heard] {
        let figures = contest(&format!("{begin:?}"), Scenario::pair(begin), ALL, 3_600);
        // Nothing is lost, so whoever had two has one in the end.
        assert!(figures.settled == figures.contested, "a contest did not end: {figures:?}");
    }
}

#[test]
fn two_whose_streams_break_in_every_order() {
    for begin in [Begin::Dialled, Begin::Heard] {
        let scenario = Scenario { cuts: 1, ..Scenario::pair(begin) };
        let figures = contest(&format!("{begin:?}, a cut"), scenario, ALL, 46_000);
        assert!(figures.settled > 0, "no contest ended: {figures:?}");
    }
}

#[test]
fn two_that_part_on_purpose_in_every_order() {
    for begin in [Begin::Dialled, Begin::Heard] {
        let scenario = Scenario { parts: 1, ..Scenario::pair(begin) };
        contest(&format!("{begin:?}, a parting"), scenario, ALL, 21_000);
    }
}

#[test]
fn two_that_crash_and_restart_in_every_order() {
    contest("Heard, a crash", Scenario { crashes: 1, ..Scenario::pair(Begin::Heard) }, ALL, 177_000);
    contest("Dialled, a crash", Scenario { crashes: 1, ..Scenario::pair(Begin::Dialled) }, 12, 21_000);
}

#[test]
fn two_whose_deadlines_come_in_every_order() {
    contest("Dialled, a deadline", Scenario { timers: 1, ..Scenario::pair(Begin::Dialled) }, 12, 30_000);
    contest("Heard, two deadlines", Scenario { timers: 2, ..Scenario::pair(Begin::Heard) }, 10, 16_000);
}

#[test]
fn two_whose_applications_look_late_in_every_order() {
    contest(
        "Heard, a cut, a look",
        Scenario { cuts: 1, looks: 1, ..Scenario::pair(Begin::Heard) },
        9,
        21_000,
    );
}

#[test]
fn three_in_every_order() {
    let ring = Scenario { nodes: 3, dials: vec![(0, 1), (1, 2), (2, 0)], ..Scenario::pair(Begin::Heard) };
    search("a ring of three", ring, 11, 11_000);
    let both = vec![(0, 1), (1, 0), (1, 2)];
    contest(
        "a third",
        Scenario { nodes: 3, dials: both.clone(), ..Scenario::pair(Begin::Heard) },
        11,
        21_000,
    );
    let cut = Scenario { nodes: 3, dials: both, cuts: 1, ..Scenario::pair(Begin::Heard) };
    contest("a third, a cut", cut, 8, 12_000);
}

/// A million states and seventy million orders, in which nothing was found; not quite two minutes:
/// `cargo test -p p2pnet-tests --test exhaustive -- --ignored --nocapture`.
#[test]
#[ignore = "minutes"]
fn deeper() {
    let heard = || Scenario::pair(Begin::Heard);
    contest("Dialled, a crash", Scenario { crashes: 1, ..Scenario::pair(Begin::Dialled) }, 15, 110_000);
    contest("Heard, a deadline", Scenario { timers: 1, ..heard() }, 15, 480_000);
    contest("Heard, a crash and a cut", Scenario { crashes: 1, cuts: 1, ..heard() }, 11, 57_000);
    contest("Heard, two cuts", Scenario { cuts: 2, ..heard() }, ALL, 320_000);
}
