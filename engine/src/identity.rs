//! Who a peer is: an Ed25519 key, and the link key that belongs to it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::link::{CipherSuite, public_key, shared_secret};

/// Letters in the text form of a [`PeerId`].
const TEXT_LEN: usize = 52;
/// Letters in its short form.
const SHORT_LEN: usize = 8;

/// The name of a peer: its Ed25519 public key.
///
/// As text it is 52 lower-case letters and digits of base32 (RFC 4648, no padding); [`short`](PeerId::short) gives the
/// first 8 for people to read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// The peer with this public key. Any 32 bytes are a name, but only those of a real key ever verify.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        PeerId(bytes)
    }

    /// The public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 characters of the text form: for people, never for comparing.
    #[must_use]
    pub fn short(&self) -> String {
        self.text().get(..SHORT_LEN).map(String::from).unwrap_or_default()
    }

    fn text(&self) -> String {
        let mut text = BASE32_NOPAD.encode(&self.0);
        text.make_ascii_lowercase();
        text
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    /// Reads the 52 characters of the long form, in either case.
    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        if text.len() != TEXT_LEN {
            return Err(PeerIdError::Length(text.len()));
        }
        let bytes = BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .map_err(|error| PeerIdError::Character(error.position))?;
        let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| PeerIdError::Length(text.len()))?;
        Ok(PeerId(bytes))
    }
}

/// Why a text is no [`PeerId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerIdError {
    /// It has this many bytes and not 52.
    #[error("a peer id has 52 characters, this one {0}")]
    Length(usize),
    /// The byte at this position is no base32, or the last one has bits that no id has.
    #[error("the character at position {0} does not belong in a peer id")]
    Character(usize),
}

/// The secret half of a peer: an Ed25519 signing key, zeroised on drop.
#[derive(Clone)]
pub struct Identity(Secret);

#[derive(Clone)]
enum Secret {
    Ed25519(SigningKey),
    #[cfg(feature = "cheap-crypto")]
    Cheap {
        seed: [u8; 32],
        key: [u8; 32],
    },
}

impl Identity {
    /// The identity of a 32-byte seed, which must come from the system's entropy source and be kept secret.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Identity(Secret::Ed25519(SigningKey::from_bytes(&seed)))
    }

    /// An identity that protects nothing, for large simulations: anyone can act as it. It proves itself to other cheap
    /// ones in the same steps and bytes as a real one, and a real one never links with it.
    #[cfg(feature = "cheap-crypto")]
    #[must_use]
    pub fn cheap(seed: [u8; 32]) -> Self {
        Identity(Secret::Cheap { seed, key: crate::cheap::peer_key(&seed) })
    }

    /// The seed, for saving. Whoever has it is this peer.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        match &self.0 {
            Secret::Ed25519(key) => key.to_bytes(),
            #[cfg(feature = "cheap-crypto")]
            Secret::Cheap { seed, .. } => *seed,
        }
    }

    /// The public half.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId(match &self.0 {
            Secret::Ed25519(key) => key.verifying_key().to_bytes(),
            #[cfg(feature = "cheap-crypto")]
            Secret::Cheap { key, .. } => *key,
        })
    }

    /// Signs `bytes` for one purpose, named by `domain`; a signature for one domain verifies in no other.
    pub(crate) fn sign(&self, domain: &str, bytes: &[u8]) -> [u8; 64] {
        let message = signed_message(domain, bytes);
        match &self.0 {
            Secret::Ed25519(key) => key.sign(&message).to_bytes(),
            #[cfg(feature = "cheap-crypto")]
            Secret::Cheap { key, .. } => crate::cheap::signature(key, &message),
        }
    }

    /// The X25519 secret of this peer's links, derived from the seed.
    pub(crate) fn link_secret(&self) -> [u8; 32] {
        let seed = Zeroizing::new(self.seed());
        blake3::derive_key("p2pnet v1 link key of an identity", &*seed)
    }

    /// The X25519 public key of this peer's links, as its record carries it.
    pub(crate) fn link_public(&self) -> [u8; 32] {
        let secret = Zeroizing::new(self.link_secret());
        match &self.0 {
            Secret::Ed25519(_) => public_key(&secret),
            #[cfg(feature = "cheap-crypto")]
            Secret::Cheap { .. } => crate::cheap::public_key(&secret),
        }
    }

    /// What this peer and the one with that link key share, and nobody else can compute: the key of their pulses.
    pub(crate) fn pulse_key(&self, link_public: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let secret = Zeroizing::new(self.link_secret());
        let shared = Zeroizing::new(match &self.0 {
            Secret::Ed25519(_) => shared_secret(&secret, link_public),
            #[cfg(feature = "cheap-crypto")]
            Secret::Cheap { .. } => crate::cheap::shared_secret(&secret, link_public),
        });
        Zeroizing::new(blake3::derive_key("p2pnet v1 pulse key of two peers", &*shared))
    }

    /// Whether a record of `peer` means anything to this identity: to a real one a cheap one is nobody.
    pub(crate) fn goes_with(&self, peer: &PeerId) -> bool {
        #[cfg(feature = "cheap-crypto")]
        return crate::cheap::is_peer_key(&peer.0) == matches!(self.0, Secret::Cheap { .. });
        #[cfg(not(feature = "cheap-crypto"))]
        {
            let _ = peer;
            true
        }
    }

    /// The suite of the links that this peer dials, if `configured` is what its application asked for.
    pub(crate) fn suite(&self, configured: CipherSuite) -> CipherSuite {
        match &self.0 {
            Secret::Ed25519(_) => configured,
            #[cfg(feature = "cheap-crypto")]
            Secret::Cheap { .. } => CipherSuite::Cheap,
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.peer_id()).finish_non_exhaustive()
    }
}

/// Whether `peer` signed `bytes` for `domain`. Strict (RFC 8032 with the checks of "Taming the many EdDSAs"): no weak
/// keys and no second form of a signature, so all machines agree.
pub(crate) fn verify(peer: &PeerId, domain: &str, bytes: &[u8], signature: &[u8; 64]) -> bool {
    let message = signed_message(domain, bytes);
    #[cfg(feature = "cheap-crypto")]
    if crate::cheap::is_peer_key(&peer.0) {
        return crate::cheap::signature(&peer.0, &message) == *signature;
    }
    VerifyingKey::from_bytes(&peer.0)
        .is_ok_and(|key| key.verify_strict(&message, &Signature::from_bytes(signature)).is_ok())
}

/// Whether `peer` signed `message` as it is, without a domain, under the same strict rules. What a cheap identity signed
/// is nothing to others.
pub(crate) fn verify_plain(peer: &PeerId, message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(&peer.0)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// The domain with its length in front, then the bytes: no two pairs share a message.
fn signed_message(domain: &str, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 + domain.len() + bytes.len());
    message.extend_from_slice(&(domain.len() as u64).to_le_bytes());
    message.extend_from_slice(domain.as_bytes());
    message.extend_from_slice(bytes);
    message
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn text_form_goes_there_and_back() {
        let id = Identity::from_seed([3; 32]).peer_id();
        let text = id.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text, text.to_lowercase());
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(id.short(), text[..8]);
        assert_eq!(format!("{id:?}"), id.short());
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        let text = Identity::from_seed([3; 32]).peer_id().to_string();
        assert_eq!(text[1..].parse::<PeerId>(), Err(PeerIdError::Length(51)));
        assert_eq!(format!("1{}", &text[1..]).parse::<PeerId>(), Err(PeerIdError::Character(0)));
        // The last character has four bits that no id has: "b" sets one of them.
        assert_eq!(format!("{}b", &text[..51]).parse::<PeerId>(), Err(PeerIdError::Character(51)));
        assert!("\u{e4}".repeat(26).parse::<PeerId>().is_err());
    }

    #[test]
    fn a_signature_holds_for_one_signer_domain_and_message() {
        let identity = Identity::from_seed([3; 32]);
        let id = identity.peer_id();
        let signature = identity.sign("domain", b"message");
        assert!(verify(&id, "domain", b"message", &signature));
        assert!(
            !verify(&id, "domai", b"nmessage", &signature),
            "the border between domain and message moved"
        );
        assert!(!verify(&id, "domain", b"massage", &signature));
        assert!(!verify(&Identity::from_seed([4; 32]).peer_id(), "domain", b"message", &signature));
        for bit in 0..512 {
            let mut forged = signature;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&id, "domain", b"message", &forged), "bit {bit}");
        }
    }

    #[test]
    fn weak_keys_verify_nothing() {
        // The neutral point: without strictness, the signature (neutral, 0) fits every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!verify(&PeerId::from_bytes(neutral), "domain", b"message", &signature));
        assert!(!verify(&PeerId::from_bytes([2; 32]), "domain", b"message", &signature), "not on the curve");
    }

    #[test]
    fn an_identity_is_its_seed_and_does_not_print_it() {
        let identity = Identity::from_seed([0xab; 32]);
        assert_eq!(Identity::from_seed(identity.seed()).peer_id(), identity.peer_id());
        assert_ne!(identity.link_secret(), identity.seed());
        assert_ne!(&identity.link_public(), identity.peer_id().as_bytes());
        let text = format!("{identity:?}");
        assert!(!text.contains("171") && !text.contains("abab"), "{text}");
    }

    #[test]
    fn two_peers_share_a_key_that_no_third_has() {
        let [a, b, c] = [3, 4, 5].map(|seed| Identity::from_seed([seed; 32]));
        assert_eq!(*a.pulse_key(&b.link_public()), *b.pulse_key(&a.link_public()));
        assert_ne!(*a.pulse_key(&b.link_public()), *c.pulse_key(&b.link_public()));
        assert_ne!(*a.pulse_key(&b.link_public()), *a.pulse_key(&c.link_public()));
    }

    #[test]
    fn link_keys_are_those_of_rfc_7748() {
        // Computed by an independent Montgomery ladder.
        let public = data_encoding::HEXLOWER.encode(&public_key(&[5; 32]));
        assert_eq!(public, "50a61409b1ddd0325e9b16b700e719e9772c07000b1bd7786e907c653d20495d");
    }
}
