//! Widescan at work: when the next address of a search is sent to, and who is believed to have answered.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use crate::event::Event;
use crate::identity::PeerId;
use crate::input::{Datagram, InterfaceId};
use crate::ladder::Rung;
use crate::marks::mark;
use crate::output::Transmit;
use crate::planted::planted;
use crate::random::Stream;
use crate::time::Timestamp;
use crate::timers::TimerKey;
use crate::widescan::{Candidates, ScanError, ScanEstimate, ScanPlan, Step, gap, is_searchable};
use crate::wire::beacon::{Beacon, BeaconFlags, Way};

use super::Engine;
use super::discovery::interface_of;
use super::outputs::Slot;

/// A deadline that is met so much too late is made up for, no more: [`gap`] leaves room for it.
const LATE: Duration = Duration::from_millis(20);

/// Numbers that are looked at in one go for an address that may be sent to, and the pause if there is none.
const STEPS: usize = 1024;
const STEPS_PAUSE: Duration = Duration::from_millis(10);

/// How often it is looked for an interface to send from, while there is none.
const NO_INTERFACE_PAUSE: Duration = Duration::from_secs(1);

/// Answers are waited for so long after the last datagram.
const LINGER: Duration = Duration::from_secs(3);

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The search that is under way, and what is left to tell of it and of those before.
#[derive(Debug, Default)]
pub(crate) struct Widescan {
    search: Option<Search>,
    /// The next datagram goes out no sooner, whatever search it is of.
    slot: Timestamp,
    /// At most `max_peers`, then the oldest goes.
    untold: VecDeque<Event>,
}

#[derive(Debug)]
struct Search {
    candidates: Candidates,
    gap: Duration,
    /// Datagrams that were announced, and sent.
    datagrams: u64,
    sent: u64,
    /// Whether all are out and answers are waited for.
    over: bool,
    told: Timestamp,
    /// Who answered. At most `max_peers`, then only the known ones count.
    found: BTreeSet<PeerId>,
}

/// What a search does next.
enum Next {
    Send(InterfaceId, Ipv6Addr),
    Pause(Duration),
    Over,
}

impl Engine {
    /// Searches IPv6 prefixes for peers by the ordinary sealed beacon, one datagram to an address. Peers there answer only
    /// if they have [`Config::answer_widescan`](crate::Config::answer_widescan); who does is told by
    /// [`Event::WidescanFound`] and then dialled as if it had been heard on the LAN. How far it is, and that it is over, is
    /// told by [`Event::WidescanProgress`] and [`Event::WidescanEnded`].
    ///
    /// # Errors
    ///
    /// Why it does not begin; nothing changed.
    pub fn widescan(&mut self, now: Timestamp, plan: &ScanPlan) -> Result<ScanEstimate, ScanError> {
        self.advance(now);
        let estimate = plan.estimate_near(&self.known_addresses())?;
        if self.leaving.is_some() {
            return Err(ScanError::Leaving);
        }
        if self.widescan.search.is_some() {
            return Err(ScanError::Running);
        }
        if self.far_interface().is_none() {
            return Err(ScanError::NoAddress);
        }
        let mut stream = Stream::new(&self.behaviour.seed(), "widescan");
        let candidates = Candidates::new(plan, &self.known_addresses(), &mut stream);
        self.widescan.search = Some(Search {
            candidates,
            gap: gap(plan.per_second),
            datagrams: estimate.datagrams,
            sent: 0,
            over: false,
            told: self.now,
            found: BTreeSet::new(),
        });
        self.widescan.slot = self.widescan.slot.max(self.now + Duration::from_nanos(1));
        self.timers.set(TimerKey::Widescan, self.widescan.slot);
        Ok(estimate)
    }

    /// Ends the search that is under way, if there is one. What comes of it later is not believed.
    pub fn stop_widescan(&mut self, now: Timestamp) {
        self.advance(now);
        self.end_widescan(true);
    }

    /// Ends the search and tells of it.
    pub(super) fn end_widescan(&mut self, stopped: bool) {
        self.timers.cancel(TimerKey::Widescan);
        if let Some(search) = self.widescan.search.take() {
            let (sent, found) = (search.sent, search.found.len() as u64);
            self.tell_of_widescan(Event::WidescanEnded { sent, found, stopped });
        }
    }

    /// The search is due for its next datagram.
    pub(super) fn widescan_due(&mut self) {
        if self.widescan.search.as_ref().is_some_and(|search| search.over) {
            return self.end_widescan(false);
        }
        let now = self.now;
        if now.since(self.widescan.slot) > LATE {
            self.widescan.slot = now;
        }
        while self.widescan.slot <= now {
            match self.next_of_widescan() {
                Next::Send(interface, address) => self.search_at(interface, address),
                Next::Pause(pause) => self.widescan.slot = now + pause,
                Next::Over => {
                    self.tell_progress();
                    if let Some(search) = &mut self.widescan.search {
                        search.over = true;
                        self.set_timer(TimerKey::Widescan, LINGER);
                    }
                    return;
                }
            }
        }
        self.timers.set(TimerKey::Widescan, self.widescan.slot);
        if self.widescan.search.as_ref().is_some_and(|search| now.since(search.told) >= TELL_EVERY) {
            self.tell_progress();
        }
    }

    fn next_of_widescan(&mut self) -> Next {
        let Some(interface) = self.far_interface() else { return Next::Pause(NO_INTERFACE_PAUSE) };
        let Some(search) = self.widescan.search.as_mut().filter(|search| search.sent < search.datagrams)
        else {
            return Next::Over;
        };
        for _ in 0..STEPS {
            match search.candidates.step() {
                Step::Candidate(address, _) => {
                    let ip = IpAddr::V6(address);
                    let is_ours = self.interfaces.iter().flat_map(|of| &of.addrs).any(|own| own.ip == ip);
                    if !is_ours && !self.decisions.blocks_address(ip) {
                        let near = interface_of(&self.interfaces, SocketAddr::new(ip, 0));
                        return Next::Send(near.unwrap_or(interface), address);
                    }
                }
                Step::Skipped => {}
                Step::Done => return Next::Over,
            }
        }
        Next::Pause(STEPS_PAUSE)
    }

    fn search_at(&mut self, interface: InterfaceId, address: Ipv6Addr) {
        let Some(search) = &mut self.widescan.search else { return };
        search.sent += 1;
        self.widescan.slot += search.gap;
        let destination = SocketAddr::from((address, search.candidates.plan().port));
        let flags = BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT);
        let datagram = self.sealed_beacon(flags, Way::by(Rung::Scan));
        self.transmit(Transmit { interface, destination }, datagram);
    }

    /// A genuine beacon came from beyond our subnets: it answers our search, or it is one of a search that we let ourselves
    /// be found by. Otherwise nothing follows from it.
    pub(super) fn heard_from_afar(
        &mut self,
        peer: PeerId,
        datagram: Datagram<'_>,
        beacon: &Beacon,
        is_new: bool,
    ) {
        let flags = beacon.flags;
        if flags.has(BeaconFlags::REPLY) && self.is_searched(datagram.source.ip()) {
            self.answered_widescan(peer, datagram, is_new);
        } else if (self.config.answer_widescan || planted!(self, AnswersAnySearch))
            && is_searchable(datagram.source.ip())
            && flags.has(BeaconFlags::ANNOUNCE.with(BeaconFlags::SOLICIT))
        {
            mark!(self, SearchAnswered);
            self.answer_afar(datagram.interface, datagram.source);
        }
    }

    fn is_searched(&self, ip: IpAddr) -> bool {
        let plan = self.widescan.search.as_ref().map(|search| search.candidates.plan());
        matches!((plan, ip), (Some(plan), IpAddr::V6(ip)) if plan.allows(ip))
    }

    /// A peer answered from where was searched. One that has a link keeps the address that it has: who is on the network
    /// can seal a beacon for anybody.
    fn answered_widescan(&mut self, peer: PeerId, datagram: Datagram<'_>, is_new: bool) {
        let max = self.config.max_peers;
        let Some(search) = &mut self.widescan.search else { return };
        let is_first = search.found.len() < max && search.found.insert(peer);
        if is_first {
            mark!(self, FoundBySearch);
            self.tell_of_widescan(Event::WidescanFound { peer, addr: datagram.source });
        }
        if self.peers.get(&peer).is_some_and(|known| known.link.is_none()) {
            self.note_heard(peer, datagram.source, datagram.interface);
            self.dial_heard(peer, is_new);
        }
    }

    /// The interface for what is beyond all subnets: a real network before a virtual one, with an address to answer to.
    fn far_interface(&self) -> Option<InterfaceId> {
        let able = self.interfaces.iter().filter(|of| of.addrs.iter().any(|addr| is_searchable(addr.ip)));
        able.min_by_key(|of| (of.kind, of.id)).map(|of| of.id)
    }

    /// Where peers are or say that they are, those first that have proven themselves.
    fn known_addresses(&self) -> Vec<IpAddr> {
        let (proven, others): (Vec<_>, Vec<_>) = self.peers.values().partition(|peer| peer.proven);
        let all = proven.into_iter().chain(others).flat_map(super::peer::Peer::addresses);
        all.map(|(address, _)| address.ip()).filter(|ip| is_searchable(*ip)).collect()
    }

    fn tell_progress(&mut self) {
        let now = self.now;
        let Some(search) = &mut self.widescan.search else { return };
        search.told = now;
        let (sent, datagrams, found) = (search.sent, search.datagrams, search.found.len() as u64);
        // Only the last word counts.
        self.widescan.untold.retain(|event| !matches!(event, Event::WidescanProgress { .. }));
        self.tell_of_widescan(Event::WidescanProgress { sent, datagrams, found });
    }

    fn tell_of_widescan(&mut self, event: Event) {
        if self.widescan.untold.len() >= self.config.max_peers.max(2) {
            self.widescan.untold.pop_front();
        }
        self.widescan.untold.push_back(event);
        self.outputs.notify(Slot::Widescan);
    }

    pub(super) fn next_widescan_event(&mut self) -> Option<Event> {
        self.widescan.untold.pop_front()
    }
}
