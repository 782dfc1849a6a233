//! The addresses of a plan, one after the other: in the plan, each once, none that is on the stop list.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use crate::random::Stream;

use super::pattern::{Identifiers, ScanPattern};
use super::plan::ScanPlan;
use super::prefix::Prefix6;
use super::shuffle::Shuffle;

/// Of a prefix that is shorter than 64 bits the patterns look at so many /64, the first ones: sites number their subnets
/// from 0 on.
const SUBNETS: u128 = 16;

/// The candidates of a plan: pattern by pattern, within one in an order that the seed gives. Takes memory for the lists of
/// the plan, not for the addresses.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    plan: ScanPlan,
    ids: Identifiers,
    /// The order of each pattern's numbers, the next pattern last.
    orders: Vec<(ScanPattern, Shuffle)>,
    place: u128,
}

/// One step through the numbers of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An address to try, and what gave it.
    Candidate(Ipv6Addr, ScanPattern),
    /// An address that is not tried, or was given already.
    Skipped,
    /// There are no more.
    Done,
}

impl Candidates {
    /// Those of a valid plan, with neighbours of these addresses.
    pub(crate) fn new(plan: &ScanPlan, known: &[IpAddr], stream: &mut Stream) -> Self {
        let ids = Identifiers::new(plan, known);
        let mut sized = ScanPattern::ALL.map(|pattern| (pattern, size(plan, &ids, pattern)));
        // No address is of both.
        let [.., low_word, vendor, _] = &mut sized;
        if vendor.1 < low_word.1 {
            core::mem::swap(vendor, low_word);
        }
        let mut orders: Vec<_> =
            sized.into_iter().map(|(pattern, size)| (pattern, Shuffle::new(size, stream))).collect();
        orders.reverse();
        Candidates { plan: plan.clone(), ids, orders, place: 0 }
    }

    /// How many addresses each pattern has, those among them that an earlier one has or that are on the stop list.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (ScanPattern, u128)> + '_ {
        self.orders.iter().rev().map(|(pattern, order)| (*pattern, order.size()))
    }

    /// The plan that they are of.
    pub(crate) fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    /// Looks at one more number: takes a bounded time, as a stop list can be larger than what it leaves.
    pub(crate) fn step(&mut self) -> Step {
        while let Some((pattern, order)) = self.orders.last() {
            if self.place >= order.size() {
                self.orders.pop();
                self.place = 0;
                continue;
            }
            let (pattern, number) = (*pattern, order.at(self.place));
            self.place += 1;
            return match self.address(pattern, number).filter(|address| self.plan.allows(*address)) {
                Some(address) => Step::Candidate(address, pattern),
                None => Step::Skipped,
            };
        }
        Step::Done
    }

    /// The address of this number; `None` if an earlier pattern gave it or it stands for all routers of a subnet.
    fn address(&self, pattern: ScanPattern, number: u128) -> Option<Ipv6Addr> {
        let mut number = number;
        let prefix = self.plan.prefixes.iter().find(|prefix| {
            let size = size_in(prefix, &self.plan, &self.ids, pattern);
            let is_there = number < size;
            number -= if is_there { 0 } else { size };
            is_there
        })?;
        let bits = prefix.host_bits();
        let (subnet, id) = if pattern == ScanPattern::Rest {
            (number >> 64, number as u64)
        } else {
            let ids = u128::from(self.ids.count(pattern, bits));
            (number / ids, self.ids.get(pattern, u64::try_from(number % ids).ok()?)?)
        };
        // The subnet-router anycast address: RFC 4291, section 2.6.1.
        let is_anycast = bits >= 64 && id == 0;
        let was_given = subnet < subnets(bits) && self.ids.has_before(pattern, id, bits);
        (!is_anycast && !was_given).then(|| prefix.at(subnet << 64 | u128::from(id)))
    }
}

impl Iterator for Candidates {
    type Item = Ipv6Addr;

    fn next(&mut self) -> Option<Ipv6Addr> {
        loop {
            match self.step() {
                Step::Candidate(address, _) => return Some(address),
                Step::Skipped => {}
                Step::Done => return None,
            }
        }
    }
}

/// How many numbers a pattern has in all prefixes: at most 2^100, that of 16 prefixes of 32 bits.
fn size(plan: &ScanPlan, ids: &Identifiers, pattern: ScanPattern) -> u128 {
    plan.prefixes.iter().map(|prefix| size_in(prefix, plan, ids, pattern)).sum()
}

fn size_in(prefix: &Prefix6, plan: &ScanPlan, ids: &Identifiers, pattern: ScanPattern) -> u128 {
    let bits = prefix.host_bits();
    match pattern {
        ScanPattern::Rest if plan.enumerate => 1 << bits,
        ScanPattern::Rest => 0,
        _ => subnets(bits) * u128::from(ids.count(pattern, bits)),
    }
}

/// In how many subnets the patterns look.
fn subnets(bits: u8) -> u128 {
    1_u128.checked_shl(u32::from(bits.saturating_sub(64))).unwrap_or(u128::MAX).min(SUBNETS)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
