//! What remembering costs: the start on an empty and on a full data directory, and a commit.
//!
//! `cargo bench -p p2pnet --bench memory`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use p2pnet::seam::Store;
use p2pnet::{DiskStore, PeerId};
use p2pnet_engine::{
    Config, Engine, Identity, MemoryChange, Network, Remembered, RememberedFloor, Restored, Seeds, Timestamp,
};

/// As many peers and floors as the engine's defaults have a store keep.
const PEERS: u32 = 1024;
const FLOORS: u32 = 2048;

const ROUNDS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let network = Network::open("bench")?;
    let everything = (0..PEERS + FLOORS).map(|number| {
        let (peer, record) = signed(number, &network)?;
        Ok(if number < PEERS {
            let kept = Remembered { trusted: true, ..Remembered::new(record, ([10, 0, 0, 1], 8051).into()) };
            MemoryChange::Peer { peer, kept: Some(kept) }
        } else {
            MemoryChange::Floor { peer, kept: Some(RememberedFloor { record, proven: true }) }
        })
    });
    let everything = everything.collect::<Result<Vec<_>, Box<dyn Error>>>()?;

    let (mut made, mut empty, mut full) = (Vec::new(), Vec::new(), Vec::new());
    let (mut all, mut one, mut some) = (Vec::new(), Vec::new(), Vec::new());
    let mut size = 0;
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir()?;
        made.push(start(dir.path(), &network).await?);
        empty.push(start(dir.path(), &network).await?);
        let store = DiskStore::open(dir.path(), None)?;
        let commit = async |anew: bool, changes: &[MemoryChange]| -> Result<Duration, Box<dyn Error>> {
            let began = Instant::now();
            let kept = store.remember(network.tag(), anew, changes.to_vec()).await;
            kept.map_err(|failure| format!("{failure:?}"))?;
            Ok(began.elapsed())
        };
        all.push(commit(true, &everything).await?);
        one.push(commit(false, everything.get(..1).unwrap_or_default()).await?);
        some.push(commit(false, everything.get(..64).unwrap_or_default()).await?);
        drop(store);
        full.push(start(dir.path(), &network).await?);
        size = std::fs::metadata(dir.path().join("memory.redb"))?.len();
    }
    println!("each {ROUNDS} times: the median, and the longest");
    for (what, times) in [
        ("start, new data directory", made),
        ("start, empty database", empty),
        ("start, 1024 peers and 2048 floors", full),
        ("commit of 1 change", one),
        ("commit of 64 changes", some),
        ("commit of everything", all),
    ] {
        print(what, times);
    }
    println!("the full file has {} KiB", size / 1024);
    Ok(())
}

/// All that a start does with a data directory, up to an engine that knows what the last one did.
async fn start(dir: &Path, network: &Network) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    let store = DiskStore::open(dir, None)?;
    let incarnation = store.next_incarnation().await?;
    let memory = store.recall(network.tag()).await?;
    let restored = Restored { incarnation, memory, ..Restored::default() };
    let (config, seeds) = (Config::new(network.clone(), "bench", 8051), Seeds::new([1; 32], [2; 32]));
    let _engine = Engine::new(config, Identity::from_seed([3; 32]), restored, seeds, Timestamp::ZERO)?;
    Ok(began.elapsed())
}

fn signed(number: u32, network: &Network) -> Result<(PeerId, Vec<u8>), Box<dyn Error>> {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    let (config, seeds) = (Config::new(network.clone(), "somebody", 8051), Seeds::new(seed, seed));
    let engine = Engine::new(config, Identity::from_seed(seed), Restored::default(), seeds, Timestamp::ZERO)?;
    Ok((engine.peer_id(), engine.record().bytes().to_vec()))
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!("{what:36} {:8.2} ms {:8.2} ms", millis(times.get(times.len() / 2)), millis(times.last()));
}
