//! How streams end, and who learns of it.

use p2pnet_engine::{DialFailure, LinkEnd, LinkInput};

use crate::stream_end::Side;
use crate::world::faults::FaultKind;
use crate::world::{Happening, World};

use super::{Conn, ConnId, StreamEvent};

impl World {
    /// Drops one end; the other learns it behind what is under way.
    pub(in crate::world) fn hang_up(&mut self, conn: ConnId, side: Side, end: LinkEnd) {
        self.send_end(conn, side.other(), end);
        self.drop_end(conn, side);
    }

    pub(super) fn send_end(&mut self, conn: ConnId, side: Side, end: LinkEnd) {
        if self.conns.get(&conn).is_some_and(|conn| conn.ends[side as usize].is_some() || !conn.accepted) {
            self.send_piece(conn, side, Vec::new(), Some(end));
        }
    }

    /// A host answers what belongs to no stream of its own with a reset, which may be lost.
    pub(super) fn broken_later(&mut self, conn: ConnId, side: Side) {
        self.tally.count(FaultKind::HalfOpen);
        if let Some(delay) = self.conn_passes(conn, side, 60) {
            self.after(delay, Happening::Stream(StreamEvent::Broken { conn, side }));
        }
    }

    pub(super) fn broken(&mut self, conn: ConnId, side: Side) {
        let Some(end) = self.end(conn, side) else { return };
        let input = if end.established {
            LinkInput::Closed(LinkEnd::Reset)
        } else {
            LinkInput::DialFailed(DialFailure::Refused)
        };
        self.tell_last(conn, side, input);
    }

    /// Breaks every stream between two nodes: both sides see a reset.
    pub(in crate::world) fn reset_streams(&mut self, a: usize, b: usize) {
        let between = |conn: &Conn| {
            let nodes = (conn.dialler.node, conn.acceptor.node);
            nodes == (Some(a), Some(b)) || nodes == (Some(b), Some(a))
        };
        let conns: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| between(conn)).map(|(&id, _)| id).collect();
        for conn in conns {
            self.broken(conn, Side::Dialler);
            self.broken(conn, Side::Acceptor);
            self.conns.remove(&conn);
        }
    }

    /// The streams that there are between two nodes carry nothing from now on, or do again.
    pub(in crate::world) fn stall_streams(&mut self, a: usize, b: usize, stalled: bool) {
        for conn in self.conns.values_mut() {
            let nodes = (conn.dialler.node, conn.acceptor.node);
            if (nodes == (Some(a), Some(b)) || nodes == (Some(b), Some(a))) && conn.stalled != stalled {
                conn.stalled = stalled;
                if stalled {
                    self.tally.count(FaultKind::Stall);
                }
            }
        }
    }

    /// A process is gone. Its kernel ends its streams, or, without power, nobody hears of them again.
    pub(in crate::world) fn end_streams_of(&mut self, node: usize, silently: bool) {
        for (conn, side) in std::mem::take(&mut self.nodes[node].links).into_values() {
            if silently {
                self.drop_end(conn, side);
            } else {
                self.hang_up(conn, side, LinkEnd::Eof);
            }
        }
    }

    pub(super) fn drop_end(&mut self, conn: ConnId, side: Side) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let node = entry.party(side).node;
        let end = entry.ends[side as usize].take();
        if entry.ends.iter().all(Option::is_none) {
            self.conns.remove(&conn);
        }
        if let (Some(end), Some(node)) = (end, node) {
            self.nodes[node].links.remove(&end.link);
            self.nodes[node].written.remove(&end.link);
        }
    }
}
