//! Files with secrets, which only their owner may read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 4096;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// It cannot be made or read.
    #[error("{} cannot be used: {error}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others than its owner may read it.
    #[error("others may read {path}; say `chmod 600 {path}`, and replace it if they did", path = .0.display())]
    Open(PathBuf),
    /// It holds something else.
    #[error("{} is damaged: {expected}; put the file back, or move it away to have a new one made", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
}

/// Reads a text; none if there is no such file.
///
/// # Errors
/// If it cannot be read, is longer than 4096 bytes or no text, or others may read it.
pub fn read(path: &Path) -> Result<Option<String>, PrivateFileError> {
    let unusable = |error| PrivateFileError::Unusable { path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().map_err(unusable)?);
        if mode & 0o077 != 0 {
            return Err(PrivateFileError::Open(path.to_owned()));
        }
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(unusable)?;
    Ok(Some(text))
}

/// Makes a file with this text, which must not exist yet; durable when this returns.
///
/// # Errors
/// If it exists, or cannot be made.
pub fn create(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    let write = || {
        // Under its own name only when it is whole: half a key would be taken for a damaged one.
        let new = path.with_extension("new");
        drop(std::fs::remove_file(&new));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        std::fs::rename(&new, path)?;
        if let (true, Some(directory)) =
            (cfg!(unix), path.parent().filter(|path| !path.as_os_str().is_empty()))
        {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| PrivateFileError::Unusable { path: path.to_owned(), error })
}

/// Makes a directory, with its parents, that only its owner may enter. One that exists is left as it is.
///
/// # Errors
/// If it cannot be made.
pub fn create_directory(path: &Path) -> Result<(), PrivateFileError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| PrivateFileError::Unusable { path: path.to_owned(), error })
}
