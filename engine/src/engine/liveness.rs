//! Silence: when a link is asked for a sign of life, and when its peer is to be watched.

use alloc::vec::Vec;

use crate::event::LeaveReason;
use crate::input::{DialFailure, LinkId};
use crate::marks::mark;
use crate::output::Action;
use crate::planted::planted;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::Frame;

use super::Engine;
use super::link::Stage;

impl Engine {
    pub(super) fn link_due(&mut self, id: LinkId) {
        let now = self.now;
        let (ping_after, lost_after) = (self.config.ping_after, self.config.lost_after);
        let handshake_timeout = self.config.handshake_timeout;
        let Some(link) = self.links.get_mut(&id) else { return };
        match &link.stage {
            Stage::Dialling => {
                mark!(self, DialTimedOut);
                self.outputs.action(Action::Close { link: id });
                self.dial_failed(id, DialFailure::TimedOut);
            }
            Stage::Handshaking { since, .. } => {
                mark!(self, HandshakeTimedOut);
                tracing::debug!(link = %id, took = ?now.since(*since), "handshake timed out");
                self.refuse_handshake(id);
            }
            Stage::Open { since, confirmed: false, .. } => {
                let left = handshake_timeout.saturating_sub(now.since(*since));
                if left.is_zero() {
                    mark!(self, ConfirmTimedOut);
                    self.stats.handshakes_failed += 1;
                    self.drop_link(id);
                } else {
                    self.set_timer(TimerKey::Link(id), left);
                }
            }
            Stage::Open { confirmed: true, .. } => {
                if planted!(self, DeafToSilence) {
                    link.last_heard = now;
                }
                if planted!(self, RestlessLinks) {
                    self.drop_link(id);
                    return;
                }
                let (silence, silent_since) =
                    (now.since(link.last_heard), link.last_heard.max(link.last_ping));
                let used =
                    link.peer.filter(|peer| self.peers.get(peer).is_some_and(|known| known.link == Some(id)));
                match used {
                    // Whether the peer lives is not for one link to say.
                    Some(peer) if self.is_quiet(silence) => self.watch(peer),
                    None if silence >= lost_after => {
                        self.stats.links_lost += 1;
                        mark!(self, LinkLostToSilence);
                        self.drop_link(id);
                        return;
                    }
                    _ => {}
                }
                if now.since(silent_since) >= ping_after {
                    mark!(self, LinkPinged);
                    self.ping(id);
                }
                self.schedule_liveness(id);
            }
            Stage::Draining { .. } => {
                mark!(self, DrainEnded);
                self.finish_link(id, LeaveReason::Closed, true);
            }
        }
    }

    fn ping(&mut self, id: LinkId) {
        let nonce = self.behaviour.next_u64();
        let now = self.now;
        if let Some(link) = self.links.get_mut(&id) {
            link.last_ping = now;
        }
        // A link that takes nothing any more shows its silence; a ping more would not help.
        self.send_answer(id, &Frame::Ping { nonce });
    }

    fn schedule_liveness(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        let ping_at = link.last_heard.max(link.last_ping) + self.config.ping_after;
        let quiet_at = link.last_heard + self.config.lost_after / 2;
        let lost_at = link.last_heard + self.config.lost_after;
        let looks = [quiet_at, lost_at].into_iter().filter(|at| *at > self.now);
        let delay = looks.fold(ping_at, Timestamp::min).since(self.now);
        self.set_timer(TimerKey::Link(id), delay);
    }

    /// We were stopped ourselves, so silence proves nothing: every link gets time to be heard again.
    pub(super) fn grant_grace(&mut self) {
        self.doubt.grow(self.now, self.config.lost_after);
        let heard = Timestamp::from_nanos(
            self.now.as_nanos().saturating_sub(self.config.ping_after.as_nanos() as u64),
        );
        for peer in self.peers.values_mut() {
            peer.life.forgive_until(heard);
        }
        for link in self.links.values_mut() {
            link.last_heard = link.last_heard.max(heard);
        }
    }

    /// The host slept: a link that does not answer a ping within the time of one ping and a half is lost.
    pub(super) fn doubt_links(&mut self) {
        mark!(self, LinksDoubted);
        let patience = self.config.ping_after * 3 / 2;
        let silence = self.config.lost_after.saturating_sub(patience);
        let heard = Timestamp::from_nanos(self.now.as_nanos().saturating_sub(silence.as_nanos() as u64));
        let open: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.is_confirmed()).map(|(&id, _)| id).collect();
        for id in open {
            if let Some(link) = self.links.get_mut(&id) {
                link.last_heard = heard;
            }
            self.ping(id);
            self.schedule_liveness(id);
        }
    }
}
