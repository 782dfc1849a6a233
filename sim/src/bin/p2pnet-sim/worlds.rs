//! The commands about plans and seeds: sweep, replay, plan, check-determinism, explain, diff.

use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use p2pnet_sim::world::checks::SENTENCES;
use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::{Summary, keep_failure, run_plan, sweep_plans};
use p2pnet_sim::{Crypto, Detail, LogicalState, Outcome, Profile, expand, nearest};

use crate::drivers::{Driver, driver, print_plan, sweep_on_turmoil};
use crate::{Amount, Style, bad_input};

/// The same plan gave two runs.
const NOT_DETERMINISTIC: u8 = 13;
/// The sweep did not reach what it must.
pub(crate) const COVERAGE: u8 = 14;

/// Runs many seeds and reports what failed
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  p2pnet-sim sweep --seeds 200 --profile lan
  p2pnet-sim sweep --seeds 1000..2000 --profile hostile --keep-going --json
  p2pnet-sim sweep --seeds 250 --profile adversary --crypto cheap
  p2pnet-sim sweep --seeds 500 --profile verification --crypto cheap
  p2pnet-sim sweep --seeds 250 --profile messages --crypto cheap
  p2pnet-sim sweep --seeds 300 --profile wan
  p2pnet-sim sweep --driver turmoil --seeds 50 --profile lan

Profiles: discovery, calm, lan, wifi, hostile; churn, in which nodes come and go; adversary, in which somebody does harm;
verification, in which nodes choose whom they let in; transfer, in which contents of several blocks are fetched by many;
wan, in which homes are behind routers and some bootstrap servers lie.

With `--driver turmoil` each seed runs in both drivers, without what turmoil cannot do, and what it comes to is
compared: who trusts whom, who holds what, which texts arrived. Exits with 15 if that is not the same.")]
pub(crate) struct Sweep {
    /// How many seeds, from 0; or which, as A..B (B not included)
    #[arg(long, default_value = "1000", value_parser = seeds)]
    pub(crate) seeds: Range<u64>,
    /// What runs them: `world`, engines alone; or `turmoil`, whole nodes, compared with the World
    #[arg(long, default_value = "world", value_parser = driver)]
    pub(crate) driver: Driver,
    /// How many at a time; as many as there are processors by default
    #[arg(long)]
    jobs: Option<usize>,
    /// Stop after so long, such as 180s or 3m
    #[arg(long, value_parser = budget)]
    pub(crate) budget: Option<Duration>,
    /// What kind of network
    #[arg(long, default_value = "lan", value_parser = profile)]
    pub(crate) profile: Profile,
    /// Whether keys and ciphers are real, or cheap ones of the same sizes and failures
    #[arg(long, default_value = "real", value_parser = crypto)]
    pub(crate) crypto: Crypto,
    /// Go on after a failure
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Where failing seeds leave their folders
    #[arg(long, default_value = "sim-failures")]
    pub(crate) out: PathBuf,
    /// One JSON object for each seed, and one that sums up
    #[arg(long)]
    pub(crate) json: bool,
    /// A bug that nodes have
    #[cfg(feature = "planted")]
    #[arg(long, value_parser = crate::planted::bug)]
    plant: Option<p2pnet_sim::world::planting::Plant>,
}

/// Runs one seed or plan again, with its trace
#[derive(clap::Args)]
pub(crate) struct Replay {
    /// A seed, or the path of a plan
    what: String,
    /// What kind of network, for a seed
    #[arg(long, default_value = "lan", value_parser = profile)]
    profile: Profile,
    /// Whether keys and ciphers are real, for a seed
    #[arg(long, default_value = "real", value_parser = crypto)]
    crypto: Crypto,
    /// How to print the trace
    #[arg(long, value_enum, default_value_t = Style::Text)]
    trace: Style,
    /// How much of the trace to print as text; the hash covers everything
    #[arg(long, value_enum, default_value_t = Amount::Events)]
    detail: Amount,
}

/// Prints the plan of a seed
#[derive(clap::Args)]
pub(crate) struct PlanOf {
    /// The seed
    seed: u64,
    /// What is to run it: for `turmoil` without what that cannot do, which is named in comments
    #[arg(long, default_value = "world", value_parser = driver)]
    driver: Driver,
    /// What kind of network
    #[arg(long, default_value = "lan", value_parser = profile)]
    profile: Profile,
    /// Whether keys and ciphers are real, or cheap ones of the same sizes and failures
    #[arg(long, default_value = "real", value_parser = crypto)]
    crypto: Crypto,
}

/// Runs seeds in two processes and compares their hashes; exits with 13 if they differ
#[derive(clap::Args)]
pub(crate) struct CheckDeterminism {
    /// How many seeds, from 0; or which, as A..B (B not included)
    #[arg(long, default_value = "100", value_parser = seeds)]
    seeds: Range<u64>,
    /// What kind of network
    #[arg(long, default_value = "hostile", value_parser = profile)]
    profile: Profile,
    /// Whether keys and ciphers are real, or cheap ones of the same sizes and failures
    #[arg(long, default_value = "real", value_parser = crypto)]
    crypto: Crypto,
}

/// Says what a check is about
#[derive(clap::Args)]
pub(crate) struct Explain {
    /// Its id; all are listed without one
    id: Option<String>,
}

/// Shows where two traces in JSON lines part
#[derive(clap::Args)]
pub(crate) struct Diff {
    /// One trace
    a: PathBuf,
    /// The other
    b: PathBuf,
}

impl Sweep {
    /// How many seeds run at a time.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        if self.driver == Driver::Turmoil {
            return sweep_on_turmoil(self);
        }
        let jobs = self.jobs();
        let started = now();
        let total = self.seeds.end.saturating_sub(self.seeds.start);
        let shows = io::stderr().is_terminal();
        let (mut done, mut failed) = (0u64, 0u64);
        let plan_of = |seed| self.plan_of(seed);
        let summary = sweep_plans(self.seeds.clone(), jobs, self.keep_going, plan_of, |_, outcome| {
            done += 1;
            failed += u64::from(outcome.failure.is_some());
            if shows && (done.is_multiple_of(10) || done == total) {
                let filled = usize::try_from(done * 30 / total.max(1)).unwrap_or(30);
                let bar = "=".repeat(filled) + &" ".repeat(30 - filled.min(30));
                eprint!("\r[{bar}] {done}/{total} seeds, {failed} failed");
            }
            self.budget.is_none_or(|budget| started.elapsed() < budget)
        });
        if shows {
            eprintln!();
        }
        let wall = started.elapsed();
        for (seed, failure) in summary.failures() {
            let folder = keep_failure(&self.out, self.plan_of(seed))?;
            let (profile, crypto, folder) = (self.profile.name(), self.crypto.name(), folder.display());
            eprintln!(
                "seed {seed}: {failure}\n  replay: p2pnet-sim replay {seed} --profile {profile} --crypto {crypto}\n  see {folder}"
            );
        }
        let gap = summary.gap(self.profile);
        if self.json {
            self.print_json(&summary, gap.as_deref())?;
        } else {
            self.print_text(&summary, wall)?;
        }
        if let Some(class) = summary.failures().map(|(_, failure)| failure.class).min() {
            return Ok(ExitCode::from(class.exit_code()));
        }
        if let Some(gap) = gap {
            eprintln!("not covered: {gap}");
            return Ok(ExitCode::from(COVERAGE));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The plan of a seed, with the planted bug if one was asked for.
    fn plan_of(&self, seed: u64) -> Plan {
        #[allow(unused_mut, reason = "without the feature nothing is planted")]
        let mut plan = Plan { crypto: self.crypto, ..expand(seed, self.profile) };
        #[cfg(feature = "planted")]
        if let Some(plant) = &self.plant {
            plant.plant(&mut plan);
        }
        plan
    }

    fn print_text(&self, summary: &Summary, wall: Duration) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (seeds, node_seconds) = (summary.outcomes.len(), summary.node_seconds());
        let rate = node_seconds / wall.as_secs_f64().max(0.001);
        let failed = summary.failures().count();
        let happened: u64 = summary.outcomes.values().map(|outcome| outcome.happened).sum();
        writeln!(out, "{seeds} seeds of {}: {failed} failed", self.profile.name())?;
        writeln!(out, "{node_seconds:.0} node-seconds in {:.1} s: {rate:.0} a second", wall.as_secs_f64())?;
        writeln!(out, "{happened} happenings; {} seeds with a transfer", summary.with_transfer())?;
        if let Some(longest) = summary.outcomes.values().filter_map(|outcome| outcome.converged_after).max() {
            writeln!(out, "the slowest seed converged {:.1} s after it was healed", longest.as_secs_f64())?;
        }
        writeln!(out, "\nfaults")?;
        for (name, count) in summary.faults().by_name() {
            writeln!(out, "{count:>10}  {name}")?;
        }
        crate::marks::print(&mut out, &summary.marks())?;
        writeln!(out, "\nhash  {}", summary.hash())
    }

    /// Nothing in it depends on the machine, on time or on the number of jobs.
    fn print_json(&self, summary: &Summary, gap: Option<&str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (seed, outcome) in &summary.outcomes {
            writeln!(out, "{}", describe(*seed, outcome))?;
        }
        let faults: serde_json::Map<_, _> =
            summary.faults().by_name().map(|(name, count)| (name.to_owned(), count.into())).collect();
        let sum = serde_json::json!({
            "what": "summary",
            "profile": self.profile.name(),
            "seeds": summary.outcomes.len(),
            "failed": summary.failures().count(),
            "node_seconds": summary.node_seconds(),
            "with_transfer": summary.with_transfer(),
            "faults": faults,
            "marks": crate::marks::json(&summary.marks()),
            "not_covered": gap,
            "hash": summary.hash(),
        });
        writeln!(out, "{sum}")
    }
}

fn describe(seed: u64, outcome: &Outcome) -> serde_json::Value {
    serde_json::json!({
        "what": "seed",
        "seed": seed,
        "hash": outcome.hash,
        "failure": outcome.failure.as_ref().map(ToString::to_string),
        "happened": outcome.happened,
        "transfers": outcome.transfers,
        "converged_after_ms": outcome.converged_after.map(|time| time.as_secs_f64() * 1000.0),
    })
}

impl Replay {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let plan = match self.what.parse::<u64>() {
            Ok(seed) => Plan { crypto: self.crypto, ..expand(seed, self.profile) },
            Err(_) => match read_plan(Path::new(&self.what)) {
                Ok(plan) => plan,
                Err(message) => return bad_input(&message),
            },
        };
        show(plan, self.trace, self.detail)
    }
}

/// Runs a plan and prints its trace.
pub(crate) fn show(plan: Plan, style: Style, detail: Amount) -> io::Result<ExitCode> {
    let (world, outcome) = run_plan(plan, true);
    let mut out = io::stdout().lock();
    let trace = world.trace().cloned().unwrap_or_default();
    match style {
        Style::Text => {
            out.write_all(trace.text(Detail::from(detail)).as_bytes())?;
            writeln!(out, "\nfaults")?;
            for (name, count) in outcome.faults.by_name().filter(|(_, count)| *count > 0) {
                writeln!(out, "{count:>10}  {name}")?;
            }
            writeln!(out, "\nstate\n{}\nhash  {}", LogicalState::of_world(&world), outcome.hash)?;
        }
        Style::Json => {
            out.write_all(trace.json().as_bytes())?;
            writeln!(out, "{}", describe(world.plan().seed, &outcome))?;
        }
    }
    let Some(failure) = outcome.failure else { return Ok(ExitCode::SUCCESS) };
    eprintln!("failed {failure}\n\nwhat led to it");
    for entry in trace.causes_of_last(20) {
        eprintln!("{}", trace.entry_text(entry));
    }
    eprintln!("\n{}", world.states());
    Ok(ExitCode::from(failure.class.exit_code()))
}

/// Reads a plan; the message says the file, the line and what is wrong.
pub(crate) fn read_plan(path: &Path) -> Result<Plan, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Plan::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

impl PlanOf {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        print_plan(Plan { crypto: self.crypto, ..expand(self.seed, self.profile) }, self.driver)
    }
}

impl CheckDeterminism {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let (first, second) = (self.start()?, self.start()?);
        let lines =
            |child: &mut std::process::Child| child.stdout.take().map(|out| BufReader::new(out).lines());
        let (mut first, mut second) = (first, second);
        let (Some(a), Some(b)) = (lines(&mut first), lines(&mut second)) else {
            return bad_input("the processes have no output");
        };
        let mut same = 0u64;
        let mut parted = None;
        for (a, b) in a.zip(b) {
            let (a, b) = (a?, b?);
            if a != b {
                parted = Some((a, b));
                break;
            }
            same += 1;
        }
        // They may have more to say than was read; their exit codes tell of failures, not of differences.
        let _ = (first.kill(), second.kill());
        let _ = (first.wait()?, second.wait()?);
        match parted {
            None if same > 0 => {
                println!("{} seeds of {}: no difference", same.saturating_sub(1), self.profile.name());
                Ok(ExitCode::SUCCESS)
            }
            None => bad_input("the processes said nothing"),
            Some((a, b)) => {
                eprintln!("two processes, two runs:\n{a}\n{b}");
                Ok(ExitCode::from(NOT_DETERMINISTIC))
            }
        }
    }

    fn start(&self) -> io::Result<std::process::Child> {
        let seeds = format!("{}..{}", self.seeds.start, self.seeds.end);
        Command::new(std::env::current_exe()?)
            .args(["sweep", "--json", "--keep-going", "--jobs", "1", "--seeds", &seeds])
            .args(["--profile", self.profile.name(), "--crypto", self.crypto.name(), "--out"])
            .arg(std::env::temp_dir().join("p2pnet-sim-check-determinism"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }
}

impl Explain {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let mut out = io::stdout().lock();
        let Some(id) = &self.id else {
            for (id, class, sentence) in SENTENCES {
                writeln!(out, "{id:16} {:9} {sentence}", format!("{class:?}").to_lowercase())?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        match SENTENCES.iter().find(|(known, ..)| known == id) {
            Some((id, class, sentence)) => {
                let code = class.exit_code();
                writeln!(out, "{id} ({class:?}, exit code {code}): {sentence}")?;
                Ok(ExitCode::SUCCESS)
            }
            None => {
                let near = nearest(id, SENTENCES.iter().map(|(id, ..)| *id)).unwrap_or_default();
                bad_input(&format!("there is no check `{}`; did you mean `{near}`?", id.escape_debug()))
            }
        }
    }
}

impl Diff {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        let (a, b) = match (read(&self.a), read(&self.b)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(message), _) | (_, Err(message)) => return bad_input(&message),
        };
        let (mut a, mut b) = (a.lines(), b.lines());
        let mut out = io::stdout().lock();
        for line in 1.. {
            match (a.next(), b.next()) {
                (None, None) => {
                    writeln!(out, "no difference in {} lines", line - 1)?;
                    return Ok(ExitCode::SUCCESS);
                }
                (one, other) if one == other => {}
                (one, other) => {
                    let end = "(the trace ends)";
                    writeln!(out, "line {line}\n< {}\n> {}", one.unwrap_or(end), other.unwrap_or(end))?;
                    break;
                }
            }
        }
        Ok(ExitCode::from(NOT_DETERMINISTIC))
    }
}

#[expect(clippy::disallowed_methods, reason = "a person wants to know how long a sweep took; no run sees it")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|_| format!("`{}` is no number of seeds and no range A..B", text.escape_debug()))
    };
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => 0..number(text)?,
    };
    if range.is_empty() { Err(format!("there is no seed in {text}")) } else { Ok(range) }
}

pub(crate) fn profile(name: &str) -> Result<Profile, String> {
    Profile::find(name).ok_or_else(|| {
        let near = nearest(name, Profile::ALL.iter().map(|(name, _)| *name)).unwrap_or_default();
        format!("there is no profile `{}`; did you mean `{near}`?", name.escape_debug())
    })
}

fn crypto(name: &str) -> Result<Crypto, String> {
    let found = Crypto::ALL.iter().find(|(known, _)| *known == name);
    found
        .map(|&(_, crypto)| crypto)
        .ok_or_else(|| format!("there is no crypto `{}`; it is real or cheap", name.escape_debug()))
}

fn budget(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("`{}` is no time such as 180s, 3m or 1h", text.escape_debug())),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{}` is no time such as 180s, 3m or 1h", text.escape_debug()))?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}
