//! The real program on hosts that are network namespaces on one bridge, with faults made by the kernel.
//!
//! Needs root, iproute2 and nftables; without them the tests are skipped, or fail if `P2PNET_REQUIRE_NETNS=1`. Only
//! one runs at a time. `cargo test -p p2pnet --release --test namespaces -- --measure [CASE] [--runs 50]` measures
//! instead: the bounds here are generous, because machines are noisy.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

#[allow(dead_code, reason = "a benchmark uses the rest")]
mod lan;
#[allow(dead_code, reason = "a benchmark uses the rest")]
mod program;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lan::{Fault, Host, Lan, unavailable};
use libtest_mimic::{Arguments, Failed, Trial};
use p2pnet::DiskStore;
use p2pnet::engine::Identity;
use program::{Line, Program};
use tempfile::TempDir;

const NEEDS: &str = "skipped: needs root, iproute2, nftables";

/// Something that is tested with a bound, and measured without.
struct Case {
    test: &'static str,
    /// In words, for the table of figures.
    name: &'static str,
    /// How often the test runs it; 0 if it takes so long that it is only measured.
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

const CASES: [Case; 24] = [
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
        test: "hosts_without_ipv4_find_each_other",
        name: "IPv6 only",
        times: 3,
        bound: Duration::from_secs(5),
        run: ipv6_only,
    },
    Case {
        test: "an_address_given_by_hand_suffices",
        name: "both dropped, one given",
        times: 2,
        bound: Duration::from_secs(5),
        run: |within| given_address(&[Fault::Broadcasts, Fault::Multicasts], within),
    },
    Case {
        test: "an_address_that_one_host_remembers_suffices",
        name: "both dropped, one remembered",
        times: 2,
        bound: Duration::from_secs(5),
        run: |within| remembered_address(1, &[Fault::Broadcasts, Fault::Multicasts], within),
    },
    Case {
        test: "addresses_that_both_hosts_remember_suffice",
        name: "both dropped, remembered",
        times: 1,
        bound: Duration::from_secs(5),
        run: |within| remembered_address(2, &[Fault::Broadcasts, Fault::Multicasts], within),
    },
    Case {
        test: "a_host_that_may_not_send_to_everybody_finds_others",
        name: "EPERM for all but unicast",
        times: 1,
        bound: Duration::from_secs(5),
        run: |within| one_sided(&[Fault::BroadcastsOut, Fault::MulticastsOut], Started::Together, within),
    },
    Case {
        test: "a_host_that_takes_no_streams_is_found_whoever_starts_first",
        name: "no streams in, first",
        times: 1,
        bound: Duration::from_secs(6),
        run: |within| one_sided(&[Fault::Streams], Started::First, within),
    },
    Case {
        test: "a_host_that_takes_no_streams_finds_one_that_was_there",
        name: "no streams in, second",
        times: 1,
        bound: Duration::from_secs(6),
        run: |within| one_sided(&[Fault::Streams], Started::Second, within),
    },
    Case {
        test: "a_host_that_takes_nothing_but_answers_needs_one_address",
        name: "answers only, one given",
        times: 1,
        bound: Duration::from_secs(6),
        run: |within| given_address(&[Fault::Inbound], within),
    },
    Case {
        test: "a_host_that_takes_nothing_but_answers_remembers",
        name: "answers only, remembered",
        times: 1,
        bound: Duration::from_secs(6),
        run: |within| remembered_address(1, &[Fault::Inbound], within),
    },
    Case {
        test: "a_host_with_two_lans_meets_both",
        name: "two LANs",
        times: 1,
        bound: Duration::from_secs(5),
        run: two_lans,
    },
    Case {
        test: "an_interface_that_comes_later_is_used",
        name: "second interface comes",
        times: 1,
        bound: Duration::from_secs(8),
        run: interface_comes,
    },
    Case {
        test: "two_interfaces_on_one_lan_are_no_obstacle",
        name: "two interfaces, one LAN",
        times: 1,
        bound: Duration::from_secs(5),
        run: two_interfaces,
    },
    Case {
        test: "hosts_that_a_bridge_isolates_meet_whom_they_can_reach",
        name: "isolated ports",
        times: 1,
        bound: Duration::from_secs(5),
        run: isolated_ports,
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
        test: "a_host_with_a_new_address_is_trusted_again",
        name: "address changed",
        times: 1,
        bound: Duration::from_secs(8),
        run: address_changed,
    },
    Case {
        test: "a_process_that_was_stopped_for_eight_seconds_is_trusted_again",
        name: "stopped 8 s, continued",
        times: 1,
        bound: Duration::from_secs(8),
        run: |within| stopped(Duration::from_secs(8), within),
    },
    Case {
        test: "a_process_that_was_stopped_for_a_minute_is_trusted_again",
        name: "stopped 60 s, continued",
        times: 0,
        bound: Duration::from_secs(8),
        run: |within| stopped(Duration::from_secs(60), within),
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
fn together(hosts: u8, faults: &[Fault], within: Duration) -> Figure {
    let lan = Lan::new(hosts);
    drop_packets(lan.hosts(), faults);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = &["a", "b", "c"][..usize::from(hosts)];
    let mut programs = nodes(&lan, names, dir.path());
    let figure = start_and_wait(&mut programs, names, within);
    for host in lan.hosts().iter().filter(|_| !faults.is_empty()) {
        faults_happened(host);
    }
    figure
}

fn drop_packets(hosts: &[Host], faults: &[Fault]) {
    for host in hosts {
        faults.iter().for_each(|&fault| host.drop_packets(fault));
    }
}

/// A fault that did not happen tests nothing. By chance it may have spared what was needed so far, but pings and
/// beacons go on.
fn faults_happened(host: &Host) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while host.dropped() == 0 {
        assert!(Instant::now() < deadline, "nothing was dropped at {host:?}");
        sleep(Duration::from_millis(100));
    }
}

fn ipv6_only(within: Duration) -> Figure {
    let lan = Lan::ipv6(2);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b"];
    start_and_wait(&mut nodes(&lan, &names, dir.path()), &names, within)
}

/// Both hosts have `faults`, or only the first if it is a firewall; it starts last and is given the other's address.
fn given_address(faults: &[Fault], within: Duration) -> Figure {
    let lan = Lan::new(2);
    let [a, b] = lan.hosts() else { unreachable!("as many as were asked for") };
    let faulty = if faults.contains(&Fault::Inbound) { 1 } else { 2 };
    drop_packets(&lan.hosts()[..faulty], faults);
    let dir = TempDir::new().expect("there is room for temporary files");
    let mut there = node(b, "b", dir.path());
    there.go();
    let port = listening(&mut there);
    let peer = b.at(port).to_string();
    let mut here = node_with(a, "a", dir.path(), &["--peer", &peer]);
    let start = here.go();
    let figure = both_trust((&mut here, 0, "a"), (&mut there, 0, "b"), start, within);
    faults_happened(&lan.hosts()[0]);
    figure
}

/// Two hosts met; then so many of them start again, the first among them, where `faults` leave them nothing else than
/// what they remember. A firewall is only at the first.
fn remembered_address(again: usize, faults: &[Fault], within: Duration) -> Figure {
    let lan = Lan::new(2);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b"];
    let mut programs = nodes(&lan, &names, dir.path());
    start_and_wait(&mut programs, &names, Duration::from_secs(10));
    // What is met is not written at once.
    sleep(Duration::from_secs(2));
    for program in &mut programs[..again] {
        program.end();
    }
    let faulty = if faults.contains(&Fault::Inbound) { 1 } else { 2 };
    drop_packets(&lan.hosts()[..faulty], faults);
    for i in 0..again {
        programs[i] = node(&lan.hosts()[i], names[i], dir.path());
    }
    let marks: Vec<usize> = programs.iter_mut().map(Program::mark).collect();
    let starts: Vec<Instant> = programs[..again].iter_mut().map(Program::go).collect();
    let [a, b] = &mut programs[..] else { unreachable!("as many as there are names") };
    let figure = both_trust((a, marks[0], "a"), (b, marks[1], "b"), starts[0], within);
    faults_happened(&lan.hosts()[0]);
    figure
}

/// When the host with the faults starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Started {
    Together,
    First,
    Second,
}

/// One of two hosts has `faults`.
fn one_sided(faults: &[Fault], started: Started, within: Duration) -> Figure {
    let lan = Lan::new(2);
    drop_packets(&lan.hosts()[..1], faults);
    let dir = TempDir::new().expect("there is room for temporary files");
    the_other_dials(dir.path());
    let mut programs = nodes(&lan, &["a", "b"], dir.path());
    let [a, b] = &mut programs[..] else { unreachable!("as many as there are names") };
    let start = match started {
        Started::Together => a.go().min(b.go()),
        Started::First => {
            a.go();
            sleep(Duration::from_secs(2));
            b.go()
        }
        Started::Second => {
            b.go();
            sleep(Duration::from_secs(2));
            a.go()
        }
    };
    let figure = both_trust((a, 0, "a"), (b, 0, "b"), start, within);
    faults_happened(&lan.hosts()[0]);
    figure
}

/// Gives the nodes `a` and `b` keys such that b dials first, and a only a little later if that came to nothing.
fn the_other_dials(dir: &Path) {
    let dirs = ["a", "b"].map(|name| dir.join(name));
    let ids = dirs.each_ref().map(|dir| {
        let made = Command::new(env!("CARGO_BIN_EXE_p2pnet")).arg("id").arg("--data-dir").arg(dir).output();
        assert!(made.is_ok_and(|made| made.status.success()), "no key was made in {dir:?}");
        let seed = DiskStore::stored_identity(dir).ok().flatten().expect("the key was made");
        Identity::from_seed(seed).peer_id()
    });
    let [a, b] = dirs;
    if ids[0] < ids[1] {
        let aside = dir.join("c");
        for (from, to) in [(&a, &aside), (&b, &a), (&aside, &b)] {
            fs::rename(from, to).expect("it is ours");
        }
    }
}

/// One host is on two LANs; each has another peer for it.
fn two_lans(within: Duration) -> Figure {
    let (first, second) = (Lan::new(2), Lan::second(3..=3));
    second.attach(&first.hosts()[0], "eth1", 1);
    let dir = TempDir::new().expect("there is room for temporary files");
    let mut programs = nodes(&first, &["a", "b"], dir.path());
    programs.push(node(&second.hosts()[0], "c", dir.path()));
    let start = programs.iter_mut().map(Program::go).min().expect("there are three");
    let deadline = start + within;
    let mut lines = Vec::new();
    for (program, peer) in [(0, "b"), (0, "c"), (1, "a"), (2, "a")] {
        lines.push(trusts(&mut programs[program], 0, peer, deadline));
    }
    Figure {
        outside: since(start, lines.iter().map(|line| line.at).max()),
        inside: lines.iter().map(Line::own_time).max(),
    }
}

/// A host gets a second interface, on a LAN where a peer has waited for a while.
fn interface_comes(within: Duration) -> Figure {
    let (first, second) = (Lan::new(1), Lan::second(2..=2));
    let dir = TempDir::new().expect("there is room for temporary files");
    let mut here = node(&first.hosts()[0], "a", dir.path());
    let mut there = node(&second.hosts()[0], "b", dir.path());
    for program in [&mut here, &mut there] {
        program.go();
    }
    sleep(Duration::from_secs(3));
    let comes = Instant::now();
    second.attach(&first.hosts()[0], "eth1", 1);
    both_trust((&mut here, 0, "a"), (&mut there, 0, "b"), comes, within)
}

/// One host is on the LAN twice.
fn two_interfaces(within: Duration) -> Figure {
    let lan = Lan::new(2);
    lan.attach(&lan.hosts()[0], "eth1", 101);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b"];
    start_and_wait(&mut nodes(&lan, &names, dir.path()), &names, within)
}

/// Two of three hosts do not reach each other, but the third.
fn isolated_ports(within: Duration) -> Figure {
    let lan = Lan::new(3);
    lan.isolate(&[1, 2], true);
    let dir = TempDir::new().expect("there is room for temporary files");
    let mut programs = nodes(&lan, &["a", "b", "c"], dir.path());
    let start = programs.iter_mut().map(Program::go).min().expect("there are three");
    let mut ends = Vec::new();
    for (program, peer) in [(0, "c"), (1, "c"), (2, "a"), (2, "b")] {
        ends.push(trusts(&mut programs[program], 0, peer, start + within).at);
    }
    let strangers =
        |program: &mut Program, peer| program.has_printed_after(0, |line| line.is_of("peer_trusted", peer));
    assert!(
        !strangers(&mut programs[0], "b") && !strangers(&mut programs[1], "a"),
        "the ports are not isolated"
    );
    Figure { outside: since(start, ends.into_iter().max()), inside: None }
}

fn address_changed(within: Duration) -> Figure {
    // A link between IPv6 addresses would go on as if nothing had happened.
    let lan = Lan::ipv4(2);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b"];
    let mut programs = nodes(&lan, &names, dir.path());
    start_and_wait(&mut programs, &names, within);
    // Links begin at once; only after that can they end.
    sleep(Duration::from_secs(1));

    let mark = programs[0].mark();
    let changed = Instant::now();
    lan.hosts()[0].change_address(101);
    // The other host may go over to the new link without a word. Trust is mutual: one side says it for both.
    let trusted = trusts(&mut programs[0], mark, "b", changed + within).at;
    Figure { outside: since(changed, Some(trusted)), inside: None }
}

/// One process is stopped for so long that its peer gives it up, and goes on.
fn stopped(for_so_long: Duration, within: Duration) -> Figure {
    let lan = Lan::new(2);
    let dir = TempDir::new().expect("there is room for temporary files");
    let names = ["a", "b"];
    let mut programs = nodes(&lan, &names, dir.path());
    start_and_wait(&mut programs, &names, within);

    let marks: Vec<usize> = programs.iter_mut().map(Program::mark).collect();
    programs[0].signal("STOP");
    sleep(for_so_long);
    let lost = programs[1].has_printed_after(marks[1], |line| line.is_of("peer_left", "a"));
    assert!(lost, "b did not notice the silence");
    let continued = Instant::now();
    programs[0].signal("CONT");
    let [a, b] = &mut programs[..] else { unreachable!("as many as there are names") };
    let figure = both_trust((a, marks[0], "a"), (b, marks[1], "b"), continued, within);
    assert!(a.has_logged("the process was stopped"), "a did not notice it");
    assert!(!b.has_logged("the process was stopped"), "b was not");
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
    let mut programs = nodes(&lan, &names, dir.path());
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
    let mut programs = nodes(&lan, &names, dir.path());
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

/// Waits until each of two programs, after so many lines of its own, trusts the other.
fn both_trust(
    (a, a_mark, a_name): (&mut Program, usize, &str),
    (b, b_mark, b_name): (&mut Program, usize, &str),
    start: Instant,
    within: Duration,
) -> Figure {
    let deadline = start + within;
    let ends = [trusts(a, a_mark, b_name, deadline).at, trusts(b, b_mark, a_name, deadline).at];
    Figure { outside: since(start, ends.into_iter().max()), inside: None }
}

/// The private port of a program that has begun.
fn listening(program: &mut Program) -> u16 {
    let line = program.wait(Duration::from_secs(5), "its port", |line| line.is("listening"));
    line.value["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port is a number")
}

/// A node for each host of the LAN, about to begin.
fn nodes(lan: &Lan, names: &[&str], dir: &Path) -> Vec<Program> {
    lan.hosts().iter().zip(names).map(|(host, name)| node(host, name, dir)).collect()
}

fn node(host: &Host, name: &str, dir: &Path) -> Program {
    node_with(host, name, dir, &[])
}

/// A node called `name` on `host` that is about to begin. What it keeps is in `dir`.
fn node_with(host: &Host, name: &str, dir: &Path, more: &[&str]) -> Program {
    let data_dir = dir.join(name);
    let data_dir = data_dir.to_str().expect("temporary directories have plain names");
    // If this process is killed, nobody else ends them.
    let mut arguments = vec!["up", "--json", "--name", name, "--data-dir", data_dir, "--for", "2m", "-v"];
    arguments.extend(more);
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
    // They mostly wait, and their bounds are far above what they measure alone: `--measure` runs one at a time.
    arguments.test_threads = Some(4);
    let obstacle = if arguments.list { None } else { unavailable() };
    let required = std::env::var_os("P2PNET_REQUIRE_NETNS").is_some_and(|value| value == "1");
    let trials = CASES.iter().filter(|case| case.times > 0).map(|case| match obstacle.clone() {
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
    println!("{:30} {:>5} {:>17} {:>17} {:>17} {:>7}", "case", "runs", "p50", "p99", "worst", "failed");
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
        println!("{:30} {runs:>5} {p50:>17} {p99:>17} {worst:>17} {failed:>7}", case.name);
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
