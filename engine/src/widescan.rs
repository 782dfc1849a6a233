//! Widescan: looking for peers in IPv6 prefixes that were named, where nobody told of them. RFC 7707 says why trying every
//! address is hopeless, and at which addresses hosts are found all the same.

mod candidates;
mod estimate;
mod mac;
mod pattern;
mod plan;
mod prefix;
mod shuffle;

pub(crate) use self::candidates::Candidates;
pub use self::estimate::ScanEstimate;
pub use self::mac::{MacPrefix, MacPrefixError};
pub use self::pattern::ScanPattern;
pub use self::plan::{ScanError, ScanPlan};
pub use self::prefix::{Prefix6, PrefixError};

pub(crate) use self::candidates::Step;
pub(crate) use self::estimate::gap;
pub(crate) use self::prefix::is_searchable;
