//! The datagram by which nodes find each other: one size, sealed for the network, its key used once.

use alloc::vec::Vec;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

use crate::ladder::Rung;
use crate::network::Network;
use crate::record::{Instance, MAX_RECORD};

/// Bytes of every beacon: below any MTU, and an answer is never larger than its question.
pub(crate) const BEACON_SIZE: usize = 768;

/// The version of everything on the wire; other versions are refused.
pub const PROTOCOL_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"p2pb";
/// Magic, version, instance, counter.
const HEADER_LEN: usize = 4 + 1 + 16 + 8;
const TAG_LEN: usize = 16;
const BODY_LEN: usize = BEACON_SIZE - HEADER_LEN - TAG_LEN;
/// Flags, the way, and the record's length.
const BODY_HEADER_LEN: usize = 1 + 1 + 2;

const PULSE_LEN: usize = 8 + 16;

const _: () = assert!(BODY_HEADER_LEN + MAX_RECORD + PULSE_LEN <= BODY_LEN);

/// What a beacon is for; a set, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BeaconFlags(u8);

impl BeaconFlags {
    /// I am here.
    pub(crate) const ANNOUNCE: BeaconFlags = BeaconFlags(1);
    /// This answers a beacon of yours.
    pub(crate) const REPLY: BeaconFlags = BeaconFlags(2);
    /// Please answer.
    pub(crate) const SOLICIT: BeaconFlags = BeaconFlags(4);
    /// I am going.
    pub(crate) const LEAVING: BeaconFlags = BeaconFlags(8);

    /// Please dial me: I cannot dial you.
    pub(crate) const DIAL_ME: BeaconFlags = BeaconFlags(16);
    /// Please answer by the rung that this names.
    pub(crate) const PROBE: BeaconFlags = BeaconFlags(32);
    /// This answers a probe.
    pub(crate) const ANSWER: BeaconFlags = BeaconFlags(64);
    /// A pulse follows the record: of a probe, what is to be answered; of an answer, a sign of life.
    pub(crate) const PULSE: BeaconFlags = BeaconFlags(128);

    /// Both sets together.
    pub(crate) const fn with(self, other: BeaconFlags) -> Self {
        BeaconFlags(self.0 | other.0)
    }

    /// Whether all of `other` are in this set.
    pub(crate) const fn has(self, other: BeaconFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// As they are sent.
    #[cfg(feature = "forge")]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// A pulse is of a probe or of its answer.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        let flags = BeaconFlags(bits);
        let whose = flags.has(Self::PROBE) != flags.has(Self::ANSWER);
        if flags.has(Self::PULSE) && !whose { None } else { Some(flags) }
    }
}

/// By which rungs a beacon and its answer go. One byte: the low half and the high half are a rung's place in
/// [`Rung::ALL`], counted from 1; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// The one rung that this beacon was sealed for; none if it went out by several.
    pub(crate) sent_by: Option<Rung>,
    /// Of a probe: the rung to answer by. Of its answer: the rung that the probe came by.
    pub(crate) other: Option<Rung>,
}

impl Way {
    /// A beacon for this rung alone.
    pub(crate) fn by(rung: Rung) -> Self {
        Way { sent_by: Some(rung), other: None }
    }

    fn to_byte(self) -> u8 {
        let half = |rung: Option<Rung>| rung.map_or(0, |rung| rung as u8 + 1);
        half(self.sent_by) | half(self.other) << 4
    }

    fn from_byte(byte: u8) -> Option<Self> {
        let rung = |half: u8| match usize::from(half).checked_sub(1) {
            None => Some(None),
            Some(place) => Rung::ALL.get(place).map(|&rung| Some(rung)),
        };
        Some(Way { sent_by: rung(byte & 15)?, other: rung(byte >> 4)? })
    }
}

/// What only one peer can have said to one other: a number, and the proof that the sender knows it and the key that the
/// two share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pulse {
    pub nonce: u64,
    pub proof: [u8; 16],
}

impl Pulse {
    /// The pulse of a probe, or of its answer, from one run of a node. `key` is what both share and nobody else knows.
    pub(crate) fn new(key: &[u8; 32], nonce: u64, answers: bool, from: &Instance) -> Self {
        let mut message = [0; 25];
        message[0] = answers.into();
        message[1..9].copy_from_slice(&nonce.to_le_bytes());
        message[9..].copy_from_slice(from.as_bytes());
        let mut proof = [0; 16];
        proof.copy_from_slice(&blake3::keyed_hash(key, &message).as_bytes()[..16]);
        Pulse { nonce, proof }
    }

    /// Whether it was made with `key`, for the same.
    pub(crate) fn is_genuine(&self, key: &[u8; 32], answers: bool, from: &Instance) -> bool {
        // Compared in constant time, as blake3 compares its hashes.
        let own = Pulse::new(key, self.nonce, answers, from);
        let differs = own.proof.iter().zip(self.proof).fold(0, |all, (own, other)| all | (own ^ other));
        differs == 0
    }
}

/// One beacon. Its instance must never seal another one with the same counter: both would share a key and a nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beacon {
    pub instance: Instance,
    /// Grows by one with every beacon of the instance.
    pub counter: u64,
    pub flags: BeaconFlags,
    pub way: Way,
    /// The bytes of a signed record, at most [`MAX_RECORD`].
    pub record: Vec<u8>,
    /// There is one if the flags say so.
    pub pulse: Option<Pulse>,
}

/// What a beacon shows to everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BeaconHeader {
    pub instance: Instance,
    pub counter: u64,
}

impl Beacon {
    /// The datagram: header, then the body under the key of (network, instance, counter), bound to the header.
    ///
    /// A record above [`MAX_RECORD`] cannot come from [`SignedRecord`](crate::record::SignedRecord); it would be cut.
    pub(crate) fn seal(&self, network: &Network) -> Vec<u8> {
        let record = &self.record[..self.record.len().min(MAX_RECORD)];
        let mut datagram = Vec::with_capacity(BEACON_SIZE);
        datagram.extend_from_slice(&MAGIC);
        datagram.push(PROTOCOL_VERSION);
        datagram.extend_from_slice(self.instance.as_bytes());
        datagram.extend_from_slice(&self.counter.to_le_bytes());
        let flags = if self.pulse.is_some() { self.flags.with(BeaconFlags::PULSE) } else { self.flags };
        datagram.push(flags.0);
        datagram.push(self.way.to_byte());
        datagram.extend_from_slice(&(record.len() as u16).to_le_bytes());
        datagram.extend_from_slice(record);
        if let Some(pulse) = &self.pulse {
            datagram.extend_from_slice(&pulse.nonce.to_le_bytes());
            datagram.extend_from_slice(&pulse.proof);
        }
        datagram.resize(HEADER_LEN + BODY_LEN, 0);

        let (header, body) = datagram.split_at_mut(HEADER_LEN);
        let tag = seal_body(network, &self.instance, self.counter, header, body);
        datagram.extend_from_slice(&tag);
        datagram
    }

    /// Opens a beacon of `network`.
    ///
    /// Callers [`peek`] first and drop what is not newer than the last of its instance: that costs nothing.
    pub(crate) fn open(datagram: &[u8], network: &Network) -> Result<Self, BeaconError> {
        let BeaconHeader { instance, counter } = peek(datagram)?;
        let (header, rest) = datagram.split_at(HEADER_LEN);
        let (sealed, tag) = rest.split_at(BODY_LEN);
        let mut body = [0; BODY_LEN];
        body.copy_from_slice(sealed);
        if !open_body(network, &instance, counter, header, &mut body, tag) {
            return Err(BeaconError::Sealed);
        }

        let [flags, way, low, high, rest @ ..] = body;
        let flags = BeaconFlags::from_bits(flags).ok_or(BeaconError::Malformed)?;
        let way = Way::from_byte(way).ok_or(BeaconError::Malformed)?;
        let len = usize::from(u16::from_le_bytes([low, high]));
        let (record, rest) = rest.split_at_checked(len).ok_or(BeaconError::Malformed)?;
        let (pulse, padding) = if flags.has(BeaconFlags::PULSE) {
            let (nonce, rest) = rest.split_first_chunk::<8>().ok_or(BeaconError::Malformed)?;
            let (&proof, rest) = rest.split_first_chunk::<16>().ok_or(BeaconError::Malformed)?;
            (Some(Pulse { nonce: u64::from_le_bytes(*nonce), proof }), rest)
        } else {
            (None, rest)
        };
        if len > MAX_RECORD || padding.iter().any(|&byte| byte != 0) {
            return Err(BeaconError::Malformed);
        }
        Ok(Beacon { instance, counter, flags, way, record: record.to_vec(), pulse })
    }
}

/// Reads what a beacon shows to everyone: size, magic and version are right, nothing else is known.
pub(crate) fn peek(datagram: &[u8]) -> Result<BeaconHeader, BeaconError> {
    if datagram.len() != BEACON_SIZE {
        return Err(BeaconError::Size);
    }
    let (magic, rest) = datagram.split_first_chunk::<4>().ok_or(BeaconError::Size)?;
    let (&[version], rest) = rest.split_first_chunk::<1>().ok_or(BeaconError::Size)?;
    let (instance, rest) = rest.split_first_chunk::<16>().ok_or(BeaconError::Size)?;
    let (counter, _) = rest.split_first_chunk::<8>().ok_or(BeaconError::Size)?;
    if *magic != MAGIC {
        return Err(BeaconError::Magic);
    }
    if version != PROTOCOL_VERSION {
        return Err(BeaconError::Version(version));
    }
    Ok(BeaconHeader { instance: Instance::from_bytes(*instance), counter: u64::from_le_bytes(*counter) })
}

/// Seals `body` in place and returns its tag.
fn seal_body(
    network: &Network,
    instance: &Instance,
    counter: u64,
    header: &[u8],
    body: &mut [u8],
) -> [u8; TAG_LEN] {
    let key = Zeroizing::new(network.beacon_key(instance, counter));
    #[cfg(feature = "cheap-crypto")]
    if network.is_cheap() {
        return crate::cheap::seal_beacon(&key, header, body);
    }
    let tag = ChaCha20Poly1305::new((&*key).into())
        .encrypt_in_place_detached(&Nonce::default(), header, body)
        .expect("a beacon is far below the cipher's limit of 256 GiB");
    tag.into()
}

/// Opens `body` in place. Whether it is genuine.
fn open_body(
    network: &Network,
    instance: &Instance,
    counter: u64,
    header: &[u8],
    body: &mut [u8],
    tag: &[u8],
) -> bool {
    let key = Zeroizing::new(network.beacon_key(instance, counter));
    #[cfg(feature = "cheap-crypto")]
    if network.is_cheap() {
        return crate::cheap::open_beacon(&key, header, body, tag);
    }
    ChaCha20Poly1305::new((&*key).into())
        .decrypt_in_place_detached(&Nonce::default(), header, body, Tag::from_slice(tag))
        .is_ok()
}

/// Why a datagram is no beacon for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BeaconError {
    /// It does not have 768 bytes.
    #[error("a datagram of another size")]
    Size,
    /// It does not begin as a beacon does.
    #[error("not a beacon")]
    Magic,
    /// It speaks this version of the protocol.
    #[error("a beacon of protocol version {0}")]
    Version(u8),
    /// Its seal is not of our network, or broken.
    #[error("a beacon of another network")]
    Sealed,
    /// A member of the network sealed nonsense.
    #[error("a malformed beacon")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn network() -> Network {
        Network::open("test").unwrap()
    }

    fn beacon() -> Beacon {
        Beacon {
            instance: Instance::from_bytes([4; 16]),
            counter: 77,
            flags: BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT),
            way: Way { sent_by: Some(Rung::Multicast6), other: Some(Rung::Scan) },
            record: vec![8; 300],
            pulse: None,
        }
    }

    /// What a member of the network could seal with a program of its own.
    fn seal_body(start: &[u8]) -> Vec<u8> {
        let mut datagram = beacon().seal(&network());
        datagram[HEADER_LEN..].fill(0);
        datagram[HEADER_LEN..][..start.len()].copy_from_slice(start);
        let (header, rest) = datagram.split_at_mut(HEADER_LEN);
        let (body, tag) = rest.split_at_mut(BODY_LEN);
        let Beacon { instance, counter, .. } = beacon();
        tag.copy_from_slice(&super::seal_body(&network(), &instance, counter, header, body));
        datagram
    }

    #[test]
    fn a_beacon_arrives_as_it_was() {
        for len in [0, 1, MAX_RECORD] {
            let beacon = Beacon { record: vec![1; len], ..beacon() };
            let datagram = beacon.seal(&network());
            assert_eq!(datagram.len(), BEACON_SIZE);
            assert_eq!(peek(&datagram), Ok(BeaconHeader { instance: beacon.instance, counter: 77 }));
            assert_eq!(Beacon::open(&datagram, &network()), Ok(beacon));
        }
    }

    #[test]
    fn a_pulse_arrives_as_it_was_and_is_of_one_key_run_and_direction() {
        let (run, key) = (beacon().instance, [7; 32]);
        let pulse = Pulse::new(&key, 9, true, &run);
        let flags = BeaconFlags::REPLY.with(BeaconFlags::ANSWER).with(BeaconFlags::PULSE);
        for len in [0, MAX_RECORD] {
            let beacon = Beacon { record: vec![1; len], pulse: Some(pulse), flags, ..beacon() };
            assert_eq!(Beacon::open(&beacon.seal(&network()), &network()), Ok(beacon));
        }
        assert!(pulse.is_genuine(&key, true, &run));
        assert!(!pulse.is_genuine(&[8; 32], true, &run));
        assert!(!pulse.is_genuine(&key, false, &run), "a question is no answer");
        assert!(!pulse.is_genuine(&key, true, &Instance::from_bytes([5; 16])));
        assert!(!Pulse { nonce: 10, ..pulse }.is_genuine(&key, true, &run));
    }

    #[test]
    fn another_network_cannot_open_it() {
        let datagram = beacon().seal(&network());
        assert_eq!(Beacon::open(&datagram, &Network::open("other").unwrap()), Err(BeaconError::Sealed));
        let closed = Network::with_secret("test", &[1; 32]).unwrap();
        assert_eq!(Beacon::open(&datagram, &closed), Err(BeaconError::Sealed));
    }

    #[test]
    fn no_changed_byte_opens() {
        let datagram = beacon().seal(&network());
        for at in 0..BEACON_SIZE {
            let mut changed = datagram.clone();
            changed[at] ^= 0x40;
            let expected = match at {
                0..4 => BeaconError::Magic,
                4 => BeaconError::Version(PROTOCOL_VERSION ^ 0x40),
                _ => BeaconError::Sealed,
            };
            assert_eq!(Beacon::open(&changed, &network()), Err(expected), "byte {at}");
        }
    }

    #[test]
    fn another_size_is_no_beacon() {
        let datagram = beacon().seal(&network());
        assert_eq!(peek(&[]), Err(BeaconError::Size));
        assert_eq!(peek(&datagram[1..]), Err(BeaconError::Size));
        assert_eq!(peek(&[&datagram[..], &[0]].concat()), Err(BeaconError::Size));
    }

    #[test]
    fn sealed_nonsense_is_malformed() {
        assert!(Beacon::open(&seal_body(&[1, 0, 2, 0, 7, 7]), &network()).is_ok());
        let malformed: [&[u8]; 6] = [
            &[0x80, 0, 0, 0],       // a pulse of nothing
            &[1, 0x09, 0, 0],       // sent by a rung that there is not
            &[1, 0x90, 0, 0],       // answered by one
            &[1, 0, 0xff, 0xff],    // a record beyond the end
            &[1, 0, 1, 2],          // a record of 513 bytes
            &[1, 0, 2, 0, 7, 7, 1], // padding that is not zero
        ];
        for body in malformed {
            assert_eq!(Beacon::open(&seal_body(body), &network()), Err(BeaconError::Malformed), "{body:?}");
        }
        let mut far = [0; BODY_LEN];
        far[BODY_LEN - 1] = 1;
        assert_eq!(Beacon::open(&seal_body(&far), &network()), Err(BeaconError::Malformed));
    }

    #[test]
    fn flags_are_a_set() {
        let both = BeaconFlags::REPLY.with(BeaconFlags::LEAVING);
        assert!(both.has(BeaconFlags::REPLY) && both.has(BeaconFlags::LEAVING) && both.has(both));
        assert!(!both.has(BeaconFlags::ANNOUNCE) && !BeaconFlags::REPLY.has(both));
        assert!(both.has(BeaconFlags::default()));
    }
}
