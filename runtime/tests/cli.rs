//! The `p2pnet` program as its users meet it: what it is given, how it starts and ends, what it finds out.

#![cfg(unix)]

mod one_machine;

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use one_machine::{Lan, PATIENCE, Program, finished, names_in, one_line};

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
