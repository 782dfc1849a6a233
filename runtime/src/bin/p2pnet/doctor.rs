//! `p2pnet doctor`: why peers do not meet, and what to do.

use std::time::Duration;

use owo_colors::OwoColorize;
use p2pnet::Node;
use p2pnet::control::{Answer, Ask};
use p2pnet::doctor::{
    Diagnosis, Findings, InterfaceFound, Kind, PeerFound, Progress, Request, Severity, diagnose, examine,
    not_started, verified,
};
use p2pnet::engine::Rung;

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::{Common, DoctorArguments};
use crate::output::Output;
use crate::running;
use crate::session::{self, InUse, NotStarted};
use crate::signals::Signals;
use crate::text::{escaped, span, who};
use crate::why::mark;

/// Examines the node that runs, or one of its own, and says what is wrong. Exit code 3 if something is.
pub(crate) async fn run(
    common: &Common,
    arguments: &DoctorArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut request = Request::default();
    request.listen = arguments.duration;
    request.addresses = session::resolve(&common.peer).await?;
    request.network.clone_from(&common.network);
    request.closed = common.secret_file.is_some();
    request.chosen = !common.interface.is_empty();

    if let Some(mut client) = running::find(common).await? {
        let ask = Ask::Doctor {
            for_ms: u64::try_from(request.listen.as_millis()).unwrap_or(u64::MAX),
            addresses: request.addresses,
        };
        output.remark("asking the node that runs with this data directory");
        let bar = Looking::new(output, request.listen);
        let (mut findings, mut found) = (None, Vec::new());
        let take = |answer, _: &mut Output| {
            match answer {
                Answer::Progress(progress) => bar.tell(&progress),
                Answer::Findings(told) => findings = Some(told),
                Answer::Diagnosis(told) => found.push(*told),
                _ => {}
            }
            Ok(())
        };
        running::ask(&mut client, &ask, &mut signals, output, take).await?;
        bar.end();
        let findings =
            findings.ok_or_else(|| Failure::NotAchieved("the running node did not answer".into()))?;
        return report(&findings, &found, output);
    }

    let mut node = match session::try_start(common, None, InUse::BeTemporary, output).await {
        Ok(node) => node,
        Err(NotStarted::Node(error)) => {
            let Some(findings) = not_started(&error, &request, &common.ports) else {
                return Err(NotStarted::Node(error).into());
            };
            return report(&findings, &diagnose(&findings), output);
        }
        Err(NotStarted::Before(failure)) => return Err(failure),
    };
    let bar = Looking::new(output, request.listen);
    let looked = look(&mut node, &request, &mut signals, &bar).await;
    bar.end();
    session::leave_quietly(node, &mut signals).await;
    let findings = looked?;
    report(&findings, &diagnose(&findings), output)
}

async fn look(
    node: &mut Node,
    request: &Request,
    signals: &mut Signals,
    bar: &Looking,
) -> Result<Findings, Failure> {
    let handle = node.handle();
    let examined = examine(&handle, request, |progress| bar.tell(&progress));
    tokio::pin!(examined);
    loop {
        tokio::select! {
            biased;
            () = signals.stop() => return Err(Failure::Interrupted),
            findings = &mut examined => return Ok(findings?),
            // Whoever offers something need not wait, and what is said is not for the doctor.
            event = node.next_event() => {
                if let p2pnet::Event::ContentOffered { manifest, .. } = event.ok_or_else(session::stopped)? {
                    handle.decline(manifest.content).await?;
                }
            }
        }
    }
}

/// How far it is, on standard error.
struct Looking {
    bar: indicatif::ProgressBar,
    whole: u64,
}

impl Looking {
    fn new(output: &Output, whole: Duration) -> Looking {
        let whole = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        Looking { bar: output.spinner(), whole }
    }

    fn tell(&self, progress: &Progress) {
        let (left, peers, answered) = (progress.left_ms, progress.peers, progress.answered);
        let share = 20_u64.saturating_sub(left.saturating_mul(20) / self.whole.max(1));
        let done = usize::try_from(share).unwrap_or(20).min(20);
        let peers = match peers {
            0 => "nobody heard yet".to_owned(),
            1 => format!("1 peer known, {answered} answered"),
            _ => format!("{peers} peers known, {answered} answered"),
        };
        self.bar.set_message(format!("listening [{:20}] {} left, {peers}", "=".repeat(done), span(left)));
        self.bar.tick();
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The picture, what is wrong, and what is not.
fn report(findings: &Findings, found: &[Diagnosis], output: &Output) -> Result<(), Failure> {
    let problems = found.iter().filter(|diagnosis| diagnosis.severity == Severity::Problem).count();
    if output.is_json() {
        output.object(|at| Line::new("findings", at).value("findings", findings))?;
        for diagnosis in found {
            output.object(|at| {
                Line::new("diagnosis", at)
                    .text("cause", diagnosis.cause.as_str())
                    .value("diagnosis", diagnosis)
            })?;
        }
        output.object(|at| Line::new("examined", at).number("problems", problems as u64))?;
    } else {
        let mut lines = Vec::new();
        for interface in &findings.interfaces {
            picture(interface, findings, &mut lines);
        }
        for diagnosis in found {
            tell(diagnosis, &mut lines);
        }
        if problems == 0 {
            lines.push(format!("{} Verified:", Word::Good("all is well.").shown()));
            lines
                .extend(verified(findings).iter().map(|line| format!("  {} {}", "✓".green(), escaped(line))));
        }
        lines.iter().try_for_each(|line| output.line(line))?;
    }
    if problems > 0 { Err(Failure::CauseFound) } else { Ok(()) }
}

/// One interface: what went out by each rung, came back to ourselves, reached peers, and came from them.
fn picture(interface: &InterfaceFound, findings: &Findings, lines: &mut Vec<String>) {
    let kind = match interface.kind {
        Kind::Virtual => "bridge to containers",
        Kind::Tunnel => "tunnel",
        Kind::Loopback => "this host only",
        _ => "LAN",
    };
    let addrs: Vec<_> = interface.addrs.iter().map(|(ip, prefix)| format!("{ip}/{prefix}")).collect();
    lines.push(format!(
        "{} {}",
        escaped(&interface.name).bold(),
        format!("{kind}, {}", addrs.join(", ")).dimmed()
    ));
    let here: Vec<&PeerFound> = findings
        .peers
        .iter()
        .filter(|peer| peer.interface.as_deref() == Some(interface.name.as_str()))
        .collect();
    lines.push(
        format!("  {:20} {:>6}  {:9} {:8} {:8}", "RUNG", "SENT", "TO MYSELF", "TO PEERS", "FROM PEERS")
            .dimmed()
            .to_string(),
    );
    let wide =
        [Rung::DirectedBroadcast, Rung::LimitedBroadcast, Rung::Multicast4, Rung::Multicast6, Rung::Loopback];
    for rung in wide.into_iter().chain([Rung::Unicast]) {
        let found = interface.rungs.iter().find(|found| found.rung == rung);
        let is_new = |ago: Option<u64>| ago.is_some_and(|ago| ago <= findings.listened_ms);
        let sent = found.is_some_and(|found| is_new(found.last_sent_ago_ms));
        if !sent && rung == Rung::Unicast
            || !sent && interface.kind == Kind::Loopback && rung != Rung::Loopback
        {
            continue;
        }
        if rung == Rung::Loopback && interface.kind != Kind::Loopback {
            continue;
        }
        let own = found.is_some_and(|found| is_new(found.own_heard_ago_ms));
        let count = found.map_or(0, |found| found.sent);
        let count = if count == 0 { "–".to_owned() } else { count.to_string() };
        // A unicast goes to others only.
        let own = mark(own, sent && rung != Rung::Unicast, 9);
        let to = |heard: &dyn Fn(&PeerFound) -> bool, tried: bool, width: usize| {
            let n = here.iter().filter(|peer| heard(peer)).count();
            let text = format!("{n}/{}", here.len());
            let symbol = mark(n > 0, tried && !here.is_empty(), 1);
            let counted = if n == 0 && !tried || here.is_empty() { String::new() } else { text };
            format!("{symbol} {counted:width$}")
        };
        // Peers rate their answers, so that not each of their rungs need be used: only with another to compare it with
        // does one that is missing mean something. Nothing is asked by unicast alone.
        let wide_heard = |peer: &&&PeerFound| wide.iter().any(|rung| peer.why.we_heard.contains(rung));
        let asked = here.iter().any(|peer| wide_heard(&peer)) && rung != Rung::Unicast;
        let ours = to(&|peer| peer.why.heard_us.contains(&rung), sent && rung != Rung::Unicast, 6);
        let its = to(&|peer| peer.why.we_heard.contains(&rung), sent && asked, 0);
        lines.push(format!("  {:20} {count:>6}  {own} {ours} {}", rung.as_str(), its.trim_end()));
    }
    for peer in here.iter().take(16) {
        let level = p2pnet::doctor::level_word(peer.why.level);
        lines.push(format!("  {} {}", who(&peer.why.name, &peer.why.peer), level.dimmed()));
    }
    lines.push(String::new());
}

fn tell(diagnosis: &Diagnosis, lines: &mut Vec<String>) {
    let word = match diagnosis.severity {
        Severity::Problem => Word::Bad("cause:").shown(),
        _ => "note:".yellow().bold().to_string(),
    };
    lines.push(format!("{word} {}", escaped(&diagnosis.sentence).bold()));
    for evidence in &diagnosis.evidence {
        lines.push(format!("  {} {}", "because".dimmed(), escaped(evidence)));
    }
    lines.push(format!("  {} {}", "remedy".dimmed(), escaped(&diagnosis.remedy)));
    for command in &diagnosis.commands {
        lines.push(format!("    {}", escaped(command)));
    }
    lines.push(String::new());
}
