//! Tasks of an authority, as users of the `p2pnet` program give them: processes on loopback, a key in a file, the control
//! socket.

#![cfg(all(unix, feature = "cli"))]

mod users;

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

#[cfg(feature = "bootstrap-server")]
use users::serve;
use users::{Lan, PATIENCE};

/// Makes the key of an authority in this file; gives its id.
async fn authority(lan: &Lan, file: &str) -> String {
    let (_, made) = lan.first("operator", &["cert", "new"]).await;
    fs::write(lan.path(file), made["key"].as_str().unwrap()).unwrap();
    made["authority"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_operator_names_a_node_and_has_all_block_a_peer_once_and_for_later_runs() {
    let lan = Lan::new();
    let (authority, stranger) =
        (authority(&lan, "operator.key").await, authority(&lan, "stranger.key").await);
    let takes = ["--authority", &authority, "--identifier", "remote"];
    let (mut anna, mut ben) = (lan.start("anna", &takes), lan.start("ben", &takes));
    let id = ben.event("listening").await["peer"].as_str().unwrap().to_owned();
    anna.event("peer_trusted").await;
    ben.event("peer_trusted").await;

    // Handed to anna, and for ben.
    let name = ["task", "issue", "--key", "operator.key", "--to", &id, "--give", "set-identifier", "desk-4"];
    let (code, given) = lan.first("anna", &name).await;
    assert_eq!(code, 0, "{given}");
    let done = ben.event("task_executed").await;
    assert_eq!((&done["kind"], &done["of"]["name"]), (&"set-identifier".into(), &"desk-4".into()));
    assert_eq!((&done["outcome"], &done["issuer"]), (&"done".into(), &Value::from(authority.clone())));
    let shown = timeout(PATIENCE, async {
        while lan.first("anna", &["peers"]).await.1["name"] != "desk-4" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    shown.await.expect("anna sees the new name");

    // For everyone.
    let issue = ["task", "issue", "--key", "operator.key", "block-peer", &stranger];
    let (code, issued) = lan.first("anna", &issue).await;
    assert_eq!((code, &issued["kind"], &issued["target"]), (0, &"block-peer".into(), &"everyone".into()));
    let hex = issued["task"].as_str().unwrap();
    let (code, shown) = lan.first("ben", &["task", "show", hex]).await;
    assert_eq!((code, &shown["signed"], &shown["id"]), (0, &true.into(), &issued["id"]));
    assert_eq!(lan.first("anna", &["task", "give", hex]).await.0, 0);
    for node in [&mut anna, &mut ben] {
        let done = node.event("task_executed").await;
        assert_eq!((&done["id"], &done["outcome"]), (&issued["id"], &"done".into()));
    }
    let (_, decision) = lan.first("ben", &["decisions"]).await;
    assert_eq!((&decision["decision"], &decision["who"]), (&"block".into(), &stranger.into()));

    // Once, also by the next run, which keeps its name.
    let (code, error) = lan.first("anna", &["task", "give", hex]).await;
    assert!(code == 2 && error["message"].as_str().unwrap().contains("taken before"), "{error}");
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{nobody}");
    let issue =
        ["task", "issue", "--key", "operator.key", "--to", &id, "--give", "bootstrap-initialize", &server];
    assert_eq!(lan.first("ben", &issue).await.0, 0);
    ben.stop().await;
    let mut ben = lan.start("ben", &takes);
    assert_eq!(ben.event("listening").await["name"], "desk-4");
    assert_eq!(ben.event("server_failed").await["server"], *server, "it is asked from this start on");
    assert_eq!(lan.first("ben", &["task", "give", hex]).await.0, 2);

    let of_stranger = ["task", "issue", "--key", "stranger.key", "--give", "heartbeat"];
    let (code, error) = lan.first("anna", &of_stranger).await;
    assert!(
        code == 2 && error["message"].as_str().unwrap().contains("not taken from this issuer"),
        "{error}"
    );
}

#[cfg(feature = "bootstrap-server")]
#[tokio::test]
async fn a_node_locks_to_the_authority_of_a_server_does_its_task_and_the_operator_hears_of_it() {
    let lan = Lan::new();
    let data = lan.path("server");
    let mut server = serve("127.0.0.1:0", &data);
    let url = server.event("serving").await["url"].as_str().unwrap().to_owned();
    let (key, token) = (data.join("authority.key"), data.join("operator.token"));
    let (key, token) = (key.to_str().unwrap(), token.to_str().unwrap());
    let reach = ["--server", &*url, "--token-file", token];

    let (_, issued) = lan.first("anna", &["task", "issue", "--key", key, "set-identifier", "desk-4"]).await;
    let give = ["bootstrap", "give-task", issued["task"].as_str().unwrap()];
    let (code, given) = lan.first("anna", &[&give[..], &reach].concat()).await;
    assert!(code == 0 && given["id"] == issued["id"], "{given}");

    let mut anna = lan.start("anna", &["--bootstrap", &url, "--lock-authority", "--identifier", "remote"]);
    assert_eq!(anna.event("authority_locked").await["authority"], issued["issuer"]);
    let done = anna.event("task_executed").await;
    assert_eq!((&done["id"], &done["outcome"]), (&issued["id"], &"done".into()));
    let heard = timeout(PATIENCE, async {
        loop {
            let tasks =
                lan.command("anna", &[&["bootstrap", "tasks"][..], &reach].concat()).output().await.unwrap();
            let text = String::from_utf8(tasks.stdout).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            if let Some(report) = lines.into_iter().find(|line| line["event"] == "report") {
                break report["entry"].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let report = heard.await.expect("the node reports");
    assert_eq!((&report["task"], &report["outcome"]), (&issued["id"], &"done".into()));

    // Another authority at the same address is not used, now and by later runs.
    anna.stop().await;
    server.stop().await;
    fs::remove_dir_all(&data).unwrap();
    let mut server = serve(url.trim_start_matches("http://"), &data);
    server.event("serving").await;
    let mut anna = lan.start("anna", &["--bootstrap", &url, "--lock-authority", "--identifier", "remote"]);
    assert_eq!(anna.event("listening").await["name"], "desk-4");
    let why = anna.event("server_failed").await["why"].as_str().unwrap().to_owned();
    assert!(why.contains("which is not accepted"), "{why}");
}

#[tokio::test]
async fn what_cannot_work_is_said_in_one_line() {
    let lan = Lan::new();
    let authority = authority(&lan, "operator.key").await;
    let issue = |more: &[&'static str]| [&["task", "issue", "--key", "operator.key"], more].concat();
    for (arguments, code, says) in [
        (vec!["up", "--must-be-authority"], 2, "give its key, or lock"),
        (vec!["up", "--identifier", "remote"], 2, "nobody can name this node"),
        (vec!["up", "--authority", &authority, "--identifier", "strict-remote"], 2, "leave the name out"),
        (vec!["up", "--identifier", "anybody"], 2, "strict-local, local"),
        (issue(&["--give", "heartbeat"]), 1, "no node runs"),
        (issue(&["--expires", "200h", "heartbeat"]), 2, "up to 168h"),
        (issue(&["update-settings", "--active-links", "0"]), 2, "out of its limits"),
        (vec!["task", "issue", "--key", "nowhere", "heartbeat"], 2, "cannot be opened"),
        (vec!["task", "show", "abcd"], 2, "copy it again"),
    ] {
        let (ended, error) = lan.first("anna", &arguments).await;
        let message = error["message"].as_str().unwrap_or_default();
        assert!(ended == code && message.contains(says), "{arguments:?}: {ended}, {error}");
    }
}
