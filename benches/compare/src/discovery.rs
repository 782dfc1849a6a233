//! How soon two hosts that start together have found each other: p2pnet beside rust-libp2p's mDNS.
//!
//! Each run makes a LAN of its own, two network namespaces on a bridge in a third, and both programs take turns, so
//! that whatever else the machine does hits both. Needs root, iproute2 and nftables.

#[path = "../../../runtime/tests/lan/mod.rs"]
#[allow(dead_code, reason = "p2pnet's tests use the rest")]
mod lan;
mod mdns;
#[path = "../../../runtime/tests/program/mod.rs"]
#[allow(dead_code, reason = "p2pnet's tests use the rest")]
mod program;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use lan::{Fault, Lan, unavailable};
use program::Program;
use tempfile::TempDir;

use crate::child::load;

/// A run that is not done by then has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Programs end by themselves after so long, should nobody be left to end them. More than [`PATIENCE`].
const LIFETIME_SECS: u32 = 120;

/// Runs that take longer are counted. Somebody who waits for it has noticed by then.
const LONG: Duration = Duration::from_millis(900);

/// Where cargo puts the release build of p2pnet.
const P2PNET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/p2pnet");

/// What to measure, and how often.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often each of them is measured
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// So many of a hundred packets are lost on their way in, at both hosts
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=90))]
    loss: u8,
    /// The p2pnet to measure; if not given, the one that `cargo build --release -p p2pnet` made in this repository
    #[arg(long, value_name = "PATH", default_value = P2PNET, hide_default_value = true)]
    p2pnet: PathBuf,
}

/// The hosts of each LAN.
const HOSTS: [&str; 2] = ["a", "b"];

/// One of those that are compared.
struct Contestant {
    name: &'static str,
    binary: PathBuf,
    /// Its arguments on the host of this name, with room in this directory.
    arguments: fn(host: &str, dir: &Path) -> Vec<String>,
    /// What it prints, in this order: the event, and the word for it in the table.
    milestones: &'static [(&'static str, &'static str)],
    /// For each milestone, how long each run took until both hosts had printed it; `None` for a run that failed.
    figures: Vec<Vec<Option<Duration>>>,
    /// How many packets were lost in all runs.
    dropped: u64,
}

impl Contestant {
    fn p2pnet(binary: PathBuf) -> Contestant {
        let arguments = |host: &str, dir: &Path| {
            let data_dir = dir.join(host).display().to_string();
            let lifetime = format!("{LIFETIME_SECS}s");
            ["up", "--json", "--name", host, "--data-dir", &data_dir, "--for", &lifetime]
                .map(str::to_owned)
                .to_vec()
        };
        let milestones = &[
            ("peer_discovered", "discovered"),
            ("peer_connected", "connected"),
            ("peer_trusted", "trusted"),
        ];
        Contestant::new("p2pnet", binary, arguments, milestones)
    }

    fn libp2p(binary: PathBuf) -> Contestant {
        let arguments =
            |_: &str, _: &Path| vec!["rival-mdns".to_owned(), format!("--lifetime={LIFETIME_SECS}")];
        let milestones = &[("peer_discovered", "discovered"), ("peer_connected", "connected")];
        Contestant::new("libp2p mDNS", binary, arguments, milestones)
    }

    fn new(
        name: &'static str,
        binary: PathBuf,
        arguments: fn(&str, &Path) -> Vec<String>,
        milestones: &'static [(&'static str, &'static str)],
    ) -> Contestant {
        let figures = vec![Vec::new(); milestones.len()];
        Contestant { name, binary, arguments, milestones, figures, dropped: 0 }
    }

    /// Starts it on both hosts of a new LAN in the same instant and notes how long everything took.
    fn run(&mut self, loss: u8) -> Result<(), String> {
        let lan = Lan::new(2);
        if loss > 0 {
            lan.hosts().iter().for_each(|host| host.drop_packets(Fault::Loss(loss)));
        }
        let dir = TempDir::new().map_err(|error| format!("no room for temporary files: {error}"))?;
        let mut programs: Vec<Program> = HOSTS
            .iter()
            .zip(lan.hosts())
            .map(|(name, host)| {
                let arguments = (self.arguments)(name, dir.path());
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                Program::prepare(name, host.command("sh"), &self.binary, &arguments, dir.path())
            })
            .collect();

        let starts: Vec<Instant> = programs.iter_mut().map(Program::go).collect();
        let start = starts[0];
        for ((event, _), figures) in self.milestones.iter().zip(&mut self.figures) {
            // There is nobody else on this LAN, so whoever was found is the other one.
            let both = programs.iter_mut().map(|program| first(program, event, start + PATIENCE));
            let last = both.collect::<Option<Vec<Instant>>>().and_then(|ats| ats.into_iter().max());
            figures.push(last.map(|at| at.saturating_duration_since(start)));
            if last.is_none() {
                eprintln!("{}: not both hosts printed {event} within {PATIENCE:?}; they logged:", self.name);
                for name in HOSTS {
                    // What is not there was not logged.
                    let log = fs::read_to_string(dir.path().join(format!("{name}.log"))).unwrap_or_default();
                    log.lines().for_each(|line| eprintln!("  {name}: {line}"));
                }
            }
        }
        if loss > 0 {
            self.dropped += lan.hosts().iter().map(|host| host.dropped()).sum::<u64>();
        }
        Ok(())
    }

    /// Whether anything of any run did not come in time.
    fn has_failed(&self) -> bool {
        self.figures.iter().flatten().any(Option::is_none)
    }

    fn print(&self) {
        for ((_, milestone), figures) in self.milestones.iter().zip(&self.figures) {
            let done = figures.iter().flatten().count();
            let long = figures.iter().filter(|figure| figure.is_none_or(|figure| figure > LONG)).count();
            println!(
                "{:12} {milestone:11} {:>5} {:>9} {:>9} {:>9} {long:>9} {:>7}",
                self.name,
                figures.len(),
                shown(figures, 50),
                shown(figures, 99),
                shown(figures, 100),
                figures.len() - done
            );
        }
    }
}

/// When `program` first printed this event; `None` if it did not in time.
fn first(program: &mut Program, event: &str, deadline: Instant) -> Option<Instant> {
    // Its `wait` is made for tests and panics when the time is over. Every line knows when it was read, so it does not
    // matter how often this looks.
    while !program.has_printed_after(0, |line| line.is(event)) {
        if Instant::now() >= deadline {
            return None;
        }
        sleep(Duration::from_millis(5));
    }
    Some(program.wait(Duration::ZERO, event, |line| line.is(event)).at)
}

/// The smallest figure, in ms, that as many percent of all are not above. Failed runs took longer than all others.
fn shown(figures: &[Option<Duration>], percent: usize) -> String {
    let mut sorted: Vec<Duration> = figures.iter().map(|figure| figure.unwrap_or(Duration::MAX)).collect();
    sorted.sort();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    match sorted.get(rank - 1) {
        None => "-".to_owned(),
        Some(&Duration::MAX) => "failed".to_owned(),
        Some(figure) => format!("{:.1}", figure.as_secs_f64() * 1000.0),
    }
}

/// The rival itself, which was started when `began`.
pub(crate) fn rival(began: Instant, lifetime: u32) -> Result<(), String> {
    mdns::run(began, Duration::from_secs(u64::from(lifetime))).map_err(|error| error.to_string())
}

/// Measures both in turns and prints the table. An error if nothing can be measured, or the measure is worth nothing.
pub(crate) fn compare(arguments: &Arguments) -> Result<(), String> {
    let p2pnet = arguments.p2pnet.canonicalize().map_err(|error| {
        format!(
            "cannot find the p2pnet to measure at {} ({error}): \
             run `cargo build --release -p p2pnet` at the root of the repository, or name another with --p2pnet",
            arguments.p2pnet.display()
        )
    })?;
    let version = version(&p2pnet)?;
    let itself = env::current_exe().map_err(|error| format!("cannot find this program itself: {error}"))?;
    if let Some(obstacle) = unavailable() {
        return Err(format!("needs root, iproute2 and nftables: {obstacle}"));
    }

    println!("until both of two hosts that start together have printed it, in ms, as seen from outside");
    println!(
        "{version}; {} runs each, in turns; {} % loss; load {} before\n",
        arguments.runs,
        arguments.loss,
        load()
    );
    let mut contestants = [Contestant::p2pnet(p2pnet), Contestant::libp2p(itself)];
    for _ in 0..arguments.runs {
        for contestant in &mut contestants {
            contestant.run(arguments.loss)?;
        }
    }

    println!(
        "{:12} {:11} {:>5} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "", "", "runs", "p50", "p99", "worst", "> 900 ms", "failed"
    );
    contestants.iter().for_each(Contestant::print);
    println!("\nload {} after", load());
    for contestant in contestants.iter().filter(|_| arguments.loss > 0) {
        println!("{}: {} packets lost", contestant.name, contestant.dropped);
        // A fault that did not happen shows nothing.
        if contestant.dropped == 0 {
            return Err(format!("no packet was lost in the runs of {}", contestant.name));
        }
    }
    if contestants.iter().any(Contestant::has_failed) {
        return Err("there were failed runs; standard error has what they logged".to_owned());
    }
    Ok(())
}

/// What this p2pnet calls itself. Better to know at once that it is none than to wait for each run to fail.
fn version(p2pnet: &Path) -> Result<String, String> {
    let answer = Command::new(p2pnet).arg("--version").output();
    let answer = answer.map_err(|error| format!("cannot run {}: {error}", p2pnet.display()))?;
    let version = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if answer.status.success() && version.starts_with("p2pnet ") {
        Ok(version)
    } else {
        Err(format!("{} is no p2pnet: it does not tell its version", p2pnet.display()))
    }
}
