//! What differs between operating systems. The code for macOS and Windows was written from their documentation and
//! never ran.

use std::io;
use std::net::Ipv6Addr;

use p2pnet_engine::Interface;
use socket2::Socket;
use tokio::net::TcpStream;

/// Bytes that the system may hold unsent: more would delay control behind bulk.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
const UNSENT: u32 = 128 * 1024;

/// Ties a socket to an interface, whatever addresses are used. False if the system does not permit it or has no such
/// thing (Windows).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bind_to_interface(socket: &Socket, interface: &Interface) -> io::Result<bool> {
    match socket.bind_device(Some(interface.name.as_bytes())) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(target_vendor = "apple")]
pub(crate) fn bind_to_interface(socket: &Socket, interface: &Interface) -> io::Result<bool> {
    let index = std::num::NonZeroU32::new(interface.id.0);
    match socket.domain()? {
        socket2::Domain::IPV6 => socket.bind_device_by_index_v6(index)?,
        _ => socket.bind_device_by_index_v4(index)?,
    }
    Ok(true)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn bind_to_interface(_: &Socket, _: &Interface) -> io::Result<bool> {
    Ok(false)
}

/// Lets several sockets of several processes have one port. All of them get each broadcast and multicast.
///
/// Not SO_REUSEPORT on Linux: it shares only among the sockets of one user, and spreads datagrams among them.
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    // BSD's address reuse is for different addresses; one port and address needs this, and gives to all.
    #[cfg(target_vendor = "apple")]
    socket.set_reuse_port(true)?;
    Ok(())
}

/// Lets a listener have a port on which old streams still close. On Windows the same option would share the port.
pub(crate) fn reuse_closed(socket: &Socket) -> io::Result<()> {
    if cfg!(unix) { socket.set_reuse_address(true) } else { Ok(()) }
}

/// Keeps IPv4 groups away that other sockets of this host joined: Linux delivers them unless told not to.
pub(crate) fn only_joined_groups_v4(socket: &Socket) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_multicast_all_v4(false)?;
    let _ = socket;
    Ok(())
}

/// The same for IPv6 groups.
pub(crate) fn only_joined_groups_v6(socket: &Socket) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v6(false)?;
    let _ = socket;
    Ok(())
}

/// An IPv6 address as the system lists it, without the interface's number that Apple's systems put into link-local ones.
pub(crate) fn without_embedded_scope(ip: Ipv6Addr) -> Ipv6Addr {
    if cfg!(target_vendor = "apple") && ip.is_unicast_link_local() {
        Ipv6Addr::from_bits(ip.to_bits() & !(0xffff << 96))
    } else {
        ip
    }
}

/// Has the system take no more of a stream than it can send soon. Elsewhere than on Linux, Android and Apple's systems
/// its default stands.
pub(crate) fn limit_unsent(stream: &TcpStream) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    let _ = stream;
    Ok(())
}

/// Whether [`sync_all`] makes durable what was written to a whole file system.
pub(crate) const SYNCS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Makes durable what was written to the file system that `file` is on: for ten thousand small files that is one wait
/// instead of ten thousand. Elsewhere than on Linux and Android it makes durable nothing but `file`.
pub(crate) fn sync_all(file: &std::fs::File) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::fs::syncfs(file)?;
    file.sync_all()
}

/// Whether this processor has instructions for AES and for the multiplication that GCM needs.
pub(crate) fn fast_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
