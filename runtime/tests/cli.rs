//! The `p2pnet` program as its users meet it: processes on loopback, real files, real signals.
//!
//! Each test has a network name, ports and a home directory of its own, so that all run at once.

#![cfg(unix)]

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use p2pnet::{Node, Source};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// A LAN of our own on loopback, and a home directory.
struct Lan {
    network: String,
    ports: Vec<u16>,
    home: TempDir,
}

impl Lan {
    fn new() -> Lan {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let ports = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let network = format!("cli-test-{}-{number}", std::process::id());
        Lan { network, ports, home: tempfile::tempdir().unwrap() }
    }

    /// A path in the home directory.
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file of so many bytes that nobody else has.
    fn file(&self, name: &str, length: usize) -> PathBuf {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_derive_key(&self.network).update(name.as_bytes()).finalize_xof().fill(&mut bytes);
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The program with these arguments and nothing else.
    fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2pnet"));
        command
            .args(arguments)
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("RUST_LOG")
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The program on this LAN, with the default data directory.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        command.args([
            "--interface",
            "lo",
            "--network",
            &self.network,
            "--ports",
            &ports.join(","),
            "--json",
        ]);
        command
    }

    /// The program on this LAN, with the data directory of this name.
    fn beside(&self, directory: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--data-dir").arg(self.path(directory));
        command
    }

    /// A running node by this name, with a data directory of that name.
    fn start(&self, name: &str, arguments: &[&str]) -> Program {
        let mut command = self.command(arguments);
        command.args(["--name", name, "--data-dir"]).arg(self.path(&format!("{name}.data")));
        Program::start(command)
    }
}

/// A running program, whose events are read as they come.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(mut command: Command) -> Program {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Program { child, lines }
    }

    /// The next event of this kind; others are skipped.
    async fn event(&mut self, kind: &str) -> Value {
        self.event_where(kind, |_| true).await
    }

    /// The next event of this kind that is as wanted; others are skipped.
    async fn event_where(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                assert!(event["t_ms"].is_number(), "no time: {line}");
                if event["event"] == kind && wanted(&event) {
                    return Some(event);
                }
            }
            None
        });
        match found.await {
            Ok(Some(event)) => event,
            Ok(None) => panic!("ended before {kind}: {:?}", self.errors().await),
            Err(_) => panic!("no {kind} in {PATIENCE:?}"),
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().expect("still running").to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The exit code, when it has ended.
    async fn code(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }

    /// All of standard error.
    async fn errors(&mut self) -> String {
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = timeout(PATIENCE, stderr.read_to_string(&mut errors)).await;
        }
        errors
    }
}

async fn finished(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("it ends").unwrap()
}

/// What it said on standard error, which must be a single line.
fn one_line(output: &Output) -> String {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors.trim_end().to_owned()
}

fn hash_of(path: &Path) -> String {
    blake3::hash(&fs::read(path).unwrap()).to_string()
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is wrong on the command line is said in one line that names it, with exit code 2, before anything runs.
#[tokio::test]
async fn bad_input_is_one_clear_line_and_exit_code_2() {
    let lan = Lan::new();
    fs::create_dir(lan.path("corrupt")).unwrap();
    fs::write(lan.path("corrupt/identity"), "p2pnet identity 1\nnonsense\n").unwrap();
    fs::write(lan.path("empty"), "").unwrap();
    fs::write(lan.path("damaged"), "p2pnet-secret-abc").unwrap();
    fs::write(lan.path("file"), "x").unwrap();
    let relayed = ["up", "--interface", "lo", "--bootstrap", "http://192.0.2.1", "--relay"];
    for (arguments, named) in [
        (&["up", "--ports", "70000"][..], "70000"),
        (&["up", "--ports", "0"], "'0'"),
        (&["up", "--ports", "eighty"], "eighty"),
        (&["up", "--ports", "9001,9001"], "different designated ports"),
        (&["up", "--interface", "nope0"], "nope0"),
        (&["up", "--interface", "lo", "--share", "missing.bin"], "missing.bin"),
        (&["up", "--interface", "lo", "--share", "/dev/null"], "neither a file nor a folder"),
        (&["send", "/dev/null", "--interface", "lo"], "/dev/null"),
        (&["up", "--interface", "lo", "--inbox", "file"], "--inbox"),
        (&["up", "--interface", "lo", "--data-dir", "corrupt"], "corrupt/identity"),
        (&["up", "--interface", "lo", "--data-dir", "file"], "file"),
        (&["id", "--data-dir", "corrupt"], "corrupt/identity"),
        (&["up", "--interface", "lo", "--secret-file", "missing"], "missing"),
        (&["up", "--interface", "lo", "--secret-file", "empty"], "empty"),
        (&["up", "--interface", "lo", "--secret-file", "damaged"], "damaged"),
        (&["up", "--interface", "lo", "--peer", "nonsense"], "--peer"),
        (&["up", "--interface", "lo", "--relay", "turn://a:geheim@192.0.2.1"], "--bootstrap"),
        (&[&relayed[..], &["turn://a:geheim@"]].concat(), "turn://USER:PASSWORD@HOST:PORT"),
        (&[&relayed[..], &["turn://192.0.2.1:3478"]].concat(), "needs a user name"),
        (&[&relayed[..], &["turns://a:geheim@192.0.2.1"]].concat(), "begins with turn://"),
        (&[&relayed[..], &["turn://a@192.0.2.1"]].concat(), "needs a password"),
        (&[&relayed[..], &["turn://a@b", "--relay-password-file", "missing"]].concat(), "missing"),
        (&[&relayed[..], &["turn://a@b", "--relay-password-file", "empty"]].concat(), "empty"),
        (&["up", "--interface", "lo", "--for", "30"], "30"),
        (&["up", "--interface", "lo", "--network", ""], "network"),
        (&["up", "--interface", "lo", "--name", ""], "--name"),
        (&["send", "missing.bin", "--interface", "lo"], "missing.bin"),
        (&["send", "--interface", "lo"], "<FILE>"),
        (&["send", "--interface", "lo", "--text", ""], "--text"),
        (&["receive", "--interface", "lo", "--inbox", "file"], "--inbox"),
        (&["widescan", "ff02::/64", "--yes"], "ff02::/64"),
        (&["widescan", "fe80::/64", "--yes"], "unicast"),
        (&["widescan", "2001:db8::/31", "--estimate-only"], "32 to 128 bits"),
        (&["widescan", "2001:db8::1"], "such as 2001:db8:1:2::/64"),
        (&["widescan", "2001:db8::/64", "--rate", "1001", "--yes"], "1001"),
        (&["widescan", "2001:db8::/64", "2001:db8::/96", "--yes"], "overlap"),
        (&["widescan", "2001:db8::/64", "--vendor", "52:54", "--yes"], "52:54:00"),
        (&["widescan", "2001:db8::/64", "--stop-list", "file", "--yes"], "line 1"),
        (&["frobnicate"], "frobnicate"),
        (&[], "p2pnet demo"),
    ] {
        let output = finished(lan.bare(arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let line = one_line(&output);
        assert!(line.starts_with("error: ") && line.contains(named), "{arguments:?}: {line}");
        assert!(!line.contains("geheim"), "a password is not repeated: {line}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

/// Relays that are none are told in one line each, without the password, and the node goes on.
#[tokio::test]
async fn relays_that_are_none_are_named_with_what_to_check() {
    let lan = Lan::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web_at = web.local_addr().unwrap();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = web.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let urls = [nobody, web_at].map(|address| format!("turn://anna:geheim@{address}"));
    let bootstrap = format!("http://{nobody}");
    let arguments = ["up", "--bootstrap", &bootstrap, "--relay", &urls[0], "--relay", &urls[1]];
    let mut anna = lan.start("anna", &arguments);
    let mut told = std::collections::BTreeMap::new();
    while told.len() < 2 {
        let failed = anna.event("relay_failed").await;
        assert!(!failed.to_string().contains("geheim"), "{failed}");
        let text = |field: &str| failed[field].as_str().unwrap().to_owned();
        told.insert(text("relay"), text("why"));
    }
    let of = |address| &told[&format!("turn://{address}")];
    assert!(of(nobody).starts_with("the relay cannot be reached"), "{told:?}");
    assert!(of(nobody).ends_with("check the address, and that it runs"), "{told:?}");
    assert_eq!(of(web_at), "what answers there is no TURN server; check the host and the port");
    anna.signal("-TERM");
    assert_eq!(anna.code().await, Some(0));
    server.abort();
}

/// Programs find the same line as an event on standard output.
#[tokio::test]
async fn an_error_is_an_event_for_programs_too() {
    let lan = Lan::new();
    for arguments in [&["up", "--share", "missing.bin"][..], &["up", "--for", "soon"]] {
        let output = finished(lan.command(arguments)).await;
        assert_eq!(output.status.code(), Some(2));
        let event: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(event["event"], "error");
        assert!(one_line(&output).contains(event["message"].as_str().unwrap()));
    }
}

/// The identity is the peer: it must be the same at every start, and be told while a node uses it.
#[tokio::test]
async fn id_is_the_same_each_time_and_while_a_node_runs() {
    let lan = Lan::new();
    let first = finished(lan.bare(&["id"])).await;
    assert!(first.status.success());
    let text = String::from_utf8(first.stdout.clone()).unwrap();
    let (short, long) = text.trim_end().split_once("  ").unwrap();
    assert!(long.starts_with(short) && long.len() == 52 && short.len() == 8, "{text}");
    assert_eq!(finished(lan.bare(&["id"])).await.stdout, first.stdout);
    assert!(lan.path(".local/share/p2pnet/identity").exists());

    let mut node = Program::start(lan.command(&["up"]));
    assert_eq!(node.event("listening").await["peer"], long);
    assert_eq!(finished(lan.bare(&["id"])).await.stdout, first.stdout);
}

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

/// Supervisors send SIGTERM and expect a clean end soon; peers expect a goodbye.
#[tokio::test]
async fn sigterm_and_ctrl_c_leave_within_two_seconds_with_exit_code_0() {
    let lan = Lan::new();
    for signal in ["-TERM", "-INT"] {
        let mut node = lan.start("anna", &["up"]);
        node.event("listening").await;
        let asked = Instant::now();
        node.signal(signal);
        node.event("leaving").await;
        assert_eq!(node.code().await, Some(0), "{signal}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{signal}: {:?}", asked.elapsed());
    }
}

/// Whoever is impatient presses Ctrl-C twice: the peers hear the goodbye all the same.
#[tokio::test]
async fn a_second_signal_does_not_swallow_the_goodbye() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    let mut ben = lan.start("ben", &["up"]);
    let ben_id = ben.event("listening").await["peer"].clone();
    anna.event_where("peer_trusted", |event| event["peer"] == ben_id).await;
    ben.signal("-INT");
    ben.signal("-TERM");
    let told = Instant::now();
    let left = anna.event_where("peer_left", |left| left["peer"] == ben_id).await;
    assert_eq!((&left["reason"], &left["by"]), (&Value::from("gone"), &Value::from("them")));
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    assert_eq!(ben.code().await, Some(0));
}

/// A process that is killed ends its links, which says nothing of it; that it answers nobody says that it is lost.
#[tokio::test]
async fn a_killed_node_is_lost_within_five_seconds() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    let mut ben = lan.start("ben", &["up"]);
    let ben_id = ben.event("listening").await["peer"].clone();
    anna.event_where("peer_trusted", |event| event["peer"] == ben_id).await;
    ben.signal("-KILL");
    let killed = Instant::now();
    let left = anna.event_where("peer_left", |left| left["peer"] == ben_id).await;
    assert_eq!((&left["reason"], &left["by"]), (&Value::from("broken"), &Value::Null));
    let is_lost = |event: &Value| event["peer"] == ben_id && event["liveness"] == "lost";
    let lost = anna.event_where("peer_liveness", is_lost).await;
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert!(lost["silent_s"].as_f64().unwrap() >= 4.0 && lost["unanswered"].as_u64().unwrap() > 2, "{lost}");
}

/// `--for` ends a node by itself.
#[tokio::test]
async fn a_node_leaves_when_its_time_is_over() {
    let lan = Lan::new();
    let mut node = lan.start("anna", &["up", "--for", "300ms"]);
    node.event("listening").await;
    let listening = Instant::now();
    node.event("leaving").await;
    assert!(listening.elapsed() > Duration::from_millis(200));
    assert_eq!(node.code().await, Some(0));
    assert!(listening.elapsed() < Duration::from_millis(2300));
}

/// A crash frees the data directory and costs a moment, not the trust: the new incarnation replaces the old link.
#[tokio::test]
async fn a_killed_node_that_starts_again_is_trusted_again() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    let mut ben = lan.start("ben", &["up"]);
    let ben_id = ben.event("listening").await["peer"].clone();
    anna.event_where("peer_trusted", |event| event["peer"] == ben_id).await;
    ben.signal("-KILL");
    assert_eq!(ben.code().await, None);

    let mut ben = lan.start("ben", &["up"]);
    assert_eq!(ben.event("listening").await["peer"], ben_id);
    let listening = Instant::now();
    assert_eq!(ben.event("peer_trusted").await["name"], "anna");
    anna.event_where("peer_trusted", |event| event["peer"] == ben_id).await;
    assert!(listening.elapsed() < Duration::from_secs(3), "{:?}", listening.elapsed());
}

/// `p2pnet up --json | head -1` must not leave an error or a process behind.
#[tokio::test]
async fn closed_output_ends_a_node_quietly() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    anna.event("listening").await;
    let Program { mut child, lines } = anna;
    drop(lines);
    // Something to tell, which nobody hears.
    let mut ben = lan.start("ben", &["up"]);
    ben.event("listening").await;
    assert_eq!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
    assert!(!errors.contains("error") && !errors.contains("panic"), "{errors}");
}

/// A directory that was named belongs to one node at a time.
#[tokio::test]
async fn a_named_data_directory_in_use_is_bad_input() {
    let lan = Lan::new();
    let mut first = lan.start("anna", &["up"]);
    first.event("listening").await;
    for command in [&["up"][..], &["receive"]] {
        let mut second = lan.command(command);
        second.arg("--data-dir").arg(lan.path("anna.data"));
        let output = finished(second).await;
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let line = one_line(&output);
        assert!(line.contains("in use") && line.contains("anna.data"), "{line}");
    }
}

/// Who sends a file while a node receives in another window should not have to think of directories.
#[tokio::test]
async fn the_default_data_directory_in_use_means_a_temporary_identity() {
    let lan = Lan::new();
    let file = lan.file("photo.jpg", 1000);
    let mut receiver = Program::start(lan.command(&["receive", "--inbox", "in"]));
    let id = receiver.event("listening").await["peer"].clone();
    let mut sender = Program::start(lan.command(&["send", file.to_str().unwrap()]));
    assert_ne!(sender.event("listening").await["peer"], id);
    receiver.event("content_received").await;
    assert_eq!(sender.code().await, Some(0));
    assert!(sender.errors().await.contains("temporary identity"));
    // A node on another network cannot be asked for this one, though it has the directory.
    let mut node = Program::start(lan.command(&["up"]));
    node.event("listening").await;
    let mut other = lan.command(&["send", "--text", "hello", "--timeout", "300ms"]);
    other.args(["--name", "somebody"]);
    let output = finished(other).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("temporary identity"), "{output:?}");

    let second = finished(lan.command(&["up"])).await;
    assert_eq!(second.status.code(), Some(2), "a node that stays is another matter");
}

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

/// On loopback there is little that can be wrong, so the doctor finds nothing: alone, with a peer, and asked of a node.
#[tokio::test]
async fn the_doctor_finds_loopback_well() {
    let lan = Lan::new();
    let ports: Vec<_> = lan.ports.iter().map(u16::to_string).collect();
    let ports = ports.join(",");
    let doctor = |directory: &str| {
        let mut doctor =
            lan.bare(&["doctor", "--for", "1500ms", "--interface", "lo", "--network", &lan.network]);
        doctor.args(["--ports", &ports, "--data-dir"]).arg(lan.path(directory));
        doctor
    };
    let output = finished(doctor("cleo.data")).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("note: Nobody else was heard on lo"), "{text}");

    let mut anna = lan.start("anna", &["up"]);
    let mut ben = lan.start("ben", &["up"]);
    ben.event("listening").await;
    anna.event("peer_trusted").await;
    for directory in ["cleo.data", "anna.data"] {
        let output = finished(doctor(directory)).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(errors.contains("asking the node that runs"), directory == "anna.data", "{errors}");
        // Not everybody has to have answered in so short a time.
        for word in ["all is well", "✓", "hears us by", "loopback", "trusted"] {
            assert!(text.contains(word), "no {word} in {text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}

/// The exit code says that a cause was found, and the text what to do, also when there can be no node at all.
#[tokio::test]
async fn the_doctor_names_taken_ports_with_exit_code_3() {
    // Another test may have taken such a port in between.
    let (lan, _held) = (0..50)
        .find_map(|_| {
            let lan = Lan::new();
            let held: Result<Vec<_>, _> =
                lan.ports.iter().map(|&port| UdpSocket::bind(("0.0.0.0", port))).collect();
            held.ok().map(|held| (lan, held))
        })
        .expect("three ports are free");
    let output = finished(lan.command(&["doctor", "--for", "1s"])).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("\"cause\":\"port_taken\"").count(), 6, "{text}");
    assert!(text.contains("ss -ulpn"), "{text}");
}

/// An open network is a choice that the user should know of, once.
#[tokio::test]
async fn the_first_start_without_a_secret_says_who_can_join() {
    let lan = Lan::new();
    let mut first = lan.start("anna", &["up", "--for", "1ms"]);
    assert_eq!(first.code().await, Some(0));
    assert!(first.errors().await.contains("anyone on this LAN"));
    let mut second = lan.start("anna", &["up", "--for", "1ms"]);
    assert_eq!(second.code().await, Some(0));
    assert_eq!(second.errors().await, "");
}

/// A secret closes the network: those who have it meet, those who do not are not even seen.
#[tokio::test]
async fn a_secret_keeps_strangers_out() {
    let lan = Lan::new();
    let secret = finished(lan.bare(&["secret"])).await;
    assert_ne!(finished(lan.bare(&["secret"])).await.stdout, secret.stdout);
    fs::write(lan.path("secret"), secret.stdout).unwrap();
    fs::write(lan.path("passphrase"), "correct horse battery staple\n").unwrap();

    let mut stranger = lan.start("stranger", &["up"]);
    stranger.event("listening").await;
    for file in ["secret", "passphrase"] {
        let (one, two) = (format!("one-{file}"), format!("two-{file}"));
        let mut first = lan.start(&one, &["up", "--secret-file", file]);
        let mut second = lan.start(&two, &["up", "--secret-file", file]);
        assert_eq!(first.event("peer_trusted").await["name"], *two);
        assert_eq!(second.event("peer_trusted").await["name"], *one);
    }
    stranger.signal("-TERM");
    let mut rest = Vec::new();
    while let Some(line) = stranger.lines.next_line().await.unwrap() {
        rest.push(line);
    }
    assert!(rest.iter().all(|line| !line.contains("peer_")), "{rest:?}");
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

/// The table shows who is there and how far things are with them.
#[tokio::test]
async fn peers_are_listed_with_name_id_and_state() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["up"]);
    let id = anna.event("listening").await["peer"].as_str().unwrap().to_owned();
    let mut command = lan.bare(&["peers", "--for", "2s", "--interface", "lo", "--network", &lan.network]);
    let ports: Vec<_> = lan.ports.iter().map(u16::to_string).collect();
    command.args(["--ports", &ports.join(","), "--name", "ben"]);
    let output = finished(command).await;
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text.lines().find(|line| line.starts_with("anna")).expect("anna is there");
    for word in [&id[..8], "trusted", "alive", "127."] {
        assert!(row.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours where nobody looks: {text}");
}

/// The README's first command: it must work from nothing and leave nothing.
#[tokio::test]
async fn the_demo_shows_the_whole_job_and_leaves_nothing() {
    let lan = Lan::new();
    let output = finished(lan.bare(&["demo"])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for word in ["found", "linked", "trusts", "shared", "received", "correct", "left (gone)", "done:"] {
        assert!(text.contains(word), "no {word} in: {text}");
    }
    assert_eq!(names_in(lan.home.path()), [""; 0]);
    assert!(output.stderr.is_empty());
}
