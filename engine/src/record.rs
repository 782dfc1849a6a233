//! What a peer says about itself, signed by itself and relayed as the very bytes that it signed.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::identity::{self, Identity, PeerId};
use crate::wire::codec;

/// Bytes that a signed record may have, signature included.
pub const MAX_RECORD: usize = 512;

/// Bytes that a peer's name may have.
const MAX_NAME: usize = 64;
/// Addresses that a record may have.
const MAX_ADDRS: usize = 8;
/// Seconds for which a record may claim to hold.
const MAX_TTL: u32 = 7 * 24 * 3600;
const SIGNATURE_LEN: usize = 64;
/// Where the subject begins: behind the tag of the network.
const PEER_AT: usize = 8;
pub(crate) const DOMAIN: &str = "p2pnet v1 peer record";

/// One run of one node: 16 random bytes, drawn at its start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance([u8; 16]);

impl Instance {
    /// The instance with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Instance(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Instance {
    /// The first four bytes in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// What a record says of its subject. Of two with one incarnation the later in this order wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordKind {
    /// It runs.
    Alive,
    /// It is about to go; keep no hope in it.
    Leaving,
    /// It went. Covers all classes of its subject.
    Gone,
}

/// Which of its subject's addresses a record speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordClass {
    /// Those on the same local network.
    Local,
    /// Those that are reachable from afar.
    Wide,
}

/// The content of a record, as its subject wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// The tag of the network it belongs to.
    pub network: [u8; 8],
    /// Its subject, who signed it.
    pub peer: PeerId,
    /// The start of the subject that it stems from; grows at every start.
    pub incarnation: u64,
    /// Its number within the incarnation.
    pub seq: u64,
    /// What it says of its subject.
    pub kind: RecordKind,
    /// Seconds from signing until it means nothing any more: 1 to 604800 (7 days).
    pub ttl_secs: u32,
    /// Which addresses it replaces.
    pub class: RecordClass,
    /// The run of the subject that it stems from.
    pub instance: Instance,
    /// The X25519 public key that the subject's links prove.
    pub link_key: [u8; 32],
    /// The port of the subject for unicast datagrams and links.
    pub port: u16,
    /// What the subject wants to be called: at most 64 bytes without control characters. Nobody vouches for it.
    pub name: String,
    /// Where the subject believes it can be reached: at most 8.
    pub addrs: Vec<IpAddr>,
    /// What the subject can do; bits without a meaning are kept and ignored.
    pub caps: u32,
}

impl PeerRecord {
    fn check(&self) -> Result<(), RecordError> {
        if self.name.len() > MAX_NAME {
            return Err(RecordError::NameTooLong);
        }
        if self.name.chars().any(char::is_control) {
            return Err(RecordError::NameControl);
        }
        if self.addrs.len() > MAX_ADDRS {
            return Err(RecordError::TooManyAddrs);
        }
        if !(1..=MAX_TTL).contains(&self.ttl_secs) {
            return Err(RecordError::Ttl);
        }
        Ok(())
    }
}

/// Whose record these bytes would be, without a look at the rest.
pub(crate) fn peek_peer(bytes: &[u8]) -> Option<PeerId> {
    bytes.get(PEER_AT..).and_then(<[u8]>::first_chunk).map(|&peer| PeerId::from_bytes(peer))
}

/// A record whose signature was verified, or made here. Cloning is cheap.
#[derive(Clone)]
pub struct SignedRecord {
    record: Arc<PeerRecord>,
    bytes: Arc<[u8]>,
    /// The hash of the bytes.
    hash: [u8; 32],
}

impl SignedRecord {
    /// Signs `record` as its subject.
    ///
    /// # Errors
    /// If the record breaks a limit, or `identity` is not its subject.
    pub fn sign(identity: &Identity, record: PeerRecord) -> Result<Self, RecordError> {
        record.check()?;
        if record.peer != identity.peer_id() {
            return Err(RecordError::Signature);
        }
        let mut bytes = codec::encode(&record);
        let signature = identity.sign(DOMAIN, &bytes);
        bytes.extend_from_slice(&signature);
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLong);
        }
        Ok(SignedRecord::of(record, &bytes))
    }

    fn of(record: PeerRecord, bytes: &[u8]) -> Self {
        let hash = *blake3::hash(bytes).as_bytes();
        SignedRecord { record: Arc::new(record), bytes: bytes.into(), hash }
    }

    /// What it says.
    #[must_use]
    pub fn record(&self) -> &PeerRecord {
        &self.record
    }

    /// The very bytes: the encoded record, then the 64 bytes of the signature.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The BLAKE3 hash of the bytes.
    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether this record is newer than `other`, by (incarnation, kind, seq, hash of the bytes): a total order, so that
    /// all who hold both agree. Means something only between records of one peer.
    #[must_use]
    pub fn supersedes(&self, other: &SignedRecord) -> bool {
        let rank = |record: &PeerRecord| (record.incarnation, record.kind, record.seq);
        let order = rank(&self.record).cmp(&rank(&other.record)).then_with(|| self.hash.cmp(&other.hash));
        order == Ordering::Greater
    }
}

impl fmt::Debug for SignedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.record, f)
    }
}

impl PartialEq for SignedRecord {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SignedRecord {}

/// A record that is well formed but may be anyone's: verifying costs a curve operation, so callers look first whether
/// it is news and within their budget.
#[derive(Clone, Debug)]
pub struct UnverifiedRecord(SignedRecord);

impl UnverifiedRecord {
    /// Reads a record and its signature, and checks all limits.
    ///
    /// # Errors
    /// If the bytes are too many, are not the one encoding of a record, or break a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLong);
        }
        let (body, _) = bytes.split_last_chunk::<SIGNATURE_LEN>().ok_or(RecordError::Malformed)?;
        let record: PeerRecord = codec::decode(body, MAX_RECORD).map_err(|_| RecordError::Malformed)?;
        record.check()?;
        Ok(UnverifiedRecord(SignedRecord::of(record, bytes)))
    }

    /// What it claims.
    #[must_use]
    pub fn record(&self) -> &PeerRecord {
        self.0.record()
    }

    /// Whether it would supersede `other` if it is genuine.
    #[must_use]
    pub fn supersedes(&self, other: &SignedRecord) -> bool {
        self.0.supersedes(other)
    }

    /// Whether it says that another run of its subject lives in the same incarnation as `other`: after its disk was
    /// lost, or from a clone. Neither is news to the other; who presents it on a link is told so, and jumps above.
    pub(crate) fn rivals(&self, other: &SignedRecord) -> bool {
        let (own, other) = (self.record(), other.record());
        own.kind == RecordKind::Alive
            && own.incarnation == other.incarnation
            && own.instance != other.instance
    }

    /// Whether `other` supersedes it even if it is genuine.
    #[must_use]
    pub fn is_superseded_by(&self, other: &SignedRecord) -> bool {
        other.supersedes(&self.0)
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Takes it for genuine.
    #[cfg(feature = "planted")]
    pub(crate) fn believe(self) -> SignedRecord {
        self.0
    }

    /// Checks that its subject signed it.
    ///
    /// # Errors
    /// [`RecordError::Signature`] if not.
    pub fn verify(self) -> Result<SignedRecord, RecordError> {
        let genuine = self
            .bytes()
            .split_last_chunk::<SIGNATURE_LEN>()
            .is_some_and(|(body, signature)| identity::verify(&self.record().peer, DOMAIN, body, signature));
        if genuine { Ok(self.0) } else { Err(RecordError::Signature) }
    }
}

/// Why something is no acceptable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It has more than 512 bytes.
    #[error("the record is too long")]
    TooLong,
    /// The bytes are not the one encoding of a record.
    #[error("the record is malformed")]
    Malformed,
    /// The name has more than 64 bytes.
    #[error("the name has more than 64 bytes")]
    NameTooLong,
    /// The name has a control character.
    #[error("the name has a control character")]
    NameControl,
    /// There are more than 8 addresses.
    #[error("there are more than 8 addresses")]
    TooManyAddrs,
    /// The time to live is not between a second and seven days.
    #[error("the time to live is not between 1 second and 7 days")]
    Ttl,
    /// Its subject did not sign it.
    #[error("the subject did not sign the record")]
    Signature,
}

#[cfg(test)]
pub(crate) mod tests {
    use alloc::vec;

    use super::*;

    /// A record of `identity` with every field filled.
    pub(crate) fn sample(identity: &Identity) -> PeerRecord {
        PeerRecord {
            network: [9; 8],
            peer: identity.peer_id(),
            incarnation: 3,
            seq: 70_000,
            kind: RecordKind::Alive,
            ttl_secs: 86_400,
            class: RecordClass::Local,
            instance: Instance::from_bytes([5; 16]),
            link_key: identity.link_public(),
            port: 8001,
            name: "caf\u{e9}".into(),
            addrs: vec![[192, 168, 1, 7].into(), [0xfe80, 0, 0, 0, 0, 0, 0, 1].into()],
            caps: 1,
        }
    }

    fn identity() -> Identity {
        Identity::from_seed([1; 32])
    }

    fn sign(change: impl FnOnce(&mut PeerRecord)) -> Result<SignedRecord, RecordError> {
        let mut record = sample(&identity());
        change(&mut record);
        SignedRecord::sign(&identity(), record)
    }

    /// The bytes of a record that breaks a limit, as a peer might sign them all the same.
    fn forced(change: impl FnOnce(&mut PeerRecord)) -> Vec<u8> {
        let mut record = sample(&identity());
        change(&mut record);
        let mut bytes = codec::encode(&record);
        let signature = identity().sign(DOMAIN, &bytes);
        bytes.extend_from_slice(&signature);
        bytes
    }

    #[test]
    fn a_signed_record_arrives_as_it_was() {
        let signed = sign(|_| {}).unwrap();
        let parsed = UnverifiedRecord::parse(signed.bytes()).unwrap();
        assert_eq!(parsed.record(), signed.record());
        let verified = parsed.verify().unwrap();
        assert_eq!(verified, signed);
        assert_eq!(verified.record(), &sample(&identity()));
        assert_eq!(peek_peer(signed.bytes()), Some(signed.record().peer));
        assert_eq!(peek_peer(&signed.bytes()[..PEER_AT + 31]), None);
    }

    #[test]
    fn no_changed_bit_verifies() {
        let signed = sign(|_| {}).unwrap();
        for bit in 0..signed.bytes().len() * 8 {
            let mut bytes = signed.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = UnverifiedRecord::parse(&bytes).and_then(UnverifiedRecord::verify);
            assert!(accepted.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn nobody_signs_for_another() {
        let stranger = Identity::from_seed([2; 32]);
        assert_eq!(SignedRecord::sign(&stranger, sample(&identity())).err(), Some(RecordError::Signature));
        let mut bytes = codec::encode(&sample(&identity()));
        let signature = stranger.sign(DOMAIN, &bytes);
        bytes.extend_from_slice(&signature);
        assert_eq!(UnverifiedRecord::parse(&bytes).unwrap().verify().err(), Some(RecordError::Signature));
    }

    #[test]
    fn limits_hold_for_our_records_and_for_those_of_peers() {
        type Change = fn(&mut PeerRecord);
        let broken: [(Change, RecordError); 5] = [
            (|record| record.name = "x".repeat(65), RecordError::NameTooLong),
            (|record| record.name = "a\u{1b}[2J".into(), RecordError::NameControl),
            (|record| record.addrs = vec![[10, 0, 0, 1].into(); 9], RecordError::TooManyAddrs),
            (|record| record.ttl_secs = 0, RecordError::Ttl),
            (|record| record.ttl_secs = 604_801, RecordError::Ttl),
        ];
        for (change, error) in broken {
            assert_eq!(sign(change).err(), Some(error));
            assert_eq!(UnverifiedRecord::parse(&forced(change)).err(), Some(error));
        }
    }

    #[test]
    fn the_largest_record_fits() {
        let largest = sign(|record| {
            record.incarnation = u64::MAX;
            record.seq = u64::MAX;
            record.ttl_secs = 604_800;
            record.port = u16::MAX;
            record.name = "x".repeat(64);
            record.addrs = vec![[0xfe80, 0, 0, 0, 0, 0, 0, 1].into(); 8];
            record.caps = u32::MAX;
        })
        .unwrap();
        assert!(largest.bytes().len() <= MAX_RECORD, "{}", largest.bytes().len());
        assert!(UnverifiedRecord::parse(largest.bytes()).is_ok());
    }

    #[test]
    fn garbage_is_no_record() {
        assert_eq!(UnverifiedRecord::parse(&[]).err(), Some(RecordError::Malformed));
        assert_eq!(UnverifiedRecord::parse(&[0; 64]).err(), Some(RecordError::Malformed));
        assert_eq!(UnverifiedRecord::parse(&[0; 513]).err(), Some(RecordError::TooLong));
        let mut trailing = forced(|_| {});
        trailing.insert(trailing.len() - SIGNATURE_LEN, 0);
        assert_eq!(UnverifiedRecord::parse(&trailing).err(), Some(RecordError::Malformed));
    }

    #[test]
    fn newer_is_incarnation_then_kind_then_seq_then_hash() {
        let ascending = [
            sign(|record| (record.incarnation, record.kind, record.seq) = (1, RecordKind::Gone, 9)),
            sign(|record| (record.incarnation, record.seq) = (2, 1)),
            sign(|record| (record.incarnation, record.seq) = (2, 2)),
            sign(|record| (record.incarnation, record.kind, record.seq) = (2, RecordKind::Leaving, 1)),
            sign(|record| (record.incarnation, record.kind, record.seq) = (2, RecordKind::Gone, 0)),
            sign(|record| (record.incarnation, record.seq) = (3, 0)),
        ]
        .map(Result::unwrap);
        for (i, one) in ascending.iter().enumerate() {
            for (j, other) in ascending.iter().enumerate() {
                assert_eq!(one.supersedes(other), i > j, "{i} and {j}");
            }
        }
        let (one, other) = (sign(|_| {}).unwrap(), sign(|record| record.port = 1).unwrap());
        assert_ne!(one.supersedes(&other), other.supersedes(&one), "the hash decides, the same way for all");
    }
}
