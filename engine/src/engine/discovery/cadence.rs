//! How beacons are spaced once the burst is over.

use core::time::Duration;

use crate::config::Cadence;
use crate::identity::PeerId;
use crate::random::Stream;
use crate::time::Timestamp;

/// No beacon interval is longer than this.
const SLOWEST: Duration = Duration::from_secs(300);

/// Datagrams a second that the beacons of a whole LAN may be, however many nodes are on it: what one node may send is
/// its share of that.
const LAN_BUDGET: u64 = 10;

/// With as many links as a node may have it needs nobody and only others need it: it speaks this much less often.
const SATED: u32 = 4;

/// Who shares the air, and what a beacon costs there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Air {
    /// Nodes, this one included.
    pub(super) population: u64,
    /// Datagrams that one beacon is.
    pub(super) datagrams: u64,
    /// Whether this node has all the links that it may have.
    pub(super) sated: bool,
}

impl Air {
    /// The shortest interval that keeps the budget of the LAN if `speakers` nodes speak within one.
    fn shortest(self, speakers: u64) -> Duration {
        Duration::from_millis(speakers.saturating_mul(self.datagrams).saturating_mul(1000) / LAN_BUDGET)
    }

    fn fit(self, interval: Duration, speakers: u64) -> Duration {
        let interval = if self.sated { interval * SATED } else { interval };
        interval.max(self.shortest(speakers)).min(SLOWEST)
    }
}

/// What is due when the timer of the cadence fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// Whether to send a beacon now.
    pub(super) speak: bool,
    /// When to ask again.
    pub(super) next: Duration,
}

/// A cadence on its way.
#[derive(Debug)]
pub(super) struct Pace {
    /// Where on the sine a peer begins: spread evenly by its id.
    phase: Duration,
    trickle: Trickle,
}

/// The variables of RFC 6206, section 4.1.
#[derive(Debug)]
struct Trickle {
    /// The interval, *I*; zero before the first one.
    interval: Duration,
    /// While *t* is still to come: what is left of the interval after it.
    rest: Option<Duration>,
    /// Consistent beacons heard in this interval, *c*.
    heard: u32,
}

impl Pace {
    pub(super) fn new(cadence: &Cadence, peer: &PeerId) -> Self {
        let phase = match cadence {
            Cadence::Sine { period, .. } => {
                let [high, low, ..] = *peer.as_bytes();
                *period * u32::from(u16::from_be_bytes([high, low])) / 65_536
            }
            _ => Duration::ZERO,
        };
        Pace { phase, trickle: Trickle { interval: Duration::ZERO, rest: None, heard: 0 } }
    }

    /// A beacon was heard that says nothing new.
    pub(super) fn heard_known(&mut self) {
        self.trickle.heard = self.trickle.heard.saturating_add(1);
    }

    /// When the first beat comes. Those who began together soon speak again, but where there are so many that they
    /// must take turns, they spread over a whole interval: in half of it the air would carry twice its budget.
    pub(super) fn begin(&mut self, cadence: &Cadence, air: Air, behaviour: &mut Stream) -> Duration {
        let interval = self.snap_back(cadence, air);
        let latest = if interval > fastest(cadence) { interval * 3 / 2 } else { interval };
        behaviour.between(interval / 2, latest)
    }

    /// Something is new. After that the longest that one should wait before speaking again, if sooner than planned.
    pub(super) fn snap_back(&mut self, cadence: &Cadence, air: Air) -> Duration {
        self.trickle = Trickle { interval: Duration::ZERO, rest: None, heard: 0 };
        air.fit(fastest(cadence), air.population)
    }

    /// The next beat, the timer having fired at `now`.
    pub(super) fn beat(
        &mut self,
        cadence: &Cadence,
        now: Timestamp,
        air: Air,
        behaviour: &mut Stream,
    ) -> Beat {
        let interval = match *cadence {
            Cadence::Constant { interval } => interval,
            Cadence::Sine { fastest, slowest, period } => {
                let period = nanos(period).max(1);
                let at = (u128::from(now.as_nanos()) + nanos(self.phase)) % period;
                let tenths = u32::try_from(at * 3600 / period).unwrap_or(0);
                // From 0 (fastest) to 2000 (slowest).
                let height = u32::try_from(1000 + sine_thousandths(tenths)).unwrap_or(0);
                fastest + (slowest - fastest) * height / 2000
            }
            Cadence::Trickle { fastest, slowest, redundancy } => {
                return self.trickle.beat(fastest, slowest, redundancy, air, behaviour);
            }
        };
        let interval = air.fit(interval, air.population);
        Beat { speak: true, next: behaviour.between(interval * 9 / 10, interval * 11 / 10) }
    }
}

impl Trickle {
    /// RFC 6206, section 4.2: speak at a random time in the second half of each interval unless enough others did;
    /// each interval is twice as long as the one before.
    fn beat(
        &mut self,
        fastest: Duration,
        slowest: Duration,
        redundancy: u32,
        air: Air,
        behaviour: &mut Stream,
    ) -> Beat {
        if let Some(rest) = self.rest.take() {
            return Beat { speak: self.heard < redundancy, next: rest };
        }
        let speakers = air.population.min(u64::from(redundancy) * 2);
        self.interval = air.fit((self.interval * 2).clamp(fastest, slowest), speakers);
        self.heard = 0;
        let wait = behaviour.between(self.interval / 2, self.interval);
        self.rest = Some(self.interval.saturating_sub(wait));
        Beat { speak: false, next: wait }
    }
}

/// The shortest interval of a cadence where there is room for it.
fn fastest(cadence: &Cadence) -> Duration {
    match *cadence {
        Cadence::Constant { interval: fastest }
        | Cadence::Sine { fastest, .. }
        | Cadence::Trickle { fastest, .. } => fastest,
    }
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

    fn air(population: u64) -> Air {
        Air { population, datagrams: 4, sated: false }
    }

    fn beats(cadence: Cadence, air: Air) -> (Pace, impl FnMut(&mut Pace, u64) -> Beat) {
        let pace = Pace::new(&cadence, &PeerId::from_bytes([0; 32]));
        let mut behaviour = Stream::new(&[1; 32], "test");
        (pace, move |pace, seconds| {
            pace.beat(&cadence, Timestamp::from_millis(seconds * 1000), air, &mut behaviour)
        })
    }

    #[test]
    fn the_sine_moves_between_fastest_and_slowest_and_back() {
        let (fastest, slowest) = (Duration::from_secs(1), Duration::from_secs(20));
        let sine = Cadence::Sine { fastest, slowest, period: Duration::from_secs(120) };
        let (mut pace, mut beat) = beats(sine, air(2));
        assert!((18_000..=22_000).contains(&beat(&mut pace, 30).next.as_millis()));
        assert!((900..=1_100).contains(&beat(&mut pace, 90).next.as_millis()));
    }

    #[test]
    fn a_crowd_speaks_less_often_but_never_less_than_every_five_minutes() {
        let constant = Cadence::Constant { interval: Duration::from_secs(5) };
        for (population, expected) in [(2, 5), (100, 40), (1000, 300)] {
            let (mut pace, mut beat) = beats(constant, air(population));
            let millis = beat(&mut pace, 0).next.as_millis();
            assert!((expected * 900..=expected * 1100).contains(&millis), "{population}: {millis}");
        }
        let (mut pace, mut beat) = beats(constant, Air { sated: true, ..air(2) });
        assert!(beat(&mut pace, 0).next >= Duration::from_secs(18));
    }

    #[test]
    fn a_crowd_that_began_together_spreads_over_a_whole_interval() {
        let cadence = Cadence::Constant { interval: Duration::from_secs(5) };
        let mut pace = Pace::new(&cadence, &PeerId::from_bytes([0; 32]));
        let mut behaviour = Stream::new(&[1; 32], "test");
        let mut seconds_of = |population| {
            (0..1000).map(|_| pace.begin(&cadence, air(population), &mut behaviour).as_secs()).collect()
        };
        let few: alloc::vec::Vec<_> = seconds_of(2);
        assert!(few.iter().all(|seconds| (2..5).contains(seconds)));
        let many = seconds_of(1000);
        assert!(many.iter().all(|seconds| (150..450).contains(seconds)));
        let busiest = (150..450)
            .step_by(30)
            .map(|from| many.iter().filter(|&&seconds| (from..from + 30).contains(&seconds)).count());
        // A tenth of them in a tenth of the time, about.
        assert!(
            busiest.clone().all(|count| (60..140).contains(&count)),
            "{:?}",
            busiest.collect::<alloc::vec::Vec<_>>()
        );
    }

    #[test]
    fn trickle_doubles_is_silent_when_enough_speak_and_snaps_back() {
        let (fastest, slowest) = (Duration::from_secs(1), Duration::from_secs(16));
        let trickle = Cadence::Trickle { fastest, slowest, redundancy: 2 };
        let (mut pace, mut beat) = beats(trickle, air(2));
        let mut spoken = alloc::vec::Vec::new();
        for _ in 0..6 {
            let first = beat(&mut pace, 0);
            assert!(!first.speak);
            let interval = pace.trickle.interval;
            assert!((interval / 2..=interval).contains(&first.next));
            spoken.push((interval.as_secs(), beat(&mut pace, 0).speak));
        }
        assert_eq!(spoken, [(1, true), (2, true), (4, true), (8, true), (16, true), (16, true)]);
        beat(&mut pace, 0);
        pace.heard_known();
        pace.heard_known();
        assert!(!beat(&mut pace, 0).speak, "two others have spoken");
        pace.snap_back(&trickle, air(2));
        beat(&mut pace, 0);
        assert_eq!(pace.trickle.interval, fastest);
    }
}
