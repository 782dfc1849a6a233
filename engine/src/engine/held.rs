//! The records that are held of one peer: at most one of each class. A record replaces what its class said and speaks
//! for no other; only a farewell covers all.

use core::time::Duration;

use crate::record::{RecordClass, SignedRecord};
use crate::time::Timestamp;
use crate::wire::AgedRecord;

use super::peer::Peer;

/// A record, how old it was when it came, and when that was.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) record: SignedRecord,
    pub(crate) age: Duration,
    pub(crate) received: Timestamp,
}

impl Held {
    /// How old the record is now.
    pub(crate) fn age_at(&self, now: Timestamp) -> Duration {
        self.age + now.since(self.received)
    }

    /// Whether it means nothing any more.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.age_at(now) >= Duration::from_secs(u64::from(self.record.record().ttl_secs))
    }

    /// As it is passed on. Its age is rounded up: otherwise each who passes it on would make it younger, and what two
    /// tell each other in turn would never end.
    pub(crate) fn aged(&self, now: Timestamp) -> AgedRecord {
        let age = self.age_at(now);
        let secs = age.as_secs() + u64::from(age.subsec_nanos() > 0);
        AgedRecord { age_secs: u32::try_from(secs).unwrap_or(u32::MAX), bytes: self.record.bytes().to_vec() }
    }

    /// Whether it stands before the other of its peer: the newest run, then what is said of the network here.
    fn leads(&self, other: &Held) -> bool {
        let rank = |held: &Held| {
            let record = held.record.record();
            (record.incarnation, record.class == RecordClass::Local)
        };
        rank(self) > rank(other)
    }
}

impl Peer {
    /// The record that leads.
    pub(crate) fn leading(&self) -> Held {
        Held { record: self.record.clone(), age: self.age, received: self.received }
    }

    /// All that is held of it, what leads first.
    pub(crate) fn held(&self) -> impl Iterator<Item = Held> + use<> {
        core::iter::once(self.leading()).chain(self.beside.clone())
    }

    /// Whether any of it has expired. Asked of all peers every second, so nothing is cloned for it.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        let ttl = Duration::from_secs(u64::from(self.record.record().ttl_secs));
        self.age + now.since(self.received) >= ttl
            || self.beside.as_ref().is_some_and(|held| held.is_expired(now))
    }

    /// What is held as these very bytes.
    pub(crate) fn held_as(&self, bytes: &[u8]) -> Option<Held> {
        if self.record.bytes() == bytes {
            return Some(self.leading());
        }
        self.beside.clone().filter(|held| held.record.bytes() == bytes)
    }

    /// Takes a record in the place of the one of its class.
    pub(crate) fn hold(&mut self, new: Held) {
        let class = new.record.record().class;
        let other = self.held().find(|held| held.record.record().class != class);
        self.arrange(Some(new).into_iter().chain(other));
    }

    /// Gives up the records of which `gone` says so. Says whether none is left: then it keeps them all, to be taken out
    /// of the table with them.
    pub(crate) fn give_up(&mut self, gone: impl Fn(&Held) -> bool) -> bool {
        let left: alloc::vec::Vec<Held> = self.held().filter(|held| !gone(held)).collect();
        let none = left.is_empty();
        if !none {
            self.arrange(left.into_iter());
        }
        none
    }

    /// Holds these, two at most, each where it belongs.
    fn arrange(&mut self, records: impl Iterator<Item = Held>) {
        let mut beside = None;
        let mut leading: Option<Held> = None;
        for held in records {
            match &leading {
                Some(first) if !held.leads(first) => beside = Some(held),
                _ => beside = leading.replace(held),
            }
        }
        if let Some(leading) = leading {
            (self.record, self.age, self.received) = (leading.record, leading.age, leading.received);
            self.beside = beside;
        }
    }
}
