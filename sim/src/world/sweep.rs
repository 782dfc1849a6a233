//! Running a plan whatever it does, and many seeds at a time.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use p2pnet_engine::Marks;

use super::checks::Class;
use super::coverage;
use super::faults::{FaultKind, FaultTally};
use super::plan::{Crypto, Plan, Trick};
use super::{Failure, Outcome, Profile, World, expand};
use crate::seeds::run_seeds;
use crate::trace::Detail;

/// The share of seeds that must complete a transfer, in percent: a sweep in which nothing connects must fail.
const LEAST_TRANSFERS: u64 = 90;
/// How often every kind of fault must happen in 1000 seeds of the profile that has them all.
const LEAST_FAULTS: u64 = 100;
/// Faults that the profile `discovery` draws; it draws few of the others.
const OF_DISCOVERY: [FaultKind; 3] = [FaultKind::AddressSwap, FaultKind::KeptOut, FaultKind::Sleep];
/// Those of the profile `churn`.
const OF_CHURN: [FaultKind; 11] = [
    FaultKind::Crash,
    FaultKind::PowerLoss,
    FaultKind::Restart,
    FaultKind::RestartWithoutDisk,
    FaultKind::NewIdentity,
    FaultKind::Away,
    FaultKind::AddressChange,
    FaultKind::Partition,
    FaultKind::OneWayPartition,
    FaultKind::BridgePartition,
    FaultKind::ThreeWayPartition,
];

/// Those of the profile `transfer`.
const OF_TRANSFER: [FaultKind; 11] = [
    FaultKind::Crash,
    FaultKind::PowerLoss,
    FaultKind::Away,
    FaultKind::Reset,
    FaultKind::Stall,
    FaultKind::Partition,
    FaultKind::SlowReader,
    FaultKind::DiskFull,
    FaultKind::DiskError,
    FaultKind::BitRot,
    FaultKind::InsiderFrame,
];

/// Those of the profile `messages`.
const OF_MESSAGES: [FaultKind; 7] = [
    FaultKind::Crash,
    FaultKind::PowerLoss,
    FaultKind::Away,
    FaultKind::Reset,
    FaultKind::Stall,
    FaultKind::Partition,
    FaultKind::InsiderFrame,
];

/// Those of the profile `verification`.
const OF_VERIFICATION: [FaultKind; 4] =
    [FaultKind::Crash, FaultKind::Restart, FaultKind::Away, FaultKind::AdversaryMiddle];

/// Those of the profile `wan`.
const OF_WAN: [FaultKind; 13] = [
    FaultKind::FalseTask,
    FaultKind::ServerDown,
    FaultKind::ServerLie,
    FaultKind::RelayDown,
    FaultKind::UplinkDown,
    FaultKind::RouterRestart,
    FaultKind::Move,
    FaultKind::NotPermitted,
    FaultKind::Partition,
    FaultKind::Crash,
    FaultKind::Away,
    FaultKind::Reset,
    FaultKind::Stall,
];

/// Whether a profile must show a fault.
fn must_show(profile: Profile, kind: FaultKind) -> bool {
    let trick = Trick::ALL.iter().any(|&(_, of_trick)| of_trick == kind);
    match profile {
        Profile::Hostile => {
            kind < FaultKind::ServerDown && !OF_DISCOVERY.contains(&kind) && !trick && kind != FaultKind::Away
        }
        Profile::Discovery => OF_DISCOVERY.contains(&kind),
        Profile::Churn => OF_CHURN.contains(&kind),
        Profile::Transfer => OF_TRANSFER.contains(&kind),
        Profile::Adversary => trick || kind == FaultKind::Away,
        Profile::Verification => OF_VERIFICATION.contains(&kind),
        Profile::Messages => OF_MESSAGES.contains(&kind),
        Profile::Wan => OF_WAN.contains(&kind),
        Profile::Calm | Profile::Lan | Profile::Wifi => false,
    }
}

/// Runs a plan. A panic of the code under test is a failure like any other.
#[must_use]
pub fn run_plan(plan: Plan, traced: bool) -> (World, Outcome) {
    let mut world = World::new(plan, traced);
    let outcome = match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let mut outcome = world.outcome(None);
            outcome.failure = Some(Failure {
                class: Class::Panic,
                check: "no-panic".to_owned(),
                at_ms: format!("{:.3}", world.elapsed().as_secs_f64() * 1000.0),
                node: None,
                message: panic_message(panic.as_ref()),
            });
            outcome
        }
    };
    (world, outcome)
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().map(|message| (*message).to_owned());
    message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// What became of the seeds of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Each seed that was run.
    pub outcomes: BTreeMap<u64, Outcome>,
}

/// Runs seeds on `jobs` threads. `seen` is called with each seed as it is done, in any order, and says whether to
/// go on. Without `keep_going` no seed beyond the first failure counts, so that any number of jobs gives the same
/// summary.
pub fn sweep(
    seeds: Range<u64>,
    profile: Profile,
    crypto: Crypto,
    jobs: usize,
    keep_going: bool,
    seen: impl FnMut(u64, &Outcome) -> bool,
) -> Summary {
    let plan_of = |seed| Plan { crypto, ..expand(seed, profile) };
    sweep_plans(seeds, jobs, keep_going, plan_of, seen)
}

/// Like [`sweep`], with plans of `plan_of` for the seeds.
pub fn sweep_plans(
    seeds: Range<u64>,
    jobs: usize,
    keep_going: bool,
    plan_of: impl Fn(u64) -> Plan + Sync,
    seen: impl FnMut(u64, &Outcome) -> bool,
) -> Summary {
    let run = |seed| run_plan(plan_of(seed), false).1;
    let failed = |outcome: &Outcome| outcome.failure.is_some();
    Summary { outcomes: run_seeds(seeds, jobs, keep_going, run, failed, seen) }
}

impl Summary {
    /// The seeds that failed, in order.
    pub fn failures(&self) -> impl Iterator<Item = (u64, &Failure)> {
        self.outcomes.iter().filter_map(|(&seed, outcome)| Some((seed, outcome.failure.as_ref()?)))
    }

    /// Seconds that nodes ran, in all.
    #[must_use]
    pub fn node_seconds(&self) -> f64 {
        self.outcomes.values().map(|outcome| outcome.node_seconds).sum()
    }

    /// How often each fault happened.
    #[must_use]
    pub fn faults(&self) -> FaultTally {
        let mut sum = FaultTally::default();
        self.outcomes.values().for_each(|outcome| sum.add(&outcome.faults));
        sum
    }

    /// How often each coverage mark was taken.
    #[must_use]
    pub fn marks(&self) -> Marks {
        let mut sum = Marks::default();
        self.outcomes.values().for_each(|outcome| sum.add(&outcome.marks));
        sum
    }

    /// How many seeds completed a transfer.
    #[must_use]
    pub fn with_transfer(&self) -> u64 {
        self.outcomes.values().filter(|outcome| outcome.transfers > 0).count() as u64
    }

    /// One hash over all seeds and their hashes.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (seed, outcome) in &self.outcomes {
            hasher.update(&seed.to_le_bytes());
            hasher.update(outcome.hash.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What this sweep did not cover, so that its silence means nothing; `None` if it covered enough.
    #[must_use]
    pub fn gap(&self, profile: Profile) -> Option<String> {
        let seeds = self.outcomes.len() as u64;
        let transfers = profile != Profile::Discovery;
        if transfers && self.with_transfer() * 100 < seeds * LEAST_TRANSFERS {
            let done = self.with_transfer();
            return Some(format!(
                "{done} of {seeds} seeds completed a transfer; at least {LEAST_TRANSFERS} % must"
            ));
        }
        let faults = self.faults();
        let enough = seeds >= coverage::least_seeds(profile);
        let rare = |kind: &&(FaultKind, &str)| faults.of(kind.0) * 1000 < LEAST_FAULTS * seeds;
        let rarest = FaultKind::ALL.iter().filter(|(kind, _)| enough && must_show(profile, *kind)).find(rare);
        if let Some(&(kind, name)) = rarest {
            let count = faults.of(kind);
            return Some(format!(
                "fault {name} happened {count} times in {seeds} seeds; {LEAST_FAULTS} in 1000 are the least"
            ));
        }
        coverage::gap(&self.marks(), seeds, profile)
    }
}

/// Runs a failing plan once more with a trace, and writes all that helps into a folder below `out`: the plan, the
/// trace, the last causes, the state of all nodes, the command. Returns the folder.
///
/// # Errors
///
/// What the file system says.
pub fn keep_failure(out: &Path, plan: Plan) -> io::Result<PathBuf> {
    let (name, seed) = (plan.profile.clone(), plan.seed);
    let (world, outcome) = run_plan(plan, true);
    let check = outcome.failure.as_ref().map_or("passed", |failure| failure.check.as_str());
    let folder = out.join(format!("{name}-{seed}-{check}"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("plan.toml"), world.plan().to_toml())?;
    let failure = outcome.failure.as_ref().map(|failure| format!("{failure}\n")).unwrap_or_default();
    fs::write(folder.join("failure.txt"), failure)?;
    fs::write(folder.join("states.txt"), world.states())?;
    if let Some(trace) = world.trace() {
        fs::write(folder.join("trace.txt"), trace.text(Detail::Links))?;
        fs::write(folder.join("trace.jsonl"), trace.json())?;
        let causes: String =
            trace.causes_of_last(40).iter().map(|entry| trace.entry_text(entry) + "\n").collect();
        fs::write(folder.join("causes.txt"), causes)?;
    }
    let plan = folder.join("plan.toml");
    fs::write(folder.join("replay.txt"), format!("p2pnet-sim replay {}\n", plan.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_and_many_give_the_same_summary() {
        let run = |jobs| sweep(0..6, Profile::Calm, Crypto::Real, jobs, true, |_, _| true);
        let (one, many) = (run(1), run(3));
        assert_eq!(one.hash(), many.hash());
        assert_eq!(one.outcomes.len(), 6);
        assert_eq!(one.failures().count(), 0, "{:?}", one.failures().next());
        assert_eq!(one.gap(Profile::Calm), None);
    }
}
