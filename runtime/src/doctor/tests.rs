//! What follows from which findings. Networks that are broken for real are in `tests/doctor.rs`.

use std::net::SocketAddr;

use p2pnet_engine::{Level, PeerId, Rung};

use super::*;

const BROADCASTS: [Rung; 2] = [Rung::DirectedBroadcast, Rung::LimitedBroadcast];

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A LAN on which everything that was sent came back, except by the rungs of `lost`.
fn lan(lost: &[Rung]) -> Findings {
    let rungs = [Rung::DirectedBroadcast, Rung::LimitedBroadcast, Rung::Multicast4];
    let rung = |rung: Rung| RungFound {
        rung,
        sent: 9,
        held_back: 0,
        last_sent_ago_ms: Some(500),
        own_heard_ago_ms: (!lost.contains(&rung)).then_some(500),
    };
    Findings {
        system: "linux".into(),
        network: "p2pnet".into(),
        protocol: 3,
        designated_ports: vec![8001, 8002, 8003],
        private_port: 8100,
        listened_ms: 5000,
        interfaces: vec![InterfaceFound {
            name: "eth0".into(),
            kind: Kind::Lan,
            addrs: vec![("10.0.0.1".parse().unwrap(), 24)],
            rungs: rungs.into_iter().map(rung).collect(),
        }],
        ..Findings::default()
    }
}

/// A peer on it that was heard.
fn peer(level: Level, heard_us: &[Rung], we_heard: &[Rung]) -> PeerFound {
    let at = addr("10.0.0.2:8200");
    PeerFound {
        interface: Some("eth0".into()),
        why: Why {
            peer: PeerId::from_bytes([2; 32]),
            name: "ben".into(),
            level,
            known_ms: 4000,
            source: Source::Beacon,
            heard: vec![Heard { interface: "eth0".into(), source: at, ago_ms: 100, beacons: 4 }],
            heard_us: heard_us.to_vec(),
            we_heard: we_heard.to_vec(),
            rungs: Vec::new(),
            refused: Vec::new(),
            linked: (level > Level::Known).then_some(Linked { address: at, since_ms: 3000 }),
            left: None,
            rejected: None,
            dials: Vec::new(),
            next_dial_in_ms: None,
            held_off_for_ms: None,
            asked_to_dial_us_ago_ms: None,
            asked_us_to_dial_ago_ms: None,
        },
    }
}

fn good_peer() -> PeerFound {
    peer(Level::Trusted, &[Rung::DirectedBroadcast, Rung::Multicast4], &[Rung::Unicast])
}

fn dialled(outcome: Outcome) -> PeerFound {
    let mut peer = peer(Level::Known, &[], &[]);
    peer.why.dials =
        vec![Dial { address: addr("10.0.0.2:8200"), interface: Some("eth0".into()), ago_ms: 2000, outcome }];
    peer
}

fn tried(outcome: TriedOutcome, neighbour: Neighbour) -> Tried {
    Tried {
        address: addr("10.0.0.7:8200"),
        given: true,
        by: Some("eth0".into()),
        subnet_of: Some("eth0".into()),
        outcome,
        neighbour,
    }
}

fn refused(cause: RefusedFor) -> Refused {
    Refused { source: addr("10.0.0.3:8300"), cause, count: 4, ago_ms: 900 }
}

fn send_error(kind: SendErrorKind) -> SendError {
    SendError {
        interface: "eth0".into(),
        destination: addr("10.0.0.255:8001"),
        kind,
        message: "Operation not permitted".into(),
        ago_ms: 300,
    }
}

fn gateway(neighbour: Neighbour) -> Gateway {
    Gateway { address: [10, 0, 0, 254].into(), interface: "eth0".into(), neighbour }
}

fn port(taken: bool) -> PortRefused {
    PortRefused { port: 8001, interface: "eth0".into(), taken, message: "in use".into(), holder: None }
}

fn stolen(by: &str, by_kind: Kind) -> StolenRoute {
    StolenRoute { interface: "eth0".into(), towards: [10, 0, 0, 7].into(), by: by.into(), by_kind }
}

/// A name, the rungs that do not come back, what else is found, and the causes.
type Case<'a> = (&'a str, &'a [Rung], Box<dyn Fn(&mut Findings)>, &'a [Cause]);

/// Each cause from the findings that show it, and no other cause beside it.
#[test]
fn each_cause_follows_from_its_findings() {
    use Cause as C;
    let nothing = |_: &mut Findings| {};
    let cases: Vec<Case<'_>> = vec![
        ("healthy", &[], Box::new(|f| f.peers.push(good_peer())), &[]),
        ("alone", &[], Box::new(nothing), &[C::NobodyHeard]),
        (
            "own broadcasts lost",
            &BROADCASTS,
            Box::new(|f| f.peers.push(good_peer())),
            &[C::BroadcastFiltered],
        ),
        ("own multicasts lost", &[Rung::Multicast4], Box::new(nothing), &[C::MulticastFiltered]),
        (
            "nothing comes in",
            &[Rung::DirectedBroadcast, Rung::LimitedBroadcast, Rung::Multicast4],
            Box::new(nothing),
            &[C::InboundClosed],
        ),
        (
            "broadcasts do not arrive",
            &[],
            Box::new(|f| f.peers.push(peer(Level::Trusted, &[Rung::Multicast4], &[Rung::Unicast]))),
            &[C::BroadcastFiltered],
        ),
        (
            "multicasts do not arrive",
            &[],
            Box::new(|f| f.peers.push(peer(Level::Trusted, &BROADCASTS, &[Rung::DirectedBroadcast]))),
            &[C::MulticastFiltered],
        ),
        (
            "a busy peer answers only some probes",
            &[],
            Box::new(|f| {
                let (heard_us, we_heard) = ([Rung::Multicast6], [Rung::DirectedBroadcast, Rung::Multicast4]);
                f.peers.push(peer(Level::Trusted, &heard_us, &we_heard));
            }),
            &[],
        ),
        (
            "only unicast arrives",
            &[],
            Box::new(|f| {
                let mut peer = peer(Level::Trusted, &[], &[]);
                peer.why.heard[0].beacons = 0;
                f.peers.push(peer);
            }),
            &[C::BroadcastFiltered, C::MulticastFiltered],
        ),
        (
            "may not send",
            &BROADCASTS,
            Box::new(|f| f.send_errors.push(send_error(SendErrorKind::Forbidden))),
            &[C::OutboundBlocked],
        ),
        ("linked and silent", &[], Box::new(|f| f.peers.push(peer(Level::Trusted, &[], &[]))), &[]),
        (
            "macOS",
            &BROADCASTS,
            Box::new(|f| {
                f.system = "macos".into();
                f.send_errors.push(send_error(SendErrorKind::HostUnreachable));
            }),
            &[C::LocalNetworkPermission],
        ),
        (
            "peer's firewall",
            &[],
            Box::new(|f| f.peers.push(dialled(Outcome::TimedOut))),
            &[C::PeerInboundClosed],
        ),
        ("peer ended", &[], Box::new(|f| f.peers.push(dialled(Outcome::Refused))), &[C::NothingListens]),
        (
            "own streams closed",
            &[],
            Box::new(|f| {
                let mut peer = good_peer();
                peer.why.asked_us_to_dial_ago_ms = Some(700);
                f.peers.push(peer);
            }),
            &[C::InboundClosed],
        ),
        (
            "isolation",
            &[],
            Box::new(|f| {
                f.tried.push(tried(TriedOutcome::HostUnreachable, Neighbour::Silent));
                f.gateways.push(gateway(Neighbour::Answers));
            }),
            &[C::ApIsolation],
        ),
        (
            "cable out",
            &[],
            Box::new(|f| {
                f.tried.push(tried(TriedOutcome::HostUnreachable, Neighbour::Silent));
                f.gateways.push(gateway(Neighbour::Silent));
            }),
            &[C::HostSilent],
        ),
        (
            "address of a host with a firewall",
            &[],
            Box::new(|f| f.tried.push(tried(TriedOutcome::TimedOut, Neighbour::Answers))),
            &[C::PeerInboundClosed],
        ),
        (
            "address where nothing listens",
            &[],
            Box::new(|f| f.tried.push(tried(TriedOutcome::Refused, Neighbour::Answers))),
            &[C::NothingListens],
        ),
        (
            "address of another network",
            &[],
            Box::new(|f| {
                f.tried.push(tried(TriedOutcome::Connected, Neighbour::Answers));
                f.handshakes_failed = 2;
            }),
            &[C::OtherNetwork],
        ),
        (
            "other network",
            &[],
            Box::new(|f| f.refusals.push(refused(RefusedFor::OtherNetwork))),
            &[C::OtherNetwork],
        ),
        (
            "other version",
            &[],
            Box::new(|f| f.refusals.push(refused(RefusedFor::OtherVersion(2)))),
            &[C::OtherVersion],
        ),
        (
            "vpn",
            &[],
            Box::new(|f| {
                f.stolen_routes.push(stolen("tun0", Kind::Tunnel));
                let mut tried = tried(TriedOutcome::TimedOut, Neighbour::Unknown);
                tried.by = Some("tun0".into());
                f.tried.push(tried);
            }),
            &[C::VpnOwnsRoute],
        ),
        (
            "two cards on one network",
            &[],
            Box::new(|f| {
                f.stolen_routes.push(stolen("wlan0", Kind::Lan));
                f.peers.push(good_peer());
            }),
            &[],
        ),
        (
            "bridge overlaps",
            &[],
            Box::new(|f| f.stolen_routes.push(stolen("docker0", Kind::Virtual))),
            &[C::ContainerBridge],
        ),
        ("only a bridge", &[], Box::new(|f| f.interfaces[0].kind = Kind::Virtual), &[C::ContainerBridge]),
        (
            "in a container",
            &[],
            Box::new(|f| {
                f.container = Some("docker".into());
                f.interfaces[0].addrs = vec![("172.17.0.2".parse().unwrap(), 16)];
            }),
            &[C::ContainerBridge],
        ),
        (
            "in a container with the host's network",
            &[],
            Box::new(|f| {
                f.container = Some("docker".into());
                f.peers.push(good_peer());
            }),
            &[],
        ),
        (
            "port taken",
            &[],
            Box::new(|f| {
                f.ports_refused.push(port(true));
                f.ports_refused.push(port(true));
                f.peers.push(good_peer());
            }),
            &[C::PortTaken],
        ),
        ("port forbidden", &[], Box::new(|f| f.ports_refused.push(port(false))), &[C::PortForbidden]),
        (
            "no interface",
            &[],
            Box::new(|f| {
                f.interfaces.clear();
                f.not_started = Some(NotStarted::NoInterface);
            }),
            &[C::NoInterface],
        ),
    ];
    for (name, lost, change, expected) in cases {
        let mut findings = lan(lost);
        change(&mut findings);
        let problems: Vec<_> = diagnose(&findings)
            .into_iter()
            .filter(|diagnosis| diagnosis.severity == Severity::Problem)
            .map(|diagnosis| diagnosis.cause)
            .collect();
        assert_eq!(problems, expected, "{name}");
    }
}

/// What is only worth knowing does not make a network ill.
#[test]
fn notes_are_no_problems() {
    let mut findings = lan(&[]);
    findings.peers.push(good_peer());
    findings.refusals.push(refused(RefusedFor::OtherNetwork));
    findings.clock_moved_ms = 90_000;
    let found = diagnose(&findings);
    assert!(found.iter().all(|diagnosis| diagnosis.severity == Severity::Note), "{found:?}");
    assert_eq!(
        found.iter().map(|diagnosis| diagnosis.cause).collect::<Vec<_>>(),
        [Cause::OtherNetwork, Cause::ClockJumped]
    );
}

/// On loopback there is nobody else but whom the user starts.
#[test]
fn loopback_alone_is_well() {
    let mut findings = lan(&[]);
    findings.interfaces[0].kind = Kind::Loopback;
    assert_eq!(diagnose(&findings)[0].cause, Cause::NoInterface, "unless it was not asked for");
    findings.chosen = true;
    let found = diagnose(&findings);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cause, found[0].severity), (Cause::NobodyHeard, Severity::Note));
    assert!(!verified(&findings).is_empty());
}

/// The firewall that is there is the one whose rules are named.
#[test]
fn the_rule_to_add_is_that_of_the_firewall_that_is_there() {
    let mut findings = lan(&[Rung::DirectedBroadcast, Rung::LimitedBroadcast, Rung::Multicast4]);
    for (firewall, begins) in [
        (Firewall::Ufw, "sudo ufw allow"),
        (Firewall::Firewalld, "sudo firewall-cmd"),
        (Firewall::Nft, "sudo nft"),
    ] {
        findings.firewalls = vec![firewall];
        let found = diagnose(&findings);
        let commands = &found[0].commands;
        assert!(
            !commands.is_empty() && commands.iter().all(|command| command.starts_with(begins)),
            "{commands:?}"
        );
    }
}

/// What was long ago says nothing of now.
#[test]
fn old_evidence_does_not_count() {
    let mut findings = lan(&[]);
    findings.peers.push(good_peer());
    for rung in &mut findings.interfaces[0].rungs {
        rung.own_heard_ago_ms = Some(600_000);
    }
    assert_eq!(diagnose(&findings)[0].cause, Cause::InboundClosed);
    let mut findings = lan(&[]);
    findings.peers.push(good_peer());
    findings.send_errors.push(SendError { ago_ms: 600_000, ..send_error(SendErrorKind::Forbidden) });
    findings.refusals.push(Refused { ago_ms: 600_000, ..refused(RefusedFor::OtherVersion(9)) });
    assert_eq!(diagnose(&findings), []);
}

/// Findings go over the control socket.
#[test]
fn findings_and_diagnoses_read_back() {
    let mut findings = lan(&[]);
    findings.peers.push(dialled(Outcome::AnotherPeer("x".into())));
    findings.peers.push(peer(Level::Known, &[Rung::Multicast6], &[Rung::Unicast]));
    findings.refusals.push(refused(RefusedFor::OtherVersion(9)));
    findings.tried.push(tried(TriedOutcome::TimedOut, Neighbour::Unknown));
    let text = serde_json::to_string(&findings).unwrap();
    assert_eq!(serde_json::from_str::<Findings>(&text).unwrap(), findings);
    let found = diagnose(&findings);
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Diagnosis>>(&text).unwrap(), found);
}

/// Every sentence ends as one, and every cause has a remedy.
#[test]
fn every_cause_has_a_sentence_and_a_remedy() {
    let mut findings = lan(&BROADCASTS);
    findings.ports_refused = vec![port(true)];
    findings.refusals = vec![refused(RefusedFor::OtherVersion(9)), refused(RefusedFor::OtherNetwork)];
    findings.peers = vec![dialled(Outcome::TimedOut)];
    findings.stolen_routes = vec![stolen("tun0", Kind::Tunnel)];
    findings.tried = vec![tried(TriedOutcome::HostUnreachable, Neighbour::Silent)];
    let found = diagnose(&findings);
    assert_eq!(found.len(), 7, "{found:?}");
    for diagnosis in found {
        assert!(diagnosis.sentence.ends_with('.'), "{diagnosis:?}");
        assert!(diagnosis.remedy.ends_with(['.', ':']), "{diagnosis:?}");
        assert_eq!(diagnosis.remedy.ends_with(':'), !diagnosis.commands.is_empty(), "{diagnosis:?}");
        assert!(!diagnosis.about.is_empty());
    }
}
