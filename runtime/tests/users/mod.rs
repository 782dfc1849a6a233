//! Users of the `p2pnet` program on one machine, each with a data directory, on loopback.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long anything may take on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A LAN of our own on loopback, and a directory for everybody's data.
pub(crate) struct Lan {
    pub(crate) network: String,
    pub(crate) ports: String,
    pub(crate) home: TempDir,
}

/// A running node, whose events are read as they come.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Lan {
    pub(crate) fn new() -> Lan {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> =
            sockets.iter().map(|socket| socket.local_addr().unwrap().port().to_string()).collect();
        let network = format!("users-test-{}-{number}", std::process::id());
        Lan { network, ports: ports.join(","), home: tempfile::tempdir().unwrap() }
    }

    /// A path in everybody's directory; a user's name is that of its data directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program as another program calls it for the user of this data directory.
    pub(crate) fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = self.by_hand(user, arguments);
        command.arg("--json");
        command
    }

    /// The program as this user calls it.
    pub(crate) fn by_hand(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_p2pnet"));
        command.args(arguments).args(["--interface", "lo", "--network", &self.network, "--name", user]);
        command.args(["--ports", &self.ports, "--data-dir"]).arg(self.path(user));
        command.env("HOME", self.home.path()).env_remove("RUST_LOG").current_dir(self.home.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// A node of this user, until it is stopped.
    pub(crate) fn start(&self, user: &str, arguments: &[&str]) -> Running {
        let mut all = vec!["up"];
        all.extend(arguments);
        let mut child =
            self.command(user, &all).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// Runs a command to its end; gives its exit code and what it printed.
    pub(crate) async fn run(&self, user: &str, arguments: &[&str]) -> (i32, Vec<Value>) {
        let output = timeout(PATIENCE, self.command(user, arguments).output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let objects = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code().unwrap(), objects)
    }

    /// The same, with the first object only.
    pub(crate) async fn first(&self, user: &str, arguments: &[&str]) -> (i32, Value) {
        let (code, objects) = self.run(user, arguments).await;
        (code, objects.into_iter().next().unwrap_or(Value::Null))
    }

    /// The id of this user.
    pub(crate) async fn id(&self, user: &str) -> String {
        let (code, objects) = self.run(user, &["id"]).await;
        assert_eq!(code, 0);
        objects[0]["peer"].as_str().unwrap().to_owned()
    }

    /// Asks the running node of a user over its control socket; gives the last answer.
    pub(crate) async fn ask(&self, user: &str, request: &str) -> Value {
        let stream = UnixStream::connect(self.path(user).join("control.sock")).await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let mut lines = stream.lines();
        loop {
            let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
            let value: Value = serde_json::from_str(&line).unwrap();
            if value.get("done").is_some() || value.get("error").is_some() {
                return value;
            }
        }
    }
}

/// A bootstrap server that is an authority, with this data directory.
#[cfg(feature = "bootstrap-server")]
pub(crate) fn serve(listen: &str, data: &Path) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2pnet"));
    command.args(["bootstrap", "serve", "--mode", "authority", "--listen", listen, "--json", "--data"]);
    let mut child = command.arg(data).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Running { child, lines }
}

impl Running {
    /// The next event of this kind; others are skipped.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap();
                if event["event"] == kind {
                    return event;
                }
            }
            panic!("ended before {kind}");
        });
        found.await.unwrap_or_else(|_| panic!("no {kind} in {PATIENCE:?}"))
    }

    /// Ends it as Ctrl-C does.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
    }
}
