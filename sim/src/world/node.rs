//! One node of a [`World`](super::World), and the machine that it runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use p2pnet_engine::{
    ContentId, Engine, Interface, InterfaceAddr, InterfaceId, InterfaceKind, LinkId, PeerId, Timestamp,
};

use crate::stream_end::Side;

use super::Happening;
use super::clock::Clock;
use super::disk::Disk;
use super::persons::Screen;
use super::plan::{Crypto, Firewall};
use super::streams::ConnId;

/// Datagrams that wait for a process that does not run; the kernel drops further ones.
pub(super) const SOCKET_QUEUE: usize = 256;

/// A machine: its clock and its interfaces.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) clock: Clock,
    pub(super) interfaces: Vec<NetworkInterface>,
    pub(super) nodes: Vec<usize>,
    /// Whether it has power.
    pub(super) up: bool,
    pub(super) refuses: bool,
    /// How often its address changed.
    pub(super) moves: u16,
    pub(super) firewall: Firewall,
    /// Where it sent a datagram lately, if its firewall wants to know.
    pub(super) asked: BTreeMap<SocketAddr, Timestamp>,
    /// Since when it sleeps.
    pub(super) asleep: Option<Timestamp>,
    /// Its interface with addresses that anybody can dial, and those, if its network's router translates nothing.
    pub(super) public: Option<(InterfaceId, Vec<IpAddr>)>,
    /// How often it went to another network.
    pub(super) travels: u32,
}

/// An interface of a machine, in one network.
#[derive(Clone, Debug)]
pub(super) struct NetworkInterface {
    pub(super) lan: usize,
    /// The last two bytes of its address.
    pub(super) number: u16,
    pub(super) up: bool,
    pub(super) kind: InterfaceKind,
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
}

/// A process: what outlives its engine, and the engine while it runs.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) host: usize,
    pub(super) port: u16,
    pub(super) aes: bool,
    pub(super) impostor: bool,
    pub(super) takes_offers: bool,
    pub(super) crypto: Crypto,
    pub(super) by_policy: bool,
    pub(super) declines: bool,
    pub(super) small: bool,
    /// Its application takes no events now; the identities that it had while that was so.
    pub(super) deaf: bool,
    pub(super) deaf_as: BTreeSet<PeerId>,
    pub(super) identity: [u8; 32],
    pub(super) peer: PeerId,
    /// Every identity that it has had, in order.
    pub(super) identities: Vec<PeerId>,
    pub(super) engine: Option<Engine>,
    /// How often it was started; tells happenings of an earlier run apart.
    pub(super) starts: u64,
    pub(super) started_at: Timestamp,
    /// When its last run ended.
    pub(super) stopped_at: Timestamp,
    /// The incarnation of its last run.
    pub(super) incarnation: u64,
    pub(super) links: BTreeMap<LinkId, (ConnId, Side)>,
    /// Links whose writer has taken something.
    pub(super) written: BTreeSet<LinkId>,
    pub(super) draining: bool,
    /// For when it is to be woken, and the number of that.
    pub(super) wake: Option<Timestamp>,
    pub(super) wake_number: u64,
    pub(super) paused: bool,
    /// What happened to it while it did not run.
    pub(super) backlog: Vec<Happening>,
    pub(super) backlog_datagrams: usize,
    /// Bytes a second that it reads at most.
    pub(super) slow: Option<u64>,
    pub(super) disk: Disk,
    /// Contents that it is fetching.
    pub(super) wants: BTreeSet<ContentId>,
    /// Texts of the plan that it got, in any of its runs.
    pub(super) texts: BTreeSet<usize>,
    /// The messages of the plan that it got, in any of its runs, and over how many links the last copy of each came.
    pub(super) messages: BTreeMap<usize, u16>,
    /// The short codes that its person sees in this run.
    pub(super) screen: BTreeMap<PeerId, Screen>,
    /// To whom, and on which link, it has shown its badge in this run.
    pub(super) shown: BTreeSet<(PeerId, [u8; 32])>,
    /// It said goodbye for good.
    pub(super) left: bool,
    /// Addresses that somebody gave it, and how often it sent or dialled beyond its networks on its own.
    pub(super) given: BTreeSet<SocketAddr>,
    pub(super) strays: u64,
    /// It said goodbye and will be back.
    pub(super) away: bool,
    /// Its disk was emptied once.
    pub(super) disk_lost: bool,
    /// Datagrams it sent in this run, copies for several ports and networks included.
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Host {
    pub(super) fn interface(&self, lan: usize) -> Option<&NetworkInterface> {
        self.interfaces.iter().find(|interface| interface.lan == lan)
    }

    pub(super) fn interface_mut(&mut self, lan: usize) -> Option<&mut NetworkInterface> {
        self.interfaces.iter_mut().find(|interface| interface.lan == lan)
    }

    /// What an engine is told.
    pub(super) fn for_engine(&self) -> Vec<Interface> {
        let told = |interface: &NetworkInterface| Interface {
            id: InterfaceId(u32::try_from(interface.lan).unwrap_or(0) + 1),
            name: format!("net{}", interface.lan),
            kind: interface.kind,
            multicast: true,
            directed_broadcast: true,
            addrs: interface.addrs(),
        };
        let up = self.interfaces.iter().filter(|interface| interface.up);
        let public = self.public.as_ref().filter(|_| up.clone().count() > 0).map(|(id, ips)| Interface {
            id: *id,
            name: "public".to_owned(),
            kind: InterfaceKind::Lan,
            multicast: false,
            directed_broadcast: true,
            addrs: ips
                .iter()
                .map(|&ip| InterfaceAddr { ip, prefix: if ip.is_ipv4() { 24 } else { 64 } })
                .collect(),
        });
        up.map(told).chain(public).collect()
    }
}

impl NetworkInterface {
    pub(super) fn ip(&self) -> IpAddr {
        if self.ipv4 { address(self.lan, self.number) } else { address_6(self.lan, self.number) }
    }

    fn addrs(&self) -> Vec<InterfaceAddr> {
        let four = self.ipv4.then(|| InterfaceAddr { ip: address(self.lan, self.number), prefix: 16 });
        let six = self.ipv6.then(|| InterfaceAddr { ip: address_6(self.lan, self.number), prefix: 64 });
        four.into_iter().chain(six).collect()
    }

    /// Its address in the family of `other`, with a port; `None` if it has none.
    pub(super) fn beside(&self, other: IpAddr, port: u16) -> Option<SocketAddr> {
        let has = if other.is_ipv4() { self.ipv4 } else { self.ipv6 };
        has.then(|| socket(self.lan, self.number, other.is_ipv6(), port))
    }
}

/// An address of a network with a port.
pub(super) fn socket(lan: usize, number: u16, six: bool, port: u16) -> SocketAddr {
    match address_6(lan, number) {
        IpAddr::V6(ip) if six => SocketAddrV6::new(ip, port, 0, u32::try_from(lan + 1).unwrap_or(0)).into(),
        _ => SocketAddr::new(address(lan, number), port),
    }
}

/// fe80::`lan + 1`:x
pub(super) fn address_6(lan: usize, number: u16) -> IpAddr {
    let lan = u16::try_from(lan + 1).unwrap_or(u16::MAX);
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, lan, number))
}

/// 10.`lan + 1`.x.y
pub(super) fn address(lan: usize, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, u8::try_from(lan + 1).unwrap_or(255), high, low))
}

/// The network and the number of an address; `None` if it is in none.
pub(super) fn place(ip: IpAddr) -> Option<(usize, u16)> {
    let ip = match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => {
            let [first, .., lan, number] = ip.segments();
            return (first == 0xfe80 && lan > 0).then(|| (usize::from(lan) - 1, number));
        }
    };
    let [ten, lan, high, low] = ip.octets();
    (ten == 10 && lan > 0).then(|| (usize::from(lan) - 1, u16::from_be_bytes([high, low])))
}

impl Node {
    pub(super) fn take_identity(&mut self, seed: [u8; 32]) {
        self.identity = seed;
        self.peer = self.crypto.identity(seed).peer_id();
        self.identities.push(self.peer);
        if self.deaf {
            self.deaf_as.insert(self.peer);
        }
    }

    /// Its application stops taking events.
    pub(super) fn become_deaf(&mut self) {
        self.deaf = true;
        self.deaf_as.insert(self.peer);
    }

    pub(super) fn runs(&self) -> bool {
        self.engine.is_some()
    }
}
