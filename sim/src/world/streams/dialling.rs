//! How streams begin: a SYN that may be lost, an answer, a process that takes the stream.

use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_engine::{DialFailure, InterfaceId, LinkId};

use crate::stream_end::{End, Side};
use crate::trace::What;
use crate::world::faults::FaultKind;
use crate::world::node::{place, socket};
use crate::world::plan::Firewall;
use crate::world::record::Mark;
use crate::world::wide::is_afar;
use crate::world::{Happening, World};

use super::{Conn, ConnId, Party, StreamEvent, Way};

/// How long the runtime waits for an answer to a dial.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The first SYN that is lost is sent again after this (RFC 6298, section 2.1).
const SYN_RETRY: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn begin_dial(&mut self, node: usize, link: LinkId, address: SocketAddr) {
        self.conns_made += 1;
        let conn = ConnId(self.conns_made);
        let host = self.nodes[node].host;
        self.note(Mark::Action, Some(node), format!("dial {address}").as_bytes(), |world| What::Dialled {
            to: world.place_name(address),
        });
        if self.plan.internet.is_some() && is_afar(address.ip()) {
            return self.dial_afar(node, conn, link, address);
        }
        let there = place(address.ip()).filter(|&(lan, _)| lan < self.lans.len());
        let own = there.and_then(|(lan, _)| self.hosts[host].interface(lan));
        // All homes number their hosts from one private network: nodes that know servers try what may be another part of
        // theirs, and their routers know no way.
        let may_be_site = !self.plan.server.is_empty() && address.is_ipv4();
        if own.is_none() && !may_be_site && !self.nodes[node].given.contains(&address) {
            self.nodes[node].strays += 1;
        }
        let six = address.is_ipv6();
        let own = own.filter(|own| own.up && own.beside(address.ip(), 0).is_some());
        let (Some((lan, number)), Some(own)) = (there, own) else {
            return self.after(
                Duration::from_micros(50),
                Happening::LinkGone {
                    node,
                    starts: self.nodes[node].starts,
                    link,
                    failure: DialFailure::Unreachable,
                },
            );
        };
        let dialler = Party { node: Some(node), host, number: own.number };
        // Nobody may be there: the dial goes to the number, and times out.
        let target = self.lans[lan].hosts.iter().copied().find(|&other| {
            self.hosts[other].interface(lan).is_some_and(|interface| interface.number == number)
        });
        let process = target.and_then(|target| {
            self.hosts[target].nodes.iter().copied().find(|&other| self.nodes[other].port == address.port())
        });
        let process = process.or_else(|| target.and_then(|target| self.lies_in_wait(target)));
        let acceptor = Party { node: process, host: target.unwrap_or(host), number };
        let ends = [Some(End::new(link, false)), None];
        let ways = [Way::default(), Way::default()];
        let (accepted, stalled, afar) = (false, false, None);
        let entry = Conn { lan, dialler, acceptor, six, ends, ways, accepted, stalled, afar };
        self.knock(conn, node, link, entry, target.is_some());
    }

    /// Dials an address beyond the LAN.
    fn dial_afar(&mut self, node: usize, conn: ConnId, link: LinkId, address: SocketAddr) {
        let host = self.nodes[node].host;
        let Ok(aim) = self.aim_afar(node, address) else { return self.no_way_out(node, link) };
        let dialler = Party { node: Some(node), host, number: 0 };
        let ends = [Some(End::new(link, false)), None];
        let ways = [Way::default(), Way::default()];
        let (target, process, afar) =
            aim.map_or((None, None, None), |(target, process, afar)| (Some(target), process, Some(afar)));
        let acceptor = Party { node: process, host: target.unwrap_or(host), number: 0 };
        let (accepted, stalled, six) = (false, false, address.is_ipv6());
        let entry = Conn { lan: 0, dialler, acceptor, six, ends, ways, accepted, stalled, afar };
        self.knock(conn, node, link, entry, target.is_some());
    }

    fn knock(&mut self, conn: ConnId, node: usize, link: LinkId, entry: Conn, somebody: bool) {
        self.conns.insert(conn, entry);
        self.nodes[node].links.insert(link, (conn, Side::Dialler));
        let timed_out = StreamEvent::DialFailed { conn, failure: DialFailure::TimedOut };
        self.after(DIAL_TIMEOUT, Happening::Stream(timed_out));
        if somebody {
            self.send_syn(conn);
        }
    }

    pub(super) fn send_syn(&mut self, conn: ConnId) {
        match self.conn_passes(conn, Side::Acceptor, 60) {
            Some(delay) => self.after(delay, Happening::Stream(StreamEvent::Syn { conn })),
            None => self.after(
                SYN_RETRY,
                Happening::Stream(StreamEvent::Again { conn, side: Side::Acceptor, number: 0 }),
            ),
        }
    }

    pub(super) fn syn(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get(&conn).filter(|conn| !conn.accepted) else { return };
        let (acceptor, from) = (entry.acceptor, entry.dialler.host);
        if self.hosts[acceptor.host].firewall != Firewall::None && from != acceptor.host {
            // Dropped without a word: the dial times out.
            self.tally.count(FaultKind::KeptOut);
            return;
        }
        let let_through = entry.afar.is_none_or(|afar| self.is_permitted(&afar));
        let process = acceptor.node.filter(|&node| self.nodes[node].runs());
        let Some(node) = process.filter(|_| let_through && !self.hosts[acceptor.host].refuses) else {
            self.tally.count(FaultKind::Refused);
            if let Some(delay) = self.conn_passes(conn, Side::Dialler, 60) {
                let refused = StreamEvent::DialFailed { conn, failure: DialFailure::Refused };
                self.after(delay, Happening::Stream(refused));
            }
            return;
        };
        // The kernel answers; the process takes the stream when it runs.
        match self.conn_passes(conn, Side::Dialler, 60) {
            Some(delay) => self.after(delay, Happening::Stream(StreamEvent::SynAck { conn })),
            None => {
                let again = StreamEvent::Again { conn, side: Side::Acceptor, number: 0 };
                return self.after(SYN_RETRY, Happening::Stream(again));
            }
        }
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.accepted = true;
        }
        let starts = self.nodes[node].starts;
        self.after(Duration::ZERO, Happening::Stream(StreamEvent::Accept { conn, node, starts }));
    }

    pub(super) fn accept(&mut self, conn: ConnId, node: usize, starts: u64) {
        if self.intercept(conn, node) {
            return;
        }
        let Some(entry) = self.conns.get(&conn) else { return };
        let (lan, dialler) = (entry.lan, entry.dialler);
        let (source, interface) = match &entry.afar {
            Some(afar) => (SocketAddr::new(afar.source, ephemeral(conn)), afar.interface),
            None => {
                let interface = InterfaceId(u32::try_from(lan + 1).unwrap_or(u32::MAX));
                (socket(lan, dialler.number, entry.six, ephemeral(conn)), Some(interface))
            }
        };
        let now = self.local(node);
        let alive = self.nodes[node].starts == starts;
        let engine = self.nodes[node].engine.as_mut().filter(|_| alive);
        let relayed = entry.afar.is_some_and(|afar| afar.relay.is_some());
        let accepted = engine.and_then(|engine| {
            if relayed {
                engine.accept_relayed_link(now, source).ok()
            } else {
                engine.accept_link(now, interface, source).ok()
            }
        });
        match accepted {
            Some(link) => {
                self.nodes[node].links.insert(link, (conn, Side::Acceptor));
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.ends[Side::Acceptor as usize] = Some(End::new(link, true));
                }
                self.note(Mark::Action, Some(node), b"accept", |world| What::Accepted {
                    from: world.place_name(source),
                });
                self.drain(node);
                self.tell_writable(conn, Side::Acceptor);
                self.read(conn, Side::Acceptor);
            }
            None => {
                self.broken_later(conn, Side::Dialler);
                self.drain(node);
            }
        }
    }

    /// A stranger connects to a node and says `bytes`, then nothing more.
    pub(in crate::world) fn strange_stream(&mut self, lan: usize, node: usize, bytes: Vec<u8>) {
        let host = self.nodes[node].host;
        let Some(number) = self.hosts[host].interface(lan).map(|interface| interface.number) else { return };
        if !self.nodes[node].runs() || !self.hosts[host].up {
            return;
        }
        self.conns_made += 1;
        let conn = ConnId(self.conns_made);
        let stranger = Party { node: None, host, number: u16::MAX - 1 };
        let acceptor = Party { node: Some(node), host, number };
        let mut ways = [Way::default(), Way::default()];
        ways[Side::Acceptor as usize].unread.push_back(bytes);
        self.conns.insert(
            conn,
            Conn {
                lan,
                dialler: stranger,
                acceptor,
                six: false,
                ends: [None, None],
                ways,
                accepted: true,
                stalled: false,
                afar: None,
            },
        );
        self.tally.count(FaultKind::StrangerStream);
        let starts = self.nodes[node].starts;
        self.after(Duration::ZERO, Happening::Stream(StreamEvent::Accept { conn, node, starts }));
    }
}

fn ephemeral(conn: ConnId) -> u16 {
    50_000 + u16::try_from(conn.0 % 10_000).unwrap_or(0)
}
