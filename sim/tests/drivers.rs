//! The `p2pnet-sim` program with either driver.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn p2pnet_sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_p2pnet-sim")).args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}

fn scenario(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("plans/scenarios/{name}.toml"));
    path.to_str().expect("a path of UTF-8").to_owned()
}

/// A file of this test alone.
fn file(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the file can be written");
    path
}

/// What the program says that a run came to.
fn state(output: &str) -> &str {
    let (_, state) = output.split_once("\nstate\n").expect("a state");
    state.split_once("\nhash  ").expect("a hash").0
}

#[test]
fn a_plan_file_runs_in_either_driver_and_comes_to_the_same() {
    let plan = scenario("crash-restart");
    let run = |driver| {
        let output = p2pnet_sim(&["run", &plan, "--driver", driver]);
        assert!(output.status.success(), "{driver}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let (world, turmoil) = (run("world"), run("turmoil"));
    assert!(state(&world).contains("b\n  a: trust\n  c: trust\n  got text 0, 1\n"), "{}", state(&world));
    assert_eq!(state(&world), state(&turmoil));
    // The World is the default for plans, and a named scenario is one there.
    assert_eq!(world, text(&p2pnet_sim(&["run", &plan]).stdout));
    let named = text(&p2pnet_sim(&["run", "crash-restart", "--driver", "world"]).stdout);
    assert_eq!(world, named);
    // On turmoil it is the code that it was.
    let (named, usual) = (["run", "crash-restart", "--driver", "turmoil"], ["run", "crash-restart"]);
    assert_eq!(p2pnet_sim(&named).stdout, p2pnet_sim(&usual).stdout);
}

#[test]
fn a_plan_on_turmoil_prints_the_same_in_another_process() {
    let plan = scenario("lossy-lan");
    for style in ["text", "json"] {
        let args =
            ["run", &plan, "--driver", "turmoil", "--seed", "9", "--trace", style, "--detail", "everything"];
        let (first, second) = (p2pnet_sim(&args), p2pnet_sim(&args));
        assert!(first.status.success(), "{}", text(&first.stderr));
        assert_eq!(text(&first.stdout), text(&second.stdout));
    }
}

#[test]
fn what_makes_no_sense_exits_with_2_and_says_what_would() {
    let shared = file(
        "shared.toml",
        &std::fs::read_to_string(scenario("simultaneous-start"))
            .unwrap()
            .replace("host = \"hb\"", "host = \"ha\""),
    );
    let shared = shared.to_str().unwrap();
    let plan = scenario("lossy-lan");
    for (args, hint) in [
        (&["run", "lossy-lan", "--driver", "wrold"][..], "did you mean `world`?"),
        (&["sweep", "--driver", "turmiol"], "did you mean `turmoil`?"),
        (&["run", shared, "--driver", "turmoil"], "host `ha` has 2 nodes"),
        (&["run", &plan, "--nodes", "3"], "change the plan"),
        (&["run", "lossy-lan", "--driver", "world", "--loss", "0.5"], "change the plan"),
        (&["run", "no-such-plan.toml"], "no-such-plan.toml"),
    ] {
        let output = p2pnet_sim(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(text(&output.stderr).contains(hint), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn what_turmoil_cannot_do_is_an_error_and_can_be_left_out_of_the_plan_of_a_seed() {
    let whole = p2pnet_sim(&["plan", "7", "--profile", "hostile"]);
    let whole = file("whole.toml", &text(&whole.stdout));
    let output = p2pnet_sim(&["run", whole.to_str().unwrap(), "--driver", "turmoil"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("host `h1` has a clock of its own"), "{}", text(&output.stderr));

    let reduced = text(&p2pnet_sim(&["plan", "7", "--profile", "hostile", "--driver", "turmoil"]).stdout);
    assert!(reduced.starts_with("# taken out: "), "{reduced}");
    let reduced = file("reduced.toml", &reduced);
    let output = p2pnet_sim(&["run", reduced.to_str().unwrap(), "--driver", "turmoil"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn what_does_not_hold_on_turmoil_exits_with_its_class() {
    let honest = std::fs::read_to_string(scenario("simultaneous-start")).unwrap();
    let betrayed =
        honest.replace("quiet_ms", "badge = true\nconverge_ms = 1000\nquiet_ms") + "impostor = true\n";
    let plan = file("betrayed.toml", &betrayed);
    let output = p2pnet_sim(&["run", plan.to_str().unwrap(), "--driver", "turmoil"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{message}");
    assert!(message.contains("failed links at "), "{message}");
    assert!(state(&text(&output.stdout)).contains("a\n  b: trust\n  c: "), "{}", text(&output.stdout));
}

#[test]
fn a_sweep_in_both_drivers_does_not_depend_on_the_number_of_jobs() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sweep-in-both");
    let run = |jobs| {
        let seeds = ["sweep", "--driver", "turmoil", "--seeds", "20..23", "--json", "--jobs", jobs, "--out"];
        p2pnet_sim(&[&seeds[..], &[out.to_str().unwrap()]].concat())
    };
    let (one, two) = (run("1"), run("2"));
    assert!(one.status.success(), "{}", text(&one.stderr));
    assert_eq!(text(&one.stdout), text(&two.stdout));
    let lines: Vec<serde_json::Value> =
        text(&one.stdout).lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    let sum = lines.last().unwrap();
    assert_eq!((&sum["seeds"], &sum["different"], &sum["failed"]), (&3.into(), &0.into(), &0.into()));
    assert!(lines.len() == 4 && lines[0]["taken_out"].as_array().is_some_and(|taken| !taken.is_empty()));
}
