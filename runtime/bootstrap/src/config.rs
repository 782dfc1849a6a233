//! What a server may be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use p2pnet_engine::{Identity, PeerId};

use crate::sources::Rate;

/// How a server runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where nodes reach it.
    pub listen: SocketAddr,
    /// Where it keeps what survives. Made if it does not exist.
    pub data: PathBuf,
    /// What it is to nodes. *Trustless*.
    pub mode: Mode,
    /// Records that are held, *200,000*, 1 to 10 million. Beyond that who was heard longest ago goes for a newcomer.
    pub max_records: usize,
    /// Connections at once, *4096*; more wait until one ends. One source may hold a quarter of them.
    pub max_connections: usize,
    /// How much each source may ask for, *20* requests a second and *200* at once.
    pub rate: Rate,
    /// How long the head of a request may take, and then its body, and how long a connection may be idle, or take nothing of
    /// its answer: *10 s*.
    pub patience: Duration,
    /// Where the operator's dashboard is, if anywhere; *nowhere*. It is not encrypted, so it belongs on loopback or behind a
    /// proxy that encrypts.
    pub dashboard: Option<SocketAddr>,
    /// How long a login to the dashboard lasts, *1 h*; it is not made longer by use.
    pub session: Duration,
    /// Whether nodes are told where they were seen, *yes*.
    pub tells_observed: bool,
}

impl Config {
    /// The defaults, for a server at this address with this directory.
    #[must_use]
    pub fn new(listen: SocketAddr, data: impl Into<PathBuf>) -> Config {
        Config {
            listen,
            data: data.into(),
            mode: Mode::Trustless,
            max_records: 200_000,
            max_connections: 4096,
            rate: Rate { per_second: 20, burst: 200 },
            patience: Duration::from_secs(10),
            dashboard: None,
            session: Duration::from_secs(3600),
            tells_observed: true,
        }
    }
}

/// What a server is to nodes.
#[derive(Clone, Debug)]
pub enum Mode {
    /// It passes records on, and signs nothing.
    Trustless,
    /// It also has the key of an authority: it signs certificates, and passes on tasks, when its operator says so.
    Authority(Box<Identity>),
}

impl Mode {
    /// Its name in the API and on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Trustless => "trustless",
            Mode::Authority(_) => "authority",
        }
    }

    /// The authority that it is.
    #[must_use]
    pub fn authority(&self) -> Option<PeerId> {
        match self {
            Mode::Trustless => None,
            Mode::Authority(key) => Some(key.peer_id()),
        }
    }
}
