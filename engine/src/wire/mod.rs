//! What crosses the wire, byte for byte.

pub(crate) mod beacon;
pub(crate) mod codec;
mod exchange;
mod frame;
mod message;

pub(crate) use exchange::{
    BUCKETS, DIGEST_LEN, Digest, ENTRIES_PER_FRAME, ROOT_LEN, RecordEntry, Version, bucket_digest, place_of,
    root_digest, shortened,
};
pub use frame::MAX_STEP_MESSAGE;
pub(crate) use frame::{AgedRecord, DisconnectReason, Frame, Hello, RECORDS_PER_FRAME, VALUES_PER_PART};
pub use message::MAX_MESSAGE;
pub(crate) use message::{
    ENTRIES_PER_REPORT, MessageKey, Payload, Recap, RecapBody, Relayed, SPANS_PER_FRAME, Span, spans_of,
};
