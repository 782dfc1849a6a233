//! A folder that was received, written to where nobody looks for it yet.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use p2pnet_engine::{FolderEntry, FolderError, FolderIndex};

use crate::disk_store::{durable, name};
use crate::sys;

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// Bytes that tell the length of an index.
const HEAD: usize = 12;

/// Writes all that is in the folder of which `packed` holds the `size` bytes into the new folder `staging`, with safe
/// names, and makes it durable. What was at `staging` is removed first, and after an error too. A content that is no
/// folder is an error with a [`FolderError`] in it.
pub(crate) fn unpack(packed: &File, size: u64, staging: &Path) -> io::Result<()> {
    remove(staging)?;
    let written = write(packed, size, staging);
    if written.is_err() {
        let _ = remove(staging);
    }
    written
}

/// Removes a folder that was not finished, if there is one.
pub(crate) fn remove(staging: &Path) -> io::Result<()> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(packed: &File, size: u64, staging: &Path) -> io::Result<()> {
    let index = read_index(packed, size)?;
    let mut offset = size - index.file_bytes().unwrap_or(size);
    fs::create_dir(staging)?;
    let mut tree = Tree { levels: vec![Level::at(String::new(), staging.to_owned())] };
    let mut buffer = vec![0; PIECE];
    for FolderEntry { path, size } in index.entries() {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        tree.enter(folders)?;
        match size {
            None => {
                tree.make(name, |path| fs::create_dir(path))?;
            }
            Some(size) => {
                let mut file =
                    tree.make(name, |path| OpenOptions::new().write(true).create_new(true).open(path))?.0;
                copy(packed, offset, *size, &mut file, &mut buffer)?;
                offset += size;
                if !sys::SYNCS_ALL {
                    file.sync_all()?;
                }
            }
        }
    }
    tree.enter("")?;
    if sys::SYNCS_ALL { sys::sync_all(&File::open(staging)?) } else { durable::sync_directory(staging) }
}

fn read_index(packed: &File, size: u64) -> io::Result<FolderIndex> {
    let no_folder = |error: FolderError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut head = [0; HEAD];
    if size < HEAD as u64 {
        return Err(no_folder(FolderError::Malformed));
    }
    durable::read_exact_at(packed, &mut head, 0)?;
    let length = FolderIndex::length(&head).map_err(no_folder)?;
    if length as u64 > size {
        return Err(no_folder(FolderError::Malformed));
    }
    let mut index = vec![0; length];
    durable::read_exact_at(packed, &mut index, 0)?;
    FolderIndex::parse(&index, size).map_err(no_folder)
}

fn copy(from: &File, mut offset: u64, mut size: u64, to: &mut File, buffer: &mut [u8]) -> io::Result<()> {
    while size > 0 {
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(buffer.len());
        let Some(piece) = buffer.get_mut(..length) else { break };
        durable::read_exact_at(from, piece, offset)?;
        to.write_all(piece)?;
        offset += length as u64;
        size -= length as u64;
    }
    Ok(())
}

/// The folders that lead to the entry that is written. Since entries come in order, what was left is never entered again.
struct Tree {
    /// The first is the top.
    levels: Vec<Level>,
}

struct Level {
    /// The folder's name in the index.
    name: String,
    path: PathBuf,
    /// The number to try next for each safe name that was wanted here, so that many alike cost no more than others.
    next: BTreeMap<String, u32>,
}

impl Level {
    fn at(name: String, path: PathBuf) -> Level {
        Level { name, path, next: BTreeMap::new() }
    }
}

impl Tree {
    /// Leaves the folders that are over, and makes those that are new.
    fn enter(&mut self, folders: &str) -> io::Result<()> {
        let names: Vec<&str> = folders.split('/').filter(|name| !name.is_empty()).collect();
        let open = self.levels.iter().skip(1).map(|level| level.name.as_str());
        let same = open.zip(&names).take_while(|(open, name)| open == *name).count();
        for left in self.levels.drain(same + 1..).rev() {
            if !sys::SYNCS_ALL {
                durable::sync_directory(&left.path)?;
            }
        }
        for name in names.into_iter().skip(same) {
            let (_, path) = self.make(name, |path| fs::create_dir(path))?;
            self.levels.push(Level::at(name.to_owned(), path));
        }
        Ok(())
    }

    /// Makes something in the innermost folder under a safe name that is free there, numbered if it has to be: two names
    /// of the publisher may be one here, by being made safe or to a file system that does not tell cases apart.
    fn make<T>(&mut self, name: &str, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
        let Some(level) = self.levels.last_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        let safe = name::safe_inside(name);
        let next = level.next.entry(safe.to_lowercase()).or_insert(1);
        loop {
            let path = level.path.join(if *next == 1 { safe.clone() } else { name::numbered(&safe, *next) });
            *next = next.saturating_add(1);
            match make(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && *next < u32::MAX => {}
                made => return Ok((made?, path)),
            }
        }
    }
}
