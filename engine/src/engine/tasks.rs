//! Tasks of authorities: which are taken, that each is carried out once, and how they are passed on.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use crate::authority::{AuthorityState, Executed};
use crate::event::Event;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::limits::TokenBucket;
use crate::marks::mark;
use crate::output::{Action, StoreRequest};
use crate::planted::planted;
use crate::server::ServerId;
use crate::task::{MAX_TASK_AHEAD, NetworkTask, TaskId, TaskTarget};
use crate::time::Timestamp;
use crate::wire::Frame;

use super::Engine;
use super::effects::Ping;
use super::outputs::Slot;
use super::reports::Reports;

/// Tasks for others that were passed on and have not expired. Beyond it further ones are refused.
const MAX_PASSED: usize = 1024;

/// Tasks that are told to peers that come later; of more, the oldest is not.
const MAX_HELD: usize = 64;

/// Events of tasks that wait for the application. Beyond it no task is carried out, and no refusal is told.
const MAX_EVENTS: usize = 64;

/// Tasks of servers and peers whose signature is checked: so many at once, and as many a second.
const CHECKS: u32 = 64;

/// What the engine knows of tasks.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// What outlives the run.
    pub(super) kept: AuthorityState,
    /// Whether that is to be saved when the tasks that came together are done.
    unsaved: bool,
    /// The name that the configuration gave.
    pub(super) local_name: String,
    /// When those end that were passed on and are not for this node.
    passed: BTreeMap<TaskId, u64>,
    held: VecDeque<Held>,
    checks: TokenBucket,
    pub(super) pings: BTreeMap<u64, Ping>,
    pub(super) reports: Reports,
    pub(super) events: VecDeque<Event>,
}

/// A task for peers that come later.
#[derive(Debug)]
struct Held {
    expires: u64,
    bytes: Vec<u8>,
}

/// How a task came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Application,
    Server(ServerId),
    Peer(PeerId, LinkId),
}

/// Why a task is not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskRefused {
    /// The bytes are none.
    #[error("this is not a task, or it is damaged")]
    Malformed,
    /// It is for another network.
    #[error("the task is for another network")]
    WrongNetwork,
    /// Tasks are not taken from its issuer.
    #[error("tasks are not taken from this issuer; see the authority policy")]
    WrongKey,
    /// Its issuer did not sign it.
    #[error("the issuer did not sign this task")]
    BadSignature,
    /// It is over.
    #[error("the task has expired, or the clock of this node is wrong")]
    Expired,
    /// It ends too late.
    #[error("the task ends more than 7 days from now, or the clock of this node is wrong")]
    TooFarAhead,
    /// Nobody told this node what time it is, so it cannot say whether the task is over.
    #[error("this node does not know the time, so it takes no tasks")]
    ClockUnknown,
    /// It is for another peer, and there is nobody to pass it on to.
    #[error("the task is for another peer")]
    WrongTarget,
    /// It was taken before.
    #[error("the task was taken before")]
    Replayed,
    /// There is no room: too many tasks have not expired, or the application does not take its events.
    #[error("too many tasks at once; try again later")]
    Busy,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

impl TaskRefused {
    /// One word of lower-case letters and dashes, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TaskRefused::Malformed => "malformed",
            TaskRefused::WrongNetwork => "wrong-network",
            TaskRefused::WrongKey => "wrong-key",
            TaskRefused::BadSignature => "bad-signature",
            TaskRefused::Expired => "expired",
            TaskRefused::TooFarAhead => "too-far-ahead",
            TaskRefused::ClockUnknown => "clock-unknown",
            TaskRefused::WrongTarget => "wrong-target",
            TaskRefused::Replayed => "replayed",
            TaskRefused::Busy => "busy",
            TaskRefused::Leaving => "leaving",
        }
    }
}

impl Tasks {
    pub(super) fn new(kept: AuthorityState, local_name: String) -> Self {
        Tasks {
            kept,
            unsaved: false,
            local_name,
            passed: BTreeMap::new(),
            held: VecDeque::new(),
            checks: TokenBucket::new(CHECKS, CHECKS),
            pings: BTreeMap::new(),
            reports: Reports::default(),
            events: VecDeque::new(),
        }
    }

    /// Forgets what is over.
    fn tidy(&mut self, unix_seconds: u64) {
        self.kept.tidy(unix_seconds);
        self.passed.retain(|_, expires| *expires > unix_seconds);
        self.held.retain(|held| held.expires > unix_seconds);
    }

    fn knows(&self, id: &TaskId) -> bool {
        self.kept.executed.contains_key(id) || self.passed.contains_key(id)
    }

    #[cfg(feature = "marks")]
    pub(super) fn tables(&self) -> [super::Table; 6] {
        [
            ("tasks that were carried out", self.kept.executed.len(), crate::authority::MAX_EXECUTED),
            ("tasks that were passed on", self.passed.len(), MAX_PASSED),
            ("tasks for peers that come later", self.held.len(), MAX_HELD),
            ("pings of tasks", self.pings.len(), super::effects::MAX_PINGS),
            ("reports of tasks", self.reports.len(), super::reports::MAX_REPORTS),
            // Each ping that is under way may add its own.
            ("events of tasks", self.events.len(), MAX_EVENTS + super::effects::MAX_PINGS),
        ]
    }
}

impl Engine {
    /// Takes a task that an authority signed, from the application. If it is for this node it is carried out at once, and
    /// [`Event::TaskExecuted`] tells what became of it. If it is for everyone or for another peer it is passed on to
    /// trusted peers, which take it if they take tasks from its issuer, and to those that become trusted later.
    ///
    /// | [kind](crate::TaskKind) | effect, and what of it outlives the run |
    /// |---|---|
    /// | block, unblock, authorize and revoke a peer, block and unblock an address | as [`block`](Self::block), [`unblock`](Self::unblock), [`trust`](Self::trust), [`distrust`](Self::distrust); outlives it |
    /// | remove a peer | as [`forget`](Self::forget); outlives it |
    /// | send a message | as [`send_text`](Self::send_text) |
    /// | ping a peer | the time until it answers is reported, or after [`Config::lost_after`](crate::Config::lost_after) that it did not |
    /// | disconnect a peer | as [`disconnect`](Self::disconnect) |
    /// | request and send data | as [`fetch`](Self::fetch) and [`offer_to`](Self::offer_to) |
    /// | synchronize | records are compared with every trusted neighbour, and servers asked |
    /// | update settings | the configuration changes; outlives it |
    /// | verify a record or a signature, request the public key, heartbeat | the answer is reported; nothing changes |
    /// | initialize the bootstrap | the servers are kept for the next run: see [`AuthorityState::servers`] |
    /// | set the identifier | the node is called so, as far as its [`IdentifierPolicy`](crate::IdentifierPolicy) says; outlives it |
    ///
    /// Of two tasks about the same (one peer, one address, the settings, the servers, the name) the one with the higher
    /// sequence counts, in whichever order they come. No task is carried out twice, in later runs neither, if what
    /// [`StoreRequest::SaveAuthority`] says was kept: one that was carried out in the moment before a crash may be again.
    ///
    /// # Errors
    ///
    /// See [`TaskRefused`]; nothing changed.
    pub fn handle_task(&mut self, now: Timestamp, bytes: &[u8]) -> Result<TaskId, TaskRefused> {
        self.advance(now);
        let taken = self.take_task(bytes, From::Application);
        self.save_tasks();
        self.pump_links();
        taken
    }

    /// What this node keeps of authorities.
    #[must_use]
    pub fn authority(&self) -> &AuthorityState {
        &self.tasks.kept
    }

    /// Whose tasks are taken now.
    #[must_use]
    pub fn authorities(&self) -> Vec<PeerId> {
        self.config.authority.believed(self.tasks.kept.locked.as_ref())
    }

    /// Takes the tasks of a server's answer. Says whether the server may be honest: who passes a task on that its issuer,
    /// who is believed, did not sign is not, and what comes behind it is not looked at.
    pub(super) fn tasks_told(&mut self, server: ServerId, tasks: &[Vec<u8>]) -> bool {
        let mut lied = false;
        for bytes in tasks.iter().take(super::reports::TASKS_AT_ONCE) {
            let Err(why) = self.take_task(bytes, From::Server(server)) else { continue };
            self.tell_refusal(bytes, why);
            if why == TaskRefused::BadSignature {
                mark!(self, ServerLied);
                lied = true;
                break;
            }
        }
        self.save_tasks();
        !lied
    }

    /// A trusted peer passes a task on. The application is not told of those that are not taken: the peer may take tasks
    /// from authorities that this node knows nothing of.
    pub(super) fn task_received(&mut self, id: LinkId, peer: PeerId, bytes: &[u8]) {
        match self.take_task(bytes, From::Peer(peer, id)) {
            Ok(_) => self.save_tasks(),
            Err(TaskRefused::Replayed) => {}
            // Who passes a task on has checked it.
            Err(TaskRefused::BadSignature) => self.protocol_broken(id),
            Err(_) => self.stats.frames_dropped += 1,
        }
    }

    /// Tells a peer that has just become trusted the tasks that are still to be done.
    pub(super) fn tell_tasks(&mut self, peer: PeerId) {
        let (Some(link), Some(unix)) = (self.peers.get(&peer).and_then(|known| known.link), self.unix_now())
        else {
            return;
        };
        let live = self.tasks.held.iter().filter(|held| held.expires > unix);
        let tasks: Vec<Vec<u8>> = live.map(|held| held.bytes.clone()).collect();
        for bytes in tasks {
            self.send_answer(link, &Frame::Task(bytes));
        }
    }

    fn take_task(&mut self, bytes: &[u8], from: From) -> Result<TaskId, TaskRefused> {
        if self.leaving.is_some() {
            return Err(TaskRefused::Leaving);
        }
        let task = NetworkTask::parse(bytes).map_err(|_| TaskRefused::Malformed)?;
        let (id, expires) = (task.id(), task.expires());
        self.may_take(&task, &id, from)?;
        let ours = task.target().includes(&self.identity.peer_id());
        let neighbours: Vec<(PeerId, LinkId)> = self.neighbours_for(&task, from);
        if !ours {
            match from {
                From::Server(_) => return Err(TaskRefused::WrongTarget),
                From::Application if neighbours.is_empty() => return Err(TaskRefused::WrongTarget),
                _ => {}
            }
        }
        if ours {
            let (subject, sequence) = (task.kind().subject(), task.sequence());
            let outdated = self.tasks.kept.has_newer(subject, sequence);
            self.tasks.kept.note(id, Executed { expires, sequence, subject });
            self.pass_task_on(&task, &neighbours);
            self.tasks.unsaved = true;
            self.execute(&task, id, outdated);
        } else {
            self.tasks.passed.insert(id, expires);
            self.pass_task_on(&task, &neighbours);
        }
        Ok(id)
    }

    /// Everything that must be so before a task does anything. What costs most comes last.
    fn may_take(&mut self, task: &NetworkTask, id: &TaskId, from: From) -> Result<(), TaskRefused> {
        if task.network() != self.config.network.tag() {
            return Err(TaskRefused::WrongNetwork);
        }
        if !self.authorities().contains(&task.issuer()) && !planted!(self, AnyTask) {
            return Err(TaskRefused::WrongKey);
        }
        let unix = self.unix_now().ok_or(TaskRefused::ClockUnknown)?;
        self.tasks.tidy(unix);
        if self.tasks.knows(id) {
            return Err(TaskRefused::Replayed);
        }
        if task.is_expired(unix.max(self.tasks.kept.floor)) {
            return Err(TaskRefused::Expired);
        }
        if task.expires() > unix.saturating_add(MAX_TASK_AHEAD) {
            return Err(TaskRefused::TooFarAhead);
        }
        let full = match task.target().includes(&self.identity.peer_id()) {
            true => self.tasks.events.len() >= MAX_EVENTS || !self.tasks.kept.has_room(unix),
            false => self.tasks.passed.len() >= MAX_PASSED,
        };
        if full || (from != From::Application && !self.tasks.checks.take(self.now, 1)) {
            return Err(TaskRefused::Busy);
        }
        if !task.is_signed() {
            return Err(TaskRefused::BadSignature);
        }
        Ok(())
    }

    /// Whom a task is passed on to: every trusted neighbour but the one that it came from, if it is not for this node alone.
    fn neighbours_for(&self, task: &NetworkTask, from: From) -> Vec<(PeerId, LinkId)> {
        if task.target() == TaskTarget::Peer(self.identity.peer_id()) {
            return Vec::new();
        }
        let mut neighbours = self.trusted_links();
        neighbours.retain(|(peer, _)| !matches!(from, From::Peer(sender, _) if sender == *peer));
        neighbours
    }

    fn pass_task_on(&mut self, task: &NetworkTask, neighbours: &[(PeerId, LinkId)]) {
        if task.target() == TaskTarget::Peer(self.identity.peer_id()) {
            return;
        }
        let bytes = task.to_bytes();
        for &(_, link) in neighbours {
            self.send_answer(link, &Frame::Task(bytes.clone()));
        }
        if self.tasks.held.len() >= MAX_HELD {
            self.tasks.held.pop_front();
        }
        self.tasks.held.push_back(Held { expires: task.expires(), bytes });
    }

    fn save_tasks(&mut self) {
        if core::mem::take(&mut self.tasks.unsaved) {
            self.save_authority();
        }
    }

    pub(super) fn save_authority(&mut self) {
        let state = self.tasks.kept.clone();
        self.outputs.action(Action::Store(StoreRequest::SaveAuthority { state }));
    }

    // ---- Events ----

    pub(super) fn tell_of_task(&mut self, event: Event) {
        self.tasks.events.push_back(event);
        self.outputs.notify(Slot::Task);
    }

    /// Tells the application of a task that was not taken, but not what is the rule: servers repeat tasks until they
    /// expire.
    fn tell_refusal(&mut self, bytes: &[u8], why: TaskRefused) {
        let is_rule = matches!(why, TaskRefused::Replayed | TaskRefused::Leaving);
        if is_rule || self.tasks.events.len() >= MAX_EVENTS {
            return;
        }
        let task = NetworkTask::parse(bytes).ok();
        let (issuer, id) = (task.as_ref().map(NetworkTask::issuer), task.as_ref().map(NetworkTask::id));
        self.tell_of_task(Event::TaskRefused { issuer, id, why });
    }
}
