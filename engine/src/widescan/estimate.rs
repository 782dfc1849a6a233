//! What a search will cost, and what can honestly be hoped for.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::candidates::Candidates;
use super::pattern::ScanPattern;

/// What a search comes to, told before it begins.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScanEstimate {
    /// Addresses in all prefixes together. A /64 has 1.8e19.
    pub addresses: f64,
    /// Addresses of each pattern that has any, in the order of trying. Those that two patterns have, or that are on the
    /// stop list, are counted though they are sent to once, or never.
    pub patterns: Vec<(ScanPattern, u128)>,
    /// Datagrams that are sent at most: one for each candidate, up to the plan's limit.
    pub datagrams: u64,
    /// How long they take.
    pub duration: Duration,
    /// Of all addresses, the part that is tried at most: 0 to 1.
    pub share: f64,
    /// Datagrams that all candidates would take, whatever the limit.
    pub candidates: u128,
    /// The plan's rate.
    pub per_second: u32,
}

/// The time between two datagrams: a fiftieth more than the rate asks for. A deadline that is met up to 20 ms late then
/// still leaves no second with more datagrams than the rate says.
pub(crate) fn gap(per_second: u32) -> Duration {
    Duration::from_nanos((1_020_000_000_u64).div_ceil(u64::from(per_second.max(1))))
}

impl ScanEstimate {
    pub(crate) fn new(candidates: &Candidates) -> Self {
        let plan = candidates.plan();
        let patterns: Vec<_> = candidates.sizes().filter(|(_, size)| *size > 0).collect();
        // What is enumerated contains the candidates of the patterns.
        let rest = patterns.iter().find(|(pattern, _)| *pattern == ScanPattern::Rest).map(|(_, size)| *size);
        let all = rest.unwrap_or_else(|| patterns.iter().map(|(_, size)| size).sum());
        let datagrams = u64::try_from(all).unwrap_or(u64::MAX).min(plan.total);
        let addresses: f64 = plan.prefixes.iter().map(super::Prefix6::addresses).sum();
        let nanos = gap(plan.per_second).as_nanos().saturating_mul(u128::from(datagrams));
        ScanEstimate {
            addresses,
            patterns,
            datagrams,
            duration: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            share: (datagrams as f64 / addresses).min(1.0),
            candidates: all,
            per_second: plan.per_second,
        }
    }
}

impl fmt::Display for ScanEstimate {
    /// Several lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "addresses in all: {}", Count(self.addresses))?;
        for (pattern, size) in &self.patterns {
            writeln!(f, "  {}: {}", pattern.as_str(), Count(*size as f64))?;
        }
        let (datagrams, rate) = (Count(self.datagrams as f64), self.per_second);
        writeln!(f, "sends at most {datagrams} datagrams, {rate} a second: {}", Time(self.duration))?;
        if u128::from(self.datagrams) < self.candidates {
            let all = self.candidates as f64;
            writeln!(
                f,
                "that is the limit: all {} candidates would take {}",
                Count(all),
                Years(all / f64::from(rate))
            )?;
        }
        if self.share >= 1.0 {
            write!(f, "tries every address: finds each peer there that lets itself be found this way")
        } else {
            let percent = self.share * 100.0;
            writeln!(f, "tries {percent:.1e} % of the addresses")?;
            write!(
                f,
                "finds peers at such addresses only; one at a random address is as good as certain to be missed"
            )
        }
    }
}

/// A number of addresses: exact while people can read it.
struct Count(f64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1e9 { write!(f, "{}", self.0) } else { write!(f, "{:.1e}", self.0) }
    }
}

struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Years(self.0.as_secs_f64()).fmt(f)
    }
}

/// Seconds in the unit that suits them.
struct Years(f64);

impl fmt::Display for Years {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let year = 365.25 * 86_400.0;
        match self.0 {
            seconds if seconds < 120.0 => write!(f, "{seconds:.0} s"),
            seconds if seconds < 7200.0 => write!(f, "{:.0} min", seconds / 60.0),
            seconds if seconds < 172_800.0 => write!(f, "{:.0} h", seconds / 3600.0),
            seconds if seconds < 2.0 * year => write!(f, "{:.0} days", seconds / 86_400.0),
            seconds if seconds < 1e6 * year => write!(f, "{:.0} years", seconds / year),
            seconds => write!(f, "{:.1e} years", seconds / year),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use crate::widescan::ScanPlan;
    use std::string::ToString;

    fn estimate(change: impl Fn(&mut ScanPlan), prefix: &str) -> ScanEstimate {
        let mut plan = ScanPlan::new(std::vec![prefix.parse().unwrap()]);
        change(&mut plan);
        ScanEstimate::new(&Candidates::new(&plan, &[], &mut Stream::new(&[1; 32], "test")))
    }

    #[test]
    fn the_size_of_a_64_is_told_and_that_a_random_address_is_missed() {
        let whole = estimate(|plan| plan.enumerate = true, "2001:db8::/64");
        assert_eq!((whole.addresses, whole.datagrams), (2_f64.powi(64), 100_000));
        assert_eq!(whole.candidates, 1 << 64);
        let text = whole.to_string();
        assert!(
            text.contains("1.8e19") && text.contains("1.2e10 years") && text.contains("missed"),
            "{text}"
        );
        assert!((2030..2050).contains(&whole.duration.as_secs()), "{:?}", whole.duration);
    }

    #[test]
    fn no_more_is_announced_than_is_there() {
        let small = estimate(|plan| plan.enumerate = true, "2001:db8::/120");
        assert_eq!((small.datagrams, small.share), (256, 1.0));
        let patterns = estimate(|_| {}, "2001:db8::/64");
        assert!((66_000..70_000).contains(&patterns.datagrams), "{patterns:?}");
        assert!(patterns.to_string().contains("low byte: 256"), "{patterns}");
    }
}
