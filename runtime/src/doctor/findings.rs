//! What the doctor looks at, as plain data. Everything that is concluded follows from this alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use p2pnet_engine::Rung;
use serde::{Deserialize, Serialize};

use super::text;
use super::why::Why;

/// What was found. Strings that come from peers or from the system are shown escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Findings {
    /// What this host runs, as Rust names it: `linux`, `macos`, `windows`.
    pub system: String,
    /// The network's name.
    pub network: String,
    /// Whether a secret closes it.
    pub closed: bool,
    /// Whether its user named the interfaces to use.
    pub chosen: bool,
    /// The protocol version that is spoken here.
    pub protocol: u8,
    /// The ports that nodes find each other on.
    pub designated_ports: Vec<u16>,
    /// The port of unicasts and links; 0 if the node did not start.
    pub private_port: u16,
    /// How long it was listened.
    pub listened_ms: u64,
    /// The interfaces that the node works on.
    pub interfaces: Vec<InterfaceFound>,
    /// The peers that are known.
    pub peers: Vec<PeerFound>,
    /// Who was heard and not understood.
    pub refusals: Vec<Refused>,
    /// Links that answered and did not prove that they are on this network.
    pub handshakes_failed: u64,
    /// What came of addresses that were given, and of the heard peers' without a link.
    pub tried: Vec<Tried>,
    /// Routers and whether they answer.
    pub gateways: Vec<Gateway>,
    /// Designated ports that cannot be listened on.
    pub ports_refused: Vec<PortRefused>,
    /// The last datagram of each interface that the system would not send.
    pub send_errors: Vec<SendError>,
    /// Subnets of ours whose route leads elsewhere.
    pub stolen_routes: Vec<StolenRoute>,
    /// Firewalls of this host.
    pub firewalls: Vec<Firewall>,
    /// The container that this runs in, if it does.
    pub container: Option<String>,
    /// By how much the wall clock moved against the monotonic one while it was listened.
    pub clock_moved_ms: i64,
    /// Why no node could be started.
    pub not_started: Option<NotStarted>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InterfaceFound {
    /// The operating system's name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its addresses with the lengths of their prefixes.
    pub addrs: Vec<(IpAddr, u8)>,
    /// What went out and came back, by rung.
    pub rungs: Vec<RungFound>,
}

/// What an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A cable or a radio.
    Lan,
    /// A bridge to containers or virtual machines.
    Virtual,
    /// A tunnel, such as a VPN.
    Tunnel,
    /// Never leaves the host.
    Loopback,
}

/// One rung of one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RungFound {
    /// Which.
    #[serde(with = "text::rung")]
    pub rung: Rung,
    /// Datagrams since the node started.
    pub sent: u64,
    /// Datagrams that its budget held back.
    pub held_back: u64,
    /// When the last one went out.
    pub last_sent_ago_ms: Option<u64>,
    /// When one of our own last came back by it.
    pub own_heard_ago_ms: Option<u64>,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerFound {
    /// What is known of it, and how it was tried.
    pub why: Why,
    /// The interface that it was heard on, or that its address belongs to.
    pub interface: Option<String>,
}

/// Somebody who was heard and not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// Where from.
    pub source: SocketAddr,
    /// Why.
    pub cause: RefusedFor,
    /// How often.
    pub count: u64,
    /// When last.
    pub ago_ms: u64,
}

/// Why a datagram is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedFor {
    /// Another network name, or another secret: which of them cannot be seen.
    OtherNetwork,
    /// Another version of the protocol.
    OtherVersion(u8),
    /// None of ours.
    Malformed,
}

/// A TCP connection to an address, tried and closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tried {
    /// Where to.
    pub address: SocketAddr,
    /// Whether the user named it.
    pub given: bool,
    /// The interface that the system chose for the way there.
    pub by: Option<String>,
    /// The interface whose subnet it is on.
    pub subnet_of: Option<String>,
    /// What came of it.
    pub outcome: TriedOutcome,
    /// Whether the host answers on the link layer.
    pub neighbour: Neighbour,
}

/// What came of trying an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TriedOutcome {
    /// Somebody listens.
    Connected,
    /// The host is there and nothing listens.
    Refused,
    /// No answer.
    TimedOut,
    /// The host does not answer on the link layer, or a router says so.
    HostUnreachable,
    /// There is no route.
    NetworkUnreachable,
    /// The operating system forbids it.
    Forbidden,
    /// Anything else.
    Failed,
}

/// Whether a host of our own subnet answers on the link layer (ARP).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Neighbour {
    /// It does.
    Answers,
    /// It was asked and does not.
    Silent,
    /// Not known: it is not on our subnet, was not asked, or this system does not say.
    #[default]
    Unknown,
}

/// A router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gateway {
    /// Where.
    pub address: Ipv4Addr,
    /// By which interface.
    pub interface: String,
    /// Whether it answers.
    pub neighbour: Neighbour,
}

/// A designated port that cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortRefused {
    /// Which.
    pub port: u16,
    /// Where.
    pub interface: String,
    /// Whether another program holds it, and not the system forbids it.
    pub taken: bool,
    /// What the system says.
    pub message: String,
    /// Who holds it, as far as can be seen.
    pub holder: Option<String>,
}

/// A datagram that the system would not send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SendError {
    /// By which interface.
    pub interface: String,
    /// Where to.
    pub destination: SocketAddr,
    /// What it was.
    pub kind: SendErrorKind,
    /// What the system says.
    pub message: String,
    /// When.
    pub ago_ms: u64,
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SendErrorKind {
    /// Not permitted.
    Forbidden,
    /// No way to the host; on macOS also what a missing permission looks like.
    HostUnreachable,
    /// No way to the network.
    NetworkUnreachable,
    /// Anything else.
    Other,
}

/// A subnet of ours that the system reaches by another interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StolenRoute {
    /// The interface that is on the subnet.
    pub interface: String,
    /// An address of the subnet that was asked about.
    pub towards: Ipv4Addr,
    /// The interface that the route leads by.
    pub by: String,
    /// What that is.
    pub by_kind: Kind,
}

/// A program that filters packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Firewall {
    /// ufw, enabled.
    Ufw,
    /// firewalld, running.
    Firewalld,
    /// nft, installed; whether it has rules only root can see.
    Nft,
}

/// Why no node could be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotStarted {
    /// No interface is up.
    NoInterface,
    /// None of the designated ports could be listened on.
    PortsRefused,
}
