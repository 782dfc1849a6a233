//! Content that is not for everybody.

mod lan;

use lan::Lan;
use p2pnet_engine::{
    BLOCK_SIZE, BlockList, BlockRef, ContentHasher, ContentId, ContentKind, Event, FetchError, Manifest,
};

/// A content of so many bytes in the store of node 0.
fn content(lan: &mut Lan, length: usize) -> (Manifest, BlockList) {
    let bytes = vec![7; length];
    let mut hasher = ContentHasher::new();
    hasher.update(&bytes);
    let (content, list) = hasher.finish().unwrap();
    for (index, data) in bytes.chunks(BLOCK_SIZE).enumerate() {
        lan.nodes[0].store.insert(BlockRef { content, index: index as u32 }, data.to_vec());
    }
    (Manifest { content, name: "letter".into(), kind: ContentKind::File }, list)
}

fn was_offered(lan: &Lan, i: usize) -> bool {
    lan.nodes[i].events.iter().any(|event| matches!(event, Event::ContentOffered { .. }))
}

fn fetch(lan: &mut Lan, i: usize, content: ContentId) -> Result<(), FetchError> {
    lan.command(i, |engine, now| engine.fetch(now, content))
}

/// A file that is sent to one peer must not come into the inbox of another.
#[test]
fn private_content_is_offered_to_those_alone_that_it_is_for() {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    let (manifest, list) = content(&mut lan, BLOCK_SIZE + 1);
    let content = manifest.content;
    let bob = lan.nodes[1].engine.peer_id();
    lan.command(0, |engine, now| engine.publish_privately(now, manifest, list).unwrap());
    lan.run_for_millis(500);
    assert!(!was_offered(&lan, 1) && !was_offered(&lan, 2));

    assert!(lan.command(0, |engine, now| engine.offer_to(now, content, bob)));
    // Offers are repeated at each new trust; to those that they are for.
    lan.cut();
    lan.run_for_millis(3_000);
    assert!(was_offered(&lan, 1) && !was_offered(&lan, 2));
    assert_eq!(fetch(&mut lan, 2, content), Err(FetchError::NotOffered));
    fetch(&mut lan, 1, content).unwrap();
    lan.run_for_millis(2_000);
    let delivered = Event::ContentDelivered { content, to: bob };
    assert!(lan.nodes[0].events.contains(&delivered), "{:?}", lan.nodes[0].events);
}

/// Who knows of the content all the same, here from before it was private, gets neither its list nor a block.
#[test]
fn private_content_is_not_served_to_others_that_ask_for_it() {
    for length in [1, BLOCK_SIZE + 1] {
        let mut lan = Lan::new(2);
        lan.run_for_millis(3_000);
        let (manifest, list) = content(&mut lan, length);
        let (content, values) = (manifest.content, list.values().to_vec());
        lan.command(0, |engine, now| engine.publish(now, manifest.clone(), list.clone()).unwrap());
        assert!(was_offered(&lan, 1));
        // Node 1 does not hear of the withdrawal until it has asked.
        let budget = lan.nodes[0].budget.take();
        lan.give_budget(0, 0);
        lan.command(0, |engine, now| engine.withdraw(now, content));
        lan.command(0, |engine, now| engine.publish_privately(now, manifest, list).unwrap());
        let before = lan.nodes[0].engine.stats().frames_received;
        fetch(&mut lan, 1, content).unwrap();
        assert!(lan.nodes[0].engine.stats().frames_received > before, "it asks");
        lan.nodes[0].budget = budget;
        lan.give_budget(0, budget.unwrap());
        lan.run_for_millis(2_000);
        assert_eq!(lan.nodes[0].engine.stats().blocks_sent, 0, "{length} bytes");
        let sent: Vec<u8> = lan.nodes[0].frames.values().flatten().copied().collect();
        for value in values {
            assert!(!sent.windows(32).any(|window| window == value), "the list went out");
        }
    }
}

/// To publish for everybody what was private means everybody.
#[test]
fn private_content_can_be_opened_to_everybody() {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    let (manifest, list) = content(&mut lan, BLOCK_SIZE + 1);
    lan.command(0, |engine, now| engine.publish_privately(now, manifest.clone(), list.clone()).unwrap());
    lan.command(0, |engine, now| engine.publish(now, manifest.clone(), list.clone()).unwrap());
    // And never back: those who were offered it may be fetching it.
    lan.command(0, |engine, now| engine.publish_privately(now, manifest, list).unwrap());
    lan.run_for_millis(500);
    assert!(was_offered(&lan, 1) && was_offered(&lan, 2));
}
