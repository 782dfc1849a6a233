//! Ordered byte streams between the nodes of a [`World`], as TCP gives them: lost pieces are sent again after a
//! time-out that doubles, order is kept, windows are bounded, and a side may be the last to know that it is over.

mod by_hand;
mod dialling;
mod ending;
mod reading;
mod requests;
mod writing;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use p2pnet_engine::{DialFailure, LinkEnd, LinkId, LinkInput, Timestamp};

use crate::stream_end::{End, Side, WRITE_QUEUE};

use super::World;
use super::faults::FaultKind;
use super::wide::Afar;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

/// One stream: two ends, of which each goes away on its own, and what is under way to each.
pub(super) struct Conn {
    pub(super) lan: usize,
    dialler: Party,
    acceptor: Party,
    /// Whether it is over IPv6.
    six: bool,
    pub(super) ends: [Option<End>; 2],
    /// What is under way to each side.
    ways: [Way; 2],
    accepted: bool,
    /// Whether nothing of it gets through.
    stalled: bool,
    /// What it has if it leads beyond the LAN.
    afar: Option<Afar>,
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

/// Who holds an end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Node(usize),
    /// An adversary, or a stranger.
    Hand,
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

    /// Who holds the end at `side`; `None` once it is gone.
    pub(super) fn holder(&self, side: Side) -> Option<Holder> {
        self.ends[side as usize].as_ref()?;
        Some(self.party(side).node.map_or(Holder::Hand, Holder::Node))
    }

    /// Whether it leads beyond the LAN.
    pub(super) fn is_afar(&self) -> bool {
        self.afar.is_some()
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
    /// How long a packet of a stream takes to `side`; `None` if it is lost.
    fn conn_passes(&mut self, conn: ConnId, side: Side, bytes: usize) -> Option<Duration> {
        let entry = self.conns.get(&conn).filter(|conn| !conn.stalled)?;
        let (from, to, lan) = (entry.party(side.other()), entry.party(side), entry.lan);
        if let Some(mut afar) = entry.afar {
            let hosts = [entry.dialler.host, entry.acceptor.host];
            let delay = self.passes_afar(&mut afar, hosts, side, bytes);
            if let Some(entry) = self.conns.get_mut(&conn) {
                entry.afar = Some(afar);
            }
            return delay;
        }
        let there = |world: &World, party: Party| {
            world.hosts[party.host].interface(lan).is_some_and(|interface| interface.number == party.number)
        };
        if !self.reaches(from.host, to.host, lan) || !there(self, from) || !there(self, to) {
            return None;
        }
        self.pass(from.host, to.host, bytes, false).delay
    }

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

    /// The node that an event of a stream is for, if the process itself must run for it.
    pub(super) fn needs_process(event: &StreamEvent) -> Option<usize> {
        match event {
            StreamEvent::Accept { node, .. } => Some(*node),
            _ => None,
        }
    }
}
