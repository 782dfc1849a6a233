//! Messages to one peer: numbered, acknowledged together once the application's queue has them, sent again until then.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::identity::PeerId;
use crate::input::LinkId;
use crate::marks::mark;
use crate::planted::planted;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::wire::{Frame, Payload};

use super::super::Engine;
use super::super::taken::Kind;
use super::ACK_EVERY;

/// Bytes under way to one peer; the rest waits here, so that a slow peer does not fill its link.
const MAX_UNDER_WAY: usize = 512 * 1024;

/// So many messages are acknowledged at once.
const ACK_AT: u32 = 32;

/// When nothing was acknowledged for so long all is sent again. Links lose nothing, and a new link and a receiver without
/// room have their own ways; this is for what none of us thought of.
const SEND_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What waits for one peer, whether it is there or not. At most `max_messages`.
#[derive(Debug)]
pub(in super::super) struct Mailbox {
    /// Not acknowledged, in the order of their numbers, which follow one another.
    letters: VecDeque<Letter>,
    /// The number of the last letter ever.
    last: u64,
    /// Up to which number they went over the link that there is, and how many bytes of it are not acknowledged.
    sent: u64,
    under_way: usize,
    /// Up to which number they ever went.
    farthest: u64,
}

#[derive(Debug)]
struct Letter {
    message: u64,
    payload: Payload,
}

/// Acknowledgements that a peer is owed.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Acks {
    owed: u32,
    last: Timestamp,
}

impl Mailbox {
    /// Numbers begin above `floor`.
    fn new(floor: u64) -> Self {
        Mailbox { letters: VecDeque::new(), last: floor, sent: floor, under_way: 0, farthest: floor }
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    /// The message that is given up first.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.letters.front().map(|letter| letter.message)
    }

    /// The lowest number that is not settled.
    fn base(&self) -> u64 {
        self.last + 1 - self.letters.len() as u64
    }

    /// Takes the first letter out. It is settled.
    fn pop(&mut self) -> Option<Letter> {
        let number = self.base();
        let letter = self.letters.pop_front()?;
        if number <= self.sent {
            self.under_way -= letter.payload.len();
        } else {
            self.sent = number;
        }
        Some(letter)
    }

    /// The next letter to send, if more may be under way.
    fn next(&self) -> Option<(u64, Payload)> {
        let number = self.sent + 1;
        let letter = self.letters.get(usize::try_from(number - self.base()).ok()?)?;
        let fits = self.under_way == 0 || self.under_way + letter.payload.len() <= MAX_UNDER_WAY;
        fits.then(|| (number, letter.payload.clone()))
    }

    /// Everything is to be sent again.
    fn rewind(&mut self) {
        (self.sent, self.under_way) = (self.base() - 1, 0);
    }
}

impl Engine {
    // ---- Sending ----

    pub(super) fn is_mailbox_full(&self, to: &PeerId) -> bool {
        self.messages.boxes.get(to).is_some_and(|mailbox| mailbox.len() >= self.config.max_messages)
    }

    /// Whether something waits for a link to this peer.
    pub(in super::super) fn has_mail_for(&self, peer: &PeerId) -> bool {
        self.messages.boxes.get(peer).is_some_and(|mailbox| !mailbox.letters.is_empty())
    }

    /// Puts a message into a peer's mailbox, which has room, and sends it if the peer is there.
    pub(super) fn post(&mut self, to: PeerId, message: u64, payload: Payload) {
        let floor = self.messages.number_floor;
        let mailbox = self.messages.boxes.entry(to).or_insert_with(|| Mailbox::new(floor));
        mailbox.last += 1;
        mailbox.letters.push_back(Letter { message, payload });
        self.need_link(to);
        self.send_mail(to);
    }

    /// Sends what may go now.
    fn send_mail(&mut self, to: PeerId) {
        let Some(known) = self.peers.get(&to).filter(|known| known.told_trusted) else { return };
        let Some(link) = known.link else { return };
        while let Some(mailbox) = self.messages.boxes.get(&to) {
            let Some((id, payload)) = mailbox.next() else { break };
            let (base, len) = (mailbox.base(), payload.len());
            // If too much waits already it goes when an acknowledgement comes, or the timer says so.
            if !self.try_send_frame(link, &Frame::Message { id, base, payload }, self.config.max_queued / 2) {
                break;
            }
            if let Some(mailbox) = self.messages.boxes.get_mut(&to) {
                mailbox.sent = id;
                mailbox.under_way += len;
                mailbox.farthest = mailbox.farthest.max(id);
            }
        }
        if self.has_mail_for(&to) {
            self.timers.set_earlier(TimerKey::Message(to), self.now + SEND_AGAIN_AFTER);
        }
    }

    /// Sends everything that is not acknowledged: the link is new.
    pub(super) fn deliver_again(&mut self, to: PeerId) {
        let Some(mailbox) = self.messages.boxes.get_mut(&to) else { return };
        if mailbox.letters.is_empty() || planted!(self, MessagesNotResent) {
            return;
        }
        if mailbox.sent >= mailbox.base() {
            mark!(self, MessageResent);
        }
        mailbox.rewind();
        self.timers.cancel(TimerKey::Message(to));
        self.send_mail(to);
    }

    pub(in super::super) fn message_due(&mut self, to: PeerId) {
        self.deliver_again(to);
    }

    /// A peer has taken everything up to a number. With `again` it found no room for what came after it.
    pub(in super::super) fn message_acked(&mut self, from: PeerId, id: u64, again: bool) {
        let Some(mailbox) = self.messages.boxes.get(&from) else { return };
        // Only what was sent can be acknowledged.
        let id = id.min(mailbox.farthest);
        let mut progress = false;
        while let Some(mailbox) = self.messages.boxes.get_mut(&from).filter(|mailbox| mailbox.base() <= id) {
            let Some(letter) = mailbox.pop() else { break };
            progress = true;
            self.left_mailbox(from, letter.message, true);
        }
        if progress {
            self.timers.cancel(TimerKey::Message(from));
        }
        if again {
            mark!(self, MessageAskedAgain);
            if let Some(mailbox) = self.messages.boxes.get_mut(&from) {
                mailbox.rewind();
            }
        }
        self.send_mail(from);
        self.drop_if_empty(from);
    }

    pub(super) fn give_up_oldest(&mut self, to: PeerId) {
        let Some(letter) = self.messages.boxes.get_mut(&to).and_then(Mailbox::pop) else { return };
        self.left_mailbox(to, letter.message, false);
        self.drop_if_empty(to);
    }

    pub(in super::super) fn give_up_mailbox(&mut self, to: PeerId) {
        while self.has_mail_for(&to) {
            self.give_up_oldest(to);
        }
    }

    /// Forgets a mailbox that nobody needs. One that comes after it counts on.
    pub(super) fn drop_if_empty(&mut self, to: PeerId) {
        if self.peers.contains_key(&to) || self.has_mail_for(&to) {
            return;
        }
        if let Some(mailbox) = self.messages.boxes.remove(&to) {
            self.messages.number_floor = self.messages.number_floor.max(mailbox.last);
        }
    }

    // ---- Receiving ----

    /// Takes a message if it is the next one and the application's queue has room.
    pub(in super::super) fn message_received(
        &mut self,
        link: LinkId,
        from: PeerId,
        id: u64,
        base: u64,
        payload: Payload,
    ) {
        if !payload.is_fit() || base > id || base == 0 {
            self.stats.frames_refused += 1;
            return;
        }
        // That of the link it came by: a stream of an earlier run may bring its messages late.
        let session = self.links.get(&link).and_then(|link| link.session());
        let incarnation = session.map_or(0, |session| session.incarnation);
        let Some(known) = self.peers.get_mut(&from) else { return };
        let taken = &mut known.taken;
        if taken.is_over(incarnation) {
            mark!(self, MessageOfEarlierRun);
            return;
        }
        // Whatever is below `base` was settled: taken by an earlier run of ours, or given up.
        if base - 1 > taken.last(Kind::Message) {
            mark!(self, MessageBaseJumped);
            taken.up_to(Kind::Message, base - 1);
        }
        let last = taken.last(Kind::Message);
        if id <= last && !planted!(self, MessageTwice) {
            mark!(self, MessageRepeated);
        } else if id - 1 > last {
            // One before it found no room, and will come again with all that follow.
            mark!(self, MessageAhead);
            return;
        } else if self.take_in(from, payload, 1) {
            if let Some(known) = self.peers.get_mut(&from) {
                known.taken.up_to(Kind::Message, id);
            }
        } else {
            self.refuse_for_now(from);
            return;
        }
        self.owe_ack(from);
    }

    /// Acknowledges at once, or soon if that was done just now.
    fn owe_ack(&mut self, to: PeerId) {
        let now = self.now;
        let Some(known) = self.peers.get_mut(&to) else { return };
        known.acks.owed += 1;
        if known.acks.owed >= ACK_AT || now.since(known.acks.last) >= ACK_EVERY {
            self.ack_messages(to, false);
        } else {
            let due = known.acks.last + ACK_EVERY;
            self.timers.set_earlier(TimerKey::MessageAck(to), due);
        }
    }

    pub(in super::super) fn message_ack_due(&mut self, to: PeerId) {
        self.ack_messages(to, false);
    }

    /// There is room for what was refused.
    pub(super) fn ask_again(&mut self, from: PeerId) {
        self.ack_messages(from, true);
    }

    fn ack_messages(&mut self, to: PeerId, again: bool) {
        self.timers.cancel(TimerKey::MessageAck(to));
        let now = self.now;
        let Some(known) = self.peers.get_mut(&to) else { return };
        known.acks = Acks { owed: 0, last: now };
        let id = known.taken.last(Kind::Message);
        if let Some(link) = known.link {
            self.send_answer(link, &Frame::MessageAck { id, again });
        }
    }
}
