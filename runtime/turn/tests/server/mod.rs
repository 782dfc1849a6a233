//! A server's answers, made by hand.

#![allow(dead_code)]

use std::net::SocketAddr;
use std::time::Duration;

use p2pnet_turn::{Client, Credentials, Event, Settings};
use stun_types::attribute::{AttributeWrite, ErrorCode, Nonce, Realm, XorMappedAddress};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, Method, TransactionId,
};
use turn_types::attribute::{ConnectionId, Lifetime, XorPeerAddress, XorRelayedAddress};
use turn_types::message::CONNECTION_ATTEMPT;

pub(crate) const RELAYED: &str = "203.0.113.1:40001";
pub(crate) const OBSERVED: &str = "198.51.100.7:5555";
pub(crate) const PEER: &str = "198.51.100.8:6666";

pub(crate) fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client that has written its first request.
pub(crate) fn client() -> Client {
    Client::new(Duration::ZERO, Credentials::new("alice", "secret").unwrap(), Settings::default(), [7; 32])
}

pub(crate) fn key(password: &str) -> MessageIntegrityCredentials {
    LongTermKeyCredentials::new("alice".into(), password.into(), "test".into()).into()
}

/// The kind and id of the one request that waits to be written.
pub(crate) fn request(client: &mut Client) -> (Method, TransactionId) {
    let bytes = client.poll_transmit().expect("a request");
    assert_eq!(client.poll_transmit(), None, "one request at a time");
    kind(&bytes)
}

pub(crate) fn kind(bytes: &[u8]) -> (Method, TransactionId) {
    let message = Message::from_bytes(bytes).unwrap();
    (message.method(), message.transaction_id())
}

/// Whether a request is signed with the password.
pub(crate) fn is_signed(bytes: &[u8]) -> bool {
    Message::from_bytes(bytes).unwrap().validate_integrity(&key("secret")).is_ok()
}

pub(crate) fn answer(
    class: MessageClass,
    (method, id): (Method, TransactionId),
    attributes: &[&dyn AttributeWrite],
    password: Option<&str>,
) -> Vec<u8> {
    let kind = MessageType::from_class_method(class, method);
    let mut message = Message::builder(kind, id, MessageWriteVec::new());
    for attribute in attributes {
        message.add_attribute(*attribute).unwrap();
    }
    if let Some(password) = password {
        message.add_message_integrity(&key(password), IntegrityAlgorithm::Sha1).unwrap();
    }
    message.finish()
}

pub(crate) fn refusal(to: (Method, TransactionId), code: u16, nonce: Option<&str>) -> Vec<u8> {
    let error = ErrorCode::new(code, "because").unwrap();
    let realm = Realm::new("test").unwrap();
    match nonce.map(|nonce| Nonce::new(nonce).unwrap()) {
        Some(nonce) => answer(MessageClass::Error, to, &[&error, &realm, &nonce], None),
        None => answer(MessageClass::Error, to, &[&error], None),
    }
}

pub(crate) fn granted(to: (Method, TransactionId), lifetime: u32, password: Option<&str>) -> Vec<u8> {
    let relayed = XorRelayedAddress::new(address(RELAYED), to.1);
    let mapped = XorMappedAddress::new(address(OBSERVED), to.1);
    answer(MessageClass::Success, to, &[&relayed, &mapped, &Lifetime::new(lifetime)], password)
}

pub(crate) fn success(to: (Method, TransactionId)) -> Vec<u8> {
    answer(MessageClass::Success, to, &[], Some("secret"))
}

pub(crate) fn attempt(connection: u32) -> Vec<u8> {
    let id = TransactionId::from(u128::from(connection));
    let peer = XorPeerAddress::new(address(PEER), id);
    answer(MessageClass::Indication, (CONNECTION_ATTEMPT, id), &[&ConnectionId::new(connection), &peer], None)
}

/// A client with an allocation of so many seconds, at time 0.
pub(crate) fn allocated(lifetime: u32) -> Client {
    let mut client = client();
    let first = request(&mut client);
    client.handle_bytes(Duration::ZERO, &refusal(first, 401, Some("n1")));
    let second = request(&mut client);
    client.handle_bytes(Duration::ZERO, &granted(second, lifetime, Some("secret")));
    assert_eq!(client.poll_event(), Some(Event::Allocated { relayed: address(RELAYED) }));
    assert_eq!(client.poll_event(), Some(Event::Observed(address(OBSERVED))));
    client
}
