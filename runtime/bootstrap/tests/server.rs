//! A server, and what nodes get from it.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use p2pnet_bootstrap::sources::Rate;
use p2pnet_bootstrap::{OPENAPI, route_names};
use p2pnet_engine::{RecordClass, RecordKind};
use serde_json::{Value, json};
use support::{Running, TAG, changed, code, identity, record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn texts(answer: &Value) -> BTreeSet<String> {
    let records = answer["records"].as_array().unwrap();
    records.iter().map(|record| record["record"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn two_nodes_learn_of_each_other() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let (status, first) = server.announce(&record(1), 64).await;
    assert_eq!((status, first["records"].clone()), (200, json!([])));
    assert!(first["observed"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!((first["authority"].clone(), first["tasks"].clone()), (Value::Null, json!([])));
    let (_, second) = server.announce(&record(2), 64).await;
    let told = &second["records"][0];
    assert_eq!(told["record"], BASE64.encode(record(1).bytes()));
    assert_eq!((told["from"].clone(), told["age_secs"].clone()), (json!("127.0.0.1"), json!(0)));
    let other = changed(3, |record| record.network = [8; 8]);
    assert_eq!(server.announce(&other, 64).await.1["records"], json!([]));
    assert_eq!(server.announce(&record(1), 0).await.1["records"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_the_subject_did_not_sign_for_others_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let local = changed(1, |record| record.class = RecordClass::Local);
    let refused = server.announce(&local, 1).await;
    assert_eq!((refused.0, code(&refused)), (400, "local-record"));
    let mut forged = record(1).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let body = json!({"record": BASE64.encode(&forged), "want": 1});
    let refused = server.post("/v1/announce", &body).await;
    assert_eq!((refused.0, code(&refused)), (400, "bad-signature"));
    assert_eq!(server.get("/health").await.1["records"], 0);
    // A farewell covers all classes.
    let gone = changed(1, |record| (record.class, record.kind) = (RecordClass::Local, RecordKind::Gone));
    assert_eq!(server.announce(&gone, 1).await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn who_left_is_given_to_nobody_but_can_be_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    server.announce(&record(1), 0).await;
    let gone = changed(1, |record| record.kind = RecordKind::Gone);
    server.announce(&gone, 0).await;
    server.announce(&changed(1, |record| record.seq = 9), 0).await;
    assert_eq!(server.announce(&record(2), 64).await.1["records"], json!([]));
    let (tag, peer) = (HEXLOWER.encode(&TAG), identity(1).peer_id());
    let (status, held) = server.get(&format!("/v1/networks/{tag}/records/{peer}")).await;
    assert_eq!((status, texts(&held)), (200, BTreeSet::from([BASE64.encode(gone.bytes())])));
    let stranger = identity(9).peer_id();
    let missing = server.get(&format!("/v1/networks/{tag}/records/{stranger}")).await;
    assert_eq!((missing.0, code(&missing)), (404, "not-found"));
    let (_, sample) = server.get(&format!("/v1/networks/{tag}/records?want=3")).await;
    assert_eq!(texts(&sample), BTreeSet::from([BASE64.encode(record(2).bytes())]));
    server.stop().await;
}

#[tokio::test]
async fn a_record_can_be_verified_by_its_hash() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    server.announce(&record(1), 0).await;
    let hash = |record: &p2pnet_engine::SignedRecord| blake3::hash(record.bytes()).to_hex().to_string();
    let path = format!("/v1/verify/{}", hash(&record(1)));
    let (_, known) = server.get(&path).await;
    assert_eq!((known["known"].clone(), known["held"].clone()), (json!(true), json!(true)));
    assert_eq!(known["peer"], identity(1).peer_id().to_string());
    server.announce(&changed(1, |record| record.seq = 2), 0).await;
    assert_eq!(server.get(&path).await.1["held"], false);
    let (_, unknown) = server.get(&format!("/v1/verify/{}", hash(&record(2)))).await;
    assert_eq!(unknown, json!({"known": false}));
    server.stop().await;
}

#[tokio::test]
async fn records_and_farewells_survive_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    for number in 1..=5 {
        server.announce(&record(number), 0).await;
    }
    server.announce(&changed(5, |record| record.kind = RecordKind::Gone), 0).await;
    // Over within a second, and cannot be brought back.
    let short = changed(6, |record| record.ttl_secs = 1);
    server.announce(&short, 0).await;
    server.stop().await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let server = Running::start(data.path()).await;
    for _ in 0..100 {
        if server.get("/health").await.1["restoring"] == false {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.get("/health").await.1["records"], 5);
    assert_eq!(server.announce(&record(5), 64).await.1["records"].as_array().unwrap().len(), 4);
    let refused = server.announce(&short, 64).await;
    assert_eq!((refused.0, code(&refused)), (400, "expired"));
    let config = p2pnet_bootstrap::Config::new("127.0.0.1:0".parse().unwrap(), data.path());
    let second = p2pnet_bootstrap::Server::bind(config).await.unwrap_err().to_string();
    assert!(second.contains("another server uses"), "{second}");
    server.stop().await;
}

#[tokio::test]
async fn who_asks_too_much_is_told_when_to_come_back() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::with(data.path(), |config| config.rate = Rate { per_second: 1, burst: 3 }).await;
    for _ in 0..3 {
        assert_eq!(server.get("/v1/observed").await.0, 200);
    }
    let refused = server.get("/v1/observed").await;
    assert_eq!((refused.0, code(&refused)), (429, "too-many"));
    server.stop().await;
}

#[tokio::test]
async fn bodies_have_a_limit_and_one_clear_error() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let large = server.post("/v1/announce", &json!({"record": "A".repeat(70_000), "want": 1})).await;
    assert_eq!((large.0, code(&large)), (413, "too-large"));
    let chunk = format!("{:x}\r\n{}\r\n", 70_000, "A".repeat(70_000));
    let head =
        "POST /v1/announce HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (status, body) = server.raw(format!("{head}{chunk}0\r\n\r\n")).await;
    assert!(status == 413 && body.contains("too-large"), "{status} {body}");
    let long = server.post("/v1/announce", &json!({"record": "A".repeat(1000), "want": 1})).await;
    assert_eq!((long.0, code(&long)), (413, "too-large"));
    for (body, expected) in [
        (json!([]), "bad-json"),
        (json!({"record": 1, "want": 1}), "bad-json"),
        (json!({"record": "", "want": 257}), "bad-want"),
        (json!({"record": "AQ", "want": 1}), "bad-base64"),
        (json!({"record": "AQ==", "want": 1}), "bad-record"),
    ] {
        let refused = server.post("/v1/announce", &body).await;
        assert_eq!((refused.0, code(&refused)), (400, expected), "{body}");
    }
    assert_eq!(code(&server.get("/nothing").await), "not-found");
    assert_eq!(code(&server.get("/v1/announce").await), "bad-method");
    server.stop().await;
}

#[tokio::test]
async fn one_source_has_a_quarter_of_the_connections() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::with(data.path(), |config| config.max_connections = 8).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 1000]).await.unwrap() > 0);
        held.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert!(matches!(third.read(&mut [0; 10]).await, Ok(0) | Err(_)));
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.get("/health").await.0, 200);
    // Who holds an idle connection does not keep the server from stopping.
    let _idle = TcpStream::connect(server.address).await.unwrap();
    tokio::time::timeout(Duration::from_secs(3), server.stop()).await.unwrap();
}

#[tokio::test]
async fn who_sends_its_request_too_slowly_is_cut_off() {
    let data = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(200);
    let server = Running::with(data.path(), |config| config.patience = patience).await;
    let (_, body) = server.raw("POST /v1/announce HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").await;
    assert!(body.contains("too-slow"), "{body}");
    for part in ["", "GET /health HTT", "GET /health HTTP/1.1\r\nHost: x\r\n"] {
        let answer = tokio::time::timeout(Duration::from_secs(5), server.raw(part)).await;
        assert_ne!(answer.unwrap().0, 200, "{part}");
    }
    // A connection that is kept for more requests must not be idle for longer either.
    let kept = server.raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), kept).await.unwrap().0, 200);
    server.stop().await;
}

/// The connections of others that the server counts.
async fn connections(server: &Running) -> usize {
    let (_, metrics) = server.get("/metrics").await;
    let line =
        metrics.as_str().unwrap().lines().find(|line| line.starts_with("p2pnet_bootstrap_connections "));
    // This one asks.
    line.unwrap().rsplit(' ').next().unwrap().parse::<usize>().unwrap() - 1
}

#[tokio::test]
async fn who_does_not_take_its_answers_is_cut_off() {
    let data = tempfile::tempdir().unwrap();
    let change = |config: &mut p2pnet_bootstrap::Config| {
        config.patience = Duration::from_millis(300);
        config.rate = Rate { per_second: 1_000_000, burst: 1_000_000 };
    };
    let server = Running::with(data.path(), change).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let asking =
        async { while stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await.is_ok() {} };
    // Until nothing more is read of it, for its answers are not taken.
    drop(tokio::time::timeout(Duration::from_secs(2), asking).await);
    for _ in 0..50 {
        if connections(&server).await == 0 {
            return server.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is still held");
}

#[tokio::test]
async fn the_description_has_every_route_and_no_other() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path()).await;
    let (_, served) = server.get("/openapi.json").await;
    assert_eq!(served, serde_json::from_str::<Value>(OPENAPI).unwrap());
    let paths = served["paths"].as_object().unwrap();
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let routes: BTreeSet<(String, String)> =
        route_names().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, routes);
    for (method, path) in routes {
        let path =
            path.replace("{tag}", "0707070707070707").replace("{peer}", &identity(1).peer_id().to_string());
        let path = path.replace("{hash}", &"0".repeat(64));
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let (status, body) = server.raw(head).await;
        assert!(status != 405 && !body.contains("nothing at this path"), "{method} {path}: {status}");
    }
    let (_, metrics) = server.get("/metrics").await;
    assert!(
        metrics.as_str().unwrap().contains("p2pnet_bootstrap_requests_total{route=\"/v1/verify/{hash}\",")
    );
    server.stop().await;
}
