//! What can break in a [`World`](super::World).

use serde::{Deserialize, Serialize};

/// Something that breaks at a time of the plan and, most of it, is whole again later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Fault {
    /// The hosts of `a` and `b` do not reach each other, nor either those of `c`; with `one_way` only `b` does not
    /// hear `a`. Who is in none of them reaches all: a bridge between the sides.
    Partition {
        at_ms: u64,
        for_ms: u64,
        a: Vec<String>,
        b: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        c: Vec<String>,
        #[serde(default)]
        one_way: bool,
    },
    /// Broadcasts of a network get lost.
    BroadcastLoss { at_ms: u64, for_ms: u64, lan: String },
    /// Multicasts of a network get lost.
    MulticastLoss { at_ms: u64, for_ms: u64, lan: String },
    /// The link from one host to another is as `link` says: delay spikes, loss, congestion.
    Degrade { at_ms: u64, for_ms: u64, from: String, to: String, link: String },
    /// The process is killed, or with `power` the machine loses power; then it starts again as `restart` says.
    Crash {
        at_ms: u64,
        for_ms: u64,
        node: String,
        #[serde(default)]
        power: bool,
        restart: Restart,
    },
    /// The node says goodbye, and is back later in a new run.
    Away { at_ms: u64, for_ms: u64, node: String },
    /// A second machine starts with a copy of this node's disk, in place of `clone`.
    Clone { at_ms: u64, for_ms: u64, node: String, clone: String },
    /// The process does not run for a while.
    Pause { at_ms: u64, for_ms: u64, node: String },
    /// The host's address in a network changes.
    AddressChange { at_ms: u64, host: String, lan: String },
    /// Two hosts take each other's address in a network.
    AddressSwap { at_ms: u64, a: String, b: String, lan: String },
    /// The host sleeps: nothing runs, nothing is heard, and its monotonic clock stands still.
    Sleep { at_ms: u64, for_ms: u64, host: String },
    /// The host's interface is gone for a while.
    InterfaceDown { at_ms: u64, for_ms: u64, host: String, lan: String },
    /// The host's clock leaps; with `noticed` its nodes are told.
    ClockJump {
        at_ms: u64,
        host: String,
        by_ms: u64,
        #[serde(default)]
        noticed: bool,
    },
    /// The node reads its streams no faster than this.
    SlowReader { at_ms: u64, for_ms: u64, node: String, bytes_per_second: u64 },
    /// The node's disk takes nothing more.
    DiskFull { at_ms: u64, for_ms: u64, node: String },
    /// This share of the disk's requests fails.
    DiskErrors { at_ms: u64, for_ms: u64, node: String, share: f64 },
    /// Each request to the disk takes this much longer.
    DiskSlow { at_ms: u64, for_ms: u64, node: String, delay_ms: u64 },
    /// What the node reads of what it published has a flipped bit.
    BitRot { at_ms: u64, for_ms: u64, node: String },
    /// All streams between two nodes break.
    Reset { at_ms: u64, a: String, b: String },
    /// The streams between two nodes that there are then carry nothing for a while; datagrams and new streams pass.
    Stall { at_ms: u64, for_ms: u64, a: String, b: String },
    /// The host refuses connections.
    Refuse { at_ms: u64, for_ms: u64, host: String },
    /// The node's application takes no events.
    SlowApplication { at_ms: u64, for_ms: u64, node: String },
    /// The node puts frames that others sent on its own links, behind its own; with `altered` some bits are flipped.
    Insider {
        at_ms: u64,
        for_ms: u64,
        node: String,
        per_second: u32,
        #[serde(default)]
        altered: bool,
    },
    /// Somebody sends nonsense into a network.
    Stranger { at_ms: u64, for_ms: u64, lan: String, traffic: Traffic, per_second: u32 },
    /// The bootstrap server does not answer: those in the networks `homes`, or nobody if there are none.
    ServerDown {
        at_ms: u64,
        for_ms: u64,
        server: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        homes: Vec<String>,
    },
    /// The relay is gone with all streams through it. What was so at the end of the chaos stays so.
    RelayDown { at_ms: u64, for_ms: u64, relay: String },
    /// The network's router has no way to the internet.
    UplinkDown { at_ms: u64, for_ms: u64, lan: String },
    /// The network's router starts anew, and has forgotten every stream.
    RouterRestart { at_ms: u64, lan: String },
    /// The host leaves its first network and joins this one.
    Move { at_ms: u64, host: String, lan: String },
}

/// How a node comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// With all that was on its disk.
    Same,
    /// With its key, and nothing else of its disk.
    WithoutDisk,
    /// As somebody else, on an empty disk.
    NewIdentity,
    /// Not at all.
    Never,
}

/// What a stranger sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// Random bytes to the ports of beacons, and to the private ones by stream.
    Garbage,
    /// Beacons that it has heard, once more.
    Replay,
    /// Beacons that it has heard, with changed bits.
    Forged,
    /// Streams that say nothing.
    Silence,
    /// Streams that say what a dialler said first on another one.
    Handshakes,
    /// Genuine beacons of nodes that are gone again at once, some of them from another network.
    Crowd,
}

/// Every kind of fault that a run counts, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
#[allow(missing_docs, reason = "each name is its own sentence")]
pub enum FaultKind {
    Loss,
    BurstLoss,
    QueueLoss,
    Duplication,
    Reordering,
    Corruption,
    Truncation,
    Fragmentation,
    PartitionedDatagram,
    Partition,
    OneWayPartition,
    BroadcastLoss,
    MulticastLoss,
    Degrade,
    Retransmission,
    PartialRead,
    StreamCorruption,
    Crash,
    PowerLoss,
    Restart,
    RestartWithoutDisk,
    NewIdentity,
    Clone,
    Pause,
    AddressChange,
    InterfaceDown,
    ClockJump,
    SlowReader,
    DiskFull,
    DiskError,
    DiskSlow,
    BitRot,
    Reset,
    Refused,
    DialTimeout,
    HalfOpen,
    TornWrite,
    StrangerDatagram,
    StrangerStream,
    ReplayedHandshake,
    PasserBy,
    SlowApplication,
    InsiderFrame,
    AddressSwap,
    Sleep,
    KeptOut,
    BridgePartition,
    ThreeWayPartition,
    Away,
    AdversaryGarbage,
    AdversaryReplay,
    AdversaryForge,
    AdversaryFarewell,
    AdversaryWrongKey,
    AdversaryFlood,
    AdversarySybil,
    AdversaryMiddle,
    AdversaryDowngrade,
    AdversaryTwin,
    AdversaryLoris,
    AdversarySlowReader,
    Stall,
    ServerDown,
    ServerLie,
    RelayDown,
    UplinkDown,
    RouterRestart,
    Move,
    MappingLost,
    NotPermitted,
    FalseTask,
}

impl FaultKind {
    /// All kinds, in order.
    pub const ALL: [(FaultKind, &'static str); 71] = [
        (FaultKind::Loss, "loss"),
        (FaultKind::BurstLoss, "burst-loss"),
        (FaultKind::QueueLoss, "queue-loss"),
        (FaultKind::Duplication, "duplication"),
        (FaultKind::Reordering, "reordering"),
        (FaultKind::Corruption, "corruption"),
        (FaultKind::Truncation, "truncation"),
        (FaultKind::Fragmentation, "fragmentation"),
        (FaultKind::PartitionedDatagram, "partitioned-datagram"),
        (FaultKind::Partition, "partition"),
        (FaultKind::OneWayPartition, "one-way-partition"),
        (FaultKind::BroadcastLoss, "broadcast-loss"),
        (FaultKind::MulticastLoss, "multicast-loss"),
        (FaultKind::Degrade, "degrade"),
        (FaultKind::Retransmission, "retransmission"),
        (FaultKind::PartialRead, "partial-read"),
        (FaultKind::StreamCorruption, "stream-corruption"),
        (FaultKind::Crash, "crash"),
        (FaultKind::PowerLoss, "power-loss"),
        (FaultKind::Restart, "restart"),
        (FaultKind::RestartWithoutDisk, "restart-without-disk"),
        (FaultKind::NewIdentity, "new-identity"),
        (FaultKind::Clone, "clone"),
        (FaultKind::Pause, "pause"),
        (FaultKind::AddressChange, "address-change"),
        (FaultKind::InterfaceDown, "interface-down"),
        (FaultKind::ClockJump, "clock-jump"),
        (FaultKind::SlowReader, "slow-reader"),
        (FaultKind::DiskFull, "disk-full"),
        (FaultKind::DiskError, "disk-error"),
        (FaultKind::DiskSlow, "disk-slow"),
        (FaultKind::BitRot, "bit-rot"),
        (FaultKind::Reset, "reset"),
        (FaultKind::Refused, "refused"),
        (FaultKind::DialTimeout, "dial-timeout"),
        (FaultKind::HalfOpen, "half-open"),
        (FaultKind::TornWrite, "torn-write"),
        (FaultKind::StrangerDatagram, "stranger-datagram"),
        (FaultKind::StrangerStream, "stranger-stream"),
        (FaultKind::ReplayedHandshake, "replayed-handshake"),
        (FaultKind::PasserBy, "passer-by"),
        (FaultKind::SlowApplication, "slow-application"),
        (FaultKind::InsiderFrame, "insider-frame"),
        (FaultKind::AddressSwap, "address-swap"),
        (FaultKind::Sleep, "sleep"),
        (FaultKind::KeptOut, "kept-out"),
        (FaultKind::BridgePartition, "bridge-partition"),
        (FaultKind::ThreeWayPartition, "three-way-partition"),
        (FaultKind::Away, "away"),
        (FaultKind::AdversaryGarbage, "adversary-garbage"),
        (FaultKind::AdversaryReplay, "adversary-replay"),
        (FaultKind::AdversaryForge, "adversary-forge"),
        (FaultKind::AdversaryFarewell, "adversary-farewell"),
        (FaultKind::AdversaryWrongKey, "adversary-wrong-key"),
        (FaultKind::AdversaryFlood, "adversary-flood"),
        (FaultKind::AdversarySybil, "adversary-sybil"),
        (FaultKind::AdversaryMiddle, "adversary-middle"),
        (FaultKind::AdversaryDowngrade, "adversary-downgrade"),
        (FaultKind::AdversaryTwin, "adversary-twin"),
        (FaultKind::AdversaryLoris, "adversary-loris"),
        (FaultKind::AdversarySlowReader, "adversary-slow-reader"),
        (FaultKind::Stall, "stall"),
        (FaultKind::ServerDown, "server-down"),
        (FaultKind::ServerLie, "server-lie"),
        (FaultKind::RelayDown, "relay-down"),
        (FaultKind::UplinkDown, "uplink-down"),
        (FaultKind::RouterRestart, "router-restart"),
        (FaultKind::Move, "move"),
        (FaultKind::MappingLost, "mapping-lost"),
        (FaultKind::NotPermitted, "not-permitted"),
        (FaultKind::FalseTask, "false-task"),
    ];
}

/// How often each fault happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultTally([u64; FaultKind::ALL.len()]);

impl Default for FaultTally {
    fn default() -> Self {
        FaultTally([0; FaultKind::ALL.len()])
    }
}

impl FaultTally {
    pub(crate) fn count(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    /// How often a fault happened.
    #[must_use]
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds what another run counted.
    pub fn add(&mut self, other: &FaultTally) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// Each kind by its name, those that did not happen too.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        FaultKind::ALL.iter().map(|&(kind, name)| (name, self.of(kind)))
    }
}

/// Says whether a name is among the valid ones, or which of them is nearest: what it is for, the name, the valid ones.
pub(super) type Known<'a> = &'a dyn Fn(&str, &str, &[&str]) -> Result<(), String>;

impl Fault {
    /// When it begins.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        match self {
            Fault::Partition { at_ms, .. }
            | Fault::BroadcastLoss { at_ms, .. }
            | Fault::MulticastLoss { at_ms, .. }
            | Fault::Degrade { at_ms, .. }
            | Fault::Crash { at_ms, .. }
            | Fault::Away { at_ms, .. }
            | Fault::Clone { at_ms, .. }
            | Fault::Pause { at_ms, .. }
            | Fault::AddressChange { at_ms, .. }
            | Fault::AddressSwap { at_ms, .. }
            | Fault::Sleep { at_ms, .. }
            | Fault::InterfaceDown { at_ms, .. }
            | Fault::ClockJump { at_ms, .. }
            | Fault::SlowReader { at_ms, .. }
            | Fault::DiskFull { at_ms, .. }
            | Fault::DiskErrors { at_ms, .. }
            | Fault::DiskSlow { at_ms, .. }
            | Fault::BitRot { at_ms, .. }
            | Fault::Reset { at_ms, .. }
            | Fault::Stall { at_ms, .. }
            | Fault::Refuse { at_ms, .. }
            | Fault::SlowApplication { at_ms, .. }
            | Fault::Insider { at_ms, .. }
            | Fault::Stranger { at_ms, .. }
            | Fault::ServerDown { at_ms, .. }
            | Fault::RelayDown { at_ms, .. }
            | Fault::UplinkDown { at_ms, .. }
            | Fault::RouterRestart { at_ms, .. }
            | Fault::Move { at_ms, .. } => *at_ms,
        }
    }

    /// How long it lasts; `None` for what is over at once.
    #[must_use]
    pub fn for_ms(&self) -> Option<u64> {
        match self {
            Fault::Partition { for_ms, .. }
            | Fault::BroadcastLoss { for_ms, .. }
            | Fault::MulticastLoss { for_ms, .. }
            | Fault::Degrade { for_ms, .. }
            | Fault::Crash { for_ms, .. }
            | Fault::Away { for_ms, .. }
            | Fault::Clone { for_ms, .. }
            | Fault::Pause { for_ms, .. }
            | Fault::InterfaceDown { for_ms, .. }
            | Fault::Sleep { for_ms, .. }
            | Fault::SlowReader { for_ms, .. }
            | Fault::DiskFull { for_ms, .. }
            | Fault::DiskErrors { for_ms, .. }
            | Fault::DiskSlow { for_ms, .. }
            | Fault::BitRot { for_ms, .. }
            | Fault::Refuse { for_ms, .. }
            | Fault::Stall { for_ms, .. }
            | Fault::SlowApplication { for_ms, .. }
            | Fault::Insider { for_ms, .. }
            | Fault::Stranger { for_ms, .. }
            | Fault::ServerDown { for_ms, .. }
            | Fault::RelayDown { for_ms, .. }
            | Fault::UplinkDown { for_ms, .. } => Some(*for_ms),
            Fault::AddressChange { .. }
            | Fault::AddressSwap { .. }
            | Fault::ClockJump { .. }
            | Fault::RouterRestart { .. }
            | Fault::Move { .. }
            | Fault::Reset { .. } => None,
        }
    }

    pub(super) fn validate(
        &self,
        known: Known<'_>,
        nodes: &[&str],
        hosts: &[&str],
        lans: &[&str],
        links: &[&str],
    ) -> Result<(), String> {
        match self {
            Fault::Partition { a, b, c, one_way, .. } => {
                let mut sides: Vec<&String> = a.iter().chain(b).chain(c).collect();
                sides.iter().try_for_each(|host| known("host", host, hosts))?;
                sides.sort_unstable();
                if let Some(pair) = sides.windows(2).find(|pair| pair[0] == pair[1]) {
                    return Err(format!("`{}` is on both sides of a partition", pair[0]));
                }
                if *one_way && !c.is_empty() {
                    return Err("a partition of three sides is never one way".to_owned());
                }
                Ok(())
            }
            Fault::BroadcastLoss { lan, .. }
            | Fault::MulticastLoss { lan, .. }
            | Fault::UplinkDown { lan, .. }
            | Fault::RouterRestart { lan, .. }
            | Fault::Stranger { lan, .. } => known("lan", lan, lans),
            Fault::Degrade { from, to, link, .. } => {
                known("host", from, hosts)?;
                known("host", to, hosts)?;
                known("link", link, links)
            }
            Fault::Clone { node, clone, .. } => {
                known("node", node, nodes)?;
                known("node", clone, nodes)?;
                if node == clone { Err(format!("`{node}` cannot be its own clone")) } else { Ok(()) }
            }
            Fault::DiskErrors { node, share, .. } => {
                known("node", node, nodes)?;
                if (0.0..=1.0).contains(share) {
                    Ok(())
                } else {
                    Err(format!("`{node}`: a share is between 0.0 and 1.0, not {share}"))
                }
            }
            Fault::Crash { node, .. }
            | Fault::Pause { node, .. }
            | Fault::SlowReader { node, .. }
            | Fault::DiskFull { node, .. }
            | Fault::DiskSlow { node, .. }
            | Fault::BitRot { node, .. }
            | Fault::SlowApplication { node, .. }
            | Fault::Away { node, .. }
            | Fault::Insider { node, .. } => known("node", node, nodes),
            // `Plan::validate_wide` knows their names.
            Fault::ServerDown { .. } | Fault::RelayDown { .. } => Ok(()),
            Fault::AddressChange { host, lan, .. }
            | Fault::InterfaceDown { host, lan, .. }
            | Fault::Move { host, lan, .. } => {
                known("host", host, hosts)?;
                known("lan", lan, lans)
            }
            Fault::AddressSwap { a, b, lan, .. } => {
                known("host", a, hosts)?;
                known("host", b, hosts)?;
                known("lan", lan, lans)
            }
            Fault::ClockJump { host, .. } | Fault::Refuse { host, .. } | Fault::Sleep { host, .. } => {
                known("host", host, hosts)
            }
            Fault::Reset { a, b, .. } | Fault::Stall { a, b, .. } => {
                known("node", a, nodes)?;
                known("node", b, nodes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place() {
        for (i, (kind, _)) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, i);
        }
    }
}
