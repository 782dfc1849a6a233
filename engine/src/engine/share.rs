//! `CollectionShare`: two neighbours compare what they hold and tell each other what is missing, both ways. First one
//! digest of everything; if it differs those of the buckets; of those that differ a list; and only then records, the
//! very bytes that their subjects signed.
//!
//! Each side decides what it takes, and asks for that alone. Farewells are in no digest and on no list: who lists a
//! record that is outranked by one is told the farewell.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::random::{Seeds, Stream};
use crate::record::RecordClass;
use crate::timers::TimerKey;
use crate::wire::{
    AgedRecord, BUCKETS, DIGEST_LEN, ENTRIES_PER_FRAME, Frame, RECORDS_PER_FRAME, ROOT_LEN, RecordEntry,
    Version, root_digest, shortened,
};

use super::Engine;
use super::collection::{places_of, rank};
use super::peers::{Accepted, Origin};

/// The time between two rounds with one neighbour each, at first, and when nothing was new for long.
const SOONEST: Duration = Duration::from_secs(10);
const LATEST: Duration = Duration::from_secs(600);

/// Who starts in a crowd compares after this, or twice as long.
const AFTER_BURST: Duration = Duration::from_secs(1);

/// Up to so many records a list of all is not longer than the digests, and one round trip shorter.
const FEW: usize = 128;

/// Comparisons that one peer may ask for: at once, and a second. Each may cost a walk through all records.
pub(super) const COMPARISONS: u32 = 256;

/// While fewer bytes than this wait for a link, more of the records that its peer wants are put behind them.
const AHEAD: usize = 64 * 1024;

/// What is kept of sharing.
#[derive(Debug)]
pub(crate) struct Share {
    /// What is news, and who has it already. At most what is in the table and among the floors.
    pub(super) news: BTreeMap<(PeerId, RecordClass), BTreeSet<PeerId>>,
    /// The time between rounds now, and whether anything was news since the last one.
    interval: Duration,
    fresh: bool,
    pub(super) draws: Stream,
}

impl Share {
    pub(super) fn new(seeds: &Seeds) -> Self {
        Share {
            news: BTreeMap::new(),
            interval: SOONEST,
            fresh: false,
            draws: Stream::new(&seeds.behaviour, "share"),
        }
    }
}

impl Engine {
    // ---- Rounds ----

    /// A peer has just become trusted, or has another link. What follows is news; what was before is compared, at the
    /// word of the one with the smaller id. In a crowd whoever starts hears most of it by beacons: it compares once when
    /// its burst is over.
    pub(super) fn share_with(&mut self, peer: PeerId) {
        if self.is_crowd() && self.is_starting() {
            mark!(self, ComparesLater);
            let delay = self.share.draws.between(AFTER_BURST, AFTER_BURST * 2);
            self.timers.set_earlier(TimerKey::Share, self.now + delay);
            return;
        }
        if !self.timers.is_set(TimerKey::Share) {
            self.schedule_round();
        }
        let link = self.peers.get(&peer).and_then(|known| known.link);
        if let Some(link) = link.filter(|_| self.identity.peer_id() < peer) {
            self.compare_on(link);
        }
    }

    /// Something is new: it may have missed somebody, so the next round comes soon.
    pub(super) fn share_sooner(&mut self) {
        self.share.fresh = true;
        self.share.interval = SOONEST;
        let late = self.timers.deadline(TimerKey::Share);
        if late.is_some_and(|late| late.since(self.now) > SOONEST * 11 / 10) {
            mark!(self, RoundsSnappedBack);
            self.schedule_round();
        }
    }

    /// Another round: with one neighbour, in twice the time if nothing was new since the last.
    pub(super) fn share_due(&mut self) {
        let neighbours = self.trusted_links();
        let Some(&(_, link)) = neighbours.get(self.share.draws.below(neighbours.len() as u64) as usize)
        else {
            return;
        };
        if !core::mem::take(&mut self.share.fresh) {
            self.share.interval = (self.share.interval * 2).min(LATEST);
        }
        self.schedule_round();
        self.compare_on(link);
    }

    fn schedule_round(&mut self) {
        let interval = self.share.interval;
        let delay = self.share.draws.between(interval * 9 / 10, interval * 11 / 10);
        self.set_timer(TimerKey::Share, delay);
    }

    pub(super) fn compare_on(&mut self, link: LinkId) {
        if planted!(self, NeverCompares) {
            return;
        }
        self.stats.rounds += 1;
        let below = self.below();
        let root = root_digest(&self.digests(below));
        self.send_answer(link, &Frame::RecordsRoot { below, root });
    }

    // ---- The exchange ----

    /// Takes a frame of the exchange from a peer that we have verified.
    pub(super) fn compared(&mut self, link: LinkId, peer: PeerId, frame: Frame) {
        let now = self.now;
        let Some(known) = self.peers.get_mut(&peer).filter(|known| known.is_trusted()) else {
            self.stats.frames_before_trust += 1;
            return;
        };
        let compares = matches!(
            frame,
            Frame::RecordsRoot { .. } | Frame::RecordsDigests { .. } | Frame::RecordsListed { .. }
        );
        if compares && !known.comparisons.take(now, 1) {
            self.stats.frames_refused += 1;
            mark!(self, ComparesTooOften);
            return;
        }
        match frame {
            Frame::RecordsRoot { below, root } => self.root_received(link, below, &root),
            Frame::RecordsDigests { below, digests } => self.digests_received(link, below, &digests),
            Frame::RecordsListed { below, first, last, entries }
                if first <= last && is_list(&entries, first, last) =>
            {
                self.list_received(link, peer, (first, last, below), &entries);
            }
            Frame::RecordsOffered(entries) if is_list(&entries, 0, u64::MAX) => {
                self.offered(link, peer, &entries);
            }
            Frame::RecordsWanted(places) if places.len() <= ENTRIES_PER_FRAME => {
                self.records_wanted(link, &places);
            }
            _ => self.stats.frames_refused += 1,
        }
    }

    fn root_received(&mut self, link: LinkId, below: u64, theirs: &[u8; ROOT_LEN]) {
        let below_both = below.min(self.below());
        let digests = self.digests(below_both);
        if below_both == below && root_digest(&digests) == *theirs {
            mark!(self, CollectionsEqual);
            return;
        }
        mark!(self, CollectionsDiffer);
        if self.peers.len() < FEW {
            self.send_lists(link, 0, u64::MAX, below_both);
            return;
        }
        let digests = digests.iter().map(shortened).collect();
        self.send_answer(link, &Frame::RecordsDigests { below: below_both, digests });
    }

    /// Lists what is in the buckets that differ, those side by side in one go.
    fn digests_received(&mut self, link: LinkId, below: u64, theirs: &[[u8; DIGEST_LEN]]) {
        if theirs.len() != BUCKETS {
            self.stats.frames_refused += 1;
            return;
        }
        let below = below.min(self.below());
        let own = self.digests(below);
        let differs = own.iter().zip(theirs).map(|(own, theirs)| shortened(own) != *theirs);
        let mut open: Option<(u64, u64)> = None;
        for (bucket, differs) in (0u8..=u8::MAX).zip(differs) {
            let (first, last) = places_of(bucket);
            match (differs, open) {
                (true, _) => open = Some((open.map_or(first, |(first, _)| first), last)),
                (false, Some((first, last))) => {
                    self.send_lists(link, first, last, below);
                    open = None;
                }
                (false, None) => {}
            }
        }
        if let Some((first, last)) = open {
            self.send_lists(link, first, last, below);
        }
    }

    /// Sends what we hold at these places, in as many parts as it takes; each says from where to where it is complete.
    fn send_lists(&mut self, link: LinkId, first: u64, last: u64, below: u64) {
        let entries: Vec<RecordEntry> = self.entries_between(first, last, below).collect();
        let mut rest = &entries[..];
        let mut first = first;
        loop {
            // A part ends between two places, not between the records of one.
            let mut end = rest.len().min(ENTRIES_PER_FRAME);
            while end < rest.len() && end > 1 && rest[end].place == rest[end - 1].place {
                end -= 1;
            }
            let (part, after) = rest.split_at(end);
            let part_last =
                if after.is_empty() { last } else { part.last().map_or(last, |entry| entry.place) };
            let entries = part.to_vec();
            self.send_answer(link, &Frame::RecordsListed { below, first, last: part_last, entries });
            if after.is_empty() {
                return;
            }
            (rest, first) = (after, part_last.saturating_add(1));
        }
    }

    fn entries_between(&self, first: u64, last: u64, below: u64) -> impl Iterator<Item = RecordEntry> + '_ {
        self.records_between(first, last, below)
            .filter(|(_, held)| !held.is_expired(self.now))
            .map(|(place, held)| RecordEntry::of(place, &held.record))
    }

    /// The peer holds this and nothing else between two places: asks for what we want of it, and offers what it lacks.
    fn list_received(
        &mut self,
        link: LinkId,
        peer: PeerId,
        (first, last, below): (u64, u64, u64),
        theirs: &[RecordEntry],
    ) {
        let held: BTreeMap<(u64, RecordClass), Version> =
            theirs.iter().map(|entry| (entry.key(), entry.version)).collect();
        let lacks = |own: &RecordEntry| held.get(&own.key()).is_none_or(|theirs| own.version > *theirs);
        let offered: Vec<RecordEntry> = self.entries_between(first, last, below).filter(lacks).collect();
        for part in offered.chunks(ENTRIES_PER_FRAME) {
            self.send_answer(link, &Frame::RecordsOffered(part.to_vec()));
        }
        self.offered(link, peer, theirs);
    }

    /// Asks for what we want of a list. Whoever is on it and is gone, we say so.
    fn offered(&mut self, link: LinkId, from: PeerId, entries: &[RecordEntry]) {
        let mut wanted = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        let mut farewells: Vec<AgedRecord> = Vec::new();
        for entry in entries {
            let RecordEntry { place, class, version, .. } = entry;
            if let Some(floor) = self.floors.at(*place).find(|floor| floor.outdates(*class, version)) {
                if floor.is_gone() && !floor.held.is_expired(self.now) {
                    farewells.push(floor.held.aged(self.now));
                }
                continue;
            }
            match self.is_newer(entry) {
                Some(true) => {
                    wanted.insert(*place);
                }
                Some(false) => {}
                None => {
                    unknown.insert((rank(*place), *place));
                }
            }
        }
        if !farewells.is_empty() {
            mark!(self, ToldThatGone);
            farewells.dedup();
            self.send_records(link, &farewells);
        }
        let ranks: Vec<u64> = unknown.iter().map(|(rank, _)| *rank).collect();
        let may = self.introductions(&from, &ranks);
        if may < ranks.len() {
            mark!(self, OfferNotWanted);
        }
        wanted.extend(unknown.iter().take(may).map(|(_, place)| *place));
        if !wanted.is_empty() {
            self.send_answer(link, &Frame::RecordsWanted(wanted.into_iter().collect()));
        }
    }

    /// The peer wants these. They go as fast as its link takes them.
    fn records_wanted(&mut self, link: LinkId, places: &[u64]) {
        let most = self.config.max_peers + 1;
        if let Some(queue) = self.links.get_mut(&link).map(|link| &mut link.queue) {
            let known = places.iter().filter(|place| self.collection.at(**place).next().is_some());
            let room = most.saturating_sub(queue.wanted.len());
            queue.wanted.extend(known.take(room));
        }
        self.send_wanted(link);
    }

    /// Puts more of the records that a peer wants behind what waits for its link, if that is little.
    pub(super) fn send_wanted(&mut self, link: LinkId) {
        loop {
            let Some(queue) = self.links.get_mut(&link).map(|link| &mut link.queue) else { return };
            if queue.wanted.is_empty() || queue.waiting() >= AHEAD {
                return;
            }
            let mut records = Vec::new();
            while records.len() < RECORDS_PER_FRAME - 1 {
                let Some(place) = self.links.get_mut(&link).and_then(|link| link.queue.wanted.pop_first())
                else {
                    break;
                };
                let ids: Vec<PeerId> = self.collection.at(place).collect();
                let held = ids.iter().flat_map(|id| self.held_records(id));
                let held = held.filter(|held| !held.is_expired(self.now));
                records.extend(held.map(|held| held.aged(self.now)));
            }
            self.send_records(link, &records);
        }
    }

    /// Takes records that a peer passed on. One that is forged ends the link: who keeps the protocol passes on what it has
    /// verified, and a signature costs more to check than to make up.
    pub(super) fn records_received(&mut self, id: LinkId, from: PeerId, records: Vec<AgedRecord>) {
        if records.len() > RECORDS_PER_FRAME {
            self.stats.frames_refused += 1;
            return;
        }
        for record in records {
            let age = Duration::from_secs(u64::from(record.age_secs));
            if self.accept_record(&record.bytes, age, Origin::Link(from)) == Accepted::Forged {
                return self.protocol_broken(id);
            }
        }
    }
}

/// Whether a list is one: not too long, in order, and within these places.
fn is_list(entries: &[RecordEntry], first: u64, last: u64) -> bool {
    entries.len() <= ENTRIES_PER_FRAME
        && entries.is_sorted_by_key(RecordEntry::key)
        && entries.iter().all(|entry| (first..=last).contains(&entry.place))
}
