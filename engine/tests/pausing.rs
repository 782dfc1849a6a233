//! A disk without room costs time, and nothing that came.

mod lan;

use lan::Lan;
use p2pnet_engine::{BLOCK_SIZE, BlockRef, ContentHasher, ContentId, ContentKind, Event, Manifest};

/// Node 0 offers a content of ten blocks, and node 1 fetches it though it has room for three.
fn paused() -> (Lan, ContentId) {
    let mut lan = Lan::new(2);
    lan.run_for_millis(3_000);
    let bytes = vec![7; 10 * BLOCK_SIZE];
    let mut hasher = ContentHasher::new();
    hasher.update(&bytes);
    let (content, list) = hasher.finish().unwrap();
    for (index, data) in (0..).zip(bytes.chunks(BLOCK_SIZE)) {
        lan.nodes[0].store.insert(BlockRef { content, index }, data.to_vec());
    }
    let manifest = Manifest { content, name: "film".into(), kind: ContentKind::File };
    lan.command(0, |engine, now| engine.publish(now, manifest, list).unwrap());
    lan.run_for_millis(100);
    lan.nodes[1].room = Some(3);
    lan.command(1, |engine, now| engine.fetch(now, content)).unwrap();
    lan.run_for_millis(1_000);
    (lan, content)
}

fn told(lan: &Lan, i: usize, what: fn(&Event) -> bool) -> usize {
    lan.nodes[i].events.iter().filter(|event| what(event)).count()
}

#[test]
fn a_transfer_waits_for_room_and_both_sides_know() {
    let (mut lan, content) = paused();
    let receiver = lan.nodes[1].engine.peer_id();
    let is_paused = |event: &Event| matches!(event, Event::ContentPaused { .. });
    assert_eq!(told(&lan, 1, is_paused), 1);
    assert!(lan.nodes[0].events.contains(&Event::ContentHeldUp { content, to: receiver }));
    let at_first = lan.nodes[0].engine.stats().blocks_sent;

    // A block every five seconds shows that there is no room yet.
    lan.run_for_millis(60_000);
    let tried = lan.nodes[0].engine.stats().blocks_sent - at_first;
    assert!((10..=13).contains(&tried), "{tried} blocks in a minute");
    assert_eq!(told(&lan, 1, is_paused), 1, "once is enough");
    assert_eq!(lan.nodes[1].engine.progress(&content).map(|progress| progress.written), Some(3));

    lan.nodes[1].room = None;
    lan.run_for_millis(6_000);
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentResumed { .. })), 1);
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentReceived { .. })), 1);
    assert!(lan.nodes[0].events.contains(&Event::ContentDelivered { content, to: receiver }));
    let sent = lan.nodes[0].engine.stats().blocks_sent - at_first - tried;
    assert_eq!(sent, 7, "what was there is not fetched again");
}

#[test]
fn a_paused_transfer_can_be_cancelled_and_ends_with_its_source() {
    let (mut lan, content) = paused();
    lan.command(1, |engine, now| engine.cancel(now, content));
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentFailed { .. })), 1);
    assert!(lan.nodes[1].actions.iter().any(|action| action.starts_with("Store(Abandon")));

    let (mut lan, content) = paused();
    lan.command(0, |engine, now| engine.withdraw(now, content));
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentFailed { .. })), 1);
    assert!(lan.nodes[1].actions.iter().any(|action| action.starts_with("Store(Close")), "what came is kept");
}

/// Others do not wait for the one that waits for room.
#[test]
fn a_paused_transfer_leaves_its_turn_to_others() {
    let (lan, content) = paused();
    let progress = lan.nodes[1].engine.progress(&content).unwrap();
    assert!(progress.sources.is_empty(), "{:?}", progress.sources);
}
