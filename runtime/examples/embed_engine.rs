//! The bare engine in an I/O loop of one's own: blocking sockets of the standard library with short timeouts, no tokio.
//!
//! Two engines in one process find each other on loopback by broadcast, trust each other, exchange a text and leave.
#![expect(clippy::disallowed_methods, reason = "this driver reads the clock and entropy itself")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use p2pnet_engine::{
    Action, Channel, Config, Datagram, DialFailure, Engine, Event, Identity, Interface, InterfaceAddr,
    InterfaceId, InterfaceKind, LinkEnd, LinkId, LinkInput, LinkOutput, Network, Opened, Opener, Restored,
    Sealer, Seeds, Timestamp,
};
use socket2::{Domain, Socket, Type};

const LO: InterfaceId = InterfaceId(1);
const PORT: u16 = 18001;
/// How long a read waits. What is short enough for a loop over a few sockets is not for many: use a poller there.
const WAIT: Duration = Duration::from_millis(1);

struct Link {
    stream: TcpStream,
    /// Once the handshake is done.
    codec: Option<(Sealer, Opener)>,
}

struct Driver {
    name: &'static str,
    engine: Engine,
    begin: Instant,
    shared: UdpSocket,
    private: UdpSocket,
    listener: TcpListener,
    links: BTreeMap<LinkId, Link>,
    left: bool,
}

impl Driver {
    fn new(name: &'static str) -> Result<Self, Box<dyn std::error::Error>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let private = UdpSocket::bind(listener.local_addr()?)?;
        private.set_broadcast(true)?;
        private.set_read_timeout(Some(WAIT))?;
        let shared = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        shared.set_reuse_address(true)?;
        shared.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into())?;
        let shared = UdpSocket::from(shared);
        shared.set_read_timeout(Some(WAIT))?;

        let network = Network::open("p2pnet example embed_engine")?;
        let mut config = Config::new(network, name, listener.local_addr()?.port());
        config.designated_ports = vec![PORT];
        let (identity, seeds) = (Identity::from_seed(random()?), Seeds::new(random()?, random()?));
        let mut engine = Engine::new(config, identity, Restored::default(), seeds, Timestamp::ZERO)?;
        let lo = Interface {
            id: LO,
            name: "lo".into(),
            kind: InterfaceKind::Loopback,
            multicast: false,
            directed_broadcast: true,
            addrs: vec![InterfaceAddr { ip: Ipv4Addr::LOCALHOST.into(), prefix: 8 }],
        };
        engine.handle_interfaces(Timestamp::ZERO, &[lo]);
        let links = BTreeMap::new();
        Ok(Driver { name, engine, begin: Instant::now(), shared, private, listener, links, left: false })
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.begin.elapsed()
    }

    /// Looks at everything once, and does what the engine says after each thing that happened.
    fn turn(&mut self) -> io::Result<()> {
        if self.engine.poll_timeout().is_some_and(|timeout| timeout.at <= self.now()) {
            self.engine.handle_timeout(self.now());
        }
        self.drain()?;
        let mut buffer = [0; 2048];
        for socket in [&self.shared, &self.private] {
            if let Ok((n, source)) = socket.recv_from(&mut buffer) {
                let datagram = Datagram { interface: LO, source, bytes: &buffer[..n] };
                self.engine.handle_datagram(Timestamp::ZERO + self.begin.elapsed(), datagram);
            }
        }
        self.drain()?;
        if let Ok((stream, source)) = self.listener.accept()
            && let Ok(link) = self.engine.accept_link(self.now(), Some(LO), source)
        {
            self.open(link, stream)?;
            self.drain()?;
        }
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.read(link)?;
        }
        Ok(())
    }

    fn open(&mut self, link: LinkId, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_nodelay(true)?;
        self.links.insert(link, Link { stream, codec: None });
        // A blocking stream takes everything, sooner or later.
        self.engine.handle_link(self.now(), link, LinkInput::Writable { budget: 1 << 20 });
        Ok(())
    }

    fn read(&mut self, id: LinkId) -> io::Result<()> {
        let now = self.now();
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let mut buffer = [0; 4096];
        match link.stream.read(&mut buffer) {
            Ok(0) => self.ended(id, LinkEnd::Eof),
            Ok(n) => match &mut link.codec {
                None => self.engine.handle_link(now, id, LinkInput::Handshake(&buffer[..n])),
                Some((_, opener)) => opener.push(&buffer[..n]),
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.ended(id, LinkEnd::Reset),
        }
        self.drain()?;
        // Also what came behind the handshake.
        while let Some(Link { codec: Some((_, opener)), .. }) = self.links.get_mut(&id) {
            match opener.next() {
                Ok(Some(Opened::Control(body))) => self.engine.handle_link(now, id, LinkInput::Frame(&body)),
                // Nobody here asks for blocks.
                Ok(Some(Opened::Block { .. })) => {}
                Ok(None) => break,
                Err(_) => self.ended(id, LinkEnd::Forged),
            }
            self.drain()?;
        }
        Ok(())
    }

    fn ended(&mut self, link: LinkId, end: LinkEnd) {
        self.links.remove(&link);
        self.engine.handle_link(self.now(), link, LinkInput::Closed(end));
    }

    fn drain(&mut self) -> io::Result<()> {
        while let Some(action) = self.engine.poll_action() {
            self.act(action)?;
        }
        while let Some(id) = self.engine.poll_ready_link() {
            let mut bytes = Vec::new();
            while let Some(output) = self.engine.poll_link(id, &mut bytes) {
                self.write(id, output, &std::mem::take(&mut bytes));
            }
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.engine.poll_transmit(&mut bytes) {
            self.private.send_to(&bytes, transmit.destination)?;
        }
        while let Some(event) = self.engine.poll_event() {
            self.event(event);
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> io::Result<()> {
        match action {
            Action::Dial { link, address, .. } => match TcpStream::connect_timeout(&address, WAIT * 1000) {
                Ok(stream) => {
                    self.engine.handle_link(self.now(), link, LinkInput::Opened);
                    self.open(link, stream)?;
                }
                Err(_) => {
                    self.engine.handle_link(self.now(), link, LinkInput::DialFailed(DialFailure::Refused));
                }
            },
            Action::LinkReady { link, codec } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.codec = Some(codec.split());
                }
            }
            Action::Close { link } => drop(self.links.remove(&link)),
            Action::Finish { link, raw, frames } => {
                self.write(link, LinkOutput::Raw, &raw);
                self.write(link, LinkOutput::Frames, &frames);
                if let Some(link) = self.links.remove(&link) {
                    let _ = link.stream.shutdown(std::net::Shutdown::Write);
                }
            }
            // Contents need a store: see the crate `p2pnet`.
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, id: LinkId, output: LinkOutput, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let mut sealed = Vec::new();
        let written = match (output, &mut link.codec) {
            (LinkOutput::Raw, _) => link.stream.write_all(bytes),
            (LinkOutput::Frames, Some((sealer, _))) => {
                sealer.seal(Channel::Control, bytes, &mut sealed);
                link.stream.write_all(&sealed)
            }
            (LinkOutput::Frames, None) => Ok(()),
        };
        if written.is_err() {
            self.ended(id, LinkEnd::Reset);
        }
    }

    fn event(&mut self, event: Event) {
        println!("{:>9.3?} {}: {event:?}", self.begin.elapsed(), self.name);
        match event {
            Event::PeerTrusted { peer, .. } if self.name == "alice" => {
                let sent = self.engine.send_text(self.now(), peer, "hello from a loop of my own");
                sent.expect("a text this short to a peer just met");
            }
            Event::TextDelivered { .. } => self.engine.leave(self.now()),
            Event::PeerLeft { .. } => self.engine.leave(self.now()),
            Event::Left => self.left = true,
            _ => {}
        }
    }
}

fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut drivers = [Driver::new("alice")?, Driver::new("bob")?];
    while !drivers.iter().all(|driver| driver.left) {
        for driver in &mut drivers {
            driver.turn()?;
        }
    }
    Ok(())
}
