//! Texts and files between engines, and what breaks on the way.

use std::time::Duration;

use p2pnet_engine::{BLOCK_SIZE, ContentId, Event};
use p2pnet_sim::{Detail, Pair, seed_bytes};

const SECOND: Duration = Duration::from_secs(1);

fn trusted(seed: u64, nodes: usize) -> Pair {
    let mut pair = Pair::with_nodes(seed, nodes).start();
    assert!(pair.run_until(3 * SECOND, Pair::all_trusted), "seed {seed}: {}", story(&pair));
    pair
}

fn story(pair: &Pair) -> String {
    format!("after {:?}\n{}", pair.elapsed(), pair.trace().text(Detail::Everything))
}

fn bytes(length: usize) -> Vec<u8> {
    seed_bytes(0, "contents").into_iter().cycle().take(length).collect()
}

fn texts(pair: &Pair, i: usize) -> Vec<String> {
    pair.events(i)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Text { text, .. } => Some(text.clone()),
            _ => None,
        })
        .collect()
}

fn fetched_bytes(pair: &Pair, i: usize, content: &ContentId) -> Vec<u64> {
    pair.events(i)
        .iter()
        .filter_map(|(_, event)| match event {
            Event::ContentReceived { manifest, fetched_bytes, .. } if manifest.content == *content => {
                Some(*fetched_bytes)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_file_of_three_blocks_and_seven_bytes_moves_whole() {
    for size in [0, 1, 7, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 7] {
        let mut pair = trusted(size as u64, 2);
        pair.take_offers(1, true);
        let content = pair.publish(0, "holiday.raw", bytes(size));
        let done = |pair: &Pair| {
            let delivered = Event::ContentDelivered { content, to: pair.peer_id(1) };
            pair.events(0).iter().any(|(_, event)| *event == delivered)
        };
        assert!(pair.run_until(5 * SECOND, done), "{size} bytes: {}", story(&pair));
        assert!(pair.received(1, &content).is_some_and(|received| received == bytes(size)), "{size} bytes");
        assert_eq!(fetched_bytes(&pair, 1, &content), [size as u64]);
    }
}

#[test]
fn a_corrupted_block_is_fetched_again() {
    let mut pair = trusted(5, 2);
    pair.take_offers(1, true);
    let mut spoilt = false;
    pair.spoil_blocks(move |_, block| block.index == 1 && !std::mem::replace(&mut spoilt, true));
    let size = 3 * BLOCK_SIZE + 7;
    let content = pair.publish(0, "holiday.raw", bytes(size));
    let complete = |pair: &Pair| !fetched_bytes(pair, 1, &content).is_empty();
    assert!(pair.run_until(10 * SECOND, complete), "{}", story(&pair));
    assert_eq!(pair.received(1, &content), Some(&bytes(size)[..]));
    assert_eq!(fetched_bytes(&pair, 1, &content), [(size + BLOCK_SIZE) as u64]);
    assert_eq!(pair.engine(1).stats().blocks_bad, 1);
}

#[test]
fn a_source_that_only_sends_wrong_blocks_is_given_up_and_another_one_is_asked() {
    let mut trio = trusted(6, 3);
    let size = 2 * BLOCK_SIZE + 1;
    trio.spoil_blocks(|from, _| from == 0);
    let content = trio.publish(0, "holiday.raw", bytes(size));
    assert_eq!(trio.publish(1, "same.raw", bytes(size)), content);
    trio.run_for(SECOND);
    trio.command(2, |engine, now| engine.fetch(now, content)).unwrap();
    let complete = |pair: &Pair| pair.received(2, &content).is_some();
    assert!(trio.run_until(30 * SECOND, complete), "{}", story(&trio));
    assert_eq!(trio.received(2, &content), Some(&bytes(size)[..]));
}

#[test]
fn a_transfer_goes_on_after_its_link_broke() {
    for seed in 0..10 {
        let mut pair = trusted(seed, 2);
        pair.take_offers(1, true);
        let size = 20 * BLOCK_SIZE + 5;
        let content = pair.publish(0, "holiday.raw", bytes(size));
        let under_way = |pair: &Pair| pair.engine(1).progress(&content).is_some_and(|p| p.written >= 5);
        assert!(pair.run_until(5 * SECOND, under_way), "seed {seed}: {}", story(&pair));
        pair.cut_links(0, 1);
        let complete = |pair: &Pair| pair.received(1, &content).is_some();
        assert!(pair.run_until(10 * SECOND, complete), "seed {seed}: {}", story(&pair));
        assert!(pair.received(1, &content).is_some_and(|received| received == bytes(size)), "seed {seed}");
    }
}

/// Whoever is killed in mid-transfer has what was written, but for the block that was torn.
#[test]
fn a_transfer_goes_on_after_its_receiver_was_killed() {
    for seed in 0..10 {
        let mut pair = trusted(seed, 2);
        pair.take_offers(1, true);
        let size = 20 * BLOCK_SIZE + 5;
        let content = pair.publish(0, "holiday.raw", bytes(size));
        let enough = 5 + u32::try_from(seed).unwrap();
        let under_way = |pair: &Pair| pair.engine(1).progress(&content).is_some_and(|p| p.written >= enough);
        assert!(pair.run_until(5 * SECOND, under_way), "seed {seed}: {}", story(&pair));
        pair.kill(1);
        pair.restart(1);
        let complete = |pair: &Pair| pair.received(1, &content).is_some();
        assert!(pair.run_until(20 * SECOND, complete), "seed {seed}: {}", story(&pair));
        assert!(pair.received(1, &content).is_some_and(|received| received == bytes(size)), "seed {seed}");
        pair.run_for(SECOND);
        let missing = (size - (enough as usize - 1) * BLOCK_SIZE) as u64;
        let fetched = fetched_bytes(&pair, 1, &content);
        assert!(fetched.len() == 1 && fetched[0] <= missing, "seed {seed}: {fetched:?} for {missing}");
    }
}

/// When the only source withdraws, the transfer ends; offered again, it goes on where it was.
#[test]
fn a_transfer_goes_on_when_its_content_is_offered_again() {
    let mut pair = trusted(1, 2);
    pair.take_offers(1, true);
    let size = 20 * BLOCK_SIZE + 5;
    let content = pair.publish(0, "holiday.raw", bytes(size));
    let under_way = |pair: &Pair| pair.engine(1).progress(&content).is_some_and(|p| p.written >= 5);
    assert!(pair.run_until(5 * SECOND, under_way), "{}", story(&pair));
    pair.command(0, |engine, now| engine.withdraw(now, content));
    let failed =
        |pair: &Pair| pair.events(1).iter().any(|(_, event)| matches!(event, Event::ContentFailed { .. }));
    assert!(pair.run_until(5 * SECOND, failed), "{}", story(&pair));
    assert_eq!(pair.publish(0, "holiday.raw", bytes(size)), content);
    let complete = |pair: &Pair| !fetched_bytes(pair, 1, &content).is_empty();
    assert!(pair.run_until(5 * SECOND, complete), "{}", story(&pair));
    assert_eq!(pair.received(1, &content), Some(&bytes(size)[..]));
    assert!(fetched_bytes(&pair, 1, &content)[0] <= (size - 4 * BLOCK_SIZE) as u64);
}

#[test]
fn a_text_is_delivered_exactly_once_though_links_are_cut() {
    for seed in 0..50 {
        let mut pair = trusted(seed, 2);
        let to = pair.peer_id(1);
        let mut sent = Vec::new();
        for i in 0..20 {
            let text = format!("text {i}");
            pair.command(0, |engine, now| engine.send_text(now, to, &text)).unwrap();
            sent.push(text);
            // Each time at another point of the text's way and of its acknowledgement's way back.
            pair.run_for(Duration::from_micros(100 * (seed + i)));
            if i % 3 == 0 {
                pair.cut_links(0, 1);
            }
        }
        let delivered = |pair: &Pair| {
            pair.events(0).iter().filter(|(_, event)| matches!(event, Event::TextDelivered { .. })).count()
        };
        assert!(pair.run_until(60 * SECOND, |pair| delivered(pair) == 20), "seed {seed}: {}", story(&pair));
        pair.run_for(10 * SECOND);
        assert_eq!(texts(&pair, 1), sent, "seed {seed}");
        assert_eq!(delivered(&pair), 20, "seed {seed}");
    }
}

/// A gigabit for each node: alone, one receiver takes as long as its cable needs. Four take little longer, since each
/// fetches a part from the source and the rest from one another.
#[test]
fn four_receivers_serve_one_another() {
    let size = 200 * BLOCK_SIZE;
    let time = |receivers: usize| {
        let mut all = Pair::with_nodes(3, receivers + 1).cable(125_000_000).start();
        assert!(all.run_until(3 * SECOND, Pair::all_trusted));
        (1..=receivers).for_each(|i| all.take_offers(i, true));
        let begin = all.elapsed();
        let content = all.publish(0, "holiday.raw", bytes(size));
        let complete = |all: &Pair| (1..=receivers).all(|i| !fetched_bytes(all, i, &content).is_empty());
        assert!(all.run_until(60 * SECOND, complete), "{}", story(&all));
        assert!((1..=receivers).all(|i| all.received(i, &content) == Some(&bytes(size)[..])));
        all.elapsed() - begin
    };
    let (one, four) = (time(1), time(4));
    println!("200 MiB at 1 Gbit/s: one receiver {one:?}, four {four:?}");
    assert!(four < one * 2, "one {one:?}, four {four:?}");
}

/// The silence of a source is noticed long before its link is given up.
#[test]
fn a_source_that_loses_power_costs_little_when_another_has_the_content() {
    for seed in 0..10 {
        let time = |power_off: bool| {
            let mut trio = Pair::with_nodes(seed, 3).cable(125_000_000).start();
            assert!(trio.run_until(3 * SECOND, Pair::all_trusted));
            let size = 60 * BLOCK_SIZE;
            let content = trio.publish(0, "holiday.raw", bytes(size));
            trio.publish(1, "same.raw", bytes(size));
            trio.run_for(SECOND);
            let begin = trio.elapsed();
            trio.command(2, |engine, now| engine.fetch(now, content)).unwrap();
            let under_way = |trio: &Pair| trio.engine(2).progress(&content).is_some_and(|p| p.written >= 20);
            assert!(trio.run_until(5 * SECOND, under_way), "seed {seed}: {}", story(&trio));
            if power_off {
                trio.power_off(0);
            }
            let complete = |trio: &Pair| !fetched_bytes(trio, 2, &content).is_empty();
            assert!(trio.run_until(60 * SECOND, complete), "seed {seed}: {}", story(&trio));
            trio.elapsed() - begin
        };
        let (whole, broken) = (time(false), time(true));
        assert!(broken < whole + 2 * SECOND, "seed {seed}: {whole:?} and {broken:?}");
    }
}

/// Who has fetched it all serves those who began later, though the only one who offered it has gone.
#[test]
fn receivers_go_on_without_the_source() {
    for seed in 0..10 {
        let mut trio = Pair::with_nodes(seed, 3).cable(125_000_000).start();
        assert!(trio.run_until(3 * SECOND, Pair::all_trusted));
        let size = 60 * BLOCK_SIZE;
        let content = trio.publish(0, "holiday.raw", bytes(size));
        trio.run_for(SECOND);
        trio.command(1, |engine, now| engine.fetch(now, content)).unwrap();
        let written = |trio: &Pair, i: usize| trio.engine(i).progress(&content).map_or(0, |p| p.written);
        assert!(trio.run_until(5 * SECOND, |trio| written(trio, 1) >= 50), "{}", story(&trio));
        trio.command(2, |engine, now| engine.fetch(now, content)).unwrap();
        let done = |trio: &Pair, i: usize| !fetched_bytes(trio, i, &content).is_empty();
        assert!(trio.run_until(5 * SECOND, |trio| done(trio, 1)), "{}", story(&trio));
        assert!(!done(&trio, 2), "seed {seed}");
        trio.kill(0);
        assert!(trio.run_until(10 * SECOND, |trio| done(trio, 2)), "seed {seed}: {}", story(&trio));
        assert!(trio.received(2, &content) == Some(&bytes(size)[..]), "seed {seed}");
    }
}

#[test]
fn five_nodes_take_a_file_from_one() {
    let mut all = trusted(8, 5);
    for i in 1..5 {
        all.take_offers(i, true);
    }
    let size = 2 * BLOCK_SIZE;
    let content = all.publish(0, "holiday.raw", bytes(size));
    let complete = |pair: &Pair| (1..5).all(|i| pair.received(i, &content).is_some());
    assert!(all.run_until(10 * SECOND, complete), "{}", story(&all));
}
