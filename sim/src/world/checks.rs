//! What must hold in every run. One module a check.

mod alternate;
mod apart;
mod authentic;
mod bounds;
mod discovery;
mod effort;
mod false_alarm;
mod let_in;
mod links;
mod messages;
mod one_link;
mod provenance;
mod quiet;
mod records;
mod resurrection;
mod searches;
mod steadfast;
mod taint;
mod texts;
mod told;
mod traffic;
mod transfers;
mod unswayed;

use std::net::SocketAddr;

use p2pnet_engine::{Event, PeerId};

use super::World;
use super::plan::Asked;

/// What kind of promise a check is about. The exit code of the program tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The code panicked.
    Panic,
    /// Something happened that never may.
    Safety,
    /// Something that must happen did not, within its bound.
    Liveness,
}

impl Class {
    /// The exit code of `p2pnet-sim` for it.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Panic => 10,
            Class::Safety => 11,
            Class::Liveness => 12,
        }
    }
}

/// What a check can see happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen<'a> {
    Started {
        node: usize,
    },
    /// A node was asked to leave for good.
    Leaves {
        node: usize,
    },
    Event {
        node: usize,
        event: &'a Event,
    },
    TextSent {
        index: usize,
        from: usize,
        to: usize,
        peer: PeerId,
        id: u64,
    },
    MessageSent {
        index: usize,
        from: usize,
        id: u64,
    },
    /// Somebody at a node has said whether a peer is let in; the engine has taken it and done nothing about it yet.
    Answered {
        node: usize,
        peer: PeerId,
        asked: Asked,
        yes: bool,
        /// Whether that holds for good.
        for_good: bool,
    },
    /// A node begins the search of this number in the plan.
    Searches {
        node: usize,
        index: usize,
    },
    /// A node sends a datagram beyond its LANs: a beacon with these flags.
    SentAfar {
        node: usize,
        source: SocketAddr,
        destination: SocketAddr,
        flags: u8,
    },
    /// The engine of a node has done all that an input asked for.
    Turn {
        node: usize,
    },
    /// A second is over: the time for checks that look at everything.
    Second,
    QuietBegins,
    QuietEnds,
}

/// What does not hold, or not yet.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) node: Option<usize>,
    pub(crate) message: String,
}

impl Broken {
    pub(crate) fn on(node: usize, message: String) -> Broken {
        Broken { node: Some(node), message }
    }
}

/// One promise. It sees everything that happens and remembers what it needs to.
pub(crate) trait Check {
    /// Its name, for `explain` and for reports.
    fn id(&self) -> &'static str;

    /// Sees something happen.
    fn saw(&mut self, _world: &World, _seen: &Seen<'_>) -> Result<(), Broken> {
        Ok(())
    }

    /// What must still happen before the core has converged; `None` for nothing.
    fn pending(&self, _world: &World) -> Option<Broken> {
        None
    }
}

/// Every check, ready for a run.
pub(crate) fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(alternate::Alternate::default()),
        Box::new(taint::Taint),
        // Before what finds the same and says less of it.
        Box::new(unswayed::Unswayed::default()),
        Box::new(provenance::Provenance::default()),
        Box::new(resurrection::NoResurrection::default()),
        Box::new(authentic::Authentic),
        Box::new(bounds::Bounds),
        Box::new(effort::Effort::default()),
        Box::new(traffic::Traffic::default()),
        Box::new(searches::Searches::default()),
        Box::new(quiet::Quiet::default()),
        Box::new(let_in::LetIn::default()),
        Box::new(told::Told::default()),
        Box::new(steadfast::Steadfast::default()),
        Box::new(apart::Apart::default()),
        Box::new(false_alarm::FalseAlarm::default()),
        Box::new(discovery::Discovery),
        Box::new(links::Links),
        Box::new(records::Records),
        Box::new(transfers::Transfers::default()),
        Box::new(texts::Texts::default()),
        Box::new(messages::Messages::default()),
        // The last: who does not know or trust a peer is told so sooner than that there is no link.
        Box::new(one_link::OneLink::default()),
    ]
}

/// Every check by its id, with its class and the sentence that it stands for.
pub const SENTENCES: [(&str, Class, &str); 26] = [
    (
        "no-panic",
        Class::Panic,
        "No input, whatever it is, makes the code panic, and no driver is asked for what it does not know.",
    ),
    (
        "deadlines",
        Class::Safety,
        "After a deadline was handled the next one lies in the future, and time moves on.",
    ),
    (
        "alternate",
        Class::Safety,
        "A peer is told to be connected, trusted and gone in this order: ups and downs alternate.",
    ),
    (
        "taint",
        Class::Safety,
        "Nothing of a peer that was not verified passes but its own record, untrusted texts, pings and its goodbye; nobody holds a record that only such peers told of.",
    ),
    (
        "provenance",
        Class::Safety,
        "Every record that is held is one that its subject signed, every goodbye that is believed one that its subject said, and every content that arrives is one that its publisher published, byte for byte, and so is every file on a disk after a crash.",
    ),
    (
        "no-resurrection",
        Class::Safety,
        "Who left for good does not come back to those who know it without a higher incarnation.",
    ),
    (
        "texts",
        Class::Safety,
        "A text arrives at most once in each run of its receiver, unchanged, from whom it says; none is reported as delivered that is not; and those sent after the network was healed arrive.",
    ),
    (
        "messages",
        Class::Safety,
        "A message arrives at most once in each run of its receiver, unchanged, from whom it says; each has one outcome, which names nobody as having it who has not; and those sent after the network was healed arrive at all whom they are for.",
    ),
    (
        "authentic",
        Class::Safety,
        "Who holds the other end of a link is who its peer is, whatever happens on the way.",
    ),
    (
        "unswayed",
        Class::Safety,
        "By no server's word a node knows somebody of another network, or holds a peer that runs for gone.",
    ),
    (
        "effort",
        Class::Safety,
        "Nobody makes a node check more signatures in vain, take more streams or answer more beacons than its budgets allow.",
    ),
    (
        "bounds",
        Class::Safety,
        "Every table and queue of an engine, and its streams, stay within their limits.",
    ),
    (
        "traffic",
        Class::Safety,
        "A node sends no more datagrams than its beacons and a bounded number of replies take, whatever it receives, only beacons while it is quiet, nothing beyond the networks that it is in, and nothing goes round without end.",
    ),
    (
        "searches",
        Class::Safety,
        "A search sends nothing outside its prefix, no faster and no more than it was told to, who did not ask to be found answers nobody, and nothing else is sent beyond the LAN but probes of peers that are silent.",
    ),
    (
        "one-link",
        Class::Safety,
        "While the network is quiet every pair has exactly one link and keeps it, and both sides trust each other.",
    ),
    (
        "quiet",
        Class::Safety,
        "When there is nothing to do no peer comes or goes, and where nothing breaks none is ever lost.",
    ),
    (
        "let-in",
        Class::Safety,
        "A node trusts nobody whom its policy keeps out, nobody before its own people and applications said yes, and nobody of whom they saw another code; and where nothing breaks it rejects nobody else, and for no other reason.",
    ),
    (
        "told",
        Class::Liveness,
        "After the network was healed two nodes of which one does not let the other in both know why.",
    ),
    (
        "steadfast",
        Class::Safety,
        "Where adversaries are all that is wrong, and no more peers are known than links may be had, honest nodes find and trust each other within seconds while the attack goes on, and no link of theirs ends because of it.",
    ),
    (
        "false-alarm",
        Class::Safety,
        "Nobody who runs and can be reached is told to be lost, whatever its streams do and others say.",
    ),
    (
        "apart",
        Class::Liveness,
        "Who can hear each other's beacons, healed or not, know each other within the time that the cadence and the loss give.",
    ),
    (
        "discovery",
        Class::Liveness,
        "After the network was healed all nodes of the core in one network know each other.",
    ),
    (
        "links",
        Class::Liveness,
        "After the network was healed all nodes of the core in one network trust each other.",
    ),
    (
        "records",
        Class::Liveness,
        "After the network was healed everybody in the core holds the record of everybody else that is valid now, and the same of all others.",
    ),
    (
        "transfers",
        Class::Liveness,
        "After the network was healed everybody in the core gets whole what the others in it publish.",
    ),
    ("leavers", Class::Liveness, "Who leaves for good is forgotten by everybody within seconds."),
];

/// What kind of promise a check is about.
pub(crate) fn class_of(id: &str) -> Class {
    SENTENCES.iter().find(|(known, ..)| *known == id).map_or(Class::Safety, |&(_, class, _)| class)
}

/// The nodes of the core, in pairs that must have a link.
pub(super) fn core_pairs(world: &World) -> impl Iterator<Item = (usize, usize)> + '_ {
    let core: Vec<usize> = (0..world.len()).filter(|&node| world.plan().is_core(node)).collect();
    let pairs: Vec<(usize, usize)> =
        core.iter().flat_map(|&a| core.iter().map(move |&b| (a, b))).filter(|(a, b)| a != b).collect();
    pairs.into_iter().filter(|&(a, b)| world.must_link(a, b))
}

/// Whether a pair has, or must have, a link: in a crowd not every one can.
pub(super) fn are_linked(world: &World, a: usize, b: usize) -> bool {
    let peer = world.engine(a).and_then(|engine| engine.peer(&world.peer_id(b)));
    world.all_fit() || peer.is_some_and(|peer| peer.link.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_sentence() {
        for check in all() {
            assert!(SENTENCES.iter().any(|(id, ..)| *id == check.id()), "{}", check.id());
        }
    }
}
