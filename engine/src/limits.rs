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
