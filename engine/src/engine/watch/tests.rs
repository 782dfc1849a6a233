//! That only the peer itself can prove that it lives, and that proving it is cheap and rated.

use alloc::vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::{Config, Datagram, Identity, Interface, InterfaceAddr, InterfaceKind, Network, Restored, Seeds};

const LAN: InterfaceId = InterfaceId(1);

fn identity(host: u8) -> Identity {
    Identity::from_seed([host; 32])
}

fn place(host: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), 9000))
}

fn node(host: u8) -> Engine {
    let config = Config::new(Network::open("pulse").unwrap(), "node", 9000);
    let seeds = Seeds::new([host; 32], [host ^ 0xff; 32]);
    let mut engine =
        Engine::new(config, identity(host), Restored::default(), seeds, Timestamp::ZERO).unwrap();
    let ip = IpAddr::from(Ipv4Addr::new(10, 0, 0, host));
    let lan = Interface {
        id: LAN,
        name: "eth0".into(),
        kind: InterfaceKind::Lan,
        multicast: false,
        directed_broadcast: true,
        addrs: vec![InterfaceAddr { ip, prefix: 24 }],
    };
    engine.handle_interfaces(Timestamp::from_millis(1), &[lan]);
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
