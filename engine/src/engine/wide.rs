//! Beyond the LAN: where this node can be reached from afar, and which addresses of others are dialled there.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::output::Action;
use crate::record::{PeerRecord, RecordClass, RecordKind, SignedRecord};
use crate::time::Timestamp;

use super::Engine;
use super::own::MAX_ADDRESSES;
use super::peer::Peer;

impl Engine {
    /// Takes the address at which a relay takes streams for this node, in place of the one before; `None` if there is none
    /// any more. It is signed as this node's record of the class [`RecordClass::Wide`] and told to peers and servers. A
    /// node with no relay announces its global addresses there, if it has some.
    ///
    /// Does nothing without [`Config::servers`](crate::Config::servers).
    pub fn handle_relay(&mut self, now: Timestamp, relayed: Option<SocketAddr>) {
        self.advance(now);
        if self.own.relayed != relayed && self.leaving.is_none() {
            self.own.relayed = relayed;
            self.resign_wide();
        }
        self.pump_links();
    }

    /// The record of where this node can be reached from afar. `None` without
    /// [`Config::servers`](crate::Config::servers), and before the interfaces are known.
    #[must_use]
    pub fn wide_record(&self) -> Option<&SignedRecord> {
        self.own.wide.as_ref()
    }

    /// Signs the wide record anew if there is to be one, and spreads it if it says something else than before.
    pub(super) fn resign_wide(&mut self) {
        if self.config.servers == 0 {
            return;
        }
        let (port, addrs) = match self.own.relayed {
            Some(relayed) => (relayed.port(), alloc::vec![relayed.ip()]),
            None => (self.config.private_port, self.global_addresses()),
        };
        let seq = self.own.wide.as_ref().map_or(1, |wide| wide.record().seq + 1);
        let own = self.own.record().record();
        let record = PeerRecord { class: RecordClass::Wide, seq, port, addrs, ..own.clone() };
        // Only a name that does not fit can fail, and the first signature would have shown it.
        let Ok(signed) = SignedRecord::sign(&self.identity, record) else { return };
        let said = |record: &PeerRecord| (record.incarnation, record.port, record.addrs.clone());
        let is_news = self.own.wide.as_ref().is_none_or(|wide| said(wide.record()) != said(signed.record()));
        self.own.wide = Some(signed);
        let id = self.identity.peer_id();
        self.collection.changed(&id);
        self.tell_news(id, RecordClass::Wide, None);
        if is_news {
            self.announce_soon();
        }
    }

    fn global_addresses(&self) -> Vec<IpAddr> {
        let addrs = self.interfaces.iter().flat_map(|of| &of.addrs).map(|addr| addr.ip);
        let mut global: Vec<IpAddr> = addrs.filter(|ip| is_global(*ip)).collect();
        global.sort();
        global.dedup();
        global.truncate(MAX_ADDRESSES);
        global
    }

    /// Whether a peer says that it can be reached at this address from afar, and this node looks so far.
    pub(super) fn is_wide_address(&self, peer: &Peer, address: SocketAddr) -> bool {
        let records = [Some(&peer.record), peer.beside.as_ref().map(|held| &held.record)];
        let mut wide = records
            .into_iter()
            .flatten()
            .map(SignedRecord::record)
            .filter(|record| record.class == RecordClass::Wide && record.kind == RecordKind::Alive);
        self.config.servers > 0
            && is_global(address.ip())
            && wide.any(|record| record.port == address.port() && record.addrs.contains(&address.ip()))
    }

    /// Has a relay let through who may come from these addresses.
    pub(super) fn permit(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        if self.own.relayed.is_some() {
            for address in addresses {
                self.outputs.action(Action::Permit { address });
            }
        }
    }
}

/// Whether an address may be meant for anybody on the internet. Those for documentation count: networks that are made up
/// for tests use them.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let special = matches!((a, b, c), (0 | 240.., ..) | (192, 0, 0) | (198, 18 | 19, _));
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || shared
                || special)
        }
        // Global unicast: RFC 4291, section 2.4, as far as it is given out.
        IpAddr::V6(ip) => {
            ip.segments()[0] & 0xe000 == 0x2000
                && ip.to_ipv4_mapped().is_none()
                && ip != Ipv6Addr::UNSPECIFIED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_on_the_internet_is_global() {
        for global in ["8.8.8.8", "203.0.113.9", "2a01:4f8::1", "172.32.0.1", "100.128.0.1"] {
            assert!(is_global(global.parse().unwrap()), "{global}");
        }
        for local in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_global(local.parse().unwrap()), "{local}");
        }
    }
}
