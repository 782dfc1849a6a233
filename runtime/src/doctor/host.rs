//! What this host says about itself: routes, neighbours, firewalls, containers. On Linux from /proc and /etc, without
//! any privilege; elsewhere little is known, and nothing is concluded from what is not.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;

use p2pnet_engine::{Interface, InterfaceKind};

use super::findings::{Firewall, Kind, Neighbour};

/// No table of these has more on a host that is not about to be a router of the internet.
const MAX_FILE: u64 = 256 * 1024;

/// The port of the service that throws everything away (RFC 863): only the question for the host's link-layer address,
/// which precedes the datagram, is of interest.
const DISCARD: u16 = 9;

/// An entry of the neighbour table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArpEntry {
    pub(super) address: Ipv4Addr,
    pub(super) complete: bool,
    pub(super) interface: String,
}

/// Routers that a default route leads to, with the interface.
pub(super) fn gateways() -> Vec<(Ipv4Addr, String)> {
    parse_gateways(&text("/proc/net/route"))
}

/// What is known of the neighbours.
pub(super) fn neighbours() -> Vec<ArpEntry> {
    parse_arp(&text("/proc/net/arp"))
}

/// Whether a neighbour answers, by the table of neighbours.
pub(super) fn neighbour(table: &[ArpEntry], address: Ipv4Addr, interface: &str) -> Neighbour {
    match table.iter().find(|entry| entry.address == address && entry.interface == interface) {
        Some(entry) if entry.complete => Neighbour::Answers,
        Some(_) => Neighbour::Silent,
        None => Neighbour::Unknown,
    }
}

/// Has the system look for the host on the link layer: by one empty datagram, which hosts ignore.
pub(super) fn look_for(address: Ipv4Addr) {
    let send = || {
        let socket = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
        socket.send_to(&[], SocketAddrV4::new(address, DISCARD))
    };
    if let Err(error) = send() {
        tracing::debug!(%address, %error, "the router cannot be looked for");
    }
}

/// The interface that the system would choose for the way to `address`. Nothing is sent.
pub(super) fn way_to(address: SocketAddr, interfaces: &[Interface]) -> Option<String> {
    let chosen = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(address)?;
        Ok(socket.local_addr()?.ip())
    };
    let chosen = chosen().ok()?;
    let has = |interface: &&Interface| interface.addrs.iter().any(|addr| addr.ip == chosen);
    interfaces.iter().find(has).map(|interface| interface.name.clone())
}

/// Firewalls that are there, as far as everybody may know.
pub(super) fn firewalls() -> Vec<Firewall> {
    let mut found = Vec::new();
    if text("/etc/ufw/ufw.conf").lines().any(|line| line.trim().eq_ignore_ascii_case("enabled=yes")) {
        found.push(Firewall::Ufw);
    }
    let services = ["/sys/fs/cgroup/system.slice/firewalld.service", "/run/firewalld.pid"];
    if services.iter().any(|path| Path::new(path).exists()) {
        found.push(Firewall::Firewalld);
    }
    if ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].iter().any(|path| Path::new(path).exists()) {
        found.push(Firewall::Nft);
    }
    found
}

/// The kind of container that this runs in on a network of its own, if it does.
pub(super) fn container() -> Option<String> {
    if Path::new("/.dockerenv").exists() {
        return Some("docker".to_owned());
    }
    if Path::new("/run/.containerenv").exists() {
        return Some("podman".to_owned());
    }
    let kubernetes = Path::new("/var/run/secrets/kubernetes.io").exists();
    kubernetes.then(|| "kubernetes".to_owned())
}

/// Who holds a UDP port, as far as this user may see: the name and number of a process.
pub(super) fn holder(port: u16) -> Option<String> {
    let inodes = parse_sockets(&text("/proc/net/udp"), port);
    if inodes.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = files.flatten().any(|file| {
            std::fs::read_link(file.path())
                .is_ok_and(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
        });
        if holds && pid != std::process::id() {
            let path = format!("/proc/{pid}/comm");
            return Some(format!("{} (pid {pid})", text(&path).trim()));
        }
    }
    None
}

/// The kind of an interface, in the doctor's words.
pub(super) fn kind(kind: InterfaceKind) -> Kind {
    match kind {
        InterfaceKind::Virtual => Kind::Virtual,
        InterfaceKind::Tunnel => Kind::Tunnel,
        InterfaceKind::Loopback => Kind::Loopback,
        _ => Kind::Lan,
    }
}

/// The beginning of a file, lossily; nothing if it cannot be read.
fn text(path: &str) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    if read.is_err() {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Lines of `Iface Destination Gateway Flags RefCnt Use Metric Mask ..`, numbers in hexadecimal as they lie in memory.
fn parse_gateways(table: &str) -> Vec<(Ipv4Addr, String)> {
    const RTF_GATEWAY: u32 = 2;
    let hex = |field: Option<&str>| u32::from_str_radix(field?, 16).ok();
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        let interface = fields.next()?;
        let (destination, gateway) = (hex(fields.next())?, hex(fields.next())?);
        let flags = hex(fields.next())?;
        let is_default = destination == 0 && flags & RTF_GATEWAY != 0;
        is_default.then(|| (Ipv4Addr::from(gateway.to_ne_bytes()), interface.to_owned()))
    };
    let mut found: Vec<_> = table.lines().skip(1).filter_map(line).collect();
    found.sort();
    found.dedup();
    found
}

/// Lines of `IP-address HW-type Flags HW-address Mask Device`.
fn parse_arp(table: &str) -> Vec<ArpEntry> {
    const ATF_COM: u32 = 2;
    let line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [address, _, flags, _, _, interface] = fields[..] else { return None };
        let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
        let complete = flags & ATF_COM != 0;
        Some(ArpEntry { address: address.parse().ok()?, complete, interface: interface.to_owned() })
    };
    table.lines().skip(1).filter_map(line).collect()
}

/// The links of files that are sockets on this port, from lines of `sl local_address .. inode ..`.
fn parse_sockets(table: &str, port: u16) -> Vec<String> {
    let line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let inode: u64 = fields.get(9)?.parse().ok()?;
        (u16::from_str_radix(local, 16).ok()? == port).then(|| format!("socket:[{inode}]"))
    };
    table.lines().skip(1).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux writes it on a little-endian machine, with lines that are none.
    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_names_the_router() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t03004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
            x\ny zz zz\n";
        assert_eq!(parse_gateways(table), [(Ipv4Addr::new(10, 77, 0, 3), "eth0".to_owned())]);
        assert_eq!(parse_gateways(""), []);
    }

    /// A host that did not answer stays in the table for a while, without the flag.
    #[test]
    fn a_neighbour_without_an_address_is_silent() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            10.77.0.2        0x1         0x0         00:00:00:00:00:00     *        eth0\n\
            10.77.0.3        0x1         0x2         5a:1f:8e:4c:11:02     *        eth0\n\
            nonsense\n10.0.0.1 0x1 zz 0 * eth0\n";
        let table = parse_arp(table);
        assert_eq!(table.len(), 2);
        assert_eq!(neighbour(&table, [10, 77, 0, 2].into(), "eth0"), Neighbour::Silent);
        assert_eq!(neighbour(&table, [10, 77, 0, 3].into(), "eth0"), Neighbour::Answers);
        assert_eq!(neighbour(&table, [10, 77, 0, 3].into(), "eth1"), Neighbour::Unknown);
    }

    #[test]
    fn sockets_are_found_by_their_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            12: 00000000:1F41 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2 0000000000000000 0\n\
            13: 0100007F:1F42 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4712 2 0000000000000000 0\n\
            nonsense\n";
        assert_eq!(parse_sockets(table, 8001), ["socket:[4711]"]);
        assert!(parse_sockets(table, 8003).is_empty());
    }

    /// The way to loopback is loopback, on every host.
    #[test]
    fn the_way_to_loopback_is_loopback() {
        use crate::seam::Host;
        let interfaces = crate::OsHost::new().interfaces().unwrap();
        let lo = interfaces.iter().find(|interface| interface.is_loopback()).unwrap();
        let way = way_to(SocketAddr::from(([127, 0, 0, 1], 8001)), &interfaces);
        assert_eq!(way.as_deref(), Some(lo.name.as_str()));
    }
}
