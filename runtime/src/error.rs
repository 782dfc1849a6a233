//! What can go wrong, by cause; every message says what to do.

use std::io;

use p2pnet_engine::{
    AnswerError, ConfigError, DecisionError, DialError, FetchError, MessageError, NetworkNameError,
    PublishError, StepError, TextError,
};

use crate::disk_store::DiskStoreError;

/// Why a node did not start. Nothing is left behind but what a data directory holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no interface to work on.
    #[error("no network interface is up with an IPv4 address; connect one, or use the loopback interface")]
    NoInterface,
    /// The host did not say which interfaces it has.
    #[error("the list of network interfaces cannot be read: {0}")]
    Interfaces(#[source] io::Error),
    /// An interface of the allow-list does not exist, or is down.
    #[error("there is no interface `{name}` that is up with an IPv4 address; choose from: {}", available.join(", "))]
    UnknownInterface {
        /// What was asked for.
        name: String,
        /// What exists.
        available: Vec<String>,
    },
    /// No designated port could be listened on.
    #[error(
        "none of the ports {ports:?} can be listened on ({source}); stop the program that holds them or choose others"
    )]
    AllPortsTaken {
        /// The designated ports.
        ports: Vec<u16>,
        /// What the system said about the last one.
        source: io::Error,
    },
    /// No private port could be listened on.
    #[error("no private port is free ({0}); stop programs that hold ports in that range")]
    PrivatePort(#[source] io::Error),
    /// The network's name.
    #[error(transparent)]
    Network(#[from] NetworkNameError),
    /// A secret and a passphrase were both given.
    #[error("give a secret or a passphrase, not both")]
    TwoSecrets,
    /// The passphrase could not be stretched.
    #[error("the passphrase cannot be used: {0}")]
    Passphrase(String),
    /// A field of the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DiskStoreError),
    /// The store, while it was asked for identity and incarnation.
    #[error("the store cannot be used: {0}")]
    Store(#[source] io::Error),
    /// The system's source of entropy.
    #[error("the system gives no entropy: {0}")]
    Entropy(#[source] io::Error),
    /// More than [`MAX_RELAYS`](crate::relay::MAX_RELAYS).
    #[cfg(feature = "relay")]
    #[error("a node has at most {} relays; give fewer", crate::relay::MAX_RELAYS)]
    TooManyRelays,
    /// An address given by hand.
    #[error("the peer at {address} cannot be dialled: {source}")]
    Peer {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: DialError,
    },
}

/// Why a command was not carried out. The node's state is as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The node has stopped.
    #[error("the node has stopped; start a new one")]
    Stopped,
    /// A text was refused.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A message was refused.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A source could not be read.
    #[error("the source cannot be read: {0}")]
    Source(#[source] io::Error),
    /// Content could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Content could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An address could not be dialled.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A custom step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A person's answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A decision about a peer or an address.
    #[error(transparent)]
    Decision(#[from] DecisionError),
    /// A search of IPv6 prefixes.
    #[error(transparent)]
    Widescan(#[from] p2pnet_engine::ScanError),
    /// A task of an authority was not taken.
    #[error(transparent)]
    Task(#[from] p2pnet_engine::TaskRefused),
}
