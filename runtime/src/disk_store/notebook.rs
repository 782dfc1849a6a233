//! What a node would like to know at its next start and can do without: the peers that it met, its private port.
//!
//! Both are small text files in the data directory. Losing one costs a slower start, so none of them stops a node:
//! what is not what was written is put aside under another name, for whoever wants to look at it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use data_encoding::HEXLOWER;
use p2pnet_engine::{MAX_RECORD, Remembered};

use super::durable;

const PEERS: &str = "peers";
const PEERS_HEADER: &str = "p2pnet peers 1";
const PEERS_CONTEXT: &str = "p2pnet peers file 1 check";
const PORT: &str = "port";
const PORT_HEADER: &str = "p2pnet port 1";

/// As many as the engine keeps.
const MAX_PEERS: usize = 64;

/// No file of ours is longer: an address of 60 characters and a record in hexadecimal for each peer, or a word and an id
/// for each decision.
const MAX_FILE: u64 = (MAX_PEERS * (64 + 2 * MAX_RECORD) + 128) as u64;
const _: () = assert!(MAX_FILE >= (p2pnet_engine::MAX_DECISIONS * 64 + 128) as u64);

/// Makes `peers` durable in place of those that were kept before.
pub(super) fn keep_peers(dir: &Path, peers: &[Remembered]) -> io::Result<()> {
    durable::replace(&dir.join(PEERS), format_peers(peers).as_bytes())
}

/// The peers that were kept, the best first.
pub(super) fn kept_peers(dir: &Path) -> io::Result<Vec<Remembered>> {
    Ok(read(&dir.join(PEERS), parse_peers)?.unwrap_or_default())
}

/// Makes `port` durable as the private port.
pub(super) fn keep_port(dir: &Path, port: u16) -> io::Result<()> {
    if kept_port(dir)? == Some(port) {
        return Ok(());
    }
    durable::replace(&dir.join(PORT), format!("{PORT_HEADER}\n{port}\n").as_bytes())
}

/// The private port that was kept.
pub(super) fn kept_port(dir: &Path) -> io::Result<Option<u16>> {
    read(&dir.join(PORT), parse_port)
}

/// What the file holds; nothing if there is none, or none that this version can use: then it is put aside.
pub(super) fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> io::Result<Option<T>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        // A pipe would be waited for.
        Ok(metadata) if !metadata.is_file() => return put_aside(path).map(|()| None),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    let whole = u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE);
    match std::str::from_utf8(&bytes).ok().filter(|_| whole).and_then(parse) {
        Some(value) => Ok(Some(value)),
        None => put_aside(path).map(|()| None),
    }
}

/// Gives a file that cannot be used another name, in place of one that was put aside before.
fn put_aside(path: &Path) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    let aside = Path::new(&aside);
    fs::rename(path, aside)?;
    tracing::warn!(
        file = %path.display(),
        aside = %aside.display(),
        "the file is damaged or of another version of p2pnet; it was put aside and the node goes on without"
    );
    Ok(())
}

/// A header, a line for each peer, and the start of a hash over all that, so that damage is noticed.
fn format_peers(peers: &[Remembered]) -> String {
    let mut text = format!("{PEERS_HEADER}\n");
    for Remembered { record, address } in peers.iter().take(MAX_PEERS) {
        text += &format!("{address} {}\n", HEXLOWER.encode(record));
    }
    let check = check(&text);
    text + &check
}

fn parse_peers(text: &str) -> Option<Vec<Remembered>> {
    let lines = text.strip_prefix(PEERS_HEADER)?.strip_prefix('\n')?;
    let checked = text.len().checked_sub(check("").len())?;
    if !text.is_char_boundary(checked) || check(text.get(..checked)?) != text.get(checked..)? {
        return None;
    }
    let lines = lines.get(..lines.len().checked_sub(check("").len())?)?;
    let mut peers = Vec::new();
    for line in lines.lines().take(MAX_PEERS) {
        let (address, record) = line.split_once(' ')?;
        let address: SocketAddr = address.parse().ok()?;
        let record = HEXLOWER.decode(record.as_bytes()).ok()?;
        peers.push(Remembered { record, address });
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
mod tests {
    use super::*;

    fn peers() -> Vec<Remembered> {
        let peer = |address: &str, byte| Remembered {
            record: vec![byte; MAX_RECORD],
            address: address.parse().unwrap(),
        };
        vec![peer("10.0.0.7:8051", 1), peer("[fe80::1%3]:8999", 2), peer("[2001:db8::7]:8051", 3)]
    }

    #[test]
    fn what_was_kept_is_given_back_in_the_same_order() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kept_peers(dir.path()).unwrap(), []);
        keep_peers(dir.path(), &peers()).unwrap();
        assert_eq!(kept_peers(dir.path()).unwrap(), peers());
        keep_peers(dir.path(), &[]).unwrap();
        assert_eq!(kept_peers(dir.path()).unwrap(), []);

        assert_eq!(kept_port(dir.path()).unwrap(), None);
        keep_port(dir.path(), 8123).unwrap();
        keep_port(dir.path(), 8124).unwrap();
        assert_eq!(kept_port(dir.path()).unwrap(), Some(8124));
    }

    /// Only so many are kept, and those fit what is read: the longest addresses, the longest records.
    #[test]
    fn as_many_as_are_kept_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let address = "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535".parse().unwrap();
        let many = vec![Remembered { record: vec![255; MAX_RECORD], address }; 2 * MAX_PEERS];
        keep_peers(dir.path(), &many).unwrap();
        assert_eq!(kept_peers(dir.path()).unwrap(), many[..MAX_PEERS]);
    }

    #[test]
    fn any_change_is_noticed() {
        let text = format_peers(&peers()[..1]);
        assert!(parse_peers(&text).is_some());
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(parse_peers(&String::from_utf8(bytes).unwrap()), None, "byte {at}");
            assert_eq!(parse_peers(&text[..at]), None, "cut at {at}");
        }
        for text in ["", "8051", "p2pnet port 1\n0\n", "p2pnet port 1\n08051\n", "p2pnet port 1\n65536\n"] {
            assert_eq!(parse_port(text), None, "{text:?}");
        }
    }

    /// The node goes on without, the file is there for whoever wants to look, and a new one can be written.
    #[test]
    fn a_damaged_or_foreign_file_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join(PEERS), dir.path().join("peers.damaged"));
        let endless = "x".repeat(2 * usize::try_from(MAX_FILE).unwrap());
        for content in ["", "p2pnet peers 2\n", "\u{fffd}\0", endless.as_str()] {
            fs::write(&path, content).unwrap();
            assert_eq!(kept_peers(dir.path()).unwrap(), [], "{content:.20}");
            assert!(!path.exists());
            assert_eq!(fs::read_to_string(&aside).unwrap(), content);
        }
        fs::remove_file(&aside).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(kept_peers(dir.path()).unwrap(), [], "a directory");
        keep_peers(dir.path(), &peers()).unwrap();
        assert_eq!(kept_peers(dir.path()).unwrap(), peers());
    }
}
