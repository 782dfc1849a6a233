//! Why a relay is of no use.

use std::net::SocketAddr;

/// Bytes of a server's own words that are passed on.
const MAX_REASON: usize = 120;

/// Why a relay is of no use, or does not do one thing. Each is one clear line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// 401 to a request that was signed, or 441. Trying again is of no use until somebody changes the credentials.
    #[error("the relay refuses the user name or the password; check them")]
    Credentials,
    /// 486, or 508.
    #[error("the relay has no room for another allocation; free one, or use another relay")]
    Quota,
    /// 437: the server has no allocation for this connection, or has one already.
    #[error("the relay and this program disagree on what is allocated; connect anew")]
    Mismatch,
    /// 442, or 420 for what TCP allocations need.
    #[error("the relay does not relay TCP (RFC 6062); use another one")]
    UnsupportedTransport,
    /// 403 or 443: of an address that is not to be let through, or of all that is asked for.
    #[error("the relay forbids this")]
    Forbidden,
    /// 300.
    #[error("the relay asks to use {0} instead")]
    Elsewhere(SocketAddr),
    /// What came is not STUN, or no answer to what was asked.
    #[error("what answers there is no TURN server; check the host and the port")]
    NotTurn,
    /// A message that was STUN but not as it should be.
    #[error("the relay sent a message that is malformed, too long, or not signed with the password")]
    Malformed,
    /// No answer in time.
    #[error("the relay does not answer")]
    Silent,
    /// Any other refusal.
    #[error("the relay refuses: {code} {reason}")]
    Refused {
        /// The error code, 300 to 699.
        code: u16,
        /// The server's own words without control characters, at most 120 bytes.
        reason: String,
    },
}

impl Error {
    /// What an error code of a server means.
    pub(crate) fn of_code(code: u16, reason: &str) -> Error {
        match code {
            401 | 441 => Error::Credentials,
            403 | 443 => Error::Forbidden,
            420 | 442 => Error::UnsupportedTransport,
            437 => Error::Mismatch,
            486 | 508 => Error::Quota,
            _ => Error::Refused { code, reason: printable(reason) },
        }
    }
}

fn printable(reason: &str) -> String {
    let mut text = String::new();
    for shown in reason.chars().filter(|shown| !shown.is_control()) {
        if text.len() + shown.len_utf8() > MAX_REASON {
            break;
        }
        text.push(shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_made_harmless() {
        let Error::Refused { code: 500, reason } = Error::of_code(500, "so\u{1b}[31mrry\n") else { panic!() };
        assert_eq!(reason, "so[31mrry");
        let Error::Refused { reason, .. } = Error::of_code(500, &"ä".repeat(200)) else { panic!() };
        assert_eq!(reason.len(), MAX_REASON);
    }
}
