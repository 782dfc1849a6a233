//! Record tables agree.

use super::{Broken, Check, core_pairs};
use crate::world::World;

/// What is held of a neighbour is what it presents now.
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
        }
        None
    }
}
