//! Content: what we serve and to whom it came, what others offer, and the commands for both.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::content::{BlockList, BlockRef, ContentId, Manifest};
use crate::event::Event;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::wire::{Frame, VALUES_PER_PART};

use super::Engine;
use super::outputs::Slot;
use super::peer::{Offer, Peer};

/// Content that this node serves.
#[derive(Debug)]
pub(crate) struct Published {
    pub(super) manifest: Manifest,
    pub(super) list: BlockList,
    /// Whom it is for; everybody if there is nothing. At most `max_peers`.
    pub(super) audience: Option<BTreeSet<PeerId>>,
    /// Whether it is offered. What was fetched is not, unless the application wishes it: it is served to those who fetch
    /// it as well.
    pub(super) offered: bool,
    /// Who fetches it, as far as others are told. At most [`MAX_TAKERS`](super::takers::MAX_TAKERS).
    pub(super) takers: BTreeSet<PeerId>,
    /// What each peer answered, and whether the application has been told. At most `max_peers`.
    deliveries: BTreeMap<PeerId, (Answer, bool)>,
}

impl Published {
    /// Content that is served from now on; offered unless it was fetched.
    pub(super) fn new(
        manifest: Manifest,
        list: BlockList,
        audience: Option<BTreeSet<PeerId>>,
        offered: bool,
    ) -> Self {
        Published { manifest, list, audience, offered, takers: BTreeSet::new(), deliveries: BTreeMap::new() }
    }

    pub(super) fn is_for(&self, peer: &PeerId) -> bool {
        self.audience.as_ref().is_none_or(|audience| audience.contains(peer))
    }
}

/// What a peer made of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Complete,
    Declined,
    NoRoom,
    Paused,
    /// It goes on, after a pause.
    Resumed,
}

/// How far a transfer has come.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// What.
    pub manifest: &'a Manifest,
    /// Blocks that are in the store.
    pub written: u32,
    /// Blocks in all.
    pub blocks: u32,
    /// Bytes of blocks that came over links, wrong ones included.
    pub fetched_bytes: u64,
    /// Whom it comes from now: those who offer it, and those who fetch it as well and have something that is missing.
    pub sources: Vec<PeerId>,
    /// Whether the application has paused it.
    pub paused: bool,
}

/// Why content is not published. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The name is too long or has control characters, or the content is larger than one list can prove.
    #[error(
        "the manifest is not valid: a name of at most 255 bytes without control characters, 64 GiB at most"
    )]
    Manifest,
    /// The list of chaining values does not belong to the content.
    #[error("the block list does not prove the content")]
    List,
    /// As many contents are published as the configuration allows.
    #[error("too many contents are published already")]
    Full,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

/// Why content is not fetched. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No peer offers it.
    #[error("no peer offers this content")]
    NotOffered,
    /// As many contents are being fetched as the configuration allows.
    #[error("too many contents are being fetched already")]
    Full,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

impl Engine {
    // ---- Publishing ----

    /// Serves content to every trusted peer that wants it. The driver's store must be able to read its blocks from
    /// now on. Publishing the same content again changes nothing.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]; nothing changed.
    pub fn publish(
        &mut self,
        now: crate::Timestamp,
        manifest: Manifest,
        list: BlockList,
    ) -> Result<(), PublishError> {
        self.publish_for(now, manifest, list, None)
    }

    /// Like [`publish`](Engine::publish), for nobody yet: [`offer_to`](Engine::offer_to) says for whom. Others neither
    /// hear of the content nor get it. What is already published for everybody stays so.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]; nothing changed.
    pub fn publish_privately(
        &mut self,
        now: crate::Timestamp,
        manifest: Manifest,
        list: BlockList,
    ) -> Result<(), PublishError> {
        self.publish_for(now, manifest, list, Some(BTreeSet::new()))
    }

    /// Adds a peer to those that privately published content is for, now and whenever it is trusted. Nothing happens
    /// if it is one of them already. Says whether it now is: not if the content is not published, or for `max_peers`
    /// peers already.
    pub fn offer_to(&mut self, now: crate::Timestamp, content: ContentId, peer: PeerId) -> bool {
        self.advance(now);
        let Some(published) = self.published.get_mut(&content) else { return false };
        let known = |audience: &&mut BTreeSet<PeerId>| published.offered && audience.contains(&peer);
        let Some(audience) = published.audience.as_mut().filter(|audience| !known(audience)) else {
            return true;
        };
        if audience.len() >= self.config.max_peers {
            return false;
        }
        audience.insert(peer);
        published.offered = true;
        let offer = Frame::Offer(published.manifest.clone());
        if self.peers.get(&peer).is_some_and(|known| known.is_trusted()) {
            self.send_to_peer(peer, &offer);
        }
        self.pump_links();
        true
    }

    fn publish_for(
        &mut self,
        now: crate::Timestamp,
        manifest: Manifest,
        list: BlockList,
        audience: Option<BTreeSet<PeerId>>,
    ) -> Result<(), PublishError> {
        self.advance(now);
        if self.leaving.is_some() {
            return Err(PublishError::Leaving);
        }
        if manifest.validate().is_err() {
            return Err(PublishError::Manifest);
        }
        if !list.proves(&manifest.content) {
            return Err(PublishError::List);
        }
        let content = manifest.content;
        if let Some(published) = self.published.get_mut(&content) {
            if audience.is_some() || published.audience.is_none() {
                return Ok(());
            }
            (published.audience, published.offered) = (None, true);
            self.send_to_trusted(|published| Frame::Offer(published.manifest.clone()), content);
            self.pump_links();
            return Ok(());
        }
        if self.published.len() >= self.config.max_contents && !self.stop_serving_oldest() {
            return Err(PublishError::Full);
        }
        self.published.insert(content, Published::new(manifest, list, audience, true));
        self.send_to_trusted(|published| Frame::Offer(published.manifest.clone()), content);
        self.pump_links();
        Ok(())
    }

    /// Stops serving content. Nothing happens if it was not published.
    pub fn withdraw(&mut self, now: crate::Timestamp, content: ContentId) {
        self.advance(now);
        self.stop_serving(content);
        self.pump_links();
    }

    pub(super) fn send_to_trusted(&mut self, frame: impl Fn(&Published) -> Frame, content: ContentId) {
        let Some(published) = self.published.get(&content) else { return };
        let frame = frame(published);
        let meant = |(id, known): &(&PeerId, &Peer)| known.is_trusted() && published.is_for(id);
        let trusted: Vec<PeerId> = self.peers.iter().filter(meant).map(|(&id, _)| id).collect();
        for peer in trusted {
            self.send_to_peer(peer, &frame);
        }
    }

    /// Offers everything that is for it to a peer that has just become trusted.
    pub(super) fn offer_everything_to(&mut self, peer: PeerId) {
        let meant = |published: &&Published| published.offered && published.is_for(&peer);
        let meant = self.published.values().filter(meant);
        let offers: Vec<Frame> = meant.map(|published| Frame::Offer(published.manifest.clone())).collect();
        let Some(link) = self.peers.get(&peer).and_then(|known| known.link) else { return };
        for offer in offers {
            self.send_answer(link, &offer);
        }
    }

    pub(super) fn list_requested(&mut self, id: LinkId, peer: PeerId, content: ContentId, first: u32) {
        let values = self.served(&content, &peer).map(|served| {
            let values = served.list.values();
            let first = usize::try_from(first).unwrap_or(usize::MAX).min(values.len());
            let end = first.saturating_add(VALUES_PER_PART).min(values.len());
            values[first..end].to_vec()
        });
        let answer = match values {
            Some(values) if !values.is_empty() => Frame::ListPart { content, first, values },
            _ => Frame::Unavailable(content),
        };
        self.send_answer(id, &answer);
        self.name_takers(peer, content);
    }

    pub(super) fn block_requested(&mut self, id: LinkId, peer: PeerId, block: BlockRef) {
        if !self.served(&block.content, &peer).is_some_and(|served| served.has(block)) {
            self.send_answer(id, &Frame::Unavailable(block.content));
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.queue.push_block(block) {
            self.stats.frames_dropped += 1;
        }
        self.touched.insert(id);
        self.name_takers(peer, block.content);
    }

    /// A peer that asked for a block has it from somebody else.
    pub(super) fn block_cancelled(&mut self, id: LinkId, block: BlockRef) {
        if let Some(link) = self.links.get_mut(&id)
            && link.queue.cancel_block(block)
        {
            mark!(self, BlockCancelled);
        }
    }

    /// The driver's store cannot read a block that it published.
    pub(super) fn block_unreadable(&mut self, id: LinkId, block: BlockRef) {
        self.send_answer(id, &Frame::Unavailable(block.content));
    }

    pub(super) fn delivered(&mut self, peer: PeerId, content: ContentId) {
        self.answered(peer, content, Answer::Complete);
    }

    pub(super) fn declined(&mut self, peer: PeerId, content: ContentId) {
        self.answered(peer, content, Answer::Declined);
    }

    pub(super) fn held_up(&mut self, peer: PeerId, content: ContentId) {
        self.answered(peer, content, Answer::NoRoom);
    }

    pub(super) fn delivery_paused(&mut self, peer: PeerId, content: ContentId, paused: bool) {
        self.answered(peer, content, if paused { Answer::Paused } else { Answer::Resumed });
    }

    fn answered(&mut self, peer: PeerId, content: ContentId, answer: Answer) {
        let max = self.config.max_peers;
        let meant = |published: &&mut Published| published.offered && published.is_for(&peer);
        let Some(published) = self.published.get_mut(&content).filter(meant) else { return };
        // To hold it is final.
        let before = published.deliveries.get(&peer).map(|(before, _)| *before);
        if before == Some(answer) || before == Some(Answer::Complete) {
            return;
        }
        if answer == Answer::Resumed && before != Some(Answer::Paused) {
            return;
        }
        if published.deliveries.len() >= max && !published.deliveries.contains_key(&peer) {
            return;
        }
        published.deliveries.insert(peer, (answer, false));
        self.outputs.notify(Slot::Delivery(content, peer));
    }

    pub(super) fn delivery_event(&mut self, content: ContentId, to: PeerId) -> Option<Event> {
        let (answer, reported) = self.published.get_mut(&content)?.deliveries.get_mut(&to)?;
        if core::mem::replace(reported, true) {
            return None;
        }
        Some(match answer {
            Answer::Complete => Event::ContentDelivered { content, to },
            Answer::Declined => Event::ContentDeclined { content, to },
            Answer::NoRoom => Event::ContentHeldUp { content, to },
            Answer::Paused => Event::DeliveryPaused { content, to },
            Answer::Resumed => Event::DeliveryResumed { content, to },
        })
    }

    // ---- Offers ----

    pub(super) fn offer_received(&mut self, peer: PeerId, manifest: Manifest) {
        let content = manifest.content;
        if manifest.validate().is_err() {
            self.stats.frames_refused += 1;
            self.send_to_peer(peer, &Frame::Decline(content));
            return;
        }
        if self.completed.contains(&content) || self.published.contains_key(&content) {
            mark!(self, OfferRepeated);
            self.send_to_peer(peer, &Frame::Complete(content));
            return;
        }
        let max = self.config.max_contents;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.offers.len() >= max && !known.offers.contains_key(&content) {
            self.stats.frames_dropped += 1;
            return;
        }
        let offer = known.offers.entry(content).or_insert(Offer {
            manifest,
            live: true,
            reported: false,
            declined: false,
            taken: false,
        });
        offer.live = true;
        if offer.declined {
            mark!(self, OfferOfDeclined);
            self.send_to_peer(peer, &Frame::Decline(content));
            return;
        }
        if let Some(transfer) = self.transfers.get(&content) {
            if transfer.held {
                self.send_to_peer(peer, &Frame::Paused { content, paused: true });
            }
            self.source_found(content);
        } else {
            self.outputs.notify(Slot::Offer(peer, content));
            self.take_offer(peer, content);
        }
    }

    pub(super) fn offer_withdrawn(&mut self, peer: PeerId, content: ContentId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.offers.remove(&content);
        }
        if planted!(self, PanicOnFrame) && self.transfers.contains_key(&content) {
            panic!("planted");
        }
        self.outputs.forget(Slot::Offer(peer, content));
        self.taker_left(peer, content);
        self.source_lost(peer, content);
    }

    /// A peer is not there any more, for now or for good.
    pub(super) fn drop_offers_of(&mut self, peer: PeerId, for_good: bool) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let contents: Vec<ContentId> = known.offers.keys().copied().collect();
        if for_good {
            known.offers.clear();
        } else {
            known.offers.values_mut().for_each(|offer| offer.live = false);
        }
        for content in contents {
            if for_good {
                self.outputs.forget(Slot::Offer(peer, content));
            }
            self.source_lost(peer, content);
        }
        self.takers_parted(peer);
    }

    pub(super) fn offer_event(&mut self, peer: PeerId, content: ContentId) -> Option<Event> {
        let offer = self.peers.get_mut(&peer)?.offers.get_mut(&content)?;
        if offer.declined || core::mem::replace(&mut offer.reported, true) {
            return None;
        }
        Some(Event::ContentOffered { from: peer, manifest: offer.manifest.clone() })
    }

    /// Declines content to everyone who offers it, now or later.
    pub fn decline(&mut self, now: crate::Timestamp, content: ContentId) {
        self.advance(now);
        self.decline_everywhere(content);
        self.pump_links();
    }

    pub(super) fn decline_everywhere(&mut self, content: ContentId) {
        let offering: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, known)| known.offers.contains_key(&content))
            .map(|(&id, _)| id)
            .collect();
        for peer in offering {
            if let Some(offer) = self.peers.get_mut(&peer).and_then(|known| known.offers.get_mut(&content)) {
                offer.declined = true;
            }
            self.send_to_peer(peer, &Frame::Decline(content));
        }
    }
}
