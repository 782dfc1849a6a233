//! Whom the server told of whom.

use std::collections::{BTreeSet, VecDeque};

use p2pnet_engine::PeerId;

use crate::records::Tag;

/// Introductions that are remembered. Of more, the oldest go.
pub const MAX_INTRODUCTIONS: usize = 8192;

/// Introductions of one answer that are remembered: with 64 records in each answer a few answers would drive out all
/// others.
pub const PER_ANSWER: usize = 8;

/// One introduction: on this network, the first peer was given the second one's record.
pub type Introduction = (Tag, PeerId, PeerId);

/// The last introductions, each once.
#[derive(Debug, Default)]
pub struct Introductions {
    known: BTreeSet<Introduction>,
    order: VecDeque<Introduction>,
}

impl Introductions {
    /// Remembers that `to` was given the records of these; the first [`PER_ANSWER`] of them.
    pub fn add(&mut self, tag: Tag, to: PeerId, of: impl IntoIterator<Item = PeerId>) {
        for of in of.into_iter().take(PER_ANSWER) {
            let introduction = (tag, to, of);
            if self.known.insert(introduction) {
                self.order.push_back(introduction);
            }
        }
        while self.order.len() > MAX_INTRODUCTIONS {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// All of them, the latest first.
    pub fn latest(&self) -> impl Iterator<Item = &Introduction> {
        self.order.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_introductions_go_first() {
        let id = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            PeerId::from_bytes(bytes)
        };
        let mut introductions = Introductions::default();
        for number in 0..MAX_INTRODUCTIONS + 5 {
            introductions.add([1; 8], id(number), [id(0), id(1)]);
            introductions.add([1; 8], id(number), [id(0), id(1)]);
        }
        assert_eq!(introductions.latest().count(), MAX_INTRODUCTIONS);
        assert_eq!(introductions.known.len(), MAX_INTRODUCTIONS);
        assert_eq!(introductions.latest().next(), Some(&([1; 8], id(MAX_INTRODUCTIONS + 4), id(1))));
    }
}
