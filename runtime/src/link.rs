//! One link as the driver holds it: a task that reads its stream, one that writes it, one that
//! writes blocks to the store, and what leads to them.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use p2pnet_engine::{
    BlockCheck, BlockRef, BlockVerifier, LinkCodec, LinkEnd, LinkId, Opener, Sealer, Verdict,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::driver::StoreNews;
use crate::seam::{Store, Stream};

/// Control bytes that may wait in a writer before the engine is asked to hold back. Blocks are not counted: they
/// wait as references, at most as many as the engine lets a peer ask for, and are loaded one ahead.
const CONTROL_QUEUE: usize = 256 * 1024;

/// What an order costs on top of its bytes, so that many small ones are bounded too.
const ORDER_COST: usize = 64;

/// Blocks that a link may expect at a time: more than all contents under way ask of one link.
const MAX_EXPECTED: usize = 1024;

/// How long a link that was told to say its last words may take to say them.
const FLUSH_TIME: Duration = Duration::from_millis(1000);

/// How long the other side may then take to end the stream as well. Closing with unread input would make the
/// system reset the stream, and the last words could be lost.
const LINGER_TIME: Duration = Duration::from_millis(500);

/// The verifier that the driver tells what to expect and the reader asks.
pub(crate) type SharedVerifier = Arc<Mutex<BlockVerifier>>;

/// What a link's tasks tell the driver.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) link: LinkId,
    pub(crate) what: Happened,
}

/// What happened on a link.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Bytes of the handshake; the reader waits for an answer.
    Handshake(Vec<u8>),
    /// Control frames that came together.
    Frames(Vec<Vec<u8>>),
    /// A block arrived and was judged.
    Block(BlockRef, Verdict),
    /// The writer is done with so much of what it was ordered to do.
    Drained(usize),
    /// The stream is over.
    Closed(LinkEnd),
}

/// What a reader is told after each handful of handshake bytes.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The handshake goes on.
    More,
    /// The handshake is done.
    Ready(Box<Opener>, SharedVerifier),
}

/// What a writer is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Bytes of the handshake.
    Raw(Vec<u8>),
    /// The handshake is done.
    Ready(Sealer),
    /// Control frames.
    Frames(Vec<u8>),
    /// Send what was ordered of control, then end the stream.
    Finish,
}

/// Where a link's tasks report to.
pub(crate) struct Reports<S> {
    pub(crate) link: LinkId,
    pub(crate) store: Arc<S>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) news: mpsc::Sender<StoreNews>,
}

impl<S> Clone for Reports<S> {
    fn clone(&self) -> Self {
        Reports {
            link: self.link,
            store: self.store.clone(),
            reports: self.reports.clone(),
            news: self.news.clone(),
        }
    }
}

impl<S> Reports<S> {
    /// Waits until the driver has room. If there is no driver any more nobody cares.
    async fn report(&self, what: Happened) {
        let _ = self.reports.send(Report { link: self.link, what }).await;
    }
}

/// A stream as its two halves.
pub(crate) struct Halves<T: Stream> {
    pub(crate) read: T::Read,
    pub(crate) write: T::Write,
    /// This host's address that it goes by, if known.
    pub(crate) local_ip: Option<IpAddr>,
}

impl<T: Stream> From<T> for Halves<T> {
    fn from(stream: T) -> Self {
        let local_ip = stream.local_ip();
        let (read, write) = stream.split();
        Halves { read, write, local_ip }
    }
}

/// An open link. Dropping it drops the stream at once.
pub(crate) struct Link {
    answers: mpsc::Sender<Answer>,
    /// Unbounded, because the driver must never wait for a peer that does not read; what is in it is bounded by
    /// the budget that the engine gets.
    orders: mpsc::UnboundedSender<Order>,
    blocks: mpsc::UnboundedSender<BlockRef>,
    verifier: Option<SharedVerifier>,
    waiting: usize,
    local_ip: Option<IpAddr>,
    reader: Task,
    writer: Task,
    /// Goes on until all that was verified is written, whatever becomes of the link.
    saver: JoinHandle<()>,
}

impl Link {
    /// Starts both tasks.
    pub(crate) fn open<T: Stream, S: Store>(stream: Halves<T>, reports: Reports<S>) -> Link {
        let Halves { read, write, local_ip } = stream;
        let (answers, answered) = mpsc::channel(1);
        let (orders, ordered) = mpsc::unbounded_channel();
        let (blocks, wanted) = mpsc::unbounded_channel();
        let (blocks_in, verified) = reader::to_store();
        let writer = writer::run(write, ordered, wanted, reports.clone());
        let reader = reader::run(read, answered, blocks_in, reports.clone());
        Link {
            answers,
            orders,
            blocks,
            verifier: None,
            waiting: 0,
            local_ip,
            reader: Task(tokio::spawn(reader)),
            writer: Task(tokio::spawn(writer)),
            saver: tokio::spawn(reader::write_blocks(verified, reports)),
        }
    }

    /// This host's address that it goes by, if known.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        self.local_ip
    }

    /// How much the engine may give this link now.
    pub(crate) fn budget(&self) -> usize {
        CONTROL_QUEUE.saturating_sub(self.waiting)
    }

    /// Writes bytes as they are.
    pub(crate) fn raw(&mut self, bytes: Vec<u8>) {
        self.waiting += cost(bytes.len());
        let _ = self.orders.send(Order::Raw(bytes));
    }

    /// Seals and writes control frames.
    pub(crate) fn frames(&mut self, frames: Vec<u8>) {
        self.waiting += cost(frames.len());
        let _ = self.orders.send(Order::Frames(frames));
    }

    /// Reads, seals and writes a block, behind those that wait already.
    pub(crate) fn block(&mut self, block: BlockRef) {
        let _ = self.blocks.send(block);
    }

    /// Expects a block. False if the link expects too many already.
    #[must_use]
    pub(crate) fn expect(&self, block: BlockRef, check: BlockCheck) -> bool {
        self.verifier.as_ref().is_some_and(|verifier| lock(verifier).expect(block, check))
    }

    /// Expects a block no more.
    pub(crate) fn forget(&self, block: &BlockRef) {
        if let Some(verifier) = &self.verifier {
            lock(verifier).forget(block);
        }
    }

    /// Hands the keys to both tasks.
    pub(crate) fn ready(&mut self, codec: LinkCodec) {
        let (sealer, opener) = codec.split();
        let verifier = Arc::new(Mutex::new(BlockVerifier::new(MAX_EXPECTED)));
        self.verifier = Some(verifier.clone());
        let _ = self.orders.send(Order::Ready(sealer));
        let _ = self.answers.try_send(Answer::Ready(Box::new(opener), verifier));
    }

    /// Lets the reader read on, after handshake bytes that did not complete the handshake.
    pub(crate) fn more(&self) {
        if self.verifier.is_none() {
            let _ = self.answers.try_send(Answer::More);
        }
    }

    /// The writer is done with `amount`.
    pub(crate) fn drained(&mut self, amount: usize) {
        self.waiting = self.waiting.saturating_sub(amount);
    }

    /// Drops the stream; when this returns all tasks are gone. Only when nobody takes what the store says any more,
    /// or it may wait for that.
    pub(crate) async fn stop(self) {
        self.reader.stop().await;
        self.writer.stop().await;
        self.saver.abort();
        let _ = self.saver.await;
    }

    /// Says the last words, ends the stream, and waits a little for the other side to do the same.
    pub(crate) async fn finish(mut self) {
        let _ = self.orders.send(Order::Finish);
        // Without the driver's end of this the reader only throws away what comes.
        drop(self.answers);
        if tokio::time::timeout(FLUSH_TIME, &mut self.writer.0).await.is_ok() {
            let _ = tokio::time::timeout(LINGER_TIME, &mut self.reader.0).await;
        }
    }
}

/// A task that ends with its owner.
pub(crate) struct Task(pub(crate) JoinHandle<()>);

impl Task {
    /// Ends the task and waits until what it held is dropped.
    pub(crate) async fn stop(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an order of so many bytes counts.
fn cost(bytes: usize) -> usize {
    bytes + ORDER_COST
}

/// The verifier, even if a task died while it held it: its table is whole between calls.
fn lock(verifier: &SharedVerifier) -> std::sync::MutexGuard<'_, BlockVerifier> {
    verifier.lock().unwrap_or_else(PoisonError::into_inner)
}
