//! The plan of a run: everything that a [`World`](super::World) does before it is asked anything, as TOML.

mod adversary;
mod check;
mod read;
mod trust;
mod wide;

use std::net::Ipv6Addr;
use std::time::Duration;

use p2pnet_engine::{Identity, Network};
use serde::{Deserialize, Serialize};

use super::faults::Fault;

pub use adversary::{AdversaryPlan, Trick};
pub use read::PlanError;
pub use trust::{Asked, CertificateKind, CertificatePlan, TrustPlan};
pub use wide::{Honesty, InternetPlan, Nat, RelayPlan, SearchPlan, ServerPlan};

/// The version of the format. A plan of another version is refused.
pub const PLAN_SCHEMA: u32 = 1;

/// Everything that a run does: who is there, how they are connected, what breaks, what is sent.
///
/// A run is a function of its plan. Draws during the run (is this datagram lost?) depend on the seed, on what is
/// drawn, on the entity that it is drawn for, and on how often that was done: taking a fault out of a plan moves no
/// other draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_SCHEMA`].
    pub schema: u32,
    /// The seed of everything that is drawn during the run.
    pub seed: u64,
    /// What the plan was expanded from; a word for people.
    #[serde(default)]
    pub profile: String,
    /// How long the network is broken: everything is healed for the core when this is over.
    pub chaos_ms: u64,
    /// How long nothing may happen in the end.
    pub quiet_ms: u64,
    /// The most that convergence may take; by default what the configuration allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converge_ms: Option<u64>,
    /// The nodes that are healed and must converge. What concerns others stays as broken as it was.
    pub core: Vec<String>,
    /// Who leaves after the quiet window, one of the core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaver: Option<String>,
    /// Whether keys and ciphers are real.
    #[serde(default, skip_serializing_if = "Crypto::is_real")]
    pub crypto: Crypto,
    /// Whether peers must show a badge (a custom step) on top of the ping.
    #[serde(default)]
    pub badge: bool,
    /// Whether peers must have the same short code, which the people at both compare.
    #[serde(default, skip_serializing_if = "is_no")]
    pub code: bool,
    /// Whether honest servers pass on what an operator asks of nodes, and all nodes take that.
    #[serde(default, skip_serializing_if = "is_no")]
    pub operator: bool,
    /// The most links that a node may have, if that is not what it may by default; with more peers it keeps half as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_links: Option<usize>,
    /// The most peers that a node keeps, if that is not what it keeps by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_peers: Option<usize>,
    /// How links can be.
    #[serde(default)]
    pub link: Vec<LinkPlan>,
    /// The networks.
    pub lan: Vec<LanPlan>,
    /// The machines.
    pub host: Vec<HostPlan>,
    /// Links that differ from what their network has, one direction each.
    #[serde(default)]
    pub path: Vec<PathPlan>,
    /// The nodes.
    pub node: Vec<NodePlan>,
    /// What breaks.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// Who is there to do harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adversary: Vec<AdversaryPlan>,
    /// Texts to send.
    #[serde(default)]
    pub text: Vec<TextPlan>,
    /// Messages to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub message: Vec<MessagePlan>,
    /// Contents to publish.
    #[serde(default)]
    pub content: Vec<ContentPlan>,
    /// Applications that pause what they fetch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold: Vec<HoldPlan>,
    /// Nodes that leave on the way.
    #[serde(default)]
    pub leave: Vec<LeavePlan>,
    /// Addresses that somebody gives a node by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dial: Vec<DialPlan>,
    /// Applications that part from a peer on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub part: Vec<PartPlan>,
    /// What is between networks that have a router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet: Option<InternetPlan>,
    /// Bootstrap servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server: Vec<ServerPlan>,
    /// Relays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relay: Vec<RelayPlan>,
    /// Searches of IPv6 prefixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<SearchPlan>,
    /// The planted bug that the nodes of `bug_in` have, or all if there are none.
    #[cfg(feature = "planted")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
    /// See `bug`.
    #[cfg(feature = "planted")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bug_in: Vec<String>,
}

/// What keys, signatures and ciphers are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crypto {
    /// What runs in production.
    #[default]
    Real,
    /// The same sizes, states and failures without any protection, several times faster
    /// ([`Identity::cheap`]). Bugs of trust need the real one.
    Cheap,
}

impl Crypto {
    /// Both, with their names.
    pub const ALL: [(&str, Crypto); 2] = [("real", Crypto::Real), ("cheap", Crypto::Cheap)];

    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Crypto::Real => "real",
            Crypto::Cheap => "cheap",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_real(&self) -> bool {
        *self == Crypto::Real
    }

    pub(crate) fn network(self) -> Network {
        match self {
            Crypto::Real => Network::open("world"),
            Crypto::Cheap => Network::cheap("world"),
        }
        .expect("the name is a valid one")
    }

    pub(crate) fn identity(self, seed: [u8; 32]) -> Identity {
        match self {
            Crypto::Real => Identity::from_seed(seed),
            Crypto::Cheap => Identity::cheap(seed),
        }
    }
}

/// How one direction of a link behaves. Shares are 0.0 to 1.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkPlan {
    /// Its name.
    pub name: String,
    /// The least time under way.
    pub latency_us: u64,
    /// What is drawn on top, at most.
    pub jitter_us: u64,
    /// Bytes a second.
    pub bandwidth: u64,
    /// How much may wait before datagrams are dropped.
    pub queue_ms: u64,
    /// The share lost, in the good state.
    pub loss: f64,
    /// The share lost, in the bad state (Gilbert 1960, Elliott 1963).
    pub burst_loss: f64,
    /// The chance, for each packet, to enter the bad state.
    pub enter_burst: f64,
    /// The chance, for each packet, to leave it.
    pub leave_burst: f64,
    /// The share of datagrams that arrive twice.
    pub duplication: f64,
    /// The share of datagrams that others overtake.
    pub reordering: f64,
    /// The share of datagrams with a flipped bit.
    pub corruption: f64,
    /// The share of datagrams that are cut short.
    pub truncation: f64,
    /// The share of reads of a stream that bring only a part.
    pub partial_reads: f64,
    /// The share of a stream's pieces with a flipped bit that TCP's checksum did not see.
    pub stream_corruption: f64,
}

impl Default for LinkPlan {
    /// A wired link without faults.
    fn default() -> Self {
        LinkPlan {
            name: String::new(),
            latency_us: 200,
            jitter_us: 100,
            bandwidth: 125_000_000,
            queue_ms: 100,
            loss: 0.0,
            burst_loss: 0.0,
            enter_burst: 0.0,
            leave_burst: 1.0,
            duplication: 0.0,
            reordering: 0.0,
            corruption: 0.0,
            truncation: 0.0,
            partial_reads: 0.0,
            stream_corruption: 0.0,
        }
    }
}

/// A broadcast domain: 10.`number`.0.0/16.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanPlan {
    /// Its name.
    pub name: String,
    /// The link that its hosts have to each other; a wired one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Whether broadcasts get through before the core is healed.
    #[serde(default = "yes")]
    pub broadcast: bool,
    /// Whether multicasts get through before the core is healed.
    #[serde(default = "yes")]
    pub multicast: bool,
    /// What this network never carries, healed or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<Carriage>,
    /// Whether its interfaces have an IPv4 address.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ipv4: bool,
    /// Whether its interfaces have an IPv6 address: a link-local one, fe80::`number`:x.
    #[serde(default, skip_serializing_if = "is_no")]
    pub ipv6: bool,
    /// The largest packet; a longer datagram travels in fragments, and is lost if one of them is.
    #[serde(default = "ethernet_mtu")]
    pub mtu: usize,
    /// Hosts that the access point keeps apart from each other.
    #[serde(default)]
    pub isolated: Vec<String>,
    /// The router to the internet, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Nat>,
}

/// A way by which a datagram gets to all hosts of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carriage {
    /// To the broadcast address of the network.
    DirectedBroadcast,
    /// To 255.255.255.255.
    LimitedBroadcast,
    /// To a group of IPv4.
    Multicast4,
    /// To a group of IPv6.
    Multicast6,
}

/// What the firewall of a host keeps out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firewall {
    /// Nothing: there is none.
    #[default]
    None,
    /// Every stream that comes from outside.
    Streams,
    /// That, and datagrams to private ports but from where the host sent one lately. The ports of beacons are open.
    PrivatePorts,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    /// Its name.
    pub name: String,
    /// The networks that it has an interface in.
    pub lans: Vec<String>,
    /// Those of them in which the interface is a bridge to containers or virtual machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridges: Vec<String>,
    /// Those in which it is a tunnel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<String>,
    /// What it keeps out.
    #[serde(default, skip_serializing_if = "Firewall::is_none")]
    pub firewall: Firewall,
    /// What its clock shows when the run begins.
    #[serde(default)]
    pub clock_offset_ms: u64,
    /// How much too fast its clock is, in millionths.
    #[serde(default)]
    pub clock_drift_ppm: i64,
    /// How long its disk takes for each request.
    #[serde(default)]
    pub disk_delay_us: u64,
    /// Its IPv6 address for all, in a /64, which it has while it is in one of its networks whose router translates
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addr>,
}

/// A link that differs from what its network has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathPlan {
    /// From this host.
    pub from: String,
    /// To this one.
    pub to: String,
    /// The link.
    pub link: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// The host that it runs on. Several nodes of a host share the ports for beacons.
    pub host: String,
    /// When it starts.
    #[serde(default)]
    pub start_ms: u64,
    /// Whether it takes everything that it is offered.
    #[serde(default = "yes")]
    pub takes_offers: bool,
    /// Whether the links that it dials use AES-256-GCM.
    #[serde(default)]
    pub aes: bool,
    /// Whether it shows a wrong badge, so that nobody may trust it.
    #[serde(default)]
    pub impostor: bool,
    /// Whether its engine takes offers by a policy, and nobody is asked.
    #[serde(default, skip_serializing_if = "is_no")]
    pub by_policy: bool,
    /// Whether it declines what it does not take.
    #[serde(default, skip_serializing_if = "is_no")]
    pub declines: bool,
    /// Whether its tables are tiny and its record is good for seconds only. None of the core is so.
    #[serde(default, skip_serializing_if = "is_no")]
    pub small: bool,
    /// Whether it answers who searches its prefix.
    #[serde(default, skip_serializing_if = "is_no")]
    pub answers_searches: bool,
    /// Whom it lets in, if that is not whoever answers pings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustPlan>,
}

/// A text to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextPlan {
    /// When.
    pub at_ms: u64,
    /// Who sends it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// How long it is.
    #[serde(default)]
    pub bytes: usize,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessagePlan {
    /// When.
    pub at_ms: u64,
    /// Who sends it.
    pub from: String,
    /// To whom; to all if to nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// How long it is, at least: it begins with its number.
    #[serde(default)]
    pub bytes: usize,
}

/// Content to publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentPlan {
    /// When.
    pub at_ms: u64,
    /// Who publishes it.
    pub from: String,
    /// How long it is.
    pub bytes: usize,
    /// Another node that publishes the same content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// When it is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraw_ms: Option<u64>,
}

/// An application that pauses all that it fetches, for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldPlan {
    /// When.
    pub at_ms: u64,
    /// For how long.
    pub for_ms: u64,
    /// At which node.
    pub node: String,
}

/// An address by hand: that of `to`, as it is then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialPlan {
    /// When.
    pub at_ms: u64,
    /// Who dials.
    pub from: String,
    /// Whom.
    pub to: String,
}

/// An application that parts from a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartPlan {
    /// When.
    pub at_ms: u64,
    /// Who parts.
    pub node: String,
    /// From whom.
    pub from: String,
}

/// A departure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeavePlan {
    /// When.
    pub at_ms: u64,
    /// Who leaves.
    pub node: String,
}

impl Plan {
    /// The plan as TOML; [`parse`](Self::parse) gives the same plan back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Only maps with keys that are not strings, and values before tables, could fail.
        toml::to_string(self).unwrap_or_default()
    }

    /// Until when faults happen.
    #[must_use]
    pub fn chaos(&self) -> Duration {
        Duration::from_millis(self.chaos_ms)
    }

    pub(crate) fn node(&self, name: &str) -> Option<usize> {
        self.node.iter().position(|node| node.name == name)
    }

    pub(crate) fn host(&self, name: &str) -> Option<usize> {
        self.host.iter().position(|host| host.name == name)
    }

    pub(crate) fn lan(&self, name: &str) -> Option<usize> {
        self.lan.iter().position(|lan| lan.name == name)
    }

    /// Whether a node is an adversary, or has had its key stolen: nothing is promised to it, nor by it.
    pub(crate) fn is_suspect(&self, name: &str) -> bool {
        self.adversary.iter().any(|known| known.node == name || known.stolen.as_deref() == Some(name))
    }

    pub(crate) fn is_core(&self, node: usize) -> bool {
        self.node.get(node).is_some_and(|node| self.core.contains(&node.name))
    }
}

impl Firewall {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_none(&self) -> bool {
        *self == Firewall::None
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_yes(flag: &bool) -> bool {
    *flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_no(flag: &bool) -> bool {
    !flag
}

const fn yes() -> bool {
    true
}

const fn ethernet_mtu() -> usize {
    1500
}
