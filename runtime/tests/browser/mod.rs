//! A headless Chromium, told what to do by WebDriver (<https://www.w3.org/TR/webdriver2/>) through its `chromedriver`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long the page may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an element's reference is called in answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page. Closed when dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Whether both programs are here. If not, the test is to be skipped, unless `P2PNET_REQUIRE_CHROMIUM=1`.
    pub(crate) fn is_here() -> bool {
        let runs = |program: &str| {
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok()
        };
        let is_here = runs("chromedriver") && runs("chromium");
        let is_required = std::env::var("P2PNET_REQUIRE_CHROMIUM").is_ok_and(|value| value == "1");
        assert!(is_here || !is_required, "install chromium and chromium-driver");
        is_here
    }

    pub(crate) fn start() -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let port = port.expect("chromedriver says its port");
        let mut browser = Browser { driver, port, session: String::new(), _profile: profile };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            // Nothing but loopback is asked for anything.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            &profile,
        ];
        let options = json!({"browserName": "chrome", "goog:chromeOptions": {"args": arguments}});
        let answer = browser.send("POST", "/session", &json!({"capabilities": {"alwaysMatch": options}}));
        browser.session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        browser
    }

    /// Goes to this address.
    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({"url": url}));
    }

    /// Has the page think that its window is so large, in pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What this expression of JavaScript is worth in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({"script": format!("return {expression};"), "args": []}))
    }

    /// Waits until this expression is true.
    pub(crate) fn wait(&self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({expression})")) != true {
            if Instant::now() > until {
                panic!("never true: {expression}\n{}", self.value("document.body.innerText"));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Clicks on the first element that this selector of CSS names, which a person could see.
    pub(crate) fn click(&self, selector: &str) {
        self.of_element(selector, "click", &json!({}));
    }

    /// Types a text into a field.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        self.of_element(selector, "clear", &json!({}));
        self.of_element(selector, "value", &json!({"text": text}));
    }

    /// Chooses from a list.
    pub(crate) fn choose(&self, selector: &str, option: &str) {
        self.click(&format!("{selector} option[value=\"{option}\"]"));
    }

    /// What is written in the first element that this selector names.
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// A picture of the whole page.
    pub(crate) fn picture(&self, to: &Path) {
        self.value("window.scrollTo(0, 0)");
        let what = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", &what);
        let png = BASE64.decode(picture["data"].as_str().unwrap().as_bytes()).unwrap();
        std::fs::write(to, png).unwrap();
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    fn of_element(&self, selector: &str, action: &str, what: &Value) {
        let found = self.command("POST", "/element", &json!({"using": "css selector", "value": selector}));
        let element = found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}"));
        let answer = self.command("POST", &format!("/element/{element}/{action}"), what);
        assert!(answer["error"].is_null(), "{selector}: {answer}");
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.send(method, &format!("/session/{}{path}", self.session), body)
    }

    /// One request to the driver: what its answer holds.
    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        self.exchange(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> io::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(3 * PATIENCE))?;
        let body = body.to_string();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close", self.port);
        let length = body.len();
        stream.write_all(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        let answer: Value = serde_json::from_slice(&answer)?;
        Ok(answer["value"].clone())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when the session ends, and not when it is killed.
        if !self.session.is_empty() {
            drop(self.exchange("DELETE", &format!("/session/{}", self.session), &json!({})));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
