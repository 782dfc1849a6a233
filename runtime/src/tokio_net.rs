//! The real network: tokio's sockets, one set for each interface.
//!
//! Sockets are bound to their device where the system permits it, which also tells by which interface a datagram came
//! in. Where it does not, private sockets are bound to the interface's address, and shared ones take only what comes
//! from the interface's subnets.
//!
//! What an interface has one of towards the driver are two sockets here, one for IPv4 and one for IPv6, each where the
//! interface has addresses of it. Either may be missing: the other goes on alone.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use p2pnet_engine::{Interface, InterfaceAddr, MULTICAST_GROUP, MULTICAST_GROUP_6};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::io::ReadBuf;
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
        let bind = |family: Family| {
            let socket = family.udp_socket()?;
            sys::share_port(&socket)?;
            let on_device = sys::bind_to_interface(&socket, interface)?;
            // The wildcard: a socket with an address of its own hears no broadcasts.
            socket.bind(&family.wildcard(port))?;
            if interface.multicast {
                // Broadcasts alone suffice, so an interface that cannot do this is used all the same.
                if let Err(error) = family.join(&socket, interface) {
                    tracing::debug!(interface = interface.name, %error, "the multicast group cannot be joined");
                }
            }
            family.only_joined_groups(&socket)?;
            let only_from = (!on_device).then(|| interface.addrs.clone());
            Ok(Half { socket: UdpSocket::from_std(socket.into())?, only_from })
        };
        Ok(TokioUdp::new(both(interface, bind)?, interface))
    }

    async fn bind_private(&self, interface: &Interface, port: u16) -> io::Result<TokioUdp> {
        let bind = |family: Family| {
            let socket = family.udp_socket()?;
            let on_device = sys::bind_to_interface(&socket, interface)?;
            family.send_to_many(&socket, interface)?;
            let address =
                if on_device { family.wildcard(port) } else { family.own_address(interface, port)?.into() };
            socket.bind(&address)?;
            Ok(Half { socket: UdpSocket::from_std(socket.into())?, only_from: None })
        };
        Ok(TokioUdp::new(both(interface, bind)?, interface))
    }

    async fn listen(&self, interface: &Interface, port: u16) -> io::Result<TokioListener> {
        let bind = |family: Family| {
            let socket = family.tcp_socket()?;
            sys::reuse_closed(&socket)?;
            let on_device = sys::bind_to_interface(&socket, interface)?;
            let address =
                if on_device { family.wildcard(port) } else { family.own_address(interface, port)?.into() };
            socket.bind(&address)?;
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into())
        };
        Ok(TokioListener { halves: both(interface, bind)?, v6_first: AtomicBool::new(false) })
    }

    async fn connect(&self, interface: Option<&Interface>, address: SocketAddr) -> io::Result<TokioStream> {
        let socket = Family::of(address).tcp_socket()?;
        if let Some(interface) = interface {
            sys::bind_to_interface(&socket, interface)?;
        }
        let address = interface.map_or(address, |interface| scoped(address, interface.id.0));
        let stream = TcpSocket::from_std_stream(socket.into()).connect(address).await?;
        if stream.local_addr()? == stream.peer_addr()? {
            // TCP's simultaneous open: with nobody listening, a port can by chance connect to itself.
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        TokioStream::new(stream)
    }
}

/// One thing for IPv4 and one for IPv6; at least one of them is there.
#[derive(Debug)]
struct Halves<T> {
    v4: Option<T>,
    v6: Option<T>,
}

/// Makes one of each that the interface has addresses of. One that fails does not keep the other from working; but a
/// port that another program has for IPv4 counts as taken, because half a port would hide that.
fn both<T>(interface: &Interface, make: impl Fn(Family) -> io::Result<T>) -> io::Result<Halves<T>> {
    let made = |family: Family| {
        let has = interface.addrs.iter().any(|addr| addr.ip.is_ipv6() == (family == Family::V6));
        has.then(|| make(family))
    };
    let (v4, v6) = match (made(Family::V4), made(Family::V6)) {
        (None, None) => return Err(io::ErrorKind::AddrNotAvailable.into()),
        (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => return Err(error),
        (Some(Err(error)), _) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
        (v4, v6) => (v4, v6),
    };
    let usable = |made: Option<io::Result<T>>, family| match made? {
        Ok(made) => Some(made),
        Err(error) => {
            tracing::debug!(interface = interface.name, %error, ?family, "a protocol is left out");
            None
        }
    };
    Ok(Halves { v4: usable(v4, Family::V4), v6: usable(v6, Family::V6) })
}

impl<T> Halves<T> {
    /// Those that are there, IPv6 first if asked for.
    fn in_order(&self, v6_first: bool) -> impl Iterator<Item = &T> {
        let order = if v6_first { [&self.v6, &self.v4] } else { [&self.v4, &self.v6] };
        order.into_iter().flatten()
    }
}

/// A datagram socket of one interface. One task at a time may receive.
#[derive(Debug)]
pub struct TokioUdp {
    halves: Halves<Half>,
    /// The interface's number, and with it the scope of link-local addresses.
    scope: u32,
    /// Whose turn it is, so that a flood over one protocol does not silence the other.
    v6_first: AtomicBool,
}

#[derive(Debug)]
struct Half {
    socket: UdpSocket,
    /// Subnets to take datagrams from, where the system does not keep those of other interfaces away.
    only_from: Option<Vec<InterfaceAddr>>,
}

impl TokioUdp {
    fn new(halves: Halves<Half>, interface: &Interface) -> Self {
        TokioUdp { halves, scope: interface.id.0, v6_first: AtomicBool::new(false) }
    }

    fn accepts(&self, half: &Half, source: SocketAddr) -> bool {
        let Some(subnets) = &half.only_from else { return true };
        // Every interface has the subnet of link-local addresses; the scope tells them apart.
        let elsewhere =
            matches!(source, SocketAddr::V6(v6) if needs_scope(*v6.ip()) && v6.scope_id() != self.scope);
        !elsewhere && subnets.iter().any(|subnet| contains(subnet, source.ip()))
    }
}

impl Udp for TokioUdp {
    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let v6_first = self.v6_first.fetch_xor(true, Ordering::Relaxed);
        poll_fn(|context| {
            for half in self.halves.in_order(v6_first) {
                loop {
                    let mut buffer = ReadBuf::new(buffer);
                    match half.socket.poll_recv_from(context, &mut buffer) {
                        Poll::Ready(Ok(source)) if !self.accepts(half, source) => {}
                        Poll::Ready(result) => {
                            return Poll::Ready(result.map(|source| (buffer.filled().len(), source)));
                        }
                        Poll::Pending => break,
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    fn try_send_to(&self, bytes: &[u8], destination: SocketAddr) -> io::Result<usize> {
        let half = match Family::of(destination) {
            Family::V4 => &self.halves.v4,
            Family::V6 => &self.halves.v6,
        };
        let half = half.as_ref().ok_or(io::ErrorKind::NetworkUnreachable)?;
        // Not tokio's own: until its reactor has seen a new socket it says that the queue is full, and the first beacon
        // on a new interface would be lost.
        SockRef::from(&half.socket).send_to(bytes, &scoped(destination, self.scope).into())
    }
}

/// A listener on one interface.
#[derive(Debug)]
pub struct TokioListener {
    halves: Halves<TcpListener>,
    v6_first: AtomicBool,
}

impl Listener for TokioListener {
    type Stream = TokioStream;

    async fn accept(&self) -> io::Result<(TokioStream, SocketAddr)> {
        let v6_first = self.v6_first.fetch_xor(true, Ordering::Relaxed);
        let (stream, source) = poll_fn(|context| {
            let mut ready = self.halves.in_order(v6_first).map(|listener| listener.poll_accept(context));
            ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await?;
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

    fn local_ip(&self) -> Option<IpAddr> {
        self.0.local_addr().ok().map(|address| address.ip())
    }
}

/// IPv4 or IPv6, and what a socket of it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    fn udp_socket(self) -> io::Result<Socket> {
        let socket = self.socket(Type::DGRAM, Protocol::UDP)?;
        // The system may grant less.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        Ok(socket)
    }

    fn tcp_socket(self) -> io::Result<Socket> {
        self.socket(Type::STREAM, Protocol::TCP)
    }

    fn socket(self, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let domain = match self {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let socket = Socket::new(domain, kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if self == Family::V6 {
            // IPv4 has a socket of its own on the same port.
            socket.set_only_v6(true)?;
        }
        Ok(socket)
    }

    fn wildcard(self, port: u16) -> SockAddr {
        match self {
            Family::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into(),
            Family::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into(),
        }
    }

    /// The first IPv4 address of the interface; of IPv6 a link-local one, if there is one: neighbours are all there
    /// is to find.
    fn own_address(self, interface: &Interface, port: u16) -> io::Result<SocketAddr> {
        let mut v4 = interface.addrs.iter().filter_map(|addr| match addr.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let v6 = interface.addrs.iter().filter_map(|addr| match addr.ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip),
        });
        let address = match self {
            Family::V4 => v4.next().map(|ip| SocketAddrV4::new(ip, port).into()),
            Family::V6 => v6
                .min_by_key(|ip| !ip.is_unicast_link_local())
                .map(|ip| scoped(SocketAddrV6::new(ip, port, 0, 0).into(), interface.id.0)),
        };
        address.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Permits broadcasts, and multicasts that go out by `interface`, not farther than the link, and to this host too.
    fn send_to_many(self, socket: &Socket, interface: &Interface) -> io::Result<()> {
        match self {
            Family::V4 => {
                socket.set_broadcast(true)?;
                socket.set_multicast_ttl_v4(1)?;
                socket.set_multicast_loop_v4(true)?;
                if interface.multicast
                    && let IpAddr::V4(address) = self.own_address(interface, 0)?.ip()
                {
                    socket.set_multicast_if_v4(&address)?;
                }
            }
            Family::V6 => {
                socket.set_multicast_hops_v6(1)?;
                socket.set_multicast_loop_v6(true)?;
                if interface.multicast {
                    socket.set_multicast_if_v6(interface.id.0)?;
                }
            }
        }
        Ok(())
    }

    fn join(self, socket: &Socket, interface: &Interface) -> io::Result<()> {
        let index = interface.id.0;
        match self {
            Family::V4 => {
                socket.join_multicast_v4_n(&MULTICAST_GROUP, &InterfaceIndexOrAddress::Index(index))
            }
            Family::V6 => socket.join_multicast_v6(&MULTICAST_GROUP_6, index),
        }
    }

    fn only_joined_groups(self, socket: &Socket) -> io::Result<()> {
        match self {
            Family::V4 => sys::only_joined_groups_v4(socket),
            // Other programs' groups that come to our port do no harm: nothing in them is sealed for us.
            Family::V6 => sys::only_joined_groups_v6(socket).or(Ok(())),
        }
    }
}

/// Whether the address says where something is only together with an interface.
fn needs_scope(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.octets();
    // Of multicasts, the last four bits of the second byte are the scope: 1 is the interface, 2 the link.
    ip.is_unicast_link_local() || first == 0xff && matches!(second & 0xf, 1 | 2)
}

/// `address` as it is meant on the interface with this number.
fn scoped(address: SocketAddr, interface: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if needs_scope(*v6.ip()) => {
            SocketAddrV6::new(*v6.ip(), v6.port(), v6.flowinfo(), interface).into()
        }
        address => address,
    }
}

fn contains(subnet: &InterfaceAddr, ip: IpAddr) -> bool {
    match (subnet.ip, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix.min(32))).unwrap_or(0);
            base.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(subnet.prefix.min(128))).unwrap_or(0);
            base.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use p2pnet_engine::{InterfaceId, InterfaceKind};

    use super::*;

    fn subnet(ip: &str, prefix: u8) -> InterfaceAddr {
        InterfaceAddr { ip: ip.parse().unwrap(), prefix }
    }

    #[test]
    fn a_subnet_contains_the_addresses_with_its_prefix() {
        let has = |subnet: InterfaceAddr, ip: &str| contains(&subnet, ip.parse().unwrap());
        assert!(has(subnet("192.168.7.9", 24), "192.168.7.200"));
        assert!(!has(subnet("192.168.7.9", 24), "192.168.8.9"));
        assert!(!has(subnet("10.0.0.1", 32), "10.0.0.2"));
        assert!(has(subnet("10.0.0.1", 0), "203.0.113.1"));
        assert!(has(subnet("fe80::1", 64), "fe80::2"));
        assert!(!has(subnet("2001:db8::1", 64), "2001:db8:0:1::1"));
        assert!(has(subnet("2001:db8::1", 0), "fe80::2"));
        assert!(!has(subnet("10.0.0.1", 0), "fe80::2"));
    }

    #[test]
    fn only_link_local_addresses_get_a_scope() {
        let scope = |address: &str| match scoped(address.parse().unwrap(), 7) {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        assert_eq!(scope("[fe80::1]:8051"), 7);
        assert_eq!(scope("[fe80::1%3]:8051"), 7);
        assert_eq!(scope(&format!("[{MULTICAST_GROUP_6}]:8001")), 7);
        assert_eq!(scope("[::1]:8051"), 0);
        assert_eq!(scope("[2001:db8::1]:8051"), 0);
        assert_eq!(scope("10.0.0.1:8051"), 0);
    }

    fn loopback(addrs: &[InterfaceAddr]) -> Interface {
        let found = if_addrs::get_if_addrs().unwrap();
        let lo = found.iter().find(|entry| entry.is_loopback()).unwrap();
        Interface {
            id: InterfaceId(lo.index.unwrap()),
            name: lo.name.clone(),
            kind: InterfaceKind::Loopback,
            multicast: false,
            directed_broadcast: true,
            addrs: addrs.to_vec(),
        }
    }

    /// Whether this host has IPv6 at all; without it there is nothing to test.
    fn has_v6() -> bool {
        std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }

    /// A port that is free for both protocols, more or less.
    fn free_port() -> u16 {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn datagrams_and_streams_go_over_both_protocols() {
        if !has_v6() {
            return;
        }
        let net = TokioNet::new();
        let lo = loopback(&[subnet("127.0.0.1", 8), subnet("::1", 128)]);
        let (here, there) = (free_port(), free_port());
        let (a, b) =
            (net.bind_private(&lo, here).await.unwrap(), net.bind_private(&lo, there).await.unwrap());
        let listener = net.listen(&lo, there).await.unwrap();
        let mut buffer = [0; 16];
        for ip in ["127.0.0.1", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            a.try_send_to(b"hello", (ip, there).into()).unwrap();
            let (n, source) = b.recv_from(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..n], source), (&b"hello"[..], SocketAddr::from((ip, here))));
            let dialled = net.connect(Some(&lo), (ip, there).into()).await.unwrap();
            let (accepted, source) = listener.accept().await.unwrap();
            assert_eq!(source.ip(), ip);
            assert_eq!(accepted.0.peer_addr().unwrap(), dialled.0.local_addr().unwrap());
        }
    }

    /// A protocol that fails, here by an address that is not there, does not keep the other from working.
    #[tokio::test]
    async fn one_protocol_goes_on_without_the_other() {
        let lo = loopback(&[subnet("127.0.0.1", 8), subnet("::1", 128)]);
        let only = |works: Family| {
            let halves = both(&lo, |family| {
                if family == works { Ok(()) } else { Err(io::Error::from(io::ErrorKind::Unsupported)) }
            });
            halves.map(|halves| (halves.v4.is_some(), halves.v6.is_some())).unwrap()
        };
        assert_eq!(only(Family::V4), (true, false));
        assert_eq!(only(Family::V6), (false, true));
        let taken = |taken: Family| {
            both(&lo, |family| if family == taken { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) })
        };
        assert!(taken(Family::V4).is_err(), "half a port would hide that it is taken");
        assert!(taken(Family::V6).is_ok());
        assert!(both(&lo, |_| Err::<(), _>(io::ErrorKind::Unsupported.into())).is_err());

        let net = TokioNet::new();
        let v4_only = net.bind_private(&loopback(&[subnet("127.0.0.1", 8)]), free_port()).await.unwrap();
        let error = v4_only.try_send_to(b"hello", "[::1]:9".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
    }
}
