//! The sockets of every interface that the node works on, and the tasks that read them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{Interface, InterfaceId, LinkId};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::error::StartError;
use crate::link::Task;
use crate::seam::{Listener, Net, Udp};

/// Room for a datagram. Longer ones are none of ours, and what is cut off does not open.
const DATAGRAM: usize = 2048;

/// A pause after an error of a socket, so that one that persists does not spin.
const RECEIVE_PAUSE: Duration = Duration::from_millis(2);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A datagram as it came.
pub(crate) struct Received {
    pub(crate) interface: InterfaceId,
    pub(crate) source: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// A stream as it came, or the end of a dial.
pub(crate) enum Arrival<T> {
    /// Somebody dialled us.
    Accepted { interface: InterfaceId, stream: T, source: SocketAddr },
    /// A dial of ours ended.
    Dialled { link: LinkId, result: io::Result<T> },
}

/// All sockets of a node.
pub(crate) struct Sockets<N: Net> {
    net: Arc<N>,
    designated: Vec<u16>,
    private_port: u16,
    allowed: Option<Vec<String>>,
    bound: BTreeMap<InterfaceId, Bound<N>>,
    /// Interfaces whose private port could not be bound, so that it is said once.
    failing: BTreeSet<InterfaceId>,
}

/// The sockets of one interface.
struct Bound<N: Net> {
    interface: Interface,
    private: Arc<N::Udp>,
    tasks: Vec<Task>,
}

/// The private sockets of one interface.
type Private<N> = (<N as Net>::Udp, <N as Net>::Listener);

impl<N: Net> Sockets<N> {
    /// Binds everything on `interfaces`, with the first of `private_ports` that is free on all of them.
    pub(crate) async fn bind(
        net: Arc<N>,
        interfaces: Vec<Interface>,
        allowed: Option<Vec<String>>,
        designated: Vec<u16>,
        private_ports: Vec<u16>,
        arrivals: &mpsc::Sender<Arrival<N::Stream>>,
        datagrams: &mpsc::Sender<Received>,
    ) -> Result<Self, StartError> {
        let mut shared = Vec::new();
        let mut refused = None;
        for interface in &interfaces {
            let (sockets, error) = bind_shared(&*net, interface, &designated).await;
            shared.push(sockets);
            refused = error.or(refused);
        }
        if let (true, Some(source)) = (shared.iter().all(Vec::is_empty), refused) {
            return Err(StartError::AllPortsTaken { ports: designated, source });
        }
        let usable = private_ports.into_iter().filter(|port| !designated.contains(port));
        let (private_port, private) = bind_private(&*net, &interfaces, usable).await?;
        let mut bound = BTreeMap::new();
        for ((interface, shared), private) in interfaces.into_iter().zip(shared).zip(private) {
            let id = interface.id;
            bound.insert(id, Bound::serve(interface, shared, private, arrivals, datagrams));
        }
        Ok(Sockets { net, designated, private_port, allowed, bound, failing: BTreeSet::new() })
    }

    /// The port of unicasts and links.
    pub(crate) fn private_port(&self) -> u16 {
        self.private_port
    }

    /// The interfaces that the node works on.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        self.bound.values().map(|bound| bound.interface.clone()).collect()
    }

    /// The interface of this number.
    pub(crate) fn interface(&self, id: InterfaceId) -> Option<Interface> {
        self.bound.get(&id).map(|bound| bound.interface.clone())
    }

    /// Sends a datagram from the private port. Whatever prevents it is passing: beacons come again.
    pub(crate) fn send(&self, interface: InterfaceId, destination: SocketAddr, bytes: &[u8]) {
        if let Some(bound) = self.bound.get(&interface)
            && let Err(error) = bound.private.try_send_to(bytes, destination)
        {
            tracing::trace!(%destination, %error, "a datagram could not be sent");
        }
    }

    /// Compares with what the host has now: drops the sockets of what is gone or different, binds what is new.
    /// Says whether anything changed.
    pub(crate) async fn update(
        &mut self,
        found: Vec<Interface>,
        arrivals: &mpsc::Sender<Arrival<N::Stream>>,
        datagrams: &mpsc::Sender<Received>,
    ) -> bool {
        let wanted = select_interfaces(found, self.allowed.as_deref());
        let gone: Vec<_> = self
            .bound
            .values()
            .map(|bound| &bound.interface)
            .filter(|interface| !wanted.contains(interface))
            .map(|interface| interface.id)
            .collect();
        let mut changed = !gone.is_empty();
        for id in gone {
            if let Some(bound) = self.bound.remove(&id) {
                tracing::info!(interface = bound.interface.name, "the interface is gone or has changed");
                bound.stop().await;
            }
        }
        self.failing.retain(|id| wanted.iter().any(|interface| interface.id == *id));
        for interface in wanted {
            if self.bound.contains_key(&interface.id) {
                continue;
            }
            match private_sockets(&*self.net, &interface, self.private_port).await {
                Ok(private) => {
                    let (shared, _) = bind_shared(&*self.net, &interface, &self.designated).await;
                    tracing::info!(interface = interface.name, "a new interface");
                    self.failing.remove(&interface.id);
                    let id = interface.id;
                    self.bound.insert(id, Bound::serve(interface, shared, private, arrivals, datagrams));
                    changed = true;
                }
                Err(error) => {
                    if self.failing.insert(interface.id) {
                        let (name, port) = (&interface.name, self.private_port);
                        tracing::warn!(name, port, %error, "a new interface cannot be used yet");
                    }
                }
            }
        }
        changed
    }

    /// Closes everything.
    pub(crate) async fn stop(&mut self) {
        while let Some((_, bound)) = self.bound.pop_first() {
            bound.stop().await;
        }
    }
}

impl<N: Net> Bound<N> {
    fn serve(
        interface: Interface,
        shared: Vec<N::Udp>,
        (private, listener): Private<N>,
        arrivals: &mpsc::Sender<Arrival<N::Stream>>,
        datagrams: &mpsc::Sender<Received>,
    ) -> Self {
        let id = interface.id;
        let private = Arc::new(private);
        let sockets = shared.into_iter().map(Arc::new).chain([Arc::clone(&private)]);
        let mut tasks: Vec<_> =
            sockets.map(|socket| Task(tokio::spawn(receive(socket, id, datagrams.clone())))).collect();
        tasks.push(Task(tokio::spawn(accept(listener, id, arrivals.clone()))));
        Bound { interface, private, tasks }
    }

    /// Closes the sockets; when this returns their ports are free.
    async fn stop(self) {
        for task in self.tasks {
            task.stop().await;
        }
    }
}

/// The interfaces to work on: those of the allow-list, or all.
pub(crate) fn select_interfaces(found: Vec<Interface>, allowed: Option<&[String]>) -> Vec<Interface> {
    let mut selected = found;
    if let Some(allowed) = allowed {
        selected.retain(|interface| allowed.contains(&interface.name));
    }
    selected.sort_by_key(|interface| interface.id);
    selected
}

/// As many of the designated ports as can be had on one interface, and why another could not.
async fn bind_shared<N: Net>(
    net: &N,
    interface: &Interface,
    ports: &[u16],
) -> (Vec<N::Udp>, Option<io::Error>) {
    let (mut sockets, mut refused) = (Vec::new(), None);
    for &port in ports {
        match net.bind_shared(interface, port).await {
            Ok(socket) => sockets.push(socket),
            Err(error) => {
                let name = &interface.name;
                tracing::warn!(
                    port,
                    interface = name,
                    %error,
                    "a designated port cannot be listened on; another program may hold it"
                );
                refused = Some(error);
            }
        }
    }
    (sockets, refused)
}

/// The first port that is free on all interfaces.
async fn bind_private<N: Net>(
    net: &N,
    interfaces: &[Interface],
    ports: impl Iterator<Item = u16>,
) -> Result<(u16, Vec<Private<N>>), StartError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    'ports: for port in ports {
        let mut sockets = Vec::new();
        for interface in interfaces {
            match private_sockets(net, interface, port).await {
                Ok(private) => sockets.push(private),
                Err(error) => {
                    last = error;
                    continue 'ports;
                }
            }
        }
        return Ok((port, sockets));
    }
    Err(StartError::PrivatePort(last))
}

async fn private_sockets<N: Net>(net: &N, interface: &Interface, port: u16) -> io::Result<Private<N>> {
    let udp = net.bind_private(interface, port).await?;
    let listener = net.listen(interface, port).await?;
    Ok((udp, listener))
}

/// Hands over datagrams. When the driver does not keep up the system drops them, and not memory fills.
async fn receive<U: Udp>(socket: Arc<U>, interface: InterfaceId, datagrams: mpsc::Sender<Received>) {
    let mut buffer = [0; DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((n, source)) => {
                let bytes = buffer.get(..n).unwrap_or_default().to_vec();
                if datagrams.send(Received { interface, source, bytes }).await.is_err() {
                    return;
                }
            }
            // An ICMP message for an earlier datagram of ours, or a passing trouble of the system.
            Err(error) => {
                tracing::trace!(%error, "a socket reports an error");
                sleep(RECEIVE_PAUSE).await;
            }
        }
    }
}

/// Hands over streams. Errors such as too many open files pass.
async fn accept<L: Listener>(
    listener: L,
    interface: InterfaceId,
    arrivals: mpsc::Sender<Arrival<L::Stream>>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                if arrivals.send(Arrival::Accepted { interface, stream, source }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a stream could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
