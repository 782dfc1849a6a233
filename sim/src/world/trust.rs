//! Whom the nodes of a plan let in: their policies as engines take them, and what must come of each pair.

use std::collections::BTreeSet;
use std::time::Duration;

use p2pnet_engine::{Certificate, PeerId, RejectReason, Step, TrustPolicy};

use crate::draws::seed_bytes;

use super::World;
use super::plan::{Asked, CertificateKind, Plan, TrustPlan};

/// What the wall clocks show when a run begins, in seconds since 1970. They all agree.
pub(super) const BEGINNING: u64 = 1_700_000_000;

/// An engine is told the time once a second, and keeps it by a clock of its own in between.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

impl Asked {
    pub(super) fn step(self) -> Step {
        match self {
            Asked::Code => Step::Code,
            Asked::Certificate => Step::Certificate,
            Asked::Decision => Step::Decision,
        }
    }
}

impl Plan {
    /// Whether any node has a policy of its own, or takes tasks: then all are told the time.
    pub(crate) fn has_policies(&self) -> bool {
        self.operator || self.node.iter().any(|node| node.trust.is_some())
    }

    /// Whether there are people who compare codes.
    pub(crate) fn compares_codes(&self) -> bool {
        let asks = |trust: &TrustPlan| trust.asks.contains(&Asked::Code);
        self.code || self.node.iter().any(|node| node.trust.as_ref().is_some_and(asks))
    }

    /// The longest that anybody takes to answer.
    pub(crate) fn slowest_answer(&self) -> Duration {
        let answers = self.node.iter().filter_map(|node| node.trust.as_ref());
        Duration::from_millis(answers.map(|trust| trust.answer_ms).max().unwrap_or(0))
    }

    fn has_ended(&self, until_ms: Option<u64>, at: Duration) -> bool {
        until_ms.is_some_and(|until| Duration::from_secs(until / 1000) <= at)
    }
}

// ---- what engines get

impl World {
    /// The policy of a node that has one.
    pub(super) fn set_policy(&self, node: usize, policy: &mut TrustPolicy) {
        let Some(plan) = self.trust_of(node) else { return };
        policy.steps.extend(plan.asks.iter().map(|asked| asked.step()));
        policy.supported = plan.takes_part.iter().map(|asked| asked.step()).collect();
        policy.allow = plan.allow.as_ref().map(|names| self.first_ids(names));
        if plan.asks.contains(&Asked::Certificate) {
            policy.authorities = vec![self.authority("authority").peer_id()];
        }
        policy.certificate = plan.certificate.as_ref().and_then(|certificate| {
            let issuer = match certificate.kind {
                CertificateKind::OtherIssuer => self.authority("nobody's authority"),
                _ => self.authority("authority"),
            };
            let network = match certificate.kind {
                CertificateKind::OtherNetwork => self.plan.crypto.elsewhere(),
                _ => self.plan.crypto.network(),
            };
            let subject = match certificate.kind {
                CertificateKind::OtherSubject => issuer.peer_id(),
                _ => self.nodes[node].identities[0],
            };
            let expires = certificate.until_ms.map(|until| BEGINNING + until / 1000);
            Certificate::issue(&issuer, &network, subject, [], expires).ok()
        });
    }

    /// What somebody tells an engine that has just started: the time, and whom to have nothing to do with.
    pub(super) fn brief(&mut self, node: usize) {
        if !self.plan.has_policies() {
            return;
        }
        let (now, wall) = (self.local(node), self.wall());
        let blocks = self.trust_of(node).map(|plan| self.first_ids(&plan.blocks));
        let Some(engine) = &mut self.nodes[node].engine else { return };
        engine.handle_wall_clock(now, wall);
        for peer in blocks.into_iter().flat_map(BTreeSet::into_iter) {
            // Nobody decides about so many that there is no room.
            let _ = engine.block(now, peer);
        }
    }

    /// Tells every engine the time.
    pub(super) fn tell_the_time(&mut self) {
        if !self.plan.has_policies() {
            return;
        }
        for node in 0..self.nodes.len() {
            let (now, wall) = (self.local(node), self.wall());
            if self.nodes[node].paused {
                continue;
            }
            if let Some(engine) = &mut self.nodes[node].engine {
                engine.handle_wall_clock(now, wall);
                self.drain(node);
            }
        }
    }

    fn wall(&self) -> u64 {
        BEGINNING + self.elapsed().as_secs()
    }

    fn authority(&self, which: &str) -> p2pnet_engine::Identity {
        self.plan.crypto.identity(seed_bytes(self.plan.seed, which))
    }

    fn first_ids(&self, names: &[String]) -> BTreeSet<PeerId> {
        let nodes = names.iter().filter_map(|name| self.plan.node(name));
        nodes.map(|node| self.nodes[node].identities[0]).collect()
    }
}

// ---- what must come of it

impl World {
    pub(crate) fn trust_of(&self, node: usize) -> Option<&TrustPlan> {
        self.plan.node[node].trust.as_ref()
    }

    /// Whether a node has blocked a peer.
    pub(crate) fn blocks(&self, node: usize, peer: &PeerId) -> bool {
        self.trust_of(node).is_some_and(|plan| self.first_ids(&plan.blocks).contains(peer))
    }

    /// Whether one node takes no step towards another: it has blocked it, or does not have it on its list.
    pub(crate) fn shuns(&self, node: usize, other: usize) -> bool {
        matches!(
            self.refusal(node, other, self.elapsed()),
            Some(RejectReason::Blocked | RejectReason::NotAllowed)
        )
    }

    /// Why a node does not let another in at a time, whatever people say of codes; `None` if nothing is in the way.
    pub(crate) fn refusal(&self, node: usize, other: usize, at: Duration) -> Option<RejectReason> {
        let default = TrustPlan::default();
        let (own, theirs) =
            (self.trust_of(node).unwrap_or(&default), self.trust_of(other).unwrap_or(&default));
        let peer = &self.nodes[other].peer;
        if self.first_ids(&own.blocks).contains(peer) {
            return Some(RejectReason::Blocked);
        }
        if own.allow.as_ref().is_some_and(|names| !self.first_ids(names).contains(peer)) {
            return Some(RejectReason::NotAllowed);
        }
        let cannot = |&&asked: &&Asked| asked != Asked::Decision && !own.supports(asked);
        if theirs.asks.iter().any(|asked| cannot(&asked)) {
            return Some(RejectReason::Unsupported);
        }
        self.demerit(node, other, at)
    }

    /// What of that is wrong with the other itself, however it comes and whatever it says that it can.
    pub(crate) fn demerit(&self, node: usize, other: usize, at: Duration) -> Option<RejectReason> {
        let own = self.trust_of(node)?;
        if self.shuns_by_id(own, other) {
            return Some(RejectReason::NotAllowed);
        }
        if own.asks.contains(&Asked::Certificate) {
            let shown = self.trust_of(other).and_then(|plan| plan.certificate.as_ref());
            let Some(shown) = shown else { return Some(RejectReason::NoCertificate) };
            let of_it = self.nodes[other].peer == self.nodes[other].identities[0];
            if shown.kind != CertificateKind::Good || !of_it {
                return Some(RejectReason::BadCertificate);
            }
            if self.plan.has_ended(shown.until_ms, at) {
                return Some(RejectReason::CertificateExpired);
            }
        }
        let declined = own.asks.contains(&Asked::Decision) && own.declines.contains(&self.nodes[other].name);
        declined.then_some(RejectReason::Declined)
    }

    fn shuns_by_id(&self, own: &TrustPlan, other: usize) -> bool {
        let peer = &self.nodes[other].peer;
        self.first_ids(&own.blocks).contains(peer)
            || own.allow.as_ref().is_some_and(|names| !self.first_ids(names).contains(peer))
    }

    /// Whether two let each other in, now and for the next moments.
    pub(crate) fn agree(&self, a: usize, b: usize) -> bool {
        let soon = self.elapsed() + CLOCK_SLACK;
        !self.plan.has_policies()
            || (self.refusal(a, b, soon).is_none() && self.refusal(b, a, soon).is_none())
    }

    /// Whether something is wrong with a peer in a node's eyes, and was for the last moments: the node must know it.
    pub(crate) fn knows_demerit(&self, node: usize, other: usize) -> Option<RejectReason> {
        let before = self.elapsed().checked_sub(CLOCK_SLACK)?;
        self.demerit(node, other, before)
    }

    /// Whether this is what a node has against another now, give or take a moment.
    pub(crate) fn may_refuse(&self, node: usize, other: usize, reason: RejectReason) -> bool {
        let now = self.elapsed();
        let before = now.checked_sub(CLOCK_SLACK).unwrap_or_default();
        [before, now + CLOCK_SLACK].iter().any(|&at| self.refusal(node, other, at) == Some(reason))
    }

    /// Whether two people compare a code when these two meet.
    pub(crate) fn compare_codes(&self, node: usize, other: Option<usize>) -> bool {
        let asks = |node: usize| self.trust_of(node).is_some_and(|plan| plan.asks.contains(&Asked::Code));
        let takes_part = self.trust_of(node).is_some_and(|plan| plan.supports(Asked::Code));
        asks(node) || (takes_part && other.is_some_and(asks))
    }

    /// Whether a node stands still, so that it cannot know what time it is.
    pub(crate) fn stands_still(&self, node: usize) -> bool {
        self.nodes[node].paused
    }

    /// The node that ever had this identity.
    pub(crate) fn whose(&self, peer: &PeerId) -> Option<usize> {
        (0..self.nodes.len()).find(|&node| self.ever_was(node, peer))
    }

    /// Whether nothing of the plan disturbs anybody who is being verified.
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.never_breaks() && self.plan.leave.is_empty() && self.plan.dial.is_empty()
    }

    /// How long whoever waits for people may have to.
    pub(crate) fn answers_within(&self) -> Duration {
        // A person looks at the other's screen for three seconds more.
        let looks = Duration::from_secs(if self.plan.has_policies() { 4 } else { 0 });
        self.plan.slowest_answer() * 2 + looks
    }
}
