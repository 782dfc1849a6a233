//! Engines on a heap of events, in a network, on disks and with clocks that break as a plan says.

mod adversaries;
mod build;
pub mod checks;
mod clock;
pub mod coverage;
mod damage;
mod disk;
mod expand;
mod expand_adversary;
mod expand_churn;
mod expand_discovery;
mod expand_few;
mod expand_messages;
mod expand_more;
mod expand_partition;
mod expand_transfer;
mod expand_verification;
mod expand_wan;
pub mod faults;
mod intruders;
mod network;
mod node;
mod persons;
mod phases;
pub mod plan;
#[cfg(feature = "planted")]
pub mod planting;
mod processes;
mod questions;
mod record;
mod streams;
pub mod sweep;
mod trust;
mod wide;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{
    ContentId, Datagram, DialFailure, Engine, InterfaceId, LinkId, LinkInput, Marks, Timestamp,
};

use crate::schedule::Schedule;
use crate::trace::What;
use adversaries::Adversaries;
use checks::{Check, Seen};
use faults::FaultTally;
use intruders::Intruders;
use network::{Lan, Path};
use node::{Host, NetworkInterface, Node, SOCKET_QUEUE, place};
use plan::{LinkPlan, Plan};
use record::{Mark, Moment, Record};
use streams::{Conn, ConnId, StreamEvent};
use wide::{Wide, WideEvent};
use workload::Published;

pub use expand::{Profile, expand};
pub use phases::{Failure, Outcome};
#[cfg(feature = "turmoil")]
pub(crate) use phases::{LEAVE_WITHIN, LOOK_EVERY, SETTLE, STAYS_GONE};
pub use plan::Crypto;

/// More happenings than this at one time are an endless loop.
const MOST_AT_ONCE: u32 = 1_000_000;

/// What a draw is for. Draws of one domain do not move those of another.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
enum Domain {
    Loss = 1,
    Burst,
    Jitter,
    Alter,
    Segment,
    StreamCorruption,
    PartialRead,
    Disk,
    Stranger,
    Adversary,
    Server,
}

/// Engines, link codecs and block verifiers in one thread, driven as the runtime drives them, in a world of networks,
/// streams, disks and clocks that a [`Plan`] describes and breaks.
///
/// Everything that happens is on one heap, ordered by (time, class, sequence). A run is a function of its plan.
///
/// ```
/// use p2pnet_sim::{Profile, World, expand};
///
/// let plan = expand(7, Profile::Calm);
/// let outcome = World::new(plan, false).run();
/// assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
/// ```
pub struct World {
    plan: Plan,
    wired: LinkPlan,
    now: Timestamp,
    schedule: Schedule<Happening>,
    /// The number of what happens now, and of what caused it.
    current: (u64, u64),
    at_once: u32,
    happened: u64,
    hosts: Vec<Host>,
    nodes: Vec<Node>,
    lans: Vec<Lan>,
    paths: Vec<Path>,
    conns: BTreeMap<ConnId, Conn>,
    conns_made: u64,
    reads: u64,
    /// Contents that nodes published.
    published: BTreeMap<ContentId, Published>,
    completed: u64,
    tally: FaultTally,
    /// What insiders and strangers can use, and have.
    intruders: Intruders,
    adversaries: Adversaries,
    wide: Wide,
    /// Coverage marks of engines that do not run any more.
    marks: Marks,
    record: Record,
    checks: Vec<Box<dyn Check>>,
    failure: Option<Failure>,
    healed: bool,
    /// Nanoseconds that nodes ran, in runs that are over.
    node_nanos: u128,
}

/// Something that happens at a time.
enum Happening {
    Datagram {
        node: usize,
        interface: InterfaceId,
        source: SocketAddr,
        bytes: Arc<[u8]>,
    },
    Stream(StreamEvent),
    /// A dial that found no way out.
    LinkGone {
        node: usize,
        starts: u64,
        link: LinkId,
        failure: DialFailure,
    },
    Disk {
        node: usize,
        starts: u64,
    },
    Wake {
        node: usize,
        number: u64,
    },
    Start {
        node: usize,
    },
    FaultBegins(usize),
    FaultEnds(usize),
    Strange {
        fault: usize,
        round: u64,
    },
    /// Another trick of an adversary.
    Attack {
        adversary: usize,
        round: u64,
    },
    /// A stream in the hands of an adversary goes on.
    Puppet(ConnId),
    Work(workload::Work),
    Wide(WideEvent),
    /// A second is over.
    Second,
}

impl Happening {
    /// What goes first of several at the same time.
    fn class(&self) -> u8 {
        match self {
            Happening::FaultBegins(_) | Happening::FaultEnds(_) | Happening::Start { .. } => 0,
            Happening::Datagram { .. } | Happening::Stream(_) | Happening::LinkGone { .. } => 1,
            Happening::Strange { .. } | Happening::Attack { .. } | Happening::Puppet(_) => 1,
            Happening::Wide(_) => 1,
            Happening::Disk { .. } => 2,
            Happening::Wake { .. } => 3,
            Happening::Work(_) => 4,
            Happening::Second => 5,
        }
    }

    /// The process that must run for it.
    fn process(&self) -> Option<usize> {
        match self {
            Happening::Datagram { node, .. }
            | Happening::LinkGone { node, .. }
            | Happening::Disk { node, .. }
            | Happening::Wake { node, .. } => Some(*node),
            Happening::Stream(event) => World::needs_process(event),
            Happening::Work(work) => work.node(),
            Happening::Wide(event) => event.process(),
            _ => None,
        }
    }
}

impl World {
    /// The world of a plan at time zero. `traced` keeps a trace for people; the hash is kept in any case.
    ///
    /// # Panics
    /// If the plan is not valid: [`Plan::parse`] and [`expand`] give valid ones.
    #[must_use]
    pub fn new(plan: Plan, traced: bool) -> Self {
        if let Err(message) = plan.validate() {
            panic!("{message}");
        }
        let hosts = build::hosts(&plan);
        let lans = build::lans(&plan, &hosts);
        let nodes = build::nodes(&plan, &hosts);
        let paths = build::paths(&plan, &hosts);
        let mut world = World {
            wired: LinkPlan::default(),
            now: Timestamp::ZERO,
            schedule: Schedule::new(),
            current: (0, 0),
            at_once: 0,
            happened: 0,
            nodes,
            lans,
            paths,
            hosts,
            conns: BTreeMap::new(),
            conns_made: 0,
            reads: 0,
            published: BTreeMap::new(),
            completed: 0,
            tally: FaultTally::default(),
            intruders: Intruders::of(&plan),
            adversaries: Adversaries::of(&plan),
            wide: Wide::of(&plan),
            marks: Marks::default(),
            record: Record::new(traced),
            checks: checks::all(),
            failure: None,
            healed: false,
            node_nanos: 0,
            plan,
        };
        for i in 0..world.nodes.len() {
            let host = world.nodes[i].host;
            world.hosts[host].nodes.push(i);
        }
        (0..world.hosts.len()).for_each(|host| world.make_public(host));
        world.begin_tasks();
        world.name_everyone();
        world.schedule_plan();
        world
    }

    fn schedule_plan(&mut self) {
        for i in 0..self.plan.node.len() {
            let at = Timestamp::from_millis(self.plan.node[i].start_ms);
            self.at(at, Happening::Start { node: i });
        }
        for i in 0..self.plan.fault.len() {
            let fault = &self.plan.fault[i];
            let (begins, lasts) = (fault.at_ms(), fault.for_ms());
            self.at(Timestamp::from_millis(begins), Happening::FaultBegins(i));
            if let Some(lasts) = lasts {
                self.at(Timestamp::from_millis(begins.saturating_add(lasts)), Happening::FaultEnds(i));
            }
        }
        self.schedule_adversaries();
        self.schedule_work();
        self.at(Timestamp::from_millis(1000), Happening::Second);
    }

    // ---- running

    /// Lets the next thing happen, if that is not after `end` and nothing has failed. Whether it did.
    pub(crate) fn step(&mut self, end: Timestamp) -> bool {
        if self.failure.is_some() || self.schedule.next_at().is_none_or(|at| at > end) {
            return false;
        }
        let Some(next) = self.schedule.pop() else { return false };
        if next.at > self.now {
            self.at_once = 0;
        } else {
            self.at_once += 1;
        }
        self.now = self.now.max(next.at);
        self.current = (next.sequence, next.cause);
        self.happened += 1;
        if self.at_once > MOST_AT_ONCE {
            self.violated("deadlines", None, "an endless loop: time does not move".to_owned());
            return false;
        }
        self.happen(next.happening);
        true
    }

    /// Lets this much time pass, or less if something fails.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        if self.failure.is_none() {
            self.now = end;
        }
    }

    fn happen(&mut self, happening: Happening) {
        if let Some(node) = happening.process().filter(|&node| self.nodes[node].paused) {
            return self.hold_back(node, happening);
        }
        match happening {
            Happening::Datagram { node, interface, source, bytes } => {
                let now = self.local(node);
                self.note(Mark::Heard, Some(node), &bytes, |world| What::Heard {
                    from: world.place_name(source),
                    bytes: bytes.len(),
                });
                self.nodes[node].received += 1;
                if let Some(engine) = &mut self.nodes[node].engine {
                    engine.handle_datagram(now, Datagram { interface, source, bytes: &bytes });
                    self.drain(node);
                }
            }
            Happening::Stream(event) => self.stream_event(event),
            Happening::LinkGone { node, starts, link, failure } => {
                if self.nodes[node].starts == starts {
                    self.tell_engine(node, link, LinkInput::DialFailed(failure));
                }
            }
            Happening::Disk { node, starts } => self.disk_done(node, starts),
            Happening::Wake { node, number } => {
                if self.nodes[node].wake_number == number {
                    self.wake(node);
                }
            }
            Happening::Start { node } => self.start(node),
            Happening::FaultBegins(fault) => {
                if !self.healed {
                    self.fault_begins(fault);
                }
            }
            Happening::FaultEnds(fault) => {
                if !self.healed {
                    self.fault_ends(fault);
                }
            }
            Happening::Strange { fault, round } => {
                if !self.healed {
                    self.strange(fault, round);
                }
            }
            Happening::Attack { adversary, round } => self.attack(adversary, round),
            Happening::Puppet(conn) => self.puppet_goes_on(conn),
            Happening::Work(work) => self.work(work),
            Happening::Wide(event) => self.wide_event(event),
            Happening::Second => {
                self.tell_the_time();
                self.look(&Seen::Second);
                self.after(Duration::from_secs(1), Happening::Second);
            }
        }
    }

    fn hold_back(&mut self, node: usize, happening: Happening) {
        let node = &mut self.nodes[node];
        if let Happening::Datagram { .. } = happening {
            if node.backlog_datagrams >= SOCKET_QUEUE {
                return;
            }
            node.backlog_datagrams += 1;
        }
        node.backlog.push(happening);
    }

    fn wake(&mut self, i: usize) {
        let now = self.local(i);
        let node = &mut self.nodes[i];
        node.wake = None;
        let Some(engine) = &mut node.engine else { return };
        let Some(due) = engine.poll_timeout() else { return };
        if due.at > now {
            return self.reschedule(i);
        }
        engine.handle_timeout(now);
        let next = engine.poll_timeout();
        self.note(Mark::Woke, Some(i), &[due.reason as u8], |_| What::Woke {
            reason: format!("{:?}", due.reason),
        });
        if let Some(next) = next.filter(|next| next.at <= now) {
            let message = format!("{due:?} was handled at {now} ms, and {next:?} is due already");
            self.violated("deadlines", Some(i), message);
        }
        self.drain(i);
    }

    /// Does all that the engine of a node asks for, in the order that its contract gives.
    fn drain(&mut self, i: usize) {
        if self.nodes[i].draining {
            // Further out the same is being done, until nothing is left.
            return;
        }
        self.nodes[i].draining = true;
        loop {
            let mut idle = true;
            while let Some(action) = self.poll(i, Engine::poll_action) {
                idle = false;
                self.act(i, action);
            }
            while let Some(link) = self.poll(i, Engine::poll_ready_link) {
                idle = false;
                self.drain_link(i, link);
            }
            let mut buffer = Vec::new();
            while let Some(transmit) = self.poll(i, |engine| engine.poll_transmit(&mut buffer)) {
                idle = false;
                self.send_datagram(i, transmit, std::mem::take(&mut buffer));
            }
            while !self.nodes[i].deaf
                && let Some(event) = self.poll(i, Engine::poll_event)
            {
                idle = false;
                self.take_event(i, event);
            }
            while let Some(link) = self.nodes[i].written.pop_first() {
                idle = false;
                if let Some(&(conn, side)) = self.nodes[i].links.get(&link) {
                    self.tell_writable(conn, side);
                }
            }
            if idle || self.failure.is_some() {
                break;
            }
        }
        self.nodes[i].draining = false;
        self.look(&Seen::Turn { node: i });
        self.reschedule(i);
    }

    fn poll<R>(&mut self, i: usize, poll: impl FnOnce(&mut Engine) -> Option<R>) -> Option<R> {
        poll(self.nodes[i].engine.as_mut()?)
    }

    /// Sees to it that a node is woken when its engine wants it.
    fn reschedule(&mut self, i: usize) {
        let due = self.nodes[i].engine.as_ref().and_then(Engine::poll_timeout);
        let clock = self.hosts[self.nodes[i].host].clock;
        let at = due.map(|due| clock.when(due.at).max(self.now));
        if at != self.nodes[i].wake {
            self.nodes[i].wake = at;
            self.nodes[i].wake_number += 1;
            let number = self.nodes[i].wake_number;
            if let Some(at) = at {
                self.at(at, Happening::Wake { node: i, number });
            }
        }
    }

    // ---- private parts

    /// What the clock of a node's host shows.
    fn local(&self, i: usize) -> Timestamp {
        self.hosts[self.nodes[i].host].clock.local(self.now)
    }

    fn at(&mut self, at: Timestamp, happening: Happening) {
        let class = happening.class();
        self.schedule.push(at.max(self.now), class, self.current.0, happening);
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    /// Records something; `what` is asked only if a trace is kept.
    fn note(&mut self, mark: Mark, node: Option<usize>, bytes: &[u8], what: impl FnOnce(&World) -> What) {
        let moment = self.moment();
        self.record.note(moment, mark, node, bytes);
        if self.record.trace.is_some() {
            let what = what(self);
            let name = node.map(|node| self.nodes[node].name.as_str());
            self.record.tell(moment, name, what);
        }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.now, number: self.current.0, cause: self.current.1 }
    }

    /// Shows all checks what just happened.
    fn look(&mut self, seen: &Seen<'_>) {
        if self.failure.is_some() {
            return;
        }
        let mut checks = std::mem::take(&mut self.checks);
        let mut found = None;
        for check in &mut checks {
            if let Err(broken) = check.saw(self, seen) {
                found = Some((check.id(), broken));
                break;
            }
        }
        self.checks = checks;
        if let Some((id, broken)) = found {
            self.violated(id, broken.node, broken.message);
        }
    }

    fn violated(&mut self, check: &'static str, node: Option<usize>, message: String) {
        if self.failure.is_some() {
            return;
        }
        self.note(Mark::Check, node, check.as_bytes(), |_| What::Check {
            check: format!("{check}: {message}"),
            passed: false,
        });
        self.failure = Some(Failure {
            class: checks::class_of(check),
            check: check.to_owned(),
            at_ms: format!("{:.3}", self.elapsed().as_secs_f64() * 1000.0),
            node: node.map(|node| self.nodes[node].name.clone()),
            message,
        });
    }

    fn place_name(&self, address: SocketAddr) -> String {
        let there = place(address.ip()).and_then(|(lan, number)| {
            let lan = self.lans.get(lan).map(|here| (lan, here))?;
            if number == u16::MAX {
                return Some(format!("all of {}", lan.1.name));
            }
            let host = lan.1.hosts.iter().find(|&&host| {
                self.hosts[host].interface(lan.0).is_some_and(|interface| interface.number == number)
            })?;
            Some(self.hosts[*host].name.clone())
        });
        match there {
            Some(name) => format!("{name}:{}", address.port()),
            None if address.ip().is_multicast() => format!("group:{}", address.port()),
            None => address.to_string(),
        }
    }

    fn name_everyone(&mut self) {
        let names: Vec<_> = self.nodes.iter().map(|node| (node.name.clone(), node.peer, node.host)).collect();
        for (name, peer, host) in names {
            let ip = self.hosts[host].interfaces.first().map(NetworkInterface::ip);
            if let (Some(trace), Some(ip)) = (&mut self.record.trace, ip) {
                trace.name_host(&name, ip);
                trace.name_peer(&name, peer);
            }
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.plan.seed)
            .field("now", &self.now)
            .field("nodes", &self.nodes.len())
            .finish_non_exhaustive()
    }
}
