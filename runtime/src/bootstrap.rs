//! Bootstrap servers, as a node asks them: what goes out, what comes back, and what can go wrong.

#[cfg(feature = "bootstrap")]
mod http;
#[cfg(feature = "bootstrap")]
mod json;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use p2pnet_engine::{ServerAnswer, ServerRefusal};

#[cfg(feature = "bootstrap")]
pub use http::{HttpServer, ServerUrlError};

/// What a node tells a server, and what it wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The node's encoded record and its signature, at most [`MAX_RECORD`](p2pnet_engine::MAX_RECORD) bytes.
    pub record: Vec<u8>,
    /// How many records of others are wanted; none with the last announcement of all.
    pub want: u16,
    /// What became of tasks, signed by this node.
    pub reports: Vec<Vec<u8>>,
}

/// The future of an answer.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<ServerAnswer, ServerError>> + Send + 'a>>;

/// A bootstrap server. The driver asks it when the engine says so, one announcement at a time but for the last one, and
/// gives it half a minute.
pub trait BootstrapServer: Send + Sync + 'static {
    /// What people know it by, such as its URL without a password.
    fn name(&self) -> &str;

    /// Announces the node and asks for others.
    fn announce(&self, announcement: Announcement) -> Answering<'_>;
}

/// Why a server gave no answer. None of it is lasting: the server is asked again, more and more rarely.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// No connection.
    #[error("cannot be reached ({0}); check the address, and that the server runs")]
    Unreachable(#[source] io::Error),
    /// No answer in time.
    #[error("does not answer in time; check the address, and that the server runs")]
    TimedOut,
    /// Whatever answers there is something else.
    #[error("answers, but not as a bootstrap server does ({0}); check the address and the port")]
    NotAServer(String),
    /// It does not take the announcement.
    #[error("refuses the announcement: {0}")]
    Refused(String),
    /// What it answered is not what its subjects signed, so nothing of it is believed.
    #[error(
        "passes on a record that its subject did not sign, or such a task; nothing that it says is believed"
    )]
    Lies,
    /// It is not a server that this node is to use.
    #[error("is not used: {0}")]
    Unwanted(ServerRefusal),
}

/// As many as an engine takes.
const MAX_SERVERS: usize = 8;

/// The servers of one node, numbered as the engine does.
#[derive(Clone, Default)]
pub(crate) struct Servers(pub(crate) Vec<Arc<dyn BootstrapServer>>);

impl Servers {
    /// Adds those that an authority gave, as far as there is room, and gives their number. One that is there already, or
    /// whose URL is none, is left out.
    pub(crate) fn add_given(&mut self, urls: &[String]) -> u8 {
        let before = self.0.len();
        for url in urls {
            match server_of(url) {
                Some(server) if self.0.len() < MAX_SERVERS => {
                    if self.0.iter().all(|known| known.name() != server.name()) {
                        self.0.push(server);
                    }
                }
                _ => tracing::warn!(?url, "a bootstrap server that an authority gave is not used"),
            }
        }
        u8::try_from(self.0.len() - before).unwrap_or(0)
    }
}

#[cfg(feature = "bootstrap")]
fn server_of(url: &str) -> Option<Arc<dyn BootstrapServer>> {
    url.parse::<HttpServer>().ok().map(|server| Arc::new(server) as Arc<dyn BootstrapServer>)
}

#[cfg(not(feature = "bootstrap"))]
fn server_of(_: &str) -> Option<Arc<dyn BootstrapServer>> {
    None
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|server| server.name())).finish()
    }
}
