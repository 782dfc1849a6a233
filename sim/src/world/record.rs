//! What a run did: a rolling hash over a canonical binary form, and, if asked for, a trace for people.

use std::time::Duration;

use p2pnet_engine::Timestamp;

use crate::trace::{Trace, What};

/// What kind of thing is recorded; the first byte of its binary form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mark {
    Started = 1,
    Stopped,
    Woke,
    Action,
    Transmit,
    Heard,
    Wrote,
    Read,
    StreamEnded,
    Event,
    Fault,
    Check,
}

/// Bytes that are hashed together.
const CHUNK: usize = 64 * 1024;

/// Bytes at each end of something long that are hashed.
const ENDS: usize = 256;

/// Everything that a run recorded. Two runs with the same hash put out the same bytes at the same times.
pub(super) struct Record {
    hasher: blake3::Hasher,
    pending: Vec<u8>,
    pub(super) trace: Option<Trace>,
}

/// When something was recorded, and during which happening.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) number: u64,
    pub(super) cause: u64,
}

impl Record {
    pub(super) fn new(traced: bool) -> Self {
        Record { hasher: blake3::Hasher::new(), pending: Vec::new(), trace: traced.then(Trace::new) }
    }

    /// Mark, time, number, cause, node, length, bytes: all integers little-endian. Of many bytes the first and the last
    /// count: they are a sealed block, whose tag stands at the end.
    pub(super) fn note(&mut self, moment: Moment, mark: Mark, node: Option<usize>, bytes: &[u8]) {
        let node = node.map_or(u32::MAX, |node| u32::try_from(node).unwrap_or(u32::MAX - 1));
        self.pending.push(mark as u8);
        for number in [moment.at.as_nanos(), moment.number, moment.cause, bytes.len() as u64] {
            self.pending.extend_from_slice(&number.to_le_bytes());
        }
        self.pending.extend_from_slice(&node.to_le_bytes());
        match (bytes.first_chunk::<ENDS>(), bytes.last_chunk::<ENDS>()) {
            (Some(first), Some(last)) if bytes.len() > 2 * ENDS => {
                self.pending.extend_from_slice(first);
                self.pending.extend_from_slice(last);
            }
            _ => self.pending.extend_from_slice(bytes),
        }
        if self.pending.len() >= CHUNK {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
    }

    pub(super) fn tell(&mut self, moment: Moment, node: Option<&str>, what: What) {
        if let Some(trace) = &mut self.trace {
            let at: Duration = moment.at.since(Timestamp::ZERO);
            trace.push_caused(at, node, (moment.number, moment.cause), what);
        }
    }

    /// The hash of all that was recorded so far.
    pub(super) fn hash(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.pending);
        hasher.finalize().to_hex().to_string()
    }
}
