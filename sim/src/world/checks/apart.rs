//! Nobody stays a stranger to whom it can hear.

use std::collections::BTreeMap;
use std::time::Duration;

use p2pnet_engine::{Cadence, Config, Engine, PeerId, Timestamp};

use super::{Broken, Check, Seen};
use crate::world::World;

/// The chance that a pair is reported though only bad luck kept it apart: one in so many powers of ten.
const BAD_LUCK: f64 = 9.0;
/// More nodes than links may be had make each speak this much less often (engine/discovery/cadence.rs).
const SATED: u32 = 4;
/// No interval is longer, whatever the population (engine/discovery/cadence.rs).
const SLOWEST: Duration = Duration::from_secs(300);
/// What a beacon takes on a busy network, and a record that must first be asked for by an incarnation that is newer.
const SLACK: Duration = Duration::from_secs(5);

/// Since when, and in which runs of both.
type Since = (Timestamp, [(PeerId, u64); 2]);

/// Since when each ordered pair could hear each other without a break, and in which runs of both.
#[derive(Debug, Default)]
pub(super) struct Apart {
    since: BTreeMap<(usize, usize), Since>,
}

impl Check for Apart {
    fn id(&self) -> &'static str {
        "apart"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        if !matches!(seen, Seen::Second) {
            return Ok(());
        }
        for a in world.looked_at() {
            for b in (0..world.len()).filter(|&b| b != a) {
                let loss = match (world.hearing(b, a), world.hearing(a, b)) {
                    (Some(one), Some(other)) => one.max(other),
                    _ => {
                        self.since.remove(&(a, b));
                        continue;
                    }
                };
                let run = |node| (world.peer_id(node), world.starts(node));
                let runs = [run(a), run(b)];
                let entry = self.since.entry((a, b)).or_insert((world.now(), runs));
                if entry.1 != runs {
                    *entry = (world.now(), runs);
                }
                let (Some(engine), Some(other)) = (world.engine(a), world.engine(b)) else { continue };
                // Who is blocked is not known. Of two that live under one key the older one is not believed in the end, and need not be known.
                if engine.peer(&runs[1].0).is_some()
                    || world.is_cloned(&runs[1].0)
                    || world.blocks(a, &runs[1].0)
                {
                    continue;
                }
                let bound = bound(other, world.len() + world.passers(), loss);
                let apart = world.now().since(entry.0);
                if apart > bound {
                    let message = format!(
                        "does not know {}, whom it could hear for {:.0} s; {:.0} s are the bound",
                        world.name(b),
                        apart.as_secs_f64(),
                        bound.as_secs_f64()
                    );
                    return Err(Broken::on(a, message));
                }
            }
        }
        Ok(())
    }
}

/// How long it may take to hear a node: so many of its slowest intervals that all their beacons get lost by bad luck
/// only.
fn bound(speaker: &Engine, population: usize, loss: f64) -> Duration {
    let config = speaker.config();
    let tries = if loss > 0.0 { (BAD_LUCK / -loss.log10()).ceil().max(1.0) } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let tries = tries as u32;
    // A tenth later by jitter, and a tenth by clocks that run differently.
    // Whoever is gone counts until it expires.
    let population = population.max(speaker.peers().count() + 1);
    slowest(config, population) * (tries + 1) * 12 / 10 + SLACK
}

fn slowest(config: &Config, population: usize) -> Duration {
    let slowest = match config.cadence {
        Cadence::Constant { interval } => interval,
        Cadence::Sine { slowest, .. } => slowest,
        // It may stay silent for as long as others speak, but what is new begins anew with the fastest.
        Cadence::Trickle { slowest, .. } => slowest * 2,
        _ => SLOWEST,
    };
    let sated = if population > config.max_links { SATED } else { 1 };
    // Ten datagrams a second for all, six of which a beacon may be.
    let share = Duration::from_millis(population as u64 * 600);
    (slowest * sated).max(share).min(SLOWEST)
}
