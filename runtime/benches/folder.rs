//! How fast a folder of small files moves between two real `p2pnet` processes on loopback, until all of it is durable under
//! its name, beside what `cp` and `sync` take for the same folder on the same disk.
//!
//! `cargo bench -p p2pnet --bench folder [-- --runs 5]`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/program/mod.rs"]
mod program;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

use program::Program;
use tempfile::TempDir;

/// Bytes of each file.
const FILE: usize = 4096;
/// No transfer takes longer, or something is broken.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` only wants to know that it runs.
        return Ok(());
    }
    let runs = arguments.iter().skip_while(|argument| *argument != "--runs").nth(1);
    let runs: usize = runs.map_or(Ok(5), |runs| runs.parse()).map_err(io::Error::other)?;
    println!(
        "files of 4 KiB a second, median of {runs} runs (least to most); `from the offer` has the node's work as well\n"
    );
    println!(
        "{:>8} {:>26} {:>26} {:>26} {:>7}",
        "files", "p2pnet", "from the offer", "cp -r and sync", "ratio"
    );
    for files in [1000, 10_000, 50_000] {
        let disk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let source = disk.path().join("source");
        plant(&source, files)?;
        let (mut told, mut outside, mut copied) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs.max(1) {
            let inbox = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
            let (seconds, from_outside) = transfer(&source, inbox.path(), files)?;
            told.push(files as f64 / seconds);
            outside.push(files as f64 / from_outside);
            let copy = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
            copied.push(files as f64 / copy_and_sync(&source, copy.path())?);
        }
        let shown = [&mut told, &mut outside, &mut copied].map(|rates| {
            rates.sort_by(f64::total_cmp);
            let (least, most) = (rates[0], rates[rates.len() - 1]);
            (rates[rates.len() / 2], format!("{:.0} ({least:.0} to {most:.0})", rates[rates.len() / 2]))
        });
        let [told, outside, copied] = &shown;
        println!("{files:>8} {:>26} {:>26} {:>26} {:>7.2}", told.1, outside.1, copied.1, told.0 / copied.0);
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

/// Moves the folder from one process to another: seconds as the receiver says them, and from the offer to the event as seen
/// from outside.
fn transfer(source: &Path, inbox: &Path, files: usize) -> io::Result<(f64, f64)> {
    let dir = TempDir::new_in("/dev/shm")?;
    // Nobody else on this host's loopback has this port and this network.
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port().to_string();
    let network = format!("folder {} {port}", std::process::id());
    let node = |name: &str, option: &str, path: &Path| {
        let data_dir = dir.path().join(name);
        let arguments = [
            &["up", "--json", "--interface", "lo", "--for", "10m", "--name", name][..],
            &["--network", &network, "--ports", &port, "--data-dir", text(&data_dir), option, text(path)],
        ];
        let binary = Path::new(env!("CARGO_BIN_EXE_p2pnet"));
        Program::prepare(name, Command::new("sh"), binary, &arguments.concat(), dir.path())
    };
    let mut sender = node("sender", "--share", source);
    let mut receiver = node("receiver", "--inbox", inbox);
    sender.go();
    receiver.go();
    let offered = receiver.wait(PATIENCE, "an offer", |line| line.is("content_offered"));
    let received = receiver.wait(PATIENCE, "the folder", |line| line.is("content_received"));
    let path = PathBuf::from(received.value["path"].as_str().unwrap_or_default());
    let mut came = 0;
    for folder in fs::read_dir(path)? {
        came += fs::read_dir(folder?.path())?.count();
    }
    assert_eq!(came, files, "it is not whole");
    let seconds = received.value["seconds"].as_f64().unwrap_or(f64::NAN);
    Ok((seconds, received.at.duration_since(offered.at).as_secs_f64()))
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

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
