//! How two peers open a link: Noise XX with the network's key (Noise specification, revision 34, sections 7.5 and 9),
//! behind a preamble of magic, version and cipher suite.
//!
//! ```text
//! dialler                                   acceptor
//! preamble, message 1 (e)              ->
//!                                      <-   preamble, message 2 (e, ee, s, es, hello)
//! message 3 (s, se, hello)             ->
//! ```
//!
//! A preamble has 6 bytes: `p2pn`, version, suite; the acceptor's echoes the suite. A message is a u16 length, little
//! endian, and as many bytes. The dialler's preamble is the prologue, so nobody can change it on the way.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use super::codec::LinkCodec;
use super::suite::{CipherSuite, Resolver};
use crate::wire::beacon::PROTOCOL_VERSION;

/// Bytes that a peer may say in its handshake.
pub(crate) const MAX_HELLO: usize = 1024;

/// Bytes that a message may have: keys, tags and the longest hello need 1120.
const MAX_MESSAGE: usize = 2048;
const MAGIC: [u8; 4] = *b"p2pn";
const PREAMBLE_LEN: usize = 6;

/// One side of an opening link.
pub(crate) struct Handshake {
    stage: Stage,
    /// What arrived and is not yet a whole preamble or message: at most one message more than the last read.
    input: Vec<u8>,
    first_ephemeral: Option<[u8; 32]>,
}

/// What has to arrive next.
enum Stage {
    /// Acceptor: the dialler's preamble.
    DiallersPreamble(Keys),
    /// Acceptor: message 1.
    First(Noise),
    /// Acceptor: message 3.
    Third(Noise),
    /// Dialler: the acceptor's preamble.
    AcceptorsPreamble(Noise),
    /// Dialler: message 2.
    Second(Noise),
    /// Nothing: done, or failed.
    Over,
}

struct Keys {
    psk: Zeroizing<[u8; 32]>,
    link_secret: Zeroizing<[u8; 32]>,
    ephemeral_seed: Zeroizing<[u8; 32]>,
}

struct Noise {
    suite: CipherSuite,
    state: Box<HandshakeState>,
}

/// How far a handshake got.
#[derive(Debug)]
pub(crate) enum HandshakeStep {
    /// More has to arrive.
    Pending,
    /// Both sides proved their keys.
    Done(Box<Completed>),
}

/// What a handshake achieved.
#[derive(Debug)]
pub(crate) struct Completed {
    /// The link's data plane, already fed with what arrived behind the handshake.
    pub codec: LinkCodec,
    /// What the peer said: at most [`MAX_HELLO`] bytes.
    pub hello: Vec<u8>,
    /// The X25519 key that the peer proved.
    pub remote_static: [u8; 32],
    /// The handshake hash: the same on both sides, and of this link only.
    pub transcript: [u8; 32],
}

impl Handshake {
    /// Begins as the dialler; `out` gets the preamble and message 1. `ephemeral_seed` must never be used again.
    pub(crate) fn dial(
        suite: CipherSuite,
        psk: &[u8; 32],
        link_secret: &[u8; 32],
        ephemeral_seed: [u8; 32],
        out: &mut Vec<u8>,
    ) -> Self {
        let prologue = preamble(suite.code());
        let keys = Keys::new(psk, link_secret, ephemeral_seed);
        let mut stage = Stage::Over;
        if let Ok(mut noise) = Noise::new(suite, &prologue, keys, true) {
            let start = out.len();
            out.extend_from_slice(&prologue);
            match noise.write(&[], out) {
                Ok(()) => stage = Stage::AcceptorsPreamble(noise),
                Err(_) => out.truncate(start),
            }
        }
        Handshake { stage, input: Vec::new(), first_ephemeral: None }
    }

    /// Begins as the acceptor, who waits. `ephemeral_seed` must never be used again.
    pub(crate) fn accept(psk: &[u8; 32], link_secret: &[u8; 32], ephemeral_seed: [u8; 32]) -> Self {
        let stage = Stage::DiallersPreamble(Keys::new(psk, link_secret, ephemeral_seed));
        Handshake { stage, input: Vec::new(), first_ephemeral: None }
    }

    /// Takes what arrived, appends what is to be sent to `out`. `hello` is what this side says to the peer, once: at
    /// most [`MAX_HELLO`] bytes, sent sealed in message 2 or 3.
    ///
    /// After an error the handshake is over; what is then in `out` (the preamble, for a dialler of another version) is
    /// still to be sent.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        hello: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<HandshakeStep, HandshakeError> {
        self.input.extend_from_slice(bytes);
        loop {
            match mem::replace(&mut self.stage, Stage::Over) {
                Stage::DiallersPreamble(keys) => {
                    let Some((version, suite)) = self.take_preamble()? else {
                        self.stage = Stage::DiallersPreamble(keys);
                        return Ok(HandshakeStep::Pending);
                    };
                    let known = CipherSuite::from_code(suite).filter(|_| version == PROTOCOL_VERSION);
                    let Some(known) = known else {
                        out.extend_from_slice(&preamble(suite));
                        return Err(check_version(version).err().unwrap_or(HandshakeError::Suite(suite)));
                    };
                    self.stage = Stage::First(Noise::new(known, &preamble(suite), keys, false)?);
                }
                Stage::First(mut noise) => {
                    let Some(message) = self.take_message()? else {
                        self.stage = Stage::First(noise);
                        return Ok(HandshakeStep::Pending);
                    };
                    noise.read(&message)?;
                    self.first_ephemeral = message.first_chunk().copied();
                    out.extend_from_slice(&preamble(noise.suite.code()));
                    noise.write(hello, out)?;
                    self.stage = Stage::Third(noise);
                }
                Stage::Third(mut noise) => {
                    let Some(message) = self.take_message()? else {
                        self.stage = Stage::Third(noise);
                        return Ok(HandshakeStep::Pending);
                    };
                    let said = noise.read(&message)?;
                    return Ok(HandshakeStep::Done(Box::new(noise.finish(said, &self.rest())?)));
                }
                Stage::AcceptorsPreamble(noise) => {
                    let Some((version, suite)) = self.take_preamble()? else {
                        self.stage = Stage::AcceptorsPreamble(noise);
                        return Ok(HandshakeStep::Pending);
                    };
                    check_version(version)?;
                    if suite != noise.suite.code() {
                        return Err(HandshakeError::Suite(suite));
                    }
                    self.stage = Stage::Second(noise);
                }
                Stage::Second(mut noise) => {
                    let Some(message) = self.take_message()? else {
                        self.stage = Stage::Second(noise);
                        return Ok(HandshakeStep::Pending);
                    };
                    let said = noise.read(&message)?;
                    noise.write(hello, out)?;
                    return Ok(HandshakeStep::Done(Box::new(noise.finish(said, &self.rest())?)));
                }
                Stage::Over => {
                    self.input = Vec::new();
                    return Err(HandshakeError::Refused);
                }
            }
        }
    }

    /// The dialler's ephemeral key, on the acceptor's side, once message 1 was opened: seen twice, it is a replay.
    pub(crate) fn first_ephemeral(&self) -> Option<[u8; 32]> {
        self.first_ephemeral
    }

    /// Version and suite, once six bytes are there. A wrong magic shows as soon as it can.
    fn take_preamble(&mut self) -> Result<Option<(u8, u8)>, HandshakeError> {
        if self.input.iter().zip(&MAGIC).any(|(got, want)| got != want) {
            return Err(HandshakeError::Magic);
        }
        let Some(&[.., version, suite]) = self.input.first_chunk::<PREAMBLE_LEN>() else {
            return Ok(None);
        };
        self.input.drain(..PREAMBLE_LEN);
        Ok(Some((version, suite)))
    }

    /// The next message, once all of it is there.
    fn take_message(&mut self) -> Result<Option<Vec<u8>>, HandshakeError> {
        let Some((&len, rest)) = self.input.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_le_bytes(len));
        if len > MAX_MESSAGE {
            return Err(HandshakeError::TooLong);
        }
        let Some(message) = rest.get(..len).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.input.drain(..2 + len);
        Ok(Some(message))
    }

    /// What arrived behind the handshake.
    fn rest(&mut self) -> Vec<u8> {
        mem::take(&mut self.input)
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::DiallersPreamble(_) => "awaiting the dialler's preamble",
            Stage::First(_) => "awaiting message 1",
            Stage::Third(_) => "awaiting message 3",
            Stage::AcceptorsPreamble(_) => "awaiting the acceptor's preamble",
            Stage::Second(_) => "awaiting message 2",
            Stage::Over => "over",
        };
        f.debug_struct("Handshake").field("stage", &stage).finish_non_exhaustive()
    }
}

impl Keys {
    fn new(psk: &[u8; 32], link_secret: &[u8; 32], ephemeral_seed: [u8; 32]) -> Self {
        Keys {
            psk: Zeroizing::new(*psk),
            link_secret: Zeroizing::new(*link_secret),
            ephemeral_seed: Zeroizing::new(ephemeral_seed),
        }
    }
}

impl Noise {
    fn new(suite: CipherSuite, prologue: &[u8], keys: Keys, dialler: bool) -> Result<Self, HandshakeError> {
        let build = || {
            let builder = Builder::with_resolver(
                suite.noise_name().parse()?,
                Box::new(Resolver::new(keys.ephemeral_seed)),
            )
            .psk(0, &keys.psk)?
            .local_private_key(&*keys.link_secret)?
            .prologue(prologue)?;
            if dialler { builder.build_initiator() } else { builder.build_responder() }
        };
        match build() {
            Ok(state) => Ok(Noise { suite, state: Box::new(state) }),
            Err(_) => Err(HandshakeError::Refused),
        }
    }

    /// Appends the next message of ours, with its length, to `out`.
    fn write(&mut self, hello: &[u8], out: &mut Vec<u8>) -> Result<(), HandshakeError> {
        debug_assert!(hello.len() <= MAX_HELLO, "callers keep their hello short");
        let mut message = [0; MAX_MESSAGE];
        let len = self.state.write_message(hello, &mut message).map_err(|_| HandshakeError::Refused)?;
        out.extend_from_slice(&(len as u16).to_le_bytes());
        out.extend_from_slice(&message[..len]);
        Ok(())
    }

    /// Opens the next message of the peer; returns what it says.
    fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        // As long as the message, tag included: the ciphers need the room.
        let mut said = [0; MAX_MESSAGE];
        let len = self.state.read_message(message, &mut said).map_err(|_| HandshakeError::Refused)?;
        if len > MAX_HELLO {
            return Err(HandshakeError::TooLong);
        }
        Ok(said[..len].to_vec())
    }

    fn finish(mut self, hello: Vec<u8>, rest: &[u8]) -> Result<Completed, HandshakeError> {
        let dialler = self.state.is_initiator();
        let remote_static = self.state.get_remote_static().and_then(|key| key.first_chunk().copied());
        let transcript = self.state.get_handshake_hash().first_chunk().copied();
        let (Some(remote_static), Some(transcript)) = (remote_static, transcript) else {
            return Err(HandshakeError::Refused);
        };
        let (diallers, acceptors) = self.state.dangerously_get_raw_split();
        let (diallers, acceptors) = (Zeroizing::new(diallers), Zeroizing::new(acceptors));
        let (seal, open) = if dialler { (diallers, acceptors) } else { (acceptors, diallers) };
        let mut codec = LinkCodec::from_keys(self.suite, &seal, &open);
        codec.push(rest);
        Ok(Completed { codec, hello, remote_static, transcript })
    }
}

fn preamble(suite: u8) -> [u8; PREAMBLE_LEN] {
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, PROTOCOL_VERSION, suite]
}

fn check_version(version: u8) -> Result<(), HandshakeError> {
    if version == PROTOCOL_VERSION { Ok(()) } else { Err(HandshakeError::Version(version)) }
}

/// Why a handshake failed. It is over in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The stream does not begin as a link does.
    #[error("not a link")]
    Magic,
    /// The peer speaks this version of the protocol.
    #[error("a link of protocol version {0}")]
    Version(u8),
    /// The peer asks for, or echoes, a cipher suite that is unknown, or not the one asked for.
    #[error("cipher suite {0} does not fit")]
    Suite(u8),
    /// A message or a hello is longer than allowed.
    #[error("a handshake message is too long")]
    TooLong,
    /// A message did not open: another network, tampering, or garbage.
    #[error("the handshake did not authenticate")]
    Refused,
}
