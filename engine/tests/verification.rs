//! Who is let in: every step, both ways, passed, failed, late and out of order.
#![allow(missing_docs)]

mod lan;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lan::{Lan, config, engine};
use p2pnet_engine::{
    AnswerError, Certificate, Decision, DecisionError, DialError, Engine, Event, Identity, LeaveReason,
    Level, LinkInput, LinkRefused, MAX_DECISIONS, Network, PeerId, RecordGate, RejectReason, Rejection,
    Restored, Seeds, Step, StepError, Timestamp, TrustPolicy, Who,
};

fn identity(node: usize) -> Identity {
    Identity::from_seed([node as u8 + 1; 32])
}

fn id(node: usize) -> PeerId {
    identity(node).peer_id()
}

fn host(node: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, node as u8 + 1).into()
}

/// A LAN on which each node has the policy that `policy` gives for its number.
fn lan_of(nodes: usize, policy: impl Fn(usize) -> TrustPolicy) -> Lan {
    let mut lan = Lan::configured(nodes, |config| {
        let node = config.name.strip_prefix("node").unwrap().parse().unwrap();
        config.trust = policy(node);
    });
    lan.run_for_millis(200);
    lan
}

fn level(lan: &Lan, at: usize, of: usize) -> Option<Level> {
    lan.nodes[at].engine.peer(&id(of)).map(|peer| peer.level)
}

fn with(mut policy: TrustPolicy, change: impl FnOnce(&mut TrustPolicy)) -> TrustPolicy {
    change(&mut policy);
    policy
}

fn both_trust(lan: &Lan) -> bool {
    level(lan, 0, 1) == Some(Level::Trusted) && level(lan, 1, 0) == Some(Level::Trusted)
}

fn rejection(lan: &Lan, at: usize, of: usize) -> Rejection {
    lan.nodes[at].engine.why(&id(of)).unwrap().rejected.unwrap()
}

/// Both sides know that `by` did not let the other in, and why.
fn assert_rejected(lan: &Lan, by: usize, other: usize, reason: RejectReason) {
    let (said, heard) = (rejection(lan, by, other), rejection(lan, other, by));
    assert_eq!((said.reason, said.by_us), (reason, true));
    assert_eq!((heard.reason, heard.by_us), (reason, false));
    for (at, of) in [(by, other), (other, by)] {
        assert!(told_rejected(lan, at, of, reason, at == by), "node{at}: {:?}", lan.nodes[at].events);
        let mut ends = lan.nodes[at].events.iter().filter_map(|event| match event {
            Event::PeerLeft { peer, reason, .. } if *peer == id(of) => Some(*reason),
            _ => None,
        });
        assert!(ends.next_back().is_none_or(|last| last == LeaveReason::Rejected(reason)));
        assert_eq!(level(lan, at, of), Some(Level::Known));
    }
}

fn told_rejected(lan: &Lan, at: usize, of: usize, why: RejectReason, said_by_us: bool) -> bool {
    lan.nodes[at].events.iter().any(|event| {
        matches!(event, Event::PeerRejected { peer, reason, by_us, .. }
            if (*peer, *reason, *by_us) == (id(of), why, said_by_us))
    })
}

fn codes(lan: &Lan, at: usize) -> Vec<(PeerId, String, bool)> {
    let code = |event: &Event| match event {
        Event::CodeReady { peer, code, confirm, .. } => Some((*peer, code.clone(), *confirm)),
        _ => None,
    };
    lan.nodes[at].events.iter().filter_map(code).collect()
}

fn asked(lan: &Lan, at: usize) -> usize {
    lan.nodes[at].events.iter().filter(|event| matches!(event, Event::DecisionWanted { .. })).count()
}

/// A Step frame as its sender's engine would never send it.
fn step_frame(name: &str, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![4, name.len() as u8];
    frame.extend_from_slice(name.as_bytes());
    frame.push(message.len() as u8);
    frame.extend_from_slice(message);
    frame
}

fn inject(lan: &mut Lan, at: usize, from: usize, frame: &[u8]) {
    let link = lan.nodes[at].engine.peer(&id(from)).unwrap().link.unwrap();
    lan.command(at, |engine, now| engine.handle_link(now, link, LinkInput::Frame(frame)));
}

/// Node 0 or 1, whichever has the smaller id: it commits first.
fn first_and_second() -> (usize, usize) {
    if id(0) < id(1) { (0, 1) } else { (1, 0) }
}

// ---- Nothing asked, lists ----

#[test]
fn without_steps_whoever_has_proven_its_key_is_trusted() {
    let lan = lan_of(2, |_| TrustPolicy::everyone());
    assert!(both_trust(&lan));
}

#[test]
fn who_is_not_on_the_allow_list_is_told_so_and_not_dialled() {
    let mut lan =
        lan_of(3, |node| if node == 0 { TrustPolicy::only([id(1)]) } else { TrustPolicy::default() });
    lan.run_for_millis(1_000);
    assert!(both_trust(&lan));
    for (at, of, by_us) in [(0, 2, true), (2, 0, false)] {
        assert!(told_rejected(&lan, at, of, RejectReason::NotAllowed, by_us), "{:?}", lan.nodes[at].events);
    }
    let why = lan.nodes[0].engine.why(&id(2)).unwrap();
    assert_eq!(why.rejected.map(|last| (last.reason, last.by_us)), Some((RejectReason::NotAllowed, true)));
    lan.run_for_millis(120_000);
    assert!(lan.nodes[0].engine.why(&id(2)).unwrap().dials.is_empty(), "nothing can come of it");
    assert_ne!(level(&lan, 0, 2), Some(Level::Trusted));
    assert!(
        lan.nodes[0].engine.stats().links_turned_away > 1,
        "it goes on trying, and goes on being refused"
    );
}

// ---- Short code ----

fn with_code(_: usize) -> TrustPolicy {
    TrustPolicy::requiring([Step::Ping, Step::Code])
}

#[test]
fn two_people_who_see_the_same_code_let_each_other_in() {
    let mut lan = lan_of(2, with_code);
    let (left, right) = (codes(&lan, 0), codes(&lan, 1));
    assert_eq!((left.len(), right.len()), (1, 1));
    assert_eq!((left[0].0, right[0].0, left[0].2, right[0].2), (id(1), id(0), true, true));
    assert_eq!(left[0].1, right[0].1);
    assert_eq!(level(&lan, 0, 1), Some(Level::Connected));
    assert_eq!(lan.nodes[0].engine.waiting().collect::<Vec<_>>(), [(id(1), &Step::Code)]);
    lan.command(0, |engine, now| engine.confirm_code(now, id(1), true)).unwrap();
    assert_eq!(level(&lan, 0, 1), Some(Level::Connected), "the other has not said so");
    lan.command(1, |engine, now| engine.confirm_code(now, id(0), true)).unwrap();
    assert!(both_trust(&lan));
    let again = lan.command(0, |engine, now| engine.confirm_code(now, id(1), true));
    assert_eq!(again, Err(AnswerError::NotWaiting));
}

#[test]
fn a_code_that_differs_ends_the_link_on_both_sides() {
    let mut lan = lan_of(2, with_code);
    lan.command(1, |engine, now| engine.confirm_code(now, id(0), false)).unwrap();
    assert_rejected(&lan, 1, 0, RejectReason::CodeMismatch);
    let late = lan.command(0, |engine, now| engine.confirm_code(now, id(1), true));
    assert_eq!(late, Err(AnswerError::NotWaiting), "one attempt a link");
}

#[test]
fn a_code_that_nobody_answers_times_out() {
    let mut lan = lan_of(2, with_code);
    lan.run_for_millis(121_000);
    let rejected = rejection(&lan, 0, 1);
    assert_eq!(rejected.reason, RejectReason::TimedOut);
    assert_ne!(level(&lan, 0, 1), Some(Level::Trusted));
}

#[test]
fn the_code_step_has_an_order() {
    for (name, message) in
        [("code", &[7; 32][..]), ("code", &[7; 31]), ("certificate", &[]), ("decision", &[1])]
    {
        let mut lan = lan_of(2, |_| {
            with(with_code(0), |policy| policy.supported = vec![Step::Certificate, Step::Decision])
        });
        // The exchange is over: another commitment or nonce would be another attempt.
        inject(&mut lan, 0, 1, &step_frame(name, message));
        assert_rejected(&lan, 0, 1, RejectReason::Misbehaved);
    }
}

#[test]
fn a_step_that_nobody_agreed_on_is_unsupported() {
    let mut lan = lan_of(2, with_code);
    inject(&mut lan, 0, 1, &step_frame("certificate", &[1]));
    assert_rejected(&lan, 0, 1, RejectReason::Unsupported);
}

/// The first side has committed, the second has answered; now the first says another nonce, one that would give a code of
/// its choice. Its part is said by hand: its engine's own frames do not get out.
#[test]
fn a_commitment_cannot_be_changed_after_the_answer() {
    let (first, second) = first_and_second();
    let mut lan = Lan::configured(2, |config| config.trust = TrustPolicy::requiring([Step::Code]));
    lan.nodes[first].budget = None;
    lan.run_for_millis(300);
    let link = *lan.nodes[second].frames.keys().next().unwrap();
    let confirm = [0, 1, 0, 0];
    for frame in [&confirm[..], &step_frame("code", &[1; 32]), &step_frame("code", &[2; 32])] {
        assert!(lan.nodes[second].engine.why(&id(first)).unwrap().rejected.is_none());
        lan.command(second, |engine, now| engine.handle_link(now, link, LinkInput::Frame(frame)));
    }
    let nonce_sent =
        lan.nodes[second].frames[&link].windows(5).any(|bytes| bytes == [4, 4, b'c', b'o', b'd']);
    assert!(nonce_sent, "it has answered");
    let rejected = rejection(&lan, second, first);
    assert_eq!((rejected.reason, rejected.by_us), (RejectReason::CodeMismatch, true));
    assert!(codes(&lan, second).is_empty());
}

/// Somebody in the middle holds a link with each, under an identity of its own, and passes on what it can. Neither side
/// sees the code of the other.
#[test]
fn somebody_in_the_middle_shows_each_side_another_code() {
    let mut lan = lan_of(3, with_code);
    // Nodes 0 and 2 cannot reach each other; node 1 stands between.
    let middle = 1;
    let code_with_middle = |lan: &Lan, at: usize| {
        codes(lan, at).into_iter().find(|(peer, ..)| *peer == id(middle)).map(|(_, code, _)| code).unwrap()
    };
    assert_ne!(code_with_middle(&lan, 0), code_with_middle(&lan, 2));
    // Who compares says no, and both sides are rid of it.
    lan.command(0, |engine, now| engine.confirm_code(now, id(middle), false)).unwrap();
    assert_ne!(level(&lan, 0, middle), Some(Level::Trusted));
}

#[test]
fn a_code_is_run_by_both_if_one_asks_for_it() {
    let policy = |node| match node {
        0 => with_code(0),
        _ => with(TrustPolicy::everyone(), |policy| policy.supported = vec![Step::Code]),
    };
    let mut lan = lan_of(2, policy);
    assert_eq!((codes(&lan, 0).len(), codes(&lan, 1).len()), (1, 1));
    for (at, of) in [(0, 1), (1, 0)] {
        lan.command(at, |engine, now| engine.confirm_code(now, id(of), true)).unwrap();
    }
    assert!(both_trust(&lan));
}

#[test]
fn codes_are_shown_at_a_limited_rate() {
    // Twenty peers at once would be twenty chances; those that are too many are asked to come again.
    let lan = lan_of(21, with_code);
    assert!(codes(&lan, 0).len() <= 16, "{}", codes(&lan, 0).len());
}

// ---- Decision ----

fn deciding(node: usize) -> TrustPolicy {
    if node == 0 { TrustPolicy::requiring([Step::Ping, Step::Decision]) } else { TrustPolicy::default() }
}

#[test]
fn a_decision_is_of_one_side_and_trust_has_a_direction() {
    let mut lan = lan_of(2, deciding);
    assert_eq!((asked(&lan, 0), asked(&lan, 1)), (1, 0));
    // Node 1 has verified node 0 and believes it; node 0 has not verified node 1.
    lan.command(0, |engine, now| engine.send_text(now, id(1), "from 0")).unwrap();
    lan.command(1, |engine, now| engine.send_text(now, id(0), "from 1")).unwrap();
    let text = |lan: &Lan, at: usize| {
        lan.nodes[at].events.iter().find_map(|event| match event {
            Event::Text { trusted, .. } => Some(*trusted),
            _ => None,
        })
    };
    assert_eq!((text(&lan, 1), text(&lan, 0)), (Some(true), Some(false)));
    assert!(!both_trust(&lan));
    lan.command(0, |engine, now| engine.accept(now, id(1))).unwrap();
    assert!(both_trust(&lan));
}

#[test]
fn who_was_let_in_once_is_not_asked_about_again_while_it_runs() {
    let mut lan = lan_of(2, deciding);
    lan.command(0, |engine, now| engine.accept(now, id(1))).unwrap();
    lan.cut();
    lan.run_for_millis(2_000);
    assert!(both_trust(&lan));
    assert_eq!(asked(&lan, 0), 1);
    // Another run of it is another matter.
    lan.cut();
    let now = lan.now;
    let mut again = config("node1");
    again.trust = deciding(1);
    let restored = Restored { incarnation: 2, ..Restored::default() };
    let seeds = Seeds::new([77; 32], [78; 32]);
    lan.replace(1, Engine::new(again, identity(1), restored, seeds, now).unwrap());
    lan.run_for_millis(2_000);
    assert_eq!((asked(&lan, 0), both_trust(&lan)), (2, false));
}

#[test]
fn a_peer_that_is_declined_learns_why_and_is_held_off() {
    let mut lan = lan_of(2, deciding);
    lan.command(0, |engine, now| engine.reject(now, id(1))).unwrap();
    assert_rejected(&lan, 0, 1, RejectReason::Declined);
    lan.run_for_millis(29_000);
    assert_eq!(asked(&lan, 0), 1);
    lan.run_for_millis(60_000);
    assert_eq!(asked(&lan, 0), 2, "after the hold-off it may ask again");
}

#[test]
fn only_so_many_wait_for_a_decision() {
    let lan = lan_of(5, |node| with(deciding(node), |policy| policy.max_waiting = 2));
    assert_eq!(lan.nodes[0].engine.waiting().count(), 2);
    let busy = (1..5).filter(|&node| {
        lan.nodes[node]
            .engine
            .why(&id(0))
            .unwrap()
            .rejected
            .is_some_and(|last| last.reason == RejectReason::Busy)
    });
    assert_eq!(busy.count(), 2);
}

#[test]
fn a_decision_that_nobody_makes_times_out() {
    let mut lan = lan_of(2, deciding);
    lan.run_for_millis(119_000);
    assert_eq!(level(&lan, 0, 1), Some(Level::Connected));
    lan.run_for_millis(2_000);
    assert_rejected(&lan, 0, 1, RejectReason::TimedOut);
}

/// A custom step comes after the other side's decision: it is waited for as long as people may take.
#[test]
fn a_step_after_the_peers_decision_waits_for_its_people() {
    let mut lan = lan_of(2, |node| {
        let badge = Step::Custom("badge".into());
        with(deciding(node), |policy| {
            policy.supported.push(badge.clone());
            policy.steps.extend((node == 1).then_some(badge));
        })
    });
    lan.run_for_millis(60_000);
    assert_eq!(level(&lan, 1, 0), Some(Level::Connected), "30 s for the step and 120 s for the people");
    lan.command(0, |engine, now| engine.accept(now, id(1))).unwrap();
    for (at, of) in [(0, 1), (1, 0)] {
        lan.command(at, |engine, now| engine.step_conclude(now, id(of), "badge", true)).unwrap();
    }
    assert!(both_trust(&lan));
}

/// Who compares digits says who a peer is, and not that it may come in.
#[test]
fn a_code_that_is_the_same_is_no_decision() {
    let mut lan = lan_of(2, |node| with(deciding(node), |policy| policy.steps.push(Step::Code)));
    for (at, of) in [(0, 1), (1, 0)] {
        lan.command(at, |engine, now| engine.confirm_code(now, id(of), true)).unwrap();
    }
    assert_eq!((asked(&lan, 0), level(&lan, 1, 0)), (1, Some(Level::Connected)));
    lan.command(0, |engine, now| engine.reject(now, id(1))).unwrap();
    assert_rejected(&lan, 0, 1, RejectReason::Declined);
    // It comes again with the code, and the application is asked again.
    lan.run_for_millis(61_000);
    for (at, of) in [(0, 1), (1, 0)] {
        let _ = lan.command(at, |engine, now| engine.confirm_code(now, id(of), true));
    }
    assert_eq!((asked(&lan, 0), both_trust(&lan)), (2, false));
    lan.command(0, |engine, now| engine.accept(now, id(1))).unwrap();
    assert!(both_trust(&lan));
    // Both answers hold for this run of the peer.
    lan.cut();
    lan.run_for_millis(2_000);
    assert_eq!((asked(&lan, 0), both_trust(&lan)), (2, true));
}

// ---- Certificate ----

fn authority() -> Identity {
    Identity::from_seed([200; 32])
}

fn certificate(issuer: &Identity, network: &str, subject: PeerId, expires: Option<u64>) -> Certificate {
    let network = Network::open(network).unwrap();
    Certificate::issue(issuer, &network, subject, ["print".to_string()], expires).unwrap()
}

fn vouched(node: usize, shown: Option<Certificate>) -> TrustPolicy {
    let own = certificate(&authority(), "test", id(node), None);
    TrustPolicy::vouched_for([authority().peer_id()], if node == 1 { shown } else { Some(own) })
}

#[test]
fn whom_the_authority_vouches_for_is_let_in_with_its_capabilities() {
    let lan = lan_of(2, |node| vouched(node, Some(certificate(&authority(), "test", id(1), None))));
    assert!(both_trust(&lan));
    let shown = lan.nodes[0].engine.peer(&id(1)).unwrap().certificate.unwrap();
    assert_eq!((shown.issuer(), shown.capabilities()), (authority().peer_id(), &["print".to_string()][..]));
}

#[test]
fn a_certificate_that_is_not_good_lets_nobody_in() {
    let stranger = Identity::from_seed([201; 32]);
    let cases = [
        (None, RejectReason::NoCertificate),
        (Some(certificate(&stranger, "test", id(1), None)), RejectReason::BadCertificate),
        (Some(certificate(&authority(), "elsewhere", id(1), None)), RejectReason::BadCertificate),
        (Some(certificate(&authority(), "test", id(0), None)), RejectReason::BadCertificate),
    ];
    for (shown, reason) in cases {
        let lan = lan_of(2, |node| vouched(node, shown.clone()));
        assert_rejected(&lan, 0, 1, reason);
    }
}

/// The other side shows its certificate when its people have compared the code: that is waited for.
#[test]
fn a_certificate_after_a_code_waits_for_the_peers_people() {
    let mut lan = lan_of(2, |node| {
        let own = Some(certificate(&authority(), "test", id(node), None));
        with(TrustPolicy::vouched_for([authority().peer_id()], own), |policy| policy.steps.push(Step::Code))
    });
    lan.command(0, |engine, now| engine.confirm_code(now, id(1), true)).unwrap();
    lan.run_for_millis(100_000);
    assert_eq!(level(&lan, 0, 1), Some(Level::Connected), "30 s for the step and 120 s for the people");
    lan.command(1, |engine, now| engine.confirm_code(now, id(0), true)).unwrap();
    assert!(both_trust(&lan));
}

/// One changed bit anywhere. The peer's own engine would not show such a thing: its part is said by hand.
#[test]
fn a_damaged_certificate_lets_nobody_in() {
    let good = certificate(&authority(), "test", id(1), None).to_bytes();
    let shown = |bytes: &[u8]| {
        let mut lan = Lan::configured(2, |config| {
            config.trust = vouched(0, None);
            config.trust.steps = vec![Step::Certificate];
        });
        lan.nodes[1].budget = None;
        lan.run_for_millis(300);
        let link = *lan.nodes[0].frames.keys().next().unwrap();
        for frame in [&[0, 1, 0, 0][..], &step_frame("certificate", bytes)] {
            lan.command(0, |engine, now| engine.handle_link(now, link, LinkInput::Frame(frame)));
        }
        let certificate = lan.nodes[0].engine.peer(&id(1)).unwrap().certificate.is_some();
        (certificate, lan.nodes[0].engine.why(&id(1)).unwrap().rejected.map(|last| last.reason))
    };
    assert_eq!(shown(&good), (true, None));
    for bit in (0..good.len() * 8).step_by(5) {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(shown(&changed), (false, Some(RejectReason::BadCertificate)), "bit {bit}");
    }
    assert_eq!(shown(&[]), (false, Some(RejectReason::NoCertificate)));
}

#[test]
fn a_certificate_expires_by_the_wall_clock_and_only_by_that() {
    let shown = Some(certificate(&authority(), "test", id(1), Some(1_000)));
    let policy = |node| vouched(node, shown.clone());
    let mut lan = lan_of(2, policy);
    assert!(both_trust(&lan), "without a clock nothing is known to have expired");
    lan.command(0, |engine, now| engine.handle_wall_clock(now, 999));
    assert!(both_trust(&lan));
    lan.command(0, |engine, now| engine.handle_wall_clock(now, 1_000));
    assert_rejected(&lan, 0, 1, RejectReason::CertificateExpired);
    // The clock goes on by itself.
    let mut lan = Lan::configured(2, |config| config.trust = policy(config.name[4..].parse().unwrap()));
    let now = lan.now;
    lan.nodes[0].engine.handle_wall_clock(now, 1_001);
    lan.run_for_millis(300);
    assert_rejected(&lan, 0, 1, RejectReason::CertificateExpired);
}

#[test]
fn who_shows_a_certificate_need_not_ask_for_one() {
    let policy = |node| match node {
        0 => vouched(0, None),
        _ => with(TrustPolicy::default(), |policy| {
            policy.certificate = Some(certificate(&authority(), "test", id(1), None));
        }),
    };
    assert!(both_trust(&lan_of(2, policy)));
}

// ---- Union, downgrade ----

#[test]
fn a_step_that_one_side_cannot_take_part_in_ends_it_with_a_reason() {
    let policy = |node| if node == 0 { with_code(0) } else { TrustPolicy::default() };
    let lan = lan_of(2, policy);
    assert_rejected(&lan, 1, 0, RejectReason::Unsupported);
    let lan = lan_of(2, |node| if node == 0 { vouched(0, None) } else { TrustPolicy::default() });
    assert_rejected(&lan, 1, 0, RejectReason::Unsupported);
}

/// The peer announces nothing and hopes that nothing is asked of it.
#[test]
fn who_does_not_announce_a_step_must_pass_it_nevertheless() {
    let badge = || Step::Custom("badge".into());
    let policy = |node| match node {
        0 => TrustPolicy::requiring([Step::Ping, badge()]),
        _ => with(TrustPolicy::everyone(), |policy| policy.supported = vec![badge()]),
    };
    let mut lan = lan_of(2, policy);
    assert_eq!(level(&lan, 0, 1), Some(Level::Connected));
    // It says that it is done: that is about itself, and no proof.
    inject(&mut lan, 0, 1, &[3, 1]);
    assert_eq!(level(&lan, 0, 1), Some(Level::Connected));
    lan.run_for_millis(31_000);
    assert_eq!(rejection(&lan, 0, 1).reason, RejectReason::TimedOut);
}

#[test]
fn built_in_steps_are_none_of_the_applications_business() {
    let mut lan = lan_of(2, with_code);
    let send = lan.command(0, |engine, now| engine.step_send(now, id(1), "code", &[0; 32]));
    assert_eq!(send, Err(StepError::NotRunning));
    let end = lan.command(0, |engine, now| engine.step_conclude(now, id(1), "code", true));
    assert_eq!(end, Err(StepError::NotRunning));
    assert!(!both_trust(&lan));
}

// ---- Retry limit ----

#[test]
fn who_is_rejected_again_and_again_waits_longer_and_longer() {
    let mut lan = lan_of(2, deciding);
    let mut gaps = Vec::new();
    for _ in 0..6 {
        let before = lan.now;
        let times = asked(&lan, 0);
        lan.command(0, |engine, now| engine.reject(now, id(1))).unwrap();
        while asked(&lan, 0) == times {
            lan.run_for_millis(1_000);
            assert!(lan.now.since(before) < Duration::from_secs(3_600), "it is never asked about again");
        }
        gaps.push(lan.now.since(before).as_secs());
    }
    assert!(gaps[..2].iter().all(|gap| (29..=75).contains(gap)), "{gaps:?}");
    assert!(gaps[3] >= 60 && gaps[4] >= 120 && gaps[5] >= 240, "{gaps:?}");
    assert_eq!(rejection(&lan, 0, 1).in_a_row, 6);
    lan.command(0, |engine, now| engine.accept(now, id(1))).unwrap();
    assert!(both_trust(&lan));
    assert_eq!(lan.nodes[0].engine.why(&id(1)).unwrap().rejected, None, "trust makes up for it");
}

// ---- Trust and block at run time ----

#[test]
fn who_is_trusted_for_good_is_not_asked_about() {
    let mut lan = lan_of(2, deciding);
    lan.command(0, |engine, now| engine.trust(now, id(1))).unwrap();
    assert!(both_trust(&lan), "what waits for a decision is decided");
    assert_eq!(lan.nodes[0].engine.decisions().collect::<Vec<_>>(), [Decision::Trust(id(1))]);
    let saved = format!("SaveDecisions {{ decisions: [Trust({})] }}", id(1).short());
    assert!(lan.nodes[0].actions.iter().any(|action| action.contains(&saved)), "{:?}", lan.nodes[0].actions);
    lan.command(0, |engine, now| engine.distrust(now, id(1)));
    assert_rejected(&lan, 0, 1, RejectReason::Distrusted);
    lan.run_for_millis(70_000);
    assert_eq!(asked(&lan, 0), 2, "it is asked about again");
}

#[test]
fn decisions_outlive_the_run() {
    let mut lan = Lan::configured(2, |config| config.trust = deciding(config.name[4..].parse().unwrap()));
    let mut again = config("node0");
    again.trust = deciding(0);
    let decisions = vec![Decision::Trust(id(1))];
    let restored = Restored { incarnation: 2, decisions: decisions.clone(), ..Restored::default() };
    let now = lan.now;
    let engine = Engine::new(again, identity(0), restored, Seeds::new([5; 32], [6; 32]), now).unwrap();
    lan.replace(0, engine);
    lan.run_for_millis(2_000);
    assert!(both_trust(&lan));
    assert_eq!(lan.nodes[0].engine.decisions().collect::<Vec<_>>(), decisions);
}

#[test]
fn a_code_need_not_be_confirmed_for_who_is_trusted_already() {
    let mut lan = Lan::configured(2, |config| config.trust = with_code(0));
    lan.command(0, |engine, now| engine.trust(now, id(1))).unwrap();
    lan.run_for_millis(300);
    assert_eq!(
        codes(&lan, 0).first().map(|(_, _, confirm)| *confirm),
        Some(false),
        "the other person needs it"
    );
    assert_eq!(codes(&lan, 1).first().map(|(_, _, confirm)| *confirm), Some(true));
    lan.command(1, |engine, now| engine.confirm_code(now, id(0), true)).unwrap();
    assert!(both_trust(&lan));
}

#[test]
fn a_blocked_peer_is_parted_from_not_dialled_and_not_told_of() {
    let mut lan = lan_of(3, |_| TrustPolicy::default());
    lan.command(0, |engine, now| engine.block(now, id(2))).unwrap();
    let left = |lan: &Lan, at: usize, of: usize| {
        lan.nodes[at].events.iter().any(|event| {
            matches!(event, Event::PeerLeft { peer, reason: LeaveReason::Rejected(RejectReason::Blocked), .. } if *peer == id(of))
        })
    };
    assert!(left(&lan, 0, 2) && left(&lan, 2, 0));
    assert_eq!(rejection(&lan, 2, 0).reason, RejectReason::Blocked);
    let dials = lan.nodes[0].engine.stats().dials_started;
    // It tries on its own, its beacons come, and node 1 tells of it.
    lan.run_for_millis(400_000);
    assert_eq!(level(&lan, 0, 2), None);
    let stats = lan.nodes[0].engine.stats();
    assert!(stats.records_blocked > 10 && stats.links_turned_away > 0, "{stats:?}");
    assert_eq!(stats.dials_started, dials, "nobody else needs dialling");
    assert_eq!(level(&lan, 0, 1), Some(Level::Trusted));
    assert!(lan.command(0, |engine, now| engine.unblock(now, id(2))));
    assert!(!lan.command(0, |engine, now| engine.unblock(now, id(2))));
    lan.run_for_millis(10_000);
    assert_eq!(level(&lan, 0, 2), Some(Level::Trusted), "it is as if nothing had been");
}

#[test]
fn a_blocked_address_has_nothing_to_say() {
    let mut lan = lan_of(2, |_| TrustPolicy::default());
    assert!(both_trust(&lan));
    let mapped = match host(1) {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        ip => ip,
    };
    lan.command(0, |engine, now| engine.block(now, mapped)).unwrap();
    assert_eq!(lan.nodes[0].engine.decisions().collect::<Vec<_>>(), [Decision::Block(Who::Address(host(1)))]);
    assert_eq!(rejection(&lan, 1, 0).reason, RejectReason::Blocked);
    assert_eq!(level(&lan, 0, 1), Some(Level::Known));
    let dials = lan.nodes[0].engine.stats().dials_started;
    lan.run_for_millis(100_000);
    let stats = *lan.nodes[0].engine.stats();
    assert!(stats.datagrams_blocked > 5 && stats.links_blocked > 0, "{stats:?}");
    assert_eq!((stats.dials_started, level(&lan, 0, 1)), (dials, Some(Level::Known)));
    let now = lan.now;
    let address = (host(1), lan::PORT).into();
    assert_eq!(lan.nodes[0].engine.dial(now, address), Err(DialError::Blocked(address)));
    assert_eq!(lan.nodes[0].engine.accept_link(now, None, address), Err(LinkRefused::Blocked));
    assert!(lan.command(0, |engine, now| engine.unblock(now, Who::Address(mapped))));
    lan.run_for_millis(70_000);
    assert!(both_trust(&lan));
}

#[test]
fn a_forgotten_peer_is_met_again_as_a_stranger() {
    let mut lan = lan_of(2, deciding);
    lan.command(0, |engine, now| engine.trust(now, id(1))).unwrap();
    assert!(lan.command(0, |engine, now| engine.forget(now, id(1))));
    assert_eq!((level(&lan, 0, 1), lan.nodes[0].engine.decisions().count()), (None, 0));
    assert!(!lan.command(0, |engine, now| engine.forget(now, id(1))));
    lan.run_for_millis(70_000);
    assert_eq!((asked(&lan, 0), level(&lan, 0, 1)), (2, Some(Level::Connected)));
}

#[test]
fn decisions_are_bounded_and_never_about_oneself() {
    let mut engine = engine(config("node0"), 1, Timestamp::ZERO);
    let now = Timestamp::from_millis(1);
    assert_eq!(engine.block(now, id(0)), Err(DecisionError::Oneself));
    assert_eq!(engine.trust(now, id(0)), Err(DecisionError::Oneself));
    let peer = |n: usize| {
        let mut bytes = [3; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        PeerId::from_bytes(bytes)
    };
    for n in 0..MAX_DECISIONS {
        engine.trust(now, peer(n)).unwrap();
    }
    assert_eq!(engine.block(now, peer(MAX_DECISIONS)), Err(DecisionError::Full));
    assert_eq!(engine.block(now, host(9)), Err(DecisionError::Full));
    engine.trust(now, peer(0)).unwrap();
    engine.block(now, peer(0)).unwrap();
    assert_eq!(engine.trust(now, peer(0)), Err(DecisionError::Blocked));
    assert_eq!(engine.decisions().collect::<BTreeSet<_>>().len(), MAX_DECISIONS);
}

// ---- What passes before trust ----

/// Three nodes of which node 0 decides about node 1, and node 2 is known to node 1 alone: node 0 has never heard it.
fn gated(change: impl Fn(&mut TrustPolicy)) -> Lan {
    let mut lan = lan_of(2, |node| {
        let mut policy = deciding(node);
        change(&mut policy);
        policy
    });
    let other = engine(config("other"), 9, lan.now);
    let own = lan.nodes[1].engine.record().bytes().to_vec();
    let record = other.record().bytes().to_vec();
    for bytes in [record, own] {
        let mut frame = vec![5, 1, 0, bytes.len() as u8];
        assert!(bytes.len() < 251);
        frame.extend_from_slice(&bytes);
        inject(&mut lan, 0, 1, &frame);
    }
    lan
}

#[test]
fn records_of_others_pass_before_trust_only_if_that_gate_is_open() {
    let other = Identity::from_seed([9; 32]).peer_id();
    let knows = |lan: &Lan| lan.nodes[0].engine.peer(&other).is_some();
    let lan = gated(|_| {});
    assert!(!knows(&lan));
    assert_eq!(lan.nodes[0].engine.stats().frames_before_trust, 1);
    let lan = gated(|policy| policy.records_before_trust = RecordGate::Closed);
    assert!(!knows(&lan));
    assert_eq!(lan.nodes[0].engine.stats().frames_before_trust, 2, "its own does not pass either");
    let lan = gated(|policy| policy.records_before_trust = RecordGate::Open);
    assert!(knows(&lan));
    assert_eq!(lan.nodes[0].engine.stats().frames_before_trust, 0);
}

#[test]
fn texts_wait_at_the_peer_if_their_gate_is_closed() {
    let mut lan = lan_of(2, |node| with(deciding(node), |policy| policy.texts_before_trust = false));
    lan.command(1, |engine, now| engine.send_text(now, id(0), "hello")).unwrap();
    lan.run_for_millis(5_000);
    let texts = |lan: &Lan| {
        let text = |event: &&Event| matches!(event, Event::Text { trusted: true, .. });
        lan.nodes[0].events.iter().filter(text).count()
    };
    assert_eq!(texts(&lan), 0);
    assert!(lan.nodes[0].engine.stats().frames_before_trust > 3, "it is sent again and again");
    lan.command(0, |engine, now| engine.accept(now, id(1))).unwrap();
    lan.run_for_millis(2_000);
    assert_eq!(texts(&lan), 1);
}
