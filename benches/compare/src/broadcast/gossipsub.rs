//! gossipsub of rust-libp2p (TCP, Noise, Yamux; signed messages) with its default configuration, every pair connected.

use std::sync::Arc;
use std::time::Duration;

use libp2p::futures::StreamExt;
use libp2p::gossipsub::{Behaviour, ConfigBuilder, Event, IdentTopic, MessageAuthenticity, PublishError};
use libp2p::swarm::SwarmEvent;
use libp2p::{SwarmBuilder, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

use super::{Swarm, Tally};
use crate::child::Result;

type Publish = (Vec<u8>, oneshot::Sender<std::result::Result<(), PublishError>>);

pub(super) struct Gossipsub(Vec<mpsc::Sender<Publish>>);

pub(super) async fn start(nodes: usize, tally: Arc<Tally>) -> Result<Gossipsub> {
    let topic = IdentTopic::new("compare");
    let (subscribed, mut met) = mpsc::unbounded_channel();
    let (mut senders, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..nodes {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
            .with_behaviour(|key| {
                let config = ConfigBuilder::default().build()?;
                let signed = MessageAuthenticity::Signed(key.clone());
                Ok(<Behaviour>::new(signed, config)?)
            })?
            .build();
        swarm.behaviour_mut().subscribe(&topic)?;
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        for other in &addresses {
            swarm.dial(libp2p::Multiaddr::clone(other))?;
        }
        addresses.push(address);
        let (sender, mut publish) = mpsc::channel::<Publish>(64);
        senders.push(sender);
        let (tally, subscribed, topic) = (tally.clone(), subscribed.clone(), topic.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::Behaviour(Event::Message { message, .. }) => tally.delivered(&message.data),
                        SwarmEvent::Behaviour(Event::Subscribed { .. }) => drop(subscribed.send(())),
                        _ => {}
                    },
                    Some((bytes, answer)) = publish.recv() => {
                        let published = swarm.behaviour_mut().publish(topic.clone(), bytes);
                        let _ = answer.send(published.map(drop));
                    }
                }
            }
        });
    }
    for _ in 0..nodes * (nodes - 1) {
        let met = tokio::time::timeout(Duration::from_secs(20), met.recv()).await;
        met.map_err(|_| "they did not all subscribe")?.ok_or("the nodes stopped")?;
    }
    // The mesh is made with the next heartbeats.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(Gossipsub(senders))
}

impl Swarm for Gossipsub {
    async fn publish(&self, node: usize, bytes: Vec<u8>) -> Result<()> {
        loop {
            let (answer, answered) = oneshot::channel();
            self.0[node].send((bytes.clone(), answer)).await?;
            match answered.await? {
                Ok(()) => return Ok(()),
                Err(PublishError::AllQueuesFull(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => return Err(error.to_string().into()),
            }
        }
    }
}
