//! What the engine costs: datagrams, a handshake, frames, and having nothing to do.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use p2pnet_benches::{Duo, INTERFACE, address, discard_outputs, engine, next_beacon};
use p2pnet_engine::{CipherSuite, Datagram, Engine, Timestamp};

const SUITE: CipherSuite = CipherSuite::ChaChaPolyBlake2s;
/// Between two datagrams, so that no bucket is ever empty and each is looked at.
const PACE: Duration = Duration::from_millis(100);

fn receive(engine: &mut Engine, now: Timestamp, from: u16, bytes: &[u8]) {
    engine.handle_datagram(now, Datagram { interface: INTERFACE, source: address(from), bytes });
    discard_outputs(engine);
}

fn beacons(c: &mut Criterion) {
    let mut group = c.benchmark_group("beacon");

    let (mut one, mut two) = (engine(1, "bench", SUITE), engine(2, "bench", SUITE));
    let (at, first) = next_beacon(&mut two);
    receive(&mut one, at, 2, &first);
    let before = *one.stats();
    group.bench_function("of a known peer", |b| {
        b.iter_batched(
            || next_beacon(&mut two),
            |(at, beacon)| receive(&mut one, at, 2, &beacon),
            BatchSize::SmallInput,
        );
    });
    let after = one.stats();
    let received = after.datagrams_received - before.datagrams_received;
    // Its record is signed anew every eight hours.
    assert!(after.beacons_accepted - before.beacons_accepted == received, "each beacon was taken");

    let (_, beacon) = next_beacon(&mut engine(2, "bench", SUITE));
    group.bench_function("of a new peer", |b| {
        b.iter_batched(
            || engine(1, "bench", SUITE),
            |mut one| {
                receive(&mut one, Timestamp::from_millis(1), 2, &beacon);
                assert_eq!(one.stats().beacons_accepted, 1);
                one
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn strangers(c: &mut Criterion) {
    let mut group = c.benchmark_group("stranger's datagram");
    let (_, foreign) = next_beacon(&mut engine(9, "another network", SUITE));
    let mut random = vec![0; foreign.len()];
    blake3::Hasher::new().finalize_xof().fill(&mut random);
    for (name, bytes) in [("garbage", &random), ("of another network", &foreign)] {
        let mut one = engine(1, "bench", SUITE);
        let mut now = Timestamp::ZERO;
        group.bench_function(name, |b| {
            b.iter(|| {
                now += PACE;
                one.handle_datagram(
                    now,
                    Datagram { interface: INTERFACE, source: address(9), bytes: black_box(bytes) },
                );
            });
        });
        let stats = one.stats();
        let refused = stats.datagrams_malformed + stats.datagrams_other_network;
        assert_eq!(refused, stats.datagrams_received, "each was refused for what it is");
        assert_eq!(stats.beacons_accepted, 0);
    }
    group.finish();
}

fn handshakes(c: &mut Criterion) {
    let mut group = c.benchmark_group("from the first beacon to trust, both sides");
    for suite in CipherSuite::ALL {
        group.bench_function(suite.noise_name(), |b| {
            b.iter_batched(
                || Duo::new(suite),
                |mut duo| {
                    duo.run_until_trusted();
                    duo
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("text and its acknowledgement, sealed");
    for (name, text) in [("16 bytes", "x".repeat(16)), ("16 KiB", "x".repeat(16 * 1024))] {
        let mut duo = Duo::new(SUITE);
        duo.run_until_trusted();
        group.bench_function(name, |b| b.iter(|| duo.exchange_text(&text)));
    }
    group.finish();
}

fn idle(c: &mut Criterion) {
    let mut group = c.benchmark_group("poll with nothing to do");
    for peers in [0u16, 1000] {
        let mut one = engine(1, "bench", SUITE);
        let mut now = Timestamp::ZERO;
        for host in 0..peers {
            now += PACE;
            let (_, beacon) = next_beacon(&mut engine(1000 + host, "bench", SUITE));
            receive(&mut one, now, 1000 + host, &beacon);
        }
        assert_eq!(one.peers().count(), usize::from(peers));
        one.handle_timeout(now);
        discard_outputs(&mut one);
        group.bench_function(format!("{peers} known peers"), |b| {
            b.iter(|| {
                assert_eq!(discard_outputs(black_box(&mut one)), 0);
                black_box(one.poll_timeout())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, beacons, strangers, handshakes, frames, idle);
criterion_main!(benches);
