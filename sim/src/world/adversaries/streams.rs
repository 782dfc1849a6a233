//! Tricks on streams of an adversary's own making.

use p2pnet_engine::forge::{self, HandshakeByHand};
use p2pnet_engine::{ContentId, ContentKind, Identity, Manifest};

use crate::stream_end::Side;
use crate::world::World;
use crate::world::streams::ConnId;

use super::puppets::{Play, Puppet};
use super::{Dice, Place};

/// Silent streams of a flood.
const FLOOD: u64 = 30;
/// Identities that nobody else may tell of, in one breath.
const WHISPERS: u64 = 8;

impl World {
    /// Connects to somebody, says `first`, and goes on as `play` says.
    fn connect(&mut self, place: Place, dice: &mut Dice, first: Vec<u8>, play: Play) -> Option<ConnId> {
        let node = self.somebody(place, dice)?;
        let conn = self.dial_by_hand_of(place.lan, place.host, node, first)?;
        self.hold(conn, Puppet::new(place, Side::Dialler, play));
        Some(conn)
    }

    /// Connects to somebody and shakes hands with the key of one identity and the record of perhaps another.
    fn shake_hands(
        &mut self,
        place: Place,
        dice: &mut Dice,
        prover: &Identity,
        record: &[u8],
        play: Play,
    ) -> Option<ConnId> {
        let mut first = Vec::new();
        let network = self.network_of(place.index);
        let handshake = HandshakeByHand::dial(network, prover, record, &[], dice.array(), &mut first);
        let conn = self.connect(place, dice, first, play)?;
        self.adversaries.puppets.get_mut(&conn)?.handshake = Some(handshake);
        Some(conn)
    }

    pub(super) fn garbage_on_a_stream(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let length = dice.below(3000);
        let mut bytes = dice.bytes(length);
        if let (0, Some(begins)) = (dice.below(2), bytes.first_chunk_mut::<8>()) {
            // A preamble, and a message that is as long as it says.
            *begins = *b"p2pn\x01\x02\x30\x00";
        }
        self.connect(place, dice, bytes, Play::Silence).map(drop)
    }

    pub(super) fn replay_first_message(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let said = self.first_message(dice.bits())?;
        self.connect(place, dice, said, Play::Silence).map(drop)
    }

    pub(super) fn flood_with_streams(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let node = self.somebody(place, dice)?;
        for _ in 0..FLOOD {
            let conn = self.dial_by_hand_of(place.lan, place.host, node, Vec::new())?;
            self.hold(conn, Puppet::new(place, Side::Dialler, Play::Silence));
        }
        Some(())
    }

    pub(super) fn show_a_wrong_key(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let (genuine, theirs) = self.adversaries.loot.record(dice)?;
        let own = self.identity_of(place.node);
        let record = match dice.below(3) {
            // The record of somebody else; its own with the link key of somebody else; one that it signed for another.
            0 => theirs,
            1 => {
                let mut record = self.record_of(place, &own, 1 << 40, dice);
                record.link_key = genuine.link_key;
                let bytes = forge::sign(&own, &record);
                // Genuine in all but that its subject cannot prove the key.
                self.note_issued(record.peer, &bytes);
                bytes
            }
            _ => {
                let mut record = genuine;
                (record.link_key, record.seq) = (forge::link_key(&own), record.seq + 1);
                forge::sign(&own, &record)
            }
        };
        let frames = vec![forge::confirm(), forge::verified()];
        self.shake_hands(place, dice, &own, &record, Play::Talk { frames, answers: true }).map(drop)
    }

    /// A link of an identity that was made up, which does all that an honest peer does.
    pub(super) fn keep_a_link(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let (identity, _, record) = self.make_up(place, dice);
        self.keep_a_link_as(place, dice, &identity, &record)
    }

    pub(super) fn keep_a_link_as(
        &mut self,
        place: Place,
        dice: &mut Dice,
        identity: &Identity,
        record: &[u8],
    ) -> Option<()> {
        let play = Play::Talk { frames: vec![forge::confirm()], answers: true };
        self.shake_hands(place, dice, identity, record, play).map(drop)
    }

    pub(super) fn downgrade(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        match dice.below(4) {
            0 => {
                let mut beacon = self.adversaries.loot.beacon(dice)?;
                *beacon.get_mut(4)? = [0, 2, 255][dice.below(3) as usize];
                self.say_to_everybody(place, beacon);
                Some(())
            }
            1 => {
                let mut said = self.first_message(dice.bits())?;
                let (at, value) = [(4, 0), (4, 2), (5, 0), (5, 1), (5, 255)][dice.below(5) as usize];
                *said.get_mut(at)? = value;
                self.connect(place, dice, said, Play::Silence).map(drop)
            }
            _ => self.say_everything_at_once(place, dice),
        }
    }

    /// On a link without any verification: all that only verified peers may say.
    fn say_everything_at_once(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let (identity, _, record) = self.make_up(place, dice);
        let whispered: Vec<_> = (0..WHISPERS).map(|_| self.make_up(place, dice)).collect();
        self.adversaries.unverified.insert(identity.peer_id());
        self.adversaries.whispered.extend(whispered.iter().map(|(who, ..)| who.peer_id()));
        let records: Vec<_> = whispered.into_iter().map(|(.., record)| (0, record)).collect();
        let content = ContentId { hash: dice.array(), size: 1 + dice.below(5000) };
        let manifest = Manifest { content, name: "a present".to_owned(), kind: ContentKind::File };
        let frames = vec![
            forge::confirm(),
            forge::verified(),
            forge::records(&records),
            forge::text("believe me"),
            forge::offer(manifest),
        ];
        let play = Play::Talk { frames, answers: false };
        self.shake_hands(place, dice, &identity, &record, play).map(drop)
    }

    pub(super) fn dribble(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let (identity, _, record) = self.make_up(place, dice);
        let mut first = Vec::new();
        let network = self.network_of(place.index);
        HandshakeByHand::dial(network, &identity, &record, &[], dice.array(), &mut first);
        if dice.below(2) == 0 {
            // Half of a handshake at once, and never the rest.
            first.truncate(dice.below(first.len() as u64) as usize);
            return self.connect(place, dice, first, Play::Silence).map(drop);
        }
        self.connect(place, dice, Vec::new(), Play::Dribble(first.into())).map(drop)
    }

    pub(super) fn ask_and_not_read(&mut self, place: Place, dice: &mut Dice) -> Option<()> {
        let (identity, _, record) = self.make_up(place, dice);
        self.shake_hands(place, dice, &identity, &record, Play::Deaf).map(drop)
    }
}
