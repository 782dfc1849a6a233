//! What applications do: send texts, publish, take what is offered, show badges, leave.

use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_engine::{ContentId, Event, PeerId, Timestamp};

use crate::draws::draw;
use crate::trace::What;

use super::checks::Seen;
use super::node::NetworkInterface;
use super::persons::Screen;
use super::plan::Plan;
use super::record::Mark;
use super::{Happening, World};

/// The name of the custom step that a plan with `badge` asks for.
pub(crate) const BADGE: &str = "badge";
pub(crate) const WRONG_BADGE: &[u8] = b"a badge of paper";
/// How long an application waits before it tries again what was refused.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// How long messages are kept for those who are away: shorter than runs are.
pub(crate) const MESSAGE_TTL: Duration = Duration::from_secs(20);
/// How much of them waits: less than bursts are.
pub(crate) const MESSAGE_BYTES: usize = 512 * 1024;
/// How often it tries to send a text or message to a peer that it does not know.
pub(crate) const TEXT_TRIES: u32 = 120;

/// Something that an application does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Text { index: usize, node: usize, tries: u32 },
    Message { index: usize, node: usize, tries: u32 },
    Publish { index: usize, node: usize },
    Withdraw { index: usize, node: usize },
    Dial { node: usize, to: usize },
    Part { node: usize, from: usize },
    Search { index: usize, node: usize },
    Leave { node: usize },
    Hold { node: usize, hold: bool },
    Fetch { node: usize, starts: u64, content: ContentId },
    Compare { node: usize, starts: u64, peer: PeerId, looks: u32 },
    Decide { node: usize, starts: u64, peer: PeerId },
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
            | Work::Message { node, .. }
            | Work::Publish { node, .. }
            | Work::Withdraw { node, .. }
            | Work::Dial { node, .. }
            | Work::Part { node, .. }
            | Work::Search { node, .. }
            | Work::Leave { node }
            | Work::Hold { node, .. }
            | Work::Fetch { node, .. }
            | Work::Compare { node, .. }
            | Work::Decide { node, .. } => Some(*node),
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

    /// The message of this number: no two are equal.
    pub(crate) fn message_bytes(&self, index: usize) -> Vec<u8> {
        let plan = &self.message[index];
        let mut bytes = format!("message {index} from {} ", plan.from).into_bytes();
        while bytes.len() < plan.bytes {
            bytes.push((bytes.len() * 31 + index) as u8);
        }
        bytes
    }

    /// The number of a message, if it is exactly that message.
    pub(crate) fn message_index(&self, bytes: &[u8]) -> Option<usize> {
        let rest = bytes.strip_prefix(b"message ")?;
        let number = rest.split(|&byte| byte == b' ').next()?;
        let index: usize = str::from_utf8(number).ok()?.parse().ok()?;
        (index < self.message.len() && self.message_bytes(index) == bytes).then_some(index)
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

/// What a node shows to another: of no use to anybody else who has seen it.
pub(crate) fn right_badge(from: &PeerId, to: &PeerId) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("p2pnet-sim badge");
    hasher.update(from.as_bytes());
    hasher.update(to.as_bytes());
    hasher.finalize().as_bytes().to_vec()
}

impl World {
    pub(super) fn schedule_work(&mut self) {
        let mut work = Vec::new();
        for (index, text) in self.plan.text.iter().enumerate() {
            let node = self.plan.node(&text.from).unwrap_or(0);
            work.push((text.at_ms, Work::Text { index, node, tries: 0 }));
        }
        for (index, message) in self.plan.message.iter().enumerate() {
            let node = self.plan.node(&message.from).unwrap_or(0);
            work.push((message.at_ms, Work::Message { index, node, tries: 0 }));
        }
        for (index, content) in self.plan.content.iter().enumerate() {
            let node = self.plan.node(&content.from).unwrap_or(0);
            work.push((content.at_ms, Work::Publish { index, node }));
            if let Some(twin) = content.twin.as_ref().and_then(|twin| self.plan.node(twin)) {
                work.push((content.at_ms, Work::Publish { index, node: twin }));
            }
            if let Some(at_ms) = content.withdraw_ms {
                work.push((at_ms, Work::Withdraw { index, node }));
            }
        }
        for dial in &self.plan.dial {
            if let (Some(node), Some(to)) = (self.plan.node(&dial.from), self.plan.node(&dial.to)) {
                work.push((dial.at_ms, Work::Dial { node, to }));
            }
        }
        for hold in &self.plan.hold {
            if let Some(node) = self.plan.node(&hold.node) {
                work.push((hold.at_ms, Work::Hold { node, hold: true }));
                work.push((hold.at_ms + hold.for_ms, Work::Hold { node, hold: false }));
            }
        }
        for part in &self.plan.part {
            if let (Some(node), Some(from)) = (self.plan.node(&part.node), self.plan.node(&part.from)) {
                work.push((part.at_ms, Work::Part { node, from }));
            }
        }
        for (index, search) in self.plan.search.iter().enumerate() {
            let node = self.plan.node(&search.node).unwrap_or(0);
            work.push((search.at_ms, Work::Search { index, node }));
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
            Work::Message { index, node, tries } => self.send_message(index, node, tries),
            Work::Publish { index, node } => self.publish(index, node),
            Work::Leave { node } => self.leave(node),
            Work::Search { index, node } => self.search(index, node),
            Work::Hold { node, hold } => self.hold_transfers(node, hold),
            Work::Withdraw { index, node } => self.withdraw(index, node),
            Work::Dial { node, to } => self.dial_by_hand(node, to),
            Work::Part { node, from } => {
                let (now, peer) = (self.local(node), self.nodes[from].peer);
                if let Some(engine) = &mut self.nodes[node].engine {
                    engine.disconnect(now, peer);
                    self.drain(node);
                }
            }
            Work::Compare { node, starts, peer, looks } => {
                if self.nodes[node].starts == starts {
                    self.compare(node, peer, looks);
                }
            }
            Work::Decide { node, starts, peer } => {
                if self.nodes[node].starts == starts {
                    self.decide(node, peer);
                }
            }
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

    fn send_message(&mut self, index: usize, node: usize, tries: u32) {
        let to = self.plan.message[index].to.as_ref().and_then(|to| self.plan.node(to));
        let (peer, now) = (to.map(|to| self.nodes[to].peer), self.local(node));
        let bytes = self.plan.message_bytes(index);
        let sent = self.nodes[node].engine.as_mut().map(|engine| match peer {
            Some(peer) => engine.send_message(now, peer, &bytes),
            None => engine.broadcast(now, &bytes),
        });
        match sent {
            Some(Ok(id)) => {
                self.look(&Seen::MessageSent { index, from: node, id });
                self.drain(node);
            }
            _ if tries < TEXT_TRIES => {
                self.after(PATIENCE, Happening::Work(Work::Message { index, node, tries: tries + 1 }));
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
        // Of twins the one that the plan names first counts as the publisher.
        let first = self.plan.node(&self.plan.content[index].from) == Some(node);
        if first || !self.published.contains_key(&manifest.content) {
            self.published.insert(manifest.content, Published { node, index, bytes });
        }
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine
            && engine.publish(now, manifest, list).is_ok()
        {
            self.drain(node);
        }
    }

    /// An application pauses all that it fetches, or goes on with it.
    fn hold_transfers(&mut self, node: usize, hold: bool) {
        let (now, wants) = (self.local(node), self.nodes[node].wants.clone());
        let Some(engine) = &mut self.nodes[node].engine else { return };
        for content in wants {
            let _ = if hold { engine.pause(now, content) } else { engine.resume(now, content) };
        }
        self.drain(node);
    }

    fn withdraw(&mut self, index: usize, node: usize) {
        let mut of_index =
            self.published.iter().filter(|(_, published)| (published.node, published.index) == (node, index));
        let Some(content) = of_index.next().map(|(&content, _)| content) else { return };
        self.nodes[node].disk.store.withdraw(&content);
        let now = self.local(node);
        if let Some(engine) = &mut self.nodes[node].engine {
            engine.withdraw(now, content);
            self.drain(node);
        }
    }

    /// Somebody gives a node the address that another has now.
    fn dial_by_hand(&mut self, node: usize, to: usize) {
        #[cfg(feature = "planted")]
        if super::planting::loses_addresses(&self.plan, &self.nodes[node].name) {
            return;
        }
        let Some(ip) = self.hosts[self.nodes[to].host].interfaces.first().map(NetworkInterface::ip) else {
            return;
        };
        let (now, address) = (self.local(node), SocketAddr::new(ip, self.nodes[to].port));
        self.nodes[node].given.insert(address);
        if let Some(engine) = &mut self.nodes[node].engine
            && engine.dial(now, address).is_ok()
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
            Event::ContentOffered { manifest, .. } if self.nodes[node].by_policy => {
                self.nodes[node].wants.insert(manifest.content);
            }
            Event::ContentOffered { manifest, .. } if self.nodes[node].takes_offers => {
                self.nodes[node].wants.insert(manifest.content);
                self.fetch(node, manifest.content);
            }
            Event::ContentOffered { manifest, .. } if self.nodes[node].declines => {
                if let Some(engine) = &mut self.nodes[node].engine {
                    engine.decline(now, manifest.content);
                }
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
            Event::Message { bytes, hops, .. } => {
                if let Some(index) = self.plan.message_index(&bytes) {
                    self.nodes[node].messages.insert(index, hops);
                }
            }
            Event::ContentReceived { manifest, .. } => {
                self.nodes[node].wants.remove(&manifest.content);
                self.completed += 1;
            }
            Event::StepMessage { peer, step, message, transcript } => {
                let own = self.nodes[node].peer;
                let impostor = self.nodes[node].impostor;
                let badge = if impostor { WRONG_BADGE.to_vec() } else { right_badge(&own, &peer) };
                let Some(engine) = &mut self.nodes[node].engine else { return };
                let asks = match message {
                    None => true,
                    Some(shown) => {
                        let right = shown == right_badge(&peer, &own);
                        engine.step_conclude(now, peer, &step, right).is_err()
                    }
                };
                // A peer that verifies us anew on another link asks for our badge once more. Once on each link is
                // enough: two that answer each other's answers would never end.
                if asks
                    && self.nodes[node].shown.insert((peer, transcript))
                    && let Some(engine) = &mut self.nodes[node].engine
                {
                    let _ = engine.step_send(now, peer, &step, &badge);
                }
            }
            Event::CodeReady { peer, name, code, confirm } => {
                self.show(node, peer, Screen { name, code }, confirm)
            }
            Event::DecisionWanted { peer, .. } => self.ask_application(node, peer),
            Event::Left => self.stop(node, false),
            _ => {}
        }
    }
}
