//! Many seeds at a time, on several threads, with the same result as on one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// Runs seeds on `jobs` threads. `seen` is called with each as it is done, in any order, and says whether to go on.
/// Without `keep_going` no seed beyond the first one that failed counts, so that any number of jobs gives the same.
pub(crate) fn run_seeds<T: Send>(
    seeds: Range<u64>,
    jobs: usize,
    keep_going: bool,
    run: impl Fn(u64) -> T + Sync,
    failed: impl Fn(&T) -> bool,
    mut seen: impl FnMut(u64, &T) -> bool,
) -> BTreeMap<u64, T> {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    let mut done = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (next, stop, run, end, sender) = (&next, &stop, &run, seeds.end, sender.clone());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send((seed, run(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (seed, result) in receiver {
            if !seen(seed, &result) || (failed(&result) && !keep_going) {
                stop.store(true, Ordering::Relaxed);
            }
            done.insert(seed, result);
        }
    });
    let first = done.iter().find(|(_, result)| failed(result)).map(|(seed, _)| *seed);
    if let Some(first) = first.filter(|_| !keep_going) {
        done.retain(|&seed, _| seed <= first);
    }
    done
}
