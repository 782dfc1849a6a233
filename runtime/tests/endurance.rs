//! A folder arrives whole although its cable is pulled and both programs are killed on the way.
//!
//! Needs root, iproute2 and nftables; without them it is skipped, or fails if `P2PNET_REQUIRE_NETNS=1`. The folder of
//! 20 GB: `cargo test -p p2pnet --release --test endurance -- --ignored --nocapture`
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

#[allow(dead_code, reason = "other tests use the rest")]
mod lan;
#[allow(dead_code, reason = "other tests use the rest")]
mod program;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lan::{Host, Lan, unavailable};
use program::Program;

const MIB: u64 = 1 << 20;

/// More than a link that is silent lives.
const PULLED: Duration = Duration::from_secs(7);

#[test]
fn a_folder_survives_a_pulled_cable_and_the_end_of_either_program() {
    survive(64, 300, Duration::from_secs(120));
}

#[test]
#[ignore = "minutes, and 60 GB of disk"]
fn a_folder_of_20_gb_survives_a_pulled_cable_and_the_end_of_either_program() {
    survive(19_200, 1000, Duration::from_secs(3600));
}

/// Sends a folder of so many MiB through cables of so many Mbit/s. The receiver's cable is pulled at 20 %; then the
/// sender is killed, then the receiver, then both.
fn survive(mib: u64, megabits: u32, patience: Duration) {
    if let Some(obstacle) = unavailable() {
        assert!(std::env::var_os("P2PNET_REQUIRE_NETNS").is_none(), "{obstacle}");
        eprintln!("skipped: needs root, iproute2, nftables: {obstacle}");
        return;
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = dir.path();
    let folder = dir.join("holidays");
    let size = plant(&folder, mib * MIB).unwrap();
    let lan = Lan::new(2);
    lan.shape(megabits);
    let [from, to] = lan.hosts() else { panic!("there are two hosts") };
    let inbox = dir.join("inbox");
    let begin = Instant::now();
    let send = || start(from, dir, "ben", &["send", text(&folder), "--to", "anna"]);
    let receive = || start(to, dir, "anna", &["receive", "--inbox", text(&inbox)]);
    let (mut sender, mut receiver) = (send(), receive());
    let reach = |percent: u64, receiver: &mut Program| {
        let deadline = Instant::now() + patience;
        while written(&inbox) < size / 100 * percent {
            assert!(Instant::now() < deadline, "{} of {size} bytes came", written(&inbox));
            assert!(
                !receiver.has_printed_after(0, |line| line.is("content_received")),
                "it was all there before {percent} %"
            );
            sleep(Duration::from_millis(2));
        }
        eprintln!("{:7.1} s: {percent} %", begin.elapsed().as_secs_f64());
    };

    reach(20, &mut receiver);
    to.set_interface(false);
    sleep(PULLED);
    to.set_interface(true);
    reach(40, &mut receiver);
    sender.kill();
    sender = send();
    reach(60, &mut receiver);
    receiver.kill();
    receiver = receive();
    reach(80, &mut receiver);
    let had = written(&inbox);
    sender.kill();
    receiver.kill();
    (sender, receiver) = (send(), receive());

    let received = receiver.wait(patience, "the folder", |line| line.is("content_received"));
    sender.wait(patience, "the delivery", |line| line.is("content_delivered"));
    let fetched = received.value["fetched_bytes"].as_u64().unwrap();
    eprintln!(
        "{:7.1} s: whole; after the last start {} of {} MiB came again or anew",
        begin.elapsed().as_secs_f64(),
        fetched / MIB,
        size / MIB
    );
    // What was on its way, and blocks that were not whole, come again.
    assert!(fetched <= size - had + 8 * MIB, "{fetched} bytes came after {had} of {size} had");
    let came = PathBuf::from(received.value["path"].as_str().unwrap());
    assert_eq!(hashes(&came).unwrap(), hashes(&folder).unwrap());
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 1, "nothing is left beside the folder");
}

fn start(host: &Host, dir: &Path, name: &str, arguments: &[&str]) -> Program {
    let data_dir = dir.join(format!("{name}.data"));
    let common = ["--json", "--name", name, "--data-dir", text(&data_dir)];
    let binary = Path::new(env!("CARGO_BIN_EXE_p2pnet"));
    let mut program = Program::prepare(name, host.command("sh"), binary, &[arguments, &common].concat(), dir);
    program.go();
    program
}

/// How much of what is being received takes room on the disk.
fn written(inbox: &Path) -> u64 {
    let paths = fs::read_dir(inbox).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let parts = paths.filter(|path| path.extension().is_some_and(|extension| extension == "part"));
    parts.filter_map(|part| fs::metadata(part).ok()).map(|part| part.blocks() * 512).sum()
}

/// Makes a folder of files of many sizes, all different; its bytes.
fn plant(folder: &Path, bytes: u64) -> io::Result<u64> {
    let mut stream = blake3::Hasher::new().finalize_xof();
    let mut piece = vec![0; usize::try_from(MIB).unwrap_or_default()];
    let (mut made, mut number) = (0, 0_u64);
    while made < bytes {
        // 0 bytes to a sixteenth of all.
        let size = (bytes >> (4 + number % 24)) + number % 2;
        let place = folder.join(format!("{}/day {}", number % 3, number / 50));
        fs::create_dir_all(&place)?;
        let mut file = File::create(place.join(format!("{number}.jpg")))?;
        let mut left = size;
        while left > 0 {
            let n = left.min(MIB);
            let part = &mut piece[..usize::try_from(n).unwrap_or_default()];
            stream.fill(part);
            file.write_all(part)?;
            left -= n;
        }
        (made, number) = (made + size, number + 1);
    }
    Ok(made)
}

/// The hash of each file below a folder.
fn hashes(root: &Path) -> io::Result<BTreeMap<PathBuf, blake3::Hash>> {
    let mut hashes = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder)? {
            let path = item?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(File::open(&path)?)?;
                let below = path.strip_prefix(root).unwrap_or(&path).to_owned();
                hashes.insert(below, hasher.finalize());
            }
        }
    }
    Ok(hashes)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
