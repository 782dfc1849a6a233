//! Nodes that reach each other by a real TURN server, coturn. Loopback only.

#![cfg(feature = "relay")]
#![expect(clippy::disallowed_methods, reason = "real servers take real time")]

#[path = "../turn/tests/coturn/mod.rs"]
mod coturn;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use p2pnet::bootstrap::{Announcement, Answering, BootstrapServer};
use p2pnet::engine::{ServerAnswer, ServerRecord};
use p2pnet::{Event, Node, NodeBuilder, PeerId};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use coturn::{Coturn, PASSWORD, USER};

const PATIENCE: Duration = Duration::from_secs(10);

/// A bootstrap server in memory. It says that everybody comes from loopback.
#[derive(Clone, Default)]
struct Registry(Arc<Mutex<Vec<Vec<u8>>>>);

impl BootstrapServer for Registry {
    fn name(&self) -> &str {
        "registry"
    }

    fn announce(&self, announcement: Announcement) -> Answering<'_> {
        let mut records = self.0.lock().unwrap();
        // The network's tag and the peer's id begin a record.
        let whose = |record: &[u8]| record[..40].to_vec();
        records.retain(|record| whose(record) != whose(&announcement.record));
        let told = |record: &Vec<u8>| ServerRecord {
            record: record.clone(),
            age_secs: 0,
            from: Some(Ipv4Addr::LOCALHOST.into()),
        };
        let answer = ServerAnswer { records: records.iter().map(told).collect(), ..ServerAnswer::default() };
        records.push(announcement.record);
        Box::pin(async { Ok(answer) })
    }
}

/// A node that hears no beacons of others.
fn node(name: &str, registry: &Registry) -> NodeBuilder {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Node::builder(name)
        .network("tests of relays")
        .interfaces(["lo"])
        .ports([port])
        .bootstrap(registry.clone())
}

fn url(server: &Coturn, password: &str) -> p2pnet::relay::Relay {
    format!("turn://{USER}:{password}@{}", server.address).parse().unwrap()
}

async fn until<T>(node: &mut Node, what: impl Fn(&Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            let event = node.next_event().await.expect("the node goes on");
            if let Some(found) = what(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("nothing came")
}

async fn relayed(node: &mut Node) -> SocketAddr {
    until(node, |event| if let Event::Relayed { address, .. } = event { Some(*address) } else { None }).await
}

async fn failed(node: &mut Node) -> (String, String) {
    until(node, |event| match event {
        Event::RelayFailed { relay, why } => Some((relay.clone(), why.clone())),
        _ => None,
    })
    .await
}

async fn trusted(node: &mut Node) -> PeerId {
    until(node, |event| if let Event::PeerTrusted { peer, .. } = event { Some(*peer) } else { None }).await
}

#[tokio::test]
async fn peers_meet_by_a_relay_and_by_the_next_one_when_it_is_killed() {
    let Some(mut first) = Coturn::start(&[]) else { return };
    let Some(second) = Coturn::start(&[]) else { return };
    let registry = Registry::default();
    let home = node("home", &registry).relay(url(&first, PASSWORD)).relay(url(&second, PASSWORD));
    let mut home = home.start().await.unwrap();
    let address = relayed(&mut home).await;
    let observed =
        until(
            &mut home,
            |event| if let Event::Observed { address, .. } = event { Some(*address) } else { None },
        );
    assert_eq!(observed.await.ip(), Ipv4Addr::LOCALHOST, "it says where it sees us");

    let mut away = node("away", &registry).peer(address).start().await.unwrap();
    let peer = trusted(&mut away).await;
    let id = trusted(&mut home).await;
    away.handle().send_text(peer, "over the relay").await.unwrap();
    let text = until(&mut home, |event| match event {
        Event::Text { from, text, .. } => Some((*from, text.clone())),
        _ => None,
    });
    assert_eq!(text.await, (id, "over the relay".to_owned()));

    let killed = Instant::now();
    first.kill();
    let (relay, _) = failed(&mut home).await;
    assert_eq!(relay, format!("turn://{}", first.address));
    let other = relayed(&mut home).await;
    assert_ne!(address, other);
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    let mut third = node("third", &registry).peer(other).start().await.unwrap();
    trusted(&mut third).await;
    for node in [home, away, third] {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_relay_that_refuses_the_password_is_named_and_others_go_on() {
    let Some(server) = Coturn::start(&[]) else { return };
    let builder =
        node("home", &Registry::default()).relay(url(&server, "wrong")).relay(url(&server, PASSWORD));
    let mut home = builder.start().await.unwrap();
    let (relay, why) = failed(&mut home).await;
    assert_eq!(relay, format!("turn://{}", server.address));
    assert_eq!(why, "the relay refuses the user name or the password; check them");
    relayed(&mut home).await;
    home.shutdown().await;
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_named() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = format!("turn://a:b@{nobody}").parse().unwrap();
    let mut home = node("home", &Registry::default()).relay(relay).start().await.unwrap();
    let (_, why) = failed(&mut home).await;
    assert!(why.starts_with("the relay cannot be reached"), "{why}");
    home.shutdown().await;
}

#[tokio::test]
async fn what_is_no_relay_is_named_as_such() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let web = tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let relay = format!("turn://anna:pw@{address}").parse().unwrap();
    let mut node = node("node", &Registry::default()).relay(relay).start().await.unwrap();
    let (_, why) = failed(&mut node).await;
    assert_eq!(why, "what answers there is no TURN server; check the host and the port");
    node.shutdown().await;
    web.abort();
}

#[tokio::test]
async fn more_relays_than_a_node_may_have_are_refused() {
    let relay: p2pnet::relay::Relay = "turn://a:b@127.0.0.1:9".parse().unwrap();
    let builder = (0..5).fold(node("home", &Registry::default()), |builder, _| builder.relay(relay.clone()));
    let error = builder.start().await.unwrap_err();
    assert_eq!(error.to_string(), "a node has at most 4 relays; give fewer");
}
