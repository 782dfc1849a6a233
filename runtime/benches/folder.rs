//! How fast a folder of small files moves between two real `p2pnet` processes on loopback, until all of it is durable under
//! its name, beside what `cp` and `sync` take for the same folder on the same disk.
//!
//! `cargo bench -p p2pnet --bench folder [-- --runs 5]`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[allow(dead_code, reason = "the other benchmarks use the rest")]
mod transfers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime};
use std::{fs, io};

use tempfile::TempDir;
use transfers::{Nodes, PATIENCE, median, number, seconds};

/// Bytes of each file.
const FILE: usize = 4096;
/// So many files are a part of which the rate is told.
const PART: usize = 1000;

fn main() -> io::Result<()> {
    let Some(runs) = number("--runs", 5)? else { return Ok(()) };
    println!(
        "files of 4 KiB a second, median of {runs} runs (least to most); `from the offer` has the node's work as well\n"
    );
    println!(
        "{:>8} {:>26} {:>26} {:>26} {:>7}  {:>26}",
        "files", "p2pnet", "from the offer", "cp -r and sync", "ratio", "last thousand to the first"
    );
    for files in [1000, 10_000, 50_000] {
        let disk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let source = disk.path().join("source");
        plant(&source, files)?;
        let (mut told, mut outside, mut copied, mut pace) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            let inbox = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
            let transfer = transfer(&source, inbox.path(), files)?;
            told.push(files as f64 / transfer.seconds);
            outside.push(files as f64 / transfer.outside);
            pace.push(transfer.pace);
            let copy = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
            copied.push(files as f64 / copy_and_sync(&source, copy.path())?);
        }
        let ratio = median(&mut told) / median(&mut copied);
        let shown = [told, outside, copied].map(|mut rates| {
            let middle = median(&mut rates);
            format!("{middle:.0} ({:.0} to {:.0})", rates[0], rates[rates.len() - 1])
        });
        let pace = if files > PART { format!("{:.2}", median(&mut pace)) } else { "-".to_owned() };
        println!("{files:>8} {:>26} {:>26} {:>26} {ratio:>7.2}  {pace:>26}", shown[0], shown[1], shown[2]);
    }
    Ok(())
}

/// Makes files whose bytes all differ, a hundred to a folder.
fn plant(source: &Path, files: usize) -> io::Result<()> {
    let mut bytes = vec![0; FILE];
    let mut stream = blake3::Hasher::new().finalize_xof();
    for file in 0..files {
        let folder = source.join(format!("{:03}", file / 100));
        if file % 100 == 0 {
            fs::create_dir_all(&folder)?;
        }
        stream.fill(&mut bytes);
        fs::write(folder.join(format!("{file:05}.txt")), &bytes)?;
    }
    sync(source)
}

/// What one transfer took.
struct Transfer {
    /// As the receiver says.
    seconds: f64,
    /// From the offer to the event, as seen from outside.
    outside: f64,
    /// The rate at which the last thousand of files appeared, by that of the first.
    pace: f64,
}

/// Moves the folder from one process to another.
fn transfer(source: &Path, inbox: &Path, files: usize) -> io::Result<Transfer> {
    let dir = TempDir::new_in("/dev/shm")?;
    let nodes = Nodes::new(dir.path())?;
    let mut sender = nodes.local("sender", "--share", source);
    let mut receiver = nodes.local("receiver", "--inbox", inbox);
    sender.go();
    receiver.go();
    let offered = receiver.wait(PATIENCE, "an offer", |line| line.is("content_offered"));
    let received = receiver.wait(PATIENCE, "the folder", |line| line.is("content_received"));
    let path = PathBuf::from(received.value["path"].as_str().unwrap_or_default());
    let mut births = Vec::new();
    for folder in fs::read_dir(path)? {
        for file in fs::read_dir(folder?.path())? {
            births.push(file?.metadata()?.created()?);
        }
    }
    assert_eq!(births.len(), files, "it is not whole");
    births.sort();
    let took = |part: &[SystemTime]| part[part.len() - 1].duration_since(part[0]).unwrap_or_default();
    let pace = took(&births[..PART]).as_secs_f64() / took(&births[files - PART..]).as_secs_f64();
    let outside = received.at.duration_since(offered.at).as_secs_f64();
    Ok(Transfer { seconds: seconds(&received), outside, pace })
}

fn copy_and_sync(source: &Path, to: &Path) -> io::Result<f64> {
    let start = Instant::now();
    let status = Command::new("cp").arg("-r").arg(source).arg(to.join("copy")).status()?;
    assert!(status.success(), "cp failed");
    sync(to)?;
    Ok(start.elapsed().as_secs_f64())
}

/// Makes durable what the file system with this folder holds.
fn sync(folder: &Path) -> io::Result<()> {
    let status = Command::new("sync").arg("-f").arg(folder).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("`sync -f` failed")) }
}
