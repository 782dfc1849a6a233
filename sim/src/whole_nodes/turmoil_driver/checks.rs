//! What must hold on turmoil, seen from outside: what nodes tell their applications, and what is on their disks.

use std::collections::BTreeSet;

use super::Run;
use crate::logical_state::{core, others};
use crate::world::checks::Class;

impl Run<'_> {
    /// What never may happen.
    pub(super) fn look(&mut self) {
        for node in 0..self.nodes.len() {
            if let Some(odd) = self.lan.odd(node) {
                self.failed(Class::Safety, "alternate", Some(node), odd);
            }
            let impostor = |node: usize| self.plan.badge && self.plan.node[node].impostor;
            let believed = (0..self.nodes.len())
                .find(|&other| other != node && impostor(other) && self.lan.trusts(node, other));
            if let Some(believed) = believed {
                let message = format!("trusts {}, which shows a wrong badge", self.plan.node[believed].name);
                self.failed(Class::Safety, "taint", Some(node), message);
            }
        }
    }

    /// Texts that a node got, each with the run that it came in.
    pub(super) fn texts_of(&self, node: usize) -> BTreeSet<(u64, usize)> {
        let texts = self.lan.texts_by_run(node);
        texts.into_iter().filter_map(|(run, _, text)| Some((run, self.text_index(&text)?))).collect()
    }

    /// The number of a text in the plan, if it is exactly that text.
    fn text_index(&self, text: &str) -> Option<usize> {
        let index: usize = text.strip_prefix("text ")?.split(' ').next()?.parse().ok()?;
        (index < self.plan.text.len() && self.plan.words(index) == text).then_some(index)
    }

    /// What must still happen before the core has converged: the check, on which node, and what.
    pub(super) fn pending(&self) -> Option<(&'static str, usize, String)> {
        let ready = |node: &usize| self.nodes[*node].runs;
        let name = |node: usize| &self.plan.node[node].name;
        for a in core(self.plan).filter(ready) {
            for b in others(self.plan, a).filter(ready) {
                if !self.lan.trusts(a, b) {
                    let link = if self.lan.connected(a, b) { "has a link to" } else { "has no link to" };
                    return Some(("links", a, format!("{link} {} and does not trust it", name(b))));
                }
            }
        }
        for (index, content) in self.contents.iter().enumerate() {
            let publisher = self.plan.node(&self.plan.content[index].from);
            let publisher = publisher
                .filter(|&node| self.plan.is_core(node) && ready(&node) && self.lan.serves(node, content));
            let Some(publisher) = publisher else { continue };
            let waits = |&node: &usize| self.plan.node[node].takes_offers && !self.lan.holds(node, content);
            if let Some(node) = others(self.plan, publisher).filter(ready).find(waits) {
                let message = format!("content {index} of {} has not arrived", name(publisher));
                return Some(("transfers", node, message));
            }
        }
        self.pending_text()
    }

    /// A text that was sent after the network was healed, and is under way.
    fn pending_text(&self) -> Option<(&'static str, usize, String)> {
        let core_node =
            |name: &str| self.plan.node(name).filter(|&i| self.plan.is_core(i) && self.nodes[i].runs);
        for (index, text) in self.plan.text.iter().enumerate() {
            let (Some(from), Some(to)) = (core_node(&text.from), core_node(&text.to)) else { continue };
            let sent = text.at_ms >= self.plan.chaos_ms && self.lan.has_sent(from, index);
            let arrived = || self.texts_of(to).iter().any(|&(_, arrived)| arrived == index);
            if from != to && sent && !arrived() {
                return Some(("texts", to, format!("text {index} from {} has not arrived", text.from)));
            }
        }
        None
    }

    /// Whether texts came unchanged and at most once in each run of their receivers, and contents byte for byte.
    pub(super) fn received_rightly(&mut self) {
        for node in 0..self.nodes.len() {
            let texts = self.lan.texts_by_run(node);
            if let Some((_, _, strange)) = texts.iter().find(|(.., text)| self.text_index(text).is_none()) {
                let message = format!("a text that nobody sent: {}", strange.escape_debug());
                self.failed(Class::Safety, "texts", Some(node), message);
            }
            if self.texts_of(node).len() != texts.len() {
                let message = "a text arrived twice in one run".to_owned();
                self.failed(Class::Safety, "texts", Some(node), message);
            }
            for index in 0..self.contents.len() {
                let received = self.lan.received(node, &self.contents[index]);
                if received.is_some_and(|bytes| bytes != self.plan.bytes(index)) {
                    let message = format!("content {index} is not what was published");
                    self.failed(Class::Safety, "provenance", Some(node), message);
                }
            }
        }
    }
}
