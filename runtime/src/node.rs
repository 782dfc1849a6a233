//! A node: what an application starts, listens to, and asks for things.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use p2pnet_engine::{
    CipherSuite, Config, DESIGNATED_PORTS, Engine, Identity, Interface, Network, OfferPolicy, PeerId,
    Restored, Seeds, TrustPolicy,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::bootstrap::{BootstrapServer, Servers};
use crate::disk_store::DiskStore;
use crate::doctor::Why;
use crate::driver::{Clock, Driver, Inbox, Relays, Sockets, select_interfaces};
use crate::error::{CommandError, StartError};
use crate::event::Event;
use crate::handle::NodeHandle;
use crate::os_host::OsHost;
#[cfg(feature = "relay")]
use crate::relay::{Keeper, MAX_RELAYS, Relay};
use crate::seam::{Host, Net, Store};
use crate::tokio_net::TokioNet;

/// The network that nodes are on unless told otherwise.
const DEFAULT_NETWORK: &str = "p2pnet";

/// Events that wait for the application before the engine holds back.
const EVENTS: usize = 64;

/// A running node. It lives until [`shutdown`](Node::shutdown), [`NodeHandle::leave`], or until it is dropped, which
/// has it leave in the background as long as the tokio runtime goes on.
#[derive(Debug)]
pub struct Node {
    events: mpsc::Receiver<Event>,
    handle: NodeHandle,
    /// Dropped, it stops the driver.
    _stop: oneshot::Sender<()>,
    driver: JoinHandle<()>,
}

impl Node {
    /// Begins to describe a node that others see as `name`: 1 to 64 bytes, no control characters.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        NodeBuilder {
            name: name.into(),
            network: DEFAULT_NETWORK.into(),
            secret: None,
            passphrase: None,
            data_dir: None,
            inbox: None,
            interfaces: None,
            ports: DESIGNATED_PORTS.to_vec(),
            peers: Vec::new(),
            servers: Servers::default(),
            #[cfg(feature = "relay")]
            relays: Vec::new(),
            configure: Vec::new(),
        }
    }

    /// The next event, or `None` when the node has stopped. Safe to cancel.
    ///
    /// An application that takes no events slows nobody down: what is only of interest once is merged, and texts
    /// are not acknowledged until they are taken.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// What gives the node commands; it may be cloned and outlives the node, which it does not keep alive.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Everything that tells why a peer is linked or not; see [`NodeHandle::why`].
    ///
    /// # Errors
    /// If the node has stopped.
    pub async fn why(&self, peer: PeerId) -> Result<Option<Why>, CommandError> {
        self.handle.why(peer).await
    }

    /// Says goodbye to everybody and stops: at most 2 s. Events that were not taken are lost.
    ///
    /// # Panics
    /// If the node's own task did.
    pub async fn shutdown(self) {
        let Node { events, handle: _, _stop: stop, driver } = self;
        drop((events, stop));
        if let Err(error) = driver.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A node that is yet to be started.
#[must_use = "a node does nothing until it is started"]
pub struct NodeBuilder {
    name: String,
    network: String,
    secret: Option<[u8; 32]>,
    passphrase: Option<String>,
    data_dir: Option<PathBuf>,
    inbox: Option<PathBuf>,
    interfaces: Option<Vec<String>>,
    ports: Vec<u16>,
    peers: Vec<SocketAddr>,
    servers: Servers,
    #[cfg(feature = "relay")]
    relays: Vec<Relay>,
    configure: Vec<Configure>,
}

type Configure = Box<dyn FnOnce(&mut Config) + Send>;

impl NodeBuilder {
    /// The network to be on; `p2pnet` unless set. 1 to 64 bytes, no control characters.
    pub fn network(mut self, name: impl Into<String>) -> Self {
        self.network = name.into();
        self
    }

    /// Closes the network to everybody who does not have this secret: 32 bytes from a source of entropy. Without a
    /// secret or passphrase anyone on the LAN may join.
    pub fn secret(mut self, secret: [u8; 32]) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Closes the network to everybody who does not know this passphrase. It is stretched by Argon2id (19 MiB, two
    /// passes), with the network's name as the salt; a weak one can still be guessed by a patient stranger.
    pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.passphrase = Some(passphrase.into());
        self
    }

    /// Where the identity, what peers remember of it, the peers that were met and the private port are kept. Without,
    /// the identity is new at each start, nobody is remembered, and what is received goes when the node stops unless there is an [`inbox`](NodeBuilder::inbox).
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Where received content goes; `inbox` in the data directory unless set.
    pub fn inbox(mut self, path: impl Into<PathBuf>) -> Self {
        self.inbox = Some(path.into());
        self
    }

    /// Works on these interfaces only, by the operating system's names. Unless set: on all that are up and have an
    /// address, loopback included.
    pub fn interfaces<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.interfaces = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The designated ports, on which nodes find each other: 1 to 8, the same ones on all nodes, the anchor first.
    pub fn ports(mut self, ports: impl Into<Vec<u16>>) -> Self {
        self.ports = ports.into();
        self
    }

    /// Dials this address until a peer is there, for where no beacon gets. May be given several times.
    pub fn peer(mut self, address: SocketAddr) -> Self {
        self.peers.push(address);
        self
    }

    /// Announces this node to a bootstrap server and asks it for others, so that peers beyond the LAN are found: an
    /// [`HttpServer`](crate::bootstrap::HttpServer), or what else does the same. May be given up to 8 times. Without one
    /// nothing is sent to anybody beyond the LAN. What a server says is believed as far as its subjects signed it.
    pub fn bootstrap(mut self, server: impl BootstrapServer) -> Self {
        self.servers.0.push(Arc::new(server));
        self
    }

    /// Keeps an address at a relay, a TURN server that relays TCP, by which peers beyond this host's router reach this
    /// node; see [`Relay`]. May be given up to [`MAX_RELAYS`](crate::relay::MAX_RELAYS) times: the first that is there is
    /// told to others, and when it is gone another at once. Does nothing without a [bootstrap](NodeBuilder::bootstrap)
    /// server, which tells others of it and whom to let through.
    #[cfg(feature = "relay")]
    pub fn relay(mut self, relay: Relay) -> Self {
        self.relays.push(relay);
        self
    }

    /// Who is let in, and what passes before that; unless set, whoever is on the network and answers pings. The guide
    /// is `VERIFICATION.md`.
    pub fn trust_policy(self, policy: TrustPolicy) -> Self {
        self.config(|config| config.trust = policy)
    }

    /// Which offers are taken without asking; unless set, none: the application fetches or declines each.
    pub fn offer_policy(self, policy: OfferPolicy) -> Self {
        self.config(|config| config.offers = policy)
    }

    /// Changes anything else about the engine. Name, network, ports and suite are already set and may be overruled;
    /// the private port may not, it is bound when this runs.
    pub fn config(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// Starts on real sockets and disks. Must be called within a tokio runtime with time and IO enabled.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(self) -> Result<Node, StartError> {
        self.start_here().await
    }

    /// Boxed, so that the driver of real sockets and disks is compiled with this crate and not with every program.
    fn start_here(mut self) -> Pin<Box<dyn Future<Output = Result<Node, StartError>>>> {
        Box::pin(async move {
            let inbox = self.inbox.take();
            let store = match self.data_dir.take() {
                Some(path) => DiskStore::open(path, inbox)?,
                None => DiskStore::temporary(inbox)?,
            };
            self.start_on(TokioNet::new(), store, OsHost::new()).await
        })
    }

    /// Starts on any network, store and host, such as those of a simulation. The data directory and the inbox are
    /// then the store's business and what was said of them here is ignored.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start_on<N: Net, S: Store, H: Host>(
        mut self,
        net: N,
        store: S,
        host: H,
    ) -> Result<Node, StartError> {
        let network = self.open_network(&host).await?;
        let interfaces = choose_interfaces(&host, self.interfaces.as_deref())?;
        let entropy = || host.entropy().map_err(StartError::Entropy);
        let seed = store.identity_seed(entropy()?).await.map_err(StartError::Store)?;
        let seeds = Seeds::new(entropy()?, entropy()?);
        let identity = Identity::from_seed(seed);

        // The real private port is known only when it is bound, and to no avail if the rest is wrong.
        let mut config = Config::new(network, self.name, 1);
        config.designated_ports = self.ports;
        config.suite =
            if host.fast_aes() { CipherSuite::Aes256GcmSha256 } else { CipherSuite::ChaChaPolyBlake2s };
        config.servers = u8::try_from(self.servers.0.len()).unwrap_or(u8::MAX);
        for change in self.configure {
            change(&mut config);
        }
        let network = config.network.tag();
        let authority = store.authority(network).await.map_err(StartError::Store)?;
        let given = self.servers.add_given(authority.servers(&config.authority));
        config.servers = config.servers.saturating_add(given);

        let inbox = Inbox::<N>::new();
        let net = Arc::new(net);
        let last_port = or_without(store.remembered_port().await, "the last private port");
        let private_ports = last_port.into_iter().chain(host.private_ports()).collect();
        let sockets = Sockets::bind(
            Arc::clone(&net),
            interfaces,
            self.interfaces,
            config.designated_ports.clone(),
            private_ports,
            &inbox.arrivals,
            &inbox.datagrams,
        );
        // Durable before the first packet, or a restart could be taken for the past.
        let incarnation = async { store.next_incarnation().await.map_err(StartError::Store) };
        let (incarnation, sockets) = tokio::try_join!(incarnation, sockets)?;
        let port = sockets.private_port();
        config.private_port = port;
        let memory = or_without(store.recall(network).await, "what earlier runs remembered");
        // Without knowing who is blocked nobody is let in.
        let decisions = store.decisions(network).await.map_err(StartError::Store)?;
        let restored = Restored { incarnation, memory, decisions, authority };
        let clock = Clock::start();
        let mut engine = Engine::new(config, identity, restored, seeds, clock.now())?;
        for address in self.peers {
            let dialled = engine.dial(clock.now(), address);
            dialled.map_err(|source| StartError::Peer { address, source })?;
        }
        let (peer, name) = (engine.peer_id(), engine.config().name.clone());
        #[cfg(feature = "relay")]
        let relays = keep_relays(self.relays, entropy()?, &net, &inbox)?;
        #[cfg(not(feature = "relay"))]
        let relays = Relays::new(Vec::new(), |_, _, _| {});
        let seams = (net, Arc::new(store), host);
        let (driver, ends) =
            Driver::new(engine, clock, seams, sockets, inbox, (self.servers, relays), EVENTS);
        driver.announce(Event::Listening { peer, name, port });
        let handle = NodeHandle::new(peer, port, ends.commands);
        let driver = tokio::spawn(driver.run());
        Ok(Node { events: ends.events, handle, _stop: ends.stop, driver })
    }

    /// The network, closed if there is a secret.
    async fn open_network<H: Host>(&self, host: &H) -> Result<Network, StartError> {
        let secret = match (self.secret, self.passphrase.clone()) {
            (Some(_), Some(_)) => return Err(StartError::TwoSecrets),
            (None, Some(passphrase)) => {
                let network = self.network.clone();
                let stretched = host.offload(move || stretch(&passphrase, &network)).await;
                Some(stretched.map_err(|error| StartError::Passphrase(error.to_string()))?)
            }
            (secret, None) => secret,
        };
        Ok(match secret {
            Some(secret) => Network::with_secret(&self.network, &secret)?,
            None => {
                tracing::info!("the network has no secret: anyone on the LAN may join it");
                Network::open(&self.network)?
            }
        })
    }
}

impl std::fmt::Debug for NodeBuilder {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("network", &self.network)
            .field("interfaces", &self.interfaces)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// Starts what keeps an allocation at each relay.
#[cfg(feature = "relay")]
fn keep_relays<N: Net>(
    relays: Vec<Relay>,
    seed: [u8; 32],
    net: &Arc<N>,
    inbox: &Inbox<N>,
) -> Result<Relays, StartError> {
    if relays.len() > MAX_RELAYS {
        return Err(StartError::TooManyRelays);
    }
    let names = relays.iter().map(Relay::name).collect();
    let mut relays = relays.into_iter();
    Ok(Relays::new(names, |number, permitted, keepers| {
        let Some(relay) = relays.next() else { return };
        let seed = *blake3::keyed_hash(&seed, &number.to_le_bytes()).as_bytes();
        let (news, arrivals) = (inbox.relay_news.clone(), inbox.arrivals.clone());
        let keeper = Keeper { number, relay, net: Arc::clone(net), seed, news, arrivals, permitted };
        keepers.spawn(keeper.keep());
    }))
}

/// The interfaces to begin with.
fn choose_interfaces<H: Host>(host: &H, allowed: Option<&[String]>) -> Result<Vec<Interface>, StartError> {
    let found = host.interfaces().map_err(StartError::Interfaces)?;
    let available: Vec<_> = found.iter().map(|interface| interface.name.clone()).collect();
    let missing = allowed.unwrap_or_default().iter().find(|name| !available.contains(name));
    if let Some(name) = missing {
        return Err(StartError::UnknownInterface { name: name.clone(), available });
    }
    let selected = select_interfaces(found, allowed);
    if selected.is_empty() { Err(StartError::NoInterface) } else { Ok(selected) }
}

/// What the store gives, or nothing if it fails: a start that is slower than it could be is better than none.
fn or_without<T: Default>(result: io::Result<T>, what: &str) -> T {
    result.unwrap_or_else(|error| {
        tracing::warn!(%error, "the store fails; going on without {what}");
        T::default()
    })
}

/// Makes a network's secret of a passphrase, as [`NodeBuilder::passphrase`] does: what certificates are issued for.
/// Takes some 20 ms.
///
/// # Errors
/// If the passphrase is longer than Argon2 takes.
pub fn stretch_passphrase(passphrase: &str, network: &str) -> Result<[u8; 32], StartError> {
    stretch(passphrase, network).map_err(|error| StartError::Passphrase(error.to_string()))
}

/// The salt is fixed by the network's name, so that all who know both agree.
fn stretch(passphrase: &str, network: &str) -> Result<[u8; 32], argon2::Error> {
    let mut secret = [0; 32];
    // Argon2 wants 8 bytes of salt at least.
    let salt = format!("p2pnet v1 passphrase of {network}");
    argon2::Argon2::default().hash_password_into(passphrase.as_bytes(), salt.as_bytes(), &mut secret)?;
    Ok(secret)
}
