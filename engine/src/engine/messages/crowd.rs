//! Who of a crowd has taken a message. Everybody tells the neighbour from which an origin's messages come up to where it
//! has taken all of them; on the way back to the origin what several say is gathered. Words that were lost with a link
//! are said again when the origin asks, by a recap that is passed on like a message.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::{ENTRIES_PER_REPORT, Frame, MessageKey, Payload, Recap, RecapBody, Relayed};

use super::super::Engine;
use super::{cost, share};

/// How long reports wait for others to go with them.
const GATHER: Duration = Duration::from_millis(50);

/// When the origin asks who has taken what, first and at most, twice as long after each.
const RECAP_FIRST: Duration = Duration::from_secs(1);
const RECAP_LAST: Duration = Duration::from_secs(32);

/// With as much without an outcome as there may be, what is older than this is ended as it stands when more is sent.
/// Somebody is always away in a crowd.
const PATIENCE: Duration = Duration::from_secs(10);

/// Recaps of one origin come no faster.
const RECAP_EVERY: Duration = Duration::from_millis(500);

/// What this node has sent to a crowd, and who has taken it.
#[derive(Debug, Default)]
pub(in super::super) struct Crowd {
    /// The incarnation as which it sends, and how many messages it has sent so.
    incarnation: u64,
    seq: u64,
    /// Those without an outcome, the oldest first: at most `max_messages`, and what they count, at most one sender's share.
    pending: VecDeque<Sent>,
    cost: usize,
    /// Who is to have them, by place in the collection.
    members: BTreeMap<u64, Member>,
    /// The last recap, and after how long the next one follows.
    round: u64,
    recap_after: Duration,
}

/// A message: its number in the run of this incarnation, and among all that this node sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: u64,
    message: u64,
    cost: usize,
    at: Timestamp,
}

#[derive(Debug)]
struct Member {
    peer: PeerId,
    /// The first message that it is to have, and up to where it has taken all.
    since: u64,
    reached: u64,
}

impl Member {
    fn misses(&self, seq: u64) -> bool {
        self.since <= seq && self.reached < seq
    }
}

impl Crowd {
    #[cfg(feature = "marks")]
    pub(super) fn table(&self, config: &crate::config::Config) -> super::super::Table {
        ("peers that are to have messages", self.members.len(), config.max_peers)
    }
}

impl Engine {
    // ---- At the origin ----

    /// Whether one more message of `len` bytes to the crowd may be without an outcome. Everybody holds for others what is
    /// on its way, and what has been; one origin that had more on its way than its share would have it let go before those
    /// who miss some of it could ask.
    pub(super) fn crowd_takes_more(&self, len: usize) -> bool {
        let crowd = &self.messages.crowd;
        let is_patient = |sent: &&Sent| self.now.since(sent.at) < PATIENCE;
        let waiting = crowd.pending.iter().filter(is_patient);
        let (count, cost) = waiting.fold((0, cost(len)), |(count, cost), sent| (count + 1, cost + sent.cost));
        count < self.config.max_messages && cost <= share(&self.config)
    }

    /// Sends a message to the crowd.
    pub(super) fn tell_crowd(&mut self, message: u64, payload: Payload) {
        let incarnation = self.own.incarnation();
        if self.messages.crowd.incarnation != incarnation {
            // Nobody reports of an earlier incarnation any more.
            self.give_up_crowd(0, 0);
            self.messages.crowd = Crowd { incarnation, ..Crowd::default() };
        }
        let cost = cost(payload.len());
        let (most, room) = (self.config.max_messages - 1, share(&self.config).saturating_sub(cost));
        self.give_up_crowd(most, room);
        let crowd = &mut self.messages.crowd;
        crowd.seq += 1;
        crowd.cost += cost;
        crowd.recap_after = RECAP_FIRST;
        let seq = crowd.seq;
        crowd.pending.push_back(Sent { seq, message, cost, at: self.now });
        for &peer in self.peers.keys() {
            let member = Member { peer, since: seq, reached: 0 };
            crowd.members.entry(self.collection.place(&peer)).or_insert(member);
        }
        let key = MessageKey { origin: self.identity.peer_id(), incarnation, seq };
        let relayed = Relayed::sign(&self.identity, &self.config.network, key, payload);
        self.pass_on(relayed, None);
        self.timers.set_earlier(TimerKey::Recap, self.now + RECAP_FIRST);
    }

    /// Ends messages as they stand, the oldest first, until only so many and so much are left.
    fn give_up_crowd(&mut self, left: usize, cost: usize) {
        while self.messages.crowd.pending.len() > left || self.messages.crowd.cost > cost {
            let Some(oldest) = self.messages.crowd.pending.front().copied() else { return };
            self.crowd_gives_up(oldest.message);
        }
    }

    /// Ends a message as it stands; says whether it is one to the crowd.
    pub(super) fn crowd_gives_up(&mut self, message: u64) -> bool {
        let crowd = &mut self.messages.crowd;
        let Some(place) = crowd.pending.iter().position(|sent| sent.message == message) else { return false };
        let Some(Sent { seq, cost, .. }) = crowd.pending.remove(place) else { return false };
        crowd.cost -= cost;
        let missing: Vec<PeerId> =
            crowd.members.values().filter(|member| member.misses(seq)).map(|member| member.peer).collect();
        let taken =
            crowd.members.values().filter(|member| member.since <= seq && member.reached >= seq).count();
        if let Some(pending) = self.messages.pending.get_mut(&message) {
            pending.missing.extend(missing);
            pending.delivered = u32::try_from(taken).unwrap_or(u32::MAX);
        }
        self.settle(message);
        true
    }

    /// Ends those messages that everybody has taken.
    fn settle_crowd(&mut self) {
        while let Some(&Sent { seq, message, .. }) = self.messages.crowd.pending.front() {
            if self.messages.crowd.members.values().any(|member| member.misses(seq)) {
                return;
            }
            self.crowd_gives_up(message);
        }
        self.timers.cancel(TimerKey::Recap);
    }

    /// A peer leaves the table: what it has not taken by now it misses.
    pub(super) fn left_the_crowd(&mut self, peer: PeerId) {
        let place = self.collection.place(&peer);
        let crowd = &mut self.messages.crowd;
        if crowd.members.get(&place).is_none_or(|member| member.peer != peer) {
            return;
        }
        let Some(member) = crowd.members.remove(&place) else { return };
        for sent in crowd.pending.iter().filter(|sent| member.misses(sent.seq)) {
            if let Some(pending) = self.messages.pending.get_mut(&sent.message) {
                pending.missing.push(peer);
            }
        }
        self.settle_crowd();
    }

    pub(in super::super) fn recap_due(&mut self) {
        let crowd = &mut self.messages.crowd;
        let Some(&Sent { seq: base, .. }) = crowd.pending.front() else { return };
        crowd.round += 1;
        let said = RecapBody {
            origin: self.identity.peer_id(),
            incarnation: crowd.incarnation,
            base,
            last: crowd.seq,
            round: crowd.round,
        };
        let after = crowd.recap_after;
        crowd.recap_after = (after * 2).min(RECAP_LAST);
        mark!(self, RecapSent);
        self.pass_recap_on(Recap::sign(&self.identity, &self.config.network, said), None);
        self.set_timer(TimerKey::Recap, after);
    }

    // ---- On the way ----

    /// Passes a recap on to all neighbours but the one that it came from.
    fn pass_recap_on(&mut self, recap: Recap, from: Option<PeerId>) {
        let origin = recap.said.origin;
        let frame = Frame::Recap(recap);
        for (peer, link) in self.trusted_links() {
            if Some(peer) != from && peer != origin {
                self.send_answer(link, &frame);
            }
        }
    }

    /// The origin asks who has taken its messages.
    pub(in super::super) fn recap_received(&mut self, link: LinkId, from: PeerId, recap: Recap) {
        let RecapBody { origin: id, incarnation, base, last, round } = recap.said;
        if base == 0 || base > last {
            self.stats.frames_refused += 1;
            return;
        }
        let (limit, now) = (self.config.max_peers, self.now);
        let is_over = self.messages.gossip.origins.get(&id).is_some_and(|origin| {
            let again = origin.incarnation == incarnation
                && origin.recap.is_some_and(|(before, at)| round <= before || now.since(at) < RECAP_EVERY);
            origin.incarnation > incarnation || again
        });
        if is_over || id == self.identity.peer_id() {
            mark!(self, RecapRepeated);
            return;
        }
        if !recap.is_signed(&self.config.network) {
            self.passed_on_a_forgery(link);
            return;
        }
        let span = recap.said.span();
        let origin = self.messages.gossip.origin_of(&span.key(last), from, limit, now);
        origin.recap = Some((round, now));
        origin.give_up_before(base);
        self.told_of_messages(from, &[span]);
        self.report_own(id);
        self.pass_recap_on(recap, Some(from));
    }

    /// Has the origin told what this node has taken.
    pub(super) fn report_own(&mut self, origin: PeerId) {
        let place = self.collection.place(&self.identity.peer_id());
        let floor = self.messages.gossip.origins.get(&origin).map_or(0, |origin| origin.floor);
        self.report(origin, place, floor);
    }

    fn report(&mut self, origin: PeerId, place: u64, upto: u64) {
        let limit = self.config.max_peers;
        let Some(origin) = self.messages.gossip.origins.get_mut(&origin) else { return };
        let is_known = origin.reports.contains_key(&place);
        if is_known || origin.reports.len() <= limit {
            let before = origin.reports.entry(place).or_default();
            *before = (*before).max(upto);
            self.timers.set_earlier(TimerKey::Report, self.now + GATHER);
        }
    }

    /// Passes reports on, each towards its origin. What has no way waits for the next message or recap, which shows one.
    pub(in super::super) fn report_due(&mut self) {
        let waiting = self.messages.gossip.origins.iter().filter(|(_, origin)| !origin.reports.is_empty());
        let waiting: Vec<(PeerId, PeerId)> = waiting.map(|(&id, origin)| (id, origin.parent)).collect();
        for (id, parent) in waiting {
            let known = self.peers.get(&parent).filter(|known| known.told_trusted);
            let Some(link) = known.and_then(|known| known.link) else {
                mark!(self, ReportWaits);
                continue;
            };
            let Some(origin) = self.messages.gossip.origins.get_mut(&id) else { continue };
            let incarnation = origin.incarnation;
            let entries: Vec<(u64, u64)> = core::mem::take(&mut origin.reports).into_iter().collect();
            if planted!(self, ReportsDropped) {
                continue;
            }
            for entries in entries.chunks(ENTRIES_PER_REPORT) {
                let frame = Frame::Reached { origin: id, incarnation, entries: entries.to_vec() };
                self.send_answer(link, &frame);
            }
        }
    }

    /// A neighbour passes on who has taken an origin's messages.
    pub(in super::super) fn reached_received(
        &mut self,
        from: PeerId,
        id: PeerId,
        incarnation: u64,
        entries: &[(u64, u64)],
    ) {
        if entries.len() > ENTRIES_PER_REPORT {
            self.stats.frames_refused += 1;
            return;
        }
        if id == self.identity.peer_id() {
            if incarnation != self.messages.crowd.incarnation {
                return;
            }
            for (place, upto) in entries {
                let sent = self.messages.crowd.seq;
                if let Some(member) = self.messages.crowd.members.get_mut(place) {
                    member.reached = member.reached.max((*upto).min(sent));
                }
            }
            self.settle_crowd();
            return;
        }
        // Only towards the origin, or it would go in circles.
        let origin = self.messages.gossip.origins.get(&id);
        if origin.is_some_and(|origin| origin.incarnation == incarnation && origin.parent != from) {
            for (place, upto) in entries {
                self.report(id, *place, *upto);
            }
        }
    }
}
