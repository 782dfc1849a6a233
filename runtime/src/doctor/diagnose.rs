//! From what was found to what is wrong: a pure function, so that each conclusion has a test.
//!
//! The reasoning goes from this host outwards. What does not come back to ourselves is dropped by this host; what
//! comes back to us and does not reach a peer that otherwise answers is dropped on the way; what a heard peer does not
//! answer is dropped there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use p2pnet_engine::{Level, Rung};

use super::cause::{Cause, Diagnosis, Severity, open_ports};
use super::findings::{
    Findings, InterfaceFound, Kind, Neighbour, NotStarted, PeerFound, RefusedFor, SendErrorKind, Tried,
    TriedOutcome,
};
use super::why::{Outcome, Why};

/// Beacons of others come every 20 s at the most; what is older than this is history.
const RECENT_MS: u64 = 60_000;

/// The clocks may differ by so much before it is worth a word.
const CLOCK_MS: u64 = 2_000;

/// Rungs that networks filter together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Broadcast,
    Multicast,
}

impl Group {
    fn contains(self, rung: Rung) -> bool {
        match self {
            Group::Broadcast => matches!(rung, Rung::DirectedBroadcast | Rung::LimitedBroadcast),
            Group::Multicast => rung == Rung::Multicast4,
        }
    }

    fn cause(self) -> Cause {
        match self {
            Group::Broadcast => Cause::BroadcastFiltered,
            Group::Multicast => Cause::MulticastFiltered,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Group::Broadcast => "broadcast",
            Group::Multicast => "multicast",
        }
    }
}

/// What is wrong, what keeps peers from meeting first and then by how sure it is. Empty if all is well.
#[must_use]
pub fn diagnose(findings: &Findings) -> Vec<Diagnosis> {
    let mut case = Case { findings, found: Vec::new() };
    case.start();
    case.ports();
    case.sending();
    for interface in &findings.interfaces {
        case.interface(interface);
    }
    case.refusals();
    case.routes();
    case.peers();
    case.addresses();
    case.container();
    case.clock();
    case.nobody();
    let mut found = case.found;
    found.sort_by_key(|diagnosis| (diagnosis.severity, diagnosis.cause));
    found
}

/// What was looked at and is in order, in sentences.
#[must_use]
pub fn verified(findings: &Findings) -> Vec<String> {
    let mut verified = Vec::new();
    let ports: Vec<_> = findings.designated_ports.iter().map(u16::to_string).collect();
    if findings.ports_refused.is_empty() && findings.not_started.is_none() {
        verified.push(format!("UDP {} are listened on", ports.join(", ")));
    }
    for interface in &findings.interfaces {
        let back: Vec<_> = interface
            .rungs
            .iter()
            .filter(|rung| is_new(findings, rung.own_heard_ago_ms))
            .map(|rung| rung.rung.as_str())
            .collect();
        if !back.is_empty() {
            verified.push(format!(
                "{}: what we send by {} comes back to us",
                interface.name,
                back.join(", ")
            ));
        }
    }
    for peer in &findings.peers {
        let Why { name, heard_us, we_heard, level, .. } = &peer.why;
        let id = peer.why.peer.short();
        if !heard_us.is_empty() {
            verified.push(format!("{name} ({id}) hears us by {}", rungs(heard_us)));
        }
        if !we_heard.is_empty() {
            verified.push(format!("we hear {name} ({id}) by {}", rungs(we_heard)));
        }
        if *level == Level::Trusted {
            verified.push(format!("{name} ({id}) is linked and trusted"));
        }
    }
    if findings.stolen_routes.is_empty() && findings.system == "linux" {
        verified.push("the routes to our subnets lead by their own interfaces".to_owned());
    }
    if findings.refusals.iter().all(|refused| refused.ago_ms > RECENT_MS) {
        verified.push("nobody of another network or version was heard".to_owned());
    }
    if findings.clock_moved_ms.unsigned_abs() <= CLOCK_MS {
        verified.push("the clock ran evenly".to_owned());
    }
    verified
}

struct Case<'a> {
    findings: &'a Findings,
    found: Vec<Diagnosis>,
}

impl Case<'_> {
    /// Why no node could be started.
    fn start(&mut self) {
        let mut interfaces = self.findings.interfaces.iter();
        let none = self.findings.not_started.is_none()
            && !self.findings.chosen
            && interfaces.all(|interface| interface.kind == Kind::Loopback);
        if none || self.findings.not_started == Some(NotStarted::NoInterface) {
            self.problem(
                Cause::NoInterface,
                "this host",
                "No network interface is up with an address, apart from loopback.",
                "Connect a cable or join a Wi-Fi network; to stay on this machine use --interface lo.",
            );
        }
    }

    /// Designated ports that cannot be had.
    fn ports(&mut self) {
        let mut told = BTreeSet::new();
        for refused in &self.findings.ports_refused {
            if !told.insert(refused.port) {
                continue;
            }
            let port = refused.port;
            let about = format!("UDP {port}");
            let evidence = format!("{}: {}", refused.interface, refused.message);
            let diagnosis = if refused.taken {
                let holder = refused.holder.as_deref().unwrap_or("another program");
                self.problem(
                    Cause::PortTaken,
                    &about,
                    &format!("Port {port} is held by {holder}, which shares it with nobody."),
                    "End that program, or give all nodes other ports with --ports. This shows who it is:",
                )
                .commands([format!("sudo ss -ulpn 'sport = :{port}'")])
            } else {
                self.problem(
                    Cause::PortForbidden,
                    &about,
                    &format!("The system does not let this program listen on port {port}."),
                    "Allow it (a sandbox or a security module may forbid it), or give all nodes other ports with --ports.",
                )
            };
            diagnosis.evidence(evidence);
        }
    }

    /// Datagrams that the system would not send.
    fn sending(&mut self) {
        let mac = self.findings.system == "macos";
        let mut told = BTreeSet::new();
        for error in &self.findings.send_errors {
            let missing_permission = mac && error.kind == SendErrorKind::HostUnreachable;
            if !(is_new(self.findings, Some(error.ago_ms))
                && (error.kind == SendErrorKind::Forbidden || missing_permission)
                && told.insert(error.interface.as_str()))
            {
                continue;
            }
            let interface = &error.interface;
            let diagnosis = if mac {
                self.problem(
                    Cause::LocalNetworkPermission,
                    interface,
                    "macOS does not let this program use the local network.",
                    "Allow it in System Settings, Privacy & Security, Local Network (for the terminal that it runs in), and start it again.",
                )
            } else {
                self.problem(
                    Cause::OutboundBlocked,
                    interface,
                    &format!("This host's firewall does not let us send on {interface}."),
                    "Allow outgoing UDP, and TCP to ports 8051 to 9000, in the chain that drops it; this lists the rules:",
                )
                .commands(["sudo nft list ruleset".to_owned()])
            };
            diagnosis.evidence(format!("sending to {}: {}", error.destination, error.message));
        }
    }

    /// What comes back to ourselves, and what gets through to peers, on one interface.
    fn interface(&mut self, interface: &InterfaceFound) {
        let name = &interface.name;
        let silenced = [Cause::OutboundBlocked, Cause::LocalNetworkPermission];
        if interface.kind == Kind::Tunnel || silenced.into_iter().any(|cause| self.has(cause, name)) {
            return;
        }
        let wide = interface.rungs.iter().filter(|rung| {
            matches!(
                rung.rung,
                Rung::DirectedBroadcast | Rung::LimitedBroadcast | Rung::Multicast4 | Rung::Loopback
            )
        });
        let sent: Vec<_> = wide.filter(|rung| is_new(self.findings, rung.last_sent_ago_ms)).collect();
        let findings = self.findings;
        let came_back = |rung: &&&super::findings::RungFound| is_new(findings, rung.own_heard_ago_ms);
        if !sent.is_empty() && !sent.iter().any(|rung| came_back(&rung)) {
            let rungs: Vec<_> = sent.iter().map(|rung| rung.rung.as_str()).collect();
            self.inbound_closed(name).evidence(format!(
                "of what we sent by {} nothing came back to our own sockets",
                rungs.join(", ")
            ));
            return;
        }
        for group in [Group::Broadcast, Group::Multicast] {
            let of_group: Vec<_> = sent.iter().filter(|rung| group.contains(rung.rung)).collect();
            if of_group.is_empty() {
                continue;
            }
            if of_group.iter().any(&came_back) {
                self.on_the_way(interface, group);
            } else {
                let kind = group.name();
                let commands = self.open_ports();
                self.problem(
                    group.cause(),
                    name,
                    &format!("This host drops incoming {kind}s on {name}."),
                    &format!("Let {kind}s to the ports of p2pnet in. If the chain is called otherwise, `sudo nft list ruleset` tells:"),
                )
                .commands(commands)
                .evidence(format!("our own {kind}s did not come back to us, others did"));
            }
        }
    }

    /// A group that comes back to ourselves: whether it reaches others.
    fn on_the_way(&mut self, interface: &InterfaceFound, group: Group) {
        let name = &interface.name;
        let here = |peer: &&PeerFound| peer.interface.as_deref() == Some(name);
        // Who answers some rungs tells about the others. Who is linked and was never heard tells that none gets here. Who
        // was heard and answers nothing may be busy, or have its answers dropped.
        let listened = self.findings.listened_ms;
        let was_heard =
            |why: &Why| why.heard.iter().any(|heard| heard.beacons > 0 && heard.ago_ms <= listened);
        let answers = |peer: &&PeerFound| {
            let why = &peer.why;
            !why.heard_us.is_empty()
                || why.level >= Level::Connected && (!why.we_heard.is_empty() || !was_heard(why))
        };
        let peers: Vec<_> = self.findings.peers.iter().filter(here).filter(answers).collect();
        let hears = |peer: &&&PeerFound| peer.why.heard_us.iter().any(|&rung| group.contains(rung));
        let is_heard = |peer: &&&PeerFound| peer.why.we_heard.iter().any(|&rung| group.contains(rung));
        let (out, back) = (peers.iter().any(|peer| hears(&peer)), peers.iter().any(|peer| is_heard(&peer)));
        // Peers rate their answers, so one that is missing means little; that both directions are dead means something.
        if peers.is_empty() || out || back {
            return;
        }
        let kind = group.name();
        let names: Vec<_> = peers.iter().take(4).map(|peer| who(&peer.why)).collect();
        let names = names.join(", ");
        let remedy = match group {
            Group::Broadcast => {
                "Switch the broadcast filter of the access point or switch off; until then multicast or --peer HOST:PORT have to do."
            }
            Group::Multicast => {
                "Switch IGMP snooping or the multicast filter of the access point or switch off; until then broadcast or --peer HOST:PORT have to do."
            }
        };
        self.problem(
            group.cause(),
            name,
            &format!("The network drops {kind}s between {name} and its peers."),
            remedy,
        )
        .evidence(format!("our {kind}s come back to us; {names} did not hear them, nor we any of theirs"));
    }

    /// Who was heard and not understood.
    fn refusals(&mut self) {
        let met = self.findings.peers.iter().any(|peer| peer.why.level >= Level::Connected);
        let recent: Vec<_> =
            self.findings.refusals.iter().filter(|refused| refused.ago_ms <= RECENT_MS).collect();
        let ours = self.findings.protocol;
        for refused in &recent {
            let RefusedFor::OtherVersion(version) = refused.cause else { continue };
            let about = refused.source.to_string();
            let older = if version < ours { "there" } else { "here" };
            self.problem(
                Cause::OtherVersion,
                &about,
                &format!("{about} speaks version {version} of the protocol, and this is version {ours}."),
                &format!("Update p2pnet {older}."),
            )
            .evidence(format!("{} datagrams of version {version}", refused.count));
        }
        let others: Vec<_> =
            recent.iter().filter(|refused| refused.cause == RefusedFor::OtherNetwork).collect();
        if let Some(first) = others.first() {
            let count: u64 = others.iter().map(|refused| refused.count).sum();
            let sources: BTreeSet<_> = others.iter().map(|refused| refused.source.ip().to_string()).collect();
            let sources: Vec<_> = sources.into_iter().take(4).collect();
            let closed =
                if self.findings.closed { "the same secret file" } else { "the same secret, or none" };
            let network = &self.findings.network;
            let severity = if met { Severity::Note } else { Severity::Problem };
            let sentence =
                format!("{} is there with another network name or another secret.", sources.join(", "));
            let remedy =
                format!("Give both sides the same --network (here: {network}) and {closed} (--secret-file).");
            self.add(severity, Cause::OtherNetwork, &first.source.ip().to_string(), &sentence, &remedy)
                .evidence(format!("{count} beacons that our network's key does not open"));
        }
    }

    /// Subnets of ours that are reached by something else.
    fn routes(&mut self) {
        let mut told = BTreeSet::new();
        for stolen in &self.findings.stolen_routes {
            if !told.insert((&stolen.interface, &stolen.by)) {
                continue;
            }
            let (interface, by) = (&stolen.interface, &stolen.by);
            let evidence = format!("the way to {} leads by {by}", stolen.towards);
            match stolen.by_kind {
                Kind::Tunnel => self
                    .problem(
                        Cause::VpnOwnsRoute,
                        interface,
                        &format!("The VPN {by} owns the route to the network of {interface}."),
                        "Allow access to the local network in the VPN's settings (split tunnelling), or end the VPN.",
                    )
                    .evidence(evidence),
                Kind::Virtual => self
                    .problem(
                        Cause::ContainerBridge,
                        interface,
                        &format!("The bridge {by} to containers has addresses of the network of {interface}."),
                        "Give the bridge another subnet (for docker: `bip` and `default-address-pools` in daemon.json).",
                    )
                    .evidence(evidence),
                Kind::Lan | Kind::Loopback => {}
            }
        }
    }

    /// Peers that were heard and are not linked, or only by luck.
    fn peers(&mut self) {
        if self.found.iter().any(|diagnosis| diagnosis.cause == Cause::OutboundBlocked) {
            return;
        }
        for peer in &self.findings.peers {
            let why = &peer.why;
            let about = who(why);
            let asked_us = why.asked_us_to_dial_ago_ms.is_some_and(|ago| ago <= RECENT_MS);
            if asked_us && let Some(interface) = &peer.interface {
                if !self.has(Cause::InboundClosed, interface) {
                    self.inbound_closed(interface).evidence(format!(
                        "{about} asks us to dial it, because its own dials do not get here"
                    ));
                }
                continue;
            }
            let heard = why.heard.iter().any(|heard| heard.ago_ms <= RECENT_MS);
            if why.level >= Level::Connected || !heard {
                continue;
            }
            let recent: Vec<_> = why.dials.iter().filter(|dial| dial.ago_ms <= RECENT_MS).collect();
            let timed_out: Vec<_> = recent.iter().filter(|dial| dial.outcome == Outcome::TimedOut).collect();
            let ours = |tried: &&Tried| why.heard.iter().any(|heard| heard.source == tried.address);
            let tried_in_vain = |tried: &Tried| tried.outcome == TriedOutcome::TimedOut;
            let tried = self.findings.tried.iter().filter(ours).find(|tried| tried_in_vain(tried));
            if let Some(address) =
                timed_out.last().map(|dial| dial.address).or(tried.map(|tried| tried.address))
            {
                let evidence = format!(
                    "its beacons reach us; {} dials to {address} had no answer",
                    timed_out.len().max(1)
                );
                self.peer_closed(&about, &about).evidence(evidence);
            } else if recent.iter().any(|dial| dial.outcome == Outcome::Refused) {
                self.nothing_listens(&about);
            }
        }
    }

    /// Addresses that were given by hand.
    fn addresses(&mut self) {
        let given: Vec<_> = self.findings.tried.iter().filter(|tried| tried.given).collect();
        for tried in given {
            let about = tried.address.to_string();
            let ip = tried.address.ip();
            let linked =
                |peer: &PeerFound| peer.why.linked.as_ref().is_some_and(|link| link.address.ip() == ip);
            let heard = |peer: &PeerFound| peer.why.heard.iter().any(|heard| heard.source.ip() == ip);
            if self.findings.peers.iter().any(|peer| linked(peer) || heard(peer)) || self.led_astray(tried) {
                continue;
            }
            if tried.outcome == TriedOutcome::Forbidden {
                if !self.found.iter().any(|diagnosis| diagnosis.cause == Cause::OutboundBlocked) {
                    self.problem(
                        Cause::OutboundBlocked,
                        &about,
                        &format!("This host's firewall does not let us connect to {about}."),
                        "Allow outgoing TCP to ports 8051 to 9000 in the chain that drops it; this lists the rules:",
                    )
                    .commands(["sudo nft list ruleset".to_owned()]);
                }
                continue;
            }
            if self.found.iter().any(|diagnosis| diagnosis.cause == Cause::OutboundBlocked) {
                continue;
            }
            let unreachable = tried.outcome == TriedOutcome::HostUnreachable
                || tried.outcome == TriedOutcome::NetworkUnreachable;
            if unreachable || tried.neighbour == Neighbour::Silent {
                self.silent(tried, &about);
                continue;
            }
            match tried.outcome {
                TriedOutcome::TimedOut => {
                    self.peer_closed(&about, &format!("the host of {about}"))
                        .evidence(format!("{about} is there and did not answer a connection"));
                }
                TriedOutcome::Refused => {
                    self.nothing_listens(&about);
                }
                TriedOutcome::Connected
                    if self.findings.handshakes_failed > 0 && !self.any(Cause::OtherNetwork) =>
                {
                    self.problem(
                        Cause::OtherNetwork,
                        &about,
                        &format!("{about} answers with another network name or another secret."),
                        "Give both sides the same --network and the same --secret-file.",
                    )
                    .evidence("it took a connection and the handshake failed".to_owned());
                }
                _ => {}
            }
        }
    }

    /// A given address whose host does not answer at all.
    fn silent(&mut self, tried: &Tried, about: &str) {
        let gateways: Vec<_> = self
            .findings
            .gateways
            .iter()
            .filter(|gateway| tried.subnet_of.as_deref() == Some(gateway.interface.as_str()))
            .collect();
        let answering = gateways.iter().find(|gateway| gateway.neighbour == Neighbour::Answers);
        let interface = tried.subnet_of.clone();
        if let (Some(gateway), Some(interface)) = (answering, &interface) {
            let evidence = [
                format!("{} does not answer on the link layer (ARP)", tried.address.ip()),
                format!("the router {} does", gateway.address),
            ];
            let diagnosis = self.problem(
                Cause::ApIsolation,
                interface,
                &format!("The access point of {interface} seems to isolate its clients: the router answers, {about} does not."),
                "Switch client isolation (AP isolation, guest network) off, or use one cable. If the other host is off or has another address, it looks the same.",
            );
            for line in evidence {
                diagnosis.evidence.push(line);
            }
            return;
        }
        let router = gateways.iter().any(|gateway| gateway.neighbour == Neighbour::Silent);
        let remedy = if router {
            "Not even the router answers: check the cable or the Wi-Fi of this host."
        } else {
            "Check that it is on, that its address is right, and that both are on one network."
        };
        self.problem(Cause::HostSilent, about, &format!("No host answers at {about}."), remedy)
            .evidence("it does not answer on the link layer (ARP), or there is no way to it".to_owned());
    }

    /// Whether the way to an address of our own subnet leads by another interface; that is told elsewhere.
    fn led_astray(&self, tried: &Tried) -> bool {
        let own = tried.subnet_of.as_deref();
        self.findings.stolen_routes.iter().any(|stolen| {
            Some(stolen.interface.as_str()) == own && tried.by.as_deref() == Some(stolen.by.as_str())
        })
    }

    /// Whether only containers can be seen from here.
    fn container(&mut self) {
        if self.found.iter().any(|diagnosis| diagnosis.severity == Severity::Problem)
            || self.findings.peers.iter().any(|peer| peer.why.level >= Level::Connected)
        {
            return;
        }
        let outward: Vec<_> =
            self.findings.interfaces.iter().filter(|interface| interface.kind != Kind::Loopback).collect();
        if outward.is_empty() {
            return;
        }
        let names = outward.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", ");
        // A container may well have the host's network, so its own must look like one.
        let inside = |interface: &&InterfaceFound| {
            let mut v4 = interface.addrs.iter().filter(|(ip, _)| ip.is_ipv4()).peekable();
            v4.peek().is_some() && v4.all(|(ip, _)| is_of_containers(*ip))
        };
        if let Some(container) = self.findings.container.clone().filter(|_| outward.iter().all(inside)) {
            self.problem(
                Cause::ContainerBridge,
                &names,
                &format!("This runs in a container ({container}): broadcasts do not leave the bridge that {names} is on."),
                "Run the container with the host's network (`--network host`), or give --peer HOST:PORT.",
            )
            .evidence(format!("{names} has an address of those that are given to containers"));
        } else if outward.iter().all(|interface| interface.kind == Kind::Virtual) {
            self.problem(
                Cause::ContainerBridge,
                &names,
                &format!("The only networks here are bridges to containers or virtual machines ({names})."),
                "Connect a cable or join a Wi-Fi network, or name the right interface with --interface.",
            );
        }
    }

    fn clock(&mut self) {
        let moved = self.findings.clock_moved_ms;
        if self.findings.clock_moved_ms.unsigned_abs() > CLOCK_MS {
            self.add(
                Severity::Note,
                Cause::ClockJumped,
                "this host",
                "The clock jumped while it was listened: the host slept, or its clock was set.",
                "Nothing of p2pnet depends on the time of day; ask again if something looked wrong.",
            )
            .evidence(format!("by {moved} ms"));
        }
    }

    /// Nobody was heard although nothing is wrong so far.
    fn nobody(&mut self) {
        let heard = !self.findings.peers.is_empty() || !self.findings.refusals.is_empty();
        if heard || self.found.iter().any(|diagnosis| diagnosis.severity == Severity::Problem) {
            return;
        }
        // Whoever stays on one machine knows whether somebody else should be there.
        let only_here = self.findings.interfaces.iter().all(|interface| interface.kind == Kind::Loopback);
        let severity = if only_here { Severity::Note } else { Severity::Problem };
        let names: Vec<_> = self
            .findings
            .interfaces
            .iter()
            .filter(|interface| only_here || interface.kind != Kind::Loopback)
            .map(|interface| interface.name.as_str())
            .collect();
        let names = names.join(", ");
        let remedy = if only_here {
            "Start another node: p2pnet up --interface lo."
        } else {
            "Start p2pnet on another host. If it runs there already, ask there as well, and give its address here: \
             p2pnet doctor --peer HOST:PORT tells whether the network filters, isolates, or is another one."
        };
        self.add(
            severity,
            Cause::NobodyHeard,
            &names,
            &format!("Nobody else was heard on {names}; what can be checked from here alone is in order."),
            remedy,
        );
    }

    fn inbound_closed(&mut self, interface: &str) -> &mut Diagnosis {
        let commands = self.open_ports();
        let remedy = if commands.iter().any(|command| command.contains("nft")) {
            "Open the ports of p2pnet. If the table or the chain is called otherwise, `sudo nft list ruleset` tells:"
        } else {
            "Open the ports of p2pnet:"
        };
        self.problem(
            Cause::InboundClosed,
            interface,
            &format!("This host's firewall lets nothing in on {interface}."),
            remedy,
        )
        .commands(commands)
    }

    fn peer_closed(&mut self, about: &str, host: &str) -> &mut Diagnosis {
        let commands = open_ports(&[], &self.findings.designated_ports);
        self.problem(
            Cause::PeerInboundClosed,
            about,
            &format!("The firewall of {host} lets nothing in."),
            "Open the ports of p2pnet there. What fits its firewall, on that host:",
        )
        .commands(commands)
    }

    fn nothing_listens(&mut self, about: &str) {
        self.problem(
            Cause::NothingListens,
            about,
            &format!("The host of {about} is there, but no p2pnet listens on that port."),
            "Start p2pnet there, and give the port that it prints (`listening ... on port`).",
        )
        .evidence("the connection was refused".to_owned());
    }

    fn open_ports(&self) -> Vec<String> {
        open_ports(&self.findings.firewalls, &self.findings.designated_ports)
    }

    fn problem(&mut self, cause: Cause, about: &str, sentence: &str, remedy: &str) -> &mut Diagnosis {
        self.add(Severity::Problem, cause, about, sentence, remedy)
    }

    fn add(
        &mut self,
        severity: Severity,
        cause: Cause,
        about: &str,
        sentence: &str,
        remedy: &str,
    ) -> &mut Diagnosis {
        self.found.push_mut(Diagnosis {
            cause,
            severity,
            about: about.to_owned(),
            sentence: sentence.to_owned(),
            remedy: remedy.to_owned(),
            commands: Vec::new(),
            evidence: Vec::new(),
        })
    }

    fn any(&self, cause: Cause) -> bool {
        self.found.iter().any(|diagnosis| diagnosis.cause == cause)
    }

    fn has(&self, cause: Cause, about: &str) -> bool {
        self.found.iter().any(|diagnosis| diagnosis.cause == cause && diagnosis.about == about)
    }
}

impl Diagnosis {
    fn commands(&mut self, commands: impl IntoIterator<Item = String>) -> &mut Self {
        self.commands.extend(commands);
        self
    }

    fn evidence(&mut self, evidence: String) {
        self.evidence.push(evidence);
    }
}

/// Whether it was while it was listened, and not long before.
fn is_new(findings: &Findings, ago_ms: Option<u64>) -> bool {
    ago_ms.is_some_and(|ago| ago <= findings.listened_ms)
}

fn who(why: &Why) -> String {
    format!("{} ({})", why.name, why.peer.short())
}

fn rungs(rungs: &[Rung]) -> String {
    rungs.iter().map(|rung| rung.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether an address is one that docker, podman or Kubernetes give by default.
fn is_of_containers(ip: IpAddr) -> bool {
    let IpAddr::V4(ip) = ip else { return false };
    matches!(ip.octets(), [172, 16..=31, ..] | [10, 88 | 244, ..])
}

/// Whether the address is on the subnet.
pub(super) fn contains((base, prefix): (IpAddr, u8), address: &SocketAddr) -> bool {
    let (IpAddr::V4(base), IpAddr::V4(ip)) = (base, address.ip()) else { return false };
    let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    base.to_bits() | hosts == ip.to_bits() | hosts
}
