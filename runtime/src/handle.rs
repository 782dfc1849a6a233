//! Commands for a running node, and the answers to questions about it.

use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_engine::{
    ContentId, Decision, Engine, Evidence, Level, Liveness, Manifest, OfferPolicy, PeerId, ScanEstimate,
    ScanPlan, Scope, Stats, Step, TaskId, Timestamp, Who,
};
use tokio::sync::{mpsc, oneshot};

use crate::doctor::{self, Names, Survey, Why};
use crate::driver::{Audience, Command};
use crate::error::CommandError;
use crate::report::NetworkReport;
use crate::seam::Source;
use crate::standing;

/// Gives a node commands. Clones give commands to the same node; none of them keeps it alive.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    peer: PeerId,
    port: u16,
    commands: mpsc::Sender<Command>,
}

/// A peer, as it was when asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Who.
    pub id: PeerId,
    /// The name that it gives itself.
    pub name: String,
    /// How far things are with it.
    pub level: Level,
    /// How it is; `None` if it was never connected, or was parted from.
    pub liveness: Option<Liveness>,
    /// Where it is, as far as known.
    pub addr: Option<SocketAddr>,
    /// How far away the other end of its link is; `None` without a link.
    pub path: Option<Scope>,
    /// For how long it has been linked or, without a link, since its last one ended or since it is known.
    pub since: Duration,
    /// Why things are as they are, in a few words.
    pub why: String,
    /// What its certificate allows, if one is asked for.
    pub capabilities: Vec<String>,
    /// Blocks that this node has sent it since it is known.
    pub blocks_sent: u64,
}

impl PeerInfo {
    /// Whether `called` is how a person may call this peer: its whole id, at least 8 characters of it, or its name.
    #[must_use]
    pub fn answers_to(&self, called: &str) -> bool {
        // Whoever has the form of an id must have that id: a name is anybody's choice.
        if let Ok(whole) = called.parse::<PeerId>() {
            return whole == self.id;
        }
        let short = || self.id.to_string().starts_with(&called.to_ascii_lowercase());
        self.name == called || (called.len() >= 8 && short())
    }
}

/// How far a content that is being fetched has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgressInfo {
    /// What.
    pub manifest: Manifest,
    /// Blocks verified and written.
    pub written: u32,
    /// Blocks in all.
    pub blocks: u32,
    /// Bytes of blocks that came over links for it.
    pub fetched_bytes: u64,
    /// Whom it comes from now: those who offer it, and those who fetch it as well and have something that is missing.
    pub sources: Vec<PeerId>,
    /// Whether [`NodeHandle::pause`] has paused it.
    pub paused: bool,
}

impl NodeHandle {
    pub(crate) fn new(peer: PeerId, port: u16, commands: mpsc::Sender<Command>) -> Self {
        NodeHandle { peer, port, commands }
    }

    /// This node's id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The private port, for unicast datagrams and links.
    #[must_use]
    pub fn local_port(&self) -> u16 {
        self.port
    }

    /// Sends a text of at most [`MAX_TEXT`](p2pnet_engine::MAX_TEXT) bytes; it waits for a peer that is not
    /// connected. Gives the number under which [`Event::TextDelivered`](crate::Event::TextDelivered) names it.
    ///
    /// # Errors
    /// If the text is too long, the peer is unknown, or too many texts wait for it. Nothing was queued.
    pub async fn send_text(&self, to: PeerId, text: impl Into<String>) -> Result<u64, CommandError> {
        let text = text.into();
        Ok(self.ask(move |engine, now| engine.send_text(now, to, &text)).await??)
    }

    /// Sends a message of at most [`MAX_MESSAGE`](p2pnet_engine::MAX_MESSAGE) bytes to one peer, now or when both sides
    /// have verified each other; it waits for a peer that is away. Gives the number under which
    /// [`Event::MessageSettled`](crate::Event::MessageSettled) tells once what became of it.
    ///
    /// # Errors
    /// See [`MessageError`](p2pnet_engine::MessageError). Nothing was queued.
    pub async fn send_message(&self, to: PeerId, bytes: impl Into<Vec<u8>>) -> Result<u64, CommandError> {
        let bytes = bytes.into();
        Ok(self.ask(move |engine, now| engine.send_message(now, to, &bytes)).await??)
    }

    /// Sends a message to all trusted peers; in a crowd to all that are known, who pass it on
    /// ([`Engine::broadcast`](p2pnet_engine::Engine::broadcast) says who that is). Gives a number as
    /// [`send_message`](Self::send_message) does.
    ///
    /// # Errors
    /// See [`MessageError`](p2pnet_engine::MessageError). Nothing was queued.
    pub async fn broadcast(&self, bytes: impl Into<Vec<u8>>) -> Result<u64, CommandError> {
        let bytes = bytes.into();
        Ok(self.ask(move |engine, now| engine.broadcast(now, &bytes)).await??)
    }

    /// Hashes a source and offers it to all trusted peers, now and later. A file must stay as it is: blocks are read
    /// from it as they are sent, and what then differs is refused by who receives it.
    ///
    /// # Errors
    /// If the source cannot be read or too much is published already. Nothing is offered.
    pub async fn share(&self, source: Source) -> Result<ContentId, CommandError> {
        self.publish(source, Audience::Everyone).await
    }

    /// Like [`share`](NodeHandle::share), for nobody yet: [`offer_to`](NodeHandle::offer_to) says for whom. Others
    /// neither hear of the content nor get it.
    ///
    /// # Errors
    /// If the source cannot be read or too much is published already.
    pub async fn share_privately(&self, source: Source) -> Result<ContentId, CommandError> {
        self.publish(source, Audience::Private).await
    }

    /// Offers privately shared content to a peer, now and whenever it is trusted. Says whether the content is for it
    /// now: not if it is not shared, or already for as many peers as the node knows.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn offer_to(&self, content: ContentId, peer: PeerId) -> Result<bool, CommandError> {
        self.ask(move |engine, now| engine.offer_to(now, content, peer)).await
    }

    /// Offers a content no longer.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn withdraw(&self, content: ContentId) -> Result<(), CommandError> {
        self.give(Command::Withdraw(content)).await
    }

    /// Takes an offer: the content comes from whoever offers it, one peer at a time, and ends as
    /// [`Event::ContentReceived`](crate::Event::ContentReceived) or [`ContentFailed`](crate::Event::ContentFailed).
    ///
    /// # Errors
    /// If nobody offers it, or too much is being fetched already.
    pub async fn fetch(&self, content: ContentId) -> Result<(), CommandError> {
        let (answer, answered) = oneshot::channel();
        self.give(Command::Fetch(content, answer)).await?;
        Ok(answered.await.map_err(|_| CommandError::Stopped)??)
    }

    /// Tells whoever offers a content that it is not wanted.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn decline(&self, content: ContentId) -> Result<(), CommandError> {
        self.ask(move |engine, now| engine.decline(now, content)).await
    }

    /// Gives up a content that is being fetched; what was written of it goes.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn cancel(&self, content: ContentId) -> Result<(), CommandError> {
        self.ask(move |engine, now| engine.cancel(now, content)).await
    }

    /// Says which offers are taken without asking, from now on and of those that wait for an answer.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn set_offer_policy(&self, policy: OfferPolicy) -> Result<(), CommandError> {
        self.ask(move |engine, now| engine.set_offer_policy(now, policy)).await
    }

    /// Pauses a content that is being fetched, until [`resume`](NodeHandle::resume): what came is kept, and whoever offers
    /// it is told ([`Event::DeliveryPaused`](crate::Event::DeliveryPaused)). Says whether it is paused now: not if it is
    /// not being fetched, or all of it is here. A pause ends with the node; what came is there when it is fetched again.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn pause(&self, content: ContentId) -> Result<bool, CommandError> {
        self.ask(move |engine, now| engine.pause(now, content)).await
    }

    /// Goes on with a content that was paused. Says whether it is being fetched.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn resume(&self, content: ContentId) -> Result<bool, CommandError> {
        self.ask(move |engine, now| engine.resume(now, content)).await
    }

    /// Dials an address until a peer is there.
    ///
    /// # Errors
    /// If there are too many such addresses already.
    pub async fn dial(&self, address: SocketAddr) -> Result<(), CommandError> {
        Ok(self.ask(move |engine, now| engine.dial(now, address)).await??)
    }

    /// Closes the link to a peer, if there is one, and does not dial it again by itself.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn disconnect(&self, peer: PeerId) -> Result<(), CommandError> {
        self.ask(move |engine, now| engine.disconnect(now, peer)).await
    }

    /// All peers that are known, by id.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, CommandError> {
        self.ask(|engine, now| engine.peers().map(|peer| standing::of(engine, now, &peer)).collect()).await
    }

    /// What is known of how a peer is: when and how it was heard last, what was asked since, who else hears it. `None` if
    /// it was never connected, or was parted from.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn evidence(&self, peer: PeerId) -> Result<Option<Evidence>, CommandError> {
        self.ask(move |engine, now| engine.evidence(now, &peer)).await
    }

    /// How far a content has come; `None` if it is not being fetched.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn progress(&self, content: ContentId) -> Result<Option<ProgressInfo>, CommandError> {
        let progress = move |engine: &mut Engine, _| {
            engine.progress(&content).map(|progress| ProgressInfo {
                manifest: progress.manifest.clone(),
                written: progress.written,
                blocks: progress.blocks,
                fetched_bytes: progress.fetched_bytes,
                sources: progress.sources,
                paused: progress.paused,
            })
        };
        self.ask(progress).await
    }

    /// What the engine has counted.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn stats(&self) -> Result<Stats, CommandError> {
        self.ask(|engine, _| *engine.stats()).await
    }

    /// How the sockets of each interface are doing: ports that could not be bound, datagrams that could not be sent.
    /// The place to look when no peer is found.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn network_report(&self) -> Result<NetworkReport, CommandError> {
        let (answer, answered) = oneshot::channel();
        self.give(Command::Report(answer)).await?;
        answered.await.map_err(|_| CommandError::Stopped)
    }

    /// Everything that tells why a peer is linked or not: what was heard, tried and refused, and when. `None` if it is
    /// not known.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn why(&self, peer: PeerId) -> Result<Option<Why>, CommandError> {
        let interfaces = self.network_report().await?.interfaces.into_iter();
        let names: Names = interfaces.map(|report| (report.interface.id, report.interface.name)).collect();
        self.ask(move |engine, now| doctor::why(engine, now, &peer, &names).map(|(_, why)| why)).await
    }

    /// Has the node find out by which rungs of the ladder it reaches the peers that it hears, and they it. What comes
    /// of it within a second is told by [`why`](NodeHandle::why).
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn probe(&self) -> Result<(), CommandError> {
        self.ask(|engine, now| engine.probe(now)).await
    }

    /// What the doctor asks the engine.
    pub(crate) async fn survey(&self, names: Names) -> Result<Survey, CommandError> {
        self.ask(move |engine, now| doctor::survey(engine, now, &names)).await
    }

    /// Sends the peer a message of a custom verification step.
    ///
    /// # Errors
    /// If that step is not under way with the peer, or the message is too long.
    pub async fn step_send(
        &self,
        peer: PeerId,
        step: impl Into<String>,
        message: impl Into<Vec<u8>>,
    ) -> Result<(), CommandError> {
        let (step, message) = (step.into(), message.into());
        Ok(self.ask(move |engine, now| engine.step_send(now, peer, &step, &message)).await??)
    }

    /// Ends a custom verification step on this side. The link of a peer that failed is closed.
    ///
    /// # Errors
    /// If that step is not under way with the peer.
    pub async fn step_conclude(
        &self,
        peer: PeerId,
        step: impl Into<String>,
        passed: bool,
    ) -> Result<(), CommandError> {
        let step = step.into();
        Ok(self.ask(move |engine, now| engine.step_conclude(now, peer, &step, passed)).await??)
    }

    /// Lets in a peer that waits for a decision ([`Step::Decision`](crate::Step::Decision)), for as long as this run of
    /// it goes on.
    ///
    /// # Errors
    /// If no decision about it is waited for.
    pub async fn accept(&self, peer: PeerId) -> Result<(), CommandError> {
        Ok(self.ask(move |engine, now| engine.accept(now, peer)).await??)
    }

    /// Does not let in a peer that waits for a decision.
    ///
    /// # Errors
    /// If no decision about it is waited for.
    pub async fn reject(&self, peer: PeerId) -> Result<(), CommandError> {
        Ok(self.ask(move |engine, now| engine.reject(now, peer)).await??)
    }

    /// Says whether the people at both sides see the same code ([`Step::Code`](crate::Step::Code)).
    ///
    /// # Errors
    /// If no answer about it is waited for.
    pub async fn confirm_code(&self, peer: PeerId, matches: bool) -> Result<(), CommandError> {
        Ok(self.ask(move |engine, now| engine.confirm_code(now, peer, matches)).await??)
    }

    /// Peers that wait for a person, and the step that they are at.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn waiting(&self) -> Result<Vec<(PeerId, Step)>, CommandError> {
        let list = |engine: &mut Engine, _| {
            engine.waiting().map(|(peer, step)| (peer, step.clone())).collect::<Vec<_>>()
        };
        self.ask(list).await
    }

    /// Decides for good that a peer is who it should be: people are not asked about it again, not after a restart
    /// either. What waits for that goes on.
    ///
    /// # Errors
    /// If it is this node itself, it is blocked, or 1024 decisions are kept already.
    pub async fn trust(&self, peer: PeerId) -> Result<(), CommandError> {
        Ok(self.ask(move |engine, now| engine.trust(now, peer)).await??)
    }

    /// Takes trust back and ends the link. To keep the peer out, [`block`](NodeHandle::block) it.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn distrust(&self, peer: PeerId) -> Result<(), CommandError> {
        self.ask(move |engine, now| engine.distrust(now, peer)).await
    }

    /// Has nothing more to do with a peer, or with an IP address, now and after a restart.
    ///
    /// # Errors
    /// If it is this node itself, or 1024 decisions are kept already.
    pub async fn block(&self, who: impl Into<Who>) -> Result<(), CommandError> {
        let who = who.into();
        Ok(self.ask(move |engine, now| engine.block(now, who)).await??)
    }

    /// Takes a block back; says whether there was one.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn unblock(&self, who: impl Into<Who>) -> Result<bool, CommandError> {
        let who = who.into();
        self.ask(move |engine, now| engine.unblock(now, who)).await
    }

    /// Forgets a peer: what was decided about it, where it was met, and its record. If it is still there it will be met
    /// again, as a stranger. Says whether there was anything to forget.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn forget(&self, peer: PeerId) -> Result<bool, CommandError> {
        self.ask(move |engine, now| engine.forget(now, peer)).await
    }

    /// Everything that was decided about peers and addresses.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn decisions(&self) -> Result<Vec<Decision>, CommandError> {
        self.ask(|engine, _| engine.decisions().collect()).await
    }

    /// Searches IPv6 prefixes for peers that let themselves be found so ([`Engine::widescan`]). Gives what it comes to;
    /// [`ScanPlan::estimate`] does that before. [`Event::WidescanEnded`](crate::Event::WidescanEnded) tells when it is over.
    ///
    /// # Errors
    /// See [`ScanError`](p2pnet_engine::ScanError). Nothing is sent.
    pub async fn widescan(&self, plan: ScanPlan) -> Result<ScanEstimate, CommandError> {
        Ok(self.ask(move |engine, now| engine.widescan(now, &plan)).await??)
    }

    /// Ends the search that [`widescan`](Self::widescan) began, if there is one.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn stop_widescan(&self) -> Result<(), CommandError> {
        self.ask(|engine, now| engine.stop_widescan(now)).await
    }

    /// Takes a task that an authority signed, and passes it on to others: see [`Engine::handle_task`]. What became of it
    /// is told by [`Event::TaskExecuted`](crate::Event::TaskExecuted).
    ///
    /// # Errors
    /// See [`TaskRefused`](p2pnet_engine::TaskRefused). Nothing changed.
    pub async fn task(&self, bytes: Vec<u8>) -> Result<TaskId, CommandError> {
        Ok(self.ask(move |engine, now| engine.handle_task(now, &bytes)).await??)
    }

    /// Whose tasks this node takes now, the authority that it locked to among them.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn authorities(&self) -> Result<Vec<PeerId>, CommandError> {
        self.ask(|engine, _| engine.authorities()).await
    }

    /// A datagram that says goodbye for good, signed in advance: broadcast to the designated ports it tells everybody,
    /// even when nothing else of the node works any more.
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn farewell(&self) -> Result<Vec<u8>, CommandError> {
        self.ask(|engine, _| engine.farewell()).await
    }

    /// Has the node say goodbye and stop, within 2 s; its events end. [`Node::shutdown`](crate::Node::shutdown) does
    /// the same and waits.
    ///
    /// # Errors
    /// If the node has stopped already.
    pub async fn leave(&self) -> Result<(), CommandError> {
        self.give(Command::Leave).await
    }

    async fn publish(&self, source: Source, audience: Audience) -> Result<ContentId, CommandError> {
        let (answer, answered) = oneshot::channel();
        self.give(Command::Share(source, audience, answer)).await?;
        answered.await.map_err(|_| CommandError::Stopped)?
    }

    async fn give(&self, command: Command) -> Result<(), CommandError> {
        self.commands.send(command).await.map_err(|_| CommandError::Stopped)
    }

    /// Has the driver call the engine.
    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Engine, Timestamp) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        let (answer, answered) = oneshot::channel();
        let call = move |engine: &mut Engine, now: Timestamp| {
            // Who asked may have stopped waiting.
            let _ = answer.send(call(engine, now));
        };
        self.give(Command::Engine(Box::new(call))).await?;
        answered.await.map_err(|_| CommandError::Stopped)
    }
}
