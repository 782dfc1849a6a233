//! Bootstrap servers and what is beyond the LAN: who is found by a server's word, and what a server cannot do.

mod lan;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lan::{LAN, Lan, PORT};
use p2pnet_engine::{
    Event, Identity, Instance, Interface, InterfaceAddr, InterfaceKind, Level, Network, PeerRecord,
    RecordClass, RecordKind, RecordSource, Restored, Scope, Seeds, ServerAnswer, ServerId, ServerRecord,
    ServerReply, SignedRecord,
};

const SERVER: ServerId = ServerId(0);

/// Nodes that only the internet connects: each on a network of its own, with an address that anybody can reach.
fn homes(servers: u8) -> Lan {
    let mut lan = Lan::configured(2, |config| config.servers = servers);
    lan.unheard = [(0, 1), (1, 0)].into();
    lan.lose();
    for i in 0..2 {
        place(&mut lan, i, home(i));
    }
    lan
}

fn home(i: usize) -> Ipv4Addr {
    [Ipv4Addr::new(203, 0, 113, 1), Ipv4Addr::new(198, 51, 100, 1)][i]
}

/// Gives a node this address and no other.
fn place(lan: &mut Lan, i: usize, ip: Ipv4Addr) {
    let addrs = vec![InterfaceAddr { ip: ip.into(), prefix: 24 }];
    let eth0 = Interface {
        id: LAN,
        name: "eth0".into(),
        kind: InterfaceKind::Lan,
        multicast: false,
        directed_broadcast: true,
        addrs,
    };
    lan.nodes[i].ip = ip;
    lan.command(i, |engine, now| engine.handle_interfaces(now, &[eth0]));
}

/// What a server says that has this record since now.
fn told(record: &[u8]) -> ServerRecord {
    ServerRecord { record: record.to_vec(), age_secs: 0, from: None }
}

fn answer(records: impl Into<Vec<ServerRecord>>) -> ServerAnswer {
    ServerAnswer { records: records.into(), ..ServerAnswer::default() }
}

/// Lets the server answer each node with what the other announced last, and with what came in between.
fn serve(lan: &mut Lan) {
    let last: Vec<Option<Vec<u8>>> =
        lan.nodes.iter().map(|node| node.announced.last().map(|(_, record, _)| record.clone())).collect();
    for i in 0..2 {
        if last[i].is_some() {
            let records: Vec<ServerRecord> = last[1 - i].iter().map(|record| told(record)).collect();
            lan.command(i, |engine, now| {
                engine.handle_server(now, SERVER, ServerReply::Answer(&answer(records.clone())))
            });
        }
    }
}

/// When a node announced itself, in milliseconds, if each announcement is answered so at once.
fn announcements(lan: &mut Lan, reply: ServerReply<'_>, millis: u64) -> Vec<u64> {
    let mut times = Vec::new();
    for _ in 0..millis / 10 {
        lan.run_for_millis(10);
        if !lan.nodes[0].announced.is_empty() {
            lan.nodes[0].announced.clear();
            times.push(lan.now.as_nanos() / 1_000_000);
            lan.command(0, |engine, now| engine.handle_server(now, SERVER, reply));
        }
    }
    times
}

fn level(lan: &Lan, i: usize) -> Option<Level> {
    let other = lan.nodes[1 - i].engine.peer_id();
    lan.nodes[i].engine.peer(&other).map(|peer| peer.level)
}

#[test]
fn two_homes_that_know_one_server_trust_each_other() {
    let mut lan = homes(1);
    for _ in 0..4 {
        lan.run_for_millis(1_000);
        serve(&mut lan);
    }
    lan.run_for_millis(1_000);
    assert_eq!((level(&lan, 0), level(&lan, 1)), (Some(Level::Trusted), Some(Level::Trusted)));
    let why = lan.nodes[0].engine.why(&lan.nodes[1].engine.peer_id()).unwrap();
    assert_eq!(why.source, RecordSource::Server(SERVER));
    assert!(lan.nodes[0].events.iter().any(|event| matches!(event, Event::PeerTrusted { .. })));
}

#[test]
fn without_servers_nothing_is_said_or_dialled_beyond_the_lan() {
    let mut lan = homes(0);
    lan.run_for_millis(10_000);
    assert!(lan.nodes[0].engine.wide_record().is_none());
    assert!(lan.nodes[0].announced.is_empty());
    // Not even if somebody tells of the other.
    let mut other = homes(1);
    let record = told(other.nodes[1].engine.wide_record().unwrap().bytes());
    other.run_for_millis(1);
    lan.command(0, |engine, now| engine.handle_server(now, SERVER, ServerReply::Answer(&answer([record]))));
    lan.run_for_millis(10_000);
    assert_eq!(lan.nodes[0].engine.stats().dials_started, 0);
    assert_eq!(lan.nodes[0].engine.peers().count(), 0);
}

#[test]
fn a_server_that_answers_is_asked_more_and_more_rarely() {
    let mut lan = homes(1);
    let times = announcements(&mut lan, ServerReply::Answer(&ServerAnswer::default()), 40_000);
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(times[0] <= 600, "{times:?}");
    for (gap, seconds) in gaps.iter().zip([1, 2, 4, 8, 16]) {
        assert!((seconds * 900 - 10..=seconds * 1100 + 10).contains(gap), "{gaps:?}");
    }
}

#[test]
fn a_dead_server_is_left_in_peace_and_not_given_up() {
    let mut lan = homes(1);
    let times = announcements(&mut lan, ServerReply::Failed, 70_000);
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, seconds) in gaps.iter().zip([2, 4, 8, 16, 32]) {
        assert!((seconds * 900 - 10..=seconds * 1100 + 10).contains(gap), "{gaps:?}");
    }
    assert!(gaps.len() >= 4, "{gaps:?}");
}

#[test]
fn what_is_not_signed_by_its_subject_is_not_believed_and_makes_the_answer_a_failure() {
    let mut lan = homes(1);
    lan.run_for_millis(1_000);
    let good = lan.nodes[1].announced.last().unwrap().1.clone();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let records = [told(&forged), told(&good)];
    lan.command(0, |engine, now| {
        engine.handle_server(now, SERVER, ServerReply::Answer(&answer(records.clone())))
    });
    assert_eq!(lan.nodes[0].engine.peers().count(), 0, "what comes behind a lie is not looked at");
    assert_eq!(lan.nodes[0].engine.stats().records_refused, 1);
    let asked = lan.nodes[0].announced.len();
    lan.run_for_millis(1_500);
    assert_eq!(lan.nodes[0].announced.len(), asked, "it is not asked again at once");
    // An answer that nobody asked for is none.
    lan.command(0, |engine, now| {
        engine.handle_server(now, SERVER, ServerReply::Answer(&answer([told(&good)])))
    });
    lan.command(0, |engine, now| {
        engine.handle_server(now, ServerId(7), ServerReply::Answer(&answer([told(&good)])))
    });
    assert_eq!(lan.nodes[0].engine.peers().count(), 0);
}

#[test]
fn a_server_can_fill_no_more_of_the_table_than_a_neighbour() {
    let mut lan = Lan::configured(1, |config| {
        (config.servers, config.max_peers, config.max_introduced) = (1, 64, 16);
    });
    lan.lose();
    let network = Network::open("test").unwrap();
    for round in 0..8 {
        lan.run_for_millis(40_000);
        let records: Vec<ServerRecord> =
            (0..64).map(|i| told(sybil(&network, round * 64 + i).bytes())).collect();
        lan.command(0, |engine, now| {
            engine.handle_server(now, SERVER, ServerReply::Answer(&answer(records.clone())))
        });
        assert!(lan.nodes[0].engine.peers().count() <= 16);
    }
    assert_eq!(lan.nodes[0].engine.peers().count(), 16);
}

fn sybil(network: &Network, number: u16) -> SignedRecord {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    let identity = Identity::from_seed(seed);
    let record = PeerRecord {
        network: network.tag(),
        peer: identity.peer_id(),
        incarnation: 1,
        seq: 1,
        kind: RecordKind::Alive,
        ttl_secs: 3600,
        class: RecordClass::Wide,
        instance: Instance::from_bytes([1; 16]),
        link_key: [7; 32],
        port: PORT,
        name: "sybil".to_owned(),
        addrs: vec![Ipv4Addr::new(10, 0, 0, 77).into()],
        caps: 0,
    };
    SignedRecord::sign(&identity, record).unwrap()
}

#[test]
fn nobody_is_dialled_at_an_address_that_cannot_be_meant_for_all() {
    // The liar's record names an address in the other's own network, beyond its subnet.
    let mut lan = homes(1);
    lan.run_for_millis(1_000);
    let network = Network::open("test").unwrap();
    let record = told(sybil(&network, 1).bytes());
    lan.command(0, |engine, now| engine.handle_server(now, SERVER, ServerReply::Answer(&answer([record]))));
    lan.run_for_millis(10_000);
    assert_eq!(lan.nodes[0].engine.peers().count(), 1);
    assert_eq!(lan.nodes[0].engine.stats().dials_started, 0);
}

#[test]
fn a_relay_is_announced_and_lets_through_who_was_told_of() {
    let mut lan = homes(1);
    let relayed = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 9), 49_160));
    lan.run_for_millis(1_000);
    serve(&mut lan);
    lan.nodes[0].announced.clear();
    lan.command(0, |engine, now| engine.handle_relay(now, Some(relayed)));
    let record = lan.nodes[0].engine.wide_record().unwrap().record().clone();
    assert_eq!((record.port, &record.addrs[..]), (relayed.port(), &[relayed.ip()][..]));
    lan.run_for_millis(1_000);
    assert_eq!(lan.nodes[0].announced.len(), 1, "it is told at once");
    let mut other = told(&lan.nodes[1].announced.last().unwrap().1);
    other.from = Some(IpAddr::from([198, 51, 100, 200]));
    lan.command(0, |engine, now| engine.handle_server(now, SERVER, ServerReply::Answer(&answer([other]))));
    let expected: [IpAddr; 2] = [home(1).into(), [198, 51, 100, 200].into()];
    assert_eq!(lan.nodes[0].permitted, expected);
    // Without a relay there is nobody to let anybody through.
    assert!(lan.nodes[1].permitted.is_empty());
    lan.command(0, |engine, now| engine.handle_relay(now, None));
    assert_eq!(lan.nodes[0].engine.wide_record().unwrap().record().addrs, [IpAddr::from(home(0))]);
}

#[test]
fn who_loses_the_last_peer_asks_the_servers_again() {
    let mut lan = homes(1);
    for _ in 0..4 {
        lan.run_for_millis(1_000);
        serve(&mut lan);
    }
    lan.run_for_millis(30_000);
    assert_eq!(level(&lan, 0), Some(Level::Trusted));
    serve(&mut lan);
    lan.nodes[0].announced.clear();
    lan.run_for_millis(60_000);
    assert!(lan.nodes[0].announced.is_empty(), "a peer is there");
    lan.cut();
    lan.run_for_millis(600);
    assert_eq!(lan.nodes[0].announced.len(), 1);
}

#[test]
fn who_leaves_says_so_to_the_servers() {
    let mut lan = homes(1);
    lan.run_for_millis(1_000);
    serve(&mut lan);
    lan.nodes[0].announced.clear();
    lan.command(0, |engine, now| engine.leave(now));
    let (server, record, want) = lan.nodes[0].announced.pop().expect("the server is told");
    assert_eq!((server, want), (SERVER, 0));
    let record = p2pnet_engine::UnverifiedRecord::parse(&record).unwrap();
    assert_eq!(record.record().kind, RecordKind::Gone);
}

fn path(lan: &Lan, i: usize) -> Option<Scope> {
    let other = lan.nodes[1 - i].engine.peer_id();
    lan.nodes[i].engine.peer(&other).and_then(|peer| peer.path)
}

/// Two homes that found each other.
fn linked_homes() -> Lan {
    let mut lan = homes(1);
    for _ in 0..5 {
        lan.run_for_millis(1_000);
        serve(&mut lan);
    }
    assert_eq!((path(&lan, 0), path(&lan, 1)), (Some(Scope::Global), Some(Scope::Global)));
    lan
}

#[test]
fn a_pair_that_was_linked_from_afar_moves_to_the_lan_that_it_is_brought_to() {
    let mut lan = linked_homes();
    let before = lan.nodes[0].events.len();
    for i in 0..2 {
        place(&mut lan, i, Ipv4Addr::new(10, 0, 0, 1 + i as u8));
    }
    lan.unheard.clear();
    lan.run_for_millis(5_000);
    assert_eq!((path(&lan, 0), path(&lan, 1)), (Some(Scope::Link), Some(Scope::Link)));
    let left = lan.nodes[0].events[before..].iter().any(|event| matches!(event, Event::PeerLeft { .. }));
    assert!(!left, "it was never gone");
    assert_eq!((lan.streams(0), lan.streams(1)), (1, 1), "one link per pair");
}

#[test]
fn of_two_machines_of_one_site_each_finds_the_other_by_its_private_address() {
    let mut lan = homes(1);
    for i in 0..2 {
        // Two subnets of one company, which its routers join.
        place(&mut lan, i, Ipv4Addr::new(10, 7, i as u8, 5));
    }
    for _ in 0..5 {
        lan.run_for_millis(1_000);
        serve(&mut lan);
    }
    assert_eq!((path(&lan, 0), path(&lan, 1)), (Some(Scope::Site), Some(Scope::Site)));
}

#[test]
fn what_is_private_elsewhere_is_not_dialled() {
    let mut lan = homes(1);
    place(&mut lan, 0, Ipv4Addr::new(10, 7, 0, 5));
    place(&mut lan, 1, Ipv4Addr::new(192, 168, 3, 5));
    for _ in 0..10 {
        lan.run_for_millis(1_000);
        serve(&mut lan);
    }
    assert_eq!(lan.nodes[0].engine.stats().dials_started + lan.nodes[1].engine.stats().dials_started, 0);
}

#[test]
fn who_met_beyond_the_lan_meets_again_after_both_restarted_and_no_server_is_left() {
    let mut lan = linked_homes();
    lan.run_for_millis(2_000);
    for i in 0..2 {
        let number = i as u8 + 1;
        let mut config = lan::config("again");
        config.servers = 1;
        let restored =
            Restored { incarnation: 2, memory: lan.nodes[i].memory.clone(), ..Restored::default() };
        let seeds = Seeds::new([number ^ 0x55; 32], [number ^ 0x56; 32]);
        let identity = Identity::from_seed([number; 32]);
        let again = p2pnet_engine::Engine::new(config, identity, restored, seeds, lan.now).unwrap();
        lan.nodes[i].announced.clear();
        lan.lose_power(i, again);
        place(&mut lan, i, home(i));
    }
    assert_eq!(level(&lan, 0), None);
    lan.run_for_millis(2_000);
    assert_eq!((level(&lan, 0), level(&lan, 1)), (Some(Level::Trusted), Some(Level::Trusted)));
}

#[test]
fn who_is_seen_from_another_address_signs_a_new_record_and_announces_it_but_not_again_and_again() {
    let mut lan = homes(1);
    let seen = |i: u8| Some(SocketAddr::from(([203, 0, 113, i], 4000)));
    let mut sent = Vec::new();
    for second in 0..40 {
        lan.run_for_millis(1_000);
        for (_, record, _) in std::mem::take(&mut lan.nodes[0].announced) {
            sent.push(record);
            // Another one each time: the server lies.
            let answer = ServerAnswer { observed: seen(second), ..ServerAnswer::default() };
            lan.command(0, |engine, now| engine.handle_server(now, SERVER, ServerReply::Answer(&answer)));
        }
    }
    let different: std::collections::BTreeSet<&Vec<u8>> = sent.iter().collect();
    assert_eq!(different.len(), 2);
    assert!(sent.len() <= 9, "{} announcements", sent.len());
}
