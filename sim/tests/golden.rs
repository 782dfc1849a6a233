//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, "85d4d0733e67b75acc39a29e7a281b9876864f440fb98d86efe0aa0306e5e22f"),
    ("lan", 2, Crypto::Real, "3361cf099d391d7d429efe962769eb93318d14065e5a38605c132d6755c4961d"),
    ("wifi", 3, Crypto::Real, "acb24a0082abfee322de120a36a7d1f446fc1d579205ae7b4195b5eeba31599d"),
    ("hostile", 4, Crypto::Real, "94978667e0ee3f3902f394138434ee023f3a0c4e77be197410a000ca909d57fb"),
    ("hostile", 5, Crypto::Real, "42938dbee05ce8a45e1b068a1890e1c7dde31738fde79d05454e2d9459b7e067"),
    ("hostile", 4, Crypto::Cheap, "9c2a4c89022bdab688ada345444348c0b6e8e00691a8d83089cc495dc6b065a3"),
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
