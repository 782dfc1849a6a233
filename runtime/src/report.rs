//! What the sockets of each interface could not do, for whoever looks for the reason why no peer is found.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{Interface, InterfaceAddr};

/// How the node's sockets are doing: one entry for each interface that it works on or would like to.
///
/// It tells what the operating system said, in words of its own, and nothing that came from a peer but addresses.
/// See [`NodeHandle::network_report`](crate::NodeHandle::network_report).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NetworkReport {
    /// The port of unicast datagrams and links, the same on all interfaces.
    pub private_port: u16,
    /// The ports that beacons go to, the anchor first.
    pub designated_ports: Vec<u16>,
    /// By their numbers.
    pub interfaces: Vec<InterfaceReport>,
}

/// How the sockets of one interface are doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InterfaceReport {
    /// Which one, with its addresses.
    pub interface: Interface,
    /// Why the interface is not used at all: its private port cannot be bound. Then the rest is empty.
    pub unusable: Option<BindError>,
    /// Designated ports that are listened on here, in the order of [`NetworkReport::designated_ports`].
    pub listening: Vec<u16>,
    /// Designated ports that could not be bound here, and why. Tried again every second.
    pub refused: Vec<BindError>,
    /// Datagrams that the system took.
    pub sent: u64,
    /// Datagrams that the system did not take.
    pub unsent: u64,
    /// The last error for each kind of destination, at most one each for broadcast, multicast and unicast over IPv4
    /// and IPv6. Kept for as long as the interface stays as it is, see [`SendError::over`].
    pub send_errors: Vec<SendError>,
}

/// A port that could not be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindError {
    /// The port.
    pub port: u16,
    /// The kind of error: `AddrInUse` if another program has the port for itself.
    pub kind: io::ErrorKind,
    /// What the operating system says.
    pub text: String,
}

/// The last datagram to a kind of destination that the system did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    /// What kind of destination.
    pub class: DestinationClass,
    /// The destination itself; tells IPv4 from IPv6.
    pub destination: SocketAddr,
    /// The kind of error: `PermissionDenied` (EPERM, EACCES) is a firewall of this host, `HostUnreachable` and
    /// `NetworkUnreachable` are a missing route or neighbour, `WouldBlock` is a full queue.
    pub kind: io::ErrorKind,
    /// The operating system's number, where the error has one.
    pub code: Option<i32>,
    /// What the operating system says.
    pub text: String,
    /// How long ago, when the report was made.
    pub ago: Duration,
    /// How many failed in a row, this one included.
    pub times: u64,
    /// Another datagram to the same kind of destination was taken since.
    pub over: bool,
}

/// How many hear a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DestinationClass {
    /// Everybody on a subnet, by 255.255.255.255 or the subnet's broadcast address.
    Broadcast,
    /// Members of a group.
    Multicast,
    /// One host.
    Unicast,
}

impl DestinationClass {
    /// What `destination` is on an interface with these addresses.
    pub(crate) fn of(destination: IpAddr, addrs: &[InterfaceAddr]) -> Self {
        let directed = |ip: std::net::Ipv4Addr| {
            addrs.iter().any(|addr| match addr.ip {
                IpAddr::V4(own) if addr.prefix < 31 => {
                    let hosts = u32::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
                    own.to_bits() | hosts == ip.to_bits()
                }
                _ => false,
            })
        };
        match destination {
            ip if ip.is_multicast() => DestinationClass::Multicast,
            IpAddr::V4(ip) if ip.is_broadcast() || directed(ip) => DestinationClass::Broadcast,
            _ => DestinationClass::Unicast,
        }
    }
}

impl fmt::Display for DestinationClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DestinationClass::Broadcast => "broadcast",
            DestinationClass::Multicast => "multicast",
            DestinationClass::Unicast => "unicast",
        })
    }
}

impl BindError {
    pub(crate) fn new(port: u16, error: &io::Error) -> Self {
        BindError { port, kind: error.kind(), text: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_told_by_the_subnets_of_the_interface() {
        let addrs = [
            InterfaceAddr { ip: [10, 77, 0, 1].into(), prefix: 24 },
            InterfaceAddr { ip: [127, 0, 0, 1].into(), prefix: 8 },
            InterfaceAddr { ip: [172, 16, 0, 1].into(), prefix: 32 },
        ];
        let class = |ip: &str| DestinationClass::of(ip.parse().unwrap(), &addrs);
        assert_eq!(class("10.77.0.255"), DestinationClass::Broadcast);
        assert_eq!(class("127.255.255.255"), DestinationClass::Broadcast);
        assert_eq!(class("255.255.255.255"), DestinationClass::Broadcast);
        assert_eq!(class("10.77.1.255"), DestinationClass::Unicast);
        assert_eq!(class("172.16.0.1"), DestinationClass::Unicast);
        assert_eq!(class("224.0.0.183"), DestinationClass::Multicast);
        assert_eq!(class("ff12::7032:706e"), DestinationClass::Multicast);
        assert_eq!(class("fe80::1"), DestinationClass::Unicast);
    }
}
