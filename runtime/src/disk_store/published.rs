//! Content that others may read, block by block.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use p2pnet_engine::{
    BLOCK_SIZE, BlockList, BlockRef, ContentHasher, ContentKind, MAX_BLOCKS, Manifest, TooLarge,
};

use super::durable;
use super::folder::PackedFolder;
use crate::buffers;
use crate::seam::Source;

/// Something published, ready to be read.
#[derive(Debug)]
pub(crate) struct Published {
    bytes: Bytes,
    size: u64,
}

/// Where its bytes are.
#[derive(Debug)]
enum Bytes {
    /// Opened once: a file that is renamed or deleted can still be served.
    File {
        file: File,
        modified: Option<SystemTime>,
    },
    Folder(PackedFolder),
    Memory(Vec<u8>),
}

impl Published {
    /// Reads all of `source` once, to name it by its hash.
    pub(crate) fn open(source: Source) -> io::Result<(Published, Manifest, BlockList)> {
        let mut hasher = ContentHasher::new();
        let (name, bytes) = match source {
            Source::File(path) => {
                let file = open_regular(&path)?;
                let modified = file.metadata()?.modified().ok();
                hash(&file, &mut hasher)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (name, Bytes::File { file, modified })
            }
            Source::Folder(path) => {
                let folder = PackedFolder::walk(&path)?;
                hash_folder(&folder, &mut hasher)?;
                // Of `.` the name is that of the folder that it is.
                let name =
                    fs::canonicalize(&path)?.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (name, Bytes::Folder(folder))
            }
            Source::Bytes { name, bytes } => {
                hasher.update(&bytes);
                (name, Bytes::Memory(bytes))
            }
        };
        let (content, list) = hasher.finish().map_err(too_large)?;
        let kind = if matches!(bytes, Bytes::Folder(_)) { ContentKind::Folder } else { ContentKind::File };
        let published = Published { bytes, size: content.size };
        published.check_unchanged()?;
        Ok((published, Manifest { content, name: shown(&name), kind }, list))
    }

    /// A file that was received, every block of it verified.
    pub(crate) fn received(file: File, size: u64) -> io::Result<Published> {
        let modified = file.metadata()?.modified().ok();
        Ok(Published { bytes: Bytes::File { file, modified }, size })
    }

    /// Reads one block, whole.
    pub(crate) fn read(&self, block: BlockRef) -> io::Result<Vec<u8>> {
        let offset = u64::from(block.index) * BLOCK_SIZE as u64;
        let length = block.content.block_len(block.index).ok_or(io::ErrorKind::InvalidInput)?;
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
                bytes
                    .get(start..start + length)
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| io::ErrorKind::InvalidInput.into())
            }
            Bytes::Folder(folder) => {
                let mut data = buffers::of_length(length);
                folder.read_exact_at(&mut data, offset)?;
                Ok(data)
            }
            Bytes::File { file, .. } => {
                let mut data = buffers::of_length(length);
                durable::read_exact_at(file, &mut data, offset)?;
                self.check_unchanged()?;
                Ok(data)
            }
        }
    }

    /// A file that was written to since it was hashed would only send blocks that receivers must refuse.
    fn check_unchanged(&self) -> io::Result<()> {
        let Bytes::File { file, modified } = &self.bytes else { return Ok(()) };
        let metadata = file.metadata()?;
        if metadata.len() == self.size && metadata.modified().ok() == *modified {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the file was changed while it was shared"))
    }
}

/// Hashes the file from its start, a block at a time so that the cuts are the fastest ones.
fn hash(file: &File, hasher: &mut ContentHasher) -> io::Result<()> {
    if file.metadata()?.len() > u64::from(MAX_BLOCKS) * BLOCK_SIZE as u64 {
        return Err(too_large(TooLarge));
    }
    let mut buffer = vec![0; BLOCK_SIZE];
    let mut filled = 0;
    let mut reader = file;
    loop {
        match reader.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled == buffer.len() {
            hasher.update(&buffer);
            filled = 0;
        }
    }
    hasher.update(buffer.get(..filled).unwrap_or_default());
    Ok(())
}

/// Hashes the folder's index and files, a block at a time.
fn hash_folder(folder: &PackedFolder, hasher: &mut ContentHasher) -> io::Result<()> {
    if folder.size() > u64::from(MAX_BLOCKS) * BLOCK_SIZE as u64 {
        return Err(too_large(TooLarge));
    }
    let mut buffer = vec![0; BLOCK_SIZE];
    let mut offset = 0;
    while offset < folder.size() {
        let left = usize::try_from(folder.size() - offset).unwrap_or(usize::MAX);
        let Some(block) = buffer.get_mut(..left.min(BLOCK_SIZE)) else { break };
        folder.read_exact_at(block, offset)?;
        hasher.update(block);
        offset += block.len() as u64;
    }
    Ok(())
}

fn too_large(error: TooLarge) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, error)
}

/// The name as manifests allow it: at most 255 bytes, no control characters.
fn shown(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    name.get(..name.floor_char_boundary(255)).unwrap_or_default().to_owned()
}

/// Opens a file; a pipe would block and a directory has no bytes.
fn open_regular(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}
