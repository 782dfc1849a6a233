//! What an interface is: by what the system says of it, and where it says nothing by its name.

use std::fs;
use std::path::Path;

use p2pnet_engine::InterfaceKind;

/// Where Linux tells about its interfaces. Elsewhere there is no such directory, and names decide.
const SYS: &str = "/sys/class/net";

/// Hardware types (`ARPHRD_*` of linux/if_arp.h) of what carries packets without a link of its own: PPP, IP in IP,
/// SIT, GRE, and "none", which tun devices and WireGuard have.
const TUNNELS: [u32; 8] = [512, 768, 769, 776, 778, 823, 824, 65534];

/// How names begin, in lower case, of what leads to containers and virtual machines.
const VIRTUAL_NAMES: [&str; 21] = [
    "docker",
    "br-",
    "virbr",
    "lxc",
    "lxd",
    "incusbr",
    "cni",
    "podman",
    "vmnet",
    "vmenet",
    "vboxnet",
    "bridge1",
    "vethernet",
    "vmware",
    "virtualbox",
    "cali",
    "cilium",
    "flannel",
    "kube",
    "weave",
    "dummy",
];

/// How names begin, in lower case, of tunnels.
const TUNNEL_NAMES: [&str; 22] = [
    "tun",
    "tap",
    "wg",
    "utun",
    "tailscale",
    "zt",
    "zerotier",
    "ppp",
    "ipsec",
    "gif",
    "stf",
    "gre",
    "sit",
    "ip6tnl",
    "vti",
    "wireguard",
    "nordlynx",
    "proton",
    "nebula",
    "ham",
    "wwan",
    "vxlan",
];

/// What the system says of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) loopback: bool,
    pub(super) point_to_point: bool,
    /// It has a device of its own: a card, also one that a virtual machine is given.
    pub(super) device: bool,
    pub(super) bridge: bool,
    /// It is a bridge, and one of its ports has a device: the LAN goes on behind it.
    pub(super) bridged_device: bool,
    /// It is a port of a bridge, which alone takes what comes in.
    pub(super) bridge_port: bool,
    /// A tun or tap device.
    pub(super) tun: bool,
    /// The hardware type, if known.
    pub(super) hardware: Option<u32>,
    /// What the driver calls its kind, mostly empty.
    pub(super) devtype: String,
    /// One end of a pair whose other end is in another network namespace.
    pub(super) other_end_elsewhere: bool,
}

impl Facts {
    /// Reads what Linux says of the interface with this name and number; elsewhere it says nothing.
    pub(super) fn read(name: &str, index: u32) -> Facts {
        // The system's names have no slash; nothing else may become a path.
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Facts::default();
        }
        let net = Path::new(SYS);
        let dir = net.join(name);
        // The directory may show another namespace than the one that this process is in.
        if number(&dir.join("ifindex")) != Some(index) {
            return Facts::default();
        }
        let has = |path: &str| dir.join(path).exists();
        let uevent = fs::read_to_string(dir.join("uevent")).unwrap_or_default();
        let devtype = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or_default();
        let bridge = has("bridge");
        let ports = bridge.then(|| fs::read_dir(dir.join("brif")).ok()).flatten();
        let bridged_device = ports.is_some_and(|ports| {
            ports.flatten().any(|port| net.join(port.file_name()).join("device").exists())
        });
        Facts {
            device: has("device"),
            bridge,
            bridged_device,
            bridge_port: has("brport"),
            tun: has("tun_flags"),
            hardware: number(&dir.join("type")),
            devtype: devtype.to_owned(),
            other_end_elsewhere: name.starts_with("veth") && other_end_elsewhere(net, &dir, index),
            ..Facts::default()
        }
    }
}

/// Whether the interface is half of a pair and none of this namespace's interfaces is the other half.
fn other_end_elsewhere(net: &Path, dir: &Path, index: u32) -> bool {
    let Some(other) = number(&dir.join("iflink")).filter(|&other| other != index) else {
        return false;
    };
    let Ok(entries) = fs::read_dir(net) else { return true };
    // Numbers are unique only within a namespace: the other end must also point back.
    !entries.flatten().any(|entry| {
        let entry = entry.path();
        number(&entry.join("ifindex")) == Some(other) && number(&entry.join("iflink")) == Some(index)
    })
}

fn number(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What the interface is. What cannot be told counts as a real network.
pub(super) fn kind(name: &str, facts: &Facts) -> InterfaceKind {
    if facts.loopback {
        return InterfaceKind::Loopback;
    }
    if facts.tun || facts.point_to_point || facts.hardware.is_some_and(|hardware| TUNNELS.contains(&hardware))
    {
        return InterfaceKind::Tunnel;
    }
    match facts.devtype.as_str() {
        "wireguard" | "ppp" | "vxlan" | "geneve" | "wwan" => return InterfaceKind::Tunnel,
        "wlan" => return InterfaceKind::Lan,
        _ => {}
    }
    if facts.bridge || facts.devtype == "bridge" {
        return if facts.bridged_device { InterfaceKind::Lan } else { InterfaceKind::Virtual };
    }
    if facts.device {
        return InterfaceKind::Lan;
    }
    if facts.other_end_elsewhere {
        return InterfaceKind::Virtual;
    }
    let name = name.to_ascii_lowercase();
    let begins = |names: &[&str]| names.iter().any(|begin| name.starts_with(begin));
    if begins(&VIRTUAL_NAMES) {
        InterfaceKind::Virtual
    } else if begins(&TUNNEL_NAMES) {
        InterfaceKind::Tunnel
    } else {
        InterfaceKind::Lan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethernet() -> Facts {
        Facts { hardware: Some(1), ..Facts::default() }
    }

    #[test]
    fn a_card_is_a_real_network_whatever_it_is_called() {
        let card = Facts { device: true, ..ethernet() };
        for name in ["eth0", "enp3s0", "wlan0", "docker0", "tun0"] {
            assert_eq!(kind(name, &card), InterfaceKind::Lan, "{name}");
        }
        assert_eq!(kind("wlp2s0", &Facts { devtype: "wlan".into(), ..card }), InterfaceKind::Lan);
    }

    /// In a container, the only way out is one end of a pair, and it is called like a card.
    #[test]
    fn the_inner_end_of_a_pair_is_the_containers_real_network() {
        assert_eq!(kind("eth0", &ethernet()), InterfaceKind::Lan);
        assert_eq!(kind("veth0", &ethernet()), InterfaceKind::Lan, "both ends here");
    }

    #[test]
    fn the_outer_end_of_a_pair_is_virtual() {
        let outer = Facts { other_end_elsewhere: true, ..ethernet() };
        assert_eq!(kind("veth1a2b3c4", &outer), InterfaceKind::Virtual);
    }

    /// Servers often have their address on a bridge that their card is a port of.
    #[test]
    fn a_bridge_is_virtual_unless_a_card_is_one_of_its_ports() {
        let bridge = Facts { bridge: true, devtype: "bridge".into(), ..ethernet() };
        for name in ["docker0", "br-4f5e6d", "virbr0", "my-bridge"] {
            assert_eq!(kind(name, &bridge), InterfaceKind::Virtual, "{name}");
        }
        assert_eq!(kind("br-lan", &Facts { bridged_device: true, ..bridge }), InterfaceKind::Lan);
    }

    #[test]
    fn tunnels_are_known_by_what_they_are() {
        let none = Facts { hardware: Some(65534), ..Facts::default() };
        assert_eq!(kind("office", &none), InterfaceKind::Tunnel);
        assert_eq!(kind("office", &Facts { tun: true, ..ethernet() }), InterfaceKind::Tunnel);
        assert_eq!(kind("office", &Facts { point_to_point: true, ..ethernet() }), InterfaceKind::Tunnel);
        let wireguard = Facts { devtype: "wireguard".into(), ..none };
        assert_eq!(kind("office", &wireguard), InterfaceKind::Tunnel);
    }

    #[test]
    fn where_the_system_says_nothing_names_decide() {
        let nothing = Facts::default();
        for name in
            ["docker0", "br-12ab", "virbr0", "lxcbr0", "lxdbr0", "cni0", "podman1", "vmnet8", "vboxnet0"]
        {
            assert_eq!(kind(name, &nothing), InterfaceKind::Virtual, "{name}");
        }
        assert_eq!(kind("vEthernet (WSL)", &nothing), InterfaceKind::Virtual);
        for name in ["tun0", "tap1", "wg0", "utun3", "tailscale0", "Tailscale", "zt5u4y6", "ppp0"] {
            assert_eq!(kind(name, &nothing), InterfaceKind::Tunnel, "{name}");
        }
        for name in ["eth0", "en0", "enp3s0", "wlan0", "wlp2s0", "Ethernet", "Wi-Fi", "bond0", "br0"] {
            assert_eq!(kind(name, &nothing), InterfaceKind::Lan, "{name}");
        }
    }

    #[test]
    fn loopback_is_loopback_before_anything_else() {
        let loopback = Facts { loopback: true, hardware: Some(772), ..Facts::default() };
        assert_eq!(kind("tun0", &loopback), InterfaceKind::Loopback);
    }

    #[test]
    fn a_name_that_is_a_path_is_not_followed() {
        assert_eq!(Facts::read("../../../etc", 1), Facts::default());
    }
}
