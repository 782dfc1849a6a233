//! The clock of a host: what it shows at a time of the world.

use std::time::Duration;

use p2pnet_engine::Timestamp;

/// A monotonic clock that began at some value, runs too fast or too slow, and leaps ahead when the host slept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub(super) offset: Duration,
    /// Millionths that it is too fast.
    pub(super) drift_ppm: i64,
}

impl Clock {
    /// What it shows.
    pub(super) fn local(&self, at: Timestamp) -> Timestamp {
        let nanos = i128::from(at.as_nanos());
        let drifted = nanos + nanos * i128::from(self.drift_ppm) / 1_000_000;
        Timestamp::from_nanos(u64::try_from(drifted).unwrap_or(0)) + self.offset
    }

    /// The first time of the world at which it shows `local` or later.
    pub(super) fn when(&self, local: Timestamp) -> Timestamp {
        let shown =
            i128::try_from(local.since(Timestamp::ZERO + self.offset).as_nanos()).unwrap_or(i128::MAX);
        let guess = shown.saturating_mul(1_000_000) / i128::from(1_000_000 + self.drift_ppm);
        let mut at = u64::try_from(guess).unwrap_or(u64::MAX).saturating_sub(2);
        while at < u64::MAX && self.local(Timestamp::from_nanos(at)) < local {
            at += 1;
        }
        Timestamp::from_nanos(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_reached_at_the_first_time_that_shows_it() {
        for drift_ppm in [-5000, 0, 37, 100_000] {
            let clock = Clock { offset: Duration::from_secs(3), drift_ppm };
            for nanos in [0, 1, 999, 1_000_000_007, 60_000_000_001] {
                let local = Timestamp::from_nanos(nanos) + clock.offset;
                let at = clock.when(local);
                assert!(clock.local(at) >= local);
                let before = Timestamp::from_nanos(at.as_nanos().saturating_sub(1));
                assert!(at == Timestamp::ZERO || clock.local(before) < local, "{drift_ppm} {nanos}");
            }
        }
    }
}
