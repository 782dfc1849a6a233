//! The streams between the engines: what is under way on them, and doing what an engine says.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use p2pnet_engine::{Action, Engine, Event, LinkEnd, LinkId, LinkInput, LinkOutput, Timestamp};

use super::{LAN, PORT, Side, Stream, World, ip};

const BUDGET: usize = 4 << 20;

pub(super) enum Item {
    Opened,
    /// The first bytes on a stream: they prove nothing yet.
    Greeting(Vec<u8>),
    Raw(Vec<u8>),
    Frames(Vec<Vec<u8>>),
    End(LinkEnd),
}

pub(super) struct End {
    pub(super) node: usize,
    pub(super) link: Option<LinkId>,
    pub(super) open: bool,
    pub(super) inbox: VecDeque<Item>,
}

pub(super) struct Conn {
    /// Whether the dial is still on its way.
    pub(super) syn: bool,
    /// Whether the dialler has sent anything.
    pub(super) greeted: bool,
    pub(super) ends: [End; 2],
}

pub(super) fn other(side: Side) -> Side {
    1 - side
}

impl World {
    pub(super) fn accept(&mut self, name: Stream) {
        let conn = self.conns.get_mut(&name).unwrap();
        conn.syn = false;
        let to = conn.ends[1].node;
        let source = SocketAddr::from((ip(name.0), 50_000));
        let accepted = self.tell(to, |engine, now| engine.accept_link(now, Some(LAN), source));
        let Ok(link) = accepted else {
            let conn = self.conns.get_mut(&name).unwrap();
            conn.ends[1].open = false;
            conn.ends[0].inbox.extend([Item::Opened, Item::End(LinkEnd::Eof)]);
            return;
        };
        let conn = self.conns.get_mut(&name).unwrap();
        conn.ends[1].link = Some(link);
        conn.ends[1].open = true;
        conn.ends[0].inbox.push_back(Item::Opened);
        self.hosts[to].ends.insert(link, (name, 1));
        let writable = LinkInput::Writable { budget: BUDGET };
        self.tell(to, |engine, now| engine.handle_link(now, link, writable));
    }

    pub(super) fn deliver(&mut self, name: Stream, side: Side) {
        let end = &mut self.conns.get_mut(&name).unwrap().ends[side];
        let (i, Some(link), Some(item)) = (end.node, end.link, end.inbox.pop_front()) else { return };
        match item {
            Item::Opened => self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Opened)),
            Item::Greeting(bytes) | Item::Raw(bytes) => {
                self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Handshake(&bytes)));
            }
            Item::Frames(frames) => {
                for body in frames {
                    self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Frame(&body)));
                }
            }
            Item::End(reason) => {
                self.close(name, side, LinkEnd::Eof);
                self.tell(i, |engine, now| engine.handle_link(now, link, LinkInput::Closed(reason)));
            }
        }
        let writable = LinkInput::Writable { budget: BUDGET };
        self.tell(i, |engine, now| engine.handle_link(now, link, writable));
    }

    /// One end is over: nothing reaches it any more, and the other learns of it behind what is under way.
    pub(super) fn close(&mut self, name: Stream, side: Side, reason: LinkEnd) -> Option<LinkId> {
        let conn = self.conns.get_mut(&name)?;
        let end = &mut conn.ends[side];
        if !std::mem::replace(&mut end.open, false) {
            return None;
        }
        end.inbox.clear();
        let (node, link) = (end.node, end.link);
        if conn.ends[other(side)].open {
            conn.ends[other(side)].inbox.push_back(Item::End(reason));
        }
        if let Some(link) = link {
            self.hosts[node].ends.remove(&link);
        }
        // Neither end is there any more, or the dial was given up before it arrived.
        if conn.ends.iter().all(|end| !end.open) {
            self.conns.remove(&name);
        }
        link
    }

    pub(super) fn tell<R>(&mut self, i: usize, input: impl FnOnce(&mut Engine, Timestamp) -> R) -> R {
        let host = &mut self.hosts[i];
        let now = host.now;
        let result = input(host.engine.as_mut().expect("the node runs"), now);
        self.drain(i);
        result
    }

    fn engine(&mut self, i: usize) -> &mut Engine {
        self.hosts[i].engine.as_mut().expect("the node runs")
    }

    pub(super) fn drain(&mut self, i: usize) {
        while let Some(action) = self.engine(i).poll_action() {
            match action {
                Action::Dial { link, address, .. } => self.dial(i, link, address),
                Action::Close { link } => self.end(i, link),
                Action::Finish { link, raw, frames } => {
                    self.flush(i, link);
                    self.send(i, link, raw, frames);
                    self.end(i, link);
                }
                _ => {}
            }
        }
        while let Some(link) = self.engine(i).poll_ready_link() {
            self.flush(i, link);
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.engine(i).poll_transmit(&mut bytes) {
            let broadcast = transmit.destination.ip() == IpAddr::from([10, 0, 0, 255]);
            let source = SocketAddr::from((ip(i), PORT));
            for to in (0..self.scenario.nodes).filter(|_| self.healing) {
                if to != i && (broadcast || transmit.destination.ip() == ip(to)) {
                    self.datagrams.push_back((to, source, bytes.clone()));
                }
            }
        }
        self.hosts[i].had_two |= self.engine(i).stats().links_duplicate > 0;
        if self.attentive {
            self.take_events(i);
        }
    }

    pub(super) fn take_events(&mut self, i: usize) {
        while let Some(event) = self.engine(i).poll_event() {
            let (peer, up) = match &event {
                Event::PeerConnected { peer, .. } => (*peer, true),
                Event::PeerLeft { peer, .. } => (*peer, false),
                _ => continue,
            };
            self.hosts[i].downs += usize::from(!up);
            let before = self.hosts[i].connected.insert(peer, up).unwrap_or(false);
            if before == up && self.complaint.is_none() {
                self.complaint = Some(format!("node {i} was told twice: {event:?}"));
            }
        }
    }

    fn dial(&mut self, i: usize, link: LinkId, address: SocketAddr) {
        let name = (i, self.hosts[i].run, link);
        let Some(to) = (0..self.scenario.nodes).find(|&to| address == SocketAddr::from((ip(to), PORT)))
        else {
            panic!("nobody lives at {address}");
        };
        let end =
            |node, link: Option<LinkId>| End { node, open: link.is_some(), link, inbox: VecDeque::new() };
        self.conns
            .insert(name, Conn { syn: true, greeted: false, ends: [end(i, Some(link)), end(to, None)] });
        self.hosts[i].ends.insert(link, (name, 0));
    }

    fn end(&mut self, i: usize, link: LinkId) {
        if let Some(&(name, side)) = self.hosts[i].ends.get(&link) {
            self.close(name, side, LinkEnd::Eof);
        }
    }

    fn flush(&mut self, i: usize, link: LinkId) {
        let mut buffer = Vec::new();
        while let Some(output) = self.engine(i).poll_link(link, &mut buffer) {
            let bytes = std::mem::take(&mut buffer);
            match output {
                LinkOutput::Raw => self.send(i, link, bytes, Vec::new()),
                LinkOutput::Frames => self.send(i, link, Vec::new(), bytes),
            }
        }
    }

    fn send(&mut self, i: usize, link: LinkId, raw: Vec<u8>, frames: Vec<u8>) {
        let Some(&(name, side)) = self.hosts[i].ends.get(&link) else { return };
        let Some(conn) = self.conns.get_mut(&name) else { return };
        let far = &mut conn.ends[other(side)];
        if !far.open {
            return;
        }
        if !raw.is_empty() {
            let greeting = !std::mem::replace(&mut conn.greeted, true);
            far.inbox.push_back(if greeting { Item::Greeting(raw) } else { Item::Raw(raw) });
        }
        let (mut bodies, mut rest) = (Vec::new(), &frames[..]);
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let (body, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
            bodies.push(body.to_vec());
            rest = tail;
        }
        if !bodies.is_empty() {
            far.inbox.push_back(Item::Frames(bodies));
        }
    }
}
