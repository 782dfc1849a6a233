//! The records that the server holds: one for each peer of each network, in memory, to be drawn from at random.
//!
//! Everything here costs a logarithm of the number of records, or the number of records that are asked for. The time is
//! told from outside, in milliseconds since the start of 1970.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use p2pnet_engine::{PeerId, RecordKind, SignedRecord};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A network, by the tag that its records carry.
pub type Tag = [u8; 8];

/// A peer that has not announced itself for so long is not given to others any more; nodes announce themselves at least
/// every 600 s. Its record can still be asked for by name.
pub const SILENT_MILLIS: u64 = 20 * 60 * 1000;

/// What no list has.
const NONE: u32 = u32::MAX;

/// A record and what the server knows beside it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The record.
    pub record: SignedRecord,
    /// When this very record came first. Its time to live counts from here.
    pub first: u64,
    /// When its subject announced it last.
    pub heard: u64,
    /// Where from.
    pub from: Option<IpAddr>,
}

impl Held {
    /// How long the server has had the record, in seconds.
    #[must_use]
    pub fn age_secs(&self, now: u64) -> u32 {
        u32::try_from(now.saturating_sub(self.first) / 1000).unwrap_or(u32::MAX)
    }

    /// When it means nothing any more.
    fn expires(&self) -> u64 {
        self.first.saturating_add(u64::from(self.record.record().ttl_secs) * 1000)
    }

    /// Whose it is, and of which network.
    #[must_use]
    pub fn key(&self) -> (Tag, PeerId) {
        let record = self.record.record();
        (record.network, record.peer)
    }
}

/// What became of an announced record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its subject was not known on this network.
    New,
    /// It is newer than what was held.
    Newer,
    /// It is what was held.
    Same,
    /// What is held is newer.
    Older,
}

/// The records of all networks, of which at most so many.
#[derive(Debug)]
pub struct Records {
    limit: usize,
    random: ChaCha8Rng,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    peers: BTreeMap<(Tag, PeerId), u32>,
    /// Those that are given to others, in no order.
    samples: BTreeMap<Tag, Vec<u32>>,
    /// By when they expire.
    expiry: BTreeSet<(u64, u32)>,
    /// By when they were heard.
    heard: BTreeSet<(u64, u32)>,
    /// Those that were silent for [`SILENT_MILLIS`], by when they were heard.
    silent: BTreeSet<(u64, u32)>,
    /// How many are in the samples.
    given: usize,
    /// Whose records went since this was last asked.
    dropped: Vec<(Tag, PeerId)>,
}

#[derive(Debug)]
struct Slot {
    held: Held,
    /// Where in the sample of its network, or [`NONE`].
    sampled: u32,
}

impl Records {
    /// A table of at most `limit` records (1 to 4 billion), that draws samples by this seed.
    #[must_use]
    pub fn new(limit: usize, seed: [u8; 32]) -> Records {
        Records {
            limit: limit.clamp(1, NONE as usize - 1),
            random: ChaCha8Rng::from_seed(seed),
            slots: Vec::new(),
            free: Vec::new(),
            peers: BTreeMap::new(),
            samples: BTreeMap::new(),
            expiry: BTreeSet::new(),
            heard: BTreeSet::new(),
            silent: BTreeSet::new(),
            given: 0,
            dropped: Vec::new(),
        }
    }

    /// Takes a record that was just announced from there, if it is not older than what is held; its time counts from
    /// `first`. If the table is full, who was heard longest ago goes for a newcomer.
    pub fn announce(&mut self, now: u64, first: u64, record: SignedRecord, from: Option<IpAddr>) -> Taken {
        let key = (record.record().network, record.record().peer);
        let Some(&slot) = self.peers.get(&key) else {
            self.insert(now, Held { record, first, heard: now, from });
            return Taken::New;
        };
        let Some(held) = self.held(slot) else { return Taken::Older };
        if held.record == record {
            // Anybody may have it by now, and announce it from somewhere else.
            let same = Held { heard: now, from: held.from.or(from), ..held.clone() };
            self.replace(now, slot, same);
            return Taken::Same;
        }
        if held.record.supersedes(&record) {
            return Taken::Older;
        }
        self.replace(now, slot, Held { record, first, heard: now, from });
        Taken::Newer
    }

    /// Puts back what was stored. What has expired, or is older than what is held, is left out; says whether it was not.
    pub fn restore(&mut self, now: u64, held: Held) -> bool {
        // A clock that went back must not make a record live longer than its time.
        let held = Held { first: held.first.min(now), heard: held.heard.min(now), ..held };
        let newer = self.get(&held.key()).is_none_or(|known| held.record.supersedes(&known.record));
        let good = newer && held.expires() > now;
        if good {
            match self.peers.get(&held.key()).copied() {
                Some(slot) => self.replace(now, slot, held),
                None => self.insert(now, held),
            }
        }
        good
    }

    /// Forgets what has expired, and gives those who were silent for [`SILENT_MILLIS`] to nobody any more. At most
    /// `most` of each, so that a call is short; says whether there is more to do.
    pub fn tidy(&mut self, now: u64, most: usize) -> bool {
        let mut expired = 0;
        while let Some(&(expires, slot)) = self.expiry.first() {
            if expires > now || expired == most {
                break;
            }
            expired += 1;
            self.remove(slot);
        }
        let silent = now.saturating_sub(SILENT_MILLIS);
        let mut quiet = 0;
        while let Some(&(heard, slot)) = self.heard.first() {
            if heard > silent || quiet == most {
                break;
            }
            quiet += 1;
            self.heard.pop_first();
            self.silent.insert((heard, slot));
            self.withdraw(slot);
        }
        expired == most || quiet == most
    }

    /// Whose records expired or had to go since this was last asked.
    pub fn take_dropped(&mut self) -> Vec<(Tag, PeerId)> {
        std::mem::take(&mut self.dropped)
    }

    /// The record of a peer.
    #[must_use]
    pub fn get(&self, key: &(Tag, PeerId)) -> Option<&Held> {
        self.peers.get(key).and_then(|&slot| self.held(slot))
    }

    /// Records of a network of which any is as likely as any other, at most `want`, never that of `except`.
    pub fn sample(&mut self, tag: &Tag, except: Option<&PeerId>, want: usize) -> Vec<&Held> {
        let Some(sample) = self.samples.get(tag) else { return Vec::new() };
        let own = except.and_then(|peer| self.peers.get(&(*tag, *peer))).and_then(|&slot| self.slot(slot));
        let own = own.map_or(NONE, |slot| slot.sampled) as usize;
        // Drawn from all others: what stands behind who asks moves up by one.
        let others = sample.len() - usize::from(own < sample.len());
        let drawn = draw(&mut self.random, others, want);
        let places = drawn.into_iter().map(|at| at + usize::from(at >= own));
        places.filter_map(|at| sample.get(at)).filter_map(|&slot| self.held(slot)).collect()
    }

    /// All records from this peer on, in the order of networks and peers.
    pub fn from(&self, start: (Tag, PeerId)) -> impl Iterator<Item = &Held> {
        self.peers.range(start..).filter_map(|(_, &slot)| self.held(slot))
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// How many networks have somebody who is given to others.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.samples.len()
    }

    /// How many records are given to others.
    #[must_use]
    pub fn given(&self) -> usize {
        self.given
    }

    fn insert(&mut self, now: u64, held: Held) {
        if self.peers.len() >= self.limit
            && let Some(&(_, oldest)) = self.silent.first().or(self.heard.first())
        {
            self.remove(oldest);
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
        });
        self.peers.insert(held.key(), at);
        self.fill(now, at, held);
    }

    fn replace(&mut self, now: u64, at: u32, held: Held) {
        self.withdraw(at);
        self.unlist(at);
        self.fill(now, at, held);
    }

    /// Puts what belongs into an empty slot, or over what is in none of the lists.
    fn fill(&mut self, now: u64, at: u32, held: Held) {
        self.expiry.insert((held.expires(), at));
        self.heard.insert((held.heard, at));
        let (tag, _) = held.key();
        let given =
            held.record.record().kind == RecordKind::Alive && held.heard.saturating_add(SILENT_MILLIS) > now;
        let sampled = if given {
            let sample = self.samples.entry(tag).or_default();
            sample.push(at);
            self.given += 1;
            u32::try_from(sample.len() - 1).unwrap_or(NONE)
        } else {
            NONE
        };
        if let Some(slot) = self.slots.get_mut(at as usize) {
            *slot = Some(Slot { held, sampled });
        }
    }

    fn remove(&mut self, at: u32) {
        self.withdraw(at);
        self.unlist(at);
        let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::take) else { return };
        self.free.push(at);
        let key = slot.held.key();
        self.peers.remove(&key);
        self.dropped.push(key);
    }

    /// Takes a record out of the sample of its network; the last one takes its place there.
    fn withdraw(&mut self, at: u32) {
        let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::as_mut) else { return };
        let place = std::mem::replace(&mut slot.sampled, NONE) as usize;
        let (tag, _) = slot.held.key();
        let Some(sample) = self.samples.get_mut(&tag).filter(|sample| place < sample.len()) else { return };
        sample.swap_remove(place);
        self.given -= 1;
        let moved = sample.get(place).copied();
        if sample.is_empty() {
            self.samples.remove(&tag);
        }
        let moved = moved.and_then(|moved| self.slots.get_mut(moved as usize)).and_then(Option::as_mut);
        if let Some(moved) = moved {
            moved.sampled = u32::try_from(place).unwrap_or(NONE);
        }
    }

    fn unlist(&mut self, at: u32) {
        let Some(held) = self.held(at) else { return };
        let (expires, heard) = (held.expires(), held.heard);
        self.expiry.remove(&(expires, at));
        self.heard.remove(&(heard, at));
        self.silent.remove(&(heard, at));
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize).and_then(Option::as_ref)
    }

    fn held(&self, at: u32) -> Option<&Held> {
        self.slot(at).map(|slot| &slot.held)
    }
}

/// Different numbers below `of`, at most `want`, every choice as likely as any other (Floyd's algorithm).
fn draw(random: &mut ChaCha8Rng, of: usize, want: usize) -> BTreeSet<usize> {
    let want = want.min(of);
    let mut drawn = BTreeSet::new();
    for last in of - want..of {
        let at = below(random, last as u64 + 1) as usize;
        if !drawn.insert(at) {
            drawn.insert(last);
        }
    }
    drawn
}

/// A number below `bound`, by a multiplication (Lemire); its bias is below 2^-32 for tables of this size.
fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    ((u128::from(random.next_u64()) * u128::from(bound)) >> 64) as u64
}
