//! Who is let in, as users of the `p2pnet` program decide it: processes on loopback, files, the control socket.

#![cfg(unix)]

mod users;

use std::fs;

use serde_json::Value;
use tokio::time::timeout;

#[cfg(feature = "bootstrap-server")]
use users::serve;
use users::{Lan, PATIENCE};

#[tokio::test]
async fn who_asks_decides_by_another_command_and_once_for_good() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["--trust", "ask"]);
    let mut ben = lan.start("ben", &[]);
    let asked = anna.event("decision_wanted").await;
    assert_eq!(asked["name"], "ben");
    let id = asked["peer"].as_str().unwrap().to_owned();
    let (_, peers) = lan.run("anna", &["peers"]).await;
    assert_eq!((&peers[0]["level"], &peers[0]["why"]), (&"connected".into(), &"waits for a decision".into()));
    assert!(peers[0]["since_ms"].is_number());

    assert_eq!(lan.run("anna", &["trust", "ben"]).await.0, 0);
    assert_eq!(anna.event("peer_trusted").await["peer"], *id);
    ben.event("peer_trusted").await;
    let (_, peers) = lan.run("anna", &["peers"]).await;
    assert_eq!((&peers[0]["level"], &peers[0]["why"]), (&"trusted".into(), &"trusted for good".into()));

    // The next run knows it.
    anna.stop().await;
    let (_, decisions) = lan.run("anna", &["decisions"]).await;
    assert_eq!((&decisions[0]["decision"], &decisions[0]["who"]), (&"trust".into(), &Value::from(id)));
    let mut anna = lan.start("anna", &["--trust", "ask"]);
    anna.event("peer_trusted").await;

    assert_eq!(lan.run("anna", &["distrust", "ben"]).await.0, 0);
    let heard = ben.event("peer_rejected").await;
    assert_eq!((&heard["reason"], &heard["by_us"]), (&"distrusted".into(), &false.into()));
}

#[tokio::test]
async fn answers_come_through_the_control_socket() {
    let lan = Lan::new();
    let mut anna = lan.start("anna", &["--trust", "code"]);
    let mut ben = lan.start("ben", &[]);
    let (left, right) = (anna.event("code_ready").await, ben.event("code_ready").await);
    assert_eq!(left["code"], right["code"]);
    assert_eq!((&left["confirm"], &right["confirm"]), (&true.into(), &true.into()));
    let answer = |peer: &Value, matches: bool| {
        format!(r#"{{"ask":"confirm_code","peer":{peer},"matches":{matches}}}"#)
    };
    assert_eq!(lan.ask("anna", &answer(&left["peer"], true)).await["done"], true);
    assert_eq!(lan.ask("ben", &answer(&right["peer"], true)).await["done"], true);
    anna.event("peer_trusted").await;
    let again = lan.ask("anna", &answer(&left["peer"], true)).await;
    assert_eq!(again["error"]["kind"], "bad_input", "{again}");
    ben.stop().await;

    let mut carl = lan.start("carl", &[]);
    let (asked, shown) = (carl.event("code_ready").await, anna.event("code_ready").await);
    assert_eq!(asked["code"], shown["code"]);
    assert_eq!(lan.ask("carl", &answer(&asked["peer"], false)).await["done"], true);
    let heard = anna.event("peer_rejected").await;
    assert_eq!((&heard["reason"], &heard["by_us"]), (&"code_mismatch".into(), &false.into()));
}

#[tokio::test]
async fn an_allow_list_lets_in_who_is_on_it() {
    let lan = Lan::new();
    fs::write(lan.path("friends"), format!("# of anna\n{} ben's laptop\n", lan.id("ben").await)).unwrap();
    let mut anna = lan.start("anna", &["--trust", "allow:friends"]);
    let _ben = lan.start("ben", &[]);
    assert_eq!(anna.event("peer_trusted").await["name"], "ben");
    let mut eve = lan.start("eve", &[]);
    let heard = loop {
        let heard = eve.event("peer_rejected").await;
        if heard["name"] == "anna" {
            break heard;
        }
    };
    assert_eq!(heard["reason"], "not_allowed");
    let (_, peers) = lan.run("eve", &["peers"]).await;
    let anna_there = peers.iter().find(|peer| peer["name"] == "anna").unwrap();
    assert_eq!(anna_there["why"], "does not let this side in: not on the allow list");
}

#[tokio::test]
async fn certificates_of_one_authority_open_the_door() {
    let lan = Lan::new();
    let key = lan.command("authority", &["cert", "new"]).output().await.unwrap();
    let key: Value = serde_json::from_slice(&key.stdout).unwrap();
    fs::write(lan.path("key"), format!("{}\n", key["key"].as_str().unwrap())).unwrap();
    for user in ["anna", "ben"] {
        let id = lan.id(user).await;
        let (code, issued) =
            lan.run("authority", &["cert", "issue", "--authority", "key", &id, "--can", "print"]).await;
        assert_eq!(code, 0);
        let (authority, certificate) =
            (issued[0]["authority"].as_str().unwrap(), issued[0]["certificate"].as_str().unwrap());
        assert_eq!(authority, key["authority"]);
        fs::write(
            lan.path(&format!("{user}.cert")),
            format!("authority {authority}\ncertificate {certificate}\n"),
        )
        .unwrap();
    }
    let mut anna = lan.start("anna", &["--trust", "cert:anna.cert"]);
    let _ben = lan.start("ben", &["--trust", "cert:ben.cert"]);
    assert_eq!(anna.event("peer_trusted").await["name"], "ben");
    // Somebody who took ben's certificate.
    let mut eve = lan.start("eve", &["--trust", "cert:ben.cert"]);
    assert_eq!(eve.event("peer_rejected").await["reason"], "bad_certificate");
    let (code, _) = lan.run("eve", &["up", "--trust", "cert:key"]).await;
    assert_eq!(code, 2, "not a file that `cert issue` printed");
}

#[cfg(feature = "bootstrap-server")]
#[tokio::test]
async fn certificates_of_a_bootstrap_server_open_the_door_of_their_network_only() {
    let lan = Lan::new();
    let data = lan.path("server");
    let mut server = serve("127.0.0.1:0", &data);
    let serving = server.event("serving").await;
    let (url, token) = (serving["url"].as_str().unwrap(), serving["token_file"].as_str().unwrap());
    for user in ["anna", "ben"] {
        let id = lan.id(user).await;
        let ask = ["bootstrap", "cert", &id, "--can", "print", "--server", url, "--token-file", token];
        let output = lan.by_hand(user, &ask).output().await.unwrap();
        assert!(output.status.success());
        // As it was printed.
        fs::write(lan.path(&format!("{user}.cert")), output.stdout).unwrap();
    }
    let mut anna = lan.start("anna", &["--trust", "cert:anna.cert"]);
    let ben = lan.start("ben", &["--trust", "cert:ben.cert"]);
    assert_eq!(anna.event("peer_trusted").await["name"], "ben");
    ben.stop().await;
    let elsewhere = Lan { network: "another".to_owned(), ..lan };
    let other = elsewhere.by_hand("ben", &["up", "--trust", "cert:ben.cert"]).output();
    let other = timeout(PATIENCE, other).await.unwrap().unwrap();
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(other.status.code() == Some(2) && said.lines().count() == 1, "{said}");
    assert!(said.contains("the certificate is for another network"), "{said}");
}

#[tokio::test]
async fn who_is_blocked_stays_out_until_it_is_unblocked() {
    let lan = Lan::new();
    let id = lan.id("ben").await;
    // Nobody runs: it is written into the data directory.
    assert_eq!(lan.run("anna", &["block", &id]).await.0, 0);
    assert_eq!(lan.run("anna", &["block", "127.0.0.9"]).await.0, 0);
    assert_eq!(lan.run("anna", &["trust", &id]).await.0, 2, "blocked");
    assert_eq!(lan.run("anna", &["unblock", "127.0.0.9"]).await.0, 0);
    assert_eq!(lan.run("anna", &["unblock", "127.0.0.9"]).await.0, 2, "not blocked any more");
    let mut anna = lan.start("anna", &[]);
    anna.event("listening").await;
    let mut ben = lan.start("ben", &[]);
    assert_eq!(ben.event("peer_rejected").await["reason"], "blocked");
    // Somebody runs: it is told.
    assert_eq!(lan.run("anna", &["unblock", &id]).await.0, 0);
    assert_eq!(lan.run("anna", &["unblock", &id]).await.0, 2);
    anna.event("peer_discovered").await;
    assert_eq!(lan.run("anna", &["forget", "ben"]).await.0, 0);
    assert_eq!(lan.run("anna", &["forget", "nobody"]).await.0, 2);
    assert_eq!(lan.run("anna", &["decisions"]).await, (0, vec![]));
}

#[cfg(target_os = "linux")]
mod at_a_terminal {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use std::fs::File;
    use std::io::{Read, Write};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// A user at a terminal that runs the program.
    struct Person {
        keyboard: File,
        screen: Receiver<Vec<u8>>,
        /// What the screen showed so far, and how much of it was read.
        shown: String,
        read: usize,
        _child: tokio::process::Child,
    }

    impl Person {
        fn start(lan: &Lan, user: &str, arguments: &[&str]) -> Person {
            let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&terminal).unwrap();
            unlockpt(&terminal).unwrap();
            let inside =
                File::from(ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
            let mut all = vec!["up"];
            all.extend(arguments);
            let mut command = lan.by_hand(user, &all);
            command.stdin(inside.try_clone().unwrap()).stdout(inside.try_clone().unwrap()).stderr(inside);
            let child = command.spawn().unwrap();
            // Or this process would keep the terminal open.
            drop(command);
            let keyboard = File::from(terminal);
            let mut looks = keyboard.try_clone().unwrap();
            let (seen, screen) = channel();
            #[expect(clippy::disallowed_methods, reason = "a terminal is read by a thread")]
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = looks.read(&mut buffer) {
                    if seen.send(buffer[..n].to_vec()).is_err() {
                        return;
                    }
                }
            });
            Person { keyboard, screen, shown: String::new(), read: 0, _child: child }
        }

        /// Waits for a line with these words behind what was read already, and reads up to its end.
        fn reads(&mut self, words: &str) -> String {
            loop {
                let new = &self.shown[self.read..];
                let line = new.split_inclusive('\n').scan(0, |end, line| {
                    *end += line.len();
                    Some((*end, line))
                });
                if let Some((end, line)) =
                    line.filter(|(_, line)| line.ends_with('\n')).find(|(_, line)| line.contains(words))
                {
                    let line = line.trim_end().to_owned();
                    self.read += end;
                    return line;
                }
                match self.screen.recv_timeout(PATIENCE) {
                    Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(error) => panic!("no {words:?} on the screen ({error}): {}", self.shown),
                }
            }
        }

        fn types(&mut self, line: &str) {
            self.keyboard.write_all(line.as_bytes()).unwrap();
            self.keyboard.write_all(b"\n").unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_person_is_asked_until_the_answer_is_clear() {
        let lan = Lan::new();
        let mut anna = Person::start(&lan, "anna", &["--trust", "ask"]);
        let mut ben = lan.start("ben", &[]);
        let asked = anna.reads("[y]es, [a]lways, [n]o, [b]lock");
        assert!(asked.starts_with("Let ben"), "{asked}");
        anna.types("perhaps");
        anna.reads("Let ben");
        anna.types("y");
        ben.event("peer_trusted").await;
        anna.reads("trusted");
        // For this run only.
        assert_eq!(lan.run("anna", &["decisions"]).await.1.len(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_no_is_a_no_and_the_other_side_is_told() {
        let lan = Lan::new();
        let mut anna = Person::start(&lan, "anna", &["--trust", "ask"]);
        let mut ben = lan.start("ben", &[]);
        anna.reads("Let ben");
        anna.types("no");
        let heard = ben.event("peer_rejected").await;
        assert_eq!(heard["by_us"], false);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_people_compare_a_code_and_one_of_them_blocks_who_shows_another() {
        let lan = Lan::new();
        let mut anna = Person::start(&lan, "anna", &["--trust", "code"]);
        let mut ben = Person::start(&lan, "ben", &["--trust", "code"]);
        let code = |asked: &str| asked.split(" show ").nth(1).unwrap()[..6].to_owned();
        let (left, right) = (anna.reads("Does ben"), ben.reads("Does anna"));
        assert_eq!(code(&left), code(&right));
        anna.types("yes");
        ben.types("y");
        anna.reads("trusted");
        ben.reads("trusted");
        // Who has compared a code knows who it is, from now on.
        let (_, decisions) = lan.run("anna", &["decisions"]).await;
        assert_eq!(decisions[0]["decision"], "trust");

        let mut cleo = Person::start(&lan, "cleo", &["--trust", "code"]);
        cleo.reads("Does ");
        anna.reads("Does cleo");
        anna.types("b");
        cleo.reads("blocked");
        let (_, decisions) = lan.run("anna", &["decisions"]).await;
        assert!(decisions.iter().any(|decision| decision["decision"] == "block"), "{decisions:?}");
    }
}
