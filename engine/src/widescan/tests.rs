//! What candidates promise, for any plan.

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::mac::MacPrefix;
use super::*;

fn candidates(plan: &ScanPlan, known: &[IpAddr], seed: u8) -> Candidates {
    plan.validate().unwrap();
    Candidates::new(plan, known, &mut Stream::new(&[seed; 32], "widescan"))
}

fn plan(prefixes: &[&str]) -> ScanPlan {
    ScanPlan::new(prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect())
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn the_patterns_come_in_their_order_and_all_of_them_come() {
    let mut plan = plan(&["2001:db8:1:2::/64"]);
    plan.vendors.push("52:54:00".parse().unwrap());
    let known = [IpAddr::V6(address("2001:db8:ffff::4242:1"))];
    let mut all = candidates(&plan, &known, 1);
    let first: Vec<_> = all.by_ref().take(33).collect();
    assert!(first.contains(&address("2001:db8:1:2::4242:1")), "the same identifier under another prefix");
    let next: BTreeSet<_> = all.by_ref().take(255).collect();
    assert_eq!(
        next,
        (1..=0xff).map(|low| Ipv6Addr::from(u128::from(address("2001:db8:1:2::")) | low)).collect()
    );
    let mut patterns = Vec::new();
    for _ in 0..200_000 {
        if let Step::Candidate(_, pattern) = all.step() {
            patterns.push(pattern);
        }
    }
    assert!(
        patterns.is_sorted()
            && patterns.contains(&ScanPattern::LowWord)
            && patterns.contains(&ScanPattern::Vendor)
    );
}

#[test]
fn a_batch_of_cards_comes_before_the_many_low_numbers_and_a_vendor_behind_them() {
    for (prefix, first) in [("52:54:00:12:34", ScanPattern::Vendor), ("52:54:00", ScanPattern::LowWord)] {
        let mut plan = plan(&["2001:db8:1:2::/64"]);
        plan.vendors.push(prefix.parse().unwrap());
        let mut all = candidates(&plan, &[], 1);
        let mut patterns = std::iter::from_fn(|| match all.step() {
            Step::Candidate(_, pattern) => Some(Some(pattern)),
            Step::Skipped => Some(None),
            Step::Done => None,
        });
        let found = patterns.find_map(|pattern| {
            pattern.filter(|pattern| [ScanPattern::Vendor, ScanPattern::LowWord].contains(pattern))
        });
        assert_eq!(found, Some(first), "{prefix}");
    }
}

#[test]
fn a_site_is_searched_in_its_first_subnets_and_beyond_them_only_by_enumeration() {
    let mut plan = plan(&["2001:db8:1::/48"]);
    let found: BTreeSet<_> = candidates(&plan, &[], 1).collect();
    for subnet in 0..16 {
        assert!(found.contains(&address(&std::format!("2001:db8:1:{subnet:x}::53"))), "{subnet}");
    }
    assert!(!found.contains(&address("2001:db8:1:10::53")));
    plan.enumerate = true;
    let mut rest = candidates(&plan, &[], 1);
    assert!(rest.nth(found.len()).is_some_and(|address| plan.allows(address)));
}

#[test]
fn all_of_a_small_prefix_is_enumerated() {
    let mut plan = plan(&["2001:db8::5:0/116"]);
    plan.enumerate = true;
    assert_eq!(candidates(&plan, &[], 1).count(), 4096);
    plan.stop.push("2001:db8::5:800/117".parse().unwrap());
    assert_eq!(candidates(&plan, &[], 1).count(), 2048);
    let one = self::plan(&["2001:db8::5/128"]);
    assert_eq!(candidates(&one, &[], 1).collect::<Vec<_>>(), [address("2001:db8::5")]);
}

#[test]
fn what_no_plan_may_have_is_refused_with_its_reason() {
    use super::super::plan::ScanError;
    let refused = |change: &dyn Fn(&mut ScanPlan)| {
        let mut bad = plan(&["2001:db8:1:2::/64"]);
        change(&mut bad);
        bad.validate().unwrap_err()
    };
    let prefix = |text: &str| text.parse::<Prefix6>().unwrap();
    for kind in
        ["ff02::/64", "fe80::/64", "::1/128", "::/96", "::ffff:10.0.0.0/104", "64:ff9b::/96", "2002:a00::/48"]
    {
        let error = refused(&|plan| plan.prefixes = vec![prefix(kind)]);
        assert_eq!(error, ScanError::NotUnicast(prefix(kind)), "{kind}");
    }
    let site = prefix("2001:db8::/31");
    assert_eq!(refused(&|plan| plan.prefixes = vec![site]), ScanError::TooShort(site));
    assert_eq!(refused(&|plan| plan.prefixes.clear()), ScanError::Prefixes);
    assert_eq!(refused(&|plan| plan.per_second = 0), ScanError::Rate(0));
    assert_eq!(refused(&|plan| plan.per_second = 1001), ScanError::Rate(1001));
    assert_eq!(refused(&|plan| plan.total = 0), ScanError::Total);
    assert_eq!(refused(&|plan| plan.port = 0), ScanError::Port);
    assert_eq!(refused(&|plan| plan.vendors = vec!["52:54:00".parse().unwrap(); 17]), ScanError::Vendors);
    assert_eq!(refused(&|plan| plan.ipv4 = vec![([10, 0, 0, 0].into(), 15)]), ScanError::Ipv4);
    assert_eq!(refused(&|plan| plan.ipv4 = vec![([10, 0, 0, 0].into(), 33)]), ScanError::Ipv4);
    assert_eq!(refused(&|plan| plan.stop = vec![prefix("fd00::/8"); 1025]), ScanError::Stops);
    assert_eq!(refused(&|plan| plan.stop = vec![prefix("2001:db8::/32")]), ScanError::NothingLeft);
    let inner = prefix("2001:db8:1:2::/96");
    let error = refused(&|plan| plan.prefixes.push(inner));
    assert_eq!(error, ScanError::Overlap(prefix("2001:db8:1:2::/64"), inner));
}

fn any_prefix() -> impl Strategy<Value = Prefix6> {
    let bits = prop_oneof![Just(0u128), 0..0x2_0000u128, any::<u128>()];
    (bits, 32..=128u8).prop_map(|(bits, len)| {
        Prefix6::new((0x2001_0db8 << 96 | bits & u128::MAX >> 32).into(), len).unwrap()
    })
}

fn any_vendor() -> impl Strategy<Value = MacPrefix> {
    prop::collection::vec(0..3u8, 3..=5).prop_map(|bytes| MacPrefix::new(&bytes).unwrap())
}

fn any_plan() -> impl Strategy<Value = ScanPlan> {
    let stop = prop::collection::vec(any_prefix(), 0..4);
    let vendors = prop::collection::vec(any_vendor(), 0..3);
    (prop::collection::vec(any_prefix(), 1..4), stop, vendors, any::<bool>(), 1..=u16::MAX).prop_map(
        |(prefixes, stop, vendors, enumerate, port)| {
            let mut plan = ScanPlan { stop, vendors, enumerate, port, ..ScanPlan::new(Vec::new()) };
            for prefix in prefixes {
                if plan.prefixes.iter().all(|other| !other.overlaps(&prefix)) {
                    plan.prefixes.push(prefix);
                }
            }
            plan
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn candidates_are_inside_and_come_once_and_keep_the_stop_list(
        plan in any_plan(), known in any::<u128>(), seed in any::<u8>()
    ) {
        prop_assume!(plan.validate().is_ok());
        let known = [IpAddr::V6(known.into())];
        let mut all = candidates(&plan, &known, seed);
        let mut again = candidates(&plan, &known, seed);
        let mut seen = BTreeSet::new();
        for _ in 0..6000 {
            let step = all.step();
            prop_assert_eq!(step, again.step());
            match step {
                Step::Candidate(address, _) => {
                    prop_assert!(plan.prefixes.iter().any(|prefix| prefix.contains(address)));
                    prop_assert!(!plan.stop.iter().any(|stop| stop.contains(address)));
                    prop_assert!(seen.insert(address), "{} comes twice", address);
                }
                Step::Skipped => {}
                Step::Done => break,
            }
        }
    }

    #[test]
    fn an_enumeration_misses_nothing_but_the_stop_list(
        host in 0..0x2_0000u128, len in 112..=128u8, stop in any_prefix(), seed in any::<u8>()
    ) {
        let prefix = Prefix6::new((0x2001_0db8 << 96 | host).into(), len).unwrap();
        let plan = ScanPlan { enumerate: true, stop: vec![stop], ..ScanPlan::new(vec![prefix]) };
        prop_assume!(plan.validate().is_ok());
        let expected = (0..1u128 << (128 - len)).map(|host| prefix.at(host)).filter(|ip| !stop.contains(*ip));
        let found: BTreeSet<_> = candidates(&plan, &[], seed).collect();
        prop_assert_eq!(found, expected.collect::<BTreeSet<_>>());
    }
}
