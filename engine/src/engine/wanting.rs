//! Takes the offers that the application wants without being asked.

use alloc::vec::Vec;

use crate::content::ContentId;
use crate::identity::PeerId;
use crate::offers::OfferPolicy;

use super::Engine;
use super::contents::FetchError;

impl Engine {
    /// Says which offers are taken without a question, from now on and of those that are there and neither taken nor
    /// declined. What is being fetched goes on.
    pub fn set_offer_policy(&mut self, now: crate::Timestamp, policy: OfferPolicy) {
        self.advance(now);
        self.config.offers = policy;
        self.take_offers();
        self.pump_links();
    }

    /// Takes one offer if it is wanted. What failed after it was taken is not taken again by itself, or that would never
    /// end.
    pub(super) fn take_offer(&mut self, peer: PeerId, content: ContentId) {
        let Some(offer) = self.peers.get(&peer).and_then(|known| known.offers.get(&content)) else { return };
        let is_open = offer.live && !offer.declined && !offer.taken;
        if !is_open || self.leaving.is_some() || !self.config.offers.takes(&peer, &offer.manifest) {
            return;
        }
        match self.begin_fetch(content) {
            Ok(()) => {
                if let Some(offer) =
                    self.peers.get_mut(&peer).and_then(|known| known.offers.get_mut(&content))
                {
                    offer.taken = true;
                }
            }
            Err(FetchError::Full) => self.offers_wait = true,
            Err(_) => {}
        }
    }

    /// Takes the offers that are there and wanted, as far as there is a place for them.
    pub(super) fn take_offers(&mut self) {
        self.offers_wait = false;
        if self.config.offers == OfferPolicy::Ask {
            return;
        }
        let offers = self
            .peers
            .iter()
            .flat_map(|(&peer, known)| known.offers.keys().map(move |&content| (peer, content)));
        for (peer, content) in offers.collect::<Vec<_>>() {
            let is_here = self.completed.contains(&content) || self.published.contains_key(&content);
            if !is_here {
                self.take_offer(peer, content);
            }
            if self.offers_wait {
                return;
            }
        }
    }
}
