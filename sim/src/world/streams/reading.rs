//! How what arrived gets to the process: in order, in parts, as fast as it reads.

use std::time::Duration;

use p2pnet_engine::{LinkEnd, LinkInput, Opened, Verdict};

use crate::draws::{comes_true, draw, scale};
use crate::stream_end::Side;
use crate::trace::What;
use crate::world::disk::Job;
use crate::world::faults::FaultKind;
use crate::world::record::Mark;
use crate::world::{Domain, Happening, World};

use super::{ConnId, StreamEvent};

impl World {
    pub(super) fn arrive(&mut self, conn: ConnId, side: Side, number: u64) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let party = entry.party(side);
        if !self.hosts[party.host].up || !self.still_there(conn, side) {
            return self.launch(conn, side, number);
        }
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        if entry.ends[side as usize].is_none() && (side == Side::Dialler || entry.accepted) {
            // The process may not have taken the stream yet: then its kernel holds what comes.
            let taken = side == Side::Dialler || !self.waits_for_accept(conn);
            if taken {
                return self.broken_later(conn, side.other());
            }
        }
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let way = &mut entry.ways[side as usize];
        if let Some(piece) = way.pieces.get_mut(&number) {
            piece.arrived = true;
        }
        while let Some(piece) = way.pieces.get(&way.delivered).filter(|piece| piece.arrived) {
            way.end = piece.end;
            if let Some(piece) = way.pieces.remove(&way.delivered)
                && !piece.bytes.is_empty()
            {
                way.unread.push_back(piece.bytes);
            }
            way.delivered += 1;
        }
        self.read(conn, side);
    }

    pub(super) fn still_there(&self, conn: ConnId, side: Side) -> bool {
        let Some(entry) = self.conns.get(&conn) else { return false };
        let party = entry.party(side);
        if let Some(afar) = &entry.afar {
            return self.keeps_way(afar, side, party.host);
        }
        party.host == entry.party(side.other()).host
            || self.hosts[party.host]
                .interface(entry.lan)
                .is_some_and(|interface| interface.up && interface.number == party.number)
    }

    /// Whether the acceptor's process has not seen the stream yet, and still may.
    pub(super) fn waits_for_accept(&self, conn: ConnId) -> bool {
        let Some(entry) = self.conns.get(&conn) else { return false };
        let process = entry.acceptor.node.map(|node| &self.nodes[node]);
        process.is_some_and(|node| {
            node.runs()
                && node.backlog.iter().any(
                    |held| matches!(held, Happening::Stream(StreamEvent::Accept { conn: held, .. }) if *held == conn),
                )
        })
    }

    /// Hands what is unread to the process at `side`, as far as it reads now.
    pub(in crate::world) fn read(&mut self, conn: ConnId, side: Side) {
        loop {
            let Some(entry) = self.conns.get_mut(&conn) else { return };
            let Some(node) = entry.party(side).node else { return self.puppet_reads(conn) };
            if self.nodes[node].paused || entry.ends[side as usize].as_ref().is_none_or(|end| end.closing) {
                return;
            }
            let way = &mut entry.ways[side as usize];
            if way.busy_until > self.now {
                return;
            }
            let Some(bytes) = way.unread.pop_front() else {
                if let Some(end) = way.end {
                    self.note(Mark::StreamEnded, Some(node), &[end as u8], |_| What::StreamEnded {
                        with: format!("{conn:?}"),
                        error: (end != LinkEnd::Eof).then(|| format!("{end:?}")),
                    });
                    self.tell_last(conn, side, LinkInput::Closed(end));
                }
                // What came with the handshake may wait in a new opener.
                return self.open(conn, side);
            };
            way.bytes = way.bytes.saturating_sub(bytes.len());
            let unblocked = std::mem::take(&mut way.blocked);
            if let Some(rate) = self.nodes[node].slow {
                let nanos = (bytes.len() as u64).saturating_mul(1_000_000_000) / rate.max(1);
                way.busy_until = self.now + Duration::from_nanos(nanos.max(1));
                let at = way.busy_until;
                self.tally.count(FaultKind::SlowReader);
                self.at(at, Happening::Stream(StreamEvent::Read { conn, side }));
            }
            if unblocked {
                let (from, to) = self.hosts_of(conn, side);
                let latency = Duration::from_micros(self.link_between(to, from).latency_us);
                self.after(latency, Happening::Stream(StreamEvent::Room { conn, side: side.other() }));
            }
            self.note(Mark::Read, Some(node), &bytes, |_| What::Read {
                from: format!("{conn:?}"),
                bytes: bytes.len(),
            });
            self.read_in_parts(conn, side, &bytes);
        }
    }

    pub(super) fn hosts_of(&self, conn: ConnId, side: Side) -> (usize, usize) {
        self.conns.get(&conn).map_or((0, 0), |conn| (conn.party(side.other()).host, conn.party(side).host))
    }

    pub(super) fn read_in_parts(&mut self, conn: ConnId, side: Side, bytes: &[u8]) {
        let (from, to) = self.hosts_of(conn, side);
        let share = if from == to { 0.0 } else { self.link_between(from, to).partial_reads };
        self.reads += u64::from(share > 0.0);
        let bits = draw(self.plan.seed, Domain::PartialRead as u64, conn.0, self.reads);
        let (first, second) = if bytes.len() > 1 && comes_true(bits, share) {
            self.tally.count(FaultKind::PartialRead);
            let cut = 1 + scale(draw(bits, 0, 0, 0), bytes.len() as u64 - 1) as usize;
            bytes.split_at(cut)
        } else {
            (bytes, &[][..])
        };
        for part in [first, second] {
            if part.is_empty() {
                continue;
            }
            let Some(end) = self.end(conn, side).filter(|end| !end.closing) else { return };
            match &mut end.opener {
                Some(opener) => {
                    opener.push(part);
                    self.open(conn, side);
                }
                None => self.tell(conn, side, LinkInput::Handshake(part)),
            }
        }
    }

    /// Hands on everything that a side's opener has.
    pub(super) fn open(&mut self, conn: ConnId, side: Side) {
        while let Some(end) = self.end(conn, side)
            && !end.closing
            && let Some(opener) = &mut end.opener
        {
            match opener.next() {
                Ok(Some(Opened::Control(body))) => self.tell(conn, side, LinkInput::Frame(&body)),
                Ok(Some(Opened::Block { block, data })) => {
                    let verdict = end.verifier.judge(&block, &data);
                    let node = self.conns.get(&conn).and_then(|conn| conn.party(side).node);
                    self.tell(conn, side, LinkInput::BlockArrived { block, verdict });
                    if let (Verdict::Good, Some(node)) = (verdict, node) {
                        self.disk(node, Job::Write(block, data));
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    self.send_end(conn, side.other(), LinkEnd::Reset);
                    self.tell_last(conn, side, LinkInput::Closed(LinkEnd::Forged));
                    return;
                }
            }
        }
    }

    /// Reads on everywhere after a pause.
    pub(in crate::world) fn read_everything(&mut self, node: usize) {
        let links: Vec<(ConnId, Side)> = self.nodes[node].links.values().copied().collect();
        for (conn, side) in links {
            self.after(Duration::ZERO, Happening::Stream(StreamEvent::Read { conn, side }));
        }
    }
}
