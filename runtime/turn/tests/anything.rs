//! Whatever a server sends, a client ends in order.

mod server;

use p2pnet_turn::{Error, Event, MAX_ATTEMPTS};
use proptest::prelude::*;

use server::*;

/// An answer with the right id, some bytes of it changed.
fn bent(mut bytes: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for &(place, byte) in changes {
        let place = place % bytes.len();
        // The id stays, or it would not be looked at.
        if !(4..20).contains(&place) {
            bytes[place] = byte;
        }
    }
    bytes
}

fn drain(client: &mut p2pnet_turn::Client) -> Vec<Event> {
    let events: Vec<_> = std::iter::from_fn(|| client.poll_event()).collect();
    assert!(events.len() <= 2 * MAX_ATTEMPTS + 1);
    let failed = events.iter().position(|event| matches!(event, Event::Failed(_)));
    assert!(failed.is_none_or(|place| place + 1 == events.len()), "{events:?}");
    events
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_bytes_make_a_client_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
        let mut client = allocated(600);
        client.handle_bytes(at(0), &attempt(1));
        let mut bind = client.bind(at(0), 1).unwrap();
        for piece in &pieces {
            client.handle_bytes(at(5), piece);
            let _ = bind.handle_bytes(piece);
        }
        client.handle_timeout(at(60_000));
        drain(&mut client);
    }

    #[test]
    fn no_bent_answer_makes_a_client_panic(
        changes in prop::collection::vec((0_usize..200, any::<u8>()), 0..6),
        kind in 0_u8..4,
        again in any::<bool>(),
    ) {
        let mut client = client();
        let first = request(&mut client);
        client.handle_bytes(at(0), &refusal(first, 401, Some("n1")));
        let to = request(&mut client);
        let whole = match kind {
            0 => granted(to, 600, Some("secret")),
            1 => granted(to, 600, None),
            2 => refusal(to, 438, Some("n2")),
            _ => attempt(9),
        };
        let mut bytes = bent(whole, &changes);
        if again {
            // Attributes twice, behind a signature too.
            let more = bytes[20..].to_vec();
            bytes.extend(more);
            let length = u16::try_from(bytes.len() - 20).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
        }
        client.handle_bytes(at(0), &bytes);
        client.handle_timeout(at(1_000));
        drain(&mut client);
        client.handle_timeout(at(60_000));
        client.handle_timeout(at(120_000));
        drain(&mut client);
        prop_assert_eq!(client.relayed(), None);
    }
}

#[test]
fn another_protocol_is_told_apart() {
    let mut client = client();
    client.handle_bytes(at(0), b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(drain(&mut client), [Event::Failed(Error::NotTurn)]);
}
