//! The network seam on turmoil: IPv4, one node a host, one socket a port.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use p2pnet::seam::{Listener, Net, Stream, Udp};
use p2pnet_engine::{Interface, MULTICAST_GROUP};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream, UdpSocket};

/// The sockets of the turmoil host that the calling task runs on.
///
/// turmoil has one address a host and one socket a port, so one node is one host, and the designated ports are
/// not shared. It carries 255.255.255.255 but no subnet broadcast:
/// [`SimHost`](crate::SimHost) says so in its interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurmoilNet;

impl Net for TurmoilNet {
    type Udp = TurmoilUdp;
    type Listener = TurmoilListener;
    type Stream = TurmoilStream;

    async fn bind_shared(&self, interface: &Interface, port: u16) -> io::Result<TurmoilUdp> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        if interface.multicast {
            socket.join_multicast_v4(MULTICAST_GROUP, Ipv4Addr::UNSPECIFIED)?;
        }
        Ok(TurmoilUdp(socket))
    }

    async fn bind_private(&self, _interface: &Interface, port: u16) -> io::Result<TurmoilUdp> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        socket.set_broadcast(true)?;
        Ok(TurmoilUdp(socket))
    }

    async fn listen(&self, _interface: &Interface, port: u16) -> io::Result<TurmoilListener> {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.map(TurmoilListener)
    }

    async fn connect(
        &self,
        _interface: Option<&Interface>,
        address: SocketAddr,
    ) -> io::Result<TurmoilStream> {
        TcpStream::connect(address).await.map(TurmoilStream)
    }
}

/// A datagram socket on turmoil.
#[derive(Debug)]
pub struct TurmoilUdp(UdpSocket);

impl Udp for TurmoilUdp {
    fn recv_from(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, SocketAddr)>> + Send {
        self.0.recv_from(buffer)
    }

    fn try_send_to(&self, bytes: &[u8], destination: SocketAddr) -> io::Result<usize> {
        self.0.try_send_to(bytes, destination)
    }
}

/// A listener on turmoil.
pub struct TurmoilListener(TcpListener);

impl std::fmt::Debug for TurmoilListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TurmoilListener").field(&self.0.local_addr().ok()).finish()
    }
}

impl Listener for TurmoilListener {
    type Stream = TurmoilStream;

    async fn accept(&self) -> io::Result<(TurmoilStream, SocketAddr)> {
        let (stream, source) = self.0.accept().await?;
        Ok((TurmoilStream(stream), source))
    }
}

/// A stream on turmoil. It never retransmits: a lost segment stalls it for good, without an error.
#[derive(Debug)]
pub struct TurmoilStream(TcpStream);

impl Stream for TurmoilStream {
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    fn split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.0.into_split()
    }
}
