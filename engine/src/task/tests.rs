use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::*;
use crate::content::ContentId;
use crate::network::Network;

fn authority() -> Identity {
    Identity::from_seed([7; 32])
}

fn peer() -> PeerId {
    Identity::from_seed([8; 32]).peer_id()
}

fn tag() -> [u8; 8] {
    Network::open("home").unwrap().tag()
}

fn issue(kind: TaskKind) -> Result<NetworkTask, TaskError> {
    NetworkTask::issue(&authority(), tag(), TaskTarget::Peer(peer()), u64::MAX, u64::MAX, kind)
}

/// One of each kind, as large as it may be.
fn every_kind() -> Vec<TaskKind> {
    let peer = peer();
    let content = ContentId { hash: [3; 32], size: 1 << 36 };
    let address = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]);
    let settings = TaskSettings {
        beacon_interval_ms: Some(300_000),
        message_ttl_secs: Some(86_400),
        active_links: Some(1024),
    };
    alloc::vec![
        TaskKind::BlockPeer { peer },
        TaskKind::UnblockPeer { peer },
        TaskKind::RemovePeer { peer },
        TaskKind::BlockAddress { address },
        TaskKind::UnblockAddress { address },
        TaskKind::SendMessage { to: peer, text: "x".repeat(4096) },
        TaskKind::PingPeer { peer },
        TaskKind::DisconnectPeer { peer },
        TaskKind::AuthorizePeer { peer },
        TaskKind::RevokePeer { peer },
        TaskKind::RequestData { content },
        TaskKind::SendData { content, to: peer },
        TaskKind::Synchronize,
        TaskKind::UpdateSettings { settings },
        TaskKind::VerifyRecord { hash: [4; 32] },
        TaskKind::VerifySignature { signer: peer, message: alloc::vec![9; 4096], signature: [5; 64] },
        TaskKind::RequestPublicKey,
        TaskKind::BootstrapInitialize { servers: alloc::vec!["h".repeat(256); 8] },
        TaskKind::Heartbeat,
        TaskKind::SetIdentifier { name: "\u{e4}".repeat(32) },
    ]
}

#[test]
fn every_kind_goes_there_and_back_and_the_largest_fits() {
    let mut names: Vec<&str> = Vec::new();
    for (number, kind) in every_kind().into_iter().enumerate() {
        let task = issue(kind.clone()).unwrap();
        let bytes = task.to_bytes();
        assert!(bytes.len() <= MAX_TASK, "{}: {} bytes", kind.as_str(), bytes.len());
        assert_eq!(NetworkTask::parse(&bytes), Ok(task.clone()));
        assert!(task.is_signed());
        assert_eq!(task.id().0, *blake3::hash(&bytes).as_bytes());
        assert_eq!(codec::encode(&kind)[0], u8::try_from(number).unwrap(), "the order is the wire's");
        assert!(!names.contains(&kind.as_str()));
        names.push(kind.as_str());
    }
}

#[test]
fn a_task_says_what_it_was_issued_with() {
    let target = TaskTarget::Everyone;
    let task = NetworkTask::issue(&authority(), tag(), target, 3, 1000, TaskKind::Heartbeat).unwrap();
    assert_eq!((task.network(), task.issuer(), task.target()), (tag(), authority().peer_id(), target));
    assert_eq!((task.sequence(), task.expires(), task.kind()), (3, 1000, &TaskKind::Heartbeat));
    assert!(!task.is_expired(999) && task.is_expired(1000));
    assert!(target.includes(&peer()) && TaskTarget::Peer(peer()).includes(&peer()));
    assert!(!TaskTarget::Peer(authority().peer_id()).includes(&peer()));
    assert_eq!(task.id().to_string().len(), 64);
}

#[test]
fn any_change_to_a_task_is_noticed() {
    let bytes = issue(TaskKind::SetIdentifier { name: "desk-4".to_string() }).unwrap().to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!NetworkTask::parse(&changed).is_ok_and(|task| task.is_signed()), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(NetworkTask::parse(&bytes[..len]).is_err(), "cut at {len}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(NetworkTask::parse(&longer), Err(TaskError::Malformed));
}

#[test]
fn a_task_of_another_issuer_or_domain_is_not_signed() {
    let task = issue(TaskKind::Heartbeat).unwrap();
    let mut other = task.clone();
    other.body.issuer = peer();
    assert!(!other.is_signed());
    let encoded = codec::encode(&task.body);
    let elsewhere = NetworkTask { signature: authority().sign("p2pnet v1 task report", &encoded), ..task };
    assert!(!elsewhere.is_signed());
}

#[test]
fn what_is_out_of_its_limits_is_neither_issued_nor_read() {
    let text = |text: String| TaskKind::SendMessage { to: peer(), text };
    let name = |name: &str| TaskKind::SetIdentifier { name: name.to_string() };
    let servers = |servers: &[&str]| TaskKind::BootstrapInitialize {
        servers: servers.iter().map(ToString::to_string).collect(),
    };
    let settings = |settings| TaskKind::UpdateSettings { settings };
    let none = TaskSettings::default();
    let wrong = [
        text(String::new()),
        text("x".repeat(4097)),
        name(""),
        name(&"x".repeat(65)),
        name("a\nb"),
        servers(&[]),
        servers(&["x"; 9]),
        servers(&["http://a b"]),
        servers(&[&"x".repeat(257)]),
        settings(none),
        settings(TaskSettings { beacon_interval_ms: Some(99), ..none }),
        settings(TaskSettings { message_ttl_secs: Some(0), ..none }),
        settings(TaskSettings { active_links: Some(0), ..none }),
        TaskKind::VerifySignature { signer: peer(), message: alloc::vec![0; 4097], signature: [0; 64] },
        TaskKind::RequestData { content: ContentId { hash: [0; 32], size: u64::MAX } },
    ];
    for kind in wrong {
        assert_eq!(issue(kind.clone()), Err(TaskError::Limits), "{kind:?}");
        let mut body = issue(TaskKind::Heartbeat).unwrap().body;
        body.kind = kind;
        let mut bytes = codec::encode(&body);
        bytes.extend_from_slice(&authority().sign(DOMAIN, &bytes.clone()));
        assert!(NetworkTask::parse(&bytes).is_err(), "{:?}", body.kind);
    }
}

#[test]
fn reports_go_there_and_back_and_any_change_is_noticed() {
    let node = Identity::from_seed([8; 32]);
    let outcomes = [
        TaskOutcome::Done,
        TaskOutcome::Unchanged,
        TaskOutcome::Failed { reason: TaskFailure::Outdated },
        TaskOutcome::RoundTrip { micros: u32::MAX },
        TaskOutcome::Verified { good: true },
        TaskOutcome::PublicKey { link_key: [0xff; 32] },
        TaskOutcome::Status { known: u32::MAX, connected: u32::MAX, trusted: u32::MAX },
    ];
    for outcome in outcomes {
        let report = TaskReport::sign(&node, tag(), TaskId([1; 32]), outcome);
        let bytes = report.to_bytes();
        assert!(bytes.len() <= MAX_TASK_REPORT, "{}", bytes.len());
        assert_eq!(TaskReport::parse(&bytes), Ok(report.clone()));
        assert!(report.is_signed());
        assert_eq!(
            (report.network(), report.task(), report.peer()),
            (tag(), TaskId([1; 32]), node.peer_id())
        );
        assert_eq!(report.outcome(), outcome);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!TaskReport::parse(&changed).is_ok_and(|report| report.is_signed()), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(TaskReport::parse(&bytes[..len]).is_err(), "cut at {len}");
        }
    }
}

#[test]
fn the_parts_of_a_kind_have_names_and_an_order() {
    let names: Vec<Vec<&str>> =
        every_kind().iter().map(|kind| kind.parts().into_iter().map(|(name, _)| name).collect()).collect();
    assert_eq!(names[5], ["to", "text"]);
    assert_eq!(names[11], ["hash", "size", "to"]);
    assert_eq!(names[13], ["beacon_interval_ms", "message_ttl_secs", "active_links"]);
    assert_eq!(names[15], ["signer", "message", "signature"]);
    assert_eq!(names.iter().filter(|names| names.is_empty()).count(), 3);
    let some = TaskSettings { active_links: Some(3), ..TaskSettings::default() };
    let parts = TaskKind::UpdateSettings { settings: some }.parts();
    assert_eq!(parts, [("active_links", TaskPart::Number(3))], "only what is given");
}
