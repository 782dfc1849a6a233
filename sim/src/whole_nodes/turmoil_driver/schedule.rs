//! What a plan has happen, in the order of the World.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::world::plan::Plan;

/// Something that the plan has happen at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Start {
        node: usize,
    },
    FaultBegins(usize),
    FaultEnds(usize),
    Text {
        index: usize,
        tries: u32,
    },
    Publish {
        index: usize,
    },
    /// For the run of the publisher with this number only.
    PublishAgain {
        index: usize,
        starts: u64,
    },
    Leave {
        node: usize,
    },
}

/// What is still to happen, the next first.
#[derive(Debug)]
pub(super) struct Schedule {
    /// By time, class and sequence: of what happens at one time what breaks goes before what people do.
    items: BTreeMap<(Duration, u8, u64), Item>,
    added: u64,
}

impl Schedule {
    /// All that the plan says.
    pub(super) fn of(plan: &Plan) -> Self {
        let mut schedule = Schedule { items: BTreeMap::new(), added: 0 };
        for (node, plan) in plan.node.iter().enumerate() {
            schedule.add(millis(plan.start_ms), Item::Start { node });
        }
        for (index, fault) in plan.fault.iter().enumerate() {
            schedule.add(millis(fault.at_ms()), Item::FaultBegins(index));
            if let Some(lasts) = fault.for_ms() {
                schedule.add(millis(fault.at_ms().saturating_add(lasts)), Item::FaultEnds(index));
            }
        }
        for (index, text) in plan.text.iter().enumerate() {
            schedule.add(millis(text.at_ms), Item::Text { index, tries: 0 });
        }
        for (index, content) in plan.content.iter().enumerate() {
            schedule.add(millis(content.at_ms), Item::Publish { index });
        }
        for leave in &plan.leave {
            if let Some(node) = plan.node(&leave.node) {
                schedule.add(millis(leave.at_ms), Item::Leave { node });
            }
        }
        schedule
    }

    /// Has something happen at a time.
    pub(super) fn add(&mut self, at: Duration, item: Item) {
        let class = match item {
            Item::Start { .. } | Item::FaultBegins(_) | Item::FaultEnds(_) => 0,
            _ => 1,
        };
        self.items.insert((at, class, self.added), item);
        self.added += 1;
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.items.first_key_value().map(|((at, ..), _)| *at)
    }

    /// The next thing that is to happen by `now`.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Item> {
        self.next_at().filter(|at| *at <= now)?;
        self.items.pop_first().map(|(_, item)| item)
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
