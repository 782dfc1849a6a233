//! Two homes on an internet of their own: each behind a router that masquerades and lets nobody in, and a public host.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::lan::{Namespace, ip, run};

/// The public host.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Gone when dropped.
pub(crate) struct Homes {
    homes: Vec<Namespace>,
    routers: Vec<Namespace>,
    public: Namespace,
    /// A bridge, and nothing else.
    _internet: Namespace,
}

impl Homes {
    pub(crate) fn new() -> Result<Homes, String> {
        let internet = Namespace::called("-internet")?;
        ip(&format!("-n {} link add br0 type bridge forward_delay 0 stp_state 0", internet.0))?;
        ip(&format!("-n {} link set br0 up", internet.0))?;
        let public = Namespace::called("-public")?;
        attach(&internet, &public, "eth0", PUBLIC, 1)?;
        let mut made = Homes { homes: Vec::new(), routers: Vec::new(), public, _internet: internet };
        for number in [1, 2] {
            let (home, router) = (Namespace::called("-home")?, Namespace::called("-router")?);
            attach(&made._internet, &router, "wan", outside(number), 10 + number)?;
            let (r, h) = (&router.0, &home.0);
            ip(&format!("-n {r} link add lan type bridge forward_delay 0 stp_state 0"))?;
            give(&router, "lan", Ipv4Addr::new(192, 168, number, 1))?;
            plug_in(&router, &home, "eth0", Ipv4Addr::new(192, 168, number, 2))?;
            ip(&format!("-n {h} route add default via 192.168.{number}.1"))?;
            run(router.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]), "")?;
            run(router.command("nft").args(["-f", "-"]), ROUTER)?;
            made.homes.push(home);
            made.routers.push(router);
        }
        Ok(made)
    }

    /// A command that runs in home 1 or 2.
    pub(crate) fn at_home(&self, number: usize, program: &str) -> Command {
        self.homes[number - 1].command(program)
    }

    /// A command that runs on the public host.
    pub(crate) fn in_public(&self, program: &str) -> Command {
        self.public.command(program)
    }

    /// Brings the machine of home 2 to home 1, where it gets another interface; it keeps the old one, or does not.
    pub(crate) fn visit(&self, keep: bool) {
        let (router, guest) = (&self.routers[0], &self.homes[1]);
        let result = plug_in(router, guest, "eth1", Ipv4Addr::new(192, 168, 1, 3)).and_then(|()| {
            if keep {
                return Ok(());
            }
            ip(&format!("-n {} link set eth0 down", guest.0))?;
            ip(&format!("-n {} route add default via 192.168.1.1", guest.0))
        });
        result.unwrap_or_else(|error| panic!("the visit failed: {error}"));
    }

    /// Has the cable between each router and the internet carry so many Mbit/s at most, each way.
    pub(crate) fn shape(&self, megabits: u32) {
        for (router, interface) in self.routers.iter().flat_map(|router| [(router, "wan"), (router, "lan")]) {
            let mut tc = Command::new("tc");
            tc.args(["-n", &router.0, "qdisc", "add", "dev", interface, "root", "tbf"]);
            tc.args(["rate", &format!("{megabits}mbit"), "burst", "256kb", "latency", "20ms"]);
            run(&mut tc, "").unwrap_or_else(|error| panic!("cannot shape {interface}: {error}"));
        }
    }
}

/// The router of home 1 or 2, as the internet sees it.
pub(crate) fn outside(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 10 + number)
}

/// A port of the public host.
pub(crate) fn public(port: u16) -> SocketAddr {
    SocketAddr::from((PUBLIC, port))
}

/// Home routers: what goes out has the router's address, what comes in answers, or is dropped.
const ROUTER: &str = "
    table ip p2pnet {
        chain postrouting {
            type nat hook postrouting priority 100; policy accept;
            oifname \"wan\" masquerade
        }
        chain forward {
            type filter hook forward priority 0; policy accept;
            iifname \"wan\" ct state established,related accept
            iifname \"wan\" drop
        }
        chain input {
            type filter hook input priority 0; policy accept;
            iifname \"wan\" ct state established,related accept
            iifname \"wan\" drop
        }
    }\n";

fn attach(
    internet: &Namespace,
    host: &Namespace,
    interface: &str,
    address: Ipv4Addr,
    port: u8,
) -> Result<(), String> {
    ip(&format!("-n {} link add port{port} type veth peer name {interface} netns {}", internet.0, host.0))?;
    ip(&format!("-n {} link set port{port} master br0 up", internet.0))?;
    give(host, interface, address)
}

/// Connects a machine to the switch of a router.
fn plug_in(router: &Namespace, host: &Namespace, interface: &str, address: Ipv4Addr) -> Result<(), String> {
    let (r, port) = (&router.0, format!("port{}", address.octets()[3]));
    ip(&format!("-n {r} link add {port} type veth peer name {interface} netns {}", host.0))?;
    ip(&format!("-n {r} link set {port} addrgenmode none"))?;
    ip(&format!("-n {r} link set {port} master lan up"))?;
    give(host, interface, address)
}

/// Waits until a process listens there, as its own host sees it.
pub(crate) fn wait_for_listener(pid: u32, address: SocketAddr) {
    let end = format!(":{:04X}", address.port());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
        let listening = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            // The local address, the other one, the state: 0A listens.
            words.next().is_some_and(|local| local.ends_with(&end)) && words.nth(1) == Some("0A")
        };
        if sockets.lines().any(listening) {
            return;
        }
        assert!(Instant::now() < deadline, "nobody listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Only IPv4: routers of homes give out no other addresses here.
fn give(host: &Namespace, interface: &str, address: Ipv4Addr) -> Result<(), String> {
    let h = &host.0;
    ip(&format!("-n {h} link set lo up"))?;
    ip(&format!("-n {h} link set {interface} addrgenmode none"))?;
    ip(&format!("-n {h} address add {address}/24 broadcast + dev {interface}"))?;
    ip(&format!("-n {h} link set {interface} up"))
}
