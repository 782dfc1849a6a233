//! What applications do: send texts, publish, take what is offered, show badges, leave.

use std::time::Duration;

use p2pnet_engine::{ContentId, Event, Timestamp};

use crate::draws::draw;
use crate::trace::What;

use super::checks::Seen;
use super::plan::Plan;
use super::record::Mark;
use super::{Happening, World};

/// The name of the custom step that a plan with `badge` asks for.
pub(crate) const BADGE: &str = "badge";
pub(crate) const RIGHT_BADGE: &[u8] = b"the right badge";
pub(crate) const WRONG_BADGE: &[u8] = b"a badge of paper";
/// How long an application waits before it tries again what was refused.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// How often it tries to send a text to a peer that it does not know.
pub(crate) const TEXT_TRIES: u32 = 120;

/// Something that an application does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Text { index: usize, node: usize, tries: u32 },
    Publish { index: usize, node: usize },
    Leave { node: usize },
    Fetch { node: usize, starts: u64, content: ContentId },
}

/// A content that a node published.
pub(super) struct Published {
    pub(super) node: usize,
    /// The plan's number of it.
    pub(super) index: usize,
    pub(super) bytes: Vec<u8>,
}

impl Work {
    pub(super) fn node(&self) -> Option<usize> {
        match self {
            Work::Text { node, .. }
            | Work::Publish { node, .. }
            | Work::Leave { node }
            | Work::Fetch { node, .. } => Some(*node),
        }
    }
}

impl Plan {
    /// The text of this number: no two are equal.
    pub(crate) fn words(&self, index: usize) -> String {
        let plan = &self.text[index];
        let mut text = format!("text {index} from {} to {} ", plan.from, plan.to);
        while text.len() < plan.bytes {
            text.push(char::from(b'a' + (text.len() % 26) as u8));
        }
        text.truncate(p2pnet_engine::MAX_TEXT);
        text
    }

    /// What the content of this number is.
    pub(crate) fn bytes(&self, index: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.content[index].bytes];
        for (i, word) in bytes.chunks_mut(8).enumerate() {
            let drawn = draw(self.seed, u64::MAX, index as u64, i as u64).to_le_bytes();
            word.copy_from_slice(&drawn[..word.len()]);
        }
        bytes
    }
}

impl World {
    pub(super) fn schedule_work(&mut self) {
        let mut work = Vec::new();
        for (index, text) in self.plan.text.iter().enumerate() {
            let node = self.plan.node(&text.from).unwrap_or(0);
            work.push((text.at_ms, Work::Text { index, node, tries: 0 }));
        }
        for (index, content) in self.plan.content.iter().enumerate() {
            let node = self.plan.node(&content.from).unwrap_or(0);
            work.push((content.at_ms, Work::Publish { index, node }));
        }
        for leave in &self.plan.leave {
            work.push((leave.at_ms, Work::Leave { node: self.plan.node(&leave.node).unwrap_or(0) }));
        }
        for (at_ms, work) in work {
            self.at(Timestamp::from_millis(at_ms), Happening::Work(work));
        }
    }

    pub(super) fn work(&mut self, work: Work) {
        match work {
            Work::Text { index, node, tries } => self.send_text(index, node, tries),
            Work::Publish { index, node } => self.publish(index, node),
            Work::Leave { node } => self.leave(node),
            Work::Fetch { node, starts, content } => {
                if self.nodes[node].starts == starts && self.nodes[node].wants.contains(&content) {
                    self.fetch(node, content);
                }
            }
        }
    }

    fn send_text(&mut self, index: usize, node: usize, tries: u32) {
        let Some(to) = self.plan.node(&self.plan.text[index].to) else { return };
        let (peer, now) = (self.nodes[to].peer, self.local(node));
        let text = self.text(index);
        let sent = self.nodes[node].engine.as_mut().map(|engine| engine.send_text(now, peer, &text));
        match sent {
            Some(Ok(id)) => {
                self.look(&Seen::TextSent { index, from: node, to, peer, id });
                self.drain(node);
            }
            _ if tries < TEXT_TRIES => {
                self.after(PATIENCE, Happening::Work(Work::Text { index, node, tries: tries + 1 }));
            }
            _ => {}
        }
    }

    /// The text of this number in the plan: no two are equal.
    pub(super) fn text(&self, index: usize) -> String {
        self.plan.words(index)
    }

    fn publish(&mut self, index: usize, node: usize) {
        if self.nodes[node].left {
            return;
        }
        if !self.nodes[node].runs() {
            return self.after(PATIENCE, Happening::Work(Work::Publish { index, node }));
        }
        let bytes = self.plan.bytes(index);
        let (manifest, list) =
            self.nodes[node].disk.store.publish(&format!("content {index}"), bytes.clone());
        self.published.insert(manifest.content, Published { node, index, bytes });
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine
            && engine.publish(now, manifest, list).is_ok()
        {
            self.drain(node);
        }
    }

    /// After a restart an application offers again what is on its disk.
    pub(super) fn publish_again(&mut self, node: usize) {
        let now = self.local(node);
        for (manifest, list) in self.nodes[node].disk.store.republish() {
            if let Some(engine) = &mut self.nodes[node].engine
                && engine.publish(now, manifest, list).is_ok()
            {
                self.drain(node);
            }
        }
    }

    /// A node says goodbye for good.
    pub(super) fn leave(&mut self, node: usize) {
        let now = self.local(node);
        self.nodes[node].left = true;
        if let Some(engine) = &mut self.nodes[node].engine {
            engine.leave(now);
            self.look(&Seen::Leaves { node });
            self.drain(node);
        }
    }

    fn fetch(&mut self, node: usize, content: ContentId) {
        let (now, starts) = (self.local(node), self.nodes[node].starts);
        let Some(engine) = &mut self.nodes[node].engine else { return };
        match engine.fetch(now, content) {
            Ok(()) => self.drain(node),
            Err(_) => self.after(PATIENCE, Happening::Work(Work::Fetch { node, starts, content })),
        }
    }

    pub(super) fn take_event(&mut self, node: usize, event: Event) {
        let what = self.record.trace.as_ref().and_then(|trace| What::from_engine(&event, trace));
        self.note(Mark::Event, Some(node), format!("{event:?}").as_bytes(), |_| {
            what.unwrap_or(What::Warning { message: "an event that the trace does not know".to_owned() })
        });
        self.look(&Seen::Event { node, event: &event });
        let (now, starts) = (self.local(node), self.nodes[node].starts);
        match event {
            Event::ContentOffered { manifest, .. } if self.nodes[node].takes_offers => {
                self.nodes[node].wants.insert(manifest.content);
                self.fetch(node, manifest.content);
            }
            Event::ContentFailed { manifest, .. } => {
                let again = Work::Fetch { node, starts, content: manifest.content };
                self.after(PATIENCE * 2, Happening::Work(again));
            }
            Event::Text { text, .. } => {
                if let Some(index) = self.text_index(&text) {
                    self.nodes[node].texts.insert(index);
                }
            }
            Event::ContentReceived { manifest, .. } => {
                self.nodes[node].wants.remove(&manifest.content);
                self.completed += 1;
            }
            Event::StepMessage { peer, step, message, .. } => {
                let badge = if self.nodes[node].impostor { WRONG_BADGE } else { RIGHT_BADGE };
                if let Some(engine) = &mut self.nodes[node].engine {
                    let over = match message {
                        None => true,
                        Some(shown) => engine.step_conclude(now, peer, &step, shown == RIGHT_BADGE).is_err(),
                    };
                    // A peer that verifies us anew on another link asks for our badge once more. A step that is
                    // over on both sides refuses it.
                    if over {
                        let _ = engine.step_send(now, peer, &step, badge);
                    }
                }
            }
            Event::Left => self.stop(node, false),
            _ => {}
        }
    }
}
