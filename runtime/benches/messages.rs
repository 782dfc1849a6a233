//! Messages to all among nodes of one process, on loopback: how many are delivered a second when all send as fast as they
//! may, and when one does; and how long one takes at a quiet rate.
//!
//! `cargo bench -p p2pnet --bench messages [-- --nodes 10 --bytes 200 --seconds 5 --runs 3 --rate 200]`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::error::Error;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use p2pnet::{CommandError, Event, MessageError, Node, NodeHandle};
use tokio::sync::{Notify, mpsc};

/// Tasks of each sender: `broadcast` waits for the message's number, so one alone sends a message at a time.
const TASKS: usize = 8;

/// How long all may take to trust each other.
const MEETING: Duration = Duration::from_secs(20);

/// What the nodes have counted.
struct Counts {
    start: Instant,
    trusted: AtomicU64,
    delivered: AtomicU64,
    /// Outcomes that name nobody as missing, and those that do.
    settled: AtomicU64,
    missed: AtomicU64,
    over: AtomicBool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let number = |option: &str, default: u64| {
        let given = arguments.iter().skip_while(|argument| *argument != option).nth(1);
        given.and_then(|given| given.parse().ok()).unwrap_or(default)
    };
    let (nodes, bytes) = (number("--nodes", 10).clamp(2, 32), number("--bytes", 200).clamp(8, 60_000));
    let (seconds, runs) = (number("--seconds", 5).clamp(1, 60), number("--runs", 3).clamp(1, 20));
    let rate = number("--rate", 200).clamp(1, 10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{nodes} nodes in one process, messages of {bytes} bytes to all, {seconds} s each\n");
    let mut all = [Vec::new(), Vec::new()];
    let mut quiet = Vec::new();
    for run in 1..=runs {
        let result = runtime.block_on(run_once(nodes as usize, bytes as usize, seconds, rate))?;
        let [everybody, one] = result.rates;
        println!(
            "run {run}: {everybody:.0} deliveries a second when all send, {one:.0} when one does; at {rate} messages a second {}",
            times(&result.times)
        );
        all[0].push(everybody);
        all[1].push(one);
        quiet.push(result.times[(result.times.len() - 1) / 2]);
    }
    for rates in &mut all {
        rates.sort_by(f64::total_cmp);
    }
    quiet.sort();
    let middle = runs as usize / 2;
    println!(
        "\nmedian of {runs}: {:.0} a second when all send, {:.0} when one does, p50 {:.0} us at {rate} messages a second",
        all[0][middle],
        all[1][middle],
        quiet[middle].as_secs_f64() * 1e6
    );
    Ok(())
}

fn times(sorted: &[Duration]) -> String {
    let of = |percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    format!("p50 {:.0} us, p90 {:.0}, p99 {:.0}", of(50), of(90), of(99))
}

struct Run {
    rates: [f64; 2],
    times: Vec<Duration>,
}

async fn run_once(nodes: usize, bytes: usize, seconds: u64, rate: u64) -> Result<Run, Box<dyn Error>> {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let counts = Arc::new(Counts {
        start: Instant::now(),
        trusted: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        settled: AtomicU64::new(0),
        missed: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let (took, mut times) = mpsc::unbounded_channel();
    let (mut handles, mut listeners, mut roomy) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..nodes {
        let network = format!("messages {} {port}", std::process::id());
        let node =
            Node::builder(format!("n{i}")).network(network).interfaces(["lo"]).ports([port]).start().await?;
        handles.push(node.handle().clone());
        let room = Arc::new(Notify::new());
        roomy.push(room.clone());
        listeners.push(tokio::spawn(listen(node, counts.clone(), room, took.clone())));
    }
    let all = (nodes * (nodes - 1)) as u64;
    while counts.trusted.load(Ordering::Relaxed) < all {
        if counts.start.elapsed() > MEETING {
            return Err("they did not all meet".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut rates = [0.0; 2];
    for (result, senders) in rates.iter_mut().zip([nodes, 1]) {
        counts.over.store(false, Ordering::Relaxed);
        let tasks: Vec<_> = (0..senders * TASKS)
            .map(|i| i / TASKS)
            .map(|i| tokio::spawn(flood(handles[i].clone(), bytes, counts.clone(), roomy[i].clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (before, start) = (counts.delivered.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let delivered = counts.delivered.load(Ordering::Relaxed) - before;
        *result = delivered as f64 / start.elapsed().as_secs_f64();
        counts.over.store(true, Ordering::Relaxed);
        roomy.iter().for_each(|room| room.notify_waiters());
        let mut sent = 0;
        for task in tasks {
            sent += task.await??;
        }
        // All of them, and each once.
        let deadline = Instant::now() + MEETING;
        while counts.settled.load(Ordering::Relaxed) < sent && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (settled, delivered) =
            (counts.settled.swap(0, Ordering::Relaxed), counts.delivered.swap(0, Ordering::Relaxed));
        if (settled, delivered) != (sent, sent * (nodes as u64 - 1)) {
            return Err(format!("{sent} sent, {settled} settled, {delivered} delivered").into());
        }
    }
    if counts.missed.load(Ordering::Relaxed) > 0 {
        return Err("somebody missed a message".into());
    }
    // At a quiet rate, from one node after another.
    while times.try_recv().is_ok() {}
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    let count = rate * seconds.min(10);
    for i in 0..count {
        tick.tick().await;
        let mut message = vec![1; bytes];
        message[..8].copy_from_slice(&(counts.start.elapsed().as_nanos() as u64).to_le_bytes());
        handles[i as usize % nodes].broadcast(message).await?;
    }
    let mut sorted = Vec::new();
    while sorted.len() < count as usize * (nodes - 1) {
        sorted.push(tokio::time::timeout(MEETING, times.recv()).await?.ok_or("the nodes stopped")?);
    }
    sorted.sort();
    for handle in &handles {
        handle.leave().await?;
    }
    for listener in listeners {
        listener.await?;
    }
    Ok(Run { rates, times: sorted })
}

/// Sends until told to stop; says how many. When too many wait it goes on with the next outcome.
async fn flood(
    handle: NodeHandle,
    bytes: usize,
    counts: Arc<Counts>,
    room: Arc<Notify>,
) -> Result<u64, CommandError> {
    let mut sent = 0;
    while !counts.over.load(Ordering::Relaxed) {
        match handle.broadcast(vec![0; bytes]).await {
            Ok(_) => sent += 1,
            Err(CommandError::Message(MessageError::Full)) => {
                // The outcome that makes room may have come already.
                let _ = tokio::time::timeout(Duration::from_millis(5), room.notified()).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Takes a node's events.
async fn listen(
    mut node: Node,
    counts: Arc<Counts>,
    room: Arc<Notify>,
    took: mpsc::UnboundedSender<Duration>,
) {
    while let Some(event) = node.next_event().await {
        match event {
            Event::PeerTrusted { .. } => drop(counts.trusted.fetch_add(1, Ordering::Relaxed)),
            Event::Message { bytes, .. } => {
                counts.delivered.fetch_add(1, Ordering::Relaxed);
                let sent = bytes.first_chunk().map_or(0, |sent| u64::from_le_bytes(*sent));
                if bytes.last() == Some(&1) {
                    let _ = took.send(counts.start.elapsed().saturating_sub(Duration::from_nanos(sent)));
                }
            }
            Event::MessageSettled { missing, .. } => {
                counts.settled.fetch_add(1, Ordering::Relaxed);
                counts.missed.fetch_add(missing.len() as u64, Ordering::Relaxed);
                room.notify_waiters();
            }
            _ => {}
        }
    }
}
