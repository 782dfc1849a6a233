//! Where a search begins, what may happen, and how often.

use p2pnet_engine::Bug;

/// Where a search begins. Unless nothing has happened, the first steps of later dials take no time either: orders in
/// which something comes between them are left to searches from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Nothing has happened.
    Apart,
    /// Everyone was told by hand to dial as the scenario says. All dials were accepted; the answers that prove who
    /// accepted are under way.
    Dialled,
    /// The same, but they dial because they heard each other's beacons.
    Heard,
}

/// What may happen, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub nodes: usize,
    pub begin: Begin,
    /// Who dials whom: by hand, at any moment, once in each run of the dialler, unless they begin by that.
    pub dials: Vec<(usize, usize)>,
    pub cuts: usize,
    pub parts: usize,
    pub crashes: usize,
    pub timers: usize,
    /// If not zero, applications take events only so often, and when all is well again.
    pub looks: usize,
    /// What is wrong with every engine.
    pub bug: Option<Bug>,
}

impl Scenario {
    /// Two nodes that dial each other.
    pub(crate) fn pair(begin: Begin) -> Self {
        Scenario {
            nodes: 2,
            begin,
            dials: vec![(0, 1), (1, 0)],
            cuts: 0,
            parts: 0,
            crashes: 0,
            timers: 0,
            looks: 0,
            bug: None,
        }
    }

    /// Whether nothing happens by which a link may be lost.
    pub(super) fn is_faultless(&self) -> bool {
        self.cuts + self.parts + self.crashes + self.timers == 0
    }
}
