//! `p2pnet peers`: who is on this LAN.

use std::time::Duration;

use owo_colors::OwoColorize;
use p2pnet::control::{Answer, Ask, PeerLine};
use p2pnet::doctor::level_word;
use p2pnet::{Event, Node, PeerInfo};
use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;
use crate::json::Line;
use crate::options::{Common, PeersArguments};
use crate::output::Output;
use crate::running;
use crate::session::{self, InUse};
use crate::signals::Signals;
use crate::text::{escaped, span};

/// Asks the node that runs, or looks around for a while, and prints a table.
pub(crate) async fn run(
    common: &Common,
    arguments: &PeersArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    if let Some(mut client) = running::find_for_search(common).await? {
        let mut peers = Vec::new();
        let take = |answer, _: &mut Output| {
            if let Answer::Peer(peer) = answer {
                peers.push(peer);
            }
            Ok(())
        };
        running::ask(&mut client, &Ask::Peers {}, &mut signals, output, take).await?;
        return table(peers.iter().map(Row::told).collect(), output);
    }
    let mut node = session::start(common, None, InUse::BeTemporary, output).await?;
    let looked = look(&mut node, arguments.duration, &mut signals, output).await;
    // Saying goodbye empties the list.
    let peers = node.handle().peers().await;
    let left = session::leave(node, &mut signals, output).await;
    looked?;
    left?;
    table(peers?.iter().map(Row::known).collect(), output)
}

/// A line of the table. Everything in it is safe to print.
struct Row {
    name: String,
    id: String,
    short: String,
    level: String,
    liveness: Option<String>,
    addr: Option<String>,
    path: Option<String>,
    since_ms: u64,
    why: String,
}

impl Row {
    fn known(peer: &PeerInfo) -> Row {
        Row {
            name: escaped(&peer.name),
            id: peer.id.to_string(),
            short: peer.id.short(),
            level: level_word(peer.level).to_owned(),
            liveness: peer.liveness.map(|liveness| liveness.as_str().to_owned()),
            addr: peer.addr.map(|addr| addr.to_string()),
            path: peer.path.map(|path| path.to_string()),
            since_ms: u64::try_from(peer.since.as_millis()).unwrap_or(u64::MAX),
            why: escaped(&peer.why),
        }
    }

    fn told(peer: &PeerLine) -> Row {
        let id = escaped(&peer.peer);
        Row {
            name: escaped(&peer.name),
            short: id.chars().take(8).collect(),
            id,
            level: escaped(&peer.level),
            liveness: peer.liveness.as_deref().map(escaped),
            addr: peer.addr.as_deref().map(escaped),
            path: peer.path.as_deref().map(escaped),
            since_ms: peer.since_ms,
            why: escaped(&peer.why),
        }
    }
}

/// Looks around for so long.
pub(crate) async fn look(
    node: &mut Node,
    duration: Duration,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    let end = Instant::now() + duration;
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

fn table(mut rows: Vec<Row>, output: &Output) -> Result<(), Failure> {
    rows.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    if rows.is_empty() {
        return output.line("nobody else is here");
    }
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default().clamp(4, 40);
    let head = format!(
        "{:width$}  {:8}  {:9}  {:8}  {:7}  {:6}  {:21}  WHY",
        "NAME", "ID", "STATE", "LIVENESS", "FOR", "PATH", "ADDRESS"
    );
    output.line(&head.bold().to_string())?;
    for Row { name, id, short, level, liveness, addr, path, since_ms, why } in &rows {
        output.object(|at| {
            let line = Line::new("peer", at).text("peer", id).text("name", name).text("level", level);
            let line = line
                .maybe("liveness", liveness.as_deref())
                .maybe("addr", addr.as_deref())
                .maybe("path", path.as_deref());
            line.number("since_ms", *since_ms).text("why", why)
        })?;
        let state = format!("{level:9}");
        let state = if level == "trusted" { state.green().to_string() } else { state };
        let (since, addr) = (span(*since_ms), addr.as_deref().unwrap_or("-"));
        let (liveness, path) = (liveness.as_deref().unwrap_or("-"), path.as_deref().unwrap_or("-"));
        output.line(&format!(
            "{name:width$}  {short}  {state}  {liveness:8}  {since:7}  {path:6}  {addr:21}  {why}"
        ))?;
    }
    Ok(())
}
