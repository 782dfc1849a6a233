//! An allow list: alice lets in bob, whose id she knows, and nobody else.

use std::time::Duration;

use p2pnet::{Event, Node, NodeBuilder, TrustPolicy};

fn node(name: &str) -> NodeBuilder {
    Node::builder(name).network("p2pnet example allow_list").interfaces(["lo"])
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bob = node("bob").start().await?;
    let mallory = node("mallory").start().await?;
    let friends = [bob.handle().peer_id()];
    let mut alice = node("alice").trust_policy(TrustPolicy::only(friends)).start().await?;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(2), alice.next_event()).await {
        match event {
            Event::PeerTrusted { name, .. } => println!("alice trusts {name}"),
            Event::PeerRejected { name, reason, .. } => println!("{name} is out: {}", reason.sentence()),
            _ => {}
        }
    }
    for node in [alice, bob, mallory] {
        node.shutdown().await;
    }
    Ok(())
}
