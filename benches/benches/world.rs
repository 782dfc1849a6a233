//! What a simulated second costs in the World: node-seconds for each second of one core. A sweep uses all cores.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::{Crypto, World};

const NODES: usize = 5;
const SECONDS: u64 = 120;

/// A healthy network of `nodes` in which nothing is asked for.
fn idle(nodes: usize) -> String {
    let mut plan =
        "schema = 1\nseed = 1\nchaos_ms = 0\nquiet_ms = 0\ncore = []\n[[lan]]\nname = \"lan\"\n".to_owned();
    for i in 0..nodes {
        // Writing to a String does not fail.
        let _ = write!(
            plan,
            "[[host]]\nname = \"h{i}\"\nlans = [\"lan\"]\n[[node]]\nname = \"n{i}\"\nhost = \"h{i}\"\nstart_ms = {}\n",
            i * 7
        );
    }
    plan
}

/// A LAN with a little of everything: in each minute fifty texts, two contents of 100 kB for everybody, two crashes and
/// restarts, and a cut of five seconds; one datagram in a hundred is lost.
fn mixed() -> String {
    let mut plan = idle(NODES).replace("name = \"lan\"\n", "name = \"lan\"\nlink = \"usual\"\n");
    plan.push_str("[[link]]\nname = \"usual\"\nloss = 0.01\nduplication = 0.01\nreordering = 0.01\n");
    for second in 1..SECONDS {
        let (from, to) = (second as usize % NODES, (second as usize * 3 + 1) % NODES);
        let at = second * 1000;
        if from != to {
            let _ = write!(plan, "[[text]]\nat_ms = {at}\nfrom = \"n{from}\"\nto = \"n{to}\"\nbytes = 200\n");
        }
        if second % 30 == 3 {
            let _ = write!(plan, "[[content]]\nat_ms = {at}\nfrom = \"n{from}\"\nbytes = 100000\n");
        }
        if second % 30 == 17 {
            let node = second as usize / 30 % NODES;
            let _ = write!(
                plan,
                "[[fault]]\nkind = \"crash\"\nat_ms = {at}\nfor_ms = 1500\nnode = \"n{node}\"\npower = false\nrestart = \"same\"\n"
            );
        }
        if second % 60 == 30 {
            let _ = write!(
                plan,
                "[[fault]]\nkind = \"partition\"\nat_ms = {at}\nfor_ms = 5000\na = [\"h0\", \"h1\"]\nb = [\"h2\", \"h3\", \"h4\"]\none_way = false\n"
            );
        }
    }
    plan
}

fn plan(text: &str, crypto: Crypto) -> Plan {
    Plan { crypto, ..Plan::parse(text).expect("the plan is valid") }
}

/// Runs a plan to the end of these seconds; a world that fails stops at once, and would be fast.
fn run(plan: &Plan, seconds: u64) -> String {
    let mut world = World::new(plan.clone(), false);
    world.run_for(Duration::from_secs(seconds));
    assert_eq!(world.outcome(None).failure, None);
    black_box(world.hash())
}

fn node_seconds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("world");
    group.sample_size(20).throughput(Throughput::Elements(NODES as u64 * SECONDS));
    for (name, text) in [("idle", idle(NODES)), ("mixed", mixed())] {
        for (label, crypto) in Crypto::ALL {
            let plan = plan(&text, crypto);
            group.bench_with_input(BenchmarkId::new(name, label), &plan, |bencher, plan| {
                bencher.iter(|| run(plan, SECONDS));
            });
        }
    }
    group.finish();
}

/// Everybody hears everybody: the cost grows with the square of the nodes.
fn crowd(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("world");
    group.sample_size(10).throughput(Throughput::Elements(300 * 60));
    for (label, crypto) in Crypto::ALL {
        let plan = plan(&idle(300), crypto);
        group.bench_with_input(BenchmarkId::new("300 nodes, 60 s", label), &plan, |bencher, plan| {
            bencher.iter(|| run(plan, 60));
        });
    }
    group.finish();
}

criterion_group!(benches, node_seconds, crowd);
criterion_main!(benches);
