//! Streams in the hands of adversaries: what they do with what comes.

use std::collections::VecDeque;
use std::time::Duration;

use p2pnet_engine::forge::{self, HandshakeByHand};
use p2pnet_engine::{Channel, LinkId, Opened, Opener, Sealer};

use crate::stream_end::Side;
use crate::world::streams::{ConnId, Holder};
use crate::world::{Happening, World};

use super::middle::{Mask, Said};
use super::{Place, Trick};

/// Streams that one adversary holds; beyond it lets the oldest go.
const MOST: usize = 96;
/// Between two bytes of one that takes its time.
const DRIBBLE: Duration = Duration::from_millis(150);

/// A stream that an adversary holds one end of.
pub(super) struct Puppet {
    pub(super) adversary: usize,
    pub(super) side: Side,
    pub(super) play: Play,
    /// The handshake, until it is over; then the keys.
    pub(super) handshake: Option<HandshakeByHand>,
    pub(super) keys: Option<(Sealer, Opener)>,
}

/// What it is for.
pub(super) enum Play {
    /// It says nothing more.
    Silence,
    /// It says one byte after the other.
    Dribble(VecDeque<u8>),
    /// After its handshake it says all of this at once, and answers what every peer answers, if it does.
    Talk { frames: Vec<Vec<u8>>, answers: bool },
    /// It asks for more than it ever reads.
    Deaf,
    /// It passes on what comes to another stream, with a flipped bit now and then.
    Relay { to: ConnId, spoils: bool },
    /// It shakes hands with each of two people, and stands between them when they compare a code.
    Between(Box<Mask>),
}

impl Play {
    /// The stream that ends with its own.
    fn other_stream(&self) -> Option<ConnId> {
        match self {
            Play::Relay { to, .. } => Some(*to),
            Play::Between(mask) => Some(mask.to),
            _ => None,
        }
    }
}

impl Puppet {
    pub(super) fn new(place: Place, side: Side, play: Play) -> Puppet {
        Puppet { adversary: place.index, side, play, handshake: None, keys: None }
    }
}

impl World {
    /// Who holds the other end of a node's link, behind whoever only passes its bytes on. `None` if the stream is gone.
    pub(crate) fn other_end(&self, node: usize, link: LinkId) -> Option<Holder> {
        let &(mut conn, mut side) = self.nodes[node].links.get(&link)?;
        loop {
            match self.conns.get(&conn)?.holder(side.other())? {
                Holder::Node(other) => return Some(Holder::Node(other)),
                Holder::Hand => match self.adversaries.puppets.get(&conn).map(|puppet| &puppet.play) {
                    Some(&Play::Relay { to, .. }) => {
                        conn = to;
                        side = self.adversaries.puppets.get(&to)?.side;
                    }
                    _ => return Some(Holder::Hand),
                },
            }
        }
    }

    /// Holds one end of a stream from now on.
    pub(super) fn hold(&mut self, conn: ConnId, puppet: Puppet) {
        let mut own =
            self.adversaries.puppets.iter().filter(|(_, known)| known.adversary == puppet.adversary);
        let oldest = own.next().map(|(&conn, _)| conn);
        if let Some(oldest) = oldest.filter(|_| own.count() + 1 >= MOST) {
            self.let_go(oldest);
        }
        let dribbles = matches!(puppet.play, Play::Dribble(_) | Play::Deaf);
        self.adversaries.puppets.insert(conn, puppet);
        if dribbles {
            self.after(DRIBBLE, Happening::Puppet(conn));
        }
    }

    /// Lets a stream go, and the one that it passes on to.
    pub(super) fn let_go(&mut self, conn: ConnId) {
        let Some(puppet) = self.adversaries.puppets.remove(&conn) else { return };
        self.end_by_hand(conn, puppet.side);
        if let Some(other) = puppet.play.other_stream() {
            self.let_go(other);
        }
    }

    /// Something may have arrived at an end that a puppet holds.
    pub(in crate::world) fn puppet_reads(&mut self, conn: ConnId) {
        let Some(puppet) = self.adversaries.puppets.get(&conn) else { return };
        let side = puppet.side;
        if !matches!(puppet.play, Play::Deaf) || puppet.handshake.is_some() {
            for bytes in self.read_by_hand(conn, side) {
                self.puppet_hears(conn, &bytes);
            }
        }
        if self.is_over_by_hand(conn, side) {
            self.let_go(conn);
        }
    }

    fn puppet_hears(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(puppet) = self.adversaries.puppets.get_mut(&conn) else { return };
        if let Play::Relay { to, spoils } = puppet.play {
            return self.pass_on(conn, to, spoils, bytes);
        }
        let side = puppet.side;
        let mut out = Vec::new();
        if let Some(handshake) = &mut puppet.handshake {
            match handshake.receive(bytes, &mut out) {
                Ok(None) => {}
                Ok(Some(codec)) => {
                    let transcript = handshake.transcript().unwrap_or_default();
                    puppet.handshake = None;
                    let (mut sealer, opener) = codec.split();
                    let first = match &mut puppet.play {
                        Play::Talk { frames, .. } => frames.concat(),
                        Play::Between(mask) => mask.begin(transcript),
                        _ => forge::confirm(),
                    };
                    sealer.seal(Channel::Control, &first, &mut out);
                    puppet.keys = Some((sealer, opener));
                }
                Err(_) => {
                    self.say_by_hand(conn, side, out);
                    return self.let_go(conn);
                }
            }
        } else if let Some((_, opener)) = &mut puppet.keys {
            opener.push(bytes);
        }
        self.say_by_hand(conn, side, out);
        self.answer_all(conn);
    }

    fn answer_all(&mut self, conn: ConnId) {
        let Some(puppet) = self.adversaries.puppets.get_mut(&conn) else { return };
        let side = puppet.side;
        let answers = matches!(puppet.play, Play::Talk { answers: true, .. } | Play::Between(_));
        let Some((sealer, opener)) = &mut puppet.keys else { return };
        let (mut out, mut for_other) = (Vec::new(), Vec::new());
        loop {
            match opener.next() {
                Ok(Some(Opened::Control(frame))) => {
                    let mut answer = forge::answer(&frame).filter(|_| answers);
                    if let Play::Between(mask) = &mut puppet.play {
                        match mask.hear(&frame) {
                            Some(Said::Here(frame)) => answer = Some(frame),
                            Some(Said::There(frame)) => for_other.push((mask.to, frame)),
                            None => {}
                        }
                    }
                    if let Some(answer) = answer {
                        sealer.seal(Channel::Control, &answer, &mut out);
                    }
                }
                Ok(Some(Opened::Block { .. })) => {}
                Ok(None) => break,
                Err(_) => return self.let_go(conn),
            }
        }
        self.say_by_hand(conn, side, out);
        for (other, frame) in for_other {
            self.say_there(other, frame);
        }
    }

    /// Says on one link what was said on the other.
    fn say_there(&mut self, conn: ConnId, frame: Vec<u8>) {
        let Some(puppet) = self.adversaries.puppets.get_mut(&conn) else { return };
        let Play::Between(mask) = &mut puppet.play else { return };
        let (Some(frame), Some((sealer, _))) = (mask.pass_on(frame), &mut puppet.keys) else { return };
        let (side, mut out) = (puppet.side, Vec::new());
        sealer.seal(Channel::Control, &frame, &mut out);
        self.say_by_hand(conn, side, out);
    }

    fn pass_on(&mut self, conn: ConnId, to: ConnId, spoils: bool, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if spoils && bytes.len() > 40 && self.conns_made.is_multiple_of(3) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
        }
        let Some(puppet) = self.adversaries.puppets.get(&conn) else { return };
        self.tally.count(Trick::Middle.kind());
        let other = puppet.side.other();
        self.say_by_hand(to, other, bytes);
    }

    /// A puppet that takes its time says its next word.
    pub(in crate::world) fn puppet_goes_on(&mut self, conn: ConnId) {
        let Some(puppet) = self.adversaries.puppets.get_mut(&conn) else { return };
        let side = puppet.side;
        let mut out = Vec::new();
        match (&mut puppet.play, &mut puppet.keys) {
            (Play::Dribble(rest), _) => match rest.pop_front() {
                Some(byte) => out.push(byte),
                None => return,
            },
            (Play::Deaf, Some((sealer, _))) => {
                let questions: Vec<u8> = (0..40).flat_map(forge::ping).collect();
                sealer.seal(Channel::Control, &questions, &mut out);
            }
            (Play::Deaf, None) => {}
            _ => return,
        }
        self.say_by_hand(conn, side, out);
        if self.is_over_by_hand(conn, side) {
            return self.let_go(conn);
        }
        self.after(DRIBBLE, Happening::Puppet(conn));
    }
}
