//! How hosts are numbered: RFC 7707, section 4, and what each way gives for one plan.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::mac::MacPrefix;
use super::plan::ScanPlan;

/// A way to number hosts, in the order of trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ScanPattern {
    /// Close to the interface identifier of a peer that is known, or the same under another prefix.
    Neighbour,
    /// `::1` to `::ff`.
    LowByte,
    /// Words that can be written in hexadecimal, such as `::cafe`.
    Word,
    /// The number of a port, read as decimal or hexadecimal, alone or beside a small number.
    Port,
    /// An IPv4 address, as 32 bits or each byte in a group of its own as it is written.
    Ipv4,
    /// `::100` to `::ffff`.
    LowWord,
    /// The MAC address of a network card that begins as given (EUI-64). Before [`LowWord`](Self::LowWord) if
    /// there are fewer of them.
    Vendor,
    /// All that no pattern gave.
    Rest,
}

impl ScanPattern {
    /// All, in the order of trying.
    pub const ALL: [ScanPattern; 8] = [
        ScanPattern::Neighbour,
        ScanPattern::LowByte,
        ScanPattern::Word,
        ScanPattern::Port,
        ScanPattern::Ipv4,
        ScanPattern::LowWord,
        ScanPattern::Vendor,
        ScanPattern::Rest,
    ];

    /// A few words for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ScanPattern::Neighbour => "near known peers",
            ScanPattern::LowByte => "low byte",
            ScanPattern::Word => "words",
            ScanPattern::Port => "ports",
            ScanPattern::Ipv4 => "embedded IPv4",
            ScanPattern::LowWord => "low 16 bits",
            ScanPattern::Vendor => "EUI-64 of vendors",
            ScanPattern::Rest => "every other address",
        }
    }
}

/// How far around a known identifier is looked, and at how many of them.
const AROUND: u64 = 16;
const MAX_KNOWN: usize = 64;

/// Words as people write them: the last groups of the address.
const WORDS: [&[u16]; 24] = [
    &[0xcafe],
    &[0xbabe],
    &[0xbeef],
    &[0xdead],
    &[0xface],
    &[0xfeed],
    &[0xf00d],
    &[0xc0de],
    &[0xabba],
    &[0xfade],
    &[0xdada],
    &[0xb00c],
    &[0xabcd],
    &[0xdead, 0xbeef],
    &[0xcafe, 0xbabe],
    &[0xcafe, 0xf00d],
    &[0xbad, 0xcafe],
    &[0xbad, 0xf00d],
    &[0xbad, 0xc0de],
    &[0xface, 0xb00c],
    &[0xfeed, 0xface],
    &[0xc0ff, 0xee],
    &[0xbeef, 0xcafe],
    &[0xdead, 0xbeef, 0xcafe, 0xbabe],
];

/// Ports of services that addresses are named after.
const PORTS: [u16; 14] = [22, 25, 53, 80, 110, 143, 443, 993, 8000, 8001, 8002, 8003, 8080, 8443];

/// Beside a port such numbers are written, before it or behind.
const BESIDE_PORT: u64 = 4;

/// The interface identifiers of each pattern for one plan. Lists are sorted; the other patterns are arithmetic.
#[derive(Clone, Debug)]
pub(super) struct Identifiers {
    neighbours: Vec<u64>,
    words: Vec<u64>,
    ports: Vec<u64>,
    ipv4: Vec<u64>,
    /// None covers another.
    vendors: Vec<MacPrefix>,
}

impl Identifiers {
    /// Those of a valid plan, with neighbours of these addresses: of the first 64 IPv6 addresses among them.
    pub(super) fn new(plan: &ScanPlan, known: &[IpAddr]) -> Self {
        let known = known.iter().filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(u128::from(*ip) as u64),
            IpAddr::V4(_) => None,
        });
        let around = |id: u64| (id.saturating_sub(AROUND)..=id.saturating_add(AROUND)).collect::<Vec<_>>();
        Identifiers {
            neighbours: sorted(known.take(MAX_KNOWN).flat_map(around)),
            words: sorted(WORDS.iter().map(|groups| joined(groups))),
            ports: sorted(PORTS.iter().chain([&plan.port]).flat_map(|&port| with_port(port))),
            ipv4: sorted(plan.ipv4.iter().flat_map(|&(ip, len)| range(ip, len)).flat_map(with_ipv4)),
            vendors: outermost(&plan.vendors),
        }
    }

    /// How many identifiers of at most `bits` bits the pattern has. None is left over for [`ScanPattern::Rest`].
    pub(super) fn count(&self, pattern: ScanPattern, bits: u8) -> u64 {
        let most = u64::MAX.checked_shr(64 - u32::from(bits.min(64))).unwrap_or(0);
        let of_list = |list: &[u64]| list.partition_point(|&id| id <= most) as u64;
        match pattern {
            ScanPattern::LowByte => most.min(0xff) + 1,
            ScanPattern::LowWord => most.min(0xffff).saturating_sub(0xff),
            // The bit that EUI-64 turns is among the highest.
            ScanPattern::Vendor if bits >= 64 => self.vendors.iter().map(MacPrefix::cards).sum(),
            ScanPattern::Vendor | ScanPattern::Rest => 0,
            _ => of_list(self.list(pattern)),
        }
    }

    /// The identifier of this number, below [`count`](Self::count).
    pub(super) fn get(&self, pattern: ScanPattern, number: u64) -> Option<u64> {
        match pattern {
            ScanPattern::LowByte => Some(number),
            ScanPattern::LowWord => Some(0x100 + number),
            ScanPattern::Vendor => {
                let mut card = number;
                let vendor = self.vendors.iter().find(|vendor| {
                    let is_here = card < vendor.cards();
                    card -= if is_here { 0 } else { vendor.cards() };
                    is_here
                })?;
                Some(vendor.identifier(card))
            }
            ScanPattern::Rest => None,
            _ => self.list(pattern).get(usize::try_from(number).ok()?).copied(),
        }
    }

    /// Whether a pattern before `pattern` has this identifier of at most `bits` bits too.
    pub(super) fn has_before(&self, pattern: ScanPattern, id: u64, bits: u8) -> bool {
        let mut earlier = ScanPattern::ALL.into_iter().take_while(|earlier| *earlier < pattern);
        earlier.any(|earlier| (bits >= 64 || earlier != ScanPattern::Vendor) && self.has(earlier, id))
    }

    fn has(&self, pattern: ScanPattern, id: u64) -> bool {
        match pattern {
            ScanPattern::LowByte => id <= 0xff,
            ScanPattern::LowWord => (0x100..=0xffff).contains(&id),
            ScanPattern::Vendor => self.vendors.iter().any(|vendor| vendor.has(id)),
            ScanPattern::Rest => false,
            _ => self.list(pattern).binary_search(&id).is_ok(),
        }
    }

    fn list(&self, pattern: ScanPattern) -> &[u64] {
        match pattern {
            ScanPattern::Neighbour => &self.neighbours,
            ScanPattern::Word => &self.words,
            ScanPattern::Port => &self.ports,
            ScanPattern::Ipv4 => &self.ipv4,
            _ => &[],
        }
    }
}

/// Those that no other one covers.
fn outermost(vendors: &[MacPrefix]) -> Vec<MacPrefix> {
    let vendors = sorted(vendors.iter().copied());
    let is_covered = |one: &MacPrefix| vendors.iter().any(|other| other != one && other.covers(one));
    vendors.iter().filter(|one| !is_covered(one)).copied().collect()
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// Groups of 16 bits as one number, the last one lowest.
fn joined(groups: &[u16]) -> u64 {
    groups.iter().fold(0, |all, &group| all << 16 | u64::from(group))
}

/// A number whose hexadecimal digits are the decimal ones of `number`.
fn as_written(number: u16) -> u64 {
    let mut digits = number;
    (0..5).fold(0, |all, place| {
        let digit = u64::from(digits % 10);
        digits /= 10;
        all | digit << (4 * place)
    })
}

fn with_port(port: u16) -> impl Iterator<Item = u64> {
    // A port of five digits does not fit a group as it is written.
    let written = Some(as_written(port)).filter(|written| *written <= 0xffff);
    let values = [Some(u64::from(port)), written].into_iter().flatten();
    values.flat_map(|value| {
        let beside = (1..=BESIDE_PORT).flat_map(move |number| [number << 16 | value, value << 16 | number]);
        beside.chain([value])
    })
}

fn with_ipv4(ip: Ipv4Addr) -> [u64; 2] {
    [u64::from(u32::from(ip)), joined(&ip.octets().map(|byte| as_written(byte.into()) as u16))]
}

/// The addresses of an IPv4 range of a valid plan.
fn range(ip: Ipv4Addr, len: u8) -> impl Iterator<Item = Ipv4Addr> {
    let hosts = u32::MAX.checked_shr(len.into()).unwrap_or(0);
    let first = u32::from(ip) & !hosts;
    (first..=first | hosts).map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv6Addr;

    fn has(pattern: ScanPattern, address: &str) -> bool {
        let mut plan = ScanPlan::new(Vec::new());
        plan.vendors.push("52:54:00".parse().unwrap());
        plan.ipv4.push((Ipv4Addr::new(192, 0, 2, 0), 24));
        let known = ["2001:db8::7777:1234".parse().unwrap(), "10.0.0.9".parse().unwrap()];
        let ids = Identifiers::new(&plan, &known);
        let id = u128::from(address.parse::<Ipv6Addr>().unwrap()) as u64;
        let listed = (0..ids.count(pattern, 64)).any(|number| ids.get(pattern, number) == Some(id));
        assert_eq!(listed, ids.has(pattern, id), "what is given out is what is known: {address}");
        listed
    }

    #[test]
    fn each_pattern_gives_the_addresses_that_rfc_7707_tells_of() {
        for (pattern, address) in [
            (ScanPattern::LowByte, "::1"),
            (ScanPattern::LowByte, "::ff"),
            (ScanPattern::LowWord, "::100"),
            (ScanPattern::LowWord, "::ffff"),
            (ScanPattern::Word, "::cafe"),
            (ScanPattern::Word, "::dead:beef"),
            (ScanPattern::Port, "::8001"),
            (ScanPattern::Port, "::1f41"),
            (ScanPattern::Port, "::1:80"),
            (ScanPattern::Port, "::80:1"),
            (ScanPattern::Ipv4, "::192:0:2:1"),
            (ScanPattern::Ipv4, "::c000:201"),
            (ScanPattern::Vendor, "::5054:ff:fe12:3456"),
            (ScanPattern::Neighbour, "::7777:1234"),
            (ScanPattern::Neighbour, "::7777:1244"),
            (ScanPattern::Neighbour, "::7777:1224"),
        ] {
            assert!(has(pattern, address), "{pattern:?} {address}");
        }
        for (pattern, address) in [
            (ScanPattern::LowByte, "::100"),
            (ScanPattern::LowWord, "::1:0"),
            (ScanPattern::Vendor, "::5054:1ff:fe12:3456"),
            (ScanPattern::Neighbour, "::7777:1245"),
            (ScanPattern::Neighbour, "::9"),
        ] {
            assert!(!has(pattern, address), "{pattern:?} {address}");
        }
    }

    #[test]
    fn patterns_that_do_not_fit_a_prefix_give_nothing_there() {
        let mut plan = ScanPlan::new(Vec::new());
        plan.vendors =
            ["00:01:02", "00:01:02:03", "00:01:03:04:05"].map(|prefix| prefix.parse().unwrap()).to_vec();
        let ids = Identifiers::new(&plan, &[]);
        assert_eq!(
            [0, 4, 8, 9, 64].map(|bits| ids.count(ScanPattern::LowByte, bits)),
            [1, 16, 256, 256, 256]
        );
        assert_eq!([0, 8, 9, 64].map(|bits| ids.count(ScanPattern::LowWord, bits)), [0, 0, 256, 65_280]);
        assert_eq!([63, 64].map(|bits| ids.count(ScanPattern::Vendor, bits)), [0, (1 << 24) + 256]);
        assert_eq!([15, 16, 64].map(|bits| ids.count(ScanPattern::Word, bits)), [0, 13, 24]);
    }
}
