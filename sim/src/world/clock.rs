//! The clock of a host: what it shows at a time of the world.

use std::time::Duration;

use p2pnet_engine::Timestamp;

/// A monotonic clock that began at some value, runs too fast or too slow, and leaps ahead when the host slept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub(super) offset: Duration,
    /// Millionths that it is too fast.
    pub(super) drift_ppm: i64,
    /// How long it stood still while the host slept.
    pub(super) stood: Duration,
}

const MILLION: u64 = 1_000_000;

impl Clock {
    /// What it shows.
    pub(super) fn local(&self, at: Timestamp) -> Timestamp {
        // In two parts, so that nothing overflows in 64 bits.
        let nanos = at.since(Timestamp::ZERO + self.stood).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let (millions, rest) = ((nanos / MILLION).cast_signed(), (nanos % MILLION).cast_signed());
        let drift = millions * self.drift_ppm + rest * self.drift_ppm / MILLION.cast_signed();
        Timestamp::from_nanos(nanos.saturating_add_signed(drift)) + self.offset
    }

    /// The first time of the world at which it shows `local` or later.
    pub(super) fn when(&self, local: Timestamp) -> Timestamp {
        let shown = local.since(Timestamp::ZERO + self.offset);
        let shown = u64::try_from(shown.as_nanos()).unwrap_or(u64::MAX);
        let speed = MILLION.saturating_add_signed(self.drift_ppm).max(1);
        let guess = (shown / speed).saturating_mul(MILLION).saturating_add(shown % speed * MILLION / speed);
        let stood = u64::try_from(self.stood.as_nanos()).unwrap_or(u64::MAX);
        let mut at = guess.saturating_sub(3).saturating_add(stood);
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
            let clock =
                Clock { offset: Duration::from_secs(3), drift_ppm, stood: Duration::from_secs(drift_ppm.unsigned_abs() % 3) };
            for nanos in [0, 1, 999, 1_000_000_007, 60_000_000_001] {
                let local = Timestamp::from_nanos(nanos) + clock.offset;
                let at = clock.when(local);
                assert!(clock.local(at) >= local);
                let before = Timestamp::from_nanos(at.as_nanos().saturating_sub(1));
                assert!(before <= Timestamp::ZERO + clock.stood || clock.local(before) < local, "{drift_ppm} {nanos}");
            }
        }
    }
}
