//! Real nodes on real sockets, on loopback only. Every test has ports and a network of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use p2pnet::{Event, LeaveReason, Node, NodeBuilder, PeerId, Source, StartError};
use tokio::time::{Instant, timeout};

/// No step of a test takes so long unless it never happens.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ports and a name that no other test has.
struct Lan {
    network: String,
    ports: Vec<u16>,
}

impl Lan {
    fn new() -> Self {
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap()).collect();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        Lan { network: format!("test {} {ports:?}", std::process::id()), ports }
    }

    fn builder(&self, name: &str) -> NodeBuilder {
        Node::builder(name).network(&self.network).interfaces(["lo"]).ports(self.ports.clone())
    }

    async fn start(&self, name: &str) -> Node {
        self.builder(name).start().await.unwrap()
    }
}

/// Takes events until one gives something.
async fn until<T>(node: &mut Node, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let mut seen = Vec::new();
    let wait = async {
        loop {
            let event = node.next_event().await.expect("the node has stopped");
            seen.push(format!("{event:?}"));
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    };
    match timeout(PATIENCE, wait).await {
        Ok(picked) => picked,
        Err(_) => panic!("no {what} in {PATIENCE:?}, only {seen:#?}"),
    }
}

/// Waits until `node` trusts a peer of this name.
async fn trusted(node: &mut Node, peer: &str) -> PeerId {
    let pick = |event| match event {
        Event::PeerTrusted { peer: id, name, .. } if name == peer => Some(id),
        _ => None,
    };
    until(node, &format!("trust in {peer}"), pick).await
}

/// Two nodes that trust each other, and the second's id as the first knows it.
async fn pair(lan: &Lan) -> (Node, Node, PeerId) {
    let (mut alice, mut bob) = tokio::join!(biased; lan.start("alice"), lan.start("bob"));
    let (bob_id, alice_id) = tokio::join!(biased; trusted(&mut alice, "bob"), trusted(&mut bob, "alice"));
    assert_eq!(alice_id, alice.handle().peer_id());
    assert_eq!(bob_id, bob.handle().peer_id());
    (alice, bob, bob_id)
}

#[tokio::test]
async fn two_nodes_started_at_once_trust_each_other_soon() {
    let begin = Instant::now();
    let (alice, bob, _) = pair(&Lan::new()).await;
    // Milliseconds as a rule; a machine that is busy with other tests needs longer.
    assert!(begin.elapsed() < Duration::from_secs(3), "it took {:?}", begin.elapsed());
    assert_ne!(alice.handle().local_port(), bob.handle().local_port());
    tokio::join!(biased; alice.shutdown(), bob.shutdown());
}

#[tokio::test]
async fn the_first_event_says_where_the_node_listens() {
    let mut node = Lan::new().start("alice").await;
    let handle = node.handle();
    let expected =
        Event::Listening { peer: handle.peer_id(), name: "alice".into(), port: handle.local_port() };
    assert_eq!(node.next_event().await, Some(expected));
    node.shutdown().await;
    assert!(handle.stats().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_on_one_port_trust_one_another() {
    let lan = Lan::new();
    let names = ["alice", "bob", "carol", "dave"];
    let mut tasks = Vec::new();
    for name in names {
        let mut node = lan.start(name).await;
        tasks.push(tokio::spawn(async move {
            let mut missing: Vec<_> = names.into_iter().filter(|other| *other != name).collect();
            let pick = |event| {
                if let Event::PeerTrusted { name, .. } = event {
                    missing.retain(|other| *other != name);
                }
                missing.is_empty().then_some(())
            };
            until(&mut node, "trust in all others", pick).await;
            node
        }));
    }
    let mut nodes = Vec::new();
    for task in tasks {
        nodes.push(task.await.unwrap());
    }
    for node in &nodes {
        assert_eq!(node.handle().peers().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_text_arrives_and_its_delivery_is_told() {
    let (mut alice, mut bob, bob_id) = pair(&Lan::new()).await;
    let sent = alice.handle().send_text(bob_id, "good morning \u{1f426}").await.unwrap();
    let (from, text, was_trusted) = until(&mut bob, "text", |event| match event {
        Event::Text { from, text, trusted } => Some((from, text, trusted)),
        _ => None,
    })
    .await;
    assert_eq!(
        (from, text.as_str(), was_trusted),
        (alice.handle().peer_id(), "good morning \u{1f426}", true)
    );
    let delivered = until(&mut alice, "delivery", |event| match event {
        Event::TextDelivered { to, id } => Some((to, id)),
        _ => None,
    })
    .await;
    assert_eq!(delivered, (bob_id, sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_file_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("notes.bin");
    let bytes: Vec<u8> = (0..5_000_003_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&source, &bytes).unwrap();

    let lan = Lan::new();
    let inbox = folder.path().join("inbox");
    let (mut alice, mut bob) =
        (lan.start("alice").await, lan.builder("bob").inbox(&inbox).start().await.unwrap());
    let content = alice.handle().share(Source::File(source)).await.unwrap();
    assert_eq!(content.hash, *blake3::hash(&bytes).as_bytes());

    let handle = bob.handle();
    let offered = until(&mut bob, "offer", |event| match event {
        Event::ContentOffered { manifest, .. } => Some(manifest),
        _ => None,
    })
    .await;
    assert_eq!((offered.content, offered.name.as_str()), (content, "notes.bin"));
    handle.fetch(content).await.unwrap();
    let (path, fetched) = until(&mut bob, "file", |event| match event {
        Event::ContentReceived { path, fetched_bytes, .. } => Some((path, fetched_bytes)),
        _ => None,
    })
    .await;
    assert_eq!((path.is_absolute(), path.parent()), (true, Some(inbox.as_path())));
    assert!(std::fs::read(&path).unwrap() == bytes, "the file is another");
    assert_eq!(fetched, bytes.len() as u64);
    let delivered = until(&mut alice, "delivery", |event| match event {
        Event::ContentDelivered { content, to } => Some((content, to)),
        _ => None,
    })
    .await;
    assert_eq!(delivered, (content, handle.peer_id()));
    tokio::join!(biased; alice.shutdown(), bob.shutdown());
}

/// Who has fetched a file serves those who fetch it later, while it is under its final name.
#[tokio::test]
async fn a_receiver_serves_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("shared.bin");
    let bytes: Vec<u8> = (0..48_000_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&source, &bytes).unwrap();
    let lan = Lan::new();
    let inbox = |name: &str| folder.path().join(name);
    let alice = lan.start("alice").await;
    let content = alice.handle().share(Source::File(source)).await.unwrap();
    let mut bob = lan.builder("bob").inbox(inbox("bob")).start().await.unwrap();
    let mut carol = lan.builder("carol").inbox(inbox("carol")).start().await.unwrap();
    for node in [&mut bob, &mut carol] {
        let offered = |event| matches!(event, Event::ContentOffered { .. }).then_some(());
        until(node, "offer", offered).await;
        node.handle().fetch(content).await.unwrap();
        let received = |event| match event {
            Event::ContentReceived { path, .. } => Some(path),
            _ => None,
        };
        let path = until(node, "file", received).await;
        assert!(std::fs::read(&path).unwrap() == bytes, "the file is another");
    }
    let sent = bob.handle().stats().await.unwrap().blocks_sent;
    let fetched = carol.handle().stats().await.unwrap().blocks_good;
    assert!(sent > 0 && fetched >= 46, "bob sent {sent} of {fetched} blocks");
    tokio::join!(biased; alice.shutdown(), bob.shutdown(), carol.shutdown());
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_shared_is_not_passed_off_as_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("changing");
    std::fs::write(&source, vec![1; 3_000_000]).unwrap();
    let lan = Lan::new();
    let inbox = folder.path().join("inbox");
    let (alice, mut bob) =
        (lan.start("alice").await, lan.builder("bob").inbox(&inbox).start().await.unwrap());
    let content = alice.handle().share(Source::File(source.clone())).await.unwrap();
    std::fs::write(&source, vec![2; 3_000_000]).unwrap();
    let handle = bob.handle();
    until(&mut bob, "offer", |event| matches!(event, Event::ContentOffered { .. }).then_some(())).await;
    handle.fetch(content).await.unwrap();
    until(&mut bob, "failure", |event| match event {
        Event::ContentReceived { .. } => panic!("it was taken for the content"),
        Event::ContentFailed { .. } => Some(()),
        _ => None,
    })
    .await;
    bob.shutdown().await;
    // What came before the failure is hidden and waits for a source that still has the content.
    let shown: Vec<_> = std::fs::read_dir(&inbox)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".p2pnet-"))
        .collect();
    assert!(shown.is_empty(), "passed off as the file: {shown:?}");
}

#[tokio::test]
async fn a_node_that_shuts_down_is_seen_to_be_gone() {
    let (mut alice, bob, bob_id) = pair(&Lan::new()).await;
    let begin = Instant::now();
    bob.shutdown().await;
    assert!(begin.elapsed() < Duration::from_millis(2500), "it took {:?}", begin.elapsed());
    assert_eq!(left(&mut alice).await, (bob_id, LeaveReason::Gone));
}

#[tokio::test]
async fn a_node_that_is_dropped_is_seen_to_be_gone() {
    let (mut alice, bob, bob_id) = pair(&Lan::new()).await;
    drop(bob);
    assert_eq!(left(&mut alice).await, (bob_id, LeaveReason::Gone));
}

#[tokio::test]
async fn a_node_that_leaves_ends_its_events() {
    let (mut alice, mut bob, bob_id) = pair(&Lan::new()).await;
    bob.handle().leave().await.unwrap();
    let ended = async { while bob.next_event().await.is_some() {} };
    timeout(Duration::from_millis(2500), ended).await.expect("the events go on");
    assert_eq!(left(&mut alice).await, (bob_id, LeaveReason::Gone));
}

async fn left(node: &mut Node) -> (PeerId, LeaveReason) {
    until(node, "farewell", |event| match event {
        Event::PeerLeft { peer, reason, .. } => Some((peer, reason)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn an_application_that_takes_no_events_does_not_stop_its_node() {
    let lan = Lan::new();
    let mut alice = lan.start("alice").await;
    let mut silent = lan.start("silent").await;
    let id = trusted(&mut alice, "silent").await;
    // As many as anybody takes: what the silent node's stream of events and both engines have room for.
    let (mut sent, mut refused) = (0, 0);
    while refused < 50 {
        match alice.handle().send_text(id, sent.to_string()).await {
            Ok(_) => (sent, refused) = (sent + 1, 0),
            Err(_) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    assert!((64..400).contains(&sent), "{sent} texts were taken");
    // Its node is alive and answers, and keeps what it took.
    assert_eq!(silent.handle().peers().await.unwrap().len(), 1);
    for expected in 0..sent {
        let text = until(&mut silent, "text", |event| match event {
            Event::Text { text, .. } => Some(text),
            _ => None,
        })
        .await;
        assert_eq!(text, expected.to_string());
    }
}

#[tokio::test]
async fn nodes_with_one_passphrase_meet_and_others_stay_out() {
    let lan = Lan::new();
    let mut alice = lan.builder("alice").passphrase("heron at dawn").start().await.unwrap();
    let _eve = lan.builder("eve").passphrase("crow at dusk").start().await.unwrap();
    let _open = lan.start("open").await;
    let bob = lan.builder("bob").passphrase("heron at dawn").start().await.unwrap();
    assert_eq!(trusted(&mut alice, "bob").await, bob.handle().peer_id());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(alice.handle().peers().await.unwrap().len(), 1);
    assert!(alice.handle().stats().await.unwrap().datagrams_other_network > 0);
}

#[tokio::test]
async fn a_peer_given_by_hand_is_dialled() {
    let (here, there) = (Lan::new(), Lan::new());
    let bob = there.builder("bob").network(&here.network).start().await.unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, bob.handle().local_port()));
    let mut alice = here.builder("alice").peer(address).start().await.unwrap();
    assert_eq!(trusted(&mut alice, "bob").await, bob.handle().peer_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_garbage_changes_counters_and_nothing_else() {
    let lan = Lan::new();
    let (mut alice, mut bob, bob_id) = pair(&lan).await;
    let private = SocketAddr::from((Ipv4Addr::LOCALHOST, alice.handle().local_port()));
    let shared = SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), lan.ports[0]));
    let flood = tokio::spawn(async move {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.set_broadcast(true).unwrap();
        let begin = Instant::now();
        let mut round = 0_u64;
        while begin.elapsed() < Duration::from_secs(1) {
            let byte = |i: usize| (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (i % 56)) as u8;
            let garbage: Vec<u8> = (0..768).map(byte).collect();
            let _ = socket.try_send_to(&garbage, private);
            let _ = socket.try_send_to(&garbage, shared);
            if round.is_multiple_of(16)
                && let Ok(mut stream) = tokio::net::TcpStream::connect(private).await
            {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &garbage).await;
            }
            round += 1;
            tokio::task::yield_now().await;
        }
    });
    flood.await.unwrap();
    let stats = alice.handle().stats().await.unwrap();
    assert!(stats.datagrams_malformed + stats.datagrams_other_version + stats.datagrams_rate_limited > 1000);
    assert!(stats.handshakes_failed + stats.links_refused > 10);
    let id = alice.handle().send_text(bob_id, "still here").await.unwrap();
    let quiet = |event| match event {
        Event::PeerLeft { .. } => panic!("the link broke"),
        event => Some(event),
    };
    until(&mut alice, "delivery", |event| match quiet(event) {
        Some(Event::TextDelivered { id: delivered, .. }) if delivered == id => Some(()),
        _ => None,
    })
    .await;
    until(&mut bob, "text", |event| match quiet(event) {
        Some(Event::Text { text, .. }) if text == "still here" => Some(()),
        _ => None,
    })
    .await;
    // A newcomer is welcome, even from the address that the flood came from.
    let mut carol = lan.start("carol").await;
    trusted(&mut carol, "alice").await;
}

#[tokio::test]
async fn a_stream_that_says_nothing_delays_nobody() {
    let lan = Lan::new();
    let mut alice = lan.start("alice").await;
    let private = SocketAddr::from((Ipv4Addr::LOCALHOST, alice.handle().local_port()));
    let _silent: Vec<_> = (0..8).map(|_| TcpStream::connect(private).unwrap()).collect();
    let bob = lan.start("bob").await;
    assert_eq!(trusted(&mut alice, "bob").await, bob.handle().peer_id());
}

#[tokio::test]
async fn an_unknown_interface_is_refused_with_those_that_exist() {
    let error = Node::builder("alice").interfaces(["lo", "nosuch0"]).start().await.unwrap_err();
    let StartError::UnknownInterface { name, available } = &error else { panic!("{error:?}") };
    assert_eq!(name, "nosuch0");
    assert!(available.contains(&"lo".to_owned()));
    assert!(error.to_string().contains("choose from: "), "{error}");
}

#[tokio::test]
async fn one_port_held_by_another_program_is_survived_and_all_are_an_error() {
    let lan = Lan::new();
    let holders: Vec<_> =
        lan.ports.iter().map(|&port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()).collect();
    let error = lan.builder("alice").start().await.unwrap_err();
    assert!(matches!(error, StartError::AllPortsTaken { .. }), "{error:?}");
    drop(holders);
    let _holder = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, lan.ports[1])).unwrap();
    let (_alice, _bob, _) = pair(&lan).await;
}

/// The report names the port and the reason; when the other program is gone, the port is listened on.
#[tokio::test]
async fn a_port_that_is_refused_is_reported_and_taken_when_it_is_free() {
    let lan = Lan::new();
    let held = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, lan.ports[1])).unwrap();
    let node = lan.start("alice").await;
    let report = node.handle().network_report().await.unwrap();
    assert_eq!((report.private_port, &report.designated_ports), (node.handle().local_port(), &lan.ports));
    let [lo] = &report.interfaces[..] else { panic!("only lo: {report:?}") };
    assert_eq!((lo.interface.name.as_str(), lo.unusable.as_ref()), ("lo", None));
    assert_eq!(lo.listening, [lan.ports[0], lan.ports[2]]);
    let refused: Vec<_> = lo.refused.iter().map(|error| (error.port, error.kind)).collect();
    assert_eq!(refused, [(lan.ports[1], std::io::ErrorKind::AddrInUse)]);

    drop(held);
    let all = async {
        while node.handle().network_report().await.unwrap().interfaces[0].listening != lan.ports {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, all).await.expect("the free port is taken");
    assert!(node.handle().network_report().await.unwrap().interfaces[0].refused.is_empty());
}

#[tokio::test]
async fn a_bad_name_or_port_is_refused() {
    let lan = Lan::new();
    assert!(matches!(lan.builder("").start().await, Err(StartError::Config(_))));
    assert!(matches!(lan.builder("alice").network("").start().await, Err(StartError::Network(_))));
    assert!(matches!(lan.builder("alice").ports([]).start().await, Err(StartError::Config(_))));
    let both = lan.builder("alice").secret([1; 32]).passphrase("heron");
    assert!(matches!(both.start().await, Err(StartError::TwoSecrets)));
}

#[tokio::test]
async fn a_data_directory_keeps_the_identity_and_is_used_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let lan = Lan::new();
    let first = lan.builder("alice").data_dir(folder.path()).start().await.unwrap();
    let (id, port) = (first.handle().peer_id(), first.handle().local_port());
    assert!(matches!(
        lan.builder("alice").data_dir(folder.path()).start().await,
        Err(StartError::DataDir(_))
    ));
    first.shutdown().await;
    let second = lan.builder("alice").data_dir(folder.path()).start().await.unwrap();
    assert_eq!(second.handle().peer_id(), id);
    assert_eq!(second.handle().local_port(), port, "a firewall's rule stays true");
}
