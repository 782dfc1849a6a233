//! The real `p2pnet`, started and listened to.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A real `p2pnet` that prints JSON. Killed when dropped; if that is because of a failed test, what it printed is
/// shown.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    /// Holds the program back until [`go`](Program::go).
    gate: Option<ChildStdin>,
    incoming: Receiver<Line>,
    lines: Vec<Line>,
    log: PathBuf,
}

/// A line that it printed.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// When it was read.
    pub(crate) at: Instant,
    pub(crate) value: Value,
}

impl Line {
    pub(crate) fn is(&self, event: &str) -> bool {
        self.value["event"] == event
    }

    /// Whether it tells this of the peer of this name.
    pub(crate) fn is_of(&self, event: &str, peer: &str) -> bool {
        self.is(event) && self.value["name"] == peer
    }

    /// The time since the process began, by its own clock.
    pub(crate) fn own_time(&self) -> Duration {
        Duration::from_secs_f64(self.value["t_ms"].as_f64().unwrap_or_default().max(0.0) / 1000.0)
    }
}

impl Program {
    /// A `p2pnet` with these arguments that begins as soon as [`go`](Program::go) says so: everything up to its own
    /// `exec` is done when this returns. `shell` makes the command that runs `sh`, somewhere; what the program logs
    /// goes to a file in `dir`.
    pub(crate) fn prepare(
        name: &str,
        shell: Command,
        binary: &Path,
        arguments: &[&str],
        dir: &Path,
    ) -> Program {
        fs::create_dir_all(dir).expect("the directory can be made");
        let log = dir.join(format!("{name}.log"));
        let mut command = shell;
        command
            .args(["-c", "echo '{}'; read -r go && exec \"$@\" </dev/null", "sh"])
            .arg(binary)
            .args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the log can be made"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let gate = child.stdin.take();
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, incoming) = mpsc::channel();
        thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                if sender.send(Line { at: Instant::now(), value }).is_err() {
                    return;
                }
            }
        });
        let mut program = Program { name: name.to_owned(), child, gate, incoming, lines: Vec::new(), log };
        program.wait(Duration::from_secs(20), "the shell to be there", |_| true);
        program.lines.clear();
        program
    }

    /// Lets it begin; returns when that was.
    pub(crate) fn go(&mut self) -> Instant {
        let at = Instant::now();
        if let Some(mut gate) = self.gate.take() {
            gate.write_all(b"go\n").expect("the shell waits for it");
        }
        at
    }

    /// How many lines there have been; see [`wait_after`](Program::wait_after).
    pub(crate) fn mark(&mut self) -> usize {
        self.lines.extend(self.incoming.try_iter());
        self.lines.len()
    }

    /// The first line that is `wanted`. Fails the test if there is none `within` so much time from now.
    pub(crate) fn wait(&mut self, within: Duration, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.wait_after(0, within, what, wanted)
    }

    /// Like [`wait`](Program::wait), but the first `mark` lines do not count.
    pub(crate) fn wait_after(
        &mut self,
        mark: usize,
        within: Duration,
        what: &str,
        wanted: impl Fn(&Line) -> bool,
    ) -> Line {
        let deadline = Instant::now() + within;
        let mut next = mark;
        loop {
            self.mark();
            while let Some(line) = self.lines.get(next) {
                next += 1;
                if wanted(line) {
                    return line.clone();
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(line) => self.lines.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("{} waited {within:?} for {what}", self.name),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{} ended while waiting for {what}: {:?}", self.name, self.child.wait())
                }
            }
        }
    }

    /// Whether a line after the first `mark` was `wanted` so far.
    pub(crate) fn has_printed_after(&mut self, mark: usize, wanted: impl Fn(&Line) -> bool) -> bool {
        self.mark();
        self.lines.iter().skip(mark).any(wanted)
    }

    /// Whether its log says this.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text))
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by the name that `kill` knows it by.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{} takes no signal {signal}", self.name);
    }

    /// Has it leave in peace; returns when it is gone.
    pub(crate) fn end(&mut self) {
        self.signal("TERM");
        let _ = self.child.wait();
    }

    /// `kill -9`; returns when it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            self.mark();
            eprintln!("--- {} printed", self.name);
            for line in &self.lines {
                eprintln!("{}", line.value);
            }
            eprintln!("--- {} logged\n{}", self.name, fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}
