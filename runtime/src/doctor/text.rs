//! How findings are written as text and read back: ids, levels and rungs by their names, times as how long ago.

use std::time::Duration;

use p2pnet_engine::{Level, Rung, Timestamp};
use serde::{Deserialize, Deserializer, Serializer, de};

/// Names in findings are bounded where they come in, so a reader takes no more than any of ours has.
const MAX_WORD: usize = 256;

/// A rung as one word for programs: `ipv4_multicast`.
#[must_use]
pub fn rung_word(rung: Rung) -> String {
    rung.as_str().to_ascii_lowercase().replace(' ', "_")
}

/// A level as one word for programs and people.
#[must_use]
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Known => "known",
        Level::Connected => "connected",
        Level::Trusted => "trusted",
    }
}

/// How long before `now` something was, in milliseconds.
pub(super) fn ago(now: Timestamp, at: Timestamp) -> u64 {
    now.as_nanos().saturating_sub(at.as_nanos()) / 1_000_000
}

/// How long after `now` something will be, in milliseconds; `None` if it is past.
pub(super) fn ahead(now: Timestamp, at: Timestamp) -> Option<u64> {
    at.as_nanos().checked_sub(now.as_nanos()).map(|nanos| nanos / 1_000_000)
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn word<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let word = String::deserialize(from)?;
    if word.len() > MAX_WORD { Err(de::Error::custom("too long a word")) } else { Ok(word) }
}

fn find_rung(word: &str) -> Option<Rung> {
    Rung::ALL.into_iter().find(|&rung| rung_word(rung) == word)
}

/// For values that print and parse, such as ids.
pub(super) mod printed {
    use std::fmt::Display;
    use std::str::FromStr;

    use super::{Deserializer, Serializer, de, word};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        word(from)?.parse().map_err(|_| de::Error::custom("not what it should be"))
    }
}

/// For levels.
pub(super) mod level {
    use super::{Deserializer, Level, Serializer, de, level_word, word};

    pub(crate) fn serialize<S: Serializer>(level: &Level, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(level_word(*level))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Level, D::Error> {
        let word = word(from)?;
        let found = [Level::Known, Level::Connected, Level::Trusted]
            .into_iter()
            .find(|&level| level_word(level) == word);
        found.ok_or_else(|| de::Error::custom("no such level"))
    }
}

/// For one rung.
pub(super) mod rung {
    use super::{Deserializer, Rung, Serializer, de, find_rung, rung_word, word};

    pub(crate) fn serialize<S: Serializer>(rung: &Rung, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&rung_word(*rung))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Rung, D::Error> {
        find_rung(&word(from)?).ok_or_else(|| de::Error::custom("no such rung"))
    }
}

/// For several rungs; those that this version does not know are left out.
pub(super) mod rungs {
    use super::{Deserialize, Deserializer, Rung, Serializer, find_rung, rung_word};

    pub(crate) fn serialize<S: Serializer>(rungs: &[Rung], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(rungs.iter().map(|&rung| rung_word(rung)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Rung>, D::Error> {
        let words = Vec::<String>::deserialize(from)?;
        Ok(words.iter().filter_map(|word| find_rung(word)).collect())
    }
}
