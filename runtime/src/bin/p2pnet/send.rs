//! `p2pnet send`: delivers files and a text.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indicatif::ProgressBar;
use p2pnet::control::{Answer, Ask, Client};
use p2pnet::engine::{MAX_TEXT, TextError};
use p2pnet::{CommandError, ContentId, Event, LeaveReason, Node, NodeHandle, PeerId, Source};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::asking::Asking;
use crate::failure::Failure;
use crate::files;
use crate::human::Word;
use crate::incoming::TELL_EVERY;
use crate::json::Line;
use crate::options::{Common, SendArguments};
use crate::output::Output;
use crate::running;
use crate::session::{self, InUse};
use crate::signals::Signals;
use crate::text::escaped;

/// How long after the first trusted peer others still count as receivers.
const GATHER: Duration = Duration::from_secs(2);

/// Delivers, and returns when everybody took or declined and somebody took.
pub(crate) async fn run(
    common: &Common,
    arguments: &SendArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    files::check(&arguments.files)?;
    if arguments.text.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
        return Err(Failure::BadInput(format!(
            "--text takes 1 to {MAX_TEXT} bytes; put a longer one into a file"
        )));
    }
    let mut signals = Signals::new()?;
    if arguments.trust.is_none()
        && let Some(mut client) = running::find_for_search(common).await?
    {
        let sent = send_by(&mut client, arguments, &mut signals, output).await;
        return sent.map_err(Failure::in_transfer);
    }
    let letting = arguments.trust.clone().unwrap_or_default();
    let mut node = session::start_letting(common, &letting, None, InUse::BeTemporary, output).await?;
    let sent = send(&mut node, arguments, &mut signals, output).await;
    let left = session::leave(node, &mut signals, output).await;
    sent.and(left).map_err(Failure::in_transfer)
}

/// Has the node that runs deliver.
async fn send_by(
    client: &mut Client,
    arguments: &SendArguments,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    let to: Vec<Option<String>> = match &arguments.to[..] {
        [] => vec![None],
        several => several.iter().cloned().map(Some).collect(),
    };
    for to in to {
        send_to(client, to.as_deref(), arguments, signals, output).await?;
    }
    Ok(())
}

/// Has the node that runs deliver to one, or to everybody.
async fn send_to(
    client: &mut Client,
    to: Option<&str>,
    arguments: &SendArguments,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    let timeout_ms = u64::try_from(arguments.timeout.as_millis()).unwrap_or(u64::MAX);
    for path in &arguments.files {
        let wrong = |why: String| Failure::BadInput(format!("cannot send {}: {why}", path.display()));
        let whole = std::fs::canonicalize(path).map_err(|error| wrong(error.to_string()))?;
        if whole.to_str().is_none() {
            return Err(wrong("a node that runs takes only paths that are text; stop it first".into()));
        }
        let ask = Ask::SendFile { to: to.map(str::to_owned), path: whole, timeout_ms };
        let name = escaped(&files::name(path));
        let mut content = String::new();
        let tell = |answer, output: &mut Output| match answer {
            Answer::Content { hash, .. } => {
                content = hash;
                Ok(())
            }
            Answer::Delivered(peer) => {
                let object =
                    |at| Line::new("content_delivered", at).text("hash", &content).text("to", &peer.peer);
                output.tell(object, Word::Good("delivered"), &format!("{name} to {}", running::who(&peer)))
            }
            Answer::Declined(peer) => {
                let object =
                    |at| Line::new("content_declined", at).text("hash", &content).text("to", &peer.peer);
                output.tell(object, Word::Quiet("declined"), &format!("{name} by {}", running::who(&peer)))
            }
            _ => Ok(()),
        };
        running::ask(client, &ask, signals, output, tell).await?;
    }
    if let Some(text) = &arguments.text {
        let ask = Ask::SendText { to: to.map(str::to_owned), text: text.clone(), timeout_ms };
        let tell = |answer, output: &mut Output| match answer {
            Answer::Delivered(peer) => {
                let object = |at| Line::new("text_delivered", at).text("to", &peer.peer);
                output.tell(object, Word::Good("delivered"), &format!("text to {}", running::who(&peer)))
            }
            _ => Ok(()),
        };
        running::ask(client, &ask, signals, output, tell).await?;
    }
    Ok(())
}

async fn send(
    node: &mut Node,
    arguments: &SendArguments,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    let handle = node.handle();
    let contents = tokio::select! {
        biased;
        () = signals.stop() => return Err(Failure::Interrupted),
        contents = share(&handle, arguments, output) => contents?,
    };
    let mut delivery = Delivery::new(handle, contents, arguments);
    let mut asking = Asking::new(output);
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = signals.stop() => return Err(Failure::Interrupted),
            now = ticks.tick() => {
                delivery.tick(now, output).await?;
                if now.duration_since(delivery.last_move) >= arguments.timeout {
                    return Err(delivery.gave_up(output).await);
                }
            }
            line = asking.line() => asking.answer(&line, &delivery.node, output).await?,
            event = node.next_event() => {
                let event = event.ok_or_else(session::stopped)?;
                output.event(&event)?;
                asking.note(&event, output)?;
                delivery.take(&event, output).await?;
            }
        }
        if delivery.is_done(Instant::now(), output)? {
            return Ok(());
        }
    }
}

/// Hashes the files. Offers come when it is clear to whom.
async fn share(
    node: &NodeHandle,
    arguments: &SendArguments,
    output: &mut Output,
) -> Result<BTreeSet<ContentId>, Failure> {
    let mut contents = BTreeSet::new();
    for path in &arguments.files {
        let shared = node.share_privately(Source::at(path.clone())).await;
        let content =
            shared.map_err(|error| Failure::BadInput(format!("cannot send {}: {error}", path.display())))?;
        output.learn_content(content, files::name(path));
        contents.insert(content);
    }
    Ok(contents)
}

/// Tells programs how much has gone out to a receiver.
fn tell(to: &PeerId, bytes: u64, of: u64, output: &Output) -> Result<(), Failure> {
    output.object(|at| {
        let line = Line::new("delivery_progress", at).text("to", &to.to_string());
        line.number("bytes", bytes).number("of", of)
    })?;
    Ok(())
}

/// Who is to get what, and how far it is.
struct Delivery<'a> {
    node: NodeHandle,
    contents: BTreeSet<ContentId>,
    text: Option<&'a str>,
    /// Who is called by `--to`, and which of these names somebody answers to. With none everybody is meant.
    to: &'a [String],
    found: BTreeSet<usize>,
    receivers: BTreeMap<PeerId, Receiver>,
    /// When no more receivers are awaited.
    gathered_at: Option<Instant>,
    anybody_took: bool,
    last_move: Instant,
    told: Instant,
}

/// One who is to get it all.
#[derive(Debug)]
struct Receiver {
    /// Contents neither taken nor declined yet.
    open: BTreeSet<ContentId>,
    /// The text, if it is not acknowledged yet.
    text: Option<u64>,
    /// It took something.
    took: bool,
    /// It said goodbye, so it will not answer.
    gone: bool,
    /// What had gone out to it before, in blocks, and how far it is.
    blocks_before: u64,
    bar: ProgressBar,
}

impl Receiver {
    /// It has taken or declined a content.
    fn close(&mut self, content: &ContentId) {
        self.open.remove(content);
        if self.open.is_empty() {
            self.bar.finish_and_clear();
        }
    }

    fn is_settled(&self) -> bool {
        self.gone || (self.open.is_empty() && self.text.is_none())
    }
}

impl<'a> Delivery<'a> {
    fn new(node: NodeHandle, contents: BTreeSet<ContentId>, arguments: &'a SendArguments) -> Self {
        Delivery {
            node,
            contents,
            text: arguments.text.as_deref(),
            to: &arguments.to,
            found: BTreeSet::new(),
            receivers: BTreeMap::new(),
            gathered_at: None,
            anybody_took: false,
            last_move: Instant::now(),
            told: Instant::now(),
        }
    }

    async fn take(&mut self, event: &Event, output: &Output) -> Result<(), Failure> {
        match event {
            Event::PeerTrusted { peer, name, .. } => {
                if self.is_meant(peer, name).await? && !self.is_gathered(Instant::now()) {
                    self.add(*peer, output).await?;
                }
                return Ok(());
            }
            Event::PeerLeft { peer, reason: LeaveReason::Gone | LeaveReason::Rejected(_), .. } => {
                if let Some(receiver) = self.receivers.get_mut(peer) {
                    receiver.gone = true;
                    receiver.bar.finish_and_clear();
                }
                return Ok(());
            }
            Event::ContentDelivered { content, to } => {
                self.anybody_took = true;
                if let Some(receiver) = self.receivers.get_mut(to) {
                    receiver.took = true;
                    receiver.close(content);
                }
            }
            Event::ContentDeclined { content, to } => {
                if let Some(receiver) = self.receivers.get_mut(to) {
                    receiver.close(content);
                }
            }
            Event::TextDelivered { to, id } => {
                if let Some(receiver) =
                    self.receivers.get_mut(to).filter(|receiver| receiver.text == Some(*id))
                {
                    receiver.text = None;
                    receiver.took = true;
                    self.anybody_took = true;
                    let to_whom = output.names().who(to);
                    let object = |at| Line::new("text_delivered", at).text("to", &to.to_string());
                    output.tell(object, Word::Good("delivered"), &format!("text to {to_whom}"))?;
                }
            }
            // This command sends; whoever offers something need not wait for it.
            Event::ContentOffered { manifest, .. } => {
                self.node.decline(manifest.content).await?;
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.last_move = Instant::now();
        Ok(())
    }

    /// Whether this peer is to get it: everybody, or those that `--to` says.
    async fn is_meant(&mut self, peer: &PeerId, name: &str) -> Result<bool, Failure> {
        if self.to.is_empty() {
            return Ok(true);
        }
        let calls = |(place, to): (usize, &'a String)| matches(to, peer, name).then_some((place, to));
        let Some((place, to)) = self.to.iter().enumerate().find_map(calls) else { return Ok(false) };
        self.found.insert(place);
        let others = self.node.peers().await?;
        if others.iter().any(|other| other.id != *peer && matches(to, &other.id, &other.name)) {
            return Err(Failure::BadInput(format!(
                "several peers answer to {}; give the id that `p2pnet peers` shows",
                escaped(to),
            )));
        }
        Ok(true)
    }

    async fn add(&mut self, peer: PeerId, output: &Output) -> Result<(), Failure> {
        self.last_move = Instant::now();
        self.gathered_at.get_or_insert(self.last_move + GATHER);
        if let Some(receiver) = self.receivers.get_mut(&peer) {
            // Offers and texts are repeated to a peer that comes back.
            receiver.gone = false;
            return Ok(());
        }
        for content in &self.contents {
            if !self.node.offer_to(*content, peer).await? {
                return Err(Failure::NotAchieved("there are too many receivers".into()));
            }
        }
        let text = match self.text {
            Some(text) => match self.node.send_text(peer, text).await {
                Ok(id) => Some(id),
                // It went while we were asking.
                Err(CommandError::Text(TextError::UnknownPeer)) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        let total = self.contents.iter().map(|content| content.size).sum();
        let bar = match self.contents.is_empty() {
            true => ProgressBar::hidden(),
            false => output.bar(total, format!("to {}", output.names().who(&peer))),
        };
        let before = self.node.peers().await?.into_iter().find(|known| known.id == peer);
        let receiver = Receiver {
            open: self.contents.clone(),
            text,
            took: false,
            gone: false,
            blocks_before: before.map_or(0, |known| known.blocks_sent),
            bar,
        };
        self.receivers.insert(peer, receiver);
        if !self.contents.is_empty() {
            tell(&peer, 0, total, output)?;
        }
        Ok(())
    }

    /// Moves the bars, tells programs, and notes whether anything went out.
    async fn tick(&mut self, now: Instant, output: &Output) -> Result<(), Failure> {
        if self.contents.is_empty() || self.receivers.is_empty() {
            return Ok(());
        }
        let tells = now - self.told >= TELL_EVERY;
        for known in self.node.peers().await? {
            let open = |receiver: &&mut Receiver| !receiver.open.is_empty() && !receiver.gone;
            let Some(receiver) = self.receivers.get_mut(&known.id).filter(open) else { continue };
            let total = receiver.bar.length().unwrap_or(0);
            let sent = (known.blocks_sent.saturating_sub(receiver.blocks_before) << 20).min(total);
            if sent != receiver.bar.position() {
                self.last_move = now;
            }
            receiver.bar.set_position(sent);
            if tells {
                tell(&known.id, sent, total, output)?;
            }
        }
        if tells {
            self.told = now;
        }
        Ok(())
    }

    /// Whether nobody else becomes a receiver. As long as nobody took, newcomers are welcome.
    fn is_gathered(&self, now: Instant) -> bool {
        self.to.is_empty()
            && self.gathered_at.is_some_and(|at| now >= at)
            && (self.anybody_took || !self.is_settled())
    }

    fn is_settled(&self) -> bool {
        self.receivers.values().all(Receiver::is_settled)
    }

    /// Whether it is over; an error if it is, and in vain.
    fn is_done(&self, now: Instant, output: &Output) -> Result<bool, Failure> {
        if self.receivers.is_empty() || !self.is_settled() || self.found.len() < self.to.len() {
            return Ok(false);
        }
        if self.to.is_empty() {
            return Ok(self.anybody_took && self.gathered_at.is_some_and(|at| now >= at));
        }
        let names: Vec<_> = self.receivers.iter().filter(|(_, receiver)| !receiver.took).collect();
        if names.is_empty() {
            return Ok(true);
        }
        let names: Vec<_> = names.iter().map(|(peer, _)| output.names().who(peer)).collect();
        Err(Failure::NotAchieved(format!("{} did not take it", names.join(", "))))
    }

    /// What to say when nothing moves any more.
    async fn gave_up(&self, output: &Output) -> Failure {
        let waiting: Vec<_> = self.receivers.iter().filter(|(_, receiver)| !receiver.is_settled()).collect();
        if !waiting.is_empty() {
            let names: Vec<_> = waiting.iter().map(|(id, _)| output.names().who(id)).collect();
            return Failure::NotAchieved(format!("no answer from {}", names.join(", ")));
        }
        if !self.receivers.is_empty() && self.to.is_empty() {
            return Failure::NotAchieved("everybody declined".into());
        }
        let known = self.node.peers().await.unwrap_or_default();
        let missing = self.to.iter().enumerate().find(|(place, _)| !self.found.contains(place));
        match missing.map(|(_, to)| to) {
            Some(to) if !known.iter().any(|peer| matches(to, &peer.id, &peer.name)) => {
                let mut names: Vec<_> = known.iter().take(8).map(|peer| escaped(&peer.name)).collect();
                names.sort();
                let there = if names.is_empty() {
                    "nobody else is here".into()
                } else {
                    format!("here: {}", names.join(", "))
                };
                Failure::BadInput(format!("no peer answers to {} ({there}); see `p2pnet peers`", escaped(to)))
            }
            Some(to) => {
                let meant = known.iter().find(|peer| matches(to, &peer.id, &peer.name));
                let why = meant.map(|peer| format!(" ({})", peer.why)).unwrap_or_default();
                Failure::NotAchieved(format!(
                    "{} is here but no link to it could be verified{why}",
                    escaped(to)
                ))
            }
            None => Failure::NotAchieved("nobody came to take it".into()),
        }
    }
}

/// Whether `to` is how the user may call this peer: its whole id, at least 8 characters of it, or its name.
fn matches(to: &str, id: &PeerId, name: &str) -> bool {
    // Whoever has the form of an id must have that id: a name is anybody's choice.
    if let Ok(whole) = to.parse::<PeerId>() {
        return whole == *id;
    }
    name == to || (to.len() >= 8 && id.to_string().starts_with(&to.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer cannot take what is meant for another by calling itself like the other's id.
    #[test]
    fn a_whole_id_is_never_matched_by_a_name() {
        let (anna, eve) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let id = anna.to_string();
        assert!(matches(&id, &anna, "anna"));
        assert!(matches(&id.to_uppercase(), &anna, "anna"));
        assert!(!matches(&id, &eve, &id));
    }

    /// Short forms need 8 characters; names must be whole.
    #[test]
    fn a_peer_answers_to_its_name_and_short_id() {
        let anna = PeerId::from_bytes([1; 32]);
        assert!(matches("anna", &anna, "anna"));
        assert!(!matches("ann", &anna, "anna"));
        assert!(matches(&anna.short(), &anna, "x"));
        assert!(!matches(&anna.short()[..7], &anna, "x"));
        assert!(!matches("", &anna, "anna"));
    }
}
