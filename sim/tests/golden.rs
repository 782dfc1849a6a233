//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, "ef047e73b18dbb4bb7fb6c2c7239ed4ffba0fa14a871ab728fd2c330abc5f67d"),
    ("lan", 2, Crypto::Real, "0321a5efed90488ecd8d9e55d96d47e69902520ccc90fb9ce68022b60e2c0333"),
    ("wifi", 3, Crypto::Real, "eaae1a1c68c019c179ec5044e2fb7cf15ba776e03af35909de8a5673b120f08f"),
    ("hostile", 4, Crypto::Real, "94978667e0ee3f3902f394138434ee023f3a0c4e77be197410a000ca909d57fb"),
    ("hostile", 5, Crypto::Real, "e609d355156328bc8cca001afd1dc0e736d2b871cc161fea15effc364175cc59"),
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
