//! What the driver of plans asks of a [`Lan`] beyond what scenarios do.

use std::collections::BTreeMap;

use p2pnet_engine::{ContentId, PeerId};
use turmoil::{Protocol, SentRef};

use super::Lan;
use super::seat::Order;
use crate::trace::What;
use crate::whole_nodes::faults::FaultProfile;

impl Lan {
    // ---- faults

    /// Notes in the trace that something breaks or is whole again.
    pub(crate) fn tell_fault(&self, fault: &str) {
        self.fault(fault.to_owned());
    }

    /// Keeps two hosts from hearing each other, and loses all that is under way: what is left when one has no power.
    pub(crate) fn cut_off(&mut self, i: usize, j: usize) {
        self.sim.partition(self.seats[i].ip, self.seats[j].ip);
    }

    /// Ends what [`cut_off`](Self::cut_off) began.
    pub(crate) fn join(&mut self, i: usize, j: usize) {
        self.sim.repair(self.seats[i].ip, self.seats[j].ip);
    }

    /// Keeps two hosts from hearing each other for a while: datagrams are lost, streams wait, as TCP does. A partition
    /// would lose segments, and turmoil's TCP does not come back from that.
    pub(crate) fn begin_outage(&mut self, i: usize, j: usize) {
        let (a, b) = (self.seats[i].ip, self.seats[j].ip);
        self.faults.cut(a, b);
        self.outages.insert((a.min(b), a.max(b)));
        self.hold(&[i], &[j]);
    }

    /// Ends what [`begin_outage`](Self::begin_outage) began.
    pub(crate) fn end_outage(&mut self, i: usize, j: usize) {
        let (a, b) = (self.seats[i].ip, self.seats[j].ip);
        self.faults.mend(a, b);
        self.outages.remove(&(a.min(b), a.max(b)));
        self.release(&[i], &[j]);
    }

    /// turmoil holds datagrams back as well. They go on to their receivers at once, which lose what comes over a cut:
    /// otherwise all beacons of an outage would arrive at its end, and nobody would have to find anybody again.
    pub(super) fn lose_held_datagrams(&mut self) {
        if self.outages.is_empty() {
            return;
        }
        self.sim.links(|links| {
            for link in links.filter(|link| self.outages.contains(&link.pair())) {
                link.filter(|sent| matches!(sent.protocol(), Protocol::Udp(_))).for_each(SentRef::deliver);
            }
        });
    }

    /// Gives one direction between two hosts faults of its own, or those of all others.
    pub(crate) fn set_path(&mut self, from: usize, to: usize, profile: Option<FaultProfile>) {
        self.faults.set_path(self.seats[from].ip, self.seats[to].ip, profile);
    }

    /// Breaks every stream that there is between two nodes, at the next read.
    pub(crate) fn reset(&mut self, i: usize, j: usize) {
        self.faults.reset(self.seats[i].ip, self.seats[j].ip);
    }

    /// Whether broadcasts, and multicasts, get lost altogether from now on.
    pub(crate) fn swallow(&mut self, broadcasts: bool, multicasts: bool) {
        self.faults.set_swallowed(broadcasts, multicasts);
    }

    /// Loses what is on the disk of node `i`, but with `keeps_identity` not its key.
    pub(crate) fn wipe(&mut self, i: usize, keeps_identity: bool) {
        self.seats[i].store.wipe(keeps_identity);
    }

    // ---- commands

    /// Node `i` sends node `j` a text, which [`has_sent`](Self::has_sent) knows by this number once it was taken.
    pub(crate) fn send_numbered(&mut self, number: usize, i: usize, j: usize, text: &str) {
        if let Some(peer) = self.peer_id(j) {
            self.order(i, Order::Numbered(number, peer, text.to_owned()));
        }
    }

    // ---- questions

    /// Whether node `i` listens for commands.
    pub(crate) fn takes_orders(&self, i: usize) -> bool {
        self.seats[i].seen().orders.is_some()
    }

    /// Whether the text of this number was taken by node `i`.
    pub(crate) fn has_sent(&self, i: usize, number: usize) -> bool {
        self.seats[i].seen().sent.contains(&number)
    }

    /// Whether a content is durable on the disk of node `i`, received or published.
    pub(crate) fn holds(&self, i: usize, content: &ContentId) -> bool {
        self.serves(i, content) || self.seats[i].store.received(content).is_some()
    }

    /// Whether node `i` publishes a content.
    pub(crate) fn serves(&self, i: usize, content: &ContentId) -> bool {
        self.seats[i].store.serves(content)
    }

    /// How many contents node `i` was told to have received.
    pub(crate) fn transfers(&self, i: usize) -> u64 {
        self.seats[i].seen().received.len() as u64
    }

    /// The texts that node `i` has got: in which run, from whom, and what.
    pub(crate) fn texts_by_run(&self, i: usize) -> Vec<(u64, PeerId, String)> {
        self.seats[i].seen().texts.clone()
    }

    /// How often each peer came and went, by the events of node `i`.
    pub(crate) fn turns(&self, i: usize) -> BTreeMap<PeerId, u64> {
        self.seats[i].seen().turns.clone()
    }

    /// What the events of node `i` said that cannot be.
    pub(crate) fn odd(&self, i: usize) -> Option<String> {
        self.seats[i].seen().odd.clone()
    }

    /// Notes in the trace what does not hold.
    pub(crate) fn tell_violation(&self, check: &str) {
        let what = What::Check { check: check.to_owned(), passed: false };
        self.recorder.push(self.elapsed(), None, what);
    }
}
