//! What can be wrong, and what to do about it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::findings::Firewall;

/// Where private ports come from, for rules of firewalls.
const PRIVATE_PORTS: (u16, u16) = (8051, 9000);

/// Something that is wrong, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What it is.
    pub cause: Cause,
    /// Whether it keeps peers from meeting, or is merely worth knowing.
    pub severity: Severity,
    /// The interface, peer, address or port that it is about.
    pub about: String,
    /// The cause in a sentence.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
    /// Commands that do it, if there are such.
    pub commands: Vec<String>,
    /// What it was concluded from.
    pub evidence: Vec<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// It keeps peers from meeting, or will.
    Problem,
    /// Worth knowing.
    Note,
}

/// What is wrong. In the order of how sure it is when it is found, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// No network interface is up.
    NoInterface,
    /// Another program holds a port.
    PortTaken,
    /// The system does not give a port.
    PortForbidden,
    /// This host may not send: a rule for outgoing packets.
    OutboundBlocked,
    /// macOS has not been allowed to let this program use the local network.
    LocalNetworkPermission,
    /// This host lets nothing in.
    InboundClosed,
    /// Somebody speaks another version of the protocol.
    OtherVersion,
    /// Somebody is on a network with another name or another secret.
    OtherNetwork,
    /// A tunnel owns the route to the LAN.
    VpnOwnsRoute,
    /// Only a bridge to containers can be seen.
    ContainerBridge,
    /// The peer's host lets nothing in.
    PeerInboundClosed,
    /// Broadcasts are dropped.
    BroadcastFiltered,
    /// Multicasts are dropped.
    MulticastFiltered,
    /// The access point lets its clients reach the router and not each other.
    ApIsolation,
    /// Nothing listens where a peer should be.
    NothingListens,
    /// The host of an address does not answer at all.
    HostSilent,
    /// Nobody was heard, and nothing says why.
    NobodyHeard,
    /// The wall clock jumped.
    ClockJumped,
}

impl Cause {
    /// One word for programs, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::NoInterface => "no_interface",
            Cause::PortTaken => "port_taken",
            Cause::PortForbidden => "port_forbidden",
            Cause::OutboundBlocked => "outbound_blocked",
            Cause::LocalNetworkPermission => "local_network_permission",
            Cause::InboundClosed => "inbound_closed",
            Cause::OtherVersion => "other_version",
            Cause::OtherNetwork => "other_network",
            Cause::VpnOwnsRoute => "vpn_owns_route",
            Cause::ContainerBridge => "container_bridge",
            Cause::PeerInboundClosed => "peer_inbound_closed",
            Cause::BroadcastFiltered => "broadcast_filtered",
            Cause::MulticastFiltered => "multicast_filtered",
            Cause::ApIsolation => "ap_isolation",
            Cause::NothingListens => "nothing_listens",
            Cause::HostSilent => "host_silent",
            Cause::NobodyHeard => "nobody_heard",
            Cause::ClockJumped => "clock_jumped",
        }
    }
}

/// The commands that open the ports of p2pnet: for the firewalls that are known to be there, or for all.
#[must_use]
pub fn open_ports(firewalls: &[Firewall], designated: &[u16]) -> Vec<String> {
    // A program above the packet filter writes its rules; one added by hand would be gone with its next start.
    let above: Vec<_> = firewalls.iter().copied().filter(|&found| found != Firewall::Nft).collect();
    let wanted: &[Firewall] = match (above.is_empty(), firewalls) {
        (false, _) => &above,
        (true, []) => &[Firewall::Ufw, Firewall::Firewalld, Firewall::Nft],
        (true, _) => &[Firewall::Nft],
    };
    wanted.iter().flat_map(|&firewall| rules(firewall, designated)).collect()
}

fn rules(firewall: Firewall, designated: &[u16]) -> Vec<String> {
    let (low, high) = PRIVATE_PORTS;
    let udp = ranges(designated);
    match firewall {
        Firewall::Ufw => {
            let span = |&(first, last): &(u16, u16)| {
                if first == last { first.to_string() } else { format!("{first}:{last}") }
            };
            let mut commands: Vec<_> =
                udp.iter().map(|range| format!("sudo ufw allow {}/udp", span(range))).collect();
            commands.push(format!("sudo ufw allow {low}:{high}/udp"));
            commands.push(format!("sudo ufw allow {low}:{high}/tcp"));
            commands
        }
        Firewall::Firewalld => {
            let mut command = "sudo firewall-cmd --permanent".to_owned();
            for range in &udp {
                let _ = write!(command, " --add-port={}/udp", dashed(range));
            }
            let _ = write!(command, " --add-port={low}-{high}/udp --add-port={low}-{high}/tcp");
            vec![command, "sudo firewall-cmd --reload".to_owned()]
        }
        Firewall::Nft => {
            let all: Vec<_> = udp.iter().map(dashed).chain([format!("{low}-{high}")]).collect();
            vec![
                format!("sudo nft insert rule inet filter input udp dport '{{ {} }}' accept", all.join(", ")),
                format!("sudo nft insert rule inet filter input tcp dport {low}-{high} accept"),
            ]
        }
    }
}

fn dashed(&(first, last): &(u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// The ports as ranges.
fn ranges(ports: &[u16]) -> Vec<(u16, u16)> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in sorted {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a user copies must be right to the letter.
    #[test]
    fn rules_are_exact_for_each_firewall() {
        let ports = [8001, 8002, 8003];
        assert_eq!(
            open_ports(&[Firewall::Ufw, Firewall::Nft], &ports),
            ["sudo ufw allow 8001:8003/udp", "sudo ufw allow 8051:9000/udp", "sudo ufw allow 8051:9000/tcp"]
        );
        assert_eq!(
            open_ports(&[Firewall::Firewalld], &ports),
            [
                "sudo firewall-cmd --permanent --add-port=8001-8003/udp --add-port=8051-9000/udp --add-port=8051-9000/tcp",
                "sudo firewall-cmd --reload"
            ]
        );
        assert_eq!(
            open_ports(&[Firewall::Nft], &ports),
            [
                "sudo nft insert rule inet filter input udp dport '{ 8001-8003, 8051-9000 }' accept",
                "sudo nft insert rule inet filter input tcp dport 8051-9000 accept"
            ]
        );
        assert_eq!(open_ports(&[], &[7, 9]).len(), 4 + 2 + 2, "nothing known: all of them");
        assert_eq!(open_ports(&[Firewall::Ufw], &[9, 7]).first().unwrap(), "sudo ufw allow 7/udp");
    }
}
