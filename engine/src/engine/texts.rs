//! Short texts: numbered, acknowledged once the application's queue has taken them, sent again until then.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::MAX_TEXT;
use crate::event::Event;
use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::timers::TimerKey;
use crate::wire::Frame;

use super::Engine;
use super::outputs::Slot;
use super::taken::Kind;

/// How long an acknowledgement may take before a text is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// Texts taken from one peer that is not trusted, before the application has taken any.
const MAX_UNTRUSTED: usize = 8;

/// Why a text was not taken for sending. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// No record of this peer is held.
    #[error("this peer is not known")]
    UnknownPeer,
    /// The text is too long.
    #[error("a text may have 16 KiB at most")]
    TooLong,
    /// Too many texts to this peer wait for their acknowledgement.
    #[error("too many texts wait for this peer already")]
    Full,
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

impl Engine {
    /// Sends a text to a peer, now or when it is connected; returns its number, which
    /// [`Event::TextDelivered`] names. Order is kept, and none is delivered twice to one incarnation of the peer.
    ///
    /// # Errors
    ///
    /// See [`TextError`]; nothing changed.
    pub fn send_text(&mut self, now: crate::Timestamp, to: PeerId, text: &str) -> Result<u64, TextError> {
        self.advance(now);
        if self.leaving.is_some() {
            return Err(TextError::Leaving);
        }
        if text.len() > MAX_TEXT {
            return Err(TextError::TooLong);
        }
        let max = self.config.max_texts;
        let known = self.peers.get_mut(&to).ok_or(TextError::UnknownPeer)?;
        let texts = &mut known.texts;
        let unreported = texts.acked - texts.acked_reported;
        if texts.outgoing.len() as u64 + unreported >= max as u64 {
            return Err(TextError::Full);
        }
        texts.last_sent += 1;
        let id = texts.last_sent;
        let base = texts.acked + 1;
        texts.outgoing.push_back((id, text.to_string()));
        if let Some(link) = self.peers.get(&to).and_then(|known| known.link) {
            // If too much waits already it goes when the timer says so.
            self.send_answer(link, &Frame::Text { id, base, text: text.to_string() });
            self.timers.set_earlier(TimerKey::Text(to), self.now + RESEND_AFTER);
        } else {
            self.need_link(to);
        }
        self.pump_links();
        Ok(id)
    }

    /// Sends again what is not acknowledged: the link is new, or an acknowledgement is overdue.
    pub(super) fn resend_texts(&mut self, to: PeerId) {
        let Some(known) = self.peers.get(&to) else { return };
        if known.link.is_none() || known.texts.outgoing.is_empty() || planted!(self, TextsNotResent) {
            return;
        }
        let base = known.texts.acked + 1;
        mark!(self, TextResent);
        let again: Vec<(u64, String)> = known.texts.outgoing.iter().cloned().collect();
        for (id, text) in again {
            if let Some(link) = self.peers.get(&to).and_then(|known| known.link) {
                self.send_answer(link, &Frame::Text { id, base, text });
            }
        }
        self.set_timer(TimerKey::Text(to), RESEND_AFTER);
    }

    pub(super) fn texts_due(&mut self, to: PeerId) {
        self.resend_texts(to);
    }

    /// Takes a text if it is the next one and the application's queue has room; otherwise it is not acknowledged
    /// and comes again.
    pub(super) fn text_received(&mut self, link: LinkId, from: PeerId, id: u64, base: u64, text: String) {
        if text.len() > MAX_TEXT || base > id {
            self.stats.frames_refused += 1;
            return;
        }
        let trusted_waiting = self.texts_in.len();
        let untrusted_waiting = self
            .texts_in
            .iter()
            .filter(|event| matches!(event, Event::Text { from: sender, .. } if *sender == from))
            .count();
        let max = self.config.max_texts;
        // That of the link it came by: a stream of an earlier run may bring its texts late.
        let session = self.links.get(&link).and_then(|link| link.session());
        let incarnation = session.map_or(0, |session| session.incarnation);
        let Some(known) = self.peers.get_mut(&from) else { return };
        if known.taken.is_over(incarnation) {
            mark!(self, TextFromEarlierRun);
            return;
        }
        let trusted = known.ours || planted!(self, UntrustedTextAsTrusted);
        let taken = &mut known.taken;
        // Whatever is below `base` was acknowledged by an earlier run of ours.
        if base.saturating_sub(1) > taken.last(Kind::Text) {
            mark!(self, TextBaseJumped);
            taken.up_to(Kind::Text, base - 1);
        }
        if id <= taken.last(Kind::Text) {
            mark!(self, TextRepeated);
        } else if id - taken.last(Kind::Text) > 1 {
            mark!(self, TextAhead);
        }
        if id == taken.last(Kind::Text).saturating_add(1)
            || (planted!(self, TextTwice) && id <= taken.last(Kind::Text))
        {
            if trusted_waiting >= max || (!trusted && untrusted_waiting >= MAX_UNTRUSTED) {
                self.stats.texts_dropped += 1;
                mark!(self, TextDropped);
                return;
            }
            taken.up_to(Kind::Text, id);
            self.texts_in.push_back(Event::Text { from, text, trusted });
            self.outputs.notify(Slot::Text);
        }
        let taken = self.peers.get(&from).map_or(0, |known| known.taken.last(Kind::Text));
        if let Some(link) = self.peers.get(&from).and_then(|known| known.link) {
            self.send_answer(link, &Frame::TextAck { id: taken });
        }
    }

    pub(super) fn text_acked(&mut self, from: PeerId, id: u64) {
        let Some(known) = self.peers.get_mut(&from) else { return };
        let texts = &mut known.texts;
        // Only what was sent can be acknowledged.
        let id = id.min(texts.last_sent);
        if id <= texts.acked {
            return;
        }
        texts.acked = id;
        while texts.outgoing.front().is_some_and(|(sent, _)| *sent <= id) {
            texts.outgoing.pop_front();
        }
        if texts.outgoing.is_empty() {
            self.timers.cancel(TimerKey::Text(from));
        }
        self.outputs.notify(Slot::TextsAcked(from));
    }
}
