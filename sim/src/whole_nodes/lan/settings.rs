//! How a simulated LAN is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::Config;

use super::Application;
use crate::whole_nodes::faults::FaultProfile;

/// Changes the configuration of a node.
type Configure = Arc<dyn Fn(usize, &mut Config) + Send + Sync>;

/// How a simulated LAN is made. The defaults: two nodes that start in the same instant, 1 to 3 ms of latency, no
/// faults, everything offered is taken.
#[derive(Clone)]
pub struct Settings {
    pub(super) nodes: usize,
    pub(super) latency: (Duration, Duration),
    pub(super) faults: FaultProfile,
    pub(super) multicast: bool,
    pub(super) take_offers: bool,
    pub(super) configure: Configure,
    /// What nodes are called and do, if not all the same.
    pub(super) named: Vec<(String, Application)>,
    /// Whether nothing runs before it is started.
    pub(super) all_off: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            nodes: 2,
            latency: (Duration::from_millis(1), Duration::from_millis(3)),
            faults: FaultProfile::none(),
            multicast: true,
            take_offers: true,
            configure: Arc::new(|_, _| {}),
            named: Vec::new(),
            all_off: false,
        }
    }
}

impl Settings {
    /// How many nodes there are: 1 to 26, called `a`, `b`, `c`...
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// The least and the most time that a message is under way. turmoil moves in steps of a millisecond.
    #[must_use]
    pub fn latency(mut self, least: Duration, most: Duration) -> Self {
        self.latency = (least, most.max(least));
        self
    }

    /// What goes wrong on every host from the start.
    #[must_use]
    pub fn faults(mut self, faults: FaultProfile) -> Self {
        self.faults = faults;
        self
    }

    /// Changes what goes wrong.
    #[must_use]
    pub fn change_faults(mut self, change: impl FnOnce(FaultProfile) -> FaultProfile) -> Self {
        self.faults = change(self.faults);
        self
    }

    /// Whether beacons can be multicast. If not, only broadcasts are left.
    #[must_use]
    pub fn multicast(mut self, multicast: bool) -> Self {
        self.multicast = multicast;
        self
    }

    /// Whether nodes fetch whatever trusted peers offer.
    #[must_use]
    pub fn take_offers(mut self, take_offers: bool) -> Self {
        self.take_offers = take_offers;
        self
    }

    /// These nodes, by name and with what their applications do, none of which runs before
    /// [`Lan::restart`](super::Lan::restart) starts it.
    pub(crate) fn named(mut self, nodes: Vec<(String, Application)>) -> Self {
        (self.nodes, self.named, self.all_off) = (nodes.len(), nodes, true);
        self
    }

    pub(super) fn name(&self, i: u8) -> Option<&String> {
        self.named.get(usize::from(i)).map(|(name, _)| name)
    }

    pub(super) fn application(&self, i: usize) -> Application {
        let usual = || Application { takes_offers: self.take_offers, ..Application::default() };
        self.named.get(i).map_or_else(usual, |(_, application)| application.clone())
    }

    /// Changes the configuration of node `i`, before each of its starts.
    #[must_use]
    pub fn config(mut self, configure: impl Fn(usize, &mut Config) + Send + Sync + 'static) -> Self {
        self.configure = Arc::new(configure);
        self
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("nodes", &self.nodes)
            .field("latency", &self.latency)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}
