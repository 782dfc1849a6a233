//! What survives: a database in the data directory that is written a moment behind.
//!
//! Whoever changes something says so and goes on; a thread commits what came together, durably, every
//! [`COMMIT_MILLIS`]. So a crash loses at most what was said within the last moment, which nodes say again. What waits is
//! keyed, and therefore never more than what is held anyway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError};
use tokio::sync::watch;

use crate::tasks::MAX_REPORTS;

/// The time between two commits, in milliseconds.
pub const COMMIT_MILLIS: u64 = 200;

/// How long is waited for a commit.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// The file's name in the data directory.
pub const FILE: &str = "bootstrap.redb";

/// The pages of the file that are kept in memory, in bytes.
const CACHE: usize = 16 * 1024 * 1024;

/// Changes that may wait. While the disk fails what only tells of the past is dropped beyond that; the rest is bounded by
/// what is held.
const MAX_WAITING: usize = 500_000;

/// What kinds of things are kept. Keys and values are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The records that are held, by network and peer.
    Records,
    /// Records that were ever announced, by the hash of their bytes.
    Seen,
    /// The keys of [`Seen`](Self::Seen) behind the time when they came, so that the oldest go first.
    SeenOrder,
    /// The log, by number.
    Log,
    /// Certificates that were issued, by number.
    Certificates,
    /// Tasks, by network, target and sequence.
    Tasks,
    /// What became of tasks, by number.
    Reports,
    /// Single values: the version of this file.
    Values,
}

impl Table {
    const ALL: [Table; 8] = [
        Table::Records,
        Table::Seen,
        Table::SeenOrder,
        Table::Log,
        Table::Certificates,
        Table::Tasks,
        Table::Reports,
        Table::Values,
    ];

    fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(match self {
            Table::Records => "records",
            Table::Seen => "seen",
            Table::SeenOrder => "seen order",
            Table::Log => "log",
            Table::Certificates => "certificates",
            Table::Tasks => "tasks",
            Table::Reports => "reports",
            Table::Values => "values",
        })
    }

    /// Entries beyond which those with the first keys go.
    fn limit(self) -> Option<u64> {
        match self {
            Table::SeenOrder => Some(MAX_SEEN),
            Table::Log => Some(MAX_LOG),
            Table::Certificates => Some(MAX_CERTIFICATES),
            Table::Reports => Some(MAX_REPORTS as u64),
            _ => None,
        }
    }
}

/// Records that `verify` knows of; of more, the oldest go.
pub const MAX_SEEN: u64 = 250_000;

/// Lines of the log that are kept; of more, the oldest go.
pub const MAX_LOG: u64 = 10_000;

/// Certificates that the signing history has; of more, the oldest go.
pub const MAX_CERTIFICATES: u64 = 100_000;

/// Changes that are committed together: new values, or none.
#[derive(Debug, Default)]
pub struct Batch(BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>);

impl Batch {
    /// Sets a value.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.insert((table, key.into()), Some(value.into()));
    }

    /// Takes a value away.
    pub fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.0.insert((table, key.into()), None);
    }
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another server runs with it.
    #[error("another server uses {}; stop it, or choose another --data", .0.display())]
    InUse(PathBuf),
    /// The file is of a newer version.
    #[error("{} was written by a newer version of p2pnet; use that one", .0.display())]
    Newer(PathBuf),
    /// The file is damaged, or the system fails.
    #[error("{} cannot be used: {reason}; mend that, or move the file away to start with nothing", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What was said is not durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the data directory cannot be written; it is tried again, so look whether it was done before you repeat it"
)]
pub struct NotDurable;

/// The database and the thread that writes it.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// None after a failure, for redb refuses everything after one: it is opened anew.
    database: RwLock<Option<Database>>,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    failures: AtomicU64,
    commits: AtomicU64,
    /// The number of the last batch that was committed.
    committed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: Batch,
    /// Batches that were taken to be written.
    taken: u64,
    writing: Arc<Batch>,
    failing: bool,
    closing: bool,
}

const VERSION: &[u8] = &[1];

impl Journal {
    /// Opens the database in this directory, or makes it.
    ///
    /// # Errors
    /// If another server uses it, or it cannot be used.
    pub fn open(directory: &Path) -> Result<Journal, JournalError> {
        let path = directory.join(FILE);
        let database = open(&path).map_err(|error| match error {
            redb::Error::DatabaseAlreadyOpen => JournalError::InUse(directory.to_owned()),
            error => JournalError::Unusable { path: path.clone(), reason: error.to_string() },
        })?;
        let version = read(&database, Table::Values, b"version");
        let unusable = |reason: String| JournalError::Unusable { path: path.clone(), reason };
        match version.map_err(|error| unusable(error.to_string()))? {
            None => {
                let mut batch = Batch::default();
                batch.put(Table::Values, b"version", VERSION);
                commit(&database, &batch).map_err(|error| unusable(error.to_string()))?;
            }
            Some(version) if version == VERSION => {}
            Some(_) => return Err(JournalError::Newer(path)),
        }
        let shared = Arc::new(Shared {
            path: path.clone(),
            database: RwLock::new(Some(database)),
            waiting: Mutex::default(),
            changed: Condvar::new(),
            failures: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            committed: watch::Sender::new(0),
        });
        let for_writer = shared.clone();
        let writer = std::thread::Builder::new().name("journal".into()).spawn(move || for_writer.write());
        let writer = writer.map_err(|error| unusable(format!("the system gives no thread: {error}")))?;
        Ok(Journal { shared, writer: Some(writer) })
    }

    /// Says what is to be written.
    pub fn change(&self, change: impl FnOnce(&mut Batch)) {
        let mut waiting = self.shared.waiting();
        change(&mut waiting.next);
        if waiting.next.0.len() > MAX_WAITING {
            waiting
                .next
                .0
                .retain(|(table, _), _| !matches!(table, Table::Seen | Table::SeenOrder | Table::Log));
        }
        drop(waiting);
        self.shared.changed.notify_one();
    }

    /// Waits until all that was said up to now is durable.
    ///
    /// # Errors
    /// If that takes more than 5 s, most likely because the disk is full.
    pub async fn settled(&self) -> Result<(), NotDurable> {
        let number = self.shared.waiting().taken + 1;
        let mut committed = self.shared.committed.subscribe();
        let waiting = committed.wait_for(|committed| *committed >= number);
        match tokio::time::timeout(SETTLE_TIME, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotDurable),
        }
    }

    /// The value of a key, written or about to be; none if reading fails.
    #[must_use]
    pub fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let wanted = (table, key.to_vec());
        {
            let waiting = self.shared.waiting();
            let known = waiting.next.0.get(&wanted).or_else(|| waiting.writing.0.get(&wanted));
            if let Some(known) = known {
                return known.clone();
            }
        }
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        read(database.as_ref()?, table, key).ok().flatten()
    }

    /// Up to `most` committed entries behind this key.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn after(&self, table: Table, key: Option<&[u8]>, most: usize) -> Result<Vec<Entry>, redb::Error> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Ok(Vec::new()) };
        let transaction = database.begin_read()?;
        let table = match transaction.open_table(table.definition()) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let start = key.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = table.range::<&[u8]>((start, std::ops::Bound::Unbounded))?;
        let entries = range.take(most).map(|entry| {
            let (key, value) = entry?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        });
        entries.collect()
    }

    /// The entries of a table whose keys are numbers, the last ones first, below this number.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn before(&self, table: Table, number: u64, most: usize) -> Result<Vec<Entry>, redb::Error> {
        let database = self.shared.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Ok(Vec::new()) };
        let transaction = database.begin_read()?;
        let table = match transaction.open_table(table.definition()) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let end = number.to_be_bytes();
        let range =
            table.range::<&[u8]>((std::ops::Bound::Unbounded, std::ops::Bound::Excluded(end.as_slice())))?;
        let entries = range.rev().take(most).map(|entry| {
            let (key, value) = entry?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        });
        entries.collect()
    }

    /// The highest number of a table whose keys are numbers; 0 if it is empty.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn last_number(&self, table: Table) -> Result<u64, redb::Error> {
        let last = self.before(table, u64::MAX, 1)?;
        let key = last.first().and_then(|(key, _)| key.first_chunk::<8>().copied());
        Ok(key.map_or(0, u64::from_be_bytes))
    }

    /// Whether the last commit failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.shared.waiting().failing
    }

    /// Commits that were made, and that failed.
    #[must_use]
    pub fn commits(&self) -> (u64, u64) {
        (self.shared.commits.load(Ordering::Relaxed), self.shared.failures.load(Ordering::Relaxed))
    }

    /// Changes that wait for a commit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting().next.0.len()
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

impl Drop for Journal {
    /// Writes what waits, once.
    fn drop(&mut self) {
        self.shared.waiting().closing = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer's thread.
    fn write(&self) {
        loop {
            let mut waiting = self.waiting();
            while waiting.next.0.is_empty() && !waiting.closing {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            // More comes together meanwhile.
            let pause =
                Duration::from_millis(if waiting.failing { 5 * COMMIT_MILLIS } else { COMMIT_MILLIS });
            let paused = self.changed.wait_timeout_while(waiting, pause, |waiting| !waiting.closing);
            let mut waiting = paused.unwrap_or_else(PoisonError::into_inner).0;
            let (batch, closing) = (Arc::new(std::mem::take(&mut waiting.next)), waiting.closing);
            waiting.taken += 1;
            let number = waiting.taken;
            waiting.writing = batch.clone();
            drop(waiting);
            let done = if batch.0.is_empty() { Ok(()) } else { self.commit(&batch) };
            let mut waiting = self.waiting();
            waiting.failing = done.is_err();
            waiting.writing = Arc::default();
            if done.is_ok() {
                self.committed.send_replace(number);
            }
            if let Err(error) = done {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(file = %self.path.display(), %error, "what changed cannot be stored; tried again soon");
                for (key, value) in &batch.0 {
                    waiting.next.0.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            if closing {
                return;
            }
        }
    }

    fn commit(&self, batch: &Batch) -> Result<(), redb::Error> {
        {
            let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
            if database.is_none() {
                *database = Some(open(&self.path)?);
            }
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let done = database.as_ref().map_or(Ok(()), |database| commit(database, batch));
        drop(database);
        match &done {
            Ok(()) => {
                self.commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => *self.database.write().unwrap_or_else(PoisonError::into_inner) = None,
        }
        done
    }
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE).create(path)?)
}

fn read(database: &Database, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
    match database.begin_read()?.open_table(table.definition()) {
        Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn commit(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for kind in Table::ALL {
        let of_kind = batch.0.range((kind, Vec::new())..).take_while(|((table, _), _)| *table == kind);
        let mut changes = of_kind.peekable();
        if changes.peek().is_none() {
            continue;
        }
        let mut table = transaction.open_table(kind.definition())?;
        for ((_, key), value) in changes {
            match value {
                Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                None => drop(table.remove(key.as_slice())?),
            }
        }
        let Some(limit) = kind.limit() else { continue };
        while table.len()? > limit {
            let Some((key, _)) = table.pop_first()? else { break };
            if kind == Table::SeenOrder {
                let mut seen = transaction.open_table(Table::Seen.definition())?;
                seen.remove(key.value().get(8..).unwrap_or_default())?;
            }
        }
    }
    Ok(transaction.commit()?)
}
