//! `p2pnet peers`: who is on this LAN.

use owo_colors::OwoColorize;
use p2pnet::{Event, Level, Node, PeerInfo};
use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;
use crate::json::Line;
use crate::options::{Common, PeersArguments};
use crate::output::Output;
use crate::session::{self, InUse};
use crate::signals::Signals;
use crate::text::escaped;

/// Looks around for a while and prints a table.
pub(crate) async fn run(
    common: &Common,
    arguments: &PeersArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let mut node = session::start(common, None, InUse::BeTemporary, output).await?;
    let looked = look(&mut node, arguments, &mut signals, output).await;
    // Saying goodbye empties the list.
    let peers = node.handle().peers().await;
    let left = session::leave(node, &mut signals, output).await;
    looked?;
    left?;
    table(&peers?, output)
}

async fn look(
    node: &mut Node,
    arguments: &PeersArguments,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    let end = Instant::now() + arguments.duration;
    loop {
        tokio::select! {
            biased;
            () = signals.stop() => return Ok(()),
            () = sleep_until(end) => return Ok(()),
            event = node.next_event() => {
                let event = event.ok_or_else(session::stopped)?;
                if let Event::ContentOffered { manifest, .. } = &event {
                    node.handle().decline(manifest.content).await?;
                }
                // A text must not be lost because it came now; the rest is in the table.
                if output.is_json() || matches!(event, Event::Text { .. } | Event::IncompatiblePeer { .. }) {
                    output.event(&event)?;
                }
            }
        }
    }
}

fn table(peers: &[PeerInfo], output: &Output) -> Result<(), Failure> {
    let mut rows: Vec<_> = peers
        .iter()
        .map(|peer| (level(peer.level), escaped(&peer.name), peer.id, peer.addr.map(|addr| addr.to_string())))
        .collect();
    rows.sort_by(|a, b| (&a.1, a.2).cmp(&(&b.1, b.2)));
    if rows.is_empty() {
        return output.line("nobody else is here");
    }
    let width = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or_default().clamp(4, 40);
    let head = format!("{:width$}  {:8}  {:9}  ADDRESS", "NAME", "ID", "STATE");
    output.line(&head.bold().to_string())?;
    for (level, name, id, addr) in &rows {
        output.object(|at| {
            let line = Line::new("peer", at).text("peer", &id.to_string()).text("name", name);
            line.text("level", level).maybe("addr", addr.as_deref())
        })?;
        let state = format!("{level:9}");
        let state = if *level == "trusted" { state.green().to_string() } else { state };
        output.line(&format!(
            "{name:width$}  {}  {state}  {}",
            id.short(),
            addr.as_deref().unwrap_or("-")
        ))?;
    }
    Ok(())
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Known => "known",
        Level::Connected => "connected",
        Level::Trusted => "trusted",
    }
}
