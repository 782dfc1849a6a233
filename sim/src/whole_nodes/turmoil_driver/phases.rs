//! The phases of a run on turmoil: those of the World.

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::PeerId;

use super::Run;
use crate::logical_state::{core, others};
use crate::world::checks::{Class, class_of};
use crate::world::{Failure, LEAVE_WITHIN, LOOK_EVERY, SETTLE, STAYS_GONE};

impl Run<'_> {
    /// Runs all phases. How long the core took to converge, if it did.
    pub(super) fn phases(&mut self, bound: Duration) -> Option<Duration> {
        self.advance(self.plan.chaos());
        self.heal_core();
        let healed_at = self.lan.elapsed();
        if !self.converge(bound) {
            return None;
        }
        let converged_after = self.lan.elapsed() - healed_at;
        // A stream that stalled in the chaos may look well until its link is found to be silent.
        self.advance(SETTLE);
        if self.converge(bound) {
            self.quiet();
            self.part();
            self.received_rightly();
        }
        Some(converged_after)
    }

    /// Runs until nothing is pending, or the bound is over. Whether it has converged.
    fn converge(&mut self, bound: Duration) -> bool {
        let end = self.lan.elapsed() + bound;
        while self.failure.is_none() {
            let Some((check, node, message)) = self.pending() else { return true };
            if self.lan.elapsed() >= end {
                self.failed(class_of(check), check, Some(node), message);
                return false;
            }
            self.advance(LOOK_EVERY);
        }
        false
    }

    /// Nothing to do: no link comes or goes.
    fn quiet(&mut self) {
        let before = self.turns();
        self.advance(Duration::from_millis(self.plan.quiet_ms));
        let after = self.turns();
        if let Some((a, b)) = before.keys().find(|pair| before.get(*pair) != after.get(*pair)).copied() {
            let message = format!("{} came or went in the quiet window", self.plan.node[b].name);
            self.failed(Class::Safety, "quiet", Some(a), message);
        }
    }

    /// The leaver leaves; everybody must learn it, and nobody may bring it back.
    fn part(&mut self) {
        let Some(leaver) = self.plan.leaver.as_ref().and_then(|name| self.plan.node(name)) else { return };
        if self.failure.is_some() || !self.nodes[leaver].runs {
            return;
        }
        self.leave(leaver);
        let name = self.plan.node[leaver].name.clone();
        let end = self.lan.elapsed() + LEAVE_WITHIN;
        while self.failure.is_none() {
            let Some(node) = others(self.plan, leaver).find(|&node| self.lan.connected(node, leaver)) else {
                break;
            };
            if self.lan.elapsed() >= end {
                let message = format!("still has a link to {name}, which left {LEAVE_WITHIN:?} ago");
                return self.failed(Class::Liveness, "leavers", Some(node), message);
            }
            self.advance(LOOK_EVERY);
        }
        let before = self.turns();
        self.advance(STAYS_GONE);
        let after = self.turns();
        let back =
            others(self.plan, leaver).find(|&node| before.get(&(node, leaver)) != after.get(&(node, leaver)));
        if let Some(node) = back {
            self.failed(Class::Safety, "no-resurrection", Some(node), format!("{name}, which left, is back"));
        }
    }

    /// How often each of the core came and went, by the account of each other that runs.
    fn turns(&self) -> BTreeMap<(usize, usize), u64> {
        let mut turns = BTreeMap::new();
        for a in core(self.plan).filter(|&a| self.nodes[a].runs) {
            let of_a: BTreeMap<PeerId, u64> = self.lan.turns(a);
            for b in others(self.plan, a) {
                let of_b = self.lan.peer_id(b).and_then(|peer| of_a.get(&peer)).copied();
                turns.insert((a, b), of_b.unwrap_or(0));
            }
        }
        turns
    }

    /// Notes the first thing that does not hold.
    pub(super) fn failed(&mut self, class: Class, check: &str, node: Option<usize>, message: String) {
        if self.failure.is_some() {
            return;
        }
        self.lan.tell_violation(&format!("{check}: {message}"));
        self.failure = Some(Failure {
            class,
            check: check.to_owned(),
            at_ms: format!("{:.3}", self.lan.elapsed().as_secs_f64() * 1000.0),
            node: node.map(|node| self.plan.node[node].name.clone()),
            message,
        });
    }
}
