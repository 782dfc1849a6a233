//! The sans-IO engine of p2pnet.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod content;
mod identity;
mod limits;
mod link;
mod network;
mod random;
mod record;
mod time;
mod wire;

pub use content::{
    BLOCK_SIZE, BlockCheck, BlockList, BlockRef, BlockVerifier, ContentHasher, ContentId, ContentKind,
    MAX_BLOCKS, Manifest, ManifestError, TooLarge, Verdict,
};
pub use identity::{Identity, PeerId, PeerIdError};
pub use link::{
    Channel, CipherSuite, LinkCodec, MAX_CONTROL_FRAME, OpenError, Opened, Opener, Sealer, block_header,
};
pub use network::{Network, NetworkNameError};
pub use random::Seeds;
pub use record::{
    Instance, MAX_RECORD, PeerRecord, RecordClass, RecordError, RecordKind, SignedRecord, UnverifiedRecord,
};
pub use time::Timestamp;
pub use wire::beacon::PROTOCOL_VERSION;
