//! One node of the demo, and what it has been through.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use owo_colors::{AnsiColors, OwoColorize};
use p2pnet::{ContentId, Event, Node, NodeHandle, PeerId};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::stage::Step;

/// A node of the cast.
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) colour: AnsiColors,
    pub(super) handle: NodeHandle,
    /// When it had come so far with all others (or, for a goodbye, with the one who left).
    pub(super) reached: BTreeMap<Step, Duration>,
    pub(super) received: Option<Received>,
    /// How many hold its file.
    pub(super) delivered: usize,
    /// Whether it was told to leave; what it then says of the others leaving is of no interest.
    pub(super) has_left: bool,
    /// Ends when the node has said goodbye.
    pub(super) running: Option<JoinHandle<()>>,
    steps: BTreeMap<(Step, PeerId), Duration>,
    others: usize,
}

/// A file that arrived.
pub(super) struct Received {
    pub(super) content: ContentId,
    pub(super) path: PathBuf,
    pub(super) seconds: f64,
    /// Whether the file on disk, read again, has the hash that was announced.
    pub(super) verified: bool,
}

impl Actor {
    /// Takes the node's events from now on, each with the time since `opened`.
    pub(super) fn new(
        (index, name, colour): (usize, &'static str, AnsiColors),
        mut node: Node,
        others: usize,
        opened: Instant,
        events: mpsc::Sender<(usize, Duration, Event)>,
    ) -> Actor {
        let handle = node.handle();
        let running = tokio::spawn(async move {
            while let Some(event) = node.next_event().await {
                if events.send((index, opened.elapsed(), event)).await.is_err() {
                    break;
                }
            }
            node.shutdown().await;
        });
        Actor {
            name,
            colour,
            handle,
            reached: BTreeMap::new(),
            received: None,
            delivered: 0,
            has_left: false,
            running: Some(running),
            steps: BTreeMap::new(),
            others,
        }
    }

    /// Notes that it has come so far with `peer`.
    pub(super) fn step(&mut self, step: Step, peer: PeerId, at: Duration) {
        self.steps.entry((step, peer)).or_insert(at);
        let with = self.steps.keys().filter(|(done, _)| *done == step).count();
        if with >= self.others || step == Step::Goodbye {
            self.reached.entry(step).or_insert(at);
        }
    }

    /// Whether it has come so far with all others.
    pub(super) fn has(&self, step: Step) -> bool {
        self.reached.contains_key(&step)
    }

    /// Whether it trusts all others.
    pub(super) fn trusts_all(&self) -> bool {
        self.has(Step::Trusted)
    }

    /// Its name in its colour.
    pub(super) fn named(&self) -> String {
        self.name.color(self.colour).bold().to_string()
    }

    /// Its name in its colour, padded.
    pub(super) fn shown(&self) -> String {
        format!("{:6}", self.name).color(self.colour).bold().to_string()
    }
}
