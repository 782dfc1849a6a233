//! Those who know more than strangers do: insiders, who speak on links of their own with others' words, whoever
//! replays a handshake, and crowds of genuine nodes that only pass by.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{
    Config, DESIGNATED_PORTS, Engine, Interface, InterfaceAddr, InterfaceId, InterfaceKind, LinkId,
    LinkOutput, PeerId, Restored, Seeds,
};

use crate::draws::{draw, scale, seed_bytes};
use crate::stream_end::Side;

use super::faults::{Fault, FaultKind, Traffic};
use super::node::address;
use super::plan::Plan;
use super::{Domain, Happening, World};

/// Frames of each kind that an insider remembers.
const FRAMES_OF_A_KIND: usize = 4;
/// Longer frames are not worth their memory.
const LONGEST_FRAME: usize = 4096;
/// The kinds of frame that carry a message of a step, records, a part of a block list (PROTOCOL.md, section 7).
const STEP: u8 = 4;
const RECORDS: u8 = 5;
const LIST_PART: u8 = 11;
/// First messages of dials that are remembered.
const HANDSHAKES: usize = 32;
/// How many of a crowd are there at a time, and how many come in all.
const PASSING: usize = 8;
const MOST_PASSERS: u64 = 700;

/// What was overheard, who has used it, and who has passed by.
pub(super) struct Intruders {
    keeps_frames: bool,
    keeps_handshakes: bool,
    /// Frames of all nodes, by their first byte, which is their kind.
    frames: BTreeMap<u8, VecDeque<Vec<u8>>>,
    /// What diallers said first, and to which node.
    handshakes: VecDeque<(usize, Vec<u8>)>,
    /// Every identity that spoke with others' words.
    insiders: BTreeSet<PeerId>,
    /// Identities that two machines had.
    cloned: BTreeSet<PeerId>,
    /// The records of those who passed by.
    passers: BTreeMap<PeerId, Vec<u8>>,
    /// Their farewells, of those who are still there.
    farewells: VecDeque<(usize, SocketAddr, Arc<[u8]>)>,
}

impl Intruders {
    pub(super) fn of(plan: &Plan) -> Self {
        let is_replay = |fault: &Fault| matches!(fault, Fault::Stranger { traffic: Traffic::Handshakes, .. });
        Intruders {
            keeps_frames: plan.fault.iter().any(|fault| matches!(fault, Fault::Insider { .. })),
            keeps_handshakes: plan.fault.iter().any(is_replay) || !plan.adversary.is_empty(),
            frames: BTreeMap::new(),
            handshakes: VecDeque::new(),
            insiders: BTreeSet::new(),
            cloned: BTreeSet::new(),
            passers: BTreeMap::new(),
            farewells: VecDeque::new(),
        }
    }
}

impl World {
    /// Whether this identity has spoken with others' words: what it says of itself proves nothing.
    pub(crate) fn is_insider(&self, peer: &PeerId) -> bool {
        self.intruders.insiders.contains(peer) || self.is_of_adversary(peer)
    }

    /// Whether two machines had this identity: each may leave, and the other be there all the same.
    pub(crate) fn is_cloned(&self, peer: &PeerId) -> bool {
        self.intruders.cloned.contains(peer)
    }

    /// Notes that two machines have this identity now.
    pub(super) fn note_clone(&mut self, peer: PeerId) {
        self.intruders.cloned.insert(peer);
    }

    /// Whether this is the record of somebody who passed by.
    pub(crate) fn passed_by(&self, peer: &PeerId, record: &[u8]) -> bool {
        self.intruders.passers.get(peer).is_some_and(|known| known == record)
    }

    /// How many have passed by.
    pub(super) fn passers(&self) -> usize {
        self.intruders.passers.len()
    }

    /// Notes what an engine says on a link, if somebody may use it. An insider alters the block lists that it gives.
    pub(super) fn overhear(&mut self, node: usize, link: LinkId, kind: LinkOutput, bytes: &mut [u8]) {
        match kind {
            LinkOutput::Frames if self.intruders.keeps_frames => {
                self.overhear_frames(bytes);
                if bytes.get(4) == Some(&LIST_PART) && self.alters(node) {
                    alter(
                        &mut bytes[5..],
                        draw(self.plan.seed, Domain::Stranger as u64, link.0, self.happened),
                    );
                    self.intruders.insiders.insert(self.nodes[node].peer);
                    self.tally.count(FaultKind::InsiderFrame);
                }
            }
            LinkOutput::Raw if self.intruders.keeps_handshakes => {
                let Some(&(conn, Side::Dialler)) = self.nodes[node].links.get(&link) else { return };
                let Some(to) = self.conns.get(&conn).and_then(super::streams::Conn::dialled) else { return };
                if self.intruders.handshakes.len() == HANDSHAKES {
                    self.intruders.handshakes.pop_front();
                }
                self.intruders.handshakes.push_back((to, bytes.to_vec()));
            }
            _ => {}
        }
    }

    /// Whether a node is an insider that alters frames now.
    fn alters(&self, node: usize) -> bool {
        let now = self.elapsed();
        self.plan.fault.iter().any(|fault| match fault {
            Fault::Insider { at_ms, for_ms, node: name, altered: true, .. }
                if *name == self.nodes[node].name =>
            {
                let (begins, lasts) = (Duration::from_millis(*at_ms), Duration::from_millis(*for_ms));
                !self.healed && begins <= now && now < begins + lasts
            }
            _ => false,
        })
    }

    fn overhear_frames(&mut self, mut rest: &[u8]) {
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let Some((body, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize) else {
                return;
            };
            if let Some(&kind) = body.first().filter(|_| body.len() <= LONGEST_FRAME) {
                let known = self.intruders.frames.entry(kind).or_default();
                if known.len() == FRAMES_OF_A_KIND {
                    known.pop_front();
                }
                known.push_back(rest[..4 + body.len()].to_vec());
            }
            rest = after;
        }
    }

    /// Another round of an insider: one frame that somebody sent, on one of its links.
    pub(super) fn betray(&mut self, index: usize, round: u64, node: &str, altered: bool) {
        let Fault::Insider { at_ms, for_ms, per_second, .. } = self.plan.fault[index] else { return };
        let over = self.elapsed() >= Duration::from_millis(at_ms.saturating_add(for_ms));
        let Some(node) = self.plan.node(node).filter(|_| !over) else { return };
        let gap = Duration::from_secs(1) / per_second.max(1);
        self.after(gap, Happening::Strange { fault: index, round: round + 1 });
        if self.nodes[node].paused || self.nodes[node].left {
            return;
        }
        let seed = self.plan.seed;
        let roll = |purpose: u64| draw(seed, Domain::Stranger as u64, index as u64 * 16 + purpose, round);
        let pick = |purpose: u64, count: usize| scale(roll(purpose), count as u64) as usize;
        let frames = &self.intruders.frames;
        let Some(of_kind) = frames.values().nth(pick(0, frames.len())) else { return };
        let Some(mut frame) = of_kind.get(pick(1, of_kind.len())).cloned() else { return };
        if altered {
            if roll(5).is_multiple_of(2) {
                alter(&mut frame[4..], roll(2));
            } else {
                aim(&mut frame, roll(4));
            }
        }
        let links: Vec<LinkId> = self.nodes[node].links.keys().copied().collect();
        let Some(&link) = links.get(pick(3, links.len())) else { return };
        let Some(&(conn, side)) = self.nodes[node].links.get(&link) else { return };
        let Some(end) = self.end_of(node, link).filter(|end| end.sealer.is_some() && !end.closing) else {
            return;
        };
        end.queued += frame.len();
        end.control.push_back((LinkOutput::Frames, frame));
        self.intruders.insiders.insert(self.nodes[node].peer);
        self.tally.count(FaultKind::InsiderFrame);
        self.write(conn, side);
    }

    /// What some dialler said first.
    pub(super) fn first_message(&self, roll: u64) -> Option<Vec<u8>> {
        let handshakes = &self.intruders.handshakes;
        handshakes.get(scale(roll, handshakes.len() as u64) as usize).map(|(_, said)| said.clone())
    }

    /// Whether somebody of this identity passed by.
    pub(crate) fn was_passer(&self, peer: &PeerId) -> bool {
        self.intruders.passers.contains_key(peer)
    }

    /// Somebody dials a node and says what another dialler said to it first.
    pub(super) fn replay_handshake(&mut self, lan: usize, roll: u64) {
        let handshakes = &self.intruders.handshakes;
        let place = scale(roll, handshakes.len() as u64) as usize;
        let Some((node, said)) = handshakes.get(place).cloned() else { return };
        self.tally.count(FaultKind::ReplayedHandshake);
        self.strange_stream(lan, node, said);
    }

    /// One more of a crowd comes, and the one that has been there longest leaves.
    pub(super) fn pass_by(&mut self, index: usize, round: u64, lan: usize) {
        if round >= MOST_PASSERS {
            return self.send_off(0);
        }
        let seed = seed_bytes(self.plan.seed, &format!("passer-by {index} {round}"));
        let number = 50_000 + (round % 10_000) as u16;
        // Some of them are of another network, and their beacons were passed on.
        let near = round % 4 != 3;
        let elsewhere = IpAddr::V4(Ipv4Addr::new(172, 16, 0, (round % 250) as u8 + 1));
        let ip = if near { address(lan, number) } else { elsewhere };
        let interface = Interface {
            id: InterfaceId(1),
            name: "passing".to_owned(),
            kind: InterfaceKind::Lan,
            multicast: false,
            directed_broadcast: true,
            addrs: vec![InterfaceAddr { ip, prefix: 16 }],
        };
        let crypto = self.plan.crypto;
        let config = Config::new(crypto.network(), "passer-by", 7000);
        let (identity, seeds) = (crypto.identity(seed), Seeds::new(seed, seed));
        let mut engine = Engine::new(config, identity, Restored::default(), seeds, self.now)
            .expect("the configuration is valid");
        engine.handle_interfaces(self.now, &[interface]);
        engine.handle_timeout(self.now);
        let mut beacon = Vec::new();
        if engine.poll_transmit(&mut beacon).is_none() {
            return;
        }
        self.tally.count(FaultKind::PasserBy);
        self.intruders.passers.insert(engine.peer_id(), engine.record().bytes().to_vec());
        let source = SocketAddr::new(ip, 7000);
        self.intruders.farewells.push_back((lan, source, engine.farewell().into()));
        self.speak(lan, source, beacon.into());
        self.send_off(PASSING);
    }

    /// All but so many of those who pass by say goodbye.
    pub(super) fn send_off(&mut self, stay: usize) {
        while self.intruders.farewells.len() > stay {
            let Some((lan, source, farewell)) = self.intruders.farewells.pop_front() else { return };
            self.speak(lan, source, farewell);
        }
    }

    fn speak(&mut self, lan: usize, source: SocketAddr, bytes: Arc<[u8]>) {
        let everybody = SocketAddr::new(address(lan, u16::MAX), DESIGNATED_PORTS[0]);
        self.spread(None, lan, source, everybody, bytes);
    }
}

/// Changes what a check of its own must find: the age of a record, its signature, the name of a step.
fn aim(frame: &mut [u8], bits: u64) {
    let (place, mask) = match (frame[4], bits % 3) {
        (RECORDS, 0) => (6, 0x80),
        (RECORDS, 1) => (frame.len() - 1, 1),
        (STEP, 0) => (6, 1),
        _ => return,
    };
    if let Some(byte) = frame.get_mut(place) {
        *byte ^= mask;
    }
}

/// Flips some bits, more often in front, where a frame's fields are.
fn alter(body: &mut [u8], bits: u64) {
    for change in 0..=scale(draw(bits, 0, 0, 0), 3) {
        let in_front = draw(bits, 1, 0, change).is_multiple_of(2);
        let bytes = if in_front { body.len().min(8) } else { body.len() };
        let bit = scale(draw(bits, 2, 0, change), bytes as u64 * 8) as usize;
        if let Some(byte) = body.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }
}
