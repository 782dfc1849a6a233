//! What `CollectionShare` compares before any record travels.

use serde::{Deserialize, Serialize};

use crate::record::{RecordClass, RecordKind, SignedRecord};

/// The most entries, or places, in one frame.
pub(crate) const ENTRIES_PER_FRAME: usize = 1024;

/// The buckets of the collection: the first byte of a place.
pub(crate) const BUCKETS: usize = 256;

/// The bytes of the digest of a bucket, and of the digest of all, that travel.
pub(crate) const DIGEST_LEN: usize = 8;
pub(crate) const ROOT_LEN: usize = 16;

/// Which of the records of one peer it is. Compares like the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) incarnation: u64,
    pub(crate) kind: RecordKind,
    pub(crate) seq: u64,
    /// The beginning of the hash of the record's bytes.
    pub(crate) tag: [u8; 4],
}

impl Version {
    pub(crate) fn of(signed: &SignedRecord) -> Self {
        let record = signed.record();
        let [a, b, c, d, ..] = *signed.hash();
        Version { incarnation: record.incarnation, kind: record.kind, seq: record.seq, tag: [a, b, c, d] }
    }
}

/// A record that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordEntry {
    /// The place of its subject in the collection.
    pub(crate) place: u64,
    pub(crate) class: RecordClass,
    pub(crate) version: Version,
    /// The beginning of the subject's instance: two runs in one incarnation cannot be told which is right, and are not
    /// exchanged.
    pub(crate) run: [u8; 2],
}

impl RecordEntry {
    pub(crate) fn of(place: u64, signed: &SignedRecord) -> Self {
        let record = signed.record();
        let [first, second, ..] = *record.instance.as_bytes();
        RecordEntry { place, class: record.class, version: Version::of(signed), run: [first, second] }
    }

    /// What orders a list. No two entries of one list have the same.
    pub(crate) fn key(&self) -> (u64, RecordClass) {
        (self.place, self.class)
    }
}
