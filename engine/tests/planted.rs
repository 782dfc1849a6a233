//! Every planted bug is found by a check that an engine without it passes.

mod lan;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lan::{Lan, PORT};
use p2pnet_engine::{
    BlockRef, Bug, Config, ContentHasher, ContentId, ContentKind, Datagram, Engine, Event, Identity, Level,
    LinkInput, Manifest, Memory, Remembered, Restored, Seeds, Step,
};

/// Says what is wrong with a run in which every engine has the bug, if anything is.
type Check = fn(Option<Bug>) -> Result<(), String>;

/// `None` for bugs that only show among many nodes: `p2pnet-sim planted` looks for those, as for all others.
fn check_for(bug: Bug) -> Option<Check> {
    let check: Check = match bug {
        Bug::KeepBothLinks | Bug::CutTheWinner | Bug::EachKeepsItsOwn => one_link_and_never_none,
        Bug::EventsDoNotAlternate => up_and_down_alternate,
        Bug::UntrustedTextAsTrusted => texts_of_the_unverified_are_marked,
        Bug::FailedStepPasses => who_fails_a_step_is_not_let_in,
        Bug::EnhancedBeforeTrust => nothing_enhanced_passes_before_trust,
        Bug::FloorsForgotten => who_left_comes_back_by_a_newer_incarnation_only,
        Bug::TextTwice => texts_come_once,
        Bug::ForgedRecord => records_are_signed,
        Bug::BadBlock => blocks_are_what_was_published,
        Bug::NeverRedial => a_lost_link_comes_back,
        Bug::BeaconStorm => the_air_is_quiet,
        Bug::NoReoffer => contents_survive_a_reconnect,
        Bug::UnboundedTable => the_table_is_bounded,
        Bug::DeafToSilence => silence_ends_a_link,
        Bug::RestlessLinks
        | Bug::PanicOnFrame
        | Bug::OneDeadlineAtATime
        | Bug::Amplifier
        | Bug::SilentAfterBurst
        | Bug::NewerRecordIgnored
        | Bug::LeaverKept
        | Bug::NeverCompares
        | Bug::RecordsBeforeTrust
        | Bug::AnyLinkKey
        | Bug::TheirStepsOnly
        | Bug::UnsignedGoodbye
        | Bug::UnmeteredSignatures
        | Bug::AimsAnywhere
        | Bug::FloodCutsLinks
        | Bug::NoPulse
        | Bug::RumourBelieved
        | Bug::CodeOfNoncesOnly
        | Bug::AnyCode
        | Bug::AnyIssuer
        | Bug::CodeDecides
        | Bug::SilentRejection
        | Bug::TextsNotResent
        | Bug::MessageTwice
        | Bug::MessageUnsigned
        | Bug::MessagesNotResent
        | Bug::ReportsDropped
        | Bug::AnswersAnySearch
        | Bug::AnyNetwork
        | Bug::AnyTask => return None,
        other => panic!("{other:?} has no check"),
    };
    Some(check)
}

#[test]
fn every_planted_bug_is_found_and_nothing_else_is() {
    for &bug in Bug::ALL {
        let Some(check) = check_for(bug) else { continue };
        assert_eq!(check(None), Ok(()), "without {bug:?}");
        let found = check(Some(bug)).expect_err(bug.id());
        println!("{}: {found}", bug.id());
    }
}

#[test]
fn every_bug_has_an_id_of_its_own_and_a_sentence() {
    for &bug in Bug::ALL {
        assert_eq!(Bug::find(bug.id()), Some(bug));
        assert!(bug.sentence().ends_with('.'));
    }
    assert_eq!(Bug::find("no-such-bug"), None);
}

// ---- The checks ----

fn one_link_and_never_none(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    for (i, host) in [(0, 2), (1, 1)] {
        let now = lan.now;
        let address: SocketAddr = format!("10.0.0.{host}:{PORT}").parse().unwrap();
        lan.nodes[i].engine.dial(now, address).unwrap();
    }
    lan.settle();
    let duplicates: u64 = lan.nodes.iter().map(|node| node.engine.stats().links_duplicate).sum();
    holds(duplicates > 0, "the two never had two links")?;
    lan.run_for_millis(3_000);
    for i in 0..2 {
        let left = lan.nodes[i].events.iter().any(|event| matches!(event, Event::PeerLeft { .. }));
        holds(!left, "a link was cut that had no replacement")?;
        holds(lan.streams(i) == 1, &format!("{} streams", lan.streams(i)))?;
        holds(trusts(&lan, i), "no trust")?;
    }
    Ok(())
}

fn up_and_down_alternate(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(1_000);
    lan.nodes[0].take_events = false;
    lan.cut();
    lan.run_for_millis(2_000);
    lan.nodes[0].take_events = true;
    lan.run_for_millis(100);
    let mut up = false;
    for event in &lan.nodes[0].events {
        let now_up = match event {
            Event::PeerConnected { .. } => true,
            Event::PeerLeft { .. } => false,
            _ => continue,
        };
        holds(up != now_up, &format!("{event:?} came twice"))?;
        up = now_up;
    }
    holds(up, "never connected")
}

fn texts_of_the_unverified_are_marked(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, never_verified);
    lan.run_for_millis(1_000);
    let to = lan.nodes[0].engine.peer_id();
    lan.command(1, |engine, now| engine.send_text(now, to, "hello").unwrap());
    lan.run_for_millis(100);
    let trusted = lan.nodes[0].events.iter().find_map(|event| match event {
        Event::Text { trusted, .. } => Some(*trusted),
        _ => None,
    });
    holds(trusted == Some(false), &format!("the text's trust: {trusted:?}"))
}

fn nothing_enhanced_passes_before_trust(bug: Option<Bug>) -> Result<(), String> {
    // The bytes of an offer, as a node sends it to a peer that it trusts.
    let mut honest = nodes(2, None, |_| {});
    honest.run_for_millis(1_000);
    publish(&mut honest, 1, b"offered");
    let sent: &[u8] = honest.nodes[1].frames.values().next().unwrap();
    let offer = last_frame(sent);

    let mut lan = nodes(2, bug, never_verified);
    lan.run_for_millis(1_000);
    let link = lan.nodes[0].engine.peers().next().unwrap().link.unwrap();
    lan.command(0, |engine, now| engine.handle_link(now, link, LinkInput::Frame(offer)));
    let offered = lan.nodes[0].events.iter().any(|event| matches!(event, Event::ContentOffered { .. }));
    holds(!offered, "an offer of a peer that is not verified was told")?;
    holds(lan.nodes[0].engine.stats().frames_before_trust == 1, "the offer never arrived")
}

fn who_left_comes_back_by_a_newer_incarnation_only(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(1_000);
    lan.command(1, |engine, now| engine.leave(now));
    lan.run_for_millis(1_000);
    let again = engine(1, bug, Restored { incarnation: 1, ..Restored::default() }, &lan);
    lan.replace(1, again);
    lan.run_for_millis(10_000);
    let back = lan.nodes[0].engine.peers().next().map(|peer| peer.record.record().incarnation);
    holds(back.is_some_and(|incarnation| incarnation > 1), &format!("back as {back:?}"))
}

fn texts_come_once(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(1_000);
    // Nothing that node 1 says gets out, acknowledgements least of all.
    lan.nodes[1].budget = None;
    lan.give_budget(1, 0);
    let to = lan.nodes[1].engine.peer_id();
    lan.command(0, |engine, now| engine.send_text(now, to, "once").unwrap());
    lan.run_for_millis(2_500);
    let times = lan.nodes[1].events.iter().filter(|event| matches!(event, Event::Text { .. })).count();
    holds(times == 1, &format!("delivered {times} times"))
}

fn records_are_signed(bug: Option<Bug>) -> Result<(), String> {
    let lan = nodes(2, bug, |_| {});
    let genuine = lan.nodes[1].engine.record().bytes().to_vec();
    let mut forged = genuine.clone();
    *forged.last_mut().unwrap() ^= 1;
    let knows = |record: Vec<u8>| {
        let address = "10.0.0.9:9000".parse().unwrap();
        let peers = BTreeMap::from([(lan.nodes[1].engine.peer_id(), Remembered::new(record, address))]);
        let restored = Restored { memory: Memory { peers, ..Memory::default() }, ..Restored::default() };
        let engine = engine(0, bug, restored, &lan);
        let table = engine.tables().into_iter().find(|(name, ..)| *name == "remembered peers");
        table.unwrap().1
    };
    holds(knows(genuine) == 1, "a genuine record was refused")?;
    holds(knows(forged) == 0, "a forged record was believed")
}

fn blocks_are_what_was_published(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(1_000);
    let content = publish(&mut lan, 0, &[7; 100_000]);
    let block = BlockRef { content, index: 0 };
    lan.nodes[0].store.get_mut(&block).unwrap()[5_000] ^= 1;
    lan.command(1, |engine, now| engine.fetch(now, content).unwrap());
    lan.run_for_millis(1_000);
    let blocks = lan.nodes[0].engine.stats().blocks_sent;
    holds(blocks > 0, "no block was sent")?;
    let wrong = lan.nodes[1].store.get(&block).is_some_and(|data| data[..] != [7; 100_000]);
    holds(!wrong, "a block was stored that nobody published")
}

fn a_lost_link_comes_back(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(1_000);
    lan.cut();
    lan.run_for_millis(30_000);
    holds(trusts(&lan, 0) && trusts(&lan, 1), "no trust half a minute after a cut")
}

fn the_air_is_quiet(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(5_000);
    let sent = |lan: &Lan| lan.nodes.iter().map(|node| node.engine.stats().datagrams_sent).sum::<u64>();
    let before = sent(&lan);
    lan.run_for_millis(20_000);
    let sent = sent(&lan) - before;
    // Two nodes, a beacon a second at the most, on two ports.
    holds(sent <= 80, &format!("{sent} datagrams in 20 s"))
}

fn contents_survive_a_reconnect(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(1_000);
    let content = publish(&mut lan, 0, &[7; 100_000]);
    lan.cut();
    lan.run_for_millis(2_000);
    holds(trusts(&lan, 1), "no trust after a cut")?;
    lan.command(1, |engine, now| engine.fetch(now, content).unwrap());
    lan.run_for_millis(10_000);
    let got = lan.nodes[1].events.iter().any(|event| matches!(event, Event::ContentReceived { .. }));
    holds(got, "a content was not fetched though its publisher is there")
}

fn the_table_is_bounded(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(1, bug, |config| config.max_peers = 4);
    let now = lan.now;
    for seed in 10..30 {
        let mut stranger = lan::engine(lan::config("stranger"), seed, now);
        stranger.handle_interfaces(now, &[lan::interface(seed)]);
        stranger.handle_timeout(now);
        let mut bytes = Vec::new();
        while stranger.poll_transmit(&mut bytes).is_some() {
            let source = format!("10.0.0.{seed}:{PORT}").parse().unwrap();
            let datagram = Datagram { interface: lan::LAN, source, bytes: &bytes };
            lan.nodes[0].engine.handle_datagram(now, datagram);
        }
    }
    let known = lan.nodes[0].engine.peers().count();
    holds((1..=4).contains(&known), &format!("{known} peers in a table for 4"))
}

fn silence_ends_a_link(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, |_| {});
    lan.run_for_millis(1_000);
    lan.nodes[1].budget = None;
    lan.give_budget(1, 0);
    lan.run_for_millis(6_000);
    let left = lan.nodes[0].events.iter().any(|event| matches!(event, Event::PeerLeft { .. }));
    holds(left, "a peer was silent for 6 s and is still connected")
}

// ---- What they share ----

fn nodes(count: usize, bug: Option<Bug>, configure: impl Fn(&mut Config)) -> Lan {
    Lan::configured(count, |config| {
        configure(config);
        config.planted = bug;
    })
}

/// A new run of node `i`.
fn engine(i: u8, bug: Option<Bug>, restored: Restored, lan: &Lan) -> Engine {
    let mut config = lan::config(&format!("node{i}"));
    config.planted = bug;
    let seeds = Seeds::new([i + 77; 32], [i + 78; 32]);
    Engine::new(config, Identity::from_seed([i + 1; 32]), restored, seeds, lan.now).unwrap()
}

/// A step that no application ever ends.
fn never_verified(config: &mut Config) {
    config.trust.steps = vec![Step::Custom("pin".into())];
}

fn who_fails_a_step_is_not_let_in(bug: Option<Bug>) -> Result<(), String> {
    let mut lan = nodes(2, bug, never_verified);
    lan.run_for_millis(1_000);
    for (at, of) in [(0, 1), (1, 0)] {
        let peer = lan.nodes[of].engine.peer_id();
        // The one that is rejected first has nothing more to end.
        let _ = lan.command(at, |engine, now| engine.step_conclude(now, peer, "pin", false));
    }
    holds(!trusts(&lan, 0), "a peer that failed is trusted")
}

fn holds(condition: bool, otherwise: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.into()) }
}

fn trusts(lan: &Lan, i: usize) -> bool {
    lan.nodes[i].engine.peers().any(|peer| peer.level == Level::Trusted)
}

fn publish(lan: &mut Lan, i: usize, bytes: &[u8]) -> ContentId {
    let mut hasher = ContentHasher::new();
    hasher.update(bytes);
    let (content, list) = hasher.finish().unwrap();
    lan.nodes[i].store.insert(BlockRef { content, index: 0 }, bytes.to_vec());
    let manifest = Manifest { content, name: "film.bin".into(), kind: ContentKind::File };
    lan.command(i, |engine, now| engine.publish(now, manifest, list).unwrap());
    content
}

/// The last of several frames, each behind its length.
fn last_frame(mut frames: &[u8]) -> &[u8] {
    let mut last = frames;
    while let Some((len, rest)) = frames.split_first_chunk::<4>() {
        (last, frames) = rest.split_at(u32::from_le_bytes(*len) as usize);
    }
    last
}
