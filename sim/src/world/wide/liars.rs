//! Bootstrap servers that lie.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use p2pnet_engine::{
    Identity, Instance, PeerRecord, RecordClass, RecordKind, ServerAnswer, ServerRecord, UnverifiedRecord,
    forge,
};

use crate::draws::{Draws, seed_bytes};
use crate::world::World;
use crate::world::faults::FaultKind;
use crate::world::plan::Crypto;

/// A record begins with the tag of its network and the key of its subject.
const BEHIND_KEY: usize = 40;
/// Records that a liar remembers.
const STASH: usize = 256;

impl World {
    /// Answers an announcement as a liar does: with an honest answer as often as not, so that it is asked again, and with
    /// something of its own in between.
    pub(super) fn lie(
        &mut self,
        (node, starts): (usize, u64),
        server: usize,
        heard: &[u8],
        honest: ServerAnswer,
    ) {
        let state = &mut self.wide.servers[server];
        state.lies += 1;
        if state.stash.len() < STASH && !state.stash.iter().any(|known| known == heard) {
            state.stash.push(heard.to_vec());
        }
        let (lies, id) = (state.lies, u8::try_from(server).unwrap_or(u8::MAX));
        let dice = &mut Draws::new(self.plan.seed, &format!("lie {server} {lies}"));
        let mut answer = honest;
        let mut later = Duration::ZERO;
        for _ in 0..dice.below(3) {
            self.tally.count(FaultKind::ServerLie);
            match dice.below(13) {
                // Keeps back what it knows.
                0 => answer.records.clear(),
                1 => answer.records.extend(self.forged(server, dice)),
                2 => answer.records.extend(self.of_elsewhere(dice)),
                3 => answer.records.extend(self.old_ones(server, dice)),
                4 => answer.records.extend(self.make_up_peers(server, dice)),
                5 => answer.records.insert(0, told(garbage(dice, 700), dice)),
                6 => answer.records.iter_mut().for_each(|told| {
                    told.from = Some(some_address(dice));
                    told.age_secs = dice.below(1 << 32) as u32;
                }),
                7 => {
                    answer.tasks = (0..dice.below(200)).map(|_| garbage(dice, 300)).collect();
                    if dice.chance(0.5) {
                        answer.authority = Some(Identity::from_seed(dice.bytes()).peer_id());
                    }
                    answer.observed = Some((some_address(dice), dice.below(65_536) as u16).into());
                }
                8 => {
                    // The same to somebody who did not ask, or asked somebody else.
                    let other = dice.below(self.nodes.len() as u64) as usize;
                    let number = dice.below(9) as u8;
                    let of = self.nodes[other].starts;
                    self.send_answer(other, of, number, answer.clone(), Duration::ZERO);
                }
                11 => answer.tasks.extend(self.false_tasks(dice)),
                9 => later = Duration::from_millis(dice.below(60_000)),
                10 => self.send_answer(
                    node,
                    starts,
                    id,
                    answer.clone(),
                    Duration::from_millis(dice.below(5_000)),
                ),
                // Nobody asked for as many.
                _ => {
                    let again = answer.records.clone();
                    (0..dice.below(20)).for_each(|_| answer.records.extend(again.iter().cloned()));
                }
            }
        }
        self.send_answer(node, starts, id, answer, later);
    }

    /// Records that their subjects did not sign: a changed bit, somebody else's signature, goodbyes of peers that stay.
    fn forged(&self, server: usize, dice: &mut Draws) -> Option<ServerRecord> {
        let stash = &self.wide.servers[server].stash;
        let mut bytes = stash.get(dice.below(stash.len() as u64) as usize)?.clone();
        // Cheap signatures do not see every change of the key that they are compared with.
        let least = if self.plan.crypto == Crypto::Cheap { BEHIND_KEY } else { 0 };
        let bit = (least + dice.below(bytes.len().saturating_sub(least) as u64) as usize) * 8
            + dice.below(8) as usize;
        let mut record = UnverifiedRecord::parse(&bytes).ok()?.record().clone();
        let forger = self.plan.crypto.identity(dice.bytes());
        match dice.below(3) {
            0 => bytes[bit / 8] ^= 1 << (bit % 8),
            1 => {
                record.seq += 1 + dice.below(100);
                record.addrs = vec![some_address(dice)];
                bytes = forge::sign(&forger, &record);
            }
            _ => {
                (record.kind, record.class) = (RecordKind::Gone, RecordClass::Local);
                record.incarnation += dice.below(3);
                bytes = forge::sign(&forger, &record);
            }
        }
        Some(told(bytes, dice))
    }

    /// A record of somebody in another network.
    fn of_elsewhere(&self, dice: &mut Draws) -> Option<ServerRecord> {
        let identity = self.plan.crypto.identity(dice.bytes());
        let network = forge::tag(&self.plan.crypto.elsewhere());
        let record = somebody(&identity, network, dice);
        Some(told(forge::sign(&identity, &record), dice))
    }

    /// What it heard before: older records, and goodbyes of runs that are over.
    fn old_ones(&self, server: usize, dice: &mut Draws) -> Vec<ServerRecord> {
        let stash = &self.wide.servers[server].stash;
        let drawn = (0..=dice.below(8)).map(|_| dice.below(stash.len() as u64) as usize);
        let drawn: Vec<usize> = drawn.collect();
        drawn.into_iter().filter_map(|i| stash.get(i).cloned()).map(|bytes| told(bytes, dice)).collect()
    }

    /// Peers of this network that do not exist.
    fn make_up_peers(&mut self, server: usize, dice: &mut Draws) -> Vec<ServerRecord> {
        let crowds = self.plan.server[server].crowds;
        let network = forge::tag(&self.plan.crypto.network());
        let mut records = Vec::new();
        for _ in 0..if crowds { 1 + dice.below(300) } else { 1 } {
            // Without a crowd it is always one of the same two.
            let number = if crowds { dice.below(1000) } else { dice.below(2) };
            let seed = seed_bytes(self.plan.seed, &format!("made up by server {server} {number}"));
            let identity = self.plan.crypto.identity(seed);
            let record = somebody(&identity, network, dice);
            let bytes = forge::sign(&identity, &record);
            self.note_issued(record.peer, &bytes);
            records.push(told(bytes, dice));
        }
        records
    }
}

fn told(record: Vec<u8>, dice: &mut Draws) -> ServerRecord {
    let from = if dice.chance(0.5) { Some(some_address(dice)) } else { None };
    ServerRecord { record, age_secs: if dice.chance(0.5) { 0 } else { dice.below(4000) as u32 }, from }
}

fn garbage(dice: &mut Draws, most: u64) -> Vec<u8> {
    (0..dice.below(most)).map(|_| dice.below(256) as u8).collect()
}

/// An address of anybody: on a LAN, of a node, of a router, of nobody.
fn some_address(dice: &mut Draws) -> IpAddr {
    let first = [10, 20, 30, 40, 8, 127, 169, 192, 224, 255][dice.below(10) as usize];
    let mut part = |most: u64| dice.below(most) as u8;
    Ipv4Addr::new(first, part(2), part(10), part(10)).into()
}

fn somebody(identity: &Identity, network: [u8; 8], dice: &mut Draws) -> PeerRecord {
    let instance = Instance::from_bytes(*dice.bytes().first_chunk().unwrap_or(&[0; 16]));
    PeerRecord {
        network,
        peer: identity.peer_id(),
        incarnation: 1 + dice.below(3),
        seq: 1 + dice.below(1000),
        kind: RecordKind::Alive,
        ttl_secs: 60 + dice.below(3600) as u32,
        class: RecordClass::Wide,
        instance,
        link_key: forge::link_key(identity),
        port: 1 + dice.below(65_535) as u16,
        name: "somebody".to_owned(),
        addrs: (0..dice.below(3)).map(|_| some_address(dice)).collect(),
        caps: 0,
    }
}
