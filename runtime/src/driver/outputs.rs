//! Doing what the engine says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{Action, InterfaceId, LinkId, LinkInput, LinkOutput, StoreRequest, TaskKind};
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use super::{Arrival, Driver, MAX_FINISHING, Slot};
use crate::bootstrap::Announcement;
use crate::link::Task;
use crate::seam::{Host, Net, Store};

/// How long a dial may take. The engine dials again, so a lost SYN costs no more than this.
const DIAL_TIME: Duration = Duration::from_secs(2);

impl<N: Net, S: Store, H: Host> Driver<N, S, H> {
    /// Drains every output: actions first, because they say what the link output polled after them needs.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(action) = self.engine.poll_action() {
                self.act(action);
            }
            while let Some(id) = self.engine.poll_ready_link() {
                self.fill_link(id);
            }
            // A block used its link's budget up, but it is only a reference and the writer puts control before it:
            // without a new grant the next frame would wait for the block.
            let Some(id) = self.granting.pop_first() else { break };
            if let Some(Slot::Open(link)) = self.links.get(&id) {
                let budget = link.budget();
                self.engine.handle_link(self.clock.now(), id, LinkInput::Writable { budget });
            }
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.engine.poll_transmit(&mut bytes) {
            self.sockets.send(transmit.interface, transmit.destination, &bytes);
        }
        self.emit();
    }

    /// Moves what the engine has for one link to its writer.
    fn fill_link(&mut self, id: LinkId) {
        let mut bytes = Vec::new();
        while let Some(output) = self.engine.poll_link(id, &mut bytes) {
            let bytes = std::mem::take(&mut bytes);
            let Some(Slot::Open(link)) = self.links.get_mut(&id) else {
                continue;
            };
            match output {
                LinkOutput::Raw => link.raw(bytes),
                LinkOutput::Frames => link.frames(bytes),
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { link, interface, address } => self.dial(link, interface, address),
            Action::LinkReady { link, codec } => {
                if let Some(Slot::Open(link)) = self.links.get_mut(&link) {
                    link.ready(*codec);
                }
            }
            // Dials end like this too.
            Action::Close { link } => drop(self.links.remove(&link)),
            Action::Finish { link, raw, frames } => self.finish(link, raw, frames),
            Action::ExpectBlock { link, block, check } => {
                if let Some(Slot::Open(open)) = self.links.get(&link)
                    && !open.expect(block, check)
                {
                    tracing::warn!(%link, "the link expects too many blocks; this one will be refused");
                }
            }
            Action::ForgetBlock { link, block } => {
                if let Some(Slot::Open(open)) = self.links.get(&link) {
                    open.forget(&block);
                }
            }
            Action::SendBlock { link: id, block } => {
                if let Some(Slot::Open(link)) = self.links.get_mut(&id) {
                    link.block(block);
                    self.granting.insert(id);
                }
            }
            Action::Store(request) => self.request(request),
            Action::Announce { server, record, want, reports } => {
                self.asking.ask(server, Announcement { record, want, reports });
            }
            Action::Permit { address } => self.relays.permit(address),
            other => tracing::error!(?other, "an action that this driver does not know"),
        }
    }

    fn dial(&mut self, link: LinkId, interface: Option<InterfaceId>, address: SocketAddr) {
        let interface = interface.and_then(|id| self.sockets.interface(id));
        let net = Arc::clone(&self.net);
        let arrivals = self.inbox.arrivals.clone();
        let dial = async move {
            let connected = timeout(DIAL_TIME, net.connect(interface.as_ref(), address)).await;
            let result = connected.unwrap_or_else(|elapsed| Err(elapsed.into()));
            let _ = arrivals.send(Arrival::Dialled { link, result }).await;
        };
        self.links.insert(link, Slot::Dialling { _task: Task(tokio::spawn(dial)) });
    }

    /// Has a link say its last words, on its own from here on.
    fn finish(&mut self, id: LinkId, raw: Vec<u8>, frames: Vec<u8>) {
        let Some(Slot::Open(mut link)) = self.links.remove(&id) else {
            return;
        };
        while self.finishing.try_join_next().is_some() {}
        if self.finishing.len() < MAX_FINISHING {
            link.raw(raw);
            link.frames(frames);
            self.finishing.spawn(link.finish());
        }
    }

    fn request(&mut self, request: StoreRequest) {
        let network = self.engine.config().network.tag();
        self.contents.request(request, network, &self.store, &self.news_in);
    }

    /// Gives the application as many events as it has room for; the others stay in the engine.
    pub(super) fn emit(&mut self) {
        loop {
            let permit = match self.events.try_reserve() {
                Ok(permit) => Some(permit),
                Err(TrySendError::Full(())) => {
                    self.events_full = true;
                    return;
                }
                // Nobody listens any more.
                Err(TrySendError::Closed(())) => None,
            };
            let Some(event) = self.engine.poll_event() else {
                self.events_full = false;
                return;
            };
            if event == p2pnet_engine::Event::Left {
                self.left = true;
            }
            if let p2pnet_engine::Event::ContentOffered { manifest, .. } = &event
                && self.engine.progress(&manifest.content).is_some()
            {
                self.contents.fetching(manifest.content);
            }
            if let p2pnet_engine::Event::TaskExecuted { kind: TaskKind::RequestData { content }, .. } = &event
                && self.engine.progress(content).is_some()
            {
                self.contents.fetching(*content);
            }
            if let (Some(event), Some(permit)) = (self.contents.translate(event), permit) {
                permit.send(event);
            }
        }
    }
}
