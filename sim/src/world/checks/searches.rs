//! Searches stay where they were sent, and nobody is found who did not ask for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::ScanPlan;

use super::{Broken, Check, Seen};
use crate::world::World;
use crate::world::wide::are_neighbours;

/// The flags of beacons (engine/wire/beacon.rs): what a search sends, what is an answer, what has a pulse.
const SEARCH: u8 = 1 | 4;
const REPLY: u8 = 2;
const PULSE: u8 = 128;

#[derive(Debug, Default)]
pub(super) struct Searches {
    /// What each node searches in this run.
    under_way: BTreeMap<usize, Search>,
    /// From where which address was searched.
    asked: BTreeSet<(SocketAddr, IpAddr)>,
}

#[derive(Debug)]
struct Search {
    plan: ScanPlan,
    sent: u64,
    /// When datagrams went out in the last second.
    lately: VecDeque<Duration>,
}

impl Check for Searches {
    fn id(&self) -> &'static str {
        "searches"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::Started { node } => {
                self.under_way.remove(&node);
            }
            Seen::Searches { node, index } => {
                if let Ok(plan) = world.plan().search[index].scan() {
                    self.under_way.insert(node, Search { plan, sent: 0, lately: VecDeque::new() });
                }
            }
            Seen::SentAfar { node, source, destination, flags } => {
                return self.sent(world, node, [source, destination], flags);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Searches {
    fn sent(
        &mut self,
        world: &World,
        node: usize,
        [source, destination]: [SocketAddr; 2],
        flags: u8,
    ) -> Result<(), Broken> {
        let broken = |message: &str| Err(Broken::on(node, message.to_owned()));
        if flags == SEARCH
            && let Some(search) = self.under_way.get_mut(&node)
            && search.plan.port == destination.port()
        {
            self.asked.insert((source, destination.ip()));
            let sent = search.sends(world.elapsed(), destination.ip());
            return sent.map_err(|message| Broken::on(node, message));
        }
        if are_neighbours(source.ip(), destination.ip()) || flags & PULSE != 0 {
            return Ok(());
        }
        if flags != REPLY {
            return broken("sends a beacon beyond its LANs that is no answer and of no search");
        }
        if !self.asked.contains(&(destination, source.ip())) {
            return broken("answers one that did not search for it");
        }
        if !world.plan().node[node].answers_searches {
            return broken("answers a search, and never asked to be found");
        }
        Ok(())
    }
}

impl Search {
    fn sends(&mut self, now: Duration, to: IpAddr) -> Result<(), String> {
        let inside = matches!(to, IpAddr::V6(ip) if self.plan.allows(ip));
        if !inside {
            return Err(format!("a search sends to {to}, outside of {}", self.plan.prefixes[0]));
        }
        self.sent += 1;
        if self.sent > self.plan.total {
            return Err(format!("a search sends more than the {} datagrams it may", self.plan.total));
        }
        let old = |at: &Duration| now.saturating_sub(*at) >= Duration::from_secs(1);
        while self.lately.front().is_some_and(old) {
            self.lately.pop_front();
        }
        self.lately.push_back(now);
        if self.lately.len() > self.plan.per_second as usize {
            return Err(format!("a search sends more than {} datagrams in a second", self.plan.per_second));
        }
        Ok(())
    }
}
