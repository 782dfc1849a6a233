//! What outlives a run: whom we met, and who is gone.

mod lan;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lan::{LAN, Lan, PORT};
use p2pnet_engine::{
    Config, Datagram, Engine, Identity, Memory, MemoryChange, Network, PeerId, Remembered, RememberedFloor,
    Restored, Seeds, Step, StoreFailure, StoreReply, StoreRequest, Timestamp,
};

/// An engine of its own with this identity, on the LAN's interface.
fn engine_of(seed: u8, restored: Restored, configure: impl FnOnce(&mut Config)) -> Engine {
    let mut config = lan::config("node");
    configure(&mut config);
    let seeds = Seeds::new([seed ^ 0x77; 32], [seed ^ 0x78; 32]);
    let mut engine =
        Engine::new(config, Identity::from_seed([seed; 32]), restored, seeds, Timestamp::ZERO).unwrap();
    engine.handle_interfaces(Timestamp::ZERO, &[lan::interface(seed)]);
    engine
}

/// Its first beacon.
fn beacon(engine: &mut Engine) -> Vec<u8> {
    engine.handle_timeout(Timestamp::ZERO);
    let mut bytes = Vec::new();
    assert!(engine.poll_transmit(&mut bytes).is_some());
    bytes
}

fn hear(engine: &mut Engine, host: u8, bytes: &[u8]) {
    let source = SocketAddr::from(([10, 0, 0, host], PORT));
    engine.handle_datagram(Timestamp::ZERO, Datagram { interface: LAN, source, bytes });
}

/// What an engine asks its store to keep for the next run.
fn asked(engine: &mut Engine) -> Vec<(bool, Vec<MemoryChange>)> {
    std::iter::from_fn(|| engine.poll_action())
        .filter_map(|action| match action {
            p2pnet_engine::Action::Store(StoreRequest::Remember { anew, changes }) => Some((anew, changes)),
            _ => None,
        })
        .collect()
}

fn with(memory: Memory) -> Restored {
    Restored { incarnation: 2, memory, ..Restored::default() }
}

fn known(engine: &Engine) -> usize {
    engine.peers().count()
}

/// A peer that left is gone for the next run too: what was said before it left is not believed. That next run forgets it
/// neither when it is over soon.
#[test]
fn who_left_does_not_come_back_after_a_restart() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(2_000);
    lan.command(1, |engine, now| engine.leave(now));
    lan.run_for_millis(2_000);
    let memory = lan.nodes[0].memory.clone();
    let leaver = lan.nodes[1].engine.peer_id();
    assert_eq!(memory.floors.keys().collect::<Vec<_>>(), [&leaver]);
    assert!(memory.floors[&leaver].proven);

    let old = beacon(&mut engine_of(2, Restored::default(), |_| {}));
    let mut again = engine_of(1, with(memory.clone()), |_| {});
    hear(&mut again, 2, &old);
    assert_eq!(known(&again), 0);
    again.leave(Timestamp::ZERO);
    assert_eq!(asked(&mut again), [], "the store has all that");

    // The beacon is good: who has no memory believes it. And a newer run is welcome.
    let mut without = engine_of(1, with(Memory::default()), |_| {});
    hear(&mut without, 2, &old);
    assert_eq!(known(&without), 1);
    let mut again = engine_of(1, with(memory), |_| {});
    hear(&mut again, 2, &beacon(&mut engine_of(2, with(Memory::default()), |_| {})));
    assert_eq!(known(&again), 1);
    again.leave(Timestamp::ZERO);
    assert_eq!(asked(&mut again), [], "the floor stays beside the newer run, and the store has it");
}

/// What changes within a second is written once.
#[test]
fn news_is_kept_together_and_at_most_once_a_second() {
    let mut lan = Lan::new(6);
    let requests =
        |lan: &Lan| lan.nodes[0].actions.iter().filter(|action| action.contains("Remember")).count();
    lan.run_for_millis(900);
    assert_eq!(requests(&lan), 0);
    lan.run_for_millis(2_000);
    assert_eq!(requests(&lan), 1);
    assert_eq!(lan.nodes[0].memory.peers.len(), 5);
    assert!(lan.nodes[0].memory.peers.values().all(|peer| peer.trusted && !peer.returning));
    for leaver in 3..6 {
        lan.command(leaver, |engine, now| engine.leave(now));
        lan.run_for_millis(300);
    }
    lan.run_for_millis(5_000);
    assert_eq!(requests(&lan), 2, "and nothing when there is no news");
    assert_eq!(lan.nodes[0].memory.floors.len(), 3);
}

/// While the store is busy news waits, and when it fails it is told everything again, once it may work again.
#[test]
fn a_store_that_fails_is_told_everything_later() {
    let mut lan = Lan::new(3);
    lan.nodes[0].keeps = Err(StoreFailure::Full);
    lan.run_for_millis(3_000);
    lan.command(2, |engine, now| engine.leave(now));
    lan.run_for_millis(20_000);
    assert_eq!(lan.nodes[0].memory, Memory::default());
    let requests =
        |lan: &Lan| lan.nodes[0].actions.iter().filter(|action| action.contains("Remember")).count();
    assert_eq!(requests(&lan), 1, "a full disk is not asked every second");
    lan.nodes[0].keeps = Ok(());
    lan.nodes[0]
        .memory
        .floors
        .insert(PeerId::from_bytes([9; 32]), RememberedFloor { record: Vec::new(), proven: false });
    lan.run_for_millis(15_000);
    assert_eq!(requests(&lan), 2);
    assert_eq!((lan.nodes[0].memory.peers.len(), lan.nodes[0].memory.floors.len()), (2, 1));
}

/// Nothing is lost when a node leaves: not what it was just told, nor what the store may yet fail to keep.
#[test]
fn what_is_new_is_kept_when_leaving() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(500);
    let now = lan.now;
    let engine = &mut lan.nodes[0].engine;
    engine.leave(now);
    let requests = asked(engine);
    assert!(matches!(&requests[..], [(false, changes)] if changes.len() == 1), "{requests:?}");

    let mut lan = Lan::new(2);
    lan.run_for_millis(500);
    let engine = &mut lan.nodes[0].engine;
    let later = Timestamp::from_millis(1_800);
    engine.handle_timeout(later);
    assert_eq!(asked(engine).len(), 1);
    engine.leave(later);
    let requests = asked(engine);
    assert!(matches!(&requests[..], [(true, changes)] if changes.len() == 1), "{requests:?}");
    engine.handle_store(later, StoreReply::Remembered { result: Err(StoreFailure::Io) });
    assert_eq!(asked(engine), []);
}

/// A crowd of strangers, each with a link of its own, takes the place of none who was ever trusted.
#[test]
fn strangers_do_not_push_out_who_was_trusted() {
    let friend = engine_of(9, Restored::default(), |_| {});
    let kept = Remembered {
        trusted: true,
        met: 7,
        ..Remembered::new(friend.record().bytes().to_vec(), "10.0.0.9:9000".parse().unwrap())
    };
    let memory = Memory { peers: BTreeMap::from([(friend.peer_id(), kept)]), ..Memory::default() };
    let mut lan = Lan::configured(6, |_| {});
    let mut config = lan::config("careful");
    config.max_peers = 3;
    config.trust.supported = vec![Step::Custom("badge".into())];
    config.trust.steps = vec![Step::Custom("badge".into())];
    let seeds = Seeds::new([40; 32], [41; 32]);
    let careful = Engine::new(config, Identity::from_seed([1; 32]), with(memory), seeds, lan.now).unwrap();
    lan.nodes[0].memory = Memory::default();
    lan.replace(0, careful);
    lan.run_for_millis(10_000);
    lan.command(0, |engine, now| engine.leave(now));
    let peers = &lan.nodes[0].memory.peers;
    let strangers = lan.nodes[1..].iter().filter(|node| peers.contains_key(&node.engine.peer_id())).count();
    assert_eq!(
        (peers.len(), strangers),
        (2, 2),
        "the friend is in the store as before, and makes room for nobody"
    );
    assert!(peers.values().all(|peer| !peer.trusted && peer.met > 7), "{peers:?}");
}

/// Who comes back in another run of ours stands before who came often in one.
#[test]
fn who_was_met_in_two_runs_is_returning() {
    let mut lan = Lan::new(2);
    lan.run_for_millis(3_000);
    let memory = lan.nodes[0].memory.clone();
    assert!(memory.peers.values().all(|peer| !peer.returning));
    let seeds = Seeds::new([40; 32], [41; 32]);
    let again = Engine::new(lan::config("again"), Identity::from_seed([1; 32]), with(memory), seeds, lan.now)
        .unwrap();
    lan.replace(0, again);
    lan.run_for_millis(5_000);
    assert!(lan.nodes[0].memory.peers.values().all(|peer| peer.returning && peer.trusted));
}

/// Nothing of another network, nothing that its subject did not sign, nothing under another's id; and the store is rid of it.
#[test]
fn what_is_not_valid_is_skipped_and_dropped() {
    let friend = engine_of(2, Restored::default(), |_| {});
    let foreign =
        engine_of(3, Restored::default(), |config| config.network = Network::open("other").unwrap());
    let (good, id) = (friend.record().bytes().to_vec(), friend.peer_id());
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let address: SocketAddr = "10.0.0.2:9000".parse().unwrap();
    let floor = |record: &[u8]| RememberedFloor { record: record.to_vec(), proven: true };
    let other = PeerId::from_bytes([5; 32]);
    let cases = [(id, forged), (other, good.clone()), (foreign.peer_id(), foreign.record().bytes().to_vec())];
    for (peer, record) in cases {
        let memory = Memory {
            peers: BTreeMap::from([(peer, Remembered::new(record.clone(), address))]),
            floors: BTreeMap::from([(peer, floor(&record))]),
        };
        let mut engine = engine_of(1, with(memory), |_| {});
        assert_eq!(engine.stats().records_refused, 2);
        engine.leave(Timestamp::ZERO);
        assert_eq!(asked(&mut engine), [(true, vec![])]);
    }
    let memory = Memory {
        peers: BTreeMap::from([(id, Remembered::new(good.clone(), address))]),
        floors: BTreeMap::from([(id, floor(&good))]),
    };
    assert_eq!(engine_of(1, with(memory), |_| {}).stats().records_refused, 0);
}
