//! Which offers are taken without a question.

mod lan;

use lan::Lan;
use p2pnet_engine::{BlockRef, ContentHasher, ContentId, ContentKind, Event, Manifest, OfferPolicy};

/// Publishes `size` bytes at node `i`.
fn publish(lan: &mut Lan, i: usize, size: usize) -> ContentId {
    let bytes = vec![i as u8 + 1; size];
    let mut hasher = ContentHasher::new();
    hasher.update(&bytes);
    let (content, list) = hasher.finish().unwrap();
    lan.nodes[i].store.insert(BlockRef { content, index: 0 }, bytes);
    let manifest = Manifest { content, name: "x".into(), kind: ContentKind::File };
    lan.command(i, |engine, now| engine.publish(now, manifest, list).unwrap());
    lan.run_for_millis(500);
    content
}

/// Three nodes; node 2 takes what `policy` says.
fn lan(policy: OfferPolicy) -> Lan {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    lan.command(2, |engine, now| engine.set_offer_policy(now, policy));
    lan
}

fn received(lan: &Lan) -> Vec<ContentId> {
    let of = |event: &Event| match event {
        Event::ContentReceived { manifest, .. } => Some(manifest.content),
        _ => None,
    };
    lan.nodes[2].events.iter().filter_map(of).collect()
}

fn offered(lan: &Lan) -> usize {
    let offered = |event: &&Event| matches!(event, Event::ContentOffered { .. });
    lan.nodes[2].events.iter().filter(offered).count()
}

#[test]
fn nothing_is_taken_unless_somebody_says_so() {
    let mut lan = lan(OfferPolicy::default());
    let content = publish(&mut lan, 0, 100);
    assert_eq!((offered(&lan), received(&lan).len()), (1, 0));
    // What waits for an answer gets one.
    lan.command(2, |engine, now| engine.set_offer_policy(now, OfferPolicy::all()));
    lan.run_for_millis(500);
    assert_eq!((offered(&lan), received(&lan)), (1, vec![content]));
}

#[test]
fn offers_are_taken_by_size_and_by_peer() {
    let mut small = lan(OfferPolicy::up_to(100));
    let taken = publish(&mut small, 0, 100);
    publish(&mut small, 1, 101);
    assert_eq!((offered(&small), received(&small)), (2, vec![taken]), "the application hears of both");

    let mut known = lan(OfferPolicy::Ask);
    let friend = known.nodes[1].engine.peer_id();
    known.command(2, |engine, now| engine.set_offer_policy(now, OfferPolicy::from_peers([friend])));
    publish(&mut known, 0, 100);
    let taken = publish(&mut known, 1, 100);
    assert_eq!((offered(&known), received(&known)), (2, vec![taken]));
}

#[test]
fn what_was_declined_or_failed_is_not_taken_again() {
    let mut lan = lan(OfferPolicy::Ask);
    let content = publish(&mut lan, 0, 100);
    lan.command(2, |engine, now| engine.decline(now, content));
    lan.command(2, |engine, now| engine.set_offer_policy(now, OfferPolicy::all()));
    lan.run_for_millis(1_000);
    assert!(received(&lan).is_empty());

    // A disk that fails would fail for ever.
    lan.nodes[2].room = Some(0);
    let paused = publish(&mut lan, 1, 100);
    lan.command(2, |engine, now| engine.cancel(now, paused));
    lan.nodes[2].room = None;
    lan.command(2, |engine, now| engine.set_offer_policy(now, OfferPolicy::all()));
    lan.run_for_millis(10_000);
    assert!(received(&lan).is_empty());
    assert_eq!(
        lan.nodes[2].events.iter().filter(|event| matches!(event, Event::ContentFailed { .. })).count(),
        1
    );
}

/// More offers than there are places: each gets its turn.
#[test]
fn offers_that_find_no_place_are_taken_later() {
    let mut lan = lan(OfferPolicy::all());
    let many: Vec<ContentId> = (1..=300).map(|size| publish_quietly(&mut lan, size)).collect();
    lan.run_for_millis(20_000);
    let mut here = received(&lan);
    here.sort();
    here.dedup();
    assert_eq!(here.len(), many.len());
}

/// Half of them at each of two nodes, for neither may publish more than 256.
fn publish_quietly(lan: &mut Lan, size: usize) -> ContentId {
    let i = size % 2;
    let bytes = vec![9; size];
    let mut hasher = ContentHasher::new();
    hasher.update(&bytes);
    let (content, list) = hasher.finish().unwrap();
    lan.nodes[i].store.insert(BlockRef { content, index: 0 }, bytes);
    let manifest = Manifest { content, name: "x".into(), kind: ContentKind::File };
    lan.nodes[i].engine.publish(lan.now, manifest, list).unwrap();
    content
}
