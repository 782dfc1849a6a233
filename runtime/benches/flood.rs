//! What ten seconds of garbage, as fast as one core can send it, do to two linked nodes: datagrams to the shared and
//! to the private port, streams to the private port. Links must stay up, memory must stay flat, and a newcomer from
//! the very same address must be welcome two seconds later.
//!
//! `cargo bench -p p2pnet --bench flood [-- --seconds 10]`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/program/mod.rs"]
mod program;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use program::Program;
use tempfile::TempDir;

/// Nothing that is waited for takes so long unless it never happens.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long after the flood the newcomer starts.
const PAUSE: Duration = Duration::from_secs(2);

/// What was sent.
#[derive(Default)]
struct Sent {
    datagrams: AtomicU64,
    streams: AtomicU64,
    stop: AtomicBool,
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` only wants to know that it runs.
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = arguments.iter().skip_while(|argument| *argument != "--seconds").nth(1);
    let seconds: u64 = seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(10).clamp(1, 60);

    let dir = TempDir::new()?;
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let mut alice = node(dir.path(), "alice", port);
    let mut bob = node(dir.path(), "bob", port);
    alice.go();
    bob.go();
    let listening = alice.wait(PATIENCE, "alice", |line| line.is("listening"));
    let private = u16::try_from(listening.value["port"].as_u64().unwrap_or_default()).unwrap_or_default();
    alice.wait(PATIENCE, "trust in bob", |line| line.is_of("peer_trusted", "bob"));
    bob.wait(PATIENCE, "trust in alice", |line| line.is_of("peer_trusted", "alice"));
    let (mark_a, mark_b) = (alice.mark(), bob.mark());

    println!(
        "{seconds} s of garbage on loopback\n\n{:>4} {:>16} {:>16}",
        "s", "alice RSS MiB", "bob RSS MiB"
    );
    let sent = Sent::default();
    let mut resident = vec![(memory(&alice)?, memory(&bob)?)];
    thread::scope(|scope| {
        scope.spawn(|| throw_datagrams(&sent, port, private));
        scope.spawn(|| throw_streams(&sent, private));
        for second in 1..=seconds {
            thread::sleep(Duration::from_secs(1));
            let now = (memory(&alice).unwrap_or(f64::NAN), memory(&bob).unwrap_or(f64::NAN));
            println!("{second:>4} {:>16.1} {:>16.1}", now.0, now.1);
            resident.push(now);
        }
        sent.stop.store(true, Ordering::Relaxed);
    });
    let (datagrams, streams) = (sent.datagrams.into_inner(), sent.streams.into_inner());
    println!("\nsent: {} datagrams a second, {} streams a second", datagrams / seconds, streams / seconds);

    thread::sleep(PAUSE);
    let mut carol = node(dir.path(), "carol", port);
    let start = carol.go();
    let welcome = carol.wait(PATIENCE, "trust in alice", |line| line.is_of("peer_trusted", "alice"));
    let welcomed = welcome.at.duration_since(start);
    println!("newcomer from the same address, {PAUSE:?} later: trusts alice after {welcomed:.1?}");

    let parted = alice.has_printed_after(mark_a, |line| line.is_of("peer_left", "bob"))
        || bob.has_printed_after(mark_b, |line| line.is_of("peer_left", "alice"));
    println!("the link between alice and bob: {}", if parted { "was lost" } else { "stayed up" });
    // The first second fills buffers; what comes after is what a longer flood would cost.
    let growth = resident.last().map_or(0.0, |last| last.0 - resident[1].0);
    println!("alice's memory from the first second to the last: {growth:+.1} MiB");
    Ok(if parted || growth > 8.0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn node(dir: &Path, name: &str, port: u16) -> Program {
    let network = format!("flood {} {port}", std::process::id());
    let (port, data_dir) = (port.to_string(), dir.join(name));
    let data_dir = data_dir.to_str().expect("temporary directories have plain names");
    let arguments = [
        &["up", "--json", "--interface", "lo", "--for", "5m", "--name", name][..],
        &["--network", &network, "--ports", &port, "--data-dir", data_dir],
    ];
    let binary = Path::new(env!("CARGO_BIN_EXE_p2pnet"));
    Program::prepare(name, Command::new("sh"), binary, &arguments.concat(), dir)
}

/// Garbage of every length up to 1200 bytes; every other one has a beacon's size, magic and version.
fn throw_datagrams(sent: &Sent, shared: u16, private: u16) {
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return };
    let _ = socket.set_broadcast(true);
    let destinations = [
        SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), shared)),
        SocketAddr::from((Ipv4Addr::LOCALHOST, private)),
    ];
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut garbage = [0; 1200];
    for round in 0_usize.. {
        if sent.stop.load(Ordering::Relaxed) {
            return;
        }
        if round.is_multiple_of(64) {
            noise.fill(&mut garbage);
        }
        garbage[8] = garbage[8].wrapping_add(1);
        let length = if round.is_multiple_of(2) { 768 } else { round % garbage.len() };
        if round.is_multiple_of(2) {
            garbage[..5].copy_from_slice(b"p2pb\x01");
        }
        if socket.send_to(&garbage[..length], destinations[round / 2 % 2]).is_ok() {
            sent.datagrams.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Streams that begin like a link, or not, and go on as noise.
fn throw_streams(sent: &Sent, private: u16) {
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut garbage = [0; 512];
    for round in 0_usize.. {
        if sent.stop.load(Ordering::Relaxed) {
            return;
        }
        noise.fill(&mut garbage);
        if round.is_multiple_of(2) {
            garbage[..6].copy_from_slice(b"p2pn\x01\x01");
        }
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, private)) {
            let _ = stream.write_all(&garbage);
            sent.streams.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Memory that the process has now, in MiB.
fn memory(program: &Program) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN);
    Ok(kib / 1024.0)
}
