//! What earlier runs remembered, in the tables of the database.
//!
//! Every key begins with the tag of a network (8 bytes), of which no key can be derived. Numbers are little endian.
//!
//! | table | rest of the key | value |
//! |---|---|---|
//! | `networks` | | incarnation of the last run that kept something for it: u64 |
//! | `peers` | peer id (32) | flags (1: trusted, 2: returning), number of the meeting: u64, address, record |
//! | `floors` | peer id (32) | flags (1: proven), record |
//! | `decisions` | the decision as text: `trust PEER`, `block PEER`, `block ADDRESS` | |
//! | `authorities` | | what the engine keeps of authorities, in its own encoding |
//!
//! An address is `4`, 4 bytes and a port (u16), or `6`, 16 bytes, a port and a scope (u32).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use p2pnet_engine::{AuthorityState, Decision, Memory, MemoryChange, PeerId, Remembered, RememberedFloor};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use super::database::NUMBERS;
use super::notebook::Notebook;

/// The tag of a network.
pub(super) type Network = [u8; 8];

type Key = (Network, &'static [u8]);
type Definition = TableDefinition<'static, Key, &'static [u8]>;

const NETWORKS: Definition = TableDefinition::new("networks");
const PEERS: Definition = TableDefinition::new("peers");
const FLOORS: Definition = TableDefinition::new("floors");
const DECISIONS: Definition = TableDefinition::new("decisions");
const AUTHORITIES: Definition = TableDefinition::new("authorities");

/// Everything that a network has.
const OF_NETWORKS: [Definition; 5] = [NETWORKS, PEERS, FLOORS, DECISIONS, AUTHORITIES];

/// Networks of which something is kept. Beyond it the one used longest ago is forgotten.
const MAX_NETWORKS: usize = 16;

/// The rest of a key that has none.
const NOTHING: &[u8] = &[];

/// The last incarnation used, and the private port.
pub(super) const INCARNATION: &str = "incarnation";
pub(super) const PORT: &str = "port";

/// What is kept for a network. What cannot be read is left out: the engine then has everything written anew.
pub(super) fn recall(transaction: &ReadTransaction, network: Network) -> Result<Memory, redb::Error> {
    let mut memory = Memory::default();
    each(transaction, PEERS, network, |key, value| {
        if let (Some(peer), Some(kept)) = (peer_of(key), decode_peer(value)) {
            memory.peers.insert(peer, kept);
        }
    })?;
    each(transaction, FLOORS, network, |key, value| {
        if let (Some(peer), Some(kept)) = (peer_of(key), decode_floor(value)) {
            memory.floors.insert(peer, kept);
        }
    })?;
    Ok(memory)
}

/// Changes what is kept for a network.
pub(super) fn remember(
    transaction: &WriteTransaction,
    network: Network,
    anew: bool,
    changes: &[MemoryChange],
) -> Result<(), redb::Error> {
    use_network(transaction, network)?;
    let (mut peers, mut floors) = (transaction.open_table(PEERS)?, transaction.open_table(FLOORS)?);
    if anew {
        clear(&mut peers, network)?;
        clear(&mut floors, network)?;
    }
    for change in changes {
        let (table, peer, value) = match change {
            MemoryChange::Peer { peer, kept } => (&mut peers, peer, kept.as_ref().map(encode_peer)),
            MemoryChange::Floor { peer, kept } => (&mut floors, peer, kept.as_ref().map(encode_floor)),
        };
        let key = (network, &peer.as_bytes()[..]);
        match value {
            Some(value) => drop(table.insert(key, &*value)?),
            None => drop(table.remove(key)?),
        }
    }
    Ok(())
}

/// The networks of which something is kept.
pub(super) fn networks(transaction: &ReadTransaction) -> Result<Vec<Network>, redb::Error> {
    let mut networks = Vec::new();
    if let Some(table) = found(transaction.open_table(NETWORKS))? {
        for entry in table.iter()? {
            networks.push(entry?.0.value().0);
        }
    }
    Ok(networks)
}

/// What was decided in a network. What cannot be read is left out.
pub(super) fn decisions(
    transaction: &ReadTransaction,
    network: Network,
) -> Result<Vec<Decision>, redb::Error> {
    let mut decisions = Vec::new();
    each(transaction, DECISIONS, network, |key, _| {
        decisions.extend(std::str::from_utf8(key).ok().and_then(|text| text.parse::<Decision>().ok()));
    })?;
    Ok(decisions)
}

/// Keeps these decisions in place of all others of the network.
pub(super) fn decide(
    transaction: &WriteTransaction,
    network: Network,
    decisions: &[Decision],
) -> Result<(), redb::Error> {
    use_network(transaction, network)?;
    let mut table = transaction.open_table(DECISIONS)?;
    clear(&mut table, network)?;
    for decision in decisions {
        table.insert((network, decision.to_string().as_bytes()), NOTHING)?;
    }
    Ok(())
}

/// What is kept of authorities in a network, as it was encoded.
pub(super) fn authority(
    transaction: &ReadTransaction,
    network: Network,
) -> Result<Option<Vec<u8>>, redb::Error> {
    let mut kept = None;
    each(transaction, AUTHORITIES, network, |_, value| kept = Some(value.to_vec()))?;
    Ok(kept)
}

/// Keeps this of authorities in place of what was kept for the network.
pub(super) fn save_authority(
    transaction: &WriteTransaction,
    network: Network,
    state: &AuthorityState,
) -> Result<(), redb::Error> {
    use_network(transaction, network)?;
    transaction.open_table(AUTHORITIES)?.insert((network, NOTHING), &*state.to_bytes())?;
    Ok(())
}

/// Raises the incarnation that is kept, and never lowers it.
pub(super) fn raise_incarnation(transaction: &WriteTransaction, incarnation: u64) -> Result<(), redb::Error> {
    let mut numbers = transaction.open_table(NUMBERS)?;
    let kept = numbers.get(INCARNATION)?.map_or(0, |kept| kept.value());
    numbers.insert(INCARNATION, kept.max(incarnation))?;
    Ok(())
}

/// Keeps a number.
pub(super) fn set_number(transaction: &WriteTransaction, name: &str, value: u64) -> Result<(), redb::Error> {
    transaction.open_table(NUMBERS)?.insert(name, value)?;
    Ok(())
}

/// Takes over what the files before the database held.
pub(super) fn import(transaction: &WriteTransaction, notebook: &Notebook) -> Result<(), redb::Error> {
    if let Some(port) = notebook.port {
        set_number(transaction, PORT, port.into())?;
    }
    for (network, change) in &notebook.peers {
        remember(transaction, *network, false, std::slice::from_ref(change))?;
    }
    Ok(())
}

/// Notes that a network is used, and forgets the one used longest ago if there are too many.
fn use_network(transaction: &WriteTransaction, network: Network) -> Result<(), redb::Error> {
    let run = transaction.open_table(NUMBERS)?.get(INCARNATION)?.map_or(0, |run| run.value());
    let mut forgotten = None;
    {
        let mut networks = transaction.open_table(NETWORKS)?;
        networks.insert((network, NOTHING), &run.to_le_bytes()[..])?;
        let mut used = Vec::new();
        for entry in networks.iter()? {
            let (key, value) = entry?;
            let last = value.value().try_into().map_or(0, u64::from_le_bytes);
            used.push((last, key.value().0));
        }
        if used.len() > MAX_NETWORKS {
            forgotten = used.into_iter().filter(|(_, other)| *other != network).min();
        }
    }
    if let Some((_, network)) = forgotten {
        for of_network in OF_NETWORKS {
            clear(&mut transaction.open_table(of_network)?, network)?;
        }
    }
    Ok(())
}

/// Looks at every entry of a network: the rest of its key, and its value.
fn each(
    transaction: &ReadTransaction,
    table: Definition,
    network: Network,
    mut look: impl FnMut(&[u8], &[u8]),
) -> Result<(), redb::Error> {
    let Some(table) = found(transaction.open_table(table))? else { return Ok(()) };
    for entry in table.range((network, NOTHING)..)? {
        let (key, value) = entry?;
        let (of, rest) = key.value();
        if of != network {
            break;
        }
        look(rest, value.value());
    }
    Ok(())
}

fn clear(table: &mut Table<'_, Key, &'static [u8]>, network: Network) -> Result<(), redb::Error> {
    Ok(table.retain(|(of, _), _| of != network)?)
}

/// A table that nobody has written to yet is empty.
fn found<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

// ---- Values

const TRUSTED: u8 = 1;
const RETURNING: u8 = 2;
const PROVEN: u8 = 1;

fn encode_peer(kept: &Remembered) -> Vec<u8> {
    let flags = if kept.trusted { TRUSTED } else { 0 } | if kept.returning { RETURNING } else { 0 };
    let mut bytes = vec![flags];
    bytes.extend_from_slice(&kept.met.to_le_bytes());
    let port = kept.address.port().to_le_bytes();
    match kept.address {
        SocketAddr::V4(address) => {
            bytes.push(4);
            bytes.extend_from_slice(&address.ip().octets());
            bytes.extend_from_slice(&port);
        }
        SocketAddr::V6(address) => {
            bytes.push(6);
            bytes.extend_from_slice(&address.ip().octets());
            bytes.extend_from_slice(&port);
            bytes.extend_from_slice(&address.scope_id().to_le_bytes());
        }
    }
    bytes.extend_from_slice(&kept.record);
    bytes
}

fn decode_peer(bytes: &[u8]) -> Option<Remembered> {
    let (flags, bytes) = take::<1>(bytes)?;
    let (met, bytes) = take(bytes)?;
    let (kind, bytes) = take::<1>(bytes)?;
    let (address, record) = match kind {
        [4] => {
            let (ip, bytes) = take::<4>(bytes)?;
            let (port, bytes) = take(bytes)?;
            (SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_le_bytes(port)).into(), bytes)
        }
        [6] => {
            let (ip, bytes) = take::<16>(bytes)?;
            let (port, bytes) = take(bytes)?;
            let (scope, bytes) = take(bytes)?;
            let (ip, port) = (Ipv6Addr::from(ip), u16::from_le_bytes(port));
            (SocketAddrV6::new(ip, port, 0, u32::from_le_bytes(scope)).into(), bytes)
        }
        _ => return None,
    };
    Some(Remembered {
        record: record.to_vec(),
        address,
        trusted: flags[0] & TRUSTED != 0,
        returning: flags[0] & RETURNING != 0,
        met: u64::from_le_bytes(met),
    })
}

fn encode_floor(kept: &RememberedFloor) -> Vec<u8> {
    let mut bytes = vec![if kept.proven { PROVEN } else { 0 }];
    bytes.extend_from_slice(&kept.record);
    bytes
}

fn decode_floor(bytes: &[u8]) -> Option<RememberedFloor> {
    let ([flags], record) = take(bytes)?;
    Some(RememberedFloor { record: record.to_vec(), proven: flags & PROVEN != 0 })
}

fn peer_of(key: &[u8]) -> Option<PeerId> {
    key.try_into().ok().map(PeerId::from_bytes)
}

/// The first bytes, and the others.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest))
}
