//! A file that is being received: blocks at their offsets, under a name that nobody takes for a finished file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use p2pnet_engine::ContentId;
use tokio::time::Instant;

use super::{durable, name};

/// Blocks are made durable together: when so many bytes are not yet ...
const SYNC_BYTES: u64 = 256 << 20;

/// ... or the first of them is so old.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// How many names are tried for one file before giving up.
const MAX_NAMES: u32 = 10_000;

/// The open file behind `.p2pnet-<hash>.part`. Dropped without [`finish`](Self::finish), it is removed.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    size: u64,
    unsynced: Mutex<Unsynced>,
}

/// What was written and is not durable yet.
#[derive(Debug, Default)]
struct Unsynced {
    bytes: u64,
    since: Option<Instant>,
}

impl Partial {
    /// Starts with nothing in `inbox`, which is created if need be. What an earlier run left of the same content
    /// is overwritten; what another process is receiving is left alone.
    pub(crate) fn create(inbox: &Path, content: &ContentId) -> io::Result<Partial> {
        fs::create_dir_all(inbox)?;
        let start: String = data_encoding::HEXLOWER.encode(content.hash.get(..8).unwrap_or_default());
        for number in 1..=MAX_NAMES {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = inbox.join(format!(".p2pnet-{start}{suffix}.part"));
            if let Some(file) = claim(&path)? {
                return Ok(Partial { file, path, size: content.size, unsynced: Mutex::default() });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Writes a block at `offset`; it must lie inside the content. Now and then makes durable what was written.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let length = data.len() as u64;
        if offset.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        durable::write_all_at(&self.file, data, offset)?;
        if self.is_sync_due(length) { self.file.sync_data() } else { Ok(()) }
    }

    /// Makes all of it durable under a name in the inbox that was free: `wanted`, made safe and numbered if it
    /// is taken. Says where it is.
    pub(crate) fn finish(&self, wanted: &str) -> io::Result<PathBuf> {
        if self.file.metadata()?.len() != self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.sync_all()?;
        // Another program may have been at it; a name must never lead to anything but what was verified.
        if !durable::is_at(&self.file, &self.path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inbox = self.path.parent().unwrap_or(Path::new("."));
        let safe = name::safe(wanted);
        for number in 1..=MAX_NAMES {
            let path = inbox.join(if number == 1 { safe.clone() } else { name::numbered(&safe, number) });
            match rename_to_free(&self.path, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    durable::sync_directory(inbox)?;
                    return fs::canonicalize(&path);
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
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
        if durable::is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens `path` empty and locks it, so that no other process takes it for a left-over; `None` if one is using it.
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
        file.set_len(0)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn content(size: u64) -> ContentId {
        ContentId { hash: [0xab; 32], size }
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
        let partial = Partial::create(inbox.path(), &content(6)).unwrap();
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
        let partial = Partial::create(inbox.path(), &content(1)).unwrap();
        partial.write(0, b"a").unwrap();
        let path = partial.finish("../x.txt").unwrap();
        assert_eq!(path.file_name().unwrap(), "x (4).txt");
        assert_eq!(fs::read(inbox.path().join("x.txt")).unwrap(), b"mine");
    }

    /// A transfer that was given up leaves nothing, and certainly no half file under its final name.
    #[test]
    fn an_unfinished_file_goes_when_it_is_dropped() {
        let inbox = tempfile::tempdir().unwrap();
        let partial = Partial::create(inbox.path(), &content(2)).unwrap();
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
        let partial = Partial::create(inbox.path(), &content(2)).unwrap();
        partial.write(0, b"ok").unwrap();
        assert_eq!(fs::read(partial.finish("x").unwrap()).unwrap(), b"ok");
        drop(partial);
        assert_eq!(names(inbox.path()), ["x"]);
    }

    /// Two programs with one inbox receive the same content: each has its own file.
    #[test]
    fn a_file_that_another_receives_is_left_alone() {
        let inbox = tempfile::tempdir().unwrap();
        let first = Partial::create(inbox.path(), &content(2)).unwrap();
        first.write(0, b"1").unwrap();
        let second = Partial::create(inbox.path(), &content(2)).unwrap();
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
        let partial = Partial::create(inbox.path(), &content(1)).unwrap();
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
        let partial = Partial::create(inbox.path(), &content(1)).unwrap();
        partial.write(0, b"a").unwrap();
        partial.finish("x").unwrap();
        assert_eq!(fs::read(elsewhere.path()).unwrap(), b"precious");
    }

    /// A block outside the content would make the file longer than what was announced.
    #[test]
    fn a_block_outside_the_content_is_refused() {
        let inbox = tempfile::tempdir().unwrap();
        let partial = Partial::create(inbox.path(), &content(4)).unwrap();
        assert!(partial.write(2, b"abc").is_err());
        assert!(partial.write(u64::MAX, b"abc").is_err());
    }

    /// An empty file is a file.
    #[test]
    fn empty_content_makes_an_empty_file() {
        let inbox = tempfile::tempdir().unwrap();
        let partial = Partial::create(inbox.path(), &content(0)).unwrap();
        assert_eq!(fs::read(partial.finish("empty").unwrap()).unwrap(), b"");
    }
}
