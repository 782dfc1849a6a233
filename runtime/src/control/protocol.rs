//! The lines that go over the control socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::doctor::{Diagnosis, Findings, Progress, Why};

/// The version of these lines. It grows when an old client would misunderstand a new server.
pub const VERSION: u32 = 1;

/// The longest line of a client: a text of the largest size, every byte of it escaped, and some room.
pub(super) const MAX_ASK: usize = 6 * p2pnet_engine::MAX_TEXT + 8 * 1024;

/// The longest line of a server: findings of a host with many interfaces and 64 peers.
pub(super) const MAX_ANSWER: usize = 2 << 20;

/// The first line, from the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Greeting {
    /// [`VERSION`].
    pub p2pnet_control: u32,
    /// The program's version.
    pub version: String,
    /// The node's id.
    pub peer: String,
    /// The node's name.
    pub name: String,
    /// The network that it is on.
    pub network: String,
    /// Whether a secret closes the network.
    pub closed: bool,
    /// The designated ports.
    pub ports: Vec<u16>,
    /// The interfaces that it was told to use, if it was.
    pub interfaces: Option<Vec<String>>,
}

/// A request: one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Ask {
    /// Who is there: a [`Answer::Peer`] for each.
    Peers {},
    /// Everything about one peer: [`Answer::Why`].
    Why {
        /// Its name, its id, or at least 8 characters of it.
        peer: String,
    },
    /// Look at everything: [`Answer::Progress`], [`Answer::Findings`], and an [`Answer::Diagnosis`] for each cause.
    Doctor {
        /// How long to listen.
        #[serde(default = "listen_ms")]
        for_ms: u64,
        /// Addresses where peers should be, `HOST:PORT` with numbers.
        #[serde(default)]
        addresses: Vec<std::net::SocketAddr>,
    },
    /// Decide for good that a peer is who it should be.
    Trust {
        /// As in `Why`; a whole id need not be known.
        peer: String,
    },
    /// Take trust back and end the link.
    Distrust {
        /// As in `Trust`.
        peer: String,
    },
    /// Have nothing more to do with a peer or an address.
    Block {
        /// As in `Trust`, or an IP address.
        who: String,
    },
    /// Take a block back.
    Unblock {
        /// As in `Block`.
        who: String,
    },
    /// Forget a peer: what was decided about it, and where it was met.
    Forget {
        /// As in `Trust`.
        peer: String,
    },
    /// Let in a peer that waits for a decision.
    Accept {
        /// As in `Trust`.
        peer: String,
    },
    /// Do not let in a peer that waits for a decision.
    Reject {
        /// As in `Trust`.
        peer: String,
    },
    /// Say whether both sides see the same code.
    ConfirmCode {
        /// As in `Trust`.
        peer: String,
        /// Whether they do.
        matches: bool,
    },
    /// Who waits for an answer: an [`Answer::Waiting`] for each.
    Waiting {},
    /// What was decided: an [`Answer::Decision`] for each.
    Decisions {},
    /// Deliver a text.
    SendText {
        /// To whom: as in `Why`, or everybody who is trusted.
        to: Option<String>,
        /// What.
        text: String,
        /// Give up when nothing has moved for so long.
        #[serde(default = "timeout_ms")]
        timeout_ms: u64,
    },
    /// Deliver a file of this host.
    SendFile {
        /// To whom: as in `Why`, or everybody who is trusted.
        to: Option<String>,
        /// Which: an absolute path.
        path: PathBuf,
        /// Give up when nothing has moved for so long.
        #[serde(default = "timeout_ms")]
        timeout_ms: u64,
    },
    /// Take a task that an authority signed, and pass it on: [`Answer::Task`].
    Task {
        /// Its bytes in hexadecimal.
        task: String,
    },
}

fn listen_ms() -> u64 {
    5_000
}

fn timeout_ms() -> u64 {
    30_000
}

/// An answer: one line. A request is answered by any number of them, the last of which is `Done` or `Error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// A peer.
    Peer(PeerLine),
    /// All about a peer.
    Why(Box<Why>),
    /// How far the doctor is.
    Progress(Progress),
    /// What the doctor found.
    Findings(Box<Findings>),
    /// What the doctor concludes.
    Diagnosis(Box<Diagnosis>),
    /// The content's hash and size, when a file was read.
    Content {
        /// As it prints.
        hash: String,
        /// Bytes.
        bytes: u64,
    },
    /// A receiver took it.
    Delivered(PeerLine),
    /// A receiver does not want it.
    Declined(PeerLine),
    /// Something that was decided.
    Decision {
        /// `trust` or `block`.
        decision: String,
        /// A peer's id or an IP address.
        who: String,
    },
    /// A peer that waits for an answer.
    Waiting {
        /// Its id.
        peer: String,
        /// The name that it gives itself.
        name: String,
        /// `code` or `decision`.
        step: String,
    },
    /// A task was taken.
    Task {
        /// Its id, 64 hexadecimal digits.
        id: String,
    },
    /// That was all; always `true`.
    Done(bool),
    /// It did not come about.
    Error(Refusal),
}

/// A peer in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PeerLine {
    /// Its id.
    pub peer: String,
    /// The name that it gives itself.
    pub name: String,
    /// `known`, `connected` or `trusted`.
    pub level: String,
    /// `alive`, `quiet`, `suspect` or `lost`; `None` if it was never connected.
    #[serde(default)]
    pub liveness: Option<String>,
    /// Where it is, as far as known.
    pub addr: Option<String>,
    /// How far away that is: `link`, `site`, `global` or `relay`; `None` without a link.
    #[serde(default)]
    pub path: Option<String>,
    /// For how long things have been so.
    #[serde(default)]
    pub since_ms: u64,
    /// Why they are, in a few words.
    #[serde(default)]
    pub why: String,
}

/// Why a request was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Whose fault it is.
    pub kind: RefusalKind,
    /// In one line.
    pub message: String,
}

/// Whose fault it is that a request was not fulfilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// The request is wrong, or names what does not exist.
    BadInput,
    /// It was tried in vain.
    NotAchieved,
}

impl Refusal {
    pub(super) fn bad(message: impl Into<String>) -> Refusal {
        Refusal { kind: RefusalKind::BadInput, message: message.into() }
    }

    pub(super) fn failed(message: impl Into<String>) -> Refusal {
        Refusal { kind: RefusalKind::NotAchieved, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What programs were promised in CONTROL.md.
    #[test]
    fn lines_are_as_documented() {
        let ask = |text: &str| serde_json::from_str::<Ask>(text);
        assert_eq!(ask(r#"{"ask":"peers"}"#).unwrap(), Ask::Peers {});
        assert_eq!(ask(r#"{"ask":"why","peer":"anna"}"#).unwrap(), Ask::Why { peer: "anna".into() });
        let doctor = Ask::Doctor { for_ms: 5000, addresses: Vec::new() };
        assert_eq!(ask(r#"{"ask":"doctor"}"#).unwrap(), doctor);
        let text = Ask::SendText { to: None, text: "x".into(), timeout_ms: 30_000 };
        assert_eq!(ask(r#"{"ask":"send_text","text":"x"}"#).unwrap(), text);
        assert!(ask(r#"{"ask":"rm"}"#).is_err());
        assert!(ask(r#"{"ask":"peers","all":true}"#).is_err());
        assert_eq!(serde_json::to_string(&Answer::Done(true)).unwrap(), r#"{"done":true}"#);
        assert_eq!(
            serde_json::to_string(&Answer::Error(Refusal::bad("no"))).unwrap(),
            r#"{"error":{"kind":"bad_input","message":"no"}}"#
        );
    }

    /// The largest text fits into a line however it is escaped.
    #[test]
    fn the_largest_text_fits() {
        let text = "\u{1}".repeat(p2pnet_engine::MAX_TEXT);
        let line =
            serde_json::to_string(&Ask::SendText { to: Some("x".repeat(64)), text, timeout_ms: 1 }).unwrap();
        assert!(line.len() < MAX_ASK, "{}", line.len());
    }
}
