//! What will happen, ordered by (time, class, sequence).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use p2pnet_engine::Timestamp;

/// A heap of happenings. What is earlier comes first; of two at the same time the one of the smaller class, then
/// the one that was scheduled first. So order never depends on anything but the calls.
#[derive(Debug)]
pub(crate) struct Schedule<H> {
    /// Time, class, number, and where the happening itself is: it is larger than all of these, and stays in its place.
    heap: BinaryHeap<Reverse<(Timestamp, u8, u64, usize)>>,
    places: Vec<Option<Scheduled<H>>>,
    free: Vec<usize>,
    sequence: u64,
}

/// One happening.
#[derive(Debug)]
pub(crate) struct Scheduled<H> {
    pub(crate) at: Timestamp,
    /// Its number: no other has it.
    pub(crate) sequence: u64,
    /// The number of what caused it; 0 for what nothing caused.
    pub(crate) cause: u64,
    pub(crate) happening: H,
}

impl<H> Schedule<H> {
    pub(crate) fn new() -> Self {
        Schedule { heap: BinaryHeap::new(), places: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    /// Schedules a happening and returns its number.
    pub(crate) fn push(&mut self, at: Timestamp, class: u8, cause: u64, happening: H) -> u64 {
        self.sequence += 1;
        let sequence = self.sequence;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(Scheduled { at, sequence, cause, happening });
        self.heap.push(Reverse((at, class, sequence, place)));
        sequence
    }

    /// When the next one is.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<Scheduled<H>> {
        let Reverse((.., place)) = self.heap.pop()?;
        self.free.push(place);
        self.places[place].take()
    }
}

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
