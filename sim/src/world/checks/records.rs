//! Record tables agree.

use std::time::Duration;

use p2pnet_engine::{PeerId, PeerView, RecordClass, SignedRecord};

use super::{Broken, Check, core_pairs};
use crate::world::World;
use crate::world::plan::Honesty;

/// Records that are good for less may expire at one before they do at another.
const LASTING: Duration = Duration::from_secs(60);

/// What is held of a neighbour is what it presents now, and what is held of everybody else is what the neighbour holds.
#[derive(Debug)]
pub(super) struct Records;

impl Check for Records {
    fn id(&self) -> &'static str {
        "records"
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        for (a, b) in core_pairs(world) {
            let (Some(holder), Some(subject)) = (world.engine(a), world.engine(b)) else { continue };
            let held = holder.peer(&subject.peer_id());
            if held.as_ref().map(|held| held.record.bytes()) != Some(subject.record().bytes()) {
                let (held, own) = (held.map(|held| held.record.record().clone()), subject.record().record());
                let number = held.map(|held| (held.incarnation, held.seq));
                let message = format!(
                    "holds {number:?} of {}, which is at {:?}",
                    world.name(b),
                    (own.incarnation, own.seq)
                );
                return Some(Broken::on(a, message));
            }
            let lacks = |known: &PeerView<'_>| world.lasts(known) && !same(subject.peer(&known.id), known);
            let others =
                holder.peers().filter(|known| known.id != subject.peer_id() && !world.blocks(b, &known.id));
            // Of so many whom only this neighbour tells of, some are not taken (hostile 2836: 258 of 316).
            let told_enough = || world.tells_of_no_more(a, b);
            if let Some(known) = others.into_iter().find(lacks).filter(|_| !told_enough()) {
                let (other, holds) = (subject.peer(&known.id), held_of(&known));
                let (lacks, a) = (other.as_ref().map(held_of), world.name(a));
                let message =
                    format!("does not hold of {} what {a} does: {lacks:?} and {holds:?}", known.id.short());
                return Some(Broken::on(b, message));
            }
        }
        None
    }
}

/// The class, incarnation and number of what is held of a peer.
fn held_of(known: &PeerView<'_>) -> Vec<(RecordClass, u64, u64)> {
    let held = [Some(known.record), known.beside].into_iter().flatten().map(SignedRecord::record);
    held.map(|record| (record.class, record.incarnation, record.seq)).collect()
}

/// Whether two hold the same of a peer. Two runs in one incarnation, after a disk was lost, are kept as they came until
/// their subject jumps above both. What is held of an earlier run beside one of another class has gone where its goodbye
/// was heard, and expires elsewhere (wan 8376).
fn same(held: Option<PeerView<'_>>, known: &PeerView<'_>) -> bool {
    held.is_some_and(|held| {
        let (here, there) = (held.record.record(), known.record.record());
        let rivals = here.incarnation == there.incarnation && here.instance != there.instance;
        let newest = |of: &PeerView<'_>| {
            let run = of.record.record().incarnation;
            of.beside.filter(|beside| beside.record().incarnation == run).cloned()
        };
        rivals || (held.record == known.record && newest(&held) == newest(known))
    })
}

impl World {
    /// Whether everybody who knows this peer must hold the same of it. Clones contradict each other. How old a record is
    /// that a peer does not renew is a server's word, and who believed a liar keeps it longer (wan 208).
    fn lasts(&self, known: &PeerView<'_>) -> bool {
        let ttl = Duration::from_secs(u64::from(known.record.record().ttl_secs));
        let id: &PeerId = &known.id;
        let lies = self.plan().server.iter().any(|server| server.kind == Honesty::Lying);
        let renewed = self.node_of(id).is_some_and(|node| self.engine(node).is_some());
        ttl >= LASTING && !self.is_cloned(id) && (renewed || !lies)
    }
}
