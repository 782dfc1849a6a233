//! Tricks that need no stream of their own: datagrams, and frames on the links that an adversary's engine has.

use p2pnet_engine::{Instance, PeerRecord, RecordKind, forge};

use super::{Dice, Place};
use crate::world::World;

/// Bytes of a beacon.
const BEACON: u64 = 768;
/// What a beacon begins with, with its version.
const BEGINS: [u8; 5] = *b"p2pb\x01";
/// Datagrams of a flood, and records in one frame.
const FLOOD: u64 = 60;
const SIGNATURES: u64 = 100;
const RECORDS: u64 = 64;

impl World {
    pub(super) fn garbage(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        if dice.below(3) == 0 {
            return self.garbage_on_a_stream(place, dice);
        }
        let mut bytes = match dice.below(2) {
            0 => {
                let length = dice.below(1200);
                dice.bytes(length)
            }
            _ => dice.bytes(BEACON),
        };
        if bytes.len() as u64 == BEACON {
            bytes[..BEGINS.len()].copy_from_slice(&BEGINS);
        }
        if dice.below(2) == 0 {
            self.say_to_everybody(place, bytes);
        } else {
            let node = self.somebody(place, dice)?;
            let door = self.door_of(place, node)?;
            self.say(place, door, bytes);
        }
        Some(())
    }

    pub(super) fn replay(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let outsider = self.plan.adversary[place.index].outsider;
        match dice.below(if outsider { 2 } else { 4 }) {
            0 => {
                let beacon = self.adversaries.loot.beacon(dice)?;
                self.say_to_everybody(place, beacon);
                Some(())
            }
            1 => self.replay_first_message(place, dice),
            2 => {
                let (record, bytes) = self.adversaries.loot.record(dice)?;
                self.seal_and_say(place, dice, record.instance, forge::flags::ANNOUNCE, &bytes);
                Some(())
            }
            _ => {
                let (_, bytes) = self.adversaries.loot.record(dice)?;
                self.slip(place, dice, &forge::records(&[(0, bytes)]))
            }
        }
    }

    pub(super) fn forge(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        if self.plan.adversary[place.index].outsider {
            let mut beacon = self.adversaries.loot.beacon(dice)?;
            flip(&mut beacon, dice);
            self.say_to_everybody(place, beacon);
            return Some(());
        }
        let (instance, bytes) = self.forged_record(place, dice)?;
        if dice.below(2) == 0 {
            self.seal_and_say(place, dice, instance, forge::flags::ANNOUNCE | forge::flags::SOLICIT, &bytes);
            Some(())
        } else {
            self.slip(place, dice, &forge::records(&[(0, bytes)]))
        }
    }

    /// A record that its subject never signed, or not for this network.
    fn forged_record(&self, place: Place, dice: &mut Dice) -> Option<(Instance, Vec<u8>)> {
        let (genuine, mut bytes) = self.adversaries.loot.record(dice)?;
        let own = self.identity_of(place.node);
        let mut record = PeerRecord { seq: genuine.seq + 1 + dice.below(9), ..genuine.clone() };
        match dice.below(7) {
            0 => flip(&mut bytes, dice),
            1 => bytes = forge::sign(&own, &record),
            2 => {
                record.incarnation = record.incarnation.saturating_add(1 << dice.below(63));
                bytes = forge::sign(&own, &record);
            }
            3 => {
                record = self.record_of(place, &own, 1 << dice.below(63), dice);
                record.network = forge::tag(&self.adversaries.elsewhere);
                bytes = forge::sign(&own, &record);
            }
            4 => {
                bytes = forge::sign(&own, &record);
                unsign(&mut bytes);
            }
            5 => {
                record.kind = RecordKind::Leaving;
                bytes = forge::sign(&own, &record);
            }
            // Another record under the signature of this one.
            _ => {
                record.ttl_secs = 604_800;
                record.addrs.clear();
                bytes = with_signature_of(&bytes, &forge::sign(&own, &record));
            }
        }
        Some((record.instance, bytes))
    }

    pub(super) fn say_goodbye_for(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let own = self.identity_of(place.node);
        let (record, bytes) = match dice.below(4) {
            0 => self.adversaries.loot.farewell(dice)?,
            how => {
                let (genuine, bytes) = self.adversaries.loot.record(dice)?;
                let later = dice.below(2);
                let gone = PeerRecord {
                    kind: RecordKind::Gone,
                    incarnation: genuine.incarnation.saturating_add(later),
                    ..genuine
                };
                let mut forged = forge::sign(&own, &gone);
                match how {
                    1 => unsign(&mut forged),
                    2 => forged = with_signature_of(&bytes, &forged),
                    _ => {}
                }
                (gone, forged)
            }
        };
        if dice.below(2) == 0 {
            self.seal_and_say(place, dice, record.instance, forge::flags::LEAVING, &bytes);
            Some(())
        } else {
            self.slip(place, dice, &forge::records(&[(0, bytes)]))
        }
    }

    pub(super) fn flood(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        match dice.below(5) {
            0 => {
                let node = self.somebody(place, dice)?;
                let door = self.door_of(place, node)?;
                for _ in 0..FLOOD {
                    let mut bytes = dice.bytes(BEACON);
                    bytes[..BEGINS.len()].copy_from_slice(&BEGINS);
                    self.say(place, door, bytes);
                }
            }
            // Each of a peer that nobody has heard of, so that each signature is worth a look.
            1 => {
                for _ in 0..SIGNATURES {
                    let (instance, bytes) = self.record_of_nobody(place, dice);
                    self.seal_and_say(place, dice, instance, forge::flags::ANNOUNCE, &bytes);
                }
            }
            2 => self.flood_with_streams(place, dice)?,
            3 => {
                let records: Vec<_> =
                    (0..RECORDS).map(|_| (0, self.record_of_nobody(place, dice).1)).collect();
                self.slip(place, dice, &forge::records(&records))?;
            }
            _ => {
                let questions: Vec<u8> = (0..FLOOD).flat_map(forge::ping).collect();
                self.slip(place, dice, &questions)?;
            }
        }
        Some(())
    }

    /// A record of nobody, with no signature that anybody could have made.
    fn record_of_nobody(&self, place: Place, dice: &mut Dice) -> (Instance, Vec<u8>) {
        let own = self.identity_of(place.node);
        let mut record = self.record_of(place, &own, 1, dice);
        // The first bytes tell cheap keys from real ones.
        let mut id = *record.peer.as_bytes();
        id[8..].copy_from_slice(&dice.array::<24>());
        record.peer = p2pnet_engine::PeerId::from_bytes(id);
        (record.instance, forge::sign(&own, &record))
    }

    pub(super) fn be_many(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        match dice.below(4) {
            0 => {
                let (_, instance, record) = self.make_up(place, dice);
                let flags = forge::flags::ANNOUNCE
                    | [forge::flags::SOLICIT, forge::flags::DIAL_ME][dice.below(2) as usize];
                self.seal_and_say(place, dice, instance, flags, &record);
                Some(())
            }
            1 => self.keep_a_link(place, dice),
            _ => {
                let records: Vec<_> = (0..16).map(|_| (0, self.make_up(place, dice).2)).collect();
                self.slip(place, dice, &forge::records(&records))
            }
        }
    }

    /// A beacon of somebody else's run, from here.
    pub(super) fn seal_and_say(
        &mut self,
        place: Place,
        dice: &mut Dice,
        instance: Instance,
        flags: u8,
        record: &[u8],
    ) {
        let counter = self.adversaries.loot.next_counter(instance, dice);
        let beacon = forge::seal(self.network_of(place.index), instance, counter, flags, record);
        self.say_to_everybody(place, beacon);
    }

    /// Somebody else's beacon, so that who hears it dials the adversary.
    pub(super) fn lure(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let (record, bytes) = self.adversaries.loot.record(dice)?;
        self.adversaries.lured.insert(place.index, record.peer);
        if self.plan.adversary[place.index].outsider {
            let beacon = self.adversaries.loot.beacon(dice)?;
            self.say_to_everybody(place, beacon);
            return Some(());
        }
        let flags = forge::flags::ANNOUNCE | [0, forge::flags::DIAL_ME][dice.below(2) as usize];
        self.seal_and_say(place, dice, record.instance, flags, &bytes);
        Some(())
    }

    /// Says, with a stolen key, that its owner is here and in a new run.
    pub(super) fn be_its_twin(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let stolen = self.plan.adversary[place.index].stolen.clone()?;
        let owner = self.plan.node(&stolen)?;
        let identity = self.identity_of(owner);
        self.note_clone(identity.peer_id());
        let incarnation = self.nodes[owner].incarnation + dice.below(3);
        let record = self.record_of(place, &identity, incarnation.max(1), dice);
        let bytes = forge::sign(&identity, &record);
        self.note_issued(record.peer, &bytes);
        if dice.below(2) == 0 {
            self.seal_and_say(place, dice, record.instance, forge::flags::ANNOUNCE, &bytes);
            return Some(());
        }
        self.keep_a_link_as(place, dice, &identity, &bytes)
    }
}

/// Flips a bit.
pub(super) fn flip(bytes: &mut [u8], dice: &mut Dice) {
    let bit = dice.below(bytes.len() as u64 * 8) as usize;
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}

/// Takes the signature away.
fn unsign(bytes: &mut [u8]) {
    if let Some(signature) = bytes.last_chunk_mut::<64>() {
        *signature = [0; 64];
    }
}

/// `record` with the signature of another one.
fn with_signature_of(other: &[u8], record: &[u8]) -> Vec<u8> {
    let mut bytes = record.to_vec();
    if let (Some(signature), Some(of_other)) = (bytes.last_chunk_mut::<64>(), other.last_chunk::<64>()) {
        *signature = *of_other;
    }
    bytes
}
