//! What will happen, ordered by (time, class, sequence).

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use p2pnet_engine::Timestamp;

/// A heap of happenings. What is earlier comes first; of two at the same time the one of the smaller class, then
/// the one that was scheduled first. So order never depends on anything but the calls.
#[derive(Debug)]
pub(crate) struct Schedule<H> {
    heap: BinaryHeap<Reverse<Scheduled<H>>>,
    sequence: u64,
}

/// One happening with its place in the order.
#[derive(Debug)]
pub(crate) struct Scheduled<H> {
    pub(crate) at: Timestamp,
    class: u8,
    /// Its number: no other has it.
    pub(crate) sequence: u64,
    /// The number of what caused it; 0 for what nothing caused.
    pub(crate) cause: u64,
    pub(crate) happening: H,
}

impl<H> Schedule<H> {
    pub(crate) fn new() -> Self {
        Schedule { heap: BinaryHeap::new(), sequence: 0 }
    }

    /// Schedules a happening and returns its number.
    pub(crate) fn push(&mut self, at: Timestamp, class: u8, cause: u64, happening: H) -> u64 {
        self.sequence += 1;
        let sequence = self.sequence;
        self.heap.push(Reverse(Scheduled { at, class, sequence, cause, happening }));
        sequence
    }

    /// When the next one is.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(next)| next.at)
    }

    pub(crate) fn pop(&mut self) -> Option<Scheduled<H>> {
        self.heap.pop().map(|Reverse(next)| next)
    }
}

impl<H> Scheduled<H> {
    fn key(&self) -> (Timestamp, u8, u64) {
        (self.at, self.class, self.sequence)
    }
}

impl<H> Ord for Scheduled<H> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<H> PartialOrd for Scheduled<H> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<H> PartialEq for Scheduled<H> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<H> Eq for Scheduled<H> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_before_class_and_class_before_sequence() {
        let mut schedule = Schedule::new();
        let at = Timestamp::from_millis;
        for (time, class, what) in [(2, 0, "late"), (1, 1, "second"), (1, 0, "first"), (1, 1, "third")] {
            schedule.push(at(time), class, 0, what);
        }
        let order: Vec<&str> = std::iter::from_fn(|| schedule.pop()).map(|next| next.happening).collect();
        assert_eq!(order, ["first", "second", "third", "late"]);
    }
}
