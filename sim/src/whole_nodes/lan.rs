//! A simulated LAN: real nodes, tasks, framing and all, on turmoil's network and clock.

mod application;
mod plan;
mod seat;
mod settings;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use p2pnet_engine::{BlockRef, ContentId, PeerId};

pub(crate) use self::application::{Application, Badge};
use self::seat::{Order, Seat, run_node};
pub use self::settings::Settings;
use crate::trace::{Recorder, Trace, What};
use crate::whole_nodes::faults::{FaultCounts, FaultProfile, Faults};
use crate::whole_nodes::panics::Panics;
use crate::whole_nodes::traced_net::Pen;

/// Some hosts on one flat LAN, each with one node: the very node that runs on real sockets.
///
/// Time is virtual and moves in steps of a millisecond. A run is a function of the seed, the settings and the
/// calls. The methods that let time pass fail when a node stops with an error or any task panics, so that
/// neither can go unseen.
pub struct Lan {
    sim: turmoil::Sim<'static>,
    seats: Vec<Seat>,
    recorder: Recorder,
    faults: Faults,
    /// Pairs of hosts, the smaller address first, whose streams wait while their datagrams are lost.
    outages: BTreeSet<(IpAddr, IpAddr)>,
    panics: Panics,
}

/// A check that did not hold, or a node that broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {} ms: {what}", at.as_millis())]
pub struct Failed {
    /// What was checked, or what broke.
    pub what: String,
    /// When, in virtual time.
    pub at: Duration,
}

impl Lan {
    /// A LAN whose nodes all start at time zero.
    ///
    /// # Panics
    /// With no nodes, or more than 26.
    #[must_use]
    pub fn new(seed: u64, settings: &Settings) -> Self {
        assert!((1..=26).contains(&settings.nodes), "1 to 26 nodes");
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))
            .tick_duration(Duration::from_millis(1))
            .simulation_duration(Duration::from_secs(24 * 3600))
            .min_message_latency(settings.latency.0)
            .max_message_latency(settings.latency.1)
            .udp_capacity(4096)
            .tcp_capacity(4096)
            .enable_random_order()
            .build();
        let recorder = Recorder::new();
        let faults = Faults::new(settings.faults);
        let seats: Vec<Seat> =
            (0u8..26).take(settings.nodes).map(|i| Seat::new(i, settings.name(i))).collect();
        for seat in &seats {
            recorder.lock().name_host(&seat.alias, seat.ip);
        }
        for (i, seat) in seats.iter().enumerate() {
            let (seat, settings) = (seat.clone(), settings.clone());
            let (recorder, faults) = (recorder.clone(), faults.clone());
            sim.host(seat.ip, move || {
                let pen = Pen::new(recorder.clone(), faults.clone(), seat.alias.clone(), seat.ip);
                run_node(i, seed, seat.clone(), settings.clone(), faults.clone(), pen, recorder.clone())
            });
        }
        if settings.all_off {
            seats.iter().for_each(|seat| sim.crash(seat.ip));
        }
        Lan { sim, seats, recorder, faults, outages: BTreeSet::new(), panics: Panics::watch() }
    }

    // ---- time

    /// Lets this much virtual time pass.
    ///
    /// # Errors
    /// If a node stops with an error or a task panics.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failed> {
        let end = self.elapsed() + time;
        while self.elapsed() < end {
            self.step()?;
        }
        Ok(())
    }

    /// Runs until `done`, which is asked each millisecond, and notes the check in the trace.
    ///
    /// # Errors
    /// If it is not done within `limit`, a node stops with an error or a task panics.
    pub fn run_until(
        &mut self,
        check: &str,
        limit: Duration,
        mut done: impl FnMut(&Lan) -> bool,
    ) -> Result<(), Failed> {
        let end = self.elapsed() + limit;
        while !done(self) {
            if self.elapsed() >= end {
                return self.check(&format!("{check} within {} ms", limit.as_millis()), false);
            }
            self.step()?;
        }
        self.check(check, true)
    }

    /// Notes in the trace whether a check holds.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(&mut self, check: &str, holds: bool) -> Result<(), Failed> {
        let what = What::Check { check: check.to_owned(), passed: holds };
        self.recorder.push(self.elapsed(), None, what);
        if holds { Ok(()) } else { Err(Failed { what: check.to_owned(), at: self.elapsed() }) }
    }

    fn step(&mut self) -> Result<(), Failed> {
        self.lose_held_datagrams();
        let result = self.sim.step();
        let broken = self.panics.take().or_else(|| result.err().map(|error| error.to_string()));
        match broken {
            Some(what) => self.check(&what, false),
            None => Ok(()),
        }
    }

    // ---- faults

    /// Keeps two groups of nodes from reaching each other: all that is under way between them is lost, and so is
    /// what they send.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) {
        self.faults.count(|counts| counts.partitions += 1);
        self.between("partition", left, right, |lan, a, b| {
            lan.faults.cut(a, b);
            lan.sim.partition(a, b);
        });
    }

    /// Lets two groups reach each other again.
    pub fn heal(&mut self, left: &[usize], right: &[usize]) {
        self.between("heal", left, right, |lan, a, b| {
            lan.faults.mend(a, b);
            lan.sim.repair(a, b);
        });
    }

    /// Holds back all that two groups send each other, until [`release`](Lan::release): an outage that streams
    /// survive if it is short.
    pub fn hold(&mut self, left: &[usize], right: &[usize]) {
        self.faults.count(|counts| counts.outages += 1);
        self.between("hold", left, right, |lan, a, b| lan.sim.hold(a, b));
    }

    /// Delivers what was held back between two groups.
    pub fn release(&mut self, left: &[usize], right: &[usize]) {
        self.between("release", left, right, |lan, a, b| lan.sim.release(a, b));
    }

    /// Kills node `i`: its streams end, its disk stays.
    pub fn crash(&mut self, i: usize) {
        self.faults.count(|counts| counts.crashes += 1);
        self.fault(format!("crash {}", self.seats[i].alias));
        self.sim.crash(self.seats[i].ip);
        self.seats[i].store.crash();
        self.seats[i].seen().stop();
    }

    /// Starts node `i` again, with its disk.
    pub fn restart(&mut self, i: usize) {
        self.fault(format!("restart {}", self.seats[i].alias));
        self.sim.bounce(self.seats[i].ip);
    }

    /// Makes the next read of a block that node `i` publishes give a wrong byte.
    pub fn rot(&mut self, i: usize, block: BlockRef) {
        self.fault(format!("block {} of {} rots", block.index, self.seats[i].alias));
        self.seats[i].store.rot(block);
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&mut self, profile: FaultProfile) {
        self.faults.set_profile(profile);
    }

    // ---- commands

    /// Node `i` sends a text to node `j`.
    pub fn send_text(&mut self, i: usize, j: usize, text: &str) {
        if let Some(peer) = self.peer_id(j) {
            self.order(i, Order::Text(peer, text.to_owned()));
        }
    }

    /// Node `i` publishes bytes under a name. Says what they are called.
    pub fn publish(&mut self, i: usize, name: &str, bytes: Vec<u8>) -> ContentId {
        let mut hasher = p2pnet_engine::ContentHasher::new();
        hasher.update(&bytes);
        let (content, _) = hasher.finish().expect("a simulated file is smaller than 64 GiB");
        self.order(i, Order::Publish(name.to_owned(), bytes));
        content
    }

    /// Node `i` says goodbye and stops.
    pub fn leave(&mut self, i: usize) {
        self.order(i, Order::Leave);
    }

    // ---- questions

    /// Virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Never: a LAN has nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Who node `i` is; `None` before it listened for the first time.
    #[must_use]
    pub fn peer_id(&self, i: usize) -> Option<PeerId> {
        self.seats[i].seen().peer
    }

    /// Whether node `i` trusts node `j` now, as its events said.
    #[must_use]
    pub fn trusts(&self, i: usize, j: usize) -> bool {
        self.peer_id(j).is_some_and(|peer| self.seats[i].seen().trusted.contains(&peer))
    }

    /// Whether node `i` has a link to node `j` now, as its events said.
    #[must_use]
    pub fn connected(&self, i: usize, j: usize) -> bool {
        self.peer_id(j).is_some_and(|peer| self.seats[i].seen().connected.contains(&peer))
    }

    /// Whether each node trusts each other node.
    #[must_use]
    pub fn all_trusted(&self) -> bool {
        let n = self.seats.len();
        (0..n).all(|i| (0..n).all(|j| i == j || self.trusts(i, j)))
    }

    /// The texts that node `i` has got, in order.
    #[must_use]
    pub fn texts(&self, i: usize) -> Vec<String> {
        self.seats[i].seen().texts.iter().map(|(_, _, text)| text.clone()).collect()
    }

    /// How many texts of node `i` were acknowledged.
    #[must_use]
    pub fn delivered(&self, i: usize) -> usize {
        self.seats[i].seen().delivered.len()
    }

    /// Content as it lies on the disk of node `i`, if its node said that it is complete.
    #[must_use]
    pub fn received(&self, i: usize, content: &ContentId) -> Option<Vec<u8>> {
        self.seats[i].seen().received.get(content)?;
        self.seats[i].store.received(content)
    }

    /// Bytes of blocks that node `i` fetched for content that is complete.
    #[must_use]
    pub fn fetched_bytes(&self, i: usize, content: &ContentId) -> Option<u64> {
        self.seats[i].seen().received.get(content).copied()
    }

    /// Whether node `i` knows that node `j` holds its content.
    #[must_use]
    pub fn knows_holder(&self, i: usize, content: &ContentId, j: usize) -> bool {
        self.peer_id(j).is_some_and(|peer| self.seats[i].seen().holders.contains(&(*content, peer)))
    }

    /// How many links node `i` lost in its present run.
    #[must_use]
    pub fn lost_links(&self, i: usize) -> u64 {
        self.seats[i].seen().lost
    }

    /// The incarnation that node `i` used last.
    #[must_use]
    pub fn incarnation(&self, i: usize) -> u64 {
        self.seats[i].store.incarnation()
    }

    /// How often each fault happened.
    #[must_use]
    pub fn faults(&self) -> FaultCounts {
        self.faults.counts()
    }

    /// What happened so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.recorder.trace()
    }

    fn between(
        &mut self,
        word: &str,
        left: &[usize],
        right: &[usize],
        apply: impl Fn(&mut Lan, IpAddr, IpAddr),
    ) {
        let names = |group: &[usize]| {
            group.iter().map(|&i| self.seats[i].alias.as_str()).collect::<Vec<_>>().join(" ")
        };
        self.fault(format!("{word} {} | {}", names(left), names(right)));
        for &i in left {
            for &j in right {
                let (a, b) = (self.seats[i].ip, self.seats[j].ip);
                apply(self, a, b);
            }
        }
    }

    fn fault(&self, fault: String) {
        self.recorder.push(self.elapsed(), None, What::Fault { fault });
    }

    fn order(&mut self, i: usize, order: Order) {
        if let Some(orders) = &self.seats[i].seen().orders {
            // A node that has just stopped takes no orders; checks will miss what it should have done.
            let _ = orders.send(order);
        }
    }
}

impl fmt::Debug for Lan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lan")
            .field("nodes", &self.seats.len())
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}
