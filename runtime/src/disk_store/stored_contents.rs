//! Looking at, checking and tidying up what a data directory knows of contents, while no node uses it.

use std::io;
use std::path::{Path, PathBuf};

use p2pnet_engine::ContentId;

use super::data_dir::DataDir;
use super::database::Database;
use super::index::{self, Entry, Looks};
use super::{DiskStoreError, partial};

/// What a data directory knows of contents that were received or published. No node can use the directory while this
/// lives.
#[derive(Debug)]
pub struct StoredContents(DataDir);

/// A content that was received or published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredContent {
    /// Which.
    pub content: ContentId,
    /// Where it was.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// What became of it.
    pub state: StoredState,
}

/// What became of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredState {
    /// Its file has the size and the time of the last writing that it had.
    Same,
    /// Its file was written to, or it is a folder: only reading it tells.
    Doubtful,
    /// It was read and is what it was.
    Good,
    /// It was read and is something else.
    Changed,
    /// Nothing is there any more.
    Gone,
}

impl StoredState {
    /// One word for programs and people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StoredState::Same => "same",
            StoredState::Doubtful => "doubtful",
            StoredState::Good => "good",
            StoredState::Changed => "changed",
            StoredState::Gone => "gone",
        }
    }
}

impl StoredContents {
    /// Opens what the data directory `dir` knows.
    ///
    /// # Errors
    /// If there is no such directory, a node uses it, or [`DiskStore::open`](super::DiskStore::open) would fail.
    pub fn open(dir: impl AsRef<Path>) -> Result<StoredContents, DiskStoreError> {
        let path = dir.as_ref();
        if !path.is_dir() {
            let source = io::ErrorKind::NotFound.into();
            return Err(DiskStoreError::Directory { path: path.to_owned(), source });
        }
        DataDir::open(path).map(StoredContents)
    }

    /// All contents, the last one first, as they look without being read.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn list(&mut self) -> io::Result<Vec<StoredContent>> {
        Ok(self.entries()?.iter().map(|entry| stored(entry, looks(entry))).collect())
    }

    /// Reads and hashes all contents: each is good, changed or gone, and `tell` hears it at once. Takes a second or two
    /// for each GiB.
    ///
    /// # Errors
    /// What the operating system says of the database, or what `tell` says.
    pub fn verify<E: From<io::Error>>(
        &mut self,
        mut tell: impl FnMut(StoredContent) -> Result<(), E>,
    ) -> Result<(), E> {
        self.entries()?.iter().try_for_each(|entry| tell(stored(entry, read(entry))))
    }

    /// Forgets the contents that are gone or something else now, and says which these are. What looks the same is not
    /// read, and no file is touched.
    ///
    /// # Errors
    /// What the operating system says; then nothing is forgotten.
    pub fn collect(&mut self) -> io::Result<Vec<StoredContent>> {
        let mut lost = Vec::new();
        for entry in self.entries()? {
            let state = match looks(&entry) {
                StoredState::Doubtful => read(&entry),
                state => state,
            };
            if matches!(state, StoredState::Changed | StoredState::Gone) {
                lost.push(stored(&entry, state));
            }
        }
        let contents: Vec<ContentId> = lost.iter().map(|lost| lost.content).collect();
        if !contents.is_empty() {
            self.database()?.write(|into| index::forget(into, &contents))?;
        }
        Ok(lost)
    }

    /// Removes from an inbox what interrupted transfers left and nobody has touched for a week, and of the rest the oldest
    /// beyond 64 GiB. Says how many there were. What somebody is receiving stays.
    pub fn collect_leftovers(inbox: impl AsRef<Path>) -> usize {
        partial::remove_forgotten(inbox.as_ref())
    }

    fn entries(&mut self) -> io::Result<Vec<Entry>> {
        self.database()?.read(index::all)
    }

    fn database(&mut self) -> io::Result<&mut Database> {
        self.0.database().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

fn stored(entry: &Entry, state: StoredState) -> StoredContent {
    StoredContent { content: entry.content, path: entry.path.clone(), is_folder: entry.is_folder, state }
}

fn looks(entry: &Entry) -> StoredState {
    match entry.looks() {
        Looks::Same => StoredState::Same,
        Looks::Doubtful => StoredState::Doubtful,
        Looks::Gone => StoredState::Gone,
    }
}

fn read(entry: &Entry) -> StoredState {
    match entry.looks() {
        Looks::Gone => StoredState::Gone,
        _ if entry.prove().is_some() => StoredState::Good,
        _ => StoredState::Changed,
    }
}
