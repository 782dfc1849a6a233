//! Our own record: signed again when something in it changes, and the farewell that is kept sealed.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::config::Config;
use crate::identity::Identity;
use crate::input::{Interface, InterfaceKind};
use crate::output::{Action, StoreRequest};
use crate::random::Stream;
use crate::record::{Instance, PeerRecord, RecordClass, RecordKind, SignedRecord};
use crate::timers::TimerKey;
use crate::wire::beacon::{Beacon, BeaconFlags, Way};

use super::Engine;

/// The most addresses in a record.
pub(super) const MAX_ADDRESSES: usize = 8;

#[derive(Debug)]
pub(crate) struct OwnRecord {
    record: SignedRecord,
    gone: SignedRecord,
    /// Where a relay takes streams for this node.
    pub(super) relayed: Option<SocketAddr>,
    /// Where this node can be reached from afar, if it looks beyond the LAN.
    pub(super) wide: Option<SignedRecord>,
    /// The counter of the farewell beacon: from the top, so that it is newer than any beacon sent before.
    farewell_counter: u64,
}

impl OwnRecord {
    /// Signs the first record of a run, without addresses, and the farewell. `None` when the name does not fit a
    /// record.
    pub(crate) fn new(
        config: &Config,
        identity: &Identity,
        incarnation: u64,
        behaviour: &mut Stream,
    ) -> Option<Self> {
        let mut instance = [0; 16];
        behaviour.fill(&mut instance);
        let record = PeerRecord {
            network: config.network.tag(),
            peer: identity.peer_id(),
            incarnation,
            seq: 1,
            kind: RecordKind::Alive,
            ttl_secs: u32::try_from(config.record_ttl.as_secs()).ok()?.max(1),
            class: RecordClass::Local,
            instance: Instance::from_bytes(instance),
            link_key: identity.link_public(),
            port: config.private_port,
            name: config.name.clone(),
            addrs: Vec::new(),
            caps: 0,
        };
        let gone =
            SignedRecord::sign(identity, PeerRecord { kind: RecordKind::Gone, ..record.clone() }).ok()?;
        let record = SignedRecord::sign(identity, record).ok()?;
        Some(OwnRecord { record, gone, relayed: None, wide: None, farewell_counter: u64::MAX })
    }

    pub(crate) fn record(&self) -> &SignedRecord {
        &self.record
    }

    pub(crate) fn gone(&self) -> &SignedRecord {
        &self.gone
    }

    pub(crate) fn instance(&self) -> Instance {
        self.record.record().instance
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.record.record().incarnation
    }
}

impl Engine {
    /// The datagram that says goodbye for good, sealed in advance: a signal handler can broadcast it to the anchor
    /// port without asking the engine anything more.
    #[must_use]
    pub fn farewell(&self) -> Vec<u8> {
        Beacon {
            instance: self.own.instance(),
            counter: self.own.farewell_counter,
            flags: BeaconFlags::LEAVING,
            way: Way::default(),
            record: self.own.gone.bytes().to_vec(),
            pulse: None,
        }
        .seal(&self.config.network)
    }

    /// The record in the farewell.
    #[cfg(feature = "forge")]
    pub(crate) fn farewell_record(&self) -> &SignedRecord {
        self.own.gone()
    }

    /// Signs the record anew with the addresses of today, and spreads it.
    pub(super) fn resign(&mut self) {
        let record = PeerRecord {
            seq: self.own.record.record().seq + 1,
            addrs: announced(&self.interfaces),
            name: self.config.name.clone(),
            ..self.own.record.record().clone()
        };
        // Only a name that does not fit can fail, and the first signature would have shown it.
        let Ok(signed) = SignedRecord::sign(&self.identity, record) else { return };
        self.own.record = signed;
        self.schedule_resign();
        self.share_own_record();
        self.resign_wide();
    }

    /// Goes on under another name, with a record and a farewell of it, and tells everybody; says whether it is another.
    pub(super) fn rename(&mut self, name: &str) -> bool {
        let gone = PeerRecord { name: name.into(), ..self.own.gone.record().clone() };
        let Ok(gone) = SignedRecord::sign(&self.identity, gone) else { return false };
        if self.config.name == name {
            return false;
        }
        self.own.gone = gone;
        // A key must never seal two farewells.
        self.own.farewell_counter -= 1;
        self.config.name = name.into();
        self.resign();
        true
    }

    pub(super) fn schedule_resign(&mut self) {
        self.set_timer(TimerKey::Resign, self.config.record_ttl / 3);
    }

    pub(super) fn resign_due(&mut self) {
        self.resign();
    }

    /// Goes on as a later incarnation, with a record and a farewell of it, and tells everybody. Nothing changes if it
    /// cannot be signed.
    pub(super) fn continue_as(&mut self, incarnation: u64) {
        let record = PeerRecord { incarnation, ..self.own.record.record().clone() };
        let gone = PeerRecord { kind: RecordKind::Gone, ..record.clone() };
        let (Ok(record), Ok(gone)) =
            (SignedRecord::sign(&self.identity, record), SignedRecord::sign(&self.identity, gone))
        else {
            return;
        };
        self.stats.incarnation_jumps += 1;
        self.own.record = record;
        self.own.gone = gone;
        // A key must never seal two farewells.
        self.own.farewell_counter -= 1;
        self.outputs.action(Action::Store(StoreRequest::SaveIncarnation { incarnation }));
        self.share_own_record();
        self.resign_wide();
        self.timers.set_earlier(TimerKey::Beacon, self.now + Duration::from_millis(1));
    }
}

/// The addresses to announce: those of every interface that leaves the host, real networks first; loopback only when
/// there is no other.
fn announced(interfaces: &[Interface]) -> Vec<IpAddr> {
    let only_loopback = interfaces.iter().all(Interface::is_loopback);
    let usable = interfaces.iter().filter(|interface| interface.is_loopback() == only_loopback);
    // A link-local IPv6 address says nothing to who does not know the interface; it is heard with every beacon.
    let said = |ip: IpAddr| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let addrs = usable.flat_map(|of| of.addrs.iter().map(|addr| (of.kind, addr.ip)));
    let mut addrs: Vec<(InterfaceKind, IpAddr)> = addrs.filter(|(_, ip)| said(*ip)).collect();
    addrs.sort();
    let mut best: Vec<IpAddr> = Vec::new();
    for (_, ip) in addrs {
        if best.len() < MAX_ADDRESSES && !best.contains(&ip) {
            best.push(ip);
        }
    }
    best
}
