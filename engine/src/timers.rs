//! Deadlines, ordered by time and then by key, one for each key.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::SocketAddr;

use crate::content::ContentId;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::output::{Timeout, TimeoutReason};
use crate::server::ServerId;
use crate::time::Timestamp;

/// What a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    Beacon,
    Farewell,
    Reply,
    Rotate,
    Probe,
    Scan,
    Remember,
    Resign,
    Reclaim,
    Expire,
    News,
    Share,
    Tend,
    Link(LinkId),
    Dial(PeerId),
    Target(SocketAddr),
    Text(PeerId),
    Transfer(ContentId),
    Verification(PeerId),
    Gone(PeerId),
    Watch(PeerId),
    Offers,
    Announce(ServerId),
    Message(PeerId),
    MessageAck(PeerId),
    MessageRoom,
    MessageExpiry,
    GossipNews,
    Graft,
    Recap,
    Report,
    Nearer(PeerId),
    Widescan,
    TaskPing,
}

impl TimerKey {
    fn reason(self) -> TimeoutReason {
        match self {
            TimerKey::Beacon | TimerKey::Farewell | TimerKey::Probe | TimerKey::Scan => TimeoutReason::Beacon,
            TimerKey::Reply => TimeoutReason::Reply,
            TimerKey::Rotate => TimeoutReason::Rotate,
            TimerKey::Remember => TimeoutReason::Remember,
            TimerKey::Resign | TimerKey::Reclaim => TimeoutReason::Resign,
            TimerKey::Expire => TimeoutReason::Expire,
            TimerKey::News | TimerKey::Share => TimeoutReason::Share,
            TimerKey::Link(_) | TimerKey::Gone(_) => TimeoutReason::Link,
            TimerKey::Watch(_) => TimeoutReason::Watch,
            TimerKey::Tend | TimerKey::Dial(_) | TimerKey::Target(_) | TimerKey::Nearer(_) => {
                TimeoutReason::Dial
            }
            TimerKey::Text(_) => TimeoutReason::Text,
            TimerKey::Announce(_) => TimeoutReason::Announce,
            TimerKey::Message(_)
            | TimerKey::MessageAck(_)
            | TimerKey::MessageRoom
            | TimerKey::MessageExpiry
            | TimerKey::GossipNews
            | TimerKey::Graft
            | TimerKey::Recap
            | TimerKey::Report => TimeoutReason::Message,
            TimerKey::Transfer(_) | TimerKey::Offers => TimeoutReason::Transfer,
            TimerKey::Verification(_) => TimeoutReason::Verification,
            TimerKey::TaskPing => TimeoutReason::Task,
            TimerKey::Widescan => TimeoutReason::Widescan,
        }
    }
}

/// A set of deadlines. Setting, cancelling and taking one costs O(log n); asking for the next O(log n).
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Timestamp, TimerKey)>,
    deadlines: BTreeMap<TimerKey, Timestamp>,
}

impl Timers {
    /// Sets the deadline of `key`, in place of one that was there.
    pub(crate) fn set(&mut self, key: TimerKey, at: Timestamp) {
        if let Some(old) = self.deadlines.insert(key, at) {
            self.queue.remove(&(old, key));
        }
        self.queue.insert((at, key));
    }

    /// Sets the deadline of `key` unless it has an earlier one.
    pub(crate) fn set_earlier(&mut self, key: TimerKey, at: Timestamp) {
        if self.deadlines.get(&key).is_none_or(|&old| at < old) {
            self.set(key, at);
        }
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        if let Some(old) = self.deadlines.remove(&key) {
            self.queue.remove(&(old, key));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.deadlines.clear();
    }

    /// When `key` is due.
    pub(crate) fn deadline(&self, key: TimerKey) -> Option<Timestamp> {
        self.deadlines.get(&key).copied()
    }

    pub(crate) fn is_set(&self, key: TimerKey) -> bool {
        self.deadlines.contains_key(&key)
    }

    /// Takes the first deadline that has come.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<TimerKey> {
        let &(at, key) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.deadlines.remove(&key);
        Some(key)
    }

    pub(crate) fn next(&self) -> Option<Timeout> {
        self.queue.first().map(|&(at, key)| Timeout { at, reason: key.reason() })
    }
}
