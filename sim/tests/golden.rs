//! The hashes of a few runs, the same in every build: debug and release, with `ring`'s ciphers and without.
//!
//! Whoever changes what engines put out, or what the World does with it, changes them too: look at the first
//! difference (`p2pnet-sim replay --trace json`, `p2pnet-sim diff`), and if it is meant, take over what this prints.

use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::world::sweep::run_plan;
use p2pnet_sim::{Crypto, Profile, expand};

const GOLDEN: [(&str, u64, Crypto, &str); 6] = [
    ("calm", 1, Crypto::Real, "3b6c17fe249b669a4dd231e1f53453fb73dbdef4420dc9cde045fd9002084cad"),
    ("lan", 2, Crypto::Real, "c83c2b146053ff33204d591fedca44dddefa026c571b4c4f83fe754e587fe421"),
    ("wifi", 3, Crypto::Real, "d2a709a5f12752043fc8361fef168d5fdee4ed5af76ba0a0d9eebd30de0780ac"),
    ("hostile", 4, Crypto::Real, "e365dfb225700e958cd9889d61e52ec9e20d45dec1a945a1221a3d1a1d477394"),
    ("hostile", 5, Crypto::Real, "9f436ee009c488cdd3a997c4b692f305a0201a5245034185c23af730bf0476b1"),
    ("hostile", 4, Crypto::Cheap, "cc00c6eb8633d5c27d0bb5bf78f81b39a409e8648ce7dad5fca3c2bffed65559"),
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
