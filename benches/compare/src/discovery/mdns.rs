//! The rival: a libp2p swarm with mDNS, set up as rust-libp2p's own examples do it, that says what it finds.
//!
//! It prints one JSON object a line: `peer_discovered` when mDNS reports a peer for the first time, `peer_connected`
//! when the first connection to a peer is established, which with Noise means that it has proven its key. `t_ms` is
//! the time since the process began.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

use libp2p::futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{PeerId, SwarmBuilder, mdns, noise, tcp, yamux};
use serde_json::json;

/// Runs it for at most `lifetime`. `began` is when the process did.
pub(crate) fn run(began: Instant, lifetime: Duration) -> Result<(), Box<dyn Error>> {
    refuse_to_be_elsewhere()?;
    // All cores, as `#[tokio::main]` in rust-libp2p's examples has it, and as p2pnet does.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // That the time is over is how it ends, and no error.
        tokio::time::timeout(lifetime, find(began)).await.unwrap_or(Ok(()))
    })
}

/// Ends only with an error.
async fn find(began: Instant) -> Result<(), Box<dyn Error>> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|key| {
            Ok(mdns::tokio::Behaviour::new(mdns::Config::default(), key.public().to_peer_id())?)
        })?
        .build();
    // Without an address of its own it has nothing to tell others.
    swarm.listen_on("/ip4/0.0.0.0/tcp/0".parse()?)?;

    // Both stay as small as the LAN, which has one other host.
    let mut discovered = BTreeSet::new();
    let mut connected = BTreeSet::new();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(mdns::Event::Discovered(found)) => {
                for (peer, _) in found {
                    if discovered.insert(peer) {
                        say("peer_discovered", &peer, began)?;
                        // What an application does next, and p2pnet does by itself. Not from the port that it listens
                        // on, which is the default: hosts that dial each other at once would meet in one TCP
                        // connection, where both take themselves for the dialler and the handshake fails.
                        if let Err(error) = swarm.dial(DialOpts::peer_id(peer).allocate_new_port().build()) {
                            eprintln!("{peer} is not dialled: {error}");
                        }
                    }
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } if connected.insert(peer_id) => {
                say("peer_connected", &peer_id, began)?;
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => eprintln!("a dial failed: {error}"),
            _ => {}
        }
    }
}

fn say(event: &str, peer: &PeerId, began: Instant) -> io::Result<()> {
    let t_ms = began.elapsed().as_secs_f64() * 1000.0;
    let line = json!({ "event": event, "t_ms": t_ms, "peer": peer.to_string() });
    writeln!(io::stdout(), "{line}")
}

/// mDNS speaks on every interface that there is. So this runs only where `compare` put it: in another network
/// namespace than whoever started it.
fn refuse_to_be_elsewhere() -> Result<(), Box<dyn Error>> {
    let own = fs::read_link("/proc/self/ns/net")?;
    let parents = fs::read_link(format!("/proc/{}/ns/net", parent_id()))?;
    if own == parents {
        return Err("this is for `compare` to start, in a network namespace that it made".into());
    }
    Ok(())
}
