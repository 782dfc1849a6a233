//! News of `CollectionShare`: what is new goes to every trusted neighbour within milliseconds, gathered, so that a crowd
//! that starts at once costs a frame for each link and not one for each record.
//!
//! In a crowd a beacon is heard by hundreds, and each of them telling all its neighbours would cost a thousand times what
//! the beacon did. So only a few of the neighbours that hear the same network are told of it, for those who missed it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::record::RecordClass;
use crate::timers::TimerKey;
use crate::wire::{AgedRecord, Frame, RECORDS_PER_FRAME};

use super::Engine;

/// How long news waits for more.
const GATHER: Duration = Duration::from_millis(5);

/// In a crowd so many neighbours, about, are told of a beacon that they must have heard themselves.
const TOLD_ALL_THE_SAME: u64 = 2;

/// A beacon of this age may be what the news is.
const JUST_HEARD: Duration = Duration::from_secs(1);

impl Engine {
    /// A record of this class is news of somebody, and `from` has it already.
    pub(super) fn tell_news(&mut self, subject: PeerId, class: RecordClass, from: Option<PeerId>) {
        self.share.news.insert((subject, class), from.into_iter().collect());
        self.timers.set_earlier(TimerKey::News, self.now + GATHER);
        self.share_sooner();
    }

    pub(super) fn share_own_record(&mut self) {
        let own = self.identity.peer_id();
        self.collection.changed(&own);
        self.tell_news(own, self.own.record().record().class, None);
    }

    /// A neighbour told what we hold: if that is news it needs not be told.
    pub(super) fn told_again(&mut self, subject: PeerId, class: RecordClass, from: PeerId) {
        if let Some(has) = self.share.news.get_mut(&(subject, class)) {
            has.insert(from);
            mark!(self, NewsCrossed);
        }
    }

    pub(super) fn news_due(&mut self) {
        let news = core::mem::take(&mut self.share.news);
        let records: Vec<(PeerId, BTreeSet<PeerId>, AgedRecord)> = news
            .into_iter()
            .filter_map(|((subject, class), has)| Some((subject, has, self.latest(&subject, class)?)))
            .collect();
        if records.len() > 1 {
            mark!(self, NewsGathered);
        }
        let neighbours = self.trusted_links();
        for &(peer, link) in &neighbours {
            let mut for_it = Vec::new();
            for (subject, has, record) in &records {
                if *subject == peer || has.contains(&peer) {
                    continue;
                }
                if self.is_crowd() && self.must_have_heard(&peer, subject) {
                    mark!(self, NewsInTheAir);
                    if self.share.draws.below(neighbours.len() as u64) >= TOLD_ALL_THE_SAME {
                        continue;
                    }
                }
                for_it.push(record.clone());
            }
            self.send_records(link, &for_it);
        }
    }

    /// Whether a beacon of `subject` has just come on a network on which `peer` is as well.
    fn must_have_heard(&self, peer: &PeerId, subject: &PeerId) -> bool {
        let beacons_of = |id| {
            let known = self.peers.get(id).into_iter();
            known.flat_map(|known| &known.heard).filter(|heard| heard.beacons > 0)
        };
        let just_heard = beacons_of(subject).filter(|heard| self.now.since(heard.at) < JUST_HEARD);
        just_heard
            .into_iter()
            .any(|heard| beacons_of(peer).any(|of_peer| of_peer.interface == heard.interface))
    }

    /// What is to be said of somebody: the goodbye if it is gone, else what we hold of this class.
    fn latest(&self, subject: &PeerId, class: RecordClass) -> Option<AgedRecord> {
        let here = self.held_records(subject);
        let held = match self.floors.get(subject).filter(|floor| here.is_empty() && floor.is_gone()) {
            Some(floor) => floor.held.clone(),
            None => here.into_iter().find(|held| held.record.record().class == class)?,
        };
        (!held.is_expired(self.now)).then(|| held.aged(self.now))
    }

    pub(super) fn send_records(&mut self, link: LinkId, records: &[AgedRecord]) {
        for part in records.chunks(RECORDS_PER_FRAME) {
            self.send_answer(link, &Frame::Records(part.to_vec()));
        }
    }

    /// Every trusted peer and the link that it has: walks links, of which there are few, not peers.
    pub(super) fn trusted_links(&self) -> Vec<(PeerId, LinkId)> {
        let trusted = |peer: &PeerId, link: LinkId| {
            self.peers.get(peer).is_some_and(|known| known.link == Some(link) && known.is_trusted())
        };
        let links = self.links.iter().filter_map(|(&id, link)| Some((link.peer?, id)));
        links.filter(|(peer, link)| trusted(peer, *link)).collect()
    }
}
