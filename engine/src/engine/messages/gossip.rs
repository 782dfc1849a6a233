//! Messages to a crowd, passed on from neighbour to neighbour: Leitão, Pereira, Rodrigues, "Epidemic Broadcast Trees"
//! (SRDS 2007), known as `PlumTree`.
//!
//! A message is pushed to every neighbour that did not say that it has messages sooner from others; what is left of the
//! links after that is a tree. The other neighbours are told what there is, a little later, and whoever missed something
//! asks one of them, which mends the tree.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::{DisconnectReason, Frame, MessageKey, Relayed, SPANS_PER_FRAME, Span, spans_of};

use super::super::Engine;
use super::cost;

/// How long news for lazy neighbours waits for more.
const GATHER: Duration = Duration::from_millis(5);

/// How long a message that somebody has may take to come by itself, and then from whom it was asked for.
const GRAFT_AFTER: Duration = Duration::from_millis(80);
const GRAFT_AGAIN: Duration = Duration::from_millis(160);

/// Messages that are missed at a time, for each neighbour that told of them first: what one makes up keeps out nobody
/// else's. Others are heard of again by a recap.
const MAX_WANTED: usize = 1024;

/// Neighbours that are remembered to have one that is missed.
const MAX_HOLDERS: usize = 8;

/// How far a run's messages may be ahead of the first one that is missed. Then that one is given up.
const MAX_AHEAD: usize = 1024;

/// Numbers that one frame is looked at for.
const MAX_NAMED: u64 = 4096;

/// What is known of messages that are passed on.
#[derive(Debug, Default)]
pub(in super::super) struct Gossip {
    /// Neighbours that are told what there is. All others get it at once.
    lazy: BTreeSet<PeerId>,
    pub(super) origins: BTreeMap<PeerId, Origin>,
    /// Messages for those who missed them: as long as `message_ttl`, at most `max_message_bytes`, then the oldest goes.
    held: BTreeMap<MessageKey, Held>,
    oldest: VecDeque<MessageKey>,
    cost: usize,
    /// What lazy neighbours are told next, and who needs not be told.
    news: BTreeMap<MessageKey, Option<PeerId>>,
    wanted: BTreeMap<MessageKey, Wanted>,
    /// How many of them each neighbour told of first.
    told: BTreeMap<PeerId, usize>,
    due: BTreeSet<(Timestamp, MessageKey)>,
}

/// What has come of one origin. At most `max_peers`, then the one that was silent longest goes.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) incarnation: u64,
    /// Everything up to here was taken, or is given up; and what was taken beyond.
    pub(super) floor: u64,
    ahead: BTreeSet<u64>,
    /// By which neighbour its last message, or word of it, came: the way back.
    pub(super) parent: PeerId,
    pub(super) heard: Timestamp,
    /// The last recap, and when it came.
    pub(super) recap: Option<(u64, Timestamp)>,
    /// What is to be told on the way back: up to where who has taken all.
    pub(super) reports: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Held {
    relayed: Relayed,
    since: Timestamp,
}

/// A message that is missed.
#[derive(Debug)]
struct Wanted {
    told_by: PeerId,
    holders: VecDeque<PeerId>,
    due: Timestamp,
}

impl Origin {
    fn new(incarnation: u64, parent: PeerId, now: Timestamp) -> Self {
        Origin {
            incarnation,
            floor: 0,
            ahead: BTreeSet::new(),
            parent,
            heard: now,
            recap: None,
            reports: BTreeMap::new(),
        }
    }

    fn has(&self, seq: u64) -> bool {
        seq <= self.floor || self.ahead.contains(&seq)
    }

    fn take(&mut self, seq: u64) {
        self.ahead.insert(seq);
        self.close_up();
        while self.ahead.len() > MAX_AHEAD {
            self.floor = self.ahead.first().copied().unwrap_or(self.floor);
            self.close_up();
        }
    }

    /// Nothing before `base` is to be waited for.
    pub(super) fn give_up_before(&mut self, base: u64) {
        self.floor = self.floor.max(base.saturating_sub(1));
        self.close_up();
    }

    fn close_up(&mut self) {
        while let Some(first) = self.ahead.first().copied() {
            if first > self.floor.saturating_add(1) {
                break;
            }
            self.floor = self.floor.max(first);
            self.ahead.pop_first();
        }
    }
}

impl Gossip {
    /// Whether a message has come, or is of a run that is over.
    fn has(&self, key: &MessageKey) -> bool {
        self.origins.get(&key.origin).is_some_and(|origin| {
            key.incarnation < origin.incarnation
                || (key.incarnation == origin.incarnation && origin.has(key.seq))
        })
    }

    /// What is known of the run of `key`, which is not over. `limit` origins are.
    pub(super) fn origin_of(
        &mut self,
        key: &MessageKey,
        from: PeerId,
        limit: usize,
        now: Timestamp,
    ) -> &mut Origin {
        if !self.origins.contains_key(&key.origin) && self.origins.len() >= limit {
            let silent = self.origins.iter().min_by_key(|(_, origin)| origin.heard).map(|(&id, _)| id);
            if let Some(silent) = silent {
                self.origins.remove(&silent);
            }
        }
        let origin =
            self.origins.entry(key.origin).or_insert_with(|| Origin::new(key.incarnation, from, now));
        if origin.incarnation < key.incarnation {
            *origin = Origin::new(key.incarnation, from, now);
        }
        (origin.parent, origin.heard) = (from, now);
        origin
    }

    pub(in super::super) fn neighbour_left(&mut self, peer: &PeerId) {
        self.lazy.remove(peer);
    }

    fn hold(&mut self, relayed: Relayed, config: &Config, now: Timestamp) {
        self.cost += cost(relayed.payload.len());
        self.oldest.push_back(relayed.key);
        self.held.insert(relayed.key, Held { relayed, since: now });
        while self.cost > config.max_message_bytes {
            self.let_go();
        }
    }

    /// Lets the message go that is held longest.
    fn let_go(&mut self) {
        let Some(key) = self.oldest.pop_front() else { return };
        if let Some(held) = self.held.remove(&key) {
            self.cost -= cost(held.relayed.payload.len());
        }
    }

    fn let_go_of_old(&mut self, ttl: Duration, now: Timestamp) {
        while let Some(held) = self.oldest.front().and_then(|key| self.held.get(key)) {
            if held.age(now) < ttl && now.since(held.since) < ttl {
                break;
            }
            self.let_go();
        }
    }

    /// Notes that somebody has a message that has not come.
    fn want(&mut self, key: MessageKey, holder: PeerId, due: Timestamp) {
        if let Some(wanted) = self.wanted.get_mut(&key) {
            if wanted.holders.len() < MAX_HOLDERS && !wanted.holders.contains(&holder) {
                wanted.holders.push_back(holder);
            }
            return;
        }
        let told = self.told.entry(holder).or_default();
        if *told < MAX_WANTED {
            *told += 1;
            self.due.insert((due, key));
            self.wanted.insert(key, Wanted { told_by: holder, holders: [holder].into(), due });
        }
    }

    fn want_no_more(&mut self, key: &MessageKey) {
        let Some(wanted) = self.wanted.remove(key) else { return };
        self.due.remove(&(wanted.due, *key));
        if let Some(told) = self.told.get_mut(&wanted.told_by) {
            *told -= 1;
            if *told == 0 {
                self.told.remove(&wanted.told_by);
            }
        }
    }

    #[cfg(feature = "marks")]
    pub(super) fn tables(&self, config: &Config) -> Vec<super::super::Table> {
        let of_origins = |size: fn(&Origin) -> usize| self.origins.values().map(size).max().unwrap_or(0);
        alloc::vec![
            ("bytes of messages held to be passed on", self.cost, config.max_message_bytes),
            ("origins of messages", self.origins.len(), config.max_peers),
            ("messages of one ahead of what is missed", of_origins(|origin| origin.ahead.len()), MAX_AHEAD),
            ("reports of one", of_origins(|origin| origin.reports.len()), config.max_peers + 1),
            ("messages missed that one told of", self.told.values().copied().max().unwrap_or(0), MAX_WANTED,),
            ("lazy neighbours", self.lazy.len(), config.max_links),
        ]
    }
}

impl Held {
    fn age(&self, now: Timestamp) -> Duration {
        Duration::from_millis(u64::from(self.relayed.age_ms)) + now.since(self.since)
    }

    /// As it is passed on now.
    fn to_relay(&self, now: Timestamp) -> Relayed {
        let mut relayed = self.relayed.clone();
        relayed.age_ms = u32::try_from(self.age(now).as_millis()).unwrap_or(u32::MAX);
        relayed.hops = relayed.hops.saturating_add(1);
        relayed
    }
}

impl Engine {
    /// Holds a message and passes it on to all neighbours but the one that it came from.
    pub(super) fn pass_on(&mut self, relayed: Relayed, from: Option<PeerId>) {
        let (key, now) = (relayed.key, self.now);
        self.messages.gossip.let_go_of_old(self.config.message_ttl, now);
        self.messages.gossip.hold(relayed, &self.config, now);
        let Some(relayed) = self.messages.gossip.held.get(&key).map(|held| held.to_relay(now)) else {
            return;
        };
        let frame = Frame::Gossip(relayed);
        let mut is_news = false;
        for (peer, link) in self.trusted_links() {
            if Some(peer) == from || peer == key.origin {
                continue;
            }
            if self.messages.gossip.lazy.contains(&peer) {
                is_news = true;
            } else {
                self.send_answer(link, &frame);
            }
        }
        if is_news {
            self.messages.gossip.news.insert(key, from);
            self.timers.set_earlier(TimerKey::GossipNews, now + GATHER);
        }
    }

    /// A message that somebody passed on.
    pub(in super::super) fn gossip_received(&mut self, link: LinkId, from: PeerId, relayed: Relayed) {
        let key = relayed.key;
        self.stats.gossip_received += 1;
        let age = Duration::from_millis(u64::from(relayed.age_ms));
        if !relayed.payload.is_fit() || key.seq == 0 || age >= self.config.message_ttl {
            self.stats.frames_refused += 1;
            return;
        }
        if key.origin == self.identity.peer_id() || self.messages.gossip.has(&key) {
            self.stats.gossip_repeated += 1;
            mark!(self, GossipRepeated);
            if planted!(self, MessageTwice) {
                self.take_in(key.origin, relayed.payload, relayed.hops);
            }
            // In a tree it would have come once.
            if self.messages.gossip.lazy.insert(from) {
                self.send_answer(link, &Frame::Prune);
            }
            return;
        }
        if !relayed.is_signed(&self.config.network) && !planted!(self, MessageUnsigned) {
            self.passed_on_a_forgery(link);
            return;
        }
        if self.peers.get(&key.origin).is_some_and(|known| key.incarnation < known.incarnation()) {
            mark!(self, MessageOfEarlierRun);
            return;
        }
        if self.decisions.blocks_peer(&key.origin) || !self.config.trust.allows(&key.origin) {
            mark!(self, MessageOfUnwelcome);
            return;
        }
        if !self.take_in(key.origin, relayed.payload.clone(), relayed.hops) {
            mark!(self, GossipNoRoom);
            self.want(key, from);
            return;
        }
        let (limit, now) = (self.config.max_peers, self.now);
        self.messages.gossip.want_no_more(&key);
        self.messages.gossip.lazy.remove(&from);
        self.messages.gossip.origin_of(&key, from, limit, now).take(key.seq);
        self.report_own(key.origin);
        self.pass_on(relayed, Some(from));
    }

    /// Whoever passes something on has looked at its signature.
    pub(super) fn passed_on_a_forgery(&mut self, link: LinkId) {
        mark!(self, MessageForged);
        self.stats.frames_refused += 1;
        self.disconnect_link(link, DisconnectReason::Protocol, LeaveReason::Protocol);
    }

    fn want(&mut self, key: MessageKey, holder: PeerId) {
        let due = self.now + GRAFT_AFTER;
        self.messages.gossip.want(key, holder, due);
        self.timers.set_earlier(TimerKey::Graft, due);
    }

    /// A neighbour has these.
    pub(in super::super) fn told_of_messages(&mut self, from: PeerId, spans: &[Span]) {
        if spans.len() > SPANS_PER_FRAME || spans.iter().any(|span| span.first == 0 || span.first > span.last)
        {
            self.stats.frames_refused += 1;
            return;
        }
        let own = self.identity.peer_id();
        let mut left = MAX_NAMED;
        for span in spans.iter().filter(|span| span.origin != own) {
            // The last ones, if it is more than can be missed.
            let first = span.first.max(span.last.saturating_sub(MAX_AHEAD as u64 - 1));
            for seq in first..=span.last {
                let key = span.key(seq);
                if left == 0 {
                    return;
                }
                left -= 1;
                if !self.messages.gossip.has(&key) {
                    self.want(key, from);
                }
            }
        }
    }

    /// Tells lazy neighbours what there is.
    pub(in super::super) fn gossip_news_due(&mut self) {
        let news = core::mem::take(&mut self.messages.gossip.news);
        for (peer, link) in self.trusted_links() {
            if !self.messages.gossip.lazy.contains(&peer) {
                continue;
            }
            let for_it = news.iter().filter(|(key, from)| **from != Some(peer) && key.origin != peer);
            self.send_spans(link, for_it.map(|(key, _)| *key).collect(), Frame::IHave);
        }
    }

    /// A neighbour is new, or its link is: it is told all that is held, for those who were away.
    pub(super) fn tell_what_is_held(&mut self, peer: PeerId) {
        self.messages.gossip.lazy.remove(&peer);
        self.messages.gossip.let_go_of_old(self.config.message_ttl, self.now);
        let keys: Vec<MessageKey> = self.messages.gossip.held.keys().copied().collect();
        if let Some(link) = self.peers.get(&peer).and_then(|known| known.link) {
            self.send_spans(link, keys, Frame::IHave);
        }
    }

    fn send_spans(&mut self, link: LinkId, keys: Vec<MessageKey>, frame: fn(Vec<Span>) -> Frame) {
        for spans in spans_of(keys).chunks(SPANS_PER_FRAME) {
            self.send_answer(link, &frame(spans.to_vec()));
        }
    }

    /// Asks for what has not come by itself.
    pub(in super::super) fn graft_due(&mut self) {
        let now = self.now;
        let mut asked: BTreeMap<(PeerId, LinkId), Vec<MessageKey>> = BTreeMap::new();
        while let Some((_, key)) = self.messages.gossip.due.first().copied().filter(|(due, _)| *due <= now) {
            let Some(wanted) = self.messages.gossip.wanted.get_mut(&key) else { return };
            let holder = core::iter::from_fn(|| wanted.holders.pop_front()).find_map(|holder| {
                let known = self.peers.get(&holder).filter(|known| known.told_trusted)?;
                Some((holder, known.link?))
            });
            let Some(holder) = holder else {
                // With nobody left to ask it is heard of again by a recap, or not at all.
                self.messages.gossip.want_no_more(&key);
                continue;
            };
            asked.entry(holder).or_default().push(key);
            let due = core::mem::replace(&mut wanted.due, now + GRAFT_AGAIN);
            self.messages.gossip.due.remove(&(due, key));
            self.messages.gossip.due.insert((now + GRAFT_AGAIN, key));
        }
        for ((holder, link), mut keys) in asked {
            mark!(self, Grafted);
            keys.sort_unstable();
            self.messages.gossip.lazy.remove(&holder);
            self.send_spans(link, keys, Frame::Graft);
        }
        if let Some((due, _)) = self.messages.gossip.due.first() {
            self.timers.set(TimerKey::Graft, *due);
        }
    }

    /// A neighbour asks for these, and to get what comes at once.
    pub(in super::super) fn grafted(&mut self, link: LinkId, from: PeerId, spans: &[Span]) {
        if spans.len() > SPANS_PER_FRAME {
            self.stats.frames_refused += 1;
            return;
        }
        self.messages.gossip.lazy.remove(&from);
        let now = self.now;
        for span in spans.iter().filter(|span| span.first <= span.last) {
            let asked = self.messages.gossip.held.range(span.key(span.first)..=span.key(span.last));
            let there: Vec<Relayed> = asked.map(|(_, held)| held.to_relay(now)).collect();
            if there.is_empty() {
                mark!(self, GraftedInVain);
            }
            for relayed in there {
                self.send_answer(link, &Frame::Gossip(relayed));
            }
        }
    }

    /// A neighbour has messages sooner from others.
    pub(in super::super) fn pruned(&mut self, from: PeerId) {
        mark!(self, Pruned);
        self.messages.gossip.lazy.insert(from);
    }
}
