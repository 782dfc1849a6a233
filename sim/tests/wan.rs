//! Nodes in different homes: routers between them, bootstrap servers that tell of them, relays that let them in.

use p2pnet_engine::Level;
use p2pnet_sim::{Detail, World};

use p2pnet_sim::world::faults::FaultKind;
use p2pnet_sim::world::plan::Plan;

/// Two homes with a node each, behind routers of these kinds; `more` is the rest of the plan.
fn homes(routers: [&str; 2], more: &str) -> Plan {
    let [one, two] = routers;
    Plan::parse(&format!(
        r#"
schema = 1
seed = 7
chaos_ms = 20000
quiet_ms = 5000
core = ["a", "b"]
leaver = "a"

[[lan]]
name = "one"
router = "{one}"

[[lan]]
name = "two"
router = "{two}"

[[host]]
name = "ha"
lans = ["one"]

[[host]]
name = "hb"
lans = ["two"]

[[node]]
name = "a"
host = "ha"

[[node]]
name = "b"
host = "hb"
{more}
"#
    ))
    .unwrap_or_else(|error| panic!("{error}"))
}

const INTERNET: &str = r#"
[internet]
link = "far"
mapping_ms = 60000

[[link]]
name = "far"
latency_us = 20000
jitter_us = 5000
loss = 0.01
"#;

const SERVER: &str = "\n[[server]]\nname = \"s\"\nkind = \"honest\"\n";
const RELAYS: &str = "\n[[relay]]\nname = \"r\"\n\n[[relay]]\nname = \"q\"\n";

fn level(world: &World, a: usize, b: usize) -> Option<Level> {
    world.engine(a)?.peer(&world.peer_id(b)).map(|peer| peer.level)
}

/// Runs for 20 s and says what the two know of each other.
fn after_20_seconds(plan: Plan) -> [Option<Level>; 2] {
    let mut world = World::new(plan, false);
    world.run_for(std::time::Duration::from_secs(20));
    [level(&world, 0, 1), level(&world, 1, 0)]
}

const BOTH: [Option<Level>; 2] = [Some(Level::Trusted), Some(Level::Trusted)];

#[test]
fn a_node_with_an_address_for_all_is_found_by_one_behind_any_router() {
    for router in ["none", "endpoint-independent", "address-dependent", "symmetric"] {
        let plan = homes(["none", router], &format!("{INTERNET}{SERVER}"));
        assert_eq!(after_20_seconds(plan.clone()), BOTH, "{router}");
        assert_eq!(World::new(plan, false).run().failure, None, "{router}");
    }
}

#[test]
fn behind_two_routers_nobody_meets_without_a_relay() {
    let routers = ["endpoint-independent", "address-dependent"];
    let alone = after_20_seconds(homes(routers, &format!("{INTERNET}{SERVER}")));
    assert_eq!(alone, [Some(Level::Known), Some(Level::Known)], "they know of each other");
    let plan = homes(routers, &format!("{INTERNET}{SERVER}{RELAYS}"));
    assert_eq!(after_20_seconds(plan.clone()), BOTH);
    assert_eq!(World::new(plan, false).run().failure, None);
}

#[test]
fn without_a_server_nobody_meets_beyond_the_lan() {
    assert_eq!(after_20_seconds(homes(["none", "none"], INTERNET)), [None, None]);
}

#[test]
fn another_relay_takes_over_when_one_dies() {
    let down = "\n[[fault]]\nkind = \"relay-down\"\nat_ms = 10000\nfor_ms = 600000\nrelay = \"r\"\n";
    let routers = ["endpoint-independent", "endpoint-independent"];
    let mut world = World::new(homes(routers, &format!("{INTERNET}{SERVER}{RELAYS}{down}")), false);
    world.run_for(std::time::Duration::from_secs(9));
    assert_eq!([level(&world, 0, 1), level(&world, 1, 0)], BOTH);
    world.run_for(std::time::Duration::from_secs(11));
    assert_eq!([level(&world, 0, 1), level(&world, 1, 0)], BOTH);
    assert_eq!(world.faults().of(FaultKind::RelayDown), 1);
}

#[test]
fn peers_that_know_each_other_need_no_server_any_more() {
    let rest = "\n[[fault]]\nkind = \"server-down\"\nat_ms = 8000\nfor_ms = 600000\nserver = \"s\"\n\
                \n[[text]]\nfrom = \"a\"\nto = \"b\"\nat_ms = 15000\nbytes = 20\n\
                \n[[fault]]\nkind = \"reset\"\nat_ms = 12000\na = \"a\"\nb = \"b\"\n";
    let mut world = World::new(homes(["none", "symmetric"], &format!("{INTERNET}{SERVER}{rest}")), false);
    world.run_for(std::time::Duration::from_secs(19));
    assert_eq!([level(&world, 0, 1), level(&world, 1, 0)], BOTH);
    assert_eq!(world.texts_received(1), 1);
}

#[test]
fn who_moves_into_the_home_of_the_other_meets_it_there() {
    let moves = "\n[[fault]]\nkind = \"move\"\nat_ms = 8000\nhost = \"hb\"\nlan = \"one\"\n";
    let plan = homes(["symmetric", "symmetric"], &format!("{INTERNET}{SERVER}{RELAYS}{moves}"));
    let mut world = World::new(plan, false);
    world.run_for(std::time::Duration::from_secs(19));
    assert_eq!([level(&world, 0, 1), level(&world, 1, 0)], BOTH);
    assert_eq!(world.links_afar(), 0, "the link leads over the LAN");
}

#[test]
fn a_server_that_lies_brings_nobody_in_and_drives_nobody_out() {
    let liar = "\n[[server]]\nname = \"liar\"\nkind = \"lying\"\ncrowds = true\n";
    for seed in 0..10 {
        let more = format!("{INTERNET}{liar}{SERVER}{RELAYS}");
        let plan = Plan { seed, ..homes(["none", "endpoint-independent"], &more) };
        assert_eq!(World::new(plan, false).run().failure, None, "{seed}");
    }
}

#[test]
fn nodes_do_what_their_operator_asks_and_nothing_that_a_liar_asks_in_its_name() {
    let liar = "\n[[server]]\nname = \"liar\"\nkind = \"lying\"\n";
    let mut lies = 0;
    for seed in 0..10 {
        let more = format!("{INTERNET}{SERVER}{liar}{RELAYS}");
        let plan = Plan { seed, operator: true, ..homes(["none", "endpoint-independent"], &more) };
        let mut world = World::new(plan, true);
        world.run_for(std::time::Duration::from_secs(60));
        let text = world.trace().expect("it is traced").text(Detail::Events);
        assert!(!text.contains("FAILED"), "{seed}: {text}");
        let done = text.matches("carries out").count();
        assert!((2..=12).contains(&done), "{seed}: {done}");
        lies += world.faults().of(FaultKind::FalseTask);
    }
    assert!(lies >= 5, "{lies}");
}

/// Two homes whose routers translate nothing, at IPv6 addresses, without a server; `a` searches the other's prefix.
fn searching(answers: bool) -> Plan {
    let search = "\n[[search]]\nat_ms = 2000\nnode = \"a\"\nprefix = \"2a0e:0:0:2::/64\"\n\
                  per_second = 100\ntotal = 400\n";
    let mut plan = homes(["none", "none"], &format!("{INTERNET}{search}"));
    plan.host[0].ipv6 = Some("2a0e:0:0:1::5".parse().unwrap());
    plan.host[1].ipv6 = Some("2a0e:0:0:2::cafe".parse().unwrap());
    plan.node[1].answers_searches = answers;
    plan
}

#[test]
fn who_asked_to_be_found_is_found_by_a_search_and_nobody_else() {
    for answers in [true, false] {
        let mut world = World::new(searching(answers), true);
        world.run_for(std::time::Duration::from_secs(20));
        let levels = [level(&world, 0, 1), level(&world, 1, 0)];
        // The beacon of a search says who searches.
        assert_eq!(levels, if answers { BOTH } else { [None, Some(Level::Known)] });
        let text = world.trace().expect("it is traced").text(Detail::Everything);
        assert!(text.contains("to hb:"), "it was asked: {text}");
        let found = u64::from(answers);
        assert!(text.contains(&format!("addresses, {found} peers there")), "{text}");
    }
}

#[test]
fn an_address_beyond_the_lans_is_one_and_of_one_host() {
    let refused = |change: fn(&mut Plan)| {
        let mut plan = searching(true);
        change(&mut plan);
        Plan::parse(&plan.to_toml()).unwrap_err().to_string()
    };
    let near = refused(|plan| plan.host[0].ipv6 = Some("fe80::1".parse().unwrap()));
    assert!(near.contains("fe80::1 is no address beyond the LANs"), "{near}");
    let twice = refused(|plan| plan.host[0].ipv6 = plan.host[1].ipv6);
    assert!(twice.contains("there are two hosts at"), "{twice}");
    let multicast = refused(|plan| plan.search[0].prefix = "ff02::/64".to_owned());
    assert!(multicast.contains("is not searched"), "{multicast}");
    let word = refused(|plan| plan.search[0].prefix = "everywhere".to_owned());
    assert!(word.contains("`everywhere` is no IPv6 prefix"), "{word}");
}
