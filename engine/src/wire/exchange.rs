//! What `CollectionShare` compares before any record travels.

use serde::{Deserialize, Serialize};

use crate::identity::PeerId;
use crate::record::{RecordClass, RecordKind, SignedRecord};

/// The most entries, or places, in one frame.
pub(crate) const ENTRIES_PER_FRAME: usize = 1024;

/// The buckets of the collection: the first byte of a place.
pub(crate) const BUCKETS: usize = 256;

/// The bytes of the digest of a bucket, and of the digest of all, that travel.
pub(crate) const DIGEST_LEN: usize = 8;
pub(crate) const ROOT_LEN: usize = 16;

/// The digest of a bucket, or of all buckets.
pub(crate) type Digest = [u8; 32];

/// Where a peer has its place, under the key of places.
pub(crate) fn place_of(key: &[u8; 32], peer: &PeerId) -> u64 {
    let hash = blake3::keyed_hash(key, peer.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The digest of a bucket: of place, class and hash of each record in it, in their order.
pub(crate) fn bucket_digest(records: impl Iterator<Item = (u64, SignedRecord)>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("p2pnet v1 bucket digest");
    for (place, signed) in records {
        hasher.update(&place.to_le_bytes());
        hasher.update(&[signed.record().class as u8]);
        hasher.update(signed.hash());
    }
    *hasher.finalize().as_bytes()
}

/// The digest of all digests, as it travels.
pub(crate) fn root_digest(digests: &[Digest]) -> [u8; ROOT_LEN] {
    let mut hasher = blake3::Hasher::new_derive_key("p2pnet v1 root digest");
    for digest in digests {
        hasher.update(digest);
    }
    let mut root = [0; ROOT_LEN];
    root.copy_from_slice(&hasher.finalize().as_bytes()[..ROOT_LEN]);
    root
}

/// The digest of a bucket, as it travels.
pub(crate) fn shortened(digest: &Digest) -> [u8; DIGEST_LEN] {
    let mut short = [0; DIGEST_LEN];
    short.copy_from_slice(&digest[..DIGEST_LEN]);
    short
}

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
