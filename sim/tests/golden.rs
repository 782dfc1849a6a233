//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, ""),
    ("lan", 2, Crypto::Real, ""),
    ("wifi", 3, Crypto::Real, ""),
    ("hostile", 4, Crypto::Real, ""),
    ("hostile", 5, Crypto::Real, ""),
    ("hostile", 4, Crypto::Cheap, ""),
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
