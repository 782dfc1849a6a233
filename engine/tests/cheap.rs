//! Cheap identities link with their like, and to a real one they are nobody.

mod lan;

use lan::{Lan, config};
use p2pnet_engine::{Engine, Identity, Level, Restored, Seeds};

/// Node `i` becomes one with a cheap identity in the same network.
fn cheapen(lan: &mut Lan, i: usize) {
    let seed = [40 + i as u8; 32];
    let (identity, seeds) = (Identity::cheap(seed), Seeds::new(seed, seed));
    let config = config(&format!("cheap{i}"));
    let engine = Engine::new(config, identity, Restored::default(), seeds, lan.now).unwrap();
    lan.replace(i, engine);
}

#[test]
fn a_real_node_knows_no_cheap_one_and_cheap_ones_trust_each_other() {
    let mut lan = Lan::new(3);
    cheapen(&mut lan, 1);
    cheapen(&mut lan, 2);
    lan.run_for_millis(5_000);
    let (one, other) = (lan.nodes[1].engine.peer_id(), lan.nodes[2].engine.peer_id());
    assert_eq!(lan.nodes[1].engine.peer(&other).map(|peer| peer.level), Some(Level::Trusted));
    assert_eq!(lan.nodes[0].engine.peers().count(), 0);
    assert!(lan.nodes[0].engine.peer(&one).is_none());
    assert!(lan.nodes[0].engine.stats().records_refused > 0, "it heard of nobody: nothing was shown");
}
