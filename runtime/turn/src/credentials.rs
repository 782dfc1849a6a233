//! Long-term credentials: RFC 8489, section 9.2.

use stun_types::attribute::{AttributeWrite, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, MessageWrite, Method, TransactionId,
};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::message::{self, Content, Incoming};

/// How often one request is made again with a new nonce. One is needed at the start, one when the nonce grew stale.
const MAX_CHALLENGES: u8 = 3;

/// A user name and a password.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// A user name of 1 to 508 bytes (RFC 8489, section 14.3) and a password of 1 to 508 bytes. `None` if they are not.
    /// They are used as they are: characters beyond ASCII have to be in the form that the server has.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Option<Credentials> {
        let fits = |text: &str| (1..=508).contains(&text.len());
        let password = Zeroizing::new(password.to_owned());
        (fits(user) && fits(&password)).then(|| Credentials { user: user.to_owned(), password })
    }

    /// The user name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl std::fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What requests are signed with, once the server has said how.
#[derive(Clone)]
pub(crate) struct Signer {
    credentials: Credentials,
    session: Option<Session>,
}

#[derive(Clone)]
struct Session {
    realm: String,
    nonce: String,
    key: IntegrityKey,
}

/// A request that waits for its answer.
pub(crate) struct Exchange {
    method: Method,
    id: TransactionId,
    signed: bool,
    challenges: u8,
}

impl Exchange {
    /// Whether a message is the answer.
    pub(crate) fn is_answered_by(&self, incoming: &Incoming) -> bool {
        (incoming.id, incoming.method) == (self.id, self.method) && incoming.class.is_response()
    }
}

/// What an answer comes to.
pub(crate) enum Outcome {
    /// The request is to be made again, as this exchange.
    Again(Exchange),
    /// It was granted, or refused.
    Done(Result<Box<Content>, Error>),
}

impl Signer {
    pub(crate) fn new(credentials: Credentials) -> Signer {
        Signer { credentials, session: None }
    }

    /// The key, once it is known.
    pub(crate) fn key(&self) -> Option<&IntegrityKey> {
        self.session.as_ref().map(|session| &session.key)
    }

    /// Writes a request; with the exchange of the one before if it is made again.
    pub(crate) fn request(
        &self,
        method: Method,
        id: TransactionId,
        attributes: &[&dyn AttributeWrite],
        before: Option<&Exchange>,
    ) -> (Vec<u8>, Exchange) {
        let mut bytes = message::request(method, id, attributes);
        // Names that do not fit were refused before.
        let names = self.session.as_ref().and_then(|session| {
            let user = Username::new(&self.credentials.user).ok()?;
            let (realm, nonce) = (Realm::new(&session.realm).ok()?, Nonce::new(&session.nonce).ok()?);
            Some((user, realm, nonce, &session.key))
        });
        // Every server answers a binding request, which is not worth a signature.
        let signed = method != stun_types::message::BINDING && names.is_some();
        if let (true, Some((user, realm, nonce, key))) = (signed, names) {
            bytes.push_attribute_unchecked(&user);
            bytes.push_attribute_unchecked(&realm);
            bytes.push_attribute_unchecked(&nonce);
            message::sign(&mut bytes, key);
        }
        let challenges = before.map_or(0, |before| before.challenges);
        (bytes.finish(), Exchange { method, id, signed, challenges })
    }

    /// Judges the answer to `exchange`, and takes what it says of realm and nonce.
    pub(crate) fn judge(&mut self, mut exchange: Exchange, incoming: Incoming) -> Outcome {
        use stun_types::message::MessageClass::{Error as Refusal, Success};
        let content = &incoming.content;
        Outcome::Done(match (incoming.class, &content.error) {
            // Who cannot sign does not know the password.
            (Success, _) if exchange.signed && !incoming.is_signed => Err(Error::Malformed),
            (Success, _) => Ok(Box::new(incoming.content)),
            (Refusal, Some((401, _))) if exchange.signed => Err(Error::Credentials),
            (Refusal, Some((401 | 438, _))) => {
                let realm = content.realm.clone().or_else(|| Some(self.session.as_ref()?.realm.clone()));
                exchange.challenges += 1;
                match (realm, content.nonce.clone()) {
                    (Some(realm), Some(nonce)) if exchange.challenges <= MAX_CHALLENGES => {
                        self.open(realm, nonce);
                        return Outcome::Again(exchange);
                    }
                    _ => Err(Error::Malformed),
                }
            }
            (Refusal, Some((300, _))) if content.elsewhere.is_some() => {
                Err(content.elsewhere.map_or(Error::Malformed, Error::Elsewhere))
            }
            (Refusal, Some((code, reason))) => Err(Error::of_code(*code, reason)),
            _ => Err(Error::Malformed),
        })
    }

    fn open(&mut self, realm: String, nonce: String) {
        if let Some(session) = self.session.as_mut().filter(|session| session.realm == realm) {
            session.nonce = nonce;
            return;
        }
        let Credentials { user, password } = &self.credentials;
        let named = LongTermKeyCredentials::new(user.clone(), password.to_string(), realm.clone());
        let key = named.make_key(IntegrityAlgorithm::Sha1);
        self.session = Some(Session { realm, nonce, key });
    }
}
