//! Coverage marks over many seeds: which must be reached how often, and which was reached too rarely.

use std::collections::BTreeMap;

use p2pnet_engine::{Mark, Marks};
use serde::Deserialize;

use super::Profile;

/// Below so many seeds marks are counted but nothing is required: a rare one may be missing by chance.
pub const LEAST_SEEDS: u64 = 1000;

/// [`LEAST_SEEDS`] for a profile: fewer of one whose seeds take long, of which only what is frequent is required.
#[must_use]
pub fn least_seeds(profile: Profile) -> u64 {
    match profile {
        Profile::Churn | Profile::Messages => 100,
        Profile::Transfer => 150,
        Profile::Adversary => 250,
        Profile::Verification | Profile::Wan => 500,
        _ => LEAST_SEEDS,
    }
}

/// What `coverage.toml` asks for.
const DEMANDS: &str = include_str!("../../coverage.toml");

/// What is asked of one mark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// Why no profile must reach it: no World can, or hardly ever does.
    pub not_required: Option<String>,
    discovery: Option<u64>,
    calm: Option<u64>,
    lan: Option<u64>,
    wifi: Option<u64>,
    hostile: Option<u64>,
    churn: Option<u64>,
    adversary: Option<u64>,
    transfer: Option<u64>,
    verification: Option<u64>,
    messages: Option<u64>,
    wan: Option<u64>,
}

impl Demand {
    /// The least hits in 1000 seeds of a profile; 0 where it need not be reached.
    #[must_use]
    pub fn least(&self, profile: Profile) -> u64 {
        let least = match profile {
            Profile::Discovery => self.discovery,
            Profile::Calm => self.calm,
            Profile::Lan => self.lan,
            Profile::Wifi => self.wifi,
            Profile::Hostile => self.hostile,
            Profile::Churn => self.churn,
            Profile::Adversary => self.adversary,
            Profile::Transfer => self.transfer,
            Profile::Verification => self.verification,
            Profile::Messages => self.messages,
            Profile::Wan => self.wan,
        };
        least.unwrap_or(0)
    }
}

/// What is asked of each mark, by its name.
///
/// # Errors
///
/// What is wrong with `coverage.toml`: its syntax, a mark that does not exist, one that is missing, or one of which
/// neither hits are asked nor said why not.
pub fn demands() -> Result<BTreeMap<String, Demand>, String> {
    let demands: BTreeMap<String, Demand> =
        toml::from_str(DEMANDS).map_err(|error| format!("coverage.toml: {error}"))?;
    let known = |name: &str| Mark::ALL.iter().any(|mark| mark.name() == name);
    if let Some(name) = demands.keys().find(|name| !known(name)) {
        return Err(format!("coverage.toml: there is no mark `{name}`"));
    }
    for mark in Mark::ALL {
        let name = mark.name();
        let Some(demand) = demands.get(name) else {
            return Err(format!("coverage.toml: `{name}` is missing"));
        };
        let required = Profile::ALL.iter().any(|&(_, profile)| demand.least(profile) > 0);
        if required == demand.not_required.is_some() {
            return Err(format!(
                "coverage.toml: `{name}` needs either its least hits or why it is not required"
            ));
        }
    }
    Ok(demands)
}

/// The first mark that was taken too rarely in so many seeds of a profile, as a sentence; `None` if all were taken
/// often enough, or if there were too few seeds to say.
#[must_use]
pub fn gap(marks: &Marks, seeds: u64, profile: Profile) -> Option<String> {
    if seeds < least_seeds(profile) {
        return None;
    }
    let demands = match demands() {
        Ok(demands) => demands,
        Err(message) => return Some(message),
    };
    marks.iter().find_map(|(mark, count)| {
        let least = demands.get(mark.name())?.least(profile);
        (count.saturating_mul(1000) < least.saturating_mul(seeds)).then(|| {
            format!(
                "mark {} was taken {count} times in {seeds} seeds of {}; {least} in 1000 are the least: {}",
                mark.name(),
                profile.name(),
                mark.sentence()
            )
        })
    })
}

/// Marks by how often they were taken, the rarest first.
#[must_use]
pub fn by_rarity(marks: &Marks) -> Vec<(Mark, u64)> {
    let mut sorted: Vec<(Mark, u64)> = marks.iter().collect();
    sorted.sort_by_key(|&(mark, count)| (count, mark));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_its_demand_and_no_other_name_has() {
        let demands = demands().unwrap_or_else(|message| panic!("{message}"));
        assert_eq!(demands.len(), Mark::ALL.len());
    }

    #[test]
    fn a_mark_that_is_never_taken_is_a_gap_with_its_name_count_and_least() {
        let none = Marks::default();
        assert_eq!(gap(&none, LEAST_SEEDS - 1, Profile::Hostile), None);
        let gap = gap(&none, LEAST_SEEDS, Profile::Hostile).expect("nothing was taken");
        assert!(gap.starts_with("mark ") && gap.contains(" 0 times in 1000 seeds of hostile"), "{gap}");
    }

    #[test]
    fn the_rarest_comes_first() {
        let sorted = by_rarity(&Marks::default());
        assert_eq!(sorted.len(), Mark::ALL.len());
        assert!(sorted.windows(2).all(|pair| (pair[0].1, pair[0].0) < (pair[1].1, pair[1].0)));
    }
}
