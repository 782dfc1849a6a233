//! What happened, for the operator: a ring of lines that survives a restart.

use std::collections::VecDeque;
use std::net::IpAddr;

use p2pnet_engine::PeerId;
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, MAX_LOG, Table};
use crate::records::Tag;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number, from 1 on.
    pub number: u64,
    /// When, in milliseconds since the start of 1970.
    pub at: u64,
    /// What: `joined`, `left`, `expired`, `refused`, `issued`, `task`, `report`, `started`, `stopped` or `login`.
    pub what: String,
    /// The network's tag in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Who caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// More.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl LogLine {
    /// Something that happened; the log gives it its number and its time.
    #[must_use]
    pub fn new(what: &'static str) -> LogLine {
        let what = what.to_owned();
        LogLine { number: 0, at: 0, what, network: None, peer: None, from: None, text: String::new() }
    }

    /// Whom it is about.
    #[must_use]
    pub fn peer(self, network: Tag, peer: &PeerId) -> LogLine {
        let network = data_encoding::HEXLOWER.encode(&network);
        LogLine { network: Some(network), peer: Some(peer.to_string()), ..self }
    }

    /// Who caused it.
    #[must_use]
    pub fn from(self, from: Option<IpAddr>) -> LogLine {
        LogLine { from, ..self }
    }

    /// More, in words.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> LogLine {
        LogLine { text: text.into(), ..self }
    }
}

/// The last [`MAX_LOG`] lines.
#[derive(Debug, Default)]
pub struct Log {
    lines: VecDeque<LogLine>,
    last: u64,
}

impl Log {
    /// What the journal has; lines that cannot be read are left out.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn load(journal: &Journal) -> Result<Log, redb::Error> {
        let mut log = Log::default();
        for (_, line) in journal.after(Table::Log, None, MAX_LOG as usize)? {
            if let Ok(line) = serde_json::from_slice::<LogLine>(&line) {
                log.last = log.last.max(line.number);
                log.lines.push_back(line);
            }
        }
        Ok(log)
    }

    /// Writes a line.
    pub fn write(&mut self, journal: &Journal, now: u64, line: LogLine) {
        self.last += 1;
        let line = LogLine { number: self.last, at: now, ..line };
        if let Ok(bytes) = serde_json::to_vec(&line) {
            journal.change(|batch| batch.put(Table::Log, line.number.to_be_bytes(), bytes));
        }
        if self.lines.len() as u64 >= MAX_LOG {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines behind this number, the latest first, at most `most`.
    pub fn latest(&self, behind: u64, most: usize) -> impl Iterator<Item = &LogLine> {
        self.lines.iter().rev().take_while(move |line| line.number > behind).take(most)
    }
}
