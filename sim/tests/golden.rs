//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, "1d7b985a34e23712ddb9b63e4ac876af8371a4cfae9803a7453d34de2ad3594d"),
    ("lan", 2, Crypto::Real, "f4df39cd4bf4fcbb054f08387c13420f9f8308c86e6df4e5279bb4084c27bd1a"),
    ("wifi", 3, Crypto::Real, "40b7776da7c668e87bdbd0e40e203d24e4f62477673f17a8b2673781193802f3"),
    ("hostile", 4, Crypto::Real, "7c15429756fda46a48e98c5db68c396cabfad3a5b5160fda09e824f54ab04006"),
    ("hostile", 5, Crypto::Real, "3ceeca9b5488cd75242458055e2177b6f11467d66d8c28bb4b28136d31c7271c"),
    ("hostile", 4, Crypto::Cheap, "1381108bfe41b4eeed41f6c0d658f9c0ccae6d8fdd565e453c6eced7e07ed461"),
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
