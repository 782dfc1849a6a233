//! In the middle: streams that somebody dialled at an adversary's address, hoping for somebody else.

use p2pnet_engine::forge::{self, CodeByHand, HandshakeByHand};
use p2pnet_engine::{Identity, PeerId};

use crate::stream_end::Side;
use crate::world::World;
use crate::world::streams::ConnId;

use super::puppets::{Play, Puppet};
use super::{Dice, Place, Trick};

/// Identities that are made up until one has an id on the side that is needed.
const MASKS: u32 = 16;

/// An adversary between two people who compare a short code: what it says to one of them.
pub(super) struct Mask {
    /// Its link with the other.
    pub(super) to: ConnId,
    own: PeerId,
    peer: PeerId,
    word: Word,
    /// What was said on the other link before anything could be said here.
    unsaid: Vec<Vec<u8>>,
    ready: bool,
}

/// What it says of the code.
enum Word {
    /// What the other side says.
    Theirs,
    /// Its own: an exchange with each side.
    Own { nonce: [u8; 32], exchange: Option<CodeByHand> },
}

/// Where what it says next belongs, as a frame.
pub(super) enum Said {
    Here(Vec<u8>),
    There(Vec<u8>),
}

impl Mask {
    /// The first frames on a link whose handshake is done.
    pub(super) fn begin(&mut self, transcript: [u8; 32]) -> Vec<u8> {
        let mut first = forge::confirm();
        if let Word::Own { nonce, exchange } = &mut self.word {
            let (begun, commitment) = CodeByHand::begin(self.own, self.peer, transcript, *nonce);
            *exchange = Some(begun);
            first.extend(commitment.into_iter().flat_map(forge::code_message));
        }
        self.ready = true;
        first.extend(std::mem::take(&mut self.unsaid).into_iter().flatten());
        first
    }

    /// Hears what its peer says of the code, or shows as a certificate: of that it has none of its own.
    pub(super) fn hear(&mut self, frame: &[u8]) -> Option<Said> {
        if let Some(shown) = forge::read_certificate(frame) {
            return Some(Said::There(forge::certificate(shown)));
        }
        let message = forge::read_code_message(frame)?;
        match &mut self.word {
            Word::Theirs => Some(Said::There(forge::code_message(message))),
            Word::Own { exchange, .. } => {
                let answer = exchange.as_mut()?.receive(&message)?;
                Some(Said::Here(forge::code_message(answer)))
            }
        }
    }

    /// Takes what was said on the other link, and gives it back if it can be said here now.
    pub(super) fn pass_on(&mut self, frame: Vec<u8>) -> Option<Vec<u8>> {
        if self.ready {
            return Some(frame);
        }
        self.unsaid.push(frame);
        None
    }
}

impl World {
    /// A stream that somebody dialled at an adversary's address, hoping for somebody else: it goes on to that one, or
    /// finds a key that is not theirs. Says whether it is dealt with.
    pub(in crate::world) fn intercept(&mut self, conn: ConnId, node: usize) -> bool {
        let host = self.nodes[node].host;
        if self.lies_in_wait(host) != Some(node) {
            return false;
        }
        let adversary = self.plan.adversary.iter().position(|plan| plan.node == self.nodes[node].name);
        let Some(index) = adversary else { return false };
        let mut dice =
            Dice { seed: self.plan.seed, entity: index as u64, round: u64::MAX - conn.0, drawn: 0 };
        let Some(place) = self.place_of(index, &mut dice) else { return false };
        let Some(&victim) = self.adversaries.lured.get(&index) else { return false };
        if self.plan.compares_codes() && dice.below(2) == 0 {
            return self.stand_between(conn, place, victim, &mut dice).is_some();
        }
        match dice.below(4) {
            0 => false,
            1 => self.answer_as(conn, place, &mut dice).is_some(),
            how => self.relay(conn, place, victim, how == 3).is_some(),
        }
    }

    fn answer_as(&mut self, conn: ConnId, place: Place, dice: &mut Dice) -> Option<()> {
        let (_, record) = self.adversaries.loot.record(dice)?;
        let own = self.identity_of(place.node);
        let network = self.network_of(place.index);
        let handshake = HandshakeByHand::accept(network, &own, &record, &[], dice.array());
        self.take_over(conn)?;
        let play = Play::Talk { frames: vec![forge::confirm()], answers: true };
        let puppet = Puppet { handshake: Some(handshake), ..Puppet::new(place, Side::Acceptor, play) };
        self.hold(conn, puppet);
        self.tally.count(Trick::Middle.kind());
        Some(())
    }

    fn relay(&mut self, conn: ConnId, place: Place, victim: PeerId, spoils: bool) -> Option<()> {
        let node = self.node_of(&victim).filter(|&node| node != place.node)?;
        let onward = self.dial_by_hand_of(place.lan, place.host, node, Vec::new())?;
        if let Some(dialler) = self.take_over(conn) {
            self.adversaries.relayed.insert((dialler.min(node), dialler.max(node)));
        }
        self.hold(onward, Puppet::new(place, Side::Dialler, Play::Relay { to: conn, spoils: false }));
        self.hold(conn, Puppet::new(place, Side::Acceptor, Play::Relay { to: onward, spoils }));
        Some(())
    }

    /// To each of two people it gives itself the other's name, and proves a key of its own.
    fn stand_between(&mut self, conn: ConnId, place: Place, victim: PeerId, dice: &mut Dice) -> Option<()> {
        let node = self.node_of(&victim).filter(|&node| node != place.node)?;
        let dialler = self.dialler_of(conn).filter(|&dialler| dialler != node && dialler != place.node)?;
        let [dialler_id, victim_id] = [dialler, node].map(|node| self.nodes[node].peer);
        // One side must commit and the other one answer, or nothing can be passed on.
        let commits = dice.below(2) == 0;
        let (to_dialler, first) = self.mask(place, dice, node, |mask| (dialler_id < mask) == commits)?;
        let (to_victim, second) = self.mask(place, dice, dialler, |mask| (mask < victim_id) == commits)?;
        let network = self.network_of(place.index);
        let inner = HandshakeByHand::accept(network, &to_dialler, &first, &[], dice.array());
        let mut said = Vec::new();
        let outer = HandshakeByHand::dial(network, &to_victim, &second, &[], dice.array(), &mut said);
        let onward = self.dial_by_hand_of(place.lan, place.host, node, said)?;
        self.take_over(conn);
        let own_words = dice.below(2) == 0;
        let mut word = || match own_words {
            true => Word::Own { nonce: dice.array(), exchange: None },
            false => Word::Theirs,
        };
        let faces = [
            (
                onward,
                Side::Dialler,
                outer,
                Mask {
                    to: conn,
                    own: to_victim.peer_id(),
                    peer: victim_id,
                    word: word(),
                    unsaid: Vec::new(),
                    ready: false,
                },
            ),
            (
                conn,
                Side::Acceptor,
                inner,
                Mask {
                    to: onward,
                    own: to_dialler.peer_id(),
                    peer: dialler_id,
                    word: word(),
                    unsaid: Vec::new(),
                    ready: false,
                },
            ),
        ];
        for (conn, side, handshake, mask) in faces {
            let puppet = Puppet::new(place, side, Play::Between(Box::new(mask)));
            self.hold(conn, Puppet { handshake: Some(handshake), ..puppet });
        }
        self.tally.count(Trick::Middle.kind());
        Some(())
    }

    /// An identity that is made up to be taken for a node, with an id that fits, and its record.
    fn mask(
        &mut self,
        place: Place,
        dice: &mut Dice,
        taken_for: usize,
        fits: impl Fn(PeerId) -> bool,
    ) -> Option<(Identity, Vec<u8>)> {
        let name = self.nodes[taken_for].name.clone();
        for _ in 0..MASKS {
            let identity = self.new_identity(place);
            if fits(identity.peer_id()) {
                let mut record = self.record_of(place, &identity, 1, dice);
                record.name = name;
                let bytes = forge::sign(&identity, &record);
                self.note_issued(record.peer, &bytes);
                self.adversaries.masks.insert(record.peer);
                return Some((identity, bytes));
            }
        }
        None
    }
}
