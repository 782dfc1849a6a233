//! What the operator of a server can do, and nobody else.

mod support;

use data_encoding::BASE64;
use p2pnet_bootstrap::{Mode, TOKEN_FILE, read_token};
use p2pnet_engine::{
    Certificate, Identity, Network, NetworkTask, TaskKind, TaskOutcome, TaskReport, TaskTarget,
};
use serde_json::{Value, json};
use support::{Running, TAG, changed, code, identity, record};

const FOREVER: u64 = u64::MAX / 2;

fn authority() -> Identity {
    Identity::from_seed([42; 32])
}

async fn start(data: &std::path::Path) -> (Running, String) {
    let server = Running::with(data, |config| config.mode = Mode::Authority(Box::new(authority()))).await;
    let token = read_token(&data.join(TOKEN_FILE)).unwrap().unwrap();
    (server, format!("Authorization: Bearer {token}\r\n"))
}

async fn soon(server: &Running) -> u64 {
    // The server's own clock: what it saw first just now.
    server.announce(&record(99), 0).await;
    let hash = blake3::hash(record(99).bytes()).to_hex();
    server.get(&format!("/v1/verify/{hash}")).await.1["first_seen"].as_u64().unwrap() + 60
}

#[tokio::test]
async fn only_who_has_the_token_may_do_what_an_operator_does() {
    let data = tempfile::tempdir().unwrap();
    let (server, bearer) = start(data.path()).await;
    for path in ["/v1/certificates", "/v1/tasks", "/v1/peers", "/v1/introductions", "/v1/log"] {
        assert_eq!(code(&server.get(path).await), "no-token", "{path}");
        for wrong in ["Bearer x", "Bearer ", "Basic abc"] {
            let refused = server.get_as(path, &format!("Authorization: {wrong}\r\n")).await;
            assert_eq!(refused.0, 401, "{path} {wrong}");
        }
        assert_eq!(server.get_as(path, &bearer).await.0, 200, "{path}");
    }
    for path in ["/v1/certificates", "/v1/tasks"] {
        assert_eq!(code(&server.post(path, &json!({})).await), "no-token", "{path}");
    }
    server.stop().await;
    // Without an authority there is nothing to sign with, whoever asks.
    let server = Running::start(data.path()).await;
    let body = json!({"network": "0707070707070707", "subject": identity(1).peer_id().to_string()});
    let refused = server.post_as("/v1/certificates", &bearer, &body).await;
    assert_eq!((refused.0, code(&refused)), (403, "trustless"));
    assert_eq!(server.get("/v1/authority").await.1, json!({"mode": "trustless", "authority": null}));
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_is_good_and_in_the_history_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let (server, bearer) = start(data.path()).await;
    let network = Network::open("home").unwrap();
    let subject = identity(1).peer_id();
    let tag = data_encoding::HEXLOWER.encode(&network.tag());
    let body = json!({"network": tag, "subject": subject.to_string(), "capabilities": ["print"], "expires": FOREVER});
    let (status, issued) = server.post_as("/v1/certificates", &bearer, &body).await;
    assert_eq!(status, 200, "{issued}");
    let bytes = BASE64.decode(issued["certificate"].as_str().unwrap().as_bytes()).unwrap();
    let certificate = Certificate::parse(&bytes).unwrap();
    assert!(certificate.is_good(&network, &subject, &[authority().peer_id()]));
    assert_eq!(
        (certificate.capabilities(), certificate.expires()),
        (&["print".to_owned()][..], Some(FOREVER))
    );
    assert_eq!(server.get("/v1/authority").await.1["authority"], authority().peer_id().to_string());
    let past = json!({"network": tag, "subject": subject.to_string(), "expires": 5});
    assert_eq!(code(&server.post_as("/v1/certificates", &bearer, &past).await), "expired");
    let shouting = json!({"network": tag, "subject": subject.to_string(), "capabilities": ["PRINT"]});
    assert_eq!(code(&server.post_as("/v1/certificates", &bearer, &shouting).await), "bad-capabilities");
    server.stop().await;
    let (server, bearer) = start(data.path()).await;
    let (_, history) = server.get_as("/v1/certificates", &bearer).await;
    let history = history["certificates"].as_array().unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["certificate"], issued["certificate"]);
    server.post_as("/v1/certificates", &bearer, &body).await;
    let (_, history) = server.get_as("/v1/certificates?want=1", &bearer).await;
    assert_eq!(history["certificates"][0]["number"], 2);
    server.stop().await;
}

/// A task that this authority has signed, for one peer or all.
fn signed(by: &Identity, target: Option<u64>, sequence: u64, expires: u64) -> NetworkTask {
    let target = target.map_or(TaskTarget::Everyone, |number| TaskTarget::Peer(identity(number).peer_id()));
    NetworkTask::issue(by, TAG, target, sequence, expires, TaskKind::Heartbeat).unwrap()
}

fn encoded(task: &NetworkTask) -> String {
    BASE64.encode(&task.to_bytes())
}

#[tokio::test]
async fn a_task_reaches_whom_it_is_for_and_its_report_the_operator() {
    let data = tempfile::tempdir().unwrap();
    let (server, bearer) = start(data.path()).await;
    let expires = soon(&server).await;
    let (for_all, for_one) =
        (signed(&authority(), None, 2, expires), signed(&authority(), Some(1), 1, expires));
    for task in [&for_all, &for_one] {
        let given = server.post_as("/v1/tasks", &bearer, &json!({"task": encoded(task)})).await;
        assert_eq!((given.0, &given.1["id"]), (200, &json!(task.id().to_string())), "{}", given.1);
    }
    let tasks = |answer: (u16, Value)| answer.1["tasks"].clone();
    let (one, all) = (encoded(&for_one), encoded(&for_all));
    assert_eq!(tasks(server.announce(&record(1), 0).await), json!([one, all]));
    assert_eq!(tasks(server.announce(&record(2), 0).await), json!([all]));
    assert_eq!(tasks(server.announce(&changed(3, |record| record.network = [8; 8]), 0).await), json!([]));
    // Peer 2 says what became of it, twice, and something about a task that was not for it, and what peer 1 did.
    let by = |number, task: &NetworkTask| {
        let status = TaskOutcome::Status { known: 3, connected: 2, trusted: 1 };
        BASE64.encode(&TaskReport::sign(&identity(number), TAG, task.id(), status).to_bytes())
    };
    let reports = [by(2, &for_all), by(2, &for_all), by(2, &for_one), by(1, &for_all), "AQI=".to_owned()];
    let body = json!({"record": BASE64.encode(record(2).bytes()), "want": 0, "reports": reports});
    let told = server.post("/v1/announce", &body).await;
    assert_eq!((told.0, &told.1["tasks"]), (200, &json!([])), "{}", told.1);
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("reports_refused_total 4"), "{metrics}");
    server.stop().await;
    let (server, bearer) = start(data.path()).await;
    assert_eq!(tasks(server.announce(&record(1), 0).await), json!([one, all]));
    assert_eq!(tasks(server.announce(&record(2), 0).await), json!([]));
    let (_, listed) = server.get_as("/v1/tasks", &bearer).await;
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 2);
    let reports = listed["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 1, "{listed}");
    assert_eq!(reports[0]["peer"], identity(2).peer_id().to_string());
    assert_eq!(
        (&reports[0]["kind"], &reports[0]["outcome"], &reports[0]["text"]),
        (&json!("heartbeat"), &json!("runs"), &json!("runs: knows 3 peers, linked with 2, trusted 1"))
    );
    server.stop().await;
    // An authority of another key does not pass on what this one signed.
    let other = Mode::Authority(Box::new(Identity::from_seed([43; 32])));
    let server = Running::with(data.path(), |config| config.mode = other).await;
    assert_eq!(tasks(server.announce(&record(1), 0).await), json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_task_that_is_not_the_authoritys_or_not_in_its_limits_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let (server, bearer) = start(data.path()).await;
    let expires = soon(&server).await;
    let given = |task: NetworkTask| json!({"task": encoded(&task)});
    let good = signed(&authority(), None, 2, expires);
    let mut changed = good.to_bytes();
    *changed.last_mut().unwrap() ^= 1;
    let same_place =
        NetworkTask::issue(&authority(), TAG, TaskTarget::Everyone, 2, expires, TaskKind::Synchronize);
    let network = "0707070707070707";
    let ask = |kind: &str, of: Value| json!({"network": network, "kind": kind, "expires": expires, "of": of});
    assert_eq!(server.post_as("/v1/tasks", &bearer, &given(good)).await.0, 200);
    for (body, expected) in [
        (given(signed(&identity(1), None, 3, expires)), "wrong-issuer"),
        (json!({"task": BASE64.encode(&changed)}), "bad-signature"),
        (json!({"task": "AQ=="}), "bad-task"),
        (given(same_place.unwrap()), "task-refused"),
        (given(signed(&authority(), None, 3, 1000)), "task-refused"),
        (given(signed(&authority(), None, 3, FOREVER)), "too-far-ahead"),
        (json!({"network": network, "kind": "heartbeat"}), "bad-task"),
        (json!({"network": network, "kind": "heartbeat", "expires": FOREVER}), "too-far-ahead"),
        (ask("dance", json!({})), "bad-task"),
        (ask("block-peer", json!({})), "bad-task"),
        (ask("block-peer", json!({"peer": "x"})), "bad-peer"),
        (ask("set-identifier", json!({"name": "a\nb"})), "bad-task"),
        (ask("update-settings", json!({"active_links": 0})), "bad-task"),
        (ask("heartbeat", json!({"pear": 1})), "bad-json"),
    ] {
        let refused = server.post_as("/v1/tasks", &bearer, &body).await;
        assert!(code(&refused) == expected && (400..500).contains(&refused.0), "{body}: {refused:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_server_signs_what_its_operator_asks_for_with_ever_higher_numbers() {
    let data = tempfile::tempdir().unwrap();
    let (server, bearer) = start(data.path()).await;
    let expires = soon(&server).await;
    let mut last = 0;
    for target in [Value::Null, json!(identity(1).peer_id().to_string()), Value::Null] {
        let body = json!({"network": "0707070707070707", "target": target, "kind": "set-identifier",
            "expires": expires, "of": {"name": "till"}});
        let (status, answer) = server.post_as("/v1/tasks", &bearer, &body).await;
        assert_eq!(status, 200, "{answer}");
        let bytes = BASE64.decode(answer["task"].as_str().unwrap().as_bytes()).unwrap();
        let task = NetworkTask::parse(&bytes).unwrap();
        assert!(task.is_signed() && task.issuer() == authority().peer_id());
        assert_eq!((task.network(), task.expires()), (TAG, expires));
        assert_eq!(task.kind(), &TaskKind::SetIdentifier { name: "till".into() });
        assert!(task.sequence() > last, "{} after {last}", task.sequence());
        last = task.sequence();
    }
    let (_, listed) = server.get_as("/v1/tasks", &bearer).await;
    assert_eq!(listed["tasks"][0]["of"], json!({"name": "till"}));
    server.stop().await;
}

#[tokio::test]
async fn the_operator_sees_peers_introductions_and_what_happened() {
    let data = tempfile::tempdir().unwrap();
    let (server, bearer) = start(data.path()).await;
    for number in 1..=3 {
        server.announce(&record(number), 64).await;
    }
    let (_, first) = server.get_as("/v1/peers?network=0707070707070707&want=2", &bearer).await;
    assert_eq!((first["peers"].as_array().unwrap().len(), first["total"].clone()), (2, json!(3)));
    let last = first["peers"][1]["peer"].as_str().unwrap();
    let (_, rest) = server.get_as(&format!("/v1/peers?network=0707070707070707&after={last}"), &bearer).await;
    let peer = &rest["peers"][0];
    assert_eq!((rest["peers"].as_array().unwrap().len(), &peer["kind"]), (1, &json!("alive")));
    let (_, told) = server.get_as("/v1/introductions", &bearer).await;
    assert_eq!(told["introductions"].as_array().unwrap().len(), 3);
    assert_eq!(told["introductions"][2]["of"], identity(1).peer_id().to_string());
    let (_, log) = server.get_as("/v1/log?want=2", &bearer).await;
    assert_eq!(
        (&log["log"][0]["what"], &log["log"][0]["network"]),
        (&json!("joined"), &json!("0707070707070707"))
    );
    let number = log["log"][1]["number"].as_u64().unwrap();
    let (_, newer) = server.get_as(&format!("/v1/log?behind={number}"), &bearer).await;
    assert_eq!(newer["log"].as_array().unwrap().len(), 1);
    server.stop().await;
}
