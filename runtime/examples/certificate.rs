//! Certificates: an authority vouches for alice and bob, and says what they may do. Mallory has none.

use std::time::Duration;

use p2pnet::{Certificate, Event, Identity, Network, Node, TrustPolicy};

const NETWORK: &str = "p2pnet example certificate";

/// Starts a node, and has the authority vouch for it if it is `known`. A real peer keeps its identity in a data
/// directory, shows its id to the authority once, and starts with the certificate that it gets.
async fn start(name: &str, authority: &Identity, known: bool) -> Result<Node, Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("p2pnet-example-{}-{name}", std::process::id()));
    let builder = || Node::builder(name).network(NETWORK).interfaces(["lo"]).data_dir(&dir);
    let first = builder().start().await?;
    let subject = first.handle().peer_id();
    first.shutdown().await;
    let can = ["print".to_string()];
    let certificate = Certificate::issue(authority, &Network::open(NETWORK)?, subject, can, None)?;
    let policy = TrustPolicy::vouched_for([authority.peer_id()], known.then_some(certificate));
    Ok(builder().trust_policy(policy).start().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 32 bytes of entropy that stay with the authority; `p2pnet cert new` makes them.
    let authority = Identity::from_seed([7; 32]);
    let mut alice = start("alice", &authority, true).await?;
    let bob = start("bob", &authority, true).await?;
    let mallory = start("mallory", &authority, false).await?;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(2), alice.next_event()).await {
        match event {
            Event::PeerTrusted { peer, name, .. } => {
                let peers = alice.handle().peers().await?;
                let can = peers.into_iter().find(|known| known.id == peer).map(|known| known.capabilities);
                println!("alice trusts {name}, which may {}", can.unwrap_or_default().join(", "));
            }
            Event::PeerRejected { name, reason, .. } => println!("{name} is out: {}", reason.sentence()),
            _ => {}
        }
    }
    for (name, node) in [("alice", alice), ("bob", bob), ("mallory", mallory)] {
        node.shutdown().await;
        std::fs::remove_dir_all(
            std::env::temp_dir().join(format!("p2pnet-example-{}-{name}", std::process::id())),
        )?;
    }
    Ok(())
}
