//! The receiving half of a link: from sealed records to frames and blocks.

use alloc::vec::Vec;
use core::fmt;
use core::mem;

use super::codec::{BLOCK_HEADER_LEN, Channel, Direction, RECORD_HEADER_LEN, TAG_LEN};
use crate::content::{BlockRef, ContentId};

/// Bytes that the body of a control frame may have.
pub const MAX_CONTROL_FRAME: usize = 66 * 1024;

const FRAME_HEADER_LEN: usize = 4;
/// Room that a reader gets at the least.
const SPACE: usize = 128 * 1024;

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
    /// What the next block is put into.
    spare: Vec<u8>,
    failed: Option<OpenError>,
}

/// A block of which the header is known.
struct Arriving {
    block: BlockRef,
    len: usize,
    data: Vec<u8>,
}

impl Opener {
    pub(super) fn new(direction: Direction) -> Self {
        Opener {
            direction,
            input: Vec::new(),
            start: 0,
            end: 0,
            control: Vec::new(),
            control_start: 0,
            bulk: Vec::new(),
            arriving: None,
            spare: Vec::new(),
            failed: None,
        }
    }

    /// Where to read the stream into: at least 128 KiB. Grows the buffer if [`next`](Opener::next) was not called
    /// until it had no more; otherwise it stays below 200 KiB.
    #[must_use]
    pub fn space(&mut self) -> &mut [u8] {
        if self.failed.is_some() {
            (self.start, self.end) = (0, 0);
        }
        self.compact();
        if self.input.len() - self.end < SPACE {
            self.input.resize(self.end + SPACE, 0);
        }
        &mut self.input[self.end..]
    }

    /// Gives a buffer that nobody needs any more, for the next block: without one it grows a new one. What is in it does
    /// not matter.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.spare = buffer;
    }

    /// Says that `n` bytes were read into the beginning of [`space`](Opener::space).
    pub fn advance(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.input.len());
    }

    /// Takes bytes that are somewhere else; none after an error.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
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
                    let mut arriving = Arriving::from_header(header).ok_or(OpenError::BadBlockHeader)?;
                    arriving.data = mem::take(&mut self.spare);
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::codec::MAX_PLAINTEXT;
    use super::super::{CipherSuite, LinkCodec, Sealer, block_header};
    use super::*;
    use crate::content::BLOCK_SIZE;

    fn pair(suite: CipherSuite) -> (Sealer, Opener) {
        let (sealer, _) = LinkCodec::from_keys(suite, &[1; 32], &[2; 32]).split();
        let (_, opener) = LinkCodec::from_keys(suite, &[2; 32], &[1; 32]).split();
        (sealer, opener)
    }

    fn sealed(sealer: &mut Sealer, channel: Channel, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(channel, bytes, &mut out);
        out
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_le_bytes()[..], body].concat()
    }

    fn block(size: u64, index: u32) -> BlockRef {
        BlockRef { content: ContentId { hash: [3; 32], size }, index }
    }

    fn all(opener: &mut Opener) -> Vec<Opened> {
        core::iter::from_fn(|| opener.next().unwrap()).collect()
    }

    #[test]
    fn frames_and_blocks_arrive_whole_and_in_order() {
        let size = 2 * BLOCK_SIZE as u64 + 10;
        let data: Vec<u8> = (0..BLOCK_SIZE).map(|i| (i * 7) as u8).collect();
        for suite in CipherSuite::ALL {
            let (mut sealer, mut opener) = pair(suite);
            let mut stream = Vec::new();
            sealer.seal(Channel::Control, &[frame(b"one"), frame(b""), frame(b"two")].concat(), &mut stream);
            sealer.seal(Channel::Bulk, &block_header(&block(size, 0)), &mut stream);
            sealer.seal(Channel::Bulk, &data[..500_000], &mut stream);
            sealer.seal(Channel::Control, &frame(&data[..MAX_CONTROL_FRAME]), &mut stream);
            let tail =
                [&data[500_000..], &block_header(&block(size, 2)), &data[..10], &block_header(&block(0, 0))];
            sealer.seal(Channel::Bulk, &tail.concat(), &mut stream);
            opener.push(&stream);
            let expected = [
                Opened::Control(b"one".to_vec()),
                Opened::Control(vec![]),
                Opened::Control(b"two".to_vec()),
                Opened::Control(data[..MAX_CONTROL_FRAME].to_vec()),
                Opened::Block { block: block(size, 0), data: data.clone() },
                Opened::Block { block: block(size, 2), data: data[..10].to_vec() },
                Opened::Block { block: block(0, 0), data: vec![] },
            ];
            assert!(all(&mut opener) == expected, "{suite}");
            assert_eq!(opener.buffered(), 0);
        }
    }

    #[test]
    fn the_cuts_of_the_stream_do_not_matter() {
        let data = vec![9; 200_000];
        let reference = block(200_000, 0);
        let content = [&block_header(&reference)[..], &data].concat();
        for plaintext in [1_000, 65_000, 300_000] {
            for read in [1_001, 70_000] {
                let (mut sealer, mut opener) = pair(CipherSuite::ChaChaPolyBlake2s);
                let mut stream = Vec::new();
                for part in content.chunks(plaintext) {
                    sealer.seal(Channel::Bulk, part, &mut stream);
                    sealer.seal(Channel::Control, &[1, 0], &mut stream);
                    sealer.seal(Channel::Control, &[0, 0, 5], &mut stream);
                }
                let mut opened = Vec::new();
                for part in stream.chunks(read) {
                    opener.space()[..part.len()].copy_from_slice(part);
                    opener.advance(part.len());
                    opened.extend(all(&mut opener));
                }
                let frames = opened.iter().filter(|one| **one == Opened::Control(vec![5])).count();
                assert_eq!(frames, content.len().div_ceil(plaintext));
                let whole = Opened::Block { block: reference, data: data.clone() };
                assert_eq!(opened.iter().filter(|one| **one == whole).count(), 1);
                assert_eq!(opened.len(), frames + 1);
            }
        }
    }

    #[test]
    fn nothing_comes_before_all_of_it_is_there() {
        let (mut sealer, mut opener) = pair(CipherSuite::Aes256GcmSha256);
        let stream = sealed(&mut sealer, Channel::Control, &frame(b"x"));
        for byte in &stream[..stream.len() - 1] {
            opener.push(&[*byte]);
            assert_eq!(opener.next(), Ok(None));
        }
        assert_eq!(opener.buffered(), stream.len() - 1);
        opener.push(&stream[stream.len() - 1..]);
        assert_eq!(opener.next(), Ok(Some(Opened::Control(b"x".to_vec()))));
    }

    #[test]
    fn any_change_on_the_way_ends_the_link() {
        for suite in CipherSuite::ALL {
            let (mut sealer, _) = pair(suite);
            let stream = sealed(&mut sealer, Channel::Control, &frame(b"hello"));
            for at in 2..stream.len() {
                let (_, mut opener) = pair(suite);
                let mut changed = stream.clone();
                changed[at] ^= 1;
                opener.push(&changed);
                // Byte 2 is the channel: the other one exists, but the record is not for it.
                assert_eq!(opener.next(), Err(OpenError::Forged), "byte {at}");
                opener.push(&stream);
                assert_eq!(opener.next(), Err(OpenError::Forged), "and stays ended");
                assert_eq!(opener.buffered(), 0, "and keeps nothing");
            }
        }
    }

    #[test]
    fn records_cannot_be_dropped_repeated_or_reordered() {
        let suite = CipherSuite::ChaChaPolyBlake2s;
        let (mut sealer, _) = pair(suite);
        let one = sealed(&mut sealer, Channel::Control, &frame(b"1"));
        let two = sealed(&mut sealer, Channel::Control, &frame(b"2"));
        for (stream, before) in
            [(two.clone(), 0), ([one.clone(), one.clone()].concat(), 1), ([two, one].concat(), 0)]
        {
            let (_, mut opener) = pair(suite);
            opener.push(&stream);
            for _ in 0..before {
                assert!(opener.next().unwrap().is_some());
            }
            assert_eq!(opener.next(), Err(OpenError::Forged));
        }
    }

    #[test]
    fn what_no_sealer_writes_is_refused() {
        let cases: [(&[u8], OpenError); 3] = [
            (&[17, 0, 2], OpenError::UnknownChannel(2)),
            (&[16, 0, 0], OpenError::EmptyRecord),
            (&[0, 0, 1], OpenError::EmptyRecord),
        ];
        for (stream, error) in cases {
            let (_, mut opener) = pair(CipherSuite::Aes256GcmSha256);
            opener.push(stream);
            assert_eq!(opener.next(), Err(error));
        }
    }

    #[test]
    fn a_frame_beyond_the_limit_is_refused_at_its_length() {
        let (mut sealer, mut opener) = pair(CipherSuite::Aes256GcmSha256);
        let len = MAX_CONTROL_FRAME as u32 + 1;
        opener.push(&sealed(&mut sealer, Channel::Control, &len.to_le_bytes()));
        assert_eq!(opener.next(), Err(OpenError::FrameTooLong(len)));
    }

    #[test]
    fn a_block_that_cannot_exist_is_refused_at_its_header() {
        let with_len = |reference: &BlockRef, len: u32| {
            let mut header = block_header(reference);
            header[44..].copy_from_slice(&len.to_le_bytes());
            header
        };
        let headers = [
            with_len(&block(100, 0), 99),
            with_len(&block(100, 0), u32::MAX),
            with_len(&block(100, 1), 0),
            with_len(&block(u64::MAX, 0), BLOCK_SIZE as u32),
            block_header(&block(5, 7)),
        ];
        for header in headers {
            let (mut sealer, mut opener) = pair(CipherSuite::Aes256GcmSha256);
            opener.push(&sealed(&mut sealer, Channel::Bulk, &header));
            assert_eq!(opener.next(), Err(OpenError::BadBlockHeader));
        }
    }

    #[test]
    fn a_promised_block_costs_only_what_arrived() {
        let (mut sealer, mut opener) = pair(CipherSuite::ChaChaPolyBlake2s);
        let reference = block(BLOCK_SIZE as u64, 0);
        let data = vec![1; BLOCK_SIZE];
        opener.push(&sealed(&mut sealer, Channel::Bulk, &block_header(&reference)));
        assert_eq!(opener.next(), Ok(None));
        let mut arrived = 0;
        for part in data.chunks(MAX_PLAINTEXT) {
            assert!(opener.arriving.as_ref().unwrap().data.capacity() <= (2 * arrived).max(arrived + 65_535));
            opener.push(&sealed(&mut sealer, Channel::Bulk, part));
            arrived += part.len();
            match opener.next() {
                Ok(None) => assert_eq!(opener.buffered(), arrived),
                Ok(Some(Opened::Block { data, .. })) => {
                    assert!(data.capacity() <= BLOCK_SIZE + TAG_LEN, "{}", data.capacity());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(arrived, BLOCK_SIZE);
        assert!(opener.arriving.is_none());
    }

    #[test]
    fn buffers_stay_bounded_while_the_reader_drains() {
        let (mut sealer, mut opener) = pair(CipherSuite::ChaChaPolyBlake2s);
        let mut body = frame(&vec![0; MAX_CONTROL_FRAME]);
        body.extend(frame(&[]).repeat(20_000));
        let mut stream = Vec::new();
        for _ in 0..8 {
            sealer.seal(Channel::Control, &body, &mut stream);
        }
        let mut frames = 0;
        for part in stream.chunks(100_000) {
            opener.space()[..part.len()].copy_from_slice(part);
            opener.advance(part.len());
            frames += all(&mut opener).len();
            assert!(opener.input.len() <= 200 * 1024, "{}", opener.input.len());
            assert!(opener.control.capacity() <= 300 * 1024, "{}", opener.control.capacity());
        }
        assert_eq!(frames, 8 * 20_001);
    }

    #[test]
    fn advancing_beyond_the_space_is_harmless() {
        let (_, mut opener) = pair(CipherSuite::ChaChaPolyBlake2s);
        opener.advance(usize::MAX);
        assert_eq!(opener.next(), Ok(None));
        let room = opener.space().len();
        opener.advance(usize::MAX);
        assert_eq!(opener.buffered(), room);
    }
}
