//! One host of a [`Lan`](super::Lan) and the node on it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use p2pnet::seam::Source;
use p2pnet::{Event, Node};
use p2pnet_engine::{ContentId, PeerId};
use tokio::sync::mpsc;

use super::Settings;
use crate::trace::{Recorder, What};
use crate::whole_nodes::faults::Faults;
use crate::whole_nodes::faulty_net::FaultyNet;
use crate::whole_nodes::memory_store::MemoryStore;
use crate::whole_nodes::sim_host::SimHost;
use crate::whole_nodes::traced_net::{Pen, TracedNet};
use crate::whole_nodes::turmoil_net::TurmoilNet;

/// One host: what outlives its node, and what is known of it from outside.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) alias: String,
    pub(super) ip: IpAddr,
    pub(super) store: MemoryStore,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// What a node's events said, and the way to give it commands.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) orders: Option<mpsc::UnboundedSender<Order>>,
    pub(super) starts: u64,
    pub(super) peer: Option<PeerId>,
    pub(super) connected: BTreeSet<PeerId>,
    pub(super) trusted: BTreeSet<PeerId>,
    /// Each with the run of the node that it came in.
    pub(super) texts: Vec<(u64, PeerId, String)>,
    /// Numbers of orders to send a text that were carried out.
    pub(super) sent: BTreeSet<usize>,
    pub(super) delivered: Vec<(PeerId, u64)>,
    pub(super) received: BTreeMap<ContentId, u64>,
    pub(super) holders: BTreeSet<(ContentId, PeerId)>,
    pub(super) lost: u64,
    /// How often each peer came or went.
    pub(super) turns: BTreeMap<PeerId, u64>,
    /// What the events said that cannot be.
    pub(super) odd: Option<String>,
    /// To whom, and on which link, it has shown its badge in this run.
    pub(super) shown: BTreeSet<(PeerId, [u8; 32])>,
}

/// A command for a node.
pub(super) enum Order {
    Text(PeerId, String),
    /// A text with a number under which it is noted once the node has taken it.
    Numbered(usize, PeerId, String),
    Publish(String, Vec<u8>),
    Leave,
}

impl Seat {
    pub(super) fn new(i: u8, name: Option<&String>) -> Self {
        Seat {
            alias: name.cloned().unwrap_or_else(|| char::from(b'a' + i).to_string()),
            ip: Ipv4Addr::new(192, 168, 0, i + 1).into(),
            store: MemoryStore::new(),
            seen: Arc::default(),
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while the lock is held, so what is poisoned is whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Forgets what ends with a run of the node.
    pub(super) fn stop(&mut self) {
        self.orders = None;
        self.connected.clear();
        self.trusted.clear();
        self.lost = 0;
        self.shown.clear();
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Listening { peer, .. } => self.peer = Some(*peer),
            Event::PeerConnected { peer, .. } => {
                *self.turns.entry(*peer).or_default() += 1;
                if !self.connected.insert(*peer) {
                    self.odd = Some(format!("{} is connected, and was connected already", peer.short()));
                }
            }
            Event::PeerTrusted { peer, .. } => {
                self.trusted.insert(*peer);
                if !self.connected.contains(peer) {
                    self.odd = Some(format!("{} is trusted, and was not connected", peer.short()));
                }
            }
            Event::PeerLeft { peer, .. } => {
                *self.turns.entry(*peer).or_default() += 1;
                if !self.connected.remove(peer) {
                    self.odd = Some(format!("{} is gone, and was not connected", peer.short()));
                }
                self.trusted.remove(peer);
                self.lost += 1;
            }
            Event::Text { from, text, .. } => self.texts.push((self.starts, *from, text.clone())),
            Event::TextDelivered { to, id } => self.delivered.push((*to, *id)),
            Event::ContentReceived { manifest, fetched_bytes, .. } => {
                self.received.insert(manifest.content, *fetched_bytes);
            }
            Event::ContentDelivered { content, to } => {
                self.holders.insert((*content, *to));
            }
            _ => {}
        }
    }
}

/// One run of one node: gives it its orders and notes its events, until it leaves or its host is crashed.
pub(super) async fn run_node(
    i: usize,
    seed: u64,
    seat: Seat,
    settings: Settings,
    faults: Faults,
    pen: Pen,
    recorder: Recorder,
) -> turmoil::Result {
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let run = {
        let mut seen = seat.seen();
        seen.starts += 1;
        seen.orders = Some(orders);
        seen.starts
    };
    let label = format!("{} {run}", seat.alias);
    let faulty = FaultyNet::new(TurmoilNet, faults, seed, &label).of_host(seat.ip);
    let net = TracedNet::new(faulty, pen.clone());
    let host = SimHost::new(seat.ip, seed, &label, settings.multicast);
    let configure = Arc::clone(&settings.configure);
    let mut node = Node::builder(&seat.alias)
        .network("sim")
        .config(move |config| configure(i, config))
        .start_on(net, seat.store.clone(), host)
        .await?;
    let handle = node.handle();
    let application = settings.application(i);
    loop {
        tokio::select! {
            biased;
            Some(order) = ordered.recv() => {
                let result = match order {
                    Order::Text(to, text) => handle.send_text(to, &text).await.map(drop),
                    Order::Numbered(number, to, text) => {
                        let sent = handle.send_text(to, &text).await;
                        if sent.is_ok() {
                            seat.seen().sent.insert(number);
                        }
                        sent.map(drop)
                    }
                    Order::Publish(name, bytes) => handle.share(Source::Bytes { name, bytes }).await.map(drop),
                    Order::Leave => break,
                };
                if let Err(error) = result {
                    pen.write(What::Warning { message: error.to_string() });
                }
            }
            event = node.next_event() => {
                let Some(event) = event else { break };
                if let Event::Listening { peer, .. } = &event {
                    recorder.lock().name_peer(&seat.alias, *peer);
                    pen.write(What::Started { incarnation: seat.store.incarnation() });
                }
                seat.seen().note(&event);
                let what = What::from_node(&event, &recorder.lock());
                if let Some(what) = what {
                    pen.write(what);
                }
                application.react(&event, &handle, &seat, &pen).await;
            }
        }
    }
    node.shutdown().await;
    seat.seen().stop();
    pen.write(What::Stopped);
    Ok(())
}
