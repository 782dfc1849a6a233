//! The real program searches a /64 behind a router, in network namespaces: who is found, and what the kernel counted.
//!
//! Needs root, iproute2 and nftables; without them it is skipped, or fails if `P2PNET_REQUIRE_NETNS=1`.
#![expect(clippy::disallowed_methods, reason = "real processes take real time")]

#[allow(dead_code, reason = "another test uses the rest")]
mod lan;
#[allow(dead_code, reason = "another test uses the rest")]
mod program;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use lan::{Host, Lan, unavailable};
use libtest_mimic::{Arguments, Failed, Trial};
use program::Program;
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_p2pnet");

/// Where is searched, and who is there: the last one does not let itself be found.
const PREFIX: &str = "2001:db8:77:1::/64";
const PEERS: [(&str, &str); 6] = [
    ("low", "2001:db8:77:1::53"),
    ("card", "2001:db8:77:1:5054:ff:fe12:3456"),
    ("ipv4", "2001:db8:77:1:192:0:2:9"),
    ("hex", "2001:db8:77:1::c000:20a"),
    ("word", "2001:db8:77:1::dead:beef"),
    ("hidden", "2001:db8:77:1::54"),
];
const HIDDEN: &str = "hidden";

/// Datagrams a second and in all. The limit is above what all patterns but the largest have.
const RATE: u32 = 200;
const MAX: u32 = 1_000;

/// Runs a script on a host and gives what it printed.
fn script(host: &Host, text: &str) -> String {
    let output = host.command("sh").args(["-ec", text]).output().expect("there is a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A link with the scanner and a router, and one with the router and the peers.
fn two_links() -> (Lan, Lan) {
    let (here, there) = (Lan::new(2), Lan::second(11..=16));
    let [scanner, router] = here.hosts() else { panic!("two hosts") };
    there.attach(router, "eth1", 1);
    script(
        router,
        "ip address add 2001:db8:77::1/64 dev eth0 nodad
         ip address add 2001:db8:77:1:ffff::1/64 dev eth1 nodad
         echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
    );
    script(
        scanner,
        "ip address add 2001:db8:77::5/64 dev eth0 nodad; ip route add default via 2001:db8:77::1 dev eth0",
    );
    for (host, (_, address)) in there.hosts().iter().zip(PEERS) {
        let route = "ip route add default via 2001:db8:77:1:ffff::1 dev eth0";
        script(host, &format!("ip address add {address}/64 dev eth0 nodad; {route}"));
    }
    // Nobody is told of by another.
    there.isolate(&[11, 12, 13, 14, 15, 16], true);
    (here, there)
}

/// Has a host count what it sends to the anchor port: inside the prefix, what of that is above the rate, to other global
/// addresses, and to what is on the stop list.
fn count(host: &Host) {
    script(
        host,
        &format!(
            "nft -f - <<'END'
             table inet counted {{
                 counter inside {{ }}
                 counter above {{ }}
                 counter outside {{ }}
                 counter stopped {{ }}
                 chain output {{
                     type filter hook output priority 0; policy accept;
                     udp dport 8001 ip6 daddr {PREFIX} counter name inside
                     udp dport 8001 ip6 daddr {PREFIX} limit rate over {RATE}/second burst 10 packets counter name above
                     meta l4proto udp ip6 daddr 2000::/3 ip6 daddr != {PREFIX} counter name outside
                     ip6 daddr 2001:db8:77:1::80/121 counter name stopped
                 }}
             }}
END"
        ),
    );
}

fn counted(host: &Host, counter: &str) -> u64 {
    let text = script(host, &format!("nft list counter inet counted {counter}"));
    let packets = text.split_whitespace().skip_while(|&word| word != "packets").nth(1);
    packets.and_then(|packets| packets.parse().ok()).expect("nft prints `packets N bytes M`")
}

fn peers(there: &Lan, dir: &Path) -> Vec<Program> {
    let mut programs = Vec::new();
    for (host, (name, _)) in there.hosts().iter().zip(PEERS) {
        let data_dir = dir.join(name);
        let data_dir = data_dir.to_str().expect("temporary directories have plain names");
        let mut arguments = vec!["up", "--json", "--name", name, "--data-dir", data_dir, "--for", "2m", "-v"];
        if name != HIDDEN {
            arguments.push("--answer-widescan");
        }
        let mut program = Program::prepare(name, host.command("sh"), Path::new(BINARY), &arguments, dir);
        program.go();
        program.wait(Duration::from_secs(10), "its port", |line| line.is("listening"));
        programs.push(program);
    }
    programs
}

fn a_search_finds_who_lets_itself_be_found_and_keeps_to_its_prefix_and_rate() {
    let dir = tempfile::tempdir().expect("there is room for a directory");
    let (here, there) = two_links();
    let scanner = &here.hosts()[0];
    count(scanner);
    let hidden = there.hosts().last().expect("the hidden one is the last");
    script(
        hidden,
        "nft -f - <<'END'
         table inet counted {
             counter asked { }
             counter answered { }
             chain input {
                 type filter hook input priority 0; policy accept;
                 udp dport 8001 ip6 saddr 2001:db8:77::5 counter name asked
             }
             chain output {
                 type filter hook output priority 0; policy accept;
                 meta l4proto { tcp, udp } ip6 daddr 2001:db8:77::5 counter name answered
             }
         }
END",
    );
    let mut programs = peers(&there, dir.path());
    let stop_list = dir.path().join("stop.txt");
    std::fs::write(&stop_list, "2001:db8:77:1::80/121 # half of the low numbers\n").expect("there is room");
    let (rate, max) = (RATE.to_string(), MAX.to_string());
    let output = scanner
        .command(BINARY)
        .args([
            "widescan",
            PREFIX,
            "--yes",
            "--json",
            "--rate",
            &rate,
            "--max",
            &max,
            "--vendor",
            "52:54:00:12:34",
        ])
        .args(["--ipv4", "192.0.2.0/28", "--name", "scanner", "--stop-list"])
        .arg(&stop_list)
        .arg("--data-dir")
        .arg(dir.path().join("scanner"))
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);

    let wanted: BTreeSet<&str> = PEERS.iter().map(|(name, _)| *name).filter(|name| *name != HIDDEN).collect();
    let trusted: BTreeSet<&str> = of("peer_trusted").filter_map(|line| line["name"].as_str()).collect();
    assert_eq!(trusted, wanted, "{text}");
    let found: BTreeSet<String> = of("widescan_found")
        .filter_map(|line| line["addr"].as_str()?.parse::<std::net::SocketAddr>().ok())
        .map(|addr| addr.ip().to_string())
        .collect();
    let there_are: BTreeSet<String> =
        PEERS.iter().filter(|(name, _)| *name != HIDDEN).map(|(_, address)| (*address).to_owned()).collect();
    assert_eq!(found, there_are);
    let (asked, answered) = (counted(hidden, "asked"), counted(hidden, "answered"));
    assert_eq!((asked, answered), (1, 0), "it is asked, and says nothing");
    let program = programs.last_mut().expect("the hidden one is the last");
    assert!(!program.has_printed_after(0, |line| line.is("peer_connected")));

    let ended = of("widescan_ended").next().expect("it ends");
    let sent = ended["sent"].as_u64().expect("a number");
    assert_eq!(
        (counted(scanner, "inside"), sent),
        (u64::from(MAX), u64::from(MAX)),
        "each was sent, and no other"
    );
    assert_eq!(counted(scanner, "above"), 0, "never above the rate");
    assert_eq!(counted(scanner, "stopped"), 0, "nothing to the stop list");
    assert_eq!(counted(scanner, "outside"), 0, "nothing beyond the prefix");
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let name = "a_search_finds_who_lets_itself_be_found_and_keeps_to_its_prefix_and_rate";
    let required = std::env::var_os("P2PNET_REQUIRE_NETNS").is_some_and(|value| value == "1");
    let trial = match if arguments.list { None } else { unavailable() } {
        None => Trial::test(name, || {
            a_search_finds_who_lets_itself_be_found_and_keeps_to_its_prefix_and_rate();
            Ok(())
        }),
        Some(obstacle) if required => Trial::test(name, move || Err(Failed::from(obstacle))),
        Some(_) => Trial::test(name, || Ok(()))
            .with_kind("skipped: needs root, iproute2, nftables")
            .with_ignored_flag(true),
    };
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}
