//! `p2pnet receive`: takes what is offered.

use std::collections::VecDeque;
use std::time::Duration;

use p2pnet::{ContentFailure, Event, Manifest, Node, NodeHandle};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::asking::Asking;
use crate::failure::Failure;
use crate::files;
use crate::incoming::Incoming;
use crate::options::{Common, ReceiveArguments};
use crate::output::Output;
use crate::session::{self, InUse};
use crate::signals::Signals;

/// Offers that wait in case that another one fails; beyond it they are declined.
const MAX_WAITING: usize = 256;

/// Takes as many files as asked for, prints where they are, and leaves.
pub(crate) async fn run(
    common: &Common,
    arguments: &ReceiveArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let inbox = files::prepare_inbox(&arguments.inbox)?;
    let mut signals = Signals::new()?;
    let mut node =
        session::start_letting(common, &arguments.trust, Some(&inbox), InUse::BeTemporary, output).await?;
    let received = receive(&mut node, arguments, &mut signals, output).await;
    let left = session::leave(node, &mut signals, output).await;
    received.and(left).map_err(Failure::in_transfer)
}

async fn receive(
    node: &mut Node,
    arguments: &ReceiveArguments,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut reception = Reception {
        node: node.handle(),
        open: arguments.count as usize,
        incoming: Incoming::default(),
        waiting: VecDeque::new(),
    };
    let mut asking = Asking::new(output);
    let mut last_move = Instant::now();
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = signals.stop() => return Err(Failure::Interrupted),
            now = ticks.tick() => {
                if reception.incoming.tick(&reception.node, output).await? {
                    last_move = now;
                }
                let idle = now.duration_since(last_move);
                if arguments.timeout.is_some_and(|timeout| idle >= timeout) {
                    return Err(reception.gave_up(idle));
                }
            }
            line = asking.line() => asking.answer(&line, &reception.node, output).await?,
            event = node.next_event() => {
                let event = event.ok_or_else(session::stopped)?;
                let ended = reception.incoming.ended(&event);
                output.event(&event)?;
                asking.note(&event, output)?;
                if let Event::ContentReceived { manifest, .. } = &event {
                    output.line(&format!("{:22} hash {}", "", manifest.content))?;
                }
                if ended {
                    last_move = Instant::now();
                }
                reception.take(&event, output).await?;
                if reception.open == 0 {
                    reception.decline_rest().await?;
                    return Ok(());
                }
            }
        }
    }
}

/// What is still to come, and what could.
struct Reception {
    node: NodeHandle,
    /// Files that were asked for and are not here.
    open: usize,
    incoming: Incoming,
    waiting: VecDeque<Manifest>,
}

impl Reception {
    async fn take(&mut self, event: &Event, output: &Output) -> Result<(), Failure> {
        match event {
            Event::ContentOffered { manifest, .. } => {
                let known = self.incoming.contains(&manifest.content)
                    || self.waiting.iter().any(|waiting| waiting.content == manifest.content);
                if known {
                    return Ok(());
                }
                if self.waiting.len() >= MAX_WAITING {
                    self.node.decline(manifest.content).await?;
                } else {
                    self.waiting.push_back(manifest.clone());
                }
            }
            Event::ContentReceived { manifest, .. } => {
                self.open = self.open.saturating_sub(1);
                self.waiting.retain(|waiting| waiting.content != manifest.content);
            }
            Event::ContentFailed { reason: ContentFailure::StoreFailed, .. } => {
                return Err(Failure::NotAchieved(
                    "the inbox cannot be written; choose another --inbox".into(),
                ));
            }
            _ => {}
        }
        while self.incoming.len() < self.open
            && let Some(next) = self.waiting.pop_front()
        {
            self.incoming.fetch(&next, &self.node, output).await?;
        }
        Ok(())
    }

    /// Whoever offers more than was asked for need not wait.
    async fn decline_rest(&mut self) -> Result<(), Failure> {
        for manifest in self.waiting.drain(..) {
            self.node.decline(manifest.content).await?;
        }
        Ok(())
    }

    fn gave_up(&self, idle: Duration) -> Failure {
        let what = if self.incoming.len() > 0 { "nothing more came" } else { "nobody offered a file" };
        Failure::NotAchieved(format!("{what} in {:.1} s", idle.as_secs_f64()))
    }
}
