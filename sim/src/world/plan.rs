//! The plan of a run: everything that a [`World`](super::World) does before it is asked anything, as TOML.

use std::fmt;
use std::time::Duration;

use p2pnet_engine::{Identity, Network};
use serde::{Deserialize, Serialize};

use super::faults::Fault;

/// The version of the format. A plan of another version is refused.
pub const PLAN_SCHEMA: u32 = 1;

/// Everything that a run does: who is there, how they are connected, what breaks, what is sent.
///
/// A run is a function of its plan. Draws during the run (is this datagram lost?) depend on the seed, on what is
/// drawn, on the entity that it is drawn for, and on how often that was done: taking a fault out of a plan moves no
/// other draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_SCHEMA`].
    pub schema: u32,
    /// The seed of everything that is drawn during the run.
    pub seed: u64,
    /// What the plan was expanded from; a word for people.
    #[serde(default)]
    pub profile: String,
    /// How long the network is broken: everything is healed for the core when this is over.
    pub chaos_ms: u64,
    /// How long nothing may happen in the end.
    pub quiet_ms: u64,
    /// The most that convergence may take; by default what the configuration allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converge_ms: Option<u64>,
    /// The nodes that are healed and must converge. What concerns others stays as broken as it was.
    pub core: Vec<String>,
    /// Who leaves after the quiet window, one of the core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaver: Option<String>,
    /// Whether keys and ciphers are real.
    #[serde(default, skip_serializing_if = "Crypto::is_real")]
    pub crypto: Crypto,
    /// Whether peers must show a badge (a custom step) on top of the ping.
    #[serde(default)]
    pub badge: bool,
    /// How links can be.
    #[serde(default)]
    pub link: Vec<LinkPlan>,
    /// The networks.
    pub lan: Vec<LanPlan>,
    /// The machines.
    pub host: Vec<HostPlan>,
    /// Links that differ from what their network has, one direction each.
    #[serde(default)]
    pub path: Vec<PathPlan>,
    /// The nodes.
    pub node: Vec<NodePlan>,
    /// What breaks.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// Texts to send.
    #[serde(default)]
    pub text: Vec<TextPlan>,
    /// Contents to publish.
    #[serde(default)]
    pub content: Vec<ContentPlan>,
    /// Nodes that leave on the way.
    #[serde(default)]
    pub leave: Vec<LeavePlan>,
    /// Addresses that somebody gives a node by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dial: Vec<DialPlan>,
    /// Applications that part from a peer on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub part: Vec<PartPlan>,
    /// The planted bug that the nodes of `bug_in` have, or all if there are none.
    #[cfg(feature = "planted")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
    /// See `bug`.
    #[cfg(feature = "planted")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bug_in: Vec<String>,
}

/// What keys, signatures and ciphers are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crypto {
    /// What runs in production.
    #[default]
    Real,
    /// The same sizes, states and failures without any protection, several times faster
    /// ([`Identity::cheap`]). Bugs of trust need the real one.
    Cheap,
}

impl Crypto {
    /// Both, with their names.
    pub const ALL: [(&str, Crypto); 2] = [("real", Crypto::Real), ("cheap", Crypto::Cheap)];

    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Crypto::Real => "real",
            Crypto::Cheap => "cheap",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn is_real(&self) -> bool {
        *self == Crypto::Real
    }

    pub(crate) fn network(self) -> Network {
        match self {
            Crypto::Real => Network::open("world"),
            Crypto::Cheap => Network::cheap("world"),
        }
        .expect("the name is a valid one")
    }

    pub(crate) fn identity(self, seed: [u8; 32]) -> Identity {
        match self {
            Crypto::Real => Identity::from_seed(seed),
            Crypto::Cheap => Identity::cheap(seed),
        }
    }
}

/// How one direction of a link behaves. Shares are 0.0 to 1.0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkPlan {
    /// Its name.
    pub name: String,
    /// The least time under way.
    pub latency_us: u64,
    /// What is drawn on top, at most.
    pub jitter_us: u64,
    /// Bytes a second.
    pub bandwidth: u64,
    /// How much may wait before datagrams are dropped.
    pub queue_ms: u64,
    /// The share lost, in the good state.
    pub loss: f64,
    /// The share lost, in the bad state (Gilbert 1960, Elliott 1963).
    pub burst_loss: f64,
    /// The chance, for each packet, to enter the bad state.
    pub enter_burst: f64,
    /// The chance, for each packet, to leave it.
    pub leave_burst: f64,
    /// The share of datagrams that arrive twice.
    pub duplication: f64,
    /// The share of datagrams that others overtake.
    pub reordering: f64,
    /// The share of datagrams with a flipped bit.
    pub corruption: f64,
    /// The share of datagrams that are cut short.
    pub truncation: f64,
    /// The share of reads of a stream that bring only a part.
    pub partial_reads: f64,
    /// The share of a stream's pieces with a flipped bit that TCP's checksum did not see.
    pub stream_corruption: f64,
}

impl Default for LinkPlan {
    /// A wired link without faults.
    fn default() -> Self {
        LinkPlan {
            name: String::new(),
            latency_us: 200,
            jitter_us: 100,
            bandwidth: 125_000_000,
            queue_ms: 100,
            loss: 0.0,
            burst_loss: 0.0,
            enter_burst: 0.0,
            leave_burst: 1.0,
            duplication: 0.0,
            reordering: 0.0,
            corruption: 0.0,
            truncation: 0.0,
            partial_reads: 0.0,
            stream_corruption: 0.0,
        }
    }
}

/// A broadcast domain: 10.`number`.0.0/16.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanPlan {
    /// Its name.
    pub name: String,
    /// The link that its hosts have to each other; a wired one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Whether broadcasts get through.
    #[serde(default = "yes")]
    pub broadcast: bool,
    /// Whether multicasts get through.
    #[serde(default = "yes")]
    pub multicast: bool,
    /// The largest packet; a longer datagram travels in fragments, and is lost if one of them is.
    #[serde(default = "ethernet_mtu")]
    pub mtu: usize,
    /// Hosts that the access point keeps apart from each other.
    #[serde(default)]
    pub isolated: Vec<String>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    /// Its name.
    pub name: String,
    /// The networks that it has an interface in.
    pub lans: Vec<String>,
    /// What its clock shows when the run begins.
    #[serde(default)]
    pub clock_offset_ms: u64,
    /// How much too fast its clock is, in millionths.
    #[serde(default)]
    pub clock_drift_ppm: i64,
    /// How long its disk takes for each request.
    #[serde(default)]
    pub disk_delay_us: u64,
}

/// A link that differs from what its network has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathPlan {
    /// From this host.
    pub from: String,
    /// To this one.
    pub to: String,
    /// The link.
    pub link: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// The host that it runs on. Several nodes of a host share the ports for beacons.
    pub host: String,
    /// When it starts.
    #[serde(default)]
    pub start_ms: u64,
    /// Whether it takes everything that it is offered.
    #[serde(default = "yes")]
    pub takes_offers: bool,
    /// Whether the links that it dials use AES-256-GCM.
    #[serde(default)]
    pub aes: bool,
    /// Whether it shows a wrong badge, so that nobody may trust it.
    #[serde(default)]
    pub impostor: bool,
    /// Whether it declines what it does not take.
    #[serde(default, skip_serializing_if = "is_no")]
    pub declines: bool,
    /// Whether its tables are tiny and its record is good for seconds only. None of the core is so.
    #[serde(default, skip_serializing_if = "is_no")]
    pub small: bool,
}

/// A text to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextPlan {
    /// When.
    pub at_ms: u64,
    /// Who sends it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// How long it is.
    #[serde(default)]
    pub bytes: usize,
}

/// Content to publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentPlan {
    /// When.
    pub at_ms: u64,
    /// Who publishes it.
    pub from: String,
    /// How long it is.
    pub bytes: usize,
    /// Another node that publishes the same content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// When it is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraw_ms: Option<u64>,
}

/// An address by hand: that of `to`, as it is then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialPlan {
    /// When.
    pub at_ms: u64,
    /// Who dials.
    pub from: String,
    /// Whom.
    pub to: String,
}

/// An application that parts from a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartPlan {
    /// When.
    pub at_ms: u64,
    /// Who parts.
    pub node: String,
    /// From whom.
    pub from: String,
}

/// A departure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeavePlan {
    /// When.
    pub at_ms: u64,
    /// Who leaves.
    pub node: String,
}

/// What is wrong with a plan, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong, with the nearest valid name where there is one.
    pub message: String,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl Plan {
    /// Reads a plan and checks it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Plan, PlanError> {
        let plan: Plan = toml::from_str(text).map_err(|error| from_toml(text, &error))?;
        plan.validate()
            .map_err(|message| PlanError { line: line_with_first_name(text, &message), message })?;
        Ok(plan)
    }

    /// The plan as TOML; [`parse`](Self::parse) gives the same plan back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Only maps with keys that are not strings, and values before tables, could fail.
        toml::to_string(self).unwrap_or_default()
    }

    /// Until when faults happen.
    #[must_use]
    pub fn chaos(&self) -> Duration {
        Duration::from_millis(self.chaos_ms)
    }

    pub(crate) fn node(&self, name: &str) -> Option<usize> {
        self.node.iter().position(|node| node.name == name)
    }

    pub(crate) fn host(&self, name: &str) -> Option<usize> {
        self.host.iter().position(|host| host.name == name)
    }

    pub(crate) fn lan(&self, name: &str) -> Option<usize> {
        self.lan.iter().position(|lan| lan.name == name)
    }

    pub(crate) fn is_core(&self, node: usize) -> bool {
        self.node.get(node).is_some_and(|node| self.core.contains(&node.name))
    }

    /// Whether every name exists once and every number makes sense.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.schema != PLAN_SCHEMA {
            return Err(format!("this program reads plans of schema {PLAN_SCHEMA}, not {}", self.schema));
        }
        let links: Vec<&str> = self.link.iter().map(|link| link.name.as_str()).collect();
        let lans: Vec<&str> = self.lan.iter().map(|lan| lan.name.as_str()).collect();
        let hosts: Vec<&str> = self.host.iter().map(|host| host.name.as_str()).collect();
        let nodes: Vec<&str> = self.node.iter().map(|node| node.name.as_str()).collect();
        for (kind, names, most) in [
            ("link", &links, 256),
            ("network", &lans, 200),
            ("host", &hosts, 10_000),
            ("node", &nodes, 10_000),
        ] {
            if names.len() > most {
                return Err(format!("{most} {kind}s at most, not {}", names.len()));
            }
            let mut sorted = names.to_vec();
            sorted.sort_unstable();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(format!("there are two {kind}s `{}`", pair[0]));
            }
            if let Some(odd) = names.iter().find(|name| {
                name.is_empty()
                    || name.len() > 32
                    || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            }) {
                return Err(format!(
                    "`{}` is no name: 1 to 32 letters, digits and dashes",
                    odd.escape_debug()
                ));
            }
        }
        if nodes.is_empty() || hosts.is_empty() || lans.is_empty() {
            return Err("a plan needs a lan, a host and a node at least".to_owned());
        }
        let known = |kind: &str, name: &str, names: &[&str]| -> Result<(), String> {
            if names.contains(&name) {
                return Ok(());
            }
            let hint = crate::nearest::nearest(name, names.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            Err(format!("there is no {kind} `{}`{hint}", name.escape_debug()))
        };
        for link in &self.link {
            link.validate()?;
        }
        for lan in &self.lan {
            if let Some(link) = &lan.link {
                known("link", link, &links)?;
            }
            lan.isolated.iter().try_for_each(|host| known("host", host, &hosts))?;
            if !(68..=65_535).contains(&lan.mtu) {
                return Err(format!("`{}`: an mtu is between 68 and 65535, not {}", lan.name, lan.mtu));
            }
        }
        for host in &self.host {
            host.lans.iter().try_for_each(|lan| known("lan", lan, &lans))?;
            if host.lans.is_empty() {
                return Err(format!("`{}` is in no lan", host.name));
            }
            if host.clock_drift_ppm.abs() > 100_000 {
                return Err(format!("`{}`: a clock drifts by 100000 ppm at most", host.name));
            }
        }
        for path in &self.path {
            known("host", &path.from, &hosts)?;
            known("host", &path.to, &hosts)?;
            known("link", &path.link, &links)?;
        }
        for node in &self.node {
            known("host", &node.host, &hosts)?;
        }
        for name in self.core.iter().chain(&self.leaver) {
            known("node", name, &nodes)?;
        }
        if let Some(leaver) = self.leaver.as_ref().filter(|leaver| !self.core.contains(leaver)) {
            return Err(format!("`{leaver}` leaves in the end but is not of the core"));
        }
        for fault in &self.fault {
            fault.validate(&known, &nodes, &hosts, &lans, &links)?;
        }
        for text in &self.text {
            known("node", &text.from, &nodes)?;
            known("node", &text.to, &nodes)?;
            if text.bytes > p2pnet_engine::MAX_TEXT {
                return Err(format!("a text has {} bytes at most", p2pnet_engine::MAX_TEXT));
            }
        }
        for content in &self.content {
            known("node", &content.from, &nodes)?;
            content.twin.iter().try_for_each(|twin| known("node", twin, &nodes))?;
            if content.bytes > 1 << 28 {
                return Err("simulated content has 256 MiB at most".to_owned());
            }
        }
        for dial in &self.dial {
            known("node", &dial.from, &nodes)?;
            known("node", &dial.to, &nodes)?;
        }
        for part in &self.part {
            known("node", &part.node, &nodes)?;
            known("node", &part.from, &nodes)?;
        }
        if let Some(small) = self.node.iter().find(|node| node.small && self.core.contains(&node.name)) {
            return Err(format!("`{}` is small and cannot be of the core", small.name));
        }
        #[cfg(feature = "planted")]
        super::planting::validate(self, &known, &nodes)?;
        self.leave.iter().try_for_each(|leave| known("node", &leave.node, &nodes))
    }
}

impl LinkPlan {
    fn validate(&self) -> Result<(), String> {
        let shares = [
            ("loss", self.loss),
            ("burst_loss", self.burst_loss),
            ("enter_burst", self.enter_burst),
            ("leave_burst", self.leave_burst),
            ("duplication", self.duplication),
            ("reordering", self.reordering),
            ("corruption", self.corruption),
            ("truncation", self.truncation),
            ("partial_reads", self.partial_reads),
            ("stream_corruption", self.stream_corruption),
        ];
        if let Some((name, share)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(format!("`{}`: {name} is between 0.0 and 1.0, not {share}", self.name));
        }
        if self.bandwidth == 0 {
            return Err(format!("`{}`: a bandwidth is at least 1 byte a second", self.name));
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_no(flag: &bool) -> bool {
    !flag
}

const fn yes() -> bool {
    true
}

const fn ethernet_mtu() -> usize {
    1500
}

/// The error of the TOML reader, with its line and, for an unknown name, the nearest of those that it expected.
fn from_toml(text: &str, error: &toml::de::Error) -> PlanError {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    // "unknown field `x`, expected one of `a`, `b`": the first in backticks is what was found.
    let message = error.message().to_owned();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let hint = match quoted.next() {
        Some(found) if message.starts_with("unknown") => {
            crate::nearest::nearest(found, quoted).map(|near| format!("; did you mean `{near}`?"))
        }
        _ => None,
    };
    PlanError { line, message: message.clone() + &hint.unwrap_or_default() }
}

/// The line on which the first name in backticks of a message stands, so that people find it.
fn line_with_first_name(text: &str, message: &str) -> Option<usize> {
    let name = message.split('`').nth(1)?;
    let quoted = format!("\"{name}\"");
    let mut lines = (1..).zip(text.lines());
    if message.starts_with("there are two") {
        // The second of them is the one that is wrong.
        let named = format!("name = {quoted}");
        return lines.filter(|(_, line)| line.contains(&named)).last().map(|(number, _)| number);
    }
    lines.find(|(_, line)| line.contains(&quoted)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
schema = 1
seed = 7
chaos_ms = 1000
quiet_ms = 1000
core = ["a", "b"]

[[lan]]
name = "lan"

[[host]]
name = "one"
lans = ["lan"]

[[node]]
name = "a"
host = "one"

[[node]]
name = "b"
host = "one"

[[fault]]
kind = "pause"
node = "a"
at_ms = 100
for_ms = 200
"#;

    #[test]
    fn a_plan_comes_back_from_its_toml() {
        let plan = Plan::parse(SMALL).unwrap();
        assert_eq!(Plan::parse(&plan.to_toml()).unwrap(), plan);
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_line_and_the_nearest_name() {
        for (right, wrong, line, hint) in [
            ("chaos_ms", "choas_ms", Some(4), "`chaos_ms`"),
            ("core = [\"a\"", "core = [\"aa\"", Some(6), "did you mean `a`"),
            ("lans = [\"lan\"]", "lans = [\"lam\"]", Some(13), "did you mean `lan`"),
            ("kind = \"pause\"", "kind = \"pauze\"", None, "did you mean `pause`"),
            ("for_ms = 200", "for_mss = 200", None, "`for_ms`"),
            ("schema = 1", "schema = 2", None, "schema 1"),
            ("seed = 7", "seed = \"x\"", Some(3), "u64"),
            ("name = \"b\"", "name = \"a\"", Some(20), "two nodes `a`"),
        ] {
            assert!(SMALL.contains(right), "{right}");
            let error = Plan::parse(&SMALL.replacen(right, wrong, 1)).unwrap_err();
            assert!(error.message.contains(hint), "{error}");
            if line.is_some() {
                assert_eq!(error.line, line, "{error}");
            }
        }
    }
}
