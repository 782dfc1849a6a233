//! Ordered byte streams between the nodes of a [`World`], as TCP gives them: lost pieces are sent again after a
//! time-out that doubles, order is kept, windows are bounded, and a side may be the last to know that it is over.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_engine::{
    Action, BlockRef, DialFailure, InterfaceId, LinkEnd, LinkId, LinkInput, LinkOutput, Opened, StoreRequest,
    Timestamp, Verdict, block_header,
};

use crate::draws::{comes_true, draw, scale};
use crate::stream_end::{End, Side, WRITE_QUEUE};
use crate::trace::What;

use super::disk::Job;
use super::faults::FaultKind;
use super::node::place;
use super::record::Mark;
use super::{Domain, Happening, World};

/// What the sender's and the receiver's kernel hold of one direction.
const WINDOW: usize = 256 * 1024;
/// How long the runtime waits for an answer to a dial.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The first SYN that is lost is sent again after this (RFC 6298, section 2.1).
const SYN_RETRY: Duration = Duration::from_secs(1);
/// The least and the longest retransmission time-out (Linux).
const RTO_LEAST: Duration = Duration::from_millis(200);
const RTO_MOST: Duration = Duration::from_secs(120);
/// After so many tries in vain a stream is given up (Linux, `tcp_retries2`).
const MOST_TRIES: u32 = 15;
/// How long the runtime tries to write a link's last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A packet of TCP.
const SEGMENT: usize = 1448;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

/// One stream: two ends, of which each goes away on its own, and what is under way to each.
pub(super) struct Conn {
    pub(super) lan: usize,
    dialler: Party,
    acceptor: Party,
    pub(super) ends: [Option<End>; 2],
    /// What is under way to each side.
    ways: [Way; 2],
    accepted: bool,
}

/// One end's place. It stays what it was when the host's address changes, so that nothing arrives any more.
#[derive(Clone, Copy, Debug)]
struct Party {
    node: Option<usize>,
    host: usize,
    number: u16,
}

/// One direction of a stream.
#[derive(Default)]
struct Way {
    next: u64,
    /// Sent and not yet in order at the other side.
    pieces: BTreeMap<u64, Piece>,
    delivered: u64,
    /// In order, not yet read.
    unread: VecDeque<Vec<u8>>,
    /// How the stream ends after what is unread.
    end: Option<LinkEnd>,
    /// Bytes sent and not yet read.
    bytes: usize,
    /// The sender wants to write more than the window takes.
    blocked: bool,
    /// A slow reader reads on then.
    busy_until: Timestamp,
}

struct Piece {
    bytes: Vec<u8>,
    end: Option<LinkEnd>,
    tries: u32,
    arrived: bool,
}

#[derive(Debug)]
pub(super) enum StreamEvent {
    /// The dial reaches the other host, if it is not lost.
    Syn {
        conn: ConnId,
    },
    /// The answer is back.
    SynAck {
        conn: ConnId,
    },
    /// The process at the other side takes the stream.
    Accept {
        conn: ConnId,
        node: usize,
        starts: u64,
    },
    DialFailed {
        conn: ConnId,
        failure: DialFailure,
    },
    /// A piece arrives at `side`.
    Arrive {
        conn: ConnId,
        side: Side,
        number: u64,
    },
    /// A piece is sent again.
    Again {
        conn: ConnId,
        side: Side,
        number: u64,
    },
    /// `side` has room again to write.
    Room {
        conn: ConnId,
        side: Side,
    },
    /// `side` reads on.
    Read {
        conn: ConnId,
        side: Side,
    },
    /// `side` learns that the other knows nothing of this stream.
    Broken {
        conn: ConnId,
        side: Side,
    },
    /// The time for last words is over.
    GiveUp {
        conn: ConnId,
        side: Side,
    },
}

impl Conn {
    /// The process that somebody dialled, if there is one.
    pub(super) fn dialled(&self) -> Option<usize> {
        self.acceptor.node
    }

    fn party(&self, side: Side) -> Party {
        match side {
            Side::Dialler => self.dialler,
            Side::Acceptor => self.acceptor,
        }
    }

    fn end(&mut self, side: Side) -> Option<&mut End> {
        self.ends[side as usize].as_mut()
    }

    /// The nodes at both ends, if both have finished the handshake, neither is closing.
    pub(super) fn open_between(&self) -> Option<(usize, usize)> {
        let open = |end: &Option<End>| end.as_ref().is_some_and(|end| end.sealer.is_some() && !end.closing);
        if !self.ends.iter().all(open) {
            return None;
        }
        Some((self.dialler.node?, self.acceptor.node?))
    }
}

impl World {
    // ---- what engines ask for

    pub(super) fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Dial { link, address, .. } => self.begin_dial(node, link, address),
            Action::LinkReady { link, codec } => {
                let Some(&(conn, side)) = self.nodes[node].links.get(&link) else { return };
                if let Some(end) = self.end(conn, side) {
                    let (sealer, opener) = codec.split();
                    (end.sealer, end.opener) = (Some(sealer), Some(opener));
                    self.after(Duration::ZERO, Happening::Stream(StreamEvent::Read { conn, side }));
                }
            }
            Action::Close { link } => {
                if let Some(&(conn, side)) = self.nodes[node].links.get(&link) {
                    self.hang_up(conn, side, LinkEnd::Eof);
                }
            }
            Action::Finish { link, raw, frames } => {
                let Some(&(conn, side)) = self.nodes[node].links.get(&link) else { return };
                if let Some(end) = self.end(conn, side) {
                    end.closing = true;
                    for (kind, bytes) in [(LinkOutput::Raw, raw), (LinkOutput::Frames, frames)] {
                        if !bytes.is_empty() {
                            end.queued += bytes.len();
                            end.control.push_back((kind, bytes));
                        }
                    }
                    self.after(LAST_WORDS, Happening::Stream(StreamEvent::GiveUp { conn, side }));
                    self.write(conn, side);
                }
            }
            Action::ExpectBlock { link, block, check } => {
                if let Some(end) = self.end_of(node, link)
                    && !end.verifier.expect(block, check)
                {
                    self.violated(
                        "bounds",
                        Some(node),
                        format!("{link} expects more blocks than any window"),
                    );
                }
            }
            Action::ForgetBlock { link, block } => {
                if let Some(end) = self.end_of(node, link) {
                    end.verifier.forget(&block);
                }
            }
            Action::SendBlock { link, block } => {
                if self.end_of(node, link).is_some() {
                    // It is only a reference and the writer puts control before it: as in the runtime, the link is
                    // granted its budget again, or the next frame would wait for the block's disk.
                    self.nodes[node].written.insert(link);
                    self.disk(node, Job::Read(link, block));
                }
            }
            Action::Store(request) => match request {
                StoreRequest::Open { manifest } => self.disk(node, Job::Open(manifest)),
                StoreRequest::Finish { content } => self.disk(node, Job::Finish(content)),
                StoreRequest::Abandon { content } => self.disk(node, Job::Abandon(content)),
                StoreRequest::SaveIncarnation { incarnation } => self.disk(node, Job::Save(incarnation)),
                other => self.violated("no-panic", Some(node), format!("unknown request {other:?}")),
            },
            other => self.violated("no-panic", Some(node), format!("unknown action {other:?}")),
        }
    }

    pub(super) fn drain_link(&mut self, node: usize, link: LinkId) {
        let mut bytes = Vec::new();
        while let Some(kind) =
            self.nodes[node].engine.as_mut().and_then(|engine| engine.poll_link(link, &mut bytes))
        {
            self.overhear(node, link, kind, &mut bytes);
            self.note(Mark::Wrote, Some(node), &bytes, |_| What::Wrote {
                to: format!("{link}"),
                bytes: bytes.len(),
            });
            match self.end_of(node, link) {
                Some(end) => {
                    end.queued += bytes.len();
                    end.control.push_back((kind, std::mem::take(&mut bytes)));
                }
                None => bytes.clear(),
            }
        }
        if let Some(&(conn, side)) = self.nodes[node].links.get(&link) {
            self.write(conn, side);
        }
    }

    /// A block was read for a link.
    pub(super) fn block_read(&mut self, node: usize, link: LinkId, block: &BlockRef, data: &[u8]) {
        let Some(&(conn, side)) = self.nodes[node].links.get(&link) else { return };
        if let Some(end) = self.end(conn, side) {
            let header = block_header(block);
            let mut bytes = header.to_vec();
            bytes.extend_from_slice(data);
            end.bulk.push_back((bytes, 0));
            self.write(conn, side);
        }
    }

    fn begin_dial(&mut self, node: usize, link: LinkId, address: SocketAddr) {
        self.conns_made += 1;
        let conn = ConnId(self.conns_made);
        let host = self.nodes[node].host;
        self.note(Mark::Action, Some(node), format!("dial {address}").as_bytes(), |world| What::Dialled {
            to: world.place_name(address),
        });
        let there = place(address.ip()).filter(|&(lan, _)| lan < self.lans.len());
        let own = there.and_then(|(lan, _)| self.hosts[host].interface(lan)).filter(|interface| interface.up);
        let (Some((lan, number)), Some(own)) = (there, own) else {
            return self.after(
                Duration::from_micros(50),
                Happening::LinkGone {
                    node,
                    starts: self.nodes[node].starts,
                    link,
                    failure: DialFailure::Unreachable,
                },
            );
        };
        let dialler = Party { node: Some(node), host, number: own.number };
        // Nobody may be there: the dial goes to the number, and times out.
        let target = self.lans[lan].hosts.iter().copied().find(|&other| {
            self.hosts[other].interface(lan).is_some_and(|interface| interface.number == number)
        });
        let process = target.and_then(|target| {
            self.hosts[target].nodes.iter().copied().find(|&other| self.nodes[other].port == address.port())
        });
        let acceptor = Party { node: process, host: target.unwrap_or(host), number };
        let ends = [Some(End::new(link, false)), None];
        let ways = [Way::default(), Way::default()];
        self.conns.insert(conn, Conn { lan, dialler, acceptor, ends, ways, accepted: false });
        self.nodes[node].links.insert(link, (conn, Side::Dialler));
        let timed_out = StreamEvent::DialFailed { conn, failure: DialFailure::TimedOut };
        self.after(DIAL_TIMEOUT, Happening::Stream(timed_out));
        if target.is_some() {
            self.send_syn(conn);
        }
    }

    fn send_syn(&mut self, conn: ConnId) {
        match self.conn_passes(conn, Side::Acceptor, 60) {
            Some(delay) => self.after(delay, Happening::Stream(StreamEvent::Syn { conn })),
            None => self.after(
                SYN_RETRY,
                Happening::Stream(StreamEvent::Again { conn, side: Side::Acceptor, number: 0 }),
            ),
        }
    }

    /// How long a packet of a stream takes to `side`; `None` if it is lost.
    fn conn_passes(&mut self, conn: ConnId, side: Side, bytes: usize) -> Option<Duration> {
        let entry = self.conns.get(&conn)?;
        let (from, to, lan) = (entry.party(side.other()), entry.party(side), entry.lan);
        let there = |world: &World, party: Party| {
            world.hosts[party.host].interface(lan).is_some_and(|interface| interface.number == party.number)
        };
        if !self.reaches(from.host, to.host, lan) || !there(self, from) || !there(self, to) {
            return None;
        }
        self.pass(from.host, to.host, bytes, false).delay
    }

    // ---- what happens to streams

    pub(super) fn stream_event(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Syn { conn } => self.syn(conn),
            StreamEvent::SynAck { conn } => {
                if let Some(end) = self.end(conn, Side::Dialler).filter(|end| !end.established) {
                    end.established = true;
                    self.tell(conn, Side::Dialler, LinkInput::Opened);
                    self.tell_writable(conn, Side::Dialler);
                }
            }
            StreamEvent::Accept { conn, node, starts } => self.accept(conn, node, starts),
            StreamEvent::DialFailed { conn, failure } => {
                if self.end(conn, Side::Dialler).is_some_and(|end| !end.established) {
                    if failure == DialFailure::TimedOut {
                        self.tally.count(FaultKind::DialTimeout);
                    }
                    self.tell_last(conn, Side::Dialler, LinkInput::DialFailed(failure));
                    if self.conns.get(&conn).is_some_and(|conn| conn.ends.iter().any(Option::is_some)) {
                        self.broken_later(conn, Side::Acceptor);
                    }
                }
            }
            StreamEvent::Again { conn, side, number } => {
                let syn = self.conns.get_mut(&conn).is_some_and(|conn| {
                    !conn.accepted && conn.ends[0].as_ref().is_some_and(|end| !end.established)
                });
                if number == 0 && side == Side::Acceptor && syn {
                    self.send_syn(conn);
                } else {
                    self.launch(conn, side, number);
                }
            }
            StreamEvent::Arrive { conn, side, number } => self.arrive(conn, side, number),
            StreamEvent::Room { conn, side } => self.write(conn, side),
            StreamEvent::Read { conn, side } => self.read(conn, side),
            StreamEvent::Broken { conn, side } => self.broken(conn, side),
            StreamEvent::GiveUp { conn, side } => {
                if self.end(conn, side).is_some_and(|end| end.closing) {
                    self.hang_up(conn, side, LinkEnd::Reset);
                }
            }
        }
    }

    fn syn(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get(&conn).filter(|conn| !conn.accepted) else { return };
        let acceptor = entry.acceptor;
        let process = acceptor.node.filter(|&node| self.nodes[node].runs());
        let Some(node) = process.filter(|_| !self.hosts[acceptor.host].refuses) else {
            self.tally.count(FaultKind::Refused);
            if let Some(delay) = self.conn_passes(conn, Side::Dialler, 60) {
                let refused = StreamEvent::DialFailed { conn, failure: DialFailure::Refused };
                self.after(delay, Happening::Stream(refused));
            }
            return;
        };
        // The kernel answers; the process takes the stream when it runs.
        match self.conn_passes(conn, Side::Dialler, 60) {
            Some(delay) => self.after(delay, Happening::Stream(StreamEvent::SynAck { conn })),
            None => {
                let again = StreamEvent::Again { conn, side: Side::Acceptor, number: 0 };
                return self.after(SYN_RETRY, Happening::Stream(again));
            }
        }
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.accepted = true;
        }
        let starts = self.nodes[node].starts;
        self.after(Duration::ZERO, Happening::Stream(StreamEvent::Accept { conn, node, starts }));
    }

    fn accept(&mut self, conn: ConnId, node: usize, starts: u64) {
        let Some(entry) = self.conns.get(&conn) else { return };
        let (lan, dialler) = (entry.lan, entry.dialler);
        let source = SocketAddr::new(super::node::address(lan, dialler.number), ephemeral(conn));
        let interface = InterfaceId(u32::try_from(lan + 1).unwrap_or(u32::MAX));
        let now = self.local(node);
        let alive = self.nodes[node].starts == starts;
        let engine = self.nodes[node].engine.as_mut().filter(|_| alive);
        let accepted = engine.and_then(|engine| engine.accept_link(now, Some(interface), source).ok());
        match accepted {
            Some(link) => {
                self.nodes[node].links.insert(link, (conn, Side::Acceptor));
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.ends[Side::Acceptor as usize] = Some(End::new(link, true));
                }
                self.note(Mark::Action, Some(node), b"accept", |world| What::Accepted {
                    from: world.place_name(source),
                });
                self.drain(node);
                self.tell_writable(conn, Side::Acceptor);
                self.read(conn, Side::Acceptor);
            }
            None => {
                self.broken_later(conn, Side::Dialler);
                self.drain(node);
            }
        }
    }

    // ---- writing

    /// Puts as much as the window takes on its way.
    pub(super) fn write(&mut self, conn: ConnId, side: Side) {
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

    fn send_piece(&mut self, conn: ConnId, side: Side, mut bytes: Vec<u8>, end: Option<LinkEnd>) {
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
    fn launch(&mut self, conn: ConnId, side: Side, number: u64) {
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

    // ---- reading

    fn arrive(&mut self, conn: ConnId, side: Side, number: u64) {
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

    fn still_there(&self, conn: ConnId, side: Side) -> bool {
        let Some(entry) = self.conns.get(&conn) else { return false };
        let party = entry.party(side);
        party.host == entry.party(side.other()).host
            || self.hosts[party.host]
                .interface(entry.lan)
                .is_some_and(|interface| interface.up && interface.number == party.number)
    }

    /// Whether the acceptor's process has not seen the stream yet, and still may.
    fn waits_for_accept(&self, conn: ConnId) -> bool {
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
    pub(super) fn read(&mut self, conn: ConnId, side: Side) {
        loop {
            let Some(entry) = self.conns.get_mut(&conn) else { return };
            let Some(node) = entry.party(side).node else { return };
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

    fn hosts_of(&self, conn: ConnId, side: Side) -> (usize, usize) {
        self.conns.get(&conn).map_or((0, 0), |conn| (conn.party(side.other()).host, conn.party(side).host))
    }

    fn read_in_parts(&mut self, conn: ConnId, side: Side, bytes: &[u8]) {
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
    fn open(&mut self, conn: ConnId, side: Side) {
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

    // ---- how streams end

    /// Drops one end; the other learns it behind what is under way.
    pub(super) fn hang_up(&mut self, conn: ConnId, side: Side, end: LinkEnd) {
        self.send_end(conn, side.other(), end);
        self.drop_end(conn, side);
    }

    fn send_end(&mut self, conn: ConnId, side: Side, end: LinkEnd) {
        if self.conns.get(&conn).is_some_and(|conn| conn.ends[side as usize].is_some() || !conn.accepted) {
            self.send_piece(conn, side, Vec::new(), Some(end));
        }
    }

    /// A host answers what belongs to no stream of its own with a reset, which may be lost.
    fn broken_later(&mut self, conn: ConnId, side: Side) {
        self.tally.count(FaultKind::HalfOpen);
        if let Some(delay) = self.conn_passes(conn, side, 60) {
            self.after(delay, Happening::Stream(StreamEvent::Broken { conn, side }));
        }
    }

    fn broken(&mut self, conn: ConnId, side: Side) {
        let Some(end) = self.end(conn, side) else { return };
        let input = if end.established {
            LinkInput::Closed(LinkEnd::Reset)
        } else {
            LinkInput::DialFailed(DialFailure::Refused)
        };
        self.tell_last(conn, side, input);
    }

    /// Breaks every stream between two nodes: both sides see a reset.
    pub(super) fn reset_streams(&mut self, a: usize, b: usize) {
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

    /// A process is gone. Its kernel ends its streams, or, without power, nobody hears of them again.
    pub(super) fn end_streams_of(&mut self, node: usize, silently: bool) {
        for (conn, side) in std::mem::take(&mut self.nodes[node].links).into_values() {
            if silently {
                self.drop_end(conn, side);
            } else {
                self.hang_up(conn, side, LinkEnd::Eof);
            }
        }
    }

    fn drop_end(&mut self, conn: ConnId, side: Side) {
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

    /// Tells the engine the last that it hears of a link.
    fn tell_last(&mut self, conn: ConnId, side: Side, input: LinkInput<'_>) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let node = entry.party(side).node;
        let Some(end) = entry.end(side) else { return };
        let (link, closing) = (end.link, end.closing);
        self.drop_end(conn, side);
        if let (false, Some(node)) = (closing, node) {
            self.tell_engine(node, link, input);
        }
    }

    pub(super) fn tell_writable(&mut self, conn: ConnId, side: Side) {
        let Some(end) = self.end(conn, side) else { return };
        if !end.closing && end.established {
            let budget = WRITE_QUEUE.saturating_sub(end.queued);
            self.tell(conn, side, LinkInput::Writable { budget });
        }
    }

    fn tell(&mut self, conn: ConnId, side: Side, input: LinkInput<'_>) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let node = entry.party(side).node;
        if let (Some(link), Some(node)) = (entry.end(side).map(|end| end.link), node) {
            self.tell_engine(node, link, input);
        }
    }

    pub(super) fn tell_engine(&mut self, node: usize, link: LinkId, input: LinkInput<'_>) {
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine {
            engine.handle_link(now, link, input);
            self.drain(node);
        }
    }

    fn end(&mut self, conn: ConnId, side: Side) -> Option<&mut End> {
        self.conns.get_mut(&conn)?.end(side)
    }

    pub(super) fn end_of(&mut self, node: usize, link: LinkId) -> Option<&mut End> {
        let &(conn, side) = self.nodes[node].links.get(&link)?;
        self.end(conn, side)
    }

    /// A stranger connects to a node and says `bytes`, then nothing more.
    pub(super) fn strange_stream(&mut self, lan: usize, node: usize, bytes: Vec<u8>) {
        let host = self.nodes[node].host;
        let Some(number) = self.hosts[host].interface(lan).map(|interface| interface.number) else { return };
        if !self.nodes[node].runs() || !self.hosts[host].up {
            return;
        }
        self.conns_made += 1;
        let conn = ConnId(self.conns_made);
        let stranger = Party { node: None, host, number: u16::MAX - 1 };
        let acceptor = Party { node: Some(node), host, number };
        let mut ways = [Way::default(), Way::default()];
        ways[Side::Acceptor as usize].unread.push_back(bytes);
        self.conns.insert(
            conn,
            Conn { lan, dialler: stranger, acceptor, ends: [None, None], ways, accepted: true },
        );
        self.tally.count(FaultKind::StrangerStream);
        let starts = self.nodes[node].starts;
        self.after(Duration::ZERO, Happening::Stream(StreamEvent::Accept { conn, node, starts }));
    }

    /// The node that an event of a stream is for, if the process itself must run for it.
    pub(super) fn needs_process(event: &StreamEvent) -> Option<usize> {
        match event {
            StreamEvent::Accept { node, .. } => Some(*node),
            _ => None,
        }
    }

    /// Reads on everywhere after a pause.
    pub(super) fn read_everything(&mut self, node: usize) {
        let links: Vec<(ConnId, Side)> = self.nodes[node].links.values().copied().collect();
        for (conn, side) in links {
            self.after(Duration::ZERO, Happening::Stream(StreamEvent::Read { conn, side }));
        }
    }
}

fn ephemeral(conn: ConnId) -> u16 {
    50_000 + u16::try_from(conn.0 % 10_000).unwrap_or(0)
}
