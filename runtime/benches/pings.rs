//! What a flood of garbage does to those who talk: the round trip of a text and its acknowledgement, second by second in
//! turn without the flood and under it, beside the round trip of one byte on a bare TCP stream in the same seconds. What
//! the flood costs the machine shows in the second, what it costs the node in the first.
//!
//! `cargo bench -p p2pnet --bench pings [-- --rate 100000 --seconds 20]`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use p2pnet::{Event, Node, NodeHandle, PeerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Between two round trips.
const PAUSE: Duration = Duration::from_millis(2);

/// What is thrown, and whether now.
#[derive(Default)]
struct Flood {
    on: AtomicBool,
    over: AtomicBool,
    sent: AtomicU64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let number = |option: &str, default: u64| {
        let given = arguments.iter().skip_while(|argument| *argument != option).nth(1);
        given.and_then(|given| given.parse().ok()).unwrap_or(default)
    };
    let (rate, seconds) =
        (number("--rate", 100_000).clamp(64, 1_000_000), number("--seconds", 20).clamp(2, 120));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure(rate, seconds))
}

async fn measure(rate: u64, seconds: u64) -> Result<(), Box<dyn Error>> {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let (alice, bob) = (start("alice", port).await?, start("bob", port).await?);
    let (handle, target) = (alice.handle(), alice.handle().local_port());
    let (delivered_in, mut delivered) = mpsc::channel(1);
    let (trusted_in, mut trusted) = mpsc::channel(1);
    tokio::spawn(listen(alice, Some(delivered_in), Some(trusted_in)));
    tokio::spawn(listen(bob, None, None));
    let peer = trusted.recv().await.ok_or("alice stopped")?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut bare = TcpStream::connect(listener.local_addr()?).await?;
    bare.set_nodelay(true)?;
    let (echo, _) = listener.accept().await?;
    echo.set_nodelay(true)?;
    tokio::spawn(echo_back(echo));

    let flood = Arc::new(Flood::default());
    let thrower = {
        let flood = Arc::clone(&flood);
        std::thread::spawn(move || throw(&flood, rate, port, target))
    };
    // Without the flood and under it.
    let mut texts = [Vec::new(), Vec::new()];
    let mut bytes = [Vec::new(), Vec::new()];
    for second in 0..seconds {
        let under = usize::from(second % 2 == 1);
        flood.on.store(under == 1, Ordering::Relaxed);
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            texts[under].push(text(&handle, peer, &mut delivered).await?);
            let start = Instant::now();
            bare.write_all(&[1]).await?;
            bare.read_exact(&mut [0]).await?;
            bytes[under].push(start.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
    }
    flood.over.store(true, Ordering::Relaxed);
    let _ = thrower.join();

    let thrown = flood.sent.load(Ordering::Relaxed) / (seconds / 2);
    println!("{seconds} s on loopback, every other second with {thrown} datagrams of garbage\n");
    println!(
        "{:28} {:>12} {:>12} {:>12} {:>12}",
        "round trip, in us", "p50 quiet", "p50 flood", "p99 quiet", "p99 flood"
    );
    for (name, [quiet, under]) in
        [("text and acknowledgement", &mut texts), ("a byte on bare TCP", &mut bytes)]
    {
        quiet.sort();
        under.sort();
        let of =
            |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
        println!(
            "{name:28} {:>12.0} {:>12.0} {:>12.0} {:>12.0}   p50 x {:.2}",
            of(quiet, 50),
            of(under, 50),
            of(quiet, 99),
            of(under, 99),
            of(under, 50) / of(quiet, 50)
        );
    }
    Ok(())
}

async fn start(name: &str, port: u16) -> Result<Node, Box<dyn Error>> {
    let network = format!("pings {} {port}", std::process::id());
    Ok(Node::builder(name).network(network).interfaces(["lo"]).ports([port]).start().await?)
}

/// Takes a node's events: who is trusted, and that a text was delivered.
async fn listen(mut node: Node, delivered: Option<mpsc::Sender<u64>>, trusted: Option<mpsc::Sender<PeerId>>) {
    while let Some(event) = node.next_event().await {
        match (event, &delivered, &trusted) {
            (Event::TextDelivered { id, .. }, Some(delivered), _) => drop(delivered.send(id).await),
            (Event::PeerTrusted { peer, .. }, _, Some(trusted)) => drop(trusted.send(peer).await),
            _ => {}
        }
    }
}

/// The time from a text to its acknowledgement.
async fn text(
    handle: &NodeHandle,
    peer: PeerId,
    delivered: &mut mpsc::Receiver<u64>,
) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let id = handle.send_text(peer, "ping").await?;
    while delivered.recv().await.ok_or("alice stopped")? < id {}
    Ok(start.elapsed())
}

async fn echo_back(mut stream: TcpStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
}

/// Garbage of a beacon's size, magic and version to the shared and the private port, so much a second, in slices of a
/// millisecond.
fn throw(flood: &Flood, rate: u64, shared: u16, private: u16) {
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return };
    let _ = socket.set_broadcast(true);
    let destinations = [
        SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), shared)),
        SocketAddr::from((Ipv4Addr::LOCALHOST, private)),
    ];
    let mut garbage = [0; 768];
    blake3::Hasher::new().finalize_xof().fill(&mut garbage);
    garbage[..5].copy_from_slice(b"p2pb\x01");
    let slice = Duration::from_millis(1);
    let mut next = Instant::now();
    while !flood.over.load(Ordering::Relaxed) {
        next = (next + slice).max(Instant::now() - slice * 10);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        if !flood.on.load(Ordering::Relaxed) {
            next = Instant::now();
            continue;
        }
        for round in 0..rate / 1000 {
            // The instance differs, or one look would do for all of them.
            garbage[8] = garbage[8].wrapping_add(1);
            if socket.send_to(&garbage, destinations[(round % 2) as usize]).is_ok() {
                flood.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
