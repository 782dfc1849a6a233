//! Who is let in: decisions and answers that come over the control socket.

use p2pnet_engine::{Decision, PeerId, Who};
use tokio::sync::mpsc;

use super::delivery::refusal;
use super::protocol::{Answer, Ask, Refusal};
use crate::handle::{NodeHandle, PeerInfo};

/// Carries out a request that is about letting in.
pub(super) async fn decide(
    ask: Ask,
    node: &NodeHandle,
    answers: &mpsc::Sender<Answer>,
) -> Result<(), Refusal> {
    match ask {
        Ask::Trust { peer } => node.trust(id_called(node, &peer).await?).await.map_err(refusal),
        Ask::Distrust { peer } => node.distrust(id_called(node, &peer).await?).await.map_err(refusal),
        Ask::Block { who } => node.block(who_called(node, &who).await?).await.map_err(refusal),
        Ask::Unblock { who } => {
            let had = node.unblock(who_called(node, &who).await?).await.map_err(refusal)?;
            if had { Ok(()) } else { Err(Refusal::bad(format!("{who} is not blocked"))) }
        }
        Ask::Forget { peer } => {
            let had = node.forget(id_called(node, &peer).await?).await.map_err(refusal)?;
            if had { Ok(()) } else { Err(Refusal::bad(format!("nothing is known about {peer}"))) }
        }
        Ask::Accept { peer } => node.accept(id_called(node, &peer).await?).await.map_err(refusal),
        Ask::Reject { peer } => node.reject(id_called(node, &peer).await?).await.map_err(refusal),
        Ask::ConfirmCode { peer, matches } => {
            node.confirm_code(id_called(node, &peer).await?, matches).await.map_err(refusal)
        }
        Ask::Waiting {} => {
            let peers = node.peers().await.map_err(refusal)?;
            for (waiting, step) in node.waiting().await.map_err(refusal)? {
                let name = peers.iter().find(|peer| peer.id == waiting).map(|peer| peer.name.clone());
                let (peer, step) = (waiting.to_string(), step.name().to_owned());
                let _ = answers.send(Answer::Waiting { peer, name: name.unwrap_or_default(), step }).await;
            }
            Ok(())
        }
        Ask::Decisions {} => {
            for decision in node.decisions().await.map_err(refusal)? {
                let (decision, who) = match decision {
                    Decision::Trust(peer) => ("trust", peer.to_string()),
                    Decision::Block(who) => ("block", who.to_string()),
                    _ => continue,
                };
                let _ = answers.send(Answer::Decision { decision: decision.to_owned(), who }).await;
            }
            Ok(())
        }
        _ => Err(Refusal::bad("not a request of this version")),
    }
}

/// The one known peer that is called so.
pub(super) async fn one_called(node: &NodeHandle, called: &str) -> Result<PeerInfo, Refusal> {
    let mut meant = node.peers().await.map_err(refusal)?;
    meant.retain(|known| known.answers_to(called));
    match meant.len() {
        1 => Ok(meant.remove(0)),
        0 => Err(Refusal::bad(format!("no peer answers to {called}; see `p2pnet peers`"))),
        _ => Err(Refusal::bad(format!("several peers answer to {called}; see `p2pnet peers`"))),
    }
}

/// A whole id is a peer, known or not.
async fn id_called(node: &NodeHandle, called: &str) -> Result<PeerId, Refusal> {
    match called.parse() {
        Ok(peer) => Ok(peer),
        Err(_) => Ok(one_called(node, called).await?.id),
    }
}

async fn who_called(node: &NodeHandle, called: &str) -> Result<Who, Refusal> {
    match called.parse() {
        Ok(who) => Ok(who),
        Err(_) => Ok(one_called(node, called).await?.id.into()),
    }
}
