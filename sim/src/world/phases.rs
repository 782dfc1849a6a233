//! The phases of a run: start and chaos, the core is healed, it converges, it is quiet, somebody leaves.

use std::fmt::Write;
use std::time::Duration;

use p2pnet_engine::{Cadence, Config, Marks, Network, Timestamp};

use super::World;
use super::checks::{Class, Seen};
use super::faults::FaultTally;

/// How often it is looked whether the core has converged.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long links that were doomed before the healing may take to be found out: twice `lost_after`.
pub(crate) const SETTLE: Duration = Duration::from_secs(8);
/// How long the others may take to drop a node that left.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// How long nobody may hear of it again afterwards.
pub(crate) const STAYS_GONE: Duration = Duration::from_secs(5);

/// What did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether something happened that must not, or did not happen that must.
    pub class: Class,
    /// The check; `explain` prints its sentence.
    pub check: String,
    /// Virtual milliseconds.
    pub at_ms: String,
    /// On which node, if on one.
    pub node: Option<String>,
    /// What was seen; for liveness, what is still pending.
    pub message: String,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What did not hold; `None` if everything did.
    pub failure: Option<Failure>,
    /// The hash of everything that happened.
    pub hash: String,
    /// Seconds that nodes ran, in all.
    pub node_seconds: f64,
    /// What happened, in number.
    pub happened: u64,
    /// Transfers that were completed.
    pub transfers: u64,
    /// How often each fault happened.
    pub faults: FaultTally,
    /// How often each coverage mark was taken, by all engines.
    pub marks: Marks,
    /// How long the core took to converge after it was healed.
    pub converged_after: Option<Duration>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} ms", self.check, self.at_ms)?;
        if let Some(node) = &self.node {
            write!(f, " on {node}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl World {
    /// Runs all phases of the plan.
    pub fn run(&mut self) -> Outcome {
        self.run_for(self.plan.chaos());
        self.heal_core();
        let healed_at = self.elapsed();
        let converged = self.converge();
        let converged_after = converged.then(|| self.elapsed().saturating_sub(healed_at));
        if converged {
            // A stream that stalled in the chaos may look well until its link is found to be silent.
            self.run_for(SETTLE);
        }
        if converged && self.converge() {
            self.look(&Seen::QuietBegins);
            self.run_for(Duration::from_millis(self.plan.quiet_ms));
            self.look(&Seen::QuietEnds);
            self.part();
        }
        self.outcome(converged_after)
    }

    /// Seconds that nodes ran, in all.
    fn node_seconds(&self) -> f64 {
        let running = self.nodes.iter().filter(|node| node.runs());
        let nanos: u128 = running.map(|node| self.now.since(node.started_at).as_nanos()).sum();
        (self.node_nanos + nanos) as f64 / 1e9
    }

    /// What became of the run so far.
    #[must_use]
    pub fn outcome(&self, converged_after: Option<Duration>) -> Outcome {
        Outcome {
            failure: self.failure.clone(),
            hash: self.hash(),
            node_seconds: self.node_seconds(),
            happened: self.happened,
            transfers: self.completed,
            faults: self.tally.clone(),
            marks: self.marks(),
            converged_after,
        }
    }

    /// Runs until every liveness check has nothing pending, or the bound is over. Whether it has converged.
    fn converge(&mut self) -> bool {
        let end = self.now + self.convergence_bound();
        while self.failure.is_none() {
            let pending = self.pending();
            if pending.is_empty() {
                return true;
            }
            if self.now >= end {
                let (check, node, message) =
                    pending.into_iter().next().unwrap_or(("links", None, String::new()));
                self.violated(check, node, message);
                return false;
            }
            self.run_for(LOOK_EVERY);
        }
        false
    }

    /// What every liveness check still waits for, the first of each.
    fn pending(&self) -> Vec<(&'static str, Option<usize>, String)> {
        let checks = self.checks.iter();
        checks
            .filter_map(|check| {
                check.pending(self).map(|pending| (check.id(), pending.node, pending.message))
            })
            .collect()
    }

    /// The most that convergence may take: each thing that may have to be waited for, one after the other.
    #[must_use]
    pub fn convergence_bound(&self) -> Duration {
        if let Some(bound) = self.plan.converge_ms {
            return Duration::from_millis(bound);
        }
        let config = Config::new(Network::open("world").expect("the name is a valid one"), "bound", 1);
        let slowest = match config.cadence {
            Cadence::Constant { interval } => interval,
            Cadence::Sine { slowest, .. } | Cadence::Trickle { slowest, .. } => slowest,
            _ => Duration::from_secs(300),
        };
        let known = self.nodes.len() + self.passers();
        let crowd = u32::try_from(known.div_ceil(8)).unwrap_or(1);
        let beacon = (slowest * crowd).min(Duration::from_secs(300)) * 11 / 10;
        // The longest hold-off after a rejection, the longest gap between two dials (engine/redial.rs, links.rs).
        let (hold_off, redial) = (Duration::from_secs(60), Duration::from_secs(33));
        let steps = u32::try_from(config.trust.steps.len()).unwrap_or(u32::MAX);
        let bytes: u64 = self.plan.content.iter().map(|content| content.bytes as u64).sum();
        // A restart in the middle of a comparison counts like a rejection, and the fourth in a row holds off twice as long.
        let people =
            if self.plan.has_policies() { hold_off * 4 + self.answers_within() } else { Duration::ZERO };
        let transfer = Duration::from_millis(bytes * self.nodes.len() as u64 / 10_000);
        beacon
            + config.lost_after
            + config.handshake_timeout
            + config.trust.step_timeout * steps
            + hold_off
            + redial
            + config.source_timeout * 4
            + people
            + transfer
            + self.servers_within()
    }

    /// The leaver leaves; everybody must learn it, and nobody may bring it back.
    fn part(&mut self) {
        let Some(leaver) = self.plan.leaver.clone().and_then(|name| self.plan.node(&name)) else { return };
        let linked: Vec<usize> = (0..self.nodes.len()).filter(|&node| self.must_link(node, leaver)).collect();
        self.leave(leaver);
        let end = self.now + LEAVE_WITHIN;
        while self.failure.is_none() {
            let gone = self.peer_id(leaver);
            let knows = |node: usize| self.engine(node).and_then(|engine| engine.peer(&gone)).is_some();
            let holds = linked.iter().copied().find(|&node| knows(node));
            match holds {
                None => break,
                Some(node) if self.now >= end => {
                    let message =
                        format!("still knows {}, which left {LEAVE_WITHIN:?} ago", self.name(leaver));
                    return self.violated("leavers", Some(node), message);
                }
                Some(_) => self.run_for(LOOK_EVERY.min(end.since(self.now)).max(Duration::from_nanos(1))),
            }
        }
        // The check `no-resurrection` looks on meanwhile.
        self.run_for(STAYS_GONE);
    }

    /// The state of all nodes, for people.
    #[must_use]
    pub fn states(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!("at {:.3} ms", self.elapsed().as_secs_f64() * 1000.0));
        for (i, node) in self.nodes.iter().enumerate() {
            let core = if self.plan.is_core(i) { " (core)" } else { "" };
            let host = &self.hosts[node.host];
            let state = match (&node.engine, node.paused) {
                (None, _) => "does not run",
                (Some(_), true) => "is paused",
                (Some(_), false) => "runs",
            };
            line(format!(
                "\n{}{core} on {} ({}): {state}; peer {}, incarnation {}, start {}",
                node.name,
                host.name,
                if host.up { "up" } else { "no power" },
                node.peer.short(),
                node.incarnation,
                node.starts
            ));
            let Some(engine) = &node.engine else { continue };
            for peer in engine.peers() {
                let name =
                    self.node_of(&peer.id).map_or_else(|| peer.id.short(), |i| self.name(i).to_owned());
                let record = peer.record.record();
                let mut described = String::new();
                // Writing to a String does not fail.
                let _ = write!(described, "  {name}: {:?}", peer.level);
                let _ = write!(described, ", record {}.{}", record.incarnation, record.seq);
                let _ = write!(described, ", at {:?}, {:?}", peer.addr, peer.link);
                line(described);
            }
            for content in &node.wants {
                line(format!(
                    "  wants {content:?}: {:?}",
                    engine.progress(content).map(|p| (p.written, p.blocks))
                ));
            }
            line(format!("  next {:?}; wake {:?}; {:?}", engine.poll_timeout(), node.wake, engine.stats()));
        }
        text
    }

    /// The end of time, for runs by hand.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
