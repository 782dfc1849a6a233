//! Bootstrap servers: when this node's record is announced to each, and what is believed of their answers.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::event::Event;
use crate::identity::PeerId;
use crate::marks::mark;
use crate::output::Action;
use crate::record::RecordClass;
use crate::server::{ServerAnswer, ServerId, ServerRecord, ServerRefusal, ServerReply};
use crate::task::TaskId;
use crate::time::Timestamp;
use crate::timers::TimerKey;

use super::Engine;
use super::peers::{Accepted, Origin};

/// Whoever is remembered or on the LAN answers sooner.
const FIRST_MILLIS: u64 = 500;

/// The time between two announcements while nobody is trusted: at first, and twice as long each time up to that of
/// [`REFRESH_MILLIS`].
const ALONE_MILLIS: u64 = 1000;

/// The time between two announcements to a server that answers.
const REFRESH_MILLIS: u64 = 300_000;

/// The time after the first failure in a row; twice as long each time.
const FAILED_MILLIS: u64 = 2000;
const LATEST_FAILED_MILLIS: u64 = 600_000;

/// After this a server's word that this node has moved counts again.
const MOVED_AGAIN: Duration = Duration::from_secs(60);

/// Records that are asked for at once.
const WANT: u16 = 64;

/// What is kept of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// Whether it was asked and has not answered.
    asked: bool,
    /// Answers, and failures, in a row.
    answers: u32,
    failures: u32,
    /// The tasks whose reports went with the announcement that it has not answered.
    reported: Vec<TaskId>,
    /// Why its last answer was not used.
    refusal: Option<ServerRefusal>,
    /// Where it saw this node come from, and when that was another last.
    observed: Option<IpAddr>,
    moved_at: Option<Timestamp>,
}

impl Server {
    /// Whether it answers, as far as is known.
    pub(super) fn is_well(&self) -> bool {
        self.failures == 0
    }
}

impl Engine {
    /// Takes what became of an [`Action::Announce`]. Every record is checked as one that a neighbour passed on is; one
    /// that its subject did not sign makes the answer a failure, and so does a task that its issuer did not sign, or an
    /// authority that [`Config::authority`](crate::Config::authority) does not want: see
    /// [`server_refusal`](Self::server_refusal). Says whether it was an answer that nothing is wrong with; one that nobody
    /// asked for is not looked at.
    pub fn handle_server(&mut self, now: Timestamp, server: ServerId, reply: ServerReply<'_>) -> bool {
        self.advance(now);
        let asked = self
            .servers
            .get_mut(usize::from(server.0))
            .is_some_and(|known| core::mem::take(&mut known.asked));
        let looked_at = asked && self.leaving.is_none();
        let good = match reply {
            ServerReply::Answer(answer) => !looked_at || self.take_answer(server, answer),
            ServerReply::Failed => false,
        };
        if looked_at {
            self.schedule_announcement(server, good);
            self.report_soon();
        }
        self.pump_links();
        good
    }

    /// Why the last answer of a server was not used, though nothing in it was false. `None` if it was used.
    #[must_use]
    pub fn server_refusal(&self, server: ServerId) -> Option<ServerRefusal> {
        self.servers.get(usize::from(server.0)).and_then(|known| known.refusal)
    }

    fn take_answer(&mut self, server: ServerId, answer: &ServerAnswer) -> bool {
        let refusal = self.judge(answer.authority).err();
        let Some(known) = self.servers.get_mut(usize::from(server.0)) else { return false };
        known.refusal = refusal;
        let reported = core::mem::take(&mut known.reported);
        if refusal.is_some() || !self.server_told(server, &answer.records) {
            return false;
        }
        if let Some(authority) = answer.authority {
            self.lock_to(authority, server);
        }
        if let Some(observed) = answer.observed {
            self.observed_by(server, observed.ip());
        }
        self.tasks.reports.told(server, &reported);
        self.tasks_told(server, &answer.tasks)
    }

    /// A server takes where a node is seen from with a newer record only, for anybody may have the one before: a node whose
    /// router got another address signs a new one.
    fn observed_by(&mut self, server: ServerId, seen: IpAddr) {
        let now = self.now;
        let Some(known) = self.servers.get_mut(usize::from(server.0)) else { return };
        let moved = known.observed.replace(seen).is_some_and(|before| before != seen);
        if moved && known.moved_at.is_none_or(|at| now.since(at) >= MOVED_AGAIN) {
            known.moved_at = Some(now);
            self.resign_wide();
            self.announce_soon();
        }
    }

    /// Whether a server that says that it is this authority is one to listen to.
    fn judge(&self, named: Option<PeerId>) -> Result<(), ServerRefusal> {
        let policy = &self.config.authority;
        let Some(authority) = named else {
            let used = policy.trustless && !policy.required;
            return if used { Ok(()) } else { Err(ServerRefusal::Trustless) };
        };
        if !policy.authority {
            return Err(ServerRefusal::Authority);
        }
        let believed = self.authorities();
        let is_first = policy.lock && believed.is_empty();
        if (policy.lock || policy.required) && !is_first && !believed.contains(&authority) {
            return Err(ServerRefusal::OtherAuthority(authority));
        }
        Ok(())
    }

    /// With a lock, the first authority that a server names is the only one from then on.
    fn lock_to(&mut self, authority: PeerId, server: ServerId) {
        if self.config.authority.lock && self.tasks.kept.locked.is_none() {
            self.tasks.kept.locked = Some(authority);
            self.save_authority();
            self.tell_of_task(Event::AuthorityLocked { authority, server });
        }
    }

    /// Takes the records of an answer; says whether all were signed by their subjects.
    fn server_told(&mut self, server: ServerId, records: &[ServerRecord]) -> bool {
        let origin = Origin::Server(server, introducer(server));
        for told in records.iter().take(usize::from(WANT)) {
            let age = Duration::from_secs(u64::from(told.age_secs));
            match self.accept_record(&told.record, age, origin) {
                Accepted::Forged => {
                    mark!(self, ServerLied);
                    return false;
                }
                Accepted::Known(peer) | Accepted::News(peer) => self.permit_peer(peer, told.from),
                Accepted::Own | Accepted::No => {}
            }
        }
        true
    }

    /// A relay lets through who comes from where a peer is said to be, or says that it is.
    fn permit_peer(&mut self, peer: PeerId, from: Option<IpAddr>) {
        let held = self.held_records(&peer);
        let wide =
            held.iter().map(|held| held.record.record()).filter(|record| record.class == RecordClass::Wide);
        let addresses: Vec<IpAddr> =
            wide.flat_map(|record| record.addrs.iter().copied()).chain(from).collect();
        self.permit(addresses);
    }

    fn schedule_announcement(&mut self, server: ServerId, good: bool) {
        let is_alone = self.trusted_links().is_empty();
        let Some(known) = self.servers.get_mut(usize::from(server.0)) else { return };
        let doubled = |first: u64, times: u32, most: u64| first.saturating_mul(1 << times.min(20)).min(most);
        let millis = if good {
            known.failures = 0;
            known.answers += 1;
            if is_alone { doubled(ALONE_MILLIS, known.answers - 1, REFRESH_MILLIS) } else { REFRESH_MILLIS }
        } else {
            mark!(self, ServerFailed);
            known.answers = 0;
            known.failures += 1;
            doubled(FAILED_MILLIS, known.failures - 1, LATEST_FAILED_MILLIS)
        };
        let delay = self.jittered(millis);
        self.set_timer(TimerKey::Announce(server), delay);
    }

    /// The network is new, or what is announced: every server is told soon. One that fails is left in peace.
    pub(super) fn announce_soon(&mut self) {
        for number in 0..self.config.servers {
            let server = ServerId(number);
            let Some(known) = self.servers.get_mut(usize::from(number)) else { continue };
            known.answers = 0;
            if known.failures == 0 {
                let delay = self.jittered(FIRST_MILLIS);
                self.timers.set_earlier(TimerKey::Announce(server), self.now + delay);
            }
        }
    }

    /// A server is due for an announcement.
    pub(super) fn announce_due(&mut self, server: ServerId) {
        self.dial_remembered();
        let Some(wide) = &self.own.wide else { return };
        let record = wide.bytes().to_vec();
        let Some(known) = self.servers.get_mut(usize::from(server.0)) else { return };
        if !core::mem::replace(&mut known.asked, true) {
            self.stats.announcements += 1;
            let (tasks, reports) = self.tasks.reports.for_server(server);
            known.reported = tasks;
            self.outputs.action(Action::Announce { server, record, want: WANT, reports });
        }
    }

    /// Says goodbye to every server that listens, and what became of tasks.
    pub(super) fn part_from_servers(&mut self) {
        for (number, known) in (0..self.config.servers).zip(&self.servers) {
            if known.answers > 0 {
                let (server, record) = (ServerId(number), self.own.gone().bytes().to_vec());
                let (_, reports) = self.tasks.reports.for_server(server);
                self.outputs.action(Action::Announce { server, record, want: 0, reports });
            }
        }
    }
}

/// By what id a server stands among those who tell of others. No key has it.
fn introducer(server: ServerId) -> PeerId {
    PeerId::from_bytes(blake3::derive_key("p2pnet v1 bootstrap server", &[server.0]))
}
