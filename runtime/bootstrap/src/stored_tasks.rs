//! How tasks and reports lie in the journal: what was signed, and a few words beside it.

use p2pnet_engine::{NetworkTask, PeerId, TaskReport};

use crate::journal::{Batch, Journal, Table};
use crate::tasks::{MAX_REPORTS, MAX_TASKS, Report, Task, Tasks};

fn key(task: &Task) -> Vec<u8> {
    let peer = task.signed.target().peer();
    let target = peer.map_or([0; 32], |peer| *peer.as_bytes());
    [&task.signed.network()[..], &[peer.is_some().into()], &target, &task.signed.sequence().to_be_bytes()]
        .concat()
}

/// Keeps a task.
pub(crate) fn put(batch: &mut Batch, task: &Task) {
    batch.put(Table::Tasks, key(task), [&task.given.to_be_bytes()[..], &task.bytes].concat());
}

/// Forgets a task.
pub(crate) fn remove(batch: &mut Batch, task: &Task) {
    batch.remove(Table::Tasks, key(task));
}

/// Keeps a report under this number.
pub(crate) fn put_report(batch: &mut Batch, number: u64, report: &Report) {
    let signed = report.signed.to_bytes();
    // Signed reports have far less than 64 KiB.
    let len = u16::try_from(signed.len()).unwrap_or_default().to_be_bytes();
    let (at, sequence) = (report.at.to_be_bytes(), report.sequence.to_be_bytes());
    let row = [&at[..], &sequence, &len, &signed, report.kind.as_bytes()].concat();
    batch.put(Table::Reports, number.to_be_bytes(), row);
}

/// Reads all back that this authority signed, and the reports; what cannot be read is left out. What is of no use any
/// more is forgotten, whoever signed it.
pub(crate) fn load(journal: &Journal, authority: Option<PeerId>, now: u64) -> Result<Tasks, redb::Error> {
    let mut tasks = Tasks::default();
    let mut last: Option<Vec<u8>> = None;
    loop {
        let rows = journal.after(Table::Tasks, last.as_deref(), MAX_TASKS)?;
        let Some((key, _)) = rows.last() else { break };
        last = Some(key.clone());
        for (key, row) in rows {
            match task(&row).filter(|task| !task.is_over(now)) {
                // This authority has no more than so many, each with a key of its own.
                Some(task) if Some(task.signed.issuer()) == authority => drop(tasks.restore(task)),
                // The server may be this authority again.
                Some(_) => {}
                None => journal.change(|batch| batch.remove(Table::Tasks, key)),
            }
        }
    }
    for (_, row) in journal.after(Table::Reports, None, MAX_REPORTS)? {
        if let Some(report) = report(&row) {
            tasks.report(report);
        }
    }
    Ok(tasks)
}

fn task(row: &[u8]) -> Option<Task> {
    let (given, bytes) = row.split_first_chunk::<8>()?;
    let signed = NetworkTask::parse(bytes).ok().filter(NetworkTask::is_signed)?;
    Some(Task { signed, bytes: bytes.to_vec(), given: u64::from_be_bytes(*given) })
}

fn report(row: &[u8]) -> Option<Report> {
    let (at, rest) = row.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (signed, kind) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
    let signed = TaskReport::parse(signed).ok().filter(TaskReport::is_signed)?;
    let kind = String::from_utf8(kind.to_vec()).ok()?;
    Some(Report { signed, kind, sequence: u64::from_be_bytes(*sequence), at: u64::from_be_bytes(*at) })
}

#[cfg(test)]
mod tests {
    use p2pnet_engine::{Identity, TaskKind, TaskTarget};

    use super::*;

    #[tokio::test]
    async fn tasks_of_other_authorities_do_not_keep_those_of_this_one_out() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        let (other, own) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let store = |issuer: &Identity, sequence, expires| {
            let kind = TaskKind::Heartbeat;
            let signed = NetworkTask::issue(issuer, [7; 8], TaskTarget::Everyone, sequence, expires, kind);
            let signed = signed.unwrap();
            let task = Task { bytes: signed.to_bytes(), signed, given: 0 };
            journal.change(|batch| put(batch, &task));
        };
        (0..MAX_TASKS as u64 + 500)
            .for_each(|sequence| store(&other, sequence, if sequence < 900 { 10 } else { 5000 }));
        store(&own, 1_000_000, 5000);
        journal.settled().await.unwrap();
        assert_eq!(load(&journal, Some(own.peer_id()), 1_000_000).unwrap().all().count(), 1);
        journal.settled().await.unwrap();
        let left = journal.after(Table::Tasks, None, 5000).unwrap();
        assert_eq!(left.len(), 601, "those that are over are gone");
        assert_eq!(load(&journal, Some(other.peer_id()), 1_000_000).unwrap().all().count(), 600);
    }
}
