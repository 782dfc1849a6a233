//! How what is written gets to the other side: in pieces that are sent again until they arrive.

use std::time::Duration;

use p2pnet_engine::LinkEnd;

use crate::draws::{comes_true, draw};
use crate::stream_end::Side;
use crate::world::faults::FaultKind;
use crate::world::{Domain, Happening, World};

use super::{ConnId, Piece, StreamEvent};

/// What the sender's and the receiver's kernel hold of one direction.
const WINDOW: usize = 256 * 1024;
/// The least and the longest retransmission time-out (Linux).
const RTO_LEAST: Duration = Duration::from_millis(200);
const RTO_MOST: Duration = Duration::from_secs(120);
/// After so many tries in vain a stream is given up (Linux, `tcp_retries2`).
const MOST_TRIES: u32 = 15;
/// A packet of TCP.
const SEGMENT: usize = 1448;

impl World {
    /// Puts as much as the window takes on its way.
    pub(in crate::world) fn write(&mut self, conn: ConnId, side: Side) {
        loop {
            let to = side.other();
            let Some(entry) = self.conns.get_mut(&conn) else { return };
            let node = entry.party(side).node;
            let way = &mut entry.ways[to as usize];
            let Some(end) = entry.ends[side as usize].as_mut().filter(|end| end.established) else { return };
            if way.bytes >= WINDOW {
                way.blocked = true;
                return;
            }
            let control = !end.control.is_empty();
            let Some((sealed, taken)) = end.next_piece() else {
                if end.closing {
                    self.hang_up(conn, side, LinkEnd::Eof);
                }
                return;
            };
            end.queued = end.queued.saturating_sub(if control { taken } else { 0 });
            let link = end.link;
            if let Some(node) = node {
                self.nodes[node].written.insert(link);
            }
            self.send_piece(conn, to, sealed, None);
        }
    }

    pub(super) fn send_piece(&mut self, conn: ConnId, side: Side, mut bytes: Vec<u8>, end: Option<LinkEnd>) {
        let Some(entry) = self.conns.get(&conn) else { return };
        let (from, to) = (entry.party(side.other()).host, entry.party(side).host);
        let number = entry.ways[side as usize].next;
        if from != to && !bytes.is_empty() {
            let share = self.link_between(from, to).stream_corruption;
            if share > 0.0 {
                let entity = conn.0 * 2 + side as u64;
                let bits = draw(self.plan.seed, Domain::StreamCorruption as u64, entity, number);
                if comes_true(bits, share) {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    self.tally.count(FaultKind::StreamCorruption);
                }
            }
        }
        if let Some(conn) = self.conns.get_mut(&conn) {
            let way = &mut conn.ways[side as usize];
            way.next += 1;
            way.bytes += bytes.len();
            way.pieces.insert(number, Piece { bytes, end, tries: 0, arrived: false });
        }
        self.launch(conn, side, number);
    }

    /// Sends a piece, or sends it again after a time-out that doubles each time (RFC 6298, section 5.5).
    pub(super) fn launch(&mut self, conn: ConnId, side: Side, number: u64) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let (from, to) = (entry.party(side.other()).host, entry.party(side).host);
        let Some(piece) = entry.ways[side as usize].pieces.get_mut(&number) else { return };
        let (bytes, tries) = (piece.bytes.len(), piece.tries);
        piece.tries += 1;
        if tries > MOST_TRIES {
            return self.broken(conn, side.other());
        }
        let passage = self.conn_passes(conn, side, bytes + 52);
        let link = self.link_between(from, to);
        let round_trip = Duration::from_micros(link.latency_us * 2 + link.jitter_us);
        match passage {
            Some(delay) => {
                // Of the piece's packets some may be lost too: those are found missing within a round trip.
                let packets = bytes.div_ceil(SEGMENT).max(1);
                let entity = conn.0 * 2 + side as u64;
                let (share, mut extra) = (link.loss, Duration::ZERO);
                if share > 0.0 && packets > 1 {
                    let lost = (1..packets as u64).filter(|packet| {
                        let counter = number << 16 | u64::from(tries) << 10 | packet;
                        comes_true(draw(self.plan.seed, Domain::Segment as u64, entity, counter), share)
                    });
                    extra = round_trip * u32::try_from(lost.count()).unwrap_or(u32::MAX);
                }
                let arrive = StreamEvent::Arrive { conn, side, number };
                self.after(delay + extra, Happening::Stream(arrive));
            }
            None => {
                self.tally.count(FaultKind::Retransmission);
                let rto = RTO_LEAST.max(round_trip * 2).saturating_mul(1 << tries.min(10)).min(RTO_MOST);
                self.after(rto, Happening::Stream(StreamEvent::Again { conn, side, number }));
            }
        }
    }
}
