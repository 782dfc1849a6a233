//! Which texts and messages of a peer were taken, so that none is taken twice, not even after the peer was forgotten.

use alloc::collections::VecDeque;

use crate::identity::PeerId;
use crate::record::Instance;

/// Earlier runs of a peer of which it is remembered what was taken.
const MAX_RUNS: usize = 4;

/// What a peer numbers on its own, by one within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Message,
}

/// The last number of each kind that was taken.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    text: u64,
    message: u64,
}

impl Last {
    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Text => &mut self.text,
            Kind::Message => &mut self.message,
        }
    }
}

/// What was taken from one peer.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Of this run. A run that jumps to another incarnation goes on counting.
    last: Last,
    run: Option<(u64, Instance)>,
    /// Of earlier runs: clones of a peer come in turn.
    before: VecDeque<(Instance, Last)>,
}

impl Taken {
    /// The peer's link is of this run now. One of an earlier incarnation changes nothing.
    pub(crate) fn begin(&mut self, incarnation: u64, instance: Instance) {
        if self.run.is_some_and(|(latest, _)| latest >= incarnation) {
            return;
        }
        if self.run.is_none_or(|(_, run)| run != instance) {
            self.put_away();
            let again = self.before.iter().position(|(run, _)| *run == instance);
            self.last =
                again.and_then(|again| self.before.remove(again)).map(|(_, last)| last).unwrap_or_default();
            if self.before.len() > MAX_RUNS {
                self.before.pop_front();
            }
        }
        self.run = Some((incarnation, instance));
    }

    /// No run of the peer is there. It may come back under any incarnation, if nobody remembers the one that it had.
    fn put_away(&mut self) {
        if let Some((_, run)) = self.run.take() {
            self.before.push_back((run, self.last));
        }
        self.last = Last::default();
    }

    /// Whether what comes by a link of this incarnation is of a run that is over.
    pub(crate) fn is_over(&self, incarnation: u64) -> bool {
        self.run.is_some_and(|(latest, _)| incarnation < latest)
    }

    pub(crate) fn last(&self, kind: Kind) -> u64 {
        *{ self.last }.of(kind)
    }

    /// Everything up to `id` counts as taken.
    pub(crate) fn up_to(&mut self, kind: Kind, id: u64) {
        let last = self.last.of(kind);
        *last = (*last).max(id);
    }
}

/// What was taken from peers that are not in the table any more, the longest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(VecDeque<(PeerId, Taken)>);

impl Forgotten {
    /// Keeps what a peer leaves behind, of `limit` peers at most. One that never had a link leaves nothing.
    pub(crate) fn keep(&mut self, peer: PeerId, mut taken: Taken, limit: usize) {
        taken.put_away();
        if taken.before.is_empty() {
            return;
        }
        while self.0.len() >= limit.max(1) {
            self.0.pop_front();
        }
        self.0.push_back((peer, taken));
    }

    /// What a peer that comes back had left behind.
    pub(crate) fn recall(&mut self, peer: PeerId) -> Taken {
        let there = self.0.iter().position(|(known, _)| *known == peer);
        there.and_then(|there| self.0.remove(there)).map(|(_, taken)| taken).unwrap_or_default()
    }

    #[cfg(feature = "marks")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u8) -> Instance {
        Instance::from_bytes([number; 16])
    }

    #[test]
    fn clones_that_take_turns_are_counted_apart() {
        let mut taken = Taken::default();
        taken.begin(1, run(1));
        taken.up_to(Kind::Text, 7);
        taken.begin(2, run(2));
        assert_eq!(taken.last(Kind::Text), 0);
        taken.up_to(Kind::Text, 3);
        assert!(taken.is_over(1) && !taken.is_over(2));
        taken.begin(3, run(1));
        assert_eq!(taken.last(Kind::Text), 7);
        taken.begin(2, run(2));
        assert_eq!(taken.last(Kind::Text), 7, "an earlier incarnation changes nothing");
        for number in 3..9 {
            taken.begin(u64::from(number) + 1, run(number));
        }
        assert!(taken.before.len() <= MAX_RUNS);
    }

    #[test]
    fn texts_and_messages_are_counted_apart() {
        let mut taken = Taken::default();
        taken.begin(1, run(1));
        taken.up_to(Kind::Text, 7);
        taken.up_to(Kind::Message, 3);
        assert_eq!([Kind::Text, Kind::Message].map(|kind| taken.last(kind)), [7, 3]);
    }

    #[test]
    fn a_peer_that_comes_back_finds_its_count_and_the_longest_forgotten_goes_first() {
        let peer = |number| PeerId::from_bytes([number; 32]);
        let mut forgotten = Forgotten::default();
        forgotten.keep(peer(0), Taken::default(), 2);
        assert!(forgotten.0.is_empty(), "it never had a link");
        for number in 1..4 {
            let mut taken = Taken::default();
            taken.begin(1, run(number));
            taken.up_to(Kind::Text, u64::from(number));
            forgotten.keep(peer(number), taken, 2);
        }
        let mut recall = |number| {
            let mut taken = forgotten.recall(peer(number));
            // Under any incarnation: its disk may be lost.
            taken.begin(0, run(number));
            taken.last(Kind::Text)
        };
        assert_eq!([1, 2, 3].map(&mut recall), [0, 2, 3]);
        assert_eq!(recall(3), 0, "it is in the table again");
    }
}
