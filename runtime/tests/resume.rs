//! A receiver that is killed in mid-transfer and started again goes on where it was.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

#[allow(dead_code, reason = "other tests use the rest")]
mod program;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use program::Program;

const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// What is to be on the disk before the receiver is killed. More may be by then, or all.
const WRITTEN: u64 = 16 * MIB;
const SIZE: u64 = 256 * MIB;

/// A program on loopback, on ports and a network of its own.
fn start(dir: &Path, ports: &str, name: &str, arguments: &[&str]) -> Program {
    let network = format!("resume test {ports}");
    let data_dir = dir.join(format!("{name}.data")).display().to_string();
    let common = ["--json", "--interface", "lo", "--network", &network, "--ports", ports, "--name", name];
    let all = [arguments, &common, &["--data-dir", &data_dir]].concat();
    let binary = Path::new(env!("CARGO_BIN_EXE_p2pnet"));
    let mut program = Program::prepare(name, Command::new("sh"), binary, &all, dir);
    program.go();
    program
}

/// What is being received, and how much of it takes room on the disk.
fn partial(inbox: &Path) -> Option<(PathBuf, u64)> {
    let paths = fs::read_dir(inbox).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let part =
        paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "part"))?;
    let blocks = fs::metadata(&part).ok()?.blocks();
    Some((part, blocks * 512))
}

#[test]
fn a_receiver_that_was_killed_fetches_only_what_it_does_not_have() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap().port().to_string()).collect();
    let ports = ports.join(",");
    drop(sockets);

    let file = dir.join("film.mkv");
    let mut bytes = vec![0; usize::try_from(SIZE).unwrap()];
    blake3::Hasher::new().update(ports.as_bytes()).finalize_xof().fill(&mut bytes);
    fs::write(&file, &bytes).unwrap();
    let inbox = dir.join("inbox");
    let receive = ["receive", "--inbox", inbox.to_str().unwrap()];

    let mut sender = start(dir, &ports, "ben", &["send", file.to_str().unwrap(), "--to", "anna"]);
    let mut receiver = start(dir, &ports, "anna", &receive);
    receiver.wait(PATIENCE, "an offer", |line| line.is("content_offered"));
    let deadline = Instant::now() + PATIENCE;
    while partial(&inbox).is_none_or(|(_, written)| written < WRITTEN) {
        assert!(Instant::now() < deadline, "nothing came");
        sleep(Duration::from_millis(1));
    }
    receiver.kill();
    let (part, _) = partial(&inbox).expect("it was killed in mid-transfer");
    // A crash may have torn what was on its way to the disk: here, the first block.
    fs::OpenOptions::new().write(true).open(&part).unwrap().write_all_at(b"torn", MIB / 2).unwrap();

    let mut receiver = start(dir, &ports, "anna", &receive);
    let received = receiver.wait(PATIENCE, "the file", |line| line.is("content_received"));
    let fetched = received.value["fetched_bytes"].as_u64().unwrap();
    // The file takes some room for itself, and the block that was torn is fetched again.
    assert!((MIB..=SIZE - WRITTEN + 2 * MIB).contains(&fetched), "fetched {fetched} bytes");
    assert!(fs::read(received.value["path"].as_str().unwrap()).unwrap() == bytes);
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 1, "nothing is left beside the file");
    sender.wait(PATIENCE, "the delivery", |line| line.is("content_delivered"));
}
