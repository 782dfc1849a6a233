//! The real host: its entropy, interfaces, wall clock and threads.

mod kind;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use if_addrs::IfAddr;
use p2pnet_engine::{Interface, InterfaceAddr, InterfaceId};

use self::kind::{Facts, kind};
use crate::seam::Host;
use crate::sys;

/// Where private ports are chosen from.
const PRIVATE_PORTS: std::ops::RangeInclusive<u16> = 8051..=9000;

/// Where Linux tells how its IPv6 addresses are. Elsewhere there is no such file, and all count as ready.
const IF_INET6: &str = "/proc/net/if_inet6";

/// [`Host`] of this machine.
///
/// Interfaces are those that are up and have an address, of IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct OsHost;

impl OsHost {
    /// This machine.
    #[must_use]
    pub fn new() -> Self {
        OsHost
    }
}

impl Host for OsHost {
    #[expect(clippy::disallowed_methods, reason = "the one place where entropy enters")]
    fn entropy(&self) -> io::Result<[u8; 32]> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::from)?;
        Ok(bytes)
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let unready = unready(&std::fs::read_to_string(IF_INET6).unwrap_or_default());
        let mut entries: BTreeMap<u32, Vec<if_addrs::Interface>> = BTreeMap::new();
        for entry in if_addrs::get_if_addrs()? {
            if let (true, Some(index)) = (entry.is_oper_up(), entry.index)
                && !matches!(entry.ip(), IpAddr::V6(ip) if unready.contains(&(index, ip)))
            {
                entries.entry(index).or_default().push(entry);
            }
        }
        Ok(entries.into_iter().filter_map(|(index, entries)| interface(index, &entries)).collect())
    }

    fn private_ports(&self) -> Vec<u16> {
        let mut ports: Vec<_> = PRIVATE_PORTS.collect();
        // Two nodes that start at once should not try the same ports in the same order. Fisher and Yates, from as
        // much entropy as there is: where to begin matters, a perfect shuffle does not.
        let random = self.entropy().unwrap_or_default();
        let len = ports.len();
        for (i, pair) in (0..len).zip(random.chunks_exact(2).cycle()) {
            let draw = pair.iter().fold(0, |draw, &byte| draw << 8 | usize::from(byte));
            ports.swap(i, i + draw % (len - i));
        }
        ports
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that asks for it")]
    fn wall_clock(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    fn unix_time(&self) -> Option<u64> {
        Some(self.wall_clock().as_secs())
    }

    fn fast_aes(&self) -> bool {
        sys::fast_aes()
    }

    #[expect(clippy::disallowed_methods, reason = "where a computation delays nothing else")]
    async fn offload<T, F>(&self, job: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match tokio::task::spawn_blocking(job).await {
            Ok(done) => done,
            // Not cancelled: nobody else has its handle.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, and with it whoever asked.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// The interface with this number, unless it is of no use.
fn interface(index: u32, entries: &[if_addrs::Interface]) -> Option<Interface> {
    let first = entries.first()?;
    // A label such as `eth0:1` is another address of `eth0`.
    let name = first.name.split(':').next().unwrap_or_default();
    let loopback = entries.iter().any(if_addrs::Interface::is_loopback);
    let facts = Facts { loopback, point_to_point: first.is_p2p, ..Facts::read(name, index) };
    // What comes in by a port goes to its bridge, also what is sent to the address that every interface gives itself.
    if facts.bridge_port && entries.iter().all(|entry| entry.ip().is_ipv6()) {
        return None;
    }
    let address = |entry: &if_addrs::Interface| match &entry.addr {
        IfAddr::V4(addr) => InterfaceAddr { ip: addr.ip.into(), prefix: addr.prefixlen },
        IfAddr::V6(addr) => {
            InterfaceAddr { ip: sys::without_embedded_scope(addr.ip).into(), prefix: addr.prefixlen }
        }
    };
    // The system lists them in no promised order, and another order is no change.
    let mut addrs: Vec<_> = entries.iter().map(address).collect();
    addrs.sort();
    addrs.dedup();
    Some(Interface {
        id: InterfaceId(index),
        name: name.to_owned(),
        kind: kind(name, &facts),
        multicast: !loopback && !first.is_p2p,
        directed_broadcast: true,
        addrs,
    })
}

/// IPv6 addresses that cannot be used yet, or never will, by the interface's number, from the lines of
/// /proc/net/if_inet6. Linux makes sure that an address is nobody else's before it may send from it: an address that
/// appeared before that would be tried in vain, and not tried again when it is ready.
fn unready(if_inet6: &str) -> BTreeSet<(u32, Ipv6Addr)> {
    // IFA_F_DADFAILED, IFA_F_TENTATIVE of linux/if_addr.h.
    const UNREADY: u32 = 0x08 | 0x40;
    let address = |line: &str| {
        let mut fields = line.split_whitespace();
        let ip = u128::from_str_radix(fields.next()?, 16).ok()?;
        let index = u32::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u32::from_str_radix(fields.nth(2)?, 16).ok()?;
        (flags & UNREADY != 0).then_some((index, Ipv6Addr::from_bits(ip)))
    };
    if_inet6.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_ready_are_told_by_their_flags() {
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe8000000000000000fc00fffe000001 04 40 20 c0     eth0\n\
                    fd000000000000000000000000000002 0a 40 00 08     eth1\n\
                    nonsense 04\n";
        let expected = [(4, "fe80::fc:ff:fe00:1"), (10, "fd00::2")];
        assert_eq!(unready(text), expected.map(|(index, ip)| (index, ip.parse().unwrap())).into());
    }

    #[test]
    fn loopback_is_among_the_interfaces_and_takes_no_multicast() {
        let interfaces = OsHost::new().interfaces().unwrap();
        let lo = interfaces.iter().find(|interface| interface.is_loopback()).unwrap();
        assert!(!lo.multicast);
        assert!(lo.addrs.iter().any(|addr| addr.ip == IpAddr::from([127, 0, 0, 1]) && addr.prefix == 8));
    }

    #[test]
    fn private_ports_are_all_there_in_another_order_each_time() {
        let (mut first, second) = (OsHost::new().private_ports(), OsHost::new().private_ports());
        assert_ne!(first, second);
        first.sort_unstable();
        assert_eq!(first, PRIVATE_PORTS.collect::<Vec<_>>());
    }
}
