//! Announcements at a fixed rate to a server that holds many records: how long the answers take, and what a record costs.
//!
//! `cargo bench -p p2pnet-bootstrap --bench announce`; `RECORDS`, `RATE` and `SECONDS` change what is measured. The server
//! runs in a process of its own, on loopback. An answer's time counts from when its request was due, so that a server that
//! stalls is not flattered by the requests that were not sent meanwhile. Where `wrk` is installed it asks as well, as fast
//! as it can, with newer records of the same peers.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use data_encoding::BASE64;
use p2pnet_bootstrap::sources::Rate;
use p2pnet_bootstrap::{Config, Server};
use p2pnet_engine::{Identity, Instance, PeerRecord, RecordClass, RecordKind, SignedRecord};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// Connections over which announcements go.
const CONNECTIONS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.iter().position(|argument| argument == "--serve") {
        Some(at) => runtime.block_on(serve(Path::new(&arguments[at + 1]))),
        None => runtime.block_on(measure()),
    }
}

async fn serve(data: &Path) {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), data);
    config.rate = Rate { per_second: 1_000_000, burst: 1_000_000 };
    let server = Server::bind(config).await.unwrap();
    println!("{}", server.local_addr());
    // Until standard input ends, which it does when the measuring process is gone.
    let stop = async { drop(tokio::io::stdin().read(&mut [0]).await) };
    server.serve(stop).await.unwrap();
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

async fn measure() {
    let (records, rate, seconds) = (number("RECORDS", 100_000), number("RATE", 2_000), number("SECONDS", 20));
    let data = tempfile::tempdir().unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .arg("--serve")
        .arg(data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    let address: SocketAddr = line.trim().parse().unwrap();

    let began = Instant::now();
    let load: Arc<[Vec<u8>]> = requests(0..records, 1, 0).into();
    println!("{records} records signed in {:.1} s", began.elapsed().as_secs_f64());
    let before = resident(&server);
    let began = Instant::now();
    let answered = fire(address, load, 0.0).await;
    assert_eq!(answered.len() as u64, records);
    let took = began.elapsed().as_secs_f64();
    println!(
        "{records} announced in {took:.1} s, {:.0} a second, as fast as answers came",
        records as f64 / took
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = resident(&server);
    println!(
        "memory of the server: {} KiB empty, {} KiB then: {} bytes a record",
        before / 1024,
        after / 1024,
        (after - before) / records
    );

    let again: Arc<[Vec<u8>]> = requests(0..rate * seconds, 2, 64).into();
    println!("{rate} announcements a second for {seconds} s, newer records, 64 wanted each:");
    let began = Instant::now();
    let mut times = fire(address, again, rate as f64).await;
    let took = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{} answered in {took:.1} s; p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms",
        times.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!("memory of the server: {} KiB", resident(&server) / 1024);
    let file = std::fs::metadata(data.path().join("bootstrap.redb")).unwrap().len();
    println!("its database: {} KiB", file / 1024);
    wrk(address, records);
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

/// Has `wrk` announce for 5 s; it begins anew only where more than all records are announced in that time.
fn wrk(address: SocketAddr, records: u64) {
    let bodies = tempfile::NamedTempFile::new().unwrap();
    let mut file = std::io::BufWriter::new(&bodies);
    for request in requests(0..records, 3, 64) {
        let at = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        file.write_all(&request[at..]).and_then(|()| file.write_all(b"\n")).unwrap();
    }
    file.flush().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/announce.lua");
    let ran = Command::new("wrk")
        // Each of its threads would begin with the same bodies.
        .args(["--threads", "1", "--connections", "64", "--duration", "5s", "--latency", "--script", script])
        .arg(format!("http://{address}/v1/announce"))
        .env("BODIES", bodies.path())
        .status();
    match ran {
        Ok(status) => assert!(status.success()),
        Err(error) => println!("not measured with wrk: {error}"),
    }
}

/// Whole requests, each with a record of another peer.
fn requests(peers: std::ops::Range<u64>, seq: u64, want: u64) -> Vec<Vec<u8>> {
    let request = |number: u64| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let identity = Identity::from_seed(seed);
        let record = PeerRecord {
            network: [7; 8],
            peer: identity.peer_id(),
            incarnation: 1,
            seq,
            kind: RecordKind::Alive,
            ttl_secs: 86_400,
            class: RecordClass::Wide,
            instance: Instance::from_bytes([1; 16]),
            link_key: [2; 32],
            port: 8001,
            name: format!("peer number {number}"),
            addrs: vec![[203, 0, 113, 9].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()],
            caps: 0,
        };
        let record = SignedRecord::sign(&identity, record).unwrap();
        let body = format!("{{\"record\":\"{}\",\"want\":{want}}}", BASE64.encode(record.bytes()));
        let head = format!("POST /v1/announce HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        [head, body].concat().into_bytes()
    };
    peers.map(request).collect()
}

/// Sends the requests at this rate, or as fast as answers come if it is 0; gives how long each took.
async fn fire(address: SocketAddr, requests: Arc<[Vec<u8>]>, rate: f64) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let (next, requests) = (next.clone(), requests.clone());
        tasks.push(tokio::spawn(async move {
            let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
            stream.get_mut().set_nodelay(true).unwrap();
            let mut times: Vec<Duration> = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(number) else { return times };
                let mut due = Instant::now();
                if rate > 0.0 {
                    due = start + Duration::from_secs_f64(number as f64 / rate);
                    sleep_until(due).await;
                }
                exchange(&mut stream, request).await;
                times.push(due.elapsed());
            }
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times
}

async fn exchange(stream: &mut BufReader<TcpStream>, request: &[u8]) {
    stream.get_mut().write_all(request).await.unwrap();
    let (mut length, mut line) = (0, String::new());
    stream.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
}

/// Bytes of a process that are in memory.
fn resident(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
