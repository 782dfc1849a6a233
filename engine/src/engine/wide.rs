//! Beyond the LAN: where this node can be reached from afar, and which addresses of others are dialled there.

use core::net::{IpAddr, SocketAddr};

use crate::output::Action;
use crate::record::{PeerRecord, RecordClass, SignedRecord};
use crate::time::Timestamp;

use super::Engine;
use super::own::MAX_ADDRESSES;

impl Engine {
    /// Takes the address at which a relay takes streams for this node, in place of the one before; `None` if there is none
    /// any more. It is signed as this node's record of the class [`RecordClass::Wide`] and told to peers and servers. A
    /// node with no relay announces its global and private addresses there, if it has some.
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
        let (port, mut addrs) = match self.own.relayed {
            Some(relayed) => (relayed.port(), alloc::vec![relayed.ip()]),
            None => (self.config.private_port, self.addresses_from_afar()),
        };
        addrs.truncate(MAX_ADDRESSES);
        let seq = self.own.wide.as_ref().map_or(1, |wide| wide.record().seq + 1);
        let own = self.own.record().record();
        let record = PeerRecord { class: RecordClass::Wide, seq, port, addrs, ..own.clone() };
        // Only a name that does not fit can fail, and the first signature would have shown it.
        let Ok(signed) = SignedRecord::sign(&self.identity, record) else { return };
        let said = |record: &PeerRecord| {
            (record.incarnation, record.port, record.addrs.clone(), record.name.clone())
        };
        let is_news = self.own.wide.as_ref().is_none_or(|wide| said(wide.record()) != said(signed.record()));
        self.own.wide = Some(signed);
        let id = self.identity.peer_id();
        self.collection.changed(&id);
        self.tell_news(id, RecordClass::Wide, None);
        if is_news {
            self.announce_soon();
        }
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
