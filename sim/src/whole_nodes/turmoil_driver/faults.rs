//! Faults of a plan as they begin and end on turmoil, and the end of all of it for the core.

use std::time::Duration;

use super::Run;
use super::schedule::Item;
use crate::logical_state::core;
use crate::whole_nodes::faults::FaultProfile;
use crate::world::faults::{Fault, Restart};
use crate::world::plan::LinkPlan;

/// What a stream waits for when a segment was lost: the shortest retransmission time-out of Linux.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// How things are between two hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Between {
    #[default]
    Whole,
    /// Datagrams are lost and streams wait.
    Held,
    /// One of them has no power. Its streams are dead anyway.
    CutOff,
}

/// The faults of a link. Loss hits datagrams; TCP makes a delay of it.
pub(super) fn profile(link: &LinkPlan) -> FaultProfile {
    FaultProfile {
        loss: link.loss,
        duplication: link.duplication,
        corruption: link.corruption,
        reordering: link.reordering,
        stream_delay: link.loss,
        stream_delay_up_to: RETRANSMISSION,
        stream_split: link.partial_reads,
        stream_corruption: link.stream_corruption,
        ..FaultProfile::none()
    }
}

impl Run<'_> {
    /// What is broken from the start.
    pub(super) fn first_faults(&mut self) {
        let lan = &self.plan.lan[0];
        self.swallowers = (u32::from(!lan.broadcast), u32::from(!lan.multicast));
        self.swallow();
        for path in &self.plan.path {
            self.set_usual(&path.from, &path.to);
        }
    }

    pub(super) fn happen(&mut self, item: Item) {
        match item {
            Item::Start { node } => self.start(node),
            Item::FaultBegins(_) | Item::FaultEnds(_) if self.healed => {}
            Item::FaultBegins(index) => self.begins(index),
            Item::FaultEnds(index) => self.ends(index),
            Item::Text { index, tries } => self.text(index, tries),
            Item::Publish { index } => self.publish(index),
            Item::PublishAgain { index, starts } => self.publish_again(index, starts),
            Item::Leave { node } => self.leave(node),
        }
    }

    fn begins(&mut self, index: usize) {
        let plan = self.plan;
        let fault = &plan.fault[index];
        self.lan.tell_fault(&format!("{fault:?}"));
        match fault {
            Fault::Partition { a, b, c, .. } => {
                for (one, other) in [(a, b), (a, c), (b, c)] {
                    self.cut(one, other, true);
                }
            }
            Fault::BroadcastLoss { .. } => {
                self.swallowers.0 += 1;
                self.swallow();
            }
            Fault::MulticastLoss { .. } => {
                self.swallowers.1 += 1;
                self.swallow();
            }
            Fault::Degrade { from, to, link, .. } => self.set_link(from, to, link),
            Fault::Crash { node, power, .. } => {
                if let Some(node) = plan.node(node) {
                    self.crash(node, *power);
                }
            }
            Fault::Reset { a, b, .. } => {
                if let (Some(a), Some(b)) = (plan.node(a), plan.node(b)) {
                    self.lan.reset(a, b);
                }
            }
            // A plan with others does not get here: `reduce` knows each of them.
            _ => {}
        }
    }

    fn ends(&mut self, index: usize) {
        let plan = self.plan;
        let fault = &plan.fault[index];
        self.lan.tell_fault(&format!("over: {fault:?}"));
        match fault {
            Fault::Partition { a, b, c, .. } => {
                for (one, other) in [(a, b), (a, c), (b, c)] {
                    self.cut(one, other, false);
                }
            }
            Fault::BroadcastLoss { .. } => {
                self.swallowers.0 = self.swallowers.0.saturating_sub(1);
                self.swallow();
            }
            Fault::MulticastLoss { .. } => {
                self.swallowers.1 = self.swallowers.1.saturating_sub(1);
                self.swallow();
            }
            Fault::Degrade { from, to, .. } => self.set_usual(from, to),
            Fault::Crash { node, restart, .. } => {
                if let Some(node) = plan.node(node) {
                    self.come_back(node, *restart);
                }
            }
            _ => {}
        }
    }

    /// Makes everything whole that concerns the core alone, and leaves the rest as it is, for good.
    pub(super) fn heal_core(&mut self) {
        self.lan.tell_fault("heal the core");
        self.healed = true;
        self.lan.swallow(false, false);
        let core: Vec<usize> = core(self.plan).collect();
        for &a in &core {
            self.nodes[a].off = false;
            for &b in core.iter().filter(|&&b| b != a) {
                self.cuts.remove(&(a.min(b), a.max(b)));
                self.lan.set_path(a, b, Some(FaultProfile::none()));
            }
        }
        for &node in &core {
            self.connect(node);
            self.start(node);
        }
    }

    /// Starts a node that does not run, with power.
    fn start(&mut self, node: usize) {
        if self.nodes[node].runs || self.nodes[node].left {
            return;
        }
        let process = &mut self.nodes[node];
        (process.runs, process.off, process.starts) = (true, false, process.starts + 1);
        self.connect(node);
        self.lan.restart(node);
        self.offer_again(node);
    }

    // ---- what one fault does

    fn crash(&mut self, node: usize, power: bool) {
        if power {
            // Before its streams end, so that nobody hears of it.
            self.nodes[node].off = true;
            self.connect(node);
        }
        if self.nodes[node].runs {
            self.nodes[node].runs = false;
            self.lan.crash(node);
        }
    }

    fn come_back(&mut self, node: usize, restart: Restart) {
        if self.nodes[node].left || self.nodes[node].runs || restart == Restart::Never {
            return;
        }
        match restart {
            Restart::Same | Restart::Never => {}
            Restart::WithoutDisk => self.lan.wipe(node, true),
            Restart::NewIdentity => self.lan.wipe(node, false),
        }
        self.start(node);
    }

    fn cut(&mut self, a: &[String], b: &[String], cut: bool) {
        let nodes = |run: &Self, hosts: &[String]| -> Vec<usize> {
            hosts.iter().filter_map(|host| run.node_on(host)).collect()
        };
        let (a, b) = (nodes(self, a), nodes(self, b));
        for &i in &a {
            for &j in &b {
                let cuts = self.cuts.entry((i.min(j), i.max(j))).or_default();
                *cuts = if cut { *cuts + 1 } else { cuts.saturating_sub(1) };
                self.connect_pair(i, j);
            }
        }
    }

    /// Sees to it that things between a host and all others are as they should be.
    fn connect(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|&other| other != node) {
            self.connect_pair(node, other);
        }
    }

    fn connect_pair(&mut self, i: usize, j: usize) {
        let pair = (i.min(j), i.max(j));
        let wanted = if self.nodes[i].off || self.nodes[j].off {
            Between::CutOff
        } else if self.cuts.get(&pair).is_some_and(|cuts| *cuts > 0) {
            Between::Held
        } else {
            Between::Whole
        };
        let before = self.between.insert(pair, wanted).unwrap_or_default();
        if before == wanted {
            return;
        }
        match before {
            Between::Whole => {}
            Between::Held => self.lan.end_outage(i, j),
            Between::CutOff => self.lan.join(i, j),
        }
        match wanted {
            Between::Whole => {}
            Between::Held => self.lan.begin_outage(i, j),
            Between::CutOff => self.lan.cut_off(i, j),
        }
    }

    fn swallow(&mut self) {
        let (broadcasts, multicasts) = self.swallowers;
        self.lan.swallow(broadcasts > 0, multicasts > 0);
    }

    fn set_link(&mut self, from: &str, to: &str, link: &str) {
        let link = self.plan.link.iter().find(|known| known.name == link).map(profile);
        if let (Some(from), Some(to)) = (self.node_on(from), self.node_on(to)) {
            self.lan.set_path(from, to, link);
        }
    }

    /// Gives one direction the link that it has in the plan.
    fn set_usual(&mut self, from: &str, to: &str) {
        let own = self.plan.path.iter().rfind(|path| path.from == from && path.to == to);
        match own {
            Some(path) => self.set_link(from, to, &path.link),
            None => self.set_link(from, to, ""),
        }
    }
}
