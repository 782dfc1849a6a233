//! Records and contents are their authors'.

use std::collections::{BTreeMap, BTreeSet};

use p2pnet_engine::{Event, PeerId, RecordKind, forge};

use super::{Broken, Check, Seen};
use crate::world::World;

/// Every record that any node has presented.
#[derive(Debug, Default)]
pub(super) struct Provenance {
    issued: BTreeMap<PeerId, BTreeSet<Vec<u8>>>,
    /// The goodbye of every run that was asked to leave.
    farewells: BTreeSet<Vec<u8>>,
    /// The incarnation and number of the record that each node presented last.
    last: BTreeMap<usize, (u64, u64)>,
    /// The same of those that say where it is reached from afar.
    last_wide: BTreeMap<usize, (u64, u64)>,
}

impl Check for Provenance {
    fn id(&self) -> &'static str {
        "provenance"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::Turn { node } | Seen::Started { node } => {
                // What a crash has left on the disk is whole or has no name.
                let started = matches!(seen, Seen::Started { .. });
                if started && let Some(content) = world.torn_content(node) {
                    let message = format!("{content:?} is on the disk and not what was published");
                    return Err(Broken::on(node, message));
                }
                let Some(engine) = world.engine(node) else { return Ok(()) };
                let record = engine.record();
                let number = (record.record().incarnation, record.record().seq);
                if started || self.last.get(&node) != Some(&number) {
                    self.last.insert(node, number);
                    self.issued.entry(engine.peer_id()).or_default().insert(record.bytes().to_vec());
                }
                if let Some(wide) = engine.wide_record() {
                    let number = (wide.record().incarnation, wide.record().seq);
                    if self.last_wide.insert(node, number) != Some(number) || started {
                        self.issued.entry(engine.peer_id()).or_default().insert(wide.bytes().to_vec());
                    }
                }
                Ok(())
            }
            Seen::Leaves { node } => {
                self.farewells.extend(world.engine(node).map(forge::farewell_record));
                Ok(())
            }
            Seen::Second => world.looked_at().try_for_each(|node| self.look_at(world, node)),
            Seen::Event { node, event: Event::ContentReceived { manifest, .. } } => {
                match world.received_rightly(node, &manifest.content) {
                    true => Ok(()),
                    false => {
                        Err(Broken::on(node, format!("{:?} is not what was published", manifest.content)))
                    }
                }
            }
            Seen::Event { node, event: Event::ContentDelivered { content, to } } => {
                match world.may_have_held(to, content) || world.is_insider(to) {
                    true => Ok(()),
                    false => Err(Broken::on(node, format!("{content:?} counts as delivered, and is not"))),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Provenance {
    fn look_at(&self, world: &World, node: usize) -> Result<(), Broken> {
        // In its own network an adversary believes itself.
        if world.is_outsider(node) {
            return Ok(());
        }
        let Some(engine) = world.engine(node) else { return Ok(()) };
        let issued = |peer: &PeerId, bytes: &[u8]| {
            self.issued.get(peer).is_some_and(|issued| issued.contains(bytes))
                || world.passed_by(peer, bytes)
                || world.adversary_issued(peer, bytes)
        };
        for peer in engine.peers() {
            let mut held = [Some(peer.record), peer.beside].into_iter().flatten();
            if held.any(|held| !issued(&peer.id, held.bytes())) {
                let message =
                    format!("holds a record of {} that its subject never presented", peer.id.short());
                return Err(Broken::on(node, message));
            }
        }
        for floor in engine.floors() {
            let (peer, bytes) = (&floor.record().peer, floor.bytes());
            let genuine = match floor.record().kind {
                RecordKind::Gone => self.farewells.contains(bytes) || world.was_passer(peer),
                _ => issued(peer, bytes),
            };
            if !genuine {
                let message = format!("believes that {} is gone, which it never said", peer.short());
                return Err(Broken::on(node, message));
            }
        }
        Ok(())
    }
}
