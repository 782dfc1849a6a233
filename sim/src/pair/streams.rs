//! Streams between the nodes of a [`Pair`]: dials, codecs, writers that take turns, and how streams end.

use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_engine::{
    Action, BlockRef, DialFailure, LinkCodec, LinkEnd, LinkId, LinkInput, LinkOutput, Opened, StoreReply,
    StoreRequest, Verdict, block_header,
};

use super::conn::{Conn, ConnId};
use super::{Happening, INTERFACE, PRIVATE_PORT, Pair};
use crate::stream_end::{End, Side, WRITE_QUEUE};

/// How long a dial waits for an answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) enum StreamEvent {
    /// The dial reaches the other host.
    Syn { conn: ConnId },
    /// The answer is back.
    SynAck { conn: ConnId },
    /// The dial has failed.
    Failed { conn: ConnId, failure: DialFailure },
    /// Bytes arrive at a side.
    Bytes { conn: ConnId, side: Side, bytes: Vec<u8> },
    /// A side learns that the stream is over.
    Over { conn: ConnId, side: Side, end: LinkEnd },
    /// A side has a codec, which may hold something already.
    Ready { conn: ConnId, side: Side },
    /// A side's writer has written so many bytes.
    Written { conn: ConnId, side: Side, bytes: usize },
}

impl Pair {
    // ---- what engines ask for

    pub(super) fn act(&mut self, i: usize, action: Action) {
        match action {
            Action::Dial { link, address, .. } => self.begin_dial(i, link, address),
            Action::LinkReady { link, codec } => self.set_codec(i, link, *codec),
            Action::Close { link } => self.close(i, link),
            Action::Finish { link, raw, frames } => self.finish(i, link, raw, frames),
            Action::ExpectBlock { link, block, check } => {
                if let Some(end) = self.end_of(i, link) {
                    assert!(
                        end.verifier.expect(block, check),
                        "{link}: more blocks asked for than any window"
                    );
                }
            }
            Action::ForgetBlock { link, block } => {
                if let Some(end) = self.end_of(i, link) {
                    end.verifier.forget(&block);
                }
            }
            Action::SendBlock { link, block } => self.send_block(i, link, block),
            Action::Store(request) => self.store_request(i, request),
            other => panic!("an action that the simulator does not know: {other:?}"),
        }
    }

    pub(super) fn drain_link(&mut self, i: usize, link: LinkId) {
        let mut bytes = Vec::new();
        while let Some(kind) = self.poll(i, |engine| engine.poll_link(link, &mut bytes)) {
            self.log_output(i, &format!("{link} {kind:?}"), &bytes);
            if let Some(end) = self.end_of(i, link) {
                end.queued += bytes.len();
                end.control.push_back((kind, std::mem::take(&mut bytes)));
            }
            bytes.clear();
        }
        if let Some(&(conn, side)) = self.nodes[i].links.get(&link) {
            self.write(conn, side);
        }
    }

    fn begin_dial(&mut self, i: usize, link: LinkId, address: SocketAddr) {
        self.conns_made += 1;
        let conn = ConnId(self.conns_made);
        let target =
            self.nodes.iter().position(|node| address.ip() == node.ip && address.port() == PRIVATE_PORT);
        self.conns.insert(
            conn,
            Conn {
                dialler: i,
                acceptor: target.unwrap_or(i),
                ends: [Some(End::new(link, false)), None],
                held: Default::default(),
            },
        );
        self.nodes[i].links.insert(link, (conn, Side::Dialler));
        match target {
            Some(target) if self.reaches(i, target) => {
                self.schedule(self.latency, Happening::Stream(StreamEvent::Syn { conn }));
            }
            Some(_) => self.fail_dial(conn, DialFailure::TimedOut, DIAL_TIMEOUT),
            None => self.fail_dial(conn, DialFailure::Unreachable, self.latency),
        }
    }

    fn fail_dial(&mut self, conn: ConnId, failure: DialFailure, after: Duration) {
        self.schedule(after, Happening::Stream(StreamEvent::Failed { conn, failure }));
    }

    fn set_codec(&mut self, i: usize, link: LinkId, codec: LinkCodec) {
        let Some(&(conn, side)) = self.nodes[i].links.get(&link) else { return };
        if let Some(end) = self.end_of(i, link) {
            let (sealer, opener) = codec.split();
            (end.sealer, end.opener) = (Some(sealer), Some(opener));
            self.schedule(Duration::ZERO, Happening::Stream(StreamEvent::Ready { conn, side }));
        }
    }

    fn close(&mut self, i: usize, link: LinkId) {
        if let Some(&(conn, side)) = self.nodes[i].links.get(&link) {
            self.hang_up(conn, side, LinkEnd::Eof);
        }
    }

    fn finish(&mut self, i: usize, link: LinkId, raw: Vec<u8>, frames: Vec<u8>) {
        let Some(&(conn, side)) = self.nodes[i].links.get(&link) else { return };
        if let Some(end) = self.end_of(i, link) {
            end.closing = true;
            for (kind, bytes) in [(LinkOutput::Raw, raw), (LinkOutput::Frames, frames)] {
                if !bytes.is_empty() {
                    end.queued += bytes.len();
                    end.control.push_back((kind, bytes));
                }
            }
            self.write(conn, side);
        }
    }

    fn send_block(&mut self, i: usize, link: LinkId, block: BlockRef) {
        let Some(&(conn, side)) = self.nodes[i].links.get(&link) else { return };
        let Some(mut data) = self.nodes[i].store.read(block) else {
            return self.reply(i, StoreReply::Unreadable { link, block });
        };
        if (self.spoil_blocks)(i, &block)
            && let Some(byte) = data.first_mut()
        {
            *byte ^= 1;
            self.fault(format!("block {} of {} spoilt", block.index, self.nodes[i].alias));
        }
        if let Some(end) = self.end_of(i, link) {
            let mut bytes = block_header(&block).to_vec();
            bytes.append(&mut data);
            end.queued += bytes.len();
            end.bulk.push_back((bytes, 0));
            self.write(conn, side);
        }
    }

    fn store_request(&mut self, i: usize, request: StoreRequest) {
        let node = &mut self.nodes[i];
        match request {
            StoreRequest::Open { manifest } => {
                let result = Ok(node.store.open(manifest.content));
                self.reply(i, StoreReply::Opened { content: manifest.content, result });
            }
            StoreRequest::Finish { content } => {
                let result = node.store.finish(&content);
                self.reply(i, StoreReply::Finished { content, result });
            }
            StoreRequest::KeepList { content, list } => node.store.keep_list(content, list),
            StoreRequest::Close { content } => node.store.close(&content),
            StoreRequest::Abandon { content } => node.store.abandon(&content),
            StoreRequest::SaveIncarnation { incarnation } => node.incarnation = incarnation,
            StoreRequest::Remember { anew, changes } => {
                node.memory.apply(anew, changes);
                self.reply(i, StoreReply::Remembered { result: Ok(()) });
            }
            StoreRequest::SaveDecisions { decisions } => node.decisions = decisions,
            StoreRequest::SaveAuthority { state } => node.authority = state,
            other => panic!("a request that the simulator does not know: {other:?}"),
        }
    }

    fn reply(&mut self, i: usize, reply: StoreReply) {
        let starts = self.nodes[i].starts;
        self.schedule(Duration::ZERO, Happening::Store { node: i, starts, reply });
    }

    // ---- what happens to streams

    pub(super) fn stream_event(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Syn { conn } => self.accept(conn),
            StreamEvent::SynAck { conn } => {
                if let Some(end) = self.end(conn, Side::Dialler) {
                    end.established = true;
                    self.tell(conn, Side::Dialler, LinkInput::Opened);
                    self.tell_writable(conn, Side::Dialler);
                }
            }
            StreamEvent::Failed { conn, failure } => {
                self.tell_last(conn, Side::Dialler, LinkInput::DialFailed(failure));
            }
            StreamEvent::Bytes { conn, side, bytes } => {
                if self.holds_up(conn) {
                    self.hold(conn, side, StreamEvent::Bytes { conn, side, bytes });
                } else {
                    self.read(conn, side, &bytes);
                }
            }
            StreamEvent::Over { conn, side, end } => {
                if self.holds_up(conn) {
                    self.hold(conn, side, StreamEvent::Over { conn, side, end });
                } else {
                    self.tell_last(conn, side, LinkInput::Closed(end));
                }
            }
            StreamEvent::Ready { conn, side } => self.open(conn, side),
            StreamEvent::Written { conn, side, bytes } => {
                if let Some(end) = self.end(conn, side) {
                    end.queued -= bytes;
                    self.tell_writable(conn, side);
                    self.write(conn, side);
                }
            }
        }
    }

    fn accept(&mut self, conn: ConnId) {
        let Some(&Conn { dialler, acceptor, .. }) = self.conns.get(&conn) else { return };
        let source = SocketAddr::new(self.nodes[dialler].ip.into(), 50_000 + (conn.0 % 10_000) as u16);
        let now = self.now;
        if !self.reaches(dialler, acceptor) {
            return self.fail_dial(conn, DialFailure::TimedOut, DIAL_TIMEOUT);
        }
        if self.nodes[acceptor].engine.is_none() {
            return self.fail_dial(conn, DialFailure::Refused, self.latency);
        }
        // The kernel accepts first: what the engine refuses was open for a moment.
        self.schedule(self.latency, Happening::Stream(StreamEvent::SynAck { conn }));
        let accepted = self.nodes[acceptor]
            .engine
            .as_mut()
            .map(|engine| engine.accept_link(now, Some(INTERFACE), source));
        match accepted {
            Some(Ok(link)) => {
                self.nodes[acceptor].links.insert(link, (conn, Side::Acceptor));
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.ends[Side::Acceptor as usize] = Some(End::new(link, true));
                }
                self.drain(acceptor);
                self.tell_writable(conn, Side::Acceptor);
            }
            _ => {
                let over = StreamEvent::Over { conn, side: Side::Dialler, end: LinkEnd::Eof };
                self.schedule(self.latency, Happening::Stream(over));
                self.drain(acceptor);
            }
        }
    }

    fn read(&mut self, conn: ConnId, side: Side, bytes: &[u8]) {
        let Some(end) = self.end(conn, side) else { return };
        if end.closing {
            return;
        }
        match &mut end.opener {
            Some(opener) => {
                opener.push(bytes);
                self.open(conn, side);
            }
            None => self.tell(conn, side, LinkInput::Handshake(bytes)),
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
                    self.tell(conn, side, LinkInput::BlockArrived { block, verdict });
                    if verdict == Verdict::Good
                        && let Some(node) = self.conns.get(&conn).map(|conn| conn.node(side))
                    {
                        let result = self.nodes[node].store.write(block, data);
                        self.reply(node, StoreReply::Written { block, result });
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    self.over(conn, side.other(), LinkEnd::Reset);
                    self.tell_last(conn, side, LinkInput::Closed(LinkEnd::Forged));
                    return;
                }
            }
        }
    }

    /// Starts writing the next piece, if the writer is free.
    fn write(&mut self, conn: ConnId, side: Side) {
        let now = self.now;
        let Some(end) = self.end(conn, side) else { return };
        if end.free_at > now || !end.established {
            return;
        }
        let Some((mut sealed, taken)) = end.next_piece() else {
            if end.closing {
                self.hang_up(conn, side, LinkEnd::Eof);
            }
            return;
        };
        let took = |bandwidth: u64| {
            Duration::from_nanos(((sealed.len() as u64).saturating_mul(1_000_000_000) / bandwidth).max(1))
        };
        let mut free_at = now + took(self.bandwidth);
        let mut there_at = free_at + self.latency;
        let ends = self.conns.get(&conn).map(|conn| (conn.node(side), conn.node(side.other())));
        if let (Some(cable), Some((from, to))) = (self.cable, ends) {
            free_at = free_at.max(self.nodes[from].out_free_at.max(now) + took(cable));
            self.nodes[from].out_free_at = free_at;
            there_at = there_at.max(free_at + self.latency).max(self.nodes[to].in_free_at + took(cable));
            self.nodes[to].in_free_at = there_at;
        }
        if let Some(end) = self.end(conn, side) {
            end.free_at = free_at;
        }
        if let Some((from, to)) = ends
            && (self.spoil_streams)(from, to)
        {
            let middle = sealed.len() / 2;
            sealed[middle] ^= 1;
            self.fault(format!("stream {} > {} corrupted", self.nodes[from].alias, self.nodes[to].alias));
        }
        let written = StreamEvent::Written { conn, side, bytes: taken };
        self.schedule_at(free_at, Happening::Stream(written));
        let arrival = StreamEvent::Bytes { conn, side: side.other(), bytes: sealed };
        self.schedule_at(there_at, Happening::Stream(arrival));
    }

    // ---- how streams end

    pub(super) fn reset_streams(&mut self, i: usize, j: usize) {
        let conns: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| conn.is_of(i) && conn.is_of(j)).map(|(id, _)| *id).collect();
        for conn in conns {
            for side in [Side::Dialler, Side::Acceptor] {
                let established = self.end(conn, side).is_some_and(|end| end.established);
                let input = if established {
                    LinkInput::Closed(LinkEnd::Reset)
                } else {
                    LinkInput::DialFailed(DialFailure::Refused)
                };
                self.tell_last(conn, side, input);
            }
            self.conns.remove(&conn);
        }
    }

    /// A node's process is gone: its host ends its streams.
    pub(super) fn close_streams_of(&mut self, i: usize) {
        for (conn, side) in std::mem::take(&mut self.nodes[i].links).into_values() {
            self.hang_up(conn, side, LinkEnd::Eof);
        }
    }

    /// A node's host is gone: nobody hears of its streams again.
    pub(super) fn forget_streams_of(&mut self, i: usize) {
        for (conn, side) in std::mem::take(&mut self.nodes[i].links).into_values() {
            self.drop_end(conn, side);
        }
    }

    /// Delivers what partitions that are over held up, in order.
    pub(super) fn release_streams(&mut self) {
        let ids: Vec<ConnId> = self.conns.keys().copied().filter(|conn| !self.holds_up(*conn)).collect();
        for id in ids {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            let held = std::mem::take(&mut conn.held);
            for event in held.into_iter().flatten() {
                self.schedule(self.latency, Happening::Stream(event));
            }
        }
    }

    /// Drops one end and lets the other learn that the stream is over.
    fn hang_up(&mut self, conn: ConnId, side: Side, end: LinkEnd) {
        self.drop_end(conn, side);
        self.over(conn, side.other(), end);
    }

    /// The other side's last word: it arrives behind what is under way.
    fn over(&mut self, conn: ConnId, side: Side, end: LinkEnd) {
        let busy_until = self.now;
        let over = StreamEvent::Over { conn, side, end };
        self.schedule_at(busy_until + self.latency, Happening::Stream(over));
    }

    fn drop_end(&mut self, conn: ConnId, side: Side) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let node = entry.node(side);
        let end = entry.ends[side as usize].take();
        if entry.ends.iter().all(Option::is_none) {
            self.conns.remove(&conn);
        }
        if let Some(end) = end
            && self.nodes[node].links.get(&end.link) == Some(&(conn, side))
        {
            self.nodes[node].links.remove(&end.link);
        }
    }

    /// Tells the engine the last that it hears of a link.
    fn tell_last(&mut self, conn: ConnId, side: Side, input: LinkInput<'_>) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let node = entry.node(side);
        let Some(end) = entry.end(side) else { return };
        let (link, closing) = (end.link, end.closing);
        self.drop_end(conn, side);
        if !closing {
            self.tell_engine(node, link, input);
        }
    }

    fn tell_writable(&mut self, conn: ConnId, side: Side) {
        let Some(end) = self.end(conn, side) else { return };
        if !end.closing {
            let budget = WRITE_QUEUE.saturating_sub(end.queued);
            self.tell(conn, side, LinkInput::Writable { budget });
        }
    }

    fn tell(&mut self, conn: ConnId, side: Side, input: LinkInput<'_>) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let node = entry.node(side);
        if let Some(link) = entry.end(side).map(|end| end.link) {
            self.tell_engine(node, link, input);
        }
    }

    fn tell_engine(&mut self, i: usize, link: LinkId, input: LinkInput<'_>) {
        let now = self.now;
        if let Some(engine) = &mut self.nodes[i].engine {
            engine.handle_link(now, link, input);
            self.drain(i);
        }
    }

    fn holds_up(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| !self.reaches(conn.dialler, conn.acceptor))
    }

    fn hold(&mut self, conn: ConnId, side: Side, event: StreamEvent) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.held[side as usize].push_back(event);
        }
    }

    fn end(&mut self, conn: ConnId, side: Side) -> Option<&mut End> {
        self.conns.get_mut(&conn)?.end(side)
    }

    fn end_of(&mut self, i: usize, link: LinkId) -> Option<&mut End> {
        let &(conn, side) = self.nodes[i].links.get(&link)?;
        self.end(conn, side)
    }
}
