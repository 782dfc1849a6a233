//! `p2pnet up`: a node until it is told to stop.

use std::future::pending;
use std::time::Duration;

use p2pnet::control::Server;
use p2pnet::{CommandError, ContentId, Event, Node, Source};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::asking::Asking;
use crate::failure::Failure;
use crate::files;
use crate::incoming::Incoming;
use crate::options::{Common, UpArguments};
use crate::output::Output;
use crate::running;
use crate::session;
use crate::signals::Signals;

/// Runs until Ctrl-C, a signal to end, or the time is over; then says goodbye.
pub(crate) async fn run(
    common: &Common,
    arguments: &UpArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    files::check(&arguments.share)?;
    let inbox = arguments.inbox.as_deref().map(files::prepare_inbox).transpose()?;
    let mut signals = Signals::new()?;
    let mut node = session::start_up(common, arguments, inbox.as_deref(), output).await?;
    let control = running::serve(common, &node, output);
    let ended = serve(&mut node, control.as_ref(), arguments, &mut signals, output).await;
    // Nobody can be told anything any more.
    drop(control);
    let left = session::leave(node, &mut signals, output).await;
    ended.and(left)
}

async fn serve(
    node: &mut Node,
    control: Option<&Server>,
    arguments: &UpArguments,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    // Hashing takes its time; the node is there meanwhile.
    let mut shares: JoinSet<(String, Result<ContentId, CommandError>)> = JoinSet::new();
    for path in &arguments.share {
        if let Some(control) = control {
            control.contents().sharing();
        }
        let (handle, path, name) = (node.handle(), path.clone(), files::name(path));
        shares.spawn(async move { (name, handle.share(Source::at(path)).await) });
    }
    let handle = node.handle();
    let end = arguments.duration.map(|duration| Instant::now() + duration);
    let mut incoming = Incoming::default();
    let mut asking = Asking::new(output);
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let over = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = signals.stop() => return Ok(()),
            () = over => return Ok(()),
            Some(shared) = shares.join_next(), if !shares.is_empty() => {
                let (name, result) = shared.map_err(|error| Failure::NotAchieved(error.to_string()))?;
                if let Some(control) = control {
                    control.contents().shared(result.as_ref().ok().copied());
                }
                let content = result.map_err(|error| Failure::NotAchieved(format!("cannot share {name}: {error}")))?;
                output.learn_content(content, name);
            }
            _ = ticks.tick(), if incoming.len() > 0 => {
                incoming.tick(&handle, output).await?;
            }
            line = asking.line() => asking.answer(&line, &handle, output).await?,
            event = node.next_event() => {
                let event = event.ok_or_else(session::stopped)?;
                incoming.ended(&event);
                if let Some(control) = control {
                    control.tell(&event);
                }
                output.event(&event)?;
                asking.note(&event, output)?;
                if let Event::ContentOffered { manifest, .. } = &event {
                    if arguments.inbox.is_some() {
                        incoming.fetch(manifest, &handle, output).await?;
                    } else {
                        // Whoever offers it need not wait.
                        handle.decline(manifest.content).await?;
                    }
                }
            }
        }
    }
}
