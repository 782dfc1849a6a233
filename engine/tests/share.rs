//! `CollectionShare`: tables agree, cheaply, whatever anybody says.
#![allow(missing_docs)]

mod lan;

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::{
    Engine, Identity, Instance, Level, LinkInput, PeerId, PeerRecord, RecordClass, RecordKind, SignedRecord,
};
use proptest::prelude::*;

use lan::Lan;

/// The kinds of frames, as PROTOCOL.md has them.
const RECORDS: u8 = 5;
const ROOT: u8 = 18;
const WANTED: u8 = 22;

/// A peer that only its records tell of.
fn ghost(number: u32) -> Identity {
    let mut seed = [77; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    Identity::from_seed(seed)
}

/// A record of a ghost, for the network of `engine`.
fn record(engine: &Engine, ghost: &Identity, change: impl FnOnce(&mut PeerRecord)) -> SignedRecord {
    let mut record = PeerRecord {
        network: engine.record().record().network,
        peer: ghost.peer_id(),
        incarnation: 1,
        seq: 1,
        kind: RecordKind::Alive,
        ttl_secs: 86_400,
        class: RecordClass::Local,
        instance: Instance::from_bytes([3; 16]),
        link_key: [4; 32],
        port: 9000,
        name: "ghost".into(),
        addrs: Vec::new(),
        caps: 0,
    };
    change(&mut record);
    SignedRecord::sign(ghost, record).unwrap()
}

fn varint(number: u64, out: &mut Vec<u8>) {
    match number {
        0..=250 => out.push(number as u8),
        251..=0xffff => {
            out.push(0xfb);
            out.extend_from_slice(&(number as u16).to_le_bytes());
        }
        _ => {
            out.push(0xfc);
            out.extend_from_slice(&(number as u32).to_le_bytes());
        }
    }
}

/// Node `at` is told records by its trusted neighbour `by`.
fn tell(lan: &mut Lan, by: usize, at: usize, records: &[(u32, Vec<u8>)]) {
    let teller = lan.nodes[by].engine.peer_id();
    let link = lan.nodes[at].engine.peer(&teller).unwrap().link.unwrap();
    for part in records.chunks(64) {
        let mut body = vec![RECORDS];
        varint(part.len() as u64, &mut body);
        for (age, bytes) in part {
            varint(u64::from(*age), &mut body);
            varint(bytes.len() as u64, &mut body);
            body.extend_from_slice(bytes);
        }
        lan.command(at, |engine, now| engine.handle_link(now, link, LinkInput::Frame(&body)));
    }
}

fn tell_of(lan: &mut Lan, by: usize, at: usize, ghosts: impl IntoIterator<Item = u32>) {
    let engine = &lan.nodes[at].engine;
    let records: Vec<(u32, Vec<u8>)> =
        ghosts.into_iter().map(|of| (0, record(engine, &ghost(of), |_| ()).bytes().to_vec())).collect();
    tell(lan, by, at, &records);
}

/// What a node holds, itself included: for each peer the records of both classes.
fn table(lan: &Lan, i: usize) -> BTreeMap<PeerId, Vec<Vec<u8>>> {
    let engine = &lan.nodes[i].engine;
    let of_peer = |view: p2pnet_engine::PeerView<'_>| {
        let records = [Some(view.record), view.beside];
        (view.id, records.into_iter().flatten().map(|record| record.bytes().to_vec()).collect())
    };
    let own = (engine.peer_id(), vec![engine.record().bytes().to_vec()]);
    engine.peers().map(of_peer).chain([own]).collect()
}

fn knows(lan: &Lan, i: usize, ghost: &Identity) -> bool {
    lan.nodes[i].engine.peer(&ghost.peer_id()).is_some()
}

fn trusts(lan: &Lan, a: usize, b: usize) -> bool {
    let peer = lan.nodes[b].engine.peer_id();
    lan.nodes[a].engine.peer(&peer).is_some_and(|view| view.level == Level::Trusted)
}

/// The bytes of all frames of these kinds that a node has sent since the last `forget_frames`, and how many there were.
fn sent(lan: &Lan, i: usize, kinds: std::ops::RangeInclusive<u8>) -> (usize, usize) {
    let (mut bytes, mut count) = (0, 0);
    for mut rest in lan.nodes[i].frames.values().map(|frames| &frames[..]) {
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (body, after) = after.split_at(u32::from_le_bytes(*length) as usize);
            if kinds.contains(&body[0]) {
                bytes += 4 + body.len();
                count += 1;
            }
            rest = after;
        }
    }
    (bytes, count)
}

fn share_bytes(lan: &Lan, i: usize) -> usize {
    sent(lan, i, RECORDS..=RECORDS).0 + sent(lan, i, ROOT..=WANTED).0
}

fn forget_frames(lan: &mut Lan) {
    lan.nodes.iter_mut().for_each(|node| node.frames.clear());
}

/// Four nodes in two pairs, 0 with 2 and 1 with 3, that cannot reach each other. Ghosts do not make them a crowd.
fn two_pairs(configure: impl Fn(&mut p2pnet_engine::Config)) -> Lan {
    let mut lan = Lan::configured(4, |config| {
        config.max_links = 20_000;
        configure(config);
    });
    lan.reaches = |a, b| a % 2 == b % 2;
    lan.run_for_millis(3_000);
    assert!(trusts(&lan, 0, 2) && trusts(&lan, 1, 3));
    lan
}

/// 0 and 1 meet, and lose those who told them.
fn meet(lan: &mut Lan) {
    lan.cut();
    lan.reaches = |a, b| a < 2 && b < 2;
    forget_frames(lan);
    lan.run_for_millis(8_000);
    assert!(trusts(lan, 0, 1), "they met");
}

#[test]
fn after_a_partition_all_tables_are_equal() {
    let mut lan = two_pairs(|_| ());
    tell_of(&mut lan, 2, 0, 0..50);
    tell_of(&mut lan, 3, 1, 30..90);
    lan.run_for_millis(20_000);
    assert_eq!(table(&lan, 0), table(&lan, 2), "one pair agrees");
    assert_ne!(table(&lan, 0), table(&lan, 1), "and knows nothing of the other");
    lan.reaches = |_, _| true;
    lan.run_for_millis(30_000);
    assert_eq!(table(&lan, 0).len(), 4 + 90);
    for i in 1..4 {
        assert_eq!(table(&lan, i), table(&lan, 0), "node {i}");
    }
}

#[test]
fn large_tables_are_told_whole() {
    let mut lan = two_pairs(|config| {
        config.max_peers = 4096;
        config.max_introduced = 4096;
    });
    tell_of(&mut lan, 2, 0, 0..3000);
    meet(&mut lan);
    assert_eq!(table(&lan, 1).len(), 3000 + 4, "also by a link that takes some at a time");
}

#[test]
fn full_tables_agree_whatever_they_heard_in_whatever_order() {
    let run = |first: Vec<u32>, second: Vec<u32>| {
        let mut lan = two_pairs(|config| config.max_peers = 16);
        tell_of(&mut lan, 2, 0, first);
        tell_of(&mut lan, 3, 1, second);
        meet(&mut lan);
        lan.run_for_millis(60_000);
        let ghosts = |i: usize| -> Vec<PeerId> {
            let others: Vec<PeerId> = (0..4).map(|i| lan.nodes[i].engine.peer_id()).collect();
            table(&lan, i).into_keys().filter(|id| !others.contains(id)).collect()
        };
        assert_eq!(lan.nodes[0].engine.peers().count(), 16, "full");
        assert_eq!(ghosts(0), ghosts(1));
        ghosts(0)
    };
    let one = run((0..40).collect(), (30..80).collect());
    let other = run((20..80).rev().collect(), (0..50).rev().collect());
    assert_eq!(one, other);
}

#[test]
fn when_nothing_is_new_a_round_is_one_digest_and_rounds_grow_rare() {
    let mut lan = two_pairs(|_| ());
    tell_of(&mut lan, 2, 0, 0..200);
    meet(&mut lan);
    lan.run_for_millis(30_000);
    assert_eq!(table(&lan, 0), table(&lan, 1));
    forget_frames(&mut lan);
    let hour = 3_600_000;
    lan.run_for_millis(hour);
    for i in 0..2 {
        assert_eq!(sent(&lan, i, RECORDS..=RECORDS), (0, 0), "no record");
        assert_eq!(sent(&lan, i, ROOT + 1..=WANTED), (0, 0), "no list");
        let (bytes, rounds) = sent(&lan, i, ROOT..=ROOT);
        assert!((6..=14).contains(&rounds), "{rounds} rounds in an hour");
        assert!(bytes <= rounds * 40, "{bytes} bytes in {rounds} rounds");
    }
}

#[test]
fn news_goes_to_everybody_at_once_and_gathered() {
    let mut lan = Lan::new(5);
    lan.run_for_millis(3_000);
    forget_frames(&mut lan);
    tell_of(&mut lan, 1, 0, 0..40);
    lan.run_for_millis(20);
    for i in 0..5 {
        assert!((0..40).all(|of| knows(&lan, i, &ghost(of))), "node {i}");
    }
    // The 40 came in one frame and went on in one to each that had them not.
    assert_eq!(sent(&lan, 0, RECORDS..=RECORDS).1, 3);
}

#[test]
fn what_one_neighbour_tells_of_has_a_limit_of_its_own() {
    let mut lan = two_pairs(|config| config.max_introduced = 10);
    tell_of(&mut lan, 2, 0, 0..100);
    let ghosts = |lan: &Lan| (0..200).filter(|&of| knows(lan, 0, &ghost(of))).collect::<Vec<u32>>();
    let of_one = ghosts(&lan);
    assert_eq!(of_one.len(), 10);
    assert!(lan.nodes[0].engine.stats().records_unwelcome > 50);
    // In another order the same ten: nobody gets others in by saying them again.
    tell_of(&mut lan, 2, 0, (0..100).rev());
    assert_eq!(ghosts(&lan), of_one);
    // Others may tell of as many.
    lan.reaches = |_, _| true;
    lan.run_for_millis(15_000);
    assert!(trusts(&lan, 0, 1));
    tell_of(&mut lan, 1, 0, 100..200);
    assert_eq!(ghosts(&lan).iter().filter(|of| **of >= 100).count(), 10);
    assert!(of_one.iter().all(|of| ghosts(&lan).contains(of)), "at nobody else's cost");
}

#[test]
fn what_is_not_wanted_is_not_sent_again_and_again() {
    // 1 holds a hundred, of which 0 takes ten from it and no more.
    let mut lan = Lan::configured(3, |config| (config.max_introduced, config.max_links) = (100, 1000));
    lan.reaches = |a, b| a != 0 && b != 0;
    let mut config = lan::config("choosy");
    (config.max_introduced, config.max_links) = (10, 1000);
    let now = lan.now;
    lan.replace(0, lan::engine(config, 1, now));
    lan.run_for_millis(3_000);
    tell_of(&mut lan, 2, 1, 0..100);
    lan.run_for_millis(15_000);
    lan.reaches = |a, b| a + b == 1;
    lan.run_for_millis(10_000);
    assert!(trusts(&lan, 0, 1));
    let known = (0..100).filter(|&of| knows(&lan, 0, &ghost(of))).count();
    assert_eq!(known, 10);
    forget_frames(&mut lan);
    lan.run_for_millis(600_000);
    assert_eq!(sent(&lan, 1, RECORDS..=RECORDS).1, 0, "the others are listed, and not asked for");
    assert_eq!(sent(&lan, 0, WANTED..=WANTED).1, 0);
}

#[test]
fn a_quota_is_free_again_for_those_who_speak_for_themselves() {
    // 2 tells 0 of 1, which counts against it until 1 is there itself.
    let mut lan = Lan::configured(3, |config| (config.max_introduced, config.max_links) = (1, 1000));
    lan.reaches = |a, b| a + b != 1;
    lan.run_for_millis(8_000);
    let one = lan.nodes[1].engine.peer_id();
    assert_eq!(lan.nodes[0].engine.peer(&one).unwrap().level, Level::Known);
    tell_of(&mut lan, 2, 0, 0..20);
    let ghosts = |lan: &Lan| (0..20).filter(|&of| knows(lan, 0, &ghost(of))).count();
    let both = ghosts(&lan) + usize::from(lan.nodes[0].engine.peer(&one).is_some());
    assert_eq!(both, 1, "one in all");
    lan.reaches = |_, _| true;
    lan.run_for_millis(8_000);
    tell_of(&mut lan, 2, 0, 0..20);
    assert!(trusts(&lan, 0, 1));
    assert_eq!(ghosts(&lan), 1);
}

#[test]
fn poison_is_not_taken_and_not_passed_on() {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    let engine = &lan.nodes[0].engine;
    let (one, two) = (ghost(1), ghost(2));
    let new = record(engine, &one, |record| record.seq = 5);
    let old = record(engine, &one, |record| record.seq = 4);
    let mut forged = record(engine, &two, |_| ()).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let mut other_signer = record(engine, &two, |_| ()).bytes().to_vec();
    let length = other_signer.len();
    other_signer[length - 64..].copy_from_slice(&new.bytes()[new.bytes().len() - 64..]);
    let elsewhere = record(engine, &two, |record| record.network = [0; 8]).bytes().to_vec();
    let expired = (90_000, record(engine, &two, |_| ()).bytes().to_vec());
    tell(&mut lan, 1, 0, &[(0, new.bytes().to_vec())]);
    lan.run_for_millis(100);
    assert!(knows(&lan, 2, &one));
    forget_frames(&mut lan);
    let poison = [old.bytes().to_vec(), forged, other_signer, elsewhere, vec![], vec![0xff; 600]];
    let poison: Vec<(u32, Vec<u8>)> = poison.into_iter().map(|bytes| (0, bytes)).chain([expired]).collect();
    let before = lan.nodes[0].engine.stats().records_accepted;
    tell(&mut lan, 1, 0, &poison);
    lan.run_for_millis(100);
    assert_eq!(lan.nodes[0].engine.stats().records_accepted, before);
    assert!(!knows(&lan, 0, &two) && !knows(&lan, 2, &two));
    assert_eq!(lan.nodes[0].engine.peer(&one.peer_id()).unwrap().record, &new);
    assert_eq!(sent(&lan, 0, RECORDS..=RECORDS).1, 0, "not echoed");
}

#[test]
fn frames_of_the_exchange_that_are_no_such_thing_do_nothing() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(3_000);
    let peer = lan.nodes[1].engine.peer_id();
    let link = lan.nodes[0].engine.peer(&peer).unwrap().link.unwrap();
    let wrong: [&[u8]; 4] = [
        // Digests of no bucket; a list that ends before it begins; one that is not in order; an empty wish.
        &[19, 0, 0],
        &[20, 0, 9, 1, 0],
        &[21, 2, 9, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0],
        &[22, 0],
    ];
    let before = lan.nodes[0].engine.stats().frames_refused;
    for body in wrong {
        lan.command(0, |engine, now| engine.handle_link(now, link, LinkInput::Frame(body)));
    }
    assert_eq!(lan.nodes[0].engine.stats().frames_refused - before, 3);
    // Roots without end are answered for a while.
    forget_frames(&mut lan);
    let mut root = vec![18, 0xfd];
    root.extend_from_slice(&[0xff; 8]);
    root.extend_from_slice(&[1; 16]);
    for _ in 0..5_000 {
        lan.command(0, |engine, now| engine.handle_link(now, link, LinkInput::Frame(&root)));
    }
    assert!((100..=300).contains(&sent(&lan, 0, 20..=20).1), "{:?}", sent(&lan, 0, 20..=20));
    assert!(trusts(&lan, 0, 1), "and the link stays");
}

#[test]
fn who_missed_a_farewell_is_told_and_does_not_bring_the_leaver_back() {
    let mut lan = Lan::new(4);
    lan.run_for_millis(3_000);
    // 3 is alone when 0 leaves.
    lan.cut();
    lan.reaches = |a, b| a != 3 && b != 3;
    lan.run_for_millis(8_000);
    let gone = lan.nodes[0].engine.peer_id();
    lan.command(0, |engine, now| engine.leave(now));
    lan.run_for_millis(2_000);
    for i in 1..3 {
        assert!(lan.nodes[i].engine.peer(&gone).is_none());
    }
    assert!(lan.nodes[3].engine.peer(&gone).is_some(), "it knows no better");
    lan.reaches = |a, b| a != 0 && b != 0;
    for _ in 0..100 {
        lan.run_for_millis(100);
        for i in 1..3 {
            assert!(lan.nodes[i].engine.peer(&gone).is_none(), "node {i} believes it again");
        }
    }
    assert!(trusts(&lan, 3, 1));
    assert!(lan.nodes[3].engine.peer(&gone).is_none(), "told by those who know");
}

#[test]
fn a_farewell_beats_every_replay_and_a_new_run_beats_the_farewell() {
    let mut lan = Lan::new(3);
    lan.run_for_millis(3_000);
    let engine = &lan.nodes[0].engine;
    let one = ghost(1);
    let alive = |seq: u64| (0, record(engine, &one, |record| record.seq = seq).bytes().to_vec());
    let replays: Vec<_> = (1..20).map(alive).collect();
    let wide = (0, record(engine, &one, |record| record.class = RecordClass::Wide).bytes().to_vec());
    let gone = (0, record(engine, &one, |record| record.kind = RecordKind::Gone).bytes().to_vec());
    let next = (0, record(engine, &one, |record| record.incarnation = 2).bytes().to_vec());
    tell(&mut lan, 1, 0, &[replays[0].clone(), wide.clone()]);
    lan.run_for_millis(100);
    assert_eq!(table(&lan, 2)[&one.peer_id()].len(), 2);
    tell(&mut lan, 1, 0, std::slice::from_ref(&gone));
    lan.run_for_millis(100);
    assert!((0..3).all(|i| !knows(&lan, i, &one)), "in all classes, everywhere");
    tell(&mut lan, 1, 0, &replays);
    tell(&mut lan, 1, 0, std::slice::from_ref(&wide));
    assert!(!knows(&lan, 0, &one));
    tell(&mut lan, 1, 0, &[next]);
    assert!(knows(&lan, 0, &one));
    // Nor does the new run make old words of another class good.
    tell(&mut lan, 1, 0, &[wide, gone]);
    lan.run_for_millis(100);
    assert_eq!(table(&lan, 2)[&one.peer_id()].len(), 1);
}

#[test]
fn a_record_speaks_for_its_class_alone() {
    // go-libp2p#747: a record from afar wiped the addresses on the LAN.
    let mut lan = Lan::new(2);
    lan.run_for_millis(3_000);
    let engine = &lan.nodes[0].engine;
    let one = ghost(1);
    let local = record(engine, &one, |record| record.addrs = vec![[10, 0, 0, 9].into()]);
    let wide = |incarnation: u64, seq: u64| {
        record(engine, &one, |record| {
            (record.incarnation, record.seq, record.class) = (incarnation, seq, RecordClass::Wide);
            record.addrs = vec![[192, 0, 2, 1].into()];
        })
    };
    let (first, second, of_next_run) = (wide(1, 2), wide(1, 3), wide(2, 1));
    let mut tell_one = |record: &SignedRecord| tell(&mut lan, 1, 0, &[(0, record.bytes().to_vec())]);
    tell_one(&local);
    tell_one(&first);
    tell_one(&second);
    tell_one(&first);
    let held = |lan: &Lan| {
        let view = lan.nodes[0].engine.peer(&one.peer_id()).unwrap();
        (view.record.clone(), view.beside.cloned())
    };
    assert_eq!(held(&lan), (local.clone(), Some(second)), "each replaced by its own class");
    tell(&mut lan, 1, 0, &[(0, of_next_run.bytes().to_vec())]);
    assert_eq!(held(&lan), (of_next_run, Some(local)), "the newest run leads, and wipes nothing");
}

#[test]
fn two_runs_in_one_incarnation_do_not_go_back_and_forth() {
    // A node lost its disk and is gone since: some hold a record of the one run, some of the other, and nobody can tell
    // which is right. A sweep found that each comparison moved one of them and that it was refused.
    let mut lan = two_pairs(|_| ());
    let run = |lan: &Lan, number: u8| {
        let change = |record: &mut PeerRecord| record.instance = Instance::from_bytes([number; 16]);
        (0, record(&lan.nodes[0].engine, &ghost(1), change).bytes().to_vec())
    };
    let (first, second) = (run(&lan, 1), run(&lan, 2));
    tell(&mut lan, 2, 0, &[first]);
    tell(&mut lan, 3, 1, &[second]);
    meet(&mut lan);
    forget_frames(&mut lan);
    lan.run_for_millis(600_000);
    for i in 0..2 {
        assert_eq!(sent(&lan, i, RECORDS..=RECORDS).1, 0);
        assert_eq!(sent(&lan, i, WANTED..=WANTED).1, 0);
    }
}

#[test]
fn what_expired_does_not_live_on_between_two_who_tell_each_other() {
    let mut lan = two_pairs(|_| ());
    let brief = record(&lan.nodes[0].engine, &ghost(1), |record| record.ttl_secs = 60).bytes().to_vec();
    tell(&mut lan, 2, 0, &[(10, brief.clone())]);
    tell(&mut lan, 3, 1, &[(0, brief)]);
    lan.reaches = |_, _| true;
    lan.run_for_millis(45_000);
    assert!((0..4).all(|i| knows(&lan, i, &ghost(1))));
    lan.run_for_millis(30_000);
    assert!((0..4).all(|i| !knows(&lan, i, &ghost(1))), "its minute is over");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever two hold, after they met they hold the same, and what it took is in proportion to the difference.
    #[test]
    fn two_that_meet_agree_for_the_price_of_their_difference(
        common in 0u32..400,
        only_first in 0u32..40,
        only_second in 0u32..40,
        newer_at_first in 0u32..10,
        newer_at_second in 0u32..10,
    ) {
        let mut lan = two_pairs(|config| config.max_introduced = 1024);
        let shared = newer_at_first + newer_at_second + common;
        tell_of(&mut lan, 2, 0, 0..shared + only_first);
        tell_of(&mut lan, 3, 1, (0..shared).chain(1000..1000 + only_second));
        let newer = |lan: &Lan, of: u32| {
            (0, record(&lan.nodes[0].engine, &ghost(of), |record| record.seq = 2).bytes().to_vec())
        };
        let at_first: Vec<_> = (0..newer_at_first).map(|of| newer(&lan, of)).collect();
        tell(&mut lan, 2, 0, &at_first);
        let at_second: Vec<_> =
            (newer_at_first..newer_at_first + newer_at_second).map(|of| newer(&lan, of)).collect();
        tell(&mut lan, 3, 1, &at_second);
        meet(&mut lan);
        prop_assert_eq!(table(&lan, 0), table(&lan, 1));
        let expected = (shared + only_first + only_second) as usize + 4;
        prop_assert_eq!(table(&lan, 0).len(), expected);
        // Their own records, those of the two who told them, and what differs; the two changed records of each.
        let differ = (only_first + only_second + newer_at_first + newer_at_second) as usize + 4;
        let bytes = share_bytes(&lan, 0) + share_bytes(&lan, 1);
        let most = 2 * (128 * 20 + 256 * 8) + differ * 400;
        prop_assert!(bytes <= most, "{} bytes for {} differences, {} at most", bytes, differ, most);
    }
}

#[test]
fn between_refreshes_it_costs_the_same_for_ten_records_and_for_ten_thousand() {
    // cargo test -p p2pnet-engine --test share between_refreshes -- --nocapture
    let mut costs = Vec::new();
    for records in [10u32, 100, 1_000, 10_000] {
        let mut lan = two_pairs(|config| {
            config.max_peers = 16_384;
            config.max_introduced = 16_384;
        });
        tell_of(&mut lan, 2, 0, 0..records);
        meet(&mut lan);
        lan.run_for_millis(20_000);
        assert_eq!(table(&lan, 0), table(&lan, 1));
        let exchange = share_bytes(&lan, 0) + share_bytes(&lan, 1);
        forget_frames(&mut lan);
        let began = lan.now;
        lan.run_for_millis(1_200_000);
        let seconds = lan.now.since(began).as_secs_f64();
        let bytes = share_bytes(&lan, 0).max(share_bytes(&lan, 1)) as f64;
        println!(
            "{records:>6} records: {exchange:>8} bytes to tell them all, then {:.2} bytes per node and second",
            bytes / seconds
        );
        assert!(lan.now.since(began) >= Duration::from_secs(1_200));
        costs.push(bytes / seconds);
    }
    assert!(costs.iter().all(|cost| *cost < 1.0), "{costs:?}");
    assert!(costs[3] <= costs[0] * 1.5, "{costs:?}");
}
