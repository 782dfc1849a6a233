//! Peers on the LAN in ten lines: discovery without a server, verified peers, messages and files that arrive whole.
//!
//! A [`Node`] is the [engine] on real sockets and disks. It finds other nodes on the LAN, proves who it is, has them
//! prove the same, and then gives and takes texts and files:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut node = p2pnet::Node::builder("alice").start().await?;
//! while let Some(event) = node.next_event().await {
//!     if let p2pnet::Event::PeerTrusted { peer, name, .. } = event {
//!         println!("{name} is here");
//!         node.handle().send_text(peer, "hello").await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The node's driver is generic over three [seams](seam): network, storage, host. Real ones are [`TokioNet`],
//! [`DiskStore`] and [`OsHost`]; a simulation brings others and runs the very same driver.
//!
//! It ran on Linux. What macOS and Windows need is in place and was never run there.

pub mod bootstrap;
mod buffers;
#[cfg(feature = "control")]
pub mod control;
mod disk_store;
pub mod doctor;
mod driver;
mod error;
mod event;
mod handle;
mod link;
mod node;
mod os_host;
#[cfg(feature = "relay")]
pub mod relay;
mod report;
pub mod seam;
mod standing;
mod sys;
mod tokio_net;

pub use disk_store::{
    DiskStore, DiskStoreError, KnownPeer, StoredContent, StoredContents, StoredMemory, StoredState,
};
pub use error::{CommandError, StartError};
pub use event::Event;
pub use handle::{NodeHandle, PeerInfo, ProgressInfo};
pub use node::{Node, NodeBuilder, stretch_passphrase};
pub use os_host::OsHost;
pub use p2pnet_engine as engine;
pub use p2pnet_engine::{
    AuthorityPolicy, Cadence, Certificate, CertificateError, CipherSuite, Config, ContentFailure, ContentId,
    ContentKind, Decision, Declarer, Evidence, HeardBy, IdentifierPolicy, Identity, Interface, InterfaceAddr,
    InterfaceId, InterfaceKind, Ladder, LeaveReason, Level, Liveness, MAX_MESSAGE, MacPrefix, Manifest,
    MessageError, Network, NetworkTask, OfferPolicy, Party, PeerId, Prefix6, PrefixError, RecordGate,
    RejectReason, Rung, ScanError, ScanEstimate, ScanPattern, ScanPlan, Scope, Stats, Step, TaskFailure,
    TaskId, TaskKind, TaskOutcome, TaskPart, TaskRefused, TaskReport, TaskSettings, TaskTarget, TrustPolicy,
    Who,
};
pub use report::{BindError, DestinationClass, InterfaceReport, NetworkReport, SendError};
pub use seam::Source;
pub use tokio_net::{TokioListener, TokioNet, TokioStream, TokioUdp};

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;

#[doc = include_str!("../VERIFICATION.md")]
#[cfg(doctest)]
struct Verification;
