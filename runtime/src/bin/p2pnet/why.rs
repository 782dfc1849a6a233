//! `p2pnet why`: everything that tells why one peer is linked or not.

use owo_colors::OwoColorize;
use p2pnet::control::{Answer, Ask};
use p2pnet::doctor::{Outcome, PROBED_AFTER, RefusedFor, Source, Why, level_word};
use p2pnet::engine::Rung;
use p2pnet::{Level, Node};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::json::Line;
use crate::options::{Common, WhyArguments};
use crate::output::Output;
use crate::running;
use crate::session::{self, InUse};
use crate::signals::Signals;
use crate::text::{ago, escaped, span, who};

/// Asks the node that runs, or looks for a while, and prints what is known.
pub(crate) async fn run(
    common: &Common,
    arguments: &WhyArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    if let Some(mut client) = running::find_for_search(common).await? {
        let ask = Ask::Why { peer: arguments.who.clone() };
        let show = |answer, output: &mut Output| match answer {
            Answer::Why(why) => show(&why, output),
            _ => Ok(()),
        };
        return running::ask(&mut client, &ask, &mut signals, output, show).await;
    }
    let mut node = session::start(common, None, InUse::BeTemporary, output).await?;
    let found = look(&mut node, arguments, &mut signals, output).await;
    let left = session::leave(node, &mut signals, output).await;
    show(&found?, output)?;
    left
}

async fn look(
    node: &mut Node,
    arguments: &WhyArguments,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<Why, Failure> {
    crate::peers::look(node, arguments.duration, signals, output).await?;
    let peers = node.handle().peers().await?;
    let mut meant = peers.iter().filter(|peer| peer.answers_to(&arguments.who));
    let called = escaped(&arguments.who);
    let one = match (meant.next(), meant.next()) {
        (Some(one), None) => one.id,
        (Some(_), Some(_)) => {
            let why = format!("several peers answer to {called}; give the id that `p2pnet peers` shows");
            return Err(Failure::BadInput(why));
        }
        _ => {
            let why = format!(
                "no peer answers to {called}; see `p2pnet peers`, and `p2pnet doctor` for why somebody is not found"
            );
            return Err(Failure::BadInput(why));
        }
    };
    node.handle().probe().await?;
    sleep(PROBED_AFTER).await;
    let why = node.why(one).await?;
    why.ok_or_else(|| Failure::NotAchieved(format!("{called} has just been forgotten")))
}

fn show(why: &Why, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.object(|at| Line::new("why", at).value("why", why));
    }
    lines(why).iter().try_for_each(|line| output.line(line))
}

/// All of it for people.
fn lines(why: &Why) -> Vec<String> {
    let level = level_word(why.level);
    let level = match why.level {
        Level::Trusted => level.green().bold().to_string(),
        Level::Connected => level.cyan().bold().to_string(),
        _ => level.yellow().bold().to_string(),
    };
    let mut lines = vec![format!("{} is {level}", who(&why.name, &why.peer).bold())];
    let mut fact =
        |what: &str, text: String| lines.push(format!("  {} {text}", format!("{what:<14}").dimmed()));
    let source = match &why.source {
        Source::Beacon => "by its own beacon".to_owned(),
        Source::Link => "by itself, over a link".to_owned(),
        Source::Peer(by) => format!("by the peer {}", escaped(by).chars().take(8).collect::<String>()),
        _ => "from an earlier run".to_owned(),
    };
    fact("known", format!("for {}, first told {source}", span(why.known_ms)));
    match (&why.linked, &why.left) {
        (Some(linked), _) => fact("linked", format!("to {} for {}", linked.address, span(linked.since_ms))),
        (None, Some(left)) => fact("left", format!("{}, {}", escaped(&left.reason), ago(left.ago_ms))),
        (None, None) => fact("linked", "never".to_owned()),
    }
    if let Some(last) = &why.rejected {
        let who = if last.by_us { "by us" } else { "by it" };
        let times =
            if last.in_a_row > 1 { format!(", {} times in a row", last.in_a_row) } else { String::new() };
        fact("rejected", format!("{who} {}: {}{times}", ago(last.ago_ms), escaped(&last.sentence)));
    }
    if why.heard.is_empty() {
        fact("heard", "never: what is known of it came from others".to_owned());
    }
    for heard in &why.heard {
        let interface = escaped(&heard.interface);
        let on = if interface.is_empty() { "by a link".to_owned() } else { format!("on {interface}") };
        fact(
            "heard",
            format!("{on}, at {}, {} beacons, last {}", heard.source, heard.beacons, ago(heard.ago_ms)),
        );
    }
    for refused in &why.refused {
        let cause = match refused.cause {
            RefusedFor::OtherNetwork => "another network's".to_owned(),
            RefusedFor::OtherVersion(version) => format!("version {version}'s"),
            _ => "malformed".to_owned(),
        };
        fact(
            "refused",
            format!(
                "{} {cause} datagrams from {}, last {}",
                refused.count,
                refused.source,
                ago(refused.ago_ms)
            ),
        );
    }
    if let Some(at) = why.asked_us_to_dial_ago_ms {
        fact("asked us", format!("to dial it {}: its own dials do not get here", ago(at)));
    }
    if let Some(at) = why.asked_to_dial_us_ago_ms {
        fact("was asked", format!("to dial us {}: our dials do not get there", ago(at)));
    }
    if let Some(left) = why.held_off_for_ms {
        fact(
            "held off",
            format!("not dialled for {}: it is full, or one side closed on purpose", span(left)),
        );
    }
    if let Some(next) = why.next_dial_in_ms {
        fact("next dial", format!("in {}", span(next)));
    }
    rungs(why, &mut lines);
    dials(why, &mut lines);
    lines
}

/// What each rung did: ours to it, and its to us.
fn rungs(why: &Why, lines: &mut Vec<String>) {
    let shown: Vec<Rung> = Rung::ALL
        .into_iter()
        .filter(|rung| {
            why.rungs.iter().any(|found| found.rung == *rung)
                || why.heard_us.contains(rung)
                || why.we_heard.contains(rung)
        })
        .collect();
    if shown.is_empty() {
        return;
    }
    lines.push(String::new());
    let head =
        format!("  {:20} {:>6}  {:11} {:13} {:12}", "RUNG", "SENT", "LAST", "IT HEARS US", "WE HEAR IT");
    lines.push(head.trim_end().bold().to_string());
    let asked = !why.heard_us.is_empty() || !why.we_heard.is_empty();
    for rung in shown {
        let found = why.rungs.iter().find(|found| found.rung == rung);
        let sent = found.map_or(0, |found| found.sent);
        let last = found.and_then(|found| found.last_sent_ago_ms).map_or("-".to_owned(), ago);
        let ours = mark(why.heard_us.contains(&rung), asked && sent > 0, 13);
        let its = mark(why.we_heard.contains(&rung), asked && sent > 0, 1);
        lines.push(format!("  {:20} {sent:>6}  {last:11} {ours} {its}", rung.as_str()));
    }
    if !asked {
        lines.push("  it answered no probe: it may be busy, older, or not reached".dimmed().to_string());
    }
}

/// ✓, ✗ or –, as wide as its column.
pub(crate) fn mark(yes: bool, tried: bool, width: usize) -> String {
    match (yes, tried) {
        (true, _) => format!("{:width$}", "✓").green().to_string(),
        (false, true) => format!("{:width$}", "✗").red().to_string(),
        (false, false) => format!("{:width$}", "–").dimmed().to_string(),
    }
}

fn dials(why: &Why, lines: &mut Vec<String>) {
    if why.dials.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(format!("  {:12} {:28} {:10} OUTCOME", "DIALLED", "ADDRESS", "BY").bold().to_string());
    for dial in &why.dials {
        let by = dial.interface.as_deref().map_or("-".to_owned(), escaped);
        let mut outcome = dial.outcome.as_str().to_owned();
        if let Outcome::AnotherPeer(who) = &dial.outcome {
            outcome = format!("{outcome}: {}", escaped(who).chars().take(8).collect::<String>());
        }
        let outcome = match dial.outcome {
            Outcome::Linked => outcome.green().to_string(),
            Outcome::Pending => outcome.dimmed().to_string(),
            _ => outcome.red().to_string(),
        };
        lines.push(format!("  {:12} {:28} {by:10} {outcome}", ago(dial.ago_ms), dial.address.to_string()));
    }
}
