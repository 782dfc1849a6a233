//! A folder on disk, read as the one content that it is for others: its index, and then its files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use p2pnet_engine::{FolderEntry, FolderError, FolderIndex, MAX_FOLDER_ENTRIES};

use crate::disk_store::durable;

/// A folder as it was when it was walked through. Of a folder that changes since, blocks with changed files cannot be
/// read any more.
#[derive(Debug)]
pub(crate) struct PackedFolder {
    index: Vec<u8>,
    root: PathBuf,
    /// In the order of their bytes.
    files: Vec<PackedFile>,
    size: u64,
}

#[derive(Debug)]
struct PackedFile {
    /// Where its bytes begin in the content.
    start: u64,
    size: u64,
    modified: Option<SystemTime>,
    /// Below the root.
    path: PathBuf,
}

impl PackedFolder {
    /// Walks through all that is in the folder `root`, without reading files.
    pub(crate) fn walk(root: &Path) -> io::Result<PackedFolder> {
        let mut entries = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let mut is_empty = true;
            for item in fs::read_dir(root.join(&folder))? {
                let item = item?;
                is_empty = false;
                let path = folder.join(item.file_name());
                let kind = item.file_type()?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    entries.push(FolderEntry { path: as_text(&path)?, size: Some(item.metadata()?.len()) });
                } else if kind.is_symlink() {
                    return Err(refused(
                        &path,
                        "is a symbolic link; put what it points to in its place, or leave it out",
                    ));
                } else {
                    return Err(refused(&path, "is neither a file nor a folder; leave it out"));
                }
                if entries.len() > MAX_FOLDER_ENTRIES {
                    return Err(unfit(FolderError::TooMany));
                }
            }
            if is_empty && !folder.as_os_str().is_empty() {
                entries.push(FolderEntry { path: as_text(&folder)?, size: None });
            }
        }
        let index = FolderIndex::new(entries).map_err(unfit)?;
        let bytes = index.encode();
        let mut start = bytes.len() as u64;
        let mut files = Vec::new();
        for entry in index.entries() {
            let Some(size) = entry.size else { continue };
            let path: PathBuf = entry.path.split('/').collect();
            let modified = fs::symlink_metadata(root.join(&path))?.modified().ok();
            files.push(PackedFile { start, size, modified, path });
            start = start.checked_add(size).ok_or(io::ErrorKind::FileTooLarge)?;
        }
        Ok(PackedFolder { index: bytes, root: root.to_owned(), files, size: start })
    }

    /// Bytes of the whole content.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buffer` from the content's bytes at `offset`, all of which must be there.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let of_index = self.index.get(start..).unwrap_or_default();
        let of_index = of_index.get(..buffer.len()).unwrap_or(of_index);
        let (head, mut rest) = buffer.split_at_mut(of_index.len());
        head.copy_from_slice(of_index);
        let mut offset = offset + of_index.len() as u64;
        // The last file that begins there or before; files without bytes begin where the next one does.
        let first = self.files.partition_point(|file| file.start + file.size <= offset);
        for file in self.files.get(first..).unwrap_or_default() {
            if rest.is_empty() {
                break;
            }
            let (here, after) = rest.split_at_mut(file.length_from(offset).min(rest.len()));
            file.read_exact_at(&self.root, here, offset)?;
            offset += here.len() as u64;
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl PackedFile {
    /// How many bytes it has from there on.
    fn length_from(&self, offset: u64) -> usize {
        usize::try_from((self.start + self.size).saturating_sub(offset)).unwrap_or(usize::MAX)
    }

    fn read_exact_at(&self, root: &Path, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let file = File::open(root.join(&self.path))?;
        durable::read_exact_at(&file, buffer, offset.saturating_sub(self.start))?;
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() == self.size && metadata.modified().ok() == self.modified {
            return Ok(());
        }
        Err(refused(&self.path, "was changed while it was shared"))
    }
}

/// The path as others are told of it.
fn as_text(path: &Path) -> io::Result<String> {
    let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
    names.map(|names| names.join("/")).ok_or_else(|| refused(path, "has a name that is no text; rename it"))
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{path:?} {why}"))
}

fn unfit(error: FolderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
