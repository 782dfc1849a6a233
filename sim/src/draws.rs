//! Seeded draws: one ChaCha20 stream for each (seed, label).

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// 32 bytes that follow from a seed and a label, and tell nothing about those of another label.
#[must_use]
pub fn seed_bytes(seed: u64, label: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("p2pnet-sim 2026 seed for one purpose");
    hasher.update(&seed.to_le_bytes());
    hasher.update(label.as_bytes());
    *hasher.finalize().as_bytes()
}

/// A stream of draws. A new draw under one label does not move those under another.
#[derive(Debug)]
pub struct Draws(ChaCha20Rng);

impl Draws {
    /// The stream of `label` under `seed`.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        Draws(ChaCha20Rng::from_seed(seed_bytes(seed, label)))
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `limit`; 0 if that is 0. The bias is below 2^-32.
    pub fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Whether something of this probability (0.0 to 1.0) happens. Draws even when it is certain, so that a
    /// changed probability does not shift what is drawn after it.
    pub fn chance(&mut self, probability: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let unit = (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        unit < probability
    }

    /// A time between zero and `longest`, in whole milliseconds.
    pub fn delay(&mut self, longest: Duration) -> Duration {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(millis.saturating_add(1)))
    }
}

/// A draw that depends on (seed, domain, entity, counter) and on nothing else: how often anything else was drawn
/// does not move it. 64 bits, mixed as SplitMix64 does (Steele et al. 2014): cheap, and for simulations only.
#[must_use]
pub(crate) fn draw(seed: u64, domain: u64, entity: u64, counter: u64) -> u64 {
    [domain, entity, counter]
        .into_iter()
        .fold(mix(seed), |state, part| mix(state ^ part.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Whether something of this probability comes true with these 64 bits.
#[must_use]
pub(crate) fn comes_true(bits: u64, probability: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    let unit = (bits >> 11) as f64 / (1u64 << 53) as f64;
    unit < probability
}

/// A number below `limit` from 64 bits; 0 if the limit is 0.
#[must_use]
pub(crate) fn scale(bits: u64, limit: u64) -> u64 {
    u64::try_from((u128::from(bits) * u128::from(limit)) >> 64).unwrap_or(0)
}

fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_gives_the_same_draws_each_time_and_another_label_others() {
        let draw = |label| {
            let mut draws = Draws::new(7, label);
            (0..8).map(|_| draws.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw("loss"), draw("loss"));
        assert_ne!(draw("loss"), draw("delay"));
    }

    #[test]
    fn a_chance_of_a_fifth_comes_true_about_every_fifth_time() {
        let mut draws = Draws::new(1, "chance");
        let hits = (0..10_000).filter(|_| draws.chance(0.2)).count();
        assert!((1_850..2_150).contains(&hits), "{hits}");
        assert!(!draws.chance(0.0));
        assert!(draws.chance(1.0));
    }

    #[test]
    fn a_draw_by_counter_is_even_and_knows_only_its_own_counter() {
        let hits = (0..10_000).filter(|i| comes_true(draw(7, 1, 2, *i), 0.2)).count();
        assert!((1_850..2_150).contains(&hits), "{hits}");
        assert!((0..1000).all(|i| scale(draw(7, 1, 2, i), 10) < 10));
        assert_ne!(draw(7, 1, 2, 3), draw(7, 2, 1, 3));
        assert_ne!(draw(7, 0, 0, 0), draw(8, 0, 0, 0));
    }
}
