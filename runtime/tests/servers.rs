//! What a node makes of bootstrap servers that are none, or not as they should be. Loopback only.

#![cfg(feature = "bootstrap")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use data_encoding::BASE64;
use p2pnet::bootstrap::HttpServer;
use p2pnet::engine::{Instance, PeerRecord, RecordClass, RecordKind, SignedRecord};
use p2pnet::{Event, Identity, Network, Node};
use tokio::time::timeout;

/// The ports keep the tests apart.
const NETWORK: &str = "tests of servers";

/// Answers every connection with this status and body, until the process ends.
fn answering(status: &str, body: &str) -> SocketAddr {
    saying(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// Answers every connection with these bytes, until the process ends.
fn saying(answer: String) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the answers of a made-up server need not be deterministic"
    )]
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// What a node is told first of a server at this address.
async fn verdict(address: SocketAddr) -> Event {
    let server: HttpServer = format!("http://{address}").parse().unwrap();
    let builder = Node::builder("alice").network(NETWORK).interfaces(["lo"]);
    let mut node = builder.ports([address.port()]).bootstrap(server).start().await.unwrap();
    let wait = async {
        loop {
            let event = node.next_event().await.unwrap();
            if matches!(event, Event::ServerReached { .. } | Event::ServerFailed { .. }) {
                return event;
            }
        }
    };
    let event = timeout(Duration::from_secs(10), wait).await.expect("nothing was said of the server");
    node.shutdown().await;
    event
}

/// Why the server at this address has failed.
async fn failure(address: SocketAddr) -> String {
    match verdict(address).await {
        Event::ServerFailed { server, why } => {
            assert_eq!(server, format!("http://{address}"));
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_answers_is_reached() {
    let address = answering("200 OK", r#"{"records": [], "observed": "198.51.100.7:4711", "unknown": 1}"#);
    let event = verdict(address).await;
    let observed = Some("198.51.100.7:4711".parse().unwrap());
    assert_eq!(event, Event::ServerReached { server: format!("http://{address}"), records: 0, observed });
}

#[tokio::test]
async fn what_is_no_server_is_named_in_one_line() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let html = answering("404 Not Found", "<html>");
    let other = saying("220 mail.example ESMTP\r\n".to_owned());
    let json = answering("200 OK", "{}");
    let strict =
        answering("429 Too Many Requests", r#"{"error": {"code": "slow-down", "message": "once a second"}}"#);
    for (address, says) in [
        (nobody, "cannot be reached"),
        (html, "answers, but not as a bootstrap server does (status 404)"),
        (other, "answers, but not as a bootstrap server does"),
        (json, "answers, but not as a bootstrap server does (missing field `records`"),
        (strict, "refuses the announcement: once a second"),
    ] {
        let why = failure(address).await;
        assert!(why.starts_with(says) && !why.contains('\n'), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_passes_on_what_nobody_signed_is_called_a_liar() {
    let (network, identity) = (Network::open(NETWORK).unwrap(), Identity::from_seed([7; 32]));
    let record = PeerRecord {
        network: network.tag(),
        peer: identity.peer_id(),
        incarnation: 1,
        seq: 1,
        kind: RecordKind::Alive,
        ttl_secs: 3600,
        class: RecordClass::Wide,
        instance: Instance::from_bytes([1; 16]),
        link_key: [1; 32],
        port: 4711,
        name: "mallory".into(),
        addrs: vec![],
        caps: 0,
    };
    let mut forged = SignedRecord::sign(&identity, record).unwrap().bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let body = format!(r#"{{"records": [{{"record": "{}"}}]}}"#, BASE64.encode(&forged));
    let why = failure(answering("200 OK", &body)).await;
    assert!(why.starts_with("passes on a record that its subject did not sign"), "{why}");
}
