//! A `p2pnet bootstrap serve` that runs, and what is announced to it.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use p2pnet_engine::{Identity, Instance, PeerRecord, RecordClass, RecordKind, SignedRecord};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A server on loopback. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: String,
    /// The URL of its dashboard, if it has one.
    pub(crate) dashboard: Option<String>,
}

impl Server {
    pub(crate) fn start(data: &Path) -> Server {
        Server::with(data, &[])
    }

    pub(crate) fn with(data: &Path, more: &[&str]) -> Server {
        Server::at("127.0.0.1:0", data, more)
    }

    pub(crate) fn at(listen: &str, data: &Path, more: &[&str]) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_p2pnet"))
            .args(["bootstrap", "serve", "--listen", listen, "--json", "--rate", "100000"])
            .args(["--burst", "100000", "--data"])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let serving: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(serving["event"], "serving");
        let address = serving["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        let dashboard = serving["dashboard"].as_str().map(str::to_owned);
        Server { process, address, dashboard }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Waits until it has read back what it had stored; gives how many records that are.
    pub(crate) fn restored(&self) -> u64 {
        let began = Instant::now();
        loop {
            let health = self.ask("GET", "/health", "");
            if health["restoring"] == false {
                return health["records"].as_u64().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{health}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub(crate) fn announce(&self, number: u64) -> Value {
        self.tell(&record(number), 0, &[])
    }

    /// Announces a record, with reports.
    pub(crate) fn tell(&self, record: &SignedRecord, want: usize, reports: &[String]) -> Value {
        let body = json!({"record": BASE64.encode(record.bytes()), "want": want, "reports": reports});
        self.ask("POST", "/v1/announce", &body.to_string())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(crate) fn identity(number: u64) -> Identity {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

pub(crate) fn record(number: u64) -> SignedRecord {
    named(number, "a", RecordKind::Alive)
}

/// The record of a peer of this name.
pub(crate) fn named(number: u64, name: &str, kind: RecordKind) -> SignedRecord {
    let identity = identity(number);
    let record = PeerRecord {
        network: [7; 8],
        peer: identity.peer_id(),
        incarnation: 1,
        seq: 1,
        kind,
        ttl_secs: 3600,
        class: RecordClass::Wide,
        instance: Instance::from_bytes([1; 16]),
        link_key: [2; 32],
        port: 8001,
        name: name.into(),
        addrs: vec![[192, 0, 2, 1].into()],
        caps: 0,
    };
    SignedRecord::sign(&identity, record).unwrap()
}

/// The key that a server made in its data directory.
pub(crate) fn authority_key(data: &Path) -> Identity {
    let text = std::fs::read_to_string(data.join("authority.key")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("p2pnet-authority-")).unwrap();
    let bytes = data_encoding::BASE32_NOPAD.decode(line.to_ascii_uppercase().as_bytes()).unwrap();
    Identity::from_seed(*bytes.first_chunk().unwrap())
}
