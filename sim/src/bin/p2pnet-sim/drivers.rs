//! Which driver runs a plan, and plans and sweeps on turmoil.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use p2pnet_sim::differential::sweep::{InBoth, SeedInBoth, keep_difference, sweep_both};
use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::{Both, Crypto, Detail, nearest, reduce, run_both};

use crate::worlds::{COVERAGE, Sweep, now};
use crate::{Amount, Style, bad_input};

/// The two drivers do not agree on what a plan comes to.
const DIFFERENT: u8 = 15;

/// What runs a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Engines alone, on a heap of events.
    World,
    /// Whole nodes, on turmoil.
    Turmoil,
}

const DRIVERS: [(&str, Driver); 2] = [("world", Driver::World), ("turmoil", Driver::Turmoil)];

/// The driver of this name.
pub(crate) fn driver(name: &str) -> Result<Driver, String> {
    DRIVERS.iter().find(|(known, _)| *known == name).map(|&(_, driver)| driver).ok_or_else(|| {
        let near = nearest(name, DRIVERS.iter().map(|(name, _)| *name)).unwrap_or_default();
        format!("there is no driver `{}`; did you mean `{near}`?", name.escape_debug())
    })
}

/// Prints a plan; for turmoil without what that cannot do, which is named in comments.
pub(crate) fn print_plan(mut plan: Plan, driver: Driver) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let taken_out = if driver == Driver::Turmoil { reduce(&mut plan) } else { Vec::new() };
    for beyond in taken_out {
        writeln!(out, "# taken out: {beyond}")?;
    }
    out.write_all(plan.to_toml().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a plan on turmoil, prints its trace and what it came to, and says where the World comes to something else.
pub(crate) fn show_on_turmoil(plan: &Plan, style: Style, detail: Amount) -> io::Result<ExitCode> {
    let Both { turmoil: outcome, differences, .. } = match run_both(plan) {
        Ok(both) => both,
        Err(beyond) => {
            let lines: Vec<String> = beyond.iter().map(ToString::to_string).collect();
            return bad_input(&format!(
                "turmoil cannot run this plan; it runs with `--driver world`\n  {}",
                lines.join("\n  ")
            ));
        }
    };
    let mut out = io::stdout().lock();
    match style {
        Style::Text => {
            out.write_all(outcome.trace.text(Detail::from(detail)).as_bytes())?;
            writeln!(out, "\nfaults")?;
            for (name, count) in outcome.faults.by_name() {
                writeln!(out, "{count:>10}  {name}")?;
            }
            writeln!(out, "\nstate\n{}\nhash  {}", outcome.state, outcome.hash)?;
        }
        Style::Json => {
            out.write_all(outcome.trace.json().as_bytes())?;
            let summary = serde_json::json!({
                "what": "summary",
                "driver": "turmoil",
                "seed": plan.seed,
                "failure": outcome.failure.as_ref().map(ToString::to_string),
                "converged_after_ms": millis(outcome.converged_after),
                "transfers": outcome.transfers,
                "state": outcome.state,
                "differences": differences,
                "hash": outcome.hash,
            });
            writeln!(out, "{summary}")?;
        }
    }
    for difference in &differences {
        eprintln!("differs {difference}");
    }
    match outcome.failure {
        Some(failure) => {
            eprintln!("failed {failure}");
            Ok(ExitCode::from(failure.class.exit_code()))
        }
        None if differences.is_empty() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::from(DIFFERENT)),
    }
}

/// Runs seeds in both drivers and reports what failed and where the two differ.
pub(crate) fn sweep_on_turmoil(args: &Sweep) -> io::Result<ExitCode> {
    if args.crypto != Crypto::Real {
        return bad_input("turmoil runs with real crypto only: leave out `--crypto`, or `--driver turmoil`");
    }
    let (jobs, started) = (args.jobs(), now());
    let total = args.seeds.end.saturating_sub(args.seeds.start);
    let shows = io::stderr().is_terminal();
    let (mut done, mut failed) = (0u64, 0u64);
    let sum = sweep_both(args.seeds.clone(), args.profile, jobs, args.keep_going, |_, seed| {
        done += 1;
        failed += u64::from(seed.failed());
        if shows {
            eprint!("\r{done}/{total} seeds in both drivers, {failed} failed");
        }
        args.budget.is_none_or(|budget| started.elapsed() < budget)
    });
    if shows {
        eprintln!();
    }
    let wall = started.elapsed();
    for (number, seed) in sum.failures() {
        let folder = keep_difference(&args.out, number, args.profile)?;
        eprint!("seed {number}: ");
        if let Some((driver, failure)) = seed.failure() {
            eprintln!("{driver}: {failure}");
        } else {
            eprintln!("the drivers differ");
        }
        for difference in &seed.both.differences {
            eprintln!("  {difference}");
        }
        let plan = folder.join("plan.toml");
        eprintln!("  replay: p2pnet-sim run {} --driver turmoil\n  see {}", plan.display(), folder.display());
    }
    if args.json {
        print_json(args, &sum)?;
    } else {
        print_text(args, &sum, wall)?;
    }
    if let Some(gap) = sum.gap() {
        eprintln!("not covered: {gap}");
    }
    Ok(ExitCode::from(exit_code(&sum)))
}

/// What did not hold in either driver tells more than that they differ, and that more than what was not covered.
fn exit_code(sum: &InBoth) -> u8 {
    let class = sum.seeds.values().filter_map(|seed| Some(seed.failure()?.1.class)).min();
    match class {
        Some(class) => class.exit_code(),
        None if sum.failures().next().is_some() => DIFFERENT,
        None if sum.gap().is_some() => COVERAGE,
        None => 0,
    }
}

fn print_text(args: &Sweep, sum: &InBoth, wall: Duration) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (seeds, profile) = (sum.seeds.len(), args.profile.name());
    let differ = sum.seeds.values().filter(|seed| !seed.both.differences.is_empty()).count();
    let failed = sum.seeds.values().filter(|seed| seed.failure().is_some()).count();
    let virtual_time: Duration = sum.seeds.values().map(|seed| seed.both.turmoil.elapsed).sum();
    writeln!(out, "{seeds} seeds of {profile} in both drivers: {failed} failed, {differ} differ")?;
    let (virtual_time, wall) = (virtual_time.as_secs_f64(), wall.as_secs_f64());
    writeln!(out, "{virtual_time:.0} s of virtual time on turmoil in {wall:.1} s")?;
    writeln!(out, "{} seeds with a transfer", sum.with_transfer())?;
    let slowest = |of: fn(&SeedInBoth) -> Option<Duration>| sum.seeds.values().filter_map(of).max();
    let world = slowest(|seed| seed.both.world.converged_after).unwrap_or_default().as_secs_f64();
    let turmoil = slowest(|seed| seed.both.turmoil.converged_after).unwrap_or_default().as_secs_f64();
    writeln!(out, "the slowest converged {turmoil:.1} s after it was healed, in the World {world:.1} s")?;
    let taken_out: usize = sum.seeds.values().map(|seed| seed.taken_out.len()).sum();
    writeln!(out, "{taken_out} elements of plans are beyond turmoil and were run by neither driver")?;
    writeln!(out, "\nfaults on turmoil")?;
    for (name, count) in sum.faults() {
        writeln!(out, "{count:>10}  {name}")?;
    }
    writeln!(out, "\nhash  {}", sum.hash())
}

/// Nothing in it depends on the machine, on time or on the number of jobs.
fn print_json(args: &Sweep, sum: &InBoth) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for (number, seed) in &sum.seeds {
        let taken_out: Vec<String> = seed.taken_out.iter().map(ToString::to_string).collect();
        let line = serde_json::json!({
            "what": "seed",
            "driver": "turmoil",
            "seed": number,
            "hash": seed.both.turmoil.hash,
            "world_hash": seed.both.world.hash,
            "failure": seed.failure().map(|(driver, failure)| format!("{driver}: {failure}")),
            "differences": seed.both.differences,
            "taken_out": taken_out,
            "transfers": seed.both.turmoil.transfers,
            "converged_after_ms": millis(seed.both.turmoil.converged_after),
        });
        writeln!(out, "{line}")?;
    }
    let line = serde_json::json!({
        "what": "summary",
        "driver": "turmoil",
        "profile": args.profile.name(),
        "seeds": sum.seeds.len(),
        "failed": sum.seeds.values().filter(|seed| seed.failure().is_some()).count(),
        "different": sum.seeds.values().filter(|seed| !seed.both.differences.is_empty()).count(),
        "with_transfer": sum.with_transfer(),
        "faults": sum.faults(),
        "not_covered": sum.gap(),
        "hash": sum.hash(),
    });
    writeln!(out, "{line}")
}

fn millis(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use p2pnet_sim::world::Failure;
    use p2pnet_sim::world::checks::Class;
    use p2pnet_sim::{Difference, Profile};

    use super::*;

    #[test]
    fn a_difference_has_an_exit_code_of_its_own_and_a_failure_goes_before() {
        let mut sum = sweep_both(0..1, Profile::Calm, 1, true, |_, _| true);
        assert_eq!(exit_code(&sum), 0);
        let both = &mut sum.seeds.get_mut(&0).expect("the seed was run").both;
        let said = |word: &str| word.to_owned();
        both.differences.push(Difference {
            node: said("a"),
            about: said("b"),
            world: said("trust"),
            turmoil: said("no link"),
        });
        assert_eq!(exit_code(&sum), 15);
        let both = &mut sum.seeds.get_mut(&0).expect("the seed was run").both;
        both.world.failure = Some(Failure {
            class: Class::Liveness,
            check: said("links"),
            at_ms: said("1"),
            node: None,
            message: said("too late"),
        });
        assert_eq!(exit_code(&sum), 12);
        assert_eq!(exit_code(&InBoth::default()), 0, "nothing was asked for, nothing is missing");
    }

    #[test]
    fn an_unknown_driver_is_told_with_the_nearest_one() {
        assert_eq!(driver("world"), Ok(Driver::World));
        assert!(driver("turmiol").is_err_and(|message| message.contains("`turmoil`")));
    }
}
