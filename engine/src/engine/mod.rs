//! The engine: one object that takes what happened and gives what to do.

mod clones;
pub(crate) mod code;
mod collection;
mod contents;
mod decisions;
mod discovery;
mod doubt;
mod effects;
mod errands;
mod events;
mod fetching;
mod floors;
mod frames;
mod handshakes;
mod held;
mod holding;
mod link;
mod links;
mod liveness;
mod memory;
mod messages;
mod news;
mod outputs;
mod overlay;
mod own;
mod paths;
mod pausing;
mod peer;
mod peers;
mod persons;
mod places;
mod redial;
mod reports;
mod rivalry;
mod servers;
mod share;
mod sources;
mod steps;
mod strangers;
#[cfg(feature = "marks")]
mod tables;
mod taken;
mod takers;
mod tasks;
mod texts;
mod transfer;
mod trust;
mod verification;
mod wanting;
mod watch;
mod why;
mod wide;
mod widescan;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::authority::AuthorityState;
use crate::config::{Config, ConfigError};
use crate::content::ContentId;
use crate::decision::Decision;
use crate::event::Event;
use crate::identity::{Identity, PeerId};
use crate::input::{Interface, LinkEnd, LinkId, LinkInput, StoreReply};
use crate::marks::mark;
use crate::memory::Memory;
use crate::output::{Action, LinkOutput, Timeout, Transmit};
use crate::planted::planted;
use crate::random::{Seeds, Stream};
use crate::record::SignedRecord;
use crate::stats::Stats;
use crate::time::Timestamp;
use crate::timers::{TimerKey, Timers};

use self::clones::Clones;
use self::collection::Collection;
use self::contents::Published;
use self::decisions::Decisions;
use self::discovery::Discovery;
use self::doubt::Doubt;
use self::errands::Errands;
use self::floors::Floors;
use self::link::{Link, Stage};
use self::memory::Keeping;
use self::messages::Messages;
use self::outputs::Outputs;
use self::overlay::Overlay;
use self::own::OwnRecord;
use self::peer::Peer;
use self::redial::Target;
use self::servers::Server;
use self::share::Share;
use self::strangers::Strangers;
use self::tasks::Tasks;
use self::transfer::Transfer;
use self::widescan::Widescan;

pub use self::contents::{FetchError, Progress, PublishError};
pub use self::decisions::Rejection;
pub use self::discovery::{Probed, RungReport};
pub use self::links::LinkRefused;
pub use self::messages::MessageError;
pub use self::peer::Level;
pub use self::peers::PeerView;
pub use self::persons::AnswerError;
pub use self::redial::DialError;
pub use self::steps::StepError;
#[cfg(feature = "marks")]
pub use self::tables::Table;
pub use self::tasks::TaskRefused;
pub use self::texts::TextError;
pub use self::why::{Cause, DialOutcome, DialTried, HeardOn, RecordSource, Refusal, Why};

/// A timer that fires this much too late means that the host was stopped: others are not blamed for the silence.
const STALLED: Duration = Duration::from_secs(1);

/// A node of the network as one pure state machine. It does no I/O, reads no clock and draws no entropy.
///
/// # The loop
///
/// 1. Make an engine with [`new`](Self::new), then tell it the interfaces with
///    [`handle_interfaces`](Self::handle_interfaces).
/// 2. Wait until something happens or the deadline of [`poll_timeout`](Self::poll_timeout) has come, then call the
///    `handle_*` method for it, or a command for the application. `now` never goes back; if it does, the engine
///    uses the latest it has seen.
/// 3. Drain, each until it returns `None`: [`poll_action`](Self::poll_action) first (an action may be needed before
///    output makes sense), then [`poll_ready_link`](Self::poll_ready_link) with [`poll_link`](Self::poll_link) for
///    each, [`poll_transmit`](Self::poll_transmit), and [`poll_event`](Self::poll_event).
/// 4. Ask [`poll_timeout`](Self::poll_timeout) last, and go to 2.
///
/// State changes in `handle_*` and commands only: polls hand out what those have decided. Nothing is lost by
/// stopping a drain early.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use p2pnet_engine::{
///     Config, Datagram, Engine, Event, Identity, Interface, InterfaceAddr, InterfaceId, InterfaceKind, Network, Restored, Seeds,
///     Timestamp,
/// };
///
/// fn node(name: &str, seed: u8, host: u8) -> Engine {
///     let config = Config::new(Network::open("home").unwrap(), name, 9000);
///     let identity = Identity::from_seed([seed; 32]);
///     let seeds = Seeds::new([seed; 32], [seed ^ 0xff; 32]);
///     let mut engine = Engine::new(config, identity, Restored::default(), seeds, Timestamp::ZERO).unwrap();
///     let addrs = vec![InterfaceAddr { ip: Ipv4Addr::new(10, 0, 0, host).into(), prefix: 24 }];
///     let lan = Interface {
///         id: InterfaceId(1), name: "eth0".into(), kind: InterfaceKind::Lan, multicast: true, directed_broadcast: true, addrs,
///     };
///     engine.handle_interfaces(Timestamp::ZERO, &[lan]);
///     engine
/// }
///
/// let (mut alice, mut bob) = (node("alice", 1, 1), node("bob", 2, 2));
/// let now = Timestamp::from_millis(1);
/// alice.handle_timeout(now); // the first beacon is due at once
/// let mut bytes = Vec::new();
/// while alice.poll_transmit(&mut bytes).is_some() {
///     let source = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 9000));
///     bob.handle_datagram(now, Datagram { interface: InterfaceId(1), source, bytes: &bytes });
/// }
/// assert!(matches!(bob.poll_event(), Some(Event::PeerDiscovered { name, .. }) if name == "alice"));
/// ```
pub struct Engine {
    config: Config,
    identity: Identity,
    own: OwnRecord,
    clones: Clones,
    now: Timestamp,
    interfaces: Vec<Interface>,
    discovery: Discovery,
    keeping: Keeping,
    strangers: Strangers,
    peers: BTreeMap<PeerId, Peer>,
    decisions: Decisions,
    /// The wall clock when it was last told, in seconds since the start of 1970.
    wall: Option<(Timestamp, u64)>,
    /// What is remembered of peers that left or expired.
    floors: Floors,
    collection: Collection,
    share: Share,
    servers: Vec<Server>,
    tasks: Tasks,
    widescan: Widescan,
    links: BTreeMap<LinkId, Link>,
    /// Peers that are watched because they are silent.
    watched: BTreeSet<PeerId>,
    errands: Errands,
    doubt: Doubt,
    /// When anybody was heard, on a link or by a beacon.
    heard_anyone: Timestamp,
    /// How many peers have a link that is used; how many links are being dialled.
    connected: usize,
    dialling: usize,
    /// The highest session count of any peer that was forgotten.
    session_floor: u64,
    /// The highest number of a text to any peer that was forgotten.
    text_floor: u64,
    /// The texts and messages that were taken from peers that were forgotten. At most `max_peers`, then the longest forgotten goes.
    taken: taken::Forgotten,
    /// Links that others dialled and that have not authenticated, the oldest first.
    half_open: BTreeSet<LinkId>,
    /// Links whose queue changed since it was last pumped.
    touched: BTreeSet<LinkId>,
    next_link: u64,
    next_dial: u64,
    overlay: Overlay,
    targets: BTreeMap<SocketAddr, Target>,
    published: BTreeMap<ContentId, Published>,
    transfers: BTreeMap<ContentId, Transfer>,
    /// Whether there may be offers that are wanted and found no place among the transfers.
    offers_wait: bool,
    /// Contents that were completed, the oldest first.
    completed: VecDeque<ContentId>,
    /// What is left to tell of peers that the application believes to be connected and that are not in the table
    /// any more. At most `max_peers`, then the smallest id goes.
    departures: BTreeMap<PeerId, VecDeque<Event>>,
    /// Texts that were for peers that are not in the table any more. At most `max_peers`, then the smallest id goes.
    texts_lost: BTreeMap<PeerId, Event>,
    texts_in: VecDeque<Event>,
    messages: Messages,
    steps_in: BTreeMap<PeerId, VecDeque<Event>>,
    incompatible: VecDeque<(SocketAddr, u8)>,
    incompatible_seen: VecDeque<SocketAddr>,
    refusals: Vec<Refusal>,
    leaving: Option<Leaving>,
    timers: Timers,
    outputs: Outputs,
    behaviour: Stream,
    secrets: Stream,
    /// The draws of those who watch silent peers.
    vigilance: Stream,
    stats: Stats,
    #[cfg(feature = "marks")]
    marks: crate::marks::Marks,
}

/// How far a departure has come.
#[derive(Debug)]
struct Leaving {
    farewells_left: u8,
}

/// What a node remembers from earlier runs.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The incarnation of this run: larger than that of any run before, and durable already.
    pub incarnation: u64,
    /// What it knew of other peers of this network, as the store was asked to keep it. Those that were met are called by
    /// beacons where they were; the application is told of them when they are heard.
    pub memory: Memory,
    /// What was decided about peers and addresses; the first [`MAX_DECISIONS`](crate::MAX_DECISIONS) count.
    pub decisions: Vec<Decision>,
    /// What it keeps of authorities.
    pub authority: AuthorityState,
}

impl Default for Restored {
    /// A first run.
    fn default() -> Self {
        Restored {
            incarnation: 1,
            memory: Memory::default(),
            decisions: Vec::new(),
            authority: AuthorityState::default(),
        }
    }
}

impl Engine {
    /// Makes an engine. Nothing is sent before [`handle_interfaces`](Self::handle_interfaces). What `restored` holds
    /// that is not valid is skipped and counted.
    ///
    /// # Errors
    ///
    /// The first field of `config` that is out of its range.
    pub fn new(
        config: Config,
        identity: Identity,
        restored: Restored,
        seeds: Seeds,
        now: Timestamp,
    ) -> Result<Engine, ConfigError> {
        config.validate()?;
        let tasks = Tasks::new(restored.authority, config.name.clone());
        let config = tasks.kept.configured(config, &identity.peer_id());
        let mut behaviour = Stream::new(&seeds.behaviour, "engine");
        let own = OwnRecord::new(&config, &identity, restored.incarnation, &mut behaviour)
            .ok_or(ConfigError::Name)?;
        let mut engine = Engine {
            discovery: Discovery::new(&config, identity.peer_id()),
            keeping: Keeping::default(),
            strangers: Strangers::new(),
            own,
            clones: Clones::default(),
            now,
            interfaces: Vec::new(),
            peers: BTreeMap::new(),
            floors: Floors::default(),
            collection: Collection::new(&config.network, identity.peer_id()),
            share: Share::new(&seeds),
            widescan: Widescan::default(),
            tasks,
            servers: alloc::vec![Server::default(); usize::from(config.servers)],
            decisions: Decisions::restored(&restored.decisions),
            wall: None,
            links: BTreeMap::new(),
            watched: BTreeSet::new(),
            errands: Errands::new(),
            doubt: Doubt::default(),
            heard_anyone: now,
            connected: 0,
            dialling: 0,
            session_floor: 0,
            text_floor: 0,
            taken: taken::Forgotten::default(),
            half_open: BTreeSet::new(),
            touched: BTreeSet::new(),
            next_link: 0,
            next_dial: 0,
            overlay: Overlay::new(config.max_links),
            targets: BTreeMap::new(),
            published: BTreeMap::new(),
            transfers: BTreeMap::new(),
            offers_wait: false,
            completed: VecDeque::new(),
            departures: BTreeMap::new(),
            texts_lost: BTreeMap::new(),
            texts_in: VecDeque::new(),
            messages: Messages::default(),
            steps_in: BTreeMap::new(),
            incompatible: VecDeque::new(),
            incompatible_seen: VecDeque::new(),
            refusals: Vec::new(),
            leaving: None,
            timers: Timers::default(),
            outputs: Outputs::default(),
            behaviour,
            secrets: Stream::new(&seeds.secrets, "engine"),
            vigilance: Stream::new(&seeds.secrets, "vigilance"),
            stats: Stats::default(),
            #[cfg(feature = "marks")]
            marks: crate::marks::Marks::new(),
            config,
            identity,
        };
        engine.recall(&restored.memory);
        engine.schedule_resign();
        engine.timers.set(TimerKey::Expire, now + peers::EXPIRE_EVERY);
        Ok(engine)
    }

    // ---- What happened ----

    /// Takes a datagram that arrived. What is not a valid beacon of this network changes a counter, nothing else.
    pub fn handle_datagram(&mut self, now: Timestamp, datagram: crate::input::Datagram<'_>) {
        self.advance(now);
        self.stats.datagrams_received += 1;
        if self.decisions.blocks_address(datagram.source.ip()) {
            self.stats.datagrams_blocked += 1;
            mark!(self, BlockedDatagramRefused);
        } else if self.leaving.is_none() {
            self.receive_beacon(datagram);
        }
        self.pump_links();
    }

    /// Takes a stream that somebody connected to the private port.
    ///
    /// # Errors
    ///
    /// Why it is not wanted; nothing changed but a counter. The driver drops the stream.
    pub fn accept_link(
        &mut self,
        now: Timestamp,
        interface: Option<crate::input::InterfaceId>,
        source: SocketAddr,
    ) -> Result<LinkId, LinkRefused> {
        self.advance(now);
        self.admit_link(interface, source, false)
    }

    /// Takes a stream that a relay took for this node from somebody at `source`.
    ///
    /// # Errors
    ///
    /// As [`accept_link`](Self::accept_link).
    pub fn accept_relayed_link(&mut self, now: Timestamp, source: SocketAddr) -> Result<LinkId, LinkRefused> {
        self.advance(now);
        self.admit_link(None, source, true)
    }

    /// Takes what happened on a link. Input for a link that the engine does not have does nothing.
    pub fn handle_link(&mut self, now: Timestamp, link: LinkId, input: LinkInput<'_>) {
        self.advance(now);
        if self.links.contains_key(&link) {
            match input {
                LinkInput::Opened => self.link_opened(link),
                LinkInput::DialFailed(failure) => self.dial_failed(link, failure),
                LinkInput::Handshake(bytes) => self.receive_handshake(link, bytes),
                LinkInput::Frame(body) => self.receive_frame(link, body),
                LinkInput::BlockArrived { block, verdict } => self.block_arrived(link, block, verdict),
                LinkInput::Writable { budget } => self.link_writable(link, budget),
                LinkInput::Closed(end) => self.link_ended(link, end),
            }
        }
        self.pump_links();
    }

    /// Takes what a store did.
    pub fn handle_store(&mut self, now: Timestamp, reply: StoreReply) {
        self.advance(now);
        match reply {
            StoreReply::Opened { content, result } => self.store_opened(content, result),
            StoreReply::Written { block, result } => self.block_written(block, result),
            StoreReply::Unreadable { link, block } => self.block_unreadable(link, block),
            StoreReply::Finished { content, result } => self.store_finished(content, result),
            StoreReply::Remembered { result } => self.remembered(result),
        }
        self.pump_links();
    }

    /// Takes the interfaces that there are now. If they differ from before, beacons start over, the record is
    /// signed again, and peers without a link are dialled.
    pub fn handle_interfaces(&mut self, now: Timestamp, interfaces: &[Interface]) {
        self.advance(now);
        if self.leaving.is_none() && self.interfaces != interfaces {
            self.interfaces = interfaces.to_vec();
            self.resign();
            self.start_over();
        }
        self.pump_links();
    }

    /// Takes the news that the host slept or its clock jumped: every link is probed, beacons start over.
    pub fn handle_clock_jump(&mut self, now: Timestamp) {
        self.advance(now);
        if self.leaving.is_none() {
            self.doubt_links();
            self.start_over();
        }
        self.pump_links();
    }

    /// Does everything that is due at `now`, once. A call before the deadline does nothing.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        let stalled = self.timers.next().is_some_and(|next| self.now.since(next.at) > STALLED);
        if stalled {
            self.stats.timeouts_late += 1;
            mark!(self, GraceAfterStall);
            self.grant_grace();
        }
        // One at a time: what one does may cancel another. Each is set again for later than now, so this ends.
        while let Some(key) = self.timers.pop_due(self.now) {
            match key {
                TimerKey::Beacon => self.beacon_due(),
                TimerKey::Farewell => self.farewell_due(),
                TimerKey::Reply => self.reply_due(),
                TimerKey::Rotate => self.rotate_due(),
                TimerKey::Probe => self.probe_due(),
                TimerKey::Scan => self.scan_due(),
                TimerKey::Remember => self.remember_due(),
                TimerKey::Resign => self.resign_due(),
                TimerKey::Reclaim => self.reclaim_due(),
                TimerKey::Expire => self.expire_due(),
                TimerKey::News => self.news_due(),
                TimerKey::Share => self.share_due(),
                TimerKey::Link(link) => self.link_due(link),
                TimerKey::Tend => self.tend_due(),
                TimerKey::Dial(peer) => self.dial_due(peer),
                TimerKey::Target(address) => self.target_due(address),
                TimerKey::Text(peer) => self.texts_due(peer),
                TimerKey::Message(peer) => self.message_due(peer),
                TimerKey::MessageAck(peer) => self.message_ack_due(peer),
                TimerKey::MessageRoom => self.message_room_due(),
                TimerKey::MessageExpiry => self.message_expiry_due(),
                TimerKey::GossipNews => self.gossip_news_due(),
                TimerKey::Graft => self.graft_due(),
                TimerKey::Recap => self.recap_due(),
                TimerKey::Report => self.report_due(),
                TimerKey::Transfer(content) => self.transfer_due(content),
                TimerKey::Offers => self.take_offers(),
                TimerKey::Verification(peer) => self.verification_due(peer, stalled),
                TimerKey::Gone(peer) => self.peer_gone(peer),
                TimerKey::Watch(peer) => self.watch_due(peer),
                TimerKey::Announce(server) => self.announce_due(server),
                TimerKey::TaskPing => self.task_ping_due(),
                TimerKey::Nearer(peer) => self.nearer_due(peer),
                TimerKey::Widescan => self.widescan_due(),
            }
            if planted!(self, OneDeadlineAtATime) {
                break;
            }
        }
        self.pump_links();
    }

    // ---- What to do now ----

    /// The next datagram to send, its bytes in place of what `buffer` held.
    #[must_use]
    pub fn poll_transmit(&mut self, buffer: &mut Vec<u8>) -> Option<Transmit> {
        let (transmit, bytes) = self.outputs.next_transmit()?;
        *buffer = bytes;
        self.stats.datagrams_sent += 1;
        Some(transmit)
    }

    /// A link that has output. Each is given once; take all of it with [`poll_link`](Self::poll_link).
    #[must_use]
    pub fn poll_ready_link(&mut self) -> Option<LinkId> {
        self.outputs.next_ready()
    }

    /// Appends a link's output to `buffer` and says what it is. Call it until it returns `None`.
    #[must_use]
    pub fn poll_link(&mut self, link: LinkId, buffer: &mut Vec<u8>) -> Option<LinkOutput> {
        let queue = &mut self.links.get_mut(&link)?.queue;
        if !queue.raw.is_empty() {
            buffer.append(&mut queue.raw);
            return Some(LinkOutput::Raw);
        }
        if !queue.outbox.is_empty() {
            buffer.append(&mut queue.outbox);
            return Some(LinkOutput::Frames);
        }
        None
    }

    /// The next thing for the driver to do.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outputs.next_action()
    }

    /// The next event for the application.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.next_event()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timeout> {
        self.timers.next()
    }

    // ---- Questions ----

    /// Who this node is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Which of the branches that matter it has taken, and how often.
    #[cfg(feature = "marks")]
    #[must_use]
    pub fn marks(&self) -> &crate::marks::Marks {
        &self.marks
    }

    /// The configuration it runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The record that it presents now.
    #[must_use]
    pub fn record(&self) -> &SignedRecord {
        self.own.record()
    }

    // ---- Private parts ----

    /// Moves the clock on; a `now` in the past is counted and the latest one kept.
    fn advance(&mut self, now: Timestamp) {
        if now < self.now {
            self.stats.now_clamped += 1;
        } else {
            self.now = now;
        }
    }

    /// Sets a deadline that is later than now, whatever `delay` says: nothing fires twice at one time.
    fn set_timer(&mut self, key: TimerKey, delay: Duration) {
        self.timers.set(key, self.now + delay.max(Duration::from_nanos(1)));
    }

    /// A time of `millis`, up to a tenth more or less.
    fn jittered(&mut self, millis: u64) -> Duration {
        let tenth = millis / 10;
        self.behaviour.between(Duration::from_millis(millis - tenth), Duration::from_millis(millis + tenth))
    }

    /// Says goodbye: the record that ends this run goes out by broadcast, three times, and on every link; then all
    /// links are closed. [`Event::Left`] tells that it is done. Nothing else works afterwards.
    pub fn leave(&mut self, now: Timestamp) {
        self.advance(now);
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(Leaving { farewells_left: 3 });
        self.part_from_servers();
        self.end_widescan(true);
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let open = self.links.get(&link).is_some_and(|link| matches!(link.stage, Stage::Open { .. }));
            if open {
                self.say_goodbye(link);
            } else {
                self.drop_link(link);
            }
        }
        self.remember_before_leaving();
        self.settle_everything();
        self.timers.clear();
        self.farewell_due();
        self.pump_links();
    }

    /// Ends a link that broke or whose stream ended.
    fn link_ended(&mut self, link: LinkId, end: LinkEnd) {
        tracing::debug!(%link, ?end, "link ended");
        self.forget_link(link, crate::event::LeaveReason::Broken);
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine")
            .field("peer", &self.identity.peer_id())
            .field("now", &self.now)
            .field("peers", &self.peers.len())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}
