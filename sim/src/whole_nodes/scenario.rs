//! Scenarios: a LAN, what happens to it, and what must hold. Ready ones by name, and anyone's own.

use crate::trace::{Detail, Trace};
use crate::whole_nodes::faults::FaultCounts;
use crate::whole_nodes::lan::{Failed, Lan, Settings};
use crate::whole_nodes::scenarios;
use crate::world::plan::Plan;

/// A scenario that the `p2pnet-sim` program knows by its name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// How many nodes it has if nothing else is asked for.
    pub nodes: usize,
    /// The fewest nodes that it makes sense with.
    pub least: usize,
    /// The most nodes that it runs in reasonable time with.
    pub most: usize,
    /// Much the same as a plan, for either driver: see [`plan`](Scenario::plan).
    pub plan_text: &'static str,
    /// The LAN for so many nodes.
    pub settings: fn(usize) -> Settings,
    /// What happens, and what must hold.
    pub body: fn(&mut Lan) -> Result<(), Failed>,
}

/// Every ready scenario, by name.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![
        scenarios::crash_restart::SCENARIO,
        scenarios::lossy_lan::SCENARIO,
        scenarios::partition_heal::SCENARIO,
        scenarios::share_file::SCENARIO,
        scenarios::simultaneous_start::SCENARIO,
    ]
}

/// The ready scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// The scenario as a plan, with this seed. A plan has no checks of its own: what must hold in every plan does.
    ///
    /// # Panics
    /// Never: the plans are part of the program, and a test reads each.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let plan = Plan::parse(self.plan_text).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        Plan { seed, ..plan }
    }

    /// Runs it with its usual number of nodes.
    #[must_use]
    pub fn run(&self, seed: u64) -> Report {
        self.run_with(seed, (self.settings)(self.nodes))
    }

    /// Runs it with other settings.
    #[must_use]
    pub fn run_with(&self, seed: u64, settings: Settings) -> Report {
        run(self.name, seed, settings, self.body)
    }
}

/// What became of a scenario.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// The seed of everything that was drawn.
    pub seed: u64,
    /// How many nodes there were.
    pub nodes: usize,
    /// What happened.
    pub trace: Trace,
    /// How often each fault happened.
    pub faults: FaultCounts,
    /// Whether everything held that must, or what did not.
    pub result: Result<(), Failed>,
}

impl Report {
    /// The trace as text, and a panic if a check failed: for snapshots in tests.
    ///
    /// # Panics
    /// If a check failed. The message has the seed and the whole trace.
    #[must_use]
    #[track_caller]
    pub fn passed(&self, detail: Detail) -> String {
        let text = self.trace.text(detail);
        if let Err(failed) = &self.result {
            panic!("{} with seed {}: {failed}\n{text}", self.name, self.seed);
        }
        text
    }
}

/// Runs anyone's scenario: a LAN by these settings, and a body that lets time pass, breaks things and checks.
///
/// ```
/// use std::time::Duration;
/// use p2pnet_sim::{Detail, Settings, run};
///
/// let report = run("hello", 7, Settings::default(), |lan| {
///     lan.run_until("both trust each other", Duration::from_secs(2), |lan| lan.all_trusted())?;
///     lan.send_text(0, 1, "hello");
///     lan.run_until("the text arrives", Duration::from_secs(1), |lan| lan.texts(1) == ["hello"])
/// });
/// println!("{}", report.passed(Detail::Events));
/// ```
#[must_use]
pub fn run(
    name: &str,
    seed: u64,
    settings: Settings,
    body: impl FnOnce(&mut Lan) -> Result<(), Failed>,
) -> Report {
    let mut lan = Lan::new(seed, &settings);
    let result = body(&mut lan);
    Report { name: name.to_owned(), seed, nodes: lan.len(), trace: lan.trace(), faults: lan.faults(), result }
}
