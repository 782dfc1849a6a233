//! The cryptography of a link: which ciphers there are and who implements them.

use alloc::boxed::Box;
use core::fmt;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use crate::random::Stream;

/// The ciphers of a link. Every node has all of them and the dialler chooses, so there is nothing to negotiate down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CipherSuite {
    /// `Noise_XXpsk0_25519_AESGCM_SHA256`: the fastest where the processor has AES instructions.
    Aes256GcmSha256 = 1,
    /// `Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s`: fast everywhere.
    ChaChaPolyBlake2s = 2,
    /// None, for simulations: what the links of an [`Identity::cheap`](crate::Identity::cheap) use, and only those.
    #[cfg(feature = "cheap-crypto")]
    Cheap = 255,
}

impl CipherSuite {
    /// All that protect anything.
    pub const ALL: [CipherSuite; 2] = [CipherSuite::Aes256GcmSha256, CipherSuite::ChaChaPolyBlake2s];

    /// The name of the protocol in the words of the Noise specification, section 8.
    #[must_use]
    pub const fn noise_name(self) -> &'static str {
        match self {
            CipherSuite::Aes256GcmSha256 => "Noise_XXpsk0_25519_AESGCM_SHA256",
            CipherSuite::ChaChaPolyBlake2s => "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s",
            // What it pretends to be.
            #[cfg(feature = "cheap-crypto")]
            CipherSuite::Cheap => "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s",
        }
    }

    /// Whether a side that dials with `own` takes a link of this suite: a real one is never talked into a cheap one.
    pub(super) fn fits(self, own: CipherSuite) -> bool {
        CipherSuite::ALL.contains(&self) == CipherSuite::ALL.contains(&own)
    }

    /// Its number on the wire.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(CipherSuite::Aes256GcmSha256),
            2 => Some(CipherSuite::ChaChaPolyBlake2s),
            #[cfg(feature = "cheap-crypto")]
            255 => Some(CipherSuite::Cheap),
            _ => None,
        }
    }

    /// Its cipher, under `key`.
    pub(super) fn cipher(self, key: &[u8; 32]) -> Box<dyn Cipher> {
        let cipher = match self {
            CipherSuite::Aes256GcmSha256 => resolve_cipher(&CipherChoice::AESGCM),
            CipherSuite::ChaChaPolyBlake2s => resolve_cipher(&CipherChoice::ChaChaPoly),
            #[cfg(feature = "cheap-crypto")]
            CipherSuite::Cheap => Some(crate::cheap::cipher()),
        };
        let mut cipher = cipher.expect("all ciphers are compiled in");
        cipher.set(key);
        cipher
    }
}

impl fmt::Display for CipherSuite {
    /// `AES-256-GCM` or `ChaCha20-Poly1305`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CipherSuite::Aes256GcmSha256 => "AES-256-GCM",
            CipherSuite::ChaChaPolyBlake2s => "ChaCha20-Poly1305",
            #[cfg(feature = "cheap-crypto")]
            CipherSuite::Cheap => "nothing",
        })
    }
}

/// The X25519 public key of `secret`.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    let mut dh = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("X25519 is compiled in");
    dh.set(secret);
    let mut public = [0; 32];
    public.copy_from_slice(dh.pubkey());
    public
}

/// What the owners of `secret` and of the key `public` share (RFC 7748, section 6.1).
pub(crate) fn shared_secret(secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    let mut dh = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("X25519 is compiled in");
    dh.set(secret);
    let mut shared = [0; 32];
    dh.dh(public, &mut shared).expect("both keys have 32 bytes");
    shared
}

/// Where one handshake gets its primitives: randomness from its own seed and nowhere else, ciphers from `ring` if that
/// is compiled in, all the rest in pure Rust. What comes out is the same with and without `ring`.
///
/// snow's own ways to combine resolvers would take `ring`'s generator too, which is the system's: a hidden input.
pub(super) struct Resolver {
    suite: CipherSuite,
    seed: Zeroizing<[u8; 32]>,
}

impl Resolver {
    /// One for one handshake: the same seed twice means the same ephemeral key twice, which breaks both links.
    pub(super) fn new(suite: CipherSuite, seed: Zeroizing<[u8; 32]>) -> Self {
        Resolver { suite, seed }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SeededRandom(Stream::new(&self.seed, "link ephemeral key"))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match self.suite {
            #[cfg(feature = "cheap-crypto")]
            CipherSuite::Cheap => Some(crate::cheap::dh()),
            _ => DefaultResolver.resolve_dh(choice),
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match self.suite {
            #[cfg(feature = "cheap-crypto")]
            CipherSuite::Cheap => Some(crate::cheap::hash()),
            _ => DefaultResolver.resolve_hash(choice),
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match self.suite {
            #[cfg(feature = "cheap-crypto")]
            CipherSuite::Cheap => Some(crate::cheap::cipher()),
            _ => resolve_cipher(choice),
        }
    }
}

struct SeededRandom(Stream);

impl Random for SeededRandom {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

#[cfg(feature = "ring")]
fn resolve_cipher(choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
    snow::resolvers::RingResolver.resolve_cipher(choice)
}

#[cfg(not(feature = "ring"))]
fn resolve_cipher(choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
    DefaultResolver.resolve_cipher(choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_back() {
        for suite in CipherSuite::ALL {
            assert_eq!(CipherSuite::from_code(suite.code()), Some(suite));
        }
        assert_eq!(CipherSuite::from_code(0), None);
        assert_eq!(CipherSuite::from_code(3), None);
        #[cfg(not(feature = "cheap-crypto"))]
        assert_eq!(CipherSuite::from_code(255), None);
    }

    #[test]
    fn the_only_generator_is_the_seeded_one() {
        let resolver = Resolver::new(CipherSuite::ChaChaPolyBlake2s, Zeroizing::new([3; 32]));
        let mut drawn = [0; 32];
        resolver.resolve_rng().unwrap().try_fill_bytes(&mut drawn).unwrap();
        assert_eq!(drawn, Stream::new(&[3; 32], "link ephemeral key").seed());
        assert!(DefaultResolver.resolve_rng().is_none(), "snow was built with the system's generator");
    }

    #[test]
    fn the_compiled_cipher_gives_the_same_bytes_as_pure_rust() {
        for (suite, choice) in
            CipherSuite::ALL.into_iter().zip([CipherChoice::AESGCM, CipherChoice::ChaChaPoly])
        {
            let mut pure = DefaultResolver.resolve_cipher(&choice).unwrap();
            pure.set(&[6; 32]);
            let mut compiled = suite.cipher(&[6; 32]);
            for _ in 0..2 {
                let (mut one, mut other) = ([0; 116], [0; 116]);
                pure.encrypt(5, &[1], &[9; 100], &mut one);
                compiled.encrypt(5, &[1], &[9; 100], &mut other);
                assert_eq!(one, other, "{suite}");
                pure.rekey();
                compiled.rekey();
            }
        }
    }
}
