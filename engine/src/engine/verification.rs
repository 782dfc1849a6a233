//! Our verification of one peer: the steps, in order, and where it stands.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::Step;
use crate::input::LinkId;

/// How many pings prove that a link works both ways.
const PINGS: u8 = 3;

/// How many messages for a step that has not begun are kept.
const MAX_EARLY: usize = 4;

/// A run of verification steps, bound to one link.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(crate) link: LinkId,
    steps: Vec<Step>,
    current: usize,
    pings_answered: u8,
    nonce: u64,
    early: Vec<(String, Vec<u8>)>,
}

/// The name of a step on the wire.
pub(crate) fn step_name(step: &Step) -> String {
    match step {
        Step::Ping => "ping".to_string(),
        Step::Custom(name) => name.clone(),
    }
}

/// The steps that both sides run: what either asks for, pings first, then by name. The error names a step that
/// this side cannot run.
pub(crate) fn union(ours: &[Step], theirs: &[String], supported: &[String]) -> Result<Vec<Step>, String> {
    let mut steps = ours.to_vec();
    for name in theirs {
        let step = if name == "ping" { Step::Ping } else { Step::Custom(name.clone()) };
        if steps.contains(&step) {
            continue;
        }
        if let Step::Custom(name) = &step
            && !supported.contains(name)
        {
            return Err(name.clone());
        }
        steps.push(step);
    }
    steps.sort();
    steps.dedup();
    Ok(steps)
}

impl Verification {
    pub(crate) fn new(link: LinkId, steps: Vec<Step>) -> Self {
        Verification { link, steps, current: 0, pings_answered: 0, nonce: 0, early: Vec::new() }
    }

    /// The step that is being run; `None` when all are passed.
    pub(crate) fn current(&self) -> Option<&Step> {
        self.steps.get(self.current)
    }

    /// Remembers the nonce of the ping that was just sent.
    pub(crate) fn pinged(&mut self, nonce: u64) {
        self.nonce = nonce;
    }

    /// Takes an answer; says whether it was the one awaited.
    pub(crate) fn pong(&mut self, nonce: u64) -> bool {
        let awaited = self.current() == Some(&Step::Ping) && nonce == self.nonce;
        if awaited {
            self.pings_answered += 1;
            if self.pings_answered >= PINGS {
                self.current += 1;
            }
        }
        awaited
    }

    /// Whether the custom step of this name is the one that is being run.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        matches!(self.current(), Some(Step::Custom(current)) if current == name)
    }

    /// The current custom step passed.
    pub(crate) fn pass(&mut self) {
        self.current += 1;
    }

    /// Whether the custom step of this name has not begun here.
    pub(crate) fn is_later(&self, name: &str) -> bool {
        let mut later = self.steps.iter().skip(self.current + 1);
        later.any(|step| matches!(step, Step::Custom(step) if step == name))
    }

    /// Keeps a message for a step that has not begun; says whether there was room.
    pub(crate) fn keep_early(&mut self, name: &str, message: Vec<u8>) -> bool {
        let room = self.early.len() < MAX_EARLY;
        if room {
            self.early.push((name.to_string(), message));
        }
        room
    }

    /// Takes the messages that came before the step of this name began.
    pub(crate) fn take_early(&mut self, name: &str) -> Vec<Vec<u8>> {
        let (due, rest) = core::mem::take(&mut self.early).into_iter().partition(|(step, _)| step == name);
        self.early = rest;
        let due: Vec<(String, Vec<u8>)> = due;
        due.into_iter().map(|(_, message)| message).collect()
    }
}
