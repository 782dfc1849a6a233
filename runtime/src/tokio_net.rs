//! The real network: tokio's sockets, one set for each interface.
//!
//! Sockets are bound to their device where the system permits it, which also tells by which interface a datagram came
//! in. Where it does not, private sockets are bound to the interface's address, and shared ones take only what comes
//! from the interface's subnets. IPv4 only.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use p2pnet_engine::{Interface, InterfaceAddr, MULTICAST_GROUP};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::seam::{Listener, Net, Stream, Udp};
use crate::sys;

/// Streams that may wait to be accepted.
const BACKLOG: i32 = 256;

/// What the system may buffer of datagrams: a burst of beacons of a large LAN.
const RECEIVE_BUFFER: usize = 1 << 20;

/// [`Net`] on the operating system's sockets.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TokioNet;

impl TokioNet {
    /// The network of this host.
    #[must_use]
    pub fn new() -> Self {
        TokioNet
    }
}

impl Net for TokioNet {
    type Udp = TokioUdp;
    type Listener = TokioListener;
    type Stream = TokioStream;

    async fn bind_shared(&self, interface: &Interface, port: u16) -> io::Result<TokioUdp> {
        let socket = udp_socket()?;
        sys::share_port(&socket)?;
        let on_device = sys::bind_to_interface(&socket, interface)?;
        // The wildcard: a socket with an address of its own hears no broadcasts.
        socket.bind(&wildcard(port))?;
        if interface.multicast {
            // Broadcasts alone suffice, so an interface that cannot do this is used all the same.
            if let Err(error) = join(&socket, interface) {
                tracing::debug!(interface = interface.name, %error, "the multicast group cannot be joined");
            }
        }
        sys::only_joined_groups(&socket)?;
        let only_from = (!on_device).then(|| interface.addrs.clone());
        TokioUdp::new(socket, only_from)
    }

    async fn bind_private(&self, interface: &Interface, port: u16) -> io::Result<TokioUdp> {
        let socket = udp_socket()?;
        let on_device = sys::bind_to_interface(&socket, interface)?;
        socket.set_broadcast(true)?;
        socket.set_multicast_ttl_v4(1)?;
        socket.set_multicast_loop_v4(true)?;
        let address = own_address(interface)?;
        if interface.multicast {
            socket.set_multicast_if_v4(&address)?;
        }
        socket.bind(&if on_device { wildcard(port) } else { SocketAddrV4::new(address, port).into() })?;
        TokioUdp::new(socket, None)
    }

    async fn listen(&self, interface: &Interface, port: u16) -> io::Result<TokioListener> {
        let socket = tcp_socket()?;
        sys::reuse_closed(&socket)?;
        let on_device = sys::bind_to_interface(&socket, interface)?;
        let address = if on_device { Ipv4Addr::UNSPECIFIED } else { own_address(interface)? };
        socket.bind(&SocketAddrV4::new(address, port).into())?;
        socket.listen(BACKLOG)?;
        Ok(TokioListener(TcpListener::from_std(socket.into())?))
    }

    async fn connect(&self, interface: Option<&Interface>, address: SocketAddr) -> io::Result<TokioStream> {
        let socket = tcp_socket()?;
        if let Some(interface) = interface {
            sys::bind_to_interface(&socket, interface)?;
        }
        let stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
        if stream.local_addr()? == stream.peer_addr()? {
            // TCP's simultaneous open: with nobody listening, a port can by chance connect to itself.
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        TokioStream::new(stream)
    }
}

/// A datagram socket of one interface.
#[derive(Debug)]
pub struct TokioUdp {
    socket: UdpSocket,
    /// Subnets to take datagrams from, where the system does not keep those of other interfaces away.
    only_from: Option<Vec<InterfaceAddr>>,
}

impl TokioUdp {
    fn new(socket: Socket, only_from: Option<Vec<InterfaceAddr>>) -> io::Result<Self> {
        Ok(TokioUdp { socket: UdpSocket::from_std(socket.into())?, only_from })
    }
}

impl Udp for TokioUdp {
    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let (n, source) = self.socket.recv_from(buffer).await?;
            match &self.only_from {
                Some(subnets) if !subnets.iter().any(|subnet| contains(subnet, source.ip())) => {}
                _ => return Ok((n, source)),
            }
        }
    }

    fn try_send_to(&self, bytes: &[u8], destination: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(bytes, destination)
    }
}

/// A listener on one interface.
#[derive(Debug)]
pub struct TokioListener(TcpListener);

impl Listener for TokioListener {
    type Stream = TokioStream;

    async fn accept(&self) -> io::Result<(TokioStream, SocketAddr)> {
        let (stream, source) = self.0.accept().await?;
        Ok((TokioStream::new(stream)?, source))
    }
}

/// A TCP stream.
#[derive(Debug)]
pub struct TokioStream(TcpStream);

impl TokioStream {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        sys::limit_unsent(&stream)?;
        Ok(TokioStream(stream))
    }
}

impl Stream for TokioStream {
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    fn split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.0.into_split()
    }
}

fn udp_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The system may grant less.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(socket)
}

fn tcp_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn wildcard(port: u16) -> SockAddr {
    SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into()
}

fn join(socket: &Socket, interface: &Interface) -> io::Result<()> {
    socket.join_multicast_v4_n(&MULTICAST_GROUP, &InterfaceIndexOrAddress::Index(interface.id.0))
}

/// The first IPv4 address of the interface.
fn own_address(interface: &Interface) -> io::Result<Ipv4Addr> {
    let address = interface.addrs.iter().find_map(|addr| match addr.ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    address.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn contains(subnet: &InterfaceAddr, ip: IpAddr) -> bool {
    let (IpAddr::V4(base), IpAddr::V4(ip)) = (subnet.ip, ip) else {
        return false;
    };
    let host_bits = 32 - u32::from(subnet.prefix.min(32));
    let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
    base.to_bits() & mask == ip.to_bits() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(ip: [u8; 4], prefix: u8) -> InterfaceAddr {
        InterfaceAddr { ip: IpAddr::from(ip), prefix }
    }

    #[test]
    fn a_subnet_contains_the_addresses_with_its_prefix() {
        let lan = subnet([192, 168, 7, 9], 24);
        assert!(contains(&lan, [192, 168, 7, 200].into()));
        assert!(!contains(&lan, [192, 168, 8, 9].into()));
        assert!(!contains(&subnet([10, 0, 0, 1], 32), [10, 0, 0, 2].into()));
        assert!(contains(&subnet([10, 0, 0, 1], 0), [203, 0, 113, 1].into()));
    }
}
