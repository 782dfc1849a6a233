//! The bootstrap server's dashboard in a real browser, with a real server and a real node, on loopback.
//!
//! Skipped without Debian's `chromium` and `chromium-driver`, or fails if `P2PNET_REQUIRE_CHROMIUM=1`. With
//! `P2PNET_SCREENSHOTS=DIR` what the page looks like is kept there.

#![cfg(all(unix, feature = "bootstrap-server"))]

mod browser;
mod serving;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use browser::Browser;
use data_encoding::BASE64;
use p2pnet_engine::{NetworkTask, RecordKind, TaskKind, TaskOutcome, TaskReport};
use serde_json::{Value, json};
use serving::{Server, authority_key, identity, named};

/// A row of the peers' table that has all of these texts.
fn row(table: &str, texts: &[&str]) -> String {
    format!(
        "[...document.querySelectorAll('#{table} tbody tr')].some(row => {}.every(text => row.innerText.includes(text)))",
        json!(texts)
    )
}

fn log_in(browser: &Browser, token: &str) {
    browser.wait("document.querySelector('#login').offsetParent");
    browser.type_into("#token", token);
    browser.click("#login-form button");
}

/// Nothing is wider than the window, at a desk and in a hand; a picture of each, if pictures are wanted.
fn fits(browser: &Browser, name: &str) {
    for (size, width, height) in [("desktop", 1280, 800), ("phone", 390, 844)] {
        browser.resize(width, height);
        browser.wait(&format!("innerWidth === {width}"));
        // Too wide for the window, or for what it is in.
        let wide = browser.value(
            "[...document.querySelectorAll('body *:not(input, option)')].filter(e => e.getClientRects().length && \
             (e.getBoundingClientRect().right > innerWidth + 1 || e.clientWidth > 0 && e.scrollWidth > e.clientWidth \
             + 1)).map(e => `${e.tagName} ${e.id} ${e.textContent.slice(0, 40)}`)",
        );
        assert_eq!(wide, json!([]), "{name} {size}");
        assert_eq!(
            browser.value("document.documentElement.scrollWidth <= innerWidth"),
            true,
            "{name} {size}"
        );
        if let Ok(directory) = std::env::var("P2PNET_SCREENSHOTS") {
            browser.picture(&Path::new(&directory).join(format!("{name}-{size}.png")));
        }
    }
    browser.resize(1280, 800);
}

/// A `p2pnet up`. Killed when dropped.
struct Node(Child);

impl Node {
    fn start(server: &Server, data: &Path) -> Node {
        let url = format!("http://{}", server.address);
        let node = Command::new(env!("CARGO_BIN_EXE_p2pnet"))
            .args([
                "up",
                "--interface",
                "lo",
                "--name",
                "dora",
                "--network",
                "dashboard",
                "--bootstrap",
                &url,
            ])
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Node(node.unwrap())
    }

    /// As Ctrl-C does.
    fn leave(&mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_operator_sees_who_comes_and_goes_and_issues_tasks_and_certificates() {
    if !Browser::is_here() {
        println!("skipped: chromium and chromium-driver are not installed");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::with(data.path(), &["--mode", "authority", "--dashboard", "127.0.0.1:0"]);
    let token = std::fs::read_to_string(data.path().join("operator.token")).unwrap();
    let authority = authority_key(data.path());
    let browser = Browser::start();
    browser.resize(1280, 800);
    browser.open(server.dashboard.as_ref().unwrap());

    log_in(&browser, "p2pnet-operator-wrong");
    browser.wait("document.querySelector('#login-error').innerText === \"this is not the operator's token\"");
    fits(&browser, "login");
    log_in(&browser, token.trim());
    browser.wait("document.querySelector('#peers-empty').offsetParent");
    assert_eq!((browser.text("#mode"), browser.text("#state")), ("authority".into(), "ok".into()));
    assert!(browser.text("#authority").contains(&authority.peer_id().to_string()));

    // Who announces itself is there without the page being loaded anew, and who was told of whom is a line.
    browser.value("window.isOld = true");
    for (number, name) in [(1, "anna"), (2, "ben"), (3, "carl <b>bold</b>")] {
        server.tell(&named(number, name, RecordKind::Alive), 64, &[]);
    }
    let node_data = tempfile::tempdir().unwrap();
    let mut node = Node::start(&server, node_data.path());
    for name in ["anna", "ben", "carl <b>bold</b>", "dora"] {
        browser.wait(&row("peers", &[name, "alive"]));
    }
    assert_eq!(browser.text("#count-alive"), "4");
    assert_eq!(browser.value("document.querySelectorAll('#map circle').length"), 4);
    assert_eq!(browser.value("document.querySelectorAll('#map line').length"), 3);
    browser.click("#map g[aria-label^=carl] circle");
    assert!(browser.text("#map-chosen").ends_with(": 2 introductions"), "{}", browser.text("#map-chosen"));
    assert_eq!(browser.value("document.querySelectorAll('#map line.chosen').length"), 2);

    // And who leaves is gone.
    node.leave();
    browser.wait(&row("peers", &["dora", "gone"]));
    browser.wait(&row("log", &["left"]));
    assert_eq!(browser.text("#count-alive"), "3");

    let kinds = browser.value("[...document.querySelector('#task-form select').options].map(o => o.value)");
    assert_eq!(kinds.as_array().unwrap().len(), 20);
    browser.type_into("#task-form [name=network]", "0707070707070707");
    browser.choose("#task-form [name=kind]", "set-identifier");
    browser.type_into("#task-form [name=name]", "till");
    browser.click("#task-form button");
    browser.wait(&row("tasks", &["set-identifier", "name till", "everybody"]));
    assert!(browser.text("#task-form .outcome").starts_with("Issued as "));
    report(&server, &authority.peer_id().to_string());
    browser.wait(&row("reports", &["anna", "set-identifier", "done"]));
    browser.wait("document.querySelector('#tasks tbody td:nth-child(4)').innerText === '1'");
    // The server's refusal is shown as it is.
    browser.choose("#task-form [name=kind]", "block-address");
    browser.type_into("#task-form [name=address]", "here");
    browser.click("#task-form button");
    browser.wait(
        "document.querySelector('#task-form .outcome.bad').innerText === '`address` is not an IP address'",
    );

    browser.type_into("#certificate-form [name=network]", "0707070707070707");
    browser.type_into("#certificate-form [name=subject]", &identity(2).peer_id().to_string());
    browser.type_into("#certificate-form [name=capabilities]", "print scan");
    browser.click("#certificate-form button");
    browser.wait(&row("certificates", &["print scan", "never", &identity(2).peer_id().to_string()]));
    assert!(browser.text("#certificate-form .outcome").contains("\ncertificate "));
    for what in ["started", "login", "joined", "left", "task", "report", "issued"] {
        browser.wait(&row("log", &[what]));
    }
    assert_eq!(browser.value("window.isOld"), true, "the page was loaded anew");
    assert_eq!(browser.value("document.querySelectorAll('b b, td b, text b').length"), 0, "markup of a peer");
    fits(&browser, "board");

    browser.click("#logout");
    browser.wait(
        "document.querySelector('#login').offsetParent && !document.querySelector('#board').offsetParent",
    );
    assert_eq!(browser.text("#login-error"), "");
    expires(&browser);
}

/// Peer 1 comes by for its task, and says that it did it.
fn report(server: &Server, authority: &str) {
    let record = named(1, "anna", RecordKind::Alive);
    let answer: Value = server.tell(&record, 0, &[]);
    assert_eq!(answer["authority"], authority);
    let bytes = BASE64.decode(answer["tasks"][0].as_str().unwrap().as_bytes()).unwrap();
    let task = NetworkTask::parse(&bytes).unwrap();
    assert!(task.is_signed() && task.kind() == &TaskKind::SetIdentifier { name: "till".into() });
    let signed = TaskReport::sign(&identity(1), [7; 8], task.id(), TaskOutcome::Done);
    server.tell(&record, 0, &[BASE64.encode(&signed.to_bytes())]);
}

/// A login ends after its time, and the page says so.
fn expires(browser: &Browser) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::with(data.path(), &["--dashboard", "127.0.0.1:0", "--dashboard-session", "1s"]);
    let token = std::fs::read_to_string(data.path().join("operator.token")).unwrap();
    browser.open(server.dashboard.as_ref().unwrap());
    log_in(browser, token.trim());
    browser.wait("document.querySelector('#authority').innerText.includes('trustless')");
    browser
        .wait("document.querySelector('#login-error').innerText === 'Your session is over. Log in again.'");
    assert_eq!(browser.value("document.querySelector('#board').offsetParent"), Value::Null);
}
