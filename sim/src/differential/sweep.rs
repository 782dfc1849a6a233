//! Many seeds in both drivers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Both, run_both};
use crate::seeds::run_seeds;
use crate::trace::{Detail, Trace};
use crate::whole_nodes::turmoil_driver::{Beyond, reduce};
use crate::world::{Failure, Profile, expand};

/// The share of seeds that must complete a transfer on turmoil, in percent: a sweep in which nothing connects must fail.
const LEAST_TRANSFERS: u64 = 90;

/// What became of a seed in both drivers.
#[derive(Clone, Debug)]
pub struct SeedInBoth {
    /// What its plan held that turmoil cannot do; neither driver ran it.
    pub taken_out: Vec<Beyond>,
    /// What became of what was left. Without the trace.
    pub both: Both,
}

/// What became of the seeds of a sweep in both drivers.
#[derive(Clone, Debug, Default)]
pub struct InBoth {
    /// Each seed that was run.
    pub seeds: BTreeMap<u64, SeedInBoth>,
}

/// Runs what turmoil can do of each seed in both drivers, on `jobs` threads. `seen` is called with each seed as it is
/// done, in any order, and says whether to go on. Without `keep_going` no seed beyond the first failure counts.
pub fn sweep_both(
    seeds: Range<u64>,
    profile: Profile,
    jobs: usize,
    keep_going: bool,
    seen: impl FnMut(u64, &SeedInBoth) -> bool,
) -> InBoth {
    let run = |seed| {
        let mut plan = expand(seed, profile);
        let taken_out = reduce(&mut plan);
        let mut both = run_both(&plan).expect("nothing is left that turmoil cannot do");
        both.turmoil.trace = Trace::default();
        SeedInBoth { taken_out, both }
    };
    InBoth { seeds: run_seeds(seeds, jobs, keep_going, run, SeedInBoth::failed, seen) }
}

impl SeedInBoth {
    /// Whether anything did not hold in either driver, or the two differ.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failure().is_some() || !self.both.differences.is_empty()
    }

    /// What did not hold: the driver, and what; on turmoil first.
    #[must_use]
    pub fn failure(&self) -> Option<(&'static str, &Failure)> {
        let turmoil = self.both.turmoil.failure.as_ref().map(|failure| ("turmoil", failure));
        turmoil.or_else(|| self.both.world.failure.as_ref().map(|failure| ("World", failure)))
    }
}

impl InBoth {
    /// The seeds that failed or differ, in order.
    pub fn failures(&self) -> impl Iterator<Item = (u64, &SeedInBoth)> {
        self.seeds.iter().filter(|(_, seed)| seed.failed()).map(|(&number, seed)| (number, seed))
    }

    /// How many seeds completed a transfer on turmoil.
    #[must_use]
    pub fn with_transfer(&self) -> u64 {
        self.seeds.values().filter(|seed| seed.both.turmoil.transfers > 0).count() as u64
    }

    /// How often each fault happened on turmoil.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut sum = BTreeMap::new();
        for (name, count) in self.seeds.values().flat_map(|seed| seed.both.turmoil.faults.by_name()) {
            *sum.entry(name).or_default() += count;
        }
        sum
    }

    /// One hash over all seeds and their hashes in both drivers.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (number, seed) in &self.seeds {
            hasher.update(&number.to_le_bytes());
            hasher.update(seed.both.world.hash.as_bytes());
            hasher.update(seed.both.turmoil.hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What this sweep did not cover, so that its silence means nothing; `None` if it covered enough.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        let (seeds, done) = (self.seeds.len() as u64, self.with_transfer());
        (done * 100 < seeds * LEAST_TRANSFERS).then(|| {
            format!(
                "{done} of {seeds} seeds completed a transfer on turmoil; at least {LEAST_TRANSFERS} % must"
            )
        })
    }
}

/// Runs what turmoil can do of a seed once more, and writes all that helps into a folder below `out`: the plan, what
/// was taken out of it, the trace of turmoil, both states, the command. Returns the folder.
///
/// # Errors
///
/// What the file system says.
pub fn keep_difference(out: &Path, seed: u64, profile: Profile) -> io::Result<PathBuf> {
    let mut plan = expand(seed, profile);
    let taken_out = reduce(&mut plan);
    let both = run_both(&plan).expect("nothing is left that turmoil cannot do");
    let seen = SeedInBoth { taken_out, both };
    let check = match seen.failure() {
        Some((_, failure)) => failure.check.as_str(),
        None if seen.both.differences.is_empty() => "passed",
        None => "differs",
    };
    let folder = out.join(format!("{}-{seed}-turmoil-{check}", profile.name()));
    fs::create_dir_all(&folder)?;
    let lines = |lines: Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let write = |name: &str, text: String| fs::write(folder.join(name), text);
    write("plan.toml", plan.to_toml())?;
    write("taken-out.txt", lines(seen.taken_out.iter().map(ToString::to_string).collect()))?;
    let failure = seen.failure().map(|(driver, failure)| format!("{driver}: {failure}"));
    write("failure.txt", lines(failure.into_iter().collect()))?;
    write("differences.txt", lines(seen.both.differences.iter().map(ToString::to_string).collect()))?;
    write("world-state.txt", seen.both.world_state.to_string())?;
    write("turmoil-state.txt", seen.both.turmoil.state.to_string())?;
    write("trace.txt", seen.both.turmoil.trace.text(Detail::Links))?;
    write("trace.jsonl", seen.both.turmoil.trace.json())?;
    let plan = folder.join("plan.toml");
    write("replay.txt", format!("p2pnet-sim run {} --driver turmoil\n", plan.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_and_many_give_the_same() {
        let run = |jobs| sweep_both(0..4, Profile::Calm, jobs, true, |_, _| true);
        let (one, many) = (run(1), run(3));
        assert_eq!(one.hash(), many.hash());
        assert_eq!(one.seeds.len(), 4);
        assert_eq!(one.gap(), None);
    }
}
