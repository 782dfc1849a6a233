//! What checks and people ask of a [`World`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use p2pnet_engine::{ContentId, Engine, Marks, PeerId, Timestamp};

use crate::trace::Trace;

use super::World;
use super::faults::{Fault, FaultTally};
use super::plan::{Carriage, Firewall, Plan};

/// A node has its disk keep news within a second, and the disk has other things to do.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

/// As many nodes are looked at each second, about, as one that is not large has.
const LOOKED_AT: usize = 200;

impl World {
    /// The plan that it runs.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.since(Timestamp::ZERO)
    }

    /// How many nodes there are, whether they run or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node; a valid plan has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// The engine of a node; `None` while it does not run.
    #[must_use]
    pub fn engine(&self, node: usize) -> Option<&Engine> {
        self.nodes[node].engine.as_ref()
    }

    /// Who a node is now, whether it runs or not.
    #[must_use]
    pub fn peer_id(&self, node: usize) -> PeerId {
        self.nodes[node].peer
    }

    /// The node that has this identity now. A cloned disk gives two nodes one identity: then the first.
    #[must_use]
    pub fn node_of(&self, peer: &PeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer == *peer)
    }

    /// Whether two nodes must come to trust each other: they must meet, and let each other in.
    #[must_use]
    pub fn must_link(&self, a: usize, b: usize) -> bool {
        self.must_meet(a, b) && self.agree(a, b)
    }

    /// Whether two nodes are of the core, run, and are in one network, which is whole.
    #[must_use]
    pub fn must_meet(&self, a: usize, b: usize) -> bool {
        let ready =
            |node: usize| self.plan.is_core(node) && self.nodes[node].runs() && !self.nodes[node].left;
        let (from, to) = (self.nodes[a].host, self.nodes[b].host);
        let common = self.hosts[from]
            .interfaces
            .iter()
            .any(|interface| self.reaches(from, to, interface.lan) && self.reaches(to, from, interface.lan));
        // Two that let nobody in cannot be brought together.
        let closed = |host: usize| self.hosts[host].firewall != Firewall::None;
        let open = from == to || !closed(from) || !closed(to);
        let near = common && open;
        a != b && ready(a) && ready(b) && (near || self.reaches_afar(a, b) || self.reaches_afar(b, a))
    }

    /// Whether every pair can have a link: who knows more peers than `max_links` keeps fewer, in a net in which all are
    /// connected.
    pub(crate) fn all_fit(&self) -> bool {
        let core = (0..self.nodes.len()).filter(|&node| self.plan.is_core(node));
        let mut engines = core.filter_map(|node| self.engine(node));
        engines.all(|engine| engine.peers().count() <= engine.config().max_links)
    }

    /// How often a node sent or dialled beyond the networks that it is in, though nobody told it to.
    pub(crate) fn strays(&self, node: usize) -> u64 {
        self.nodes[node].strays
    }

    /// The share of beacons of one node that do not get to another, however they go; `None` if it cannot be said that it
    /// hears them at all: one of them does not run, or something is wrong with it or on the way.
    pub(crate) fn hearing(&self, from: usize, to: usize) -> Option<f64> {
        let well = |node: usize| {
            let state = &self.nodes[node];
            let host = &self.hosts[state.host];
            state.runs() && !state.left && !state.paused && !state.small && host.up
        };
        let suspect = self.is_suspect(from) || self.is_suspect(to);
        if !well(from) || !well(to) || suspect || self.nodes[from].peer == self.nodes[to].peer {
            return None;
        }
        let (a, b) = (self.nodes[from].host, self.nodes[to].host);
        if a == b {
            // The copy that a host gets of its own broadcast is never lost.
            return self.hosts[a].interfaces.iter().any(|own| own.up).then_some(0.0);
        }
        let carried = |lan: usize| {
            let (lan, interface) = (&self.lans[lan], self.hosts[a].interface(lan));
            let (four, six) = interface.map_or((false, false), |own| (own.ipv4, own.ipv6));
            let ways = [
                (four, Carriage::DirectedBroadcast),
                (four, Carriage::Multicast4),
                (six, Carriage::Multicast6),
            ];
            ways.iter().any(|&(has, carriage)| has && lan.carries(carriage))
        };
        let mut common = self.hosts[a].interfaces.iter().map(|own| own.lan);
        let lan = common.find(|&lan| self.reaches(a, b, lan) && self.reaches(b, a, lan) && carried(lan))?;
        let link = self.link_between(a, b);
        // Where packets wait long or come in bursts, nobody can say how many get through.
        if link.bandwidth < 400_000 || (link.enter_burst > 0.0 && link.burst_loss > link.loss) {
            return None;
        }
        let whole = (1.0 - link.loss) * (1.0 - link.corruption) * (1.0 - link.truncation);
        let pieces = i32::try_from(800usize.div_ceil(self.lans[lan].mtu.max(36))).unwrap_or(1);
        let loss = 1.0 - whole.powi(pieces);
        (loss < 0.5).then_some(loss)
    }

    /// Whether neither of two nodes keeps out datagrams to its private port.
    pub(crate) fn takes_datagrams(&self, a: usize, b: usize) -> bool {
        [a, b].iter().all(|&node| self.hosts[self.nodes[node].host].firewall != Firewall::PrivatePorts)
    }

    /// The hash over everything that happened so far.
    #[must_use]
    pub fn hash(&self) -> String {
        self.record.hash()
    }

    /// The trace so far, if one is kept.
    #[must_use]
    pub fn trace(&self) -> Option<&Trace> {
        self.record.trace.as_ref()
    }

    /// How often each fault happened so far.
    #[must_use]
    pub fn faults(&self) -> &FaultTally {
        &self.tally
    }

    /// How often each coverage mark was taken so far, by engines that run and by those that did.
    #[must_use]
    pub fn marks(&self) -> Marks {
        let mut sum = self.marks.clone();
        self.nodes.iter().filter_map(|node| node.engine.as_ref()).for_each(|engine| sum.add(engine.marks()));
        sum
    }

    /// Whether nothing of the plan can break a link.
    pub(crate) fn never_breaks(&self) -> bool {
        let plan = &self.plan;
        let loses = plan.link.iter().any(|link| link.loss > 0.0 && link.name != "awful");
        // Beyond `max_links` somebody is turned away.
        let room =
            (0..self.len()).filter_map(|node| self.engine(node)).map(|engine| engine.config().max_links);
        let crowded = !self.all_fit() || plan.node.len() > room.min().unwrap_or(usize::MAX).saturating_add(1);
        let nobody = plan.fault.is_empty() && plan.part.is_empty() && plan.adversary.is_empty();
        nobody && plan.path.is_empty() && !loses && !crowded
    }

    /// How often each node's engine has jumped above a record of its own.
    pub(crate) fn jumps(&self) -> Vec<u64> {
        let of = |node| self.engine(node).map_or(0, |engine| engine.stats().incarnation_jumps);
        (0..self.len()).map(of).collect()
    }

    /// How many identities a node had before the one that it has.
    pub(crate) fn earlier_identities(&self, node: usize) -> u64 {
        self.nodes[node].identities.len().saturating_sub(1) as u64
    }

    /// A content that a node has under its final name, though it is not what was published.
    pub(crate) fn torn_content(&self, node: usize) -> Option<ContentId> {
        let mut received = self.nodes[node].disk.store.all_received();
        received.find(|content| !self.received_rightly(node, content)).copied()
    }

    /// What happened so far, in number.
    pub(crate) fn happenings(&self) -> u64 {
        self.happened
    }

    pub(crate) fn starts(&self, node: usize) -> u64 {
        self.nodes[node].starts
    }

    /// The nodes that this second's checks look at: all, in a large world each of them every few seconds, since what they
    /// look through grows with the square.
    pub(crate) fn looked_at(&self) -> impl Iterator<Item = usize> + use<> {
        let every = 1 + self.len() / LOOKED_AT;
        let turn = usize::try_from(self.elapsed().as_secs()).unwrap_or(0);
        (0..self.len()).filter(move |node| (node + turn).is_multiple_of(every))
    }

    /// Whether one node has told another of as many as it may.
    pub(crate) fn tells_of_no_more(&self, node: usize, to: usize) -> bool {
        self.engine(to).is_some_and(|engine| engine.has_told_enough(&self.peer_id(node)))
    }

    pub(crate) fn is_impostor(&self, node: usize) -> bool {
        self.nodes[node].impostor && self.plan.badge
    }

    /// Whether the application of a node of this identity ever took no events; clones share one.
    pub(crate) fn was_deaf(&self, peer: &PeerId) -> bool {
        self.nodes.iter().any(|node| node.deaf_as.contains(peer))
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
    /// Each with the number of its stream, which no other ever has.
    pub(crate) fn open_links(&self) -> impl Iterator<Item = (u64, usize, usize)> + '_ {
        let open = |(id, conn): (&super::streams::ConnId, &super::streams::Conn)| {
            let (a, b) = conn.open_between()?;
            Some((id.0, a, b))
        };
        self.conns.iter().filter_map(open)
    }

    /// The texts of the plan that a node got, in any of its runs.
    pub(crate) fn texts_of(&self, node: usize) -> &BTreeSet<usize> {
        &self.nodes[node].texts
    }

    /// The messages of the plan that a node got, in any of its runs, by their number; and over how many links each came.
    #[must_use]
    pub fn messages_of(&self, node: usize) -> &BTreeMap<usize, u16> {
        &self.nodes[node].messages
    }

    /// How many texts of the plan a node got, in any of its runs.
    #[must_use]
    pub fn texts_received(&self, node: usize) -> usize {
        self.nodes[node].texts.len()
    }

    /// Links that are open on both sides and lead beyond a LAN.
    #[must_use]
    pub fn links_afar(&self) -> usize {
        let afar = self.conns.values().filter(|conn| conn.open_between().is_some() && conn.is_afar());
        afar.count()
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
    /// tells nothing, nor does what was withdrawn since.
    pub(crate) fn may_have_held(&self, peer: &PeerId, content: &ContentId) -> bool {
        let lost = |node: usize| self.nodes[node].identities.len() > 1 || self.nodes[node].disk_lost;
        let withdrew = |node: usize| self.nodes[node].disk.store.withdrew(content);
        let mut of_peer = (0..self.nodes.len()).filter(|&node| self.ever_was(node, peer)).peekable();
        of_peer.peek().is_none()
            || of_peer.any(|node| self.holds(node, content) || withdrew(node) || lost(node))
    }

    /// Whether a node that starts must know what the run before it knew at `at`: there was time to write it, and nothing
    /// ever was wrong with its disk or kept it from running.
    pub(crate) fn must_remember(&self, node: usize, at: Timestamp) -> bool {
        let node = &self.nodes[node];
        let host = &self.hosts[node.host].name;
        let hinders = |fault: &Fault| match fault {
            Fault::DiskFull { node: of, .. }
            | Fault::DiskErrors { node: of, .. }
            | Fault::DiskSlow { node: of, .. }
            | Fault::Pause { node: of, .. } => *of == node.name,
            Fault::Sleep { host: of, .. } => of == host,
            _ => false,
        };
        let kept = !node.disk_lost && node.identities.len() == 1 && !node.small;
        kept && node.stopped_at.since(at) > KEPT_WITHIN && !self.plan.fault.iter().any(hinders)
    }

    /// Whether a node once began anew with an empty disk.
    pub(crate) fn lost_its_disk(&self, node: usize) -> bool {
        self.nodes[node].disk_lost
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
