//! Plain counters.

/// What an engine has counted since it began. Every counter only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each name is its own sentence")]
pub struct Stats {
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    pub datagrams_malformed: u64,
    pub datagrams_other_network: u64,
    pub datagrams_other_version: u64,
    pub datagrams_own: u64,
    pub datagrams_repeated: u64,
    pub datagrams_rate_limited: u64,
    pub beacons_accepted: u64,
    pub replies_sent: u64,
    pub replies_deferred: u64,
    pub transmits_dropped: u64,
    pub signatures_checked: u64,
    pub records_accepted: u64,
    pub records_refused: u64,
    pub records_stale: u64,
    pub peers_evicted: u64,
    pub links_accepted: u64,
    pub links_refused: u64,
    pub dials_started: u64,
    pub dials_failed: u64,
    pub handshakes_done: u64,
    pub handshakes_failed: u64,
    pub handshakes_evicted: u64,
    pub handshakes_replayed: u64,
    pub links_duplicate: u64,
    pub links_lost: u64,
    pub frames_received: u64,
    pub frames_refused: u64,
    pub frames_before_trust: u64,
    pub frames_dropped: u64,
    pub texts_dropped: u64,
    pub blocks_sent: u64,
    pub blocks_good: u64,
    pub blocks_bad: u64,
    pub blocks_unexpected: u64,
    pub now_clamped: u64,
    pub timeouts_late: u64,
    pub incarnation_jumps: u64,
    /// Links given up because there were more than needed.
    pub links_trimmed: u64,
}
