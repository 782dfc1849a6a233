//! Each measurement is a process of its own, in a network namespace with nothing but loopback: what it takes can be read
//! from the system, and whatever a contestant would like to ask of the internet, it cannot.

use std::error::Error;
use std::fs;
use std::future::Future;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

/// What a contestant says when something went wrong.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Starts this program with these arguments in a namespace of its own, and returns what it printed.
pub(crate) fn start(arguments: &[String]) -> std::result::Result<Value, String> {
    let itself = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(itself).args(arguments);
    let output = command.output().map_err(|error| format!("cannot run unshare: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|error| format!("{arguments:?} printed {last:?}: {error}"))
}

/// Runs one measurement on all cores and prints what it found as one line of JSON.
pub(crate) fn run(measure: impl Future<Output = Result<Value>>) -> std::result::Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let found = runtime.block_on(measure).map_err(|error| error.to_string())?;
    println!("{found}");
    // What still runs need not end in peace.
    std::process::exit(0);
}

/// Time and processors from here on.
pub(crate) struct Clock {
    start: Instant,
    cpu: f64,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { start: Instant::now(), cpu: cpu_seconds() }
    }

    /// Seconds, and seconds of all cores, since the start; the most memory that this process ever had.
    pub(crate) fn stop(&self) -> Taken {
        let seconds = self.start.elapsed().as_secs_f64();
        Taken { seconds, cpu_seconds: cpu_seconds() - self.cpu, peak_mib: peak_mib() }
    }
}

/// What a measurement took.
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
}

/// Fields 14 and 15 of proc(5)'s `stat`. USER_HZ is 100 on every Linux that Rust knows.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|kib| kib.parse::<f64>().ok())
        .map_or(f64::NAN, |kib| kib / 1024.0)
}

/// The middle one, or the higher of the two.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many processes wanted a core, on average over the last minute.
pub(crate) fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split_whitespace().next().unwrap_or("unknown").to_owned()
}
