//! `p2pnet bootstrap` as its operator meets it: a process on loopback, real files, real signals.

#![cfg(all(unix, feature = "bootstrap-server"))]

mod serving;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use serving::{Server, record};

#[test]
fn what_was_announced_a_moment_ago_survives_a_server_that_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for number in 0..200 {
        server.announce(number);
    }
    std::thread::park_timeout(Duration::from_secs(1));
    // These may be lost, and must not harm the others.
    for number in 200..250 {
        server.announce(number);
    }
    server.signal("-KILL");
    drop(server);
    let server = Server::start(data.path());
    let records = server.restored();
    assert!((200..=250).contains(&records), "{records}");
    let sample = server.ask("GET", "/v1/networks/0707070707070707/records?want=256", "");
    let sample = sample["records"].as_array().unwrap();
    assert_eq!(sample.len() as u64, records);
    let first = BASE64.encode(record(0).bytes());
    assert!(sample.iter().any(|told| told["record"] == first.as_str()));
}

#[test]
fn a_server_that_is_told_to_stop_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start(data.path());
    server.announce(1);
    server.signal("-TERM");
    assert!(server.process.wait().unwrap().success());
    let server = Server::start(data.path());
    server.restored();
    let told = server.ask("POST", "/v1/announce", &{
        json!({"record": BASE64.encode(record(2).bytes()), "want": 9}).to_string()
    });
    assert_eq!(told["records"].as_array().map(Vec::len), Some(1), "{told}");
}

#[test]
fn a_second_server_and_a_taken_port_are_refused_in_one_line() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let run = |listen: &str, data: &Path| {
        let arguments = ["bootstrap", "serve", "--listen", listen, "--data"];
        let output = Command::new(env!("CARGO_BIN_EXE_p2pnet")).args(arguments).arg(data).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run("127.0.0.1:0", data.path());
    assert!(code == Some(2) && text.contains("another server uses") && text.lines().count() == 1, "{text}");
    let other = tempfile::tempdir().unwrap();
    let (code, text) = run(&server.address, other.path());
    assert!(
        code == Some(2) && text.contains("choose another --listen") && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn an_operator_does_everything_by_command() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::with(data.path(), &["--mode", "authority"]);
    server.announce(1);
    let address = server.address.clone();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2pnet"));
        let (name, rest) = arguments.split_first().unwrap();
        command.args(["bootstrap", name, "--server", &format!("http://{address}"), "--token-file"]);
        let output = command.arg(data.path().join("operator.token")).args(rest).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let peer = record(1).record().peer.to_string();
    let (code, peers, _) = run(&["peers"]);
    assert!(code == Some(0) && peers.contains(&peer) && peers.contains("1 in all"), "{peers}");
    let (code, certificate, why) = run(&["cert", &peer, "--can", "print", "--for", "1h"]);
    assert!(code == Some(0) && certificate.contains("\ncertificate "), "{certificate}{why}");
    let authority = server.ask("GET", "/v1/authority", "")["authority"].as_str().unwrap().to_owned();
    assert!(certificate.contains(&format!("authority {authority}")));
    let (_, certificates, _) = run(&["certs", "--json"]);
    let entry: Value = serde_json::from_str(certificates.lines().next().unwrap()).unwrap();
    assert_eq!(entry["entry"]["subject"], peer.as_str());
    let task = |kind| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2pnet"));
        command.args(["task", "issue", "--to", &peer, "--sequence", "1", "--key"]);
        let output = command.arg(data.path().join("authority.key")).arg(kind).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().last().unwrap().to_owned()
    };
    let (code, _, why) = run(&["give-task", &task("heartbeat")]);
    assert_eq!(code, Some(0), "{why}");
    let (_, tasks, _) = run(&["tasks"]);
    assert!(tasks.contains(&format!("1 heartbeat for {peer}")), "{tasks}");
    // What the dashboard shows and does, the command line does too: the server signs as well.
    let (code, issued, why) = run(&["issue-task", "--to", &peer, "set-identifier", "desk-4"]);
    assert!(code == Some(0) && issued.contains("nodes get it"), "{issued}{why}");
    let (_, tasks, _) = run(&["tasks", "--want", "1", "--json"]);
    let tasks: Vec<Value> = tasks.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(tasks.len(), 1, "the last one, and no report yet: {tasks:?}");
    assert_eq!(
        (&tasks[0]["entry"]["of"]["name"], &tasks[0]["entry"]["target"]),
        (&json!("desk-4"), &json!(peer))
    );
    let (code, status, why) = run(&["status"]);
    assert!(
        code == Some(0) && status.contains(&authority) && status.contains("status     ok"),
        "{status}{why}"
    );
    server.announce(2);
    server.tell(&record(1), 8, &[]);
    let (_, introductions, _) = run(&["introductions"]);
    let of = record(2).record().peer.to_string();
    assert!(introductions.contains(&format!("{of} to {peer}")), "{introductions}");
    let (_, log, _) = run(&["log"]);
    for what in ["joined", "issued", "task"] {
        assert!(log.contains(what), "{log}");
    }
    let (code, _, why) = run(&["give-task", &task("synchronize")]);
    assert!(code == Some(1) && why.contains("take a higher one") && why.lines().count() == 1, "{why}");
    // What an operator was promised is there, and the authority is the same, after a server that was killed at once; and
    // nobody else may read its key.
    let issued = run(&["cert", &peer, "--can", "scan"]);
    server.signal("-KILL");
    assert_eq!(issued.0, Some(0), "{}", issued.2);
    drop(server);
    let key = data.path().join("authority.key");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let server = Server::at(&address, data.path(), &["--mode", "authority"]);
    assert_eq!(server.ask("GET", "/v1/authority", "")["authority"], authority.as_str());
    let (_, certificates, _) = run(&["certs"]);
    assert_eq!(certificates.lines().count(), 2, "{certificates}");
    let (_, tasks, _) = run(&["tasks"]);
    assert!(tasks.contains(&format!("1 heartbeat for {peer}")), "{tasks}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_may_open_a_file_for_each_connection_as_far_as_its_host_lets_it() {
    let under = |limits: &str| {
        let data = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_p2pnet");
        let serve = "bootstrap serve --listen 127.0.0.1:0 --max-connections 2000 --data";
        let script = format!("ulimit {limits}; exec '{program}' {serve} '{}'", data.path().display());
        let mut process = Command::new("sh")
            .args(["-c", &script])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(process.stdout.as_mut().unwrap()),
            &mut line,
        )
        .unwrap();
        assert!(line.contains("serving"), "{line}");
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
        process.kill().unwrap();
        let said = String::from_utf8(process.wait_with_output().unwrap().stderr).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        let number = |at| files.split_whitespace().nth(at).unwrap().parse::<u64>().unwrap_or(u64::MAX);
        (number(3), number(4), said)
    };
    let (soft, hard, said) = under("-Sn 256");
    assert!(soft >= hard.min(2000) && said.is_empty() == (hard >= 2064), "{soft} of {hard}: {said}");
    let (soft, _, said) = under("-n 256");
    assert!(soft == 256 && said.contains("192 connections at once, not 2000"), "{soft}: {said}");
}

/// Runs `p2pnet bootstrap` to its end, which is to be a bad one: gives its code and what it said, which is one line.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_p2pnet")).arg("bootstrap").args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    (output.status.code().unwrap(), said)
}

#[test]
fn what_an_operator_gets_wrong_is_said_in_one_line_that_says_what_to_do() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path());
    let url = format!("http://{}", server.address);
    let path = |directory: &Path, name: &str| directory.join(name).to_str().unwrap().to_owned();
    let token = path(data.path(), "operator.token");
    drop(Server::start(other.path()));
    let wrong = path(other.path(), "operator.token");
    let nowhere = path(other.path(), "nowhere");
    let open = path(other.path(), "open");
    std::fs::write(&open, "p2pnet-operator-x").unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    // A port where nobody is, for it was just given back.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{gone}");
    let peer = record(1).record().peer.to_string();
    let key = Command::new(env!("CARGO_BIN_EXE_p2pnet")).args(["cert", "new"]).output().unwrap();
    let key_file = path(other.path(), "key");
    std::fs::write(&key_file, key.stdout).unwrap();
    let issue = ["task", "issue", "--key", &key_file, "heartbeat"];
    let task = Command::new(env!("CARGO_BIN_EXE_p2pnet")).args(issue).output().unwrap();
    let task = String::from_utf8(task.stdout).unwrap().lines().last().unwrap().to_owned();
    let reach = |server: &str, token: &str, command: &[&str]| {
        refused(&[command, &["--server", server, "--token-file", token]].concat())
    };
    let issue = |more: &[&str]| {
        let issue = ["issue-task", "--server", &url, "--token-file", &token];
        refused(&[&issue[..], more, &["heartbeat"]].concat())
    };
    for ((code, said), expected, hint) in [
        (reach(&gone, &token, &["peers"]), 1, "p2pnet bootstrap serve"),
        (reach(&url, &wrong, &["log"]), 1, "it is in the file operator.token of the data directory"),
        (reach(&url, &nowhere, &["certs"]), 2, "the server has its token in --data"),
        (reach(&url, &open, &["tasks"]), 2, "chmod 600"),
        (reach(&url, &token, &["give-task", &task]), 1, "start it with --mode authority"),
        (reach(&url, &token, &["cert", &peer]), 1, "start it with --mode authority"),
        (issue(&[]), 1, "start it with --mode authority"),
        (issue(&["--expires", "200h"]), 2, "give up to 168h"),
        (reach(&url, &token, &["give-task", &nowhere]), 2, "cannot be read"),
        (reach(&url, &token, &["give-task", &open]), 2, "task"),
    ] {
        assert!(code == expected && said.contains(hint), "{code}, not {expected}: {said}");
    }
    let serve = |data: &str, more: &[&str]| {
        refused(&[&["serve", "--listen", "127.0.0.1:0", "--data", data][..], more].concat())
    };
    let file = path(other.path(), "key");
    let damaged = tempfile::tempdir().unwrap();
    let authority = damaged.path().join("authority.key");
    std::fs::write(&authority, "p2pnet-authority-x").unwrap();
    std::fs::set_permissions(&authority, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let free = path(other.path(), "free");
    for ((code, said), hint) in [
        (serve(&file, &[]), "cannot be used"),
        (serve(&path(data.path(), ""), &[]), "another server uses"),
        (serve(&free, &["--dashboard", &server.address]), "choose another --dashboard"),
        (serve(damaged.path().to_str().unwrap(), &["--mode", "authority"]), "p2pnet cert new"),
    ] {
        assert!(code == 2 && said.contains(hint), "{code}: {said}");
    }
}
