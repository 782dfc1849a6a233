//! Planted bugs: for each check a bug that it must find, and the search for it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use p2pnet_engine::{Bug, Config};

use super::faults::Known;
use super::plan::Plan;
use super::sweep::run_plan;
use super::{Crypto, Failure, Profile, expand};

/// A bug that nodes can have, and what must find it.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Its name on a command line.
    pub id: &'static str,
    /// What is wrong with a node that has it.
    pub sentence: &'static str,
    /// The checks of which one must find it.
    pub checks: &'static [&'static str],
    /// The profile in which it is looked for first.
    pub profile: Profile,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Engine(Bug),
    /// The disk names a file before its blocks are durable.
    FinishBeforeSync,
    /// The driver drops every beacon for all once a node has run for a second.
    MutedDriver,
    /// The driver loses the addresses that people give.
    LostAddress,
}

/// How long a muted driver sends.
const MUTED_AFTER: Duration = Duration::from_secs(1);

/// The bug of the disk: no engine can have it.
const FINISH_BEFORE_SYNC: Plant = Plant {
    id: "finish-before-sync",
    sentence: "A file gets its final name before its blocks are durable.",
    checks: &["provenance"],
    profile: Profile::Hostile,
    kind: Kind::FinishBeforeSync,
};

/// The bug of the driver.
const MUTED_DRIVER: Plant = Plant {
    id: "muted-driver",
    sentence: "What is to go to everybody is not sent any more once a node has run for a second.",
    checks: &["apart"],
    profile: Profile::Discovery,
    kind: Kind::MutedDriver,
};

/// The bug of a command: where nothing gets through to everybody nobody is found without.
const LOST_ADDRESS: Plant = Plant {
    id: "lost-address",
    sentence: "An address that somebody gives is not dialled.",
    checks: &["discovery"],
    profile: Profile::Discovery,
    kind: Kind::LostAddress,
};

/// Every bug that can be planted.
#[must_use]
pub fn all() -> Vec<Plant> {
    let plant = |&bug: &Bug| {
        let (checks, profile) = expected(bug);
        Plant { id: bug.id(), sentence: bug.sentence(), checks, profile, kind: Kind::Engine(bug) }
    };
    Bug::ALL.iter().map(plant).chain([FINISH_BEFORE_SYNC, MUTED_DRIVER, LOST_ADDRESS]).collect()
}

/// The bug of this id.
#[must_use]
pub fn find(id: &str) -> Option<Plant> {
    all().into_iter().find(|plant| plant.id == id)
}

/// Which checks may find a bug first, and where it is found soon. A bug without a line here is found nowhere.
fn expected(bug: Bug) -> (&'static [&'static str], Profile) {
    use Profile::{Adversary, Calm, Hostile, Lan, Messages, Verification, Wan, Wifi};
    match bug {
        Bug::KeepBothLinks => (&["links", "one-link"], Lan),
        Bug::CutTheWinner => (&["quiet"], Calm),
        Bug::EachKeepsItsOwn => (&["links", "quiet"], Lan),
        Bug::EventsDoNotAlternate => (&["alternate"], Lan),
        Bug::UntrustedTextAsTrusted => (&["taint"], Hostile),
        Bug::EnhancedBeforeTrust | Bug::FailedStepPasses => (&["taint"], Hostile),
        // What was forgotten comes back from others, again and again.
        Bug::FloorsForgotten => (&["no-resurrection", "leavers", "traffic"], Hostile),
        Bug::NeverCompares => (&["records"], Hostile),
        Bug::TextTwice => (&["texts"], Lan),
        Bug::ForgedRecord => (&["provenance"], Hostile),
        Bug::BadBlock => (&["provenance"], Lan),
        Bug::NeverRedial => (&["links"], Lan),
        Bug::BeaconStorm => (&["traffic"], Calm),
        Bug::NoReoffer => (&["transfers"], Lan),
        Bug::UnboundedTable => (&["bounds"], Hostile),
        Bug::DeafToSilence => (&["links", "records", "texts", "transfers"], Wifi),
        Bug::RestlessLinks => (&["quiet"], Calm),
        Bug::PanicOnFrame => (&["no-panic"], Hostile),
        Bug::OneDeadlineAtATime => (&["deadlines"], Lan),
        Bug::Amplifier => (&["traffic"], Hostile),
        Bug::SilentAfterBurst => (&["discovery", "apart"], Wifi),
        Bug::NewerRecordIgnored => (&["records"], Lan),
        Bug::LeaverKept => (&["leavers"], Calm),
        Bug::RecordsBeforeTrust | Bug::TheirStepsOnly | Bug::CodeOfNoncesOnly | Bug::AnyCode => {
            (&["taint"], Adversary)
        }
        Bug::AnyIssuer | Bug::CodeDecides => (&["let-in"], Verification),
        Bug::SilentRejection => (&["told"], Verification),
        Bug::AnyLinkKey => (&["authentic"], Adversary),
        Bug::UnsignedGoodbye => (&["provenance", "no-resurrection"], Adversary),
        Bug::UnmeteredSignatures => (&["effort"], Adversary),
        Bug::AimsAnywhere => (&["traffic"], Adversary),
        Bug::FloodCutsLinks => (&["steadfast"], Adversary),
        Bug::NoPulse => (&["false-alarm"], Lan),
        Bug::RumourBelieved => (&["false-alarm", "one-link", "quiet"], Lan),
        Bug::MessageTwice | Bug::MessageUnsigned | Bug::MessagesNotResent | Bug::ReportsDropped => {
            (&["messages"], Messages)
        }
        Bug::TextsNotResent => (&["texts"], Wifi),
        Bug::AnswersAnySearch => (&["searches"], Wan),
        Bug::AnyNetwork | Bug::AnyTask => (&["unswayed"], Wan),
        _ => (&[], Hostile),
    }
}

/// What a search for a planted bug found.
#[derive(Clone, Debug)]
pub struct Search {
    /// The first seed that fails, and how.
    pub found: Option<(u64, Failure)>,
    /// How many seeds were tried, that one included.
    pub tried: u64,
}

impl Plant {
    /// Gives the bug to nodes of a plan: to all of them in even seeds, to those of every other in odd ones, so that
    /// it is seen among nodes that do not have it. Two nodes that make a code in different ways just reject each other, so
    /// that bug all have.
    pub fn plant(&self, plan: &mut Plan) {
        plan.bug = Some(self.id.to_owned());
        let of_all = self.kind == Kind::Engine(Bug::CodeOfNoncesOnly);
        if !of_all && !plan.seed.is_multiple_of(2) {
            plan.bug_in = plan.node.iter().step_by(2).map(|node| node.name.clone()).collect();
        }
    }

    /// Runs seeds, with keys that protect nothing, until one fails, on `jobs` threads; any number of them finds the same seed.
    #[must_use]
    pub fn search(&self, seeds: Range<u64>, profile: Profile, jobs: usize) -> Search {
        let next = AtomicU64::new(seeds.start);
        let end = AtomicU64::new(seeds.end);
        let mut found = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.max(1))
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let seed = next.fetch_add(1, Ordering::Relaxed);
                            if seed >= end.load(Ordering::Relaxed) {
                                return None;
                            }
                            let mut plan = Plan { crypto: Crypto::Cheap, ..expand(seed, profile) };
                            self.plant(&mut plan);
                            if let Some(failure) = run_plan(plan, false).1.failure {
                                end.fetch_min(seed, Ordering::Relaxed);
                                return Some((seed, failure));
                            }
                        }
                    })
                })
                .collect();
            let ends = workers.into_iter().filter_map(|worker| worker.join().ok()?);
            ends.collect::<Vec<(u64, Failure)>>()
        });
        found.sort_by_key(|(seed, _)| *seed);
        let found = found.into_iter().next();
        let last = found.as_ref().map_or(seeds.end, |(seed, _)| seed + 1);
        Search { found, tried: last.saturating_sub(seeds.start) }
    }
}

pub(super) fn validate(plan: &Plan, known: Known<'_>, nodes: &[&str]) -> Result<(), String> {
    plan.bug_in.iter().try_for_each(|node| known("node", node, nodes))?;
    let ids: Vec<&str> = all().iter().map(|plant| plant.id).collect();
    plan.bug.iter().try_for_each(|bug| known("planted bug", bug, &ids))
}

/// What a node of this name has.
fn kind_of(plan: &Plan, node: &str) -> Option<Kind> {
    let has = plan.bug_in.is_empty() || plan.bug_in.iter().any(|name| name == node);
    let plant = plan.bug.as_deref().filter(|_| has).and_then(find)?;
    Some(plant.kind)
}

/// Gives an engine its bug.
pub(super) fn plant(plan: &Plan, node: &str, config: &mut Config) {
    if let Some(Kind::Engine(bug)) = kind_of(plan, node) {
        config.planted = Some(bug);
    }
}

/// Whether the driver of a node that has run for so long keeps back what goes to everybody.
pub(super) fn is_muted(plan: &Plan, node: &str, ran: Duration) -> bool {
    ran > MUTED_AFTER && kind_of(plan, node) == Some(Kind::MutedDriver)
}

/// Whether the driver of a node loses addresses.
pub(super) fn loses_addresses(plan: &Plan, node: &str) -> bool {
    kind_of(plan, node) == Some(Kind::LostAddress)
}

/// Whether the disk of a node has its bug.
pub(super) fn disk_is_hasty(plan: &Plan, node: &str) -> bool {
    kind_of(plan, node) == Some(Kind::FinishBeforeSync)
}
