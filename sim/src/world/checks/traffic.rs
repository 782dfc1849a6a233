//! Datagrams stay within a budget, whatever is received.

use std::collections::BTreeMap;

use p2pnet_engine::Cadence;

use super::{Broken, Check, Seen};
use crate::world::World;

/// Replies a second (engine/discovery.rs: 4 at once, 40 a second; deferred ones 50 a second at most).
const REPLIES: u64 = 44;
/// A beacon has this many copies for each network: two broadcasts, two multicasts, and in a burst two more broadcasts
/// to 255.255.255.255.
const COPIES: u64 = 4;
const THOROUGH: u64 = 6;
/// A call to where a peer was met, on two ports.
const CALL: u64 = 2;
/// Peers that are remembered (engine/discovery/seeking.rs).
const REMEMBERED: usize = 64;
/// Peers that are asked to dial, a second (engine/discovery.rs).
const ASKS: u64 = 4;
/// Probes of one peer that is silent, a second, and answers to its probes (engine/watch.rs).
const PULSES: u64 = 8;
/// Beacons of the burst that begins at every change of the network.
const BURST: u64 = 3;
/// What may happen in a second for each node, several times what the busiest healthy run needs: an echo never ends.
const HAPPENINGS: u64 = 10_000;
/// And what each may hear of every other in the second in which all start: three beacons by every rung, and replies.
const HEARD_OF_EACH: u64 = 50;

/// What each node has sent, and how often it jumped above a record of its own.
type Totals = BTreeMap<usize, (u64, u64)>;

/// What each node had sent a second ago, and when the quiet window began.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sent: BTreeMap<usize, (u64, u64)>,
    /// Also the incarnation jumps of each node: each begins with a beacon.
    quiet: Option<(f64, Totals)>,
    happened: u64,
}

impl Check for Traffic {
    fn id(&self) -> &'static str {
        "traffic"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::Second => {
                self.happened = world.happenings();
                self.look(world)
            }
            Seen::Turn { .. } => self.no_echo(world),
            Seen::QuietBegins => {
                let begins = (0..world.len()).map(|node| (node, totals(world, node))).collect();
                self.quiet = Some((world.elapsed().as_secs_f64(), begins));
                Ok(())
            }
            Seen::QuietEnds => self.look_back(world),
            _ => Ok(()),
        }
    }
}

/// What a node has sent, and how often it jumped above a record of its own.
fn totals(world: &World, node: usize) -> (u64, u64) {
    let jumps = world.engine(node).map_or(0, |engine| engine.stats().incarnation_jumps);
    (world.datagrams_sent(node), jumps)
}

impl Traffic {
    /// Nothing goes round without end.
    fn no_echo(&self, world: &World) -> Result<(), Broken> {
        let happened = world.happenings() - self.happened;
        // What an adversary makes up is told to everybody whom it has made up before.
        let attacked = 1 + 2 * world.plan().adversary.len() as u64;
        let nodes = world.len() as u64;
        let most = nodes * (HAPPENINGS + HEARD_OF_EACH * nodes) * attacked;
        if happened > most {
            let message = format!("more than {most} things happened in a second");
            return Err(Broken { node: None, message });
        }
        Ok(())
    }

    /// No second is full of replies, and none of anything else.
    fn look(&mut self, world: &World) -> Result<(), Broken> {
        for node in 0..world.len() {
            if world.strays(node) > 0 {
                return Err(Broken::on(node, "sends or dials beyond the networks that it is in".to_owned()));
            }
            let now = (world.starts(node), world.datagrams_sent(node));
            let before = self.sent.insert(node, now).filter(|before| before.0 == now.0);
            let sent = now.1 - before.map_or(0, |(_, sent)| sent).min(now.1);
            // A burst, and deferred replies of which each is a broadcast; a change of address begins a new burst.
            let networks = world.networks_of(node);
            let met = (world.len() + world.made_up()).min(REMEMBERED.max(world.len()));
            let calls = (BURST * CALL + PULSES) * met as u64;
            let budget = REPLIES + networks * (THOROUGH * BURST * 4 + COPIES * 50) + calls;
            if sent > budget {
                return Err(Broken::on(node, format!("{sent} datagrams in a second, {budget} at most")));
            }
        }
        Ok(())
    }

    /// In the quiet window nobody of the core sent anything but its beacons.
    fn look_back(&mut self, world: &World) -> Result<(), Broken> {
        let Some((began, before)) = self.quiet.take() else { return Ok(()) };
        for node in (0..world.len()).filter(|&node| world.plan().is_core(node)) {
            let Some(engine) = world.engine(node) else { continue };
            let (Some(then), now) = (before.get(&node), totals(world, node)) else { continue };
            let fastest = match engine.config().cadence {
                Cadence::Constant { interval } => interval,
                Cadence::Sine { fastest, .. } | Cadence::Trickle { fastest, .. } => fastest,
                _ => return Ok(()),
            };
            let window = world.elapsed().as_secs_f64() - began;
            // A tenth faster by jitter and a tenth by a wrong clock; one at either end.
            let beacons = (window / fastest.as_secs_f64() * 1.25) as u64 + 2 + (now.1 - then.1.min(now.1));
            // Who left without a word is called where it was, and asked to dial while it is still fresh.
            let missing = (0..world.len()).filter(|&other| !world.plan().is_core(other)).count() as u64;
            // Who hears datagrams and no streams is probed as long as it answers.
            let seconds = window as u64 + 1;
            let called = if missing > 0 { beacons * CALL } else { 0 } + (ASKS + PULSES * missing) * seconds;
            let budget = beacons * COPIES * world.networks_of(node) + called;
            let sent = now.0.saturating_sub(then.0);
            if sent > budget {
                let message = format!("{sent} datagrams in the quiet window, {budget} at most");
                return Err(Broken::on(node, message));
            }
        }
        Ok(())
    }
}
