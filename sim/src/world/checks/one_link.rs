//! Exactly one link for each pair, used by both sides, and the same one for as long as nothing happens.

use std::collections::BTreeMap;

use p2pnet_engine::Level;

use super::{Broken, Check, Seen, core_pairs};
use crate::world::World;

/// The streams of each pair, the smaller node first.
type Links = BTreeMap<(usize, usize), Vec<u64>>;

/// Looks when the quiet window begins, and compares when it is over.
#[derive(Debug, Default)]
pub(super) struct OneLink {
    before: Links,
    jumps: Vec<u64>,
}

impl Check for OneLink {
    fn id(&self) -> &'static str {
        "one-link"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::QuietBegins => {
                self.before = links(world);
                self.jumps = jumps(world);
                look(world, &self.before)
            }
            Seen::QuietEnds => {
                let (now, jumps) = (links(world), jumps(world));
                look(world, &now)?;
                // Who met its own old record in the window began anew, with new links.
                let anew = |node: usize| self.jumps.get(node) != jumps.get(node);
                let changed = core_pairs(world)
                    .filter(|&(a, b)| a < b && !anew(a) && !anew(b))
                    .find(|pair| self.before.get(pair) != now.get(pair));
                match changed {
                    Some((a, b)) => {
                        Err(Broken::on(a, format!("the link with {} is another than before", world.name(b))))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn links(world: &World) -> Links {
    let mut links = Links::new();
    for (stream, a, b) in world.open_links() {
        links.entry((a.min(b), a.max(b))).or_default().push(stream);
    }
    links
}

fn jumps(world: &World) -> Vec<u64> {
    let of = |node| world.engine(node).map_or(0, |engine| engine.stats().incarnation_jumps);
    (0..world.len()).map(of).collect()
}

fn look(world: &World, links: &Links) -> Result<(), Broken> {
    for (a, b) in core_pairs(world).filter(|(a, b)| a < b) {
        let count = links.get(&(a, b)).map_or(0, Vec::len);
        if count != 1 {
            return Err(Broken::on(a, format!("{count} links with {}", world.name(b))));
        }
        let level = |a: usize, b: usize| {
            world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b))).map(|peer| peer.level)
        };
        if level(a, b) != Some(Level::Trusted) || level(b, a) != Some(Level::Trusted) {
            let message = format!("{:?} of {}, which is at {:?}", level(a, b), world.name(b), level(b, a));
            return Err(Broken::on(a, message));
        }
    }
    Ok(())
}
