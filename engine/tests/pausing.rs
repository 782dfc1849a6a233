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

/// Node 1 fetches with all the room there is, and pauses when some blocks have come and others are on their way.
fn held() -> (Lan, ContentId) {
    let (mut lan, content) = paused();
    lan.nodes[1].room = None;
    lan.command(1, |engine, now| engine.cancel(now, content));
    lan.run_for_millis(1_000);
    lan.nodes[0].events.clear();
    lan.nodes[1].events.clear();
    lan.nodes[0].budget = None;
    lan.command(1, |engine, now| engine.fetch(now, content)).unwrap();
    let written = lan.nodes[1].engine.progress(&content).unwrap().written;
    assert!((1..10).contains(&written), "{written}");
    assert!(lan.command(1, |engine, now| engine.pause(now, content)));
    lan.nodes[0].budget = Some(4 << 20);
    lan.give_budget(0, 4 << 20);
    lan.run_for_millis(100);
    (lan, content)
}

#[test]
fn what_the_application_pauses_stands_still_until_it_goes_on_and_both_sides_know() {
    let (mut lan, content) = held();
    let receiver = lan.nodes[1].engine.peer_id();
    assert!(lan.command(1, |engine, now| engine.pause(now, content)), "it is paused, as wished");
    let sent = lan.nodes[0].engine.stats().blocks_sent;
    lan.run_for_millis(120_000);
    assert_eq!(lan.nodes[0].engine.stats().blocks_sent, sent, "nothing comes");
    let progress = lan.nodes[1].engine.progress(&content).unwrap();
    assert!(progress.paused && progress.sources.is_empty() && progress.written < 10, "{progress:?}");
    let paused = |event: &Event| matches!(event, Event::DeliveryPaused { .. });
    let resumed = |event: &Event| matches!(event, Event::DeliveryResumed { .. });
    assert!(lan.nodes[0].events.contains(&Event::DeliveryPaused { content, to: receiver }));
    assert_eq!((told(&lan, 0, paused), told(&lan, 0, resumed)), (1, 0));

    assert!(lan.command(1, |engine, now| engine.resume(now, content)));
    lan.run_for_millis(3_000);
    assert_eq!((told(&lan, 0, paused), told(&lan, 0, resumed)), (1, 1));
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentReceived { .. })), 1);
    assert!(lan.nodes[0].events.contains(&Event::ContentDelivered { content, to: receiver }));
    assert!(!lan.command(1, |engine, now| engine.pause(now, content)), "there is nothing to pause any more");
    assert!(!lan.command(1, |engine, now| engine.resume(now, content)));
}

/// A pause outlasts a link, and who offers the content anew is told of it.
#[test]
fn a_pause_outlasts_the_links() {
    let (mut lan, content) = held();
    let peer = lan.nodes[0].engine.peer_id();
    lan.command(1, |engine, now| engine.disconnect(now, peer));
    lan.run_for_millis(500);
    let receiver = lan.nodes[1].engine.peer_id();
    lan.command(0, |engine, now| engine.disconnect(now, receiver));
    lan.run_for_millis(60_000);
    assert!(lan.nodes[1].engine.progress(&content).is_some_and(|progress| progress.paused));
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentFailed { .. })), 0);
    assert!(lan.command(1, |engine, now| engine.resume(now, content)));
}

/// The application's pause and a full disk do not end one another.
#[test]
fn a_pause_by_the_application_holds_also_without_room() {
    let (mut lan, content) = paused();
    assert!(lan.command(1, |engine, now| engine.pause(now, content)));
    let sent = lan.nodes[0].engine.stats().blocks_sent;
    lan.nodes[1].room = None;
    lan.run_for_millis(60_000);
    assert_eq!(lan.nodes[0].engine.stats().blocks_sent, sent, "not even to try for room");
    assert!(lan.command(1, |engine, now| engine.resume(now, content)));
    lan.run_for_millis(6_000);
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentReceived { .. })), 1);
}

/// What is paused can be cancelled, and ends when it is offered no more.
#[test]
fn a_transfer_that_the_application_paused_ends_as_any_other() {
    let (mut lan, content) = held();
    lan.command(1, |engine, now| engine.cancel(now, content));
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentFailed { .. })), 1);
    let receiver = lan.nodes[1].engine.peer_id();
    lan.run_for_millis(100);
    assert!(lan.nodes[0].events.contains(&Event::ContentDeclined { content, to: receiver }));

    let (mut lan, content) = held();
    lan.command(0, |engine, now| engine.withdraw(now, content));
    lan.run_for_millis(100);
    assert_eq!(told(&lan, 1, |event| matches!(event, Event::ContentFailed { .. })), 1);
}
