//! Delivering a text or a file for a client of the control socket.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use p2pnet_engine::{ContentId, LeaveReason, Level, MAX_TEXT, PeerId, TaskRefused, TextError};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::protocol::{Answer, PeerLine, Refusal};
use super::server::{Contents, line_of};
use crate::error::CommandError;
use crate::event::Event;
use crate::handle::{NodeHandle, PeerInfo};
use crate::seam::Source;

/// The longest that a client may have us wait without anything moving.
const LONGEST: Duration = Duration::from_secs(600);

/// What is to be delivered.
pub(super) enum What {
    Text(String),
    File(PathBuf),
}

/// What is to be acknowledged.
#[derive(Clone, Copy)]
enum Sent {
    Text,
    Content(ContentId),
}

/// Delivers, and returns when everybody who is meant took or declined and somebody took.
pub(super) async fn deliver(
    node: &NodeHandle,
    contents: &Contents,
    mut events: Receiver<Event>,
    what: What,
    to: Option<&str>,
    patience: Duration,
    answers: &mpsc::Sender<Answer>,
) -> Result<(), Refusal> {
    let text = match &what {
        What::Text(text) if text.is_empty() || text.len() > MAX_TEXT => {
            return Err(Refusal::bad(format!("a text has 1 to {MAX_TEXT} bytes")));
        }
        What::Text(text) => Some(text.clone()),
        What::File(_) => None,
    };
    let (sent, _kept) = match what {
        What::Text(_) => (Sent::Text, None),
        What::File(path) if !path.is_absolute() => return Err(Refusal::bad("give an absolute path")),
        What::File(path) => {
            let shown = path.display().to_string();
            let content = node.share_privately(Source::at(path)).await;
            let content = content.map_err(|error| Refusal::bad(format!("cannot send {shown}: {error}")))?;
            let answer = Answer::Content { hash: content.to_string(), bytes: content.size };
            let _ = answers.send(answer).await;
            (Sent::Content(content), Some(contents.hold(content, node.clone())))
        }
    };
    let mut delivery = Delivery {
        node,
        contents,
        sent,
        text: text.as_deref(),
        to,
        open: BTreeMap::new(),
        asked: 0,
        taken: 0,
        answers,
    };
    let patience = patience.min(LONGEST);
    let mut deadline = Instant::now() + patience;
    delivery.begin().await?;
    while !delivery.is_done() {
        let mut progress = 0;
        if let Sent::Content(_) = sent {
            progress = node.stats().await.map_err(refusal)?.blocks_sent;
        }
        // A large file moves without an event.
        let look = (Instant::now() + Duration::from_secs(1)).min(deadline);
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = sleep_until(look) => {
                if let Sent::Content(_) = sent
                    && node.stats().await.map_err(refusal)?.blocks_sent != progress
                {
                    deadline = Instant::now() + patience;
                }
                if Instant::now() >= deadline {
                    return Err(delivery.gave_up().await);
                }
                continue;
            }
        };
        match event {
            Ok(event) => {
                if delivery.take(&event).await? {
                    deadline = Instant::now() + patience;
                }
            }
            Err(RecvError::Lagged(_)) => return Err(Refusal::failed("too much happened at once; ask again")),
            Err(RecvError::Closed) => return Err(Refusal::failed("the node has stopped")),
        }
    }
    if delivery.taken > 0 { Ok(()) } else { Err(Refusal::failed("everybody declined")) }
}

struct Delivery<'a> {
    node: &'a NodeHandle,
    contents: &'a Contents,
    sent: Sent,
    text: Option<&'a str>,
    to: Option<&'a str>,
    /// Who has yet to answer, with the number of the text.
    open: BTreeMap<PeerId, (PeerInfo, u64)>,
    asked: usize,
    taken: usize,
    answers: &'a mpsc::Sender<Answer>,
}

impl Delivery<'_> {
    /// Those who are there already.
    async fn begin(&mut self) -> Result<(), Refusal> {
        let peers = self.node.peers().await.map_err(refusal)?;
        match self.to {
            Some(to) => {
                let mut meant = peers.into_iter().filter(|peer| peer.answers_to(to));
                if let (Some(one), another) = (meant.next(), meant.next()) {
                    if another.is_some() {
                        return Err(Refusal::bad("several peers answer to that; give the id"));
                    }
                    self.add(one).await?;
                }
            }
            None => {
                for peer in peers.into_iter().filter(|peer| peer.level == Level::Trusted) {
                    self.add(peer).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether it is over. As long as there was nobody, somebody may come.
    fn is_done(&self) -> bool {
        self.asked > 0 && self.open.is_empty()
    }

    async fn add(&mut self, peer: PeerInfo) -> Result<(), Refusal> {
        if self.open.contains_key(&peer.id) {
            return Ok(());
        }
        let number = match (self.sent, self.text) {
            (Sent::Content(content), _) => {
                if !self.node.offer_to(content, peer.id).await.map_err(refusal)? {
                    return Err(Refusal::failed("there are too many receivers"));
                }
                0
            }
            (Sent::Text, text) => match self.node.send_text(peer.id, text.unwrap_or_default()).await {
                Ok(number) => number,
                // It went while we were asking.
                Err(CommandError::Text(TextError::UnknownPeer)) => return Ok(()),
                Err(error) => return Err(refusal(error)),
            },
        };
        self.asked += 1;
        let id = peer.id;
        self.open.insert(id, (peer, number));
        if let Sent::Content(content) = self.sent
            && let Some(taken) = self.contents.answered(content, id)
        {
            self.end(&id, taken).await;
        }
        Ok(())
    }

    /// Whether anything moved by this event.
    async fn take(&mut self, event: &Event) -> Result<bool, Refusal> {
        match event {
            Event::PeerTrusted { .. } if self.asked == 0 => {
                self.begin().await?;
                return Ok(self.asked > 0);
            }
            Event::ContentDelivered { content, to } if self.is_content(content) => self.end(to, true).await,
            Event::ContentDeclined { content, to } if self.is_content(content) => self.end(to, false).await,
            Event::TextDelivered { to, id } if self.is_text(to, |number| number == *id) => {
                self.end(to, true).await;
            }
            Event::TextsLost { to, first, last }
                if self.is_text(to, |number| (*first..=*last).contains(&number)) =>
            {
                self.end(to, false).await;
            }
            Event::PeerLeft { peer, reason: LeaveReason::Gone | LeaveReason::Rejected(_), .. }
                if matches!(self.sent, Sent::Content(_)) =>
            {
                self.end(peer, false).await;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn is_content(&self, content: &ContentId) -> bool {
        matches!(self.sent, Sent::Content(ours) if ours == *content)
    }

    fn is_text(&self, peer: &PeerId, is: impl Fn(u64) -> bool) -> bool {
        matches!(self.sent, Sent::Text) && self.open.get(peer).is_some_and(|(_, number)| is(*number))
    }

    async fn end(&mut self, peer: &PeerId, taken: bool) {
        let Some((peer, _)) = self.open.remove(peer) else { return };
        self.taken += usize::from(taken);
        let line: PeerLine = line_of(&peer);
        let answer = if taken { Answer::Delivered(line) } else { Answer::Declined(line) };
        let _ = self.answers.send(answer).await;
    }

    /// What to say when nothing moves any more.
    async fn gave_up(&self) -> Refusal {
        if !self.open.is_empty() {
            let names: Vec<_> = self.open.values().take(8).map(|(peer, _)| peer.name.clone()).collect();
            return Refusal::failed(format!("no answer from {}", names.join(", ")));
        }
        let Some(to) = self.to else { return Refusal::failed("nobody came to take it") };
        let known = self.node.peers().await.unwrap_or_default();
        let mut names: Vec<_> = known.iter().take(8).map(|peer| peer.name.clone()).collect();
        names.sort();
        let there = if names.is_empty() {
            "nobody else is here".to_owned()
        } else {
            format!("here: {}", names.join(", "))
        };
        Refusal::bad(format!("no peer answers to {to} ({there})"))
    }
}

pub(super) fn refusal(error: CommandError) -> Refusal {
    match error {
        // It is about what was asked, not about what came of it.
        CommandError::Task(TaskRefused::Busy | TaskRefused::ClockUnknown | TaskRefused::Leaving) => {
            Refusal::failed(error.to_string())
        }
        CommandError::Answer(_) | CommandError::Decision(_) | CommandError::Task(_) => {
            Refusal::bad(error.to_string())
        }
        error => Refusal::failed(error.to_string()),
    }
}
