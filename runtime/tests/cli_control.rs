//! The `p2pnet` program as its users meet it: a node that runs is asked, by commands and over its control socket.

#![cfg(unix)]

mod one_machine;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout};

use one_machine::{Lan, PATIENCE, finished, hash_of, names_in};

/// A node that runs delivers for others: its trust is there already, and it keeps its name.
#[tokio::test]
async fn a_running_node_is_asked_for_peers_and_delivers() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    let anna_id = anna.event("listening").await["peer"].clone();
    let mut ben = lan.start("ben", &["up", "--inbox", "in"]);
    ben.event("listening").await;
    anna.event_where("peer_trusted", |event| event["name"] == "ben").await;
    let beside = |arguments: &[&str]| lan.beside("anna.data", arguments);

    let asked = Instant::now();
    let output = finished(beside(&["peers"])).await;
    assert!(asked.elapsed() < Duration::from_secs(2), "nobody had to be looked for");
    let peer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&peer["name"], &peer["level"]), (&Value::from("ben"), &Value::from("trusted")));

    let output = finished(beside(&["send", "--text", "hello", "--to", "ben"])).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = ben.event("text").await;
    assert_eq!((&text["text"], &text["from"]), (&Value::from("hello"), &anna_id));

    let file = lan.file("photo.jpg", (2 << 20) + 7);
    let output = finished(beside(&["send", file.to_str().unwrap()])).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let delivered: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&delivered["event"], &delivered["hash"]),
        (&"content_delivered".into(), &hash_of(&file).into())
    );
    assert_eq!(ben.event("content_received").await["from"], anna_id);

    for (arguments, code) in [
        (&["send", "--text", "x", "--to", "nobody", "--timeout", "300ms"][..], 2),
        (&["send", "missing", "--to", "ben"], 2),
        (&["why", "nobody"], 2),
    ] {
        assert_eq!(finished(beside(arguments)).await.status.code(), Some(code), "{arguments:?}");
    }
}

/// What was sent for a client is not offered to others afterwards, and what the node shares itself stays shared.
#[tokio::test]
async fn what_a_node_delivered_for_a_client_is_withdrawn_unless_it_is_shared() {
    let lan = Lan::new();
    let (letter, manual) = (lan.file("letter", 5000), lan.file("manual", 6000));
    let mut anna = lan.start("anna", &["up", "--share", manual.to_str().unwrap()]);
    let mut ben = lan.start("ben", &["up", "--inbox", "in"]);
    ben.event_where("content_received", |event| event["name"] == "manual").await;
    anna.event("content_delivered").await;
    for file in [&letter, &manual] {
        let send = lan.beside("anna.data", &["send", file.to_str().unwrap(), "--to", "ben"]);
        assert_eq!(finished(send).await.status.code(), Some(0), "{file:?}");
    }
    let mut cleo = lan.start("cleo", &["receive", "--inbox", "cleo.in", "--count", "2", "--timeout", "2s"]);
    assert_eq!(cleo.event("content_received").await["name"], "manual");
    assert_eq!(cleo.code().await, Some(1));
    assert_eq!(names_in(&lan.path("cleo.in")), ["manual"]);
}

/// The socket is its owner's, lives as long as the node, and a crash leaves nothing that stands in the way.
#[tokio::test]
async fn the_control_socket_is_private_and_survives_a_crash() {
    use std::os::unix::fs::PermissionsExt;
    let lan = Lan::new();
    // A directory that others may enter: the socket must be safe by itself.
    fs::create_dir(lan.path("anna.data")).unwrap();
    fs::set_permissions(lan.path("anna.data"), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = lan.path("anna.data/control.sock");
    let mut anna = lan.start("anna", &["up"]);
    anna.event("listening").await;
    let end = Instant::now() + PATIENCE;
    while !socket.exists() {
        assert!(Instant::now() < end, "there is no socket");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    anna.signal("-KILL");
    anna.code().await;
    assert!(socket.exists());
    // Nobody answers there, so a node of its own does.
    let output = finished(lan.beside("anna.data", &["peers", "--for", "100ms"]));
    assert_eq!(output.await.status.code(), Some(0));

    let mut anna = lan.start("anna", &["up"]);
    anna.event("listening").await;
    let mut stream = connect(&socket).await;
    assert!(stream.line().await["p2pnet_control"].is_number());
    anna.signal("-TERM");
    assert_eq!(anna.code().await, Some(0));
    assert!(!socket.exists());
    let leftovers = names_in(&lan.path("anna.data"));
    assert!(leftovers.iter().all(|name| !name.starts_with(".c")), "{leftovers:?}");
}

/// One end of a control socket.
struct Asking(BufReader<tokio::net::UnixStream>);

async fn connect(socket: &Path) -> Asking {
    let end = Instant::now() + PATIENCE;
    loop {
        match tokio::net::UnixStream::connect(socket).await {
            Ok(stream) => return Asking(BufReader::new(stream)),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Asking {
    async fn line(&mut self) -> Value {
        let mut line = String::new();
        timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("it answers").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"))
    }

    async fn ask(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.write_all(b"\n").await.unwrap();
    }
}

/// Nothing that a client says or does may harm the node: not nonsense, not a line without an end, not a crowd.
#[tokio::test]
async fn clients_of_the_control_socket_can_do_no_harm() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    anna.event("listening").await;
    let socket = lan.path("anna.data/control.sock");

    let mut client = connect(&socket).await;
    let greeting = client.line().await;
    assert_eq!((&greeting["p2pnet_control"], &greeting["name"]), (&1.into(), &"anna".into()));
    for nonsense in ["", "[]", r#"{"ask":"rm"}"#, r#"{"ask":"send_file","path":"relative"}"#, "\u{1b}[2J"] {
        client.ask(nonsense).await;
        assert_eq!(client.line().await["error"]["kind"], "bad_input", "{nonsense}");
    }
    // Two at once are answered in order.
    client.ask("{\"ask\":\"peers\"}\n{\"ask\":\"why\",\"peer\":\"x\"}").await;
    assert_eq!(client.line().await["done"], true);
    assert_eq!(client.line().await["error"]["kind"], "bad_input");

    let mut endless = connect(&socket).await;
    endless.line().await;
    // It may hang up before all is written.
    let _ = endless.0.write_all(&vec![b'x'; 1 << 20]).await;
    let mut said = String::new();
    let _ = timeout(PATIENCE, endless.0.read_line(&mut said)).await.expect("it hangs up or says why");
    drop(endless);

    // The endless one may still be counted for a moment.
    let mut crowd = Vec::new();
    let refusal = loop {
        let mut one = connect(&socket).await;
        let line = one.line().await;
        if !line["p2pnet_control"].is_number() {
            break line;
        }
        crowd.push(one);
    };
    assert_eq!(refusal["error"]["kind"], "not_achieved");
    assert!((6..=7).contains(&crowd.len()), "{} beside the first", crowd.len());
    drop(crowd);
    client.ask(r#"{"ask":"peers"}"#).await;
    assert_eq!(client.line().await["done"], true);
    anna.signal("-TERM");
    assert_eq!(anna.code().await, Some(0));
}

/// A path that the system's sockets cannot have is said, and the node works without.
#[tokio::test]
async fn a_data_directory_with_a_long_path_has_no_control_socket() {
    let lan = Lan::new();
    let output = finished(lan.beside(&"x".repeat(120), &["up", "--for", "1s"])).await;
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("shorter --data-dir"), "{errors}");
}

/// Everything about a peer, by its name or the beginning of its id, from a node of its own or the one that runs.
#[tokio::test]
async fn why_tells_how_a_peer_is_reached() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    anna.event("listening").await;
    let mut ben = lan.start("ben", &["up"]);
    let ben_id = ben.event("listening").await["peer"].as_str().unwrap().to_owned();
    anna.event_where("peer_trusted", |event| event["name"] == "ben").await;
    for (directory, called) in [("anna.data", "ben"), ("cleo.data", &ben_id[..8])] {
        let output = finished(lan.beside(directory, &["why", called, "--for", "1s"])).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.contains("\"why\":")).unwrap();
        let why = serde_json::from_str::<Value>(line).unwrap()["why"].clone();
        assert_eq!((&why["peer"], &why["level"]), (&ben_id.clone().into(), &"trusted".into()));
        assert!(why["linked"]["address"].as_str().unwrap().starts_with("127."), "{why}");
        assert!(why["heard_us"].as_array().unwrap().iter().any(|rung| rung == "loopback"), "{why}");
    }
    // For people, without colours where nobody looks.
    let ports: Vec<_> = lan.ports.iter().map(u16::to_string).collect();
    let mut why = lan.bare(&["why", "ben", "--interface", "lo", "--network", &lan.network]);
    why.args(["--ports", &ports.join(","), "--data-dir"]).arg(lan.path("anna.data"));
    let output = finished(why).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(&format!("ben ({}) is trusted\n", &ben_id[..8])), "{text}");
    for word in ["linked", "heard", "on lo", "loopback", "✓", " ago"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}
