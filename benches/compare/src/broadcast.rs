//! How many messages to all are delivered among nodes of one process, and how long one takes.

mod gossipsub;
mod iroh;
mod ours;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::child::{self, Clock, Result, load, median};

/// Messages of one sender that not everybody has yet.
const WINDOW: u64 = 128;

/// Tasks of each sender.
const TASKS: usize = 8;

/// What has not come after so long without any other is missing.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to measure, and how often.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=32))]
    nodes: u64,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = clap::value_parser!(u64).range(24..=4000))]
    bytes: u64,
    /// How long all send, and how long they send quietly
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Messages a second, of all together, when they send quietly
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
    /// How often each of them is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
}

/// One measurement.
#[derive(Debug, Args)]
pub(crate) struct Once {
    #[arg(long)]
    contestant: Contestant,
    #[arg(long)]
    nodes: u64,
    #[arg(long)]
    bytes: u64,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    rate: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Contestant {
    P2pnet,
    IrohGossip,
    Gossipsub,
}

impl Contestant {
    const ALL: [Contestant; 3] = [Contestant::P2pnet, Contestant::IrohGossip, Contestant::Gossipsub];

    fn word(self) -> &'static str {
        match self {
            Contestant::P2pnet => "p2pnet",
            Contestant::IrohGossip => "iroh-gossip",
            Contestant::Gossipsub => "gossipsub",
        }
    }
}

/// Measures all in turns and prints the table.
pub(crate) fn compare(arguments: &Arguments) -> std::result::Result<(), String> {
    println!(
        "{} nodes of one process, messages of {} bytes to all, {} s, {} runs each, in turns; load {} before\n",
        arguments.nodes,
        arguments.bytes,
        arguments.seconds,
        arguments.runs,
        load()
    );
    let mut figures: [Vec<Value>; 3] = Default::default();
    for _ in 0..arguments.runs {
        for (contestant, figures) in Contestant::ALL.into_iter().zip(&mut figures) {
            let number = |name: &str, value: u64| [format!("--{name}"), value.to_string()];
            let mut words = vec!["broadcast-once".to_owned()];
            words.extend(["--contestant".to_owned(), contestant.word().to_owned()]);
            words
                .extend(number("nodes", arguments.nodes).into_iter().chain(number("bytes", arguments.bytes)));
            words.extend(
                number("seconds", arguments.seconds).into_iter().chain(number("rate", arguments.rate)),
            );
            figures.push(child::start(&words)?);
        }
    }
    println!(
        "{:12} {:>14} {:>20} {:>9} {:>16} {:>9} {:>9} {:>13}",
        "", "deliveries/s", "least to most", "missing", "CPU us each", "p50 us", "p99 us", "p2pnet / it"
    );
    let of = |runs: &[Value], name: &str| -> Vec<f64> {
        runs.iter().map(|found| found[name].as_f64().unwrap_or(f64::NAN)).collect()
    };
    let ours = of(&figures[0], "rate");
    for (contestant, runs) in Contestant::ALL.into_iter().zip(&figures) {
        let mut rates = of(runs, "rate");
        let mut ratios: Vec<f64> = ours.iter().zip(&rates).map(|(ours, its)| ours / its).collect();
        let rate = median(&mut rates);
        println!(
            "{:12} {rate:>14.0} {:>20} {:>9.0} {:>16.2} {:>9.0} {:>9.0} {:>13.2}",
            contestant.word(),
            format!("{:.0} to {:.0}", rates[0], rates[rates.len() - 1]),
            of(runs, "missing").iter().sum::<f64>(),
            median(&mut of(runs, "cpu_us")),
            median(&mut of(runs, "p50_us")),
            median(&mut of(runs, "p99_us")),
            median(&mut ratios)
        );
    }
    println!("\nload {} after", load());
    Ok(())
}

/// One load, in a process of its own.
pub(crate) async fn once(once: &Once) -> Result<Value> {
    let nodes = usize::try_from(once.nodes)?;
    let (tally, times) = Tally::new(nodes);
    match once.contestant {
        Contestant::P2pnet => measure(ours::start(nodes, tally.clone()).await?, once, tally, times).await,
        Contestant::IrohGossip => measure(iroh::start(nodes, tally.clone()).await?, once, tally, times).await,
        Contestant::Gossipsub => {
            measure(gossipsub::start(nodes, tally.clone()).await?, once, tally, times).await
        }
    }
}

/// Nodes that all hear each other.
pub(crate) trait Swarm: Send + Sync + 'static {
    /// Has one of them send a message to all others; waits while it can take none.
    fn publish(&self, node: usize, bytes: Vec<u8>) -> impl Future<Output = Result<()>> + Send;
}

/// What was delivered. A message begins with the nanoseconds at which it was sent, its sender, and a number.
pub(crate) struct Tally {
    start: Instant,
    nodes: u64,
    sent: Vec<AtomicU64>,
    delivered: Vec<AtomicU64>,
    is_quiet: AtomicBool,
    took: mpsc::UnboundedSender<Duration>,
}

impl Tally {
    fn new(nodes: usize) -> (Arc<Tally>, mpsc::UnboundedReceiver<Duration>) {
        let (took, times) = mpsc::unbounded_channel();
        let counters = || (0..nodes).map(|_| AtomicU64::new(0)).collect();
        let tally = Tally {
            start: Instant::now(),
            nodes: nodes as u64,
            sent: counters(),
            delivered: counters(),
            is_quiet: AtomicBool::new(false),
            took,
        };
        (Arc::new(tally), times)
    }

    /// A message came to some node.
    pub(crate) fn delivered(&self, bytes: &[u8]) {
        let word =
            |at: usize| bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
        let (Some(sent), Some(sender)) = (word(0), word(8)) else { return };
        if let Some(delivered) = self.delivered.get(sender as usize) {
            delivered.fetch_add(1, Ordering::Relaxed);
        }
        if self.is_quiet.load(Ordering::Relaxed) {
            let _ = self.took.send(self.start.elapsed().saturating_sub(Duration::from_nanos(sent)));
        }
    }

    fn message(&self, sender: usize, bytes: u64) -> Vec<u8> {
        let number = self.sent[sender].fetch_add(1, Ordering::Relaxed);
        let mut message = vec![0; bytes as usize];
        message[..8].copy_from_slice(&(self.start.elapsed().as_nanos() as u64).to_le_bytes());
        message[8..16].copy_from_slice(&(sender as u64).to_le_bytes());
        message[16..24].copy_from_slice(&number.to_le_bytes());
        message
    }

    /// Deliveries of one sender's messages that are still to come.
    fn under_way(&self, sender: usize) -> u64 {
        let due = self.sent[sender].load(Ordering::Relaxed) * (self.nodes - 1);
        due.saturating_sub(self.delivered[sender].load(Ordering::Relaxed))
    }

    fn all_delivered(&self) -> u64 {
        self.delivered.iter().map(|delivered| delivered.load(Ordering::Relaxed)).sum()
    }

    fn all_under_way(&self) -> u64 {
        (0..self.sent.len()).map(|sender| self.under_way(sender)).sum()
    }
}

async fn measure<S: Swarm>(
    swarm: S,
    once: &Once,
    tally: Arc<Tally>,
    mut times: mpsc::UnboundedReceiver<Duration>,
) -> Result<Value> {
    let swarm = Arc::new(swarm);
    let nodes = usize::try_from(once.nodes)?;
    tally.is_quiet.store(true, Ordering::Relaxed);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(once.rate)?);
    for i in 0..once.rate * once.seconds {
        tick.tick().await;
        let node = i as usize % nodes;
        swarm.publish(node, tally.message(node, once.bytes)).await?;
    }
    let missing = settle(&tally).await;
    let mut took = Vec::new();
    while let Ok(time) = times.try_recv() {
        took.push(time.as_secs_f64() * 1e6);
    }
    tally.is_quiet.store(false, Ordering::Relaxed);

    let over = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..nodes * TASKS)
        .map(|i| tokio::spawn(flood(swarm.clone(), i / TASKS, once.bytes, tally.clone(), over.clone())))
        .collect();
    sleep(Duration::from_millis(500)).await;
    let (before, clock) = (tally.all_delivered(), Clock::start());
    sleep(Duration::from_secs(once.seconds)).await;
    let taken = clock.stop();
    let delivered = tally.all_delivered() - before;
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    let missing = settle(&tally).await.max(missing);
    took.sort_by(f64::total_cmp);
    let of = |percent: usize| took.get((took.len().max(1) - 1) * percent / 100).copied();
    Ok(json!({
        "rate": delivered as f64 / taken.seconds,
        "cpu_us": taken.cpu_seconds * 1e6 / delivered.max(1) as f64,
        "peak_mib": taken.peak_mib,
        "missing": missing,
        "p50_us": of(50),
        "p99_us": of(99),
    }))
}

/// Waits until all has come, or nothing more comes; how many deliveries are missing.
async fn settle(tally: &Tally) -> u64 {
    let (mut left, mut since) = (tally.all_under_way(), Instant::now());
    while left > 0 && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
        let now = tally.all_under_way();
        if now < left {
            (left, since) = (now, Instant::now());
        }
    }
    left
}

/// Sends until told to stop, and never more than a window ahead of the others. What is lost is given up after a while.
async fn flood<S: Swarm>(
    swarm: Arc<S>,
    node: usize,
    bytes: u64,
    tally: Arc<Tally>,
    over: Arc<AtomicBool>,
) -> Result<()> {
    let mut lost = 0;
    while !over.load(Ordering::Relaxed) {
        let mut waiting_since = Instant::now();
        let mut left = tally.under_way(node);
        while left.saturating_sub(lost) >= WINDOW * (tally.nodes - 1) {
            sleep(Duration::from_millis(1)).await;
            let now = tally.under_way(node);
            if now < left {
                waiting_since = Instant::now();
            } else if waiting_since.elapsed() > PATIENCE {
                lost = now;
            }
            left = now;
            if over.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        swarm.publish(node, tally.message(node, bytes)).await?;
    }
    Ok(())
}
