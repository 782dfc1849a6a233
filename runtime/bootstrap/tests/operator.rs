//! What the operator of a server can do, and nobody else.

mod support;

use data_encoding::BASE64;
use p2pnet_bootstrap::{Mode, TOKEN_FILE, read_token};
use p2pnet_engine::{
    Certificate, Identity, Network, NetworkTask, TaskId, TaskKind, TaskOutcome, TaskReport, TaskTarget,
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

#[tokio::test]
async fn a_task_reaches_whom_it_is_for_and_its_report_the_operator() {
    let data = tempfile::tempdir().unwrap();
    let (server, bearer) = start(data.path()).await;
    let expires = soon(&server).await;
    let task = |issuer: &Identity, sequence: u64, target, expires| {
        NetworkTask::issue(issuer, TAG, target, sequence, expires, TaskKind::Heartbeat).unwrap()
    };
    let of_authority = |sequence, target| task(&authority(), sequence, target, expires);
    let body = |task: &NetworkTask| json!({"task": BASE64.encode(&task.to_bytes())});
    let all = of_authority(2, TaskTarget::Everyone);
    let one = of_authority(1, TaskTarget::Peer(identity(1).peer_id()));
    for task in [&all, &one] {
        let given = server.post_as("/v1/tasks", &bearer, &body(task)).await;
        assert_eq!((given.0, &given.1["id"]), (200, &json!(task.id().to_string())), "{}", given.1);
    }
    let mut forged = all.to_bytes();
    *forged.last_mut().unwrap() ^= 1;
    for (refused, why) in [
        (body(&task(&authority(), 2, TaskTarget::Everyone, expires + 1)), "task-refused"),
        (body(&task(&authority(), 3, TaskTarget::Everyone, 1)), "task-refused"),
        (body(&task(&authority(), 3, TaskTarget::Everyone, FOREVER)), "too-far-ahead"),
        (body(&task(&identity(5), 3, TaskTarget::Everyone, expires)), "wrong-issuer"),
        (json!({"task": BASE64.encode(&forged)}), "bad-signature"),
        (json!({"task": "AQ=="}), "bad-task"),
    ] {
        assert_eq!(code(&server.post_as("/v1/tasks", &bearer, &refused).await), why);
    }
    let tasks = |answer: (u16, Value)| answer.1["tasks"].clone();
    let told = |tasks: &[&NetworkTask]| {
        json!(tasks.iter().map(|task| BASE64.encode(&task.to_bytes())).collect::<Vec<_>>())
    };
    assert_eq!(tasks(server.announce(&record(1), 0).await), told(&[&one, &all]));
    assert_eq!(tasks(server.announce(&record(2), 0).await), told(&[&all]));
    assert_eq!(tasks(server.announce(&changed(3, |record| record.network = [8; 8]), 0).await), json!([]));
    let report = |node: u64, network, task| {
        let report = TaskReport::sign(&identity(node), network, task, TaskOutcome::Unchanged);
        BASE64.encode(&report.to_bytes())
    };
    let good = report(2, TAG, all.id());
    // Of another, of another network, about a task that nobody gave, signed by nobody.
    let mut others =
        vec![report(1, TAG, all.id()), report(2, [8; 8], all.id()), report(2, TAG, TaskId([0; 32]))];
    let mut forged = BASE64.decode(good.as_bytes()).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    others.extend([BASE64.encode(&forged), "AQI=".into(), good.clone(), good]);
    let body = json!({"record": BASE64.encode(record(2).bytes()), "want": 0, "reports": others});
    assert_eq!(server.post("/v1/announce", &body).await.0, 200);
    server.stop().await;
    let (server, bearer) = start(data.path()).await;
    assert_eq!(tasks(server.announce(&record(1), 0).await), told(&[&one, &all]));
    let (_, listed) = server.get_as("/v1/tasks", &bearer).await;
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(listed["tasks"][0]["kind"], "heartbeat");
    assert_eq!(listed["reports"].as_array().unwrap().len(), 1);
    let report = &listed["reports"][0];
    assert_eq!(
        (&report["peer"], &report["outcome"]),
        (&json!(identity(2).peer_id().to_string()), &json!("unchanged"))
    );
    assert_eq!(report["task"], all.id().to_string());
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
