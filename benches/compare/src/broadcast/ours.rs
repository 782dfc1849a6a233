//! p2pnet: messages of `broadcast`, which are acknowledged; their sender learns who has them.

use std::sync::Arc;
use std::time::Duration;

use p2pnet::{CommandError, Event, MessageError, Node, NodeHandle};
use tokio::sync::mpsc;

use super::{Swarm, Tally};
use crate::child::Result;

pub(super) struct Ours(Vec<NodeHandle>);

pub(super) async fn start(nodes: usize, tally: Arc<Tally>) -> Result<Ours> {
    let (trusted, mut met) = mpsc::unbounded_channel();
    let mut handles = Vec::new();
    for i in 0..nodes {
        let mut node = Node::builder(format!("n{i}")).network("compare").interfaces(["lo"]).start().await?;
        handles.push(node.handle());
        let (tally, trusted) = (tally.clone(), trusted.clone());
        tokio::spawn(async move {
            while let Some(event) = node.next_event().await {
                match event {
                    Event::Message { bytes, .. } => tally.delivered(&bytes),
                    Event::PeerTrusted { .. } => drop(trusted.send(())),
                    _ => {}
                }
            }
        });
    }
    for _ in 0..nodes * (nodes - 1) {
        let met = tokio::time::timeout(Duration::from_secs(20), met.recv()).await;
        met.map_err(|_| "they did not all meet")?.ok_or("the nodes stopped")?;
    }
    Ok(Ours(handles))
}

impl Swarm for Ours {
    async fn publish(&self, node: usize, bytes: Vec<u8>) -> Result<()> {
        loop {
            match self.0[node].broadcast(bytes.clone()).await {
                Ok(_) => return Ok(()),
                Err(CommandError::Message(MessageError::Full)) => {
                    tokio::time::sleep(Duration::from_millis(1)).await
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
