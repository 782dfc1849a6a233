//! The command that looks for every planted bug, and the option that gives one to the nodes of a sweep.

use std::io::{self, Write};
use std::ops::Range;
use std::process::ExitCode;

use p2pnet_sim::world::planting::{Plant, all, find};
use p2pnet_sim::{Profile, nearest};

use crate::worlds::{COVERAGE, profile, seeds};

/// Gives nodes one bug after the other and says which check finds it; exits with 14 if one is not found.
///
/// To see one: sweep --plant BUG --profile PROFILE --crypto cheap
#[derive(clap::Args)]
pub(crate) struct Planted {
    /// How many seeds are tried for each, from 0; or which, as A..B (B not included)
    #[arg(long, default_value = "1000", value_parser = seeds)]
    seeds: Range<u64>,
    /// What kind of network; by default the one in which each bug is found soon
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// How many at a time; as many as there are processors by default
    #[arg(long)]
    jobs: Option<usize>,
    /// Only this bug
    #[arg(long, value_parser = bug)]
    bug: Option<Plant>,
}

impl Planted {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let jobs = self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let mut out = io::stdout().lock();
        let mut missed = Vec::new();
        writeln!(out, "{:26} {:16} {:8} {:>10} {:>6}", "bug", "found by", "profile", "first seed", "tried")?;
        for plant in self.bug.map_or_else(all, |plant| vec![plant]) {
            let profile = self.profile.unwrap_or(plant.profile);
            let search = plant.search(self.seeds.clone(), profile, jobs);
            let (check, seed) = match &search.found {
                Some((seed, failure)) => (failure.check.as_str(), seed.to_string()),
                None => ("-", "-".to_owned()),
            };
            let (id, name, tried) = (plant.id, profile.name(), search.tried);
            writeln!(out, "{id:26} {check:16} {name:8} {seed:>10} {tried:>6}")?;
            if !plant.checks.contains(&check) {
                missed.push(format!(
                    "{id} ({}): expected {}, not {check}",
                    plant.sentence,
                    plant.checks.join(" or ")
                ));
            }
        }
        missed.iter().for_each(|missed| eprintln!("not found: {missed}"));
        Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(COVERAGE) })
    }
}

/// The planted bug of this id.
pub(crate) fn bug(id: &str) -> Result<Plant, String> {
    find(id).ok_or_else(|| {
        let plants = all();
        let near = nearest(id, plants.iter().map(|plant| plant.id)).unwrap_or_default();
        format!("there is no planted bug `{}`; did you mean `{near}`?", id.escape_debug())
    })
}
