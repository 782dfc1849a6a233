//! The `p2pnet-sim` program, in processes of its own.

use std::process::{Command, Output};

fn p2pnet_sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_p2pnet-sim")).args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}

#[test]
fn every_scenario_gives_the_same_output_in_another_process() {
    for scenario in p2pnet_sim::all() {
        for style in ["text", "json"] {
            let run = || {
                p2pnet_sim(&["run", scenario.name, "--seed", "7", "--trace", style, "--detail", "everything"])
            };
            let (first, second) = (run(), run());
            assert!(first.status.success(), "{}: {}", scenario.name, text(&first.stderr));
            assert!(!first.stdout.is_empty());
            assert_eq!(text(&first.stdout), text(&second.stdout), "{}", scenario.name);
        }
    }
}

#[test]
fn another_seed_gives_another_run() {
    let run = |seed| p2pnet_sim(&["run", "simultaneous-start", "--seed", seed, "--trace", "json"]).stdout;
    assert_ne!(run("1"), run("2"));
}

#[test]
fn the_process_and_the_library_give_the_same_hash() {
    let report = p2pnet_sim::find("simultaneous-start").unwrap().run(3);
    let output = text(&p2pnet_sim(&["run", "simultaneous-start", "--seed", "3"]).stdout);
    assert!(output.ends_with(&format!("\nhash  {}\n", report.trace.hash())), "{output}");
}

#[test]
fn five_nodes_start_in_one_tick_with_many_seeds() {
    let scenario = p2pnet_sim::find("simultaneous-start").unwrap();
    for seed in 0..20 {
        let _ = scenario.run_with(seed, (scenario.settings)(5)).passed(p2pnet_sim::Detail::Links);
    }
}

#[test]
fn a_failed_check_exits_with_11_and_prints_the_command_that_replays_it() {
    let output = p2pnet_sim(&["run", "simultaneous-start", "--seed", "5", "--nodes", "3", "--loss", "1.0"]);
    assert_eq!(output.status.code(), Some(11));
    let message = text(&output.stderr);
    assert!(message.contains("all trust each other"), "{message}");
    let replay = "p2pnet-sim run simultaneous-start --seed 5 --nodes 3 --loss 1";
    assert!(message.contains(replay), "{message}");
    let args: Vec<&str> = replay.split(' ').skip(1).collect();
    let again = p2pnet_sim(&args);
    assert_eq!((again.status.code(), again.stdout, again.stderr), (Some(11), output.stdout, output.stderr));
}

#[test]
fn list_names_every_scenario() {
    let output = p2pnet_sim(&["list"]);
    assert!(output.status.success());
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), p2pnet_sim::all().len());
    for name in ["simultaneous-start", "lossy-lan", "partition-heal", "crash-restart", "share-file"] {
        assert!(lines.contains(name), "{lines}");
    }
}

#[test]
fn bad_input_exits_with_2_and_names_what_is_valid() {
    for (args, hint) in [
        (&["run", "lossy-lna"][..], "`lossy-lan`"),
        (&["run", "lossy-lan", "--nodes", "100"], "2 to 10"),
        (&["run", "lossy-lan", "--seed", "x"], "invalid value"),
        (&["run", "lossy-lan", "--loss", "2"], "between 0.0 and 1.0"),
        (&["run", "lossy-lan", "--loss", "NaN"], "between 0.0 and 1.0"),
        (&["run", "lossy-lan", "--trace", "jsn"], "json"),
        (&["lst"], "list"),
    ] {
        let output = p2pnet_sim(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let message = text(&output.stderr);
        assert!(message.contains(hint), "{args:?}: {message}");
    }
}

#[test]
fn every_line_of_a_json_trace_is_an_object_and_the_last_one_sums_up() {
    let output = text(&p2pnet_sim(&["run", "crash-restart", "--trace", "json"]).stdout);
    let lines: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["what"], &last["passed"]), (&"summary".into(), &true.into()));
    assert_eq!(last["faults"]["crashes"], 1);
    assert!(lines[..lines.len() - 1].iter().all(|line| line["t_ms"].is_number() && line["what"].is_string()));
}
