//! What a node remembers, when its process is killed or its disk is full. The other process is this program again, told by
//! an environment variable what to be.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "processes are killed after a real while")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use p2pnet::seam::Store;
use p2pnet::{DiskStore, PeerId};
use p2pnet_engine::{MemoryChange, RememberedFloor};

const NETWORK: [u8; 8] = *b"a netwrk";
const DIR: &str = "P2PNET_TEST_DIR";

fn floor(number: u64) -> MemoryChange {
    let mut id = [7; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let kept = RememberedFloor { record: number.to_be_bytes().repeat(40), proven: true };
    MemoryChange::Floor { peer: PeerId::from_bytes(id), kept: Some(kept) }
}

/// This program again, running one of the tests below that are no tests.
fn again(part: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([part, "--exact", "--nocapture", "--ignored"]).env(DIR, dir).stdout(Stdio::piped());
    command
}

/// Starts, says its incarnation, and writes without a pause: each time the same number under 20 keys.
#[tokio::test]
#[ignore = "a part of `a_process_killed_at_any_moment_loses_nothing_that_was_durable`"]
async fn writes_until_it_is_killed() {
    let store = DiskStore::open(std::env::var_os(DIR).unwrap(), None).unwrap();
    let incarnation = store.next_incarnation().await.unwrap();
    let kept = store.recall(NETWORK).await.unwrap().floors;
    let numbers: Vec<_> = kept.values().map(|floor| &floor.record).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "half of a commit is there");
    let last = numbers.first().map_or(0, |record| u64::from_be_bytes(record[..8].try_into().unwrap()));
    println!("started {incarnation} {last}");
    for number in last + 1.. {
        let changes = (0..20).map(|key| match (floor(key), floor(number)) {
            (MemoryChange::Floor { peer, .. }, MemoryChange::Floor { kept, .. }) => {
                MemoryChange::Floor { peer, kept }
            }
            _ => unreachable!("floors are made above"),
        });
        store.remember(NETWORK, number % 7 == 0, changes.collect()).await.unwrap();
        store.save_incarnation(incarnation).await.unwrap();
        println!("durable {incarnation} {number}");
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Fifty times a process is killed while it writes. What it said was durable is there, commits are whole, and no
/// incarnation comes twice.
#[test]
fn a_process_killed_at_any_moment_loses_nothing_that_was_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (mut incarnation, mut durable) = (0, 0);
    for round in 0..50_u64 {
        let mut child = Killed(again("writes_until_it_is_killed", dir.path()).spawn().unwrap());
        let stdout = child.0.stdout.take().unwrap();
        let reading = std::thread::spawn(move || {
            let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
            BufReader::new(stdout).lines().map_while(Result::ok).map(words).collect::<Vec<_>>()
        });
        // Some are killed before they have said anything.
        std::thread::sleep(Duration::from_millis(5 + round * 37 % 150));
        drop(child);
        for line in reading.join().unwrap() {
            let [what, said, number] = &line[..] else { continue };
            let (Ok(said), Ok(number)) = (said.parse::<u64>(), number.parse::<u64>()) else { continue };
            match what.as_str() {
                "started" => {
                    assert!(said > incarnation, "incarnation {said} after {incarnation}");
                    assert!(number >= durable, "{number} is there, {durable} was durable");
                    incarnation = said;
                }
                "durable" => durable = number,
                _ => {}
            }
        }
    }
    assert!(incarnation >= 20 && durable >= 50, "too slow to test anything: {incarnation} starts, {durable}");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("damaged")), "{left:?}");
}

/// Writes until the disk is full, sees every failure as one, and writes again when there is room.
#[tokio::test]
#[ignore = "a part of `a_full_disk_is_an_answer_and_no_end`"]
async fn fills_its_disk() {
    let dir = std::env::var_os(DIR).unwrap();
    let dir = Path::new(&dir);
    let store = DiskStore::open(dir, None).unwrap();
    store.next_incarnation().await.unwrap();
    store.remember(NETWORK, false, vec![floor(0)]).await.unwrap();
    let filler = dir.join("filler");
    let mut size = 4 << 20;
    while size > 0 {
        let mut bytes = std::fs::read(&filler).unwrap_or_default();
        bytes.resize(bytes.len() + size, 1);
        if std::fs::write(&filler, bytes).is_err() {
            size /= 2;
        }
    }
    let mut number = 1;
    let failure = loop {
        let changes = (number..number + 50).map(floor).collect();
        if let Err(failure) = store.remember(NETWORK, false, changes).await {
            break failure;
        }
        number += 50;
        assert!(number < 100_000, "the disk is never full");
    };
    assert_eq!(failure, p2pnet_engine::StoreFailure::Full);
    assert!(store.remember(NETWORK, false, (number..number + 5000).map(floor).collect()).await.is_err());
    assert!(store.recall(NETWORK).await.unwrap().floors.len() as u64 == number, "what was kept stays");
    std::fs::remove_file(&filler).unwrap();
    store.remember(NETWORK, true, vec![floor(1)]).await.unwrap();
    drop(store);
    let store = DiskStore::open(dir, None).unwrap();
    assert_eq!(store.recall(NETWORK).await.unwrap().floors.len(), 1);
    assert_eq!(store.next_incarnation().await.unwrap(), 2);
    println!("full and well");
}

#[test]
fn a_full_disk_is_an_answer_and_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=8m,mode=700 none {}", dir.path().display());
    let works = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs root and util-linux");
        return;
    }
    let child = again("fills_its_disk", dir.path());
    let run = format!("{mount} && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &run])
        .arg(child.get_program())
        .args(child.get_args())
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("full and well"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
