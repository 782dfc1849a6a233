//! iroh-gossip (HyParView and PlumTree over QUIC) with its default configuration, and room for all that comes.

use std::sync::Arc;
use std::time::Duration;

use iroh::address_lookup::memory::MemoryLookup;
use iroh::protocol::Router;
use iroh_gossip::api::{Event, GossipSender, JoinOptions};
use iroh_gossip::net::Gossip;
use iroh_gossip::proto::TopicId;
use libp2p::futures::StreamExt;
use tokio::sync::mpsc;

use super::{Swarm, Tally};
use crate::child::Result;
use crate::transfer::blobs::endpoint;

pub(super) struct Iroh {
    senders: Vec<GossipSender>,
    _routers: Vec<Router>,
}

pub(super) async fn start(nodes: usize, tally: Arc<Tally>) -> Result<Iroh> {
    let lookup = MemoryLookup::new();
    let topic = TopicId::from_bytes([7; 32]);
    let (joined, mut met) = mpsc::unbounded_channel();
    let (mut senders, mut routers, mut first) = (Vec::new(), Vec::new(), None);
    for _ in 0..nodes {
        let endpoint = endpoint(lookup.clone()).await?;
        lookup.add_endpoint_info(endpoint.addr());
        let gossip = Gossip::builder().spawn(endpoint.clone());
        routers.push(Router::builder(endpoint.clone()).accept(iroh_gossip::ALPN, gossip.clone()).spawn());
        let mut options = JoinOptions::with_bootstrap(first);
        options.subscription_capacity = 1 << 20;
        first.get_or_insert(endpoint.id());
        let topic = gossip.subscribe_with_opts(topic, options).await.map_err(|error| error.to_string())?;
        let (sender, mut receiver) = topic.split();
        senders.push(sender);
        let (tally, joined) = (tally.clone(), joined.clone());
        tokio::spawn(async move {
            let mut is_joined = false;
            while let Some(Ok(event)) = receiver.next().await {
                match event {
                    Event::Received(message) => tally.delivered(&message.content),
                    Event::NeighborUp(_) if !is_joined => {
                        is_joined = true;
                        let _ = joined.send(());
                    }
                    _ => {}
                }
            }
        });
    }
    for _ in 0..nodes {
        let met = tokio::time::timeout(Duration::from_secs(20), met.recv()).await;
        met.map_err(|_| "they did not all join")?.ok_or("the nodes stopped")?;
    }
    // Who has just joined is still to find more neighbours.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(Iroh { senders, _routers: routers })
}

impl Swarm for Iroh {
    async fn publish(&self, node: usize, bytes: Vec<u8>) -> Result<()> {
        self.senders[node].broadcast(bytes.into()).await.map_err(|error| error.to_string().into())
    }
}
