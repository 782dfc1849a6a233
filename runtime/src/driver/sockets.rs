//! The sockets of every interface that the node works on, and the tasks that read them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{Interface, InterfaceId, LinkId};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::sending::Sending;
use crate::error::StartError;
use crate::link::{Halves, Task};
use crate::report::{BindError, InterfaceReport, NetworkReport};
use crate::seam::{Listener, Net, Stream, Udp};

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
pub(crate) enum Arrival<T: Stream> {
    /// Somebody dialled us, by this interface or by a relay.
    Accepted { interface: Option<InterfaceId>, stream: Halves<T>, source: SocketAddr },
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
    /// Interfaces whose private port could not be bound, and why.
    failing: BTreeMap<InterfaceId, (Interface, BindError)>,
}

/// The sockets of one interface.
struct Bound<N: Net> {
    interface: Interface,
    private: Arc<N::Udp>,
    tasks: Vec<Task>,
    /// The designated ports that are listened on, and why others are not.
    shared: BTreeMap<u16, Task>,
    refused: BTreeMap<u16, BindError>,
    sending: Sending,
}

/// What became of the designated ports of one interface.
struct Shared<N: Net> {
    sockets: Vec<(u16, N::Udp)>,
    refused: BTreeMap<u16, BindError>,
    /// The last reason.
    error: Option<io::Error>,
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
            let mut ports = bind_shared(&*net, interface, designated.iter().copied(), &BTreeMap::new()).await;
            refused = ports.error.take().or(refused);
            shared.push(ports);
        }
        if let (true, Some(source)) = (shared.iter().all(|ports| ports.sockets.is_empty()), refused) {
            return Err(StartError::AllPortsTaken { ports: designated, source });
        }
        let usable = private_ports.into_iter().filter(|port| !designated.contains(port));
        let (private_port, private) = bind_private(&*net, &interfaces, usable).await?;
        let mut bound = BTreeMap::new();
        for ((interface, shared), private) in interfaces.into_iter().zip(shared).zip(private) {
            let id = interface.id;
            bound.insert(id, Bound::serve(interface, shared, private, arrivals, datagrams));
        }
        Ok(Sockets { net, designated, private_port, allowed, bound, failing: BTreeMap::new() })
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

    /// Sends a datagram from the private port. Whatever prevents it is passing, beacons come again; but it is noted.
    pub(crate) fn send(&mut self, interface: InterfaceId, destination: SocketAddr, bytes: &[u8]) {
        if let Some(bound) = self.bound.get_mut(&interface) {
            let result = bound.private.try_send_to(bytes, destination);
            bound.sending.note(&bound.interface, destination, result);
        }
    }

    /// What the sockets could not do.
    pub(crate) fn report(&self) -> NetworkReport {
        let ordered =
            |has: &dyn Fn(u16) -> bool| self.designated.iter().copied().filter(|&port| has(port)).collect();
        let working = self.bound.values().map(|bound| InterfaceReport {
            interface: bound.interface.clone(),
            unusable: None,
            listening: ordered(&|port| bound.shared.contains_key(&port)),
            refused: self.designated.iter().filter_map(|port| bound.refused.get(port).cloned()).collect(),
            sent: bound.sending.sent,
            unsent: bound.sending.unsent,
            send_errors: bound.sending.errors(),
        });
        let failing = self.failing.values().map(|(interface, error)| InterfaceReport {
            interface: interface.clone(),
            unusable: Some(error.clone()),
            listening: Vec::new(),
            refused: Vec::new(),
            sent: 0,
            unsent: 0,
            send_errors: Vec::new(),
        });
        let mut interfaces: Vec<_> = working.chain(failing).collect();
        interfaces.sort_by_key(|report| report.interface.id);
        NetworkReport {
            private_port: self.private_port,
            designated_ports: self.designated.clone(),
            interfaces,
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
        self.failing.retain(|id, _| wanted.iter().any(|interface| interface.id == *id));
        for interface in wanted {
            if let Some(bound) = self.bound.get_mut(&interface.id) {
                // Whoever had the port may have gone.
                bound.listen_again(&*self.net, datagrams).await;
                continue;
            }
            match private_sockets(&*self.net, &interface, self.private_port).await {
                Ok(private) => {
                    let ports = self.designated.iter().copied();
                    let shared = bind_shared(&*self.net, &interface, ports, &BTreeMap::new()).await;
                    tracing::info!(interface = interface.name, "a new interface");
                    self.failing.remove(&interface.id);
                    let id = interface.id;
                    self.bound.insert(id, Bound::serve(interface, shared, private, arrivals, datagrams));
                    changed = true;
                }
                Err(error) => {
                    let port = self.private_port;
                    if !self.failing.contains_key(&interface.id) {
                        tracing::warn!(interface = interface.name, port, %error, "a new interface cannot be used yet");
                    }
                    self.failing.insert(interface.id, (interface, BindError::new(port, &error)));
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
        shared: Shared<N>,
        (private, listener): Private<N>,
        arrivals: &mpsc::Sender<Arrival<N::Stream>>,
        datagrams: &mpsc::Sender<Received>,
    ) -> Self {
        let id = interface.id;
        let private = Arc::new(private);
        let mut bound = Bound {
            interface,
            private: Arc::clone(&private),
            tasks: Vec::new(),
            shared: BTreeMap::new(),
            refused: BTreeMap::new(),
            sending: Sending::default(),
        };
        bound.listen(shared, datagrams);
        bound.tasks.push(Task(tokio::spawn(receive(private, id, datagrams.clone()))));
        bound.tasks.push(Task(tokio::spawn(accept(listener, id, arrivals.clone()))));
        bound
    }

    fn listen(&mut self, ports: Shared<N>, datagrams: &mpsc::Sender<Received>) {
        self.refused = ports.refused;
        for (port, socket) in ports.sockets {
            let task = tokio::spawn(receive(Arc::new(socket), self.interface.id, datagrams.clone()));
            self.shared.insert(port, Task(task));
        }
    }

    /// Tries the designated ports that were refused once more.
    async fn listen_again(&mut self, net: &N, datagrams: &mpsc::Sender<Received>) {
        if !self.refused.is_empty() {
            let ports: Vec<_> = self.refused.keys().copied().collect();
            let shared = bind_shared(net, &self.interface, ports.into_iter(), &self.refused).await;
            self.listen(shared, datagrams);
        }
    }

    /// Closes the sockets; when this returns their ports are free.
    async fn stop(self) {
        for task in self.shared.into_values().chain(self.tasks) {
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

/// As many of `ports` as can be had on one interface, and why others cannot. What was refused `before` for the same
/// reason is not said again.
async fn bind_shared<N: Net>(
    net: &N,
    interface: &Interface,
    ports: impl Iterator<Item = u16>,
    before: &BTreeMap<u16, BindError>,
) -> Shared<N> {
    let mut shared = Shared { sockets: Vec::new(), refused: BTreeMap::new(), error: None };
    for port in ports {
        match net.bind_shared(interface, port).await {
            Ok(socket) => {
                if before.contains_key(&port) {
                    tracing::info!(
                        port,
                        interface = interface.name,
                        "a designated port is listened on at last"
                    );
                }
                shared.sockets.push((port, socket));
            }
            Err(error) => {
                let refused = BindError::new(port, &error);
                if before.get(&port) != Some(&refused) {
                    tracing::warn!(
                        port,
                        interface = interface.name,
                        %error,
                        "a designated port cannot be listened on; another program may hold it"
                    );
                }
                shared.refused.insert(port, refused);
                shared.error = Some(error);
            }
        }
    }
    shared
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
                let (interface, stream) = (Some(interface), stream.into());
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
