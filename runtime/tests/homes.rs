//! Two homes behind routers that let nobody in, and a public host with relays (coturn) between them.
//!
//! Needs root, iproute2, nftables and coturn; without them the test is skipped, or fails if `P2PNET_REQUIRE_NETNS=1` and,
//! for coturn, `P2PNET_REQUIRE_COTURN`. `cargo test -p p2pnet --release --test homes -- --measure [--runs 5]` measures.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

#[path = "../turn/tests/coturn/mod.rs"]
mod coturn;
#[path = "homes/net.rs"]
mod net;
#[path = "homes/plain.rs"]
mod plain;

#[allow(dead_code, reason = "other tests use the rest")]
mod lan;
#[allow(dead_code, reason = "other tests use the rest")]
mod program;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use coturn::{Coturn, PASSWORD, USER};
use libtest_mimic::{Arguments, Failed, Trial};
use net::{Homes, outside, public, wait_for_listener};
use program::Program;
use tempfile::TempDir;

type Test = fn() -> Result<(), Failed>;

const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Two homes, two relays, a bootstrap server, and a program in each home.
struct Scene {
    // Dropped in this order.
    anna: Program,
    ben: Program,
    relays: Vec<Coturn>,
    _server: Killed,
    homes: Homes,
    dir: TempDir,
    /// When both programs began.
    begin: Instant,
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    /// Anna, who has the relays, receives; Ben sends her a file of so many MiB. `None` without coturn.
    fn begin(mib: u64, shape: Option<u32>) -> Option<Scene> {
        let homes = Homes::new().unwrap_or_else(|error| panic!("no homes: {error}"));
        if let Some(megabits) = shape {
            homes.shape(megabits);
        }
        let relay = |port| Coturn::start_at(public(port), homes.in_public("turnserver"), &[]);
        let relays = vec![relay(3478)?, relay(3479)?];
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room");
        let mut server = homes.in_public(env!("CARGO_BIN_EXE_p2pnet"));
        server.args(["bootstrap", "serve", "--listen", &public(8010).to_string(), "--data"]);
        server.arg(dir.path().join("server")).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Killed(server.spawn().expect("the server can be started"));
        wait_for_listener(server.0.id(), public(8010));
        let (source, inbox) = (dir.path().join("film.bin"), dir.path().join("inbox"));
        fs::write(&source, content(mib * MIB)).expect("there is room");
        let urls = [3478, 3479].map(|port| format!("turn://{USER}:{PASSWORD}@{}", public(port)));
        let bootstrap = format!("http://{}", public(8010));
        let program = |number: usize, name: &str, arguments: &[&str]| {
            let data_dir = dir.path().join(format!("{name}.data"));
            let common = ["--json", "--name", name, "--data-dir", text(&data_dir), "--bootstrap", &bootstrap];
            let binary = Path::new(env!("CARGO_BIN_EXE_p2pnet"));
            let arguments = [arguments, &common].concat();
            Program::prepare(name, homes.at_home(number, "sh"), binary, &arguments, dir.path())
        };
        // Nodes that run until they are stopped, so that they can be asked.
        let receive = ["up", "--inbox", text(&inbox), "--relay", &urls[0], "--relay", &urls[1]];
        let mut anna = program(1, "anna", &receive);
        let mut ben = program(2, "ben", &["up", "--share", text(&source)]);
        let begin = anna.go();
        ben.go();
        Some(Scene { anna, ben, relays, _server: server, homes, dir, begin })
    }

    /// How long it took until both trust each other.
    fn trusted(&mut self) -> Duration {
        let anna = self.anna.wait(PATIENCE, "trust in ben", |line| line.is_of("peer_trusted", "ben"));
        let ben = self.ben.wait(PATIENCE, "trust in anna", |line| line.is_of("peer_trusted", "anna"));
        anna.at.max(ben.at).saturating_duration_since(self.begin)
    }

    /// Waits for the file, looks at every byte, and says how many seconds it took and how many bytes came.
    fn received(&mut self, mib: u64) -> (f64, u64) {
        let received = self.anna.wait(PATIENCE, "the file", |line| line.is("content_received"));
        self.ben.wait(PATIENCE, "the delivery", |line| line.is("content_delivered"));
        let value = &received.value;
        let path = value["path"].as_str().expect("it has a path");
        assert!(fs::read(path).expect("it can be read") == content(mib * MIB), "another file came");
        (value["seconds"].as_f64().expect("a number"), value["fetched_bytes"].as_u64().expect("a number"))
    }

    /// Waits until both have a link to the other over this path. How long after `from`.
    fn path(&self, path: &str, from: Instant) -> Duration {
        let has = |name: &str| {
            let output = Command::new(env!("CARGO_BIN_EXE_p2pnet"))
                .args(["peers", "--json", "--data-dir"])
                .arg(self.dir.path().join(format!("{name}.data")))
                .output()
                .expect("the program runs");
            let text = String::from_utf8_lossy(&output.stdout);
            let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines.into_iter().any(|line| line["level"] == "trusted" && line["path"] == path)
        };
        loop {
            if has("anna") && has("ben") {
                return from.elapsed();
            }
            assert!(from.elapsed() < PATIENCE, "the pair is not linked by {path}");
            sleep(Duration::from_millis(50));
        }
    }
}

/// Bytes that do not repeat.
fn content(bytes: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(bytes).expect("it fits into memory")];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    content
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// The relay that is in use is killed in the midst of a transfer: the other one takes over, and the transfer goes on.
/// How long until the other address was told, until both trusted each other again, and how many bytes came twice.
fn change_over(mib: u64, megabits: u32) -> Option<(Duration, Duration, Duration, u64)> {
    let mut scene = Scene::begin(mib, Some(megabits))?;
    let first = scene.trusted();
    scene.anna.wait(PATIENCE, "the transfer", |line| line.is("content_progress"));
    sleep(Duration::from_secs(1));
    let (mark, ben_mark) = (scene.anna.mark(), scene.ben.mark());
    let received = scene.anna.has_printed_after(0, |line| line.is("content_received"));
    assert!(!received, "it was all there before the relay was killed");
    let killed = Instant::now();
    scene.relays[0].kill();
    let relayed = scene.anna.wait_after(mark, PATIENCE, "the other relay", |line| line.is("relayed"));
    let address = relayed.value["address"].as_str().unwrap_or_default().to_owned();
    assert!(address.starts_with("203.0.113.1:"), "{address}");
    let again =
        scene.ben.wait_after(ben_mark, PATIENCE, "anna again", |line| line.is_of("peer_trusted", "anna"));
    let (_, fetched) = scene.received(mib);
    Some((first, relayed.at - killed, again.at - killed, fetched.saturating_sub(mib * MIB)))
}

/// Ben is brought to Anna's home in the midst of a transfer: the pair moves to the LAN, and the transfer goes on. How long
/// that took, and how many bytes came twice.
fn visit(mib: u64, megabits: u32, keep: bool) -> Option<(Duration, u64)> {
    let mut scene = Scene::begin(mib, Some(megabits))?;
    scene.trusted();
    scene.path("relay", scene.begin);
    scene.anna.wait(PATIENCE, "the transfer", |line| line.is("content_progress"));
    let mark = scene.ben.mark();
    let begin = Instant::now();
    scene.homes.visit(keep);
    let moved = scene.path("link", begin);
    let (_, fetched) = scene.received(mib);
    let parted = scene.ben.has_printed_after(mark, |line| line.is_of("peer_left", "anna"));
    assert!(!(keep && parted), "they were parted, though the old path was there");
    Some((moved, fetched.saturating_sub(mib * MIB)))
}

/// Seconds that as many bytes take through the relay as plain TCP. `None` if they do not get through.
fn plain_tcp(scene: &Scene, mib: u64) -> Option<f64> {
    let this = std::env::current_exe().expect("this program has a path");
    let bytes = (mib * MIB).to_string();
    let mut sink = scene.homes.at_home(1, text(&this));
    let (relay, peer) = (public(3478).to_string(), outside(2).to_string());
    sink.args(["--sink", &relay, &peer, &bytes]).stdout(Stdio::piped());
    let mut sink = Killed(sink.spawn().expect("it can be started"));
    let mut lines = BufReader::new(sink.0.stdout.take().expect("it is piped")).lines();
    let mut line = || lines.next()?.ok();
    let address = line()?;
    // The permission is asked for with the allocation and granted after it.
    sleep(Duration::from_millis(300));
    let mut source = scene.homes.at_home(2, text(&this));
    let _source = Killed(source.args(["--source", &address, &bytes]).spawn().expect("it can be started"));
    line()?.parse().ok()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--sink", relay, peer, bytes] => {
            let relay = relay.parse().expect("an address");
            plain::sink(relay, USER, PASSWORD, peer.parse().expect("an address"), number(bytes));
            return ExitCode::SUCCESS;
        }
        ["--source", address, bytes] => {
            plain::source(address.parse().expect("an address"), number(bytes));
            return ExitCode::SUCCESS;
        }
        ["--measure", ref rest @ ..] => {
            let runs = rest.iter().skip_while(|word| **word != "--runs").nth(1);
            measure(runs.map_or(5, |runs| number(runs)));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let obstacle = if arguments.list { None } else { lan::unavailable() };
    let required = std::env::var_os("P2PNET_REQUIRE_NETNS").is_some_and(|value| value == "1");
    let tests: [(&str, Test); 2] = [
        ("a_transfer_goes_on_by_another_relay_when_the_one_in_use_is_killed", kill_a_relay),
        ("a_pair_that_is_brought_to_one_lan_moves_there_and_its_transfer_goes_on", come_home),
    ];
    let trials = tests.map(|(name, test)| match obstacle.clone() {
        None => Trial::test(name, test),
        Some(obstacle) if required => Trial::test(name, move || Err(Failed::from(obstacle))),
        Some(_) => Trial::test(name, || Ok(())).with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn come_home() -> Result<(), Failed> {
    let Some((moved, twice)) = visit(24, 60, true) else { return Ok(()) };
    assert!(moved < Duration::from_secs(5), "on the LAN after {moved:?}");
    assert!(twice <= 12 * MIB, "{twice} bytes came twice");
    Ok(())
}

fn kill_a_relay() -> Result<(), Failed> {
    let Some((_, relayed, again, twice)) = change_over(24, 60) else { return Ok(()) };
    assert!(relayed < Duration::from_secs(5), "another relay after {relayed:?}");
    assert!(again < Duration::from_secs(5), "trusted again after {again:?}");
    assert!(twice <= 12 * MIB, "{twice} bytes came twice");
    Ok(())
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn measure(runs: u64) {
    const SIZE: u64 = 100;
    println!("both begin in the same instant; 100 MiB through the relay; no cable is limited");
    println!("{:>14} {:>12} {:>16} {:>6}", "trusted, s", "MB/s", "plain TCP, MB/s", "ratio");
    for _ in 0..runs {
        let Some(mut scene) = Scene::begin(SIZE, None) else { return };
        let trusted = scene.trusted().as_secs_f64();
        let rate = |seconds: f64| (SIZE * MIB) as f64 / 1e6 / seconds;
        let ours = rate(scene.received(SIZE).0);
        match plain_tcp(&scene, SIZE).map(rate) {
            Some(plain) => println!("{trusted:>14.2} {ours:>12.0} {plain:>16.0} {:>6.2}", ours / plain),
            None => println!("{trusted:>14.2} {ours:>12.0} {:>16} {:>6}", "lost", "-"),
        }
        let _ = scene.dir.path();
    }
    println!("\nthe relay killed after a second of a transfer of 100 MiB; cables of 100 Mbit/s");
    println!("{:>14} {:>18} {:>18} {:>14}", "trusted, s", "other relay, s", "trusted again, s", "twice, KiB");
    for _ in 0..runs {
        let Some((first, relayed, again, twice)) = change_over(SIZE, 100) else { return };
        let seconds = [first, relayed, again].map(|time| time.as_secs_f64());
        println!("{:>14.2} {:>18.2} {:>18.2} {:>14}", seconds[0], seconds[1], seconds[2], twice / 1024);
    }
    println!(
        "\none of them comes to the other's home in the midst of that, and keeps its old network, or not"
    );
    println!(
        "{:>18} {:>14} {:>22} {:>14}",
        "on the LAN, s", "twice, KiB", "old one gone: LAN, s", "twice, KiB"
    );
    for _ in 0..runs {
        let Some((kept, twice)) = visit(SIZE, 100, true) else { return };
        let Some((gone, again)) = visit(SIZE, 100, false) else { return };
        let (kept, gone) = (kept.as_secs_f64(), gone.as_secs_f64());
        println!("{kept:>18.2} {:>14} {gone:>22.2} {:>14}", twice / 1024, again / 1024);
    }
}
