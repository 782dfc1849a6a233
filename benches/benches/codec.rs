//! What a block costs on its way: sealing, opening, verifying. One core each.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use p2pnet_engine::{
    BLOCK_SIZE, BlockRef, BlockVerifier, Channel, CipherSuite, ContentHasher, LinkCodec, Opened, Verdict,
    block_header,
};

/// What the runtime seals at a time.
const CHUNK: usize = 64 * 1024;

/// A content of four blocks, and its second block.
fn block() -> (BlockRef, p2pnet_engine::BlockCheck, Vec<u8>) {
    let mut content = vec![0; 4 * BLOCK_SIZE];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    let mut hasher = ContentHasher::new();
    hasher.update(&content);
    let (id, list) = hasher.finish().expect("four blocks are few");
    let check = list.check(&id, 1).expect("it has four blocks");
    (BlockRef { content: id, index: 1 }, check, content[BLOCK_SIZE..2 * BLOCK_SIZE].to_vec())
}

fn codecs(c: &mut Criterion) {
    let (block, _, data) = block();
    for suite in CipherSuite::ALL {
        let mut group = c.benchmark_group(format!("1 MiB block, {}", suite.noise_name()));
        group.throughput(Throughput::Bytes(BLOCK_SIZE as u64));

        let (mut sealer, _) = LinkCodec::from_keys(suite, &[1; 32], &[2; 32]).split();
        let mut sealed = Vec::new();
        group.bench_function("seal", |b| {
            b.iter(|| {
                sealed.clear();
                sealer.seal(Channel::Bulk, &block_header(&block), &mut sealed);
                for chunk in data.chunks(CHUNK) {
                    sealer.seal(Channel::Bulk, chunk, &mut sealed);
                }
                black_box(sealed.len())
            });
        });

        // Both count records: what is sealed in this order must be opened in this order.
        let (mut sealer, _) = LinkCodec::from_keys(suite, &[1; 32], &[2; 32]).split();
        let (_, mut opener) = LinkCodec::from_keys(suite, &[2; 32], &[1; 32]).split();
        group.bench_function("open", |b| {
            b.iter_batched(
                || {
                    let mut sealed = Vec::new();
                    sealer.seal(Channel::Bulk, &block_header(&block), &mut sealed);
                    for chunk in data.chunks(CHUNK) {
                        sealer.seal(Channel::Bulk, chunk, &mut sealed);
                    }
                    sealed
                },
                |sealed| {
                    let mut rest = &sealed[..];
                    let mut arrived = None;
                    while !rest.is_empty() {
                        // The copy stands for the read from a socket.
                        let space = opener.space();
                        let n = space.len().min(rest.len());
                        space[..n].copy_from_slice(&rest[..n]);
                        rest = &rest[n..];
                        opener.advance(n);
                        while let Some(opened) = opener.next().expect("nothing was changed") {
                            arrived = Some(opened);
                        }
                    }
                    assert!(matches!(&arrived, Some(Opened::Block { data, .. }) if data.len() == BLOCK_SIZE));
                    arrived
                },
                BatchSize::LargeInput,
            );
        });
        group.finish();
    }
}

fn verification(c: &mut Criterion) {
    let (block, check, data) = block();
    let mut group = c.benchmark_group("1 MiB block");
    group.throughput(Throughput::Bytes(BLOCK_SIZE as u64));
    let mut verifier = BlockVerifier::new(1);
    group.bench_function("verify", |b| {
        b.iter(|| {
            verifier.expect(block, check.clone());
            assert_eq!(verifier.judge(&block, black_box(&data)), Verdict::Good);
        });
    });
    group.bench_function("hash for publishing", |b| {
        b.iter(|| {
            let mut hasher = ContentHasher::new();
            hasher.update(black_box(&data));
            hasher.finish()
        });
    });
    group.finish();
}

criterion_group!(benches, codecs, verification);
criterion_main!(benches);
