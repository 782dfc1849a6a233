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

use snow::types::Cipher;

use super::opener::{OpenError, Opener};
use super::suite::CipherSuite;
use crate::content::BlockRef;

pub(super) const TAG_LEN: usize = 16;
pub(super) const RECORD_HEADER_LEN: usize = 3;
pub(super) const BLOCK_HEADER_LEN: usize = 48;
/// The most that fits into a Noise message of 65535 bytes.
pub(super) const MAX_PLAINTEXT: usize = 65535 - TAG_LEN;
const REKEY_EVERY: u64 = 1 << 20;

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

/// One direction of a link: a key that is replaced now and then, and the number of records under it and before.
pub(super) struct Direction {
    cipher: Box<dyn Cipher>,
    /// Also the next nonce. 2^64 records would need millions of years.
    pub(super) records: u64,
}

impl Direction {
    pub(super) fn new(suite: CipherSuite, key: &[u8; 32]) -> Self {
        Direction { cipher: suite.cipher(key), records: 0 }
    }

    /// Seals `plain` into `out`, which is a tag longer.
    fn seal(&mut self, channel: Channel, plain: &[u8], out: &mut [u8]) {
        self.cipher.encrypt(self.records, &[channel as u8], plain, out);
        self.count();
    }

    /// Opens `sealed`, which is longer than a tag, behind what `out` has.
    pub(super) fn open(
        &mut self,
        channel: Channel,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
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

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::link::Opened;

    const SUITE: CipherSuite = CipherSuite::ChaChaPolyBlake2s;

    #[test]
    fn the_key_changes_after_as_many_records_on_both_sides() {
        for suite in CipherSuite::ALL {
            let (mut sealer, _) = LinkCodec::from_keys(suite, &[1; 32], &[2; 32]).split();
            let mut opening = Direction::new(suite, &[1; 32]);
            let mut stale = Direction::new(suite, &[1; 32]);
            for direction in [&mut sealer.direction, &mut opening, &mut stale] {
                direction.records = REKEY_EVERY - 1;
            }
            for record in 0..3 {
                let mut out = Vec::new();
                sealer.seal(Channel::Bulk, b"text", &mut out);
                let sealed = &out[RECORD_HEADER_LEN..];
                let mut plain = Vec::new();
                assert_eq!(opening.open(Channel::Bulk, sealed, &mut plain), Ok(()), "record {record}");
                assert_eq!(plain, b"text");
                // The same nonce under the first key opens only what came before the change.
                stale.records = REKEY_EVERY - 1 + record;
                let expected = if record == 0 { Ok(()) } else { Err(OpenError::Forged) };
                stale.cipher.set(&[1; 32]);
                assert_eq!(stale.open(Channel::Bulk, sealed, &mut Vec::new()), expected);
            }
        }
    }

    #[test]
    fn a_record_costs_nineteen_bytes() {
        let (mut sealer, _) = LinkCodec::from_keys(SUITE, &[1; 32], &[2; 32]).split();
        for (len, records) in [(0, 0), (1, 1), (MAX_PLAINTEXT, 1), (MAX_PLAINTEXT + 1, 2), (1 << 20, 17)] {
            let mut out = Vec::new();
            sealer.seal(Channel::Bulk, &alloc::vec![0; len], &mut out);
            assert_eq!(out.len(), len + 19 * records);
        }
    }

    #[test]
    fn what_the_output_holds_stays() {
        let (mut sealer, _) = LinkCodec::from_keys(SUITE, &[1; 32], &[2; 32]).split();
        let (_, mut opener) = LinkCodec::from_keys(SUITE, &[2; 32], &[1; 32]).split();
        let mut out = b"before".to_vec();
        sealer.seal(Channel::Control, &[1, 0, 0, 0, 8], &mut out);
        assert_eq!(&out[..6], b"before");
        opener.push(&out[6..]);
        assert_eq!(opener.next(), Ok(Some(Opened::Control(alloc::vec![8]))));
    }

    #[test]
    fn a_codec_can_move_to_another_task_and_hides_its_keys() {
        fn assert_send<T: Send + 'static>(_: &T) {}
        let codec = LinkCodec::from_keys(SUITE, &[0xab; 32], &[0xab; 32]);
        assert_send(&codec);
        let text = format!("{codec:?}");
        assert!(!text.contains("171") && !text.contains("ab, "), "{text}");
    }
}
