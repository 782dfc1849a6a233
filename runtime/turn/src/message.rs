//! Messages: what is written, and what is read of an answer.

use std::net::SocketAddr;

use stun_types::attribute::{
    AlternateServer, AttributeWrite, ErrorCode, MessageIntegrity, Nonce, Realm, XorMappedAddress,
};
use stun_types::message::{
    IntegrityKey, Message, MessageClass, MessageType, MessageWrite, MessageWriteVec, Method, TransactionId,
};
use turn_types::attribute::{ConnectionId, Lifetime, XorPeerAddress, XorRelayedAddress};

use crate::error::Error;

/// A message header, and MESSAGE-INTEGRITY with its own header (RFC 8489, sections 5 and 14.5).
const HEADER: usize = 20;
const INTEGRITY: usize = 24;

/// A request of these attributes. Those that do not fit were refused when the credentials were made.
pub(crate) fn request(
    method: Method,
    id: TransactionId,
    attributes: &[&dyn AttributeWrite],
) -> MessageWriteVec {
    let kind = MessageType::from_class_method(MessageClass::Request, method);
    let mut message = Message::builder(kind, id, MessageWriteVec::new());
    for attribute in attributes {
        message.push_attribute_unchecked(*attribute);
    }
    message
}

/// Signs a request. Not by the library's own function: that one shows the key to whoever traces.
pub(crate) fn sign(message: &mut MessageWriteVec, key: &IntegrityKey) {
    let signed = message.len();
    message.push_attribute_unchecked(&MessageIntegrity::new([0; 20]));
    let Some(covered) = message.data().get(..signed) else { return };
    let Ok(hmac) = MessageIntegrity::compute(&[covered], key) else { return };
    if let Some(place) = message.mut_data().get_mut(signed + INTEGRITY - hmac.len()..) {
        place.copy_from_slice(&hmac);
    }
}

/// What came from a server, as far as a client looks at it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) method: Method,
    pub(crate) id: TransactionId,
    pub(crate) class: MessageClass,
    pub(crate) content: Content,
    /// Whether the content is all signed by the key.
    pub(crate) is_signed: bool,
}

/// The attributes of a message that are looked at.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) error: Option<(u16, String)>,
    pub(crate) realm: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) mapped: Option<SocketAddr>,
    pub(crate) relayed: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) lifetime: Option<u32>,
    pub(crate) connection: Option<u32>,
    pub(crate) elsewhere: Option<SocketAddr>,
}

/// Reads one whole message. With a key only what the signature covers is looked at, if there is a signature.
pub(crate) fn read(bytes: &[u8], key: Option<&IntegrityKey>) -> Result<Incoming, Error> {
    let malformed = |_| Error::Malformed;
    let message = Message::from_bytes(bytes).map_err(malformed)?;
    let signature = key.and_then(|_| message.attribute_and_offset::<MessageIntegrity>().ok());
    let Some((key, (offset, signature))) = key.zip(signature) else {
        return Ok(incoming(&message, false));
    };
    let covered = with_length(bytes, offset, INTEGRITY).ok_or(Error::Malformed)?;
    if !MessageIntegrity::verify(&[&covered], key, signature.hmac()) {
        return Err(Error::Malformed);
    }
    let alone = with_length(bytes, offset, 0).ok_or(Error::Malformed)?;
    Ok(incoming(&Message::from_bytes(&alone).map_err(malformed)?, true))
}

/// The message up to `offset`, its header saying that `more` bytes follow.
fn with_length(bytes: &[u8], offset: usize, more: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes.get(..offset)?.to_vec();
    let length = u16::try_from((offset + more).checked_sub(HEADER)?).ok()?;
    bytes.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
    Some(bytes)
}

fn incoming(message: &Message<'_>, is_signed: bool) -> Incoming {
    let id = message.transaction_id();
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let elsewhere = message.attribute::<AlternateServer>().ok();
    let content = Content {
        error: message.attribute::<ErrorCode>().ok().map(|error| (error.code(), error.reason().to_owned())),
        realm: message.attribute::<Realm>().ok().and_then(|realm| text(realm.realm())),
        nonce: message.attribute::<Nonce>().ok().and_then(|nonce| text(nonce.nonce())),
        mapped: message.attribute::<XorMappedAddress>().ok().map(|address| address.addr(id)),
        relayed: message.attribute::<XorRelayedAddress>().ok().map(|address| address.addr(id)),
        peer: message.attribute::<XorPeerAddress>().ok().map(|address| address.addr(id)),
        lifetime: message.attribute::<Lifetime>().ok().map(|lifetime| lifetime.seconds()),
        connection: message.attribute::<ConnectionId>().ok().map(|connection| connection.id()),
        elsewhere: elsewhere.map(|server| server.server()),
    };
    Incoming { method: message.method(), id, class: message.class(), content, is_signed }
}
