//! Adversaries: what they know, whom they pretend to be, and one trick after the other.

mod datagrams;
mod loot;
mod middle;
mod puppets;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{
    DESIGNATED_PORTS, Identity, Instance, LinkOutput, Network, PeerId, PeerRecord, RecordClass, RecordKind,
    forge,
};

use crate::draws::{draw, scale, seed_bytes};

use super::node::address;
use super::plan::{AdversaryPlan, Crypto, Plan, Trick};
use super::streams::ConnId;
use super::{Domain, Happening, World};
use loot::Loot;
use puppets::Puppet;

/// The port that adversaries send from.
const PORT: u16 = 9998;

/// What adversaries have heard, the streams that they hold, and the identities that they made up.
pub(super) struct Adversaries {
    /// The network of the plan, and another one.
    network: Network,
    elsewhere: Network,
    loot: Loot,
    puppets: BTreeMap<ConnId, Puppet>,
    /// Whose diallers each adversary has lured to itself last.
    lured: BTreeMap<usize, PeerId>,
    /// Pairs of nodes whose bytes an adversary has passed on.
    relayed: BTreeSet<(usize, usize)>,
    /// Every identity that an adversary speaks for, with the records that it has signed as it.
    issued: BTreeMap<PeerId, BTreeSet<Vec<u8>>>,
    /// Those that never answered a question, so that nobody may have verified them.
    unverified: BTreeSet<PeerId>,
    /// Those that only such a one has ever told of.
    whispered: BTreeSet<PeerId>,
    /// Those that are made up to be taken for a node.
    masks: BTreeSet<PeerId>,
    /// How many identities were made up.
    made: u64,
}

/// Where an adversary is now.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its number in the plan.
    index: usize,
    node: usize,
    host: usize,
    lan: usize,
    /// Its address in the network.
    number: u16,
}

/// Draws of one round.
struct Dice {
    seed: u64,
    entity: u64,
    round: u64,
    drawn: u64,
}

impl Dice {
    fn bits(&mut self) -> u64 {
        self.drawn += 1;
        draw(self.seed, Domain::Adversary as u64, self.entity << 20 | self.drawn, self.round)
    }

    fn below(&mut self, limit: u64) -> u64 {
        scale(self.bits(), limit)
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let bits = self.bits();
        (0..length).map(|i| draw(bits, 0, 0, i).to_le_bytes()[0]).collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N as u64).try_into().unwrap_or([0; N])
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}

impl Adversaries {
    pub(super) fn of(plan: &Plan) -> Self {
        Adversaries {
            network: plan.crypto.network(),
            elsewhere: plan.crypto.elsewhere(),
            loot: Loot::default(),
            puppets: BTreeMap::new(),
            lured: BTreeMap::new(),
            relayed: BTreeSet::new(),
            issued: BTreeMap::new(),
            unverified: BTreeSet::new(),
            whispered: BTreeSet::new(),
            masks: BTreeSet::new(),
            made: 0,
        }
    }
}

impl Crypto {
    /// A network that no honest node is in.
    pub(super) fn elsewhere(self) -> Network {
        match self {
            Crypto::Real => Network::open("elsewhere"),
            Crypto::Cheap => Network::cheap("elsewhere"),
        }
        .expect("the name is a valid one")
    }
}

// ---- what checks ask

impl World {
    /// Whether a node is an adversary, or its key has been stolen.
    pub(crate) fn is_suspect(&self, node: usize) -> bool {
        self.plan.is_suspect(&self.nodes[node].name)
    }

    /// Whether a node is an adversary that does not know the network.
    pub(crate) fn is_outsider(&self, node: usize) -> bool {
        self.plan.adversary.iter().any(|known| known.outsider && known.node == self.nodes[node].name)
    }

    /// Whether an adversary speaks for this identity: its own, one that it made up, one that it stole.
    pub(crate) fn is_of_adversary(&self, peer: &PeerId) -> bool {
        self.adversaries.issued.contains_key(peer)
            || (0..self.nodes.len()).any(|node| self.is_suspect(node) && self.ever_was(node, peer))
    }

    /// Whether this is a record that an adversary has signed with a key that it has.
    pub(crate) fn adversary_issued(&self, peer: &PeerId, record: &[u8]) -> bool {
        self.adversaries.issued.get(peer).is_some_and(|issued| issued.contains(record))
    }

    /// Whether this identity has never answered a question, so that nobody may have verified it.
    pub(crate) fn is_unverified(&self, peer: &PeerId) -> bool {
        self.adversaries.unverified.contains(peer)
    }

    /// Whether there is anybody of whom only peers that nobody has verified ever told.
    pub(crate) fn anybody_whispered(&self) -> bool {
        !self.adversaries.whispered.is_empty()
    }

    /// Whether only peers that nobody has verified ever told of this identity.
    pub(crate) fn was_whispered(&self, peer: &PeerId) -> bool {
        self.adversaries.whispered.contains(peer)
    }

    /// Whether this identity was made up to be taken for a node, by somebody in the middle.
    pub(crate) fn is_mask(&self, peer: &PeerId) -> bool {
        self.adversaries.masks.contains(peer)
    }

    /// Whether an adversary has passed on what these two say to each other.
    pub(crate) fn was_relayed(&self, a: usize, b: usize) -> bool {
        self.adversaries.relayed.contains(&(a.min(b), a.max(b)))
    }

    /// How many identities adversaries have made up.
    pub(crate) fn made_up(&self) -> usize {
        self.adversaries.issued.len()
    }

    /// Whether adversaries are all that is wrong in the plan, so that what honest nodes suffer is their doing.
    pub(crate) fn is_only_attacked(&self) -> bool {
        let plan = &self.plan;
        !plan.adversary.is_empty()
            && plan.fault.is_empty()
            && plan.part.is_empty()
            && plan.leave.is_empty()
            && plan.path.is_empty()
            && plan.lan.iter().all(|lan| lan.isolated.is_empty() && lan.drops.is_empty() && lan.broadcast)
            && plan.link.iter().all(|link| {
                link.name == "awful"
                    || link.loss + link.enter_burst + link.corruption + link.truncation == 0.0
            })
    }
}

// ---- rounds

impl World {
    pub(super) fn schedule_adversaries(&mut self) {
        for index in 0..self.plan.adversary.len() {
            let at = p2pnet_engine::Timestamp::from_millis(self.plan.adversary[index].at_ms);
            self.at(at, Happening::Attack { adversary: index, round: 0 });
        }
    }

    /// Another round of an adversary.
    pub(super) fn attack(&mut self, index: usize, round: u64) {
        let plan = &self.plan.adversary[index];
        if self.healed || self.elapsed() >= Duration::from_millis(plan.until_ms(&self.plan)) {
            return self.call_off(index);
        }
        let gap = Duration::from_secs(1) / plan.per_second.max(1);
        self.after(gap, Happening::Attack { adversary: index, round: round + 1 });
        let mut dice = Dice { seed: self.plan.seed, entity: index as u64, round, drawn: 0 };
        let Some(place) = self.place_of(index, &mut dice) else { return };
        let tricks = &self.plan.adversary[index].tricks;
        let mut drawn = dice.below(tricks.values().map(|&weight| u64::from(weight)).sum());
        let trick = tricks.iter().find_map(|(&trick, &weight)| match drawn.checked_sub(u64::from(weight)) {
            None => Some(trick),
            Some(rest) => {
                drawn = rest;
                None
            }
        });
        let Some(trick) = trick else { return };
        let done = match trick {
            Trick::Garbage => self.garbage(place, &mut dice),
            Trick::Replay => self.replay(place, &mut dice),
            Trick::Forge => self.forge(place, &mut dice),
            Trick::Farewell => self.say_goodbye_for(place, &mut dice),
            Trick::WrongKey => self.show_a_wrong_key(place, &mut dice),
            Trick::Flood => self.flood(place, &mut dice),
            Trick::Sybil => self.be_many(place, &mut dice),
            Trick::Middle => self.lure(place, &mut dice),
            Trick::Downgrade => self.downgrade(place, &mut dice),
            Trick::Twin => self.be_its_twin(place, &mut dice),
            Trick::Loris => self.dribble(place, &mut dice),
            Trick::SlowReader => self.ask_and_not_read(place, &mut dice),
        };
        // A lure counts when somebody takes it.
        if done.is_some() && trick != Trick::Middle {
            self.tally.count(trick.kind());
        }
    }

    /// An adversary gives up: all its streams end.
    pub(super) fn call_off(&mut self, index: usize) {
        let of_it = |(&conn, puppet): (&ConnId, &Puppet)| (puppet.adversary == index).then_some(conn);
        let held: Vec<ConnId> = self.adversaries.puppets.iter().filter_map(of_it).collect();
        held.into_iter().for_each(|conn| self.let_go(conn));
    }

    /// Where an adversary is, if it can do anything now.
    fn place_of(&self, index: usize, dice: &mut Dice) -> Option<Place> {
        let node = self.plan.node(&self.plan.adversary[index].node)?;
        let state = &self.nodes[node];
        let host = &self.hosts[state.host];
        if !state.runs() || state.paused || state.left || !host.up {
            return None;
        }
        let up: Vec<_> = host.interfaces.iter().filter(|own| own.up && own.ipv4).collect();
        let own = dice.pick(&up)?;
        Some(Place { index, node, host: state.host, lan: own.lan, number: own.number })
    }

    /// The adversary that lies in wait at a host for diallers of others.
    pub(super) fn lies_in_wait(&self, host: usize) -> Option<usize> {
        let now = self.elapsed();
        let waits = |plan: &AdversaryPlan| {
            let until = Duration::from_millis(plan.until_ms(&self.plan));
            let begun = Duration::from_millis(plan.at_ms) <= now && now < until;
            begun && !self.healed && plan.tricks.contains_key(&Trick::Middle)
        };
        let mut at_host =
            self.plan.adversary.iter().filter_map(|plan| Some((plan, self.plan.node(&plan.node)?)));
        let (_, node) = at_host
            .find(|&(plan, node)| self.nodes[node].host == host && self.nodes[node].runs() && waits(plan))?;
        Some(node)
    }

    // ---- who it is

    /// The network that an adversary speaks in.
    fn network_of(&self, index: usize) -> &Network {
        match self.plan.adversary[index].outsider {
            true => &self.adversaries.elsewhere,
            false => &self.adversaries.network,
        }
    }

    fn identity_of(&self, node: usize) -> Identity {
        self.plan.crypto.identity(self.nodes[node].identity)
    }

    /// A new identity, with a record that it has signed.
    fn make_up(&mut self, place: Place, dice: &mut Dice) -> (Identity, Instance, Vec<u8>) {
        let identity = self.new_identity(place);
        let record = self.record_of(place, &identity, 1, dice);
        let bytes = forge::sign(&identity, &record);
        // What somebody who does not know the network says of itself is nothing that anybody may take.
        if !self.plan.adversary[place.index].outsider {
            self.note_issued(record.peer, &bytes);
        }
        (identity, record.instance, bytes)
    }

    fn new_identity(&mut self, place: Place) -> Identity {
        self.adversaries.made += 1;
        let seed = seed_bytes(self.plan.seed, &format!("made up {} {}", place.index, self.adversaries.made));
        self.plan.crypto.identity(seed)
    }

    /// Notes a record that an adversary has signed with a key that it has.
    pub(super) fn note_issued(&mut self, peer: PeerId, record: &[u8]) {
        self.adversaries.issued.entry(peer).or_default().insert(record.to_vec());
    }

    /// A record of an identity of its own: with its address, sometimes also with those of others and of nobody.
    fn record_of(&self, place: Place, identity: &Identity, incarnation: u64, dice: &mut Dice) -> PeerRecord {
        let mut addrs = vec![address(place.lan, place.number)];
        match dice.below(4) {
            0 => addrs.push(IpAddr::V4(Ipv4Addr::new(192, 0, 2, dice.below(250) as u8))),
            1 => addrs.push(address(place.lan, dice.below(8) as u16)),
            _ => {}
        }
        PeerRecord {
            network: forge::tag(self.network_of(place.index)),
            peer: identity.peer_id(),
            incarnation,
            seq: 1,
            kind: RecordKind::Alive,
            ttl_secs: 60,
            class: RecordClass::Local,
            instance: Instance::from_bytes(dice.array()),
            link_key: forge::link_key(identity),
            port: 7000 + dice.below(3) as u16,
            name: "somebody".to_owned(),
            addrs,
            caps: 0,
        }
    }

    // ---- how it speaks

    fn say(&mut self, place: Place, to: SocketAddr, bytes: Vec<u8>) {
        let source = SocketAddr::new(address(place.lan, place.number), PORT);
        self.spread(Some(place.host), place.lan, source, to, bytes.into());
    }

    fn say_to_everybody(&mut self, place: Place, bytes: Vec<u8>) {
        self.say(place, SocketAddr::new(address(place.lan, u16::MAX), DESIGNATED_PORTS[0]), bytes);
    }

    /// Puts a frame behind what its engine says on one of its links.
    fn slip(&mut self, place: Place, dice: &mut Dice, frame: &[u8]) -> Option<()> {
        let links: Vec<_> = self.nodes[place.node].links.iter().map(|(&link, &at)| (link, at)).collect();
        let &(link, (conn, side)) = dice.pick(&links)?;
        let end = self.end_of(place.node, link).filter(|end| end.sealer.is_some() && !end.closing)?;
        end.queued += frame.len();
        end.control.push_back((LinkOutput::Frames, frame.to_vec()));
        self.write(conn, side);
        Some(())
    }

    /// An honest node that it can reach.
    fn somebody(&self, place: Place, dice: &mut Dice) -> Option<usize> {
        let there = |node: usize| {
            let state = &self.nodes[node];
            node != place.node && state.runs() && self.hosts[state.host].interface(place.lan).is_some()
        };
        let all: Vec<usize> = (0..self.nodes.len()).filter(|&node| there(node)).collect();
        dice.pick(&all).copied()
    }

    /// Where that node takes datagrams.
    fn door_of(&self, place: Place, node: usize) -> Option<SocketAddr> {
        let number = self.hosts[self.nodes[node].host].interface(place.lan)?.number;
        Some(SocketAddr::new(address(place.lan, number), self.nodes[node].port))
    }
}
