//! The real host: its entropy, interfaces, wall clock and threads.

mod kind;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use if_addrs::IfAddr;
use p2pnet_engine::{Interface, InterfaceAddr, InterfaceId};

use self::kind::{Facts, kind};
use crate::seam::Host;
use crate::sys;

/// Where private ports are chosen from.
const PRIVATE_PORTS: std::ops::RangeInclusive<u16> = 8051..=9000;

/// [`Host`] of this machine.
///
/// Interfaces are those that are up and have an IPv4 address; IPv6 addresses are left out.
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
        let mut found = BTreeMap::new();
        for entry in if_addrs::get_if_addrs()? {
            let (true, Some(index), IfAddr::V4(addr)) = (entry.is_oper_up(), entry.index, &entry.addr) else {
                continue;
            };
            let loopback = addr.ip.is_loopback();
            // A label such as `eth0:1` is another address of `eth0`.
            let name = entry.name.split(':').next().unwrap_or_default();
            let facts = || Facts { loopback, point_to_point: entry.is_p2p, ..Facts::read(name, index) };
            let interface = found.entry(index).or_insert_with(|| Interface {
                id: InterfaceId(index),
                name: name.to_owned(),
                kind: kind(name, &facts()),
                multicast: !loopback && !entry.is_p2p,
                directed_broadcast: true,
                addrs: Vec::new(),
            });
            interface.addrs.push(InterfaceAddr { ip: IpAddr::V4(addr.ip), prefix: addr.prefixlen });
        }
        let mut interfaces: Vec<_> = found.into_values().collect();
        // The system lists them in no promised order, and another order is no change.
        for interface in &mut interfaces {
            interface.addrs.sort();
            interface.addrs.dedup();
        }
        Ok(interfaces)
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

#[cfg(test)]
mod tests {
    use super::*;

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
