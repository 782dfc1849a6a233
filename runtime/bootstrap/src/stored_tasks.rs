//! How tasks and reports lie in the journal: as JSON, for there are few.

use crate::journal::{Batch, Journal, Table};
use crate::tasks::{MAX_REPORTS, MAX_TASKS, Report, Task, Tasks};

fn key(task: &Task) -> Vec<u8> {
    let target = task.target.map_or([0; 32], |target| *target.as_bytes());
    let for_one = [u8::from(task.target.is_some())];
    [task.network.as_slice(), &for_one, &target, &task.sequence.to_be_bytes()].concat()
}

/// Keeps a task.
pub(crate) fn put(batch: &mut Batch, task: &Task) {
    // A struct of numbers and bytes always becomes JSON.
    batch.put(Table::Tasks, key(task), serde_json::to_vec(task).unwrap_or_default());
}

/// Forgets a task.
pub(crate) fn remove(batch: &mut Batch, task: &Task) {
    batch.remove(Table::Tasks, key(task));
}

/// Keeps a report under this number.
pub(crate) fn put_report(batch: &mut Batch, number: u64, report: &Report) {
    batch.put(Table::Reports, number.to_be_bytes(), serde_json::to_vec(report).unwrap_or_default());
}

/// Reads all back; what cannot be read is left out.
pub(crate) fn load(journal: &Journal) -> Result<Tasks, redb::Error> {
    let mut tasks = Tasks::default();
    for (_, row) in journal.after(Table::Tasks, None, MAX_TASKS)? {
        if let Ok(task) = serde_json::from_slice::<Task>(&row) {
            // What has expired meanwhile goes with the next tidying.
            let _ = tasks.give(0, task);
        }
    }
    for (_, row) in journal.after(Table::Reports, None, MAX_REPORTS)? {
        if let Ok(report) = serde_json::from_slice::<Report>(&row) {
            tasks.report(report);
        }
    }
    Ok(tasks)
}
