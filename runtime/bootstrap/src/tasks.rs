//! Tasks of an authority that wait for nodes to come by, and what nodes said became of them.
//!
//! A task is signed by this server's authority: whom it is for and when it ends stands in the signed bytes. A report is
//! signed by the node that it is of.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use p2pnet_engine::{NetworkTask, PeerId, TaskReport, TaskTarget};
use serde::{Deserialize, Serialize};

use crate::records::Tag;

/// Tasks that are held. More are refused until some expire.
pub const MAX_TASKS: usize = 1000;

/// Tasks in one answer to a node, the newest.
pub const MAX_TASKS_ANSWERED: usize = 64;

/// Bytes of tasks in one answer to a node.
const MAX_BYTES_ANSWERED: usize = 256 * 1024;

/// Reports that are held. Of more, the oldest go.
pub const MAX_REPORTS: usize = 10_000;

/// A task and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// On which network.
    pub network: Tag,
    /// Whom it is for: one peer, or all of the network.
    pub target: Option<PeerId>,
    /// Its number; of the tasks for one target, higher ones are newer.
    pub sequence: u64,
    /// When it ends, in seconds since the start of 1970.
    pub expires: u64,
    /// The encoded and signed task.
    pub bytes: Vec<u8>,
    /// When the operator gave it, in milliseconds since the start of 1970.
    pub given: u64,
}

impl Task {
    /// A task that the operator gives now.
    #[must_use]
    pub fn new(task: &NetworkTask, given: u64) -> Task {
        let target = match task.target() {
            TaskTarget::Everyone => None,
            TaskTarget::Peer(peer) => Some(peer),
        };
        let (sequence, expires, bytes) = (task.sequence(), task.expires(), task.to_bytes());
        Task { network: task.network(), target, sequence, expires, bytes, given }
    }

    /// By what reports name it.
    fn id(&self) -> [u8; 32] {
        *blake3::hash(&self.bytes).as_bytes()
    }

    fn order(&self) -> Order {
        (self.network, self.target, self.sequence)
    }
}

type Order = (Tag, Option<PeerId>, u64);

/// What a node said of tasks that it carried out: its own signed bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose announcement brought it.
    pub peer: PeerId,
    /// Its signed bytes.
    pub bytes: Vec<u8>,
    /// When it came, in milliseconds since the start of 1970.
    pub at: u64,
}

/// Why a task is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskRefusal {
    /// There are too many.
    #[error("there are {MAX_TASKS} tasks already; wait until some expire")]
    Full,
    /// It is over.
    #[error("the task has expired")]
    Expired,
    /// Another one has its number.
    #[error("another task of this network and target has this sequence; take a higher one")]
    Sequence,
}

/// All tasks that have not expired, and the last reports.
#[derive(Debug, Default)]
pub struct Tasks {
    tasks: BTreeMap<Order, Task>,
    /// The names of all tasks.
    ids: BTreeSet<[u8; 32]>,
    reports: VecDeque<Report>,
    /// The hashes of the reports, so that none is kept twice.
    known: BTreeSet<[u8; 32]>,
}

impl Tasks {
    /// Takes a task.
    ///
    /// # Errors
    /// If it has expired, there are too many, or another one has its place.
    pub fn give(&mut self, now: u64, task: Task) -> Result<(), TaskRefusal> {
        if task.expires.saturating_mul(1000) <= now {
            return Err(TaskRefusal::Expired);
        }
        match self.tasks.get(&task.order()) {
            Some(known) if known.bytes == task.bytes => return Ok(()),
            Some(_) => return Err(TaskRefusal::Sequence),
            None if self.tasks.len() >= MAX_TASKS => return Err(TaskRefusal::Full),
            None => {}
        }
        self.ids.insert(task.id());
        self.tasks.insert(task.order(), task);
        Ok(())
    }

    /// The next free number on a network.
    #[must_use]
    pub fn next_sequence(&self, network: &Tag, target: Option<PeerId>) -> u64 {
        let range = self.tasks.range((*network, target, 0)..=(*network, target, u64::MAX));
        range.last().map_or(1, |(_, task)| task.sequence.saturating_add(1))
    }

    /// The tasks for this peer: those for it and those for all, the newest [`MAX_TASKS_ANSWERED`] by their sequence, the
    /// newest last.
    #[must_use]
    pub fn of(&self, network: &Tag, peer: PeerId) -> Vec<&Task> {
        let of = |target| {
            let range = self.tasks.range((*network, target, 0)..=(*network, target, u64::MAX));
            range.rev().take(MAX_TASKS_ANSWERED).map(|(_, task)| task)
        };
        let mut tasks: Vec<&Task> = of(None).chain(of(Some(peer))).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse((task.sequence, task.target)));
        let mut bytes = 0;
        tasks.truncate(MAX_TASKS_ANSWERED);
        tasks.retain(|task| {
            bytes += task.bytes.len();
            bytes <= MAX_BYTES_ANSWERED
        });
        tasks.reverse();
        tasks
    }

    /// Whether these bytes are a new report of this peer on this network about a task that is held. Its signature is not
    /// looked at.
    #[must_use]
    pub fn wants(&self, network: &Tag, peer: &PeerId, bytes: &[u8]) -> bool {
        let Ok(report) = TaskReport::parse(bytes) else { return false };
        report.network() == *network
            && report.peer() == *peer
            && self.ids.contains(&report.task().0)
            && !self.known.contains(blake3::hash(bytes).as_bytes())
    }

    /// Takes a report, unless it is known; says whether it was not.
    pub fn report(&mut self, report: Report) -> bool {
        let hash = *blake3::hash(&report.bytes).as_bytes();
        if !self.known.insert(hash) {
            return false;
        }
        self.reports.push_back(report);
        if self.reports.len() > MAX_REPORTS
            && let Some(oldest) = self.reports.pop_front()
        {
            self.known.remove(blake3::hash(&oldest.bytes).as_bytes());
        }
        true
    }

    /// Forgets what is over; gives it back.
    pub fn tidy(&mut self, now: u64) -> Vec<Task> {
        let over = self.tasks.extract_if(.., |_, task| task.expires.saturating_mul(1000) <= now);
        let over: Vec<Task> = over.map(|(_, task)| task).collect();
        for task in &over {
            self.ids.remove(&task.id());
        }
        over
    }

    /// All tasks, by network, target and sequence.
    pub fn all(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// The reports, the latest first.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(target: Option<u8>, sequence: u64, expires: u64) -> Task {
        let target = target.map(|number| PeerId::from_bytes([number; 32]));
        let bytes = [target.map_or(0, |id| id.as_bytes()[0]), sequence as u8].to_vec();
        Task { network: [1; 8], target, sequence, expires, bytes, given: 0 }
    }

    #[test]
    fn a_peer_gets_its_own_tasks_and_those_for_all_the_newest_last() {
        let mut tasks = Tasks::default();
        for (target, sequence) in [(None, 3), (Some(7), 1), (Some(8), 2), (Some(7), 4)] {
            tasks.give(0, task(target, sequence, 10)).unwrap();
        }
        let of = |peer: u8| -> Vec<u64> {
            tasks.of(&[1; 8], PeerId::from_bytes([peer; 32])).iter().map(|task| task.sequence).collect()
        };
        assert_eq!((of(7), of(8), of(9)), (vec![1, 3, 4], vec![2, 3], vec![3]));
        assert!(tasks.of(&[2; 8], PeerId::from_bytes([7; 32])).is_empty());
        assert_eq!(tasks.next_sequence(&[1; 8], Some(PeerId::from_bytes([7; 32]))), 5);
    }

    #[test]
    fn what_is_over_full_or_takes_anothers_place_is_refused() {
        let mut tasks = Tasks::default();
        assert_eq!(tasks.give(10_000, task(None, 1, 10)), Err(TaskRefusal::Expired));
        assert_eq!(tasks.give(9_999, task(None, 1, 10)), Ok(()));
        assert_eq!(tasks.give(9_999, task(None, 1, 10)), Ok(()));
        let other = Task { bytes: vec![9], ..task(None, 1, 10) };
        assert_eq!(tasks.give(9_999, other), Err(TaskRefusal::Sequence));
        for sequence in 2..=MAX_TASKS as u64 {
            tasks.give(0, task(None, sequence, 20)).unwrap();
        }
        assert_eq!(tasks.give(0, task(None, 5000, 20)), Err(TaskRefusal::Full));
        assert_eq!(tasks.of(&[1; 8], PeerId::from_bytes([7; 32])).len(), MAX_TASKS_ANSWERED);
        assert_eq!(tasks.tidy(10_000), [task(None, 1, 10)]);
        assert_eq!(tasks.give(0, task(None, 5000, 20)), Ok(()));
    }

    #[test]
    fn a_report_is_kept_once_and_the_oldest_go() {
        let mut tasks = Tasks::default();
        let report = |number: usize| Report {
            peer: PeerId::from_bytes([1; 32]),
            bytes: number.to_be_bytes().to_vec(),
            at: 0,
        };
        for number in 0..=MAX_REPORTS {
            assert!(tasks.report(report(number)));
            assert!(!tasks.report(report(number)));
        }
        assert_eq!((tasks.reports().count(), tasks.known.len()), (MAX_REPORTS, MAX_REPORTS));
        assert!(tasks.report(report(0)));
    }
}
