//! Tasks of authorities: which are taken, what each does, that none is carried out twice, and how they travel.

mod lan;

use std::net::IpAddr;

use lan::{Lan, config};
use p2pnet_engine::{
    AuthorityPolicy, AuthorityState, BlockList, Cadence, Config, ContentHasher, ContentId, ContentKind,
    Decision, Engine, Event, IdentifierPolicy, Identity, Manifest, Network, NetworkTask, RejectReason,
    Restored, Seeds, ServerAnswer, ServerId, ServerReply, TaskFailure, TaskId, TaskKind, TaskOutcome,
    TaskRefused, TaskSettings, TaskTarget,
};

const SERVER: ServerId = ServerId(0);

/// What the wall clock says at the start.
const UNIX: u64 = 1_800_000_000;

fn operator() -> Identity {
    Identity::from_seed([77; 32])
}

fn tag() -> [u8; 8] {
    Network::open("test").unwrap().tag()
}

fn accepting(config: &mut Config) {
    config.authority = AuthorityPolicy::accepting(operator().peer_id());
}

/// Nodes that take the operator's tasks, know the time, and trust each other.
fn nodes(count: usize, configure: impl Fn(&mut Config)) -> Lan {
    let mut lan = Lan::configured(count, |config| {
        accepting(config);
        configure(config);
    });
    for i in 0..count {
        lan.command(i, |engine, now| engine.handle_wall_clock(now, UNIX));
    }
    lan.run_for_millis(3_000);
    lan
}

fn issue(sequence: u64, target: TaskTarget, kind: TaskKind) -> Vec<u8> {
    NetworkTask::issue(&operator(), tag(), target, sequence, UNIX + 3600, kind).unwrap().to_bytes()
}

fn give(lan: &mut Lan, i: usize, bytes: &[u8]) -> Result<TaskId, TaskRefused> {
    lan.command(i, |engine, now| engine.handle_task(now, bytes))
}

/// Hands a task for everyone to the first node, and gives what became of it there.
fn ask(lan: &mut Lan, sequence: u64, kind: TaskKind) -> TaskOutcome {
    let task = issue(sequence, TaskTarget::Everyone, kind);
    let id = give(lan, 0, &task).unwrap();
    outcome(lan, 0, id).expect("it is carried out at once")
}

fn outcome(lan: &Lan, i: usize, task: TaskId) -> Option<TaskOutcome> {
    lan.nodes[i].events.iter().find_map(|event| match event {
        Event::TaskExecuted { id, outcome, .. } if *id == task => Some(*outcome),
        _ => None,
    })
}

fn failed(reason: TaskFailure) -> TaskOutcome {
    TaskOutcome::Failed { reason }
}

fn id(lan: &Lan, i: usize) -> p2pnet_engine::PeerId {
    lan.nodes[i].engine.peer_id()
}

fn heartbeat(sequence: u64) -> Vec<u8> {
    issue(sequence, TaskTarget::Everyone, TaskKind::Heartbeat)
}

// ---- Which are taken ----

#[test]
fn what_is_not_to_be_taken_is_refused_each_with_its_reason() {
    let mut lan = nodes(1, |_| {});
    let me = TaskTarget::Peer(id(&lan, 0));
    let task = |issuer: &Identity, tag, target, expires| {
        NetworkTask::issue(issuer, tag, target, 1, expires, TaskKind::Heartbeat).unwrap().to_bytes()
    };
    let other = Network::open("other").unwrap().tag();
    let stranger = Identity::from_seed([78; 32]);
    let good = task(&operator(), tag(), me, UNIX + 3600);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let elsewhere = TaskTarget::Peer(stranger.peer_id());
    let week = 7 * 24 * 3600;
    for (bytes, why) in [
        (task(&stranger, tag(), me, UNIX + 3600), TaskRefused::WrongKey),
        (task(&operator(), other, me, UNIX + 3600), TaskRefused::WrongNetwork),
        (task(&operator(), tag(), me, UNIX), TaskRefused::Expired),
        (task(&operator(), tag(), me, UNIX + week + 60), TaskRefused::TooFarAhead),
        (task(&operator(), tag(), elsewhere, UNIX + 3600), TaskRefused::WrongTarget),
        (forged, TaskRefused::BadSignature),
        (good[1..].to_vec(), TaskRefused::Malformed),
        (Vec::new(), TaskRefused::Malformed),
    ] {
        assert_eq!(give(&mut lan, 0, &bytes), Err(why));
    }
    assert!(lan.nodes[0].events.is_empty(), "{:?}", lan.nodes[0].events);
    let taken = give(&mut lan, 0, &good).unwrap();
    assert!(outcome(&lan, 0, taken).is_some());
    assert_eq!(give(&mut lan, 0, &good), Err(TaskRefused::Replayed));
    lan.run_for_millis(3_600_000);
    assert_eq!(give(&mut lan, 0, &good), Err(TaskRefused::Expired));
    lan.command(0, |engine, now| engine.handle_wall_clock(now, UNIX));
    assert_eq!(give(&mut lan, 0, &good), Err(TaskRefused::Expired), "though the clock went back");
}

#[test]
fn by_default_tasks_are_taken_from_nobody() {
    let mut lan = Lan::new(1);
    lan.command(0, |engine, now| engine.handle_wall_clock(now, UNIX));
    assert_eq!(give(&mut lan, 0, &heartbeat(1)), Err(TaskRefused::WrongKey));
}

#[test]
fn who_does_not_know_the_time_takes_no_tasks() {
    let mut lan = Lan::configured(1, accepting);
    assert_eq!(give(&mut lan, 0, &heartbeat(1)), Err(TaskRefused::ClockUnknown));
}

#[test]
fn a_clock_that_is_a_day_off_is_named_where_it_matters() {
    let mut lan = nodes(1, |_| {});
    let day = 24 * 3600;
    lan.command(0, |engine, now| engine.handle_wall_clock(now, UNIX + day));
    let ahead = give(&mut lan, 0, &heartbeat(1)).unwrap_err();
    let week =
        NetworkTask::issue(&operator(), tag(), TaskTarget::Everyone, 2, UNIX + 7 * day, TaskKind::Heartbeat);
    lan.command(0, |engine, now| engine.handle_wall_clock(now, UNIX - day));
    let behind = give(&mut lan, 0, &week.unwrap().to_bytes()).unwrap_err();
    assert_eq!((ahead, behind), (TaskRefused::Expired, TaskRefused::TooFarAhead));
    let certificate = RejectReason::CertificateExpired.sentence().to_owned();
    for line in [ahead.to_string(), behind.to_string(), certificate] {
        assert!(line.contains("clock") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn a_node_with_too_many_tasks_says_so_and_takes_more_when_some_are_over() {
    let mut lan = nodes(1, |_| {});
    for sequence in 0..1024 {
        give(&mut lan, 0, &heartbeat(sequence)).unwrap();
    }
    assert_eq!(give(&mut lan, 0, &heartbeat(1024)), Err(TaskRefused::Busy));
    lan.command(0, |engine, now| engine.handle_wall_clock(now, UNIX + 3600));
    let later =
        NetworkTask::issue(&operator(), tag(), TaskTarget::Everyone, 0, UNIX + 3700, TaskKind::Heartbeat);
    assert!(give(&mut lan, 0, &later.unwrap().to_bytes()).is_ok());
}

#[test]
fn a_task_waits_for_an_application_that_takes_no_events() {
    let mut lan = nodes(1, |_| {});
    lan.nodes[0].take_events = false;
    let taken = (0..100).take_while(|&sequence| give(&mut lan, 0, &heartbeat(sequence)).is_ok()).count();
    assert_eq!(taken, 64);
    assert_eq!(give(&mut lan, 0, &heartbeat(64)), Err(TaskRefused::Busy));
    lan.nodes[0].take_events = true;
    lan.settle();
    assert!(give(&mut lan, 0, &heartbeat(64)).is_ok());
}

// ---- From run to run ----

/// The next run of the first node.
fn again(lan: &mut Lan, config: Config) {
    let authority = AuthorityState::parse(&lan.nodes[0].authority.to_bytes()).unwrap();
    let restored = Restored { incarnation: 2, authority, ..Restored::default() };
    let seeds = Seeds::new([9; 32], [8; 32]);
    let mut next = Engine::new(config, Identity::from_seed([1; 32]), restored, seeds, lan.now).unwrap();
    next.handle_wall_clock(lan.now, UNIX + 60);
    lan.replace(0, next);
}

#[test]
fn a_task_that_was_carried_out_is_not_carried_out_by_a_later_run() {
    let mut lan = nodes(1, |_| {});
    let task = heartbeat(1);
    give(&mut lan, 0, &task).unwrap();
    let mut next = config("node0");
    accepting(&mut next);
    again(&mut lan, next);
    assert_eq!(give(&mut lan, 0, &task), Err(TaskRefused::Replayed));
    assert!(give(&mut lan, 0, &heartbeat(2)).is_ok());
}

#[test]
fn name_and_settings_outlive_the_run() {
    let remote = |config: &mut Config| {
        accepting(config);
        config.authority.identifier = IdentifierPolicy::Remote;
    };
    let mut lan = nodes(1, remote);
    let settings = TaskSettings { message_ttl_secs: Some(7), ..TaskSettings::default() };
    ask(&mut lan, 1, TaskKind::UpdateSettings { settings });
    ask(&mut lan, 2, TaskKind::SetIdentifier { name: "desk".into() });
    let mut next = config("node0");
    remote(&mut next);
    again(&mut lan, next);
    let engine = &lan.nodes[0].engine;
    assert_eq!((&*engine.config().name, engine.config().message_ttl.as_secs()), ("desk", 7));
    assert_eq!(engine.record().record().name, "desk");
}

// ---- What each does ----

#[test]
fn peers_are_blocked_unblocked_authorized_revoked_and_removed() {
    let mut lan = nodes(3, |_| {});
    let peer = id(&lan, 1);
    let decisions = |lan: &Lan| lan.nodes[0].engine.decisions().collect::<Vec<_>>();
    assert_eq!(ask(&mut lan, 1, TaskKind::AuthorizePeer { peer }), TaskOutcome::Done);
    assert_eq!(decisions(&lan), [Decision::Trust(peer)]);
    assert_eq!(ask(&mut lan, 2, TaskKind::AuthorizePeer { peer }), TaskOutcome::Unchanged);
    assert_eq!(ask(&mut lan, 3, TaskKind::RevokePeer { peer }), TaskOutcome::Done);
    assert_eq!(decisions(&lan), []);
    assert_eq!(ask(&mut lan, 4, TaskKind::BlockPeer { peer }), TaskOutcome::Done);
    assert_eq!(decisions(&lan), [Decision::Block(peer.into())]);
    assert!(lan.nodes[0].engine.peer(&peer).is_none());
    assert_eq!(
        lan.nodes[2].engine.decisions().collect::<Vec<_>>(),
        [Decision::Block(peer.into())],
        "it was for everyone"
    );
    assert_eq!(ask(&mut lan, 5, TaskKind::BlockPeer { peer }), TaskOutcome::Unchanged);
    assert_eq!(ask(&mut lan, 6, TaskKind::AuthorizePeer { peer }), failed(TaskFailure::Blocked));
    assert_eq!(ask(&mut lan, 7, TaskKind::UnblockPeer { peer }), TaskOutcome::Done);
    assert_eq!(decisions(&lan), []);
    let peer = id(&lan, 2);
    assert!(lan.nodes[0].engine.peer(&peer).is_some());
    assert_eq!(ask(&mut lan, 8, TaskKind::RemovePeer { peer }), TaskOutcome::Done);
    assert!(lan.nodes[0].engine.peer(&peer).is_none());
    let peer = id(&lan, 0);
    assert_eq!(ask(&mut lan, 9, TaskKind::BlockPeer { peer }), failed(TaskFailure::Oneself));
    assert_eq!(ask(&mut lan, 10, TaskKind::RemovePeer { peer }), failed(TaskFailure::Oneself));
}

#[test]
fn addresses_are_blocked_and_unblocked() {
    let mut lan = nodes(1, |_| {});
    let address: IpAddr = "::ffff:10.0.0.9".parse().unwrap();
    assert_eq!(ask(&mut lan, 1, TaskKind::BlockAddress { address }), TaskOutcome::Done);
    let blocked = Decision::Block(address.to_canonical().into());
    assert_eq!(lan.nodes[0].engine.decisions().collect::<Vec<_>>(), [blocked]);
    let address = address.to_canonical();
    assert_eq!(ask(&mut lan, 2, TaskKind::BlockAddress { address }), TaskOutcome::Unchanged);
    assert_eq!(ask(&mut lan, 3, TaskKind::UnblockAddress { address }), TaskOutcome::Done);
    assert_eq!(lan.nodes[0].engine.decisions().count(), 0);
}

/// For the first node alone.
fn ask_first(lan: &mut Lan, sequence: u64, kind: TaskKind) -> TaskId {
    let task = issue(sequence, TaskTarget::Peer(id(lan, 0)), kind);
    give(lan, 0, &task).unwrap()
}

#[test]
fn a_peer_is_pinged_sent_a_text_and_parted_from() {
    let mut lan = nodes(2, |_| {});
    let (peer, nobody) = (id(&lan, 1), operator().peer_id());
    let ping = ask_first(&mut lan, 1, TaskKind::PingPeer { peer });
    assert!(matches!(outcome(&lan, 0, ping), Some(TaskOutcome::RoundTrip { .. })));
    let ping = ask_first(&mut lan, 2, TaskKind::PingPeer { peer: nobody });
    assert_eq!(outcome(&lan, 0, ping), Some(failed(TaskFailure::UnknownPeer)));

    let text = ask_first(&mut lan, 3, TaskKind::SendMessage { to: peer, text: "hello".into() });
    assert_eq!(outcome(&lan, 0, text), Some(TaskOutcome::Done));
    let arrived = |event: &Event| matches!(event, Event::Text { text, .. } if text == "hello");
    assert!(lan.nodes[1].events.iter().any(arrived));
    let text = ask_first(&mut lan, 4, TaskKind::SendMessage { to: nobody, text: "hello".into() });
    assert_eq!(outcome(&lan, 0, text), Some(failed(TaskFailure::UnknownPeer)));

    lan.vanish(1);
    let ping = ask_first(&mut lan, 5, TaskKind::PingPeer { peer });
    assert_eq!(outcome(&lan, 0, ping), None, "there is still hope");
    lan.run_for_millis(3_999);
    assert_eq!(outcome(&lan, 0, ping), None);
    lan.run_for_millis(2);
    assert_eq!(outcome(&lan, 0, ping), Some(failed(TaskFailure::NoAnswer)));
}

#[test]
fn a_link_ends_as_a_task_says() {
    let mut lan = nodes(2, |_| {});
    let peer = id(&lan, 1);
    let task = ask_first(&mut lan, 1, TaskKind::DisconnectPeer { peer });
    assert_eq!(outcome(&lan, 0, task), Some(TaskOutcome::Done));
    assert_eq!(lan.streams(0), 0);
    let task = ask_first(&mut lan, 2, TaskKind::DisconnectPeer { peer });
    assert_eq!(outcome(&lan, 0, task), Some(failed(TaskFailure::NotConnected)));
}

fn content(bytes: &[u8]) -> (Manifest, ContentId, BlockList) {
    let mut hasher = ContentHasher::new();
    hasher.update(bytes);
    let (content, list) = hasher.finish().unwrap();
    (Manifest { content, name: "plan.pdf".into(), kind: ContentKind::File }, content, list)
}

#[test]
fn data_is_sent_and_requested() {
    let mut lan = nodes(3, |_| {});
    let (manifest, content, list) = content(b"plan");
    let to = id(&lan, 1);
    let task = ask_first(&mut lan, 1, TaskKind::SendData { content, to });
    assert_eq!(outcome(&lan, 0, task), Some(failed(TaskFailure::NotOffered)));
    let block = p2pnet_engine::BlockRef { content, index: 0 };
    lan.nodes[0].store.insert(block, b"plan".to_vec());
    lan.command(0, |engine, now| engine.publish_privately(now, manifest, list)).unwrap();
    let task = ask_first(&mut lan, 2, TaskKind::SendData { content, to });
    assert_eq!(outcome(&lan, 0, task), Some(TaskOutcome::Done));

    let request = |lan: &mut Lan, i: usize, sequence| {
        let target = TaskTarget::Peer(id(lan, i));
        let task = give(lan, i, &issue(sequence, target, TaskKind::RequestData { content })).unwrap();
        outcome(lan, i, task)
    };
    assert_eq!(request(&mut lan, 1, 3), Some(TaskOutcome::Done));
    assert_eq!(
        request(&mut lan, 2, 3),
        Some(failed(TaskFailure::NotOffered)),
        "it was not offered to this one"
    );
    lan.run_for_millis(1_000);
    assert_eq!(lan.nodes[1].store.get(&block).map(Vec::as_slice), Some(&b"plan"[..]));
    assert_eq!(request(&mut lan, 1, 4), Some(TaskOutcome::Unchanged));
}

#[test]
fn records_are_compared_and_servers_asked_at_the_word_of_an_authority() {
    let mut lan = nodes(2, |config| config.servers = 1);
    lan.run_for_millis(2_000);
    lan.nodes[0].announced.clear();
    lan.command(0, |engine, now| {
        engine.handle_server(now, SERVER, ServerReply::Answer(&ServerAnswer::default()))
    });
    let before = lan.nodes[0].engine.stats().rounds;
    let task = ask_first(&mut lan, 1, TaskKind::Synchronize);
    assert_eq!(outcome(&lan, 0, task), Some(TaskOutcome::Done));
    assert_eq!(lan.nodes[0].engine.stats().rounds, before + 1);
    lan.run_for_millis(600);
    assert_eq!(lan.nodes[0].announced.len(), 1);
}

#[test]
fn settings_change_within_their_limits() {
    let mut lan = nodes(1, |_| {});
    let none = TaskSettings::default();
    let settings = TaskSettings { beacon_interval_ms: Some(200), active_links: Some(3), ..none };
    assert_eq!(ask(&mut lan, 1, TaskKind::UpdateSettings { settings }), TaskOutcome::Done);
    let config = lan.nodes[0].engine.config();
    let interval = std::time::Duration::from_millis(200);
    assert_eq!((config.active_links, config.cadence), (3, Cadence::Constant { interval }));
    let before = lan.nodes[0].sent.len();
    lan.run_for_millis(2_000);
    let sent = lan.nodes[0].sent.len() - before;
    assert!(sent >= 8, "{sent} datagrams in two seconds");
    let settings = TaskSettings { active_links: Some(3), ..none };
    assert_eq!(ask(&mut lan, 2, TaskKind::UpdateSettings { settings }), TaskOutcome::Unchanged);
}

#[test]
fn questions_are_answered() {
    let mut lan = nodes(2, |_| {});
    let hash = |record: &[u8]| *blake3::hash(record).as_bytes();
    let own = hash(lan.nodes[0].engine.record().bytes());
    let others = hash(lan.nodes[1].engine.record().bytes());
    for (sequence, (hash, good)) in [(own, true), (others, true), ([0; 32], false)].into_iter().enumerate() {
        let kind = TaskKind::VerifyRecord { hash };
        assert_eq!(ask(&mut lan, sequence as u64, kind), TaskOutcome::Verified { good });
    }
    let link_key = lan.nodes[0].engine.record().record().link_key;
    assert_eq!(ask(&mut lan, 4, TaskKind::RequestPublicKey), TaskOutcome::PublicKey { link_key });
    let status = TaskOutcome::Status { known: 1, connected: 1, trusted: 1 };
    assert_eq!(ask(&mut lan, 5, TaskKind::Heartbeat), status);
}

/// The second test vector of RFC 8032, section 7.1.
#[test]
fn plain_signatures_are_verified() {
    let mut lan = nodes(1, |_| {});
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    let key = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = hex(concat!(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    ));
    let signer = p2pnet_engine::PeerId::from_bytes(key.try_into().unwrap());
    let signature: [u8; 64] = signature.try_into().unwrap();
    for (sequence, (message, good)) in [(vec![0x72], true), (vec![0x73], false)].into_iter().enumerate() {
        let kind = TaskKind::VerifySignature { signer, message, signature };
        assert_eq!(ask(&mut lan, sequence as u64, kind), TaskOutcome::Verified { good });
    }
}

#[test]
fn servers_are_kept_for_the_next_run() {
    let mut lan = nodes(1, |_| {});
    let servers = vec!["http://192.0.2.1:8010".to_string()];
    let kind = TaskKind::BootstrapInitialize { servers: servers.clone() };
    assert_eq!(ask(&mut lan, 1, kind.clone()), TaskOutcome::Done);
    let kept = &lan.nodes[0].authority;
    assert_eq!(kept.servers(&AuthorityPolicy::accepting(operator().peer_id())), servers);
    assert!(kept.servers(&AuthorityPolicy::default()).is_empty(), "for whom no authority counts any more");
    assert_eq!(ask(&mut lan, 2, kind), TaskOutcome::Unchanged);
}

#[test]
fn a_name_is_taken_as_the_policy_says_and_others_see_it() {
    let mut lan = nodes(2, |config| config.authority.identifier = IdentifierPolicy::LocalAndRemote);
    let name = TaskKind::SetIdentifier { name: "desk".into() };
    let task = ask_first(&mut lan, 1, name.clone());
    assert_eq!(outcome(&lan, 0, task), Some(TaskOutcome::Done));
    lan.run_for_millis(100);
    assert_eq!(lan.nodes[1].engine.peer(&id(&lan, 0)).unwrap().name, "desk");
    assert_eq!(lan.nodes[1].engine.config().name, "node1", "it was for the first one only");
    for policy in [IdentifierPolicy::StrictLocal, IdentifierPolicy::Local] {
        let mut lan = nodes(1, |config| config.authority.identifier = policy);
        assert_eq!(ask(&mut lan, 1, name.clone()), failed(TaskFailure::IdentifierPolicy));
        assert_eq!(lan.nodes[0].engine.config().name, "node0");
    }
}

#[test]
fn of_two_tasks_about_the_same_the_later_one_counts_in_whichever_order_they_come() {
    let mut lan = nodes(1, |config| config.authority.identifier = IdentifierPolicy::Remote);
    let name = |name: &str| TaskKind::SetIdentifier { name: name.into() };
    assert_eq!(ask(&mut lan, 2, name("second")), TaskOutcome::Done);
    assert_eq!(ask(&mut lan, 1, name("first")), failed(TaskFailure::Outdated));
    assert_eq!(lan.nodes[0].engine.config().name, "second");
    assert_eq!(ask(&mut lan, 3, name("third")), TaskOutcome::Done);
}

#[test]
fn an_older_task_does_not_undo_a_newer_one_that_is_over() {
    let mut lan = nodes(1, |_| {});
    let peer = operator().peer_id();
    let task = |sequence, expires, kind| {
        NetworkTask::issue(&operator(), tag(), TaskTarget::Everyone, sequence, expires, kind)
            .unwrap()
            .to_bytes()
    };
    let old = task(1, UNIX + 6 * 24 * 3600, TaskKind::AuthorizePeer { peer });
    give(&mut lan, 0, &task(2, UNIX + 60, TaskKind::RevokePeer { peer })).unwrap();
    lan.command(0, |engine, now| engine.handle_wall_clock(now, UNIX + 120));
    give(&mut lan, 0, &task(3, UNIX + 3600, TaskKind::Heartbeat)).unwrap();
    let mut next = config("node0");
    accepting(&mut next);
    again(&mut lan, next);
    lan.command(0, |engine, now| engine.handle_wall_clock(now, UNIX + 240));
    let taken = give(&mut lan, 0, &old).unwrap();
    assert_eq!(outcome(&lan, 0, taken), Some(failed(TaskFailure::Outdated)));
    assert_eq!(lan.nodes[0].engine.decisions().count(), 0);
}
