//! Hosts on a LAN of their own: network namespaces on a bridge. Nothing of it is in the namespace that the tests
//! run in.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Every namespace is called this, the process that made it, a number, and what it is.
const PREFIX: &str = "p2pnet-";

/// Hosts whose only interface, `eth0`, is on one bridge. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Lan {
    hosts: Vec<Host>,
    _bridge: Namespace,
}

/// A host: a network namespace. Its address is 10.77.0.`number`.
#[derive(Debug)]
pub(crate) struct Host {
    namespace: Namespace,
}

/// What a host does not get of what comes in by `eth0`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// So many packets of a hundred, of every kind.
    Loss(u8),
    Broadcasts,
    Multicasts,
}

impl Lan {
    /// A LAN with hosts 1 to `hosts`.
    pub(crate) fn new(hosts: usize) -> Lan {
        Lan::try_new(hosts).unwrap_or_else(|error| panic!("cannot make a LAN: {error}"))
    }

    fn try_new(hosts: usize) -> Result<Lan, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let lan = format!("{PREFIX}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let bridge = Namespace::new(format!("{lan}-lan"))?;
        let b = &bridge.0;
        ip(&format!("-n {b} link add br0 type bridge forward_delay 0 stp_state 0"))?;
        ip(&format!("-n {b} link set br0 up"))?;
        let hosts = (1..=hosts)
            .map(|number| {
                let namespace = Namespace::new(format!("{lan}-host{number}"))?;
                let h = &namespace.0;
                // Made where it belongs: no end of it is ever anywhere else.
                ip(&format!("-n {b} link add port{number} type veth peer name eth0 netns {h}"))?;
                ip(&format!("-n {b} link set port{number} master br0 up"))?;
                ip(&format!("-n {h} address add 10.77.0.{number}/24 broadcast + dev eth0"))?;
                ip(&format!("-n {h} link set lo up"))?;
                ip(&format!("-n {h} link set eth0 up"))?;
                Ok(Host { namespace })
            })
            .collect::<Result<_, String>>()?;
        Ok(Lan { hosts, _bridge: bridge })
    }

    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }
}

impl Host {
    /// A command that runs on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace.0, program]);
        command
    }

    /// From now on, and until the end, this is dropped and counted.
    pub(crate) fn drop_incoming(&self, fault: Fault) {
        self.try_drop_incoming(fault).unwrap_or_else(|error| panic!("cannot drop packets: {error}"));
    }

    fn try_drop_incoming(&self, fault: Fault) -> Result<(), String> {
        let matches = match fault {
            Fault::Loss(percent) => format!("numgen random mod 100 < {percent}"),
            Fault::Broadcasts => "meta pkttype broadcast".to_owned(),
            Fault::Multicasts => "meta pkttype multicast".to_owned(),
        };
        let rules = format!(
            "table inet p2pnet {{
                counter dropped {{ }}
                chain input {{
                    type filter hook input priority 0; policy accept;
                    iifname \"eth0\" {matches} counter name dropped drop
                }}
            }}\n"
        );
        let mut nft = self.command("nft");
        nft.args(["-f", "-"]);
        run(&mut nft, &rules).map(drop)
    }

    /// How many packets [`drop_incoming`](Host::drop_incoming) has dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        let mut nft = self.command("nft");
        nft.args(["list", "counter", "inet", "p2pnet", "dropped"]);
        let counter = run(&mut nft, "").unwrap_or_else(|error| panic!("cannot read the counter: {error}"));
        let packets = counter.split_whitespace().skip_while(|&word| word != "packets").nth(1);
        packets.and_then(|packets| packets.parse().ok()).expect("nft prints `packets N bytes M`")
    }

    /// Takes `eth0` down or up.
    pub(crate) fn set_interface(&self, up: bool) {
        let state = if up { "up" } else { "down" };
        ip(&format!("-n {} link set eth0 {state}", self.namespace.0))
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Why there can be no such LANs here, if so. Also removes what a killed run has left behind.
pub(crate) fn unavailable() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root =
        status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if !root {
        return Some("not root".to_owned());
    }
    let tried = remove_stale()
        .and_then(|()| Lan::try_new(1))
        .and_then(|lan| lan.hosts().iter().try_for_each(|host| host.try_drop_incoming(Fault::Loss(20))));
    tried.err()
}

/// Deletes the namespaces of processes that are no more.
fn remove_stale() -> Result<(), String> {
    let namespaces = run(Command::new("ip").args(["netns", "list"]), "")?;
    for name in namespaces.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            drop(Namespace(name.to_owned()));
        }
    }
    Ok(())
}

/// A network namespace by its name; deleted when dropped.
#[derive(Debug)]
struct Namespace(String);

impl Namespace {
    fn new(name: String) -> Result<Namespace, String> {
        ip(&format!("netns add {name}"))?;
        Ok(Namespace(name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&format!("netns delete {}", self.0)) {
            eprintln!("{} stays behind: {error}", self.0);
        }
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    run(Command::new("ip").args(arguments.split_whitespace()), "").map(drop)
}

/// Runs to the end and returns what was printed.
fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever does not read its input says why on its own.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
