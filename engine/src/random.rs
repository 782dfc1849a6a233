//! Seeds and the labelled random streams that grow from them.

use core::fmt;
use core::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

/// All the randomness that an engine ever has: two independent seeds of 32 bytes.
///
/// The same seeds and the same calls give the same run, so a run that goes into the world must get both from the
/// system's entropy source, and new ones at every start.
pub struct Seeds {
    /// For choices that anyone may know: jitter, order, ports. May be printed, so that a run can be replayed.
    pub behaviour: [u8; 32],
    /// For keys that nobody may know: the ephemeral keys of handshakes. Never printed, zeroised on drop.
    pub secrets: [u8; 32],
}

impl Seeds {
    /// Takes both seeds from the caller, who vouches that they are unpredictable and never used before.
    #[must_use]
    pub fn new(behaviour: [u8; 32], secrets: [u8; 32]) -> Self {
        Seeds { behaviour, secrets }
    }

    /// Derives both seeds from one number, for tests and simulations only: 2^64 choices protect nothing.
    #[must_use]
    pub fn from_u64(seed: u64) -> Self {
        Seeds {
            behaviour: blake3::derive_key("p2pnet v1 simulation seed: behaviour", &seed.to_le_bytes()),
            secrets: blake3::derive_key("p2pnet v1 simulation seed: secrets", &seed.to_le_bytes()),
        }
    }
}

impl Drop for Seeds {
    fn drop(&mut self) {
        self.secrets.zeroize();
    }
}

impl fmt::Debug for Seeds {
    /// Shows the behaviour seed only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let behaviour = data_encoding::HEXLOWER.encode(&self.behaviour);
        f.debug_struct("Seeds").field("behaviour", &behaviour).finish_non_exhaustive()
    }
}

/// One ChaCha20 stream for one purpose.
///
/// Every module draws from a stream with a label of its own, so a new draw in one does not move the others. Sampling
/// is done here and not by a crate, because a replay must not change with a dependency.
pub(crate) struct Stream(ChaCha20Rng);

impl Stream {
    /// The stream of `label` under `seed`: ChaCha20 keyed by BLAKE3 keyed hash of the label.
    pub(crate) fn new(seed: &[u8; 32], label: &str) -> Self {
        Stream(ChaCha20Rng::from_seed(*blake3::keyed_hash(seed, label.as_bytes()).as_bytes()))
    }

    /// 64 uniform bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number below `bound`; 0 if `bound` is 0.
    ///
    /// Lemire, "Fast Random Integer Generation in an Interval" (2019), algorithm 5: unbiased.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform duration of `low` or more and less than `high`, to the nanosecond; `low` if there is none.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let width = high.saturating_sub(low).as_nanos();
        low.saturating_add(Duration::from_nanos(self.below(u64::try_from(width).unwrap_or(u64::MAX))))
    }

    /// Fills `bytes`.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// 32 bytes: the seed of something that needs a stream, or a key, of its own.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        seed
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn streams_are_pinned_across_versions() {
        let mut stream = Stream::new(&[7; 32], "golden");
        assert_eq!(stream.next_u64(), 6424276444186330996);
        assert_eq!(stream.below(1000), 726);
        assert_eq!(
            data_encoding::HEXLOWER.encode(&stream.seed()),
            "1c5d3e980c06944c445e3b60c645ce9f6efdaed04fc94d7ad5ad00d496ad5400"
        );
    }

    #[test]
    fn labels_and_seeds_separate_streams() {
        let first = |seed: u8, label| Stream::new(&[seed; 32], label).next_u64();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }

    #[test]
    fn numbers_below_a_bound_reach_all_values_evenly() {
        let mut stream = Stream::new(&[1; 32], "below");
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[stream.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.below(1), 0);
        // A quarter of all draws must be rejected here. A remainder would favour the lower third, a product alone the
        // multiples of three.
        let bound = 3 << 62;
        let drawn: [u64; 6000] = core::array::from_fn(|_| stream.below(bound));
        let low = drawn.iter().filter(|&&number| number < bound / 3).count();
        let multiples = drawn.iter().filter(|&&number| number.is_multiple_of(3)).count();
        assert!((1800..2200).contains(&low) && (1800..2200).contains(&multiples), "{low} {multiples}");
    }

    #[test]
    fn durations_stay_between_their_ends() {
        let mut stream = Stream::new(&[1; 32], "between");
        let (low, high) = (Duration::from_millis(3), Duration::from_millis(5));
        for _ in 0..1000 {
            let drawn = stream.between(low, high);
            assert!(low <= drawn && drawn < high);
        }
        assert_eq!(stream.between(high, low), high);
        assert_eq!(stream.between(low, low), low);
        assert!(stream.between(low, Duration::MAX) >= low);
    }

    #[test]
    fn secrets_do_not_print() {
        let seeds = Seeds::new([0x11; 32], [0xab; 32]);
        let text = format!("{seeds:?} {:?}", Stream::new(&seeds.secrets, "x"));
        assert!(text.contains("1111") && !text.contains("abab") && !text.contains("171"), "{text}");
        let (one, two) = (Seeds::from_u64(1), Seeds::from_u64(2));
        assert_ne!(one.behaviour, one.secrets);
        assert_ne!(one.behaviour, two.behaviour);
        assert_ne!(one.secrets, two.secrets);
    }
}
