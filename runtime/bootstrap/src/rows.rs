//! How records lie in the journal.

use std::net::IpAddr;

use p2pnet_engine::{PeerId, SignedRecord, UnverifiedRecord};

use crate::journal::{Batch, Journal, Table};
use crate::records::{Held, Tag};

/// What is known of a record that was once announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) network: Tag,
    pub(crate) peer: PeerId,
    /// When it came first, in milliseconds since the start of 1970.
    pub(crate) first: u64,
}

/// The key of a peer's record.
pub(crate) fn key((tag, peer): &(Tag, PeerId)) -> Vec<u8> {
    [tag.as_slice(), peer.as_bytes()].concat()
}

/// Keeps a record.
pub(crate) fn put(batch: &mut Batch, held: &Held) {
    let mut row = Vec::with_capacity(33 + held.record.bytes().len());
    row.extend_from_slice(&held.first.to_be_bytes());
    row.extend_from_slice(&held.heard.to_be_bytes());
    match held.from {
        Some(from) => {
            let v6 = match from {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            row.push(1);
            row.extend_from_slice(&v6.octets());
        }
        None => row.extend_from_slice(&[0; 17]),
    }
    row.extend_from_slice(held.record.bytes());
    batch.put(Table::Records, key(&held.key()), row);
}

/// Reads a record back; none if the row, or the record's signature, is wrong.
pub(crate) fn read(row: &[u8]) -> Option<Held> {
    let (first, rest) = row.split_first_chunk::<8>()?;
    let (heard, rest) = rest.split_first_chunk::<8>()?;
    let (has_from, rest) = rest.split_first()?;
    let (from, record) = rest.split_first_chunk::<16>()?;
    let record: SignedRecord = UnverifiedRecord::parse(record).ok()?.verify().ok()?;
    let from = (*has_from == 1).then(|| IpAddr::from(*from).to_canonical());
    Some(Held { record, first: u64::from_be_bytes(*first), heard: u64::from_be_bytes(*heard), from })
}

/// Remembers that a record with this hash was announced.
pub(crate) fn put_seen(batch: &mut Batch, hash: &[u8; 32], seen: &Seen) {
    let first = seen.first.to_be_bytes();
    let row = [first.as_slice(), &seen.network, seen.peer.as_bytes()].concat();
    batch.put(Table::Seen, hash.as_slice(), row);
    batch.put(Table::SeenOrder, [first.as_slice(), hash].concat(), []);
}

/// What is known of the record with this hash.
pub(crate) fn seen(journal: &Journal, hash: &[u8; 32]) -> Option<Seen> {
    let row = journal.get(Table::Seen, hash)?;
    let (first, rest) = row.split_first_chunk::<8>()?;
    let (network, rest) = rest.split_first_chunk::<8>()?;
    let peer = PeerId::from_bytes(*rest.first_chunk::<32>()?);
    Some(Seen { network: *network, peer, first: u64::from_be_bytes(*first) })
}
