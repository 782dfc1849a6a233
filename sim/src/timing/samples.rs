//! Many times, kept to within one part in 128.

use std::collections::BTreeMap;
use std::time::Duration;

/// Times with their ranks. Each is kept rounded down to one part in 128, so that a million pairs take no more room than
/// ten; the worst is kept as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    counts: BTreeMap<u64, u64>,
    worst: Option<Duration>,
    total: u64,
}

/// Bits of a number of microseconds that are kept.
const KEPT: u32 = 8;

impl Samples {
    pub(crate) fn note(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let dropped = (u64::BITS - micros.leading_zeros()).saturating_sub(KEPT);
        *self.counts.entry(micros >> dropped << dropped).or_default() += 1;
        self.worst = self.worst.max(Some(time));
        self.total += 1;
    }

    /// Adds those of another run.
    pub(crate) fn add(&mut self, other: &Samples) {
        for (&micros, count) in &other.counts {
            *self.counts.entry(micros).or_default() += count;
        }
        self.worst = self.worst.max(other.worst);
        self.total += other.total;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The longest.
    #[must_use]
    pub fn worst(&self) -> Option<Duration> {
        self.worst
    }

    /// The time within which so many of a thousand lie, `endless` more counted as longer than any; `None` if it is one
    /// of these.
    pub(crate) fn rank(&self, thousandths: u64, endless: u64) -> Option<Duration> {
        let rank = ((self.total + endless) * thousandths).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        found.map(|(&micros, _)| Duration::from_micros(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_right_to_one_part_in_128() {
        let mut samples = Samples::default();
        (1..=1000u64).rev().for_each(|i| samples.note(Duration::from_millis(i)));
        for (rank, millis) in [(500, 500.0), (990, 990.0), (1000, 1000.0)] {
            let got = samples.rank(rank, 0).unwrap().as_secs_f64() * 1000.0;
            assert!(got <= millis && got > millis * 127.0 / 128.0, "{rank}: {got}");
        }
        assert_eq!(samples.worst(), Some(Duration::from_secs(1)));
        assert_eq!(samples.rank(990, 1000), None, "half of them are endless");
    }
}
