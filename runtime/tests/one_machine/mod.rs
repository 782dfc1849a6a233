//! The `p2pnet` program, started for one user of one machine: a home directory, loopback, real signals.
//!
//! Each test has a network name, ports and a home directory of its own, so that all run at once.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long anything may take on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A LAN of our own on loopback, and a home directory.
pub(crate) struct Lan {
    pub(crate) network: String,
    pub(crate) ports: Vec<u16>,
    pub(crate) home: TempDir,
}

impl Lan {
    pub(crate) fn new() -> Lan {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let sockets: Vec<_> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let ports = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let network = format!("cli-test-{}-{number}", std::process::id());
        Lan { network, ports, home: tempfile::tempdir().unwrap() }
    }

    /// A path in the home directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file of so many bytes that nobody else has.
    pub(crate) fn file(&self, name: &str, length: usize) -> PathBuf {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_derive_key(&self.network).update(name.as_bytes()).finalize_xof().fill(&mut bytes);
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The program with these arguments and nothing else.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
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
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
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
    pub(crate) fn beside(&self, directory: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--data-dir").arg(self.path(directory));
        command
    }

    /// A running node by this name, with a data directory of that name.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Program {
        let mut command = self.command(arguments);
        command.args(["--name", name, "--data-dir"]).arg(self.path(&format!("{name}.data")));
        Program::start(command)
    }
}

/// A running program, whose events are read as they come.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Program {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Program { child, lines }
    }

    /// The next event of this kind; others are skipped.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        self.event_where(kind, |_| true).await
    }

    /// The next event of this kind that is as wanted; others are skipped.
    pub(crate) async fn event_where(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().expect("still running").to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The exit code, when it has ended.
    pub(crate) async fn code(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }

    /// All of standard error.
    pub(crate) async fn errors(&mut self) -> String {
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = timeout(PATIENCE, stderr.read_to_string(&mut errors)).await;
        }
        errors
    }
}

pub(crate) async fn finished(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("it ends").unwrap()
}

/// What it said on standard error, which must be a single line.
pub(crate) fn one_line(output: &Output) -> String {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    errors.trim_end().to_owned()
}

pub(crate) fn hash_of(path: &Path) -> String {
    blake3::hash(&fs::read(path).unwrap()).to_string()
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
