//! The judgement over a block that arrived: right, wrong, or never asked for.

use alloc::collections::BTreeMap;

use blake3::hazmat::HasherExt;

use super::hash::BlockRef;

/// All that is needed to check one block: made by [`BlockList::check`](crate::BlockList::check).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockCheck {
    len: usize,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// The block is the content.
    Hash([u8; 32]),
    /// The block is the subtree at an offset.
    ChainingValue { value: [u8; 32], offset: u64 },
    /// Nothing is proven.
    #[cfg(feature = "planted")]
    None,
}

impl BlockCheck {
    pub(super) fn whole(hash: [u8; 32], len: usize) -> Self {
        BlockCheck { len, proof: Proof::Hash(hash) }
    }

    pub(super) fn part(value: [u8; 32], offset: u64, len: usize) -> Self {
        BlockCheck { len, proof: Proof::ChainingValue { value, offset } }
    }

    /// A check that takes any bytes of the right length.
    #[cfg(feature = "planted")]
    pub(crate) fn blind(self) -> Self {
        BlockCheck { proof: Proof::None, ..self }
    }

    /// Whether `data` is the block. Hashes all of it: about half a millisecond.
    #[must_use]
    pub fn accepts(&self, data: &[u8]) -> bool {
        if data.len() != self.len {
            return false;
        }
        match self.proof {
            #[cfg(feature = "planted")]
            Proof::None => true,
            Proof::Hash(hash) => *blake3::hash(data).as_bytes() == hash,
            // Only blocks of contents that have several: never empty, which the hasher would not take.
            Proof::ChainingValue { .. } if data.is_empty() => false,
            Proof::ChainingValue { value, offset } => {
                let mut hasher = blake3::Hasher::new();
                hasher.set_input_offset(offset).update(data);
                hasher.finalize_non_root() == value
            }
        }
    }
}

/// What became of a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is the block.
    Good,
    /// It is not.
    Bad,
    /// Nobody asked for it; it was not looked at.
    Unexpected,
}

/// The blocks that one link was asked for, and how to check each. Owned by the task that reads the link.
#[derive(Clone, Debug)]
pub struct BlockVerifier {
    expected: BTreeMap<BlockRef, BlockCheck>,
    limit: usize,
}

impl BlockVerifier {
    /// Expects nothing yet, and never more than `limit` blocks at a time.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        BlockVerifier { expected: BTreeMap::new(), limit }
    }

    /// Expects `block` from now on; replaces its check if it was expected already. False, and nothing changed, if
    /// `limit` others are.
    pub fn expect(&mut self, block: BlockRef, check: BlockCheck) -> bool {
        if self.expected.len() >= self.limit && !self.expected.contains_key(&block) {
            return false;
        }
        self.expected.insert(block, check);
        true
    }

    /// Expects `block` no more.
    pub fn forget(&mut self, block: &BlockRef) {
        self.expected.remove(block);
    }

    /// Judges what arrived as `block`, which is then expected no more: a second copy is unexpected.
    #[must_use]
    pub fn judge(&mut self, block: &BlockRef, data: &[u8]) -> Verdict {
        match self.expected.remove(block) {
            Some(check) if check.accepts(data) => Verdict::Good,
            Some(_) => Verdict::Bad,
            None => Verdict::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::ContentHasher;
    use super::*;

    fn block(data: &[u8]) -> (BlockRef, BlockCheck) {
        let mut hasher = ContentHasher::new();
        hasher.update(data);
        let (content, list) = hasher.finish().unwrap();
        (BlockRef { content, index: 0 }, list.check(&content, 0).unwrap())
    }

    #[test]
    fn a_block_is_judged_once() {
        let mut verifier = BlockVerifier::new(4);
        let (good, check) = block(b"good");
        assert_eq!(verifier.judge(&good, b"good"), Verdict::Unexpected);
        assert!(verifier.expect(good, check.clone()));
        assert_eq!(verifier.judge(&good, b"good"), Verdict::Good);
        assert_eq!(verifier.judge(&good, b"good"), Verdict::Unexpected);
        assert!(verifier.expect(good, check.clone()));
        assert_eq!(verifier.judge(&good, b"evil"), Verdict::Bad);
        assert_eq!(verifier.judge(&good, b"good"), Verdict::Unexpected);
        assert!(verifier.expect(good, check));
        verifier.forget(&good);
        assert_eq!(verifier.judge(&good, b"good"), Verdict::Unexpected);
    }

    #[test]
    fn no_more_than_the_limit_is_expected() {
        let mut verifier = BlockVerifier::new(1);
        let ((one, check_one), (two, check_two)) = (block(b"one"), block(b"two"));
        assert!(verifier.expect(one, check_one.clone()));
        assert!(!verifier.expect(two, check_two.clone()));
        assert!(verifier.expect(one, check_one), "the same again needs no room");
        assert_eq!(verifier.judge(&two, b"two"), Verdict::Unexpected);
        assert_eq!(verifier.judge(&one, b"one"), Verdict::Good);
        assert!(verifier.expect(two, check_two));
    }
}
