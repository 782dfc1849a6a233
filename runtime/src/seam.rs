//! The three seams between a node and the world: network, storage, host.
//!
//! The driver is generic over them and the very same driver runs on real sockets and inside a simulation. They
//! are values, not static functions, because a wrapper that injects faults has state of its own. Time needs no
//! seam: `tokio::time` is paused and advanced by simulations.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use p2pnet_engine::{
    AuthorityState, BlockList, BlockRef, ContentId, Decision, Interface, InterfaceId, Leftovers, Manifest,
    Memory, MemoryChange, StoreFailure,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Sockets. What is bound on an interface works for IPv4 and for IPv6, as far as the interface has addresses of them;
/// one that fails does not keep the other from working.
pub trait Net: Send + Sync + 'static {
    /// A bound datagram socket.
    type Udp: Udp;
    /// A listener for streams.
    type Listener: Listener<Stream = Self::Stream>;
    /// An ordered byte stream.
    type Stream: Stream;

    /// Binds a socket that shares `port` with others on this host and hears broadcasts and multicasts that come
    /// in by `interface`.
    fn bind_shared(
        &self,
        interface: &Interface,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Udp>> + Send;

    /// Binds the private socket of `interface`, that datagrams are sent from and unicasts come to.
    fn bind_private(
        &self,
        interface: &Interface,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Udp>> + Send;

    /// Listens for streams that come in by `interface`, on the same private port.
    fn listen(
        &self,
        interface: &Interface,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Connects a stream. The caller bounds the time.
    fn connect(
        &self,
        interface: Option<&Interface>,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A bound datagram socket. Errors of one call never mean that the socket is dead.
pub trait Udp: Send + Sync + 'static {
    /// Receives one datagram; what does not fit into the buffer is cut off.
    fn recv_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send;

    /// Sends one datagram without waiting; `WouldBlock` when the system's queue is full.
    fn try_send_to(&self, bytes: &[u8], destination: SocketAddr) -> io::Result<usize>;
}

/// A listener for streams.
pub trait Listener: Send + Sync + 'static {
    /// What it accepts.
    type Stream: Stream;

    /// Waits for the next stream.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

/// An ordered byte stream, split into halves that two tasks use.
pub trait Stream: Send + 'static {
    /// The half that reads.
    type Read: AsyncRead + Unpin + Send + 'static;
    /// The half that writes; dropping or shutting it down ends the stream in that direction.
    type Write: AsyncWrite + Unpin + Send + 'static;

    /// Splits the stream.
    fn split(self) -> (Self::Read, Self::Write);

    /// This host's address that the stream goes by, if known: without it the stream is at an end, which nothing else
    /// would tell for a while.
    fn local_ip(&self) -> Option<IpAddr> {
        None
    }
}

/// Blocks and the little that a node must remember.
pub trait Store: Send + Sync + 'static {
    /// Gets ready for the blocks of `manifest`, and finds those that an earlier try left. Its name is a peer's: the store
    /// makes it safe.
    fn open(&self, manifest: Manifest) -> impl Future<Output = Result<Leftovers, StoreFailure>> + Send;

    /// Keeps the list that [`open`](Self::open) needs to tell whole blocks from torn ones. A store that drops what it has
    /// not finished need not.
    fn keep_list(&self, content: ContentId, list: BlockList) -> impl Future<Output = ()> + Send;

    /// Stops receiving `content`; what was written is worth keeping until it is opened again.
    fn close(&self, content: ContentId) -> impl Future<Output = ()> + Send;

    /// Writes one verified block. It need not be durable before [`finish`](Self::finish).
    fn write(&self, block: BlockRef, data: Vec<u8>) -> impl Future<Output = Result<(), StoreFailure>> + Send;

    /// Reads one block of published content, whole.
    fn read(&self, block: BlockRef) -> impl Future<Output = io::Result<Vec<u8>>> + Send;

    /// Makes all blocks durable, then gives the content its final name; says where it is.
    fn finish(&self, content: ContentId) -> impl Future<Output = Result<PathBuf, StoreFailure>> + Send;

    /// Drops what was written of `content`.
    fn abandon(&self, content: ContentId) -> impl Future<Output = ()> + Send;

    /// Hashes a source and makes it readable as published content.
    fn publish(&self, source: Source) -> impl Future<Output = io::Result<(Manifest, BlockList)>> + Send;

    /// Stops serving published content.
    fn withdraw(&self, content: ContentId) -> impl Future<Output = ()> + Send;

    /// The incarnation of this run: larger than any it gave before, and durable when this returns.
    fn next_incarnation(&self) -> impl Future<Output = io::Result<u64>> + Send;

    /// Makes `incarnation` durable as the last one used.
    fn save_incarnation(&self, incarnation: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// The seed of this node's identity key; made by `create` and kept when there is none yet.
    fn identity_seed(&self, create: [u8; 32]) -> impl Future<Output = io::Result<[u8; 32]>> + Send;

    /// Makes these changes of what the next run on this network (its tag) should know durable, all of them or none;
    /// with `anew` in place of all that was kept for it. See [`Memory`]. A store that does not outlive this run need not.
    fn remember(
        &self,
        network: [u8; 8],
        anew: bool,
        changes: Vec<MemoryChange>,
    ) -> impl Future<Output = Result<(), StoreFailure>> + Send;

    /// What was kept for this network; nothing if that is damaged or there was no run before. The node starts without
    /// if this fails.
    fn recall(&self, network: [u8; 8]) -> impl Future<Output = io::Result<Memory>> + Send;

    /// Makes what was decided about peers and addresses on this network (its tag) durable, in place of what was kept before.
    fn save_decisions(
        &self,
        network: [u8; 8],
        decisions: Vec<Decision>,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// What was decided on this network, in any order; nothing if that is damaged or there was no run before.
    fn decisions(&self, network: [u8; 8]) -> impl Future<Output = io::Result<Vec<Decision>>> + Send;

    /// Makes what this node keeps of authorities on this network (its tag) durable, in place of what was kept before.
    fn save_authority(
        &self,
        network: [u8; 8],
        state: AuthorityState,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// What was kept of authorities on this network; the default if there was no run before. An error if it is damaged: a
    /// node that forgot its lock would lock to whoever comes first.
    fn authority(&self, network: [u8; 8]) -> impl Future<Output = io::Result<AuthorityState>> + Send;

    /// Keeps the private port, for the next run to try it first: a firewall's rule and what peers remember of this
    /// node stay true.
    fn remember_port(&self, port: u16) -> impl Future<Output = io::Result<()>> + Send;

    /// The private port that was kept.
    fn remembered_port(&self) -> impl Future<Output = io::Result<Option<u16>>> + Send;
}

/// Something to publish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// A file on disk, read again for each block that is sent.
    File(PathBuf),
    /// A folder on disk with all that is in it, as one content (see [`FolderIndex`](p2pnet_engine::FolderIndex)). A
    /// symbolic link in it, or anything else that is neither file nor folder, or whose name is no text, is an error that
    /// says which. Its files are read again for each block that is sent.
    Folder(PathBuf),
    /// Bytes in memory, under a name.
    Bytes {
        /// The name that receivers see.
        name: String,
        /// The content.
        bytes: Vec<u8>,
    },
}

impl Source {
    /// What is at `path` now: a folder, or else a file. Asks the file system, which may block for a moment.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Source {
        let path = path.into();
        if path.is_dir() { Source::Folder(path) } else { Source::File(path) }
    }
}

/// What else a node asks its host.
pub trait Host: Send + Sync + 'static {
    /// 32 bytes that nobody can guess (in a simulation: that the seed gives).
    fn entropy(&self) -> io::Result<[u8; 32]>;

    /// The interfaces there are now, whatever their kind; the node picks from them.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;

    /// Ports to try for the private port, in this order.
    fn private_ports(&self) -> Vec<u16>;

    /// The wall clock: time since an epoch of the host's choice. Only how far it moves against `tokio::time` is
    /// looked at, to notice that the host slept. A host without one says nothing ever moved.
    fn wall_clock(&self) -> Duration {
        Duration::ZERO
    }

    /// Seconds since the start of 1970, for certificates and tasks that expire. A host that does not know finds no
    /// certificate expired and takes no tasks.
    fn unix_time(&self) -> Option<u64> {
        None
    }

    /// Whether AES-GCM is the fast suite on this processor.
    fn fast_aes(&self) -> bool;

    /// Runs a computation that takes long where it delays nothing else. In a simulation it completes inline.
    fn offload<T, F>(&self, job: F) -> impl Future<Output = T> + Send
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;
}

/// An interface number that stands for "whichever" where one must be named.
pub const ANY_INTERFACE: InterfaceId = InterfaceId(0);
