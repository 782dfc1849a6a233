//! Where contents are that were received or published, in the table `contents` of the database: what is here already need
//! not come over the network again, also after a restart.
//!
//! The key is the hash and the size (u64), the value the kind (0 file, 1 folder), its turn (u64, counted
//! up), when the file was last written to (nanoseconds since 1970, u64), and the path. Numbers are little endian. What it
//! says is a hint: a file is read and hashed before it counts as the content.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use p2pnet_engine::{BlockList, ContentId, ContentKind};
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};

use super::database::NUMBERS;
use super::published::Published;
use crate::seam::Source;

const CONTENTS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("contents");

/// The turn of the last content that was kept.
const TURN: &str = "contents";

/// Contents that are kept in mind. Beyond it the one kept longest ago is forgotten; its file stays.
const MAX_CONTENTS: u64 = 4096;

/// Bytes of a path that is kept.
const MAX_PATH: usize = 4096;

/// A content, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) content: ContentId,
    pub(super) is_folder: bool,
    /// The last one kept has the greatest; a new one gets it when it is kept.
    turn: u64,
    modified: u64,
    pub(super) path: PathBuf,
}

/// What can be said of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// It has the size and the time of the last writing that it had.
    Same,
    /// It may be the content or not. A folder always may.
    Doubtful,
    /// There is none.
    Gone,
}

impl Entry {
    /// A content that is at `path` now; `None` if that is not to be kept.
    pub(super) fn new(content: ContentId, kind: ContentKind, path: &Path) -> Option<Entry> {
        let path = fs::canonicalize(path).ok()?;
        path.to_str().filter(|path| path.len() <= MAX_PATH)?;
        let is_folder = kind == ContentKind::Folder;
        let modified = if is_folder { 0 } else { nanoseconds(fs::metadata(&path).ok()?.modified().ok()?) };
        Some(Entry { content, is_folder, turn: 0, modified, path })
    }

    pub(super) fn looks(&self) -> Looks {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if self.is_folder && found.is_dir() => Looks::Doubtful,
            Ok(found) if !self.is_folder && found.is_file() => {
                let same = found.len() == self.content.size
                    && found.modified().is_ok_and(|modified| nanoseconds(modified) == self.modified);
                if same { Looks::Same } else { Looks::Doubtful }
            }
            _ => Looks::Gone,
        }
    }

    /// Reads and hashes all of it; `None` if it is not the content.
    pub(super) fn prove(&self) -> Option<(Published, BlockList)> {
        if self.looks() == Looks::Gone {
            return None;
        }
        let path = self.path.clone();
        let source = if self.is_folder { Source::Folder(path) } else { Source::File(path) };
        let (published, manifest, list) = Published::open(source).ok()?;
        (manifest.content == self.content).then_some((published, list))
    }

    fn encode(&self, turn: u64) -> Option<Vec<u8>> {
        let mut value = vec![u8::from(self.is_folder)];
        value.extend_from_slice(&turn.to_le_bytes());
        value.extend_from_slice(&self.modified.to_le_bytes());
        value.extend_from_slice(self.path.to_str()?.as_bytes());
        Some(value)
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Entry> {
        let (hash, size) = key.split_first_chunk()?;
        let content = ContentId { hash: *hash, size: u64::from_le_bytes(size.try_into().ok()?) };
        let (&kind, value) = value.split_first()?;
        let (turn, value) = value.split_first_chunk()?;
        let (modified, path) = value.split_first_chunk()?;
        Some(Entry {
            content,
            is_folder: kind == 1,
            turn: u64::from_le_bytes(*turn),
            modified: u64::from_le_bytes(*modified),
            path: PathBuf::from(std::str::from_utf8(path).ok()?),
        })
    }
}

/// All that is kept, the last one first. What cannot be read is left out.
pub(super) fn all(transaction: &ReadTransaction) -> Result<Vec<Entry>, redb::Error> {
    let mut entries = Vec::new();
    match transaction.open_table(CONTENTS) {
        Ok(table) => {
            for entry in table.iter()? {
                let (key, value) = entry?;
                entries.extend(Entry::decode(key.value(), value.value()));
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.turn));
    Ok(entries)
}

/// What is kept of one content.
pub(super) fn find(transaction: &ReadTransaction, content: &ContentId) -> Result<Option<Entry>, redb::Error> {
    let key = key(content);
    match transaction.open_table(CONTENTS) {
        Ok(table) => Ok(table.get(&*key)?.and_then(|value| Entry::decode(&key, value.value()))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Keeps where a content is, in place of where it was.
pub(super) fn keep(transaction: &WriteTransaction, entry: &Entry) -> Result<(), redb::Error> {
    let mut numbers = transaction.open_table(NUMBERS)?;
    let turn = numbers.get(TURN)?.map_or(0, |turn| turn.value()).saturating_add(1);
    let Some(value) = entry.encode(turn) else { return Ok(()) };
    numbers.insert(TURN, turn)?;
    let mut table = transaction.open_table(CONTENTS)?;
    table.insert(&*key(&entry.content), &*value)?;
    while table.len()? > MAX_CONTENTS {
        let mut oldest: Option<(u64, Vec<u8>)> = None;
        for kept in table.iter()? {
            let (key, value) = kept?;
            let at = Entry::decode(key.value(), value.value()).map_or(0, |entry| entry.turn);
            if oldest.as_ref().is_none_or(|(before, _)| at < *before) {
                oldest = Some((at, key.value().to_vec()));
            }
        }
        let Some((_, key)) = oldest else { break };
        table.remove(&*key)?;
    }
    Ok(())
}

/// Forgets these contents.
pub(super) fn forget(transaction: &WriteTransaction, contents: &[ContentId]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(CONTENTS)?;
    for content in contents {
        table.remove(&*key(content))?;
    }
    Ok(())
}

fn key(content: &ContentId) -> Vec<u8> {
    [&content.hash[..], &content.size.to_le_bytes()].concat()
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
