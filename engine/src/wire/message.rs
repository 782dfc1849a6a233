//! Messages: their bytes, how those that are passed on are named and signed, and runs of such names.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{self, Identity, PeerId};
use crate::network::Network;

use super::codec::encode;

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 60 * 1024;

/// The most spans in one [`Frame::IHave`](super::Frame::IHave) or [`Frame::Graft`](super::Frame::Graft).
pub(crate) const SPANS_PER_FRAME: usize = 64;

/// The most entries in one [`Frame::Reached`](super::Frame::Reached).
pub(crate) const ENTRIES_PER_REPORT: usize = 1024;

const SIGNATURE_LEN: usize = 64;
const DOMAIN: &str = "p2pnet v1 message";
const RECAP_DOMAIN: &str = "p2pnet v1 recap";

/// The bytes of a message. One message goes to many peers, so cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload(Arc<[u8]>);

impl Payload {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Payload(bytes.into())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is no longer than a message may be.
    pub(crate) fn is_fit(&self) -> bool {
        self.len() <= MAX_MESSAGE
    }

    pub(crate) fn into_bytes(self) -> Arc<[u8]> {
        self.0
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Payload(bytes.into_vec().into()))
    }
}

/// The name of a message that is passed on: the `seq`-th that its origin sent to all in the run of this incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct MessageKey {
    pub(crate) origin: PeerId,
    pub(crate) incarnation: u64,
    pub(crate) seq: u64,
}

/// A message that is passed on from neighbour to neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Relayed {
    pub(crate) key: MessageKey,
    /// For how long others have held it, in milliseconds. Not signed.
    pub(crate) age_ms: u32,
    /// Over how many links it came, this one included. Not signed.
    pub(crate) hops: u16,
    pub(crate) payload: Payload,
    /// The origin's, over the network, the name and the payload.
    #[serde(with = "serde_bytes")]
    pub(crate) signature: [u8; SIGNATURE_LEN],
}

impl Relayed {
    /// A message of our own.
    pub(crate) fn sign(identity: &Identity, network: &Network, key: MessageKey, payload: Payload) -> Self {
        let signature = identity.sign(DOMAIN, &signed(network, key, &payload));
        Relayed { key, age_ms: 0, hops: 0, payload, signature }
    }

    /// Whether its origin has signed it for this network.
    pub(crate) fn is_signed(&self, network: &Network) -> bool {
        let bytes = signed(network, self.key, &self.payload);
        identity::verify(&self.key.origin, DOMAIN, &bytes, &self.signature)
    }
}

fn signed(network: &Network, key: MessageKey, payload: &Payload) -> Vec<u8> {
    encode(&(network.tag(), key, payload))
}

/// The origin of messages has not heard of everybody who took those from `base` to `last`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recap {
    pub(crate) said: RecapBody,
    /// The origin's, over the network and what it says.
    #[serde(with = "serde_bytes")]
    pub(crate) signature: [u8; SIGNATURE_LEN],
}

/// What a recap says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecapBody {
    pub(crate) origin: PeerId,
    pub(crate) incarnation: u64,
    /// Nothing before it is to be waited for.
    pub(crate) base: u64,
    pub(crate) last: u64,
    /// Grows with each recap.
    pub(crate) round: u64,
}

impl Recap {
    /// A recap of our own.
    pub(crate) fn sign(identity: &Identity, network: &Network, said: RecapBody) -> Self {
        Recap { said, signature: identity.sign(RECAP_DOMAIN, &encode(&(network.tag(), said))) }
    }

    /// Whether its origin has signed it for this network.
    pub(crate) fn is_signed(&self, network: &Network) -> bool {
        let bytes = encode(&(network.tag(), self.said));
        identity::verify(&self.said.origin, RECAP_DOMAIN, &bytes, &self.signature)
    }
}

impl RecapBody {
    /// All that it speaks of.
    pub(crate) fn span(&self) -> Span {
        let RecapBody { origin, incarnation, base: first, last, .. } = *self;
        Span { origin, incarnation, first, last }
    }
}

/// Messages of one run of one origin whose numbers follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) origin: PeerId,
    pub(crate) incarnation: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    fn of(key: MessageKey) -> Self {
        let MessageKey { origin, incarnation, seq } = key;
        Span { origin, incarnation, first: seq, last: seq }
    }

    pub(crate) fn key(&self, seq: u64) -> MessageKey {
        MessageKey { origin: self.origin, incarnation: self.incarnation, seq }
    }
}

/// The fewest spans that name these messages, which are given in order.
pub(crate) fn spans_of(keys: impl IntoIterator<Item = MessageKey>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for key in keys {
        match spans.last_mut() {
            Some(span) if span.key(key.seq) == key && span.last.checked_add(1) == Some(key.seq) => {
                span.last = key.seq
            }
            _ => spans.push(Span::of(key)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn key(incarnation: u64, seq: u64) -> MessageKey {
        MessageKey { origin: PeerId::from_bytes([7; 32]), incarnation, seq }
    }

    #[test]
    fn only_the_origin_signs_and_only_for_its_network_name_and_payload() {
        let (identity, network) = (Identity::from_seed([1; 32]), Network::open("here").unwrap());
        let key = MessageKey { origin: identity.peer_id(), ..key(3, 4) };
        let relayed = Relayed::sign(&identity, &network, key, Payload::new(b"hello"));
        assert!(relayed.is_signed(&network));
        assert!(Relayed { age_ms: 9, hops: 7, ..relayed.clone() }.is_signed(&network), "what relays change");
        assert!(!relayed.is_signed(&Network::open("elsewhere").unwrap()));
        let others = [
            MessageKey { origin: PeerId::from_bytes([7; 32]), ..key },
            MessageKey { incarnation: 4, ..key },
            MessageKey { seq: 5, ..key },
        ];
        for key in others {
            assert!(!Relayed { key, ..relayed.clone() }.is_signed(&network), "{key:?}");
        }
        assert!(!Relayed { payload: Payload::new(b"hell0"), ..relayed }.is_signed(&network));
    }

    #[test]
    fn only_the_origin_signs_a_recap() {
        let (identity, network) = (Identity::from_seed([1; 32]), Network::open("here").unwrap());
        let said = RecapBody { origin: identity.peer_id(), incarnation: 3, base: 1, last: 2, round: 1 };
        let recap = Recap::sign(&identity, &network, said);
        assert!(recap.is_signed(&network));
        assert!(!recap.is_signed(&Network::open("elsewhere").unwrap()));
        let others = [
            RecapBody { origin: PeerId::from_bytes([7; 32]), ..said },
            RecapBody { incarnation: 4, ..said },
            RecapBody { base: 2, ..said },
            RecapBody { last: 3, ..said },
            RecapBody { round: 2, ..said },
        ];
        for said in others {
            assert!(!Recap { said, ..recap.clone() }.is_signed(&network), "{said:?}");
        }
    }

    #[test]
    fn numbers_that_follow_one_another_are_one_span() {
        let spans = spans_of([key(1, 1), key(1, 2), key(1, 4), key(2, 5), key(2, 6)]);
        let ends: Vec<(u64, u64, u64)> =
            spans.iter().map(|span| (span.incarnation, span.first, span.last)).collect();
        assert_eq!(ends, vec![(1, 1, 2), (1, 4, 4), (2, 5, 6)]);
        assert_eq!(spans_of([key(1, u64::MAX), key(1, 0)]).len(), 2);
    }
}
