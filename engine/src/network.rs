//! The network a node belongs to: a name, a secret if wanted, and the keys derived from both.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use crate::record::Instance;

/// Bytes that a network's name may have.
const MAX_NAME: usize = 64;

/// A network: peers that share one name and one secret see each other, others do not.
///
/// Without a secret the name only separates networks: anyone on the LAN who knows it may join.
#[derive(Clone)]
pub struct Network {
    name: String,
    open: bool,
    key: Zeroizing<[u8; 32]>,
    tag: [u8; 8],
    #[cfg(feature = "cheap-crypto")]
    cheap: bool,
}

impl Network {
    /// The open network `name`, which has 1 to 64 bytes and no control characters.
    ///
    /// # Errors
    /// If the name is none.
    pub fn open(name: &str) -> Result<Self, NetworkNameError> {
        check_name(name)?;
        Ok(Network::new(name, true, blake3::derive_key("p2pnet v1 network key: open", name.as_bytes())))
    }

    /// The closed network `name` of those who know `secret`: 32 random bytes, or a passphrase that was stretched.
    ///
    /// # Errors
    /// If the name is none, as for [`Network::open`].
    pub fn with_secret(name: &str, secret: &[u8; 32]) -> Result<Self, NetworkNameError> {
        check_name(name)?;
        let mut material = Zeroizing::new(Vec::with_capacity(secret.len() + name.len()));
        material.extend_from_slice(secret);
        material.extend_from_slice(name.as_bytes());
        Ok(Network::new(name, false, blake3::derive_key("p2pnet v1 network key: secret", &material)))
    }

    /// The network `name` with beacons that are not sealed but look so, for large simulations. A real network of the
    /// same name takes none of them.
    ///
    /// # Errors
    /// If the name is none, as for [`Network::open`].
    #[cfg(feature = "cheap-crypto")]
    pub fn cheap(name: &str) -> Result<Self, NetworkNameError> {
        Ok(Network { cheap: true, ..Network::open(name)? })
    }

    fn new(name: &str, open: bool, key: [u8; 32]) -> Self {
        let mut network = Network {
            name: name.into(),
            open,
            key: Zeroizing::new(key),
            tag: [0; 8],
            #[cfg(feature = "cheap-crypto")]
            cheap: false,
        };
        let tag = network.derive("p2pnet v1 network tag", &[]);
        network.tag.copy_from_slice(&tag[..8]);
        network
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the network has no secret.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What records name the network by. It tells nothing about the key.
    #[must_use]
    pub fn tag(&self) -> [u8; 8] {
        self.tag
    }

    /// The pre-shared key of every handshake in the network.
    pub(crate) fn link_psk(&self) -> [u8; 32] {
        self.derive("p2pnet v1 link pre-shared key", &[])
    }

    /// The key that gives each peer its place in the collection of records.
    pub(crate) fn place_key(&self) -> [u8; 32] {
        self.derive("p2pnet v1 record places", &[])
    }

    /// The key of one beacon: one for each instance and counter, so that a fixed nonce is never used twice.
    pub(crate) fn beacon_key(&self, instance: &Instance, counter: u64) -> [u8; 32] {
        let mut which = [0; 24];
        which[..16].copy_from_slice(instance.as_bytes());
        which[16..].copy_from_slice(&counter.to_le_bytes());
        #[cfg(feature = "cheap-crypto")]
        if self.cheap {
            return crate::cheap::checksum(&[&*self.key, &which]);
        }
        self.derive("p2pnet v1 beacon key", &which)
    }

    /// Whether beacons are only checked for accidents.
    #[cfg(feature = "cheap-crypto")]
    pub(crate) fn is_cheap(&self) -> bool {
        self.cheap
    }

    /// Key and `suffix` under `context`. The key has a fixed length, so their concatenation is unambiguous.
    fn derive(&self, context: &str, suffix: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&*self.key);
        hasher.update(suffix);
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("name", &self.name).field("open", &self.open).finish_non_exhaustive()
    }
}

/// Why a text names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkNameError {
    /// It is empty.
    #[error("a network needs a name")]
    Empty,
    /// It has this many bytes, more than 64.
    #[error("a network's name has at most 64 bytes, this one {0}")]
    TooLong(usize),
    /// It has a control character.
    #[error("a network's name has no control characters")]
    Control,
}

fn check_name(name: &str) -> Result<(), NetworkNameError> {
    match name.len() {
        0 => Err(NetworkNameError::Empty),
        len if len > MAX_NAME => Err(NetworkNameError::TooLong(len)),
        _ if name.chars().any(char::is_control) => Err(NetworkNameError::Control),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn name_and_secret_make_the_network() {
        let open = |name| Network::open(name).unwrap();
        let closed = |name, secret: u8| Network::with_secret(name, &[secret; 32]).unwrap();
        let networks = [open("a"), open("b"), closed("a", 1), closed("a", 2), closed("b", 1)];
        for (i, one) in networks.iter().enumerate() {
            assert_eq!(one.is_open(), i < 2);
            for other in &networks[..i] {
                assert_ne!(one.tag(), other.tag());
                assert_ne!(one.link_psk(), other.link_psk());
            }
        }
        assert_eq!(open("a").link_psk(), open("a").link_psk());
    }

    #[test]
    fn every_beacon_has_a_key_of_its_own() {
        let network = Network::open("a").unwrap();
        let (one, two) = (Instance::from_bytes([1; 16]), Instance::from_bytes([2; 16]));
        assert_ne!(network.beacon_key(&one, 1), network.beacon_key(&one, 2));
        assert_ne!(network.beacon_key(&one, 1), network.beacon_key(&two, 1));
        assert_ne!(network.beacon_key(&one, 1), network.link_psk());
    }

    #[test]
    fn a_bad_name_is_refused() {
        assert_eq!(Network::open("").err(), Some(NetworkNameError::Empty));
        assert_eq!(Network::open("a\nb").err(), Some(NetworkNameError::Control));
        assert_eq!(
            Network::with_secret(&"x".repeat(65), &[0; 32]).err(),
            Some(NetworkNameError::TooLong(65))
        );
        assert!(Network::open(&"x".repeat(64)).is_ok());
    }

    #[test]
    fn the_key_does_not_print() {
        assert_eq!(format!("{:?}", Network::open("a").unwrap()), "Network { name: \"a\", open: true, .. }");
    }
}
