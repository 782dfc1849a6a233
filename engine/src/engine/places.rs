//! Who makes room when all places for links are taken: one address that holds many must not keep out the others.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use crate::event::LeaveReason;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::wire::DisconnectReason;

use super::Engine;

/// So many more places than the newcomer's address must another hold before it gives one away: with less the two would
/// only change places.
const SURPLUS: usize = 2;

impl Engine {
    /// Whether a link to a peer would find a place that can be taken back.
    pub(super) fn could_have_place(&self, peer: PeerId) -> bool {
        let address = self.peers.get(&peer).and_then(|known| self.peer_address(known));
        address.is_some_and(|address| self.crowder(address.ip()).is_some())
    }

    /// Takes a place back for a newcomer's link, from whoever holds the most by one address; says whether there was one.
    pub(super) fn take_place_back(&mut self, id: LinkId) -> bool {
        let Some(newcomer) = self.links.get(&id).map(|link| link.address.ip()) else { return false };
        let Some(peer) = self.crowder(newcomer) else { return false };
        mark!(self, PlaceTakenBack);
        self.hold_off(peer);
        self.part_from(peer, DisconnectReason::Full, LeaveReason::Closed);
        true
    }

    /// Of the address with the most links, if it has more than `newcomer` by a margin: the one linked longest that is not
    /// verified, or that is.
    fn crowder(&self, newcomer: IpAddr) -> Option<PeerId> {
        let used = self.peers.iter().filter_map(|(&id, peer)| {
            let link = self.links.get(&peer.link?)?;
            Some((link.address.ip(), (peer.ours, peer.linked_at, id)))
        });
        let mut by_address = BTreeMap::new();
        for (address, candidate) in used {
            let (count, first) = by_address.entry(address).or_insert((0, candidate));
            *count += 1;
            *first = candidate.min(*first);
        }
        let own = by_address.get(&newcomer).map_or(0, |&(count, _)| count);
        let (most, (.., peer)) = by_address.into_values().max_by_key(|&(count, _)| count)?;
        (most >= own + SURPLUS).then_some(peer)
    }
}
