//! Says hello to everybody on the LAN: `cargo run --example hello`, or with ` -- lo` on this machine only.

use p2pnet::{Event, Node};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Node::builder(format!("hello {}", std::process::id()));
    if let Some(interface) = std::env::args().nth(1) {
        builder = builder.interfaces([interface]);
    }
    let mut node = builder.start().await?;
    while let Some(event) = node.next_event().await {
        match event {
            Event::PeerTrusted { peer, name, .. } => {
                println!("{name} is here");
                node.handle().send_text(peer, "hello").await?;
            }
            Event::Text { from, text, .. } => println!("{}: {text}", from.short()),
            _ => {}
        }
    }
    Ok(())
}
