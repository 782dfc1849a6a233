//! The table of records.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use p2pnet_bootstrap::records::{Held, Records, SILENT_MILLIS, Taken};
use p2pnet_engine::{PeerId, RecordKind, SignedRecord};
use support::{TAG, changed, identity};

fn record(number: u64, seq: u64, kind: RecordKind) -> SignedRecord {
    changed(number, |record| (record.seq, record.kind) = (seq, kind))
}

fn alive(number: u64) -> SignedRecord {
    record(number, 1, RecordKind::Alive)
}

fn peers<'a>(held: impl IntoIterator<Item = &'a Held>) -> Vec<PeerId> {
    held.into_iter().map(|held| held.record.record().peer).collect()
}

#[test]
fn a_newer_record_takes_the_place_of_an_older_one() {
    let mut records = Records::new(10, [0; 32]);
    let key = (TAG, identity(1).peer_id());
    assert_eq!(records.announce(5, 5, record(1, 2, RecordKind::Alive), None), Taken::New);
    assert_eq!(records.announce(6, 6, record(1, 1, RecordKind::Alive), None), Taken::Older);
    let from = Some(IpAddr::from([192, 0, 2, 9]));
    assert_eq!(records.announce(7, 7, record(1, 2, RecordKind::Alive), from), Taken::Same);
    let held = records.get(&key).unwrap();
    assert_eq!((held.first, held.heard, held.from), (5, 7, from));
    assert_eq!(records.announce(8, 8, record(1, 3, RecordKind::Alive), None), Taken::Newer);
    assert_eq!(records.get(&key).unwrap().first, 8);
    assert_eq!(records.len(), 1);
}

#[test]
fn who_has_gone_is_given_to_nobody_and_cannot_be_brought_back() {
    let mut records = Records::new(10, [0; 32]);
    records.announce(0, 0, alive(1), None);
    assert_eq!(records.sample(&TAG, None, 9).len(), 1);
    records.announce(0, 0, record(1, 1, RecordKind::Gone), None);
    assert_eq!(records.announce(1, 1, record(1, 9, RecordKind::Alive), None), Taken::Older);
    assert_eq!(records.sample(&TAG, None, 9).len(), 0);
    assert_eq!((records.len(), records.given(), records.networks()), (1, 0, 0));
    // The floor goes with the time that the farewell holds.
    assert!(!records.tidy(3_600_000, 100));
    assert_eq!(records.take_dropped(), [(TAG, identity(1).peer_id())]);
    assert!(records.is_empty());
}

#[test]
fn records_expire_a_bounded_number_at_a_time() {
    let mut records = Records::new(100, [0; 32]);
    for number in 0..10 {
        records.announce(number, number, alive(number), None);
        // What is announced again is no younger for it.
        records.announce(3_500_000, 3_500_000, alive(number), None);
    }
    assert!(records.tidy(3_600_004, 3));
    let first = (0..3).map(|number| (TAG, identity(number).peer_id())).collect::<Vec<_>>();
    assert_eq!(records.take_dropped(), first);
    assert!(!records.tidy(3_600_004, 3));
    assert_eq!(records.take_dropped().len(), 2);
    assert_eq!(records.sample(&TAG, None, 100).len(), 5);
}

#[test]
fn who_is_silent_is_given_to_nobody_until_it_is_heard_again() {
    let mut records = Records::new(100, [0; 32]);
    records.announce(0, 0, alive(1), None);
    records.announce(1000, 1000, alive(2), None);
    records.tidy(SILENT_MILLIS, 100);
    assert_eq!(peers(records.sample(&TAG, None, 9)), [identity(2).peer_id()]);
    assert!(records.get(&(TAG, identity(1).peer_id())).is_some());
    records.announce(SILENT_MILLIS, SILENT_MILLIS, alive(1), None);
    assert_eq!(records.sample(&TAG, None, 9).len(), 2);
}

#[test]
fn in_a_full_table_who_was_heard_longest_ago_goes() {
    let mut records = Records::new(3, [0; 32]);
    for number in 0..3 {
        records.announce(number, number, alive(number), None);
    }
    records.announce(5, 5, alive(0), None);
    records.announce(6, 6, alive(9), None);
    assert_eq!(records.len(), 3);
    assert!(records.get(&(TAG, identity(1).peer_id())).is_none());
    // Who has been silent for so long that nobody is told of it goes first of all.
    records.tidy(SILENT_MILLIS + 2, 100);
    records.announce(SILENT_MILLIS + 2, SILENT_MILLIS + 2, alive(10), None);
    assert!(records.get(&(TAG, identity(2).peer_id())).is_none());
}

#[test]
fn a_sample_is_fair_and_never_has_who_asks() {
    let mut records = Records::new(100, [3; 32]);
    for number in 0..20 {
        records.announce(0, 0, alive(number), None);
    }
    let own = identity(4).peer_id();
    let mut times: BTreeMap<PeerId, u32> = BTreeMap::new();
    for _ in 0..5_000 {
        let sample = peers(records.sample(&TAG, Some(&own), 5));
        let different: BTreeSet<_> = sample.iter().collect();
        assert_eq!((sample.len(), different.len()), (5, 5));
        assert!(!different.contains(&own));
        for peer in sample {
            *times.entry(peer).or_default() += 1;
        }
    }
    // 5000 * 5 / 19 = 1316 each; six standard deviations are 187.
    assert_eq!(times.len(), 19);
    assert!(times.values().all(|times| times.abs_diff(1316) < 187), "{times:?}");
    assert_eq!(records.sample(&TAG, Some(&own), 256).len(), 19);
    assert_eq!(records.sample(&[8; 8], None, 256).len(), 0);
}

#[test]
fn places_in_the_sample_stay_right_under_churn() {
    let mut records = Records::new(16, [3; 32]);
    let mut now = 0;
    for step in 0..3_000_u64 {
        now += 20_000;
        let number = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59;
        let kind = if step % 7 == 0 { RecordKind::Leaving } else { RecordKind::Alive };
        records.announce(now, now, record(number, step, kind), None);
        records.tidy(now, 2);
        let given = records.given();
        let sample = peers(records.sample(&TAG, None, 256));
        assert_eq!(sample.iter().collect::<BTreeSet<_>>().len(), given);
        assert!(records.len() <= 16);
    }
}
