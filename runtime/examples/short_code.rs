//! A short code: two people compare six digits, here by a channel that stands for their voices.

use std::time::Duration;

use p2pnet::{Event, Node, Step, TrustPolicy};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Runs a node whose person says the code that it shows, hears the other's, and confirms if they are the same.
async fn run(
    name: &str,
    say: Sender<String>,
    mut hear: Receiver<String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut node = Node::builder(name)
        .network("p2pnet example short_code")
        .interfaces(["lo"])
        .trust_policy(TrustPolicy::requiring([Step::Ping, Step::Code]))
        .start()
        .await?;
    let handle = node.handle();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(2), node.next_event()).await {
        match event {
            Event::CodeReady { peer, name: other, code, confirm: true } => {
                println!("{name}: {code} with {other}");
                say.send(code.clone()).await?;
                let matches = hear.recv().await == Some(code);
                handle.confirm_code(peer, matches).await?;
                // From now on this peer need not be asked about any more.
                if matches {
                    handle.trust(peer).await?;
                }
            }
            Event::PeerTrusted { name: other, .. } => println!("{name} trusts {other}"),
            _ => {}
        }
    }
    node.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (alice_says, bob_hears) = channel(4);
    let (bob_says, alice_hears) = channel(4);
    tokio::try_join!(biased; run("alice", alice_says, alice_hears), run("bob", bob_says, bob_hears))?;
    Ok(())
}
