//! What it costs to measure how soon nodes find each other, with the table that `p2pnet-sim timing` makes for small LANs.
//! Virtual time, so the figures of the table are the same on every machine; criterion adds what a run takes here.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use p2pnet_sim::timing::{Case, Start, cadences, markdown, measure, run};

/// For the table; `p2pnet-sim timing` takes more, and larger LANs.
const SEEDS: u64 = 40;
const NODES: [usize; 2] = [2, 10];
const LOSSES: [u8; 3] = [0, 10, 30];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (_, start) in Start::ALL {
        for nodes in NODES {
            for loss in LOSSES {
                for (name, cadence) in cadences() {
                    cases.push(Case { name, cadence, nodes, loss, start });
                }
            }
        }
    }
    cases
}

fn broadcast_timing(c: &mut Criterion) {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let rows = measure(&cases(), |case| SEEDS / case.nodes as u64, jobs, |_, _| true);
    println!("{}", markdown(&rows));
    for (_, start) in Start::ALL {
        let mut group = c.benchmark_group(start.name());
        group.sample_size(10);
        for case in cases().into_iter().filter(|case| case.start == start && case.loss == 10) {
            let mut seed = 0;
            group.bench_function(BenchmarkId::new(case.name, format!("{} nodes", case.nodes)), |b| {
                b.iter(|| {
                    seed += 1;
                    run(&case, seed)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, broadcast_timing);
criterion_main!(benches);
