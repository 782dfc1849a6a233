//! A file that is being received: blocks at their offsets, under a name that nobody takes for a finished file. Beside it
//! lies the list of its chaining values: with it the blocks that an earlier run left prove themselves, so nothing needs
//! to be written down about them, and nothing can be wrong about what was.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use p2pnet_engine::{BLOCK_SIZE, BlockList, BlockRef, ContentId, Leftovers};
use tokio::time::Instant;

use super::published::Published;
use super::{durable, folder, name};
use crate::buffers;

/// Blocks are made durable together: when so many bytes are not yet ...
const SYNC_BYTES: u64 = 256 << 20;

/// ... or the first of them is so old.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// How many names are tried for one file before giving up.
const MAX_NAMES: u32 = 10_000;

/// What nobody has touched for so long is removed.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Bytes of left-overs that stay in an inbox: 64 GiB.
const LEFTOVERS_SIZE: u64 = 64 << 30;

/// The beginning of both names. Then comes the beginning of the hash, and a number if that is taken.
const PREFIX: &str = ".p2pnet-";

/// The open file behind `.p2pnet-<hash>.part`. Dropped without [`finish`](Self::finish), it stays if it has its list and
/// was not given up.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    content: ContentId,
    /// Whether another run can go on with it.
    resumable: AtomicBool,
    unsynced: Mutex<Unsynced>,
}

/// What was written and is not durable yet.
#[derive(Debug, Default)]
struct Unsynced {
    bytes: u64,
    since: Option<Instant>,
}

impl Partial {
    /// Goes on with what an earlier run left in `inbox` of this content, or starts with nothing. The inbox is created if
    /// need be, and what another process is receiving is left alone. Reads and hashes all that is there.
    pub(crate) fn open(inbox: &Path, content: &ContentId) -> io::Result<(Partial, Leftovers)> {
        fs::create_dir_all(inbox)?;
        let start: String = data_encoding::HEXLOWER.encode(content.hash.get(..8).unwrap_or_default());
        for number in 1..=MAX_NAMES {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = inbox.join(format!("{PREFIX}{start}{suffix}.part"));
            if let Some(file) = claim(&path)? {
                let leftovers = find_leftovers(&file, &list_path(&path), content)?;
                let resumable = AtomicBool::new(!leftovers.list.is_empty());
                let partial =
                    Partial { file, path, content: *content, resumable, unsynced: Mutex::default() };
                return Ok((partial, leftovers));
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Writes a block at `offset`; it must lie inside the content. Now and then makes durable what was written.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let length = data.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.content.size) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        durable::write_all_at(&self.file, data, offset)?;
        if self.is_sync_due(length) { self.file.sync_data().map_err(lost) } else { Ok(()) }
    }

    /// Reads a block that was written.
    pub(crate) fn read(&self, block: BlockRef) -> io::Result<Vec<u8>> {
        let length = block.content.block_len(block.index).ok_or(io::ErrorKind::InvalidInput)?;
        let mut data = buffers::of_length(length);
        durable::read_exact_at(&self.file, &mut data, u64::from(block.index) * BLOCK_SIZE as u64)?;
        Ok(data)
    }

    /// Copies what another place on this disk has and is missing here. `whole` was found to have this list.
    pub(crate) fn fill(
        &self,
        whole: &Published,
        list: BlockList,
        leftovers: Leftovers,
    ) -> io::Result<Leftovers> {
        if !list.is_empty() {
            self.keep_list(&list)?;
        }
        let content = self.content;
        let mut blocks = leftovers.blocks;
        for index in (0..content.block_count())
            .filter(|index| blocks.binary_search(index).is_err())
            .collect::<Vec<_>>()
        {
            // What cannot be read any more comes from a peer.
            let Ok(data) = whole.read(BlockRef { content, index }) else { break };
            if list.check(&content, index).is_some_and(|check| check.accepts(&data)) {
                self.write(u64::from(index) * BLOCK_SIZE as u64, &data)?;
                blocks.push(index);
            }
        }
        Ok(Leftovers { list, blocks })
    }

    /// What is finished, for others to read.
    pub(crate) fn published(&self) -> io::Result<Published> {
        // It is no left-over any more, whoever opens it.
        let _ = self.file.unlock();
        Published::received(self.file.try_clone()?, self.content.size)
    }

    /// Makes all of it durable under a name in the inbox that was free: `wanted`, made safe and numbered if it
    /// is taken. Says where it is.
    pub(crate) fn finish(&self, wanted: &str) -> io::Result<PathBuf> {
        if self.file.metadata()?.len() != self.content.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.sync_all().map_err(lost)?;
        // Another program may have been at it; a name must never lead to anything but what was verified.
        if !durable::is_at(&self.file, &self.path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.give_name(wanted, |path| rename_to_free(&self.path, path))
    }

    /// The same for a folder: all that is in it is made durable where nobody looks for it, and then gets its name at once.
    pub(crate) fn finish_folder(&self, wanted: &str) -> io::Result<PathBuf> {
        let staging = staging_path(&self.path);
        folder::unpack(&self.file, self.content.size, &staging)?;
        let path = self.give_name(wanted, |path| rename_folder_to_free(&staging, path))?;
        if durable::is_at(&self.file, &self.path) {
            fs::remove_file(&self.path)?;
        }
        Ok(path)
    }

    /// Has `rename` take the first name in the inbox that is free, and says which it is.
    fn give_name(&self, wanted: &str, rename: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
        let inbox = self.path.parent().unwrap_or(Path::new("."));
        let safe = name::safe(wanted);
        for number in 1..=MAX_NAMES {
            let path = inbox.join(if number == 1 { safe.clone() } else { name::numbered(&safe, number) });
            match rename(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let _ = fs::remove_file(list_path(&self.path));
                    durable::sync_directory(inbox)?;
                    return fs::canonicalize(&path);
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Keeps the list, so that another run can go on with the blocks. It proves itself, so it need not be durable.
    pub(crate) fn keep_list(&self, list: &BlockList) -> io::Result<()> {
        let path = list_path(&self.path);
        let values = list.values().concat();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        durable::private_options().create_new(true).open(&path)?.write_all(&values)?;
        self.resumable.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Says that nobody will go on with it.
    pub(crate) fn abandon(&self) {
        self.resumable.store(false, Ordering::Relaxed);
    }

    fn is_sync_due(&self, written: u64) -> bool {
        let mut unsynced = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        unsynced.bytes += written;
        let now = Instant::now();
        let since = *unsynced.since.get_or_insert(now);
        let due = unsynced.bytes >= SYNC_BYTES || now.duration_since(since) >= SYNC_AFTER;
        if due {
            *unsynced = Unsynced::default();
        }
        due
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.resumable.load(Ordering::Relaxed) && durable::is_at(&self.file, &self.path) {
            remove(&self.path);
        }
    }
}

/// Removes what is being received, and all that belongs to it.
fn remove(part: &Path) {
    let _ = fs::remove_file(list_path(part));
    let _ = folder::remove(&staging_path(part));
    let _ = fs::remove_file(part);
}

/// What was written before is not there although nobody said so then: no room now is no reason to wait.
fn lost(error: io::Error) -> io::Error {
    io::Error::other(error)
}

fn list_path(part: &Path) -> PathBuf {
    part.with_extension("list")
}

fn staging_path(part: &Path) -> PathBuf {
    part.with_extension("folder")
}

/// The blocks in `file` that the list beside it proves. If it proves nothing of this content, the file is emptied.
fn find_leftovers(file: &File, list: &Path, content: &ContentId) -> io::Result<Leftovers> {
    let list = BlockList::from_values(read_list(list, content).unwrap_or_default());
    if list.is_empty() || !list.proves(content) {
        file.set_len(0)?;
        return Ok(Leftovers::default());
    }
    let length = file.metadata()?.len();
    let mut blocks = Vec::new();
    let mut data = vec![0; BLOCK_SIZE];
    for index in 0..content.block_count() {
        let offset = u64::from(index) * BLOCK_SIZE as u64;
        let (Some(size), Some(check)) = (content.block_len(index), list.check(content, index)) else { break };
        let Some(data) = data.get_mut(..size) else { break };
        // The end may never have been written.
        if offset + size as u64 > length {
            break;
        }
        durable::read_exact_at(file, data, offset)?;
        if check.accepts(data) {
            blocks.push(index);
        }
    }
    Ok(Leftovers { list, blocks })
}

/// The values in a list of as many as the content has blocks; whether they are right is for the list to prove.
fn read_list(path: &Path, content: &ContentId) -> io::Result<Vec<[u8; 32]>> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let length = u64::from(content.block_count()) * 32;
    let mut bytes = Vec::new();
    File::open(path)?.take(length + 1).read_to_end(&mut bytes)?;
    let (values, rest) = bytes.as_chunks();
    if bytes.len() as u64 != length || !rest.is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(values.to_vec())
}

/// Removes what other runs have left in the inbox and nobody has touched for [`FORGOTTEN`], and what is older than the
/// last [`LEFTOVERS_SIZE`] of the rest. Says how many.
pub(crate) fn remove_forgotten(inbox: &Path) -> usize {
    remove_beyond(inbox, LEFTOVERS_SIZE)
}

fn remove_beyond(inbox: &Path, most: u64) -> usize {
    let Ok(entries) = fs::read_dir(inbox) else { return 0 };
    let is_part = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "part")
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_part);
    let mut parts: Vec<(Duration, u64, PathBuf)> = paths
        .map(|path| {
            let found = fs::symlink_metadata(&path).ok();
            let modified = found.as_ref().and_then(|found| found.modified().ok());
            let age = modified.and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
            (age, found.map_or(0, |found| found.len()), path)
        })
        .collect();
    parts.sort();
    let (mut kept, mut removed) = (0u64, 0);
    for (age, size, path) in parts {
        kept = kept.saturating_add(size);
        if (age > FORGOTTEN || kept > most) && matches!(claim(&path), Ok(Some(_))) {
            remove(&path);
            removed += 1;
        }
    }
    removed
}

/// Opens `path` and locks it, so that no other process takes it for a left-over; `None` if one is using it.
fn claim(path: &Path) -> io::Result<Option<File>> {
    // Another process may remove or rename the file between our opening and locking it.
    for _ in 0..10 {
        if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Without locks (some network file systems) the name alone must do.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        if !durable::is_at(&file, path) {
            continue;
        }
        // A crash after the file got its final name but before it lost this one: emptying it would empty both.
        if durable::names(&file) > 1 {
            fs::remove_file(path)?;
            continue;
        }
        return Ok(Some(file));
    }
    Ok(None)
}

/// Renames, and fails with `AlreadyExists` rather than replace something.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => {
            // A file system without hard links (FAT): take the name first, then put the file there.
            OpenOptions::new().write(true).create_new(true).open(to)?;
            fs::rename(from, to).inspect_err(|_| {
                let _ = fs::remove_file(to);
            })
        }
    }
}

/// The same for a folder, which the system lets replace nothing but an empty one.
fn rename_folder_to_free(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use p2pnet_engine::ContentHasher;

    use super::*;

    fn content(size: u64) -> ContentId {
        ContentId { hash: [0xab; 32], size }
    }

    /// Of contents without a list nothing is ever left.
    fn open(inbox: &Path, content: ContentId) -> io::Result<Partial> {
        let (partial, leftovers) = Partial::open(inbox, &content)?;
        assert_eq!(leftovers, Leftovers::default());
        Ok(partial)
    }

    /// Three blocks and a bit, all different, and their list.
    fn blocks() -> (Vec<u8>, ContentId, BlockList) {
        let bytes: Vec<u8> = (0..3 * BLOCK_SIZE + 5).map(|i| (i / 1000 % 251) as u8).collect();
        let mut hasher = ContentHasher::new();
        hasher.update(&bytes);
        let (content, list) = hasher.finish().unwrap();
        (bytes, content, list)
    }

    fn write(partial: &Partial, bytes: &[u8], index: u32) {
        let start = index as usize * BLOCK_SIZE;
        let data = &bytes[start..bytes.len().min(start + BLOCK_SIZE)];
        partial.write(start as u64, data).unwrap();
    }

    /// An interrupted transfer goes on with the blocks that it has; one that a crash has torn is not among them.
    #[test]
    fn what_was_whole_is_there_after_an_interruption() {
        let inbox = tempfile::tempdir().unwrap();
        let (bytes, content, list) = blocks();
        let (partial, leftovers) = Partial::open(inbox.path(), &content).unwrap();
        assert_eq!(leftovers, Leftovers::default());
        partial.keep_list(&list).unwrap();
        [3, 0, 1].iter().for_each(|&index| write(&partial, &bytes, index));
        partial.write(BLOCK_SIZE as u64 + 77, b"torn").unwrap();
        drop(partial);
        assert_eq!(names(inbox.path()).len(), 2);

        let (partial, leftovers) = Partial::open(inbox.path(), &content).unwrap();
        assert_eq!(leftovers, Leftovers { list, blocks: vec![0, 3] });
        [1, 2].iter().for_each(|&index| write(&partial, &bytes, index));
        assert_eq!(fs::read(partial.finish("x").unwrap()).unwrap(), bytes);
        drop(partial);
        assert_eq!(names(inbox.path()), ["x"]);
    }

    /// A list that was changed, cut or belongs to something else proves nothing, and so there is nothing.
    #[test]
    fn leftovers_with_a_wrong_list_are_begun_anew() {
        let (bytes, content, list) = blocks();
        let right = list.values().concat();
        let flipped = [&[right[0] ^ 1], &right[1..]].concat();
        for wrong in [Vec::new(), right[..96].to_vec(), [&right[..], b"x"].concat(), flipped] {
            let inbox = tempfile::tempdir().unwrap();
            let (partial, _) = Partial::open(inbox.path(), &content).unwrap();
            partial.keep_list(&list).unwrap();
            write(&partial, &bytes, 0);
            let path = list_path(&partial.path);
            drop(partial);
            fs::write(path, wrong).unwrap();
            let (partial, leftovers) = Partial::open(inbox.path(), &content).unwrap();
            assert_eq!(leftovers, Leftovers::default());
            assert_eq!(partial.file.metadata().unwrap().len(), 0);
            drop(partial);
            assert!(names(inbox.path()).is_empty());
        }
    }

    /// What was given up, and what nobody came back for in a week, does not fill the disk.
    #[test]
    fn leftovers_go_when_they_are_given_up_or_forgotten() {
        let (bytes, content, list) = blocks();
        let inbox = tempfile::tempdir().unwrap();
        let left = || {
            let (partial, _) = Partial::open(inbox.path(), &content).unwrap();
            partial.keep_list(&list).unwrap();
            write(&partial, &bytes, 0);
            partial
        };
        left().abandon();
        assert!(names(inbox.path()).is_empty());

        drop(left());
        fs::write(inbox.path().join("mine.part"), "mine").unwrap();
        remove_forgotten(inbox.path());
        assert_eq!(names(inbox.path()).len(), 3);
        let age = |name: &str| {
            let file = OpenOptions::new().write(true).open(inbox.path().join(name)).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified - FORGOTTEN - Duration::from_secs(60)).unwrap();
        };
        names(inbox.path()).iter().for_each(|name| age(name));
        remove_forgotten(inbox.path());
        assert_eq!(names(inbox.path()), ["mine.part"]);
    }

    fn names(inbox: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(inbox).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Blocks come in any order; the name appears only with the whole.
    #[test]
    fn blocks_in_any_order_make_the_file() {
        let inbox = tempfile::tempdir().unwrap();
        let partial = open(inbox.path(), content(6)).unwrap();
        partial.write(4, b"ef").unwrap();
        partial.write(0, b"abcd").unwrap();
        assert_eq!(names(inbox.path()), [".p2pnet-abababababababab.part"]);
        let path = partial.finish("x.txt").unwrap();
        assert!(path.is_absolute());
        assert_eq!(fs::read(&path).unwrap(), b"abcdef");
        drop(partial);
        assert_eq!(names(inbox.path()), ["x.txt"]);
    }

    /// Nothing is ever overwritten, whatever the peer calls its file.
    #[cfg(unix)]
    #[test]
    fn a_taken_name_gets_a_number() {
        let inbox = tempfile::tempdir().unwrap();
        fs::write(inbox.path().join("x.txt"), "mine").unwrap();
        std::os::unix::fs::symlink("/nonexistent", inbox.path().join("x (2).txt")).unwrap();
        fs::create_dir(inbox.path().join("x (3).txt")).unwrap();
        let partial = open(inbox.path(), content(1)).unwrap();
        partial.write(0, b"a").unwrap();
        let path = partial.finish("../x.txt").unwrap();
        assert_eq!(path.file_name().unwrap(), "x (4).txt");
        assert_eq!(fs::read(inbox.path().join("x.txt")).unwrap(), b"mine");
    }

    /// A transfer that was given up leaves nothing, and certainly no half file under its final name.
    #[test]
    fn an_unfinished_file_goes_when_it_is_dropped() {
        let inbox = tempfile::tempdir().unwrap();
        let partial = open(inbox.path(), content(2)).unwrap();
        partial.write(0, b"a").unwrap();
        assert!(partial.finish("x").is_err(), "one byte is missing");
        drop(partial);
        assert!(names(inbox.path()).is_empty());
    }

    /// The bytes of a run that was killed do not shine through.
    #[test]
    fn what_an_earlier_run_left_is_overwritten() {
        let inbox = tempfile::tempdir().unwrap();
        fs::write(inbox.path().join(".p2pnet-abababababababab.part"), "left over").unwrap();
        let partial = open(inbox.path(), content(2)).unwrap();
        partial.write(0, b"ok").unwrap();
        assert_eq!(fs::read(partial.finish("x").unwrap()).unwrap(), b"ok");
        drop(partial);
        assert_eq!(names(inbox.path()), ["x"]);
    }

    /// Two programs with one inbox receive the same content: each has its own file.
    #[test]
    fn a_file_that_another_receives_is_left_alone() {
        let inbox = tempfile::tempdir().unwrap();
        let first = open(inbox.path(), content(2)).unwrap();
        first.write(0, b"1").unwrap();
        let second = open(inbox.path(), content(2)).unwrap();
        second.write(0, b"22").unwrap();
        first.write(1, b"1").unwrap();
        assert_eq!(fs::read(first.finish("x").unwrap()).unwrap(), b"11");
        assert_eq!(fs::read(second.finish("x").unwrap()).unwrap(), b"22");
        drop((first, second));
        assert_eq!(names(inbox.path()), ["x", "x (2)"]);
    }

    /// A crash between linking the final name and removing the partial one must not empty the finished file.
    #[test]
    fn a_finished_file_that_kept_its_partial_name_stays_whole() {
        let inbox = tempfile::tempdir().unwrap();
        fs::write(inbox.path().join("x"), "whole").unwrap();
        fs::hard_link(inbox.path().join("x"), inbox.path().join(".p2pnet-abababababababab.part")).unwrap();
        let partial = open(inbox.path(), content(1)).unwrap();
        partial.write(0, b"a").unwrap();
        assert_eq!(fs::read(inbox.path().join("x")).unwrap(), b"whole");
    }

    /// A link under the partial name must not lead our writes somewhere else.
    #[cfg(unix)]
    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let inbox = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(elsewhere.path(), "precious").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), inbox.path().join(".p2pnet-abababababababab.part"))
            .unwrap();
        let partial = open(inbox.path(), content(1)).unwrap();
        partial.write(0, b"a").unwrap();
        partial.finish("x").unwrap();
        assert_eq!(fs::read(elsewhere.path()).unwrap(), b"precious");
    }

    /// A block outside the content would make the file longer than what was announced.
    #[test]
    fn a_block_outside_the_content_is_refused() {
        let inbox = tempfile::tempdir().unwrap();
        let partial = open(inbox.path(), content(4)).unwrap();
        assert!(partial.write(2, b"abc").is_err());
        assert!(partial.write(u64::MAX, b"abc").is_err());
    }

    /// Left-overs have a quota; the oldest go first, and what somebody is receiving stays.
    #[test]
    fn the_oldest_leftovers_beyond_the_quota_go() {
        let inbox = tempfile::tempdir().unwrap();
        let hour = Duration::from_secs(3600);
        let part = |age: u32, size: u64| {
            let path = inbox.path().join(format!(".p2pnet-{age:016x}.part"));
            let file = File::create(&path).unwrap();
            file.set_len(size).unwrap();
            let now = file.metadata().unwrap().modified().unwrap();
            file.set_modified(now - hour * age).unwrap();
        };
        [(1, 10), (2, 10), (3, 10), (4, 10)].iter().for_each(|&(age, size)| part(age, size));
        let held = claim(&inbox.path().join(".p2pnet-0000000000000004.part")).unwrap().unwrap();
        fs::write(inbox.path().join("photo.jpg"), [0; 1000]).unwrap();
        assert_eq!(remove_beyond(inbox.path(), 25), 1);
        assert_eq!(
            names(inbox.path()),
            [
                ".p2pnet-0000000000000001.part",
                ".p2pnet-0000000000000002.part",
                ".p2pnet-0000000000000004.part",
                "photo.jpg"
            ]
        );
        drop(held);
        part(200, 1);
        assert_eq!(remove_beyond(inbox.path(), u64::MAX), 1, "a week is long");
    }

    /// An empty file is a file.
    #[test]
    fn empty_content_makes_an_empty_file() {
        let inbox = tempfile::tempdir().unwrap();
        let partial = open(inbox.path(), content(0)).unwrap();
        assert_eq!(fs::read(partial.finish("empty").unwrap()).unwrap(), b"");
    }
}
