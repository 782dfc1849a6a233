//! What the benchmarks of transfers have in common: real `p2pnet` processes, what they take, and what they move.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/program/mod.rs"]
pub(crate) mod program;

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use program::{Line, Program};

/// No transfer takes longer, or something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// The number after an option, at least 1. `None` if a benchmark is not what is wanted: `cargo test --all-targets` only
/// wants to know that it runs.
pub(crate) fn number(option: &str, default: u64) -> io::Result<Option<u64>> {
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(None);
    }
    let value = arguments.iter().skip_while(|argument| *argument != option).nth(1);
    match value.map_or(Ok(default), |value| value.parse()) {
        Ok(number) => Ok(Some(u64::max(number, 1))),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{option} takes a whole number"))),
    }
}

/// Nodes of one network, which nobody else is in.
pub(crate) struct Nodes<'a> {
    dir: &'a Path,
    network: String,
    port: String,
}

impl<'a> Nodes<'a> {
    /// They keep what they know, and log, in `dir`.
    pub(crate) fn new(dir: &'a Path) -> io::Result<Nodes<'a>> {
        // Nobody else on this host's loopback has this port and this network.
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port().to_string();
        Ok(Nodes { dir, network: format!("transfers {} {port}", std::process::id()), port })
    }

    /// One that `shell` runs, `--share`s or has as its `--inbox` a path, and is not begun.
    pub(crate) fn node(
        &self,
        name: &str,
        shell: Command,
        interface: &str,
        option: &str,
        path: &Path,
    ) -> Program {
        let data_dir = self.dir.join(name);
        let arguments = [
            &["up", "--json", "--interface", interface, "--for", "10m", "--name", name][..],
            &["--network", &self.network, "--ports", &self.port, "--data-dir", text(&data_dir)],
            &[option, text(path)],
        ];
        Program::prepare(name, shell, Path::new(env!("CARGO_BIN_EXE_p2pnet")), &arguments.concat(), self.dir)
    }

    /// One that is not begun, and has only the loopback interface.
    pub(crate) fn local(&self, name: &str, option: &str, path: &Path) -> Program {
        self.node(name, Command::new("sh"), "lo", option, path)
    }
}

/// Writes a file of bytes that no disk can compress, and returns its hash.
pub(crate) fn make_source(path: &Path, bytes: u64) -> io::Result<String> {
    let mut stream = blake3::Hasher::new().finalize_xof();
    let mut hasher = blake3::Hasher::new();
    let mut file = File::create(path)?;
    let mut piece = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        stream.fill(&mut piece);
        hasher.update(&piece);
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// What a process has used so far of all cores, in user and in kernel mode: fields 14 and 15 of proc(5)'s `stat`.
pub(crate) fn cpu_seconds(program: &Program) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid()))?;
    // The second field is a name in brackets, which may contain blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every Linux that Rust knows.
    Ok(ticks as f64 / 100.0)
}

/// The most memory that a process ever had.
pub(crate) fn peak_mib(program: &Program) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN);
    Ok(kib / 1024.0)
}

/// How long a content took, from asking to having it whole under its final name, as the receiver says.
pub(crate) fn seconds(received: &Line) -> f64 {
    received.value["seconds"].as_f64().unwrap_or(f64::NAN)
}

/// The middle one, or the higher of the two.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
