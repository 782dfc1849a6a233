//! Tasks of the authority that wait for nodes to come by, and what nodes said became of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use p2pnet_engine::{NetworkTask, PeerId, TaskId, TaskReport};

use crate::records::Tag;

/// Tasks that are held. More are refused until some are over.
pub const MAX_TASKS: usize = 1000;

/// Tasks in one answer to a node, the newest.
pub const MAX_TASKS_ANSWERED: usize = 64;

/// Reports that are held. Of more, the oldest go.
pub const MAX_REPORTS: usize = 10_000;

/// For so long after its end a task is kept, given to nobody, for reports that come late.
const LATE_MILLIS: u64 = 600_000;

/// A task of the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What the authority signed; whoever makes this has checked it.
    pub signed: NetworkTask,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When the operator gave it, in milliseconds since the start of 1970.
    pub given: u64,
}

impl Task {
    fn order(&self) -> Order {
        (self.signed.network(), self.signed.target().peer(), self.signed.sequence())
    }

    /// Whether nobody gets it any more, and nobody's report of it is taken.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.ended_before(now, LATE_MILLIS)
    }

    /// Whether it ended so many milliseconds before this time, or more.
    fn ended_before(&self, now: u64, millis: u64) -> bool {
        self.signed.expires().saturating_mul(1000).saturating_add(millis) <= now
    }
}

/// Network, target and sequence.
type Order = (Tag, Option<PeerId>, u64);

/// What a node said of a task that was for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it signed; whoever makes this has checked it.
    pub signed: TaskReport,
    /// The name of the task's kind.
    pub kind: String,
    /// The task's number.
    pub sequence: u64,
    /// When it came, in milliseconds since the start of 1970.
    pub at: u64,
}

impl Report {
    fn of(&self) -> (TaskId, PeerId) {
        (self.signed.task(), self.signed.peer())
    }
}

/// Why a task is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskRefusal {
    /// There are too many.
    #[error("there are {MAX_TASKS} tasks already; wait until some expire")]
    Full,
    /// It is over.
    #[error("the task has expired; sign it anew")]
    Expired,
    /// Another one has its number.
    #[error("another task of this network and target has this sequence; take a higher one")]
    Sequence,
}

/// All tasks that are not over, and the last reports.
#[derive(Debug, Default)]
pub struct Tasks {
    tasks: BTreeMap<Order, Task>,
    /// Where each is.
    ids: BTreeMap<TaskId, Order>,
    reports: VecDeque<Report>,
    /// Who has reported of what: each does once.
    reported: BTreeSet<(TaskId, PeerId)>,
}

impl Tasks {
    /// Takes a task.
    ///
    /// # Errors
    /// If it has expired, there are too many, or another one has its place.
    pub fn give(&mut self, now: u64, task: Task) -> Result<(), TaskRefusal> {
        if task.ended_before(now, 0) {
            return Err(TaskRefusal::Expired);
        }
        self.restore(task)
    }

    /// Takes a task back that was stored, even if it has expired: [`tidy`](Self::tidy) knows when it is over.
    ///
    /// # Errors
    /// If there are too many, or another one has its place.
    pub fn restore(&mut self, task: Task) -> Result<(), TaskRefusal> {
        match self.tasks.get(&task.order()) {
            Some(known) if known.bytes == task.bytes => return Ok(()),
            Some(_) => return Err(TaskRefusal::Sequence),
            None if self.tasks.len() >= MAX_TASKS => return Err(TaskRefusal::Full),
            None => {}
        }
        self.ids.insert(task.signed.id(), task.order());
        self.tasks.insert(task.order(), task);
        Ok(())
    }

    /// A number that is higher than those of all tasks of a network, and than those given out before: the time in
    /// milliseconds, unless somebody was faster.
    #[must_use]
    pub fn next_sequence(&self, now: u64, network: &Tag) -> u64 {
        let of_network = self.tasks.range((*network, None, 0)..).take_while(|((tag, ..), _)| tag == network);
        let last = of_network.map(|((_, _, sequence), _)| *sequence).max();
        last.map_or(now, |last| now.max(last.saturating_add(1)))
    }

    /// The tasks for this peer that have not expired and of which it has not reported: those for it and those for all,
    /// the newest [`MAX_TASKS_ANSWERED`] by their sequence, the newest last.
    #[must_use]
    pub fn of(&self, now: u64, network: &Tag, peer: PeerId) -> Vec<&Task> {
        let of = |target| {
            let range = self.tasks.range((*network, target, 0)..=(*network, target, u64::MAX));
            let tasks = range.rev().map(|(_, task)| task).filter(|task| !task.ended_before(now, 0));
            tasks.filter(|task| !self.reported.contains(&(task.signed.id(), peer))).take(MAX_TASKS_ANSWERED)
        };
        let mut tasks: Vec<&Task> = of(None).chain(of(Some(peer))).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.signed.sequence()));
        tasks.truncate(MAX_TASKS_ANSWERED);
        tasks.reverse();
        tasks
    }

    /// The task that a report of this peer on this network is about; none if there is no such task for it, or if the
    /// peer has reported before.
    #[must_use]
    pub fn awaited(&self, network: &Tag, peer: PeerId, report: &TaskReport) -> Option<&Task> {
        let task = self.tasks.get(self.ids.get(&report.task())?)?;
        let fits = report.peer() == peer
            && report.network() == *network
            && task.signed.network() == *network
            && task.signed.target().includes(&peer);
        (fits && !self.reported.contains(&(report.task(), peer))).then_some(task)
    }

    /// Takes a report, unless its peer has reported of the task before; says whether it was taken.
    pub fn report(&mut self, report: Report) -> bool {
        if !self.reported.insert(report.of()) {
            return false;
        }
        self.reports.push_back(report);
        if self.reports.len() > MAX_REPORTS
            && let Some(oldest) = self.reports.pop_front()
        {
            self.reported.remove(&oldest.of());
        }
        true
    }

    /// Forgets what is over; gives it back.
    pub fn tidy(&mut self, now: u64) -> Vec<Task> {
        let over = self.tasks.extract_if(.., |_, task| task.is_over(now));
        let over: Vec<Task> = over.map(|(_, task)| task).collect();
        for task in &over {
            self.ids.remove(&task.signed.id());
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
mod tests;
