//! Messages in a stream.

use crate::error::Error;

/// The longest message that is taken from a server, header included. With TCP allocations no data travels in messages.
pub const MAX_MESSAGE: usize = 2048;

/// RFC 8489, section 5.
const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Cuts a stream into STUN messages: each tells its length in its header.
#[derive(Default)]
pub(crate) struct Framing {
    buffer: Vec<u8>,
}

impl Framing {
    /// Takes what came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message. After an error the stream is of no use.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.length()? {
            Some(length) if self.buffer.len() >= length => {
                let rest = self.buffer.split_off(length);
                Ok(Some(std::mem::replace(&mut self.buffer, rest)))
            }
            _ => Ok(None),
        }
    }

    /// How many bytes are missing until the header, and then the whole message, is there; never more. 0 if the
    /// stream is of no use.
    pub(crate) fn missing(&self) -> usize {
        let wanted = self.length().map_or(0, |length| length.unwrap_or(HEADER));
        wanted.saturating_sub(self.buffer.len())
    }

    /// The length of the message that has begun, once its header is there.
    fn length(&self) -> Result<Option<usize>, Error> {
        let Some(header) = self.buffer.get(..HEADER) else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] & 0xc0 != 0 || header[4..8] != MAGIC_COOKIE || length % 4 != 0 {
            Err(Error::NotTurn)
        } else if HEADER + length > MAX_MESSAGE {
            Err(Error::Malformed)
        } else {
            Ok(Some(HEADER + length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u16) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend(length.to_be_bytes());
        bytes.extend(MAGIC_COOKIE);
        bytes.extend([7; 12]);
        bytes.extend(vec![9; usize::from(length)]);
        bytes
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let stream = [message(8), message(0), message(12)].concat();
        for step in [1, 3, 20, 21, stream.len()] {
            let mut framing = Framing::default();
            let mut out = Vec::new();
            for piece in stream.chunks(step) {
                framing.push(piece);
                while let Some(message) = framing.next().unwrap() {
                    out.push(message);
                }
            }
            assert_eq!(out, [message(8), message(0), message(12)], "{step}");
        }
    }

    #[test]
    fn who_reads_what_is_missing_never_reads_beyond_a_message() {
        let bytes = message(8);
        let mut framing = Framing::default();
        assert_eq!(framing.missing(), 20);
        framing.push(&bytes[..5]);
        assert_eq!(framing.missing(), 15);
        framing.push(&bytes[5..20]);
        assert_eq!(framing.missing(), 8);
        framing.push(&bytes[20..]);
        assert_eq!((framing.missing(), framing.next()), (0, Ok(Some(bytes))));
    }

    #[test]
    fn what_is_not_stun_or_too_long_ends_the_stream() {
        for (bytes, error) in [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Error::NotTurn),
            (message(6), Error::NotTurn),
            (message(2032), Error::Malformed),
        ] {
            let mut framing = Framing::default();
            framing.push(&bytes);
            assert_eq!((framing.next(), framing.missing()), (Err(error), 0));
        }
        let mut framing = Framing::default();
        framing.push(&message(2028));
        assert_eq!(framing.next().unwrap().unwrap().len(), MAX_MESSAGE);
    }
}
