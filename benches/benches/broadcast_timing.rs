//! How soon two nodes find each other, and how many datagrams that takes, for each cadence of beacons and each share
//! of datagrams lost. Virtual time, so the figures are the same on every machine; criterion adds what a run costs.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use p2pnet_engine::Cadence;
use p2pnet_sim::{Draws, Pair};

const SEEDS: u64 = 200;
const LOSSES: [f64; 3] = [0.0, 0.1, 0.3];
/// Whoever is not found by then is not found.
const PATIENCE: Duration = Duration::from_secs(600);

const CADENCES: [(&str, Cadence); 3] = [
    ("constant 5 s", Cadence::Constant { interval: Duration::from_secs(5) }),
    ("constant 10 s", Cadence::Constant { interval: Duration::from_secs(10) }),
    (
        "sine 1 s to 20 s",
        Cadence::Sine {
            fastest: Duration::from_secs(1),
            slowest: Duration::from_secs(20),
            period: Duration::from_secs(120),
        },
    ),
];

/// What one run gave.
struct Outcome {
    /// Until both know each other.
    found: Duration,
    /// That both sent.
    datagrams: u64,
    /// That both sent in a minute in which they heard nobody; 0 if there was none.
    datagrams_a_minute: f64,
}

/// Two nodes of which each datagram is lost with a probability of `loss`.
fn two_nodes(seed: u64, cadence: Cadence, loss: f64) -> Pair {
    let mut pair = Pair::new(seed).config(move |_, config| config.cadence = cadence);
    let mut draws = Draws::new(seed, "loss");
    pair.drop_datagrams(move |_, _| draws.chance(loss));
    pair
}

fn have_found_each_other(pair: &Pair) -> bool {
    pair.level(0, 1).is_some() && pair.level(1, 0).is_some()
}

fn sent(pair: &Pair) -> u64 {
    (0..2).map(|i| pair.engine(i).stats().datagrams_sent).sum()
}

/// Both start in the same instant on one LAN: what counts is the burst at the start.
fn started_together(seed: u64, cadence: Cadence, loss: f64) -> Outcome {
    let mut pair = two_nodes(seed, cadence, loss).start();
    assert!(pair.run_until(PATIENCE, have_found_each_other), "seed {seed}: never found");
    Outcome { found: pair.elapsed(), datagrams: sent(&pair), datagrams_a_minute: 0.0 }
}

/// Both run for minutes before a switch joins their LANs, which neither can notice: what counts is the cadence.
fn lans_joined(seed: u64, cadence: Cadence, loss: f64) -> Outcome {
    let mut pair = two_nodes(seed, cadence, loss).start();
    pair.partition(0, 1);
    let apart = Duration::from_secs(120) + Draws::new(seed, "apart").delay(Duration::from_secs(120));
    pair.run_for(apart);
    assert!(pair.level(0, 1).is_none(), "seed {seed}: found through a partition");
    let alone = sent(&pair);
    pair.heal(0, 1);
    assert!(pair.run_until(PATIENCE, have_found_each_other), "seed {seed}: never found");
    Outcome {
        found: pair.elapsed() - apart,
        datagrams: sent(&pair) - alone,
        datagrams_a_minute: alone as f64 / apart.as_secs_f64() * 60.0,
    }
}

type Situation = (&'static str, fn(u64, Cadence, f64) -> Outcome);
const SITUATIONS: [Situation; 2] =
    [("both start together", started_together), ("two LANs are joined", lans_joined)];

fn tables() {
    println!("until two nodes have found each other, virtual time, {SEEDS} seeds\n");
    for (situation, run) in SITUATIONS {
        println!("{situation}");
        println!(
            "{:18} {:>5} {:>11} {:>11} {:>11} {:>16} {:>18}",
            "cadence", "loss", "median ms", "p99 ms", "worst ms", "median datagrams", "datagrams/min alone"
        );
        for (name, cadence) in CADENCES {
            for loss in LOSSES {
                let outcomes: Vec<Outcome> = (0..SEEDS).map(|seed| run(seed, cadence, loss)).collect();
                let mut found: Vec<f64> =
                    outcomes.iter().map(|outcome| outcome.found.as_secs_f64() * 1000.0).collect();
                let mut datagrams: Vec<u64> = outcomes.iter().map(|outcome| outcome.datagrams).collect();
                let alone: f64 = outcomes.iter().map(|outcome| outcome.datagrams_a_minute).sum();
                found.sort_by(f64::total_cmp);
                datagrams.sort_unstable();
                println!(
                    "{name:18} {:>3.0} % {:>11.1} {:>11.1} {:>11.1} {:>16} {:>18.1}",
                    loss * 100.0,
                    found[found.len() / 2],
                    found[found.len() * 99 / 100],
                    found[found.len() - 1],
                    datagrams[datagrams.len() / 2],
                    alone / outcomes.len() as f64,
                );
            }
        }
        println!();
    }
}

fn broadcast_timing(c: &mut Criterion) {
    tables();
    for (situation, run) in SITUATIONS {
        let mut group = c.benchmark_group(situation);
        group.sample_size(20);
        for (name, cadence) in CADENCES {
            for loss in LOSSES {
                let mut seed = 0;
                group.bench_function(BenchmarkId::new(name, format!("{:.0} % loss", loss * 100.0)), |b| {
                    b.iter(|| {
                        seed = (seed + 1) % SEEDS;
                        run(seed, cadence, loss).found
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, broadcast_timing);
criterion_main!(benches);
