//! A file that is larger than the room on the disk, and the room that is made then. The disk is one of memory, mounted for
//! a process of its own: this program again, told by an environment variable what to be.
#![cfg(target_os = "linux")]

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use p2pnet::{Event, Node, Source};
use tokio::time::timeout;

const DISK: &str = "P2PNET_TEST_DISK";
const PATIENCE: Duration = Duration::from_secs(30);

async fn until<T>(node: &mut Node, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(picked) = pick(node.next_event().await.expect("the node has stopped")) {
                return picked;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {what} in {PATIENCE:?}"))
}

#[tokio::test]
#[ignore = "a part of `a_full_disk_pauses_a_transfer_and_loses_nothing`"]
async fn receives_more_than_there_is_room_for() {
    let disk = std::env::var_os(DISK).unwrap();
    let disk = Path::new(&disk);
    let bytes: Vec<u8> = (0..24_000_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
    drop(sockets);
    let network = format!("full disk {ports:?}");
    let builder = |name: &str| Node::builder(name).network(&network).interfaces(["lo"]).ports(ports.clone());
    let mut alice = builder("alice").start().await.unwrap();
    let mut bob = builder("bob").inbox(disk.join("inbox")).start().await.unwrap();
    let source = Source::Bytes { name: "film".into(), bytes: bytes.clone() };
    let content = alice.handle().share(source).await.unwrap();
    until(&mut bob, "offer", |event| matches!(event, Event::ContentOffered { .. }).then_some(())).await;
    bob.handle().fetch(content).await.unwrap();
    until(&mut bob, "pause", |event| matches!(event, Event::ContentPaused { .. }).then_some(())).await;
    until(&mut alice, "word of it", |event| matches!(event, Event::ContentHeldUp { .. }).then_some(())).await;
    let there = bob.handle().progress(content).await.unwrap().unwrap().written;
    assert!((4..16).contains(&there), "{there} blocks on a disk of 12 MiB");

    let more = Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk).status();
    assert!(more.unwrap().success());
    until(&mut bob, "resumption", |event| matches!(event, Event::ContentResumed { .. }).then_some(())).await;
    let received = |event| match event {
        Event::ContentReceived { path, .. } => Some(path),
        _ => None,
    };
    let path = until(&mut bob, "file", received).await;
    assert!(std::fs::read(path).unwrap() == bytes, "the file is another");
    tokio::join!(biased; alice.shutdown(), bob.shutdown());
    println!("whole after all");
}

#[test]
fn a_full_disk_pauses_a_transfer_and_loses_nothing() {
    let disk = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=12m,mode=700 none {}", disk.path().display());
    let works = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs root and util-linux");
        return;
    }
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["receives_more_than_there_is_room_for", "--exact", "--nocapture", "--ignored"])
        .env(DISK, disk.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("whole after all"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
