//! Discovery: which rungs beacons go out by, who is called, asked and dialled, and that nothing of it gets out of hand.

mod lan;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use p2pnet_engine::{
    Action, Cadence, Config, Datagram, DialFailure, DialOutcome, Engine, Event, Identity, Interface,
    InterfaceAddr, InterfaceId, InterfaceKind, LinkInput, MULTICAST_GROUP_6, Memory, Network, Remembered,
    Restored, Rung, Seeds, Timestamp,
};

const ETH: InterfaceId = InterfaceId(3);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn ipv4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    Ipv4Addr::new(a, b, c, d).into()
}

/// `eth0` with 10.0.0.`host`/24 and fe80::`host`.
fn eth(host: u8) -> Interface {
    Interface {
        id: ETH,
        name: "eth0".into(),
        kind: InterfaceKind::Lan,
        multicast: true,
        directed_broadcast: true,
        addrs: vec![
            InterfaceAddr { ip: ipv4(10, 0, 0, host), prefix: 24 },
            InterfaceAddr { ip: link_local(host).into(), prefix: 64 },
        ],
    }
}

fn link_local(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into())
}

fn engine_of(seed: u8, restored: Restored, configure: impl FnOnce(&mut Config)) -> Engine {
    let mut config = lan::config("node");
    configure(&mut config);
    let seeds = Seeds::new([seed; 32], [seed ^ 0xff; 32]);
    Engine::new(config, Identity::from_seed([seed; 32]), restored, seeds, Timestamp::ZERO).unwrap()
}

fn node(seed: u8, interfaces: &[Interface]) -> Engine {
    let mut engine = engine_of(seed, Restored::default(), |_| {});
    engine.handle_interfaces(at(1), interfaces);
    engine
}

/// What goes out up to `until`, timers included.
fn sent(engine: &mut Engine, until: Timestamp) -> Vec<(Timestamp, InterfaceId, SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    let mut now = Timestamp::ZERO;
    loop {
        let mut bytes = Vec::new();
        while let Some(transmit) = engine.poll_transmit(&mut bytes) {
            all.push((now, transmit.interface, transmit.destination, bytes.clone()));
        }
        match engine.poll_timeout() {
            Some(timeout) if timeout.at <= until => {
                now = timeout.at;
                engine.handle_timeout(now);
            }
            _ => return all,
        }
    }
}

fn destinations(engine: &mut Engine, until: Timestamp) -> Vec<String> {
    let mut all: Vec<String> = sent(engine, until).iter().map(|(_, _, to, _)| to.to_string()).collect();
    all.sort();
    all.dedup();
    all
}

fn hear(engine: &mut Engine, now: Timestamp, interface: InterfaceId, source: &str, bytes: &[u8]) {
    let source = source.parse().unwrap();
    engine.handle_datagram(now, Datagram { interface, source, bytes });
}

fn dials(engine: &mut Engine) -> Vec<(p2pnet_engine::LinkId, Option<InterfaceId>, SocketAddr)> {
    let actions = std::iter::from_fn(|| engine.poll_action());
    actions
        .filter_map(|action| match action {
            Action::Dial { link, interface, address } => Some((link, interface, address)),
            _ => None,
        })
        .collect()
}

/// A beacon of this node, which has this interface.
fn beacon(seed: u8, interface: Interface) -> Vec<u8> {
    sent(&mut node(seed, &[interface]), at(2)).remove(0).3
}

#[test]
fn a_beacon_goes_out_by_every_rung_of_an_interface() {
    let mut engine = node(1, &[eth(1)]);
    let group = format!("[{MULTICAST_GROUP_6}%3]:8001");
    assert_eq!(
        destinations(&mut engine, at(2)),
        ["10.0.0.255:8001", "224.0.0.183:8001", "255.255.255.255:8001", &group]
    );
    let rungs: Vec<(Rung, u64)> = engine.rungs().iter().map(|rung| (rung.rung, rung.sent)).collect();
    assert_eq!(
        rungs,
        [
            (Rung::DirectedBroadcast, 1),
            (Rung::LimitedBroadcast, 1),
            (Rung::Multicast4, 1),
            (Rung::Multicast6, 1)
        ]
    );
}

#[test]
fn a_rung_that_is_off_is_silent() {
    let mut engine = engine_of(1, Restored::default(), |config| {
        config.ladder[Rung::Multicast4] = 0;
        config.ladder[Rung::Multicast6] = 0;
        config.ladder[Rung::LimitedBroadcast] = 0;
    });
    engine.handle_interfaces(at(1), &[eth(1)]);
    assert_eq!(destinations(&mut engine, at(1_500)), ["10.0.0.255:8001"]);
}

#[test]
fn loopback_hears_only_of_loopback() {
    let lo = Interface {
        id: InterfaceId(1),
        kind: InterfaceKind::Loopback,
        multicast: false,
        addrs: vec![InterfaceAddr { ip: ipv4(127, 0, 0, 1), prefix: 8 }],
        ..eth(1)
    };
    let mut engine = node(1, &[lo.clone(), eth(1)]);
    let on_lo: Vec<_> =
        sent(&mut engine, at(2)).into_iter().filter(|(_, id, ..)| *id == InterfaceId(1)).collect();
    assert_eq!(on_lo.len(), 1);
    assert_eq!(on_lo[0].2.to_string(), "127.255.255.255:8001");
    assert_eq!(engine.record().record().addrs, [ipv4(10, 0, 0, 1)], "no loopback off the host");
    let alone = node(2, &[lo]);
    assert_eq!(alone.record().record().addrs, [ipv4(127, 0, 0, 1)]);
}

#[test]
fn real_networks_are_announced_before_virtual_ones() {
    let other = |id, kind, ip| Interface {
        id: InterfaceId(id),
        kind,
        addrs: vec![InterfaceAddr { ip, prefix: 24 }],
        ..eth(1)
    };
    let engine = node(
        1,
        &[
            other(1, InterfaceKind::Tunnel, ipv4(10, 1, 0, 1)),
            other(2, InterfaceKind::Virtual, ipv4(10, 2, 0, 1)),
            other(4, InterfaceKind::Lan, ipv4(192, 168, 0, 1)),
        ],
    );
    let announced = [ipv4(192, 168, 0, 1), ipv4(10, 2, 0, 1), ipv4(10, 1, 0, 1)];
    assert_eq!(engine.record().record().addrs, announced);
}

#[test]
fn who_is_heard_over_ipv6_is_dialled_there_with_the_scope() {
    let mut engine = node(1, &[eth(1)]);
    sent(&mut engine, at(2));
    hear(&mut engine, at(5), ETH, "[fe80::2%3]:9000", &beacon(2, eth(2)));
    sent(&mut engine, at(150));
    let dialled = dials(&mut engine);
    assert_eq!(dialled[0].2.to_string(), "[fe80::2%3]:9000");
    assert_eq!(dialled[0].1, Some(ETH));
}

#[test]
fn addresses_of_a_peer_are_raced_30_ms_apart_and_given_up_after_1500() {
    let mut engine = node(1, &[eth(1)]);
    sent(&mut engine, at(2));
    // It was heard at .2 and announces .9, where nobody is.
    let there = Interface { addrs: vec![InterfaceAddr { ip: ipv4(10, 0, 0, 9), prefix: 24 }], ..eth(9) };
    let heard = beacon(2, there);
    hear(&mut engine, at(5), ETH, "10.0.0.2:9000", &heard);
    let start = engine.poll_timeout().unwrap().at.max(at(5));
    let mut seen = Vec::new();
    let mut now = start;
    while now < at(2_000) {
        now = engine.poll_timeout().unwrap().at;
        engine.handle_timeout(now);
        seen.extend(dials(&mut engine).into_iter().map(|(_, _, address)| (now, address.to_string())));
    }
    assert_eq!(seen[0].1, "10.0.0.2:9000");
    assert_eq!(seen[1].1, "10.0.0.9:9000");
    assert_eq!(seen[1].0.since(seen[0].0).as_millis(), 30);
    let id = Identity::from_seed([2; 32]).peer_id();
    let why = engine.why(&id).unwrap();
    assert_eq!(why.dials[0].outcome, DialOutcome::TimedOut);
    assert!(why.asked_to_dial_us.is_some(), "who cannot be dialled is asked to dial us");
}

#[test]
fn our_own_address_on_a_bridge_of_another_host_is_not_dialled() {
    let bridge = |id| Interface {
        id: InterfaceId(id),
        kind: InterfaceKind::Virtual,
        addrs: vec![InterfaceAddr { ip: ipv4(172, 17, 0, 1), prefix: 16 }],
        ..eth(1)
    };
    let mut engine = node(1, &[eth(1), bridge(7)]);
    sent(&mut engine, at(2));
    let both = Interface {
        addrs: vec![
            InterfaceAddr { ip: ipv4(10, 0, 0, 2), prefix: 24 },
            InterfaceAddr { ip: ipv4(172, 17, 0, 1), prefix: 16 },
        ],
        ..eth(2)
    };
    hear(&mut engine, at(5), ETH, "10.0.0.2:9001", &beacon(2, both));
    sent(&mut engine, at(1_000));
    let addresses: Vec<String> = dials(&mut engine).iter().map(|(.., address)| address.to_string()).collect();
    assert!(
        !addresses.is_empty() && addresses.iter().all(|address| address == "10.0.0.2:9000"),
        "{addresses:?}"
    );
}

#[test]
fn a_peer_that_asks_is_dialled_at_once() {
    let mut asking = node(2, &[eth(2)]);
    sent(&mut asking, at(2));
    hear(&mut asking, at(5), ETH, "10.0.0.1:9000", &beacon(1, eth(1)));
    let mut now = at(5);
    // The first is the reply to a newcomer.
    let mut unicasts = Vec::new();
    while unicasts.len() < 2 && now < at(5_000) {
        for (link, ..) in dials(&mut asking) {
            asking.handle_link(now, link, LinkInput::DialFailed(DialFailure::TimedOut));
        }
        let sent = sent(&mut asking, now).into_iter();
        unicasts.extend(sent.filter(|(_, _, to, _)| to.to_string() == "10.0.0.1:9000").map(|sent| sent.3));
        now = asking.poll_timeout().unwrap().at;
    }
    let mut engine = node(1, &[eth(1)]);
    sent(&mut engine, at(2));
    hear(&mut engine, at(10), ETH, "10.0.0.2:9000", &unicasts[1]);
    let id = Identity::from_seed([2; 32]).peer_id();
    assert_eq!(engine.why(&id).unwrap().asked_us_to_dial, Some(at(10)));
    engine.handle_timeout(at(11));
    assert_eq!(dials(&mut engine).len(), 1);
}

#[test]
fn peers_that_were_linked_are_remembered_and_called_where_they_were() {
    let mut lan = lan::Lan::new(2);
    lan.run_for_millis(7_000);
    let saved = lan.nodes[0].actions.iter().filter(|action| action.contains("Remember")).count();
    assert_eq!(saved, 1, "once for all that is new");
    let (peer, record) = (lan.nodes[1].engine.peer_id(), lan.nodes[1].engine.record().bytes().to_vec());
    let remembered = |address: &str| {
        let peers = BTreeMap::from([(peer, Remembered::new(record.clone(), address.parse().unwrap()))]);
        Restored { memory: Memory { peers, ..Memory::default() }, ..Restored::default() }
    };
    let restored = remembered("10.0.0.2:9000");
    let only = |config: &mut Config| {
        for rung in Rung::ALL {
            config.ladder[rung] = 0;
        }
        config.ladder[Rung::Remembered] = 20;
    };
    let mut engine = engine_of(1, restored, only);
    engine.handle_interfaces(at(1), &[eth(1)]);
    assert!(engine.poll_event().is_none(), "who was there is not yet here");
    assert_eq!(destinations(&mut engine, at(2)), ["10.0.0.2:8001", "10.0.0.2:9000"]);
    let elsewhere = remembered("10.9.0.2:9000");
    let mut engine = engine_of(1, elsewhere, only);
    engine.handle_interfaces(at(1), &[eth(1)]);
    assert_eq!(destinations(&mut engine, at(5_000)), [""; 0], "never beyond our own subnets");
}

#[test]
fn a_scan_asks_every_address_of_the_24_once_and_no_more_than_its_budget() {
    let mut engine = engine_of(1, Restored::default(), |config| config.ladder[Rung::Scan] = 50);
    let wide = Interface { addrs: vec![InterfaceAddr { ip: ipv4(10, 0, 7, 20), prefix: 16 }], ..eth(1) };
    engine.handle_interfaces(at(1), &[wide]);
    let scanned: Vec<(Timestamp, SocketAddr)> = sent(&mut engine, at(20_000))
        .into_iter()
        .filter(|(_, _, to, _)| matches!(to.ip(), IpAddr::V4(ip) if ip.octets()[..3] == [10, 0, 7]))
        .map(|(now, _, to, _)| (now, to))
        .collect();
    let mut places: Vec<SocketAddr> = scanned.iter().map(|(_, to)| *to).collect();
    assert_eq!(places[0].to_string(), "10.0.7.19:8001", "the nearest first");
    places.sort();
    places.dedup();
    assert_eq!((places.len(), scanned.len()), (255, 255), "all of 10.0.7.0 to 10.0.7.255 but our own, once");
    for (from, _) in &scanned {
        let within = scanned.iter().filter(|(now, _)| now >= from && now.since(*from).as_millis() < 1000);
        assert!(within.count() <= 50);
    }
    let mut off = node(1, &[eth(1)]);
    assert!(sent(&mut off, at(20_000)).iter().all(|(_, _, to, _)| to.ip() != ipv4(10, 0, 0, 7)));
}

#[test]
fn a_copy_of_our_identity_is_told_to_both_and_does_not_fight() {
    let mut first = engine_of(1, Restored::default(), |_| {});
    let other = Seeds::new([77; 32], [78; 32]);
    let config = lan::config("node");
    let identity = Identity::from_seed([1; 32]);
    let mut second = Engine::new(config, identity, Restored::default(), other, Timestamp::ZERO).unwrap();
    first.handle_interfaces(at(1), &[eth(1)]);
    second.handle_interfaces(at(1), &[eth(2)]);
    let mut told = [false; 2];
    let mut superseded = [false; 2];
    for second_of_time in 1..120 {
        let now = at(second_of_time * 1000);
        let (from_first, from_second) = (sent(&mut first, now), sent(&mut second, now));
        for (_, _, _, bytes) in from_first {
            hear(&mut second, now, ETH, "10.0.0.1:9000", &bytes);
        }
        for (_, _, _, bytes) in from_second {
            hear(&mut first, now, ETH, "10.0.0.2:9000", &bytes);
        }
        let both = [&mut first, &mut second].into_iter().zip(&mut told).zip(&mut superseded);
        for ((engine, told), superseded) in both {
            while let Some(event) = engine.poll_event() {
                match event {
                    Event::IdentityShared { .. } => assert!(!std::mem::replace(told, true), "told once"),
                    Event::Superseded => assert!(!std::mem::replace(superseded, true), "told once"),
                    _ => {}
                }
            }
            assert!(dials(engine).is_empty(), "nobody dials itself");
        }
    }
    assert_eq!(told, [true, true]);
    let jumps = first.stats().incarnation_jumps + second.stats().incarnation_jumps;
    assert!(jumps <= 16, "{jumps} jumps");
    assert_eq!(superseded.iter().filter(|superseded| **superseded).count(), 1, "one of them gives way");
    assert_eq!(superseded, [first.is_superseded(), second.is_superseded()]);

    // The one that is believed falls silent.
    let mut waits = if first.is_superseded() { first } else { second };
    sent(&mut waits, at(119_000 + 300_000));
    assert!(waits.is_superseded(), "a beacon may be five minutes away");
    sent(&mut waits, at(119_000 + 400_000));
    assert!(!waits.is_superseded());
    assert!(std::iter::from_fn(|| waits.poll_event()).any(|event| event == Event::IdentityReclaimed));
}

#[test]
fn probes_show_which_rungs_get_through() {
    let (mut one, mut two) = (node(1, &[eth(1)]), node(2, &[eth(2)]));
    let mut now = at(10);
    let mut probing = false;
    while now < at(4_000) {
        if now > at(2_000) && !probing {
            probing = true;
            one.probe(now);
        }
        // Multicasts are lost on the way.
        let passes = |to: &SocketAddr| !to.ip().is_multicast();
        for (_, _, to, bytes) in sent(&mut one, now) {
            if passes(&to) {
                hear(&mut two, now, ETH, "10.0.0.1:9000", &bytes);
                // A broadcast comes back to who sent it.
                if to.ip() != ipv4(10, 0, 0, 2) {
                    hear(&mut one, now, ETH, "10.0.0.1:9000", &bytes);
                }
            }
        }
        for (_, _, to, bytes) in sent(&mut two, now) {
            if passes(&to) {
                hear(&mut one, now, ETH, "10.0.0.2:9000", &bytes);
            }
        }
        now = at(now.as_nanos() / 1_000_000 + 10);
    }
    let probed = one.probed();
    assert_eq!(probed.len(), 1);
    assert_eq!(probed[0].heard_us, [Rung::DirectedBroadcast, Rung::LimitedBroadcast, Rung::Unicast]);
    assert_eq!(probed[0].we_heard, [Rung::DirectedBroadcast, Rung::LimitedBroadcast, Rung::Unicast]);
    let own: Vec<Rung> =
        one.rungs().iter().filter(|rung| rung.own_heard.is_some()).map(|rung| rung.rung).collect();
    assert_eq!(own, [Rung::DirectedBroadcast, Rung::LimitedBroadcast]);
}

#[test]
fn refused_datagrams_are_told_by_place_and_cause() {
    let mut engine = node(1, &[eth(1)]);
    let mut stranger = engine_of(5, Restored::default(), |config| {
        config.network = Network::with_secret("test", &[1; 32]).unwrap();
    });
    stranger.handle_interfaces(at(1), &[eth(5)]);
    let foreign = sent(&mut stranger, at(2)).remove(0).3;
    hear(&mut engine, at(5), ETH, "10.0.0.5:9000", &foreign);
    hear(&mut engine, at(6), ETH, "10.0.0.6:9000", b"hello");
    let mut newer = foreign;
    newer[4] = 9;
    for _ in 0..3 {
        hear(&mut engine, at(7), ETH, "10.0.0.7:9000", &newer);
    }
    let refusals = engine.refusals();
    let seen: Vec<_> = refusals.iter().map(|refusal| (refusal.cause, refusal.count)).collect();
    use p2pnet_engine::Cause;
    assert_eq!(seen, [(Cause::OtherNetwork, 1), (Cause::Malformed, 1), (Cause::OtherVersion(9), 3)]);
    for place in 0..100u8 {
        hear(&mut engine, at(8), ETH, &format!("10.0.0.{place}:1"), b"noise");
    }
    assert_eq!(engine.refusals().len(), 16);
}

#[test]
fn one_newcomer_of_a_crowd_is_not_answered_by_all() {
    let answers = (0..100u8)
        .filter(|&seed| {
            let mut engine = node(100 + seed, &[eth(100)]);
            for other in 0..60 {
                let mut key = [9; 32];
                key[0] = other;
                let identity = Identity::from_seed(key);
                let seeds = Seeds::new(key, [seed; 32]);
                let mut peer =
                    Engine::new(lan::config("p"), identity, Restored::default(), seeds, Timestamp::ZERO)
                        .unwrap();
                peer.handle_interfaces(at(1), &[eth(other)]);
                let bytes = sent(&mut peer, at(2)).remove(0).3;
                hear(&mut engine, at(2), ETH, &format!("10.0.0.{other}:9000"), &bytes);
            }
            sent(&mut engine, at(5_000));
            hear(&mut engine, at(5_001), ETH, "10.0.0.250:9000", &beacon(250, eth(250)));
            sent(&mut engine, at(5_001)).iter().any(|(_, _, to, _)| to.to_string() == "10.0.0.250:9000")
        })
        .count();
    assert!((20..85).contains(&answers), "about half of 62 answer, {answers} of 100 did");
}

#[test]
fn a_lost_link_brings_the_next_beacon_forward() {
    let mut lan = lan::Lan::configured(2, |config| {
        config.cadence = Cadence::Constant { interval: std::time::Duration::from_secs(60) };
    });
    lan.run_for_millis(3_000);
    lan.nodes[0].transmits.clear();
    lan.cut();
    lan.run_for_millis(10_000);
    assert!(!lan.nodes[0].transmits.is_empty(), "the next beacon was due in a minute, and comes sooner");
}
