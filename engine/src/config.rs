//! How an engine behaves, and every limit that it keeps.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::authority::AuthorityPolicy;
use crate::ladder::Ladder;
use crate::link::CipherSuite;
use crate::network::Network;
use crate::offers::OfferPolicy;
use crate::policy::TrustPolicy;

/// The port that every node listens on, and two more of which one at a time is used on top of it.
pub const DESIGNATED_PORTS: [u16; 3] = [8001, 8002, 8003];

/// The multicast group of beacons: in 224.0.0.0/24, which switches flood and routers never forward.
pub const MULTICAST_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 183);

/// The multicast group of beacons over IPv6: transient, and never beyond the link.
pub const MULTICAST_GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x7032, 0x706e);

/// The longest text, in bytes of UTF-8.
pub const MAX_TEXT: usize = 16 * 1024;

/// How an engine behaves. [`Config::new`] gives the defaults; change fields, then make an engine of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The network to be on.
    pub network: Network,
    /// The name that others see: 1 to 64 bytes, no control characters.
    pub name: String,
    /// The private port: unicast datagrams and links come here. Not 0.
    pub private_port: u16,
    /// Ports that beacons go to, the anchor first: 1 to 8, different.
    pub designated_ports: Vec<u16>,
    /// The cipher suite of links that this node dials.
    pub suite: CipherSuite,
    /// Who is let in, and what passes before that.
    pub trust: TrustPolicy,
    /// Which offers are taken without asking the application: none unless it says otherwise.
    pub offers: OfferPolicy,
    /// How many bootstrap servers there are, 0 to 8. With none this node looks for peers on its LANs only: it announces
    /// nothing to anybody beyond, and dials nobody there.
    pub servers: u8,
    /// Whether searches of IPv6 prefixes may find this node: whether a beacon that comes from beyond its own subnets, from a
    /// global or unique local IPv6 address, is answered there. Without it nothing follows from such a beacon.
    pub answer_widescan: bool,
    /// The ways by which beacons go out, and the budget of each.
    pub ladder: Ladder,
    /// How beacons are spaced after the first three.
    pub cadence: Cadence,
    /// How long the side with the larger id waits before it dials a peer it has just heard, so that one link
    /// and not two is the rule. It is never forbidden to dial.
    pub dial_courtesy: Duration,
    /// A link that was silent for so long is pinged.
    pub ping_after: Duration,
    /// A link that was silent for so long is lost. At least twice `ping_after`.
    pub lost_after: Duration,
    /// How long a handshake may take before the link is cut.
    pub handshake_timeout: Duration,
    /// How long our signed record is good for; re-signed every third of it. 1 s to 7 days.
    pub record_ttl: Duration,
    /// Peers kept, 16384 and more if wanted. Beyond it one without a link makes room: of those that never proved
    /// themselves the one whose place in the collection ranks highest, so that full tables agree; else the one whose
    /// record is oldest.
    pub max_peers: usize,
    /// Peers kept of those whom one neighbour told of and who never spoke for themselves. Beyond it the one whose place
    /// ranks highest goes, or is not taken. A quarter of `max_peers` lets any four neighbours tell of everybody.
    pub max_introduced: usize,
    /// Links to peers that have proven who they are. Beyond it a link that is not needed makes room for one that is;
    /// otherwise nobody new is dialled, and a newcomer's link is closed with the reason "full".
    pub max_links: usize,
    /// Links that a node keeps up by itself when it knows more peers than `max_links`; three quarters of `max_links` at
    /// most. At least 1.
    pub active_links: usize,
    /// Links that are still shaking hands, dialled to us. Beyond it the oldest is cut.
    pub max_half_open: usize,
    /// Dials in flight, to one peer.
    pub max_dials: usize,
    /// Control bytes that wait for a link. Beyond half of it nothing more is queued that can be asked for or sent
    /// again (answers, records, texts, first offers); if even what must not be dropped does not fit into the
    /// whole, the link is closed.
    pub max_queued: usize,
    /// Texts that wait for a peer; beyond it [`Engine::send_text`](crate::Engine::send_text) refuses. Also texts
    /// that wait for the application; beyond it they are not acknowledged and come again.
    pub max_texts: usize,
    /// Messages that wait for one peer, whether it is there or not. Beyond it
    /// [`Engine::send_message`](crate::Engine::send_message) refuses.
    pub max_messages: usize,
    /// Bytes of messages that were sent and whose outcome was not taken; beyond it
    /// [`Engine::broadcast`](crate::Engine::broadcast) refuses, in a crowd beyond a quarter of it. As much is held to be
    /// passed on again in a crowd, then the oldest goes. As much may wait for the application, a quarter of it from one sender; beyond that it is not
    /// acknowledged and comes again. Each message counts for 1 KiB at least. 256 KiB or more.
    pub max_message_bytes: usize,
    /// How long a message is kept for those who are away: until then its outcome may take. 1 s to 1 day.
    pub message_ttl: Duration,
    /// Contents offered to others, contents being fetched, and offers remembered for each peer.
    pub max_contents: usize,
    /// Blocks asked for and not yet written, for each content: 1 to 64. Memory is this many MiB.
    pub window: usize,
    /// How long a source may send nothing that was asked for before another is tried.
    pub source_timeout: Duration,
    /// From whom tasks are taken, which bootstrap servers are used, and who names this node.
    pub authority: AuthorityPolicy,
    /// The bug that the engine is given, to see that a check finds it.
    #[cfg(feature = "planted")]
    pub planted: Option<crate::planted::Bug>,
}

/// What an entry of a list of records takes on a link, at most: a list of all must fit what may wait for a new peer. The
/// records themselves go as the link takes them.
const ENTRY_ROOM: usize = 40;

impl Config {
    /// The defaults for a node of this name on this network, with links on `private_port`.
    #[must_use]
    pub fn new(network: Network, name: impl Into<String>, private_port: u16) -> Self {
        Config {
            network,
            name: name.into(),
            private_port,
            designated_ports: DESIGNATED_PORTS.to_vec(),
            suite: CipherSuite::ChaChaPolyBlake2s,
            trust: TrustPolicy::default(),
            offers: OfferPolicy::default(),
            servers: 0,
            answer_widescan: false,
            ladder: Ladder::default(),
            cadence: Cadence::default(),
            dial_courtesy: Duration::from_millis(100),
            ping_after: Duration::from_secs(1),
            lost_after: Duration::from_secs(4),
            handshake_timeout: Duration::from_secs(5),
            record_ttl: Duration::from_secs(24 * 3600),
            max_peers: 1024,
            max_introduced: 256,
            max_links: 32,
            active_links: 12,
            max_half_open: 64,
            max_dials: 8,
            max_queued: 2 << 20,
            max_texts: 64,
            max_messages: 256,
            max_message_bytes: 16 << 20,
            message_ttl: Duration::from_secs(600),
            max_contents: 256,
            window: 8,
            source_timeout: Duration::from_secs(10),
            authority: AuthorityPolicy::default(),
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// Checks every field; the error says which one is out of its range.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let ports = &self.designated_ports;
        let distinct = ports.iter().enumerate().all(|(i, port)| !ports[..i].contains(port));
        let checks = [
            (
                !self.name.is_empty() && self.name.len() <= 64 && !self.name.chars().any(char::is_control),
                ConfigError::Name,
            ),
            (self.private_port != 0, ConfigError::PrivatePort),
            ((1..=8).contains(&ports.len()) && distinct && !ports.contains(&0), ConfigError::DesignatedPorts),
            (self.cadence.is_valid(), ConfigError::Cadence),
            (self.servers <= 8, ConfigError::Servers),
            (
                self.ping_after >= Duration::from_millis(10) && self.lost_after >= self.ping_after * 2,
                ConfigError::Liveness,
            ),
            (
                [self.handshake_timeout, self.source_timeout]
                    .iter()
                    .all(|time| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(time))
                    && self.dial_courtesy <= Duration::from_secs(10),
                ConfigError::Timeouts,
            ),
            (
                (Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&self.message_ttl),
                ConfigError::MessageTtl,
            ),
            (
                (Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600)).contains(&self.record_ttl),
                ConfigError::RecordTtl,
            ),
            (
                self.max_peers >= 1
                    && self.max_introduced >= 1
                    && self.max_links >= 1
                    && self.active_links >= 1
                    && self.max_half_open >= 1
                    && self.max_dials >= 1
                    && self.max_queued >= 256 * 1024
                    && self.max_queued / 2 >= self.max_peers.saturating_mul(ENTRY_ROOM)
                    && self.max_texts >= 1
                    && self.max_messages >= 1
                    && self.max_message_bytes >= 256 * 1024
                    && self.max_contents >= 1
                    && (1..=64).contains(&self.window),
                ConfigError::Limits,
            ),
        ];
        let failed = checks.into_iter().find(|(ok, _)| !ok);
        failed.map_or(Ok(()), |(_, error)| Err(error))?;
        self.trust.validate()?;
        self.authority.validate(self.servers)
    }
}

/// How beacons are spaced after the burst at the start. Whatever it says is stretched when many peers are known, so that
/// a whole LAN keeps one budget, and when this node has all the links that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cadence {
    /// Always the same, within 10 % either way.
    Constant {
        /// The time between two beacons.
        interval: Duration,
    },
    /// Moves between `fastest` and `slowest` and back along a sine, beginning at a point that the peer id gives,
    /// so that a LAN's beacons spread out.
    Sine {
        /// The shortest time between two beacons.
        fastest: Duration,
        /// The longest.
        slowest: Duration,
        /// The time from fastest to fastest.
        period: Duration,
    },
    /// Trickle (RFC 6206): the interval doubles from `fastest` to `slowest` while nothing is new, and whoever has heard
    /// `redundancy` others within an interval is silent in it. Anything new begins anew with `fastest`.
    Trickle {
        /// The shortest interval, *Imin*.
        fastest: Duration,
        /// The longest, *Imax*.
        slowest: Duration,
        /// How many others suffice, *k*. At least 1.
        redundancy: u32,
    },
}

impl Default for Cadence {
    /// Every 5 s: measured beside the others (`p2pnet-sim timing`), it finds sooner than a sine between 1 s and 20 s for
    /// the same number of datagrams, and sooner than Trickle, which sends fewer.
    fn default() -> Self {
        Cadence::Constant { interval: Duration::from_secs(5) }
    }
}

impl Cadence {
    fn is_valid(&self) -> bool {
        let range = Duration::from_millis(100)..=Duration::from_secs(300);
        match self {
            Cadence::Constant { interval } => range.contains(interval),
            Cadence::Sine { fastest, slowest, period } => {
                range.contains(fastest)
                    && range.contains(slowest)
                    && fastest <= slowest
                    && (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(period)
            }
            Cadence::Trickle { fastest, slowest, redundancy } => {
                range.contains(fastest)
                    && range.contains(slowest)
                    && fastest <= slowest
                    && (1..=1000).contains(redundancy)
            }
        }
    }
}

/// A [`Config`] that no engine can run with. Nothing was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The node's name.
    #[error("the name must be 1 to 64 bytes without control characters")]
    Name,
    /// The private port.
    #[error("the private port must not be 0: bind it first, then tell the engine its number")]
    PrivatePort,
    /// The designated ports.
    #[error("give 1 to 8 different designated ports, none of them 0")]
    DesignatedPorts,
    /// The steps.
    #[error(
        "at most 8 verification steps, custom ones named by 1 to 32 lower-case letters, digits and dashes; certificates need an authority"
    )]
    Verification,
    /// The lists of the trust policy.
    #[error("at most 4096 allowed peers and 8 authorities, and max_waiting at least 1")]
    TrustLists,
    /// The cadence.
    #[error(
        "beacon intervals must be between 100 ms and 300 s, a sine's period between 1 s and 1 h, Trickle's redundancy 1 to 1000"
    )]
    Cadence,
    /// The bootstrap servers.
    #[error("at most 8 bootstrap servers")]
    Servers,
    /// The liveness times.
    #[error("ping_after must be at least 10 ms, lost_after at least twice that")]
    Liveness,
    /// A time limit, or the courtesy before a dial.
    #[error("time limits must be between 100 ms and 1 h, dial_courtesy at most 10 s")]
    Timeouts,
    /// The record's time to live.
    #[error("record_ttl must be between 1 s and 7 days")]
    RecordTtl,
    /// How long messages are kept.
    #[error("message_ttl must be between 1 s and 1 day")]
    MessageTtl,
    /// A limit is too small to work with, or for the others.
    #[error(
        "every limit must be at least 1, max_queued at least 256 KiB and 80 bytes for each of max_peers, max_message_bytes at least 256 KiB, window at most 64"
    )]
    Limits,
    /// Authorities are wanted and not used.
    #[error(
        "authorities are not used, so none can be required, locked to or accepted: use them, or take that back"
    )]
    AuthorityUnused,
    /// An authority is required and none can be accepted.
    #[error("an authority is required and none is known: give its key, or lock to the first one")]
    AuthorityUnknown,
    /// There are bootstrap servers and none may be used.
    #[error(
        "no bootstrap server may be used: use those that only pass records on, or those that are authorities"
    )]
    NoServerAllowed,
    /// Too many authorities.
    #[error("at most 8 authorities can be accepted")]
    Authorities,
    /// A lock on several.
    #[error("a lock leaves one authority: give its key or none, not several")]
    AuthorityLock,
    /// The name is to come from an authority, and none is accepted.
    #[error(
        "nobody can name this node: give the key of an authority, lock to the first one, or let its own side name it"
    )]
    NobodyNames,
    /// The name is to come from an authority only, and there is one.
    #[error(
        "only an authority may name this node, and it was given a name: leave the name out, or choose another identifier policy"
    )]
    NamedHere,
}
