//! What a relay carries for plain TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use p2pnet_turn::{Client, Credentials, Event, Settings};

const PIECE: usize = 64 * 1024;

/// After so long without a byte the relay has lost the connection.
const SILENCE: Duration = Duration::from_secs(10);

/// Takes one connection from `peer` at the relay, reads so many bytes from it, and says where and how long that took, each
/// on a line of its own.
pub(crate) fn sink(relay: SocketAddr, user: &str, password: &str, peer: IpAddr, bytes: u64) {
    let mut control = TcpStream::connect(relay).expect("the relay is there");
    control.set_read_timeout(Some(Duration::from_millis(5))).expect("it has a timeout");
    let start = Instant::now();
    let credentials = Credentials::new(user, password).expect("they fit");
    let mut client = Client::new(Duration::ZERO, credentials, Settings::default(), [3; 32]);
    client.permit(Duration::ZERO, peer);
    let mut buffer = [0; 2048];
    let connection = loop {
        assert!(start.elapsed() < SILENCE, "nobody came through the relay");
        while let Some(bytes) = client.poll_transmit() {
            control.write_all(&bytes).expect("the relay takes it");
        }
        match client.poll_event() {
            Some(Event::Allocated { relayed }) => println!("{relayed}"),
            Some(Event::Attempt { connection, .. }) => break connection,
            Some(Event::Failed(error)) => panic!("{error}"),
            _ => match control.read(&mut buffer) {
                Ok(n) => client.handle_bytes(start.elapsed(), &buffer[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    client.handle_timeout(start.elapsed());
                }
                Err(error) => panic!("{error}"),
            },
        }
    };
    let mut bind = client.bind(start.elapsed(), connection).expect("it was announced just now");
    let mut data = TcpStream::connect(relay).expect("the relay is there");
    data.set_read_timeout(Some(SILENCE)).expect("it has a timeout");
    loop {
        if let Some(bytes) = bind.poll_transmit() {
            data.write_all(&bytes).expect("the relay takes it");
        }
        let mut bytes = vec![0; bind.missing()];
        data.read_exact(&mut bytes).expect("the relay answers");
        if bind.handle_bytes(&bytes).expect("the relay grants it") {
            break;
        }
    }
    data.write_all(&[0]).expect("the relay takes it");
    let begin = Instant::now();
    let (mut piece, mut left) = (vec![0; PIECE], bytes);
    while left > 0 {
        let n = data.read(&mut piece).expect("the stream goes on");
        assert!(n > 0, "the stream ended");
        left = left.saturating_sub(n as u64);
    }
    println!("{}", begin.elapsed().as_secs_f64());
}

/// Writes so many bytes to whoever is at an address, once a byte came from there: what comes before the connection is
/// bound a relay drops beyond a few buffers, coturn at least.
pub(crate) fn source(address: SocketAddr, bytes: u64) {
    let mut stream = TcpStream::connect(address).expect("the relay takes it");
    stream.set_write_timeout(Some(SILENCE)).expect("it has a timeout");
    stream.read_exact(&mut [0]).expect("somebody is there");
    let (piece, mut left) = (vec![0x5a; PIECE], bytes);
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        stream.write_all(&piece[..n]).expect("the stream goes on");
        left -= n as u64;
    }
    // The end of one side is the end of the other, bytes or no bytes on the way.
    let _ = stream.read(&mut [0]);
}
