//! From a confirmed link to trust: sessions, and what follows from both sides having verified each other.

use alloc::vec::Vec;
use core::time::Duration;

use crate::event::{LeaveReason, Party};
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::liveness::{Declarer, Liveness};
use crate::marks::mark;
use crate::planted::planted;
use crate::record::{PeerRecord, UnverifiedRecord};
use crate::timers::TimerKey;
use crate::wire::Frame;

use super::Engine;
use super::outputs::Slot;

impl Engine {
    // ---- Sessions ----

    /// The peer's first frame on a link.
    pub(super) fn confirmed(
        &mut self,
        id: LinkId,
        peer: PeerId,
        session: u64,
        verified: bool,
        yours: Option<Vec<u8>>,
    ) {
        if let Some(bytes) = yours {
            let record = UnverifiedRecord::parse(&bytes).and_then(UnverifiedRecord::verify);
            let (peer, network) = (self.identity.peer_id(), self.config.network.tag());
            let ours = |record: &PeerRecord| record.peer == peer && record.network == network;
            if let Some(record) = record.ok().filter(|record| ours(record.record())) {
                mark!(self, StaleHelloLearnt);
                self.met_own_record(&record);
            }
            // The peer has closed it already; the next dial presents the new incarnation.
            self.close_link(id, LeaveReason::Stale);
            return;
        }
        self.note_their_side(id, peer, session, verified);
        self.confirm_link(id);
        self.trust_changed(peer);
    }

    /// Makes a link the one that is used for its peer.
    pub(super) fn use_link(&mut self, peer: PeerId, id: LinkId) {
        let session = self.links.get(&id).and_then(|link| link.session());
        let Some((incarnation, instance)) = session.map(|session| (session.incarnation, session.instance))
        else {
            return;
        };
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let before = known.link.replace(id);
        known.linked_at = self.now;
        known.taken.begin(incarnation, instance);
        let replaced_older = before
            .and_then(|before| self.links.get(&before)?.session())
            .is_some_and(|session| session.incarnation < incarnation);
        if replaced_older {
            mark!(self, NewerRunTookOver);
            known.last_leave = (LeaveReason::Replaced, Some(Party::Them));
        }
        known.life.replaced |= known.life.run.replace(incarnation).is_some_and(|run| run < incarnation);
        self.is_well(peer);
        if before.is_none() || replaced_older {
            if before.is_none() {
                self.connected += 1;
            }
            if let Some(known) = self.peers.get_mut(&peer) {
                known.session += 1;
                known.ours = false;
                known.told_trusted = false;
                known.verification = None;
                known.certificate = None;
            }
            self.outputs.notify(Slot::Peer(peer));
            self.remember_peer(peer);
        }
        self.begin_verification(peer, id);
        // Said again on each new link: the word on the old one may have been lost with it.
        if let Some(known) = self.peers.get(&peer).filter(|known| known.ours) {
            let session = known.session;
            self.send_frame(id, &Frame::Verified { session });
        }
        self.resend_texts(peer);
        let told = self.peers.get(&peer).is_some_and(|known| known.told_trusted);
        if told {
            self.tell_trusted(peer);
        }
        self.transfers_moved(peer);
        self.seek_nearer(peer);
    }

    /// A link of a peer is over: another takes its place, or the peer is not connected any more.
    pub(super) fn link_gone(
        &mut self,
        peer: PeerId,
        id: LinkId,
        leave: LeaveReason,
        ended_by: Option<Party>,
    ) {
        let now = self.now;
        let Some(known) = self.peers.get(&peer) else { return };
        if known.link != Some(id) {
            // A dial that came to nothing: the next one is scheduled already, or is now.
            if known.link.is_none() && known.links.is_empty() && !self.timers.is_set(TimerKey::Dial(peer)) {
                self.consider_dial(peer, Duration::from_millis(250));
            }
            return;
        }
        let decides = self.identity.peer_id() < peer;
        let newest = known.incarnation();
        let survivor = known
            .links
            .iter()
            .filter_map(|other| Some((*other, self.links.get(other)?)))
            .filter(|(_, link)| link.is_confirmed())
            .filter(|(_, link)| link.session().is_some_and(|session| session.incarnation >= newest))
            .max_by_key(|(_, link)| link.rank(decides, self.scope_of_link(link, Some(known))))
            .map(|(other, _)| other);
        if let Some(survivor) = survivor {
            mark!(self, SurvivorTookOver);
            self.use_link(peer, survivor);
            return;
        }
        let gone = known.gone;
        self.code_abandoned(peer);
        let (leave, ended_by) = if gone { (LeaveReason::Gone, Some(Party::Them)) } else { (leave, ended_by) };
        self.connected -= 1;
        self.timers.cancel(TimerKey::Verification(peer));
        self.steps_in.remove(&peer);
        self.messages.gossip.neighbour_left(&peer);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.link = None;
            known.ours = false;
            known.told_trusted = false;
            known.verification = None;
            known.certificate = None;
            known.last_leave = (leave, ended_by);
            known.left_at = Some(now);
            known.redial.reset(now);
        }
        self.outputs.notify(Slot::Peer(peer));
        self.drop_offers_of(peer, leave == LeaveReason::Gone);
        if leave.is_mishap() {
            // Whether the peer lives is another question than whether its link does.
            if leave != LeaveReason::Lost {
                self.conclude(peer, Liveness::Quiet, Declarer::Us);
                self.watch(peer);
            }
            self.snap_back();
            // Where it is by now, only a server may know: its relay may have gone.
            if self.trusted_links().is_empty() {
                self.announce_soon();
            }
        } else if (leave, ended_by) == (LeaveReason::Gone, Some(Party::Them)) {
            self.stop_watching(peer);
            self.conclude(peer, Liveness::Left, Declarer::Subject);
        } else {
            self.lose_sight(peer);
        }
        if gone {
            self.peer_gone(peer);
        } else if leave != LeaveReason::Gone {
            self.consider_dial(peer, Duration::from_millis(250));
            self.tend_soon();
        }
    }

    // ---- Trust ----

    /// The peer says that it has verified us.
    pub(super) fn verified_by(&mut self, id: LinkId, peer: PeerId, session: u64) {
        self.note_their_side(id, peer, session, true);
        self.trust_changed(peer);
    }

    /// Notes how often the peer says that it has connected to us, and whether it has verified us since. What
    /// comes late, over a link of an earlier session or incarnation, does not count; a restart counts anew.
    fn note_their_side(&mut self, id: LinkId, peer: PeerId, session: u64, verified: bool) {
        let incarnation =
            self.links.get(&id).and_then(|link| link.session()).map(|session| session.incarnation);
        let (Some(incarnation), Some(known)) = (incarnation, self.peers.get_mut(&peer)) else { return };
        let said = (incarnation, session);
        if said > known.their_session {
            known.their_session = said;
            known.theirs = verified;
            known.told_trusted = false;
        } else if said == known.their_session {
            known.theirs |= verified;
        } else {
            mark!(self, TheirSessionLate);
        }
    }

    /// Looks whether both sides have verified each other now, and if so shares what trusted peers share.
    pub(super) fn trust_changed(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if !known.is_trusted() {
            known.told_trusted = false;
            return;
        }
        if known.told_trusted {
            return;
        }
        known.told_trusted = true;
        known.rejection = None;
        known.trust_epoch += 1;
        mark!(self, Trusted);
        self.remember_peer(peer);
        self.outputs.notify(Slot::Peer(peer));
        self.tell_trusted(peer);
        self.transfers_moved(peer);
    }

    /// Shares what trusted peers share: once both sides are verified, and again on each link that takes the place of
    /// another, because what was under way on that one may be lost.
    fn tell_trusted(&mut self, peer: PeerId) {
        self.share_with(peer);
        let first = self.peers.get(&peer).is_some_and(|known| known.trust_epoch == 1);
        if !planted!(self, NoReoffer) || first {
            self.offer_everything_to(peer);
        }
        self.tell_maps(peer);
        self.exchange_messages(peer);
        self.tell_tasks(peer);
    }
}
