//! Whole nodes in a LAN where anything goes wrong for a while; once it is over all come together.

use std::time::Duration;

use p2pnet_sim::{Detail, Draws, Failed, FaultProfile, Lan, Settings, run};

const SECOND: Duration = Duration::from_secs(1);

fn some(draws: &mut Draws, most: f64) -> f64 {
    if draws.chance(0.5) { most * draws.below(100) as f64 / 100.0 } else { 0.0 }
}

fn profile(draws: &mut Draws) -> FaultProfile {
    FaultProfile {
        loss: some(draws, 0.5),
        duplication: some(draws, 0.2),
        corruption: some(draws, 0.2),
        reordering: some(draws, 0.2),
        stream_delay: some(draws, 0.3),
        stream_delay_up_to: Duration::from_millis(draws.below(100)),
        stream_split: some(draws, 0.5),
        stream_stall: some(draws, 0.01),
        stream_reset: some(draws, 0.01),
        stream_corruption: some(draws, 0.01),
    }
}

fn chaos(lan: &mut Lan, draws: &mut Draws) -> Result<(), Failed> {
    let nodes = lan.len() as u64;
    let mut running = vec![true; lan.len()];
    let mut cuts = Vec::new();
    for _ in 0..25 {
        let i = draws.below(nodes) as usize;
        let j = (i + 1 + draws.below(nodes - 1) as usize) % lan.len();
        match draws.below(8) {
            0 => {
                lan.partition(&[i], &[j]);
                cuts.push((i, j));
            }
            1 | 2 => {
                if let Some((i, j)) = cuts.pop() {
                    lan.heal(&[i], &[j]);
                }
            }
            3 if running[i] => {
                running[i] = false;
                lan.crash(i);
            }
            4 if !running[i] => {
                running[i] = true;
                lan.restart(i);
            }
            5 => lan.set_faults(profile(draws)),
            6 => {
                lan.publish(i, "file", vec![i as u8; draws.below(1 << 21) as usize]);
            }
            _ => lan.send_text(i, j, "hello"),
        }
        lan.run_for(Duration::from_millis(draws.below(1500)))?;
    }
    for (i, j) in cuts {
        lan.heal(&[i], &[j]);
    }
    lan.set_faults(FaultProfile::none());
    for i in (0..lan.len()).filter(|i| !running[*i]) {
        lan.restart(i);
    }
    lan.run_until("all come together", 40 * SECOND, Lan::all_trusted)?;
    lan.run_for(20 * SECOND)?;
    lan.check("all stay together", lan.all_trusted())?;
    let content = lan.publish(0, "last", vec![7; 1_500_000]);
    lan.run_until("a file reaches everybody", 5 * SECOND, |lan| {
        (1..lan.len()).all(|i| lan.received(i, &content).is_some_and(|bytes| bytes == [7; 1_500_000]))
    })
}

#[test]
fn after_any_faults_all_come_together() {
    let seeds = std::env::var("CHAOS_SEEDS").map_or(0..20, |range| {
        let (from, to) = range.split_once("..").expect("CHAOS_SEEDS=from..to");
        from.parse().expect("a number")..to.parse().expect("a number")
    });
    for seed in seeds {
        let mut draws = Draws::new(seed, "chaos");
        let nodes = 2 + draws.below(4) as usize;
        let report = run("chaos", seed, Settings::default().nodes(nodes), |lan| chaos(lan, &mut draws));
        let _ = report.passed(Detail::Links);
    }
}
