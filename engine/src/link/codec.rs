//! The data plane of a link: what turns frames and blocks into sealed bytes and back, apart from the engine, so that
//! bulk can use other cores.
//!
//! The stream is a sequence of records: a u16 length of the ciphertext (little endian), one byte for the channel
//! (authenticated), the ciphertext. Within a channel the plaintexts join to one stream: of control frames (a u32 length
//! and as many bytes), or of blocks (48 bytes of header and the data). Two channels, so that a frame never waits
//! behind the rest of a block. Nonces count the records of a direction; every 2^20 records the key is replaced (Noise
//! section 11.3).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use snow::types::Cipher;

use super::suite::CipherSuite;
use crate::content::{BlockRef, ContentId};

/// Bytes that the body of a control frame may have.
pub const MAX_CONTROL_FRAME: usize = 66 * 1024;

const TAG_LEN: usize = 16;
const RECORD_HEADER_LEN: usize = 3;
/// The most that fits into a Noise message of 65535 bytes.
const MAX_PLAINTEXT: usize = 65535 - TAG_LEN;
const FRAME_HEADER_LEN: usize = 4;
const BLOCK_HEADER_LEN: usize = 48;
const REKEY_EVERY: u64 = 1 << 20;
/// Room that a reader gets at the least.
const SPACE: usize = 128 * 1024;

/// Which of a link's two streams some bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Frames of the engine.
    Control = 0,
    /// Blocks of contents.
    Bulk = 1,
}

/// Both directions of one link: its keys and nonces and nothing else.
pub struct LinkCodec {
    sealer: Sealer,
    opener: Opener,
}

impl LinkCodec {
    /// A codec that seals under one key and opens under another. A link's codec comes out of its handshake; this is for
    /// benchmarks and tests of drivers. No pair of keys may be used twice.
    #[must_use]
    pub fn from_keys(suite: CipherSuite, seal: &[u8; 32], open: &[u8; 32]) -> Self {
        LinkCodec {
            sealer: Sealer { direction: Direction::new(suite, seal) },
            opener: Opener::new(Direction::new(suite, open)),
        }
    }

    /// The two directions, for two tasks.
    #[must_use]
    pub fn split(self) -> (Sealer, Opener) {
        (self.sealer, self.opener)
    }

    /// Feeds the opener.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.opener.push(bytes);
    }
}

impl fmt::Debug for LinkCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkCodec").field("sealer", &self.sealer).field("opener", &self.opener).finish()
    }
}

/// The header of a block on the bulk channel: hash (32 bytes), size (u64), index (u32), length of the data (u32). The
/// length follows from the others; it is 0, which the other side refuses, for an index that the content has not.
#[must_use]
pub fn block_header(block: &BlockRef) -> [u8; 48] {
    let len = block.content.block_len(block.index).unwrap_or(0);
    let mut header = [0; BLOCK_HEADER_LEN];
    header[..32].copy_from_slice(&block.content.hash);
    header[32..40].copy_from_slice(&block.content.size.to_le_bytes());
    header[40..44].copy_from_slice(&block.index.to_le_bytes());
    header[44..].copy_from_slice(&(len as u32).to_le_bytes());
    header
}

/// The sending half of a link.
pub struct Sealer {
    direction: Direction,
}

impl Sealer {
    /// Appends the sealed records of `bytes` to `out`: 19 bytes more for each 65519 begun.
    ///
    /// On the control channel `bytes` are frames with their lengths, on the bulk channel [`block_header`]s each with
    /// its data; they may be split over calls anywhere, and calls for the two channels may alternate.
    pub fn seal(&mut self, channel: Channel, bytes: &[u8], out: &mut Vec<u8>) {
        let records = bytes.len().div_ceil(MAX_PLAINTEXT);
        out.reserve(bytes.len() + records * (RECORD_HEADER_LEN + TAG_LEN));
        for part in bytes.chunks(MAX_PLAINTEXT) {
            out.extend_from_slice(&((part.len() + TAG_LEN) as u16).to_le_bytes());
            out.push(channel as u8);
            let start = out.len();
            out.resize(start + part.len() + TAG_LEN, 0);
            self.direction.seal(channel, part, &mut out[start..]);
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("records", &self.direction.records).finish_non_exhaustive()
    }
}

/// What a link brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    /// The body of one control frame.
    Control(Vec<u8>),
    /// One block. The peer sent it, nothing more: whether it is right is for a
    /// [`BlockVerifier`](crate::BlockVerifier) to judge.
    Block {
        /// Which one the peer says it is.
        block: BlockRef,
        /// As many bytes as that block has.
        data: Vec<u8>,
    },
}

/// The receiving half of a link.
///
/// Holds at most what was read and not yet taken, one frame, one record and one block. Read into [`space`](Opener::space),
/// tell it by [`advance`](Opener::advance), then call [`next`](Opener::next) until it has no more.
pub struct Opener {
    direction: Direction,
    /// What was read: the part from `start` to `end` is still sealed.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Opened control bytes that are not yet a whole frame, or not yet taken: from `control_start`.
    control: Vec<u8>,
    control_start: usize,
    /// Opened bulk bytes that belong to no block yet.
    bulk: Vec<u8>,
    arriving: Option<Arriving>,
    failed: Option<OpenError>,
}

/// A block of which the header is known.
struct Arriving {
    block: BlockRef,
    len: usize,
    data: Vec<u8>,
}

impl Opener {
    fn new(direction: Direction) -> Self {
        Opener {
            direction,
            input: Vec::new(),
            start: 0,
            end: 0,
            control: Vec::new(),
            control_start: 0,
            bulk: Vec::new(),
            arriving: None,
            failed: None,
        }
    }

    /// Where to read the stream into: at least 128 KiB. Grows the buffer if [`next`](Opener::next) was not called
    /// until it had no more; otherwise it stays below 200 KiB.
    #[must_use]
    pub fn space(&mut self) -> &mut [u8] {
        self.compact();
        if self.input.len() - self.end < SPACE {
            self.input.resize(self.end + SPACE, 0);
        }
        &mut self.input[self.end..]
    }

    /// Says that `n` bytes were read into the beginning of [`space`](Opener::space).
    pub fn advance(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.input.len());
    }

    /// Takes bytes that are somewhere else.
    pub fn push(&mut self, bytes: &[u8]) {
        self.compact();
        self.input.truncate(self.end);
        self.input.extend_from_slice(bytes);
        self.end = self.input.len();
    }

    /// The next frame or block, if enough was read.
    ///
    /// # Errors
    /// If the stream is not what the peer's sealer wrote, or says what a peer may not say. The link is of no use any
    /// more: every later call returns the same error.
    #[expect(clippy::should_implement_trait, reason = "it is no iterator: None means not yet")]
    pub fn next(&mut self) -> Result<Option<Opened>, OpenError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let opened = self.open_next();
        if let Err(error) = opened {
            self.failed = Some(error);
            (self.input, self.start, self.end) = (Vec::new(), 0, 0);
            (self.control, self.control_start) = (Vec::new(), 0);
            (self.bulk, self.arriving) = (Vec::new(), None);
        }
        opened
    }

    /// Bytes held at the moment.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let block = self.arriving.as_ref().map_or(0, |arriving| arriving.data.len());
        (self.end - self.start) + (self.control.len() - self.control_start) + self.bulk.len() + block
    }

    fn open_next(&mut self) -> Result<Option<Opened>, OpenError> {
        loop {
            if let Some(body) = self.take_frame()? {
                return Ok(Some(Opened::Control(body)));
            }
            if let Some(block) = self.take_block()? {
                return Ok(Some(block));
            }
            if !self.open_record()? {
                return Ok(None);
            }
        }
    }

    /// Opens one record into where it belongs; false if it is not all there.
    fn open_record(&mut self) -> Result<bool, OpenError> {
        let pending = &self.input[self.start..self.end];
        let Some((&[low, high, channel], rest)) = pending.split_first_chunk::<RECORD_HEADER_LEN>() else {
            return Ok(false);
        };
        let channel = match channel {
            0 => Channel::Control,
            1 => Channel::Bulk,
            other => return Err(OpenError::UnknownChannel(other)),
        };
        let len = usize::from(u16::from_le_bytes([low, high]));
        if len <= TAG_LEN {
            return Err(OpenError::EmptyRecord);
        }
        let Some(sealed) = rest.get(..len) else {
            return Ok(false);
        };
        let target = match (channel, &mut self.arriving) {
            (Channel::Control, _) => &mut self.control,
            // The common case: straight into the block, without a copy.
            (Channel::Bulk, Some(arriving))
                if self.bulk.is_empty() && len - TAG_LEN <= arriving.missing() =>
            {
                arriving.grow(len);
                &mut arriving.data
            }
            (Channel::Bulk, _) => &mut self.bulk,
        };
        self.direction.open(channel, sealed, target)?;
        self.start += RECORD_HEADER_LEN + len;
        Ok(true)
    }

    fn take_frame(&mut self) -> Result<Option<Vec<u8>>, OpenError> {
        let pending = &self.control[self.control_start..];
        let whole = match pending.split_first_chunk::<FRAME_HEADER_LEN>() {
            Some((&len, rest)) => {
                let len = u32::from_le_bytes(len);
                if len as usize > MAX_CONTROL_FRAME {
                    return Err(OpenError::FrameTooLong(len));
                }
                rest.get(..len as usize)
            }
            None => None,
        };
        match whole {
            Some(body) => {
                self.control_start += FRAME_HEADER_LEN + body.len();
                Ok(Some(body.to_vec()))
            }
            None => {
                self.control.drain(..self.control_start);
                self.control_start = 0;
                Ok(None)
            }
        }
    }

    fn take_block(&mut self) -> Result<Option<Opened>, OpenError> {
        let mut arriving = match self.arriving.take() {
            Some(arriving) => arriving,
            None => match self.bulk.first_chunk::<BLOCK_HEADER_LEN>() {
                Some(header) => {
                    let arriving = Arriving::from_header(header).ok_or(OpenError::BadBlockHeader)?;
                    self.bulk.drain(..BLOCK_HEADER_LEN);
                    arriving
                }
                None => return Ok(None),
            },
        };
        let here = self.bulk.len().min(arriving.missing());
        if here > 0 {
            arriving.grow(here + TAG_LEN);
            arriving.data.extend(self.bulk.drain(..here));
        }
        if arriving.missing() == 0 {
            let Arriving { block, data, .. } = arriving;
            return Ok(Some(Opened::Block { block, data }));
        }
        self.arriving = Some(arriving);
        Ok(None)
    }

    /// Moves what is left to the front where that is free, or makes room.
    fn compact(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.input.len() - self.end < SPACE {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= mem::take(&mut self.start);
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("records", &self.direction.records)
            .field("buffered", &self.buffered())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Arriving {
    fn from_header(header: &[u8; BLOCK_HEADER_LEN]) -> Option<Self> {
        let (&hash, rest) = header.split_first_chunk::<32>()?;
        let (&size, rest) = rest.split_first_chunk::<8>()?;
        let (&index, rest) = rest.split_first_chunk::<4>()?;
        let (&len, _) = rest.split_first_chunk::<4>()?;
        let content = ContentId { hash, size: u64::from_le_bytes(size) };
        let block = BlockRef { content, index: u32::from_le_bytes(index) };
        let len = u32::from_le_bytes(len) as usize;
        let fits = content.is_supported() && content.block_len(block.index) == Some(len);
        fits.then(|| Arriving { block, len, data: Vec::new() })
    }

    fn missing(&self) -> usize {
        self.len - self.data.len()
    }

    /// Makes room for `more` bytes: twice what is there, so that a peer that promises a block and sends none costs
    /// nothing, and never more than the block (and a tag, which ciphers need while they open).
    fn grow(&mut self, more: usize) {
        let needed = self.data.len() + more;
        if needed > self.data.capacity() {
            let target = needed.max(2 * self.data.capacity()).min((self.len + TAG_LEN).max(needed));
            self.data.reserve_exact(target - self.data.len());
        }
    }
}

/// One direction of a link: a key that is replaced now and then, and the number of records under it and before.
struct Direction {
    cipher: Box<dyn Cipher>,
    /// Also the next nonce. 2^64 records would need millions of years.
    records: u64,
}

impl Direction {
    fn new(suite: CipherSuite, key: &[u8; 32]) -> Self {
        Direction { cipher: suite.cipher(key), records: 0 }
    }

    /// Seals `plain` into `out`, which is a tag longer.
    fn seal(&mut self, channel: Channel, plain: &[u8], out: &mut [u8]) {
        self.cipher.encrypt(self.records, &[channel as u8], plain, out);
        self.count();
    }

    /// Opens `sealed`, which is longer than a tag, behind what `out` has.
    fn open(&mut self, channel: Channel, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        let start = out.len();
        // Room for the tag as well, or the cipher of `ring` allocates for every record.
        out.resize(start + sealed.len(), 0);
        let len = self
            .cipher
            .decrypt(self.records, &[channel as u8], sealed, &mut out[start..])
            .map_err(|_| OpenError::Forged)?;
        out.truncate(start + len);
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        self.records += 1;
        if self.records.is_multiple_of(REKEY_EVERY) {
            self.cipher.rekey();
        }
    }
}

impl Drop for Direction {
    fn drop(&mut self) {
        // The ciphers do not zeroise their keys; another key in the same place does.
        self.cipher.set(&[0; 32]);
    }
}

/// Why a link's stream is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A record did not open: changed, dropped, repeated or reordered on the way.
    #[error("a record does not authenticate")]
    Forged,
    /// A record holds nothing.
    #[error("an empty record")]
    EmptyRecord,
    /// A record is for a channel that does not exist.
    #[error("a record for the unknown channel {0}")]
    UnknownChannel(u8),
    /// A control frame claims this many bytes, more than [`MAX_CONTROL_FRAME`].
    #[error("a control frame of {0} bytes")]
    FrameTooLong(u32),
    /// A block's header names no block that can exist, or another length than that block has.
    #[error("a block's header does not fit its content")]
    BadBlockHeader,
}
