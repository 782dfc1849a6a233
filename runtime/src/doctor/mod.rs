//! Why peers do not meet: looking at the node, its sockets and its host, and naming the cause with the remedy.
//!
//! [`examine`] looks, which takes a few seconds: it has the node probe each rung of the ladder and ask the peers that
//! it hears to answer by each, tries the addresses that were given, and reads what the system says of routes, neighbours
//! and firewalls. What it finds is plain data, [`Findings`]; [`diagnose`] concludes, and does nothing else.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use p2pnet::doctor::{Request, diagnose, examine};
//!
//! let node = p2pnet::Node::builder("alice").start().await?;
//! let findings = examine(&node.handle(), &Request::default(), |_| {}).await?;
//! for found in diagnose(&findings) {
//!     println!("{}: {} {}", found.about, found.sentence, found.remedy);
//! }
//! # Ok(())
//! # }
//! ```

mod cause;
mod diagnose;
mod examine;
mod findings;
mod host;
mod mirror;
#[cfg(test)]
mod tests;
mod text;
mod why;

pub use cause::{Cause, Diagnosis, Severity, open_ports};
pub use diagnose::{diagnose, verified};
pub use examine::{MAX_ADDRESSES, PROBED_AFTER, Progress, Request, examine, not_started};
pub use findings::{
    Findings, Firewall, Gateway, InterfaceFound, Kind, Neighbour, NotStarted, PeerFound, PortRefused,
    Refused, RefusedFor, RungFound, SendError, SendErrorKind, StolenRoute, Tried, TriedOutcome,
};
pub(crate) use mirror::{Names, Survey, survey, why};
pub use text::{level_word, rung_word};
pub use why::{Dial, Heard, Left, Linked, Outcome, Rejected, Source, Why};
