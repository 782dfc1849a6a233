//! Asking a running node: JSON lines on a Unix socket in its data directory, for its owner only.
//!
//! `runtime/CONTROL.md` describes the lines. A [`Server`] stands beside a node and needs its events; a [`Client`] asks.
//! There are no such sockets on Windows, where [`Server::start`] says so and [`Client::connect`] finds nobody.

#![cfg_attr(not(unix), allow(dead_code, reason = "nobody serves there"))]

mod client;
mod deciding;
mod delivery;
mod lines;
mod protocol;
mod server;

use std::io;
use std::path::{Path, PathBuf};

pub use client::Client;
pub use protocol::{Answer, Ask, Greeting, PeerLine, Refusal, RefusalKind, VERSION};
pub use server::{Contents, Server};

/// The socket's name in the data directory.
const NAME: &str = "control.sock";

/// What a path of a socket may have of bytes: `sun_path` of the system's `sockaddr_un`, without the zero at its end.
#[cfg(unix)]
const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// Why a node cannot be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Windows.
    #[error("a running node cannot be asked on this system: it has no Unix sockets")]
    Unsupported,
    /// The system's addresses of sockets are short.
    #[error(
        "the path of the control socket has {length} bytes and the system takes {most}: {path}; choose a shorter --data-dir"
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
        /// Its bytes.
        length: usize,
        /// What it may have.
        most: usize,
    },
    /// Somebody answers there already.
    #[error("another process serves {0}; end it")]
    Served(PathBuf),
    /// Something else has the socket's name.
    #[error("{0} is not a socket; move it away")]
    NotASocket(PathBuf),
    /// The system.
    #[error("the control socket {path} cannot be used: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The other side does not speak this.
    #[error(
        "the node that runs speaks another version of the control socket; use one version of p2pnet for both"
    )]
    OtherVersion,
    /// The other side broke off, or said what it should not.
    #[error("the running node did not answer as it should: {0}")]
    Broken(&'static str),
}

/// Where the socket of a data directory is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// Refuses paths that the system would cut or refuse without saying why.
#[cfg(unix)]
fn check_length(path: &Path) -> Result<(), ControlError> {
    use std::os::unix::ffi::OsStrExt;
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_PATH {
        return Err(ControlError::PathTooLong { path: path.to_owned(), length, most: MAX_PATH });
    }
    Ok(())
}
