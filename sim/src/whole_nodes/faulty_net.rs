//! Faults that turmoil does not have, around any network: independent for each datagram and each read.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use p2pnet::seam::{Listener, Net, Stream, Udp};
use p2pnet_engine::Interface;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::draws::Draws;
use crate::whole_nodes::faults::{FaultCounts, FaultProfile, Faults};

/// A network that loses, duplicates, corrupts and reorders datagrams, and delays, splits, stalls, resets and
/// corrupts streams.
///
/// Datagrams suffer at the receiver, so that one broadcast may reach one host and miss another. A stream never
/// loses bytes: TCP does not. What happens is drawn from this network's own stream, so wrapping one host's
/// network does not change another's faults.
#[derive(Debug)]
pub struct FaultyNet<N> {
    inner: N,
    faults: Faults,
    draws: SharedDraws,
    /// The host that this is the network of, if paths between hosts may have faults of their own.
    host: Option<IpAddr>,
}

type SharedDraws = Arc<Mutex<Draws>>;

impl<N: Net> FaultyNet<N> {
    /// Wraps `inner`. `label` names the host and its run, so that a restarted host draws anew.
    pub fn new(inner: N, faults: Faults, seed: u64, label: &str) -> Self {
        let draws = Draws::new(seed, &format!("faults {label}"));
        FaultyNet { inner, faults, draws: Arc::new(Mutex::new(draws)), host: None }
    }

    /// Says which host this is the network of, so that a path to it can have faults of its own.
    #[must_use]
    pub fn of_host(mut self, host: IpAddr) -> Self {
        self.host = Some(host);
        self
    }

    fn udp(&self, inner: N::Udp) -> FaultyUdp<N::Udp> {
        FaultyUdp {
            inner,
            faults: self.faults.clone(),
            draws: Arc::clone(&self.draws),
            host: self.host,
            queue: Mutex::default(),
        }
    }

    fn stream(&self, inner: N::Stream, peer: IpAddr) -> FaultyStream<N::Stream> {
        FaultyStream { inner, way: self.way(peer), draws: Arc::clone(&self.draws) }
    }

    fn way(&self, peer: IpAddr) -> Way {
        Way::new(self.faults.clone(), peer, self.host)
    }
}

impl<N: Net> Net for FaultyNet<N> {
    type Udp = FaultyUdp<N::Udp>;
    type Listener = FaultyListener<N::Listener>;
    type Stream = FaultyStream<N::Stream>;

    async fn bind_shared(&self, interface: &Interface, port: u16) -> io::Result<Self::Udp> {
        Ok(self.udp(self.inner.bind_shared(interface, port).await?))
    }

    async fn bind_private(&self, interface: &Interface, port: u16) -> io::Result<Self::Udp> {
        Ok(self.udp(self.inner.bind_private(interface, port).await?))
    }

    async fn listen(&self, interface: &Interface, port: u16) -> io::Result<Self::Listener> {
        let inner = self.inner.listen(interface, port).await?;
        let (faults, draws) = (self.faults.clone(), Arc::clone(&self.draws));
        Ok(FaultyListener { inner, faults, draws, host: self.host })
    }

    async fn connect(&self, interface: Option<&Interface>, address: SocketAddr) -> io::Result<Self::Stream> {
        Ok(self.stream(self.inner.connect(interface, address).await?, address.ip()))
    }
}

/// A datagram socket with faults on what it receives.
#[derive(Debug)]
pub struct FaultyUdp<U> {
    inner: U,
    faults: Faults,
    draws: SharedDraws,
    host: Option<IpAddr>,
    queue: Mutex<Queue>,
}

type Received = (Vec<u8>, SocketAddr);

/// Datagrams that arrived and were not handed on yet.
#[derive(Debug, Default)]
struct Queue {
    /// Handed on before anything else is received.
    next: Option<Received>,
    /// Waits for another datagram to overtake it.
    overtaken: Option<Received>,
}

impl<U: Udp> Udp for FaultyUdp<U> {
    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            // Taken in a statement of its own: the lock must not be held while waiting.
            let waiting = lock(&self.queue).next.take();
            if let Some((bytes, source)) = waiting {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                return Ok((length, source));
            }
            let (length, source) = self.inner.recv_from(buffer).await?;
            if self.pass(&mut buffer[..length], source) {
                return Ok((length, source));
            }
        }
    }

    fn try_send_to(&self, bytes: &[u8], destination: SocketAddr) -> io::Result<usize> {
        if self.faults.swallows(destination.ip()) {
            return Ok(bytes.len());
        }
        self.inner.try_send_to(bytes, destination)
    }
}

impl<U> FaultyUdp<U> {
    /// Lets a datagram suffer; `false` if it is not to be handed on now.
    fn pass(&self, bytes: &mut [u8], source: SocketAddr) -> bool {
        if self.faults.is_cut(source.ip(), self.host) {
            return false;
        }
        let profile = self.faults.profile_between(source.ip(), self.host);
        let mut draws = lock(&self.draws);
        let mut queue = lock(&self.queue);
        if draws.chance(profile.loss) {
            self.faults.count(|counts| counts.datagrams_lost += 1);
            return false;
        }
        if draws.chance(profile.corruption) && flip_a_bit(&mut draws, bytes) {
            self.faults.count(|counts| counts.datagrams_corrupted += 1);
        }
        if queue.overtaken.is_none() && draws.chance(profile.reordering) {
            queue.overtaken = Some((bytes.to_vec(), source));
            return false;
        }
        if let Some(overtaken) = queue.overtaken.take() {
            self.faults.count(|counts| counts.datagrams_reordered += 1);
            queue.next = Some(overtaken);
        } else if draws.chance(profile.duplication) {
            self.faults.count(|counts| counts.datagrams_duplicated += 1);
            queue.next = Some((bytes.to_vec(), source));
        }
        true
    }
}

/// A listener whose streams are faulty.
#[derive(Debug)]
pub struct FaultyListener<L> {
    inner: L,
    faults: Faults,
    draws: SharedDraws,
    host: Option<IpAddr>,
}

/// Where a stream comes from and where it is read: what its faults are.
#[derive(Clone, Debug)]
struct Way {
    faults: Faults,
    peer: IpAddr,
    host: Option<IpAddr>,
    /// How often streams between these hosts had been broken when this one began.
    resets: u64,
}

impl Way {
    fn new(faults: Faults, peer: IpAddr, host: Option<IpAddr>) -> Self {
        let resets = faults.resets(peer, host);
        Way { faults, peer, host, resets }
    }

    /// Whether it was broken since it began.
    fn is_broken(&self) -> bool {
        self.faults.resets(self.peer, self.host) != self.resets
    }

    fn profile(&self) -> FaultProfile {
        self.faults.profile_between(self.peer, self.host)
    }

    fn count(&self, add: impl FnOnce(&mut FaultCounts)) {
        self.faults.count(add);
    }
}

impl<L: Listener> Listener for FaultyListener<L> {
    type Stream = FaultyStream<L::Stream>;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (inner, source) = self.inner.accept().await?;
        let way = Way::new(self.faults.clone(), source.ip(), self.host);
        let stream = FaultyStream { inner, way, draws: Arc::clone(&self.draws) };
        Ok((stream, source))
    }
}

/// A stream with faults.
#[derive(Debug)]
pub struct FaultyStream<S> {
    inner: S,
    way: Way,
    draws: SharedDraws,
}

impl<S: Stream> Stream for FaultyStream<S> {
    type Read = FaultyRead<S::Read>;
    type Write = FaultyWrite<S::Write>;

    fn split(self) -> (Self::Read, Self::Write) {
        let (read, write) = self.inner.split();
        let read = FaultyRead {
            inner: read,
            way: self.way.clone(),
            draws: Arc::clone(&self.draws),
            fate: Fate::Undrawn,
        };
        (read, FaultyWrite { inner: write, way: self.way, draws: self.draws })
    }
}

/// The reading half of a faulty stream.
#[derive(Debug)]
pub struct FaultyRead<R> {
    inner: R,
    way: Way,
    draws: SharedDraws,
    fate: Fate,
}

/// What will happen to the next read.
#[derive(Debug)]
enum Fate {
    Undrawn,
    Delayed(Pin<Box<Sleep>>),
    /// As it comes, but at most so many bytes at once and with a flipped bit if so drawn.
    Plain {
        at_most: usize,
        corrupt: bool,
    },
    Stalled,
    Reset,
}

impl<R> FaultyRead<R> {
    fn draw(&mut self) {
        let profile: FaultProfile = self.way.profile();
        let mut draws = lock(&self.draws);
        self.fate = if draws.chance(profile.stream_reset) {
            self.way.count(|counts| counts.streams_reset += 1);
            Fate::Reset
        } else if draws.chance(profile.stream_stall) {
            self.way.count(|counts| counts.streams_stalled += 1);
            Fate::Stalled
        } else if draws.chance(profile.stream_delay) {
            self.way.count(|counts| counts.streams_delayed += 1);
            Fate::Delayed(Box::pin(tokio::time::sleep(draws.delay(profile.stream_delay_up_to))))
        } else {
            plain(&profile, &mut draws)
        };
    }
}

fn plain(profile: &FaultProfile, draws: &mut Draws) -> Fate {
    let split = draws.chance(profile.stream_split);
    let few = 1 + usize::try_from(draws.below(16)).unwrap_or(0);
    Fate::Plain {
        at_most: if split { few } else { usize::MAX },
        corrupt: draws.chance(profile.stream_corruption),
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for FaultyRead<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.way.is_broken() && !matches!(this.fate, Fate::Reset) {
            this.way.count(|counts| counts.streams_reset += 1);
            this.fate = Fate::Reset;
        }
        loop {
            match &mut this.fate {
                Fate::Undrawn => this.draw(),
                Fate::Stalled => return Poll::Pending,
                Fate::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Fate::Delayed(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    this.fate = plain(&this.way.profile(), &mut lock(&this.draws));
                }
                Fate::Plain { at_most, corrupt } => {
                    let (at_most, corrupt) = (*at_most, *corrupt);
                    let mut part = vec![0; buffer.remaining().min(at_most).min(64 * 1024)];
                    let mut part = ReadBuf::new(&mut part);
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
                    let filled = part.filled_mut();
                    if at_most != usize::MAX && !filled.is_empty() {
                        this.way.count(|counts| counts.streams_split += 1);
                    }
                    if corrupt && flip_a_bit(&mut lock(&this.draws), filled) {
                        this.way.count(|counts| counts.streams_corrupted += 1);
                    }
                    buffer.put_slice(filled);
                    this.fate = Fate::Undrawn;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// The writing half of a faulty stream.
#[derive(Debug)]
pub struct FaultyWrite<W> {
    inner: W,
    way: Way,
    draws: SharedDraws,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for FaultyWrite<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let profile = self.way.profile();
        let few = {
            let mut draws = lock(&self.draws);
            let few = 1 + usize::try_from(draws.below(16)).unwrap_or(0);
            draws.chance(profile.stream_split).then_some(few)
        };
        let part = match few {
            Some(few) if few < bytes.len() => {
                self.way.count(|counts| counts.streams_split += 1);
                &bytes[..few]
            }
            _ => bytes,
        };
        Pin::new(&mut self.inner).poll_write(cx, part)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

fn flip_a_bit(draws: &mut Draws, bytes: &mut [u8]) -> bool {
    let bit = draws.below(bytes.len() as u64 * 8);
    let index = usize::try_from(bit / 8).unwrap_or(usize::MAX);
    match bytes.get_mut(index) {
        Some(byte) => {
            *byte ^= 1 << (bit % 8);
            true
        }
        None => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while these are held, so a poisoned one is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
