//! Events as lines for people.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use owo_colors::{OwoColorize, Style};
use p2pnet::{ContentId, Event, LeaveReason, Liveness, Party, PeerId, TaskOutcome};

use crate::task;
use crate::text::{escaped, rate, size, who};

/// Names of peers kept; the rest are shown by their ids.
const MAX_NAMES: usize = 4096;

/// What peers and our own contents are called, for events that only have their ids.
#[derive(Debug, Default)]
pub(crate) struct Names {
    peers: BTreeMap<PeerId, String>,
    contents: BTreeMap<ContentId, String>,
}

impl Names {
    /// Notes who is called what.
    pub(crate) fn learn(&mut self, event: &Event) {
        if let Event::PeerDiscovered { peer, name, .. }
        | Event::PeerConnected { peer, name, .. }
        | Event::PeerTrusted { peer, name, .. }
        | Event::PeerRejected { peer, name, .. } = event
            && (self.peers.len() < MAX_NAMES || self.peers.contains_key(peer))
        {
            self.peers.insert(*peer, name.clone());
        }
    }

    /// Notes what a content of ours is called.
    pub(crate) fn learn_content(&mut self, content: ContentId, name: String) {
        self.contents.insert(content, name);
    }

    /// The content's name, or enough of its hash to recognise it, safe to print.
    pub(crate) fn content(&self, content: &ContentId) -> String {
        let hash = || content.to_string().get(..12).unwrap_or_default().to_owned();
        self.contents.get(content).map_or_else(hash, |name| escaped(name))
    }

    /// The peer's name and short id, safe to print.
    pub(crate) fn who(&self, id: &PeerId) -> String {
        self.peers.get(id).map_or_else(|| id.short(), |name| who(name, id))
    }
}

/// The line of an event: a word and the rest; `None` for what people have no use for.
pub(crate) fn event(event: &Event, names: &Names, network: &str) -> Option<(Word, String)> {
    Some(match event {
        Event::Listening { peer, name, port } => (
            Word::Quiet("listening"),
            format!("as {} in network {} on port {port}", who(name, peer), escaped(network)),
        ),
        Event::PeerDiscovered { peer, name, addr } => {
            (Word::Quiet("found"), format!("{}{}", who(name, peer), at(*addr)))
        }
        Event::PeerConnected { peer, name, addr } => {
            (Word::Quiet("connected"), format!("{}{}", who(name, peer), at(*addr)))
        }
        Event::PeerTrusted { peer, name, addr } => {
            (Word::Good("trusted"), format!("{}{}", who(name, peer), at(*addr)))
        }
        Event::PeerLeft { peer, name, reason, by } => {
            let why = match (reason, by) {
                (LeaveReason::Gone, Some(Party::Us)) => "was told goodbye",
                (LeaveReason::Gone, _) => "said goodbye",
                (LeaveReason::Lost, _) => "was lost",
                (LeaveReason::Broken, _) => "is not connected: the link broke",
                (LeaveReason::Timeout, _) => "is not connected: the link carries nothing",
                (LeaveReason::Replaced, _) => "was started anew",
                (LeaveReason::Closed, Some(Party::Us)) => "was parted from",
                (LeaveReason::Closed, _) => "closed the link",
                (LeaveReason::Rejected(_), _) => "has no link any more",
                (LeaveReason::Full, Some(Party::Us)) => "is one link too many for us",
                (LeaveReason::Full, _) => "has as many links as it may",
                (LeaveReason::Trimmed, _) => "has links enough",
                _ => reason.as_str(),
            };
            (Word::Quiet("left"), format!("{} {why}", who(name, peer)))
        }
        Event::PeerRejected { peer, name, reason, by_us } => {
            let what = if *by_us { "is not let in" } else { "does not let us in" };
            (Word::Bad("rejected"), format!("{} {what}: {}", who(name, peer), reason.sentence()))
        }
        Event::CodeReady { peer, name, code, confirm } => {
            let what =
                if *confirm { "does the other side show it too?" } else { "for the other side to compare" };
            (Word::Good("code"), format!("{code} with {}: {what}", who(name, peer)))
        }
        Event::DecisionWanted { peer, name, addr } => {
            (Word::Good("asks"), format!("{}{} wants to be let in", who(name, peer), at(*addr)))
        }
        Event::PeerLiveness { peer, name, liveness, evidence } => {
            let word = if *liveness == Liveness::Alive {
                Word::Good("alive")
            } else {
                Word::Quiet(liveness.as_str())
            };
            let silent = evidence.silent_for.as_secs_f64();
            let others = match evidence.vouched_by.len() {
                0 => String::new(),
                others => format!(", heard by {others} others"),
            };
            let since = match liveness {
                Liveness::Quiet | Liveness::Suspect | Liveness::Lost => {
                    format!(", silent for {silent:.1} s{others}")
                }
                _ => String::new(),
            };
            (word, format!("{}{since}", who(name, peer)))
        }
        Event::Text { from, text, trusted } => {
            let mark = if *trusted { "" } else { " (not verified)" };
            (Word::Good("text"), format!("{}{mark}: {}", names.who(from), escaped(text)))
        }
        Event::Message { from, bytes, .. } => {
            let what = match str::from_utf8(bytes) {
                Ok(text) => escaped(text),
                Err(_) => size(bytes.len() as u64),
            };
            (Word::Good("message"), format!("{}: {what}", names.who(from)))
        }
        Event::ContentOffered { from, manifest } => (
            Word::Quiet("offered"),
            format!("{}, {}, by {}", escaped(&manifest.name), size(manifest.content.size), names.who(from)),
        ),
        Event::ContentReceived { manifest, from, path, seconds, fetched_bytes } => {
            let whole = manifest.content.size;
            let fetched = whole.min(*fetched_bytes);
            let resumed = match whole - fetched {
                0 => String::new(),
                here => format!("; {} were here already", size(here)),
            };
            (
                Word::Good("received"),
                format!(
                    "{}, {}, from {} in {seconds:.2} s ({}{resumed})",
                    escaped(&path.to_string_lossy()),
                    size(whole),
                    names.who(from),
                    rate(fetched, *seconds),
                ),
            )
        }
        Event::ContentFailed { manifest, reason } => {
            (Word::Bad("failed"), format!("{}: {}", escaped(&manifest.name), reason.as_str()))
        }
        Event::ContentPaused { manifest } => (
            Word::Bad("waiting"),
            format!("{}: the disk is full; it goes on when there is room", escaped(&manifest.name)),
        ),
        Event::ContentResumed { manifest } => {
            (Word::Good("goes on"), format!("{}: there is room again", escaped(&manifest.name)))
        }
        Event::ContentHeldUp { content, to } => (
            Word::Bad("waiting"),
            format!("{}: the disk of {} is full", names.content(content), names.who(to)),
        ),
        Event::DeliveryPaused { content, to } => {
            (Word::Quiet("paused"), format!("{} by {}", names.content(content), names.who(to)))
        }
        Event::DeliveryResumed { content, to } => {
            (Word::Good("goes on"), format!("{} at {}", names.content(content), names.who(to)))
        }
        Event::ContentDelivered { content, to } => {
            (Word::Good("delivered"), format!("{} to {}", names.content(content), names.who(to)))
        }
        Event::ContentDeclined { content, to } => {
            (Word::Quiet("declined"), format!("{} by {}", names.content(content), names.who(to)))
        }
        Event::IncompatiblePeer { addr, version } => (
            Word::Bad("other"),
            format!("{addr} speaks version {version} of the protocol; update the older side"),
        ),
        Event::IdentityShared { addr } => (
            Word::Bad("copied"),
            format!("{addr} runs with this node's key; give one of the two a --data-dir of its own"),
        ),
        Event::Superseded => (
            Word::Bad("copied"),
            "peers believe another program that runs with this node's key, so this one waits; give it a --data-dir of its own"
                .to_owned(),
        ),
        Event::WidescanFound { peer, addr } => {
            (Word::Good("answered"), format!("{} at {addr}", names.who(peer)))
        }
        Event::WidescanEnded { sent, found, stopped } => (
            Word::Quiet(if *stopped { "stopped" } else { "searched" }),
            format!("{found} answered {sent} datagrams"),
        ),
        Event::IdentityReclaimed => {
            (Word::Quiet("alone"), "the other program with this node's key is silent; trying again".to_owned())
        }
        Event::ServerReached { server, records, observed } => {
            let seen = observed.map_or(String::new(), |address| format!(", sees us at {address}"));
            (Word::Good("server"), format!("{server} told of {records}{seen}"))
        }
        Event::ServerFailed { server, why } => (Word::Bad("server"), format!("{server} {}", escaped(why))),
        Event::Relayed { relay, address } => {
            (Word::Good("relay"), format!("others reach us at {address}, by {relay}"))
        }
        Event::Observed { relay, address } => (Word::Quiet("seen"), format!("at {address}, by {relay}")),
        Event::RelayFailed { relay, why } => (Word::Bad("relay"), format!("{relay}: {}", escaped(why))),
        Event::TaskExecuted { issuer, kind, outcome, .. } => {
            let line = format!("{}: {outcome}; asked by {}", task::shown(kind), issuer.short());
            match outcome {
                TaskOutcome::Failed { .. } => (Word::Bad("task"), line),
                _ => (Word::Good("task"), line),
            }
        }
        Event::TaskRefused { issuer, why, .. } => {
            let of = issuer.map_or(String::new(), |issuer| format!(" of {}", issuer.short()));
            (Word::Bad("task"), format!("a task{of} was refused: {why}"))
        }
        Event::AuthorityLocked { authority } => {
            (Word::Good("locked"), format!("to the authority {authority}; no other counts from now on"))
        }
        _ => return None,
    })
}

/// What a line says in one word, and how it looks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// Something was reached.
    Good(&'static str),
    /// Something went wrong.
    Bad(&'static str),
    /// Something happened.
    Quiet(&'static str),
}

impl Word {
    fn style(self) -> (&'static str, Style) {
        match self {
            Word::Good(word) => (word, Style::new().green().bold()),
            Word::Bad(word) => (word, Style::new().red().bold()),
            Word::Quiet(word) => (word, Style::new().cyan()),
        }
    }

    /// The word as it looks.
    pub(crate) fn shown(self) -> String {
        let (word, style) = self.style();
        word.style(style).to_string()
    }
}

/// The whole line: when, what in one word, and the rest.
pub(crate) fn line(at: Duration, word: Word, rest: &str) -> String {
    let (word, style) = word.style();
    if rest.is_empty() {
        return format!("{} {}", format!("{:9.3} s", at.as_secs_f64()).dimmed(), word.style(style));
    }
    // Padded first: escape sequences have no width.
    format!("{} {} {rest}", format!("{:9.3} s", at.as_secs_f64()).dimmed(), format!("{word:<9}").style(style))
}

fn at(addr: Option<SocketAddr>) -> String {
    addr.map_or_else(String::new, |addr| format!(" at {addr}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer's name and text come to the terminal as text.
    #[test]
    fn strings_of_peers_are_escaped() {
        let peer = PeerId::from_bytes([7; 32]);
        let mut names = Names::default();
        names.learn(&Event::PeerDiscovered { peer, name: "\u{1b}[31mx".into(), addr: None });
        let text = Event::Text { from: peer, text: "\u{1b}]0;y\u{7}".into(), trusted: false };
        let (_, rest) = event(&text, &names, "n").unwrap();
        assert!(!rest.contains(char::is_control), "{rest:?}");
        assert!(rest.contains("not verified"));
    }

    /// So do the words of servers and relays.
    #[test]
    fn strings_of_servers_are_escaped() {
        let (name, why) = ("x".to_owned(), "refuses: a\u{202e}b\u{1b}".to_owned());
        for failed in [
            Event::ServerFailed { server: name.clone(), why: why.clone() },
            Event::RelayFailed { relay: name, why },
        ] {
            let (_, rest) = event(&failed, &Names::default(), "n").unwrap();
            assert!(rest.ends_with("refuses: a\\u{202e}b\\u{1b}"), "{rest:?}");
        }
    }
}
