//! What applications do on turmoil: send texts, publish, leave. The same as in the World.

use std::time::Duration;

use super::Run;
use super::schedule::Item;
use crate::world::workload::{PATIENCE, TEXT_TRIES};

/// How long a node that was just started may take until it takes commands, between two looks.
const SOON: Duration = Duration::from_millis(10);

impl Run<'_> {
    pub(super) fn text(&mut self, index: usize, tries: u32) {
        let text = &self.plan.text[index];
        let (Some(from), Some(to)) = (self.plan.node(&text.from), self.plan.node(&text.to)) else { return };
        if self.lan.has_sent(from, index) || tries > TEXT_TRIES {
            return;
        }
        let ready = self.lan.takes_orders(from);
        if ready {
            self.lan.send_numbered(index, from, to, &self.plan.words(index));
        }
        let wait = if self.nodes[from].runs && !ready { SOON } else { PATIENCE };
        self.schedule.add(self.lan.elapsed() + wait, Item::Text { index, tries: tries + 1 });
    }

    pub(super) fn publish(&mut self, index: usize) {
        let Some(node) = self.plan.node(&self.plan.content[index].from) else { return };
        if self.nodes[node].left {
            return;
        }
        if self.lan.takes_orders(node) {
            self.lan.publish(node, &format!("content {index}"), self.plan.bytes(index));
            return;
        }
        let wait = if self.nodes[node].runs { SOON } else { PATIENCE };
        self.schedule.add(self.lan.elapsed() + wait, Item::Publish { index });
    }

    /// After a restart an application offers again what is on its disk.
    pub(super) fn offer_again(&mut self, node: usize) {
        let (now, starts) = (self.lan.elapsed(), self.nodes[node].starts);
        for index in 0..self.contents.len() {
            let own = self.plan.node(&self.plan.content[index].from) == Some(node);
            if own && self.lan.serves(node, &self.contents[index]) {
                self.schedule.add(now + SOON, Item::PublishAgain { index, starts });
            }
        }
    }

    pub(super) fn publish_again(&mut self, index: usize, starts: u64) {
        let Some(node) = self.plan.node(&self.plan.content[index].from) else { return };
        if self.nodes[node].starts != starts || !self.nodes[node].runs {
            return;
        }
        if self.lan.takes_orders(node) {
            self.lan.publish(node, &format!("content {index}"), self.plan.bytes(index));
        } else {
            self.schedule.add(self.lan.elapsed() + SOON, Item::PublishAgain { index, starts });
        }
    }

    /// A node says goodbye for good.
    pub(super) fn leave(&mut self, node: usize) {
        if self.nodes[node].runs && !self.lan.takes_orders(node) {
            return self.schedule.add(self.lan.elapsed() + SOON, Item::Leave { node });
        }
        self.nodes[node].left = true;
        if std::mem::replace(&mut self.nodes[node].runs, false) {
            self.lan.leave(node);
        }
    }
}
