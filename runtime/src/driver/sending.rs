//! What became of the datagrams of one interface.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use p2pnet_engine::Interface;
use tokio::time::Instant;

use crate::report::{DestinationClass, SendError};

/// Counts, and the last error for each kind of destination: at most six.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) sent: u64,
    pub(super) unsent: u64,
    errors: BTreeMap<(DestinationClass, bool), Failed>,
}

#[derive(Debug)]
struct Failed {
    destination: SocketAddr,
    error: io::Error,
    at: Instant,
    times: u64,
    over: bool,
}

impl Sending {
    /// Notes the end of one try.
    pub(super) fn note(&mut self, interface: &Interface, destination: SocketAddr, result: io::Result<usize>) {
        let key = || (DestinationClass::of(destination.ip(), &interface.addrs), destination.is_ipv6());
        let error = match result {
            Ok(_) => {
                self.sent += 1;
                // Mostly there is nothing to compare with.
                if !self.errors.is_empty()
                    && let Some(failed) = self.errors.get_mut(&key())
                {
                    failed.over = true;
                }
                return;
            }
            Err(error) => error,
        };
        self.unsent += 1;
        let key = key();
        let before = self.errors.get(&key).filter(|before| !before.over);
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        let (class, name) = (key.0, &interface.name);
        if before.is_some_and(|before| before.error.kind() == error.kind())
            || class == DestinationClass::Unicast
        {
            tracing::trace!(interface = name, %destination, %error, "a datagram could not be sent");
        } else {
            tracing::debug!(interface = name, %destination, %error, "{class} cannot be sent");
        }
        self.errors.insert(key, Failed { destination, error, at: Instant::now(), times, over: false });
    }

    /// The last errors, as they are now.
    pub(super) fn errors(&self) -> Vec<SendError> {
        let report = |(&(class, _), failed): (&(DestinationClass, bool), &Failed)| SendError {
            class,
            destination: failed.destination,
            kind: failed.error.kind(),
            code: failed.error.raw_os_error(),
            text: failed.error.to_string(),
            ago: failed.at.elapsed(),
            times: failed.times,
            over: failed.over,
        };
        self.errors.iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use p2pnet_engine::{InterfaceAddr, InterfaceId, InterfaceKind};

    use super::*;

    fn eth0() -> Interface {
        Interface {
            id: InterfaceId(2),
            name: "eth0".into(),
            kind: InterfaceKind::Lan,
            multicast: true,
            directed_broadcast: true,
            addrs: vec![InterfaceAddr { ip: [10, 0, 0, 1].into(), prefix: 24 }],
        }
    }

    fn denied() -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(1))
    }

    #[test]
    fn the_last_error_of_each_kind_is_kept_until_that_kind_works_again() {
        let (eth0, mut sending) = (eth0(), Sending::default());
        let broadcast = "10.0.0.255:8001".parse().unwrap();
        let unicast = "10.0.0.7:8051".parse().unwrap();
        sending.note(&eth0, broadcast, denied());
        sending.note(&eth0, broadcast, denied());
        sending.note(&eth0, unicast, Ok(9));
        let errors = sending.errors();
        assert_eq!(errors.len(), 1);
        assert_eq!(
            (errors[0].class, errors[0].times, errors[0].over),
            (DestinationClass::Broadcast, 2, false)
        );
        assert_eq!(errors[0].kind, io::ErrorKind::PermissionDenied);
        sending.note(&eth0, broadcast, Ok(9));
        assert!(sending.errors()[0].over);
        sending.note(&eth0, broadcast, denied());
        assert_eq!(sending.errors()[0].times, 1, "counted anew");
        assert_eq!((sending.sent, sending.unsent), (2, 3));
    }

    /// However many peers cannot be reached, one entry tells it.
    #[test]
    fn errors_are_bounded() {
        let (eth0, mut sending) = (eth0(), Sending::default());
        for host in 1..=254 {
            sending.note(&eth0, SocketAddr::from(([10, 0, 0, host], 8051)), denied());
        }
        assert_eq!(sending.errors().len(), 1);
        assert_eq!(sending.errors()[0].destination.ip().to_string(), "10.0.0.254");
    }
}
