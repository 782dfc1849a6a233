//! A data connection, until it is a stream: RFC 6062, section 4.5.

use turn_types::attribute::ConnectionId;
use turn_types::message::CONNECTION_BIND;

use crate::credentials::{Exchange, Outcome, Signer};
use crate::error::Error;
use crate::framing::Framing;
use crate::ids::Ids;
use crate::message;

/// Messages that are read for one answer.
const MAX_MESSAGES: u8 = 8;

/// What is said on a new connection to the server, to make it the stream to a peer. How long it may take is the caller's
/// business; the server gives up after 30 s.
pub struct Bind {
    signer: Signer,
    ids: Ids,
    framing: Framing,
    connection: u32,
    waiting: Option<Exchange>,
    messages: u8,
    out: Option<Vec<u8>>,
}

impl Bind {
    pub(crate) fn new(signer: Signer, ids: Ids, connection: u32) -> Bind {
        let mut bind = Bind {
            signer,
            ids,
            framing: Framing::default(),
            connection,
            waiting: None,
            messages: 0,
            out: None,
        };
        bind.ask(None);
        bind
    }

    /// Bytes to write, if there are any.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.take()
    }

    /// How many bytes may be read now: never more than belong to the server's answer, so that what follows is the peer's.
    /// 0 after an error and when all is said.
    #[must_use]
    pub fn missing(&self) -> usize {
        if self.waiting.is_some() { self.framing.missing() } else { 0 }
    }

    /// Takes bytes, at most as many as are [missing](Bind::missing). True when the connection is the peer's stream from
    /// the next byte on.
    ///
    /// # Errors
    /// Why it never will be; the connection is to be closed.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        self.framing.push(bytes);
        let bound = self.read();
        if bound.is_err() {
            self.waiting = None;
        }
        bound
    }

    fn read(&mut self) -> Result<bool, Error> {
        while let Some(bytes) = self.framing.next()? {
            self.messages += 1;
            if self.messages > MAX_MESSAGES {
                return Err(Error::Malformed);
            }
            let incoming = message::read(&bytes, self.signer.key())?;
            let Some(exchange) = self.waiting.take_if(|waiting| waiting.is_answered_by(&incoming)) else {
                continue;
            };
            match self.signer.judge(exchange, incoming) {
                Outcome::Again(exchange) => self.ask(Some(&exchange)),
                Outcome::Done(result) => return result.map(|_| true),
            }
        }
        Ok(false)
    }

    fn ask(&mut self, before: Option<&Exchange>) {
        let connection = ConnectionId::new(self.connection);
        let id = self.ids.next();
        let (bytes, exchange) = self.signer.request(CONNECTION_BIND, id, &[&connection], before);
        self.out = Some(bytes);
        self.waiting = Some(exchange);
    }
}

impl std::fmt::Debug for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bind").field("connection", &self.connection).finish_non_exhaustive()
    }
}
