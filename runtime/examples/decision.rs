//! An application decision: alice lets in whoever has a name with a "b".

use std::time::Duration;

use p2pnet::{Event, Node, NodeBuilder, Step, TrustPolicy};

fn node(name: &str) -> NodeBuilder {
    Node::builder(name).network("p2pnet example decision").interfaces(["lo"])
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy = TrustPolicy::requiring([Step::Ping, Step::Decision]);
    let mut alice = node("alice").trust_policy(policy).start().await?;
    let (bob, mallory) = (node("bob").start().await?, node("mallory").start().await?);
    let handle = alice.handle();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(2), alice.next_event()).await {
        match event {
            // A real application would ask its user, who has two minutes.
            Event::DecisionWanted { peer, name, .. } if name.contains('b') => handle.accept(peer).await?,
            Event::DecisionWanted { peer, .. } => handle.reject(peer).await?,
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
