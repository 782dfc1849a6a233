//! Links by hand, as an attacker makes them: who gets a place when all are taken, and what ends a link.

mod lan;

use std::net::{Ipv4Addr, SocketAddr};

use p2pnet_engine::forge::{self, HandshakeByHand};
use p2pnet_engine::{
    Engine, Identity, Instance, LinkId, LinkInput, Network, PeerId, PeerRecord, RecordClass, RecordKind,
    Timestamp,
};

use lan::{LAN, PORT, interface};

const MAX_LINKS: usize = 4;

struct Stranger {
    identity: Identity,
    record: PeerRecord,
    link: LinkId,
}

fn node() -> Engine {
    let now = Timestamp::from_millis(1);
    let mut config = lan::config("node");
    (config.max_links, config.active_links) = (MAX_LINKS, 1);
    let mut engine = lan::engine(config, 1, now);
    engine.handle_interfaces(now, &[interface(1)]);
    engine
}

/// Somebody dials the node from a host, proves a key, and says its first frame.
fn link(engine: &mut Engine, host: u8, seed: u8, millis: u64) -> Stranger {
    let (now, network) = (Timestamp::from_millis(millis), Network::open("test").unwrap());
    let identity = Identity::from_seed([seed; 32]);
    let record = PeerRecord {
        network: forge::tag(&network),
        peer: identity.peer_id(),
        incarnation: 1,
        seq: 1,
        kind: RecordKind::Alive,
        ttl_secs: 60,
        class: RecordClass::Local,
        instance: Instance::from_bytes([seed; 16]),
        link_key: forge::link_key(&identity),
        port: PORT,
        name: "stranger".to_owned(),
        addrs: Vec::new(),
        caps: 0,
    };
    let mut said = Vec::new();
    let bytes = forge::sign(&identity, &record);
    let mut hand = HandshakeByHand::dial(&network, &identity, &bytes, &[], [seed ^ 0x55; 32], &mut said);
    let source = SocketAddr::new(Ipv4Addr::new(10, 0, 0, host).into(), 50_000 + u16::from(seed));
    let link = engine.accept_link(now, Some(LAN), source).unwrap();
    engine.handle_link(now, link, LinkInput::Writable { budget: 1 << 16 });
    engine.handle_link(now, link, LinkInput::Handshake(&said));
    let (mut answered, mut third) = (Vec::new(), Vec::new());
    assert!(engine.poll_link(link, &mut answered).is_some(), "message 2");
    assert!(hand.receive(&answered, &mut third).unwrap().is_some(), "the handshake ends with message 3");
    engine.handle_link(now, link, LinkInput::Handshake(&third));
    while engine.poll_action().is_some() {}
    engine.handle_link(now, link, LinkInput::Frame(&forge::confirm()[4..]));
    Stranger { identity, record, link }
}

fn is_linked(engine: &Engine, peer: PeerId) -> bool {
    engine.peer(&peer).is_some_and(|peer| peer.link.is_some())
}

/// Eight strangers in the World took every place of a node within a second, never answered a ping, and kept out the
/// honest node that came after them: it was told that the node was full, and to stay away for half a minute.
#[test]
fn an_address_that_holds_many_places_gives_one_to_a_newcomer() {
    let mut engine = node();
    let crowd: Vec<Stranger> = (0..4).map(|i| link(&mut engine, 9, 10 + i, 10 + u64::from(i))).collect();
    assert!(crowd.iter().all(|one| is_linked(&engine, one.identity.peer_id())));
    let newcomer = link(&mut engine, 8, 20, 20);
    assert!(is_linked(&engine, newcomer.identity.peer_id()));
    let left: Vec<bool> = crowd.iter().map(|one| is_linked(&engine, one.identity.peer_id())).collect();
    assert_eq!(left, [false, true, true, true], "the one linked longest went");
}

/// An insider in the World had a node check a thousand false signatures a second.
#[test]
fn a_record_with_a_false_signature_ends_the_link_it_came_by() {
    let mut engine = node();
    let stranger = link(&mut engine, 9, 10, 10);
    let newer = PeerRecord { seq: 2, ..stranger.record.clone() };
    let genuine = forge::records(&[(0, forge::sign(&stranger.identity, &newer))]);
    engine.handle_link(Timestamp::from_millis(11), stranger.link, LinkInput::Frame(&genuine[4..]));
    assert!(is_linked(&engine, stranger.identity.peer_id()));
    let newest = PeerRecord { seq: 3, ..stranger.record.clone() };
    let forged = forge::sign(&Identity::from_seed([99; 32]), &newest);
    let frame = forge::records(&[(0, forged.clone()), (0, forged)]);
    let before = engine.stats().signatures_checked;
    engine.handle_link(Timestamp::from_millis(12), stranger.link, LinkInput::Frame(&frame[4..]));
    assert!(!is_linked(&engine, stranger.identity.peer_id()));
    assert_eq!(engine.stats().signatures_checked, before + 1, "the second was not even looked at");
}
