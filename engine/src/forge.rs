//! What an attacker says, made by hand: records that somebody else should have signed, beacons of others, links that
//! keep no rule. Only simulations of attacks enable it. It gives nobody a power that a program of their own would not
//! have: whoever knows the protocol can send these bytes.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::content::{BlockRef, ContentId, Manifest};
use crate::engine::Engine;
use crate::engine::code::{Between, CodeExchange};
use crate::identity::{Identity, PeerId};
use crate::link::{CipherSuite, Handshake, HandshakeStep, LinkCodec};
use crate::network::Network;
use crate::policy::Step;
use crate::record::{self, Instance, PeerRecord};
use crate::wire::beacon::{self, Beacon, BeaconFlags, Way};
use crate::wire::codec::{decode, encode};
use crate::wire::{AgedRecord, DisconnectReason, Frame, Hello};

/// The flags of a beacon (PROTOCOL.md, section 4).
pub mod flags {
    /// I am here.
    pub const ANNOUNCE: u8 = 1;
    /// Please answer.
    pub const SOLICIT: u8 = 4;
    /// I am going.
    pub const LEAVING: u8 = 8;
    /// Please dial me.
    pub const DIAL_ME: u8 = 16;
}

/// The bytes of `record` with a signature of `signer`, who need not be its subject; nothing is checked.
#[must_use]
pub fn sign(signer: &Identity, record: &PeerRecord) -> Vec<u8> {
    let mut bytes = encode(record);
    let signature = signer.sign(record::DOMAIN, &bytes);
    bytes.extend_from_slice(&signature);
    bytes
}

/// What records name the network by.
#[must_use]
pub fn tag(network: &Network) -> [u8; 8] {
    network.tag()
}

/// The X25519 public key that the links of an identity prove.
#[must_use]
pub fn link_key(identity: &Identity) -> [u8; 32] {
    identity.link_public()
}

/// The record that says that this run of an engine is over, as it would be spread.
#[must_use]
pub fn farewell_record(engine: &Engine) -> Vec<u8> {
    engine.farewell_record().bytes().to_vec()
}

/// A beacon that somebody who knows the network has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overheard {
    /// The run of its sender.
    pub instance: Instance,
    /// Its number within that run.
    pub counter: u64,
    /// Its flags.
    pub bits: u8,
    /// The record in it, which nobody has verified.
    pub record: Vec<u8>,
}

/// Opens a beacon; `None` if it is none of this network.
#[must_use]
pub fn open(network: &Network, datagram: &[u8]) -> Option<Overheard> {
    let Beacon { instance, counter, flags, record, .. } = Beacon::open(datagram, network).ok()?;
    Some(Overheard { instance, counter, bits: flags.bits(), record })
}

/// Instance and counter of a beacon of any network; `None` if it is none.
#[must_use]
pub fn peek(datagram: &[u8]) -> Option<(Instance, u64)> {
    beacon::peek(datagram).ok().map(|header| (header.instance, header.counter))
}

/// Seals a beacon around any bytes.
#[must_use]
pub fn seal(network: &Network, instance: Instance, counter: u64, bits: u8, record: &[u8]) -> Vec<u8> {
    let flags = BeaconFlags::from_bits(bits).unwrap_or_default();
    Beacon { instance, counter, flags, way: Way::default(), record: record.to_vec(), pulse: None }
        .seal(network)
}

/// One side of a handshake by hand: it proves the link key of one identity and presents any record and any steps.
#[derive(Debug)]
pub struct HandshakeByHand {
    handshake: Handshake,
    hello: Vec<u8>,
    transcript: Option<[u8; 32]>,
}

impl HandshakeByHand {
    /// Begins as the dialler; `out` gets the first message.
    pub fn dial(
        network: &Network,
        prover: &Identity,
        record: &[u8],
        steps: &[&str],
        ephemeral_seed: [u8; 32],
        out: &mut Vec<u8>,
    ) -> Self {
        let suite = prover.suite(CipherSuite::ChaChaPolyBlake2s);
        let (psk, secret) = (network.link_psk(), prover.link_secret());
        let handshake = Handshake::dial(suite, &psk, &secret, ephemeral_seed, out);
        HandshakeByHand { handshake, hello: hello(record, steps, 1), transcript: None }
    }

    /// Begins as the acceptor.
    #[must_use]
    pub fn accept(
        network: &Network,
        prover: &Identity,
        record: &[u8],
        steps: &[&str],
        ephemeral_seed: [u8; 32],
    ) -> Self {
        let suite = prover.suite(CipherSuite::ChaChaPolyBlake2s);
        let (psk, secret) = (network.link_psk(), prover.link_secret());
        let handshake = Handshake::accept(suite, &psk, &secret, ephemeral_seed);
        HandshakeByHand { handshake, hello: hello(record, steps, 0), transcript: None }
    }

    /// Takes what arrived, and appends what is to be sent to `out`: the codec of the link once it is done.
    ///
    /// # Errors
    /// If it has failed.
    pub fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<LinkCodec>, Failed> {
        match self.handshake.receive(bytes, &self.hello, out) {
            Ok(HandshakeStep::Pending) => Ok(None),
            Ok(HandshakeStep::Done(completed)) => {
                self.transcript = Some(completed.transcript);
                Ok(Some(completed.codec))
            }
            Err(_) => Err(Failed),
        }
    }

    /// The hash of the handshake, once it is done.
    #[must_use]
    pub fn transcript(&self) -> Option<[u8; 32]> {
        self.transcript
    }
}

/// One side of the exchange behind the short code, by hand.
#[derive(Debug)]
pub struct CodeByHand(CodeExchange);

impl CodeByHand {
    /// Begins on a link of `own` with `peer`: what to say first, if it is this side that commits.
    #[must_use]
    pub fn begin(
        own: PeerId,
        peer: PeerId,
        transcript: [u8; 32],
        nonce: [u8; 32],
    ) -> (Self, Option<Vec<u8>>) {
        let between = Between { transcript, first: own.min(peer), second: own.max(peer) };
        let (exchange, commitment) = CodeExchange::begin(between, own < peer, nonce);
        (CodeByHand(exchange), commitment)
    }

    /// Takes what the peer says: the answer, if there is one to give.
    pub fn receive(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.0.receive(message).ok().flatten()
    }
}

/// The other side did not take a handshake by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handshake failed")]
pub struct Failed;

fn hello(record: &[u8], steps: &[&str], dial: u64) -> Vec<u8> {
    let steps = steps.iter().map(ToString::to_string).collect();
    encode(&Hello { record: record.to_vec(), steps, dial })
}

// ---- frames, each with its length in front

/// The first frame of a link: the sender has verified the receiver, it says.
#[must_use]
pub fn confirm() -> Vec<u8> {
    framed(&Frame::Confirm { session: 1, verified: true, yours: None })
}

/// The sender has verified the receiver, it says.
#[must_use]
pub fn verified() -> Vec<u8> {
    framed(&Frame::Verified { session: 1 })
}

/// Records, each with the age that the sender gives it.
#[must_use]
pub fn records(records: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let aged = |(age_secs, bytes): &(u32, Vec<u8>)| AgedRecord { age_secs: *age_secs, bytes: bytes.clone() };
    framed(&Frame::Records(records.iter().map(aged).collect()))
}

/// A question for a sign of life.
#[must_use]
pub fn ping(nonce: u64) -> Vec<u8> {
    framed(&Frame::Ping { nonce })
}

/// The first text of a run.
#[must_use]
pub fn text(text: &str) -> Vec<u8> {
    framed(&Frame::Text { id: 1, base: 1, text: text.to_string() })
}

/// An offer of content.
#[must_use]
pub fn offer(manifest: Manifest) -> Vec<u8> {
    framed(&Frame::Offer(manifest))
}

/// A question for the list of a content.
#[must_use]
pub fn list_request(content: ContentId) -> Vec<u8> {
    framed(&Frame::ListRequest { content, first: 0 })
}

/// A question for a block.
#[must_use]
pub fn block_request(block: BlockRef) -> Vec<u8> {
    framed(&Frame::BlockRequest(block))
}

/// Who fetches a content as well.
#[must_use]
pub fn takers(content: ContentId, peers: Vec<PeerId>) -> Vec<u8> {
    framed(&Frame::Takers { content, peers })
}

/// What the sender has of a content that it fetches, and a question for the same.
#[must_use]
pub fn have(content: ContentId, blocks: Vec<u8>) -> Vec<u8> {
    framed(&Frame::Have { content, blocks, answer: true })
}

/// The sender goes.
#[must_use]
pub fn leaving() -> Vec<u8> {
    framed(&Frame::Disconnect(DisconnectReason::Leaving))
}

/// What one side says in the exchange behind the short code.
#[must_use]
pub fn code_message(message: Vec<u8>) -> Vec<u8> {
    framed(&Frame::Step { name: Step::Code.name().to_string(), message })
}

/// The message of a frame of that exchange; `None` for any other.
#[must_use]
pub fn read_code_message(frame: &[u8]) -> Option<Vec<u8>> {
    match decode::<Frame>(frame, frame.len()).ok()? {
        Frame::Step { name, message } if name == Step::Code.name() => Some(message),
        _ => None,
    }
}

/// A certificate, or anything in place of one.
#[must_use]
pub fn certificate(message: Vec<u8>) -> Vec<u8> {
    framed(&Frame::Step { name: Step::Certificate.name().to_string(), message })
}

/// What a frame shows as a certificate; `None` for any other frame.
#[must_use]
pub fn read_certificate(frame: &[u8]) -> Option<Vec<u8>> {
    match decode::<Frame>(frame, frame.len()).ok()? {
        Frame::Step { name, message } if name == Step::Certificate.name() => Some(message),
        _ => None,
    }
}

/// What an honest peer would answer to a frame at once; `None` for nothing.
#[must_use]
pub fn answer(frame: &[u8]) -> Option<Vec<u8>> {
    match decode::<Frame>(frame, frame.len()).ok()? {
        Frame::Ping { nonce } => Some(framed(&Frame::Pong { nonce })),
        _ => None,
    }
}

fn framed(frame: &Frame) -> Vec<u8> {
    let body = encode(frame);
    let mut framed = Vec::with_capacity(body.len() + 4);
    framed.extend_from_slice(&(body.len() as u32).to_le_bytes());
    framed.extend_from_slice(&body);
    framed
}
