//! How soon nodes of one LAN find each other by their beacons, and what that costs, for each cadence, size and loss.
//!
//! Real engines with cheap crypto on one broadcast domain. Only datagrams are carried. Dials are never answered, as
//! where a filter eats them: no link comes up, so nobody learns of a peer but by a beacon, and how many are dialled is
//! bounded by the engine's own limit of dials in flight instead of by how fast something refuses them. Where links come
//! up, whoever has found one peer has the others of it. Virtual time: the figures are the same on every machine and for
//! any number of threads.

mod lan;
mod picture;
mod report;
mod samples;

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::Cadence;

use crate::draws::draw;
use crate::seeds::run_seeds;

pub use picture::svg;
pub use report::{html, json, markdown};
pub use samples::Samples;

/// How long is waited for the last pair to be found, from the moment at which all could hear each other.
pub const PATIENCE: Duration = Duration::from_secs(1800);

/// How long after the last change the steady state begins, and how long it is looked at.
const SETTLED: Duration = Duration::from_secs(180);
const STEADY: Duration = Duration::from_secs(120);

/// How the nodes of a LAN come to be able to hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// All start in the same instant: what counts is the burst at the start.
    Together,
    /// One starts 60 to 120 s after all others. Only pairs with it count.
    Late,
    /// Two halves run for 120 to 240 s before their LANs are joined, which no node can notice: what counts is the
    /// cadence alone. Only pairs across count.
    Joined,
}

impl Start {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Start); 3] =
        [("together", Start::Together), ("late", Start::Late), ("joined", Start::Joined)];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Start::ALL.iter().find(|(_, start)| *start == self).map_or("", |(name, _)| name)
    }

    /// What it is, in a few words for people.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Start::Together => "all start in the same instant",
            Start::Late => "one starts a minute or two after the others",
            Start::Joined => "two LANs are joined, which nobody can notice",
        }
    }
}

/// The cadences that are compared, by name; the first one is the default of the engine.
#[must_use]
pub fn cadences() -> Vec<(&'static str, Cadence)> {
    let seconds = Duration::from_secs;
    let all = [
        ("constant-5s", Cadence::Constant { interval: seconds(5) }),
        ("constant-10s", Cadence::Constant { interval: seconds(10) }),
        ("trickle-1s-64s-k4", Cadence::Trickle { fastest: seconds(1), slowest: seconds(64), redundancy: 4 }),
        ("sine-1s-20s", Cadence::Sine { fastest: seconds(1), slowest: seconds(20), period: seconds(120) }),
    ];
    let (default, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, cadence)| *cadence == Cadence::default());
    default.into_iter().chain(others).collect()
}

/// One LAN that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// The name of its cadence.
    pub name: &'static str,
    /// How beacons are spaced.
    pub cadence: Cadence,
    /// How many nodes there are: 2 to 4000.
    pub nodes: usize,
    /// Of how many datagrams in a hundred each receiver misses one.
    pub loss: u8,
    /// How they come together.
    pub start: Start,
}

/// What one run of a case gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// For each ordered pair that counts the time until the one knew the other.
    pub found: Samples,
    /// Pairs that were not found within [`PATIENCE`].
    pub missed: u64,
    /// Datagrams that the whole LAN sent in the steady state, and their bytes with the headers of IP and UDP.
    pub steady: Traffic,
    /// The most datagrams that the whole LAN sent in one second.
    pub peak_datagrams: u64,
    /// The most dials that began in one second.
    pub peak_dials: u64,
}

/// What a LAN sent in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams, each counted once however many hear it.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What all seeds of a case gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub case: Case,
    /// With how many seeds.
    pub seeds: u64,
    /// All their pairs together.
    pub found: Samples,
    /// Pairs that were not found within [`PATIENCE`].
    pub missed: u64,
    /// In the steady state, of the whole LAN, on average.
    pub datagrams_a_second: f64,
    /// Of these, with the headers of IP and UDP.
    pub bytes_a_second: f64,
    /// In the worst second of the worst seed.
    pub peak_datagrams: u64,
    /// In the worst second of the worst seed.
    pub peak_dials: u64,
}

/// Runs one seed of a case.
///
/// # Panics
/// If there are fewer than 2 nodes or more than 4000, or the engine refuses the cadence.
#[must_use]
pub fn run(case: &Case, seed: u64) -> Run {
    lan::Lan::new(case, seed).run()
}

/// Runs cases with as many seeds each as `seeds` says, on `jobs` threads. `seen` is called after each run with how many
/// are done and how many there are, and says whether to go on; what is left out by that is in no row.
pub fn measure(
    cases: &[Case],
    seeds: impl Fn(&Case) -> u64,
    jobs: usize,
    mut seen: impl FnMut(u64, u64) -> bool,
) -> Vec<Row> {
    let mut work: Vec<(usize, u64)> =
        cases.iter().enumerate().flat_map(|(i, case)| (0..seeds(case)).map(move |seed| (i, seed))).collect();
    // The longest first, so that no thread is left alone with one at the end.
    work.sort_by_key(|&(case, seed)| (std::cmp::Reverse(cases[case].nodes), case, seed));
    let total = work.len() as u64;
    let mut done = 0;
    let runs = run_seeds(
        0..total,
        jobs,
        true,
        |index| {
            let (case, seed) = work[usize::try_from(index).unwrap_or(0)];
            run(&cases[case], seed)
        },
        |_| false,
        |_, _| {
            done += 1;
            seen(done, total)
        },
    );
    let mut of_case: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for (index, run) in runs {
        let (case, _) = work[usize::try_from(index).unwrap_or(0)];
        of_case.entry(case).or_default().push(run);
    }
    of_case.into_iter().map(|(case, runs)| Row::of(cases[case], &runs)).collect()
}

impl Row {
    fn of(case: Case, runs: &[Run]) -> Row {
        let mut found = Samples::default();
        let mut steady = Traffic::default();
        for run in runs {
            found.add(&run.found);
            steady.datagrams += run.steady.datagrams;
            steady.bytes += run.steady.bytes;
        }
        let seconds = STEADY.as_secs_f64() * runs.len() as f64;
        Row {
            case,
            seeds: runs.len() as u64,
            found,
            missed: runs.iter().map(|run| run.missed).sum(),
            datagrams_a_second: steady.datagrams as f64 / seconds,
            bytes_a_second: steady.bytes as f64 / seconds,
            peak_datagrams: runs.iter().map(|run| run.peak_datagrams).max().unwrap_or(0),
            peak_dials: runs.iter().map(|run| run.peak_dials).max().unwrap_or(0),
        }
    }

    /// The share of pairs in thousandths that were found within some time, which is returned; `None` if too many were
    /// never found.
    #[must_use]
    pub fn within(&self, thousandths: u64) -> Option<Duration> {
        self.found.rank(thousandths, self.missed)
    }
}

/// How many seeds a LAN of this size deserves if one of two nodes has `seeds`: what a run costs grows with the square,
/// and so does the number of pairs that it gives.
#[must_use]
pub fn seeds_for(nodes: usize, seeds: u64) -> u64 {
    let share = match nodes {
        0..=4 => 1,
        5..=30 => 4,
        31..=300 => 20,
        _ => 200,
    };
    seeds.div_ceil(share).max(1)
}

/// What a draw is for.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Domain {
    Loss = 101,
    Latency,
    Start,
    Apart,
}

fn roll(seed: u64, domain: Domain, entity: u64, counter: u64) -> u64 {
    draw(seed, domain as u64, entity, counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(nodes: usize, loss: u8, start: Start) -> Case {
        Case { name: "default", cadence: Cadence::default(), nodes, loss, start }
    }

    #[test]
    fn a_run_follows_from_its_seed() {
        let case = case(5, 30, Start::Together);
        assert_eq!(run(&case, 7), run(&case, 7));
        assert_ne!(run(&case, 7), run(&case, 8));
    }

    #[test]
    fn every_ordered_pair_that_counts_is_found() {
        for (start, pairs) in [(Start::Together, 20), (Start::Late, 8), (Start::Joined, 12)] {
            let run = run(&case(5, 10, start), 1);
            assert_eq!((run.found.len(), run.missed), (pairs, 0), "{start:?}");
            assert!(run.steady.datagrams > 0 && run.peak_datagrams > 0 && run.peak_dials > 0);
        }
    }

    #[test]
    fn what_nobody_loses_is_found_at_once_and_what_nobody_notices_takes_a_beacon() {
        let together = run(&case(2, 0, Start::Together), 3);
        assert!(together.found.worst().is_some_and(|worst| worst < Duration::from_millis(50)));
        let joined = run(&case(2, 0, Start::Joined), 3);
        assert!(joined.found.worst().is_some_and(|worst| worst < Duration::from_secs(25)), "{joined:?}");
    }

    #[test]
    fn one_job_and_many_give_the_same_rows() {
        let cases = [case(2, 30, Start::Joined), case(6, 10, Start::Late)];
        let rows = |jobs| measure(&cases, |case| 6 / case.nodes as u64, jobs, |_, _| true);
        let one = rows(1);
        assert_eq!(one, rows(3));
        assert_eq!(one.iter().map(|row| row.seeds).collect::<Vec<_>>(), [3, 1]);
    }
}
