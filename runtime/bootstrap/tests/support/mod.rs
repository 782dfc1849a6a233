//! A server in this process, and a client that says exactly what it is told.

#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(unreachable_pub, reason = "a module of several tests")]

use std::net::SocketAddr;
use std::path::Path;

use data_encoding::BASE64;
use p2pnet_bootstrap::{Config, Server, StartError};
use p2pnet_engine::{Identity, Instance, PeerRecord, RecordClass, RecordKind, SignedRecord};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const TAG: [u8; 8] = [7; 8];

/// A server on a port of its own on loopback.
pub struct Running {
    pub address: SocketAddr,
    pub dashboard: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), StartError>>,
}

impl Running {
    pub async fn start(data: &Path) -> Running {
        Running::with(data, |_| {}).await
    }

    pub async fn with(data: &Path, change: impl FnOnce(&mut Config)) -> Running {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), data);
        change(&mut config);
        let server = Server::bind(config).await.unwrap();
        let (address, dashboard) = (server.local_addr(), server.dashboard_addr());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(async { drop(stopped.await) }));
        Running { address, dashboard, stop, task }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(path, "").await
    }

    /// With more lines of the head, each with its end.
    pub async fn get_as(&self, path: &str, head: &str) -> (u16, Value) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
        let (status, body) = self.raw(request).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_as(path, "", body).await
    }

    /// With more lines of the head, each with its end.
    pub async fn post_as(&self, path: &str, head: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        );
        let (status, body) = self.raw(request).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub async fn announce(&self, record: &SignedRecord, want: usize) -> (u16, Value) {
        self.post("/v1/announce", &json!({"record": BASE64.encode(record.bytes()), "want": want})).await
    }

    /// The whole answer of the dashboard, head and body.
    pub async fn dashboard(&self, method: &str, path: &str, head: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: dashboard:1\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        );
        exchange(self.dashboard.unwrap(), request.as_bytes(), false).await
    }

    /// Sends these bytes, and reads a status and a body until the server closes.
    pub async fn raw(&self, request: impl AsRef<[u8]>) -> (u16, String) {
        split(&exchange(self.address, request.as_ref(), false).await)
    }

    /// The same to the API or the dashboard, and nothing more is ever sent: a server that waits for the rest of a body
    /// hears that there is none.
    pub async fn raw_or_stall(&self, to_dashboard: bool, request: &[u8]) -> (u16, String) {
        let address = if to_dashboard { self.dashboard.unwrap() } else { self.address };
        split(&exchange(address, request, true).await)
    }
}

async fn exchange(to: SocketAddr, request: &[u8], ends: bool) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // A server that refuses early may close before all is sent.
    drop(stream.write_all(request).await);
    if ends {
        drop(stream.shutdown().await);
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status and the body of an answer.
pub fn split(answer: &str) -> (u16, String) {
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

pub fn identity(number: u64) -> Identity {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed)
}

/// What peer `number` would sign.
pub fn unsigned(number: u64) -> PeerRecord {
    PeerRecord {
        network: TAG,
        peer: identity(number).peer_id(),
        incarnation: 1,
        seq: 1,
        kind: RecordKind::Alive,
        ttl_secs: 3600,
        class: RecordClass::Wide,
        instance: Instance::from_bytes([1; 16]),
        link_key: [2; 32],
        port: 8001,
        name: "a".into(),
        addrs: vec![[192, 0, 2, 1].into()],
        caps: 0,
    }
}

pub fn record(number: u64) -> SignedRecord {
    SignedRecord::sign(&identity(number), unsigned(number)).unwrap()
}

pub fn changed(number: u64, change: impl FnOnce(&mut PeerRecord)) -> SignedRecord {
    let mut record = unsigned(number);
    change(&mut record);
    SignedRecord::sign(&identity(number), record).unwrap()
}

/// The code of a refusal.
pub fn code(answer: &(u16, Value)) -> &str {
    answer.1["error"]["code"].as_str().unwrap_or("none")
}
