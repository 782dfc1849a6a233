//! What lies beyond the LANs of a plan: routers, the internet between them, bootstrap servers, relays.

use p2pnet_engine::{Prefix6, ScanPlan};
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::world::faults::{Fault, Known};
use crate::world::wide::is_afar;

/// How the router of a home lets its hosts out (RFC 4787, sections 4 and 5). None lets a stream in but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nat {
    /// It translates nothing: each host has an address of its own that anybody can dial.
    None,
    /// One address for all hosts, and one port for each of theirs, wherever they go.
    EndpointIndependent,
    /// One address, and another port for each address that they go to.
    AddressDependent,
    /// A pool of two addresses, of which one is taken for each place that they go to, and a port for each.
    Symmetric,
}

impl Nat {
    /// All of them.
    pub const ALL: [Nat; 4] = [Nat::None, Nat::EndpointIndependent, Nat::AddressDependent, Nat::Symmetric];
}

/// What is between the homes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InternetPlan {
    /// The link that hosts of different homes have to each other, and to servers; a wired one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// After so long without a packet a router that translates forgets a stream, which then carries nothing any more;
    /// never, if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_ms: Option<u64>,
}

/// What a bootstrap server is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Honesty {
    /// It keeps what is signed, and says what it keeps.
    Honest,
    /// Nobody ever answers there.
    Dead,
    /// It says whatever does harm.
    Lying,
}

/// A bootstrap server. Every node knows all of them, in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerPlan {
    /// Its name.
    pub name: String,
    /// What it is like.
    pub kind: Honesty,
    /// Whether it makes peers up by the hundred, if it lies.
    #[serde(default, skip_serializing_if = "super::is_no")]
    pub crowds: bool,
}

/// A relay: gives whoever asks an address, and takes streams there from where it was told to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayPlan {
    /// Its name.
    pub name: String,
}

/// An application that has its node search an IPv6 prefix for peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchPlan {
    /// When.
    pub at_ms: u64,
    /// Which node.
    pub node: String,
    /// Where, such as `2a0e:0:0:1::/64`.
    pub prefix: String,
    /// Datagrams a second.
    pub per_second: u32,
    /// Datagrams in all.
    pub total: u64,
}

impl SearchPlan {
    /// What the node is asked for.
    pub(crate) fn scan(&self) -> Result<ScanPlan, String> {
        let prefix: Prefix6 = self.prefix.parse().map_err(|_| {
            format!("`{}` is no IPv6 prefix, such as 2a0e:0:0:1::/64", self.prefix.escape_debug())
        })?;
        let mut plan = ScanPlan::new(vec![prefix]);
        (plan.per_second, plan.total) = (self.per_second, self.total);
        plan.validate().map_err(|error| error.to_string())?;
        Ok(plan)
    }
}

impl Plan {
    pub(crate) fn server(&self, name: &str) -> Option<usize> {
        self.server.iter().position(|server| server.name == name)
    }

    pub(crate) fn relay(&self, name: &str) -> Option<usize> {
        self.relay.iter().position(|relay| relay.name == name)
    }

    pub(super) fn validate_wide(
        &self,
        known: Known<'_>,
        lans: &[&str],
        links: &[&str],
    ) -> Result<(), String> {
        let servers: Vec<&str> = self.server.iter().map(|server| server.name.as_str()).collect();
        let relays: Vec<&str> = self.relay.iter().map(|relay| relay.name.as_str()).collect();
        for (kind, names) in [("server", &servers), ("relay", &relays)] {
            if names.len() > 8 {
                return Err(format!("8 {kind}s at most, not {}", names.len()));
            }
            for (i, name) in names.iter().enumerate() {
                if names[..i].contains(name) {
                    return Err(format!("there are two {kind}s `{name}`"));
                }
            }
        }
        for (i, host) in self.host.iter().enumerate() {
            let Some(ip) = host.ipv6 else { continue };
            if !is_afar(ip.into()) {
                return Err(format!("`{}`: {ip} is no address beyond the LANs", host.name));
            }
            if self.host[..i].iter().any(|other| other.ipv6 == Some(ip)) {
                return Err(format!("there are two hosts at {ip}"));
            }
        }
        let routed = self.lan.iter().any(|lan| lan.router.is_some());
        if self.internet.is_none() && (routed || !servers.is_empty() || !relays.is_empty()) {
            return Err("routers, servers and relays need an internet".to_owned());
        }
        if let Some(link) = self.internet.iter().find_map(|internet| internet.link.as_ref()) {
            known("link", link, links)?;
        }
        self.fault.iter().try_for_each(|fault| match fault {
            Fault::ServerDown { server, homes, .. } => {
                known("server", server, &servers)?;
                homes.iter().try_for_each(|lan| known("lan", lan, lans))
            }
            Fault::RelayDown { relay, .. } => known("relay", relay, &relays),
            _ => Ok(()),
        })
    }
}
