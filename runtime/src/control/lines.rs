//! Lines of a bounded length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The next line without its end, or `None` at the end of the stream. A line of more than `most` bytes, or one that is
/// not text, is an error.
pub(super) async fn read<R: AsyncBufRead + Unpin>(from: &mut R, most: usize) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = from.take(limit).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() {
        let why = if line.len() > most { "the line is too long" } else { "the line has no end" };
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let line = String::from_utf8(line);
    line.map(Some).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the line is not text"))
}

/// Writes a value as one line.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    value: &impl serde::Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that never ends its line must not fill the memory.
    #[tokio::test]
    async fn a_line_is_bounded() {
        let mut lines = &b"ab\nabcd\nabcde\nx"[..];
        assert_eq!(read(&mut lines, 4).await.unwrap().as_deref(), Some("ab"));
        assert_eq!(read(&mut lines, 4).await.unwrap().as_deref(), Some("abcd"));
        assert!(read(&mut lines, 4).await.is_err());
        assert!(read(&mut &b"abc"[..], 4).await.is_err(), "cut off");
        assert!(read(&mut &b"\xff\n"[..], 4).await.is_err(), "not text");
        assert_eq!(read(&mut &b""[..], 4).await.unwrap(), None);
    }
}
