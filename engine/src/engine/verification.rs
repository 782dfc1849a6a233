//! Our verification of one peer: the steps, in order, and where it stands.

use alloc::string::String;
use alloc::vec::Vec;

use crate::input::LinkId;
use crate::policy::{Step, TrustPolicy};

use super::code::CodeExchange;

/// How many pings prove that a link works both ways.
const PINGS: u8 = 3;

/// How many messages for steps that have not begun are kept.
pub(super) const MAX_EARLY: usize = 4;

/// A run of verification steps, bound to one link.
#[derive(Debug)]
pub(crate) struct Verification {
    pub(crate) link: LinkId,
    steps: Vec<Step>,
    current: usize,
    pings_answered: u8,
    nonce: u64,
    /// The exchange of the short code, once that step has begun.
    pub(crate) code: Option<CodeExchange>,
    /// Whether a person here is waited for, and whether the application was told.
    pub(crate) wants_person: bool,
    pub(crate) told: bool,
    pub(crate) code_told: bool,
    /// Whether a person at the other side may be waited for, too.
    pub(crate) peer_decides: bool,
    early: Vec<(Step, Vec<u8>)>,
}

/// The steps that this side runs: what it asks for and what the peer asks for. That the peer wants to decide is the
/// peer's business. The error is a step that this side cannot take part in.
pub(crate) fn union(policy: &TrustPolicy, theirs: &[String]) -> Result<Vec<Step>, String> {
    let mut steps = policy.steps.clone();
    for name in theirs {
        match Step::named(name) {
            Some(Step::Decision) => {}
            Some(step) if policy.supports(&step) => steps.push(step),
            _ => return Err(name.clone()),
        }
    }
    steps.sort();
    steps.dedup();
    Ok(steps)
}

impl Verification {
    pub(crate) fn new(link: LinkId, steps: Vec<Step>, peer_decides: bool) -> Self {
        Verification {
            link,
            steps,
            current: 0,
            pings_answered: 0,
            nonce: 0,
            code: None,
            wants_person: false,
            told: false,
            code_told: false,
            peer_decides,
            early: Vec::new(),
        }
    }

    /// The step that is being run; `None` when all are passed.
    pub(crate) fn current(&self) -> Option<&Step> {
        self.steps.get(self.current)
    }

    /// Remembers the nonce of the ping that was just sent.
    pub(crate) fn pinged(&mut self, nonce: u64) {
        self.nonce = nonce;
    }

    /// Takes an answer; says whether it was the one awaited, and if so whether it was the last.
    pub(crate) fn pong(&mut self, nonce: u64) -> Option<bool> {
        if self.current() != Some(&Step::Ping) || nonce != self.nonce {
            return None;
        }
        self.pings_answered += 1;
        Some(self.pings_answered >= PINGS)
    }

    /// How often people at the other side may have to answer before it comes to this step. Ours take their own time.
    pub(crate) fn answers_before(&self, step: &Step) -> u32 {
        let compare = *step > Step::Code && self.steps.contains(&Step::Code);
        let decide = *step > Step::Decision && self.peer_decides;
        u32::from(compare) + u32::from(decide)
    }

    /// Whether this step is the one that is being run.
    pub(crate) fn is_running(&self, step: &Step) -> bool {
        self.current() == Some(step)
    }

    /// The current step is passed.
    pub(crate) fn pass(&mut self) {
        self.current += 1;
        (self.wants_person, self.told) = (false, false);
    }

    /// Whether this step has not begun here.
    pub(crate) fn is_later(&self, step: &Step) -> bool {
        self.steps.iter().skip(self.current + 1).any(|later| later == step)
    }

    /// Keeps a message for a step that has not begun; says whether there was room.
    pub(crate) fn keep_early(&mut self, step: Step, message: Vec<u8>) -> bool {
        let room = self.early.len() < MAX_EARLY;
        if room {
            self.early.push((step, message));
        }
        room
    }

    /// Takes the messages that came before this step began.
    pub(crate) fn take_early(&mut self, step: &Step) -> Vec<Vec<u8>> {
        let all = core::mem::take(&mut self.early);
        let (due, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(of, _)| of == step);
        self.early = rest;
        due.into_iter().map(|(_, message)| message).collect()
    }
}
