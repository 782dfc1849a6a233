//! A libp2p stream over TCP, Noise and Yamux: enciphered; nothing is checked by hash or kept in order to go on later.

use std::path::Path;

use libp2p::futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream as stream;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::tcp::{receive, send};
use crate::child::{Clock, Result, Taken};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/compare/1");

type Swarm = libp2p::Swarm<stream::Behaviour>;

fn swarm() -> Result<Swarm> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| stream::Behaviour::new())?
        .build())
}

pub(super) async fn transfer(source: &Path, into: Option<&Path>) -> Result<Taken> {
    let (mut from, mut to) = (swarm()?, swarm()?);
    let receiver = *to.local_peer_id();
    to.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = to.select_next_some().await {
            break address;
        }
    };
    let mut incoming = to.behaviour().new_control().accept(PROTOCOL)?;
    let mut control = from.behaviour().new_control();
    from.dial(address)?;
    tokio::spawn(async move {
        loop {
            to.select_next_some().await;
        }
    });
    loop {
        if let SwarmEvent::ConnectionEstablished { .. } = from.select_next_some().await {
            break;
        }
    }
    tokio::spawn(async move {
        loop {
            from.select_next_some().await;
        }
    });
    let bytes = std::fs::metadata(source)?.len();
    let (source, on_disk) = (source.to_owned(), into.is_some());
    let into = into.map(|into| into.join("received"));
    let clock = Clock::start();
    let receiving = tokio::spawn(async move {
        let (_, stream) = incoming.next().await.ok_or("no stream came")?;
        receive(stream.compat(), into.as_deref()).await
    });
    let stream = control.open_stream(receiver, PROTOCOL).await?;
    send(stream.compat(), &source, bytes, on_disk).await?;
    let received = receiving.await??;
    let taken = clock.stop();
    if received == bytes { Ok(taken) } else { Err(format!("{received} of {bytes} bytes came").into()) }
}
