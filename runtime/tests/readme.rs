//! The README's page about two machines in two networks, run as it stands there.
//!
//! Needs root, iproute2, nftables and coturn; without them nothing is tried, or the test fails if `P2PNET_REQUIRE_NETNS=1`
//! and, for coturn, `P2PNET_REQUIRE_COTURN`.
#![cfg(feature = "bootstrap-server")]
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "homes/net.rs"]
mod net;

#[allow(dead_code, reason = "other tests use the rest")]
mod lan;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use net::{Homes, public, wait_for_listener};

const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The commands of a section, a block each.
fn commands(section: &str) -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let section = readme.split(&format!("\n## {section}\n")).nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().trim().to_owned()).collect()
}

/// Runs a command of the README by a shell that knows `p2pnet`.
fn start(mut shell: Command, command: &str, folder: &Path) -> Killed {
    fs::create_dir_all(folder).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_p2pnet")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    shell.args(["-c", &format!("exec {command}")]).env("PATH", path).env("HOME", folder);
    shell.env_remove("XDG_DATA_HOME").current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    Killed(shell.spawn().unwrap_or_else(|error| panic!("{command} does not start: {error}")))
}

fn ended_well(process: &mut Killed, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.0.try_wait().unwrap() {
            assert!(status.success(), "{what} ended with {status}");
            return;
        }
        assert!(Instant::now() < deadline, "{what} has not ended");
        sleep(Duration::from_millis(20));
    }
}

/// Whether this can be tried here.
fn possible() -> bool {
    let required = |name: &str| std::env::var_os(name).is_some_and(|value| value == "1");
    if let Some(obstacle) = lan::unavailable() {
        assert!(!required("P2PNET_REQUIRE_NETNS"), "{obstacle}");
        eprintln!("skipped: {obstacle}");
        return false;
    }
    let coturn =
        Command::new("turnserver").arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if coturn.is_err() {
        assert!(!required("P2PNET_REQUIRE_COTURN"), "coturn is not installed");
        eprintln!("skipped: coturn is not installed");
        return false;
    }
    true
}

#[test]
fn two_machines_in_two_networks_as_the_readme_says() {
    if !possible() {
        return;
    }
    let commands = commands("Two machines in two networks");
    // What comes behind these, tasks, is tried by tests of its own.
    let [serve, relay, secret, receive, send, ..] = &commands[..] else {
        panic!("five commands first, not {commands:#?}");
    };
    let homes = Homes::new().unwrap_or_else(|error| panic!("no homes: {error}"));
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let at = |name: &str| dir.path().join(name);
    let server = start(homes.in_public("sh"), serve, &at("server"));
    let relay = start(homes.in_public("sh"), relay, &at("relay"));
    wait_for_listener(server.0.id(), public(8010));
    wait_for_listener(relay.0.id(), public(3478));

    ended_well(&mut start(homes.at_home(1, "sh"), secret, &at("anna")), secret);
    fs::create_dir_all(at("ben")).unwrap();
    fs::copy(at("anna").join("ours.secret"), at("ben").join("ours.secret")).unwrap();
    let mut photo = vec![0; 3 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut photo);
    fs::write(at("ben").join("photo.jpg"), &photo).unwrap();
    let mut anna = start(homes.at_home(1, "sh"), receive, &at("anna"));
    let mut ben = start(homes.at_home(2, "sh"), send, &at("ben"));
    ended_well(&mut ben, send);
    ended_well(&mut anna, receive);
    assert!(fs::read(at("anna").join("incoming/photo.jpg")).unwrap() == photo, "another photo came");
}
