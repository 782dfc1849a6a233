//! The client against answers made by hand.

mod server;

use std::time::Duration;

use p2pnet_turn::{Error, Event, MAX_ATTEMPTS};
use stun_types::message::{BINDING, MessageClass};
use turn_types::message::{ALLOCATE, CREATE_PERMISSION, REFRESH};

use server::*;

#[test]
fn an_allocation_is_asked_for_and_signed_as_the_server_says() {
    let mut client = client();
    let bytes = client.poll_transmit().unwrap();
    assert!(!is_signed(&bytes));
    client.handle_bytes(at(10), &refusal(kind(&bytes), 401, Some("n1")));
    let bytes = client.poll_transmit().unwrap();
    assert!(is_signed(&bytes) && kind(&bytes).0 == ALLOCATE);
    client.handle_bytes(at(20), &granted(kind(&bytes), 600, Some("secret")));
    assert_eq!(client.relayed(), Some(address(RELAYED)));
}

#[test]
fn refused_credentials_are_final() {
    let mut client = client();
    let first = request(&mut client);
    client.handle_bytes(at(10), &refusal(first, 401, Some("n1")));
    let second = request(&mut client);
    client.handle_bytes(at(20), &refusal(second, 401, Some("n2")));
    assert_eq!(client.poll_event(), Some(Event::Failed(Error::Credentials)));
    assert_eq!((client.poll_timeout(), client.poll_transmit()), (None, None));
}

#[test]
fn a_grant_that_the_password_did_not_sign_is_none() {
    for password in [None, Some("other")] {
        let mut client = client();
        let first = request(&mut client);
        client.handle_bytes(at(10), &refusal(first, 401, Some("n1")));
        let second = request(&mut client);
        client.handle_bytes(at(20), &granted(second, 600, password));
        assert_eq!(client.poll_event(), Some(Event::Failed(Error::Malformed)), "{password:?}");
    }
}

#[test]
fn what_stands_behind_the_signature_is_not_believed() {
    let mut client = client();
    let first = request(&mut client);
    client.handle_bytes(at(10), &refusal(first, 401, Some("n1")));
    let second = request(&mut client);
    // The signed part says nothing; a relayed address is put behind it.
    let mut bytes = success(second);
    let unsigned = granted(second, 600, None);
    bytes.extend(&unsigned[20..]);
    let length = u16::try_from(bytes.len() - 20).unwrap();
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    client.handle_bytes(at(20), &bytes);
    assert_eq!(client.poll_event(), Some(Event::Failed(Error::Malformed)));
}

#[test]
fn each_refusal_is_told_as_what_it_means() {
    for (code, error) in [
        (437, Error::Mismatch),
        (442, Error::UnsupportedTransport),
        (486, Error::Quota),
        (508, Error::Quota),
        (403, Error::Forbidden),
        (500, Error::Refused { code: 500, reason: "because".into() }),
    ] {
        let mut client = client();
        let first = request(&mut client);
        client.handle_bytes(at(10), &refusal(first, code, None));
        assert_eq!(client.poll_event(), Some(Event::Failed(error)));
    }
}

#[test]
fn a_server_that_challenges_for_ever_is_given_up() {
    let mut client = allocated(600);
    client.handle_timeout(at(1500));
    client.poll_transmit().unwrap();
    client.permit(at(1500), address(PEER).ip());
    assert_eq!(client.poll_transmit(), None, "a request waits for the answer to the one before");
    let mut client = allocated(600);
    client.permit(at(10), address(PEER).ip());
    for round in 0..3 {
        let (method, id) = request(&mut client);
        assert_eq!(method, CREATE_PERMISSION);
        client.handle_bytes(at(20 + round), &refusal((method, id), 438, Some("again")));
    }
    let last = request(&mut client);
    client.handle_bytes(at(40), &refusal(last, 438, Some("again")));
    assert_eq!(client.poll_event(), Some(Event::Failed(Error::Malformed)));
}

#[test]
fn an_allocation_is_refreshed_before_it_ends_and_the_server_asked_whether_it_is_there() {
    let mut client = allocated(4);
    assert_eq!(client.poll_timeout(), Some(at(1500)));
    client.handle_timeout(at(1500));
    let ping = request(&mut client);
    assert_eq!(ping.0, BINDING);
    client.handle_bytes(at(1600), &answer(MessageClass::Success, ping, &[], None));
    assert_eq!(client.poll_timeout(), Some(at(2000)));
    client.handle_timeout(at(2000));
    let refresh = request(&mut client);
    assert_eq!(refresh.0, REFRESH);
    client.handle_bytes(at(2001), &granted(refresh, 4, Some("secret")));
    client.handle_timeout(at(3501));
    let ping = request(&mut client);
    client.handle_bytes(at(3502), &refusal(ping, 400, None));
    assert_eq!((client.poll_event(), client.poll_timeout()), (None, Some(at(4001))));
}

#[test]
fn a_server_that_does_not_answer_is_given_up_after_two_seconds() {
    let mut client = allocated(600);
    client.handle_timeout(at(1500));
    request(&mut client);
    client.handle_bytes(at(2000), &attempt(1));
    assert_eq!(client.poll_timeout(), Some(at(3500)), "only the answer counts");
    client.handle_timeout(at(3500));
    assert_eq!(client.poll_event(), Some(Event::Failed(Error::Silent)));
    assert_eq!(client.relayed(), None);
}

#[test]
fn permissions_are_renewed_and_a_forbidden_one_ends_nothing() {
    let mut client = allocated(3600);
    client.permit(at(0), address(PEER).ip());
    let asked = request(&mut client);
    client.handle_bytes(at(0), &success(asked));
    let (now, renewed) = loop {
        let now = client.poll_timeout().unwrap();
        client.handle_timeout(now);
        let asked = request(&mut client);
        if asked.0 == CREATE_PERMISSION {
            break (now, asked);
        }
        client.handle_bytes(now, &answer(MessageClass::Success, asked, &[], None));
    };
    assert_eq!(now, Duration::from_secs(240));
    client.handle_bytes(now, &refusal(renewed, 403, None));
    let address = address(PEER).ip();
    assert_eq!(client.poll_event(), Some(Event::NotPermitted { address, error: Error::Forbidden }));
    assert!(client.relayed().is_some());
}

#[test]
fn announced_connections_are_bound_once_and_not_too_late() {
    let mut client = allocated(600);
    for connection in 0..40 {
        client.handle_bytes(at(0), &attempt(connection));
    }
    let announced = std::iter::from_fn(|| client.poll_event()).count();
    assert_eq!(announced, MAX_ATTEMPTS);
    assert!(client.bind(at(10), 0).is_some());
    assert!(client.bind(at(10), 0).is_none(), "bound already");
    assert!(client.bind(at(10), 39).is_none(), "never announced");
    assert!(client.bind(at(30_000), 1).is_none(), "the server has closed it");
}

#[test]
fn before_a_connection_is_announced_the_nonce_is_tried() {
    let mut client = allocated(600);
    client.handle_bytes(at(1000), &attempt(1));
    assert_eq!(client.poll_event(), None);
    let refresh = request(&mut client);
    assert_eq!(refresh.0, REFRESH);
    client.handle_bytes(at(1010), &refusal(refresh, 438, Some("n2")));
    let refresh = request(&mut client);
    client.handle_bytes(at(1020), &attempt(2));
    client.handle_bytes(at(1020), &granted(refresh, 600, Some("secret")));
    client.handle_bytes(at(1030), &attempt(3));
    for number in [1, 2, 3] {
        let Some(Event::Attempt { connection, .. }) = client.poll_event() else { panic!() };
        assert_eq!(connection, number);
    }
}

#[test]
fn a_data_connection_is_bound_with_a_new_nonce_and_not_read_beyond_the_answer() {
    let mut client = allocated(600);
    client.handle_bytes(at(0), &attempt(5));
    let mut bind = client.bind(at(0), 5).unwrap();
    let bytes = bind.poll_transmit().unwrap();
    assert!(is_signed(&bytes));
    let stale = refusal(kind(&bytes), 438, Some("n2"));
    let mut rest = stale.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(bind.missing());
        assert_eq!(bind.handle_bytes(now), Ok(false));
        rest = later;
    }
    let bytes = bind.poll_transmit().unwrap();
    let answer = success(kind(&bytes));
    assert_eq!(bind.missing(), 20);
    assert_eq!(bind.handle_bytes(&answer[..20]), Ok(false));
    assert_eq!(bind.missing(), answer.len() - 20);
    assert_eq!(bind.handle_bytes(&answer[20..]), Ok(true));
    assert_eq!(bind.missing(), 0);
}

#[test]
fn what_is_given_up_is_given_back() {
    let mut client = allocated(600);
    client.release();
    let bytes = client.poll_transmit().unwrap();
    assert_eq!(kind(&bytes).0, REFRESH);
    assert_eq!((client.relayed(), client.poll_timeout()), (None, None));
}
