//! The bodies of the first version of the HTTP interface, which `PROTOCOL.md` describes.

use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64;
use p2pnet_engine::{MAX_RECORD, PeerId, ServerAnswer, ServerRecord};
use serde::{Deserialize, Serialize};

use super::Announcement;

/// Bytes that a task may have, whatever it is.
const MAX_TASK: usize = 16 * 1024;

/// Tasks that are looked at in one answer.
const MAX_TASKS: usize = 64;

/// Characters of a server's own words that are passed on.
const MAX_WORDS: usize = 200;

#[derive(Serialize)]
struct Request {
    record: String,
    want: u16,
    reports: Vec<String>,
}

/// The body of an announcement.
pub(super) fn request(announcement: &Announcement) -> Vec<u8> {
    let request = Request {
        record: BASE64.encode(&announcement.record),
        want: announcement.want,
        reports: announcement.reports.iter().map(|report| BASE64.encode(report)).collect(),
    };
    // A struct of strings and numbers always becomes JSON.
    serde_json::to_vec(&request).unwrap_or_default()
}

#[derive(Deserialize)]
struct Answer {
    records: Vec<Record>,
    #[serde(default)]
    tasks: Vec<String>,
    #[serde(default)]
    authority: Option<String>,
    #[serde(default)]
    observed: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    record: String,
    #[serde(default)]
    age_secs: u32,
    #[serde(default)]
    from: Option<String>,
}

/// The answer to an announcement that wanted so many records, or what is wrong with it. What is beyond the limits is
/// dropped.
pub(super) fn answer(body: &[u8], want: u16) -> Result<ServerAnswer, String> {
    // What it quotes of the body is escaped, and may be all of it.
    let wrong = |error: serde_json::Error| error.to_string().chars().take(MAX_WORDS).collect::<String>();
    let answer: Answer = serde_json::from_slice(body).map_err(wrong)?;
    let records = answer.records.iter().take(usize::from(want)).map(record).collect::<Result<_, _>>()?;
    let tasks = answer.tasks.iter().take(MAX_TASKS).map(|task| bytes(task, MAX_TASK, "a task"));
    let authority = answer.authority.map(|id| id.parse::<PeerId>());
    let observed = answer.observed.map(|address| address.parse::<SocketAddr>());
    Ok(ServerAnswer {
        records,
        tasks: tasks.collect::<Result<_, _>>()?,
        authority: authority.transpose().map_err(|_| "`authority` is no peer id")?,
        observed: observed.transpose().map_err(|_| "`observed` is no address with a port")?,
    })
}

fn record(record: &Record) -> Result<ServerRecord, String> {
    let from = record.from.as_ref().map(|from| from.parse::<IpAddr>());
    Ok(ServerRecord {
        record: bytes(&record.record, MAX_RECORD, "a record")?,
        age_secs: record.age_secs,
        from: from.transpose().map_err(|_| "`from` is no address")?,
    })
}

fn bytes(text: &str, most: usize, what: &str) -> Result<Vec<u8>, String> {
    let bytes = BASE64.decode(text.as_bytes()).map_err(|error| format!("{what}: {error}"))?;
    if bytes.len() > most { Err(format!("{what} is too long")) } else { Ok(bytes) }
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    message: String,
}

/// What a server that refuses says of it, on one line and no longer than a line.
pub(super) fn refusal(body: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let plain = refusal.error.message.chars().filter(|c| !c.is_control());
    Some(plain.take(MAX_WORDS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let good =
            br#"{"records": [{"record": "AQI=", "age_secs": 3, "from": "203.0.113.9"}], "tasks": ["AA=="],
            "authority": null, "observed": "198.51.100.7:4711", "later": 1}"#;
        let answer = answer(good, 64).unwrap();
        assert_eq!(answer.records[0].record, [1, 2]);
        assert_eq!(answer.records[0].from, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(answer.tasks, [vec![0]]);
        assert_eq!(answer.observed, Some("198.51.100.7:4711".parse().unwrap()));
        for bad in [
            "",
            "<html>",
            "{}",
            r#"{"records": 1}"#,
            r#"{"records": [{"record": "?"}]}"#,
            r#"{"records": [{"record": "", "from": "nowhere"}]}"#,
            r#"{"records": [], "authority": "me"}"#,
            r#"{"records": [], "observed": "203.0.113.9"}"#,
        ] {
            assert!(super::answer(bad.as_bytes(), 64).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_dropped() {
        let records = [r#"{"record": "AA=="}"#; 5].join(",");
        let answer = answer(format!(r#"{{"records": [{records}]}}"#).as_bytes(), 2).unwrap();
        assert_eq!(answer.records.len(), 2);
        let long = BASE64.encode(&[0; MAX_RECORD + 1]);
        assert!(super::answer(format!(r#"{{"records": [{{"record": "{long}"}}]}}"#).as_bytes(), 2).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let body = format!(r#"{{"records": "\u001b\n{}"}}"#, "A".repeat(1 << 20));
        let wrong = answer(body.as_bytes(), 64).unwrap_err();
        assert!(wrong.len() <= MAX_WORDS && !wrong.contains(char::is_control), "{wrong}");
    }

    #[test]
    fn a_refusal_is_one_line() {
        let body = br#"{"error": {"code": "x", "message": "not\u001b[31m\n now"}}"#;
        assert_eq!(refusal(body).unwrap(), "not[31m now");
        assert_eq!(refusal(b"<html>"), None);
    }
}
