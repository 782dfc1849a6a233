//! A verification step of one's own: both sides prove that they know a word, without saying it.
//!
//! Three nodes on loopback; two know the same word and trust each other, the third does not and is rejected. A proof
//! names the handshake's transcript and its sender, so it is worth nothing on another link or sent back. (Whoever is
//! sent a proof can try words against it at leisure: take a word that cannot be guessed.)

use std::time::Duration;

use p2pnet::{Event, Node, NodeHandle, PeerId, RejectReason, Step, TrustPolicy};

const STEP: &str = "word";

/// What `sender` sends on the link with this transcript if it knows `word`.
fn proof(word: &str, transcript: &[u8; 32], sender: PeerId) -> [u8; 32] {
    let material = [transcript, sender.as_bytes(), word.as_bytes()].concat();
    blake3::derive_key("p2pnet example: custom_step", &material)
}

/// Takes part in one message of the step.
async fn answer(
    node: &NodeHandle,
    word: &str,
    peer: PeerId,
    transcript: [u8; 32],
    message: Option<Vec<u8>>,
) -> Result<(), p2pnet::CommandError> {
    match message {
        // The step begins: both sides send their proof.
        None => node.step_send(peer, STEP, proof(word, &transcript, node.peer_id())).await,
        // The other side's proof. Comparing hashes that an attacker cannot choose needs no constant time.
        Some(theirs) => node.step_conclude(peer, STEP, theirs == proof(word, &transcript, peer)).await,
    }
}

/// Runs a node until it was idle for a while, and says whom it trusts and whom it turned away.
async fn run(name: &str, word: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut node = Node::builder(name)
        .network("p2pnet example custom_step")
        .interfaces(["lo"])
        .trust_policy(TrustPolicy::requiring([Step::Ping, Step::Custom(STEP.into())]))
        .start()
        .await?;
    let handle = node.handle();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(3), node.next_event()).await {
        match event {
            Event::StepMessage { peer, transcript, message, .. } => {
                // The link may be gone again: then there is nothing to answer.
                if let Err(error) = answer(&handle, word, peer, transcript, message).await {
                    println!("{name}: {error}");
                }
            }
            Event::PeerTrusted { name: peer, .. } => println!("{name} trusts {peer}"),
            Event::PeerRejected { name: peer, reason: RejectReason::Failed, .. } => {
                println!("{name} and {peer} do not know the same word");
            }
            _ => {}
        }
    }
    node.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tokio::try_join!(biased; run("alice", "heron"), run("bob", "heron"), run("mallory", "crow"))?;
    Ok(())
}
