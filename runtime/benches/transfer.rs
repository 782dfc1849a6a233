//! How fast a file moves between two real `p2pnet` processes on loopback, at what cost, and beside what TCP alone, or a
//! plain copy, does on the same machine in the same minute.
//!
//! `cargo bench -p p2pnet --bench transfer [-- --mib 1024 --runs 5]`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[allow(dead_code, reason = "the other benchmarks use the rest")]
mod transfers;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{io, thread};

use tempfile::TempDir;
use transfers::program::Program;
use transfers::{Nodes, PATIENCE, cpu_seconds, make_source, median, megabytes, number, peak_mib, seconds};

/// What raw TCP writes and reads at a time.
const TCP_PIECE: usize = 64 * 1024;

/// What one transfer took.
struct Transfer {
    /// From asking to having it whole under its final name, as the receiver says.
    seconds: f64,
    /// From the offer to the same, as seen from outside.
    outside: f64,
    sender: Cost,
    receiver: Cost,
}

/// What one process took for it.
struct Cost {
    cpu_seconds: f64,
    /// The most memory that it ever had, hashing and all.
    peak_mib: f64,
}

fn main() -> io::Result<()> {
    let (Some(mib), Some(runs)) = (number("--mib", 1024)?, number("--runs", 5)?) else { return Ok(()) };
    let bytes = mib << 20;

    let disk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let source = disk.path().join("source");
    let hash = make_source(&source, bytes)?;

    println!("{mib} MiB on loopback, {runs} runs; MB are 10^6 bytes\n");
    println!("page cache to tmpfs");
    let mut ratios = Vec::new();
    header(true);
    for _ in 0..runs {
        warm(&source)?;
        let inbox = TempDir::new_in("/dev/shm")?;
        let transfer = transfer(&source, inbox.path(), &hash)?;
        let tcp = megabytes(bytes) / raw_tcp(bytes)?;
        ratios.push(megabytes(bytes) / transfer.seconds / tcp);
        row(&transfer, bytes, tcp);
    }
    println!("median ratio {:.2}\n", median(&mut ratios));

    println!("disk to disk, the source not cached");
    let mut ratios = Vec::new();
    header(false);
    for _ in 0..runs {
        forget_cache(&source)?;
        let inbox = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let transfer = transfer(&source, inbox.path(), &hash)?;
        forget_cache(&source)?;
        let copy = megabytes(bytes) / plain_copy(&source, &inbox.path().join("copy"), &hash)?;
        ratios.push(megabytes(bytes) / transfer.seconds / copy);
        row(&transfer, bytes, copy);
    }
    println!("median ratio {:.2}", median(&mut ratios));
    Ok(())
}

/// Seconds that it takes to read, hash and write a file, and to have it durable once.
fn plain_copy(source: &Path, copy: &Path, hash: &str) -> io::Result<f64> {
    let start = Instant::now();
    let (mut from, mut to) = (File::open(source)?, File::create(copy)?);
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match from.read(&mut piece)? {
            0 => break,
            n => {
                hasher.update(&piece[..n]);
                to.write_all(&piece[..n])?;
            }
        }
    }
    to.sync_all()?;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(hasher.finalize().to_hex().as_str(), hash);
    Ok(seconds)
}

/// Moves `source` from one process to another, which puts it into `inbox`.
fn transfer(source: &Path, inbox: &Path, hash: &str) -> io::Result<Transfer> {
    let dir = TempDir::new_in("/dev/shm")?;
    let nodes = Nodes::new(dir.path())?;
    let mut sender = nodes.local("sender", "--share", source);
    let mut receiver = nodes.local("receiver", "--inbox", inbox);
    sender.go();
    receiver.go();

    let offered = receiver.wait(PATIENCE, "an offer", |line| line.is("content_offered"));
    let before = (cpu_seconds(&sender)?, cpu_seconds(&receiver)?);
    let received = receiver.wait(PATIENCE, "the file", |line| line.is("content_received"));
    let cost = |program: &Program, before: f64| -> io::Result<Cost> {
        Ok(Cost { cpu_seconds: cpu_seconds(program)? - before, peak_mib: peak_mib(program)? })
    };
    let transfer = Transfer {
        seconds: seconds(&received),
        outside: received.at.duration_since(offered.at).as_secs_f64(),
        sender: cost(&sender, before.0)?,
        receiver: cost(&receiver, before.1)?,
    };
    assert_eq!(received.value["hash"], hash, "another file came");
    let path = PathBuf::from(received.value["path"].as_str().unwrap_or_default());
    assert_eq!(fs::metadata(path)?.len(), fs::metadata(source)?.len(), "it is not whole");
    Ok(transfer)
}

fn header(with_tcp: bool) {
    print!(
        "{:>10} {:>14} {:>21} {:>22}",
        "MB/s", "from outside", "CPU s, send/receive", "peak MiB, send/receive"
    );
    println!("{}  ratio", if with_tcp { "   raw TCP MB/s" } else { "plain copy MB/s" });
}

fn row(transfer: &Transfer, bytes: u64, beside: f64) {
    let Transfer { seconds, outside, sender, receiver } = transfer;
    let rate = megabytes(bytes) / seconds;
    let cpu = format!("{:.2} / {:.2}", sender.cpu_seconds, receiver.cpu_seconds);
    let peak = format!("{:.1} / {:.1}", sender.peak_mib, receiver.peak_mib);
    print!("{rate:>10.0} {:>14.0} {cpu:>21} {peak:>22}", megabytes(bytes) / outside);
    println!("{beside:>15.0} {:>6.2}", rate / beside);
}

/// Seconds that bare TCP takes to move as many bytes from one thread to another.
fn raw_tcp(bytes: u64) -> io::Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let sender = thread::spawn(move || -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        let piece = vec![0x5a; TCP_PIECE];
        let mut left = bytes;
        while left > 0 {
            let n = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            stream.write_all(&piece[..n])?;
            left -= n as u64;
        }
        Ok(())
    });
    let (mut stream, _) = listener.accept()?;
    let start = Instant::now();
    let mut piece = vec![0; TCP_PIECE];
    let mut received = 0;
    loop {
        match stream.read(&mut piece)? {
            0 => break,
            n => received += n as u64,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    sender.join().expect("it does not panic")?;
    assert_eq!(received, bytes);
    Ok(seconds)
}

/// Gets a file into the page cache.
fn warm(path: &Path) -> io::Result<()> {
    io::copy(&mut File::open(path)?, &mut io::sink()).map(drop)
}

/// Gets a file out of the page cache: what GNU `dd` does when told to copy nothing without caching.
fn forget_cache(path: &Path) -> io::Result<()> {
    let mut input = std::ffi::OsString::from("if=");
    input.push(path);
    let status = Command::new("dd").arg(input).args(["iflag=nocache", "count=0", "status=none"]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("dd does not know `iflag=nocache`")) }
}
