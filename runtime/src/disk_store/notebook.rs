//! What stood in the place of the database before there was one: two text files, of peers and of the private port. They
//! are taken over into a new database and then removed.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use data_encoding::HEXLOWER;
use p2pnet_engine::{MAX_RECORD, MemoryChange, Remembered, UnverifiedRecord};

use super::memory::Network;

const PEERS: &str = "peers";
const PEERS_HEADER: &str = "p2pnet peers 1";
const PEERS_CONTEXT: &str = "p2pnet peers file 1 check";
const PORT: &str = "port";
const PORT_HEADER: &str = "p2pnet port 1";

/// As many as were kept.
const MAX_PEERS: usize = 64;

/// No file of ours was longer: an address of 60 characters and a record in hexadecimal for each peer.
const MAX_FILE: u64 = (MAX_PEERS * (64 + 2 * MAX_RECORD) + 128) as u64;

/// What the two files say.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    /// Peers, each with the network that its record names.
    pub(super) peers: Vec<(Network, MemoryChange)>,
    pub(super) port: Option<u16>,
}

/// Reads what there is. A file that is not what was written says nothing: all that it costs is a slower start.
pub(super) fn read(dir: &Path) -> Notebook {
    Notebook {
        peers: read_file(&dir.join(PEERS)).and_then(|text| parse_peers(&text)).unwrap_or_default(),
        port: read_file(&dir.join(PORT)).and_then(|text| parse_port(&text)),
    }
}

/// Removes the files, once a database holds what they said.
pub(super) fn remove(dir: &Path) {
    for name in [PEERS, PORT] {
        let _ = fs::remove_file(dir.join(name));
    }
}

fn read_file(path: &Path) -> Option<String> {
    // A pipe would be waited for.
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A header, a line for each peer with the best first, and the start of a hash over all that.
fn parse_peers(text: &str) -> Option<Vec<(Network, MemoryChange)>> {
    let lines = text.strip_prefix(PEERS_HEADER)?.strip_prefix('\n')?;
    let checked = text.len().checked_sub(check("").len())?;
    if check(text.get(..checked)?) != text.get(checked..)? {
        return None;
    }
    let lines = lines.get(..lines.len().checked_sub(check("").len())?)?;
    let mut peers = Vec::new();
    for (line, met) in lines.lines().take(MAX_PEERS).zip((1..=MAX_PEERS as u64).rev()) {
        let (address, record) = line.split_once(' ')?;
        let address: SocketAddr = address.parse().ok()?;
        let record = HEXLOWER.decode(record.as_bytes()).ok()?;
        // The engine checks the signature; what is no record at all belongs to no network.
        let Ok(parsed) = UnverifiedRecord::parse(&record) else { continue };
        let (network, peer) = (parsed.record().network, parsed.record().peer);
        let kept = Some(Remembered { met, ..Remembered::new(record, address) });
        peers.push((network, MemoryChange::Peer { peer, kept }));
    }
    Some(peers)
}

/// The last line for what stands before it.
fn check(text: &str) -> String {
    let mut start = [0; 8];
    blake3::Hasher::new_derive_key(PEERS_CONTEXT).update(text.as_bytes()).finalize_xof().fill(&mut start);
    format!("{}\n", HEXLOWER.encode(&start))
}

fn parse_port(text: &str) -> Option<u16> {
    let number = text.strip_prefix(PORT_HEADER)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let port = number.parse::<u16>().ok().filter(|&port| port != 0)?;
    (port.to_string() == number).then_some(port)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The files as they were written.
    pub(in crate::disk_store) fn write(dir: &Path, peers: &[(SocketAddr, Vec<u8>)], port: u16) {
        let mut text = format!("{PEERS_HEADER}\n");
        for (address, record) in peers {
            text += &format!("{address} {}\n", HEXLOWER.encode(record));
        }
        let check = check(&text);
        fs::write(dir.join(PEERS), text + &check).unwrap();
        fs::write(dir.join(PORT), format!("{PORT_HEADER}\n{port}\n")).unwrap();
    }

    /// No byte of a file can change without notice, and what is no file of ours says nothing.
    #[test]
    fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).peers.is_empty());
        write(dir.path(), &[], 8123);
        assert_eq!(read(dir.path()).port, Some(8123));
        let peers = fs::read(dir.path().join(PEERS)).unwrap();
        for at in 0..peers.len() {
            let mut damaged = peers.clone();
            damaged[at] ^= 1;
            assert!(parse_peers(&String::from_utf8_lossy(&damaged)).is_none(), "byte {at}");
            assert!(parse_peers(&String::from_utf8_lossy(&peers[..at])).is_none(), "cut at {at}");
        }
        for text in ["", "p2pnet port 1\n0\n", "p2pnet port 1\n99999\n", "p2pnet port 1\n08\n"] {
            assert_eq!(parse_port(text), None, "{text:?}");
        }
        fs::remove_file(dir.path().join(PORT)).unwrap();
        fs::create_dir(dir.path().join(PORT)).unwrap();
        assert_eq!(read(dir.path()).port, None);
    }
}
