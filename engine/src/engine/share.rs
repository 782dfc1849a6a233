//! `CollectionShare` in its simple form: on trust everything that is held, afterwards every news at once. Only the
//! bytes that a subject signed travel.

use alloc::vec::Vec;
use core::time::Duration;

use crate::identity::PeerId;
use crate::marks::mark;
use crate::record::SignedRecord;
use crate::wire::{AgedRecord, Frame, RECORDS_PER_FRAME};

use super::Engine;
use super::peers::Origin;

impl Engine {
    /// Sends our own record and all that are held to a peer that has just become trusted.
    pub(super) fn share_everything_with(&mut self, peer: PeerId) {
        let now = self.now;
        let own = AgedRecord { age_secs: 0, bytes: self.own.record().bytes().to_vec() };
        let others = self
            .peers
            .iter()
            .filter(|(id, known)| **id != peer && !known.is_expired(now))
            .map(|(_, known)| aged(&known.record, known.record_age(now)));
        let records: Vec<AgedRecord> = core::iter::once(own).chain(others).collect();
        let Some(link) = self.peers.get(&peer).and_then(|known| known.link) else { return };
        for part in records.chunks(RECORDS_PER_FRAME) {
            self.send_answer(link, &Frame::Records(part.to_vec()));
        }
    }

    /// Passes a record that is news on to every trusted peer but the one that it came from and its subject.
    pub(super) fn share_record(&mut self, record: &SignedRecord, age: Duration, from: Option<PeerId>) {
        let subject = record.record().peer;
        let frame = Frame::Records(alloc::vec![aged(record, age)]);
        for peer in self.trusted_peers() {
            let link = self.peers.get(&peer).and_then(|known| known.link);
            if let Some(link) = link.filter(|_| Some(peer) != from && peer != subject) {
                self.send_answer(link, &frame);
            }
        }
    }

    pub(super) fn share_own_record(&mut self) {
        let record = self.own.record().clone();
        self.share_record(&record, Duration::ZERO, None);
    }

    /// Takes records that a peer passed on. Before it is verified, only its own passes.
    pub(super) fn records_received(&mut self, from: PeerId, records: Vec<AgedRecord>) {
        if records.len() > RECORDS_PER_FRAME {
            self.stats.frames_refused += 1;
            return;
        }
        let trusted = self.peers.get(&from).is_some_and(|known| known.ours);
        for record in records {
            if !trusted && !is_of(&record.bytes, from) {
                self.stats.frames_before_trust += 1;
                mark!(self, OthersRecordBeforeTrust);
                continue;
            }
            let age = Duration::from_secs(u64::from(record.age_secs));
            self.accept_record(&record.bytes, age, Origin::Link(from));
        }
    }

    fn trusted_peers(&self) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, known)| known.is_trusted()).map(|(&id, _)| id).collect()
    }
}

fn aged(record: &SignedRecord, age: Duration) -> AgedRecord {
    let age_secs = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
    AgedRecord { age_secs, bytes: record.bytes().to_vec() }
}

fn is_of(bytes: &[u8], peer: PeerId) -> bool {
    crate::record::UnverifiedRecord::parse(bytes).is_ok_and(|record| record.record().peer == peer)
}
