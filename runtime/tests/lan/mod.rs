//! Hosts on a LAN of their own: network namespaces on a bridge. Nothing of it is in the namespace that the tests
//! run in.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Every namespace is called this, the process that made it, a number, and what it is.
const PREFIX: &str = "p2pnet-";

/// Hosts whose interface `eth0` is on one bridge. Gone when dropped.
#[derive(Debug)]
pub(crate) struct Lan {
    hosts: Vec<Host>,
    bridge: Namespace,
    /// The third number of its addresses.
    subnet: u8,
    protocols: Protocols,
}

/// What addresses the hosts of a LAN have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocols {
    /// As most hosts: IPv4, and the IPv6 address that every interface gives itself.
    Both,
    /// Only the former.
    Ipv4,
    /// Only the latter.
    Ipv6,
}

/// A host: a network namespace. Its address on the LAN with subnet s is 10.77.s.`number`.
#[derive(Debug)]
pub(crate) struct Host {
    namespace: Namespace,
    number: u8,
    subnet: u8,
}

/// What does not pass between a host and its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// So many packets of a hundred, of every kind, coming in.
    Loss(u8),
    /// What comes in for everybody.
    Broadcasts,
    /// What comes in for a group, neighbour discovery of IPv6 included: IPv6 is as good as gone.
    Multicasts,
    /// A firewall: streams that others begin.
    Streams,
    /// A firewall: everything that answers nothing of this host's own. Not even beacons come in.
    Inbound,
    /// What the host itself sends to everybody; the sender is told (EPERM).
    BroadcastsOut,
    /// What the host itself sends to IPv4 groups; the sender is told (EPERM).
    MulticastsOut,
}

impl Fault {
    /// The rules of a chain for packets that come in, and of one for those that go out.
    fn rules(self) -> (String, &'static str) {
        let dropped = "counter name dropped drop";
        let incoming = match self {
            Fault::Loss(percent) => format!("iifname \"eth*\" numgen random mod 100 < {percent} {dropped}"),
            Fault::Broadcasts => format!("iifname \"eth*\" meta pkttype broadcast {dropped}"),
            Fault::Multicasts => format!("iifname \"eth*\" meta pkttype multicast {dropped}"),
            Fault::Streams => format!("iifname \"eth*\" tcp flags & (syn | ack) == syn {dropped}"),
            Fault::Inbound => format!(
                "iifname \"eth*\" ct state established,related accept
                 iifname \"eth*\" icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
                 iifname \"eth*\" {dropped}"
            ),
            Fault::BroadcastsOut | Fault::MulticastsOut => String::new(),
        };
        let outgoing = match self {
            Fault::BroadcastsOut => "oifname \"eth*\" fib daddr type broadcast counter name dropped drop",
            Fault::MulticastsOut => "oifname \"eth*\" ip daddr 224.0.0.0/4 counter name dropped drop",
            _ => "",
        };
        (incoming, outgoing)
    }
}

impl Lan {
    /// A LAN with hosts 1 to `hosts`.
    pub(crate) fn new(hosts: u8) -> Lan {
        Lan::with(0, hosts, Protocols::Both)
    }

    /// A LAN whose hosts have only IPv6.
    pub(crate) fn ipv6(hosts: u8) -> Lan {
        Lan::with(0, hosts, Protocols::Ipv6)
    }

    /// A LAN whose hosts have only IPv4.
    pub(crate) fn ipv4(hosts: u8) -> Lan {
        Lan::with(0, hosts, Protocols::Ipv4)
    }

    /// A LAN with another subnet than that of [`new`](Lan::new), and hosts `first` to `last` of their own.
    pub(crate) fn second(hosts: std::ops::RangeInclusive<u8>) -> Lan {
        Lan::try_new(1, hosts, Protocols::Both).unwrap_or_else(|error| panic!("cannot make a LAN: {error}"))
    }

    fn with(subnet: u8, hosts: u8, protocols: Protocols) -> Lan {
        let made = Lan::try_new(subnet, 1..=hosts, protocols);
        made.unwrap_or_else(|error| panic!("cannot make a LAN: {error}"))
    }

    fn try_new(
        subnet: u8,
        numbers: std::ops::RangeInclusive<u8>,
        protocols: Protocols,
    ) -> Result<Lan, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let bridge = Namespace::new(format!("{name}-lan"))?;
        let b = &bridge.0;
        ip(&format!("-n {b} link add br0 type bridge forward_delay 0 stp_state 0"))?;
        ip(&format!("-n {b} link set br0 up"))?;
        let mut lan = Lan { hosts: Vec::new(), bridge, subnet, protocols };
        for number in numbers {
            let host = Host { namespace: Namespace::new(format!("{name}-host{number}"))?, number, subnet };
            ip(&format!("-n {} link set lo up", host.namespace.0))?;
            lan.try_attach(&host, "eth0", number)?;
            lan.hosts.push(host);
        }
        Ok(lan)
    }

    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Gives `host`, which may be of another LAN, an interface on this one, with the last number of its address.
    pub(crate) fn attach(&self, host: &Host, interface: &str, number: u8) {
        self.try_attach(host, interface, number)
            .unwrap_or_else(|error| panic!("cannot attach {host:?}: {error}"));
    }

    fn try_attach(&self, host: &Host, interface: &str, number: u8) -> Result<(), String> {
        let (b, h) = (&self.bridge.0, &host.namespace.0);
        // Made where it belongs: no end of it is ever anywhere else.
        ip(&format!("-n {b} link add port{number} type veth peer name {interface} netns {h}"))?;
        ip(&format!("-n {b} link set port{number} master br0 up"))?;
        if self.protocols == Protocols::Ipv4 {
            ip(&format!("-n {h} link set {interface} addrgenmode none"))?;
        }
        if self.protocols != Protocols::Ipv6 {
            ip(&format!("-n {h} address add 10.77.{}.{number}/24 broadcast + dev {interface}", self.subnet))?;
        }
        // Nobody here has the same address by chance: ready at once, and not after a second or two of asking.
        let accept_dad = format!("echo 0 > /proc/sys/net/ipv6/conf/{interface}/accept_dad");
        let without_asking = run(host.command("sh").args(["-c", &accept_dad]), "");
        if self.protocols == Protocols::Ipv6 {
            without_asking?;
        }
        ip(&format!("-n {h} link set {interface} up"))
    }

    /// Has every cable carry so many Mbit/s at most, each way.
    pub(crate) fn shape(&self, megabits: u32) {
        let ends = self.hosts.iter().flat_map(|host| {
            [(&host.namespace.0, "eth0".to_owned()), (&self.bridge.0, format!("port{}", host.number))]
        });
        for (namespace, interface) in ends {
            let mut tc = Command::new("tc");
            tc.args(["-n", namespace, "qdisc", "add", "dev", &interface, "root", "tbf"]);
            tc.args(["rate", &format!("{megabits}mbit"), "burst", "256kb", "latency", "20ms"]);
            run(&mut tc, "").unwrap_or_else(|error| panic!("cannot shape {interface}: {error}"));
        }
    }

    /// Has the bridge pass nothing, or something again, between the ports of these hosts, as networks for guests do.
    /// Other ports reach them.
    pub(crate) fn isolate(&self, numbers: &[u8], isolated: bool) {
        let state = if isolated { "on" } else { "off" };
        for number in numbers {
            let mut bridge = Command::new("bridge");
            bridge.args(["-n", &self.bridge.0, "link", "set", "dev", &format!("port{number}")]);
            bridge.args(["isolated", state]);
            run(&mut bridge, "").unwrap_or_else(|error| panic!("cannot isolate: {error}"));
        }
    }
}

impl Host {
    /// Its address and this port, as long as it is not changed.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(10, 77, self.subnet, self.number), port))
    }

    /// A command that runs on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// From now on, and until the end, this is dropped too, and counted.
    pub(crate) fn drop_packets(&self, fault: Fault) {
        self.try_drop_packets(fault).unwrap_or_else(|error| panic!("cannot drop packets: {error}"));
    }

    fn try_drop_packets(&self, fault: Fault) -> Result<(), String> {
        let (incoming, outgoing) = fault.rules();
        // What is there already stays: rules are added at the end.
        let rules = format!(
            "table inet p2pnet {{
                counter dropped {{ }}
                chain input {{
                    type filter hook input priority 0; policy accept;
                    {incoming}
                }}
                chain output {{
                    type filter hook output priority 0; policy accept;
                    {outgoing}
                }}
            }}\n"
        );
        let mut nft = self.command("nft");
        nft.args(["-f", "-"]);
        run(&mut nft, &rules).map(drop)
    }

    /// How many packets [`drop_packets`](Host::drop_packets) has dropped so far.
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

    /// Gives `eth0` this last number of its IPv4 address in place of the one it had, as a new lease does.
    pub(crate) fn change_address(&self, number: u8) {
        let (h, subnet) = (&self.namespace.0, self.subnet);
        ip(&format!("-n {h} -4 address flush dev eth0"))
            .and_then(|()| ip(&format!("-n {h} address add 10.77.{subnet}.{number}/24 broadcast + dev eth0")))
            .unwrap_or_else(|error| panic!("cannot change the address: {error}"));
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
    let tried = remove_stale().and_then(|()| Lan::try_new(0, 1..=1, Protocols::Both)).and_then(|lan| {
        let mut faults = [Fault::Loss(20), Fault::Inbound, Fault::BroadcastsOut].into_iter();
        faults.try_for_each(|fault| lan.hosts().iter().try_for_each(|host| host.try_drop_packets(fault)))
    });
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
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    fn new(name: String) -> Result<Namespace, String> {
        ip(&format!("netns add {name}"))?;
        Ok(Namespace(name))
    }

    /// A namespace by a name of its own that ends like this.
    pub(crate) fn called(what: &str) -> Result<Namespace, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Namespace::new(format!("{PREFIX}{}-{number}{what}", std::process::id()))
    }

    /// A command that runs in it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&format!("netns delete {}", self.0)) {
            eprintln!("{} stays behind: {error}", self.0);
        }
    }
}

/// Runs `ip`.
pub(crate) fn ip(arguments: &str) -> Result<(), String> {
    run(Command::new("ip").args(arguments.split_whitespace()), "").map(drop)
}

/// Runs to the end and returns what was printed.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String, String> {
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
