//! A real TURN server, coturn, on loopback.

#![allow(dead_code)]

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "pw";

/// A server that is killed, by its process id, when this is dropped.
pub(crate) struct Coturn {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Coturn {
    /// A server with these further options; `None`, with a line that says so, where coturn is not installed.
    pub(crate) fn start(options: &[&str]) -> Option<Coturn> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Coturn::start_at(address, Command::new("turnserver"), options)
    }

    /// The same at an address of the host where this command runs `turnserver`.
    pub(crate) fn start_at(address: SocketAddr, mut command: Command, options: &[&str]) -> Option<Coturn> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (ip, port) = (address.ip().to_string(), address.port());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("p2pnet-coturn-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // The system takes ports of its own from 32768 on.
        let first = 20_000 + u32::from(port % 100) * 100;
        let child = command
            .args(["-n", "--no-cli", "--cli-password", "x", "--listening-ip", &ip, "--relay-ip", &ip])
            .args(["--allow-loopback-peers", "--lt-cred-mech", "-r", "sim.test", "--no-tls", "--no-dtls"])
            .args(["--log-file", "stdout", "--simple-log", "--user", &format!("{USER}:{PASSWORD}")])
            .args(["--listening-port", &port.to_string()])
            .args(["--min-port", &first.to_string(), "--max-port", &(first + 99).to_string()])
            .arg("--userdb")
            .arg(folder.join("users"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                assert!(
                    std::env::var_os("P2PNET_REQUIRE_COTURN").is_none(),
                    "turnserver does not start: {error}"
                );
                eprintln!("skipped: coturn's turnserver is not installed ({error})");
                return None;
            }
        };
        let server = Coturn { address, child, folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !server.listens() {
            assert!(Instant::now() < deadline, "coturn does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// Whether it listens, as its own host sees it.
    fn listens(&self) -> bool {
        let sockets =
            std::fs::read_to_string(format!("/proc/{}/net/tcp", self.child.id())).unwrap_or_default();
        let port = format!(":{:04X}", self.address.port());
        let is_it = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            // The local address, the other one, the state: 0A listens.
            words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("0A")
        };
        sockets.lines().any(is_it)
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
