//! Relays: TURN servers through which peers beyond this host's router reach this node.

mod keeping;
mod taking;

use std::fmt;
use std::str::FromStr;

use p2pnet_turn::Credentials;

pub(crate) use keeping::Keeper;

/// Relays that a node may have. It keeps an allocation at each.
pub const MAX_RELAYS: usize = 4;

/// The port of a relay whose URL has none (RFC 8656, section 3.1).
const DEFAULT_PORT: u16 = 3478;

/// A TURN server that relays TCP (RFC 6062), and who this node is there.
#[derive(Clone)]
pub struct Relay {
    host: String,
    port: u16,
    credentials: Credentials,
}

/// Why a text is no URL of a relay. The text is not repeated, because a password may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayUrlError {
    /// It is no such URL at all.
    #[error("give a relay as turn://USER:PASSWORD@HOST:PORT")]
    Malformed,
    /// `turns`, or something else.
    #[error("a relay's URL begins with turn://; what is relayed is encrypted by the peers themselves")]
    Scheme,
    /// No user name, or one too long.
    #[error("a relay's URL needs a user name of 1 to 508 bytes: turn://USER:PASSWORD@HOST:PORT")]
    User,
    /// No password, or one too long.
    #[error(
        "a relay needs a password of 1 to 508 bytes: turn://USER:PASSWORD@HOST:PORT, or without it in the URL and in the environment"
    )]
    Password,
}

impl Relay {
    /// Reads a URL such as `turn://alice:secret@192.0.2.1:3478`. What has a meaning in URLs is written `%40` and so on in
    /// user name and password. The port is 3478 unless it says another. The password is `password` if the URL has none.
    ///
    /// # Errors
    /// See [`RelayUrlError`].
    pub fn with_password(url: &str, password: Option<&str>) -> Result<Relay, RelayUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(RelayUrlError::Malformed)?;
        if scheme != "turn" {
            return Err(RelayUrlError::Scheme);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (who, place) = rest.rsplit_once('@').ok_or(RelayUrlError::User)?;
        let (user, own) = match who.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?)),
            None => (who, None),
        };
        let (host, port) = host_and_port(place).ok_or(RelayUrlError::Malformed)?;
        let user = decoded(user)?;
        let password = own.as_deref().or(password).ok_or(RelayUrlError::Password)?;
        if !(1..=508).contains(&user.len()) {
            return Err(RelayUrlError::User);
        }
        let credentials = Credentials::new(&user, password).ok_or(RelayUrlError::Password)?;
        Ok(Relay { host, port, credentials })
    }

    /// What people know it by: its URL without user name and password.
    #[must_use]
    pub fn name(&self) -> String {
        let Relay { host, port, .. } = self;
        if host.contains(':') { format!("turn://[{host}]:{port}") } else { format!("turn://{host}:{port}") }
    }
}

impl FromStr for Relay {
    type Err = RelayUrlError;

    /// As [`Relay::with_password`], with the password in the URL.
    fn from_str(url: &str) -> Result<Self, RelayUrlError> {
        Relay::with_password(url, None)
    }
}

impl fmt::Debug for Relay {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relay").field(&self.name()).finish()
    }
}

fn host_and_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let _: std::net::Ipv6Addr = host.parse().ok()?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
            None => (place, Some("")),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    let port = match port? {
        "" => DEFAULT_PORT,
        port => port.parse().ok().filter(|&port| port > 0)?,
    };
    (!host.is_empty() && host.len() <= 253 && host.chars().all(is_name)).then(|| (host.to_owned(), port))
}

/// Undoes `%40` and the like: RFC 3986, section 2.1.
fn decoded(text: &str) -> Result<String, RelayUrlError> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let [high, low, tail @ ..] = rest else { return Err(RelayUrlError::Malformed) };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { return Err(RelayUrlError::Malformed) };
        bytes.push(high << 4 | low);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| RelayUrlError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_relay_and_who_we_are_there() {
        let relay: Relay = "turn://al%40ice:p%3Aw@relay.example:4000".parse().unwrap();
        assert_eq!(
            (relay.host.as_str(), relay.port, relay.credentials.user()),
            ("relay.example", 4000, "al@ice")
        );
        assert_eq!(relay.name(), "turn://relay.example:4000");
        let relay: Relay = "turn://a:b@[2001:db8::1]/".parse().unwrap();
        assert_eq!(relay.name(), "turn://[2001:db8::1]:3478");
        let relay = Relay::with_password("turn://a@192.0.2.1", Some("elsewhere")).unwrap();
        assert_eq!(relay.name(), "turn://192.0.2.1:3478");
    }

    #[test]
    fn nothing_shows_the_password() {
        let relay: Relay = "turn://alice:geheim@192.0.2.1".parse().unwrap();
        assert!(!format!("{relay:?} {:?} {}", relay.credentials, relay.name()).contains("geheim"));
    }

    #[test]
    fn what_is_no_such_url_is_refused_by_cause() {
        use RelayUrlError::{Malformed, Password, Scheme, User};
        for (url, error) in [
            ("192.0.2.1:3478", Malformed),
            ("turns://a:b@host", Scheme),
            ("turn://host:3478", User),
            ("turn://:b@host", User),
            ("turn://a@host", Password),
            ("turn://a:@host", Password),
            ("turn://a:b@", Malformed),
            ("turn://a:b@host:0", Malformed),
            ("turn://a:b@host:", Malformed),
            ("turn://a:b@host:70000", Malformed),
            ("turn://a:b@ho st", Malformed),
            ("turn://a:b@host/path", Malformed),
            ("turn://a:b@[nonsense]:1", Malformed),
            ("turn://a:%zz@host", Malformed),
            ("turn://a:%c3@host", Malformed),
            ("turn://a:b@1:2:3", Malformed),
        ] {
            assert_eq!(url.parse::<Relay>().err(), Some(error), "{url}");
        }
    }
}
