//! Searches of IPv6 prefixes: who is found, who is not, and that nothing else is ever sent anything.

mod lan;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lan::{LAN, Lan, PORT};
use p2pnet_engine::{
    Datagram, Event, Interface, InterfaceAddr, InterfaceKind, Level, ScanError, ScanPlan, TimeoutReason,
};

const SCANNER: &str = "2001:db8:a::5";

/// A node that searches and those that are elsewhere: at these addresses, each on a link of its own, with or without
/// letting themselves be found.
fn far(others: &[(&str, bool)]) -> Lan {
    let number = std::cell::Cell::new(0);
    let answers: Vec<bool> =
        std::iter::once(false).chain(others.iter().map(|(_, answers)| *answers)).collect();
    let mut lan = Lan::configured(others.len() + 1, |config| {
        config.answer_widescan = answers[number.replace(number.get() + 1)];
    });
    lan.lose();
    for (i, ip) in std::iter::once(SCANNER).chain(others.iter().map(|(ip, _)| *ip)).enumerate() {
        let ip: Ipv6Addr = ip.parse().unwrap();
        lan.nodes[i].ip6 = Some(ip);
        let addrs = vec![InterfaceAddr { ip: ip.into(), prefix: 128 }];
        let eth0 = Interface {
            id: LAN,
            name: "eth0".into(),
            kind: InterfaceKind::Lan,
            multicast: false,
            directed_broadcast: true,
            addrs,
        };
        lan.command(i, |engine, now| engine.handle_interfaces(now, &[eth0]));
    }
    lan.run_for_millis(2_000);
    lan.nodes.iter_mut().for_each(|node| node.sent.clear());
    lan
}

fn plan(prefixes: &[&str]) -> ScanPlan {
    let mut plan = ScanPlan::new(prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect());
    plan.port = PORT;
    plan
}

fn capped(total: u64, prefixes: &[&str]) -> ScanPlan {
    let mut plan = plan(prefixes);
    plan.total = total;
    plan
}

fn at_rate(per_second: u32, prefixes: &[&str]) -> ScanPlan {
    let mut plan = plan(prefixes);
    plan.per_second = per_second;
    plan
}

fn level(lan: &Lan, i: usize, of: usize) -> Option<Level> {
    lan.nodes[i].engine.peer(&lan.nodes[of].engine.peer_id()).map(|peer| peer.level)
}

fn found(lan: &Lan) -> Vec<SocketAddr> {
    let told = lan.nodes[0].events.iter();
    told.filter_map(|event| match event {
        Event::WidescanFound { addr, .. } => Some(*addr),
        _ => None,
    })
    .collect()
}

#[test]
fn peers_at_patterned_addresses_are_found_and_trusted_if_they_asked_to_be() {
    let mut lan = far(&[
        ("2001:db8:b::53", true),
        ("2001:db8:b::cafe", true),
        ("2001:db8:b::192:168:1:7", true),
        ("2001:db8:b::54", false),
    ]);
    lan.command(0, |engine, now| engine.widescan(now, &plan(&["2001:db8:b::/64"]))).unwrap();
    lan.run_for_millis(60_000);
    assert_eq!(found(&lan).len(), 3);
    for i in 1..=3 {
        assert_eq!((level(&lan, 0, i), level(&lan, i, 0)), (Some(Level::Trusted), Some(Level::Trusted)));
    }
    let searched = |ip: &str| {
        let there = SocketAddr::new(ip.parse().unwrap(), PORT);
        lan.nodes[0].sent.iter().any(|(_, to)| *to == there)
    };
    assert!(searched("2001:db8:b::54"), "it was asked");
    assert_eq!(level(&lan, 0, 4), None);
    assert_eq!(lan.nodes[4].engine.stats().replies_sent, 0);
    assert_eq!(lan.nodes[4].engine.stats().dials_started, 0);
    assert!(lan.nodes[4].sent.iter().all(|(_, to)| to.ip() != SCANNER.parse::<IpAddr>().unwrap()));
}

#[test]
fn a_beacon_from_afar_is_answered_only_by_who_lets_itself_be_found() {
    for answers in [false, true] {
        let mut lan = far(&[("2001:db8:b::1", answers)]);
        lan.command(0, |engine, now| engine.widescan(now, &capped(1, &["2001:db8:b::1/128"]))).unwrap();
        lan.unheard.insert((1, 0));
        lan.run_for_millis(10_000);
        assert_eq!(lan.nodes[1].engine.stats().beacons_accepted, 1, "it is a beacon of its network");
        assert_eq!(lan.nodes[1].engine.stats().replies_sent, u64::from(answers));
        assert_eq!(lan.nodes[1].engine.stats().dials_started, 0, "nobody can be made to dial far away");
    }
}

#[test]
fn questions_from_afar_get_no_more_answers_than_a_stranger_may_cause() {
    let mut lan = far(&[("2001:db8:b::1", true)]);
    lan.command(0, |engine, now| engine.widescan(now, &at_rate(1000, &["2001:db8:c::/64"]))).unwrap();
    // What goes elsewhere is led to the one node.
    let mut bytes = Vec::new();
    let (start, mut asked) = (lan.now, 0);
    for millis in 1..=2_000 {
        let now = start + Duration::from_millis(millis);
        lan.nodes[0].engine.handle_timeout(now);
        while let Some(transmit) = lan.nodes[0].engine.poll_transmit(&mut bytes) {
            if transmit.destination.port() == PORT {
                asked += 1;
                let source = SocketAddr::new(SCANNER.parse().unwrap(), PORT);
                let datagram = Datagram { interface: LAN, source, bytes: &bytes };
                lan.nodes[1].engine.handle_datagram(now, datagram);
            }
        }
    }
    assert!(asked > 1_900, "{asked}");
    assert!((60..=85).contains(&lan.nodes[1].engine.stats().replies_sent));
}

#[test]
fn nothing_is_sent_outside_the_prefixes_or_to_the_stop_list_and_never_above_the_rate() {
    for (rate, late) in [(1, 0), (7, 3), (50, 19), (1000, 1), (1000, 19), (333, 400)] {
        let mut lan = far(&[]);
        let mut plan = plan(&["2001:db8:b::/64", "fd00:1::/112"]);
        (plan.per_second, plan.total) = (rate, 4_000);
        plan.stop = vec!["2001:db8:b::80/121".parse().unwrap()];
        lan.command(0, |engine, now| engine.widescan(now, &plan)).unwrap();
        let mut times = Vec::new();
        let mut bytes = Vec::new();
        let end = lan.now + Duration::from_secs(20);
        let mut turn = 0;
        loop {
            let next = lan.nodes[0].engine.poll_timeout().unwrap();
            if next.at > end {
                break;
            }
            // Late by more and less, as the timers of a busy host are.
            turn += 1;
            let now = next.at + Duration::from_millis(turn * 7 % (late + 1));
            lan.nodes[0].engine.handle_timeout(now);
            while let Some(transmit) = lan.nodes[0].engine.poll_transmit(&mut bytes) {
                let SocketAddr::V6(to) = transmit.destination else { continue };
                assert!(plan.allows(*to.ip()) && to.port() == PORT, "{to}");
                times.push(now);
            }
        }
        for (i, first) in times.iter().enumerate() {
            let second = *first + Duration::from_secs(1);
            let within = times[i..].iter().take_while(|time| **time < second).count();
            assert!(within <= rate as usize, "{within} in a second at {rate}");
        }
        // Whoever is later than the engine makes up for sends less.
        let least = if late < 20 { (f64::from(rate) * 20.0).min(4_000.0) * 0.93 } else { 100.0 };
        assert!(times.len() as f64 >= least, "{} at {rate}", times.len());
    }
}

#[test]
fn a_search_ends_at_its_limit_and_tells_how_far_it_is() {
    let mut lan = far(&[]);
    let plan = capped(100, &["2001:db8:b::/64"]);
    let estimate = lan.command(0, |engine, now| engine.widescan(now, &plan)).unwrap();
    assert_eq!(estimate.datagrams, 100);
    assert_eq!(lan.nodes[0].engine.poll_timeout().unwrap().reason, TimeoutReason::Widescan);
    lan.run_for_millis(10_000);
    assert_eq!(lan.nodes[0].sent.len(), 100);
    let events = &lan.nodes[0].events;
    assert!(events.contains(&Event::WidescanProgress { sent: 100, datagrams: 100, found: 0 }), "{events:?}");
    assert!(events.contains(&Event::WidescanEnded { sent: 100, found: 0, stopped: false }), "{events:?}");
    let told = events.iter().filter(|event| matches!(event, Event::WidescanProgress { .. })).count();
    assert!((2..=4).contains(&told), "{told}");
}

#[test]
fn a_search_that_is_stopped_sends_nothing_more_and_makes_room_for_another() {
    let mut lan = far(&[("2001:db8:b::cafe", true)]);
    let all = plan(&["2001:db8:b::/64"]);
    lan.command(0, |engine, now| engine.widescan(now, &all)).unwrap();
    assert_eq!(lan.command(0, |engine, now| engine.widescan(now, &all)), Err(ScanError::Running));
    lan.run_for_millis(1_000);
    lan.command(0, |engine, now| engine.stop_widescan(now));
    let sent = lan.nodes[0].sent.len();
    lan.run_for_millis(20_000);
    assert_eq!(lan.nodes[0].sent.len(), sent);
    let ended = Event::WidescanEnded { sent: sent as u64, found: 0, stopped: true };
    assert!(lan.nodes[0].events.contains(&ended));
    lan.command(0, |engine, now| engine.widescan(now, &all)).unwrap();
    lan.command(0, |engine, now| engine.leave(now));
    assert_eq!(lan.command(0, |engine, now| engine.widescan(now, &all)), Err(ScanError::Leaving));
}

#[test]
fn who_has_no_address_to_answer_to_does_not_search() {
    let mut lan = Lan::new(1);
    let result = lan.command(0, |engine, now| engine.widescan(now, &plan(&["2001:db8:b::/64"])));
    assert_eq!(result, Err(ScanError::NoAddress));
}

#[test]
fn an_answer_is_believed_only_from_where_was_searched() {
    // The peer is in the prefix of the plan, and answers from beyond it.
    let mut lan = far(&[("2001:db8:b::1", true)]);
    let plan = capped(1, &["2001:db8:b::1/128"]);
    lan.command(0, |engine, now| engine.widescan(now, &plan)).unwrap();
    lan.nodes[1].ip6 = Some("2001:db8:c::1".parse().unwrap());
    let mut bytes = Vec::new();
    let now = lan.now + Duration::from_millis(1);
    lan.nodes[0].engine.handle_timeout(now);
    let sent = lan.nodes[0].engine.poll_transmit(&mut bytes).unwrap();
    assert_eq!(sent.destination, SocketAddr::new("2001:db8:b::1".parse().unwrap(), PORT));
    lan.nodes[1].engine.handle_datagram(
        now,
        Datagram { interface: LAN, source: SocketAddr::new(SCANNER.parse().unwrap(), PORT), bytes: &bytes },
    );
    lan.now = now;
    lan.run_for_millis(10_000);
    assert_eq!(lan.nodes[1].engine.stats().replies_sent, 1);
    assert_eq!(found(&lan), []);
    assert_eq!(lan.nodes[0].engine.stats().dials_started, 0);
}
