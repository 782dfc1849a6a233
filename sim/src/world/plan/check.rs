//! Whether a plan makes sense: names that exist once, numbers in their ranges.

use super::{LinkPlan, PLAN_SCHEMA, Plan};

/// The largest table of peers that a node of a plan may have.
const MAX_PEERS: usize = 16_384;

impl Plan {
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
            if !lan.ipv4 && !lan.ipv6 {
                return Err(format!("`{}` has neither IPv4 nor IPv6", lan.name));
            }
            if !(68..=65_535).contains(&lan.mtu) {
                return Err(format!("`{}`: an mtu is between 68 and 65535, not {}", lan.name, lan.mtu));
            }
        }
        for host in &self.host {
            host.lans.iter().try_for_each(|lan| known("lan", lan, &lans))?;
            for lan in host.bridges.iter().chain(&host.tunnels) {
                known("lan", lan, &host.lans.iter().map(String::as_str).collect::<Vec<_>>())?;
            }
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
            node.trust.iter().try_for_each(|trust| trust.validate(&node.name, &known, &nodes))?;
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
        for adversary in &self.adversary {
            adversary.validate(self, &known, &nodes)?;
        }
        for text in &self.text {
            known("node", &text.from, &nodes)?;
            known("node", &text.to, &nodes)?;
            if text.bytes > p2pnet_engine::MAX_TEXT {
                return Err(format!("a text has {} bytes at most", p2pnet_engine::MAX_TEXT));
            }
        }
        for message in &self.message {
            known("node", &message.from, &nodes)?;
            message.to.iter().try_for_each(|to| known("node", to, &nodes))?;
            if message.bytes > p2pnet_engine::MAX_MESSAGE {
                return Err(format!("a message has {} bytes at most", p2pnet_engine::MAX_MESSAGE));
            }
        }
        if self.max_links == Some(0) {
            return Err("a node may have one link at least".to_owned());
        }
        if self.max_peers.is_some_and(|most| !(1..=MAX_PEERS).contains(&most)) {
            return Err(format!("a node keeps 1 to {MAX_PEERS} peers"));
        }
        for content in &self.content {
            known("node", &content.from, &nodes)?;
            content.twin.iter().try_for_each(|twin| known("node", twin, &nodes))?;
            if content.bytes > 1 << 28 {
                return Err("simulated content has 256 MiB at most".to_owned());
            }
        }
        for search in &self.search {
            known("node", &search.node, &nodes)?;
            search.scan()?;
        }
        self.hold.iter().try_for_each(|hold| known("node", &hold.node, &nodes))?;
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
        self.validate_wide(&known, &lans, &links)?;
        #[cfg(feature = "planted")]
        crate::world::planting::validate(self, &known, &nodes)?;
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
