//! The control connection: an allocation and all that keeps it.

mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stun_types::attribute::AttributeWrite;
use stun_types::message::{BINDING, MessageClass};
use turn_types::attribute::{Lifetime, RequestedTransport, XorPeerAddress};
use turn_types::message::{ALLOCATE, CONNECTION_ATTEMPT, CREATE_PERMISSION, REFRESH};

use crate::bind::Bind;
use crate::credentials::{Credentials, Exchange, Outcome, Signer};
use crate::error::Error;
use crate::framing::Framing;
use crate::ids::Ids;
use crate::message::{self, Content};
use crate::permissions::Permissions;

/// Announced connections that may wait to be bound. Beyond it they are ignored, and the server closes them.
pub const MAX_ATTEMPTS: usize = 32;

/// A server closes a connection that is not bound for so long (RFC 6062, section 5.3).
const ATTEMPT_TIME: Duration = Duration::from_secs(30);

/// A nonce that the server took so lately is not stale.
const FRESH: Duration = Duration::from_millis(500);

/// The longest lifetime that is believed.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// How a client keeps its allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The lifetime that is asked for, at least 1 s; servers give 600 s at least unless told otherwise.
    pub lifetime: Duration,
    /// How long the server may take to answer before it counts as gone.
    pub answer: Duration,
    /// After so long without anything else to ask, the server is asked whether it is there.
    pub keepalive: Duration,
}

impl Default for Settings {
    /// 600 s; 2 s; 1.5 s: a server that is gone is noticed within 3.5 s.
    fn default() -> Settings {
        Settings {
            lifetime: Duration::from_secs(600),
            answer: Duration::from_secs(2),
            keepalive: Duration::from_millis(1500),
        }
    }
}

/// What a client tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Who is let through reaches this program at that address from now on.
    Allocated {
        /// The address that the server takes connections at.
        relayed: SocketAddr,
    },
    /// The server sees this program at that address, which is the router's if there is one in between. Again when it
    /// changes.
    Observed(SocketAddr),
    /// Somebody who is let through has connected. To take the connection, connect to the server anew and say there
    /// what [`Client::bind`] gives.
    Attempt {
        /// The connection's number.
        connection: u32,
        /// Where it comes from, as the server says.
        peer: SocketAddr,
    },
    /// The server lets this address through no more, or never did.
    NotPermitted {
        /// The address.
        address: IpAddr,
        /// Why.
        error: Error,
    },
    /// It is all over: the control connection is to be closed. Nothing follows.
    Failed(Error),
}

/// The client's side of a control connection to one server. See the crate's documentation.
pub struct Client {
    settings: Settings,
    signer: Signer,
    ids: Ids,
    framing: Framing,
    stage: Stage,
    waiting: Option<Waiting>,
    /// When the server is asked whether it is there.
    ping_at: Duration,
    /// When the server took a signed request for the last time.
    signed_at: Option<Duration>,
    observed: Option<SocketAddr>,
    permissions: Permissions,
    /// Until when they can be bound.
    attempts: BTreeMap<u32, Duration>,
    /// Attempts that are told when the nonce is fresh: some servers drop a data connection that comes with a stale one.
    held: Vec<Event>,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

enum Stage {
    Asking,
    Allocated { relayed: SocketAddr, refresh_at: Duration },
    Over,
}

/// The one request that waits for its answer; others wait until it has come.
struct Waiting {
    request: Request,
    exchange: Exchange,
    deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Allocate,
    Refresh,
    Permit(IpAddr),
    Ping,
}

impl Client {
    /// A client whose connection to the server is open. The server must not be able to guess the seed.
    #[must_use]
    pub fn new(now: Duration, credentials: Credentials, settings: Settings, seed: [u8; 32]) -> Client {
        let mut client = Client {
            settings,
            signer: Signer::new(credentials),
            ids: Ids::new(seed),
            framing: Framing::default(),
            stage: Stage::Asking,
            waiting: None,
            ping_at: now,
            signed_at: None,
            observed: None,
            permissions: Permissions::default(),
            attempts: BTreeMap::new(),
            held: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
        };
        client.ask(now, Request::Allocate, None);
        client
    }

    /// Takes what came on the control connection.
    pub fn handle_bytes(&mut self, now: Duration, bytes: &[u8]) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.framing.push(bytes);
        let read = self.read(now);
        self.settle(now, read);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.attempts.retain(|_, until| *until > now);
        let is_late = self.waiting.as_ref().is_some_and(|waiting| waiting.deadline <= now);
        self.settle(now, if is_late { Err(Error::Silent) } else { Ok(()) });
    }

    /// When [`handle_timeout`](Client::handle_timeout) is due next, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match (&self.stage, &self.waiting) {
            (Stage::Over, _) => None,
            (_, Some(waiting)) => Some(waiting.deadline),
            _ => self.next_request().map(|(at, _)| at),
        }
    }

    /// Bytes to write to the control connection, if there are any.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// The next event, if there is one.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Lets connections from an address through, whatever their port, until the client is dropped or more than
    /// [`MAX_PERMISSIONS`](crate::MAX_PERMISSIONS) were asked for later. May be asked for before there is an allocation.
    /// An address of another family than the relayed one's is ignored.
    pub fn permit(&mut self, now: Duration, address: IpAddr) {
        self.permissions.ask(now, address);
        self.settle(now, Ok(()));
    }

    /// What to say on a new connection to the same server to take an announced one. `None` if there is no such any more.
    pub fn bind(&mut self, now: Duration, connection: u32) -> Option<Bind> {
        let until = self.attempts.remove(&connection)?;
        (until > now).then(|| Bind::new(self.signer.clone(), self.ids.fork(), connection))
    }

    /// The address that the server takes connections at; none before the allocation and when it is over.
    #[must_use]
    pub fn relayed(&self) -> Option<SocketAddr> {
        match self.stage {
            Stage::Allocated { relayed, .. } => Some(relayed),
            Stage::Asking | Stage::Over => None,
        }
    }

    /// Gives the allocation up: when what is left to write is written the connection can be closed.
    pub fn release(&mut self) {
        if matches!(self.stage, Stage::Allocated { .. }) {
            let id = self.ids.next();
            let (bytes, _) = self.signer.request(REFRESH, id, &[&Lifetime::new(0)], None);
            self.out.push_back(bytes);
        }
        self.stage = Stage::Over;
    }
}
