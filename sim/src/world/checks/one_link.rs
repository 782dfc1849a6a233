//! Exactly one link for each pair, used by both sides, and the same one for as long as nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::Level;

use super::{Broken, Check, Seen, core_pairs};
use crate::world::World;

/// How long two people take who compare codes: each looks at the other's screen for three seconds at most.
const PEOPLE: Duration = Duration::from_secs(4);

/// How often it is looked whether links are new.
const SECOND: Duration = Duration::from_secs(1);

/// The streams of each pair, the smaller node first.
type Links = BTreeMap<(usize, usize), Vec<u64>>;

/// Looks when the quiet window begins and ends, and compares once a second in between.
#[derive(Debug, Default)]
pub(super) struct OneLink {
    before: Option<Links>,
    /// The pairs that had to have a link when the window began. Another may get one within it: a relay is found for it.
    pairs: Vec<(usize, usize)>,
    jumps: Vec<u64>,
    /// Whether every pair could have a link when the window began.
    fits: bool,
    /// How often the link of each pair changed in the window.
    changes: BTreeMap<(usize, usize), u64>,
    /// Streams that began in the window, and when that was seen.
    began: BTreeMap<u64, Duration>,
}

impl Check for OneLink {
    fn id(&self) -> &'static str {
        "one-link"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::QuietBegins => {
                let now = links(world);
                (self.jumps, self.fits) = (world.jumps(), world.all_fit());
                self.began.clear();
                self.pairs = pairs(world);
                look(world, &self.pairs, &now, &self.began)?;
                self.before = Some(now);
                Ok(())
            }
            Seen::Second => {
                self.compare(world);
                Ok(())
            }
            Seen::QuietEnds => {
                self.compare(world);
                let still = pairs(world);
                self.pairs.retain(|pair| still.contains(pair));
                look(world, &self.pairs, &links(world), &self.began)?;
                self.before = None;
                self.judge(world)
            }
            _ => Ok(()),
        }
    }

    /// While a stalled link is being replaced there are two.
    fn pending(&self, world: &World) -> Option<Broken> {
        look(world, &pairs(world), &links(world), &BTreeMap::new()).err()
    }
}

impl OneLink {
    fn compare(&mut self, world: &World) {
        let Some(before) = &self.before else { return };
        let now = links(world);
        for &pair in &self.pairs {
            if before.get(&pair) != now.get(&pair) {
                *self.changes.entry(pair).or_default() += 1;
                let streams = now.get(&pair).into_iter().flatten();
                self.began.extend(streams.map(|&stream| (stream, world.elapsed())));
            }
        }
        self.before = Some(now);
    }

    fn judge(&self, world: &World) -> Result<(), Broken> {
        // In a crowd links are given up for better ones, and made when it is over.
        if !self.fits || !world.all_fit() {
            return Ok(());
        }
        let jumps = world.jumps();
        // Who met its own old record in the window began anew, with new links.
        let anew = |node: usize| self.jumps.get(node) != jumps.get(node);
        // Who looks for somebody under an earlier identity finds the present one, once for each.
        let earlier = |node: usize| world.earlier_identities(node);
        let churned = self
            .changes
            .iter()
            .find(|&(&(a, b), &changes)| !anew(a) && !anew(b) && changes > earlier(a) + earlier(b));
        match churned {
            Some((&(a, b), changes)) => {
                Err(Broken::on(a, format!("the link with {} changed {changes} times", world.name(b))))
            }
            None => Ok(()),
        }
    }
}

fn pairs(world: &World) -> Vec<(usize, usize)> {
    core_pairs(world).filter(|(a, b)| a < b).collect()
}

fn links(world: &World) -> Links {
    let mut links = Links::new();
    for (stream, a, b) in world.open_links() {
        links.entry((a.min(b), a.max(b))).or_default().push(stream);
    }
    links
}

/// In a crowd, which adversaries can make, a pair may come to have a link at any time, and people need theirs to say yes.
fn look(
    world: &World,
    pairs: &[(usize, usize)],
    links: &Links,
    began: &BTreeMap<u64, Duration>,
) -> Result<(), Broken> {
    let waits_for_people = |streams: &[u64]| {
        let since = streams.iter().filter_map(|stream| began.get(stream)).max();
        let people = if world.plan().code { PEOPLE } else { Duration::ZERO }.max(world.answers_within());
        since.is_some_and(|&since| world.elapsed() < since + SECOND + people)
    };
    for &(a, b) in pairs {
        let count = links.get(&(a, b)).map_or(0, Vec::len);
        if count == 0 && !world.all_fit() {
            continue;
        }
        if count != 1 {
            return Err(Broken::on(a, format!("{count} links with {}", world.name(b))));
        }
        let level = |a: usize, b: usize| {
            world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b))).map(|peer| peer.level)
        };
        let streams = links.get(&(a, b)).map_or(&[][..], Vec::as_slice);
        if !world.all_fit() && waits_for_people(streams) {
            continue;
        }
        if level(a, b) != Some(Level::Trusted) || level(b, a) != Some(Level::Trusted) {
            let message = format!("{:?} of {}, which is at {:?}", level(a, b), world.name(b), level(b, a));
            return Err(Broken::on(a, message));
        }
    }
    Ok(())
}
