//! The name of a content and the list of chaining values by which each of its blocks can be checked alone.
//!
//! The name is the plain BLAKE3 hash, the one that `b3sum` prints. BLAKE3 is a binary tree over chunks of 1 KiB in which
//! every left subtree is complete, so an aligned block of 1 MiB is a subtree of its own; its root is the block's
//! chaining value, and all of them merge to the hash (BLAKE3 paper, section 2.1).

use alloc::vec::Vec;
use core::fmt;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};

use super::verify::BlockCheck;

/// Bytes of a block; only a content's last one has fewer.
pub const BLOCK_SIZE: usize = 1 << 20;

/// Blocks that a content may have: 64 GiB.
pub const MAX_BLOCKS: u32 = 65_536;

const MAX_SIZE: u64 = MAX_BLOCKS as u64 * BLOCK_SIZE as u64;

/// The name of a content: its BLAKE3 hash, and its size in bytes.
///
/// Shown as the 64 hexadecimal digits of the hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentId {
    /// The BLAKE3 hash of all bytes.
    pub hash: [u8; 32],
    /// How many bytes there are. Only claimed until the last block was verified.
    pub size: u64,
}

impl ContentId {
    /// How many blocks the content has; an empty one has one, of no bytes.
    #[must_use]
    pub fn block_count(&self) -> u32 {
        u32::try_from(self.size.div_ceil(BLOCK_SIZE as u64)).unwrap_or(u32::MAX).max(1)
    }

    /// How many bytes block `index` has; `None` if there is no such block.
    #[must_use]
    pub fn block_len(&self, index: u32) -> Option<usize> {
        if index >= self.block_count() {
            return None;
        }
        let rest = self.size - u64::from(index) * BLOCK_SIZE as u64;
        Some(usize::try_from(rest).unwrap_or(BLOCK_SIZE).min(BLOCK_SIZE))
    }

    /// Whether it has no more than [`MAX_BLOCKS`] blocks.
    #[must_use]
    pub fn is_supported(&self) -> bool {
        self.size <= MAX_SIZE
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&data_encoding::HEXLOWER.encode(&self.hash))
    }
}

impl fmt::Debug for ContentId {
    /// The first four bytes of the hash, and the size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.hash;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}/{}", self.size)
    }
}

/// One block of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// The content.
    pub content: ContentId,
    /// The block's number, from 0.
    pub index: u32,
}

/// Finds the name and the block list of bytes that stream by. Memory is constant but for the list: 32 bytes a block.
pub struct ContentHasher {
    /// The chaining values of the blocks that are complete and not the last.
    values: Vec<ChainingValue>,
    /// The block under way. It may be the only one, so it is closed only when more bytes come.
    block: blake3::Hasher,
    size: u64,
}

impl ContentHasher {
    /// Begins with no bytes.
    #[must_use]
    pub fn new() -> Self {
        ContentHasher { values: Vec::new(), block: blake3::Hasher::new(), size: 0 }
    }

    /// Takes the next bytes. Cuts of 1 MiB, aligned, are hashed fastest.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.size >= MAX_SIZE {
                // Too large: only the size goes on.
                self.size = self.size.saturating_add(bytes.len() as u64);
                return;
            }
            let within = (self.size % BLOCK_SIZE as u64) as usize;
            if within == 0 && self.size > 0 {
                self.values.push(self.block.finalize_non_root());
                self.block = blake3::Hasher::new();
                self.block.set_input_offset(self.size);
            }
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_SIZE - within));
            self.block.update(part);
            self.size += part.len() as u64;
            bytes = rest;
        }
    }

    /// The name and the list of what was taken.
    ///
    /// # Errors
    /// If there were more than [`MAX_BLOCKS`] blocks.
    pub fn finish(mut self) -> Result<(ContentId, BlockList), TooLarge> {
        if self.size > MAX_SIZE {
            return Err(TooLarge);
        }
        let hash = if self.values.is_empty() {
            *self.block.finalize().as_bytes()
        } else {
            self.values.push(self.block.finalize_non_root());
            merge_root(&self.values).unwrap_or_default()
        };
        Ok((ContentId { hash, size: self.size }, BlockList { values: self.values }))
    }
}

impl Default for ContentHasher {
    fn default() -> Self {
        ContentHasher::new()
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentHasher").field("size", &self.size).finish_non_exhaustive()
    }
}

/// The content has more than [`MAX_BLOCKS`] blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("contents have at most 64 GiB")]
pub struct TooLarge;

/// The chaining values of a content's blocks in order; none if the content is a single block, which its hash checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList {
    values: Vec<ChainingValue>,
}

impl BlockList {
    /// A list that someone claims: worth nothing before it [`proves`](BlockList::proves).
    #[must_use]
    pub fn from_values(values: Vec<[u8; 32]>) -> Self {
        BlockList { values }
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none, as for contents of a single block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &[[u8; 32]] {
        &self.values
    }

    /// Whether this is the list of `content`: as many values as blocks (none for a single one) that merge to the hash.
    /// That says nothing of the size within the last block; the last block does.
    #[must_use]
    pub fn proves(&self, content: &ContentId) -> bool {
        content.is_supported()
            && self.fits(content)
            && (self.values.is_empty() || merge_root(&self.values) == Some(content.hash))
    }

    /// What checks block `index` of `content`, of which this list must have been [proven](BlockList::proves); `None` if
    /// there is no such block or the list has another length.
    #[must_use]
    pub fn check(&self, content: &ContentId, index: u32) -> Option<BlockCheck> {
        let len = content.block_len(index)?;
        if !self.fits(content) {
            return None;
        }
        if self.values.is_empty() {
            return Some(BlockCheck::whole(content.hash, len));
        }
        let value = self.values.get(usize::try_from(index).ok()?)?;
        Some(BlockCheck::part(*value, u64::from(index) * BLOCK_SIZE as u64, len))
    }

    fn fits(&self, content: &ContentId) -> bool {
        let blocks = content.block_count();
        self.values.len() as u64 == if blocks == 1 { 0 } else { u64::from(blocks) }
    }
}

/// The root over two or more blocks.
fn merge_root(values: &[ChainingValue]) -> Option<[u8; 32]> {
    if values.len() < 2 {
        return None;
    }
    let (left, right) = values.split_at(left_blocks(values.len()));
    Some(*merge_subtrees_root(&merge(left)?, &merge(right)?, Mode::Hash).as_bytes())
}

/// The chaining value over one or more blocks. As deep as the tree: 16 levels at most.
fn merge(values: &[ChainingValue]) -> Option<ChainingValue> {
    match values {
        [] => None,
        [value] => Some(*value),
        _ => {
            let (left, right) = values.split_at(left_blocks(values.len()));
            Some(merge_subtrees_non_root(&merge(left)?, &merge(right)?, Mode::Hash))
        }
    }
}

/// Blocks in the left subtree: the largest power of two that leaves something to the right. `count` is at least 2.
fn left_blocks(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const MIB: usize = BLOCK_SIZE;

    /// `len` bytes in which no two blocks are alike.
    fn bytes(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn hashed(bytes: &[u8]) -> (ContentId, BlockList) {
        let mut hasher = ContentHasher::new();
        hasher.update(bytes);
        hasher.finish().unwrap()
    }

    #[test]
    fn the_name_is_the_plain_hash_and_every_block_proves_itself() {
        for len in [0, 1, 1024, 1025, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 7, 5 * MIB] {
            let bytes = bytes(len);
            let (id, list) = hashed(&bytes);
            assert_eq!(&id.hash, blake3::hash(&bytes).as_bytes(), "{len} bytes");
            assert_eq!(id.size, len as u64);
            assert_eq!(list.len(), if len <= MIB { 0 } else { len.div_ceil(MIB) }, "{len} bytes");
            assert!(list.proves(&id), "{len} bytes");

            let mut blocks: Vec<&[u8]> = bytes.chunks(MIB).collect();
            if len == 0 {
                blocks.push(&[]);
            }
            assert_eq!(id.block_count() as usize, blocks.len());
            for (index, block) in (0..).zip(&blocks) {
                assert_eq!(id.block_len(index), Some(block.len()));
                assert!(list.check(&id, index).unwrap().accepts(block), "block {index} of {len} bytes");
            }
            assert_eq!(id.block_len(id.block_count()), None);
            assert!(list.check(&id, id.block_count()).is_none());
        }
    }

    #[test]
    fn the_cuts_of_a_stream_do_not_matter() {
        let bytes = bytes(2 * MIB + 5);
        let expected = hashed(&bytes);
        for cut in [1023, 65_536, MIB - 1, MIB + 1, 2 * MIB] {
            let mut hasher = ContentHasher::new();
            bytes.chunks(cut).for_each(|part| hasher.update(part));
            assert_eq!(hasher.finish(), Ok(expected.clone()), "cuts of {cut}");
        }
    }

    #[test]
    fn a_block_with_a_flipped_bit_or_another_place_is_refused() {
        for len in [1, MIB, 2 * MIB + 3] {
            let mut bytes = bytes(len);
            let (id, list) = hashed(&bytes);
            let last = id.block_count() - 1;
            let start = last as usize * MIB;
            let check = list.check(&id, last).unwrap();
            assert!(check.accepts(&bytes[start..]));
            assert!(!check.accepts(&bytes[start..len - 1]), "too short");
            bytes[len - 1] ^= 1;
            assert!(!check.accepts(&bytes[start..]), "{len} bytes");
        }
        let bytes = bytes(2 * MIB);
        let (id, list) = hashed(&bytes);
        assert!(!list.check(&id, 1).unwrap().accepts(&bytes[..MIB]));
        let twice = [&bytes[..MIB], &bytes[..MIB]].concat();
        let (_, list) = hashed(&twice);
        assert_ne!(list.values()[0], list.values()[1], "the place is part of a chaining value");
    }

    #[test]
    fn a_list_that_was_changed_proves_nothing() {
        let (id, list) = hashed(&bytes(3 * MIB + 7));
        for index in 0..list.len() {
            let mut values = list.values().to_vec();
            values[index][31] ^= 0x80;
            assert!(!BlockList::from_values(values).proves(&id));
        }
        let mut swapped = list.values().to_vec();
        swapped.swap(0, 1);
        assert!(!BlockList::from_values(swapped).proves(&id));
        let short = BlockList::from_values(list.values()[1..].to_vec());
        assert!(!short.proves(&id) && short.check(&id, 0).is_none());
        assert!(!BlockList::default().proves(&id));
        assert!(
            !BlockList::from_values(vec![id.hash]).proves(&ContentId { size: 5, ..id }),
            "one block needs no list"
        );
    }

    #[test]
    fn a_wrong_size_fails_at_the_last_block() {
        let bytes = bytes(2 * MIB + 9);
        let (id, list) = hashed(&bytes);
        let longer = ContentId { size: id.size + 1, ..id };
        assert!(list.proves(&longer), "the list alone cannot know");
        let mut padded = bytes[2 * MIB..].to_vec();
        padded.push(0);
        assert!(!list.check(&longer, 2).unwrap().accepts(&padded));
        assert!(!list.check(&longer, 2).unwrap().accepts(&bytes[2 * MIB..]));
    }

    #[test]
    fn sizes_that_nobody_supports_overflow_nothing() {
        let huge = ContentId { hash: [0; 32], size: u64::MAX };
        assert!(!huge.is_supported());
        assert_eq!(huge.block_len(0), Some(MIB));
        assert!(!BlockList::default().proves(&huge));
        let largest = ContentId { hash: [0; 32], size: MAX_SIZE };
        assert!(largest.is_supported() && largest.block_count() == MAX_BLOCKS);
        assert!(!ContentId { size: MAX_SIZE + 1, ..largest }.is_supported());
        // Pretend that the stream came this far: hashing 64 GiB takes too long.
        let mut hasher = ContentHasher { size: MAX_SIZE, ..ContentHasher::new() };
        hasher.update(&[0]);
        hasher.update(&[0; 100]);
        assert_eq!(hasher.finish().err(), Some(TooLarge));
    }

    #[test]
    fn a_content_shows_its_hash_as_b3sum_does() {
        use alloc::string::ToString;
        let (id, _) = hashed(b"");
        assert_eq!(id.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }
}
