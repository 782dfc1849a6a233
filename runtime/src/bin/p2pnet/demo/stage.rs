//! Where the demo's nodes meet: it tells what happens, waits for it, and sums it up.

use std::fs::File;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use owo_colors::{AnsiColors, OwoColorize};
use p2pnet::seam::Host;
use p2pnet::{ContentId, Event, Level, Node, OsHost, PeerId, Source};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::NAMES;
use super::actor::{Actor, Received};
use crate::failure::Failure;
use crate::json;
use crate::output::Output;
use crate::text::{escaped, rate, size};

/// How far a node is with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Found,
    Linked,
    Trusted,
    Goodbye,
}

/// The cast, and what comes from it.
pub(super) struct Stage<'a> {
    output: &'a Output,
    actors: Vec<Actor>,
    events: mpsc::Receiver<(usize, Duration, Event)>,
    opened: Instant,
    lists_agree: bool,
}

impl<'a> Stage<'a> {
    /// Starts all nodes in the same instant, in a network of their own.
    pub(super) async fn open(
        network: &str,
        scratch: &Path,
        output: &'a Output,
    ) -> Result<Stage<'a>, Failure> {
        let nothing =
            |what: &str, why: &dyn std::fmt::Display| Failure::NotAchieved(format!("{what}: {why}"));
        let loopback: Vec<String> = OsHost::new()
            .interfaces()
            .map_err(|error| nothing("cannot list the interfaces", &error))?
            .into_iter()
            .filter(|interface| interface.is_loopback())
            .map(|interface| interface.name)
            .collect();
        let ports = free_ports().map_err(|error| nothing("no free ports", &error))?;
        output.line(&format!(
            "{} three nodes in this process, on {} only, in network {network}\n",
            "p2pnet demo:".bold(),
            loopback.join(", "),
        ))?;
        let describe = |name: &str| {
            Node::builder(name)
                .network(network)
                .interfaces(loopback.iter().cloned())
                .ports(ports)
                .data_dir(scratch.join(name))
                .inbox(scratch.join(name).join("inbox"))
        };
        let (sender, events) = mpsc::channel(64);
        let opened = Instant::now();
        let enter = async |index: usize, name: &'static str, colour: AnsiColors| {
            let started = describe(name).start().await;
            let node = started.map_err(|error| Failure::NotAchieved(error.to_string()))?;
            Ok::<_, Failure>(Actor::new((index, name, colour), node, NAMES.len() - 1, opened, sender.clone()))
        };
        let [anna, ben, cleo] = NAMES;
        let (anna, ben, cleo) = tokio::try_join!(
            enter(0, anna, AnsiColors::Magenta),
            enter(1, ben, AnsiColors::Yellow),
            enter(2, cleo, AnsiColors::Cyan),
        )?;
        let actors = vec![anna, ben, cleo];
        Ok(Stage { output, actors, events, opened, lists_agree: false })
    }

    /// Tells what happens until `ready`.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        what: &str,
        ready: impl Fn(&[Actor]) -> bool,
    ) -> Result<(), Failure> {
        let end = Instant::now() + limit;
        while !ready(&self.actors) {
            let (index, at, event) = timeout_at(end, self.events.recv())
                .await
                .map_err(|_| {
                    Failure::NotAchieved(format!("in {} s it did not happen that {what}", limit.as_secs()))
                })?
                .ok_or_else(|| Failure::NotAchieved(format!("all nodes ended before {what}")))?;
            self.take(index, at, &event).await?;
        }
        Ok(())
    }

    /// Sees that all nodes hold the same list of peers: each other's records and nobody else's.
    pub(super) async fn check_lists(&mut self) -> Result<(), Failure> {
        let all: Vec<PeerId> = {
            let mut all: Vec<_> = self.actors.iter().map(|actor| actor.handle.peer_id()).collect();
            all.sort();
            all
        };
        for actor in &self.actors {
            let peers = actor.handle.peers().await?;
            let trusted = peers.iter().filter(|peer| peer.level == Level::Trusted).map(|peer| peer.id);
            let mut list: Vec<_> = trusted.chain([actor.handle.peer_id()]).collect();
            list.sort();
            if list != all || peers.len() + 1 != all.len() {
                return Err(Failure::NotAchieved(format!(
                    "{} has another list of peers than the rest",
                    actor.name
                )));
            }
        }
        self.lists_agree = true;
        let at = self.opened.elapsed();
        self.tell(None, at, "shared", &format!("the same {} peers are on everybody's list", all.len()))
    }

    /// Has the first node offer a file.
    pub(super) async fn share(&mut self, source: Source) -> Result<ContentId, Failure> {
        let owner = self.actors.first().ok_or_else(no_actor)?;
        let content = owner.handle.share(source).await?;
        let at = self.opened.elapsed();
        self.tell(Some(0), at, "offers", &format!("demo.bin, {}, to everybody", size(content.size)))?;
        Ok(content)
    }

    /// Reads the files that arrived again and compares their hashes with what was announced.
    pub(super) fn check_hashes(&mut self, announced: &ContentId) -> Result<(), Failure> {
        for index in 1..self.actors.len() {
            let Some(received) = self.actors.get_mut(index).and_then(|actor| actor.received.as_mut()) else {
                continue;
            };
            let mut hasher = blake3::Hasher::new();
            let read = File::open(&received.path).and_then(|file| Ok(hasher.update_reader(file)?.count()));
            let count = read
                .map_err(|error| Failure::NotAchieved(format!("cannot read what was received: {error}")))?;
            received.verified = *hasher.finalize().as_bytes() == announced.hash
                && count == announced.size
                && received.content == *announced;
            let (verified, hash) = (received.verified, announced.to_string());
            let at = self.opened.elapsed();
            let short = hash.get(..16).unwrap_or_default();
            self.tell(
                Some(index),
                at,
                "checks",
                &format!("the file on disk: BLAKE3 {short}…, {}", verdict(verified)),
            )?;
        }
        Ok(())
    }

    /// Has a node say goodbye.
    pub(super) async fn leave(&mut self, index: usize) -> Result<(), Failure> {
        let at = self.opened.elapsed();
        self.tell(Some(index), at, "leaves", "and says goodbye")?;
        let actor = self.actors.get_mut(index).ok_or_else(no_actor)?;
        actor.has_left = true;
        actor.handle.leave().await?;
        Ok(())
    }

    /// Has all nodes that are left say goodbye, and waits for it.
    pub(super) async fn close(&mut self) -> Result<(), Failure> {
        for actor in &self.actors {
            // One of them has left already.
            let _ = actor.handle.leave().await;
        }
        // What they still have to tell is about each other's leaving; the queue must not hold them up.
        self.events.close();
        while self.events.recv().await.is_some() {}
        for actor in &mut self.actors {
            if let Some(running) = actor.running.take() {
                running
                    .await
                    .map_err(|error| Failure::NotAchieved(format!("{} ended badly: {error}", actor.name)))?;
            }
        }
        let at = self.opened.elapsed();
        self.tell(None, at, "gone", "nothing is left running")
    }

    /// The table at the end. An error if something in it is not as it should be.
    pub(super) fn summary(&self) -> Result<(), Failure> {
        let head = format!(
            "\n{:6}  {:8}  {:>9}  {:>9}  {:>9}  {:>12}  {:>9}  {:>7}",
            "node", "id", "found", "linked", "trusted", "file", "goodbye", "hash"
        );
        self.output.line(&head.dimmed().to_string())?;
        for (index, actor) in self.actors.iter().enumerate() {
            let when = |step| actor.reached.get(&step).map_or_else(|| "-".into(), |at| milliseconds(*at));
            let goodbye = if actor.has_left { "said it".into() } else { when(Step::Goodbye) };
            let (file, hash) = match &actor.received {
                Some(received) => (rate(received.content.size, received.seconds), verdict(received.verified)),
                None if index == 0 => (format!("sent to {}", actor.delivered), "-"),
                None => ("-".into(), "-"),
            };
            self.output.line(&format!(
                "{}  {:8}  {:>9}  {:>9}  {:>9}  {file:>12}  {goodbye:>9}  {hash:>7}",
                actor.shown(),
                actor.handle.peer_id().short(),
                when(Step::Found),
                when(Step::Linked),
                when(Step::Trusted),
            ))?;
        }
        let verified =
            self.actors.iter().filter(|actor| actor.received.as_ref().is_some_and(|file| file.verified));
        let all_well = self.lists_agree && verified.count() == self.actors.len() - 1;
        if !all_well {
            return Err(Failure::NotAchieved(
                "a file that was received has another hash than was announced".into(),
            ));
        }
        self.output.line(&format!(
            "\n{} everything worked; see `p2pnet --help` for the real thing",
            "done:".green().bold()
        ))
    }

    /// Tells an event, and notes it.
    async fn take(&mut self, index: usize, at: Duration, event: &Event) -> Result<(), Failure> {
        if self.actors.get(index).is_none_or(|actor| actor.has_left) {
            return Ok(());
        }
        let name = |peer: &PeerId| {
            let known = self.actors.iter().find(|actor| actor.handle.peer_id() == *peer);
            known.map_or_else(|| peer.short(), Actor::named)
        };
        let (word, rest, step) = match event {
            Event::Listening { peer, port, .. } => {
                ("starts", format!("as {} on port {port}", peer.short()), None)
            }
            Event::PeerDiscovered { peer, .. } => ("found", name(peer), Some((Step::Found, *peer))),
            Event::PeerConnected { peer, .. } => {
                ("linked", format!("with {}", name(peer)), Some((Step::Linked, *peer)))
            }
            Event::PeerTrusted { peer, .. } => ("trusts", name(peer), Some((Step::Trusted, *peer))),
            Event::PeerLeft { peer, reason, .. } => {
                ("heard", format!("{} left ({})", name(peer), reason.as_str()), Some((Step::Goodbye, *peer)))
            }
            Event::ContentOffered { from, manifest } => {
                ("takes", format!("{} from {}", escaped(&manifest.name), name(from)), None)
            }
            Event::ContentReceived { manifest, from, seconds, .. } => {
                let bytes = manifest.content.size;
                let rest = format!(
                    "{} from {} in {:.0} ms ({})",
                    escaped(&manifest.name),
                    name(from),
                    seconds * 1e3,
                    rate(bytes, *seconds)
                );
                ("received", rest, None)
            }
            Event::ContentDelivered { to, .. } => ("knows", format!("that {} has it", name(to)), None),
            Event::ContentFailed { manifest, reason } => {
                let what = format!("{} did not come: {}", escaped(&manifest.name), reason.as_str());
                return Err(Failure::NotAchieved(what));
            }
            _ => return Ok(()),
        };
        self.tell_event(index, at, word, &rest, event)?;
        let actor = self.actors.get_mut(index).ok_or_else(no_actor)?;
        if let Some((step, peer)) = step {
            actor.step(step, peer, at);
        }
        match event {
            Event::ContentOffered { manifest, .. } => actor.handle.fetch(manifest.content).await?,
            Event::ContentReceived { manifest, path, seconds, .. } => {
                let (path, seconds) = (path.clone(), *seconds);
                actor.received = Some(Received { content: manifest.content, path, seconds, verified: false });
            }
            Event::ContentDelivered { .. } => actor.delivered += 1,
            _ => {}
        }
        Ok(())
    }

    fn tell_event(
        &self,
        index: usize,
        at: Duration,
        word: &str,
        rest: &str,
        event: &Event,
    ) -> Result<(), Failure> {
        if !self.output.is_json() {
            return self.tell(Some(index), at, word, rest);
        }
        let (Some(actor), Some(line)) = (self.actors.get(index), json::event(event, self.output.elapsed()))
        else {
            return Ok(());
        };
        self.output.print(&line.text("node", actor.name).end())
    }

    /// A line of the timeline; programs get the events instead.
    fn tell(&self, index: Option<usize>, at: Duration, word: &str, rest: &str) -> Result<(), Failure> {
        let who = match index.and_then(|index| self.actors.get(index)) {
            Some(actor) => actor.shown(),
            None => format!("{:6}", "all").bold().to_string(),
        };
        let word = format!("{word:9}");
        let word = match word.trim_end() {
            "trusts" | "received" | "shared" | "checks" => word.green().to_string(),
            _ => word,
        };
        self.output.line(&format!("{}  {who}  {word} {rest}", format!("{:>9}", milliseconds(at)).dimmed()))
    }
}

fn milliseconds(at: Duration) -> String {
    format!("{:.1} ms", at.as_secs_f64() * 1e3)
}

fn verdict(verified: bool) -> &'static str {
    if verified { "correct" } else { "WRONG" }
}

fn no_actor() -> Failure {
    Failure::NotAchieved("a node is missing".into())
}

/// Three different ports that nobody uses, so that other nodes of this machine are not even heard.
fn free_ports() -> std::io::Result<[u16; 3]> {
    // All bound at once, or the same one could come twice.
    let sockets =
        [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let [a, b, c] = &sockets;
    Ok([a.local_addr()?.port(), b.local_addr()?.port(), c.local_addr()?.port()])
}
