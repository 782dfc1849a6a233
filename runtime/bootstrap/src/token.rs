//! The operator's token: who has it may issue certificates and tasks, and read the log.

use std::path::{Path, PathBuf};

use data_encoding::{BASE32_NOPAD, HEXLOWER};

use crate::private_file::{self, PrivateFileError};

/// What the token begins with, so that it is known when it is found somewhere.
const PREFIX: &str = "p2pnet-operator-";

/// Bytes of the token that are drawn at random.
const LEN: usize = 32;

/// The file's name in the data directory.
pub const TOKEN_FILE: &str = "operator.token";

/// The hash of the token: the token itself is needed nowhere.
#[derive(Clone)]
pub(crate) struct Token(blake3::Hash);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads the token of a data directory, or makes one of these bytes.
    pub(crate) fn load(directory: &Path, random: [u8; LEN]) -> Result<Token, PrivateFileError> {
        let path = directory.join(TOKEN_FILE);
        if let Some(text) = read_token(&path)? {
            return Ok(Token::of(&text));
        }
        let text = format!("{PREFIX}{}", BASE32_NOPAD.encode(&random).to_ascii_lowercase());
        private_file::create(&path, &format!("{text}\n"))?;
        Ok(Token::of(&text))
    }

    /// Whether this is the token. Takes as long whatever is wrong with it.
    pub(crate) fn is(&self, text: &str) -> bool {
        // Hashes compare in constant time.
        self.0 == blake3::hash(text.as_bytes())
    }

    /// A name for the cookie of this server's dashboard, in hexadecimal: browsers keep one of each name for all ports of a
    /// host, and there may be several servers. Says nothing about the token.
    pub(crate) fn cookie(&self) -> String {
        let key =
            blake3::derive_key("p2pnet bootstrap 2026 the name of the dashboard's cookie", self.0.as_bytes());
        HEXLOWER.encode(&key[..4])
    }

    fn of(text: &str) -> Token {
        Token(blake3::hash(text.as_bytes()))
    }
}

/// Reads the token from a file; none if there is no such file.
///
/// # Errors
/// If it cannot be read, others may read it, or it holds no token.
pub fn read_token(path: &Path) -> Result<Option<String>, PrivateFileError> {
    let Some(text) = private_file::read(path)? else { return Ok(None) };
    let token = text.trim();
    let body = token.strip_prefix(PREFIX).map(str::to_ascii_uppercase);
    let bytes = body.and_then(|body| BASE32_NOPAD.decode(body.as_bytes()).ok());
    if bytes.is_none_or(|bytes| bytes.len() != LEN) {
        let path: PathBuf = path.to_owned();
        return Err(PrivateFileError::Damaged { path, expected: "it should hold an operator's token" });
    }
    Ok(Some(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(TOKEN_FILE);
        assert!(read_token(&path).unwrap().is_none());
        Token::load(directory.path(), [1; LEN]).unwrap();
        let token = Token::load(directory.path(), [2; LEN]).unwrap();
        let text = read_token(&path).unwrap().unwrap();
        assert!(token.is(&text));
        assert_ne!(token.cookie(), Token::of("another").cookie());
        for wrong in ["", &text[..text.len() - 1], &format!("{text} "), "p2pnet-operator-"] {
            assert!(!token.is(wrong), "{wrong}");
        }
        std::fs::write(&path, "p2pnet-operator-abc").unwrap();
        assert!(matches!(Token::load(directory.path(), [3; LEN]), Err(PrivateFileError::Damaged { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(Token::load(directory.path(), [3; LEN]), Err(PrivateFileError::Open(_))));
        }
    }
}
