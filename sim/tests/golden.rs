//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, "20949031e7f20f75adc802ac86d2d0812b0a73ab9fcd2e4c8feafdc3541199e5"),
    ("lan", 2, Crypto::Real, "c81f58f9c55c8504c274e1724cdc2e574f95f7755b91936981702274bf485198"),
    ("wifi", 3, Crypto::Real, "84dd7bd99dba7f828a17c3cd82e72c668f93c92cbafb2c0b071b9b7d33d338a8"),
    ("hostile", 4, Crypto::Real, "df7438da6bbeb4fbe92e6b618c085723a430e62f9bc6cf90e2a98b0c651269a7"),
    ("hostile", 5, Crypto::Real, "11441948ef646ccc05eadfa6afc1e96576994622683511e0a80d935636aec1d1"),
    ("hostile", 4, Crypto::Cheap, "507ada11b17b0b656264a04981fb425f81d26e8c41ccb98c209ea639e84be337"),
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
