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
    suite: CipherSuite,
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
        let keys = Keys::new(suite, psk, link_secret, ephemeral_seed);
        let mut stage = Stage::Over;
        if let Ok(mut noise) = Noise::new(&prologue, keys, true) {
            let start = out.len();
            out.extend_from_slice(&prologue);
            match noise.write(&[], out) {
                Ok(()) => stage = Stage::AcceptorsPreamble(noise),
                Err(_) => out.truncate(start),
            }
        }
        Handshake { stage, input: Vec::new(), first_ephemeral: None }
    }

    /// Begins as the acceptor, who waits, and takes the suites that go with its own. `ephemeral_seed` must never be
    /// used again.
    pub(crate) fn accept(
        suite: CipherSuite,
        psk: &[u8; 32],
        link_secret: &[u8; 32],
        ephemeral_seed: [u8; 32],
    ) -> Self {
        let stage = Stage::DiallersPreamble(Keys::new(suite, psk, link_secret, ephemeral_seed));
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
                Stage::DiallersPreamble(mut keys) => {
                    let Some((version, suite)) = self.take_preamble()? else {
                        self.stage = Stage::DiallersPreamble(keys);
                        return Ok(HandshakeStep::Pending);
                    };
                    let known = CipherSuite::from_code(suite).filter(|known| known.fits(keys.suite));
                    let Some(known) = known.filter(|_| version == PROTOCOL_VERSION) else {
                        out.extend_from_slice(&preamble(suite));
                        return Err(check_version(version).err().unwrap_or(HandshakeError::Suite(suite)));
                    };
                    keys.suite = known;
                    self.stage = Stage::First(Noise::new(&preamble(suite), keys, false)?);
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
    fn new(suite: CipherSuite, psk: &[u8; 32], link_secret: &[u8; 32], ephemeral_seed: [u8; 32]) -> Self {
        Keys {
            suite,
            psk: Zeroizing::new(*psk),
            link_secret: Zeroizing::new(*link_secret),
            ephemeral_seed: Zeroizing::new(ephemeral_seed),
        }
    }
}

impl Noise {
    fn new(prologue: &[u8], keys: Keys, dialler: bool) -> Result<Self, HandshakeError> {
        let suite = keys.suite;
        let build = || {
            let builder = Builder::with_resolver(
                suite.noise_name().parse()?,
                Box::new(Resolver::new(suite, keys.ephemeral_seed)),
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

#[cfg(test)]
pub(crate) mod tests {
    use alloc::vec;

    use super::super::suite::public_key;
    use super::super::{Channel, Opened};
    use super::*;
    use crate::random::Stream;

    const PSK: [u8; 32] = [7; 32];
    const SUITE: CipherSuite = CipherSuite::ChaChaPolyBlake2s;

    /// The messages of a handshake between keys of all ones and all twos, and what each side got out of it.
    pub(crate) struct Run {
        pub first: Vec<u8>,
        pub second: Vec<u8>,
        pub third: Vec<u8>,
        pub dialler: Box<Completed>,
        pub acceptor: Box<Completed>,
    }

    pub(crate) fn run(suite: CipherSuite) -> Run {
        let (mut dialler, first) = dial(suite, &PSK);
        let mut acceptor = accept();
        let second = pending(&mut acceptor, &first);
        let mut third = Vec::new();
        let dialler = done(dialler.receive(&second, b"from dialler", &mut third));
        let acceptor = done(acceptor.receive(&third, b"", &mut Vec::new()));
        Run { first, second, third, dialler, acceptor }
    }

    fn dial(suite: CipherSuite, psk: &[u8; 32]) -> (Handshake, Vec<u8>) {
        let mut first = Vec::new();
        (Handshake::dial(suite, psk, &[1; 32], [11; 32], &mut first), first)
    }

    fn accept() -> Handshake {
        Handshake::accept(SUITE, &PSK, &[2; 32], [22; 32])
    }

    fn pending(side: &mut Handshake, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let step = side.receive(bytes, b"from acceptor", &mut out);
        assert!(matches!(step, Ok(HandshakeStep::Pending)), "{step:?}");
        out
    }

    fn done(step: Result<HandshakeStep, HandshakeError>) -> Box<Completed> {
        match step {
            Ok(HandshakeStep::Done(completed)) => completed,
            other => panic!("{other:?}"),
        }
    }

    fn failure(side: &mut Handshake, bytes: &[u8]) -> (HandshakeError, Vec<u8>) {
        let mut out = Vec::new();
        match side.receive(bytes, b"hello", &mut out) {
            Err(error) => (error, out),
            Ok(step) => panic!("{step:?}"),
        }
    }

    #[test]
    fn both_sides_prove_their_keys_in_both_suites() {
        for suite in CipherSuite::ALL {
            let run = run(suite);
            assert_eq!(run.dialler.remote_static, public_key(&[2; 32]));
            assert_eq!(run.acceptor.remote_static, public_key(&[1; 32]));
            assert_eq!(run.dialler.hello, b"from acceptor");
            assert_eq!(run.acceptor.hello, b"from dialler");
            assert_eq!(run.dialler.transcript, run.acceptor.transcript);

            let (mut sealer, mut from_acceptor) = run.dialler.codec.split();
            let (mut back, mut from_dialler) = run.acceptor.codec.split();
            let (mut there, mut here) = (Vec::new(), Vec::new());
            sealer.seal(Channel::Control, &[2, 0, 0, 0, 5, 6], &mut there);
            back.seal(Channel::Control, &[1, 0, 0, 0, 9], &mut here);
            from_dialler.push(&there);
            from_acceptor.push(&here);
            assert_eq!(from_dialler.next(), Ok(Some(Opened::Control(vec![5, 6]))));
            assert_eq!(from_acceptor.next(), Ok(Some(Opened::Control(vec![9]))));
        }
    }

    #[test]
    fn the_cuts_of_the_stream_do_not_matter() {
        let whole = run(SUITE);
        let (mut dialler, first) = dial(SUITE, &PSK);
        let mut acceptor = accept();
        let mut second = Vec::new();
        for byte in &first {
            second.extend(pending(&mut acceptor, &[*byte]));
        }
        assert_eq!(second, whole.second);
        let (last, before) = second.split_last().unwrap();
        for byte in before {
            assert_eq!(pending(&mut dialler, &[*byte]), []);
        }
        let mut third = Vec::new();
        done(dialler.receive(&[*last], b"from dialler", &mut third));
        assert_eq!(third, whole.third);
    }

    #[test]
    fn what_follows_the_handshake_goes_to_the_codec() {
        let (mut dialler, first) = dial(SUITE, &PSK);
        let mut acceptor = accept();
        let second = pending(&mut acceptor, &first);
        let mut third = Vec::new();
        let (mut sealer, _) = done(dialler.receive(&second, b"", &mut third)).codec.split();
        sealer.seal(Channel::Control, &[1, 0, 0, 0, 42], &mut third);
        let (_, mut opener) = done(acceptor.receive(&third, b"", &mut Vec::new())).codec.split();
        assert_eq!(opener.next(), Ok(Some(Opened::Control(vec![42]))));
    }

    #[test]
    fn only_the_seed_makes_the_ephemeral_key() {
        let (_, first) = dial(SUITE, &PSK);
        let mut acceptor = accept();
        assert_eq!(acceptor.first_ephemeral(), None);
        pending(&mut acceptor, &first);
        let secret = Stream::new(&[11; 32], "link ephemeral key").seed();
        assert_eq!(acceptor.first_ephemeral(), Some(public_key(&secret)));
        for suite in CipherSuite::ALL {
            let (one, other) = (run(suite), run(suite));
            assert_eq!((one.first, one.second, one.third), (other.first, other.second, other.third));
        }
    }

    #[test]
    fn a_replayed_first_message_shows_its_ephemeral_key_again() {
        let (_, first) = dial(SUITE, &PSK);
        let (mut one, mut other) = (accept(), accept());
        pending(&mut one, &first);
        pending(&mut other, &first);
        assert_eq!(one.first_ephemeral(), other.first_ephemeral());
    }

    #[test]
    fn another_network_gets_no_answer() {
        let (_, first) = dial(SUITE, &[8; 32]);
        let mut acceptor = accept();
        assert_eq!(failure(&mut acceptor, &first), (HandshakeError::Refused, vec![]));
        assert_eq!(failure(&mut acceptor, &first), (HandshakeError::Refused, vec![]), "it is over");
    }

    #[test]
    fn both_sides_learn_of_another_version() {
        let (mut dialler, mut first) = dial(SUITE, &PSK);
        first[4] = 9;
        let (error, answer) = failure(&mut accept(), &first);
        assert_eq!(error, HandshakeError::Version(9));
        assert_eq!(answer, [b'p', b'2', b'p', b'n', PROTOCOL_VERSION, SUITE.code()]);

        let mut answer = answer;
        answer[4] = 8;
        assert_eq!(failure(&mut dialler, &answer), (HandshakeError::Version(8), vec![]));
    }

    #[test]
    fn an_unknown_or_changed_suite_is_refused() {
        let (mut dialler, mut first) = dial(SUITE, &PSK);
        first[5] = 77;
        let (error, answer) = failure(&mut accept(), &first);
        assert_eq!(error, HandshakeError::Suite(77));
        assert_eq!(failure(&mut dialler, &answer).0, HandshakeError::Suite(77));

        // Changed on the way to the other suite: the prologue differs, so message 1 does not open.
        first[5] = CipherSuite::Aes256GcmSha256.code();
        assert_eq!(failure(&mut accept(), &first).0, HandshakeError::Refused);
    }

    #[cfg(feature = "cheap-crypto")]
    #[test]
    fn a_real_side_and_a_cheap_one_refuse_each_other() {
        let accept = |suite| Handshake::accept(suite, &PSK, &[2; 32], [22; 32]);
        for (ours, theirs) in [(SUITE, CipherSuite::Cheap), (CipherSuite::Cheap, SUITE)] {
            let (_, first) = dial(theirs, &PSK);
            assert_eq!(failure(&mut accept(ours), &first).0, HandshakeError::Suite(theirs.code()));
        }
        let (mut dialler, first) = dial(CipherSuite::Cheap, &PSK);
        let second = pending(&mut accept(CipherSuite::Cheap), &first);
        let dialler = done(dialler.receive(&second, b"from dialler", &mut Vec::new()));
        assert_eq!(dialler.remote_static, crate::cheap::public_key(&[2; 32]));
    }

    #[test]
    fn what_is_no_link_is_refused_at_the_first_wrong_byte() {
        assert_eq!(failure(&mut accept(), b"G"), (HandshakeError::Magic, vec![]));
        assert_eq!(failure(&mut accept(), b"p2pb\x01\x01").0, HandshakeError::Magic);
        assert_eq!(failure(&mut dial(SUITE, &PSK).0, b"SSH-2.0").0, HandshakeError::Magic);
    }

    #[test]
    fn a_long_message_is_refused_before_it_arrives() {
        let mut long = preamble(SUITE.code()).to_vec();
        long.extend_from_slice(&2049u16.to_le_bytes());
        assert_eq!(failure(&mut accept(), &long).0, HandshakeError::TooLong);
        for len in [0u16, 1, 15, 31, 32, 47, 2048] {
            let mut garbage = preamble(SUITE.code()).to_vec();
            garbage.extend_from_slice(&len.to_le_bytes());
            garbage.resize(garbage.len() + usize::from(len), 1);
            assert_eq!(failure(&mut accept(), &garbage).0, HandshakeError::Refused, "{len} bytes");
        }
    }

    #[test]
    fn no_changed_byte_is_accepted() {
        for suite in CipherSuite::ALL {
            let Run { first, second, third, .. } = run(suite);
            for at in 8..first.len() {
                let mut changed = first.clone();
                changed[at] ^= 1;
                assert_eq!(failure(&mut accept(), &changed).0, HandshakeError::Refused, "first, {at}");
            }
            for at in 8..second.len() {
                let mut changed = second.clone();
                changed[at] ^= 1;
                assert_eq!(
                    failure(&mut dial(suite, &PSK).0, &changed).0,
                    HandshakeError::Refused,
                    "second, {at}"
                );
            }
            for at in 2..third.len() {
                let mut acceptor = accept();
                pending(&mut acceptor, &first);
                let mut changed = third.clone();
                changed[at] ^= 1;
                assert_eq!(failure(&mut acceptor, &changed).0, HandshakeError::Refused, "third, {at}");
            }
        }
    }

    #[test]
    fn the_longest_hello_arrives_and_a_longer_one_is_refused() {
        let keys = || Keys::new(SUITE, &PSK, &[2; 32], [22; 32]);
        for (len, expected) in [(MAX_HELLO, true), (MAX_HELLO + 1, false)] {
            let (mut dialler, first) = dial(SUITE, &PSK);
            let mut peer = Noise::new(&preamble(SUITE.code()), keys(), false).unwrap();
            peer.read(&first[8..]).unwrap();
            let mut message = vec![0; MAX_MESSAGE];
            let written = peer.state.write_message(&vec![5; len], &mut message).unwrap();
            let mut second = preamble(SUITE.code()).to_vec();
            second.extend_from_slice(&(written as u16).to_le_bytes());
            second.extend_from_slice(&message[..written]);
            match dialler.receive(&second, &[6; MAX_HELLO], &mut Vec::new()) {
                Ok(HandshakeStep::Done(completed)) => assert!(expected && completed.hello.len() == len),
                other => assert!(!expected && matches!(other, Err(HandshakeError::TooLong)), "{other:?}"),
            }
        }
    }
}
