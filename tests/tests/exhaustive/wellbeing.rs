//! Whether all is well, now or after some time without faults.

use std::time::Duration;

use p2pnet_engine::{Datagram, Engine, Level, Timestamp};

use super::streams::Conn;
use super::{LAN, Op, Stream, World, identity};

impl World {
    /// Whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.conns.values().all(|conn| !conn.syn && conn.ends.iter().all(|end| end.inbox.is_empty()))
    }

    /// What is wrong at this moment, if anything is.
    pub(crate) fn wrong(&self) -> Option<String> {
        let lost = || {
            let left = self.scenario.is_faultless() && self.downs() > 0;
            left.then(|| "a peer left though nothing was lost: two links, and then none".to_owned())
        };
        let complaint = self.complaint.clone().or_else(lost);
        complaint.or_else(|| self.disagreement().filter(|_| self.is_quiet()))
    }

    /// Whether the first two nodes both had two confirmed links to one peer at a time.
    pub(crate) fn was_contested(&self) -> bool {
        self.hosts[..2].iter().all(|host| host.had_two)
    }

    /// Whether the contest of the first two nodes is over: both gave up the same link.
    pub(crate) fn is_settled(&self) -> bool {
        self.was_contested()
            && self.streams(0, 1).len() == 1
            && self.used(0, 1).is_some()
            && self.disagreement().is_none()
    }

    /// What is wrong with a pair while nothing is under way: both must use the same stream, or none.
    fn disagreement(&self) -> Option<String> {
        self.pairs().find_map(|(i, j)| {
            let (one, two) = (self.used(i, j), self.used(j, i));
            let streams = self.streams(i, j);
            (one != two || streams.len() > 1)
                .then(|| format!("{i} uses {one:?} for {j}, {j} uses {two:?} for {i}; open: {streams:?}"))
        })
    }

    /// What is missing for all to be well: one stream for each pair, used and trusted by both.
    pub(crate) fn missing(&self) -> Option<String> {
        if let Some(down) = (0..self.hosts.len()).find(|&i| self.hosts[i].engine.is_none()) {
            return Some(format!("{down} does not run"));
        }
        self.disagreement().or_else(|| {
            self.pairs().find_map(|(i, j)| {
                let levels = (self.level(i, j), self.level(j, i));
                let trusted = (Some(Level::Trusted), Some(Level::Trusted));
                let missing = levels != trusted || self.streams(i, j).len() != 1;
                missing.then(|| format!("{i} and {j}: {levels:?}, open: {:?}", self.streams(i, j)))
            })
        })
    }

    /// How often any node was told that a peer left.
    pub(crate) fn downs(&self) -> usize {
        self.hosts.iter().map(|host| host.downs).sum()
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let n = self.hosts.len();
        (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
    }

    fn level(&self, i: usize, j: usize) -> Option<Level> {
        self.hosts[i].engine.as_ref()?.peer(&identity(j).peer_id()).map(|view| view.level)
    }

    /// The stream that node `i` uses for node `j`.
    fn used(&self, i: usize, j: usize) -> Option<Stream> {
        let link = self.hosts[i].engine.as_ref()?.peer(&identity(j).peer_id())?.link?;
        self.hosts[i].ends.get(&link).map(|(name, _)| *name)
    }

    /// The streams between two nodes that are open at both ends.
    fn streams(&self, i: usize, j: usize) -> Vec<Stream> {
        let between = |conn: &Conn| {
            let (a, b) = (&conn.ends[0], &conn.ends[1]);
            a.open && b.open && ((a.node, b.node) == (i, j) || (a.node, b.node) == (j, i))
        };
        self.conns.iter().filter(|(_, conn)| between(conn)).map(|(name, _)| *name).collect()
    }

    // ---- Fair time ----

    /// Ends all faults and lets time pass for all nodes together until all is well, for `limit` at the most.
    pub(crate) fn heal(&mut self, limit: Duration) {
        self.healing = true;
        let now = self.hosts.iter().map(|host| host.now).max().unwrap();
        for i in 0..self.hosts.len() {
            self.hosts[i].now = now;
            if self.hosts[i].engine.is_none() {
                self.start(i);
            }
        }
        let end = self.clock() + limit;
        while self.clock() < end && !(self.is_quiet() && self.missing().is_none()) {
            self.pass(end);
        }
        self.attentive = true;
        (0..self.hosts.len()).for_each(|i| self.take_events(i));
    }

    /// Lets time pass for all nodes together.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.clock() + time;
        while self.clock() < end {
            self.pass(end);
        }
    }

    fn clock(&self) -> Timestamp {
        self.hosts.iter().map(|host| host.now).max().unwrap()
    }

    /// Delivers everything, then moves all clocks to the next deadline.
    fn pass(&mut self, end: Timestamp) {
        let mut turns = 0;
        loop {
            let now = self.clock();
            self.hosts.iter_mut().for_each(|host| host.now = now);
            turns += 1;
            assert!(turns < 10_000, "never quiet after {:?}", self.done);
            if let Some((to, source, bytes)) = self.datagrams.pop_front() {
                let datagram = Datagram { interface: LAN, source, bytes: &bytes };
                self.tell(to, |engine, now| engine.handle_datagram(now, datagram));
                continue;
            }
            let due = |op: &Op| matches!(op, Op::Accept(_) | Op::Refuse(_) | Op::Deliver(..));
            let Some(op) = self.possible().into_iter().find(due) else { break };
            self.apply(op);
            self.done.pop();
        }
        let deadlines = self.hosts.iter().filter_map(|host| host.engine.as_ref()?.poll_timeout());
        let next = deadlines.map(|next| next.at).min().unwrap().min(end).max(self.clock());
        for i in 0..self.hosts.len() {
            self.hosts[i].now = next;
            let due = self.hosts[i].engine.as_ref().and_then(Engine::poll_timeout);
            if due.is_some_and(|due| due.at <= next) {
                self.timer(i);
            }
        }
    }
}
