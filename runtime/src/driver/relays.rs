//! Relays: by which of them peers beyond the router reach this node, and whom all of them let through.

use std::net::{IpAddr, SocketAddr};

use p2pnet_engine::{Engine, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::event::Event;

/// Addresses that are let through: as many as a client of a relay keeps. Beyond it the one asked for longest ago goes.
const MAX_PERMITTED: usize = 64;

/// How a relay does.
#[derive(Debug)]
#[cfg_attr(not(feature = "relay"), expect(dead_code, reason = "nobody else keeps relays"))]
pub(crate) enum RelayState {
    /// It takes connections for this node at that address.
    Up(SocketAddr),
    /// It does not, or no more; why.
    Down(String),
    /// It goes on, and sees this node come from there.
    Observed(SocketAddr),
}

/// What became of a relay.
#[derive(Debug)]
pub(crate) struct RelayNews {
    pub(crate) relay: usize,
    pub(crate) state: RelayState,
}

/// The relays of a node, in the order in which they are preferred.
pub(crate) struct Relays {
    known: Vec<Known>,
    /// The one that is told to others.
    current: Option<usize>,
    permitted: watch::Sender<Vec<IpAddr>>,
    keepers: JoinSet<()>,
}

struct Known {
    name: String,
    /// `None` until it was reached or has failed.
    state: Option<RelayState>,
    /// The failure that the application was told last.
    told: Option<String>,
}

impl Relays {
    /// Relays of these names; `keep` starts what keeps each, which gets the addresses to let through.
    pub(crate) fn new(
        names: Vec<String>,
        mut keep: impl FnMut(usize, watch::Receiver<Vec<IpAddr>>, &mut JoinSet<()>),
    ) -> Relays {
        let permitted = watch::Sender::new(Vec::new());
        let mut keepers = JoinSet::new();
        for number in 0..names.len() {
            keep(number, permitted.subscribe(), &mut keepers);
        }
        let known = names.into_iter().map(|name| Known { name, state: None, told: None }).collect();
        Relays { known, current: None, permitted, keepers }
    }

    /// Has all relays let an address through.
    pub(super) fn permit(&mut self, address: IpAddr) {
        self.permitted.send_if_modified(|permitted| {
            let before = permitted.len();
            permitted.retain(|held| *held != address);
            let is_news = permitted.len() == before;
            permitted.push(address);
            if permitted.len() > MAX_PERMITTED {
                permitted.remove(0);
            }
            is_news
        });
    }

    /// Takes what became of a relay, and tells the engine if that changes where this node is reached. Gives what the
    /// application should hear.
    pub(super) fn take(&mut self, news: RelayNews, engine: &mut Engine, now: Timestamp) -> Vec<Event> {
        let Some(known) = self.known.get_mut(news.relay) else { return Vec::new() };
        let mut events = Vec::new();
        match &news.state {
            RelayState::Observed(address) => {
                return vec![Event::Observed { relay: known.name.clone(), address: *address }];
            }
            RelayState::Up(_) => known.told = None,
            RelayState::Down(why) => {
                if known.told.replace(why.clone()).as_ref() != Some(why) {
                    events.push(Event::RelayFailed { relay: known.name.clone(), why: why.clone() });
                }
            }
        }
        let before = self.relayed();
        if let Some(known) = self.known.get_mut(news.relay) {
            known.state = Some(news.state);
        }
        if self.relayed().is_none() {
            self.current = self.best();
        }
        let after = self.relayed();
        if before != after {
            engine.handle_relay(now, after.as_ref().map(|(_, address)| *address));
            if let Some((relay, address)) = after {
                events.push(Event::Relayed { relay, address });
            }
        }
        events
    }

    /// The first that is up, unless one before it was not heard of yet.
    fn best(&self) -> Option<usize> {
        let undecided_or_up =
            self.known.iter().position(|known| !matches!(known.state, Some(RelayState::Down(_))))?;
        self.known.get(undecided_or_up)?.state.is_some().then_some(undecided_or_up)
    }

    /// The relay that is told to others, and the address there.
    fn relayed(&self) -> Option<(String, SocketAddr)> {
        let known = self.known.get(self.current?)?;
        match &known.state {
            Some(RelayState::Up(address)) => Some((known.name.clone(), *address)),
            _ => None,
        }
    }

    /// Gives all allocations up and waits until that is said.
    pub(super) async fn stop(&mut self) {
        self.permitted = watch::Sender::new(Vec::new());
        while self.keepers.join_next().await.is_some() {}
    }
}
