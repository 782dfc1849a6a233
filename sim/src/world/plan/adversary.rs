//! Somebody who is there to do harm.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::world::faults::{FaultKind, Known};

/// An adversary: a node with keys, an engine and a place of its own, that besides sends what no engine would.
///
/// It hears every datagram of its networks, and sees the streams that somebody dials at its address. What it knows of
/// the network follows from its node: a plan with `badge` and an `impostor` has one that was never verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdversaryPlan {
    /// The node that it is.
    pub node: String,
    /// When it begins.
    pub at_ms: u64,
    /// How long it goes on; the end of the chaos ends it in any case.
    pub for_ms: u64,
    /// How many tricks it does in a second.
    pub per_second: u32,
    /// Whether it does not know the network: not even its name.
    #[serde(default, skip_serializing_if = "is_no")]
    pub outsider: bool,
    /// Whose key it has stolen, for the trick `twin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen: Option<String>,
    /// What it does, each with a weight.
    pub tricks: BTreeMap<Trick, u32>,
}

/// Something that an adversary does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trick {
    /// Random bytes: as datagrams, as streams, and as beacons and handshakes that begin rightly.
    Garbage,
    /// What it heard, once more: beacons, first handshake messages, records; beacons also under a new seal, so that
    /// their sender seems to be where the adversary is.
    Replay,
    /// Records of others: altered, signed by itself, of a later incarnation, of another network.
    Forge,
    /// Goodbyes of others: unsigned, signed by itself, or real ones of earlier runs.
    Farewell,
    /// Handshakes in which key and record are not of one peer.
    WrongKey,
    /// Much at once: datagrams, signatures to check, streams, records, questions.
    Flood,
    /// Many identities from one place: in beacons, in records that it introduces, on links that it keeps.
    Sybil,
    /// Others' beacons lure diallers to it: it passes their bytes on, or answers with a key of its own.
    Middle,
    /// Other versions and suites; and a link on which it leaves out every verification and says at once what only
    /// verified peers may.
    Downgrade,
    /// A stolen key: its rightful owner runs too.
    Twin,
    /// Handshakes and frames that come one byte at a time, or end in the middle.
    Loris,
    /// A link that it asks much on, and never reads.
    SlowReader,
}

impl Trick {
    /// All of them, with what a run counts each as.
    pub const ALL: [(Trick, FaultKind); 12] = [
        (Trick::Garbage, FaultKind::AdversaryGarbage),
        (Trick::Replay, FaultKind::AdversaryReplay),
        (Trick::Forge, FaultKind::AdversaryForge),
        (Trick::Farewell, FaultKind::AdversaryFarewell),
        (Trick::WrongKey, FaultKind::AdversaryWrongKey),
        (Trick::Flood, FaultKind::AdversaryFlood),
        (Trick::Sybil, FaultKind::AdversarySybil),
        (Trick::Middle, FaultKind::AdversaryMiddle),
        (Trick::Downgrade, FaultKind::AdversaryDowngrade),
        (Trick::Twin, FaultKind::AdversaryTwin),
        (Trick::Loris, FaultKind::AdversaryLoris),
        (Trick::SlowReader, FaultKind::AdversarySlowReader),
    ];

    /// What a run counts it as.
    #[must_use]
    pub fn kind(self) -> FaultKind {
        Trick::ALL[self as usize].1
    }
}

impl AdversaryPlan {
    /// When it is over.
    #[must_use]
    pub fn until_ms(&self, plan: &Plan) -> u64 {
        self.at_ms.saturating_add(self.for_ms).min(plan.chaos_ms)
    }

    pub(super) fn validate(&self, plan: &Plan, known: Known<'_>, nodes: &[&str]) -> Result<(), String> {
        known("node", &self.node, nodes)?;
        let of_core = |name: &String| plan.core.contains(name);
        if of_core(&self.node) {
            return Err(format!("`{}` is an adversary and cannot be of the core", self.node));
        }
        if plan.adversary.iter().filter(|other| other.node == self.node).count() > 1 {
            return Err(format!("`{}` is two adversaries", self.node));
        }
        if let Some(stolen) = &self.stolen {
            known("node", stolen, nodes)?;
            // Two of one identity fight for good: neither can be of the core.
            if of_core(stolen) || *stolen == self.node {
                return Err(format!("`{stolen}` is of the core or the adversary: its key cannot be stolen"));
            }
        }
        if self.tricks.contains_key(&Trick::Twin) && self.stolen.is_none() {
            return Err(format!("`{}`: who has no stolen key is no twin", self.node));
        }
        if !(1..=1000).contains(&self.per_second) {
            return Err(format!("`{}`: 1 to 1000 tricks a second, not {}", self.node, self.per_second));
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_no(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trick_has_its_place() {
        for (i, (trick, _)) in Trick::ALL.iter().enumerate() {
            assert_eq!(*trick as usize, i);
        }
    }
}
