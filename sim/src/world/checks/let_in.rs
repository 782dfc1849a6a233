//! Nobody is let in whom the policy keeps out, and nobody without its people's word.

use std::collections::{BTreeMap, BTreeSet};

use p2pnet_engine::{Event, Level, PeerId, RejectReason};

use super::{Broken, Check, Seen};
use crate::world::World;
use crate::world::plan::Asked;

/// What was shown and said at each node.
#[derive(Debug, Default)]
pub(super) struct LetIn {
    /// The codes that were shown at a node, of each peer.
    shown: BTreeMap<(usize, PeerId), BTreeSet<String>>,
    /// What was said last of a peer, and in which run.
    said: BTreeMap<(usize, PeerId, Asked), (u64, bool)>,
    /// Whom somebody said yes to for good.
    for_good: BTreeSet<(usize, PeerId)>,
}

impl Check for LetIn {
    fn id(&self) -> &'static str {
        "let-in"
    }

    fn saw(&mut self, world: &World, seen: &Seen<'_>) -> Result<(), Broken> {
        if !world.plan().has_policies() {
            return Ok(());
        }
        match *seen {
            Seen::Answered { node, peer, asked, yes, for_good } => {
                self.said.insert((node, peer, asked), (world.starts(node), yes));
                if for_good {
                    self.for_good.insert((node, peer));
                }
                Ok(())
            }
            Seen::Event { node, event } => match event {
                Event::CodeReady { peer, code, .. } => {
                    self.shown.entry((node, *peer)).or_default().insert(code.clone());
                    Ok(())
                }
                Event::PeerTrusted { peer, .. } => self.trusts(world, node, *peer),
                Event::PeerRejected { peer, reason, by_us, .. } if world.is_undisturbed() => {
                    has_its_reason(world, node, peer, *reason, *by_us)
                }
                _ => Ok(()),
            },
            Seen::Second => world.looked_at().try_for_each(|node| {
                let engine = world.engine(node).filter(|_| !world.stands_still(node));
                let peers = engine.into_iter().flat_map(|engine| engine.peers());
                let mut trusted = peers.filter(|peer| peer.level == Level::Trusted);
                trusted.try_for_each(|peer| is_kept_out(world, node, &peer.id))
            }),
            _ => Ok(()),
        }
    }
}

impl LetIn {
    fn trusts(&self, world: &World, node: usize, peer: PeerId) -> Result<(), Broken> {
        is_kept_out(world, node, &peer)?;
        if self.for_good.contains(&(node, peer)) {
            return Ok(());
        }
        let other = world.whose(&peer);
        let name = || other.map_or_else(|| peer.short(), |other| world.name(other).to_owned());
        let compares = world.compare_codes(node, other);
        let decides = world.trust_of(node).is_some_and(|plan| plan.asks.contains(&Asked::Decision));
        for asked in [(compares, Asked::Code), (decides, Asked::Decision)].iter().filter(|(is, _)| *is) {
            let asked = asked.1;
            let said = self.said.get(&(node, peer, asked)).filter(|(run, _)| *run == world.starts(node));
            if said.is_none_or(|(_, yes)| !yes) {
                let answer = if said.is_some() { "no" } else { "nothing" };
                let message = format!("{} is trusted, and {answer} was said of {asked:?}", name());
                return Err(Broken::on(node, message));
            }
        }
        let honest = other.filter(|&other| compares && !world.is_suspect(other));
        let Some(other) = honest else { return Ok(()) };
        let here = self.shown.get(&(node, peer));
        let there = self.shown.get(&(other, world.peer_id(node)));
        let same = here.zip(there).is_some_and(|(here, there)| !here.is_disjoint(there));
        if same {
            return Ok(());
        }
        Err(Broken::on(node, format!("{} is trusted, and they never had the same code", name())))
    }
}

/// Whether a rejection where nothing breaks is for what one of the two has against the other.
fn has_its_reason(
    world: &World,
    node: usize,
    peer: &PeerId,
    reason: RejectReason,
    by_us: bool,
) -> Result<(), Broken> {
    let Some(other) = world.whose(peer) else { return Ok(()) };
    let (who, whom) = if by_us { (node, other) } else { (other, node) };
    // Who is turned away while people still compare may miss the word for it, and notes a comparison without an end.
    let follows = matches!(reason, RejectReason::TooOften | RejectReason::TimedOut);
    let apart = !world.agree(node, other);
    if world.may_refuse(who, whom, reason) || (apart && follows) {
        return Ok(());
    }
    let message = format!("{} and it part for {reason:?} though nothing is wrong", world.name(other));
    Err(Broken::on(node, message))
}

/// Whether a policy keeps a peer out that its node trusts: for what the peer is, and, if it is an honest one, for what it
/// must have against the node. That a certificate of the node is over it may not have been able to tell it.
fn is_kept_out(world: &World, node: usize, peer: &PeerId) -> Result<(), Broken> {
    let Some(other) = world.whose(peer) else {
        let choosy = world.trust_of(node).is_some_and(|plan| plan.is_choosy());
        return match choosy {
            true => Err(Broken::on(node, format!("{}, who is nobody, is trusted", peer.short()))),
            false => Ok(()),
        };
    };
    if let Some(reason) = world.knows_demerit(node, other) {
        let message = format!("{} is trusted and should not be: {reason:?}", world.name(other));
        return Err(Broken::on(node, message));
    }
    let against_us = world.knows_demerit(other, node).filter(|_| !world.is_suspect(other));
    match against_us.filter(|reason| *reason != RejectReason::CertificateExpired) {
        Some(reason) => {
            let message = format!("{} is trusted, which cannot trust it: {reason:?}", world.name(other));
            Err(Broken::on(node, message))
        }
        None => Ok(()),
    }
}
