//! What became of tasks: told to the application, and to every bootstrap server with the next announcement.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::event::Event;
use crate::server::ServerId;
use crate::task::{TaskId, TaskOutcome, TaskReport};
use crate::timers::TimerKey;

use super::Engine;
use super::effects::Asked;

/// Reports that wait for servers, until the run ends. Of more, the oldest go.
pub(super) const MAX_REPORTS: usize = 256;

/// Tasks of one answer, and reports of one announcement.
pub(super) const TASKS_AT_ONCE: usize = 64;

/// A report waits so long for others.
const GATHER: Duration = Duration::from_millis(200);

/// What is to be told to servers.
#[derive(Debug, Default)]
pub(crate) struct Reports(VecDeque<Report>);

#[derive(Debug)]
struct Report {
    task: TaskId,
    bytes: Vec<u8>,
    /// The servers that it is still to be told to, one bit each.
    servers: u8,
}

impl Reports {
    #[cfg(feature = "marks")]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What to tell this server now: the tasks, and the bytes of their reports.
    pub(super) fn for_server(&self, server: ServerId) -> (Vec<TaskId>, Vec<Vec<u8>>) {
        let waiting = self.0.iter().filter(|report| report.servers & bit(server) != 0);
        waiting.take(TASKS_AT_ONCE).map(|report| (report.task, report.bytes.clone())).unzip()
    }

    /// A server has these.
    pub(super) fn told(&mut self, server: ServerId, tasks: &[TaskId]) {
        for report in self.0.iter_mut().filter(|report| tasks.contains(&report.task)) {
            report.servers &= !bit(server);
        }
        self.0.retain(|report| report.servers != 0);
    }

    fn wait_for(&self, server: ServerId) -> bool {
        self.0.iter().any(|report| report.servers & bit(server) != 0)
    }
}

/// There are 8 servers at most.
fn bit(server: ServerId) -> u8 {
    1_u8.checked_shl(server.0.into()).unwrap_or(0)
}

impl Engine {
    /// A task is done with.
    pub(super) fn task_done(&mut self, asked: Asked, outcome: TaskOutcome) {
        let Asked { id, issuer, kind } = asked;
        tracing::debug!(task = %id, kind = kind.as_str(), ?outcome, "a task was carried out");
        if self.config.servers > 0 {
            let report = TaskReport::sign(&self.identity, self.config.network.tag(), id, outcome);
            let servers = (0..self.config.servers).fold(0, |all, server| all | bit(ServerId(server)));
            if self.tasks.reports.0.len() >= MAX_REPORTS {
                self.tasks.reports.0.pop_front();
            }
            self.tasks.reports.0.push_back(Report { task: id, bytes: report.to_bytes(), servers });
            self.report_soon();
        }
        self.tell_of_task(Event::TaskExecuted { issuer, id, kind, outcome });
    }

    /// Servers that have not heard what became of a task are announced to soon. One that fails is left in peace.
    pub(super) fn report_soon(&mut self) {
        for (number, known) in (0..self.config.servers).zip(&self.servers) {
            let server = ServerId(number);
            if known.is_well() && self.tasks.reports.wait_for(server) {
                self.timers.set_earlier(TimerKey::Announce(server), self.now + GATHER);
            }
        }
    }
}
