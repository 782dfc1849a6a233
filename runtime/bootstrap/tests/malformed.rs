//! Requests made from the OpenAPI description, most of them wrong, until ten thousand were refused: none of them makes the
//! server fail, and none of them stays in its memory.

#![cfg(target_os = "linux")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use p2pnet_bootstrap::sources::Rate;
use p2pnet_bootstrap::{Mode, OPENAPI, TOKEN_FILE, read_token};
use p2pnet_engine::{Identity, NetworkTask, TaskKind, TaskTarget};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use support::{Running, identity, record};

/// Requests that are refused.
const REFUSED: usize = 10_000;

/// Requests of which that many are refused at the latest.
const MOST: usize = 40_000;

/// Requests that come before memory is looked at.
const WARM: usize = 1_000;

/// How much more memory this process may have in the end, in bytes.
const GROWTH: u64 = 24 << 20;

struct Generator {
    random: ChaCha8Rng,
    description: Value,
    token: String,
}

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        (self.random.next_u32() as usize) % bound
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// The whole request, and its path as the description has it.
    fn request(&mut self) -> (Vec<u8>, String) {
        let paths: Vec<String> = self.description["paths"].as_object().unwrap().keys().cloned().collect();
        let path = paths[self.below(paths.len())].clone();
        let item = self.description["paths"][&path].clone();
        let methods: Vec<String> = item.as_object().unwrap().keys().cloned().collect();
        let method = methods[self.below(methods.len())].clone();
        let operation = item[&method].clone();
        let mut method = method.to_uppercase();
        if self.one_in(12) {
            method = self
                .pick(&["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X"])
                .to_owned();
        }
        let mut target = path.clone();
        let mut query = Vec::new();
        for parameter in operation["parameters"].as_array().cloned().unwrap_or_default() {
            let parameter = self.resolve(&parameter);
            let name = parameter["name"].as_str().unwrap().to_owned();
            let value = self.text(&name);
            if parameter["in"] == "path" {
                target = target.replace(&format!("{{{name}}}"), &value);
            } else if !self.one_in(3) {
                query.push(format!("{name}={value}"));
            }
        }
        if self.one_in(20) {
            target.push_str(self.pick(&["/", "//", "/..", "/%00", "%ff", ";a=b", "/a/b/c/d"]));
        }
        if self.one_in(10) {
            query.push(self.pick(&["want=1&want=2", "x=y", "=", "&&&", "want", "%=%"]).to_owned());
        }
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        let schema = operation["requestBody"]["content"]["application/json"]["schema"].clone();
        let body = self.body(&schema);
        (self.whole(&method, &target, body), path)
    }

    /// What comes to the dashboard's door.
    fn login(&mut self) -> Vec<u8> {
        let token = self.value("token");
        let body = json!({"token": token}).to_string().into_bytes();
        let method = self.pick(&["GET", "POST", "DELETE", "PUT"]).to_owned();
        let whole = self.whole(&method, "/session", body);
        let door = self.pick(&[
            "Origin: http://x\r\nX-P2pnet-Dashboard: 1",
            "Origin: null",
            "Cookie: p2pnet_session_=;;=",
        ]);
        let text = String::from_utf8_lossy(&whole).replacen("Host: x", &format!("Host: x\r\n{door}"), 1);
        text.into_bytes()
    }

    fn whole(&mut self, method: &str, target: &str, body: Vec<u8>) -> Vec<u8> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let authorization = match self.below(4) {
            0 => None,
            1 => Some(
                self.pick(&["Bearer x", "Bearer", "Basic eDp5", "Bearer p2pnet-operator-", "\u{7f}"])
                    .to_owned(),
            ),
            _ => Some(format!("Bearer {}", self.token)),
        };
        if let Some(authorization) = authorization {
            head.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        if self.one_in(8) {
            head.push_str(self.pick(&[
                "Content-Type: text/plain\r\n",
                "Content-Type: application/json; charset=utf-16\r\n",
                "Content-Encoding: gzip\r\n",
                "Expect: 100-continue\r\n",
                "Upgrade: websocket\r\nConnection: Upgrade\r\n",
                "Range: bytes=0-1\r\n",
                "Host: y\r\n",
                "No colon\r\n",
                "X: \u{1}\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Transfer-Encoding: gzip\r\n",
            ]));
        }
        if self.one_in(60) {
            head.push_str(&format!("X: {}\r\n", "a".repeat(40_000)));
        }
        let length = match self.below(30) {
            0 => "-1".to_owned(),
            1 => "99999999999999999999".to_owned(),
            2 => (body.len() / 2).to_string(),
            3 => "70000".to_owned(),
            _ => body.len().to_string(),
        };
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        let mut whole = [head.into_bytes(), body].concat();
        if self.one_in(40) {
            let at = self.below(whole.len());
            whole[at] = self.random.next_u32() as u8;
        }
        whole
    }

    fn resolve(&self, value: &Value) -> Value {
        let Some(reference) = value["$ref"].as_str() else { return value.clone() };
        self.description.pointer(reference.trim_start_matches('#')).unwrap().clone()
    }

    /// A body for a schema, or something quite different.
    fn body(&mut self, schema: &Value) -> Vec<u8> {
        let schema = self.resolve(schema);
        if schema.is_null() && !self.one_in(10) {
            return Vec::new();
        }
        match self.below(14) {
            0 => Vec::new(),
            1 => [b"[".repeat(5_000), b"]".repeat(5_000)].concat(),
            2 => vec![0xff; self.below(300)],
            3 => b"{\"record\": \"\xc3\x28\", \"want\": 1}".to_vec(),
            4 => format!("\"{}\"", "x".repeat(self.below(70_000))).into_bytes(),
            5 => b"null".to_vec(),
            _ => {
                let mut object = serde_json::Map::new();
                let properties = schema["properties"].as_object().cloned().unwrap_or_default();
                for name in properties.keys() {
                    if !self.one_in(12) {
                        object.insert(name.clone(), self.value(name));
                    }
                }
                let mut body = Value::Object(object).to_string().into_bytes();
                if self.one_in(15) {
                    body.truncate(body.len() / 2);
                }
                body
            }
        }
    }

    /// A value for a property: often a good one, so that what comes after it is reached too.
    fn value(&mut self, name: &str) -> Value {
        if !self.one_in(8) {
            return match name {
                "want" => json!(self.below(300)),
                "sequence" => json!(self.below(40)),
                "expires" => json!([0u64, 1_000_000_000, 4_000_000_000, u64::MAX][self.below(4)]),
                "record" => {
                    let mut bytes = record(1).bytes().to_vec();
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                    json!(BASE64.encode(&bytes))
                }
                "reports" => json!(vec![BASE64.encode(&[self.random.next_u32() as u8]); self.below(70)]),
                "capabilities" => json!(vec!["a"; self.below(12)]),
                "task" if self.one_in(2) => Value::Null,
                "task" => json!(self.task()),
                "kind" => {
                    let kinds =
                        &self.description["components"]["schemas"]["TaskRequest"]["properties"]["kind"];
                    let kinds = kinds["enum"].as_array().unwrap().clone();
                    kinds[self.below(kinds.len())].clone()
                }
                "of" => {
                    let parts = self.description["components"]["schemas"]["TaskParts"]["properties"].clone();
                    let parts = parts.as_object().unwrap().keys().filter(|_| !self.one_in(3));
                    let parts: Vec<String> = parts.cloned().collect();
                    parts.into_iter().map(|name| (name.clone(), self.value(&name))).collect()
                }
                "address" => json!("192.0.2.1"),
                "servers" => json!(vec!["http://192.0.2.1"; self.below(10)]),
                "message" | "signature" => json!(BASE64.encode(&vec![1; [0, 64, 5_000][self.below(3)]])),
                "size" | "beacon_interval_ms" | "message_ttl_secs" | "active_links" => {
                    json!(self.below(2_000))
                }
                _ => json!(self.text(name)),
            };
        }
        match self.below(9) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(1.5),
            4 => json!(u64::MAX),
            5 => json!("\u{0}\u{202e}<script>"),
            6 => json!([{"a": []}]),
            7 => json!({"a": 1}),
            _ => json!("A".repeat(self.below(3_000))),
        }
    }

    /// What may be a task: of the authority, of another one, changed, or none.
    fn task(&mut self) -> String {
        let (issuer, expires) = ([42, 43][self.below(2)], [1_000, 4_000_000_000, u64::MAX][self.below(3)]);
        let issuer = Identity::from_seed([issuer; 32]);
        let task = NetworkTask::issue(&issuer, [7; 8], TaskTarget::Everyone, 1, expires, TaskKind::Heartbeat)
            .unwrap();
        let mut bytes = task.to_bytes();
        if self.one_in(2) {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
        bytes.resize([bytes.len(), 3, 5_000][self.below(3)], 0);
        BASE64.encode(&bytes)
    }

    /// A text for a parameter: often a good one.
    fn text(&mut self, name: &str) -> String {
        if !self.one_in(4) {
            return match name {
                "tag" | "network" => "0707070707070707".to_owned(),
                "peer" | "after" | "subject" | "target" | "to" | "signer" => {
                    identity(1).peer_id().to_string()
                }
                "hash" => "0a".repeat(32),
                _ => self.below(2_000).to_string(),
            };
        }
        let wrong = [
            "",
            "%00",
            "%ff%fe",
            "..",
            "%2e%2e%2f",
            "-1",
            "1e9",
            "0x10",
            "07",
            "zz",
            "%F0%9F%92%A9",
            "a%20b",
            "'",
        ];
        match self.below(3) {
            0 => "a".repeat(self.below(2_000)),
            1 => "18446744073709551616".to_owned(),
            _ => self.pick(&wrong).to_owned(),
        }
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn no_request_makes_the_server_fail_or_grow() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::with(data.path(), |config| {
        config.mode = Mode::Authority(Box::new(Identity::from_seed([42; 32])));
        config.dashboard = Some("127.0.0.1:0".parse().unwrap());
        config.rate = Rate { per_second: 1_000_000, burst: 1_000_000 };
    })
    .await;
    let token = read_token(&data.path().join(TOKEN_FILE)).unwrap().unwrap();
    let description = serde_json::from_str(OPENAPI).unwrap();
    let mut generator = Generator { random: ChaCha8Rng::seed_from_u64(7), description, token };
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let (mut codes, mut reached) = (BTreeSet::new(), BTreeSet::new());
    let (mut before, mut refused, mut sent) = (0, 0, 0);
    while refused < REFUSED && sent < MOST {
        sent += 1;
        if sent == WARM {
            before = resident();
        }
        let (mut request, path) = generator.request();
        let to_dashboard = generator.one_in(6);
        if to_dashboard && generator.one_in(2) {
            request = generator.login();
        }
        let (status, body) = server.raw_or_stall(to_dashboard, &request).await;
        *statuses.entry(status).or_default() += 1;
        let shown = || String::from_utf8_lossy(&request[..request.len().min(400)]).into_owned();
        assert!(status < 500, "{status} {body}: {}", shown());
        reached.insert(path);
        refused += usize::from(status >= 400);
        let code = serde_json::from_str::<Value>(&body).ok();
        if let Some(code) = code.as_ref().and_then(|body| body["error"]["code"].as_str()) {
            codes.insert(code.to_owned());
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH, "{} KiB more", grown / 1024);
    // What it was about was reached: they were refused for many reasons, at every path.
    assert_eq!(refused, REFUSED, "{statuses:?}");
    let expected = [
        "bad-base64",
        "bad-body",
        "bad-capabilities",
        "bad-hex",
        "bad-json",
        "bad-method",
        "bad-path",
        "bad-peer",
        "bad-query",
        "bad-record",
        "bad-reports",
        "bad-signature",
        "bad-task",
        "bad-want",
        "expired",
        "no-token",
        "not-found",
        "too-far-ahead",
        "too-large",
        "wrong-issuer",
        "wrong-token",
    ];
    let missing: Vec<_> = expected.iter().filter(|code| !codes.contains(**code)).collect();
    assert!(missing.is_empty(), "never refused with {missing:?}: {codes:?}");
    assert_eq!(reached.len(), generator.description["paths"].as_object().unwrap().len());
    assert_eq!(server.announce(&record(1), 0).await.0, 200);
    println!("{statuses:?}, {} KiB more", grown / 1024);
    server.stop().await;
}
