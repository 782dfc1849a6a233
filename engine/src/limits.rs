//! How much of something a stranger may cause.

use crate::time::Timestamp;

/// Parts of a token: one for each nanosecond and token a second.
const PARTS: u64 = 1_000_000_000;

/// A token bucket in integers: holds at most `capacity` tokens, starts full, gains `per_second` a second.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    capacity: u32,
    per_second: u32,
    /// In parts of a token, so that no time is lost to rounding.
    level: u64,
    filled_at: Timestamp,
}

impl TokenBucket {
    pub(crate) fn new(capacity: u32, per_second: u32) -> Self {
        TokenBucket { capacity, per_second, level: u64::from(capacity) * PARTS, filled_at: Timestamp::ZERO }
    }

    /// Takes `n` tokens if there are as many, and says whether it did. A `now` in the past gains nothing.
    pub(crate) fn take(&mut self, now: Timestamp, n: u32) -> bool {
        let elapsed = now.as_nanos().saturating_sub(self.filled_at.as_nanos());
        self.filled_at = self.filled_at.max(now);
        let gained = u128::from(elapsed) * u128::from(self.per_second);
        let full = u64::from(self.capacity) * PARTS;
        self.level = u64::try_from(u128::from(self.level) + gained).unwrap_or(u64::MAX).min(full);
        match self.level.checked_sub(u64::from(n) * PARTS) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_gives_its_capacity_and_then_its_rate() {
        let mut bucket = TokenBucket::new(4, 40);
        let start = Timestamp::from_millis(1_000);
        assert!((0..4).all(|_| bucket.take(start, 1)));
        assert!(!bucket.take(start, 1));
        assert!(!bucket.take(Timestamp::from_nanos(1_024_999_999), 1));
        assert!(bucket.take(Timestamp::from_millis(1_025), 1), "one token every 25 ms");
        assert!(!bucket.take(Timestamp::from_millis(1_025), 1));
        assert!(bucket.take(Timestamp::from_millis(9_000), 4));
        assert!(!bucket.take(Timestamp::from_millis(9_000), 1), "never above the capacity");
    }

    #[test]
    fn small_steps_lose_nothing() {
        let mut bucket = TokenBucket::new(1, 3);
        assert!(bucket.take(Timestamp::ZERO, 1));
        let taken =
            (1..=10_000).filter(|&micros| bucket.take(Timestamp::from_nanos(micros * 100_000), 1)).count();
        assert!((2..=3).contains(&taken), "{taken} tokens in a second");
    }

    #[test]
    fn a_clock_that_goes_back_gains_nothing() {
        let mut bucket = TokenBucket::new(1, 1);
        assert!(bucket.take(Timestamp::from_millis(5_000), 1));
        assert!(!bucket.take(Timestamp::ZERO, 1));
        assert!(!bucket.take(Timestamp::from_millis(5_999), 1));
        assert!(bucket.take(Timestamp::from_millis(6_000), 1));
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let mut bucket = TokenBucket::new(u32::MAX, u32::MAX);
        assert!(bucket.take(Timestamp::from_nanos(u64::MAX), u32::MAX));
        assert!(!bucket.take(Timestamp::from_nanos(u64::MAX), 1));
        assert!(bucket.take(Timestamp::from_nanos(u64::MAX), 0));
        assert!(!TokenBucket::new(0, 0).take(Timestamp::from_nanos(u64::MAX), 1));
    }
}
