//! What a test can do to the nodes of a [`Pair`] and to the network between them.

use p2pnet_engine::BlockRef;

use super::Pair;
use crate::trace::What;

impl Pair {
    /// Asks for each datagram, and for each of a broadcast's receivers, whether it is lost: `(from, to)`.
    pub fn drop_datagrams(&mut self, lost: impl FnMut(usize, usize) -> bool + 'static) {
        self.drop_datagrams = Box::new(lost);
    }

    /// Asks for each block that a node sends whether its store gives wrong bytes: `(from, block)`.
    pub fn spoil_blocks(&mut self, spoilt: impl FnMut(usize, &BlockRef) -> bool + 'static) {
        self.spoil_blocks = Box::new(spoilt);
    }

    /// Asks for each piece of a stream whether one of its bits flips on the way: `(from, to)`.
    pub fn spoil_streams(&mut self, spoilt: impl FnMut(usize, usize) -> bool + 'static) {
        self.spoil_streams = Box::new(spoilt);
    }

    /// Breaks every stream between two nodes now: both sides see a reset. New ones can be dialled.
    pub fn cut_links(&mut self, i: usize, j: usize) {
        self.fault(format!("streams {} | {} reset", self.nodes[i].alias, self.nodes[j].alias));
        self.reset_streams(i, j);
    }

    /// Two nodes cannot reach each other: datagrams are lost, dials time out, streams stall.
    pub fn partition(&mut self, i: usize, j: usize) {
        self.fault(format!("partition {} | {}", self.nodes[i].alias, self.nodes[j].alias));
        self.cuts.insert((i.min(j), i.max(j)));
    }

    /// Two nodes reach each other again. Streams deliver what was held up, as TCP would.
    pub fn heal(&mut self, i: usize, j: usize) {
        self.fault(format!("heal {} | {}", self.nodes[i].alias, self.nodes[j].alias));
        self.cuts.remove(&(i.min(j), i.max(j)));
        self.release_streams();
    }

    /// Takes a node's only interface down, or up again, and tells its engine. While it is down nothing gets
    /// through, and streams stall.
    pub fn set_interface(&mut self, i: usize, up: bool) {
        self.fault(format!("interface of {} {}", self.nodes[i].alias, if up { "up" } else { "down" }));
        self.nodes[i].interface_up = up;
        let (now, interfaces) = (self.now, self.nodes[i].interfaces());
        if let Some(engine) = &mut self.nodes[i].engine {
            engine.handle_interfaces(now, &interfaces);
            self.drain(i);
        }
        if up {
            self.release_streams();
        }
    }

    /// Kills a node's process: its engine is gone, its host closes its streams. What it published is on disk.
    pub fn kill(&mut self, i: usize) {
        self.fault(format!("kill {}", self.nodes[i].alias));
        self.nodes[i].engine = None;
        self.nodes[i].store.crash();
        self.close_streams_of(i);
    }

    /// Cuts a node's power: like [`kill`](Pair::kill), but nobody is told.
    pub fn power_off(&mut self, i: usize) {
        self.fault(format!("power off {}", self.nodes[i].alias));
        self.nodes[i].engine = None;
        self.nodes[i].store.crash();
        self.forget_streams_of(i);
    }

    /// [`kill`](Pair::kill), then [`start_node`](Pair::start_node).
    pub fn restart(&mut self, i: usize) {
        self.kill(i);
        self.start_node(i);
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.trace.push(self.elapsed(), None, What::Fault { fault });
    }

    pub(super) fn reaches(&self, i: usize, j: usize) -> bool {
        self.nodes[i].interface_up && self.nodes[j].interface_up && !self.cuts.contains(&(i.min(j), i.max(j)))
    }
}
