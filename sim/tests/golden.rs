//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, "ca9bf6f0d25aed9e45343f928e7394183a490d93d6bf2cc14d462d92b511d213"),
    ("lan", 2, Crypto::Real, "c65803a964686ed5d27ef391b91113040352ffd96471928d19e76789c498c25e"),
    ("wifi", 3, Crypto::Real, "abac1fb52614f68b50f55bad4e7fde6ba62f97cc5c7cf9d1003ced1a60b49d1c"),
    ("hostile", 4, Crypto::Real, "5567d5a6c6676e0b65f238bac70468ea5fdae75c65409db50c5f0071c66c98f7"),
    ("hostile", 5, Crypto::Real, "929ecd4b323dca3e1587a25702148458ecfb7d13a7229f3595c8a6b29b00571f"),
    ("hostile", 4, Crypto::Cheap, "278ddf1b45b6d60eb6d31798dba94115508c5f2de44d7cd648a82758195b67ef"),
];

#[test]
fn runs_are_the_same_in_every_build() {
    let run = |&(profile, seed, crypto, _): &(&str, u64, Crypto, &str)| {
        let profile = Profile::find(profile).unwrap();
        let (_, outcome) = run_plan(Plan { crypto, ..expand(seed, profile) }, false);
        assert_eq!(outcome.failure, None, "{} {seed}", profile.name());
        outcome.hash
    };
    let hashes: Vec<String> = GOLDEN.iter().map(run).collect();
    let golden: Vec<&str> = GOLDEN.iter().map(|(.., hash)| *hash).collect();
    assert_eq!(hashes, golden);
}
