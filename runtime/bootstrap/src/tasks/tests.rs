use p2pnet_engine::{Identity, TaskKind, TaskOutcome, TaskTarget};

use super::*;

const TAG: Tag = [1; 8];

fn peer(number: u8) -> Identity {
    Identity::from_seed([number; 32])
}

fn task(target: Option<u8>, sequence: u64, expires: u64) -> Task {
    asking(TaskKind::Heartbeat, target, sequence, expires)
}

fn asking(kind: TaskKind, target: Option<u8>, sequence: u64, expires: u64) -> Task {
    let target = target.map_or(TaskTarget::Everyone, |number| TaskTarget::Peer(peer(number).peer_id()));
    let signed = NetworkTask::issue(&peer(42), TAG, target, sequence, expires, kind).unwrap();
    Task { bytes: signed.to_bytes(), signed, given: 0 }
}

fn report(by: u8, of: &Task) -> Report {
    let signed = TaskReport::sign(&peer(by), TAG, of.signed.id(), TaskOutcome::Done);
    Report { signed, kind: "heartbeat".into(), sequence: of.signed.sequence(), at: 0 }
}

fn given(tasks: &Tasks, now: u64, to: u8) -> Vec<u64> {
    tasks.of(now, &TAG, peer(to).peer_id()).iter().map(|task| task.signed.sequence()).collect()
}

#[test]
fn a_peer_gets_its_own_tasks_and_those_for_all_the_newest_last() {
    let mut tasks = Tasks::default();
    for (target, sequence) in [(None, 3), (Some(7), 1), (Some(8), 2), (Some(7), 4)] {
        tasks.give(0, task(target, sequence, 10)).unwrap();
    }
    assert_eq!(
        (given(&tasks, 0, 7), given(&tasks, 0, 8), given(&tasks, 0, 9)),
        (vec![1, 3, 4], vec![2, 3], vec![3])
    );
    assert!(tasks.of(0, &[2; 8], peer(7).peer_id()).is_empty());
    assert_eq!((tasks.next_sequence(3, &TAG), tasks.next_sequence(9, &TAG)), (5, 9));
    assert_eq!(tasks.next_sequence(3, &[2; 8]), 3);
}

#[test]
fn what_is_over_full_or_takes_anothers_place_is_refused() {
    let mut tasks = Tasks::default();
    assert_eq!(tasks.give(10_000, task(None, 1, 10)), Err(TaskRefusal::Expired));
    assert_eq!(tasks.give(9_999, task(None, 1, 10)), Ok(()));
    assert_eq!(tasks.give(9_999, task(None, 1, 10)), Ok(()));
    let other = asking(TaskKind::Synchronize, None, 1, 10);
    assert_eq!(tasks.give(9_999, other), Err(TaskRefusal::Sequence));
    for sequence in 2..=MAX_TASKS as u64 {
        tasks.give(0, task(None, sequence, 2000)).unwrap();
    }
    assert_eq!(tasks.give(0, task(None, 5000, 2000)), Err(TaskRefusal::Full));
    assert_eq!(given(&tasks, 0, 7).len(), MAX_TASKS_ANSWERED);
    assert_eq!(tasks.tidy(10_000 + LATE_MILLIS - 1), []);
    assert_eq!(tasks.tidy(10_000 + LATE_MILLIS), [task(None, 1, 10)]);
    assert_eq!(tasks.give(0, task(None, 5000, 2000)), Ok(()));
}

#[test]
fn who_has_reported_of_a_task_gets_older_ones_instead() {
    let mut tasks = Tasks::default();
    let count = MAX_TASKS_ANSWERED as u64 + 1;
    for sequence in 1..=count {
        tasks.give(0, task(None, sequence, 10)).unwrap();
    }
    let last = task(None, count, 10);
    assert_eq!(given(&tasks, 0, 7).first(), Some(&2));
    assert!(tasks.report(report(7, &last)));
    assert!(!tasks.report(report(7, &last)));
    assert_eq!((given(&tasks, 0, 7).first(), given(&tasks, 0, 7).last()), (Some(&1), Some(&(count - 1))));
    assert_eq!(given(&tasks, 0, 8).last(), Some(&count));
}

#[test]
fn a_report_is_awaited_of_whom_the_task_is_for_even_a_while_after_its_end() {
    let mut tasks = Tasks::default();
    let (for_one, unknown) = (task(Some(7), 1, 10), task(Some(7), 2, 10));
    tasks.give(0, for_one.clone()).unwrap();
    let awaited = |tasks: &Tasks, from: u8, report: &Report| {
        tasks.awaited(&TAG, peer(from).peer_id(), &report.signed).is_some()
    };
    assert!(given(&tasks, 10_000, 7).is_empty());
    tasks.tidy(10_000);
    assert!(awaited(&tasks, 7, &report(7, &for_one)));
    // Of whom it is not for, brought by somebody else, of no task, of another network.
    assert!(!awaited(&tasks, 8, &report(8, &for_one)));
    assert!(!awaited(&tasks, 8, &report(7, &for_one)));
    assert!(!awaited(&tasks, 7, &report(7, &unknown)));
    assert!(tasks.awaited(&[2; 8], peer(7).peer_id(), &report(7, &for_one).signed).is_none());
    assert!(tasks.report(report(7, &for_one)));
    assert!(!awaited(&tasks, 7, &report(7, &for_one)));
}

#[test]
fn of_too_many_reports_the_oldest_go() {
    let mut tasks = Tasks::default();
    let task = task(None, 1, 10);
    let of = |number: usize| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let signed = TaskReport::sign(&Identity::from_seed(seed), TAG, task.signed.id(), TaskOutcome::Done);
        Report { signed, kind: "heartbeat".into(), sequence: 1, at: 0 }
    };
    for number in 0..=MAX_REPORTS {
        assert!(tasks.report(of(number)));
    }
    assert_eq!((tasks.reports().count(), tasks.reported.len()), (MAX_REPORTS, MAX_REPORTS));
    assert!(!tasks.report(of(1)));
    assert!(tasks.report(of(0)));
}
