//! What adversaries have overheard.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use p2pnet_engine::{Instance, Network, PeerId, PeerRecord, RecordKind, UnverifiedRecord, forge};

use crate::world::World;

use super::Dice;

/// Beacons that are kept as they were.
const BEACONS: usize = 32;
/// Records that are kept of each peer, peers, goodbyes, runs.
const RECORDS: usize = 6;
const PEERS: usize = 64;
const FAREWELLS: usize = 16;
const RUNS: usize = 256;

/// Beacons, and what was in them.
#[derive(Default)]
pub(super) struct Loot {
    beacons: VecDeque<Arc<[u8]>>,
    records: BTreeMap<PeerId, VecDeque<Vec<u8>>>,
    farewells: VecDeque<Vec<u8>>,
    /// The counter of the last beacon of each run.
    counters: BTreeMap<Instance, u64>,
}

impl Loot {
    fn hear(&mut self, network: &Network, datagram: &Arc<[u8]>) {
        let Some((instance, counter)) = forge::peek(datagram) else { return };
        // One beacon goes to several places.
        if self.counters.get(&instance).is_some_and(|&last| counter <= last) {
            return;
        }
        let Some(overheard) = forge::open(network, datagram) else { return };
        let Ok(record) = UnverifiedRecord::parse(&overheard.record) else { return };
        if self.counters.len() < RUNS || self.counters.contains_key(&instance) {
            self.counters.insert(instance, counter);
        }
        push(&mut self.beacons, datagram.clone(), BEACONS);
        if record.record().kind == RecordKind::Gone {
            return push(&mut self.farewells, overheard.record, FAREWELLS);
        }
        let peer = record.record().peer;
        if self.records.len() < PEERS || self.records.contains_key(&peer) {
            let of_peer = self.records.entry(peer).or_default();
            if !of_peer.contains(&overheard.record) {
                push(of_peer, overheard.record, RECORDS);
            }
        }
    }

    pub(super) fn beacon(&self, dice: &mut Dice) -> Option<Vec<u8>> {
        let place = dice.below(self.beacons.len() as u64) as usize;
        self.beacons.get(place).map(|beacon| beacon.to_vec())
    }

    /// A goodbye that somebody said.
    pub(super) fn farewell(&self, dice: &mut Dice) -> Option<(PeerRecord, Vec<u8>)> {
        let place = dice.below(self.farewells.len() as u64) as usize;
        parsed(self.farewells.get(place)?)
    }

    /// A record of somebody: mostly the last one.
    pub(super) fn record(&self, dice: &mut Dice) -> Option<(PeerRecord, Vec<u8>)> {
        let place = dice.below(self.records.len() as u64) as usize;
        let of_peer = self.records.values().nth(place)?;
        let old = dice.below(3) == 0;
        let which = if old { dice.below(of_peer.len() as u64) as usize } else { of_peer.len() - 1 };
        parsed(of_peer.get(which)?)
    }

    /// A counter that is news of a run: mostly the next one, sometimes nearly the last there can be.
    pub(super) fn next_counter(&self, instance: Instance, dice: &mut Dice) -> u64 {
        match dice.below(4) {
            0 => u64::MAX - dice.below(1000),
            _ => self.counters.get(&instance).unwrap_or(&0).saturating_add(1 + dice.below(3)),
        }
    }
}

fn parsed(bytes: &[u8]) -> Option<(PeerRecord, Vec<u8>)> {
    let record = UnverifiedRecord::parse(bytes).ok()?;
    Some((record.record().clone(), bytes.to_vec()))
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

impl World {
    /// Adversaries hear what a node sends.
    pub(in crate::world) fn eavesdrop(&mut self, node: usize, bytes: &Arc<[u8]>) {
        if !self.plan.adversary.is_empty() && !self.healed && !self.is_suspect(node) {
            let adversaries = &mut self.adversaries;
            adversaries.loot.hear(&adversaries.network, bytes);
        }
    }
}
