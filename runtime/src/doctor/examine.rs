//! Looking: probes, connections to addresses, and what the host says.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use p2pnet_engine::{Interface, Level, PROTOCOL_VERSION, PeerId, Rung};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::diagnose::contains;
use super::findings::{
    Findings, Gateway, InterfaceFound, NotStarted, PeerFound, PortRefused, SendError, SendErrorKind,
    StolenRoute, Tried, TriedOutcome,
};
use super::host;
use super::mirror::{Names, named};
use super::text::millis;
use crate::error::{CommandError, StartError};
use crate::handle::NodeHandle;
use crate::os_host::OsHost;
use crate::report::NetworkReport;
use crate::seam::Host;

/// Addresses that are tried, given ones first.
pub const MAX_ADDRESSES: usize = 16;

/// The least and the most that it is worth to listen.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Probes are repeated, because peers are found meanwhile and datagrams are lost.
const PROBE_EVERY: Duration = Duration::from_millis(800);

/// How long a first probe waits: a node that was just started has to find its peers.
const FIRST_PROBE: Duration = Duration::from_millis(400);

/// How long after [`NodeHandle::probe`] most of what comes of it is there: three rounds in half a second, and the way.
pub const PROBED_AFTER: Duration = Duration::from_millis(900);

/// How often it is looked how far things are.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a connection may take. The kernel gives up asking for a neighbour's link-layer address after 3 s.
const CONNECT: Duration = Duration::from_millis(4500);

/// What to look at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// How long to listen: half a second to a minute. Less than 4 s may not tell a silent host from a firewall.
    pub listen: Duration,
    /// Addresses where peers should be; at most [`MAX_ADDRESSES`] are tried.
    pub addresses: Vec<SocketAddr>,
    /// The network's name, for the remedies.
    pub network: String,
    /// Whether a secret closes it, for the remedies.
    pub closed: bool,
    /// Whether its user named the interfaces to use. If not, having loopback alone is a cause.
    pub chosen: bool,
}

impl Default for Request {
    /// Five seconds, nowhere in particular.
    fn default() -> Self {
        Request {
            listen: Duration::from_secs(5),
            addresses: Vec::new(),
            network: "p2pnet".to_owned(),
            closed: false,
            chosen: false,
        }
    }
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// How long it still takes.
    pub left_ms: u64,
    /// Peers that are known so far.
    pub peers: u32,
    /// Those of them that answered a probe.
    pub answered: u32,
}

/// The rungs that got through between a peer and us: ours that it heard, its that we heard.
type Through = BTreeMap<PeerId, (BTreeSet<Rung>, BTreeSet<Rung>)>;

/// Looks at everything. `progress` is told a few times a second how far it is.
///
/// # Errors
/// If the node has stopped.
pub async fn examine(
    node: &NodeHandle,
    request: &Request,
    mut progress: impl FnMut(Progress),
) -> Result<Findings, CommandError> {
    let started = Instant::now();
    let wall = OsHost::new().wall_clock();
    let end = started + request.listen.clamp(SHORTEST, LONGEST);
    let mut tries = JoinSet::new();
    let mut trying: BTreeSet<SocketAddr> = BTreeSet::new();
    for &address in request.addresses.iter().take(MAX_ADDRESSES) {
        if trying.insert(address) {
            tries.spawn(connect(address, true));
        }
    }
    let gateways = host::gateways();
    if !trying.is_empty() {
        // Whether a silent neighbour means isolation depends on whether the router answers.
        gateways.iter().for_each(|(address, _)| host::look_for(*address));
    }

    let mut through = Through::new();
    let mut probed = false;
    let mut next_probe = started + FIRST_PROBE.min(request.listen / 4);
    loop {
        let survey = node.survey(BTreeMap::new()).await?;
        for (_, why) in &survey.peers {
            let (heard_us, we_heard) = through.entry(why.peer).or_default();
            heard_us.extend(&why.heard_us);
            we_heard.extend(&why.we_heard);
            // What was heard and is not linked is tried by our own hand too, where the time allows.
            let heard = why.heard.first().filter(|_| why.level == Level::Known);
            let in_time = end.saturating_duration_since(Instant::now()) >= Duration::from_secs(2);
            if let Some(heard) = heard.filter(|_| in_time && trying.len() < MAX_ADDRESSES)
                && heard.source.is_ipv4()
                && trying.insert(heard.source)
            {
                tries.spawn(connect(heard.source, false));
            }
        }
        let now = Instant::now();
        let answered = through.values().filter(|(heard_us, _)| !heard_us.is_empty()).count();
        progress(Progress {
            left_ms: millis(end.saturating_duration_since(now)),
            peers: u32::try_from(survey.peers.len()).unwrap_or(u32::MAX),
            answered: u32::try_from(answered).unwrap_or(u32::MAX),
        });
        if now >= end {
            break;
        }
        // The last one must have time to be answered.
        if now >= next_probe && (!probed || now + PROBE_EVERY <= end) {
            node.probe().await?;
            probed = true;
            next_probe = now + PROBE_EVERY;
        }
        sleep_until((now + LOOK_EVERY).min(end)).await;
    }

    let ended = finished(tries, end).await;
    // Now, and not before: interfaces come and go.
    let report = node.network_report().await?;
    let interfaces: Vec<Interface> = used(&report);
    // A way may lead by one that the node was told not to use.
    let all = OsHost::new().interfaces().unwrap_or_else(|_| interfaces.clone());
    let mut tried = Vec::new();
    for (address, given, outcome) in ended {
        let way = host::way_to(address, &all);
        let subnet_of = interfaces
            .iter()
            .find(|interface| interface.addrs.iter().any(|addr| contains((addr.ip, addr.prefix), &address)));
        tried.push(Tried {
            address,
            given,
            by: way,
            subnet_of: subnet_of.map(|interface| interface.name.clone()),
            outcome,
            neighbour: super::findings::Neighbour::Unknown,
        });
    }
    let table = host::neighbours();
    for tried in &mut tried {
        if let (IpAddr::V4(ip), Some(interface)) = (tried.address.ip(), &tried.subnet_of) {
            tried.neighbour = host::neighbour(&table, ip, interface);
        }
    }
    let gateways = gateways
        .into_iter()
        .map(|(address, interface)| {
            let neighbour = host::neighbour(&table, address, &interface);
            Gateway { address, interface, neighbour }
        })
        .collect();

    let names = names(&report);
    let mut survey = node.survey(names.clone()).await?;
    let peers: Vec<_> = survey
        .peers
        .into_iter()
        .map(|(interface, mut why)| {
            if let Some((heard_us, we_heard)) = through.remove(&why.peer) {
                why.heard_us.extend(heard_us);
                why.we_heard.extend(we_heard);
            }
            for rungs in [&mut why.heard_us, &mut why.we_heard] {
                rungs.sort();
                rungs.dedup();
            }
            let address = why.linked.as_ref().map(|linked| linked.address);
            let on_subnet = address.and_then(|address| {
                let on = |interface: &&Interface| {
                    interface.addrs.iter().any(|addr| contains((addr.ip, addr.prefix), &address))
                };
                interfaces.iter().find(on).map(|interface| interface.name.clone())
            });
            PeerFound { interface: interface.map(|id| named(&names, id)).or(on_subnet), why }
        })
        .collect();
    let found = interfaces.iter().map(|interface| InterfaceFound {
        name: interface.name.clone(),
        kind: host::kind(interface.kind),
        addrs: interface.addrs.iter().map(|addr| (addr.ip, addr.prefix)).collect(),
        rungs: survey.rungs.extract_if(.., |(id, _)| *id == interface.id).map(|(_, rung)| rung).collect(),
    });
    let interfaces_found = found.collect();
    let listened = started.elapsed();
    let moved = OsHost::new().wall_clock().as_millis().cast_signed()
        - wall.as_millis().cast_signed()
        - listened.as_millis().cast_signed();
    let towards = peers_addresses(&peers).chain(request.addresses.iter().copied()).collect::<Vec<_>>();
    Ok(Findings {
        designated_ports: report.designated_ports.clone(),
        private_port: report.private_port,
        listened_ms: millis(listened),
        interfaces: interfaces_found,
        stolen_routes: stolen_routes(&interfaces, &all, &towards),
        peers,
        refusals: survey.refusals,
        handshakes_failed: survey.handshakes_failed,
        tried,
        gateways,
        ports_refused: ports_refused(&report),
        send_errors: send_errors(&report),
        clock_moved_ms: i64::try_from(moved).unwrap_or_default(),
        ..of_host(request)
    })
}

/// What can be said when no node could be started; `None` if that has nothing to do with the network.
#[must_use]
pub fn not_started(error: &StartError, request: &Request, ports: &[u16]) -> Option<Findings> {
    let mut findings = of_host(request);
    findings.designated_ports = ports.to_vec();
    match error {
        StartError::NoInterface => findings.not_started = Some(NotStarted::NoInterface),
        StartError::AllPortsTaken { ports, source } => {
            findings.not_started = Some(NotStarted::PortsRefused);
            let refused = |&port: &u16| PortRefused {
                port,
                interface: "all interfaces".to_owned(),
                taken: source.kind() == io::ErrorKind::AddrInUse,
                message: source.to_string(),
                holder: host::holder(port),
            };
            findings.ports_refused = ports.iter().take(8).map(refused).collect();
        }
        _ => return None,
    }
    Some(findings)
}

/// What does not depend on a node.
fn of_host(request: &Request) -> Findings {
    Findings {
        system: std::env::consts::OS.to_owned(),
        network: request.network.clone(),
        closed: request.closed,
        chosen: request.chosen,
        protocol: PROTOCOL_VERSION,
        firewalls: host::firewalls(),
        container: host::container(),
        ..Findings::default()
    }
}

/// Tries a connection, and closes it at once.
async fn connect(address: SocketAddr, given: bool) -> (SocketAddr, bool, TriedOutcome) {
    let outcome = match timeout(CONNECT, TcpStream::connect(address)).await {
        Err(_) => TriedOutcome::TimedOut,
        Ok(Ok(_)) => TriedOutcome::Connected,
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => TriedOutcome::Refused,
            io::ErrorKind::TimedOut => TriedOutcome::TimedOut,
            io::ErrorKind::HostUnreachable => TriedOutcome::HostUnreachable,
            io::ErrorKind::NetworkUnreachable => TriedOutcome::NetworkUnreachable,
            io::ErrorKind::PermissionDenied => TriedOutcome::Forbidden,
            _ => TriedOutcome::Failed,
        },
    };
    (address, given, outcome)
}

/// The tries that have ended; one that has not by the end had no answer.
async fn finished(
    mut tries: JoinSet<(SocketAddr, bool, TriedOutcome)>,
    end: Instant,
) -> Vec<(SocketAddr, bool, TriedOutcome)> {
    let mut tried = Vec::new();
    // Those that began with the rest are done at the latest by then.
    let deadline = end + CONNECT;
    while let Ok(Some(ended)) = tokio::time::timeout_at(deadline, tries.join_next()).await {
        tried.extend(ended.ok());
    }
    tried.sort();
    tried
}

fn used(report: &NetworkReport) -> Vec<Interface> {
    report.interfaces.iter().map(|report| report.interface.clone()).collect()
}

fn names(report: &NetworkReport) -> Names {
    report.interfaces.iter().map(|report| (report.interface.id, report.interface.name.clone())).collect()
}

fn peers_addresses(peers: &[PeerFound]) -> impl Iterator<Item = SocketAddr> + '_ {
    peers.iter().flat_map(|peer| peer.why.heard.iter().map(|heard| heard.source)).take(MAX_ADDRESSES)
}

/// Subnets of real networks whose route leads by another interface: asked of the system for each address of interest,
/// and for one address of each subnet.
fn stolen_routes(interfaces: &[Interface], all: &[Interface], towards: &[SocketAddr]) -> Vec<StolenRoute> {
    let mut stolen = Vec::new();
    for interface in interfaces.iter().filter(|interface| host::kind(interface.kind) == super::Kind::Lan) {
        for addr in &interface.addrs {
            let IpAddr::V4(own) = addr.ip else { continue };
            if addr.prefix >= 31 {
                continue;
            }
            let hosts = u32::MAX.checked_shr(u32::from(addr.prefix)).unwrap_or(0);
            // The first and the last host of the subnet: a route that covers half of it is stolen too.
            let ends = [(own.to_bits() & !hosts) + 1, (own.to_bits() | hosts) - 1]
                .map(|bits| SocketAddr::from((std::net::Ipv4Addr::from_bits(bits), 9)));
            let inside = towards.iter().filter(|address| contains((addr.ip, addr.prefix), address));
            for address in ends.iter().chain(inside) {
                let IpAddr::V4(ip) = address.ip() else { continue };
                let Some(by) = host::way_to(*address, all).filter(|by| *by != interface.name) else {
                    continue;
                };
                let by_kind = all.iter().find(|other| other.name == by);
                let Some(by_kind) = by_kind.map(|other| host::kind(other.kind)) else { continue };
                if ip != own {
                    stolen.push(StolenRoute { interface: interface.name.clone(), towards: ip, by, by_kind });
                }
            }
        }
    }
    stolen.truncate(MAX_ADDRESSES);
    stolen
}

fn ports_refused(report: &NetworkReport) -> Vec<PortRefused> {
    let mut refused = Vec::new();
    for interface in &report.interfaces {
        for error in interface.refused.iter().chain(&interface.unusable) {
            refused.push(PortRefused {
                port: error.port,
                interface: interface.interface.name.clone(),
                taken: error.kind == io::ErrorKind::AddrInUse,
                message: error.text.clone(),
                holder: None,
            });
        }
    }
    refused.truncate(64);
    let mut holders = BTreeMap::new();
    for refused in &mut refused {
        if refused.taken && holders.len() < 8 {
            let holder = holders.entry(refused.port).or_insert_with(|| host::holder(refused.port));
            refused.holder.clone_from(holder);
        }
    }
    refused
}

fn send_errors(report: &NetworkReport) -> Vec<SendError> {
    let of = |interface: &crate::report::InterfaceReport| {
        let name = interface.interface.name.clone();
        let errors = interface.send_errors.iter().filter(|error| !error.over).map(move |error| SendError {
            interface: name.clone(),
            destination: error.destination,
            kind: match error.kind {
                io::ErrorKind::PermissionDenied => SendErrorKind::Forbidden,
                io::ErrorKind::HostUnreachable => SendErrorKind::HostUnreachable,
                io::ErrorKind::NetworkUnreachable => SendErrorKind::NetworkUnreachable,
                _ => SendErrorKind::Other,
            },
            message: error.text.clone(),
            ago_ms: millis(error.ago),
        });
        errors.collect::<Vec<_>>()
    };
    report.interfaces.iter().flat_map(of).take(64).collect()
}
