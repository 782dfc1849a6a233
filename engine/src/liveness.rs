//! How a peer is, and how we know. The words are those of SWIM (Das, Gupta, Motivala 2002) and Lifeguard (Dadgar,
//! Phillips, Currey 2018).

use alloc::vec::Vec;
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::{InterfaceId, LinkId};
use crate::ladder::Rung;

/// How a peer is that we are, or were, connected to.
///
/// Any byte on a link, and any answer to a sealed probe, is a sign of life. Only silence makes a peer quiet, suspect or
/// lost, and only our own: what others say of a peer can keep it alive and never makes it lost. The times are those of
/// [`Config::lost_after`](crate::Config::lost_after), longer while this node doubts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Liveness {
    /// It is heard on its link.
    Alive,
    /// Its link is silent for half of `lost_after` in spite of pings, or broke; it is asked by datagrams, and as long as
    /// it answers those, it lives.
    Quiet,
    /// It has given no sign of life for five eighths of `lost_after`: others are asked whether they hear it.
    Suspect,
    /// Nobody has heard it for `lost_after`.
    Lost,
    /// It said goodbye for good.
    Left,
    /// A newer run of it has taken its place.
    Replaced,
    /// Of this node itself ([`Engine::liveness`](crate::Engine::liveness)): another run under the same key has taken its
    /// place.
    Superseded,
}

impl Liveness {
    /// One word for programs and traces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Liveness::Alive => "alive",
            Liveness::Quiet => "quiet",
            Liveness::Suspect => "suspect",
            Liveness::Lost => "lost",
            Liveness::Left => "left",
            Liveness::Replaced => "replaced",
            Liveness::Superseded => "superseded",
        }
    }
}

/// What a [`Liveness`] is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// The way by which the peer was heard last.
    pub heard_by: HeardBy,
    /// How long before the conclusion that was. Of a way that proves only that it lived when it was asked, the time since
    /// the question.
    pub silent_for: Duration,
    /// Probes that were sent since and were not answered.
    pub unanswered: u32,
    /// Who said since it fell silent that they hear it, at most [`Evidence::MAX_VOUCHERS`].
    pub vouched_by: Vec<PeerId>,
    /// Whose word it is.
    pub declared_by: Declarer,
}

impl Evidence {
    /// How many others are asked at a time, and named.
    pub const MAX_VOUCHERS: usize = 3;
}

/// By which way a peer was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeardBy {
    /// On this link of it.
    Link(LinkId),
    /// By a datagram that only this peer can have made.
    Rung {
        /// The interface.
        interface: InterfaceId,
        /// The rung.
        rung: Rung,
    },
    /// Not by us: this peer said that it hears it.
    Peer(PeerId),
}

/// Who concluded how a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declarer {
    /// We, from what we hear.
    Us,
    /// The peer itself, under its own key.
    Subject,
}
