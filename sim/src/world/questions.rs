//! What checks ask of a [`World`].

use std::collections::BTreeSet;

use p2pnet_engine::{ContentId, PeerId};

use super::World;

impl World {
    pub(crate) fn starts(&self, node: usize) -> u64 {
        self.nodes[node].starts
    }

    pub(crate) fn is_impostor(&self, node: usize) -> bool {
        self.nodes[node].impostor && self.plan.badge
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.healed
    }

    pub(crate) fn takes_offers(&self, node: usize) -> bool {
        self.nodes[node].takes_offers
    }

    pub(crate) fn streams_of(&self, node: usize) -> usize {
        self.nodes[node].links.len()
    }

    pub(crate) fn datagrams_sent(&self, node: usize) -> u64 {
        self.nodes[node].sent
    }

    pub(crate) fn networks_of(&self, node: usize) -> u64 {
        self.hosts[self.nodes[node].host].interfaces.len() as u64
    }

    /// Links that are open on both sides.
    pub(crate) fn open_links(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.conns.values().filter_map(super::streams::Conn::open_between)
    }

    /// The texts of the plan that a node got, in any of its runs.
    pub(crate) fn texts_of(&self, node: usize) -> &BTreeSet<usize> {
        &self.nodes[node].texts
    }

    pub(crate) fn has_left(&self, node: usize) -> bool {
        self.nodes[node].left
    }

    /// The number of a text in the plan, if it is exactly that text.
    pub(crate) fn text_index(&self, text: &str) -> Option<usize> {
        let index: usize = text.strip_prefix("text ")?.split(' ').next()?.parse().ok()?;
        (index < self.plan.text.len() && self.text(index) == text).then_some(index)
    }

    /// Contents that were published and are still served by who published them.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (ContentId, usize, usize)> + '_ {
        let serves = |content: &ContentId, node: usize| self.nodes[node].disk.store.serves(content);
        self.published
            .iter()
            .filter(move |(content, published)| serves(content, published.node))
            .map(|(&content, published)| (content, published.node, published.index))
    }

    /// Whether a content is durable on a node's disk.
    pub(crate) fn holds(&self, node: usize, content: &ContentId) -> bool {
        let store = &self.nodes[node].disk.store;
        store.received(content).is_some() || store.serves(content)
    }

    /// Whether somebody of this identity may have held a content: clones share one, and a disk that was lost since
    /// tells nothing.
    pub(crate) fn may_have_held(&self, peer: &PeerId, content: &ContentId) -> bool {
        let lost = |node: usize| self.nodes[node].identities.len() > 1 || self.nodes[node].disk_lost;
        let mut of_peer = (0..self.nodes.len()).filter(|&node| self.ever_was(node, peer)).peekable();
        of_peer.peek().is_none() || of_peer.any(|node| self.holds(node, content) || lost(node))
    }

    /// Whether a node has, or had before, this identity.
    pub(crate) fn ever_was(&self, node: usize, peer: &PeerId) -> bool {
        self.nodes[node].identities.contains(peer)
    }

    /// Whether what a node received is what was published, byte for byte.
    pub(crate) fn received_rightly(&self, node: usize, content: &ContentId) -> bool {
        let published = self.published.get(content).map(|published| &published.bytes[..]);
        published.is_some() && self.nodes[node].disk.store.received(content) == published
    }
}
