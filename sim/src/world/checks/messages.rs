//! Messages: at most once, unchanged, each with one outcome, and after healing at last.

use std::collections::{BTreeMap, BTreeSet};

use p2pnet_engine::{Event, Level, PeerId};

use super::{Broken, Check, Seen};
use crate::world::World;
use crate::world::faults::Fault;

/// A message that an engine took.
#[derive(Debug)]
struct Sent {
    from: usize,
    start: u64,
    /// Who must get it, and in which run: those of the core whom it is for, if the network was healed when it was sent.
    receivers: Vec<(usize, u64)>,
    /// Whether it is for nobody else.
    whole: bool,
    /// How many have it, once that is settled.
    delivered: Option<u32>,
}

/// All messages that were sent and that arrived.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// By number in the plan: each is taken once at most.
    sent: BTreeMap<usize, Sent>,
    /// By sender, its run and number.
    numbers: BTreeMap<(usize, u64, u64), usize>,
    /// By message, receiver and its run.
    arrived: BTreeSet<(usize, usize, u64)>,
}

impl Check for Messages {
    fn id(&self) -> &'static str {
        "messages"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        match *seen {
            Seen::MessageSent { index, from, id } => {
                let start = world.starts(from);
                self.numbers.insert((from, start, id), index);
                self.sent.insert(index, sent(world, index, from));
                Ok(())
            }
            Seen::Event { node, event: Event::Message { from, bytes, .. } } => {
                // An insider says others' words to its neighbours under its own name, and takes what it likes.
                if world.is_insider(from) || world.is_insider(&world.peer_id(node)) {
                    return Ok(());
                }
                self.arrives(world, node, from, bytes)
            }
            Seen::Event { node, event: Event::MessageSettled { id, delivered, .. } } => {
                self.settles(world, node, *id, *delivered)
            }
            _ => Ok(()),
        }
    }

    fn pending(&self, world: &World) -> Option<Broken> {
        let waits = |index: usize, sent: &Sent| {
            let runs = |(node, start): (usize, u64)| world.starts(node) == start;
            if !runs((sent.from, sent.start)) {
                return None;
            }
            let there =
                |&(node, start): &(usize, u64)| runs((node, start)) && world.must_meet(sent.from, node);
            let mut left = sent.receivers.iter().filter(|receiver| there(receiver));
            if let Some(&(node, _)) =
                left.find(|&&(node, start)| !self.arrived.contains(&(index, node, start)))
            {
                let message = format!("message {index} from {} has not arrived", world.name(sent.from));
                return Some(Broken::on(node, message));
            }
            let all_there = sent.whole && !sent.receivers.is_empty() && sent.receivers.iter().all(there);
            if all_there && sent.delivered != u32::try_from(sent.receivers.len()).ok() {
                let told =
                    sent.delivered.map_or("nothing".to_owned(), |delivered| format!("{delivered} of it"));
                let message =
                    format!("message {index} has arrived at {}, told is {told}", sent.receivers.len());
                return Some(Broken::on(sent.from, message));
            }
            None
        };
        self.sent.iter().find_map(|(&index, sent)| waits(index, sent))
    }
}

impl Messages {
    fn arrives(&mut self, world: &World, node: usize, from: &PeerId, bytes: &[u8]) -> Result<(), Broken> {
        let broken = |message: String| Err(Broken::on(node, message));
        let Some(index) = world.plan().message_index(bytes) else {
            let beginning = bytes.get(..24).unwrap_or(bytes).escape_ascii();
            return broken(format!("a message of {} B that nobody sent: {beginning}", bytes.len()));
        };
        let Some(sent) = self.sent.get(&index) else {
            return broken(format!("message {index} arrived before it was sent"));
        };
        if !world.ever_was(sent.from, from) {
            let author = world.name(sent.from);
            return broken(format!("message {index} is from {author}, not from {}", from.short()));
        }
        let to = world.plan().message[index].to.as_deref();
        if to.is_some_and(|to| world.name(node) != to && !world.is_cloned(&world.peer_id(node))) {
            return broken(format!("message {index} is for {}", to.unwrap_or_default()));
        }
        if !self.arrived.insert((index, node, world.starts(node))) {
            return broken(format!("message {index} arrived twice in one run"));
        }
        Ok(())
    }

    fn settles(&mut self, world: &World, node: usize, id: u64, delivered: u32) -> Result<(), Broken> {
        let broken = |message: String| Err(Broken::on(node, message));
        let Some(&index) = self.numbers.get(&(node, world.starts(node), id)) else {
            return broken(format!("message {id} has an outcome and was never sent"));
        };
        let Some(sent) = self.sent.get_mut(&index) else { return Ok(()) };
        if sent.delivered.replace(delivered).is_some() {
            return broken(format!("message {index} has two outcomes"));
        }
        let have = self.arrived.range((index, 0, 0)..(index + 1, 0, 0)).count();
        // An application that takes no events has its messages in the engine, and loses them with it; and what an insider
        // says of who has one is not true.
        let deceived = world.plan().fault.iter().any(|fault| {
            matches!(fault, Fault::Insider { .. } | Fault::SlowApplication { .. } | Fault::Clone { .. })
        });
        if delivered as usize > have && !deceived && world.plan().adversary.is_empty() {
            return broken(format!("message {index} was delivered to {delivered} and arrived at {have}"));
        }
        Ok(())
    }
}

/// Whom a message is for that is being sent: of all, those that the sender trusts; in a crowd, those that it knows.
fn sent(world: &World, index: usize, from: usize) -> Sent {
    let start = world.starts(from);
    let mut sent = Sent { from, start, receivers: Vec::new(), whole: false, delivered: None };
    let Some(engine) = world.engine(from).filter(|_| world.is_healed() && world.plan().is_core(from)) else {
        return sent;
    };
    let to = world.plan().message[index].to.as_ref().and_then(|to| world.plan().node(to));
    let is_crowd = engine.peers().count() > engine.config().max_links;
    sent.whole = true;
    for peer in engine.peers() {
        let node = world.node_of(&peer.id);
        let is_for_it = match to {
            Some(to) => node == Some(to),
            None => is_crowd || peer.level == Level::Trusted,
        };
        let must = node.filter(|&node| match is_crowd && to.is_none() {
            true => world.must_meet(from, node),
            false => world.must_link(from, node),
        });
        match must {
            Some(node) if is_for_it => sent.receivers.push((node, world.starts(node))),
            _ => sent.whole &= to.is_some(),
        }
    }
    sent
}
