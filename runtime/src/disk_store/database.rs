//! The database in a data directory: one file that is either whole or put aside, and transactions on it.
//!
//! What is in it makes the next start quicker and safer, but a node can do without. So no state of the file stops a node,
//! but one: a version newer than ours is left as it is. A change of redb's own file format needs another file name, for
//! an older p2pnet could not tell it from damage.

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{
    Builder, ReadTransaction, ReadableDatabase, StorageBackend, TableDefinition, TableError, WriteTransaction,
};

use super::DiskStoreError;
use super::durable;

/// What the file is called.
pub(super) const FILE: &str = "memory.redb";

/// The version of what is in it. Before the first there were two text files, see `notebook.rs`.
const SCHEMA: u32 = 1;

/// Numbers by name: the schema's version, the last incarnation, the private port.
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const SCHEMA_KEY: &str = "schema";

/// Memory for pages.
const CACHE: usize = 4 << 20;

/// No file of ours is longer by far: so many networks with so many peers and floors are some 30 MiB.
const MAX_FILE: u64 = 256 << 20;

/// Damaged files that are kept for whoever wants to look at them. The last one makes room for further ones.
const MAX_ASIDE: u32 = 3;

/// A database that opens itself again after a failure, for redb refuses everything after one.
#[derive(Debug)]
pub(super) struct Database {
    directory: PathBuf,
    open: Option<redb::Database>,
}

/// What went wrong with a file.
#[derive(Debug)]
enum Trouble {
    /// It is not what was written.
    Damaged(String),
    /// It cannot be used now; nothing is wrong with it.
    Unusable(io::Error),
    /// It is of a newer version.
    Newer(u32),
}

impl Database {
    /// Opens the database of `directory`; whoever calls this has its lock. If there is none, or none that can be used, a
    /// new one is made, and if that fails too everything but this fails until it works.
    pub(super) fn open(
        directory: &Path,
        begin: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<Database, DiskStoreError> {
        let mut database = Database { directory: directory.to_owned(), open: None };
        match database.try_open(begin) {
            Ok(open) => database.open = Some(open),
            Err(Trouble::Newer(found)) => {
                return Err(DiskStoreError::NewerMemory { path: database.path(), found, known: SCHEMA });
            }
            Err(trouble) => {
                let file = database.path();
                tracing::warn!(
                    file = %file.display(), error = %io::Error::from(trouble),
                    "the node cannot remember anything for its next start; it goes on and tries again"
                );
            }
        }
        Ok(database)
    }

    /// Reads from what was last committed.
    pub(super) fn read<T>(
        &mut self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> io::Result<T> {
        self.using(|open| read(&open.begin_read()?))
    }

    /// Commits what `write` does: durable when this returns, or not done at all.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> io::Result<()> {
        self.using(|open| {
            let transaction = open.begin_write()?;
            write(&transaction)?;
            Ok(transaction.commit()?)
        })
    }

    fn using<T>(&mut self, job: impl FnOnce(&redb::Database) -> Result<T, redb::Error>) -> io::Result<T> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.try_open(|_| Ok(()))?,
        };
        // What panicked is dropped and read anew.
        let (result, open) = contained(move || Ok((job(&open), open)))?;
        match result {
            Ok(done) => {
                self.open = Some(open);
                Ok(done)
            }
            Err(error) => Err(Trouble::from(error).into()),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn try_open(
        &self,
        begin: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<redb::Database, Trouble> {
        let path = self.path();
        // A pipe would be waited for.
        let found = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Trouble::Unusable(error)),
            Ok(metadata) if metadata.is_file() => Some(open_file(&path)),
            Ok(_) => Some(Err(Trouble::Damaged("it is not a file".to_owned()))),
        };
        match found {
            Some(Err(Trouble::Damaged(reason))) => self.put_aside(&reason)?,
            Some(result) => return result,
            None => {}
        }
        self.create(begin)?;
        contained(|| Ok(Builder::new().set_cache_size(CACHE).open(&path)?))
    }

    /// Makes a new database: in memory, for redb waits for the disk eight times before a file of its own is usable.
    fn create(
        &self,
        begin: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Trouble> {
        let new = InMemory::default();
        contained(|| {
            let open = Builder::new().set_cache_size(CACHE).create_with_backend(new.clone())?;
            let transaction = open.begin_write()?;
            transaction.open_table(NUMBERS)?.insert(SCHEMA_KEY, seal(SCHEMA))?;
            begin(&transaction)?;
            transaction.commit()?;
            Ok(open.close()?)
        })?;
        durable::replace(&self.path(), &new.bytes()).map_err(Trouble::Unusable)
    }

    /// Gives a file that cannot be used another name.
    fn put_aside(&self, reason: &str) -> Result<(), Trouble> {
        let path = self.path();
        let names = (1..=MAX_ASIDE).map(|number| self.directory.join(format!("{FILE}.damaged-{number}")));
        let names: Vec<_> = names.collect();
        let free = names.iter().find(|name| fs::symlink_metadata(name).is_err());
        let Some(aside) = free.or(names.last()) else { return Ok(()) };
        fs::rename(&path, aside).map_err(Trouble::Unusable)?;
        tracing::warn!(
            file = %path.display(), aside = %aside.display(), reason,
            "what this node remembered is damaged and was put aside: known peers, who left, trust decisions and block \
             lists are lost, the identity is not; the node goes on and learns anew, but what was decided about peers \
             must be decided again"
        );
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let open = self.open.take();
        let _ = contained(move || {
            drop(open);
            Ok(())
        });
    }
}

/// Opens what is there, if every page is what was written. First a copy in memory: opening changes a file, and one of a
/// newer version must stay as it is.
fn open_file(path: &Path) -> Result<redb::Database, Trouble> {
    let mut bytes = Vec::new();
    let file = fs::OpenOptions::new().read(true).write(true).open(path).map_err(redb::Error::Io)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(redb::Error::Io)?;
    if bytes.is_empty() || bytes.len() as u64 > MAX_FILE {
        return Err(Trouble::Damaged(format!("it has {} bytes", bytes.len())));
    }
    let copy = InMemory(Arc::new(Mutex::new(bytes)));
    let version = contained(|| version_of(&checking().create_with_backend(copy)?))?;
    match version {
        SCHEMA => contained(|| Ok(checking().open(path)?)),
        newer if newer > SCHEMA => Err(Trouble::Newer(newer)),
        other => Err(Trouble::Damaged(format!("there is no version {other}"))),
    }
}

/// What opens a file only if all its checksums are right, or if it can go back to a commit whose are.
fn checking() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// A file's bytes. Unlike redb's own this never grows beyond what is plausible, whatever a damaged header says.
#[derive(Clone, Debug, Default)]
struct InMemory(Arc<Mutex<Vec<u8>>>);

impl InMemory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with so many bytes from `offset` on.
    fn at(&self, offset: u64, length: usize, job: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let mut bytes = self.bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let range = bytes.get_mut(start..start.saturating_add(length));
        range.map(job).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl StorageBackend for InMemory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.at(offset, out.len(), |bytes| out.copy_from_slice(bytes))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let plausible = usize::try_from(length).ok().filter(|_| length <= MAX_FILE);
        let length = plausible.ok_or(io::ErrorKind::InvalidData)?;
        self.bytes().resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.at(offset, data.len(), |bytes| bytes.copy_from_slice(data))
    }
}

fn version_of(database: &impl ReadableDatabase) -> Result<u32, redb::Error> {
    let damaged = || redb::Error::Corrupted("it does not say its version".to_owned());
    let numbers = database.begin_read()?.open_table(NUMBERS)?;
    let sealed = numbers.get(SCHEMA_KEY)?.ok_or_else(damaged)?.value();
    unseal(sealed).ok_or_else(damaged)
}

/// A version and its complement: a bit that flipped must not look like a newer version.
fn seal(version: u32) -> u64 {
    u64::from(version) | (u64::from(!version) << 32)
}

fn unseal(sealed: u64) -> Option<u32> {
    let version = u32::try_from(sealed & u64::from(u32::MAX)).ok()?;
    (seal(version) == sealed).then_some(version)
}

/// One number of the database.
pub(super) fn number(transaction: &ReadTransaction, name: &str) -> Result<Option<u64>, redb::Error> {
    match transaction.open_table(NUMBERS) {
        Ok(numbers) => Ok(numbers.get(name)?.map(|number| number.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Runs a job on a file that may hold anything. redb means to report damage; where it panics instead, that is damage.
fn contained<T>(job: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(job)) {
        Ok(result) => result.map_err(Trouble::from),
        Err(_) => Err(Trouble::Damaged("reading it failed in an unforeseen way".to_owned())),
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        use redb::Error;
        match error {
            Error::Io(error) => match error.kind() {
                // Shorter than it says, or not ours to write: a new file helps.
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidData
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::PermissionDenied => Trouble::Damaged(error.to_string()),
                _ => Trouble::Unusable(error),
            },
            Error::Corrupted(_)
            | Error::UpgradeRequired(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TableDoesNotExist(_)
            | Error::TypeDefinitionChanged { .. }
            | Error::ValueTooLarge(_) => Trouble::Damaged(error.to_string()),
            other => Trouble::Unusable(io::Error::other(other.to_string())),
        }
    }
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Damaged(reason) => io::Error::new(io::ErrorKind::InvalidData, reason),
            Trouble::Unusable(error) => error,
            Trouble::Newer(version) => {
                io::Error::new(io::ErrorKind::InvalidData, format!("it is of the newer version {version}"))
            }
        }
    }
}
