//! That only the peer itself can prove that it lives, and that proving it is cheap and rated.

use alloc::vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::wire::beacon::{Beacon, BeaconFlags, Way};
use crate::{Config, Datagram, Identity, Interface, InterfaceAddr, InterfaceKind, Network, Restored, Seeds};

const LAN: InterfaceId = InterfaceId(1);

fn identity(host: u8) -> Identity {
    Identity::from_seed([host; 32])
}

fn place(host: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), 9000))
}

fn lan(host: u8) -> Interface {
    let ip = IpAddr::from(Ipv4Addr::new(10, 0, 0, host));
    Interface {
        id: LAN,
        name: "eth0".into(),
        kind: InterfaceKind::Lan,
        multicast: false,
        directed_broadcast: true,
        addrs: vec![InterfaceAddr { ip, prefix: 24 }],
    }
}

fn node(host: u8) -> Engine {
    let config = Config::new(Network::open("pulse").unwrap(), "node", 9000);
    let seeds = Seeds::new([host; 32], [host ^ 0xff; 32]);
    let mut engine =
        Engine::new(config, identity(host), Restored::default(), seeds, Timestamp::ZERO).unwrap();
    engine.handle_interfaces(Timestamp::from_millis(1), &[lan(host)]);
    engine.handle_timeout(Timestamp::from_millis(1));
    engine
}

fn sent(engine: &mut Engine) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut all = Vec::new();
    while engine.poll_transmit(&mut bytes).is_some() {
        all.push(bytes.clone());
    }
    all
}

/// Two that know each other by their beacons, and have once been linked.
fn pair() -> (Engine, Engine) {
    let (mut alice, mut bob) = (node(1), node(2));
    let now = Timestamp::from_millis(2);
    let (of_alice, of_bob) = (sent(&mut alice).remove(0), sent(&mut bob).remove(0));
    bob.handle_datagram(now, Datagram { interface: LAN, source: place(1), bytes: &of_alice });
    alice.handle_datagram(now, Datagram { interface: LAN, source: place(2), bytes: &of_bob });
    for engine in [&mut alice, &mut bob] {
        engine.peers.values_mut().for_each(|known| known.proven = true);
        sent(engine);
    }
    (alice, bob)
}

/// Whoever is on the network can seal a beacon with the record and instance of another. That proves no life.
#[test]
fn a_forged_answer_is_worthless_and_a_genuine_one_counts_once() {
    let (mut alice, bob) = pair();
    let (subject, run, by) = (bob.peer_id(), bob.own.instance(), (LAN, Rung::Unicast));
    alice.send_pulse(subject, None);
    let asked = alice.now;
    let nonce = alice.peers[&subject].life.probes[0].0;
    let sign = |alice: &Engine| alice.peers[&subject].life.sign;
    let of_mallory = identity(3).pulse_key(&alice.identity.link_public());
    let of_bob = bob.identity.pulse_key(&alice.identity.link_public());
    let worthless = [
        Pulse::new(&of_mallory, nonce, true, &run),
        Pulse::new(&of_bob, nonce, false, &run),
        Pulse::new(&of_bob, nonce, true, &Instance::from_bytes([9; 16])),
        Pulse::new(&of_bob, nonce.wrapping_add(1), true, &run),
    ];
    for pulse in worthless {
        alice.pulse_answered(subject, run, &pulse, by);
        assert_eq!(sign(&alice), None, "{pulse:?}");
    }
    alice.advance(Timestamp::from_millis(500));
    let genuine = Pulse::new(&of_bob, nonce, true, &run);
    alice.pulse_answered(subject, run, &genuine, by);
    let heard = (HeardBy::Rung { interface: LAN, rung: Rung::Unicast }, asked);
    assert_eq!(sign(&alice), Some(heard), "it lived when it was asked; since then nobody knows");
    assert!(alice.peers[&subject].life.probes.is_empty(), "it counts once");
}

#[test]
fn pulses_are_given_to_those_who_prove_that_they_ask_and_are_rated() {
    let (alice, mut bob) = pair();
    let (asker, run, from) = (alice.peer_id(), alice.own.instance(), (LAN, place(1)));
    let key = alice.identity.pulse_key(&bob.identity.link_public());
    let forged = Pulse::new(&identity(3).pulse_key(&bob.identity.link_public()), 7, false, &run);
    bob.answer_pulse(asker, run, &forged, from);
    assert_eq!(sent(&mut bob).len(), 0);
    for nonce in 0..1_000 {
        bob.answer_pulse(asker, run, &Pulse::new(&key, nonce, false, &run), from);
    }
    let answers = sent(&mut bob);
    assert!((1..=64).contains(&answers.len()), "{}", answers.len());
    assert!(answers.iter().all(|answer| answer.len() == crate::wire::beacon::BEACON_SIZE));
    // Who never proved its key on a link gets none.
    let (_, mut bob) = pair();
    bob.peers.values_mut().for_each(|known| known.proven = false);
    bob.answer_pulse(asker, run, &Pulse::new(&key, 1, false, &run), from);
    assert_eq!(sent(&mut bob).len(), 0);
}

#[test]
fn questions_of_others_cause_one_datagram_each_and_are_rated() {
    let (mut alice, bob) = pair();
    let asker = identity(3).peer_id();
    for nonce in 0..1_000 {
        alice.probe_for(asker, bob.peer_id(), nonce);
    }
    assert!((1..=32).contains(&sent(&mut alice).len()));
    assert_eq!(alice.peers[&bob.peer_id()].life.probes.len(), MAX_PROBES);
    alice.probe_for(asker, asker, 1);
    assert_eq!(sent(&mut alice).len(), 0, "nobody asks where somebody unknown is");
}

/// The World found it (adversary 1510): somebody had sealed a beacon of a peer under the highest counter, so all of its own
/// were taken for repeats; when its address changed, nobody could find it, and after 4 s it was lost.
#[test]
fn a_counter_that_somebody_else_sealed_does_not_hide_where_a_peer_has_gone() {
    let (mut alice, mut bob) = pair();
    let now = Timestamp::from_millis(30_000);
    bob.handle_timeout(now);
    let beacon = sent(&mut bob).remove(0);
    let Beacon { instance, record, .. } = Beacon::open(&beacon, &bob.config.network).unwrap();
    let flags = BeaconFlags::ANNOUNCE;
    let forged = Beacon { instance, counter: u64::MAX - 1, flags, way: Way::default(), record, pulse: None };
    let forged = forged.seal(&bob.config.network);
    alice.handle_datagram(now, Datagram { interface: LAN, source: place(9), bytes: &forged });
    // What it says is known, and a repeat.
    let repeated = alice.stats.datagrams_repeated;
    alice.handle_datagram(now, Datagram { interface: LAN, source: place(2), bytes: &beacon });
    assert_eq!(alice.stats.datagrams_repeated, repeated + 1);

    bob.handle_interfaces(now, &[lan(3)]);
    bob.handle_timeout(now);
    for bytes in sent(&mut bob) {
        alice.handle_datagram(now, Datagram { interface: LAN, source: place(3), bytes: &bytes });
    }
    let known = &alice.peers[&identity(2).peer_id()];
    assert_eq!(known.best_address(), Some(place(3)));
}
