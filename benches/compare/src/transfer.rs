//! How fast a file moves between two nodes of one process on loopback.

pub(crate) mod blobs;
mod libp2p_stream;
mod ours;
mod tcp;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{self, Taken, load, median};

/// What raw TCP and a libp2p stream write and read at a time.
const PIECE: usize = 64 * 1024;

/// What to measure, and how often.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The size of the file
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=16_384))]
    mib: u64,
    /// How often each of them is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Where the files are that are on a disk
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

/// One measurement.
#[derive(Debug, Args)]
pub(crate) struct Once {
    #[arg(long)]
    contestant: Contestant,
    #[arg(long)]
    source: PathBuf,
    /// Where the receiver puts it; in memory if there is none
    #[arg(long)]
    into: Option<PathBuf>,
    /// An empty folder, on the same disk
    #[arg(long)]
    room: PathBuf,
    #[arg(long)]
    hash: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Contestant {
    Tcp,
    P2pnet,
    IrohBlobs,
    Libp2pStream,
}

impl Contestant {
    const ALL: [Contestant; 4] =
        [Contestant::Tcp, Contestant::P2pnet, Contestant::IrohBlobs, Contestant::Libp2pStream];

    fn name(self) -> &'static str {
        match self {
            Contestant::Tcp => "raw TCP",
            Contestant::P2pnet => "p2pnet",
            Contestant::IrohBlobs => "iroh-blobs",
            Contestant::Libp2pStream => "libp2p stream",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Contestant::Tcp => "tcp",
            Contestant::P2pnet => "p2pnet",
            Contestant::IrohBlobs => "iroh-blobs",
            Contestant::Libp2pStream => "libp2p-stream",
        }
    }
}

/// Measures all in turns and prints the table.
pub(crate) fn compare(arguments: &Arguments) -> Result<(), String> {
    let bytes = arguments.mib << 20;
    println!(
        "{} MiB between two nodes of one process on loopback, {} runs each, in turns; MB are 10^6 bytes; load {} before",
        arguments.mib,
        arguments.runs,
        load()
    );
    for in_memory in [true, false] {
        let place = if in_memory { Path::new("/dev/shm") } else { &arguments.disk };
        let room =
            TempDir::new_in(place).map_err(|error| format!("no room in {}: {error}", place.display()))?;
        let source = room.path().join("source");
        let hash = make_source(&source, bytes)
            .map_err(|error| format!("cannot write {}: {error}", source.display()))?;
        let mut figures: [Vec<[f64; 3]>; 4] = Default::default();
        for _ in 0..arguments.runs {
            for (contestant, figures) in Contestant::ALL.into_iter().zip(&mut figures) {
                let run = TempDir::new_in(place).map_err(|error| error.to_string())?;
                let path = |path: &Path| path.display().to_string();
                let mut words = vec!["transfer-once".to_owned()];
                words.extend(["--contestant".to_owned(), contestant.word().to_owned()]);
                words.extend(["--source".to_owned(), path(&source), "--hash".to_owned(), hash.clone()]);
                words.extend(["--room".to_owned(), path(run.path())]);
                // It keeps what it receives as files.
                if !in_memory || contestant == Contestant::P2pnet {
                    words.extend(["--into".to_owned(), path(&run.path().join("into"))]);
                }
                let found = child::start(&words)?;
                let figure = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
                figures.push([figure("seconds"), figure("cpu_seconds"), figure("peak_mib")]);
            }
        }
        println!("\n{}", if in_memory { "memory to memory" } else { "disk to disk, synced once" });
        println!(
            "{:14} {:>9} {:>16} {:>14} {:>9} {:>13}",
            "", "MB/s", "least to most", "CPU s per GiB", "peak MiB", "p2pnet / it"
        );
        let rates = figures
            .each_ref()
            .map(|runs| runs.iter().map(|[seconds, ..]| bytes as f64 / 1e6 / seconds).collect::<Vec<f64>>());
        for (i, contestant) in Contestant::ALL.into_iter().enumerate() {
            let mut ratios: Vec<f64> = rates[1].iter().zip(&rates[i]).map(|(ours, its)| ours / its).collect();
            let mut own = rates[i].clone();
            let rate = median(&mut own);
            let gib = bytes as f64 / f64::from(1 << 30);
            let mut cpu: Vec<f64> = figures[i].iter().map(|[_, cpu, _]| cpu / gib).collect();
            let mut peak: Vec<f64> = figures[i].iter().map(|[.., peak]| *peak).collect();
            println!(
                "{:14} {rate:>9.0} {:>16} {:>14.2} {:>9.0} {:>13.2}",
                contestant.name(),
                format!("{:.0} to {:.0}", own[0], own[own.len() - 1]),
                median(&mut cpu),
                median(&mut peak),
                median(&mut ratios)
            );
        }
    }
    println!("\nload {} after", load());
    Ok(())
}

/// One transfer, in a process of its own.
pub(crate) async fn once(once: &Once) -> child::Result<Value> {
    let (source, into, hash) = (once.source.as_path(), once.into.as_deref(), once.hash.as_str());
    if let Some(into) = into {
        std::fs::create_dir_all(into)?;
    }
    let taken = match once.contestant {
        Contestant::Tcp => tcp::transfer(source, into).await?,
        Contestant::P2pnet => ours::transfer(source, into, &once.room, hash).await?,
        Contestant::IrohBlobs => blobs::transfer(source, into, &once.room, hash).await?,
        Contestant::Libp2pStream => libp2p_stream::transfer(source, into).await?,
    };
    let Taken { seconds, cpu_seconds, peak_mib } = taken;
    Ok(json!({ "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib }))
}

/// Writes a file of bytes that no disk can compress, and returns its hash.
fn make_source(path: &Path, bytes: u64) -> io::Result<String> {
    let mut stream = blake3::Hasher::new().finalize_xof();
    let mut hasher = blake3::Hasher::new();
    let mut file = File::create(path)?;
    let mut piece = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        stream.fill(&mut piece);
        hasher.update(&piece);
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(hasher.finalize().to_hex().to_string())
}
