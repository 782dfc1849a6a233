//! Texts: at most once, unchanged, and after healing at last.

use std::collections::{BTreeMap, BTreeSet};

use p2pnet_engine::{Event, PeerId};

use super::{Broken, Check, Seen, are_linked};
use crate::world::World;

/// A text that an engine took.
#[derive(Debug)]
struct Sent {
    index: usize,
    from: usize,
    to: usize,
    /// In which runs of sender and receiver it was sent.
    starts: (u64, u64),
    healed: bool,
}

/// All texts that were sent and that arrived.
#[derive(Debug, Default)]
pub(super) struct Texts {
    sent: Vec<Sent>,
    /// By sender, its run, peer and number.
    numbers: BTreeMap<(usize, u64, PeerId, u64), usize>,
    /// By receiver, its run and text.
    arrived: BTreeSet<(usize, u64, usize)>,
    arrived_ever: BTreeSet<(usize, usize)>,
    /// Who ever said goodbye.
    left: BTreeSet<PeerId>,
    /// Texts that their senders gave up and said so, since the receiver was leaving. A goodbye may be heard so late that
    /// the next run is there already (wan 6704).
    given_up: BTreeSet<usize>,
}

impl Check for Texts {
    fn id(&self) -> &'static str {
        "texts"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::TextSent { index, from, to, peer, id } => {
                let starts = (world.starts(from), world.starts(to));
                self.numbers.insert((from, starts.0, peer, id), index);
                self.sent.push(Sent { index, from, to, starts, healed: world.is_healed() });
                Ok(())
            }
            Seen::Leaves { node } => {
                self.left.insert(world.peer_id(node));
                Ok(())
            }
            Seen::Event { node, event: Event::TextsLost { to, first, last } } if self.left.contains(to) => {
                let of = |id: u64| (node, world.starts(node), *to, id);
                self.given_up.extend(self.numbers.range(of(*first)..=of(*last)).map(|(_, &index)| index));
                Ok(())
            }
            // What an insider says is others' words, what it acknowledges it may not have, and its own texts may be
            // taken for words that it has said before.
            Seen::Event {
                node,
                event: Event::Text { from: peer, .. } | Event::TextDelivered { to: peer, .. },
            } if world.is_insider(peer) || world.is_insider(&world.peer_id(node)) => Ok(()),
            Seen::Event { node, event: Event::Text { from, text, .. } } => {
                self.arrives(world, node, from, text)
            }
            Seen::Event { node, event: Event::TextDelivered { to, id } } => {
                let Some(&index) = self.numbers.get(&(node, world.starts(node), *to, *id)) else {
                    return Err(Broken::on(node, format!("text {id} was delivered and never sent")));
                };
                let receivers = (0..world.len()).filter(|&other| self.arrived_ever.contains(&(other, index)));
                // Several nodes may have had this identity: clones, and the one that came after.
                // An application that takes no events has its texts in the engine, and loses them with it.
                if receivers.count() == 0 && world.node_of(to).is_some() && !world.was_deaf(to) {
                    return Err(Broken::on(node, format!("text {id} was delivered and never arrived")));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        let waits = |sent: &&Sent| {
            let runs = (world.starts(sent.from), world.starts(sent.to));
            sent.healed
                && runs == sent.starts
                && !self.given_up.contains(&sent.index)
                && world.must_link(sent.from, sent.to)
                && are_linked(world, sent.from, sent.to)
                && !self.arrived.contains(&(sent.to, sent.starts.1, sent.index))
        };
        let sent = self.sent.iter().find(waits)?;
        let message = format!("text {} from {} has not arrived", sent.index, world.name(sent.from));
        Some(Broken::on(sent.to, message))
    }
}

impl Texts {
    fn arrives(&mut self, world: &World, node: usize, from: &PeerId, text: &str) -> Result<(), Broken> {
        let Some(index) = world.text_index(text) else {
            return Err(Broken::on(node, format!("a text that nobody sent: {}", text.escape_debug())));
        };
        let author = self.sent.iter().rev().find(|sent| sent.index == index).map(|sent| sent.from);
        let Some(author) = author else {
            return Err(Broken::on(node, format!("text {index} arrived before it was sent")));
        };
        if !world.ever_was(author, from) {
            return Err(Broken::on(
                node,
                format!("text {index} is from {}, not from {}", world.name(author), from.short()),
            ));
        }
        if !self.arrived.insert((node, world.starts(node), index)) {
            return Err(Broken::on(node, format!("text {index} arrived twice in one run")));
        }
        self.arrived_ever.insert((node, index));
        Ok(())
    }
}
