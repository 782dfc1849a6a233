//! Those who fetch one content serve one another, and nobody else.

mod lan;

use lan::Lan;
use p2pnet_engine::{
    BLOCK_SIZE, BlockList, BlockRef, ContentHasher, ContentId, ContentKind, Event, Manifest, PeerId, forge,
};

const SIZE: usize = 3 * BLOCK_SIZE + 1;

/// A content of four blocks in the store of these nodes.
fn content(lan: &mut Lan, nodes: &[usize]) -> (Manifest, BlockList) {
    let bytes = vec![7; SIZE];
    let mut hasher = ContentHasher::new();
    hasher.update(&bytes);
    let (content, list) = hasher.finish().unwrap();
    for (index, data) in (0..).zip(bytes.chunks(BLOCK_SIZE)) {
        for &i in nodes {
            lan.nodes[i].store.insert(BlockRef { content, index }, data.to_vec());
        }
    }
    (Manifest { content, name: "letter".into(), kind: ContentKind::File }, list)
}

fn id(lan: &Lan, i: usize) -> PeerId {
    lan.nodes[i].engine.peer_id()
}

fn has_all(lan: &Lan, i: usize) -> bool {
    lan.nodes[i].events.iter().any(|event| matches!(event, Event::ContentReceived { .. }))
}

/// Whether `i` has told anybody anything of this list.
fn told(lan: &Lan, i: usize, list: &BlockList) -> bool {
    let sent: Vec<u8> = lan.nodes[i].frames.values().flatten().copied().collect();
    list.values().iter().any(|value| sent.windows(32).any(|window| window == value))
}

/// Node 0 has sent a content to node 1 alone, which has it whole.
fn sent_to_one() -> (Lan, ContentId, BlockList) {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    let (manifest, list) = content(&mut lan, &[0]);
    let content = manifest.content;
    let first = id(&lan, 1);
    let values = list.clone();
    lan.command(0, |engine, now| engine.publish_privately(now, manifest, values).unwrap());
    assert!(lan.command(0, |engine, now| engine.offer_to(now, content, first)));
    lan.run_for_millis(100);
    lan.command(1, |engine, now| engine.fetch(now, content)).unwrap();
    lan.run_for_millis(1_000);
    assert!(has_all(&lan, 1));
    (lan, content, list)
}

/// Node 2 knows the name of what node 1 was sent. That is not enough.
#[test]
fn who_was_not_named_gets_nothing_and_hears_nothing() {
    let (mut lan, content, list) = sent_to_one();
    let answers = |lan: &Lan| lan.nodes[1].frames.values().map(Vec::len).sum::<usize>();
    let before = answers(&lan);
    lan.say(2, 1, &forge::have(content, vec![0b1111]));
    assert_eq!(answers(&lan), before, "a map is not answered");
    lan.say(2, 1, &forge::list_request(content));
    lan.say(2, 1, &forge::block_request(BlockRef { content, index: 0 }));
    // Nor does it help to name oneself.
    let own = id(&lan, 2);
    lan.say(2, 1, &forge::takers(content, vec![own]));
    lan.say(2, 1, &forge::list_request(content));
    lan.say(2, 1, &forge::block_request(BlockRef { content, index: 0 }));
    lan.run_for_millis(1_000);
    assert!(!told(&lan, 1, &list), "the list went out");
    assert_eq!(lan.nodes[1].engine.stats().blocks_sent, 0);

    // Whoever offered it may.
    lan.say(0, 1, &forge::takers(content, vec![own]));
    lan.say(2, 1, &forge::list_request(content));
    lan.say(2, 1, &forge::block_request(BlockRef { content, index: 0 }));
    assert!(told(&lan, 1, &list));
    assert_eq!(lan.nodes[1].engine.stats().blocks_sent, 1);
}

#[test]
fn what_is_served_on_can_be_withdrawn() {
    let (mut lan, content, list) = sent_to_one();
    let own = id(&lan, 2);
    lan.say(0, 1, &forge::takers(content, vec![own]));
    lan.command(1, |engine, now| engine.withdraw(now, content));
    lan.say(2, 1, &forge::list_request(content));
    assert!(!told(&lan, 1, &list));
    assert!(lan.nodes[1].actions.iter().any(|action| action.starts_with("Store(Close")));
}

/// A map of another size, or with blocks that the content does not have, changes nothing.
#[test]
fn maps_that_are_none_are_refused() {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    let (manifest, list) = content(&mut lan, &[0]);
    let content = manifest.content;
    lan.command(0, |engine, now| engine.publish(now, manifest, list).unwrap());
    // Node 0 sends nothing of it, so node 1 is under way.
    lan.nodes[0].budget = None;
    lan.give_budget(0, 0);
    lan.command(1, |engine, now| engine.fetch(now, content)).unwrap();
    let (own, many) = (id(&lan, 2), vec![id(&lan, 2); 65]);
    lan.nodes[0].budget = Some(4 << 20);
    let refused = |lan: &Lan| lan.nodes[1].engine.stats().frames_refused;
    let before = refused(&lan);
    lan.say(0, 1, &forge::takers(content, many));
    assert_eq!(refused(&lan), before + 1, "more takers than anybody names");
    lan.say(0, 1, &forge::takers(content, vec![own]));
    for blocks in [vec![], vec![0b1_1111], vec![1; 2], vec![0xff; 60_000]] {
        let before = refused(&lan);
        lan.say(2, 1, &forge::have(content, blocks));
        assert_eq!(refused(&lan), before + 1);
    }
    let before = refused(&lan);
    lan.say(2, 1, &forge::have(content, vec![0b1111]));
    assert_eq!(refused(&lan), before);
    // Node 2 says that it has all and has nothing; node 0 has it.
    lan.give_budget(0, 4 << 20);
    lan.run_for_millis(60_000);
    assert!(has_all(&lan, 1), "{:?}", lan.nodes[1].engine.progress(&content));
}

/// What one source owes for long is fetched from another, and the first is told not to send it.
#[test]
fn a_source_that_takes_long_is_spared_what_another_has_sent() {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    let (manifest, list) = content(&mut lan, &[0, 1]);
    let content = manifest.content;
    for i in [0, 1] {
        let (manifest, list) = (manifest.clone(), list.clone());
        lan.command(i, |engine, now| engine.publish(now, manifest, list).unwrap());
    }
    lan.run_for_millis(100);
    let budget = lan.nodes[0].budget.take();
    lan.give_budget(0, 0);
    lan.command(2, |engine, now| engine.fetch(now, content)).unwrap();
    lan.run_for_millis(4_000);
    assert!(has_all(&lan, 2), "{:?}", lan.nodes[2].engine.progress(&content));
    lan.nodes[0].budget = budget;
    lan.give_budget(0, budget.unwrap());
    lan.run_for_millis(1_000);
    assert_eq!(lan.nodes[0].engine.stats().blocks_sent, 0);
    assert_eq!(lan.nodes[1].engine.stats().blocks_sent, 4);
}
