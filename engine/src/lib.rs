//! The sans-IO engine of p2pnet: programs on a network find each other without a server, prove who they are,
//! keep a list of each other that nobody can forge, and hand each other texts and files that arrive whole.
//!
//! All of that is one state machine, [`Engine`], that does no I/O: bytes and the time go in, bytes, deadlines and
//! events come out. It needs `alloc` and nothing else, and the same configuration, restored state, seeds and calls
//! give the same outputs, byte for byte, on every machine.
//!
//! - To use it in a tokio program, take the `p2pnet` crate: it is the driver.
//! - To drive it yourself, read [the loop](Engine#the-loop) and the example `embed_engine`.
//! - To see it break, and replay that, take `p2pnet-sim`.
//!
//! # What a driver owns
//!
//! Sockets, streams, files and the clock. Once a link's handshake is done the driver also owns its [`LinkCodec`],
//! the keys of that one link: control frames cross the engine as plaintext, but a block of content goes from store to
//! codec to socket and back without passing through it, so that bulk uses every core. [`BlockVerifier`] checks
//! what arrives.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod authority;
mod certificate;
#[cfg(feature = "cheap-crypto")]
mod cheap;
mod config;
mod content;
mod decision;
mod engine;
mod event;
#[cfg(feature = "forge")]
pub mod forge;
#[cfg(test)]
mod golden;
mod identity;
mod input;
mod ladder;
mod limits;
mod link;
mod liveness;
mod marks;
mod memory;
mod network;
mod offers;
mod output;
mod path;
mod planted;
mod policy;
mod random;
mod record;
mod reject;
mod server;
mod stats;
mod task;
mod time;
mod timers;
mod widescan;
mod wire;

pub use authority::{AuthorityPolicy, AuthorityState, IdentifierPolicy, MAX_ACCEPTED};
pub use certificate::{Certificate, CertificateError, MAX_CERTIFICATE};
pub use config::{
    Cadence, Config, ConfigError, DESIGNATED_PORTS, MAX_TEXT, MULTICAST_GROUP, MULTICAST_GROUP_6,
};
pub use content::{
    BLOCK_SIZE, BlockCheck, BlockList, BlockRef, BlockVerifier, ContentHasher, ContentId, ContentKind,
    FolderEntry, FolderError, FolderIndex, MAX_BLOCKS, MAX_FOLDER_ENTRIES, Manifest, ManifestError, TooLarge,
    Verdict,
};
pub use decision::{Decision, DecisionError, DecisionParseError, MAX_DECISIONS, Who};
#[cfg(feature = "marks")]
pub use engine::Table;
pub use engine::{
    AnswerError, Cause, DialError, DialOutcome, DialTried, Engine, FetchError, HeardOn, Level, LinkRefused,
    MessageError, PeerView, Probed, Progress, PublishError, RecordSource, Refusal, Rejection, Restored,
    RungReport, StepError, TaskRefused, TextError, Why,
};
pub use event::{ContentFailure, Event, LeaveReason, Party};
pub use identity::{Identity, PeerId, PeerIdError};
pub use input::{
    Datagram, DialFailure, Interface, InterfaceAddr, InterfaceId, InterfaceKind, Leftovers, LinkEnd, LinkId,
    LinkInput, StoreFailure, StoreReply,
};
pub use ladder::{Ladder, Rung};
pub use link::{
    Channel, CipherSuite, LinkCodec, MAX_CONTROL_FRAME, OpenError, Opened, Opener, Sealer, block_header,
};
pub use liveness::{Declarer, Evidence, HeardBy, Liveness};
#[cfg(feature = "marks")]
pub use marks::{Mark, Marks};
pub use memory::{Memory, MemoryChange, Remembered, RememberedFloor};
pub use network::{Network, NetworkNameError};
pub use offers::OfferPolicy;
pub use output::{Action, LinkOutput, StoreRequest, Timeout, TimeoutReason, Transmit};
pub use path::Scope;
#[cfg(feature = "planted")]
pub use planted::Bug;
pub use policy::{RecordGate, Step, TrustPolicy};
pub use random::Seeds;
pub use record::{
    Instance, MAX_RECORD, PeerRecord, RecordClass, RecordError, RecordKind, SignedRecord, UnverifiedRecord,
};
pub use reject::RejectReason;
pub use server::{ServerAnswer, ServerId, ServerRecord, ServerRefusal, ServerReply};
pub use stats::Stats;
pub use task::{
    MAX_TASK, MAX_TASK_AHEAD, MAX_TASK_REPORT, MAX_TASK_SERVERS, MAX_TASK_TEXT, NetworkTask, TaskError,
    TaskFailure, TaskId, TaskKind, TaskOutcome, TaskPart, TaskReport, TaskSettings, TaskTarget,
};
pub use time::Timestamp;
pub use widescan::{
    MacPrefix, MacPrefixError, Prefix6, PrefixError, ScanError, ScanEstimate, ScanPattern, ScanPlan,
};
pub use wire::beacon::PROTOCOL_VERSION;
pub use wire::{MAX_MESSAGE, MAX_STEP_MESSAGE};
