//! Which driver runs a plan, and plans and sweeps on turmoil.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use p2pnet_sim::differential::sweep::{InBoth, SeedInBoth, keep_difference, sweep_both};
use p2pnet_sim::world::plan::Plan;
use p2pnet_sim::{Detail, expand, nearest, reduce, run_on_turmoil};

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

/// Prints what turmoil can do of a seed's plan, and what was taken out of it as comments.
pub(crate) fn print_reduced(mut plan: Plan) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for beyond in reduce(&mut plan) {
        writeln!(out, "# taken out: {beyond}")?;
    }
    out.write_all(plan.to_toml().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a plan on turmoil and prints its trace and what it came to.
pub(crate) fn show_on_turmoil(plan: &Plan, style: Style, detail: Amount) -> io::Result<ExitCode> {
    let outcome = match run_on_turmoil(plan) {
        Ok(outcome) => outcome,
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
                "hash": outcome.hash,
            });
            writeln!(out, "{summary}")?;
        }
    }
    let Some(failure) = outcome.failure else { return Ok(ExitCode::SUCCESS) };
    eprintln!("failed {failure}");
    Ok(ExitCode::from(failure.class.exit_code()))
}

/// Runs seeds in both drivers and reports what failed and where the two differ.
pub(crate) fn sweep_on_turmoil(args: &Sweep) -> io::Result<ExitCode> {
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
    let class = sum.seeds.values().filter_map(|seed| Some(seed.failure()?.1.class)).min();
    if let Some(class) = class {
        return Ok(ExitCode::from(class.exit_code()));
    }
    if sum.failures().next().is_some() {
        return Ok(ExitCode::from(DIFFERENT));
    }
    if let Some(gap) = sum.gap() {
        eprintln!("not covered: {gap}");
        return Ok(ExitCode::from(COVERAGE));
    }
    Ok(ExitCode::SUCCESS)
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

/// The plan of a seed, for the driver that is to run it.
pub(crate) fn print_plan(seed: u64, profile: p2pnet_sim::Profile, driver: Driver) -> io::Result<ExitCode> {
    let plan = expand(seed, profile);
    match driver {
        Driver::Turmoil => print_reduced(plan),
        Driver::World => {
            io::stdout().lock().write_all(plan.to_toml().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
