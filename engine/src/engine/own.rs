//! Our own record: signed again when something in it changes, and the farewell that is kept sealed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::config::Config;
use crate::identity::Identity;
use crate::input::{Interface, InterfaceKind};
use crate::marks::mark;
use crate::output::{Action, StoreRequest};
use crate::random::Stream;
use crate::record::{Instance, PeerRecord, RecordClass, RecordKind, SignedRecord};
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::beacon::{Beacon, BeaconFlags, Way};

use super::Engine;
use super::outputs::Slot;

/// How many copies of this identity are remembered; a record of a further one is ignored.
const MAX_CLONES: usize = 8;

/// How often one copy is outranked. A run that is over may have jumped itself, and its records come to light one after
/// the other; two that both live stop after so many rounds.
const MAX_JUMPS: u8 = 8;

/// An earlier run of ours may still be heard for a moment after its end; one that speaks for longer lives.
const LIVES: Duration = Duration::from_secs(2);

/// The most addresses in a record.
const MAX_ADDRESSES: usize = 8;

#[derive(Debug)]
pub(crate) struct OwnRecord {
    record: SignedRecord,
    gone: SignedRecord,
    /// The counter of the farewell beacon: from the top, so that it is newer than any beacon sent before.
    farewell_counter: u64,
    /// Other instances under our key, and how often we have outranked each.
    clones: BTreeMap<Instance, u8>,
    /// Other instances whose beacons were heard under our key: since when, and whether the application was told.
    sightings: BTreeMap<Instance, (Timestamp, bool)>,
    /// Where such beacons came from, for the application. At most [`MAX_CLONES`].
    pub(crate) shared_with: VecDeque<SocketAddr>,
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
        Some(OwnRecord {
            record,
            gone,
            farewell_counter: u64::MAX,
            clones: BTreeMap::new(),
            sightings: BTreeMap::new(),
            shared_with: VecDeque::new(),
        })
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
        }
        .seal(&self.config.network)
    }

    /// Signs the record anew with the addresses of today, and spreads it.
    pub(super) fn resign(&mut self) {
        let record = PeerRecord {
            seq: self.own.record.record().seq + 1,
            addrs: announced(&self.interfaces),
            ..self.own.record.record().clone()
        };
        // Only a name that does not fit can fail, and the first signature would have shown it.
        let Ok(signed) = SignedRecord::sign(&self.identity, record) else { return };
        self.own.record = signed;
        self.schedule_resign();
        self.share_own_record();
    }

    pub(super) fn schedule_resign(&mut self) {
        self.set_timer(TimerKey::Resign, self.config.record_ttl / 3);
    }

    pub(super) fn resign_due(&mut self) {
        self.resign();
    }

    /// Meets a record that bears our own signature. One of another instance that is not older than ours outranks
    /// us everywhere: jump above it, or nobody would believe us.
    pub(super) fn met_own_record(&mut self, foreign: &SignedRecord) {
        let theirs = foreign.record();
        if theirs.instance == self.own.instance()
            || theirs.incarnation < self.own.incarnation()
            || (self.own.clones.len() >= MAX_CLONES && !self.own.clones.contains_key(&theirs.instance))
        {
            return;
        }
        let jumps = self.own.clones.entry(theirs.instance).or_default();
        if *jumps >= MAX_JUMPS {
            return;
        }
        *jumps += 1;
        let Some(incarnation) = theirs.incarnation.checked_add(1) else { return };
        let record = PeerRecord { incarnation, ..self.own.record.record().clone() };
        let gone = PeerRecord { kind: RecordKind::Gone, ..record.clone() };
        let (Ok(record), Ok(gone)) =
            (SignedRecord::sign(&self.identity, record), SignedRecord::sign(&self.identity, gone))
        else {
            return;
        };
        self.stats.incarnation_jumps += 1;
        mark!(self, CloneOutranked);
        self.own.record = record;
        self.own.gone = gone;
        // A key must never seal two farewells.
        self.own.farewell_counter -= 1;
        self.outputs.action(Action::Store(StoreRequest::SaveIncarnation { incarnation }));
        self.share_own_record();
        self.timers.set_earlier(TimerKey::Beacon, self.now + Duration::from_millis(1));
    }
}

impl Engine {
    /// A beacon under our own key came from another instance: somebody runs a copy of this node's key. The application
    /// is told once for each.
    pub(super) fn heard_clone(&mut self, instance: Instance, source: SocketAddr) {
        let now = self.now;
        let sightings = &mut self.own.sightings;
        if sightings.len() >= MAX_CLONES && !sightings.contains_key(&instance) {
            return;
        }
        let (since, told) = sightings.entry(instance).or_insert((now, false));
        if *told || now.since(*since) < LIVES {
            return;
        }
        *told = true;
        mark!(self, CloneReported);
        self.own.shared_with.push_back(source);
        self.outputs.notify(Slot::IdentityShared);
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
