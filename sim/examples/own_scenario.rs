//! A scenario of your own: build a LAN, break it, say what must hold. Run it with
//! `cargo run -p p2pnet-sim --example own_scenario`.

use std::time::Duration;

use p2pnet_sim::{Detail, FaultProfile, Settings, run};

fn main() {
    let settings = Settings::default().nodes(3).faults(FaultProfile::none().loss(0.3));
    let report = run("a text after a reboot", 42, settings, |lan| {
        lan.run_until("all trust each other", Duration::from_secs(6), |lan| lan.all_trusted())?;
        lan.crash(2);
        lan.run_for(Duration::from_secs(1))?;
        lan.restart(2);
        lan.run_until("the third is back", Duration::from_secs(6), |lan| lan.trusts(0, 2))?;
        lan.send_text(0, 2, "welcome back");
        lan.run_until("the text arrives", Duration::from_secs(1), |lan| lan.texts(2) == ["welcome back"])
    });
    print!("{}", report.passed(Detail::Links));
    println!("hash {}", report.trace.hash());
}
