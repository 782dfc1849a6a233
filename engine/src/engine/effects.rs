//! What each kind of task does, by what the engine has already.

use alloc::string::ToString;

use crate::authority::{Assigned, IdentifierPolicy};
use crate::decision::{DecisionError, Who};
use crate::identity::{self, PeerId};
use crate::task::{NetworkTask, TaskFailure, TaskId, TaskKind, TaskOutcome, TaskSettings};
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::Frame;

use super::Engine;
use super::contents::FetchError;
use super::texts::TextError;

/// Pings of tasks that are under way. Beyond it a further one fails.
pub(super) const MAX_PINGS: usize = 64;

/// A task that is being carried out.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: TaskId,
    pub(super) issuer: PeerId,
    pub(super) kind: TaskKind,
}

/// A ping that an authority asked for.
#[derive(Debug)]
pub(super) struct Ping {
    asked: Asked,
    peer: PeerId,
    sent: Timestamp,
}

impl Engine {
    /// Carries a task out. `outdated` if one about the same with a higher sequence was carried out before.
    pub(super) fn execute(&mut self, task: &NetworkTask, id: TaskId, outdated: bool) {
        let asked = Asked { id, issuer: task.issuer(), kind: task.kind().clone() };
        if outdated {
            return self.task_done(asked, failed(TaskFailure::Outdated));
        }
        match task.kind() {
            TaskKind::PingPeer { peer } => self.ping_for(asked, *peer),
            kind => {
                let outcome = self.carry_out(kind).unwrap_or_else(failed);
                self.task_done(asked, outcome);
            }
        }
    }

    fn carry_out(&mut self, kind: &TaskKind) -> Result<TaskOutcome, TaskFailure> {
        let now = self.now;
        Ok(match kind {
            TaskKind::BlockPeer { peer } => self.block_for(Who::Peer(*peer))?,
            TaskKind::BlockAddress { address } => self.block_for(Who::Address(*address))?,
            TaskKind::UnblockPeer { peer } => changed(self.unblock(now, *peer)),
            TaskKind::UnblockAddress { address } => changed(self.unblock(now, *address)),
            TaskKind::RemovePeer { peer } => changed(self.forget(now, self.other(*peer)?)),
            TaskKind::AuthorizePeer { peer } => {
                let had = self.decisions.is_trusted(peer);
                self.trust(now, *peer).map_err(undecided)?;
                changed(!had)
            }
            TaskKind::RevokePeer { peer } => {
                let had = self.decisions.is_trusted(peer) || self.is_linked(peer);
                self.distrust(now, *peer);
                changed(had)
            }
            TaskKind::DisconnectPeer { peer } => {
                if !self.is_linked(peer) {
                    return Err(TaskFailure::NotConnected);
                }
                self.disconnect(now, *peer);
                TaskOutcome::Done
            }
            TaskKind::SendMessage { to, text } => {
                let sent = self.send_text(now, self.other(*to)?, text);
                sent.map(|_| TaskOutcome::Done).map_err(|error| match error {
                    TextError::UnknownPeer => TaskFailure::UnknownPeer,
                    _ => TaskFailure::Full,
                })?
            }
            TaskKind::RequestData { content } => {
                let had = self.completed.contains(content) || self.transfers.contains_key(content);
                if !had {
                    self.fetch(now, *content).map_err(|error| match error {
                        FetchError::NotOffered => TaskFailure::NotOffered,
                        _ => TaskFailure::Full,
                    })?;
                }
                changed(!had)
            }
            TaskKind::SendData { content, to } => {
                let to = self.other(*to)?;
                match self.offer_to(now, *content, to) {
                    true => TaskOutcome::Done,
                    false if self.published.contains_key(content) => return Err(TaskFailure::Full),
                    false => return Err(TaskFailure::NotOffered),
                }
            }
            TaskKind::Synchronize => {
                self.synchronize();
                TaskOutcome::Done
            }
            TaskKind::UpdateSettings { settings } => changed(self.update_settings(settings)?),
            TaskKind::VerifyRecord { hash } => TaskOutcome::Verified { good: self.holds_record(hash) },
            TaskKind::VerifySignature { signer, message, signature } => {
                TaskOutcome::Verified { good: identity::verify_plain(signer, message, signature) }
            }
            TaskKind::RequestPublicKey => TaskOutcome::PublicKey { link_key: self.identity.link_public() },
            TaskKind::BootstrapInitialize { servers } => {
                let had = core::mem::replace(&mut self.tasks.kept.servers, servers.clone());
                changed(had != *servers)
            }
            TaskKind::Heartbeat => self.status(),
            TaskKind::SetIdentifier { name } => changed(self.be_called(name)?),
            // It answers later.
            TaskKind::PingPeer { .. } => TaskOutcome::Done,
        })
    }

    // ---- Peers ----

    fn block_for(&mut self, who: Who) -> Result<TaskOutcome, TaskFailure> {
        let who = who.canonical();
        let had = match who {
            Who::Peer(peer) => self.decisions.blocks_peer(&peer),
            Who::Address(address) => self.decisions.blocks_address(address),
        };
        self.block(self.now, who).map_err(undecided)?;
        Ok(changed(!had))
    }

    /// A peer that is not this node.
    fn other(&self, peer: PeerId) -> Result<PeerId, TaskFailure> {
        if peer == self.identity.peer_id() { Err(TaskFailure::Oneself) } else { Ok(peer) }
    }

    fn is_linked(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|known| known.link.is_some())
    }

    // ---- Pings ----

    fn ping_for(&mut self, asked: Asked, peer: PeerId) {
        let known = self.peers.get(&peer);
        let link = known.and_then(|known| known.link);
        let failure = match link {
            None if peer == self.identity.peer_id() => TaskFailure::Oneself,
            None if known.is_none() => TaskFailure::UnknownPeer,
            None => TaskFailure::NotConnected,
            Some(_) if self.tasks.pings.len() >= MAX_PINGS => TaskFailure::Full,
            Some(link) => {
                let nonce = self.behaviour.next_u64();
                self.tasks.pings.insert(nonce, Ping { asked, peer, sent: self.now });
                self.timers.set_earlier(TimerKey::TaskPing, self.now + self.config.lost_after);
                self.send_answer(link, &Frame::Ping { nonce });
                return;
            }
        };
        self.task_done(asked, failed(failure));
    }

    /// A peer answered a ping; it may be that of a task.
    pub(super) fn task_pong(&mut self, peer: PeerId, nonce: u64) {
        if self.tasks.pings.get(&nonce).is_none_or(|ping| ping.peer != peer) {
            return;
        }
        let Some(ping) = self.tasks.pings.remove(&nonce) else { return };
        let micros = u32::try_from(self.now.since(ping.sent).as_micros()).unwrap_or(u32::MAX);
        self.task_done(ping.asked, TaskOutcome::RoundTrip { micros });
    }

    /// Pings that nobody answered for too long have failed.
    pub(super) fn task_ping_due(&mut self) {
        let (now, patience) = (self.now, self.config.lost_after);
        let over = self.tasks.pings.extract_if(.., |_, ping| now.since(ping.sent) >= patience);
        let over: alloc::vec::Vec<Ping> = over.map(|(_, ping)| ping).collect();
        for ping in over {
            self.task_done(ping.asked, failed(TaskFailure::NoAnswer));
        }
        if let Some(first) = self.tasks.pings.values().map(|ping| ping.sent).min() {
            self.set_timer(TimerKey::TaskPing, (first + patience).since(now));
        }
    }

    // ---- This node ----

    fn synchronize(&mut self) {
        for (_, link) in self.trusted_links() {
            self.compare_on(link);
        }
        self.announce_soon();
    }

    fn status(&self) -> TaskOutcome {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        TaskOutcome::Status {
            known: count(self.peers.len()),
            connected: count(self.connected),
            trusted: count(self.trusted_links().len()),
        }
    }

    fn holds_record(&self, hash: &[u8; 32]) -> bool {
        let own = self.identity.peer_id();
        let everybody = self.peers.keys().chain(core::iter::once(&own));
        everybody
            .into_iter()
            .any(|peer| self.held_records(peer).iter().any(|held| held.record.hash() == hash))
    }

    fn update_settings(&mut self, settings: &TaskSettings) -> Result<bool, TaskFailure> {
        let config = settings.applied(&self.config).map_err(|_| TaskFailure::BeyondLimit)?;
        let mut kept = self.tasks.kept.settings;
        kept.merge(settings);
        let had = core::mem::replace(&mut self.tasks.kept.settings, kept);
        self.config = config;
        if let Some(millis) = settings.beacon_interval_ms {
            let soon = self.now + core::time::Duration::from_millis(millis.into());
            self.timers.set_earlier(TimerKey::Beacon, soon);
        }
        Ok(had != kept)
    }

    fn be_called(&mut self, name: &str) -> Result<bool, TaskFailure> {
        let policy = &self.config.authority;
        match policy.identifier {
            IdentifierPolicy::StrictLocal => return Err(TaskFailure::IdentifierPolicy),
            IdentifierPolicy::Local if policy.named => return Err(TaskFailure::IdentifierPolicy),
            _ => {}
        }
        let beside = self.tasks.local_name.clone();
        self.tasks.kept.assigned = Some(Assigned { name: name.to_string(), beside });
        Ok(self.rename(name))
    }
}

fn failed(reason: TaskFailure) -> TaskOutcome {
    TaskOutcome::Failed { reason }
}

fn changed(changed: bool) -> TaskOutcome {
    if changed { TaskOutcome::Done } else { TaskOutcome::Unchanged }
}

fn undecided(error: DecisionError) -> TaskFailure {
    match error {
        DecisionError::Full => TaskFailure::Full,
        DecisionError::Oneself => TaskFailure::Oneself,
        DecisionError::Blocked => TaskFailure::Blocked,
    }
}
