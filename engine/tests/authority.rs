//! Authorities and bootstrap servers: how tasks and reports travel, which servers are used, and the lock.

mod lan;

use lan::{Lan, config, interface};
use p2pnet_engine::{
    AuthorityPolicy, AuthorityState, Config, Decision, Engine, Event, Identity, Network, NetworkTask, PeerId,
    Restored, Seeds, ServerAnswer, ServerId, ServerRecord, ServerRefusal, ServerReply, TaskKind, TaskOutcome,
    TaskRefused, TaskReport, TaskTarget,
};

const UNIX: u64 = 1_800_000_000;

fn operator(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn tag() -> [u8; 8] {
    Network::open("test").unwrap().tag()
}

fn nodes(count: usize, configure: impl Fn(&mut Config)) -> Lan {
    let mut lan = Lan::configured(count, configure);
    for i in 0..count {
        lan.command(i, |engine, now| engine.handle_wall_clock(now, UNIX));
    }
    lan
}

fn issue(seed: u8, sequence: u64, target: TaskTarget, kind: TaskKind) -> Vec<u8> {
    NetworkTask::issue(&operator(seed), tag(), target, sequence, UNIX + 3600, kind).unwrap().to_bytes()
}

fn heartbeat(seed: u8, sequence: u64) -> Vec<u8> {
    issue(seed, sequence, TaskTarget::Everyone, TaskKind::Heartbeat)
}

fn executed(lan: &Lan, i: usize) -> usize {
    lan.nodes[i].events.iter().filter(|event| matches!(event, Event::TaskExecuted { .. })).count()
}

fn refused(lan: &Lan, i: usize) -> Vec<TaskRefused> {
    let why = |event: &Event| match event {
        Event::TaskRefused { why, .. } => Some(*why),
        _ => None,
    };
    lan.nodes[i].events.iter().filter_map(why).collect()
}

/// Lets the first node announce itself to a server, and the server answer.
fn answer(lan: &mut Lan, server: u8, answer: ServerAnswer) -> bool {
    for _ in 0..400_000 {
        if lan.nodes[0].announced.iter().any(|(asked, ..)| *asked == ServerId(server)) {
            lan.nodes[0].announced.retain(|(asked, ..)| *asked != ServerId(server));
            let reply = |engine: &mut Engine, now| {
                engine.handle_server(now, ServerId(server), ServerReply::Answer(&answer))
            };
            return lan.command(0, reply);
        }
        lan.run_for_millis(10);
    }
    panic!("it was never announced to");
}

fn named(authority: Option<u8>) -> ServerAnswer {
    let authority = authority.map(|seed| operator(seed).peer_id());
    ServerAnswer { authority, ..ServerAnswer::default() }
}

fn with_tasks(authority: Option<u8>, tasks: &[Vec<u8>]) -> ServerAnswer {
    ServerAnswer { tasks: tasks.to_vec(), ..named(authority) }
}

// ---- Over links ----

/// Each hears the next only, so that the first and the last are strangers.
fn chain(configure: impl Fn(&mut Config)) -> Lan {
    let mut lan = Lan::configured(3, configure);
    lan.reaches = |i, to| i.abs_diff(to) == 1;
    for i in 0..3 {
        lan.command(i, |engine, now| engine.handle_wall_clock(now, UNIX));
    }
    lan.run_for_millis(3_000);
    lan
}

#[test]
fn a_task_is_passed_on_to_all_who_take_it_and_each_carries_it_out_once() {
    let mut lan = chain(|config| config.authority = AuthorityPolicy::accepting(operator(7).peer_id()));
    let task = heartbeat(7, 1);
    lan.command(0, |engine, now| engine.handle_task(now, &task)).unwrap();
    lan.run_for_millis(10_000);
    assert_eq!([0, 1, 2].map(|i| executed(&lan, i)), [1, 1, 1]);
    assert_eq!(lan.command(2, |engine, now| engine.handle_task(now, &task)), Err(TaskRefused::Replayed));
}

#[test]
fn a_task_for_one_peer_finds_it_and_does_nothing_on_the_way() {
    let mut lan = chain(|config| config.authority = AuthorityPolicy::accepting(operator(7).peer_id()));
    let (last, peer) = (lan.nodes[2].engine.peer_id(), operator(9).peer_id());
    let task = issue(7, 1, TaskTarget::Peer(last), TaskKind::BlockPeer { peer });
    lan.command(0, |engine, now| engine.handle_task(now, &task)).unwrap();
    lan.run_for_millis(100);
    assert_eq!([0, 1, 2].map(|i| executed(&lan, i)), [0, 0, 1]);
    let decided = |i: usize| lan.nodes[i].engine.decisions().collect::<Vec<_>>();
    assert_eq!((decided(0), decided(2)), (vec![], vec![Decision::Block(peer.into())]));
}

#[test]
fn who_comes_later_hears_of_tasks_that_have_not_expired() {
    let mut lan = nodes(3, |config| config.authority = AuthorityPolicy::accepting(operator(7).peer_id()));
    lan.reaches = |i, to| i < 2 && to < 2;
    lan.run_for_millis(3_000);
    lan.command(0, |engine, now| engine.handle_task(now, &heartbeat(7, 1))).unwrap();
    lan.run_for_millis(100);
    assert_eq!(executed(&lan, 2), 0);
    lan.reaches = |_, _| true;
    lan.run_for_millis(30_000);
    assert_eq!(executed(&lan, 2), 1);
}

#[test]
fn who_passes_on_a_task_that_nobody_signed_is_parted_from() {
    let mut lan = nodes(2, |config| config.authority = AuthorityPolicy::accepting(operator(7).peer_id()));
    lan.run_for_millis(3_000);
    let task = heartbeat(7, 1);
    lan.command(0, |engine, now| engine.handle_task(now, &task)).unwrap();
    let said: Vec<u8> = lan.nodes[0].frames.values().flatten().copied().collect();
    let at = said.windows(task.len()).position(|part| part == task).unwrap();
    // The length of the frame, its number, the length of the task.
    let mut frame = said[at - 6..at + task.len()].to_vec();
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(lan.streams(1), 1);
    lan.say(0, 1, &frame);
    assert_eq!((lan.streams(1), executed(&lan, 1)), (0, 1));
}

#[test]
fn who_takes_no_tasks_neither_carries_one_out_nor_passes_it_on() {
    let mut lan = chain(|config| {
        if config.name != "node1" {
            config.authority = AuthorityPolicy::accepting(operator(7).peer_id());
        }
    });
    lan.command(0, |engine, now| engine.handle_task(now, &heartbeat(7, 1))).unwrap();
    lan.run_for_millis(1_000);
    assert_eq!([0, 1, 2].map(|i| executed(&lan, i)), [1, 0, 0]);
    assert_eq!(refused(&lan, 1), [], "it says nothing of the authorities of others");
}

// ---- By servers ----

#[test]
fn tasks_of_a_server_are_carried_out_and_reported_with_the_next_announcement() {
    let mut lan = nodes(1, |config| {
        config.servers = 1;
        config.authority = AuthorityPolicy::accepting(operator(7).peer_id());
    });
    let peer = operator(9).peer_id();
    let task = issue(7, 1, TaskTarget::Everyone, TaskKind::BlockPeer { peer });
    assert!(answer(&mut lan, 0, with_tasks(None, std::slice::from_ref(&task))));
    assert_eq!(executed(&lan, 0), 1);
    assert!(lan.nodes[0].reports.is_empty());
    lan.run_for_millis(250);
    let report = TaskReport::parse(&lan.nodes[0].reports[0]).unwrap();
    assert!(report.is_signed() && lan.nodes[0].reports.len() == 1);
    let id = NetworkTask::parse(&task).unwrap().id();
    assert_eq!((report.peer(), report.task()), (lan.nodes[0].engine.peer_id(), id));
    assert_eq!((report.network(), report.outcome()), (tag(), TaskOutcome::Done));
    // A server repeats its tasks; that is not worth a word.
    assert!(answer(&mut lan, 0, with_tasks(None, &[task])));
    assert_eq!((executed(&lan, 0), refused(&lan, 0)), (1, vec![]));
    answer(&mut lan, 0, named(None));
    assert!(lan.nodes[0].reports.is_empty(), "the server has it");
}

#[test]
fn tasks_that_come_together_are_saved_together() {
    let mut lan = nodes(1, |config| {
        config.servers = 1;
        config.authority = AuthorityPolicy::accepting(operator(7).peer_id());
    });
    let tasks: Vec<Vec<u8>> = (0..70).map(|sequence| heartbeat(7, sequence)).collect();
    assert!(answer(&mut lan, 0, with_tasks(None, &tasks)));
    assert_eq!(executed(&lan, 0), 64, "the rest comes with a later answer");
    let saved = lan.nodes[0].actions.iter().filter(|action| action.contains("SaveAuthority")).count();
    assert_eq!(saved, 1);
    lan.run_for_millis(250);
    assert_eq!(lan.nodes[0].reports.len(), 64);
}

#[test]
fn a_report_is_kept_until_each_server_has_answered() {
    let mut lan = nodes(1, |config| {
        config.servers = 2;
        config.authority = AuthorityPolicy::accepting(operator(7).peer_id());
    });
    answer(&mut lan, 0, named(None));
    answer(&mut lan, 1, named(None));
    lan.command(0, |engine, now| engine.handle_task(now, &heartbeat(7, 1))).unwrap();
    answer(&mut lan, 0, named(None));
    lan.run_for_millis(300);
    assert_eq!(lan.nodes[0].reports.len(), 1);
    lan.command(0, |engine, now| engine.handle_server(now, ServerId(1), ServerReply::Failed));
    lan.nodes[0].announced.clear();
    lan.run_for_millis(2_500);
    let to: Vec<ServerId> = lan.nodes[0].announced.iter().map(|(server, ..)| *server).collect();
    assert!(to.contains(&ServerId(1)));
    assert_eq!(lan.nodes[0].reports.len(), 1, "the one that failed is told again");
    answer(&mut lan, 1, named(None));
    lan.nodes[0].announced.clear();
    answer(&mut lan, 1, named(None));
    assert!(lan.nodes[0].reports.is_empty());
}

#[test]
fn tasks_that_a_server_should_not_hand_out_are_told_with_their_reason() {
    let mut lan = nodes(1, |config| {
        config.servers = 1;
        config.authority = AuthorityPolicy::accepting(operator(7).peer_id());
    });
    let other = TaskTarget::Peer(operator(9).peer_id());
    let tasks = [heartbeat(8, 1), issue(7, 1, other, TaskKind::Heartbeat), b"rubbish".to_vec()];
    assert!(answer(&mut lan, 0, with_tasks(None, &tasks)));
    assert_eq!(refused(&lan, 0), [TaskRefused::WrongKey, TaskRefused::WrongTarget, TaskRefused::Malformed]);
    assert_eq!(executed(&lan, 0), 0);
}

// ---- Which servers are used ----

fn told() -> ServerRecord {
    let mut other = Lan::configured(2, |config| config.servers = 1);
    other.run_for_millis(1_000);
    let record = other.nodes[1].engine.wide_record().unwrap().bytes().to_vec();
    ServerRecord { record, age_secs: 0, from: None }
}

/// Whether the records of a server are used that names this authority, and why not.
fn used(policy: AuthorityPolicy, authority: Option<u8>) -> Result<(), ServerRefusal> {
    let mut lan = nodes(1, |config| {
        config.servers = 1;
        config.authority = policy.clone();
    });
    let good = answer(&mut lan, 0, ServerAnswer { records: vec![told()], ..named(authority) });
    let engine = &lan.nodes[0].engine;
    assert_eq!(engine.peers().count(), usize::from(good));
    let refusal = engine.server_refusal(ServerId(0));
    assert_eq!(refusal.is_none(), good);
    refusal.map_or(Ok(()), Err)
}

fn policy(change: impl Fn(&mut AuthorityPolicy)) -> AuthorityPolicy {
    let mut policy = AuthorityPolicy::default();
    change(&mut policy);
    policy
}

#[test]
fn each_policy_uses_the_servers_that_it_says() {
    let id = |seed| operator(seed).peer_id();
    let other = Err(ServerRefusal::OtherAuthority(id(8)));
    assert_eq!((used(policy(|_| {}), None), used(policy(|_| {}), Some(7))), (Ok(()), Ok(())));
    let relaying = policy(|policy| policy.authority = false);
    assert_eq!(used(relaying.clone(), None), Ok(()));
    assert_eq!(used(relaying, Some(7)), Err(ServerRefusal::Authority));
    let authorities = policy(|policy| policy.trustless = false);
    assert_eq!(used(authorities.clone(), None), Err(ServerRefusal::Trustless));
    assert_eq!(used(authorities, Some(7)), Ok(()));
    let required = policy(|policy| {
        policy.accepted = vec![id(7)];
        policy.required = true;
    });
    assert_eq!(used(required.clone(), None), Err(ServerRefusal::Trustless));
    assert_eq!(used(required.clone(), Some(7)), Ok(()));
    assert_eq!(used(required, Some(8)), other);
    let accepting = AuthorityPolicy::accepting(id(7));
    assert_eq!(used(accepting, Some(8)), Ok(()), "its records are checked like those of others");
}

fn locked(lan: &Lan) -> Vec<PeerId> {
    let authority = |event: &Event| match event {
        Event::AuthorityLocked { authority, .. } => Some(*authority),
        _ => None,
    };
    lan.nodes[0].events.iter().filter_map(authority).collect()
}

#[test]
fn the_first_authority_that_a_server_names_is_the_only_one_from_then_on() {
    let mut lan = nodes(1, |config| {
        config.servers = 2;
        config.authority = AuthorityPolicy::locking();
    });
    assert!(answer(&mut lan, 0, named(None)), "this one names none");
    assert_eq!(locked(&lan), []);
    assert!(answer(&mut lan, 0, with_tasks(Some(7), &[heartbeat(7, 1), heartbeat(8, 1)])));
    assert_eq!((locked(&lan), executed(&lan, 0)), (vec![operator(7).peer_id()], 1));
    assert_eq!(refused(&lan, 0), [TaskRefused::WrongKey]);
    assert!(!answer(&mut lan, 1, with_tasks(Some(8), &[heartbeat(7, 2)])));
    let other = ServerRefusal::OtherAuthority(operator(8).peer_id());
    assert_eq!(lan.nodes[0].engine.server_refusal(ServerId(1)), Some(other));
    assert_eq!((locked(&lan).len(), executed(&lan, 0)), (1, 1));
}

#[test]
fn who_lies_about_records_is_not_locked_to() {
    let mut lan = nodes(1, |config| {
        config.servers = 1;
        config.authority = AuthorityPolicy::locking();
    });
    let mut forged = told();
    *forged.record.last_mut().unwrap() ^= 1;
    assert!(!answer(&mut lan, 0, ServerAnswer { records: vec![forged], ..named(Some(7)) }));
    assert_eq!(locked(&lan), []);
}

#[test]
fn a_server_that_forges_tasks_lies_and_cannot_keep_others_tasks_out() {
    let mut lan = nodes(1, |config| {
        config.servers = 2;
        config.authority = AuthorityPolicy::accepting(operator(7).peer_id());
    });
    let forged: Vec<Vec<u8>> = (0..64)
        .map(|sequence| {
            let mut task = heartbeat(7, sequence);
            *task.last_mut().unwrap() ^= 1;
            task
        })
        .collect();
    assert!(!answer(&mut lan, 0, with_tasks(None, &forged)));
    assert_eq!(refused(&lan, 0), [TaskRefused::BadSignature]);
    assert!(answer(&mut lan, 1, with_tasks(None, &[heartbeat(7, 99)])));
    assert_eq!(executed(&lan, 0), 1);
}

#[test]
fn a_locking_authority_stays_locked_across_restarts() {
    let mut lan = nodes(1, |config| {
        config.servers = 1;
        config.authority = AuthorityPolicy::locking();
    });
    answer(&mut lan, 0, named(Some(7)));
    let kept = AuthorityState::parse(&lan.nodes[0].authority.to_bytes()).unwrap();
    assert_eq!(kept.locked(), Some(operator(7).peer_id()));
    let mut next = config("node0");
    next.servers = 1;
    next.authority = AuthorityPolicy::locking();
    let restored = Restored { incarnation: 2, authority: kept, ..Restored::default() };
    let seeds = Seeds::new([9; 32], [8; 32]);
    let mut engine = Engine::new(next, operator(1), restored, seeds, lan.now).unwrap();
    engine.handle_wall_clock(lan.now, UNIX);
    lan.nodes[0].events.clear();
    lan.nodes[0].announced.clear();
    lan.replace(0, engine);
    lan.command(0, |engine, now| engine.handle_interfaces(now, &[interface(1)]));
    assert!(!answer(&mut lan, 0, with_tasks(Some(8), &[heartbeat(8, 1)])));
    assert!(answer(&mut lan, 0, with_tasks(Some(7), &[heartbeat(8, 1), heartbeat(7, 1)])));
    assert_eq!((locked(&lan), executed(&lan, 0)), (vec![], 1));
    assert_eq!(refused(&lan, 0), [TaskRefused::WrongKey]);
}
