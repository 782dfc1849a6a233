//! How many files, and so connections, a server may have open.

/// What a server opens besides connections: its data, its listeners, what the runtime needs.
#[cfg(target_os = "linux")]
const OTHERS: u64 = 64;

/// The fewest connections that a server is configured for.
#[cfg(target_os = "linux")]
const FEWEST: usize = 4;

/// Raises the soft limit of open files as far as these connections need and the hard one lets it; gives how many of them
/// fit.
#[cfg(target_os = "linux")]
pub(super) fn connections_that_fit(connections: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = (connections as u64).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    let Some(mut current) = limit.current.filter(|current| *current < needed) else { return connections };
    let most = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = Rlimit { current: Some(most), maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        current = most;
    }
    usize::try_from(current.saturating_sub(OTHERS)).unwrap_or(usize::MAX).clamp(FEWEST, connections)
}

/// Not known here: the system says when there are too many.
#[cfg(not(target_os = "linux"))]
pub(super) fn connections_that_fit(connections: usize) -> usize {
    connections
}
