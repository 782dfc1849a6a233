//! Transaction ids, from a seed.

use stun_types::message::TransactionId;
use zeroize::Zeroize;

/// An endless sequence of transaction ids (RFC 8489, section 5: 96 bits that nobody can guess).
pub(crate) struct Ids {
    seed: [u8; 32],
    used: u64,
}

impl Ids {
    pub(crate) fn new(seed: [u8; 32]) -> Ids {
        Ids { seed, used: 0 }
    }

    pub(crate) fn next(&mut self) -> TransactionId {
        let hash = self.hash(0);
        self.used += 1;
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        // The lower 96 bits are kept.
        u128::from_le_bytes(id).into()
    }

    /// Another sequence.
    pub(crate) fn fork(&mut self) -> Ids {
        let seed = *self.hash(1).as_bytes();
        self.used += 1;
        Ids::new(seed)
    }

    fn hash(&self, kind: u8) -> blake3::Hash {
        let mut input = [kind; 9];
        input[1..].copy_from_slice(&self.used.to_le_bytes());
        blake3::keyed_hash(&self.seed, &input)
    }
}

impl Drop for Ids {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}
