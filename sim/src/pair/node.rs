//! One node of a [`Pair`](super::Pair).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use p2pnet_engine::{
    AuthorityState, Decision, Engine, Event, Interface, InterfaceAddr, InterfaceKind, LinkId, Memory,
    Timestamp,
};

use super::INTERFACE;
use super::conn::ConnId;
use crate::block_store::BlockStore;
use crate::draws::seed_bytes;
use crate::stream_end::Side;

/// One node: what outlives its engine, and the engine while it runs.
pub(super) struct Node {
    pub(super) alias: String,
    pub(super) ip: Ipv4Addr,
    pub(super) identity: [u8; 32],
    /// `None` while it does not run.
    pub(super) engine: Option<Engine>,
    /// The last incarnation used; durable.
    pub(super) incarnation: u64,
    /// What the next run is to know; durable.
    pub(super) memory: Memory,
    pub(super) decisions: Vec<Decision>,
    pub(super) authority: AuthorityState,
    /// How often it was started; tells events of an earlier run apart.
    pub(super) starts: u64,
    /// Which connection each of the engine's links is, and which side of it.
    pub(super) links: BTreeMap<LinkId, (ConnId, Side)>,
    pub(super) store: BlockStore,
    pub(super) events: Vec<(Timestamp, Event)>,
    /// The designated ports that it listens on.
    pub(super) ports: Vec<u16>,
    pub(super) takes_offers: bool,
    pub(super) interface_up: bool,
    /// When its cable has moved what was put into it.
    pub(super) out_free_at: Timestamp,
    pub(super) in_free_at: Timestamp,
}

impl Node {
    pub(super) fn new(seed: u64, i: u8) -> Self {
        let alias = char::from(b'a' + i).to_string();
        Node {
            ip: Ipv4Addr::new(192, 168, 77, i + 1),
            identity: seed_bytes(seed, &format!("identity {alias}")),
            alias,
            engine: None,
            incarnation: 0,
            memory: Memory::default(),
            decisions: Vec::new(),
            authority: AuthorityState::default(),
            starts: 0,
            links: BTreeMap::new(),
            store: BlockStore::default(),
            events: Vec::new(),
            ports: Vec::new(),
            takes_offers: false,
            interface_up: true,
            out_free_at: Timestamp::ZERO,
            in_free_at: Timestamp::ZERO,
        }
    }

    pub(super) fn interfaces(&self) -> Vec<Interface> {
        let interface = Interface {
            id: INTERFACE,
            name: "pair0".to_owned(),
            kind: InterfaceKind::Lan,
            multicast: true,
            directed_broadcast: true,
            addrs: vec![InterfaceAddr { ip: self.ip.into(), prefix: 24 }],
        };
        if self.interface_up { vec![interface] } else { Vec::new() }
    }
}
