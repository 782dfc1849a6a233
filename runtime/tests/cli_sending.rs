//! The `p2pnet` program as its users meet it: files, folders and texts.

#![cfg(unix)]

mod one_machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use p2pnet::{Node, Source};
use serde_json::Value;
use tokio::time::Instant;

use one_machine::{Lan, PATIENCE, finished, hash_of, names_in};

/// The main thing: two processes trust each other, and a file of several blocks arrives whole.
#[tokio::test]
async fn a_file_is_sent_and_received_with_equal_hash() {
    let lan = Lan::new();
    let file = lan.file("photo.jpg", (3 << 20) + 12345);
    let mut receiver = lan.start("anna", &["receive", "--inbox", "in"]);
    let anna = receiver.event("listening").await["peer"].clone();
    let mut sender = lan.start("ben", &["send", file.to_str().unwrap(), "--to", "anna"]);
    let ben = sender.event("listening").await["peer"].clone();

    assert_eq!(sender.event("peer_trusted").await["peer"], anna);
    let received = receiver.event("content_received").await;
    assert_eq!(received["from"], ben);
    assert_eq!(received["name"], "photo.jpg");
    assert_eq!(received["bytes"], (3 << 20) + 12345);
    assert!(received["fetched_bytes"].as_u64().unwrap() >= (3 << 20) + 12345);
    assert!(received["seconds"].is_number());
    let path = PathBuf::from(received["path"].as_str().unwrap());
    assert_eq!(path, fs::canonicalize(lan.path("in/photo.jpg")).unwrap());
    assert_eq!(received["hash"].as_str().unwrap(), hash_of(&file));
    assert_eq!(hash_of(&path), hash_of(&file));

    let delivered = sender.event("content_delivered").await;
    assert_eq!((&delivered["hash"], &delivered["to"]), (&received["hash"], &anna));
    assert_eq!((sender.code().await, receiver.code().await), (Some(0), Some(0)));
    assert_eq!(names_in(&lan.path("in")), ["photo.jpg"]);
}

/// A folder arrives as it is, with what is hidden and empty in it; one with something in it that is no file is not sent.
#[tokio::test]
async fn a_folder_is_sent_and_received() {
    let lan = Lan::new();
    fs::create_dir_all(lan.path("trip/day one/none")).unwrap();
    fs::write(lan.path("trip/.notes"), "remember").unwrap();
    fs::rename(lan.file("photo.jpg", (2 << 20) + 5), lan.path("trip/day one/photo.jpg")).unwrap();
    let mut receiver = lan.start("anna", &["receive", "--inbox", "in"]);
    receiver.event("listening").await;
    let mut sender = lan.start("ben", &["send", lan.path("trip").to_str().unwrap(), "--to", "anna"]);
    let received = receiver.event("content_received").await;
    assert_eq!((received["name"].as_str(), received["kind"].as_str()), (Some("trip"), Some("folder")));
    assert_eq!(received["path"].as_str(), lan.path("in/trip").to_str());
    sender.event("content_delivered").await;
    assert_eq!((sender.code().await, receiver.code().await), (Some(0), Some(0)));
    assert_eq!(names_in(&lan.path("in")), ["trip"]);
    assert_eq!(names_in(&lan.path("in/trip")), [".notes", "day one"]);
    assert_eq!(names_in(&lan.path("in/trip/day one")), ["none", "photo.jpg"]);
    for file in [".notes", "day one/photo.jpg"] {
        assert_eq!(hash_of(&lan.path("in/trip").join(file)), hash_of(&lan.path("trip").join(file)));
    }

    std::os::unix::fs::symlink("/etc/passwd", lan.path("trip/link")).unwrap();
    let output = finished(lan.command(&["send", lan.path("trip").to_str().unwrap()])).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("\"link\" is a symbolic link; put what it points to in its place"), "{said}");
}

/// What lies in the inbox is read and not fetched again; `store` shows it, and forgets it when it is gone.
#[tokio::test]
async fn what_was_received_is_not_fetched_again_and_can_be_looked_at() {
    let lan = Lan::new();
    let file = lan.file("photo.jpg", (2 << 20) + 12345);
    for round in 0..2 {
        let mut receiver = lan.start("anna", &["receive", "--inbox", "in"]);
        receiver.event("listening").await;
        let mut sender = lan.start("ben", &["send", file.to_str().unwrap(), "--to", "anna"]);
        let received = receiver.event("content_received").await;
        assert_eq!(received["fetched_bytes"] == 0, round == 1, "{received}");
        assert_eq!((sender.code().await, receiver.code().await), (Some(0), Some(0)));
        assert_eq!(names_in(&lan.path("in")), ["photo.jpg"]);
    }
    let store = async |arguments: &[&str]| {
        let output = finished(lan.beside("anna.data", &[&["store"], arguments].concat())).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
        (output.status.code(), lines)
    };
    let (code, listed) = store(&["ls"]).await;
    let path = fs::canonicalize(lan.path("in/photo.jpg")).unwrap();
    assert_eq!((code, listed.len(), &listed[0]["state"]), (Some(0), 1, &"same".into()), "{listed:?}");
    assert_eq!(listed[0]["hash"].as_str().unwrap(), hash_of(&file));
    assert_eq!(listed[0]["path"].as_str().unwrap(), path.to_str().unwrap());
    assert_eq!(store(&["verify"]).await.0, Some(0));
    fs::remove_file(path).unwrap();
    let (code, listed) = store(&["verify"]).await;
    assert_eq!((code, &listed[0]["state"]), (Some(1), &"gone".into()));
    let (code, collected) = store(&["gc", "--inbox", "in"]).await;
    assert_eq!((code, &collected[1]["forgotten"]), (Some(0), &1.into()), "{collected:?}");
    assert_eq!(store(&["ls"]).await, (Some(0), vec![]));
}

/// What is meant for one must not land with another, however eager.
#[tokio::test]
async fn a_file_sent_to_one_peer_is_not_offered_to_others() {
    let lan = Lan::new();
    let file = lan.file("letter.txt", 1000);
    let mut anna = lan.start("anna", &["receive", "--inbox", "anna.in"]);
    let mut eve = lan.start("eve", &["up", "--inbox", "eve.in"]);
    anna.event("listening").await;
    eve.event_where("peer_trusted", |event| event["name"] == "anna").await;
    let mut ben = lan.start("ben", &["send", file.to_str().unwrap(), "--to", "anna"]);
    anna.event("content_received").await;
    assert_eq!(ben.code().await, Some(0));
    eve.event_where("peer_left", |event| event["name"] == "ben").await;
    assert_eq!(names_in(&lan.path("anna.in")), ["letter.txt"]);
    assert_eq!(names_in(&lan.path("eve.in")), [""; 0]);
}

/// Several may be called, and nobody else gets it; programs are told on the way how far it is.
#[tokio::test]
async fn a_file_sent_to_two_reaches_both_and_programs_hear_how_far_it_is() {
    let lan = Lan::new();
    let file = lan.file("film.mp4", 150 << 20);
    let mut anna = lan.start("anna", &["receive", "--inbox", "anna.in"]);
    let mut cleo = lan.start("cleo", &["receive", "--inbox", "cleo.in"]);
    let mut eve = lan.start("eve", &["up", "--inbox", "eve.in"]);
    eve.event_where("peer_trusted", |event| event["name"] == "cleo").await;
    let mut ben = lan.start("ben", &["send", file.to_str().unwrap(), "--to", "anna", "--to", "cleo"]);
    for told in [anna.event("content_progress").await, ben.event("delivery_progress").await] {
        assert_eq!(told["of"], 150 << 20);
        assert!(told["bytes"].as_u64().unwrap() <= 150 << 20, "{told}");
    }
    anna.event("content_received").await;
    cleo.event("content_received").await;
    assert_eq!(ben.code().await, Some(0));
    eve.event_where("peer_left", |event| event["name"] == "ben").await;
    assert_eq!(names_in(&lan.path("eve.in")), [""; 0]);
}

/// One of those called who is not there makes it fail, though the others have it.
#[tokio::test]
async fn one_of_two_who_is_not_there_is_named() {
    let lan = Lan::new();
    let file = lan.file("letter.txt", 1000);
    let mut anna = lan.start("anna", &["receive", "--inbox", "anna.in"]);
    anna.event("listening").await;
    let to = ["send", file.to_str().unwrap(), "--to", "anna", "--to", "nobody", "--timeout", "2s"];
    let mut ben = lan.start("ben", &to);
    anna.event("content_received").await;
    let error = ben.event("error").await;
    assert!(error["message"].as_str().unwrap().contains("nobody"), "{error}");
    assert_eq!(ben.code().await, Some(2));
}

/// Without a receiver, everybody who is there gets it.
#[tokio::test]
async fn a_file_sent_to_nobody_in_particular_reaches_all() {
    let lan = Lan::new();
    let file = lan.file("news.txt", 1000);
    let mut receivers = Vec::new();
    for name in ["anna", "cleo"] {
        let mut receiver = lan.start(name, &["receive", "--inbox", &format!("{name}.in")]);
        receiver.event("listening").await;
        receivers.push((name, receiver));
    }
    let mut ben = lan.start("ben", &["send", file.to_str().unwrap()]);
    for (name, receiver) in &mut receivers {
        receiver.event("content_received").await;
        assert_eq!(receiver.code().await, Some(0));
        assert_eq!(names_in(&lan.path(&format!("{name}.in"))), ["news.txt"]);
    }
    ben.event("content_delivered").await;
    ben.event("content_delivered").await;
    assert_eq!(ben.code().await, Some(0));
}

/// Two nodes that stay: both trust, an offer goes into the inbox by itself, a text arrives, a goodbye is heard.
#[tokio::test]
async fn two_nodes_share_a_file_a_text_and_a_goodbye() {
    let lan = Lan::new();
    let file = lan.file("manual.pdf", 70_000);
    let mut anna = lan.start("anna", &["up", "--inbox", "in"]);
    let mut ben = lan.start("ben", &["up", "--share", file.to_str().unwrap()]);
    let ben_id = ben.event("listening").await["peer"].clone();
    let trusted = ben.event("peer_trusted").await;
    assert_eq!(trusted["name"], "anna");
    assert!(trusted["addr"].as_str().unwrap().starts_with("127."));
    let offered = anna.event("content_offered").await;
    assert_eq!((&offered["name"], &offered["from"]), (&Value::from("manual.pdf"), &ben_id));
    let received = anna.event("content_received").await;
    assert_eq!(hash_of(Path::new(received["path"].as_str().unwrap())), hash_of(&file));

    let mut sender = lan.start("cleo", &["send", "--text", "hi \u{1b}[2J", "--to", "anna"]);
    let text = anna.event("text").await;
    assert_eq!(text["text"], "hi \u{1b}[2J");
    assert_eq!(text["from"], sender.event("listening").await["peer"]);
    assert_eq!(sender.code().await, Some(0));

    ben.signal("-TERM");
    let left = anna.event_where("peer_left", |left| left["name"] == "ben").await;
    assert_eq!((&left["peer"], &left["reason"]), (&ben_id, &Value::from("gone")));
}

/// A peer's file name must not lead out of the inbox, nor hide in it.
#[tokio::test]
async fn a_name_with_a_path_lands_in_the_inbox_under_a_safe_one() {
    let lan = Lan::new();
    let mut receiver = lan.start("anna", &["receive", "--inbox", "a/b/in", "--count", "2"]);
    receiver.event("listening").await;
    let mut evil = Node::builder("evil")
        .network(&lan.network)
        .interfaces(["lo"])
        .ports(lan.ports.as_slice())
        .start()
        .await
        .unwrap();
    let handle = evil.handle();
    tokio::spawn(async move { while evil.next_event().await.is_some() {} });
    handle.share(Source::Bytes { name: "../../x".into(), bytes: b"one".to_vec() }).await.unwrap();
    handle.share(Source::Bytes { name: ".bashrc".into(), bytes: b"two".to_vec() }).await.unwrap();
    for _ in 0..2 {
        receiver.event("content_received").await;
    }
    assert_eq!(receiver.code().await, Some(0));
    assert_eq!(names_in(&lan.path("a/b/in")), ["bashrc", "x"]);
    assert_eq!(names_in(&lan.path("a")), ["b"]);
    assert_eq!(fs::read(lan.path("a/b/in/x")).unwrap(), b"one");
}

/// A receiver that nobody has heard of is a slip of the pen: the message says who is there.
#[tokio::test]
async fn an_unknown_receiver_is_bad_input_that_names_who_is_there() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    anna.event("listening").await;
    let mut sender = lan.start("ben", &["send", "--text", "x", "--to", "nobody", "--timeout", "2s"]);
    assert_eq!(sender.code().await, Some(2));
    let errors = sender.errors().await;
    let line = errors.lines().last().unwrap();
    assert!(line.contains("nobody") && line.contains("anna"), "{errors}");
}

/// Nobody there, or everybody declines: tried, and not achieved.
#[tokio::test]
async fn what_nobody_takes_ends_with_exit_code_1() {
    let lan = Lan::new();
    let file = lan.file("x", 10);
    let mut alone = lan.start("ben", &["send", file.to_str().unwrap(), "--timeout", "500ms"]);
    assert_eq!(alone.code().await, Some(1));
    let mut receiver = lan.start("ben", &["receive", "--timeout", "500ms"]);
    assert_eq!(receiver.code().await, Some(1));

    let mut anna = lan.start("anna", &["up"]);
    anna.event("listening").await;
    let mut declined = lan.start("ben", &["send", file.to_str().unwrap(), "--to", "anna"]);
    assert_eq!(declined.event("content_declined").await["hash"], *hash_of(&file));
    assert_eq!(declined.code().await, Some(1));
}

/// Ctrl-C in a transfer: exit code 130, and nothing that could be taken for the file. What came is hidden, for the next
/// run to go on with.
#[tokio::test]
async fn an_interrupted_reception_leaves_no_half_file() {
    let lan = Lan::new();
    let file = lan.file("large.bin", 256 << 20);
    let mut sender = lan.start("ben", &["up", "--share", file.to_str().unwrap()]);
    sender.event("listening").await;
    let mut receiver = lan.start("anna", &["receive", "--inbox", "in"]);
    receiver.event("content_offered").await;
    let end = Instant::now() + PATIENCE;
    while names_in(&lan.path("in")).is_empty() {
        assert!(Instant::now() < end, "nothing comes");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    receiver.signal("-INT");
    assert_eq!(receiver.code().await, Some(130));
    let names = names_in(&lan.path("in"));
    assert!(names.iter().all(|name| name.starts_with(".p2pnet-")), "{names:?}");
}
