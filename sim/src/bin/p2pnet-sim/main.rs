//! `p2pnet-sim`: runs scenarios, plans and sweeps. The same command gives the same output, every time and everywhere.

mod drivers;
mod marks;
#[cfg(feature = "planted")]
mod planted;
mod timing;
mod worlds;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::{Detail, FaultProfile, Report, Scenario, all, find, nearest};

use drivers::{Driver, driver, show_on_turmoil};
use worlds::{read_plan, show};

/// A world takes a few megabytes and gives them back, a hundred times a second: the system's allocator returns them to
/// the kernel each time, which takes a seventh of a sweep.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A check failed.
const FAILED: u8 = 11;
/// The command makes no sense.
const BAD_INPUT: u8 = 2;

/// Runs whole p2pnet nodes in a simulated LAN with faults
#[derive(Parser)]
#[command(name = "p2pnet-sim", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the scenarios
    List,
    Run(Run),
    Sweep(worlds::Sweep),
    Replay(worlds::Replay),
    Plan(worlds::PlanOf),
    CheckDeterminism(worlds::CheckDeterminism),
    Explain(worlds::Explain),
    Diff(worlds::Diff),
    Timing(timing::Timing),
    #[cfg(feature = "planted")]
    Planted(planted::Planted),
}

/// Runs a scenario or a plan: prints its trace, its checks and the hash of the run; exits with 11 if a check fails
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  p2pnet-sim run lossy-lan --seed 7
  p2pnet-sim run lossy-lan --driver world
  p2pnet-sim run plan.toml --detail events
  p2pnet-sim plan 7 --driver turmoil > plan.toml && p2pnet-sim run plan.toml --driver turmoil")]
struct Run {
    /// Which scenario, `list` shows them; or the path of a plan
    scenario: String,
    /// What runs it: `world`, engines alone, by default for plans; `turmoil`, whole nodes, by default for scenarios
    #[arg(long, value_parser = driver)]
    driver: Option<Driver>,
    /// The seed of everything that is drawn; by default 1, or what the plan says
    #[arg(long)]
    seed: Option<u64>,
    /// How to print the trace
    #[arg(long, value_enum, default_value_t = Style::Text)]
    trace: Style,
    /// How much of the trace to print as text; the hash covers everything
    #[arg(long, value_enum, default_value_t = Amount::Links)]
    detail: Amount,
    /// How many nodes, for a scenario on turmoil
    #[arg(long)]
    nodes: Option<usize>,
    /// The share of datagrams that is lost, 0.0 to 1.0, instead of what a scenario on turmoil says
    #[arg(long)]
    loss: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Style {
    Text,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum Amount {
    Events,
    Links,
    Everything,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::List => list().map(|()| ExitCode::SUCCESS),
        Command::Run(run) => run.run(),
        Command::Sweep(sweep) => sweep.run(),
        Command::Replay(replay) => replay.run(),
        Command::Plan(plan) => plan.run(),
        Command::CheckDeterminism(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Diff(diff) => diff.run(),
        Command::Timing(timing) => timing.run(),
        #[cfg(feature = "planted")]
        Command::Planted(planted) => planted.run(),
    };
    // The only error is a reader that has seen enough.
    done.unwrap_or(ExitCode::SUCCESS)
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for scenario in all() {
        let Scenario { name, about, nodes, least, most, .. } = scenario;
        writeln!(out, "{name:20} {nodes} nodes ({least} to {most}): {about}")?;
    }
    Ok(())
}

impl Run {
    fn run(&self) -> io::Result<ExitCode> {
        let Some(scenario) = find(&self.scenario) else {
            let path = Path::new(&self.scenario);
            if path.extension().is_some_and(|extension| extension == "toml") || path.is_file() {
                return match read_plan(path) {
                    Ok(plan) => self.run_plan(plan, self.driver.unwrap_or(Driver::World)),
                    Err(message) => bad_input(&message),
                };
            }
            return bad_input(&format!(
                "there is no scenario `{}`; did you mean `{}`?",
                self.scenario.escape_debug(),
                nearest(&self.scenario, all().iter().map(|scenario| scenario.name)).unwrap_or_default()
            ));
        };
        if self.driver == Some(Driver::World) {
            return self.run_plan(scenario.plan(self.seed.unwrap_or(1)), Driver::World);
        }
        let nodes = self.nodes.unwrap_or(scenario.nodes);
        if !(scenario.least..=scenario.most).contains(&nodes) {
            let (name, least, most) = (scenario.name, scenario.least, scenario.most);
            return bad_input(&format!("{name} runs with {least} to {most} nodes, not {nodes}"));
        }
        let mut settings = (scenario.settings)(nodes);
        if let Some(loss) = self.loss {
            if !(0.0..=1.0).contains(&loss) {
                return bad_input(&format!("a share is between 0.0 and 1.0, not {loss}"));
            }
            settings = settings.change_faults(|faults: FaultProfile| faults.loss(loss));
        }
        let report = scenario.run_with(self.seed.unwrap_or(1), settings);
        match self.trace {
            Style::Text => self.print_text(&report)?,
            Style::Json => self.print_json(&report)?,
        }
        match &report.result {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(failed) => {
                eprintln!("failed {failed}\nreplay: {}", self.replay(&report));
                Ok(ExitCode::from(FAILED))
            }
        }
    }

    /// Runs a plan, which says itself how many nodes there are and what is lost.
    fn run_plan(&self, mut plan: Plan, driver: Driver) -> io::Result<ExitCode> {
        if self.nodes.is_some() || self.loss.is_some() {
            return bad_input(
                "a plan says itself how many nodes there are and what is lost; change the plan",
            );
        }
        plan.seed = self.seed.unwrap_or(plan.seed);
        match driver {
            Driver::World => show(plan, self.trace, self.detail),
            Driver::Turmoil => show_on_turmoil(&plan, self.trace, self.detail),
        }
    }

    fn print_text(&self, report: &Report) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{} with seed {} and {} nodes\n", report.name, report.seed, report.nodes)?;
        out.write_all(report.trace.text(self.detail.into()).as_bytes())?;
        writeln!(out, "\nchecks")?;
        for (at, check, passed) in report.trace.checks() {
            writeln!(out, "  {}  {check} ({at:.3} ms)", if passed { "ok    " } else { "FAILED" })?;
        }
        writeln!(out, "\nfaults")?;
        for (fault, count) in report.faults.by_name() {
            writeln!(out, "  {count:>7}  {fault}")?;
        }
        writeln!(out, "\nhash  {}", report.trace.hash())
    }

    fn print_json(&self, report: &Report) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(report.trace.json().as_bytes())?;
        let faults: serde_json::Map<_, _> = report
            .faults
            .by_name()
            .into_iter()
            .map(|(fault, count)| (fault.to_owned(), count.into()))
            .collect();
        let summary = serde_json::json!({
            "what": "summary",
            "scenario": report.name,
            "seed": report.seed,
            "nodes": report.nodes,
            "passed": report.result.is_ok(),
            "faults": faults,
            "hash": report.trace.hash(),
            "replay": self.replay(report),
        });
        writeln!(out, "{summary}")
    }

    fn replay(&self, report: &Report) -> String {
        let loss = self.loss.map(|loss| format!(" --loss {loss}")).unwrap_or_default();
        format!("p2pnet-sim run {} --seed {} --nodes {}{loss}", report.name, report.seed, report.nodes)
    }
}

impl From<Amount> for Detail {
    fn from(amount: Amount) -> Detail {
        match amount {
            Amount::Events => Detail::Events,
            Amount::Links => Detail::Links,
            Amount::Everything => Detail::Everything,
        }
    }
}

fn bad_input(message: &str) -> io::Result<ExitCode> {
    eprintln!("error: {message}");
    Ok(ExitCode::from(BAD_INPUT))
}
