//! What happened, in order: as JSON lines, as text for people, and as one hash.

mod events;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p2pnet_engine::PeerId;
use serde::Serialize;

/// Everything that happened in one run, in order.
///
/// Nodes, peers and addresses appear by their aliases, so a trace does not change with keys.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    entries: Vec<Entry>,
    lanes: Vec<String>,
    peers: BTreeMap<PeerId, String>,
    hosts: BTreeMap<IpAddr, String>,
    hash: [u8; 32],
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The number of what happened when this was noted; a [`World`](crate::World) numbers everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The number of what caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// Virtual milliseconds since the run began, to the microsecond.
    pub t_ms: f64,
    /// The node that it happened to; `None` for the network as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What happened. Peers and places are aliases.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs, reason = "each name is its own sentence")]
pub enum What {
    Started { incarnation: u64 },
    Stopped,
    Sent { to: String, bytes: usize },
    Heard { from: String, bytes: usize },
    Wrote { to: String, bytes: usize },
    Read { from: String, bytes: usize },
    Woke { reason: String },
    Dialled { to: String },
    DialFailed { to: String, error: String },
    Accepted { from: String },
    StreamEnded { with: String, error: Option<String> },
    PeerDiscovered { peer: String },
    PeerConnected { peer: String },
    PeerTrusted { peer: String },
    PeerLeft { peer: String, reason: &'static str },
    PeerLiveness { peer: String, is: &'static str },
    PeerRejected { peer: String, reason: &'static str, by_us: bool },
    StepMessage { peer: String, step: String, bytes: Option<usize> },
    CodeReady { peer: String, name: String, code: String, confirm: bool },
    DecisionWanted { peer: String, name: String },
    Text { from: String, text: String, trusted: bool },
    TextDelivered { to: String, id: u64 },
    TextsLost { to: String, first: u64, last: u64 },
    TaskExecuted { kind: &'static str, outcome: String },
    Message { from: String, bytes: usize, hops: u16 },
    MessageSettled { id: u64, delivered: u32, missing: Vec<String> },
    ContentOffered { from: String, content: String, bytes: u64 },
    ContentReceived { from: String, content: String, fetched_bytes: u64 },
    ContentFailed { content: String, reason: &'static str },
    ContentDelivered { to: String, content: String },
    ContentPaused { content: String, paused: bool },
    ContentHeldUp { to: String, content: String },
    DeliveryPaused { to: String, content: String, paused: bool },
    ContentDeclined { to: String, content: String },
    IncompatiblePeer { at: String, version: u8 },
    Left,
    Warning { message: String },
    Fault { fault: String },
    Check { check: String, passed: bool },
    Announced { to: String, bytes: usize },
    Answered { by: String, records: Option<usize> },
    TaskRefused { why: String },
    AuthorityLocked { authority: String },
    IdentityShared { at: String },
    Superseded,
    IdentityReclaimed,
    SearchGoesOn { sent: u64, of: u64, found: u64 },
    SearchFound { peer: String, at: String },
    SearchEnded { sent: u64, found: u64 },
}

/// How much of a trace to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What applications see, faults and checks.
    Events,
    /// Links too.
    Links,
    /// Everything, each datagram included.
    Everything,
}

impl What {
    fn detail(&self) -> Detail {
        match self {
            What::Sent { .. }
            | What::Heard { .. }
            | What::Wrote { .. }
            | What::Read { .. }
            | What::Woke { .. } => Detail::Everything,
            What::Dialled { .. }
            | What::Announced { .. }
            | What::Answered { .. }
            | What::DialFailed { .. }
            | What::Accepted { .. }
            | What::StreamEnded { .. } => Detail::Links,
            _ => Detail::Events,
        }
    }
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Trace::default()
    }

    /// Gives a node its lane and a host its name.
    pub fn name_host(&mut self, alias: &str, host: IpAddr) {
        if !self.lanes.iter().any(|lane| lane == alias) {
            self.lanes.push(alias.to_owned());
        }
        self.hosts.insert(host, alias.to_owned());
    }

    /// Says which peer id a node has.
    pub fn name_peer(&mut self, alias: &str, peer: PeerId) {
        self.peers.insert(peer, alias.to_owned());
    }

    /// Appends what happened to `node`, or to the network as a whole.
    pub fn push(&mut self, at: Duration, node: Option<&str>, what: What) {
        self.append(at, node, None, what);
    }

    /// Appends what happened during happening `id`, which `cause` caused.
    pub fn push_caused(&mut self, at: Duration, node: Option<&str>, (id, cause): (u64, u64), what: What) {
        self.append(at, node, Some((id, cause)), what);
    }

    fn append(&mut self, at: Duration, node: Option<&str>, number: Option<(u64, u64)>, what: What) {
        let micros = at.as_micros() as f64;
        let (id, cause) = (number.map(|(id, _)| id), number.map(|(_, cause)| cause));
        let entry = Entry { id, cause, t_ms: micros / 1000.0, node: node.map(str::to_owned), what };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.hash);
        hasher.update(entry.json().as_bytes());
        self.hash = *hasher.finalize().as_bytes();
        self.entries.push(entry);
    }

    /// Everything that happened.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The alias of a peer, or the short form of its id.
    #[must_use]
    pub fn peer(&self, peer: &PeerId) -> String {
        self.peers.get(peer).cloned().unwrap_or_else(|| peer.short())
    }

    /// An address with its host's alias.
    #[must_use]
    pub fn place(&self, address: SocketAddr) -> String {
        let ip = address.ip();
        let host = match ip {
            IpAddr::V4(v4) if v4.is_broadcast() => "all".to_owned(),
            ip if ip.is_multicast() => "group".to_owned(),
            ip => self.hosts.get(&ip).cloned().unwrap_or_else(|| ip.to_string()),
        };
        format!("{host}:{}", address.port())
    }

    /// Each entry is hashed together with the hash of all before it: equal hashes mean equal runs.
    #[must_use]
    pub fn hash(&self) -> String {
        self.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The last entry and what led to it, the earliest first: `most` entries at the most.
    #[must_use]
    pub fn causes_of_last(&self, most: usize) -> Vec<&Entry> {
        let mut chain: Vec<&Entry> = Vec::new();
        let mut wanted = None;
        for entry in self.entries.iter().rev() {
            if chain.is_empty() || (wanted.is_some() && entry.id == wanted) {
                // Several entries of one happening all belong to the chain; the cause is the same.
                chain.push(entry);
                if chain.len() == most {
                    break;
                }
                if chain.len() == 1 || chain[chain.len() - 2].id != entry.id {
                    wanted = entry.id.or(wanted);
                }
            } else if let Some(last) = chain.last()
                && entry.id.is_some()
                && entry.id == last.cause
            {
                chain.push(entry);
                wanted = entry.id;
                if chain.len() == most {
                    break;
                }
            }
        }
        chain.reverse();
        chain
    }

    /// One entry as a line of [`text`](Self::text), without a line end.
    #[must_use]
    pub fn entry_text(&self, entry: &Entry) -> String {
        self.line(entry)
    }

    /// Every check so far: virtual milliseconds, what was checked, whether it held.
    pub fn checks(&self) -> impl Iterator<Item = (f64, &str, bool)> {
        self.entries.iter().filter_map(|entry| match &entry.what {
            What::Check { check, passed } => Some((entry.t_ms, check.as_str(), *passed)),
            _ => None,
        })
    }

    /// One JSON object a line.
    #[must_use]
    pub fn json(&self) -> String {
        self.entries.iter().map(|entry| entry.json() + "\n").collect()
    }

    /// One line an entry for people to read: the time in milliseconds, the node in its lane, what happened.
    #[must_use]
    pub fn text(&self, detail: Detail) -> String {
        self.entries
            .iter()
            .filter(|entry| entry.what.detail() as u8 <= detail as u8)
            .map(|entry| self.line(entry) + "\n")
            .collect()
    }

    fn line(&self, entry: &Entry) -> String {
        let mut lanes = vec![if entry.node.is_some() { "." } else { "-" }; self.lanes.len()];
        if let Some(node) = &entry.node
            && let Some(lane) = self.lanes.iter().position(|lane| lane == node)
        {
            lanes[lane] = node;
        }
        format!("{:>10.3}  {}  {}", entry.t_ms, lanes.join(" "), entry.what)
    }
}

impl Entry {
    /// The entry as one JSON object, without a line end.
    #[must_use]
    pub fn json(&self) -> String {
        // Only maps with keys that are not strings can fail, and there is none in here.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Started { incarnation } => write!(f, "started, incarnation {incarnation}"),
            What::Stopped => write!(f, "stopped"),
            What::Sent { to, bytes } => write!(f, "sends {bytes} B to {to}"),
            What::Heard { from, bytes } => write!(f, "hears {bytes} B from {from}"),
            What::Wrote { to, bytes } => write!(f, "writes {bytes} B to {to}"),
            What::Read { from, bytes } => write!(f, "reads {bytes} B from {from}"),
            What::Woke { reason } => write!(f, "wakes: {reason}"),
            What::Dialled { to } => write!(f, "dialled {to}"),
            What::Announced { to, bytes } => write!(f, "announced itself to {to}, {bytes} bytes"),
            What::Answered { by, records: Some(records) } => write!(f, "{by} told of {records} records"),
            What::Answered { by, records: None } => write!(f, "no answer of {by}"),
            What::DialFailed { to, error } => write!(f, "cannot dial {to}: {error}"),
            What::Accepted { from } => write!(f, "accepted {from}"),
            What::StreamEnded { with, error: None } => write!(f, "stream with {with} ended"),
            What::StreamEnded { with, error: Some(error) } => {
                write!(f, "stream with {with} broke: {error}")
            }
            What::PeerDiscovered { peer } => write!(f, "discovered {peer}"),
            What::PeerConnected { peer } => write!(f, "connected {peer}"),
            What::PeerTrusted { peer } => write!(f, "trusts {peer}"),
            What::PeerLeft { peer, reason } => write!(f, "{peer} left: {reason}"),
            What::PeerLiveness { peer, is } => write!(f, "{peer} is {is}"),
            What::PeerRejected { peer, reason, by_us: true } => write!(f, "does not let {peer} in: {reason}"),
            What::PeerRejected { peer, reason, by_us: false } => {
                write!(f, "is not let in by {peer}: {reason}")
            }
            What::CodeReady { peer, name, code, confirm } => {
                let mark = if *confirm { "?" } else { "" };
                write!(f, "has the code {code} with {peer}, {}{mark}", name.escape_debug())
            }
            What::DecisionWanted { peer, name } => {
                write!(f, "has to decide about {peer}, {}", name.escape_debug())
            }
            What::StepMessage { peer, step, bytes: None } => write!(f, "step {step} with {peer} begins"),
            What::StepMessage { peer, step, bytes: Some(bytes) } => {
                write!(f, "step {step}: {bytes} B from {peer}")
            }
            What::Text { from, text, trusted } => {
                let mark = if *trusted { "" } else { " (not trusted)" };
                write!(f, "text from {from}{mark}: {}", text.escape_debug())
            }
            What::TextDelivered { to, id } => write!(f, "text {id} delivered to {to}"),
            What::TaskExecuted { kind, outcome } => write!(f, "carries out {kind}: {outcome}"),
            What::TextsLost { to, first, last } => write!(f, "texts {first} to {last} for {to} are lost"),
            What::Message { from, bytes, hops: 1 } => write!(f, "message from {from} ({bytes} B)"),
            What::Message { from, bytes, hops } => {
                write!(f, "message from {from} ({bytes} B) over {hops} links")
            }
            What::MessageSettled { id, delivered, missing } if missing.is_empty() => {
                write!(f, "message {id}: {delivered} have it")
            }
            What::MessageSettled { id, delivered, missing } => {
                write!(f, "message {id}: {delivered} have it, not {}", missing.join(", "))
            }
            What::ContentOffered { from, content, bytes } => {
                write!(f, "{from} offers {content} ({bytes} B)")
            }
            What::ContentReceived { from, content, fetched_bytes } => {
                write!(f, "received {content} from {from} ({fetched_bytes} B fetched)")
            }
            What::ContentFailed { content, reason } => write!(f, "{content} failed: {reason}"),
            What::ContentDelivered { to, content } => write!(f, "{to} holds {content}"),
            What::ContentPaused { content, paused: true } => write!(f, "{content} waits for room"),
            What::ContentPaused { content, paused: false } => write!(f, "{content} goes on"),
            What::ContentHeldUp { to, content } => write!(f, "{to} has no room for {content}"),
            What::DeliveryPaused { to, content, paused: true } => write!(f, "{to} paused {content}"),
            What::DeliveryPaused { to, content, paused: false } => write!(f, "{to} goes on with {content}"),
            What::ContentDeclined { to, content } => write!(f, "{to} declined {content}"),
            What::IncompatiblePeer { at, version } => write!(f, "{at} speaks version {version}"),
            What::TaskRefused { why } => write!(f, "refuses a task: {why}"),
            What::AuthorityLocked { authority } => write!(f, "takes {authority} for its only authority"),
            What::IdentityShared { at } => write!(f, "has the same key as {at}"),
            What::Superseded => write!(f, "is outranked by another with its key"),
            What::IdentityReclaimed => write!(f, "claims its key again"),
            What::SearchGoesOn { sent, of, found } => {
                write!(f, "has searched {sent} of {of} addresses, {found} peers there")
            }
            What::SearchFound { peer, at } => write!(f, "found {peer} at {at}"),
            What::SearchEnded { sent, found } => write!(f, "searched {sent} addresses, {found} peers there"),
            What::Left => write!(f, "left"),
            What::Warning { message } => write!(f, "warning: {message}"),
            What::Fault { fault } => write!(f, "FAULT {fault}"),
            What::Check { check, passed: true } => write!(f, "OK {check}"),
            What::Check { check, passed: false } => write!(f, "FAILED {check}"),
        }
    }
}

/// A trace that several hosts of one simulation write to.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Trace>>);

impl Recorder {
    /// A recorder with an empty trace.
    #[must_use]
    pub fn new() -> Self {
        Recorder::default()
    }

    /// Appends what happened to `node`, or to the network as a whole.
    pub fn push(&self, at: Duration, node: Option<&str>, what: What) {
        self.lock().push(at, node, what);
    }

    /// The trace so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.lock().clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Trace> {
        // Nothing panics while the lock is held, so a poisoned trace is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Trace {
        let mut trace = Trace::new();
        trace.name_host("a", "192.168.0.1".parse().unwrap());
        trace.name_host("b", "192.168.0.2".parse().unwrap());
        trace.push(Duration::from_millis(1), Some("a"), What::Started { incarnation: 1 });
        let to = trace.place("255.255.255.255:8001".parse().unwrap());
        trace.push(Duration::from_micros(1500), Some("a"), What::Sent { to, bytes: 768 });
        let from = trace.place("192.168.0.1:7000".parse().unwrap());
        trace.push(Duration::from_micros(2500), Some("b"), What::Accepted { from });
        trace.push(Duration::from_secs(3), None, What::Fault { fault: "partition a | b".into() });
        trace
    }

    #[test]
    fn text_has_one_line_an_entry_with_a_lane_for_each_node() {
        assert_eq!(
            sample().text(Detail::Everything),
            "     1.000  a .  started, incarnation 1\n     \
             1.500  a .  sends 768 B to all:8001\n     \
             2.500  . b  accepted a:7000\n  \
             3000.000  - -  FAULT partition a | b\n"
        );
        assert_eq!(sample().text(Detail::Links).lines().count(), 3);
        assert_eq!(sample().text(Detail::Events).lines().count(), 2);
    }

    #[test]
    fn json_has_one_object_a_line() {
        let lines: Vec<serde_json::Value> =
            sample().json().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[1]["what"], "sent");
        assert_eq!(lines[1]["node"], "a");
        assert_eq!(lines[1]["t_ms"], 1.5);
        assert_eq!(lines[3].get("node"), None);
    }

    #[test]
    fn the_hash_tells_any_two_different_traces_apart() {
        let mut longer = sample();
        assert_eq!(longer.hash(), sample().hash());
        longer.push(Duration::from_secs(4), Some("a"), What::Stopped);
        assert_ne!(longer.hash(), sample().hash());
    }
}
