//! Streams of which one end is no node: whoever holds it reads and writes bytes as they are.

use std::time::Duration;

use p2pnet_engine::{LinkEnd, LinkId};

use crate::stream_end::{End, Side};
use crate::world::{Happening, World};

use super::{Conn, ConnId, Party, StreamEvent, Way};

impl World {
    /// Connects from an address of a host to a node, and says `first`. `None` if nothing gets there now, or nobody takes
    /// it.
    pub(in crate::world) fn dial_by_hand_of(
        &mut self,
        lan: usize,
        from: usize,
        node: usize,
        first: Vec<u8>,
    ) -> Option<ConnId> {
        let to = self.nodes[node].host;
        let number = |world: &World, host: usize| Some(world.hosts[host].interface(lan)?.number);
        let (own, there) = (number(self, from)?, number(self, to)?);
        let open = self.hosts[to].firewall == crate::world::plan::Firewall::None && !self.hosts[to].refuses;
        if !open || !self.nodes[node].runs() || !self.reaches(from, to, lan) {
            return None;
        }
        self.conns_made += 1;
        let conn = ConnId(self.conns_made);
        let dialler = Party { node: None, host: from, number: own };
        let acceptor = Party { node: Some(node), host: to, number: there };
        let mut ways = [Way::default(), Way::default()];
        let said = &mut ways[Side::Acceptor as usize];
        said.bytes = first.len();
        if !first.is_empty() {
            said.unread.push_back(first);
        }
        let ends = [Some(End::new(LinkId(0), true)), None];
        self.conns.insert(
            conn,
            Conn {
                lan,
                dialler,
                acceptor,
                six: false,
                ends,
                ways,
                accepted: true,
                stalled: false,
                afar: None,
            },
        );
        let starts = self.nodes[node].starts;
        let latency = Duration::from_micros(self.link_between(from, to).latency_us * 3);
        self.after(latency, Happening::Stream(StreamEvent::Accept { conn, node, starts }));
        Some(conn)
    }

    /// The node that dialled a stream.
    pub(in crate::world) fn dialler_of(&self, conn: ConnId) -> Option<usize> {
        self.conns.get(&conn)?.dialler.node
    }

    /// Takes a stream that is for a node out of its hands. Says whom its dialler is.
    pub(in crate::world) fn take_over(&mut self, conn: ConnId) -> Option<usize> {
        let entry = self.conns.get_mut(&conn)?;
        entry.acceptor.node = None;
        entry.ends[Side::Acceptor as usize] = Some(End::new(LinkId(0), true));
        entry.dialler.node
    }

    /// Says something at the end that is held by hand.
    pub(in crate::world) fn say_by_hand(&mut self, conn: ConnId, side: Side, bytes: Vec<u8>) {
        if !bytes.is_empty() && self.end(conn, side).is_some() {
            self.send_piece(conn, side.other(), bytes, None);
        }
    }

    /// What has arrived at the end that is held by hand.
    pub(in crate::world) fn read_by_hand(&mut self, conn: ConnId, side: Side) -> Vec<Vec<u8>> {
        let Some(entry) = self.conns.get_mut(&conn) else { return Vec::new() };
        let way = &mut entry.ways[side as usize];
        let unread: Vec<Vec<u8>> = way.unread.drain(..).collect();
        way.bytes = way.bytes.saturating_sub(unread.iter().map(Vec::len).sum());
        if std::mem::take(&mut way.blocked) {
            self.after(Duration::ZERO, Happening::Stream(StreamEvent::Room { conn, side: side.other() }));
        }
        unread
    }

    /// Whether nothing more comes at the end that is held by hand.
    pub(in crate::world) fn is_over_by_hand(&self, conn: ConnId, side: Side) -> bool {
        let over = |conn: &Conn| conn.ends[side as usize].is_none() || conn.ways[side as usize].end.is_some();
        self.conns.get(&conn).is_none_or(over)
    }

    /// Ends a stream that is held by hand.
    pub(in crate::world) fn end_by_hand(&mut self, conn: ConnId, side: Side) {
        if self.end(conn, side).is_some() {
            self.hang_up(conn, side, LinkEnd::Eof);
        }
    }
}
