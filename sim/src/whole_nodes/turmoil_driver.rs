//! Plans on turmoil: whole nodes, with the phases, the workload and the end of the World.

mod beyond;
mod checks;
mod faults;
mod phases;
mod schedule;
mod workload;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use p2pnet_engine::{CipherSuite, ContentId, Step};

use self::faults::Between;
use self::schedule::Schedule;
use crate::logical_state::{LogicalState, NodeState, Relation, contents, core, held, others};
use crate::trace::Trace;
use crate::whole_nodes::faults::FaultCounts;
use crate::whole_nodes::lan::{Application, Badge, Lan, Settings};
use crate::world::checks::Class;
use crate::world::plan::{LinkPlan, Plan};
use crate::world::sweep::panic_message;
use crate::world::workload::{BADGE, PATIENCE};
use crate::world::{Failure, World};

pub use self::beyond::{Beyond, reduce};

/// What became of a plan on turmoil.
#[derive(Clone, Debug)]
pub struct TurmoilOutcome {
    /// What did not hold; `None` if everything did.
    pub failure: Option<Failure>,
    /// What it came to.
    pub state: LogicalState,
    /// How long the core took to converge after it was healed.
    pub converged_after: Option<Duration>,
    /// Virtual time in all.
    pub elapsed: Duration,
    /// Transfers that were completed.
    pub transfers: u64,
    /// How often each fault happened.
    pub faults: FaultCounts,
    /// The hash of everything that happened.
    pub hash: String,
    /// What happened.
    pub trace: Trace,
}

/// A plan on its way through turmoil.
struct Run<'p> {
    plan: &'p Plan,
    lan: Lan,
    schedule: Schedule,
    contents: Vec<ContentId>,
    nodes: Vec<Process>,
    /// Partitions between two hosts, which are named by their nodes, the smaller first.
    cuts: BTreeMap<(usize, usize), u32>,
    between: BTreeMap<(usize, usize), Between>,
    /// Faults that swallow broadcasts, and multicasts.
    swallowers: (u32, u32),
    healed: bool,
    failure: Option<Failure>,
}

/// What the driver knows of a node and its host.
#[derive(Clone, Copy, Debug, Default)]
struct Process {
    runs: bool,
    /// Whether its host has no power.
    off: bool,
    left: bool,
    starts: u64,
}

/// Runs all phases of a plan on turmoil.
///
/// ```
/// use p2pnet_sim::{Profile, expand, reduce, run_on_turmoil};
///
/// let mut plan = expand(7, Profile::Calm);
/// let taken_out = reduce(&mut plan);
/// assert!(!taken_out.is_empty());
/// let outcome = run_on_turmoil(&plan).unwrap();
/// assert_eq!(outcome.failure, None);
/// println!("{}", outcome.state);
/// ```
///
/// # Errors
///
/// What the plan holds that turmoil cannot do; [`reduce`] takes it out.
///
/// # Panics
///
/// If the plan is not valid: [`Plan::parse`] and [`expand`](crate::expand) give valid ones.
pub fn run_on_turmoil(plan: &Plan) -> Result<TurmoilOutcome, Vec<Beyond>> {
    let beyond = reduce(&mut plan.clone());
    if !beyond.is_empty() {
        return Err(beyond);
    }
    // The World of the plan also says whether it is valid.
    let bound = World::new(plan.clone(), false).convergence_bound();
    let mut run = Run::new(plan);
    let converged_after = match catch_unwind(AssertUnwindSafe(|| run.phases(bound))) {
        Ok(converged_after) => converged_after,
        Err(panic) => {
            run.failed(Class::Panic, "no-panic", None, panic_message(panic.as_ref()));
            None
        }
    };
    Ok(run.outcome(converged_after))
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan) -> Self {
        let lan = Lan::new(plan.seed, &settings(plan));
        let mut run = Run {
            plan,
            lan,
            schedule: Schedule::of(plan),
            contents: contents(plan),
            nodes: vec![Process::default(); plan.node.len()],
            cuts: BTreeMap::new(),
            between: BTreeMap::new(),
            swallowers: (0, 0),
            healed: false,
            failure: None,
        };
        run.first_faults();
        run
    }

    // ---- time

    /// Lets this much time pass and has happen what the plan says, or less if something fails.
    fn advance(&mut self, time: Duration) {
        let end = self.lan.elapsed() + time;
        loop {
            let now = self.lan.elapsed();
            while let Some(item) = self.schedule.pop(now) {
                self.happen(item);
            }
            if self.failure.is_some() || now >= end {
                return;
            }
            let next = self.schedule.next_at().unwrap_or(end).min(end);
            if let Err(broken) = self.lan.run_for(next - now) {
                self.failed(Class::Panic, "no-panic", None, broken.what);
            }
            self.look();
        }
    }

    // ---- questions

    /// What it has come to so far.
    fn state(&self) -> LogicalState {
        let name = |node: usize| self.plan.node[node].name.clone();
        let relation = |a: usize, b: usize| match (self.lan.trusts(a, b), self.lan.connected(a, b)) {
            (true, _) => Relation::Trusted,
            (_, true) => Relation::Linked,
            _ => Relation::Apart,
        };
        let state = |a: usize| NodeState {
            runs: self.nodes[a].runs,
            peers: others(self.plan, a).map(|b| (name(b), relation(a, b))).collect(),
            holds: held(&self.contents, |content| self.lan.holds(a, content)),
            texts: self.texts_of(a).into_iter().map(|(_, index)| index).collect(),
        };
        LogicalState { nodes: core(self.plan).map(|a| (name(a), state(a))).collect() }
    }

    /// The node on a host; `None` if there is none.
    fn node_on(&self, host: &str) -> Option<usize> {
        self.plan.node.iter().position(|node| node.host == host)
    }

    fn outcome(self, converged_after: Option<Duration>) -> TurmoilOutcome {
        let trace = self.lan.trace();
        TurmoilOutcome {
            state: self.state(),
            converged_after,
            elapsed: self.lan.elapsed(),
            transfers: (0..self.lan.len()).map(|node| self.lan.transfers(node)).sum(),
            faults: self.lan.faults(),
            hash: trace.hash(),
            trace,
            failure: self.failure,
        }
    }
}

/// The LAN of a plan.
fn settings(plan: &Plan) -> Settings {
    let nodes = plan.node.iter().map(|node| {
        let badge = plan.badge.then_some(Badge { impostor: node.impostor });
        let application = Application { takes_offers: node.takes_offers, patience: Some(PATIENCE), badge };
        (node.name.clone(), application)
    });
    let (aes, badge) = (plan.node.iter().map(|node| node.aes).collect::<Vec<bool>>(), plan.badge);
    let link = usual_link(plan);
    let latency = Duration::from_micros(link.latency_us);
    Settings::default()
        .latency(latency, latency + Duration::from_micros(link.jitter_us))
        .faults(faults::profile(&link))
        .config(move |i, config| {
            if aes.get(i) == Some(&true) {
                config.suite = CipherSuite::Aes256GcmSha256;
            }
            if badge {
                config.trust.steps.push(Step::Custom(BADGE.to_owned()));
            }
        })
        .named(nodes.collect())
}

/// The link that hosts have unless something else is said.
fn usual_link(plan: &Plan) -> LinkPlan {
    let name = plan.lan.first().and_then(|lan| lan.link.as_ref());
    plan.link.iter().find(|link| Some(&link.name) == name).cloned().unwrap_or_default()
}
