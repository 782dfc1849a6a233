//! `p2pnet doctor` on networks that are broken on purpose: it must name exactly what was broken.
//!
//! Hosts are network namespaces on a bridge, as in `namespaces.rs`. Needs root, iproute2 and nftables; without them the
//! tests are skipped, or fail if `P2PNET_REQUIRE_NETNS=1`. Only one runs at a time.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

#[allow(dead_code, reason = "other tests use the rest")]
mod lan;
#[allow(dead_code, reason = "other tests use the rest")]
mod program;

use std::io::Write;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use lan::{Fault, Host, Lan, unavailable};
use libtest_mimic::{Arguments, Failed, Trial};
use program::Program;
use serde_json::Value;
use tempfile::TempDir;

const NEEDS: &str = "skipped: needs root, iproute2, nftables";

/// Has this very program hold a port, or send what a node of another version sends, on a host of a test.
const HOLD: &str = "--hold-udp-port";
const OTHER_VERSION: &str = "--send-other-version";

/// A broken network by name, and what the doctor on its first host must say.
const CASES: [(&str, fn()); 21] = [
    ("a_healthy_lan_is_well", healthy),
    ("broadcasts_that_the_network_drops", || {
        on_the_way(&["meta pkttype broadcast"], &["broadcast_filtered"])
    }),
    ("multicasts_that_the_network_drops", || on_the_way(&["ip daddr 224.0.0.0/4"], &["multicast_filtered"])),
    ("broadcasts_and_multicasts_that_the_network_drops_with_a_given_peer", both_filtered),
    ("broadcasts_that_this_host_drops", || here(Fault::Broadcasts, "broadcast_filtered")),
    ("multicasts_that_this_host_drops", || here(Fault::Multicasts, "multicast_filtered")),
    ("a_firewall_on_this_host", || here(Fault::Inbound, "inbound_closed")),
    ("broadcasts_that_this_host_may_not_send", || here(Fault::BroadcastsOut, "outbound_blocked")),
    ("a_firewall_at_the_peer", firewall_there),
    ("an_access_point_that_isolates_its_clients", isolated),
    ("a_port_that_another_program_holds", port_taken),
    ("all_ports_that_other_programs_hold", all_ports_taken),
    ("another_network_name", || elsewhere(&["--network", "elsewhere"])),
    ("another_secret", another_secret),
    ("another_version", another_version),
    ("a_vpn_that_owns_the_route", vpn),
    ("a_bridge_to_containers_only", container_bridge),
    ("no_interface_that_is_up", no_interface),
    ("a_given_address_where_nobody_is", nobody_there),
    ("a_given_port_where_nothing_listens", nothing_listens),
    ("a_firewall_on_loopback", loopback_firewall),
];

fn healthy() {
    let lan = Lan::new(2);
    let dir = directory();
    let (_node, _) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    let said = doctor(&lan.hosts()[0], dir.path(), &[]);
    said.is(&[]);
    let findings = &said.findings;
    assert_eq!(findings["peers"][0]["why"]["level"], "trusted", "{findings}");
    for rung in ["directed_broadcast", "ipv4_multicast"] {
        let heard_us = findings["peers"][0]["why"]["heard_us"].as_array().unwrap();
        assert!(heard_us.iter().any(|heard| heard == rung), "{rung}: {findings}");
    }
}

/// Each host hears itself and not the others, as if a switch dropped it.
fn on_the_way(what: &[&str], expected: &[&str]) {
    let lan = Lan::new(2);
    let dir = directory();
    for host in lan.hosts() {
        drop_of_others(host, what);
    }
    let (_node, _) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    doctor(&lan.hosts()[0], dir.path(), &[]).is(expected);
    assert!(lan.hosts().iter().all(|host| host.dropped() > 0), "nothing was dropped");
}

fn both_filtered() {
    let lan = Lan::new(2);
    let dir = directory();
    for host in lan.hosts() {
        drop_of_others(host, &["meta pkttype broadcast", "ip daddr 224.0.0.0/4"]);
        nft(host, "add rule inet p2pnet input ip6 daddr ff12::/16 drop");
    }
    let (_node, port) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    let there = lan.hosts()[1].at(port).to_string();
    let said = doctor(&lan.hosts()[0], dir.path(), &["--peer", &there]);
    said.is(&["broadcast_filtered", "multicast_filtered"]);
}

/// Something is wrong with the host that asks; the other one is healthy.
fn here(fault: Fault, expected: &str) {
    let lan = Lan::new(2);
    let dir = directory();
    lan.hosts()[0].drop_packets(fault);
    let (_node, _) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    let said = doctor(&lan.hosts()[0], dir.path(), &[]);
    said.is(&[expected]);
    said.sentence_has("This host");
    assert!(lan.hosts()[0].dropped() > 0, "nothing was dropped");
}

fn firewall_there() {
    let lan = Lan::new(2);
    let dir = directory();
    lan.hosts()[1].drop_packets(Fault::Inbound);
    let (_node, _) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    let said = doctor(&lan.hosts()[0], dir.path(), &[]);
    said.is(&["peer_inbound_closed"]);
    said.sentence_has("b (");
    assert!(lan.hosts()[1].dropped() > 0, "nothing was dropped");
}

/// As the network of a hotel: guests reach the router and not each other.
fn isolated() {
    let lan = Lan::new(3);
    let dir = directory();
    lan.isolate(&[1, 2], true);
    ip(&lan.hosts()[0], "route add default via 10.77.0.3");
    let (_node, port) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    let there = lan.hosts()[1].at(port).to_string();
    doctor(&lan.hosts()[0], dir.path(), &["--peer", &there]).is(&["ap_isolation"]);
}

fn port_taken() {
    let lan = Lan::new(2);
    let dir = directory();
    let _holder = helper(&lan.hosts()[0], &[HOLD, "8002"]);
    let (_node, _) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    let said = doctor(&lan.hosts()[0], dir.path(), &[]);
    said.is(&["port_taken"]);
    said.sentence_has("8002");
}

/// Then there is not even a node to ask.
fn all_ports_taken() {
    let lan = Lan::new(1);
    let dir = directory();
    let _holders: Vec<_> =
        ["8001", "8002", "8003"].into_iter().map(|port| helper(&lan.hosts()[0], &[HOLD, port])).collect();
    doctor(&lan.hosts()[0], dir.path(), &[]).is(&["port_taken", "port_taken", "port_taken"]);
}

fn elsewhere(options: &[&str]) {
    let lan = Lan::new(2);
    let dir = directory();
    let (_node, _) = node(&lan.hosts()[1], "b", dir.path(), options);
    let said = doctor(&lan.hosts()[0], dir.path(), &[]);
    said.is(&["other_network"]);
    said.sentence_has("10.77.0.2");
}

fn another_secret() {
    let dir = directory();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "correct horse battery staple\n").expect("it can be written");
    elsewhere(&["--secret-file", secret.to_str().expect("a plain name")]);
}

fn another_version() {
    let lan = Lan::new(2);
    let dir = directory();
    let _other = helper(&lan.hosts()[1], &[OTHER_VERSION, "10.77.0.255:8001"]);
    let said = doctor(&lan.hosts()[0], dir.path(), &[]);
    said.is(&["other_version"]);
    said.sentence_has("speaks version 77");
}

fn vpn() {
    let lan = Lan::new(2);
    let dir = directory();
    let host = &lan.hosts()[0];
    // A tunnel by its name; where it ends is of no interest.
    ip(host, "link add tun0 type veth peer name far");
    ip(host, "link set far up");
    ip(host, "address add 10.8.0.2/24 dev tun0");
    ip(host, "link set tun0 up");
    ip(host, "route add 10.77.0.0/25 dev tun0");
    let (_node, port) = node(&lan.hosts()[1], "b", dir.path(), &[]);
    let there = lan.hosts()[1].at(port).to_string();
    let said = doctor(host, dir.path(), &["--peer", &there]);
    said.is(&["vpn_owns_route"]);
    said.sentence_has("tun0");
}

fn container_bridge() {
    let lan = Lan::new(1);
    let dir = directory();
    let host = &lan.hosts()[0];
    ip(host, "link add docker0 type bridge forward_delay 0 stp_state 0");
    ip(host, "link add veth1 type veth peer name cni-far");
    ip(host, "link set veth1 master docker0 up");
    ip(host, "link set cni-far up");
    ip(host, "address add 172.17.0.1/16 broadcast + dev docker0");
    ip(host, "link set docker0 up");
    ip(host, "link set eth0 down");
    doctor(host, dir.path(), &[]).is(&["container_bridge"]);
}

fn no_interface() {
    let lan = Lan::new(1);
    let dir = directory();
    lan.hosts()[0].set_interface(false);
    doctor(&lan.hosts()[0], dir.path(), &[]).is(&["no_interface"]);
}

fn nobody_there() {
    let lan = Lan::new(1);
    let dir = directory();
    doctor(&lan.hosts()[0], dir.path(), &[]).is(&["nobody_heard"]);
    doctor(&lan.hosts()[0], dir.path(), &["--peer", "10.77.0.99:8123"]).is(&["host_silent"]);
}

fn nothing_listens() {
    let lan = Lan::new(2);
    let dir = directory();
    let there = lan.hosts()[1].at(8123).to_string();
    doctor(&lan.hosts()[0], dir.path(), &["--peer", &there]).is(&["nothing_listens"]);
}

fn loopback_firewall() {
    let lan = Lan::new(1);
    let dir = directory();
    let host = &lan.hosts()[0];
    doctor(host, dir.path(), &["--interface", "lo"]).is(&[]);
    nft(host, "add table inet p2pnet");
    nft(host, "add chain inet p2pnet input { type filter hook input priority 0; }");
    nft(host, "add rule inet p2pnet input iifname lo udp dport 8001-8003 drop");
    doctor(host, dir.path(), &["--interface", "lo"]).is(&["inbound_closed"]);
}

/// What the doctor said.
struct Said {
    findings: Value,
    diagnoses: Vec<Value>,
    code: Option<i32>,
    all: String,
}

impl Said {
    /// These are the causes that keep peers from meeting, and the exit code says whether there are any.
    fn is(&self, expected: &[&str]) {
        let problems = self.diagnoses.iter().filter(|line| line["diagnosis"]["severity"] == "problem");
        let mut causes: Vec<_> =
            problems.map(|line| line["cause"].as_str().unwrap_or_default().to_owned()).collect();
        causes.sort();
        assert_eq!(causes, expected, "{}", self.all);
        assert_eq!(self.code, Some(if expected.is_empty() { 0 } else { 3 }), "{}", self.all);
        for line in &self.diagnoses {
            assert!(
                !line["diagnosis"]["remedy"].as_str().unwrap_or_default().is_empty(),
                "no remedy: {line}"
            );
        }
    }

    fn sentence_has(&self, words: &str) {
        let sentence = self.diagnoses[0]["diagnosis"]["sentence"].as_str().unwrap_or_default();
        assert!(sentence.contains(words), "{sentence}");
    }
}

/// Runs the doctor on a host, to its end.
fn doctor(host: &Host, dir: &Path, options: &[&str]) -> Said {
    let mut command = host.command(env!("CARGO_BIN_EXE_p2pnet"));
    command.args(["doctor", "--json", "--for", "5s", "--name", "a", "--data-dir"]).arg(dir.join("doctor"));
    let output = command.args(options).output().expect("it can be run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();
    Said {
        findings: of("findings").first().map(|line| line["findings"].clone()).unwrap_or_default(),
        diagnoses: of("diagnosis"),
        code: output.status.code(),
        all: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// A node that is there, and its port.
fn node(host: &Host, name: &str, dir: &Path, options: &[&str]) -> (Program, u16) {
    let data_dir = dir.join(name);
    let data_dir = data_dir.to_str().expect("temporary directories have plain names");
    // If this process is killed, nobody else ends it.
    let mut arguments = vec!["up", "--json", "--name", name, "--data-dir", data_dir, "--for", "2m"];
    arguments.extend(options);
    let binary = Path::new(env!("CARGO_BIN_EXE_p2pnet"));
    let mut program = Program::prepare(name, host.command("sh"), binary, &arguments, dir);
    program.go();
    let line = program.wait(Duration::from_secs(20), "it to listen", |line| line.is("listening"));
    let port = line.value["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    (program, port.expect("it tells its port"))
}

/// Drops what comes from others, and counts it.
fn drop_of_others(host: &Host, what: &[&str]) {
    nft(host, "add table inet p2pnet");
    nft(host, "add counter inet p2pnet dropped");
    nft(host, "add chain inet p2pnet input { type filter hook input priority 0; }");
    let own = host.at(0).ip();
    for what in what {
        let rule = format!(
            "add rule inet p2pnet input iifname eth0 ip saddr != {own} {what} counter name dropped drop"
        );
        nft(host, &rule);
    }
}

fn nft(host: &Host, rule: &str) {
    let mut nft = host.command("nft");
    let mut child = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft runs");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(format!("{rule}\n").as_bytes()).expect("nft reads");
    drop(input);
    assert!(child.wait().expect("it ends").success(), "nft {rule}");
}

fn ip(host: &Host, arguments: &str) {
    let done = host.command("ip").args(arguments.split_whitespace()).status().expect("ip runs");
    assert!(done.success(), "ip {arguments}");
}

fn directory() -> TempDir {
    TempDir::new().expect("there is room for temporary files")
}

/// This program on a host, doing something else; ended when dropped.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn helper(host: &Host, arguments: &[&str]) -> Helper {
    let this = std::env::current_exe().expect("it has a path");
    let mut command: Command = host.command(this.to_str().expect("a plain name"));
    let mut child =
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it can be run");
    let mut ready = [0; 1];
    let mut stdout = child.stdout.take().expect("it is piped");
    std::io::Read::read_exact(&mut stdout, &mut ready).expect("it says when it is ready");
    Helper(child)
}

/// What a [`helper`] does; it ends by itself if nobody ends it.
fn help(arguments: &[String]) {
    match arguments {
        [what, port] if what == HOLD => {
            let port: u16 = port.parse().expect("a port");
            let _socket = UdpSocket::bind(("0.0.0.0", port)).expect("the port is free");
            println!("+");
            std::thread::sleep(Duration::from_secs(60));
        }
        [what, address] if what == OTHER_VERSION => {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
            socket.set_broadcast(true).expect("it may");
            let mut datagram = vec![0x5a; 768];
            datagram[..5].copy_from_slice(b"p2pb\x4d");
            println!("+");
            for _ in 0..120 {
                socket.send_to(&datagram, address).expect("it is sent");
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        _ => panic!("not a helper's arguments: {arguments:?}"),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == HOLD || first == OTHER_VERSION) {
        help(&arguments);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // They wait for a second in which they compute for a fiftieth of it.
    arguments.test_threads = Some(8);
    let obstacle = if arguments.list { None } else { unavailable() };
    let required = std::env::var_os("P2PNET_REQUIRE_NETNS").is_some_and(|value| value == "1");
    let trials = CASES.iter().map(|&(name, run)| match obstacle.clone() {
        None => Trial::test(name, move || {
            run();
            Ok(())
        }),
        Some(obstacle) if required => {
            Trial::test(name, move || Err(Failed::from(format!("{NEEDS} ({obstacle})"))))
        }
        Some(_) => Trial::test(name, || Ok(())).with_kind(NEEDS).with_ignored_flag(true),
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
