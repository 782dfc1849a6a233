//! The real store: received files in an inbox; the node's key, its incarnation and its memory in a data directory.

mod data_dir;
mod database;
mod durable;
mod folder;
mod index;
mod memory;
mod name;
mod notebook;
mod partial;
mod published;
mod stored_contents;
mod stored_memory;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use p2pnet_engine::{
    AuthorityState, BLOCK_SIZE, BlockList, BlockRef, ContentId, ContentKind, Decision, FolderError,
    Leftovers, Manifest, Memory, MemoryChange, StoreFailure,
};

use crate::buffers;
use crate::seam::{Source, Store};
use data_dir::DataDir;
use database::{Database, number};
use index::Entry;
use partial::Partial;
use published::Published;
pub use stored_contents::{StoredContent, StoredContents, StoredState};
pub use stored_memory::{KnownPeer, StoredMemory};

/// A [`Store`] on disk.
///
/// What is being received lies in the inbox as `.p2pnet-<hash>.part`, with the list of its chaining values beside it
/// as `.p2pnet-<hash>.list`, and gets its name, made safe, when it is complete and durable. A folder is unpacked into
/// `.p2pnet-<hash>.folder` then, which takes as much room again, and gets its name when all that is in it is durable. What is not complete when
/// the process ends, however that ends, is gone on with when the content is fetched again; what was given up is removed,
/// and so is, by the first transfer of a run, what nobody touched for a week. The data directory is used by one store at a
/// time, which a lock of the operating system ensures: it ends with the process.
#[derive(Clone, Debug)]
pub struct DiskStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // Before the directory, which may be temporary and hold the inbox: what is unfinished goes first.
    contents: Mutex<Contents>,
    inbox: PathBuf,
    /// Whether what nobody came back for was removed from the inbox.
    swept: Once,
    // One writer at a time: an incarnation is read, raised and written.
    dir: Mutex<DataDir>,
}

/// As many as the engine's `max_contents` allows.
#[derive(Debug, Default)]
struct Contents {
    receiving: BTreeMap<ContentId, Receiving>,
    /// What was in the inbox already when it was to be received.
    found: BTreeMap<ContentId, (PathBuf, Arc<Published>)>,
    /// What was received and is still read.
    received: BTreeMap<ContentId, Arc<Published>>,
    published: BTreeMap<ContentId, Arc<Published>>,
}

#[derive(Clone, Debug)]
struct Receiving {
    partial: Arc<Partial>,
    name: String,
    kind: ContentKind,
}

/// Why a data directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskStoreError {
    /// Another process uses it.
    #[error("{} is in use by another p2pnet; stop it or give another --data-dir", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The identity key is not what was written.
    #[error(
        "the identity key {} is damaged; put back a copy of it, or delete it to start over with a new identity",
        path.display()
    )]
    CorruptIdentity {
        /// The key's file.
        path: PathBuf,
    },
    /// The database was written by a newer p2pnet.
    #[error(
        "{} was written by a newer p2pnet (version {found}, this one knows {known}); use that one, or move the file \
        away to start without what it remembers",
        path.display()
    )]
    NewerMemory {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version of this p2pnet.
        known: u32,
    },
    /// The directory cannot be made or entered.
    #[error("cannot use {} as a data directory: {source}", path.display())]
    Directory {
        /// The data directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file in it cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl DiskStore {
    /// A store on the data directory `dir`, which is created if need be, locked, and checked. Received files go
    /// to `inbox` (created with the first of them), or to `inbox` in the data directory. Blocks for a moment.
    pub fn open(dir: impl AsRef<Path>, inbox: Option<PathBuf>) -> Result<DiskStore, DiskStoreError> {
        Ok(DiskStore::on(DataDir::open(dir.as_ref())?, inbox))
    }

    /// A store on a new directory that is removed when the store is dropped, inbox included unless `inbox` says
    /// another place. Its identity lasts as long.
    pub fn temporary(inbox: Option<PathBuf>) -> Result<DiskStore, DiskStoreError> {
        Ok(DiskStore::on(DataDir::temporary()?, inbox))
    }

    /// Where received files go.
    #[must_use]
    pub fn inbox(&self) -> &Path {
        &self.shared.inbox
    }

    /// Whether the data directory goes when the store is dropped.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        lock(&self.shared.dir).is_temporary()
    }

    /// The seed of the identity key that `dir` holds, if there is one yet. Needs no lock and changes nothing, so it
    /// may be asked while a node uses the directory.
    pub fn stored_identity(dir: impl AsRef<Path>) -> Result<Option<[u8; 32]>, DiskStoreError> {
        data_dir::stored_identity(dir.as_ref())
    }

    fn on(dir: DataDir, inbox: Option<PathBuf>) -> DiskStore {
        let inbox = inbox.unwrap_or_else(|| dir.path().join("inbox"));
        DiskStore {
            shared: Arc::new(Shared {
                contents: Mutex::default(),
                inbox,
                swept: Once::new(),
                dir: Mutex::new(dir),
            }),
        }
    }

    /// Runs file work on a thread that may block.
    #[expect(clippy::disallowed_methods, reason = "the place where file access is meant to be")]
    async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || job(&shared))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Shared {
    /// What an earlier run received or published, if it is still there, every byte of it.
    fn find(&self, content: &ContentId) -> Option<(Entry, Published, BlockList)> {
        let entry = match lock(&self.dir).database()?.read(|from| index::find(from, content)) {
            Ok(entry) => entry?,
            Err(error) => {
                tracing::warn!(%error, "whether a content is here already cannot be looked up");
                return None;
            }
        };
        let (published, list) = entry.prove()?;
        Some((entry, published, list))
    }

    /// Keeps in mind where a content is.
    fn keep(&self, content: ContentId, kind: ContentKind, path: &Path) {
        let Some(entry) = Entry::new(content, kind, path) else { return };
        let kept = match lock(&self.dir).database() {
            Some(database) => database.write(|into| index::keep(into, &entry)),
            None => Ok(()),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, %content, "the next run cannot know that this content is here");
        }
    }

    /// Gets ready for a content. If it lies in the inbox there is nothing to do; if it is elsewhere on this disk it is
    /// copied, which is what the user wants who has chosen the inbox.
    fn open(&self, manifest: Manifest) -> io::Result<Leftovers> {
        let content = manifest.content;
        let is_folder = manifest.kind == ContentKind::Folder;
        let found = self.find(&content);
        let in_inbox = |entry: &Entry| {
            fs::canonicalize(&self.inbox).is_ok_and(|inbox| entry.path.parent() == Some(inbox.as_path()))
        };
        if let Some((entry, published, list)) = found {
            if entry.is_folder == is_folder && in_inbox(&entry) {
                lock(&self.contents).found.insert(content, (entry.path, Arc::new(published)));
                return Ok(Leftovers { list, blocks: (0..content.block_count()).collect() });
            }
            let partial = self.receive(manifest)?;
            return partial.0.fill(&published, list, partial.1);
        }
        Ok(self.receive(manifest)?.1)
    }

    fn receive(&self, manifest: Manifest) -> io::Result<(Arc<Partial>, Leftovers)> {
        let (partial, leftovers) = Partial::open(&self.inbox, &manifest.content)?;
        let partial = Arc::new(partial);
        let receiving = Receiving { partial: Arc::clone(&partial), name: manifest.name, kind: manifest.kind };
        lock(&self.contents).receiving.insert(manifest.content, receiving);
        Ok((partial, leftovers))
    }
}

impl Store for DiskStore {
    async fn open(&self, manifest: Manifest) -> Result<Leftovers, StoreFailure> {
        let opened = self.blocking(move |shared| {
            shared.swept.call_once(|| {
                partial::remove_forgotten(&shared.inbox);
            });
            // An earlier try gives up its file before the same name is claimed again.
            drop(lock(&shared.contents).receiving.remove(&manifest.content));
            shared.open(manifest)
        });
        opened.await.map_err(|error| failure(&error))
    }

    async fn keep_list(&self, content: ContentId, list: BlockList) {
        let kept = self.blocking(move |shared| {
            let receiving = lock(&shared.contents).receiving.get(&content).cloned();
            receiving.map_or(Ok(()), |receiving| receiving.partial.keep_list(&list))
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, %content, "should this transfer be interrupted, it will start over");
        }
    }

    async fn close(&self, content: ContentId) {
        let closed = self.blocking(move |shared| {
            let mut contents = lock(&shared.contents);
            contents.received.remove(&content);
            contents.found.remove(&content);
            let receiving = contents.receiving.remove(&content);
            drop(contents);
            drop(receiving);
            Ok(())
        });
        let _ = closed.await;
    }

    async fn write(&self, block: BlockRef, data: Vec<u8>) -> Result<(), StoreFailure> {
        let written = self.blocking(move |shared| {
            let receiving = lock(&shared.contents).receiving.get(&block.content).cloned();
            let receiving = receiving.ok_or(io::ErrorKind::NotFound)?;
            let written = receiving.partial.write(u64::from(block.index) * BLOCK_SIZE as u64, &data);
            buffers::give_back(data);
            written
        });
        written.await.map_err(|error| failure(&error))
    }

    async fn read(&self, block: BlockRef) -> io::Result<Vec<u8>> {
        self.blocking(move |shared| {
            let contents = lock(&shared.contents);
            let whole = contents.published.get(&block.content).or(contents.received.get(&block.content));
            let found = || contents.found.get(&block.content).map(|(_, whole)| whole);
            if let Some(whole) = whole.or_else(found).cloned() {
                drop(contents);
                return whole.read(block);
            }
            let receiving = contents.receiving.get(&block.content).cloned();
            drop(contents);
            receiving.ok_or(io::ErrorKind::NotFound)?.partial.read(block)
        })
        .await
    }

    async fn finish(&self, content: ContentId) -> Result<PathBuf, StoreFailure> {
        let finished = self.blocking(move |shared| {
            let mut contents = lock(&shared.contents);
            if let Some((path, whole)) = contents.found.remove(&content) {
                contents.received.insert(content, whole);
                return Ok(path);
            }
            drop(contents);
            let receiving =
                lock(&shared.contents).receiving.get(&content).cloned().ok_or(io::ErrorKind::NotFound)?;
            let finished = match receiving.kind {
                ContentKind::Folder => receiving.partial.finish_folder(&receiving.name),
                _ => receiving.partial.finish(&receiving.name),
            };
            // Until then its blocks are read as those of what is being received.
            let path = finished?;
            let mut contents = lock(&shared.contents);
            if let Ok(received) = receiving.partial.published() {
                contents.received.insert(content, Arc::new(received));
            }
            contents.receiving.remove(&content);
            drop(contents);
            shared.keep(content, receiving.kind, &path);
            Ok(path)
        });
        finished.await.map_err(|error| failure(&error))
    }

    async fn abandon(&self, content: ContentId) {
        let abandoned = self.blocking(move |shared| {
            lock(&shared.contents).found.remove(&content);
            let receiving = lock(&shared.contents).receiving.remove(&content);
            if let Some(receiving) = receiving {
                receiving.partial.abandon();
            }
            Ok(())
        });
        let _ = abandoned.await;
    }

    async fn publish(&self, source: Source) -> io::Result<(Manifest, BlockList)> {
        self.blocking(move |shared| {
            let path = match &source {
                Source::File(path) | Source::Folder(path) => Some(path.clone()),
                Source::Bytes { .. } => None,
            };
            let (published, manifest, list) = Published::open(source)?;
            if let Some(path) = path {
                shared.keep(manifest.content, manifest.kind, &path);
            }
            lock(&shared.contents).published.insert(manifest.content, Arc::new(published));
            Ok((manifest, list))
        })
        .await
    }

    async fn withdraw(&self, content: ContentId) {
        lock(&self.shared.contents).published.remove(&content);
    }

    async fn next_incarnation(&self) -> io::Result<u64> {
        self.blocking(|shared| {
            let mut dir = lock(&shared.dir);
            let next = dir.incarnation().map_err(io::Error::other)?.saturating_add(1);
            dir.raise_incarnation(next).map_err(io::Error::other)?;
            Ok(next)
        })
        .await
    }

    async fn save_incarnation(&self, incarnation: u64) -> io::Result<()> {
        self.blocking(move |shared| {
            lock(&shared.dir).raise_incarnation(incarnation).map_err(io::Error::other)
        })
        .await
    }

    async fn identity_seed(&self, create: [u8; 32]) -> io::Result<[u8; 32]> {
        self.blocking(move |shared| lock(&shared.dir).identity_or(create).map_err(io::Error::other)).await
    }

    async fn remember(
        &self,
        network: [u8; 8],
        anew: bool,
        changes: Vec<MemoryChange>,
    ) -> Result<(), StoreFailure> {
        let kept = self.blocking(move |shared| match lock(&shared.dir).database() {
            Some(database) => database.write(|into| memory::remember(into, network, anew, &changes)),
            None => Ok(()),
        });
        kept.await.map_err(|error| failure(&error))
    }

    async fn recall(&self, network: [u8; 8]) -> io::Result<Memory> {
        self.blocking(move |shared| match lock(&shared.dir).database() {
            Some(database) => database.read(|from| memory::recall(from, network)),
            None => Ok(Memory::default()),
        })
        .await
    }

    async fn save_decisions(&self, network: [u8; 8], decisions: Vec<Decision>) -> io::Result<()> {
        self.blocking(move |shared| match lock(&shared.dir).database() {
            Some(database) => database.write(|into| memory::decide(into, network, &decisions)),
            None => Ok(()),
        })
        .await
    }

    async fn decisions(&self, network: [u8; 8]) -> io::Result<Vec<Decision>> {
        self.blocking(move |shared| match lock(&shared.dir).database() {
            Some(database) => database.read(|from| memory::decisions(from, network)),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn save_authority(&self, network: [u8; 8], state: AuthorityState) -> io::Result<()> {
        self.blocking(move |shared| match lock(&shared.dir).database() {
            Some(database) => database.write(|into| memory::save_authority(into, network, &state)),
            None => Ok(()),
        })
        .await
    }

    async fn authority(&self, network: [u8; 8]) -> io::Result<AuthorityState> {
        let kept = self.blocking(move |shared| match lock(&shared.dir).database() {
            Some(database) => database.read(|from| memory::authority(from, network)),
            None => Ok(None),
        });
        let Some(bytes) = kept.await? else { return Ok(AuthorityState::default()) };
        AuthorityState::parse(&bytes).ok_or_else(|| {
            let why = "what was kept of authorities is damaged; take another data directory";
            io::Error::new(io::ErrorKind::InvalidData, why)
        })
    }

    async fn remember_port(&self, port: u16) -> io::Result<()> {
        self.blocking(move |shared| {
            let mut dir = lock(&shared.dir);
            let Some(database) = dir.database() else { return Ok(()) };
            if kept_port(database)? == Some(port) {
                return Ok(());
            }
            database.write(|into| memory::set_number(into, memory::PORT, port.into()))
        })
        .await
    }

    async fn remembered_port(&self) -> io::Result<Option<u16>> {
        self.blocking(|shared| lock(&shared.dir).database().map_or(Ok(None), kept_port)).await
    }
}

fn kept_port(database: &mut Database) -> io::Result<Option<u16>> {
    let port = database.read(|from| number(from, memory::PORT))?;
    Ok(port.and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0))
}

/// What is behind the mutex is whole after each statement, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine's word for a failure; the cause itself goes to the log.
fn failure(error: &io::Error) -> StoreFailure {
    tracing::warn!(%error, "the store failed");
    if error.get_ref().is_some_and(|inner| inner.is::<FolderError>()) {
        return StoreFailure::Malformed;
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreFailure::Full
        }
        _ => StoreFailure::Io,
    }
}

#[cfg(test)]
mod index_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod tests;
