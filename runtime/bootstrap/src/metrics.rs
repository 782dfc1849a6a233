//! What a server counts, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::records::Taken;

/// Upper bounds of the classes of the histogram, in microseconds.
const BOUNDS: [u64; 10] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By route and status; both are ours, so there are few.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    taken: [AtomicU64; 4],
    announcements: [AtomicU64; BOUNDS.len()],
    announced: AtomicU64,
    announcing_micros: AtomicU64,
    /// Records that had to go for newcomers.
    pub(crate) evicted: AtomicU64,
    /// Reports of tasks that were of no task here, known, or not signed by whom they name.
    pub(crate) reports_refused: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
}

impl Metrics {
    pub(crate) fn request(&self, route: &'static str, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
        drop(requests);
        if route == "/v1/announce" {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            for (class, _) in self.announcements.iter().zip(BOUNDS).filter(|(_, bound)| micros <= *bound) {
                class.fetch_add(1, Ordering::Relaxed);
            }
            self.announced.fetch_add(1, Ordering::Relaxed);
            self.announcing_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    pub(crate) fn taken(&self, taken: Taken) {
        let [new, newer, same, older] = &self.taken;
        let counter = match taken {
            Taken::New => new,
            Taken::Newer => newer,
            Taken::Same => same,
            Taken::Older => older,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The text, with these values of the moment.
    pub(crate) fn text(&self, gauges: &[(&str, u64)]) -> String {
        let mut text = String::new();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "p2pnet_bootstrap_{line}");
        };
        for (name, value) in gauges {
            line(format_args!("{name} {value}"));
        }
        for (name, counter) in ["new", "newer", "same", "older"].iter().zip(&self.taken) {
            line(format_args!("records_taken_total{{as=\"{name}\"}} {}", count(counter)));
        }
        line(format_args!("records_evicted_total {}", count(&self.evicted)));
        line(format_args!("reports_refused_total {}", count(&self.reports_refused)));
        line(format_args!("connections {}", count(&self.connections)));
        line(format_args!("connections_refused_total {}", count(&self.connections_refused)));
        for ((route, status), times) in self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            line(format_args!("requests_total{{route=\"{route}\",status=\"{status}\"}} {times}"));
        }
        for (bound, class) in BOUNDS.iter().zip(&self.announcements) {
            let seconds = *bound as f64 / 1e6;
            line(format_args!("announce_seconds_bucket{{le=\"{seconds}\"}} {}", count(class)));
        }
        line(format_args!("announce_seconds_bucket{{le=\"+Inf\"}} {}", count(&self.announced)));
        line(format_args!("announce_seconds_sum {}", count(&self.announcing_micros) as f64 / 1e6));
        line(format_args!("announce_seconds_count {}", count(&self.announced)));
        text
    }
}

/// Bytes of this process that are in memory; none where the system does not say.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
