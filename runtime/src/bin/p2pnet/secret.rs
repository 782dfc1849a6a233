//! `p2pnet secret`, and reading what it printed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use p2pnet::OsHost;
use p2pnet::seam::Host;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::output::Output;

/// What every printed secret starts with, so that it is never taken for a passphrase.
const PREFIX: &str = "p2pnet-secret-";

/// What the check bytes are derived with.
const CHECK_CONTEXT: &str = "p2pnet secret file 1 check";

/// The longest file that is looked at.
const MAX_FILE: u64 = 4096;

/// What opens a network.
pub(crate) enum Secret {
    /// 32 random bytes.
    Random([u8; 32]),
    /// Something that people remember; stretched before use.
    Passphrase(Zeroizing<String>),
}

/// Makes a new secret and prints it on a line of its own.
pub(crate) fn run(output: &Output) -> Result<(), Failure> {
    let secret = OsHost::new().entropy();
    let secret =
        secret.map_err(|error| Failure::NotAchieved(format!("the system gives no entropy: {error}")))?;
    let text = format(&secret);
    if output.is_json() {
        return output.tell(|at| Line::new("secret", at).text("secret", &text), Word::Quiet("secret"), "");
    }
    output.line(&text)
}

/// Reads a secret file: one line, either what [`run`] printed or a passphrase.
pub(crate) fn read(path: &Path) -> Result<Secret, Failure> {
    let wrong = |why: &str| Failure::BadInput(format!("the secret file {} {why}", path.display()));
    parse(&contents("secret file", path)?).map_err(wrong)
}

/// What a short file holds that is kept secret; `what` names it in errors.
pub(crate) fn contents(what: &str, path: &Path) -> Result<Zeroizing<String>, Failure> {
    let wrong = |why: &str| Failure::BadInput(format!("the {what} {} {why}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let opened = File::open(path).map_err(|error| wrong(&format!("cannot be opened: {error}")))?;
    let read = opened.take(MAX_FILE + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(&format!("cannot be read as text: {error}")))?;
    if text.len() as u64 > MAX_FILE {
        return Err(wrong("has more than 4096 bytes; it should hold one line"));
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Secret, &'static str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().ok_or("is empty; put in what `p2pnet secret` prints, or a passphrase")?;
    if lines.next().is_some() {
        return Err("has more than one line; it should hold what `p2pnet secret` prints, or a passphrase");
    }
    let Some(encoded) = line.strip_prefix(PREFIX) else {
        if line.chars().count() < 12 {
            tracing::warn!("a passphrase this short can be guessed; `p2pnet secret` makes a better secret");
        }
        return Ok(Secret::Passphrase(Zeroizing::new(line.to_owned())));
    };
    let damaged = "starts like a secret of `p2pnet secret` but is damaged; copy it again, all of it";
    let upper = Zeroizing::new(encoded.to_ascii_uppercase());
    let bytes = Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| damaged)?);
    let (secret, check) = bytes.split_at_checked(32).ok_or(damaged)?;
    let secret = <[u8; 32]>::try_from(secret).map_err(|_| damaged)?;
    if check == checksum(&secret) { Ok(Secret::Random(secret)) } else { Err(damaged) }
}

/// The secret and three check bytes: a slip of the pen would otherwise open another, empty network.
fn format(secret: &[u8; 32]) -> String {
    let mut bytes = Zeroizing::new([0; 35]);
    let (start, end) = bytes.split_at_mut(32);
    start.copy_from_slice(secret);
    end.copy_from_slice(&checksum(secret));
    format!("{PREFIX}{}", BASE32_NOPAD.encode(&*bytes).to_ascii_lowercase())
}

fn checksum(secret: &[u8; 32]) -> [u8; 3] {
    let mut check = [0; 3];
    blake3::Hasher::new_derive_key(CHECK_CONTEXT).update(secret).finalize_xof().fill(&mut check);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_of(text: &str) -> Option<[u8; 32]> {
        match parse(text) {
            Ok(Secret::Random(secret)) => Some(secret),
            _ => None,
        }
    }

    /// What one machine prints another reads, also after an editor added blanks.
    #[test]
    fn a_printed_secret_reads_back() {
        let text = format(&[9; 32]);
        assert_eq!(text.len(), PREFIX.len() + 56);
        assert_eq!(secret_of(&text), Some([9; 32]));
        assert_eq!(secret_of(&format!("\n  {text}\r\n\n")), Some([9; 32]));
    }

    /// A damaged secret is an error and never a passphrase: the user would be alone in another network.
    #[test]
    fn a_damaged_secret_is_refused() {
        let text = format(&[9; 32]);
        for cut in PREFIX.len()..text.len() {
            assert!(parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        for at in PREFIX.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'q' { b'r' } else { b'q' };
            assert!(parse(&String::from_utf8(changed).unwrap()).is_err(), "changed at {at}");
        }
    }

    /// Anything else on one line is a passphrase.
    #[test]
    fn a_single_other_line_is_a_passphrase() {
        let parsed = parse("correct horse battery staple\n");
        assert!(
            matches!(parsed, Ok(Secret::Passphrase(text)) if text.as_str() == "correct horse battery staple")
        );
        assert!(parse("").is_err());
        assert!(parse("one\ntwo\n").is_err());
    }
}
