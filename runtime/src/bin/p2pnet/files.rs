//! Files that the user names to share or send.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use p2pnet::engine::{BLOCK_SIZE, MAX_BLOCKS};

use crate::failure::Failure;

/// Says at once, and not in mid-run, which file cannot be shared and why.
pub(crate) fn check(paths: &[PathBuf]) -> Result<(), Failure> {
    for path in paths {
        let wrong = |why: String| Failure::BadInput(format!("cannot read {}: {why}", path.display()));
        let metadata = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        if metadata.is_dir() {
            fs::read_dir(path).map_err(|error| wrong(error.to_string()))?;
            continue;
        }
        if !metadata.is_file() {
            return Err(wrong("it is neither a file nor a folder".into()));
        }
        if metadata.len() > u64::from(MAX_BLOCKS) * BLOCK_SIZE as u64 {
            return Err(wrong("it has more than 64 GiB; split it first".into()));
        }
        File::open(path).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

/// Creates the inbox if need be, and says at once if nothing could be put there.
pub(crate) fn prepare_inbox(inbox: &Path) -> Result<PathBuf, Failure> {
    let wrong = |why: std::io::Error| {
        Failure::BadInput(format!(
            "cannot use {} as an inbox: {why}; choose another with --inbox",
            inbox.display()
        ))
    };
    fs::create_dir_all(inbox).map_err(wrong)?;
    let inbox = fs::canonicalize(inbox).map_err(wrong)?;
    tempfile::tempfile_in(&inbox).map_err(wrong)?;
    Ok(inbox)
}

/// The name of a path's last component, for people.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The text of a small file that the user names: at most 1 MiB.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    use std::io::Read;

    const MAX: u64 = 1 << 20;
    let wrong = |why: String| Failure::BadInput(format!("cannot use {}: {why}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(MAX + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > MAX { Err(wrong("it has more than 1 MiB".into())) } else { Ok(text) }
}
