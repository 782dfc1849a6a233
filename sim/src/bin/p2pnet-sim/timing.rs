//! The command that measures how soon nodes find each other.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use p2pnet_engine::Cadence;
use p2pnet_sim::nearest;
use p2pnet_sim::timing::{Case, Start, cadences, html, json, markdown, measure, seeds_for, svg};

use crate::bad_input;

/// Above so many nodes a run takes minutes, and all cadences are alike: only the engine's own is measured unless others
/// are named.
const DEAR: u16 = 300;

/// Measures how soon nodes find each other and what the LAN sends, for each cadence of beacons
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  p2pnet-sim timing --quick
  p2pnet-sim timing --out timing
  p2pnet-sim timing --nodes 2,10 --loss 30 --start joined --seeds 2000 --json")]
pub(crate) struct Timing {
    /// How many seeds of two nodes; larger LANs, which give more pairs and cost more, have fewer
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Only these cadences; by default all, above 300 nodes only the engine's own
    #[arg(long, value_delimiter = ',', value_parser = cadence)]
    cadence: Vec<String>,
    /// How many nodes
    #[arg(long, value_delimiter = ',', default_value = "2,10,100,1000", value_parser = clap::value_parser!(u16).range(2..=4000))]
    nodes: Vec<u16>,
    /// Of how many datagrams in a hundred each receiver misses one
    #[arg(long, value_delimiter = ',', default_value = "0,10,30", value_parser = clap::value_parser!(u8).range(0..=99))]
    loss: Vec<u8>,
    /// Only these starts: together, late, joined
    #[arg(long, value_delimiter = ',', value_parser = start)]
    start: Vec<Start>,
    /// Seconds instead of minutes: up to 100 nodes and a tenth of the seeds
    #[arg(long)]
    quick: bool,
    /// A folder for `index.html`, `timing.svg`, `timing.json` and `timing.md`
    #[arg(long)]
    out: Option<PathBuf>,
    /// How many runs at a time; as many as there are processors by default
    #[arg(long)]
    jobs: Option<usize>,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

impl Timing {
    pub(crate) fn run(&self) -> io::Result<ExitCode> {
        let jobs = self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let seeds = if self.quick { self.seeds.div_ceil(10) } else { self.seeds };
        let shows = io::stderr().is_terminal();
        let mut shown = Duration::ZERO;
        let started = crate::worlds::now();
        let rows = measure(
            &self.cases(),
            |case| seeds_for(case.nodes, seeds),
            jobs,
            |done, total| {
                // The long ones come first: a bar that is drawn for each of the many short ones would cost more than they do.
                let due = started.elapsed() >= shown + Duration::from_millis(100) || done == total;
                if shows && due {
                    shown = started.elapsed();
                    let filled = usize::try_from(done * 30 / total.max(1)).unwrap_or(30);
                    let bar = "=".repeat(filled) + &" ".repeat(30 - filled.min(30));
                    eprint!("\r[{bar}] {done}/{total} runs, {:.0} s", shown.as_secs_f64());
                }
                true
            },
        );
        if shows {
            eprintln!();
        }
        if let Some(out) = &self.out {
            let written = fs::create_dir_all(out)
                .and_then(|()| fs::write(out.join("index.html"), html(&rows)))
                .and_then(|()| fs::write(out.join("timing.svg"), svg(&rows)))
                .and_then(|()| fs::write(out.join("timing.md"), markdown(&rows)))
                .and_then(|()| fs::write(out.join("timing.json"), format!("{:#}\n", json(&rows))));
            if let Err(error) = written {
                return bad_input(&format!("{}: {error}", out.display()));
            }
        }
        let mut stdout = io::stdout().lock();
        if self.json {
            writeln!(stdout, "{:#}", json(&rows))?
        } else {
            write!(stdout, "{}", markdown(&rows))?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn cases(&self) -> Vec<Case> {
        let starts = if self.start.is_empty() {
            Start::ALL.map(|(_, start)| start).to_vec()
        } else {
            self.start.clone()
        };
        let mut cases = Vec::new();
        for start in starts {
            for &nodes in self.nodes.iter().filter(|&&nodes| !self.quick || nodes <= 100) {
                for &loss in &self.loss {
                    for (name, cadence) in cadences() {
                        let asked_for = self.cadence.iter().any(|known| known == name);
                        let affordable = nodes <= DEAR || cadence == Cadence::default();
                        if asked_for || (self.cadence.is_empty() && affordable) {
                            cases.push(Case { name, cadence, nodes: usize::from(nodes), loss, start });
                        }
                    }
                }
            }
        }
        cases
    }
}

fn cadence(name: &str) -> Result<String, String> {
    known("cadence", name, &cadences().iter().map(|(name, _)| *name).collect::<Vec<_>>())?;
    Ok(name.to_owned())
}

fn start(name: &str) -> Result<Start, String> {
    let place = known("start", name, &Start::ALL.map(|(name, _)| name))?;
    Ok(Start::ALL[place].1)
}

/// The place of a name among the known ones.
fn known(kind: &str, name: &str, names: &[&str]) -> Result<usize, String> {
    names.iter().position(|known| *known == name).ok_or_else(|| {
        let near = nearest(name, names.iter().copied()).unwrap_or_default();
        format!("there is no {kind} `{}`; did you mean `{near}`?", name.escape_debug())
    })
}
