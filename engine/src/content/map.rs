//! Which blocks of a content somebody has.

use alloc::vec::Vec;

use super::hash::ContentId;

/// A set of the blocks of one content, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockMap {
    /// Block 0 is the lowest bit of the first byte. Bits behind the last block are 0.
    bits: Vec<u8>,
}

impl BlockMap {
    /// The set of the blocks of `content` for which `has` holds.
    pub(crate) fn of(content: &ContentId, has: impl Fn(u32) -> bool) -> Self {
        let mut bits = alloc::vec![0; length(content)];
        for index in (0..content.block_count()).filter(|&index| has(index)) {
            if let Some(byte) = bits.get_mut(index as usize / 8) {
                *byte |= 1 << (index % 8);
            }
        }
        BlockMap { bits }
    }

    /// What a peer says that it has; `None` if that is no set of blocks of `content`.
    pub(crate) fn parse(content: &ContentId, bits: Vec<u8>) -> Option<Self> {
        let spare = bits.len().checked_mul(8)?.checked_sub(content.block_count() as usize)?;
        let last = bits.last()?;
        (bits.len() == length(content) && last.leading_zeros() as usize >= spare).then_some(BlockMap { bits })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bits
    }

    pub(crate) fn has(&self, index: u32) -> bool {
        self.bits.get(index as usize / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Adds a block that the content has; says whether it is new.
    pub(crate) fn add(&mut self, index: u32) -> bool {
        let Some(byte) = self.bits.get_mut(index as usize / 8) else { return false };
        let bit = 1 << (index % 8);
        let new = *byte & bit == 0;
        *byte |= bit;
        new
    }
}

fn length(content: &ContentId) -> usize {
    content.block_count().div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use super::super::hash::BLOCK_SIZE;
    use super::*;

    fn content(blocks: u64) -> ContentId {
        ContentId { hash: [7; 32], size: blocks * BLOCK_SIZE as u64 }
    }

    #[test]
    fn a_map_says_what_was_put_in() {
        let content = content(19);
        let mut map = BlockMap::of(&content, |index| index % 3 == 0);
        assert_eq!(map.bytes(), [0b0100_1001, 0b1001_0010, 0b0000_0100]);
        assert!((0..19).all(|index| map.has(index) == (index % 3 == 0)));
        assert!(map.add(17) && !map.add(17) && !map.add(18) && map.has(17));
        assert!(!map.has(19) && !map.has(u32::MAX) && !map.add(u32::MAX));
        assert_eq!(BlockMap::parse(&content, map.bytes().to_vec()), Some(map));
    }

    #[test]
    fn what_is_no_map_of_the_content_is_refused() {
        let nineteen = content(19);
        assert!(BlockMap::parse(&nineteen, alloc::vec![0xff, 0xff, 0x07]).is_some());
        assert!(BlockMap::parse(&nineteen, alloc::vec![0xff, 0xff, 0x0f]).is_none(), "a block too many");
        assert!(BlockMap::parse(&nineteen, alloc::vec![0xff; 2]).is_none());
        assert!(BlockMap::parse(&nineteen, alloc::vec![0; 4]).is_none());
        assert!(BlockMap::parse(&nineteen, Vec::new()).is_none());
        assert!(BlockMap::parse(&content(16), alloc::vec![0xff; 2]).is_some());
    }
}
