//! How full every table is, for checks that ask whether it keeps its limit.

use alloc::vec::Vec;

use crate::identity::PeerId;
use crate::record::SignedRecord;

use super::Engine;
use super::peer::Peer;

/// A table or queue: its name, how much is in it, and its limit.
pub type Table = (&'static str, usize, usize);

impl Engine {
    /// What is kept of those who left or expired: their last records.
    pub fn floors(&self) -> impl Iterator<Item = &SignedRecord> {
        self.floors.iter().map(|(_, floor)| floor.record())
    }

    /// Whether a peer has told of as many others as one may ([`Config::max_introduced`](crate::Config::max_introduced)).
    #[must_use]
    pub fn has_told_enough(&self, peer: &PeerId) -> bool {
        let told = self.collection.introduced_by(peer).map_or(0, alloc::collections::BTreeSet::len);
        told >= self.config.max_introduced
    }

    /// Every table and queue of this engine. Of those that there are once for each peer or link, the fullest.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        let config = &self.config;
        let (peers, contents, texts) = (config.max_peers, config.max_contents, config.max_texts);
        let most = |sizes: &mut dyn Iterator<Item = usize>| sizes.max().unwrap_or(0);
        let of_peers = |size: fn(&Peer) -> usize| most(&mut self.peers.values().map(size));
        let mut tables = alloc::vec![
            ("peers", self.peers.len(), peers),
            ("floors", self.floors.len(), 2 * peers),
            ("peers that one told of", self.collection.most_introduced(), config.max_introduced),
            ("farewells that one told of", self.floors.most_told(), config.max_introduced),
            ("news", self.share.news.len(), 2 * (3 * peers + 1)),
            (
                "records that a link's peer wants",
                most(&mut self.links.values().map(|link| link.queue.wanted.len())),
                peers + 1,
            ),
            ("decisions", self.decisions.len(), crate::decision::MAX_DECISIONS),
            ("peers that wait for a person", self.waiting().count(), config.trust.max_waiting),
            ("departures", self.departures.len(), peers),
            ("forgotten peers of whom something was taken", self.taken.len(), peers),
            ("lost texts", self.texts_lost.len(), peers),
            ("links in use", self.connected, config.max_links),
            ("handshakes", self.half_open.len(), config.max_half_open),
            ("dials", self.dialling, super::redial::MAX_DIALLING + super::redial::MAX_TARGETS),
            ("addresses by hand", self.targets.len(), super::redial::MAX_TARGETS),
            ("published contents", self.published.len(), contents),
            ("transfers", self.transfers.len(), contents),
            ("completed contents", self.completed.len(), contents * super::fetching::COMPLETED_FACTOR),
            ("texts for the application", self.texts_in.len(), texts),
            ("places of another version", self.incompatible.len(), super::handshakes::MAX_INCOMPATIBLE),
            ("texts to a peer", of_peers(|peer| peer.texts.outgoing.len()), texts),
            ("offers of a peer", of_peers(|peer| peer.offers.len()), contents),
            ("links of a peer", of_peers(|peer| peer.links.len()), super::handshakes::LINKS_PER_PEER),
            (
                "messages of steps of a peer",
                most(&mut self.steps_in.values().map(alloc::collections::VecDeque::len)),
                super::steps::MAX_STEP_EVENTS,
            ),
            (
                "bytes that wait for a link",
                most(&mut self.links.values().map(|link| link.queue.waiting())),
                // A link that takes over what waits for one that is given up may have twice as much for a moment.
                config.max_queued * 2,
            ),
        ];
        tables.push(self.table_of_sought());
        tables.push(self.errands.table());
        let heard = self.peers.values().filter(|peer| !peer.heard.is_empty()).count();
        tables.extend(self.discovery.tables(config, heard));
        tables.extend(self.memory_tables());
        tables.extend(self.message_tables());
        tables.extend(self.strangers.tables());
        tables.extend(self.tasks.tables());
        tables
    }
}
