//! Whom a node links with. With few peers: everybody. In a crowd, which is more peers than it may have links: its
//! neighbours on a ring, so that whoever knows the same peers is on one connected overlay, and some more drawn at random,
//! so that it stays connected when many fail at once. Whoever is needed, because something waits for them, comes on top.
//!
//! The ring is the order of the peer ids, which are random keys. The idea of few active links among many known peers is
//! HyParView's (Leitão, Pereira, Rodrigues, DSN 2007); its passive view is the table of peers.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::timers::TimerKey;
use crate::wire::DisconnectReason;

use super::Engine;
use super::peer::Peer;

/// Neighbours on each side of the ring.
const RING: usize = 2;

/// How far along the ring neighbours are looked for, past those that seem to be away.
const RING_WALK: usize = 64;

/// A peer that was dialled so often without an answer seems to be away, until it is heard.
const AWAY_AFTER: u32 = 4;

/// A beacon of this age still counts as heard.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// How often links are counted while some are missing or too many, and when all is well.
const TEND_SOON: Duration = Duration::from_secs(1);
const TEND_LATER: Duration = Duration::from_secs(10);

/// How often a peer that seems to be away is tried all the same: this is how a partition heals that no beacon tells of.
const TRY_AWAY_EVERY: Duration = Duration::from_secs(30);

/// A dial to a peer drawn at random is given up after so many tries, and another is drawn.
const TRIES: u32 = 2;

/// In a crowd dials to peers just heard are spread out, over a millisecond for each peer known and at most over this, so
/// that who starts together with many counts them before it dials.
const LONGEST_SPREAD: u64 = 250;

/// What a node knows of its place in a crowd.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Peers drawn at random that are being dialled. At most `active_links`, and one that seemed to be away.
    sought: BTreeSet<PeerId>,
    /// When a peer that seems to be away was last tried.
    tried_away: crate::Timestamp,
    /// Dials of all kinds: so many a second, and twice as many at once.
    dials: TokenBucket,
}

impl Overlay {
    pub(crate) fn new(max_links: usize) -> Self {
        let rate = u32::try_from(max_links).unwrap_or(u32::MAX).max(8);
        Overlay {
            sought: BTreeSet::new(),
            tried_away: crate::Timestamp::ZERO,
            dials: TokenBucket::new(rate.saturating_mul(2), rate),
        }
    }
}

impl Engine {
    /// Whether more peers are known than links are allowed.
    pub(super) fn is_crowd(&self) -> bool {
        self.peers.len() > self.config.max_links
    }

    /// How many links are enough. In a crowd some places stay free for newcomers.
    pub(super) fn enough_links(&self) -> usize {
        let max = self.config.max_links;
        if self.is_crowd() { self.config.active_links.min(max - max / 4) } else { max }
    }

    /// Whether a link to this peer is worth a dial.
    pub(super) fn is_sought(&self, peer: PeerId) -> bool {
        !self.is_crowd()
            || self.is_needed(peer)
            || self.overlay.sought.contains(&peer)
            || self.ring().contains(&peer)
    }

    /// Whether something waits for a link to this peer: texts, messages, or a content that it offered.
    fn is_needed(&self, peer: PeerId) -> bool {
        let Some(known) = self.peers.get(&peer) else { return false };
        let is_wanted = |content| self.transfers.get(content).is_some_and(|transfer| !transfer.is_over());
        !known.texts.outgoing.is_empty() || self.has_mail_for(&peer) || known.offers.keys().any(is_wanted)
    }

    /// The neighbours on the ring: on each side the nearest that do not seem to be away.
    fn ring(&self) -> Vec<PeerId> {
        let own = self.identity.peer_id();
        let after = (Bound::Excluded(own), Bound::Unbounded);
        let before = (Bound::Unbounded, Bound::Excluded(own));
        let upwards = self.peers.range(after).chain(self.peers.range(before)).take(RING_WALK);
        let downwards = self.peers.range(before).rev().chain(self.peers.range(after).rev()).take(RING_WALK);
        let near =
            |(id, peer): (&PeerId, &Peer)| (!self.seems_away(peer) && self.may_link(id, peer)).then_some(*id);
        upwards.filter_map(near).take(RING).chain(downwards.filter_map(near).take(RING)).collect()
    }

    fn seems_away(&self, peer: &Peer) -> bool {
        let heard = peer.heard.iter().any(|heard| self.now.since(heard.at) < HEARD_WITHIN);
        peer.link.is_none() && peer.redial.tries >= AWAY_AFTER && !heard
    }

    /// Whether a link to this peer could last: who is not let in, or lets us not in for now, is no neighbour.
    fn may_link(&self, id: &PeerId, peer: &Peer) -> bool {
        self.config.trust.allows(id) && (peer.link.is_some() || peer.rejected_until <= self.now)
    }

    /// Whether one more dial may begin now, whoever it is for.
    pub(super) fn may_dial(&mut self) -> bool {
        self.overlay.dials.take(self.now, 1)
    }

    #[cfg(feature = "marks")]
    pub(super) fn table_of_sought(&self) -> super::Table {
        ("peers sought", self.overlay.sought.len(), self.config.active_links + 1)
    }

    /// How long a dial to a peer just heard waits, so that who starts in a crowd does not dial all of it.
    pub(super) fn spread(&mut self) -> Duration {
        let most = (self.peers.len() as u64).saturating_sub(1).min(LONGEST_SPREAD);
        self.behaviour.between(Duration::ZERO, Duration::from_millis(most))
    }

    /// A link was lost or peers became known: soon it is seen to that there are enough links and not too many.
    pub(super) fn tend_soon(&mut self) {
        if self.is_crowd() && self.leaving.is_none() {
            let delay = self.behaviour.between(Duration::from_millis(5), Duration::from_millis(50));
            self.timers.set_earlier(TimerKey::Tend, self.now + delay);
        }
    }

    /// Sees to it that there are enough links, to the right peers, and not too many.
    pub(super) fn tend_due(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        if !self.is_crowd() {
            // Many were never there, or are forgotten: everybody is worth a dial again, and nothing else may tell of them.
            mark!(self, CrowdOver);
            self.overlay.sought.clear();
            self.redial_everyone();
            return;
        }
        self.seek();
        let spare = self.config.max_links / 4;
        // Not yet where a few peers more or less make it a crowd or none.
        let is_large = self.peers.len() > self.config.max_links + spare;
        let trimmed = is_large && self.connected > self.config.max_links - spare && self.trim();
        let all_well = self.connected >= self.enough_links() && !trimmed;
        self.set_timer(TimerKey::Tend, if all_well { TEND_LATER } else { TEND_SOON });
    }

    /// Dials the neighbours on the ring, and as many others as links are missing.
    fn seek(&mut self) {
        let (peers, now) = (&self.peers, self.now);
        // Who is full or parted from us on purpose is of no use for now, and others are.
        let goes_on = |peer: &Peer| {
            let parted = peer.redial.hold_until > now || peer.rejected_until > now;
            peer.link.is_none() && peer.redial.tries < TRIES && !parted
        };
        self.overlay.sought.retain(|id| peers.get(id).is_some_and(goes_on));
        for peer in self.ring() {
            self.consider_dial(peer, Duration::ZERO);
        }
        let missing = self.enough_links().saturating_sub(self.connected + self.overlay.sought.len());
        for _ in 0..missing {
            if let Some(peer) = self.draw_peer(false) {
                self.seek_peer(peer);
            }
        }
        if self.now.since(self.overlay.tried_away) >= TRY_AWAY_EVERY {
            self.overlay.tried_away = self.now;
            if let Some(peer) = self.draw_peer(true) {
                mark!(self, AwayTried);
                self.seek_peer(peer);
            }
        }
    }

    fn seek_peer(&mut self, peer: PeerId) {
        mark!(self, PeerSought);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.redial.tries = 0;
        }
        self.overlay.sought.insert(peer);
        self.consider_dial(peer, Duration::ZERO);
    }

    /// A peer without a link drawn at random: of those that seem to be away, or of the others.
    fn draw_peer(&mut self, away: bool) -> Option<PeerId> {
        let from = PeerId::from_bytes(self.behaviour.seed());
        let later = self.peers.range((Bound::Included(from), Bound::Unbounded));
        let earlier = self.peers.range((Bound::Unbounded, Bound::Excluded(from)));
        let mut walk = later.chain(earlier).take(2 * RING_WALK);
        let suits = |id: &PeerId, peer: &Peer| {
            peer.link.is_none()
                && peer.redial.hold_until <= self.now
                && self.seems_away(peer) == away
                && !self.overlay.sought.contains(id)
                && self.may_link(id, peer)
        };
        walk.find(|(id, peer)| suits(id, peer)).map(|(&id, _)| id)
    }

    /// Whether there is a place for a link to this peer: a free one, or, for one that is needed, one made free.
    pub(super) fn has_place_for(&mut self, peer: PeerId) -> bool {
        self.connected < self.config.max_links
            || (self.is_crowd() && (self.is_needed(peer) || self.ring().contains(&peer)) && self.trim())
    }

    /// A peer gave up our link because it has more than it needs. It is not dialled for a while, unless it is needed
    /// here, or too few are left.
    pub(super) fn trimmed_by(&mut self, peer: PeerId) {
        if !self.is_needed(peer) && self.connected > 2 * RING {
            self.hold_off(peer);
        }
    }

    /// Something begins to wait for a link to this peer. That theirs was given up while nothing did is no reason to wait.
    pub(super) fn need_link(&mut self, peer: PeerId) {
        let now = self.now;
        if let Some(known) = self.peers.get_mut(&peer).filter(|known| known.link.is_none()) {
            if known.last_leave.0 == LeaveReason::Trimmed {
                known.redial.hold_until = now;
            }
            self.consider_dial(peer, Duration::ZERO);
        }
    }

    /// Gives up the link that is of the least use; says whether there was one to spare. The neighbours on the ring are
    /// never given up, so it is never the last way to anybody.
    fn trim(&mut self) -> bool {
        let ring = self.ring();
        let busy = |id: &PeerId, peer: &Peer| {
            let link = peer.link.and_then(|link| self.links.get(&link));
            ring.contains(id) || self.is_needed(*id) || link.is_some_and(|link| !link.queue.is_idle())
        };
        let spare = self.peers.iter().filter(|(id, peer)| peer.link.is_some() && !busy(id, peer));
        let (trusted, others): (Vec<_>, Vec<_>) = spare.partition(|(_, peer)| peer.is_trusted());
        // Any of them: the newest would always be the newcomer, who needs it most.
        let least: Vec<PeerId> =
            if others.is_empty() { trusted } else { others }.iter().map(|(id, _)| **id).collect();
        let drawn = self.behaviour.below((least.len() as u64).max(1));
        let Some(&peer) = usize::try_from(drawn).ok().and_then(|drawn| least.get(drawn)) else {
            return false;
        };
        mark!(self, LinkTrimmed);
        self.stats.links_trimmed += 1;
        self.hold_off(peer);
        self.part_from(peer, DisconnectReason::Trimmed, LeaveReason::Trimmed);
        true
    }
}
