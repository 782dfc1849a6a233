//! p2pnet: two nodes that trust each other; each block is enciphered, checked, and written to a file that is durable at the
//! end. What is in memory is a file in tmpfs.

use std::path::Path;

use p2pnet::{Event, Node, Source};

use crate::child::{Clock, Result, Taken};

pub(super) async fn transfer(source: &Path, into: Option<&Path>, room: &Path, hash: &str) -> Result<Taken> {
    let into = into.ok_or("it keeps what it receives as a file")?;
    let node = |name: &str| {
        Node::builder(name).network("compare").interfaces(["lo"]).data_dir(room.join(name)).inbox(into)
    };
    let sender = node("sender").start().await?;
    let mut receiver = node("receiver").start().await?;
    sender.handle().share(Source::at(source)).await?;
    let offered = loop {
        match receiver.next_event().await.ok_or("the receiver stopped")? {
            Event::ContentOffered { manifest, .. } => break manifest.content,
            _ => continue,
        }
    };
    let clock = Clock::start();
    receiver.handle().fetch(offered).await?;
    let path = loop {
        match receiver.next_event().await.ok_or("the receiver stopped")? {
            Event::ContentReceived { path, .. } => break path,
            Event::ContentFailed { reason, .. } => return Err(format!("it failed: {reason:?}").into()),
            _ => continue,
        }
    };
    let taken = clock.stop();
    drop(sender);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    if hasher.finalize().to_hex().as_str() == hash { Ok(taken) } else { Err("another file came".into()) }
}
