//! One stream of a [`Pair`](super::Pair).

use std::collections::VecDeque;

use p2pnet_engine::LinkId;

use super::streams::StreamEvent;
use crate::stream_end::{End, Side};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

/// One stream: two ends, of which each goes away on its own.
pub(super) struct Conn {
    pub(super) dialler: usize,
    pub(super) acceptor: usize,
    pub(super) ends: [Option<End>; 2],
    /// What a partition holds up, on its way to each side.
    pub(super) held: [VecDeque<StreamEvent>; 2],
}

impl Conn {
    pub(super) fn node(&self, side: Side) -> usize {
        match side {
            Side::Dialler => self.dialler,
            Side::Acceptor => self.acceptor,
        }
    }

    pub(super) fn end(&mut self, side: Side) -> Option<&mut End> {
        self.ends[side as usize].as_mut()
    }

    /// The numbers of its links on `i` and on `j`, if it is between them and open on both sides.
    pub(super) fn links_between(&self, i: usize, j: usize) -> Option<(LinkId, LinkId)> {
        let open = |end: &Option<End>| {
            end.as_ref().filter(|end| end.established && !end.closing).map(|end| end.link)
        };
        let (dialler, acceptor) = (open(&self.ends[0])?, open(&self.ends[1])?);
        match (self.dialler, self.acceptor) {
            nodes if nodes == (i, j) => Some((dialler, acceptor)),
            nodes if nodes == (j, i) => Some((acceptor, dialler)),
            _ => None,
        }
    }

    pub(super) fn is_of(&self, node: usize) -> bool {
        self.dialler == node || self.acceptor == node
    }
}
