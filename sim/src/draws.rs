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
}
