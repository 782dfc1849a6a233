//! The task that reads a link: handshake bytes for the engine, then frames for the engine and blocks for the store.

use p2pnet_engine::{BlockRef, LinkEnd, Opened, Opener, StoreReply, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::{Answer, Happened, Reports, SharedVerifier, lock};
use crate::buffers;
use crate::driver::StoreNews;
use crate::seam::Store;

/// Bytes of a handshake that are read at a time: more than any of its messages.
const HANDSHAKE_READ: usize = 4096;

/// Frames of so many bytes are reported together, and one more.
const TOGETHER: usize = 32 * 1024;

/// Verified blocks that may wait for the store while the next arrives. Beyond it the stream is not read.
const UNWRITTEN: usize = 2;

/// A verified block on its way to the store.
pub(super) type Verified = (BlockRef, Vec<u8>);

/// The way of verified blocks to the store.
pub(super) fn to_store() -> (mpsc::Sender<Verified>, mpsc::Receiver<Verified>) {
    mpsc::channel(UNWRITTEN)
}

/// Reads until the stream ends or the driver closes the link.
pub(super) async fn run<R, S>(
    mut stream: R,
    mut answers: mpsc::Receiver<Answer>,
    blocks: mpsc::Sender<Verified>,
    reports: Reports<S>,
) where
    R: AsyncRead + Unpin,
{
    let end = match handshake(&mut stream, &mut answers, &reports).await {
        Ok((opener, verifier)) => {
            let reader = Reader {
                stream: &mut stream,
                opener,
                verifier,
                answers: &answers,
                blocks,
                frames: Vec::new(),
                frames_len: 0,
            };
            reader.run(&reports).await
        }
        Err(end) => end,
    };
    match end {
        End::Stream(end) => reports.report(Happened::Closed(end)).await,
        End::Driver => discard(&mut stream).await,
    }
}

/// Writes verified blocks in the order in which they came, and ends behind the reader: what was reported as good must
/// be written even when the link is over, because nobody asks for it again.
pub(super) async fn write_blocks<S: Store>(mut verified: mpsc::Receiver<Verified>, reports: Reports<S>) {
    while let Some((block, data)) = verified.recv().await {
        let result = reports.store.write(block, data).await;
        let _ = reports.news.send(StoreNews::Reply(StoreReply::Written { block, result })).await;
    }
}

/// How reading ended.
enum End {
    /// The stream is over.
    Stream(LinkEnd),
    /// The driver closed the link.
    Driver,
}

/// Hands over what comes, one read at a time, until the driver has the keys.
async fn handshake<R: AsyncRead + Unpin, S>(
    stream: &mut R,
    answers: &mut mpsc::Receiver<Answer>,
    reports: &Reports<S>,
) -> Result<(Box<Opener>, SharedVerifier), End> {
    let mut buffer = [0; HANDSHAKE_READ];
    loop {
        let n = stream.read(&mut buffer).await.map_err(|_| End::Stream(LinkEnd::Reset))?;
        let bytes = buffer.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            return Err(End::Stream(LinkEnd::Eof));
        }
        reports.report(Happened::Handshake(bytes.to_vec())).await;
        match answers.recv().await {
            Some(Answer::More) => {}
            Some(Answer::Ready(opener, verifier)) => return Ok((opener, verifier)),
            None => return Err(End::Driver),
        }
    }
}

/// Reads a link that has its keys.
struct Reader<'a, R> {
    stream: &'a mut R,
    opener: Box<Opener>,
    verifier: SharedVerifier,
    answers: &'a mpsc::Receiver<Answer>,
    blocks: mpsc::Sender<Verified>,
    /// Frames that were not reported yet, and their bytes.
    frames: Vec<Vec<u8>>,
    frames_len: usize,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    async fn run<S>(mut self, reports: &Reports<S>) -> End {
        loop {
            loop {
                if self.answers.is_closed() {
                    return End::Driver;
                }
                let opened = self.opener.next();
                match opened {
                    Ok(Some(Opened::Control(body))) if self.frames_len < TOGETHER => {
                        self.frames_len += body.len();
                        self.frames.push(body);
                        continue;
                    }
                    _ => self.report_frames(reports).await,
                }
                match opened {
                    Ok(Some(opened)) => self.take(opened, reports).await,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(link = %reports.link, %error, "the stream is not the peer's");
                        return End::Stream(LinkEnd::Forged);
                    }
                }
            }
            match self.stream.read(self.opener.space()).await {
                Ok(0) => return End::Stream(LinkEnd::Eof),
                Ok(n) => self.opener.advance(n),
                Err(_) => return End::Stream(LinkEnd::Reset),
            }
        }
    }

    async fn report_frames<S>(&mut self, reports: &Reports<S>) {
        if !self.frames.is_empty() {
            self.frames_len = 0;
            reports.report(Happened::Frames(std::mem::take(&mut self.frames))).await;
        }
    }

    async fn take<S>(&mut self, opened: Opened, reports: &Reports<S>) {
        match opened {
            Opened::Control(body) => {
                self.frames_len = body.len();
                self.frames.push(body);
            }
            Opened::Block { block, data } => {
                // Room first: between the report and the store the task must not be stopped.
                let Ok(room) = self.blocks.reserve().await else { return };
                let verdict = lock(&self.verifier).judge(&block, &data);
                reports.report(Happened::Block(block, verdict)).await;
                if verdict == Verdict::Good {
                    room.send((block, data));
                } else {
                    buffers::give_back(data);
                }
                if let Some(spare) = buffers::spare() {
                    self.opener.recycle(spare);
                }
            }
        }
    }
}

/// Reads to the end and forgets, so that the system need not reset the stream.
async fn discard<R: AsyncRead + Unpin>(stream: &mut R) {
    let mut buffer = [0; HANDSHAKE_READ];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}
