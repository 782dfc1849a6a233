//! The client against coturn, over real sockets of loopback.

#![expect(clippy::disallowed_methods, reason = "a real server takes real time")]

mod coturn;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use p2pnet_turn::{Client, Credentials, Error, Event, Settings};

use coturn::{Coturn, PASSWORD, USER};

/// A client on a socket, driven by whoever waits for something.
struct Control {
    client: Client,
    stream: TcpStream,
    start: Instant,
}

impl Control {
    fn open(server: &Coturn, password: &str, settings: Settings) -> Control {
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let credentials = Credentials::new(USER, password).unwrap();
        Control {
            client: Client::new(Duration::ZERO, credentials, settings, [9; 32]),
            stream,
            start: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// One turn: write, read a little, look at the clock.
    fn turn(&mut self) {
        while let Some(bytes) = self.client.poll_transmit() {
            self.stream.write_all(&bytes).unwrap();
        }
        let mut buffer = [0; 1500];
        match self.stream.read(&mut buffer) {
            Ok(n) => self.client.handle_bytes(self.start.elapsed(), &buffer[..n]),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}")
            }
        }
        if self.client.poll_timeout().is_some_and(|at| at <= self.now()) {
            self.client.handle_timeout(self.now());
        }
    }

    fn until<T>(&mut self, what: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(8);
        loop {
            self.turn();
            while let Some(event) = self.client.poll_event() {
                if let Some(found) = what(&event) {
                    return found;
                }
                assert!(!matches!(event, Event::Failed(_)), "{event:?}");
            }
            assert!(Instant::now() < deadline, "nothing came");
        }
    }

    fn allocated(&mut self) -> SocketAddr {
        self.until(|event| if let Event::Allocated { relayed } = event { Some(*relayed) } else { None })
    }

    fn attempt(&mut self) -> (u32, SocketAddr) {
        self.until(|event| match event {
            Event::Attempt { connection, peer } => Some((*connection, *peer)),
            _ => None,
        })
    }

    /// Drives on for a time without wanting anything.
    fn idle(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
            let event = self.client.poll_event();
            assert!(!matches!(event, Some(Event::Failed(_))), "{event:?}");
        }
    }

    /// Takes one connection from a stranger who dials the relayed address.
    fn take(&mut self, server: &Coturn, relayed: SocketAddr) -> (TcpStream, TcpStream) {
        let stranger = TcpStream::connect(relayed).unwrap();
        let (connection, peer) = self.attempt();
        assert_eq!(peer, stranger.local_addr().unwrap());
        let mut bind = self.client.bind(self.now(), connection).unwrap();
        let mut data = TcpStream::connect(server.address).unwrap();
        loop {
            if let Some(bytes) = bind.poll_transmit() {
                data.write_all(&bytes).unwrap();
            }
            let mut bytes = vec![0; bind.missing()];
            data.read_exact(&mut bytes).unwrap();
            if bind.handle_bytes(&bytes).unwrap() {
                return (stranger, data);
            }
        }
    }
}

fn loopback() -> IpAddr {
    [127, 0, 0, 1].into()
}

/// Every byte comes out at the other end, in both directions at the same time.
fn exchange(a: &TcpStream, b: &TcpStream) {
    let pattern = |seed: u8| (0..300_000_u32).map(|i| (i % 251) as u8 ^ seed).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for (mut from, seed) in [(a, 1), (b, 2)] {
            scope.spawn(move || from.write_all(&pattern(seed)).unwrap());
        }
        for (mut to, seed) in [(b, 1), (a, 2)] {
            let mut bytes = vec![0; 300_000];
            to.read_exact(&mut bytes).unwrap();
            assert!(bytes == pattern(seed));
        }
    });
}

#[test]
fn a_stranger_dials_the_relayed_address_and_bytes_go_both_ways() {
    let Some(server) = Coturn::start(&[]) else { return };
    let mut control = Control::open(&server, PASSWORD, Settings::default());
    let relayed = control.allocated();
    let observed = control.until(|event| if let Event::Observed(at) = event { Some(*at) } else { None });
    assert_eq!(observed, control.stream.local_addr().unwrap());
    control.client.permit(control.now(), loopback());
    control.idle(Duration::from_millis(50));
    for _ in 0..2 {
        let (stranger, data) = control.take(&server, relayed);
        exchange(&stranger, &data);
        drop(data);
        let mut rest = Vec::new();
        let _ = (&stranger).read_to_end(&mut rest);
        assert_eq!(rest, b"", "the end of one side is the end of the other");
    }
}

#[test]
fn who_is_not_let_through_is_not_announced() {
    let Some(server) = Coturn::start(&[]) else { return };
    let mut control = Control::open(&server, PASSWORD, Settings::default());
    let relayed = control.allocated();
    let stranger = TcpStream::connect(relayed);
    control.idle(Duration::from_millis(200));
    drop(stranger);
    assert_eq!(control.client.poll_event(), None);
}

#[test]
fn a_wrong_password_is_told_as_such() {
    let Some(server) = Coturn::start(&[]) else { return };
    let mut control = Control::open(&server, "wrong", Settings::default());
    let error =
        control.until(|event| if let Event::Failed(error) = event { Some(error.clone()) } else { None });
    assert_eq!(error, Error::Credentials);
}

#[test]
fn a_server_without_tcp_allocations_is_told_as_such() {
    let Some(server) = Coturn::start(&["--no-tcp-relay"]) else { return };
    let mut control = Control::open(&server, PASSWORD, Settings::default());
    let error =
        control.until(|event| if let Event::Failed(error) = event { Some(error.clone()) } else { None });
    assert!(matches!(error, Error::Forbidden | Error::UnsupportedTransport), "{error:?}");
}

#[test]
fn a_full_server_is_told_as_such() {
    let Some(server) = Coturn::start(&["--user-quota", "1"]) else { return };
    let mut first = Control::open(&server, PASSWORD, Settings::default());
    first.allocated();
    let mut second = Control::open(&server, PASSWORD, Settings::default());
    let error =
        second.until(|event| if let Event::Failed(error) = event { Some(error.clone()) } else { None });
    assert_eq!(error, Error::Quota);
}

#[test]
fn connections_are_taken_though_the_nonce_grew_stale() {
    let Some(server) = Coturn::start(&["--stale-nonce=1"]) else { return };
    let mut control = Control::open(&server, PASSWORD, Settings::default());
    let relayed = control.allocated();
    control.client.permit(control.now(), loopback());
    for _ in 0..2 {
        control.idle(Duration::from_millis(1800));
        let (stranger, data) = control.take(&server, relayed);
        exchange(&stranger, &data);
    }
}
