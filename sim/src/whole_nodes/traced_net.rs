//! A network that writes down what a node sends, hears, dials and accepts.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use p2pnet::seam::{Listener, Net, Stream, Udp};
use p2pnet_engine::Interface;
use tokio::io::{AsyncRead, ReadBuf};

use crate::trace::{Recorder, What};
use crate::whole_nodes::faults::Faults;

/// A network that records what passes the seam on a host. The outermost wrapper: it sees what the node sees.
#[derive(Debug)]
pub struct TracedNet<N> {
    inner: N,
    pen: Pen,
}

/// Writes into the trace in the name of one host.
#[derive(Clone, Debug)]
pub(crate) struct Pen {
    recorder: Recorder,
    faults: Faults,
    alias: String,
    host: IpAddr,
}

impl Pen {
    pub(crate) fn new(recorder: Recorder, faults: Faults, alias: String, host: IpAddr) -> Self {
        Pen { recorder, faults, alias, host }
    }

    pub(crate) fn write(&self, what: What) {
        self.recorder.push(now(), Some(&self.alias), what);
    }

    fn place(&self, address: SocketAddr) -> String {
        self.recorder.lock().place(address)
    }
}

/// Virtual time since the simulation began; zero outside of one.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl<N: Net> TracedNet<N> {
    pub(crate) fn new(inner: N, pen: Pen) -> Self {
        TracedNet { inner, pen }
    }
}

impl<N: Net> Net for TracedNet<N> {
    type Udp = TracedUdp<N::Udp>;
    type Listener = TracedListener<N::Listener>;
    type Stream = TracedStream<N::Stream>;

    async fn bind_shared(&self, interface: &Interface, port: u16) -> io::Result<Self::Udp> {
        let inner = self.inner.bind_shared(interface, port).await?;
        Ok(TracedUdp { inner, pen: self.pen.clone() })
    }

    async fn bind_private(&self, interface: &Interface, port: u16) -> io::Result<Self::Udp> {
        let inner = self.inner.bind_private(interface, port).await?;
        Ok(TracedUdp { inner, pen: self.pen.clone() })
    }

    async fn listen(&self, interface: &Interface, port: u16) -> io::Result<Self::Listener> {
        let inner = self.inner.listen(interface, port).await?;
        Ok(TracedListener { inner, pen: self.pen.clone() })
    }

    async fn connect(&self, interface: Option<&Interface>, address: SocketAddr) -> io::Result<Self::Stream> {
        let with = self.pen.place(address);
        match self.inner.connect(interface, address).await {
            Ok(inner) => {
                self.pen.write(What::Dialled { to: with.clone() });
                Ok(TracedStream { inner, pen: self.pen.clone(), with })
            }
            Err(error) => {
                let text = error.kind().to_string();
                self.pen.write(What::DialFailed { to: with, error: text });
                Err(error)
            }
        }
    }
}

/// A datagram socket that records what it sends and hears.
#[derive(Debug)]
pub struct TracedUdp<U> {
    inner: U,
    pen: Pen,
}

impl<U: Udp> Udp for TracedUdp<U> {
    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (bytes, source) = self.inner.recv_from(buffer).await?;
        // A host hears its own broadcasts: noise in a trace.
        if source.ip() != self.pen.host {
            self.pen.write(What::Heard { from: self.pen.place(source), bytes });
        }
        Ok((bytes, source))
    }

    fn try_send_to(&self, bytes: &[u8], destination: SocketAddr) -> io::Result<usize> {
        let sent = self.inner.try_send_to(bytes, destination)?;
        self.pen.faults.count_partitioned(self.pen.host, destination.ip());
        self.pen.write(What::Sent { to: self.pen.place(destination), bytes: bytes.len() });
        Ok(sent)
    }
}

/// A listener that records what it accepts.
#[derive(Debug)]
pub struct TracedListener<L> {
    inner: L,
    pen: Pen,
}

impl<L: Listener> Listener for TracedListener<L> {
    type Stream = TracedStream<L::Stream>;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (inner, source) = self.inner.accept().await?;
        let with = self.pen.place(source);
        self.pen.write(What::Accepted { from: with.clone() });
        Ok((TracedStream { inner, pen: self.pen.clone(), with }, source))
    }
}

/// A stream that records how it ends.
#[derive(Debug)]
pub struct TracedStream<S> {
    inner: S,
    pen: Pen,
    with: String,
}

impl<S: Stream> Stream for TracedStream<S> {
    type Read = TracedRead<S::Read>;
    type Write = S::Write;

    fn split(self) -> (Self::Read, Self::Write) {
        let (read, write) = self.inner.split();
        (TracedRead { inner: read, pen: self.pen, with: self.with, ended: false }, write)
    }
}

/// The reading half of a stream that records how it ends.
#[derive(Debug)]
pub struct TracedRead<R> {
    inner: R,
    pen: Pen,
    with: String,
    ended: bool,
}

impl<R: AsyncRead + Unpin> AsyncRead for TracedRead<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let asked = buffer.remaining() > 0;
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer));
        let end = match &result {
            Ok(()) => (asked && buffer.filled().len() == before).then_some(None),
            Err(error) => Some(Some(error.kind().to_string())),
        };
        if let Some(error) = end
            && !self.ended
        {
            self.ended = true;
            self.pen.write(What::StreamEnded { with: self.with.clone(), error });
        }
        Poll::Ready(result)
    }
}
