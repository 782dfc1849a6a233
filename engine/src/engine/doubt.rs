//! Doubting ourselves before others: who misses its own deadlines, or hears nobody at all, is more likely at fault than
//! everybody else (Lifeguard, section 3.A: local health awareness).

use core::time::Duration;

use crate::time::Timestamp;

use super::Engine;

/// How far the doubt goes: others get 1 + this many times `lost_after`.
const MOST: u32 = 2;

/// The doubt falls by one after so many times `lost_after` without cause.
const FALLS_AFTER: u32 = 4;

/// How much this node doubts itself.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    score: u32,
    since: Timestamp,
}

impl Doubt {
    fn score(&self, now: Timestamp, lost_after: Duration) -> u32 {
        let fall = now.since(self.since).as_nanos() / (lost_after * FALLS_AFTER).as_nanos().max(1);
        self.score.saturating_sub(u32::try_from(fall).unwrap_or(u32::MAX))
    }

    /// One more cause.
    pub(super) fn grow(&mut self, now: Timestamp, lost_after: Duration) {
        *self = Doubt { score: (self.score(now, lost_after) + 1).min(MOST), since: now };
    }

    /// There is a cause that lasts.
    pub(super) fn at_least_one(&mut self, now: Timestamp, lost_after: Duration) {
        *self = Doubt { score: self.score(now, lost_after).max(1), since: now };
    }

    /// By what the times of verdicts over others are multiplied.
    pub(super) fn patience(&self, now: Timestamp, lost_after: Duration) -> u32 {
        1 + self.score(now, lost_after)
    }
}

impl Engine {
    /// Whether several peers are connected and nobody at all is heard, not even by a beacon.
    pub(super) fn is_deaf(&self) -> bool {
        self.connected >= 2 && self.is_quiet(self.now.since(self.heard_anyone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_is_bounded_and_passes() {
        let lost_after = Duration::from_secs(4);
        let at = |secs: u64| Timestamp::from_millis(secs * 1000);
        let mut doubt = Doubt::default();
        assert_eq!(doubt.patience(at(100), lost_after), 1);
        for _ in 0..5 {
            doubt.grow(at(100), lost_after);
        }
        assert_eq!(doubt.patience(at(100), lost_after), 3);
        assert_eq!(doubt.patience(at(116), lost_after), 2);
        assert_eq!(doubt.patience(at(132), lost_after), 1);
        doubt.at_least_one(at(200), lost_after);
        assert_eq!(doubt.patience(at(200), lost_after), 2);
    }
}
