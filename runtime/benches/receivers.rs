//! One source and four receivers, each on a host of its own whose cable carries 1 Gbit/s each way: how long until all have
//! the file, beside how long one takes alone. They serve one another, or the source's cable would take four times as long.
//! Then: how long a receiver takes whose source is killed on the way while another has the file.
//!
//! Needs root, iproute2 and nftables; everything is in network namespaces of its own.
//!
//! `cargo bench -p p2pnet --bench receivers [-- --mib 256 --runs 3]`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/lan/mod.rs"]
mod lan;
#[allow(dead_code, reason = "the other benchmarks use the rest")]
mod transfers;

use std::io;
use std::path::Path;
use std::time::Duration;

use lan::Lan;
use tempfile::TempDir;
use transfers::program::Program;
use transfers::{Nodes, PATIENCE, make_source, median, megabytes, number};

/// What each cable carries each way, in Mbit/s.
const CABLE: u32 = 1000;

fn main() -> io::Result<()> {
    let (Some(mib), Some(runs)) = (number("--mib", 256)?, number("--runs", 3)?) else { return Ok(()) };
    if let Some(obstacle) = lan::unavailable() {
        return Err(io::Error::other(format!("needs root, iproute2 and nftables: {obstacle}")));
    }
    let bytes = mib << 20;
    let disk = TempDir::new_in("/dev/shm")?;
    let source = disk.path().join("source");
    let hash = make_source(&source, bytes)?;
    println!(
        "{mib} MiB in memory, cables of {CABLE} Mbit/s, {runs} runs; seconds from the start of the transfers\n"
    );
    println!(
        "{:>12} {:>12} {:>7} {:>19} {:>23}",
        "1 receiver", "4 receivers", "ratio", "of 2 sources, both", "of 2 sources, one dies"
    );
    let (mut ratios, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let alone = spread(&source, 1, &hash)?;
        let four = spread(&source, 4, &hash)?;
        let both = with_two_sources(&source, &hash, None)?;
        let killed = with_two_sources(&source, &hash, Some(Duration::from_secs_f64(both / 3.0)))?;
        ratios.push(four / alone);
        costs.push(killed - both);
        println!("{alone:>12.2} {four:>12.2} {:>7.2} {both:>19.2} {killed:>23.2}", four / alone);
    }
    println!(
        "\nmedians: four take {:.2} times as long as one ({:.0} MB delivered); a source that dies costs {:.2} s",
        median(&mut ratios),
        4.0 * megabytes(bytes),
        median(&mut costs)
    );
    Ok(())
}

/// Seconds until so many receivers have what one source has, all of whom know each other before it is offered.
fn spread(source: &Path, receivers: usize, hash: &str) -> io::Result<f64> {
    let lan = Lan::new(5);
    lan.shape(CABLE);
    let dir = TempDir::new_in("/dev/shm")?;
    let nodes = Nodes::new(dir.path())?;
    let mut running = receive(&nodes, &lan, 1, receivers, dir.path());
    let mut from = nodes.node("source", lan.hosts()[0].command("sh"), "eth0", "--share", source);
    from.go();
    let mut took = 0.0_f64;
    let mut first = None;
    for receiver in &mut running {
        let offered = receiver.wait(PATIENCE, "an offer", |line| line.is("content_offered")).at;
        let begin = *first.get_or_insert(offered);
        first = Some(begin.min(offered));
    }
    for receiver in &mut running {
        let received = receiver.wait(PATIENCE, "the file", |line| line.is("content_received"));
        assert_eq!(received.value["hash"], hash, "another file came");
        let begin = first.unwrap_or(received.at);
        took = took.max(received.at.duration_since(begin).as_secs_f64());
    }
    Ok(took)
}

/// Seconds until a receiver has what two sources have, of whom one is killed so long after the transfer began.
fn with_two_sources(source: &Path, hash: &str, dies_after: Option<Duration>) -> io::Result<f64> {
    let lan = Lan::new(3);
    lan.shape(CABLE);
    let dir = TempDir::new_in("/dev/shm")?;
    let nodes = Nodes::new(dir.path())?;
    let mut sources: Vec<Program> = lan.hosts()[..2]
        .iter()
        .zip(["one", "two"])
        .map(|(host, name)| nodes.node(name, host.command("sh"), "eth0", "--share", source))
        .collect();
    for source in &mut sources {
        source.go();
    }
    for source in &mut sources {
        source.wait(PATIENCE, "the other one", |line| line.is("peer_trusted"));
    }
    let mut receiver = receive(&nodes, &lan, 2, 1, dir.path()).remove(0);
    let offered = receiver.wait(PATIENCE, "an offer", |line| line.is("content_offered")).at;
    if let Some(after) = dies_after {
        std::thread::sleep(after.saturating_sub(offered.elapsed()));
        sources[0].kill();
    }
    let received = receiver.wait(PATIENCE, "the file", |line| line.is("content_received"));
    assert_eq!(received.value["hash"], hash, "another file came");
    Ok(received.at.duration_since(offered).as_secs_f64())
}

/// Receivers on the hosts from this one on, begun, all of whom trust each other.
fn receive(nodes: &Nodes<'_>, lan: &Lan, from: usize, count: usize, dir: &Path) -> Vec<Program> {
    let hosts = &lan.hosts()[from..from + count];
    let mut running: Vec<Program> = hosts
        .iter()
        .enumerate()
        .map(|(i, host)| {
            let name = format!("receiver{i}");
            nodes.node(&name, host.command("sh"), "eth0", "--inbox", &dir.join(format!("inbox{i}")))
        })
        .collect();
    for receiver in &mut running {
        receiver.go();
    }
    for (i, receiver) in running.iter_mut().enumerate() {
        for other in (0..count).filter(|&other| other != i) {
            let name = format!("receiver{other}");
            receiver.wait(PATIENCE, "the others", |line| line.is_of("peer_trusted", &name));
        }
    }
    running
}
