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
}

impl Network {
    /// The open network `name`, which has 1 to 64 bytes and no control characters.
    ///
    /// # Errors
    /// If the name is none.
    pub fn open(name: &str) -> Result<Self, NetworkNameError> {
        check_name(name)?;
        let key = blake3::derive_key("p2pnet v1 network key: open", name.as_bytes());
        Ok(Network { name: name.into(), open: true, key: Zeroizing::new(key) })
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
        let key = blake3::derive_key("p2pnet v1 network key: secret", &material);
        Ok(Network { name: name.into(), open: false, key: Zeroizing::new(key) })
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
    pub(crate) fn tag(&self) -> [u8; 8] {
        let hash = self.derive("p2pnet v1 network tag", &[]);
        let mut tag = [0; 8];
        tag.copy_from_slice(&hash[..8]);
        tag
    }

    /// The pre-shared key of every handshake in the network.
    pub(crate) fn link_psk(&self) -> [u8; 32] {
        self.derive("p2pnet v1 link pre-shared key", &[])
    }

    /// The key of one beacon: one for each instance and counter, so that a fixed nonce is never used twice.
    pub(crate) fn beacon_key(&self, instance: &Instance, counter: u64) -> [u8; 32] {
        let mut which = [0; 24];
        which[..16].copy_from_slice(instance.as_bytes());
        which[16..].copy_from_slice(&counter.to_le_bytes());
        self.derive("p2pnet v1 beacon key", &which)
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
