//! The real program on hosts that are network namespaces on one bridge, with faults made by the kernel.
//!
//! Needs root, iproute2 and nftables; without them the tests are skipped, or fail if `P2PNET_REQUIRE_NETNS=1`. Only
//! one runs at a time. `cargo test -p p2pnet --release --test namespaces -- --measure [CASE] [--runs 50]` measures
//! instead: the bounds here are generous, because machines are noisy.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

mod lan;
#[allow(dead_code, reason = "a benchmark uses the rest")]
mod program;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lan::{Fault, Host, Lan, unavailable};
use libtest_mimic::{Arguments, Failed, Trial};
use program::{Line, Program};
use tempfile::TempDir;

const NEEDS: &str = "skipped: needs root, iproute2, nftables";

/// Something that is tested with a bound, and measured without.
struct Case {
    test: &'static str,
    /// In words, for the table of figures.
    name: &'static str,
    /// How often the test runs it.
    times: u32,
    /// No run of the test may take longer.
    bound: Duration,
    run: fn(within: Duration) -> Figure,
}

/// How long something took.
struct Figure {
    /// From the cause, as seen from outside, to the last program's line being read.
    outside: Duration,
    /// By the programs' own clocks, which start when they do; the longest. Only where all of them just started.
    inside: Option<Duration>,
}

const CASES: [Case; 8] = [
    Case {
        test: "hosts_started_in_the_same_instant_trust_each_other",
        name: "same instant",
        times: 3,
        bound: Duration::from_secs(5),
        run: |within| together(2, &[], within),
    },
    Case {
        test: "three_hosts_started_in_the_same_instant_trust_each_other",
        name: "same instant, three hosts",
        times: 1,
        bound: Duration::from_secs(5),
        run: |within| together(3, &[], within),
    },
    Case {
        test: "hosts_find_each_other_at_20_percent_loss",
        name: "20 % loss",
        times: 3,
        bound: Duration::from_secs(20),
        run: |within| together(2, &[Fault::Loss(20)], within),
    },
    Case {
        test: "multicast_alone_suffices",
        name: "broadcast dropped",
        times: 1,
        bound: Duration::from_secs(5),
        run: |within| together(2, &[Fault::Broadcasts], within),
    },
    Case {
        test: "broadcast_alone_suffices",
        name: "multicast dropped",
        times: 1,
        bound: Duration::from_secs(5),
        run: |within| together(2, &[Fault::Multicasts], within),
    },
    Case {
        test: "four_nodes_on_one_host_and_one_port_all_trust_each_other",
        name: "four nodes on one host",
        times: 2,
        bound: Duration::from_secs(10),
        run: four_on_one_host,
    },
    Case {
        test: "an_interface_that_was_down_for_six_seconds_is_used_again",
        name: "interface down 6 s, up",
        times: 1,
        bound: Duration::from_secs(10),
        run: interface_down_and_up,
    },
    Case {
        test: "a_killed_node_is_trusted_again_when_it_restarts",
        name: "kill -9, restart",
        times: 1,
        bound: Duration::from_secs(10),
        run: kill_and_restart,
    },
];

/// As many hosts as `hosts` start in the same instant, with `faults` for each of them.
fn together(hosts: usize, faults: &[Fault], within: Duration) -> Figure {
    let lan = Lan::new(hosts);
    for host in lan.hosts() {
        faults.iter().for_each(|&fault| host.drop_incoming(fault));
    }
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = &["a", "b", "c"][..hosts];
    let mut programs: Vec<Program> =
        lan.hosts().iter().zip(names).map(|(host, name)| node(host, name, dir.path())).collect();
    let figure = start_and_wait(&mut programs, names, within);
    // A fault that did not happen tests nothing. By chance it may have spared what was needed so far, but pings and
    // beacons go on.
    for host in lan.hosts().iter().filter(|_| !faults.is_empty()) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while host.dropped() == 0 {
            assert!(Instant::now() < deadline, "nothing was dropped at {host:?}");
            sleep(Duration::from_millis(100));
        }
    }
    figure
}

fn four_on_one_host(within: Duration) -> Figure {
    let lan = Lan::new(1);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b", "c", "d"];
    let mut programs: Vec<Program> =
        names.iter().map(|name| node(&lan.hosts()[0], name, dir.path())).collect();
    start_and_wait(&mut programs, &names, within)
}

fn interface_down_and_up(within: Duration) -> Figure {
    let lan = Lan::new(2);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b"];
    let mut programs: Vec<Program> =
        lan.hosts().iter().zip(names).map(|(host, name)| node(host, name, dir.path())).collect();
    start_and_wait(&mut programs, &names, within);

    let marks: Vec<usize> = programs.iter_mut().map(Program::mark).collect();
    lan.hosts()[0].set_interface(false);
    sleep(Duration::from_secs(6));
    for (i, program) in programs.iter_mut().enumerate() {
        let lost = |line: &Line| line.is_of("peer_left", names[1 - i]);
        assert!(program.has_printed_after(marks[i], lost), "{} did not notice the silence", names[i]);
    }
    let marks: Vec<usize> = programs.iter_mut().map(Program::mark).collect();
    let up = Instant::now();
    lan.hosts()[0].set_interface(true);
    let deadline = up + within;
    let trusted = (0..2).map(|i| trusts(&mut programs[i], marks[i], names[1 - i], deadline).at).max();
    Figure { outside: since(up, trusted), inside: None }
}

fn kill_and_restart(within: Duration) -> Figure {
    let lan = Lan::new(2);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b"];
    let mut programs: Vec<Program> =
        lan.hosts().iter().zip(names).map(|(host, name)| node(host, name, dir.path())).collect();
    start_and_wait(&mut programs, &names, within);

    let mark = programs[0].mark();
    programs[1].kill();
    let mut again = node(&lan.hosts()[1], "b", dir.path());
    let restarted = again.go();
    let deadline = restarted + within;
    let by_survivor = trusts(&mut programs[0], mark, "b", deadline).at;
    let by_restarted = trusts(&mut again, 0, "a", deadline).at;
    assert!(
        programs[0].has_printed_after(mark, |line| line.is_of("peer_left", "b")),
        "the survivor did not notice the end of the stream"
    );
    Figure { outside: since(restarted, Some(by_survivor.max(by_restarted))), inside: None }
}

/// Lets them begin in the same instant and waits until each trusts all others.
fn start_and_wait(programs: &mut [Program], names: &[&str], within: Duration) -> Figure {
    let starts: Vec<Instant> = programs.iter_mut().map(Program::go).collect();
    let start = starts[0];
    let mut lines = Vec::new();
    for (i, program) in programs.iter_mut().enumerate() {
        for (_, other) in names.iter().enumerate().filter(|&(j, _)| j != i) {
            lines.push(trusts(program, 0, other, start + within));
        }
    }
    Figure {
        outside: since(start, lines.iter().map(|line| line.at).max()),
        inside: lines.iter().map(Line::own_time).max(),
    }
}

/// A node called `name` on `host` that is about to begin. Its key is kept in `dir`.
fn node(host: &Host, name: &str, dir: &Path) -> Program {
    let data_dir = dir.join(name);
    let data_dir = data_dir.to_str().expect("temporary directories have plain names");
    // If this process is killed, nobody else ends them.
    let arguments = ["up", "--json", "--name", name, "--data-dir", data_dir, "--for", "2m", "-v"];
    Program::prepare(name, host.command("sh"), Path::new(env!("CARGO_BIN_EXE_p2pnet")), &arguments, dir)
}

/// The line, after the first `mark`, that says that `program` trusts `peer`.
fn trusts(program: &mut Program, mark: usize, peer: &str, deadline: Instant) -> Line {
    let left = deadline.saturating_duration_since(Instant::now());
    program.wait_after(mark, left, &format!("trust in {peer}"), |line| line.is_of("peer_trusted", peer))
}

fn since(start: Instant, end: Option<Instant>) -> Duration {
    end.map_or(Duration::ZERO, |end| end.saturating_duration_since(start))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--measure") {
        return measure(&arguments);
    }
    let mut arguments = Arguments::from_args();
    // Each would be noise for the others.
    arguments.test_threads = Some(1);
    let obstacle = if arguments.list { None } else { unavailable() };
    let required = std::env::var_os("P2PNET_REQUIRE_NETNS").is_some_and(|value| value == "1");
    let trials = CASES.iter().map(|case| match obstacle.clone() {
        None => Trial::test(case.test, || test(case)),
        Some(obstacle) if required => {
            Trial::test(case.test, move || Err(Failed::from(format!("{NEEDS} ({obstacle})"))))
        }
        Some(_) => Trial::test(case.test, || Ok(())).with_kind(NEEDS).with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn test(case: &Case) -> Result<(), Failed> {
    for _ in 0..case.times {
        (case.run)(case.bound);
    }
    Ok(())
}

/// Runs the cases whose name contains what was asked for, and prints a table.
fn measure(arguments: &[String]) -> ExitCode {
    if let Some(obstacle) = unavailable() {
        eprintln!("cannot measure: needs root, iproute2, nftables ({obstacle})");
        return ExitCode::FAILURE;
    }
    let after = |option: &str| arguments.iter().skip_while(|argument| *argument != option).nth(1);
    let runs = after("--runs").map_or(Some(50), |runs| runs.parse::<usize>().ok()).filter(|&runs| runs > 0);
    let Some(runs) = runs else {
        eprintln!("--runs takes a number of runs");
        return ExitCode::from(2);
    };
    let wanted = after("--measure").filter(|argument| !argument.starts_with('-'));
    println!("until trusted on all sides, in ms: from the start (or the cause) as seen from outside,");
    println!("and in brackets by the programs' own clocks, which begin with their main function\n");
    println!("{:26} {:>5} {:>17} {:>17} {:>17} {:>7}", "case", "runs", "p50", "p99", "worst", "failed");
    let mut all_well = true;
    for case in CASES.iter().filter(|case| wanted.is_none_or(|wanted| case.name.contains(wanted.as_str()))) {
        let mut figures = Vec::new();
        for _ in 0..runs {
            figures.extend(catch_unwind(AssertUnwindSafe(|| (case.run)(Duration::from_secs(30)))).ok());
        }
        let failed = runs - figures.len();
        all_well &= failed == 0;
        let mut outside: Vec<Duration> = figures.iter().map(|figure| figure.outside).collect();
        let mut inside: Vec<Duration> = figures.iter().filter_map(|figure| figure.inside).collect();
        outside.sort();
        inside.sort();
        let shown = |percent| match (rank(&outside, percent), rank(&inside, percent)) {
            (None, _) => "-".to_owned(),
            (Some(outside), None) => format!("{:.1}", millis(outside)),
            (Some(outside), Some(inside)) => format!("{:.1} ({:.1})", millis(outside), millis(inside)),
        };
        let (p50, p99, worst) = (shown(50), shown(99), shown(100));
        println!("{:26} {runs:>5} {p50:>17} {p99:>17} {worst:>17} {failed:>7}", case.name);
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The smallest value that as many percent of all are not above.
fn rank(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
