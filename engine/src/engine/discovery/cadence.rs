//! How beacons are spaced once the burst is over: a pure function of time.

use core::time::Duration;

use crate::config::Cadence;
use crate::identity::PeerId;
use crate::time::Timestamp;

/// With more peers than this, each speaks less often, so that the LAN as a whole does not speak more.
const CROWD: u64 = 8;

/// No beacon interval is longer than this.
const SLOWEST_MILLIS: u64 = 300_000;

/// Where on the sine a peer begins: spread evenly by its id.
pub(super) fn phase(cadence: &Cadence, peer: &PeerId) -> Duration {
    let Cadence::Sine { period, .. } = cadence else { return Duration::ZERO };
    let [high, low, ..] = *peer.as_bytes();
    *period * u32::from(u16::from_be_bytes([high, low])) / 65_536
}

/// The time to the next beacon.
pub(super) fn interval(cadence: &Cadence, now: Timestamp, phase: Duration) -> Duration {
    match *cadence {
        Cadence::Constant { interval } => interval,
        Cadence::Sine { fastest, slowest, period } => {
            let period = nanos(period).max(1);
            let at = (u128::from(now.as_nanos()) + nanos(phase)) % period;
            let tenths = u32::try_from(at * 3600 / period).unwrap_or(0);
            // From 0 (fastest) to 2000 (slowest).
            let height = u32::try_from(1000 + sine_thousandths(tenths)).unwrap_or(0);
            fastest + (slowest - fastest) * height / 2000
        }
    }
}

/// An interval for a LAN on which `known` peers share the air.
pub(super) fn stretch(millis: u64, known: usize) -> u64 {
    let crowd = (known as u64).div_ceil(CROWD).max(1);
    millis.saturating_mul(crowd).min(SLOWEST_MILLIS)
}

fn nanos(duration: Duration) -> u128 {
    duration.as_nanos()
}

/// The sine of an angle in tenths of a degree (0 to 3600), in thousandths, by Bhaskara's approximation (629 AD):
/// sin x = 4x(180 - x) / (40500 - x(180 - x)) for x from 0 to 180 degrees, at most 0.0017 off. Integers only,
/// because floating-point sines differ between machines.
fn sine_thousandths(tenths: u32) -> i64 {
    let (half, sign) = if tenths <= 1800 { (tenths, 1) } else { (tenths - 1800, -1) };
    let x = i64::from(half);
    let product = x * (1800 - x);
    sign * 4000 * product / (4_050_000 - product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_right_to_two_thousandths() {
        for (degrees, expected) in
            [(0, 0), (30, 500), (90, 1000), (150, 500), (180, 0), (210, -500), (270, -1000)]
        {
            assert!((sine_thousandths(degrees * 10) - expected).abs() <= 2, "at {degrees}");
        }
    }

    #[test]
    fn the_interval_moves_between_fastest_and_slowest_and_back() {
        let cadence = Cadence::default();
        let at = |seconds: u64| interval(&cadence, Timestamp::from_millis(seconds * 1000), Duration::ZERO);
        assert_eq!(at(30), Duration::from_secs(20));
        assert_eq!(at(90), Duration::from_secs(1));
        assert_eq!(at(90), at(210));
    }

    #[test]
    fn a_crowd_speaks_less_often_but_never_less_than_every_five_minutes() {
        assert_eq!(stretch(1000, 0), 1000);
        assert_eq!(stretch(1000, 80), 10_000);
        assert_eq!(stretch(20_000, 100_000), 300_000);
    }
}
