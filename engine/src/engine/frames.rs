//! What a control frame from an authenticated peer does.

use crate::event::{LeaveReason, Party};
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::link::MAX_CONTROL_FRAME;
use crate::marks::mark;
use crate::planted::planted;
use crate::policy::RecordGate;
use crate::wire::codec::decode;
use crate::wire::{DisconnectReason, Frame};

use super::Engine;
use super::link::Stage;

impl Engine {
    /// Takes one frame. The first one confirms the link. A frame that cannot be decoded closes it: the codec
    /// has shown that it is from the peer, so the peer is at fault.
    pub(super) fn receive_frame(&mut self, id: LinkId, body: &[u8]) {
        self.stats.frames_received += 1;
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else { return };
        let is_first = matches!(link.stage, Stage::Open { confirmed: false, .. });
        link.last_heard = now;
        self.heard_anyone = now;
        let Some(peer) = link.peer.filter(|_| link.session().is_some()) else {
            self.receive_before_peer(id, body);
            return;
        };
        self.heard_on_link(id);
        let Ok(frame) = decode::<Frame>(body, MAX_CONTROL_FRAME) else {
            mark!(self, FrameMalformed);
            self.protocol_broken(id);
            return;
        };
        if is_first != matches!(frame, Frame::Confirm { .. }) {
            mark!(self, FirstFrameWrong);
            self.protocol_broken(id);
            return;
        }
        let Some(frame) = self.let_pass(peer, frame) else { return };
        match frame {
            Frame::Confirm { session, verified, yours } => self.confirmed(id, peer, session, verified, yours),
            Frame::Ping { nonce } => self.send_answer(id, &Frame::Pong { nonce }),
            Frame::Pong { nonce } => self.pong(id, peer, nonce),
            Frame::Verified { session } => self.verified_by(id, peer, session),
            Frame::Step { name, message } => self.step_message(id, peer, &name, message),
            Frame::Records(records) => self.records_received(id, peer, records),
            Frame::Text { id: text_id, base, text } => self.text_received(id, peer, text_id, base, text),
            Frame::TextAck { id: text_id } => self.text_acked(peer, text_id),
            Frame::Disconnect(reason) => self.disconnected(id, peer, reason),
            Frame::Missing { keep } => self.keep_after_all(id, keep),
            Frame::Offer(manifest) => self.offer_received(peer, manifest),
            Frame::Withdraw(content) => self.offer_withdrawn(peer, content),
            Frame::ListRequest { content, first } => self.list_requested(id, peer, content, first),
            Frame::ListPart { content, first, values } => self.list_part(peer, content, first, values),
            Frame::BlockRequest(block) => self.block_requested(id, peer, block),
            Frame::Unavailable(content) => self.source_failed(peer, content),
            Frame::Complete(content) => self.delivered(peer, content),
            Frame::Decline(content) => self.declined(peer, content),
            Frame::NoRoom(content) => self.held_up(peer, content),
            Frame::Paused { content, paused } => self.delivery_paused(peer, content, paused),
            Frame::Takers { content, peers } => self.takers_named(peer, content, peers),
            Frame::Have { content, blocks, answer } => self.have_received(peer, content, blocks, answer),
            Frame::HaveBlock(block) => self.has_block(peer, block),
            Frame::CancelBlock(block) => self.block_cancelled(id, block),
            Frame::Message { id: message, base, payload } => {
                self.message_received(id, peer, message, base, payload)
            }
            Frame::MessageAck { id: message, again } => self.message_acked(peer, message, again),
            Frame::Gossip(relayed) => self.gossip_received(id, peer, relayed),
            Frame::IHave(spans) => self.told_of_messages(peer, &spans),
            Frame::Graft(spans) => self.grafted(id, peer, &spans),
            Frame::Prune => self.pruned(peer),
            Frame::Recap(recap) => self.recap_received(id, peer, recap),
            Frame::Reached { origin, incarnation, entries } => {
                self.reached_received(peer, origin, incarnation, &entries);
            }
            Frame::Task(bytes) => self.task_received(id, peer, &bytes),
            exchange @ (Frame::RecordsRoot { .. }
            | Frame::RecordsDigests { .. }
            | Frame::RecordsListed { .. }
            | Frame::RecordsOffered(_)
            | Frame::RecordsWanted(_)) => self.compared(id, peer, exchange),
            Frame::ProbeFor { peer: subject, nonce } => self.probe_for(peer, subject, nonce),
            Frame::ProbeResult { peer: subject, nonce, heard_ms } => {
                self.vouched(peer, subject, nonce, heard_ms);
            }
        }
    }

    /// The gate before trust, the one place that decides it: what of a frame passes from a peer that we have not
    /// verified. A new frame that is not named here does not.
    fn let_pass(&mut self, peer: PeerId, frame: Frame) -> Option<Frame> {
        if self.peers.get(&peer).is_some_and(|known| known.ours) || planted!(self, EnhancedBeforeTrust) {
            return Some(frame);
        }
        match frame {
            Frame::Confirm { .. }
            | Frame::Ping { .. }
            | Frame::Pong { .. }
            | Frame::Verified { .. }
            | Frame::Step { .. }
            | Frame::TextAck { .. }
            | Frame::Disconnect(_)
            | Frame::Missing { .. } => Some(frame),
            Frame::Text { .. } if self.config.trust.texts_before_trust => Some(frame),
            Frame::Records(mut records) => {
                let before = records.len();
                let open = planted!(self, RecordsBeforeTrust);
                match self.config.trust.records_before_trust {
                    _ if open => {}
                    RecordGate::Closed => records.clear(),
                    RecordGate::Own => records.retain(|record| is_of(&record.bytes, peer)),
                    RecordGate::Open => {}
                }
                if records.len() < before {
                    self.stats.frames_before_trust += 1;
                    mark!(self, OthersRecordBeforeTrust);
                }
                (!records.is_empty()).then_some(Frame::Records(records))
            }
            _ => {
                self.stats.frames_before_trust += 1;
                mark!(self, FrameBeforeTrust);
                None
            }
        }
    }

    /// A link whose peer is not in the table: it presented a record that is too old and was told so. Nothing that
    /// it says matters.
    fn receive_before_peer(&mut self, id: LinkId, _body: &[u8]) {
        self.stats.frames_refused += 1;
        self.drop_link(id);
    }

    pub(super) fn protocol_broken(&mut self, id: LinkId) {
        self.stats.frames_refused += 1;
        self.disconnect_link(id, DisconnectReason::Protocol, LeaveReason::Protocol);
    }

    /// The peer closes the link on purpose.
    fn disconnected(&mut self, id: LinkId, peer: PeerId, reason: DisconnectReason) {
        if let DisconnectReason::Duplicate { keep } = reason {
            return self.give_way(id, keep);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.ended_by = Some(Party::Them);
        }
        match reason {
            DisconnectReason::Duplicate { .. } => {}
            DisconnectReason::Leaving => self.close_link(id, LeaveReason::Gone),
            DisconnectReason::Rejected(reason) => {
                self.note_rejection(peer, reason, false);
                self.close_link(id, LeaveReason::Rejected(reason));
            }
            DisconnectReason::Closed => {
                self.hold_off(peer);
                self.close_link(id, LeaveReason::Closed);
            }
            DisconnectReason::Trimmed => {
                self.trimmed_by(peer);
                self.close_link(id, LeaveReason::Trimmed);
            }
            DisconnectReason::Full => {
                self.hold_off(peer);
                self.close_link(id, LeaveReason::Full);
            }
            DisconnectReason::Stale => self.close_link(id, LeaveReason::Stale),
            DisconnectReason::Protocol => self.close_link(id, LeaveReason::Protocol),
            DisconnectReason::Timeout => self.close_link(id, LeaveReason::Timeout),
        }
    }

    /// Parts from a peer on purpose. Neither side redials for half a minute.
    pub fn disconnect(&mut self, now: crate::Timestamp, peer: PeerId) {
        self.advance(now);
        self.hold_off(peer);
        self.part_from(peer, DisconnectReason::Closed, LeaveReason::Closed);
        self.pump_links();
    }

    /// Closes every link to a peer with the same word.
    pub(super) fn part_from(&mut self, peer: PeerId, reason: DisconnectReason, leave: LeaveReason) {
        let links = self.peers.get(&peer).map_or_else(alloc::vec::Vec::new, |known| known.links.clone());
        for id in links {
            if self.links.get(&id).is_some_and(|link| link.session().is_some()) {
                self.disconnect_link(id, reason, leave);
            } else {
                self.drop_link(id);
            }
        }
    }
}

fn is_of(bytes: &[u8], peer: PeerId) -> bool {
    crate::record::UnverifiedRecord::parse(bytes).is_ok_and(|record| record.record().peer == peer)
}
