//! What the server knows, and what an announcement does to it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use p2pnet_engine::{
    NetworkTask, PeerId, RecordClass, RecordKind, SignedRecord, TaskReport, UnverifiedRecord,
};

use crate::clock::Clock;
use crate::config::Config;
use crate::dashboard::{LOGINS, VISITS};
use crate::introductions::Introductions;
use crate::journal::{Journal, Table};
use crate::log::{Log, LogLine};
use crate::metrics::Metrics;
use crate::records::{Held, Records, Tag, Taken};
use crate::refusal::Refusal;
use crate::rows::{self, Seen};
use crate::sessions::Sessions;
use crate::sources::{Source, Sources};
use crate::stored_tasks;
use crate::tasks::{Report, Task, Tasks};
use crate::token::Token;

/// A record that is announced again and again is stored again once in so many milliseconds, for the time when it was heard.
const STORED_MILLIS: u64 = 60_000;

/// Records that are forgotten, or read back, in one go.
const CHUNK: usize = 1000;

/// Everything that requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) metrics: Metrics,
    pub(crate) token: Token,
    pub(crate) closing: AtomicBool,
    pub(crate) restoring: AtomicBool,
    sources: Mutex<Sources>,
    visits: Mutex<Sources>,
    logins: Mutex<Sources>,
    sessions: Mutex<Sessions>,
    state: Mutex<State>,
}

/// What changes. Never locked while something is waited for.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) records: Records,
    pub(crate) introductions: Introductions,
    pub(crate) log: Log,
    pub(crate) tasks: Tasks,
    /// The number of the last certificate, and of the last report.
    pub(crate) last_certificate: u64,
    pub(crate) last_report: u64,
}

impl Shared {
    /// Reads back the log, the tasks and the reports; records follow later, by [`restore`](Self::restore).
    pub(crate) fn load(
        config: Config,
        journal: Journal,
        token: Token,
        seed: [u8; 32],
    ) -> Result<Shared, redb::Error> {
        let clock = Clock::new();
        let state = State {
            records: Records::new(config.max_records, seed),
            introductions: Introductions::default(),
            log: Log::load(&journal)?,
            tasks: stored_tasks::load(&journal, config.mode.authority(), clock.now())?,
            last_certificate: journal.last_number(Table::Certificates)?,
            last_report: journal.last_number(Table::Reports)?,
        };
        Ok(Shared {
            sources: Mutex::new(Sources::new(config.rate)),
            visits: Mutex::new(Sources::new(VISITS)),
            logins: Mutex::new(Sources::new(LOGINS)),
            sessions: Mutex::default(),
            state: Mutex::new(state),
            token,
            clock,
            metrics: Metrics::default(),
            closing: AtomicBool::new(false),
            restoring: AtomicBool::new(true),
            config,
            journal,
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this address may ask now; the dashboard has a measure of its own.
    pub(crate) fn may_ask(&self, from: IpAddr, of_dashboard: bool) -> Result<(), Refusal> {
        let sources = if of_dashboard { &self.visits } else { &self.sources };
        let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.ask(self.clock.now(), Source::of(from)).map_err(Refusal::too_many)
    }

    /// How often each source tries to log in.
    pub(crate) fn logins(&self) -> MutexGuard<'_, Sources> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sources(&self) -> usize {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Writes a line of the log.
    pub(crate) fn log(&self, line: LogLine) {
        self.state().log.write(&self.journal, self.clock.now(), line);
    }

    /// Takes an announcement; gives records of others.
    pub(crate) fn announce(
        &self,
        from: IpAddr,
        bytes: &[u8],
        want: usize,
    ) -> Result<(SignedRecord, Vec<Held>), Refusal> {
        let record = UnverifiedRecord::parse(bytes);
        let record = record.map_err(|error| Refusal::bad("bad-record", format!("`record`: {error}")))?;
        let (tag, peer) = (record.record().network, record.record().peer);
        if record.record().class == RecordClass::Local && record.record().kind != RecordKind::Gone {
            let message = "a record of the class Local is not for others than the LAN; announce the Wide one";
            return Err(Refusal::bad("local-record", message));
        }
        let now = self.clock.now();
        let held = self.state().records.get(&(tag, peer)).map(|held| held.record.clone());
        // What is held already need not be verified.
        let (record, first) = match held {
            Some(held) if held.bytes() == bytes => (held, now),
            Some(held) if record.is_superseded_by(&held) => {
                let older = record.verify();
                older.map_err(|error| Refusal::bad("bad-signature", format!("`record`: {error}")))?;
                self.metrics.taken(Taken::Older);
                return Ok((held, self.sample(tag, peer, want)));
            }
            _ => {
                let verified = record.verify();
                let record =
                    verified.map_err(|error| Refusal::bad("bad-signature", format!("`record`: {error}")))?;
                let first = self.first_seen(&record, now)?;
                (record, first)
            }
        };
        let from = Some(from.to_canonical());
        let mut state = self.state();
        let before = state.records.get(&(tag, peer)).map(|held| (held.heard, held.record.record().kind));
        let taken = state.records.announce(now, first, record.clone(), from);
        let stale = before.is_none_or(|(heard, _)| heard / STORED_MILLIS != now / STORED_MILLIS);
        if ((taken == Taken::Same && stale) || matches!(taken, Taken::New | Taken::Newer))
            && let Some(held) = state.records.get(&(tag, peer))
        {
            self.journal.change(|batch| rows::put(batch, held));
        }
        let kind = record.record().kind;
        let line = match before {
            None if kind == RecordKind::Alive => Some(LogLine::new("joined")),
            Some((_, old)) if old != kind => {
                Some(LogLine::new(if kind == RecordKind::Alive { "joined" } else { "left" }))
            }
            _ => None,
        };
        if let Some(line) = line {
            state.log.write(&self.journal, now, line.peer(tag, &peer).from(from));
        }
        let dropped = state.records.take_dropped();
        self.metrics.evicted.fetch_add(dropped.len() as u64, Ordering::Relaxed);
        self.drop_rows(&dropped);
        drop(state);
        self.metrics.taken(taken);
        Ok((record, self.sample(tag, peer, want)))
    }

    /// Records for this peer, and a note of whom it was given.
    fn sample(&self, tag: Tag, peer: PeerId, want: usize) -> Vec<Held> {
        let mut state = self.state();
        let sample: Vec<Held> = state.records.sample(&tag, Some(&peer), want).into_iter().cloned().collect();
        state.introductions.add(tag, peer, sample.iter().map(|held| held.record.record().peer));
        sample
    }

    /// The tasks for this peer, after what it says became of others was taken; both in authority mode only.
    pub(crate) fn tasks(&self, record: &SignedRecord, reports: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (tag, peer) = (record.record().network, record.record().peer);
        if self.config.mode.authority().is_none() {
            return Vec::new();
        }
        let now = self.clock.now();
        let mut taken = 0;
        for signed in reports.iter().filter_map(|bytes| TaskReport::parse(bytes).ok()) {
            // Who reports of nothing that is awaited costs no check of a signature, and nobody waits for one.
            let awaited = self.state().tasks.awaited(&tag, peer, &signed).is_some();
            if awaited && signed.is_signed() {
                taken += usize::from(self.take_report(now, &tag, peer, signed));
            }
        }
        self.metrics.reports_refused.fetch_add((reports.len() - taken) as u64, Ordering::Relaxed);
        let state = self.state();
        state.tasks.of(now, &tag, peer).into_iter().map(|task| task.bytes.clone()).collect()
    }

    fn take_report(&self, now: u64, tag: &Tag, peer: PeerId, signed: TaskReport) -> bool {
        let mut state = self.state();
        let Some(task) = state.tasks.awaited(tag, peer, &signed) else { return false };
        let (kind, sequence) = (task.signed.kind().as_str(), task.signed.sequence());
        let text = format!("{kind} {sequence}: {}", signed.outcome());
        let line = LogLine::new("report").peer(*tag, &peer).text(text);
        let report = Report { signed, kind: kind.to_owned(), sequence, at: now };
        state.last_report += 1;
        let number = state.last_report;
        self.journal.change(|batch| stored_tasks::put_report(batch, number, &report));
        state.log.write(&self.journal, now, line);
        state.tasks.report(report)
    }

    /// Takes a task from the operator, which is signed by the authority; it may depend on those that there are.
    pub(crate) fn give_task(
        &self,
        from: IpAddr,
        sign: impl FnOnce(&Tasks, u64) -> Result<NetworkTask, Refusal>,
    ) -> Result<NetworkTask, Refusal> {
        let now = self.clock.now();
        let mut state = self.state();
        let signed = sign(&state.tasks, now)?;
        let task = Task { bytes: signed.to_bytes(), signed, given: now };
        let given = state.tasks.give(now, task.clone());
        given.map_err(|error| Refusal::new(StatusCode::CONFLICT, "task-refused", error.to_string()))?;
        self.journal.change(|batch| stored_tasks::put(batch, &task));
        let signed = task.signed;
        let network = Some(HEXLOWER.encode(&signed.network()));
        let line = LogLine { network, ..LogLine::new("task").from(Some(from)) };
        let peer = signed.target().peer().map(|peer| peer.to_string());
        let text = format!("{} {}", signed.kind().as_str(), signed.sequence());
        state.log.write(&self.journal, now, LogLine { peer, ..line }.text(text));
        Ok(signed)
    }

    /// When this record came first, now or before; it cannot come again when its time is over.
    fn first_seen(&self, record: &SignedRecord, now: u64) -> Result<u64, Refusal> {
        let hash = *blake3::hash(record.bytes()).as_bytes();
        match rows::seen(&self.journal, &hash) {
            Some(seen) => {
                let ttl = u64::from(record.record().ttl_secs) * 1000;
                if seen.first.saturating_add(ttl) <= now {
                    return Err(Refusal::bad("expired", "the record's time is over; sign a new one"));
                }
                Ok(seen.first.min(now))
            }
            None => {
                let (network, peer) = (record.record().network, record.record().peer);
                let seen = Seen { network, peer, first: now };
                self.journal.change(|batch| rows::put_seen(batch, &hash, &seen));
                Ok(now)
            }
        }
    }

    /// Forgets what has expired; says whether there is more to do.
    pub(crate) fn tidy(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.state();
        let more = state.records.tidy(now, CHUNK);
        let expired = state.records.take_dropped();
        for (tag, peer) in &expired {
            state.log.write(&self.journal, now, LogLine::new("expired").peer(*tag, peer));
        }
        self.drop_rows(&expired);
        for task in state.tasks.tidy(now) {
            self.journal.change(|batch| stored_tasks::remove(batch, &task));
        }
        more
    }

    /// Reads back what was stored, while requests are answered already.
    pub(crate) fn restore(&self) {
        let mut last: Option<Vec<u8>> = None;
        while !self.closing.load(Ordering::Relaxed) {
            let rows = match self.journal.after(Table::Records, last.as_deref(), CHUNK) {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "what was stored cannot be read; peers have to announce themselves again");
                    break;
                }
            };
            let Some((key, _)) = rows.last() else { break };
            last = Some(key.clone());
            for (key, row) in rows {
                let held = rows::read(&row).filter(|held| rows::key(&held.key()) == key);
                let mut state = self.state();
                let known = held.is_some_and(|held| {
                    let peer = held.key();
                    state.records.restore(self.clock.now(), held) || state.records.get(&peer).is_some()
                });
                if !known {
                    self.journal.change(|batch| batch.remove(Table::Records, key));
                }
                let dropped = state.records.take_dropped();
                self.drop_rows(&dropped);
            }
        }
        self.restoring.store(false, Ordering::Relaxed);
    }

    fn drop_rows(&self, dropped: &[(Tag, PeerId)]) {
        if !dropped.is_empty() {
            let keys = dropped.iter().map(rows::key);
            self.journal.change(|batch| keys.for_each(|key| batch.remove(Table::Records, key)));
        }
    }
}
