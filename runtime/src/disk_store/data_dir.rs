//! The data directory: its lock, the identity key, the incarnation, the database.
//!
//! The identity key is a file of its own, because people copy it, and because nothing that happens to the rest may touch
//! it. The incarnation is in a file and in the database: whichever is lost, the other has it, and of two the greater is
//! true.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::database::{Database, number};
use super::memory::{self, INCARNATION};
use super::notebook;
use super::{DiskStoreError, durable};

const IDENTITY_HEADER: &str = "p2pnet identity 1";
const INCARNATION_HEADER: &str = "p2pnet incarnation 1";
const CHECK_CONTEXT: &str = "p2pnet identity file 1 check";

/// A directory that this process alone uses until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
    temporary: Option<tempfile::TempDir>,
    /// None if there is no next run.
    database: Option<Database>,
}

impl DataDir {
    /// Creates the directory if need be, locks it, and checks what is in it.
    pub(crate) fn open(path: &Path) -> Result<DataDir, DiskStoreError> {
        let mut dir = DataDir::lock(path, None)?;
        stored_identity(path)?;
        dir.database = Some(Database::open(path, |begin| memory::import(begin, &notebook::read(path)))?);
        notebook::remove(path);
        Ok(dir)
    }

    /// A new directory that goes when this is dropped.
    pub(crate) fn temporary() -> Result<DataDir, DiskStoreError> {
        let made = tempfile::Builder::new().prefix("p2pnet-").tempdir();
        let temporary =
            made.map_err(|source| DiskStoreError::Directory { path: std::env::temp_dir(), source })?;
        let path = temporary.path().to_owned();
        DataDir::lock(&path, Some(temporary))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when this is dropped.
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The database, if there is a next run that finds it.
    pub(crate) fn database(&mut self) -> Option<&mut Database> {
        self.database.as_mut()
    }

    /// The stored seed of the identity key, or `seed`, which is made durable first.
    pub(crate) fn identity_or(&self, seed: [u8; 32]) -> Result<[u8; 32], DiskStoreError> {
        let path = identity_path(&self.path);
        if let Some(stored) = stored_identity(&self.path)? {
            tighten(&path);
            return Ok(stored);
        }
        let text = Zeroizing::new(format_identity(&seed));
        durable::replace(&path, text.as_bytes()).map_err(|source| DiskStoreError::File { path, source })?;
        Ok(seed)
    }

    /// The last incarnation used; 0 if none is known. A node whose incarnation is lost finds its way back from what its peers
    /// remember.
    pub(crate) fn incarnation(&mut self) -> Result<u64, DiskStoreError> {
        let path = self.incarnation_path();
        let in_file = match read(&path)? {
            Some(text) => parse_incarnation(&text).unwrap_or_else(|| {
                tracing::warn!(file = %path.display(), "the last incarnation is damaged; going on from its copy");
                0
            }),
            None => 0,
        };
        let database = self.database.as_mut();
        let in_database = database.and_then(|database| database.read(|from| number(from, INCARNATION)).ok());
        Ok(in_file.max(in_database.flatten().unwrap_or(0)))
    }

    /// Makes `incarnation` durable as the last one used, unless a larger one is.
    pub(crate) fn raise_incarnation(&mut self, incarnation: u64) -> Result<(), DiskStoreError> {
        if incarnation <= self.incarnation()? {
            return Ok(());
        }
        if let Some(database) = &mut self.database
            && let Err(error) = database.write(|into| memory::raise_incarnation(into, incarnation))
        {
            tracing::warn!(%error, "the incarnation has no second copy");
        }
        let path = self.incarnation_path();
        let text = format!("{INCARNATION_HEADER}\n{incarnation}\n");
        durable::replace(&path, text.as_bytes()).map_err(|source| DiskStoreError::File { path, source })
    }

    fn lock(path: &Path, temporary: Option<tempfile::TempDir>) -> Result<DataDir, DiskStoreError> {
        let directory = |source| DiskStoreError::Directory { path: path.to_owned(), source };
        durable::create_private_directory(path).map_err(directory)?;
        let lock_path = path.join("lock");
        let lock = durable::private_options()
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|source| DiskStoreError::File { path: lock_path.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: lock, temporary, database: None }),
            Err(TryLockError::WouldBlock) => Err(DiskStoreError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(DiskStoreError::File { path: lock_path, source }),
        }
    }

    fn incarnation_path(&self) -> PathBuf {
        self.path.join("incarnation")
    }
}

/// The seed of the identity key that the directory `dir` holds.
pub(crate) fn stored_identity(dir: &Path) -> Result<Option<[u8; 32]>, DiskStoreError> {
    let path = identity_path(dir);
    let Some(text) = read(&path)? else { return Ok(None) };
    parse_identity(&text).map(Some).ok_or(DiskStoreError::CorruptIdentity { path })
}

fn identity_path(dir: &Path) -> PathBuf {
    dir.join("identity")
}

/// The file's text, lossily (what is not UTF-8 is not valid either); `None` if there is no file.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>, DiskStoreError> {
    match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => Ok(Some(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DiskStoreError::File { path: path.to_owned(), source }),
    }
}

/// Takes the key away from other users, who may have got at it by a copy or a careless chmod.
fn tighten(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        if open && fs::set_permissions(path, fs::Permissions::from_mode(0o600)).is_ok() {
            tracing::warn!(path = %path.display(), "the identity key was readable by other users; now only by you");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Three lines: a header, the seed, and the start of a hash over it, so that damage is noticed and not taken
/// for another identity.
fn format_identity(seed: &[u8; 32]) -> String {
    use data_encoding::HEXLOWER;
    format!("{IDENTITY_HEADER}\n{}\n{}\n", HEXLOWER.encode(seed), HEXLOWER.encode(&check(seed)))
}

fn parse_identity(text: &str) -> Option<[u8; 32]> {
    let seed_line = text.strip_prefix(IDENTITY_HEADER)?.strip_prefix('\n')?.lines().next()?;
    let decoded = Zeroizing::new(data_encoding::HEXLOWER.decode(seed_line.as_bytes()).ok()?);
    let seed = <[u8; 32]>::try_from(decoded.as_slice()).ok()?;
    (Zeroizing::new(format_identity(&seed)).as_str() == text).then_some(seed)
}

fn check(seed: &[u8; 32]) -> [u8; 8] {
    let mut start = [0; 8];
    blake3::Hasher::new_derive_key(CHECK_CONTEXT).update(seed).finalize_xof().fill(&mut start);
    start
}

fn parse_incarnation(text: &str) -> Option<u64> {
    let number = text.strip_prefix(INCARNATION_HEADER)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let incarnation = number.parse::<u64>().ok()?;
    (incarnation.to_string() == number).then_some(incarnation)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A changed byte must be an error: a wrong key would be another identity, silently.
    #[test]
    fn any_change_to_the_identity_file_is_noticed() {
        let text = format_identity(&[7; 32]);
        assert_eq!(parse_identity(&text), Some([7; 32]));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(parse_identity(&String::from_utf8(bytes).unwrap()), None, "byte {at}");
            assert_eq!(parse_identity(&text[..at]), None, "cut at {at}");
        }
        assert_eq!(parse_identity(&format!("{text}\n")), None);
    }

    /// The number has one spelling.
    #[test]
    fn any_other_spelling_of_the_incarnation_is_refused() {
        assert_eq!(parse_incarnation("p2pnet incarnation 1\n12\n"), Some(12));
        for text in [
            "",
            "12\n",
            "p2pnet incarnation 1\n12",
            "p2pnet incarnation 1\n+12\n",
            "p2pnet incarnation 1\n012\n",
        ] {
            assert_eq!(parse_incarnation(text), None, "{text:?}");
        }
    }

    /// Two nodes with one key would fight; the second is told who is in the way.
    #[test]
    fn a_second_opener_is_told_that_the_directory_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(
            matches!(DataDir::open(dir.path()), Err(DiskStoreError::InUse { path }) if path == dir.path())
        );
        drop(first);
        DataDir::open(dir.path()).unwrap();
    }

    /// The key is the identity: nobody else may read it.
    #[cfg(unix)]
    #[test]
    fn directory_and_key_belong_to_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        dir.identity_or([1; 32]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("identity")), 0o600);
        fs::set_permissions(path.join("identity"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(dir.identity_or([2; 32]).unwrap(), [1; 32]);
        assert_eq!(mode(&path.join("identity")), 0o600);
    }

    /// A key that was made once stays, also over a reopening.
    #[test]
    fn the_first_identity_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(DataDir::open(dir.path()).unwrap().identity_or([1; 32]).unwrap(), [1; 32]);
        assert_eq!(DataDir::open(dir.path()).unwrap().identity_or([2; 32]).unwrap(), [1; 32]);
    }

    /// The message names the file and says how to go on.
    #[test]
    fn corrupt_files_are_named_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("identity"), b"\xff garbage").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, DiskStoreError::CorruptIdentity { .. }));
        let message = error.to_string();
        assert!(message.contains(&dir.path().join("identity").display().to_string()), "{message}");
        assert!(message.contains("delete it") && !message.contains('\n'), "{message}");
    }

    /// Of the two copies of the incarnation either may be lost.
    #[test]
    fn an_incarnation_outlives_the_file_or_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let (file, database) =
            (dir.path().join("incarnation"), dir.path().join(super::super::database::FILE));
        DataDir::open(dir.path()).unwrap().raise_incarnation(9).unwrap();
        for (path, damage) in [(&file, &b"7"[..]), (&file, b""), (&database, b"7"), (&database, b"")] {
            fs::write(path, damage).unwrap();
            let mut data = DataDir::open(dir.path()).unwrap();
            let last = data.incarnation().unwrap();
            data.raise_incarnation(last + 1).unwrap();
        }
        for path in [&file, &database] {
            fs::remove_file(path).unwrap();
            let mut data = DataDir::open(dir.path()).unwrap();
            let last = data.incarnation().unwrap();
            data.raise_incarnation(last + 1).unwrap();
        }
        assert_eq!(DataDir::open(dir.path()).unwrap().incarnation().unwrap(), 15);
    }

    /// Incarnations only grow, whatever order they are saved in, and outlive the process.
    #[test]
    fn incarnations_never_go_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut data = DataDir::open(dir.path()).unwrap();
        assert_eq!(data.incarnation().unwrap(), 0);
        data.raise_incarnation(9).unwrap();
        data.raise_incarnation(4).unwrap();
        drop(data);
        assert_eq!(DataDir::open(dir.path()).unwrap().incarnation().unwrap(), 9);
    }

    /// What a crash left behind while a file was being replaced is no obstacle.
    #[test]
    fn a_half_written_replacement_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("incarnation.new"), b"p2pnet inc").unwrap();
        let mut data = DataDir::open(dir.path()).unwrap();
        data.raise_incarnation(1).unwrap();
        assert_eq!(data.incarnation().unwrap(), 1);
        assert!(!dir.path().join("incarnation.new").exists());
    }

    /// A temporary identity leaves nothing behind.
    #[test]
    fn a_temporary_directory_goes_with_its_owner() {
        let dir = DataDir::temporary().unwrap();
        dir.identity_or([1; 32]).unwrap();
        let path = dir.path().to_owned();
        assert!(path.join("identity").exists());
        drop(dir);
        assert!(!path.exists());
    }
}
