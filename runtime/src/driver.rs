//! The task that owns the engine: waits for whatever happens first, tells the engine, and does what it says.
//!
//! Each turn looks at everything in one order (shutdown, timers, commands, store, links, new streams, datagrams),
//! each within a budget, so that no flood of one kind delays another. After each input all outputs are drained (after
//! commands, or frames of one link, that came together: once); nothing here ever waits for a peer or for the application.

mod contents;
mod outputs;
mod relays;
mod sending;
mod servers;
mod sockets;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{
    ContentId, Datagram, DialFailure, Engine, FetchError, Interface, LinkEnd, LinkId, LinkInput, Timestamp,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

pub(crate) use self::contents::Audience;
pub(crate) use self::contents::StoreNews;
use self::contents::{Contents, Published};
#[cfg(feature = "relay")]
pub(crate) use self::relays::RelayState;
pub(crate) use self::relays::{RelayNews, Relays};
use self::servers::{Answered, Asking};
pub(crate) use self::sockets::{Arrival, Received, Sockets, select_interfaces};
use crate::bootstrap::Servers;
use crate::event::Event;
use crate::link::{Halves, Happened, Link, Report, Reports, Task};
use crate::report::NetworkReport;
use crate::seam::{Host, Net, Source, Store};

/// Inputs of one kind that are taken in one turn.
const BUDGET: usize = 64;

/// How often the host is asked for its interfaces and its wall clock.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The wall clock gained so much on the monotonic one: the host slept. Or this task comes so late to what was due: the
/// process was stopped, or the virtual machine that it is in.
const JUMP: Duration = Duration::from_secs(5);

/// How long leaving may take, last words and all.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Links that may be saying their last words at a time. Beyond it they are dropped without.
const MAX_FINISHING: usize = 64;

/// What waits for the driver from all links, from the store, in datagrams, in streams, from the application.
const REPORTS: usize = 128;
const NEWS: usize = 64;
const DATAGRAMS: usize = 256;
const ARRIVALS: usize = 16;
const COMMANDS: usize = 64;
const RELAY_NEWS: usize = 16;

/// A call of the engine at some time.
type Call = Box<dyn FnOnce(&mut Engine, Timestamp) + Send>;

/// What the application wants.
pub(crate) enum Command {
    /// One call of the engine, which answers for itself.
    Engine(Call),
    /// Publish a source.
    Share(Source, Audience, oneshot::Sender<Published>),
    /// Publish no more.
    Withdraw(ContentId),
    /// Take an offer.
    Fetch(ContentId, oneshot::Sender<Result<(), FetchError>>),
    /// Say how the sockets are doing.
    Report(oneshot::Sender<NetworkReport>),
    /// Say goodbye and stop.
    Leave,
}

/// The ends of the driver's channels that others hold.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) events: mpsc::Receiver<Event>,
}

/// Monotonic time since the driver's start.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    /// The engine's now.
    pub(crate) fn now(self) -> Timestamp {
        let elapsed = self.0.elapsed().as_nanos();
        Timestamp::from_nanos(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// When it will be `at`; tokio's timers round it up to their milliseconds.
    fn instant(self, at: Timestamp) -> Instant {
        let since = Duration::from_nanos(at.as_nanos());
        self.0.checked_add(since).unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }
}

/// A link that the engine asked for or was told of.
enum Slot {
    /// The task ends when this is dropped.
    Dialling {
        _task: Task,
    },
    Open(Link),
}

/// Channels that lead to the driver from tasks that it starts.
pub(crate) struct Inbox<N: Net> {
    pub(crate) arrivals: mpsc::Sender<Arrival<N::Stream>>,
    pub(crate) datagrams: mpsc::Sender<Received>,
    #[cfg_attr(not(feature = "relay"), expect(dead_code, reason = "nobody else keeps relays"))]
    pub(crate) relay_news: mpsc::Sender<RelayNews>,
    arrived: mpsc::Receiver<Arrival<N::Stream>>,
    received: mpsc::Receiver<Received>,
    relay_told: mpsc::Receiver<RelayNews>,
}

impl<N: Net> Inbox<N> {
    /// Empty channels.
    pub(crate) fn new() -> Self {
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let (datagrams, received) = mpsc::channel(DATAGRAMS);
        let (relay_news, relay_told) = mpsc::channel(RELAY_NEWS);
        Inbox { arrivals, datagrams, relay_news, arrived, received, relay_told }
    }
}

/// The driver of one engine.
pub(crate) struct Driver<N: Net, S: Store, H: Host> {
    engine: Engine,
    clock: Clock,
    host: H,
    net: Arc<N>,
    store: Arc<S>,
    sockets: Sockets<N>,
    links: BTreeMap<LinkId, Slot>,
    /// Links whose budget was used up by a block.
    granting: BTreeSet<LinkId>,
    /// Links that say their last words.
    finishing: JoinSet<()>,
    contents: Contents,
    asking: Asking,
    answered: mpsc::Receiver<Answered>,
    relays: Relays,

    stop: oneshot::Receiver<()>,
    commands: mpsc::Receiver<Command>,
    news: mpsc::Receiver<StoreNews>,
    news_in: mpsc::Sender<StoreNews>,
    reports: mpsc::Receiver<Report>,
    reports_in: mpsc::Sender<Report>,
    inbox: Inbox<N>,
    events: mpsc::Sender<Event>,
    /// The application has to take an event before the engine is asked for more.
    events_full: bool,

    next_check: Instant,
    /// The wall clock's lead over the monotonic clock when last looked at.
    wall_lead: Option<Duration>,
    /// When leaving must be over.
    leaving: Option<Instant>,
    left: bool,
}

impl<N: Net, S: Store, H: Host> Driver<N, S, H> {
    /// A driver of an engine that has seen nothing yet. `events` is how many events wait for the application.
    pub(crate) fn new(
        engine: Engine,
        clock: Clock,
        (net, store, host): (Arc<N>, Arc<S>, H),
        sockets: Sockets<N>,
        inbox: Inbox<N>,
        (servers, relays): (Servers, Relays),
        events: usize,
    ) -> (Self, Ends) {
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (events_in, events) = mpsc::channel(events.max(1));
        let (reports_in, reports) = mpsc::channel(REPORTS);
        let (news_in, news) = mpsc::channel(NEWS);
        let (stop_in, stop) = oneshot::channel();
        let (asking, answered) = Asking::new(servers);
        let driver = Driver {
            engine,
            clock,
            host,
            net,
            store,
            sockets,
            links: BTreeMap::new(),
            granting: BTreeSet::new(),
            finishing: JoinSet::new(),
            contents: Contents::default(),
            asking,
            answered,
            relays,
            stop,
            commands,
            news,
            news_in,
            reports,
            reports_in,
            inbox,
            events: events_in,
            events_full: false,
            next_check: Instant::now() + CHECK_EVERY,
            wall_lead: None,
            leaving: None,
            left: false,
        };
        (driver, Ends { commands: commands_in, stop: stop_in, events })
    }

    /// Tells the application something of the driver's own.
    pub(crate) fn announce(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    /// Drives until the node has left.
    pub(crate) async fn run(mut self) {
        self.tell_time();
        self.engine.handle_interfaces(self.clock.now(), &self.sockets.interfaces());
        self.settle();
        // Nobody waits for it: the first beacons are out.
        self.contents.keep_port(self.sockets.private_port(), &self.store);
        while !self.left && self.leaving.is_none_or(|deadline| Instant::now() < deadline) {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                _ = &mut self.stop, if self.leaving.is_none() => self.leave(),
                () = sleep_until(deadline) => {}
                // Settled with those that came with it.
                Some(command) = self.commands.recv() => self.command(command),
                Some(news) = self.news.recv() => self.stored(news),
                Some(report) = self.reports.recv() => self.report(report),
                Some(answered) = self.answered.recv() => self.server_answered(answered),
                Some(news) = self.inbox.relay_told.recv() => self.relay_told(news),
                Some(arrival) = self.inbox.arrived.recv() => self.arrive(arrival),
                Some(received) = self.inbox.received.recv() => self.receive(&received),
                () = room(&self.events), if self.events_full => self.emit(),
            }
            self.check_lateness(deadline);
            self.timers().await;
            self.sweep();
        }
        self.end().await;
    }

    /// The next moment at which something is due.
    fn deadline(&self) -> Instant {
        let engine = self.engine.poll_timeout().map(|timeout| self.clock.instant(timeout.at));
        [engine, self.leaving].into_iter().flatten().fold(self.next_check, Instant::min)
    }

    /// Does what is due.
    async fn timers(&mut self) {
        let now = self.clock.now();
        if self.engine.poll_timeout().is_some_and(|timeout| timeout.at <= now) {
            self.engine.handle_timeout(now);
            self.settle();
        }
        if self.next_check <= Instant::now() {
            self.check_clock();
            self.tell_time();
            self.check_interfaces().await;
            self.next_check = Instant::now() + CHECK_EVERY;
        }
    }

    /// Takes what else has come, so much of each kind.
    fn sweep(&mut self) {
        self.sweep_commands();
        for _ in 0..BUDGET {
            let Ok(news) = self.news.try_recv() else { break };
            self.stored(news);
        }
        for _ in 0..BUDGET {
            let Ok(report) = self.reports.try_recv() else { break };
            self.report(report);
        }
        while let Ok(answered) = self.answered.try_recv() {
            self.server_answered(answered);
        }
        for _ in 0..RELAY_NEWS {
            let Ok(news) = self.inbox.relay_told.try_recv() else { break };
            self.relay_told(news);
        }
        for _ in 0..ARRIVALS {
            let Ok(arrival) = self.inbox.arrived.try_recv() else { break };
            self.arrive(arrival);
        }
        for _ in 0..BUDGET {
            let Ok(received) = self.inbox.received.try_recv() else { break };
            self.receive(&received);
        }
    }

    /// Takes the commands that came together, then does what follows from all of them.
    fn sweep_commands(&mut self) {
        for _ in 0..BUDGET {
            let Ok(command) = self.commands.try_recv() else { break };
            self.command(command);
        }
        self.settle();
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Engine(call) => call(&mut self.engine, now),
            Command::Share(source, audience, answer) => {
                self.contents.publish(source, audience, answer, &self.store, &self.news_in);
            }
            Command::Withdraw(content) => {
                self.engine.withdraw(now, content);
                self.contents.withdraw(content, &self.store);
            }
            Command::Fetch(content, answer) => {
                let result = self.engine.fetch(now, content);
                if result.is_ok() {
                    self.contents.fetching(content);
                }
                let _ = answer.send(result);
            }
            Command::Report(answer) => {
                // Who asked may have stopped waiting.
                let _ = answer.send(self.sockets.report());
            }
            Command::Leave => self.leave(),
        }
    }

    fn stored(&mut self, news: StoreNews) {
        let now = self.clock.now();
        match self.contents.take(news) {
            contents::Taken::Reply(reply) => self.engine.handle_store(now, reply),
            contents::Taken::Publish { manifest, list, audience, answer } => {
                let content = manifest.content;
                let result = match audience {
                    Audience::Everyone => self.engine.publish(now, manifest, list),
                    Audience::Private => self.engine.publish_privately(now, manifest, list),
                };
                let _ = answer.send(result.map(|()| content).map_err(Into::into));
            }
            contents::Taken::Nothing => {}
        }
        self.settle();
    }

    fn server_answered(&mut self, answered: Answered) {
        if let Some(event) = self.asking.answered(answered, &mut self.engine, self.clock.now()) {
            self.announce(event);
        }
        self.settle();
    }

    fn relay_told(&mut self, news: RelayNews) {
        for event in self.relays.take(news, &mut self.engine, self.clock.now()) {
            self.announce(event);
        }
        self.settle();
    }

    fn report(&mut self, report: Report) {
        let Report { link: id, what } = report;
        let now = self.clock.now();
        // A link that was closed meanwhile has nothing more to say.
        let Some(Slot::Open(link)) = self.links.get_mut(&id) else {
            return;
        };
        match what {
            Happened::Handshake(bytes) => {
                self.engine.handle_link(now, id, LinkInput::Handshake(&bytes));
                self.settle();
                if let Some(Slot::Open(link)) = self.links.get(&id) {
                    link.more();
                }
                return;
            }
            Happened::Frames(bodies) => {
                for body in bodies {
                    self.engine.handle_link(now, id, LinkInput::Frame(&body));
                }
            }
            Happened::Block(block, verdict) => {
                self.engine.handle_link(now, id, LinkInput::BlockArrived { block, verdict });
            }
            Happened::Drained(amount) => {
                link.drained(amount);
                let budget = link.budget();
                self.engine.handle_link(now, id, LinkInput::Writable { budget });
            }
            Happened::Closed(end) => {
                self.links.remove(&id);
                self.engine.handle_link(now, id, LinkInput::Closed(end));
            }
        }
        self.settle();
    }

    fn arrive(&mut self, arrival: Arrival<N::Stream>) {
        let now = self.clock.now();
        match arrival {
            Arrival::Accepted { interface, stream, source } => {
                // Only what a relay took came by no interface of this host.
                let accepted = match interface {
                    Some(_) => self.engine.accept_link(now, interface, source),
                    None => self.engine.accept_relayed_link(now, source),
                };
                match accepted {
                    Ok(id) => self.open(id, stream),
                    Err(refused) => tracing::trace!(%source, ?refused, "a stream was refused"),
                }
            }
            // The engine may have given this dial up.
            Arrival::Dialled { link, .. } if !self.links.contains_key(&link) => {}
            Arrival::Dialled { link, result: Ok(stream) } => {
                self.engine.handle_link(now, link, LinkInput::Opened);
                self.open(link, stream.into());
            }
            Arrival::Dialled { link, result: Err(error) } => {
                self.links.remove(&link);
                let failure = dial_failure(&error);
                tracing::trace!(%link, %error, "a dial failed");
                self.engine.handle_link(now, link, LinkInput::DialFailed(failure));
            }
        }
        self.settle();
    }

    /// Starts the tasks of a link that has its stream.
    fn open(&mut self, id: LinkId, stream: Halves<N::Stream>) {
        let reports = Reports {
            link: id,
            store: self.store.clone(),
            reports: self.reports_in.clone(),
            news: self.news_in.clone(),
        };
        let link = Link::open(stream, reports);
        let budget = link.budget();
        self.links.insert(id, Slot::Open(link));
        self.engine.handle_link(self.clock.now(), id, LinkInput::Writable { budget });
    }

    fn receive(&mut self, received: &Received) {
        let Received { interface, source, bytes } = received;
        let datagram = Datagram { interface: *interface, source: *source, bytes };
        self.engine.handle_datagram(self.clock.now(), datagram);
        self.settle();
    }

    fn leave(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(Instant::now() + LEAVE_TIME);
            self.engine.leave(self.clock.now());
            self.settle();
        }
    }

    /// Rebinds what changed and tells the engine.
    async fn check_interfaces(&mut self) {
        match self.host.interfaces() {
            Ok(found) => {
                let before = self.sockets.interfaces();
                if self.sockets.update(found, &self.inbox.arrivals, &self.inbox.datagrams).await {
                    let after = self.sockets.interfaces();
                    self.engine.handle_interfaces(self.clock.now(), &after);
                    self.settle();
                    self.end_links_of(&lost_addresses(&before, &after));
                }
            }
            Err(error) => tracing::debug!(%error, "the interfaces cannot be read"),
        }
    }

    /// Ends the links that go by addresses that this host has no more: no answer would find its way, and waiting for
    /// one takes seconds.
    fn end_links_of(&mut self, lost: &BTreeSet<IpAddr>) {
        let goes_by = |slot: &Slot| match slot {
            Slot::Open(link) => link.local_ip().is_some_and(|ip| lost.contains(&ip)),
            Slot::Dialling { .. } => false,
        };
        let ended: Vec<_> = self.links.iter().filter(|(_, slot)| goes_by(slot)).map(|(&id, _)| id).collect();
        for id in ended {
            self.links.remove(&id);
            self.engine.handle_link(self.clock.now(), id, LinkInput::Closed(LinkEnd::Reset));
            self.settle();
        }
    }

    /// Notices that nothing ran here when `deadline` passed, which clocks that went on do not tell. Before anything that
    /// is due: peers were as silent as this node was deaf.
    fn check_lateness(&mut self, deadline: Instant) {
        let late = Instant::now().saturating_duration_since(deadline);
        if late > JUMP {
            tracing::info!(?late, "the process was stopped");
            self.engine.handle_clock_jump(self.clock.now());
            self.settle();
            // The network may be another one by now.
            self.next_check = Instant::now();
        }
    }

    /// Notices that the host slept: the wall clock went on while the monotonic one stood still.
    fn check_clock(&mut self) {
        let now = self.clock.now();
        let lead = self.host.wall_clock().saturating_sub(Duration::from_nanos(now.as_nanos()));
        let before = self.wall_lead.replace(lead);
        if before.is_some_and(|before| lead.saturating_sub(before) > JUMP) {
            tracing::info!("the host slept, or its clock was set");
            self.engine.handle_clock_jump(now);
            self.settle();
        }
    }

    /// Certificates and tasks expire by the wall clock, which nothing else needs.
    fn tell_time(&mut self) {
        let config = self.engine.config();
        let takes_tasks = config.authority.lock || !config.authority.accepted.is_empty();
        if config.trust.authorities.is_empty() && !takes_tasks {
            return;
        }
        if let Some(unix) = self.host.unix_time() {
            self.engine.handle_wall_clock(self.clock.now(), unix);
            self.settle();
        }
    }

    /// Lets links say their last words and the store finish what it was asked, then drops everything: whoever waits
    /// for this task can have the ports and the data directory at once.
    async fn end(mut self) {
        self.settle();
        let deadline = self.leaving.unwrap_or_else(|| Instant::now() + LEAVE_TIME);
        let finishing = &mut self.finishing;
        let _ = timeout_at(deadline, async { while finishing.join_next().await.is_some() {} }).await;
        self.sockets.stop().await;
        while let Some((_, slot)) = self.links.pop_first() {
            if let Slot::Open(link) = slot {
                link.stop().await;
            }
        }
        let _ = timeout_at(deadline, self.contents.settled()).await;
        let _ = timeout_at(deadline, self.asking.settled()).await;
        let _ = timeout_at(deadline, self.relays.stop()).await;
    }
}

/// Addresses that interfaces had `before` and none has `after`. Those of an interface that is gone do not count: when a
/// cable is plugged in again, streams go on.
fn lost_addresses(before: &[Interface], after: &[Interface]) -> BTreeSet<IpAddr> {
    let still = |interface: &&Interface| after.iter().any(|other| other.id == interface.id);
    let ips = |interface: &Interface| interface.addrs.iter().map(|addr| addr.ip).collect::<Vec<_>>();
    let mut lost: BTreeSet<_> = before.iter().filter(still).flat_map(ips).collect();
    for ip in after.iter().flat_map(ips) {
        lost.remove(&ip);
    }
    lost
}

/// Waits until the application has room for an event, or is gone.
async fn room(events: &mpsc::Sender<Event>) {
    let _ = events.reserve().await;
}

fn dial_failure(error: &io::Error) -> DialFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialFailure::Refused,
        io::ErrorKind::TimedOut => DialFailure::TimedOut,
        _ => DialFailure::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use p2pnet_engine::{InterfaceAddr, InterfaceId, InterfaceKind};

    use super::*;

    fn interface(id: u32, ips: &[&str]) -> Interface {
        Interface {
            id: InterfaceId(id),
            name: format!("eth{id}"),
            kind: InterfaceKind::Lan,
            multicast: true,
            directed_broadcast: true,
            addrs: ips.iter().map(|ip| InterfaceAddr { ip: ip.parse().unwrap(), prefix: 24 }).collect(),
        }
    }

    #[test]
    fn an_address_is_lost_when_its_interface_goes_on_without_it() {
        let before = [interface(1, &["10.0.0.1", "10.0.0.2"]), interface(2, &["10.1.0.1"])];
        let lost = |after: &[Interface]| lost_addresses(&before, after).into_iter().collect::<Vec<_>>();
        assert_eq!(lost(&before), Vec::<IpAddr>::new());
        assert_eq!(lost(&[interface(1, &["10.0.0.1"])]), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(lost(&[]), Vec::<IpAddr>::new(), "a cable that is out may come back");
        let moved = [interface(1, &["10.0.0.1"]), interface(2, &["10.0.0.2", "10.1.0.1"])];
        assert_eq!(lost(&moved), Vec::<IpAddr>::new());
    }
}
