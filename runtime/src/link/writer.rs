//! The task that writes a link: control first, blocks in small portions in between.

use std::io;
use std::sync::Arc;

use p2pnet_engine::{BlockRef, Channel, LinkEnd, Sealer, StoreReply, block_header};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Happened, Order, Reports, cost};
use crate::buffers;
use crate::driver::StoreNews;
use crate::seam::Store;

/// Bytes of a block that are sealed and written before the control queue is looked at again: one record.
const PORTION: usize = 65519;

/// Written control is reported in portions of so much. What is less the engine can do without.
const REPORT_EVERY: usize = 32 * 1024;

/// A block and what the store said.
type Loaded = (BlockRef, io::Result<Vec<u8>>);

/// Writes until the driver has the stream ended, or it breaks.
pub(super) async fn run<W, S>(
    stream: W,
    orders: mpsc::UnboundedReceiver<Order>,
    wanted: mpsc::UnboundedReceiver<BlockRef>,
    reports: Reports<S>,
) where
    W: AsyncWrite + Unpin,
    S: Store,
{
    // One block is loaded and one is being loaded while another is written.
    let (ready, loaded) = mpsc::channel(1);
    let writer = Writer {
        stream,
        orders,
        loaded,
        sealer: None,
        sending: None,
        control: Vec::new(),
        out: Vec::new(),
        done: 0,
        finishing: false,
        reports: &reports,
    };
    let ended = tokio::select! {
        biased;
        ended = writer.run() => ended,
        () = load(wanted, ready, &reports.store) => Ok(()),
    };
    if ended.is_err() {
        reports.report(Happened::Closed(LinkEnd::Reset)).await;
    }
}

/// Reads blocks ahead of the writer. Never ends: the writer does.
async fn load<S: Store>(
    mut wanted: mpsc::UnboundedReceiver<BlockRef>,
    ready: mpsc::Sender<Loaded>,
    store: &Arc<S>,
) {
    while let Some(block) = wanted.recv().await {
        let read = store.read(block).await;
        let _ = ready.send((block, read)).await;
    }
    std::future::pending().await
}

/// A block of which `sent` bytes are on their way.
struct Sending {
    data: Vec<u8>,
    sent: usize,
}

struct Writer<'a, W, S> {
    stream: W,
    orders: mpsc::UnboundedReceiver<Order>,
    loaded: mpsc::Receiver<Loaded>,
    sealer: Option<Sealer>,
    sending: Option<Sending>,
    /// Control that is to be sealed.
    control: Vec<u8>,
    /// What goes to the stream next.
    out: Vec<u8>,
    /// Control that was taken and not yet reported.
    done: usize,
    finishing: bool,
    reports: &'a Reports<S>,
}

impl<W: AsyncWrite + Unpin, S: Store> Writer<'_, W, S> {
    async fn run(mut self) -> io::Result<()> {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            self.seal_control();
            if !self.finishing {
                self.seal_portion().await;
            }
            if !self.out.is_empty() {
                self.stream.write_all(&self.out).await?;
                self.out.clear();
                if self.done >= REPORT_EVERY {
                    self.report().await;
                }
                continue;
            }
            if self.finishing {
                return self.stream.shutdown().await;
            }
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return Ok(()),
                },
                Some((block, read)) = self.loaded.recv() => self.begin(block, read).await,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Raw(bytes) => {
                self.done += cost(bytes.len());
                self.out.extend_from_slice(&bytes);
            }
            Order::Ready(sealer) => self.sealer = Some(sealer),
            Order::Frames(frames) => {
                self.done += cost(frames.len());
                self.control.extend_from_slice(&frames);
            }
            Order::Finish => self.finishing = true,
        }
    }

    /// Seals all control together: a record costs the same for one frame as for many.
    fn seal_control(&mut self) {
        if let Some(sealer) = &mut self.sealer {
            sealer.seal(Channel::Control, &self.control, &mut self.out);
            self.control.clear();
        }
    }

    /// Seals the next portion of the block under way, or of the next one that is loaded.
    async fn seal_portion(&mut self) {
        if self.sending.is_none()
            && let Ok((block, read)) = self.loaded.try_recv()
        {
            self.begin(block, read).await;
        }
        let (Some(sending), Some(sealer)) = (&mut self.sending, &mut self.sealer) else {
            return;
        };
        let rest = sending.data.get(sending.sent..).unwrap_or_default();
        let portion = rest.get(..PORTION).unwrap_or(rest);
        sealer.seal(Channel::Bulk, portion, &mut self.out);
        sending.sent += portion.len();
        if sending.sent == sending.data.len()
            && let Some(sent) = self.sending.take()
        {
            buffers::give_back(sent.data);
        }
    }

    async fn begin(&mut self, block: BlockRef, read: io::Result<Vec<u8>>) {
        match (read, &mut self.sealer) {
            (Ok(data), Some(sealer)) if Some(data.len()) == block.content.block_len(block.index) => {
                sealer.seal(Channel::Bulk, &block_header(&block), &mut self.out);
                // A block without bytes is its header.
                self.sending = (!data.is_empty()).then_some(Sending { data, sent: 0 });
            }
            (read, _) => {
                let reason = read.err().map_or("it has another length now".into(), |error| error.to_string());
                tracing::warn!(content = %block.content, index = block.index, reason, "a block cannot be read");
                let link = self.reports.link;
                let _ =
                    self.reports.news.send(StoreNews::Reply(StoreReply::Unreadable { link, block })).await;
            }
        }
    }

    async fn report(&mut self) {
        self.reports.report(Happened::Drained(std::mem::take(&mut self.done))).await;
    }
}
