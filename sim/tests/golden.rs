//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, "ca9bf6f0d25aed9e45343f928e7394183a490d93d6bf2cc14d462d92b511d213"),
    ("lan", 2, Crypto::Real, "62020aef6100274a7616585ab8f550cfea8f57e1a8ee6fadb6c98560b90f8bde"),
    ("wifi", 3, Crypto::Real, "abac1fb52614f68b50f55bad4e7fde6ba62f97cc5c7cf9d1003ced1a60b49d1c"),
    ("hostile", 4, Crypto::Real, "1d5df8e75e44fce1013c1d56c0a2331001e7e84364f5eea123e721af7953f020"),
    ("hostile", 5, Crypto::Real, "929ecd4b323dca3e1587a25702148458ecfb7d13a7229f3595c8a6b29b00571f"),
    ("hostile", 4, Crypto::Cheap, "56dbfcf750a8caf5436d3ec0a8ef6dacf8ab6009f32e4d366287a58da0d3ae8b"),
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
