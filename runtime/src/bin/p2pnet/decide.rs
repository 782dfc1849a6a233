//! `p2pnet trust`, `distrust`, `block`, `unblock`, `forget` and `decisions`: through the node that runs, else on its data
//! directory.

use std::path::Path;

use p2pnet::control::{Answer, Ask, Client};
use p2pnet::engine::MAX_DECISIONS;
use p2pnet::{Decision, DiskStoreError, KnownPeer, StoredMemory, Who};

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::Common;
use crate::output::Output;
use crate::session;
use crate::signals::Signals;
use crate::text::escaped;

/// What is to be done about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Trust,
    Distrust,
    Block,
    Unblock,
    Forget,
}

impl Verb {
    /// The event, and the word for people.
    fn done(self) -> (&'static str, Word) {
        match self {
            Verb::Trust => ("trust", Word::Good("trusts")),
            Verb::Distrust => ("distrust", Word::Quiet("distrusts")),
            Verb::Block => ("block", Word::Quiet("blocks")),
            Verb::Unblock => ("unblock", Word::Quiet("unblocks")),
            Verb::Forget => ("forget", Word::Quiet("forgets")),
        }
    }

    fn ask(self, called: &str) -> Ask {
        let called = called.to_owned();
        match self {
            Verb::Trust => Ask::Trust { peer: called },
            Verb::Distrust => Ask::Distrust { peer: called },
            Verb::Block => Ask::Block { who: called },
            Verb::Unblock => Ask::Unblock { who: called },
            Verb::Forget => Ask::Forget { peer: called },
        }
    }
}

/// Does it, and says so.
pub(crate) async fn run(
    common: &Common,
    verb: Verb,
    called: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    let dir = session::data_dir(common)?;
    let mut signals = Signals::new()?;
    if let Some(mut client) = Client::connect(&dir).await? {
        let ask = verb.ask(called);
        crate::running::ask(&mut client, &ask, &mut signals, output, |_, _| Ok(())).await?;
    } else {
        let network = crate::cert::network(common)?.tag();
        let mut memory = open(&dir)?;
        on_disk(&mut memory, network, verb, called)?;
    }
    let (event, word) = verb.done();
    output.tell(|at| Line::new(event, at).text("who", called), word, &escaped(called))
}

/// Prints everything that was decided.
pub(crate) async fn list(common: &Common, output: &mut Output) -> Result<(), Failure> {
    let dir = session::data_dir(common)?;
    let mut signals = Signals::new()?;
    if let Some(mut client) = Client::connect(&dir).await? {
        let take = |answer, output: &mut Output| match answer {
            Answer::Decision { decision, who } => print(&escaped(&decision), &escaped(&who), output),
            _ => Ok(()),
        };
        return crate::running::ask(&mut client, &Ask::Decisions {}, &mut signals, output, take).await;
    }
    let network = crate::cert::network(common)?.tag();
    for decision in open(&dir)?.decisions(network).map_err(unusable)? {
        match decision {
            Decision::Trust(peer) => print("trust", &peer.to_string(), output)?,
            Decision::Block(who) => print("block", &who.to_string(), output)?,
            _ => {}
        }
    }
    Ok(())
}

fn print(decision: &str, who: &str, output: &Output) -> Result<(), Failure> {
    output.object(|at| Line::new("decision", at).text("decision", decision).text("who", who))?;
    output.line(&format!("{decision:5}  {who}"))
}

/// Opens what the next run will find; nobody runs.
fn open(dir: &Path) -> Result<StoredMemory, Failure> {
    let bad = |error: DiskStoreError| Failure::BadInput(error.to_string());
    std::fs::create_dir_all(dir).map_err(unusable)?;
    StoredMemory::open(dir).map_err(bad)
}

fn on_disk(memory: &mut StoredMemory, network: [u8; 8], verb: Verb, called: &str) -> Result<(), Failure> {
    let mut decisions = memory.decisions(network).map_err(unusable)?;
    let who = meant(called, &memory.peers(network).map_err(unusable)?)?;
    let peer = match (who, verb) {
        (Who::Peer(peer), _) => Some(peer),
        (_, Verb::Block | Verb::Unblock) => None,
        _ => return Err(Failure::BadInput("give a peer: only blocks are about addresses".into())),
    };
    let before = decisions.len();
    match (verb, peer) {
        (Verb::Trust, Some(peer)) => {
            if decisions.contains(&Decision::Block(who)) {
                return Err(Failure::BadInput("this peer is blocked; unblock it first".into()));
            }
            add(&mut decisions, Decision::Trust(peer))?;
        }
        (Verb::Block, peer) => {
            decisions.retain(|decision| peer.is_none_or(|peer| *decision != Decision::Trust(peer)));
            add(&mut decisions, Decision::Block(who))?;
        }
        (Verb::Distrust, Some(peer)) => decisions.retain(|decision| *decision != Decision::Trust(peer)),
        (Verb::Forget, Some(peer)) => {
            decisions.retain(|decision| ![Decision::Trust(peer), Decision::Block(who)].contains(decision));
        }
        _ => decisions.retain(|decision| *decision != Decision::Block(who)),
    }
    let forgotten = match peer.filter(|_| matches!(verb, Verb::Block | Verb::Forget)) {
        Some(peer) => memory.forget(peer).map_err(unusable)?,
        None => false,
    };
    if matches!(verb, Verb::Unblock | Verb::Forget) && before == decisions.len() && !forgotten {
        return Err(Failure::BadInput(format!("nothing is decided or known about {}", escaped(called))));
    }
    memory.decide(network, &decisions).map_err(unusable)
}

fn add(decisions: &mut Vec<Decision>, decision: Decision) -> Result<(), Failure> {
    if decisions.contains(&decision) {
        return Ok(());
    }
    if decisions.len() >= MAX_DECISIONS {
        return Err(Failure::BadInput(format!("{MAX_DECISIONS} decisions are kept already; take one back")));
    }
    decisions.push(decision);
    Ok(())
}

/// A whole id, an address, or the name or the beginning of the id of a peer that was met.
fn meant(called: &str, known: &[KnownPeer]) -> Result<Who, Failure> {
    if let Ok(who) = called.parse() {
        return Ok(who);
    }
    let short = called.len() >= 8;
    let answers = |known: &&KnownPeer| {
        known.name == called || (short && known.peer.to_string().starts_with(&called.to_ascii_lowercase()))
    };
    let mut meant: Vec<_> = known.iter().filter(answers).map(|known| known.peer).collect();
    meant.dedup();
    match meant[..] {
        [peer] => Ok(peer.into()),
        [] => Err(Failure::BadInput(format!(
            "no peer that was met answers to {}; give its whole id",
            escaped(called)
        ))),
        _ => {
            Err(Failure::BadInput(format!("several peers answer to {}; give the whole id", escaped(called))))
        }
    }
}

fn unusable(error: std::io::Error) -> Failure {
    Failure::NotAchieved(format!("the data directory cannot be used: {error}"))
}
